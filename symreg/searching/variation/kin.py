"""Forms that keys of one kind have in common: how one moves from key to key, and where it stands.

A form is shared by terms of one shape on several keys of a kind; constants at one place of it with
equal values are tied. With one key of each kind there is nothing to share, and no draw is made.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from operator import eq
from typing import NamedTuple

from symreg.fit.programs.batch import CodedTerm
from symreg.language.canonical import build, canonical, shaped, valued
from symreg.language.text import Nested
from symreg.language.tree import mapped, operands
from symreg.searching.randomness import random
from symreg.terms import Key
from symreg.terms.kinds import kind_of
from symreg.terms.term import sums_in

EVERYWHERE, AROUND = 0.5, 0.2
"""How often a new form goes to all keys of its kind, and to all that have a species in common."""
TOGETHER = 0.7
"""How often a mutation of a shared form acts on all its keys."""


class Draft(NamedTuple):
    """A term that was changed or made: not yet canonical, of a key that may not be its own."""

    key: int
    tree: Nested


def draft(coded: CodedTerm | Draft) -> Draft:
    """A term to be changed."""
    if isinstance(coded, Draft):
        return coded
    return Draft(coded.key, valued(coded.shape, coded.constants))


def neighbours(head: Nested, centre: str) -> tuple[str, ...]:
    """Species of the neighbours that a sum of a centre is over."""
    return tuple(head[2:]) or (centre,) * kind_of(head[0]).neighbours


def directed(tree: Nested, centre: str, names: dict[str, str] | None = None) -> Nested:
    """A function of sums of a centre, in which species have other ``names``, if given.

    Sums over neighbours of the centre's own species do not name it.
    """
    if tree[0] != "sum":
        return mapped(tree, lambda u: directed(u, centre, names))
    over, name, *species = tree[1]
    renamed = [(names or {}).get(one, one) for one in species]
    near = sorted(renamed)
    summand = tree[2] if len(set(near)) > 1 else of_alike(tree[2])
    if near != renamed and summand[0] == "unlike":  # each factor stays with its neighbour
        summand = ("unlike", summand[2], summand[1], summand[3])
    return build("sum", (over, name, *(near if set(near) != {centre} else ())), summand)


def summed_over(tree: Nested, centre: str) -> set[str]:
    """Species of all neighbours that a function of sums of a centre is over."""
    return {one for node in sums_in(tree) for one in neighbours(node[1], centre)}


def over_all_species(tree: Nested, near: Sequence[str]) -> Nested:
    """A function of sums with those over pairs over all neighbours, each species with a weight.

    The first of ``near`` is the centre's own, if it meets that.
    """
    if tree[0] == "sum" and kind_of(tree[1][0]).neighbours == 1 and near:
        heads = [(*tree[1][:2], other) for other in near]
        total = build("sum", heads[0], tree[2])  # this one sets the scale
        for head in heads[1:]:
            weight = "const", math.exp(random.gauss(0.0, 0.5))
            total = build("add", total, build("mul", weight, build("sum", head, tree[2])))
        return total
    if tree[0] == "sum" or not operands(tree):
        return tree
    return build(*mapped(tree, lambda u: over_all_species(u, near)))


def of_alike(tree: Nested) -> Nested:
    """A three-body function for neighbours of one species: one radial factor instead of two."""
    return ("product", tree[1], tree[3]) if tree[0] == "unlike" else tree


class Kin:
    """Keys of each kind, and the forms that they share.

    ``shared`` is as of a run file; only keys of the numbers ``choice`` are given new forms.
    """

    def __init__(self, keys: Sequence[Key], choice: Collection[int], shared: str = "auto") -> None:
        self.keys, self.shared = tuple(keys), shared
        self._alike = {
            k: [n for n in choice if keys[n].over == key.over] for k, key in enumerate(keys)
        }
        self.together = {"auto": TOGETHER, "never": 0.0, "always": 1.0}[shared]
        self._met = {key.centre: self._partners(key.centre) for key in keys}
        self.any = any(len(alike) > 1 for alike in self._alike.values())
        """Whether a kind has several keys."""

    def _partners(self, centre: str) -> list[str]:
        pairs = [set(key.species) for key in self.keys if key.is_pair]
        others = {one for pair in pairs if centre in pair and len(pair) > 1 for one in pair}
        return [*([centre] if {centre} in pairs else []), *sorted(others - {centre})]

    def met_by(self, centre: str) -> list[str]:
        """Species that are neighbours of a centre, its own first."""
        return self._met[centre]

    def others(self, key: int) -> list[int]:
        """Other keys of the kind."""
        return [n for n in self._alike[key] if n != key]

    def moved(self, one: CodedTerm | Draft, key: int) -> Draft:
        """The term on another key of its kind: with the same constants, so that they are tied."""
        tree = draft(one).tree
        if one.key == key:
            return Draft(key, tree)
        old, new = self.keys[one.key], self.keys[key]
        if new.is_function:
            swapped = {old.centre: new.centre, new.centre: old.centre}
            tree = canonical(_swapped(tree, old.centre, new.centre, swapped))
        elif not new.is_unlike:
            tree = of_alike(tree)
        return Draft(key, tree)

    def coded(self, one: CodedTerm, key: int) -> CodedTerm:
        """Coded term on another key, of one that is a term there as it stands."""
        if not self.keys[key].is_function and one.shape.root[0] != "unlike":
            return CodedTerm(key, one.shape, one.constants)
        return CodedTerm(key, *shaped(self.moved(one, key).tree))

    def of(self, coded_terms: Sequence[CodedTerm], place: int) -> list[int]:
        """Where the terms on other keys stand that have the form of the term at a place.

        Of several terms of that form the one of most equal constants, or else the first belongs to
        the first, and so on.
        """
        one = coded_terms[place]
        others = self.others(one.key)
        if not others:
            return []
        rank = sum(t.key == one.key and t.shape is one.shape for t in coded_terms[:place])
        found = []
        for key in others:
            shape = self.coded(one, key).shape if self.keys[key].is_function else one.shape
            alike = [k for k, t in enumerate(coded_terms) if t.key == key and t.shape is shape]
            if len(alike) > 1 and one.constants:
                equal = [sum(map(eq, coded_terms[k].constants, one.constants)) for k in alike]
                if max(equal):
                    found.append(alike[equal.index(max(equal))])
                    continue
            found += alike[rank : rank + 1]
        return found

    def group(self, coded_terms: Sequence[CodedTerm], place: int) -> list[int]:
        """Where a change of the term at a place acts: there first, and maybe on all its kin."""
        kin = self.of(coded_terms, place)
        return [place, *kin] if kin and random.random() < self.together else [place]

    def spread(self, one: Draft) -> list[Draft]:
        """A new form on its key, and maybe on others of the kind."""
        others = self.others(one.key)
        if not others or self.shared == "never":
            return [one]
        chance = 0.0 if self.shared == "always" else random.random()
        if chance >= EVERYWHERE + AROUND:
            return [one]
        if chance >= EVERYWHERE:
            others = self._around(one.key, others)
        return [one, *(self.moved(one, key) for key in others)]

    def _around(self, key: int, others: Iterable[int]) -> list[int]:
        """Those of other keys that have the centre of one, or of a pair one of its species."""
        own = self.keys[key]
        species = random.choice(own.species) if own.is_pair else own.centre
        return [
            n
            for n in others
            if species in (self.keys[n].species if own.is_pair else self.keys[n].species[:1])
        ]

    def lacking(self, coded_terms: Collection[CodedTerm], needed: Collection[int]) -> list[Draft]:
        """Copies of the forms of another key for each needed one that has none."""
        there = sorted({coded.key for coded in coded_terms} & set(needed))
        found = []
        for key in sorted(set(needed).difference(there)) if there else ():
            donor = random.choice(there)
            copies = (self.moved(coded, key) for coded in coded_terms if coded.key == donor)
            found += [self._own(copy) if self.shared == "never" else copy for copy in copies]
        return found

    def _own(self, one: Draft) -> Draft:
        """A form whose constants are not quite those of another."""
        shape, constants = shaped(one.tree)
        apart = [value * (1.0 + random.gauss(0.0, 0.01)) for value in constants]
        return Draft(one.key, valued(shape, apart))

    def levelled(self, coded_terms: Sequence[CodedTerm]) -> list[CodedTerm]:
        """Terms with one form for all keys of a kind: those of the first key that has any.

        Keys keep constants of their own where their shape is that; others get copies.
        """
        found, kinds = list[CodedTerm](), dict[str, int]()
        for coded in coded_terms:
            kinds.setdefault(self.keys[coded.key].over, coded.key)
        for first in kinds.values():
            forms = [coded for coded in coded_terms if coded.key == first]
            found += forms
            for key in self.others(first):
                own = [coded for coded in coded_terms if coded.key == key]
                for form in forms:
                    copy = self.coded(form, key)
                    kept = next((t for t in own if t.shape is copy.shape), copy)
                    if kept in own:
                        own.remove(kept)
                    found.append(kept)
        return list(dict.fromkeys(found))


def _swapped(tree: Nested, old: str, new: str, names: dict[str, str]) -> Nested:
    """A function of sums of one centre as one of another, their species exchanged."""
    if tree[0] != "sum":
        return mapped(tree, lambda u: _swapped(u, old, new, names))
    near = neighbours(tree[1], old)
    named = ("sum", (*tree[1][:2], *near), tree[2])
    return directed(named, new, names)
