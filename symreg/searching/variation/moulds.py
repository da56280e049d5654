"""Templates in variation: terms of their keys are brought into shape, and holes are filled."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from symreg.fit.programs.batch import CodedTerm
from symreg.language.canonical import terms_of
from symreg.language.operators import PRODUCTS
from symreg.language.text import Nested
from symreg.language.tree import operands
from symreg.searching.randomness import random
from symreg.searching.variation.kin import Draft
from symreg.searching.variation.trees import Trees
from symreg.searching.variation.types import Angular, Radial, Separable, root_of
from symreg.terms import Key
from symreg.terms.kinds import kind_of
from symreg.terms.templates import HOLE, Template, filled, has_hole, matches

TRIES = 20
"""Random contents tried for a hole before an individual is given up."""


@dataclass(frozen=True)
class Mould:
    """The template of one key, taken apart once."""

    template: Template
    key: int
    patterns: tuple[Nested, ...]
    is_open: bool

    def sorted_out(
        self, coded_terms: Sequence[CodedTerm]
    ) -> tuple[list[CodedTerm | None], list[CodedTerm]]:
        """The term of each pattern, None where there is none, and other terms of the key."""
        left = [coded for coded in coded_terms if coded.key == self.key]
        found = list[CodedTerm | None]()
        for pattern in self.patterns:
            one = next((c for c in left if matches(pattern, c.shape.root)), None)
            found.append(one)
            if one is not None:
                left.remove(one)
        return found, left


class Moulds:
    """Templates of the keys that evolve.

    ``choice`` are their numbers; ``draw`` gives a random term of one, and ``typed`` codes a form.
    """

    def __init__(
        self,
        templates: Sequence[Template],
        keys: Sequence[Key],
        choice: Collection[int],
        draw: Callable[[int], Draft],
        trees: Trees,
        typed: Callable[[int, Nested], CodedTerm | None],
    ) -> None:
        number = {keys[k]: k for k in choice}
        self._moulds = [
            Mould(one, number[one.key], one.patterns(), one.is_open)
            for one in templates
            if one.key in number
        ]
        self._keys, self._draw, self._trees, self._typed = keys, draw, trees, typed

    def are_kept(self, coded_terms: Iterable[CodedTerm]) -> bool:
        """Whether terms have the shapes of all templates."""
        every = [*coded_terms] if self._moulds else []
        for mould in self._moulds:
            found, others = mould.sorted_out(every)
            if None in found or (others and not mould.is_open):
                return False
        return True

    def imposed(self, split: Mapping[CodedTerm, bool]) -> dict[CodedTerm, bool]:
        """Terms in the shapes of the templates; none where a hole could not be filled.

        Terms that a template has no place for are left out, those that it lacks are made.
        """
        found = dict(split)
        for mould in self._moulds:
            # New terms come first, or two parents' would leave no room for them.
            ordered = sorted(found, key=lambda coded: found[coded])
            terms, others = mould.sorted_out(ordered)
            for stray in () if mould.is_open else others:
                del found[stray]
            for n, coded in enumerate(terms):
                if coded is None:
                    made = self._made(mould, n)
                    if made is None:
                        return {}
                    found[made] = not has_hole(mould.patterns[n])
        return found

    def _made(self, mould: Mould, n: int) -> CodedTerm | None:
        """A new term of a pattern: constants with names are random, holes have random contents."""
        for _ in range(TRIES):
            values = {name: math.exp(random.gauss(0.7, 0.8)) for name in mould.template.names}
            pattern = mould.template.patterns(values)[n]
            content = self._content(mould.key, pattern) if has_hole(pattern) else HOLE
            parts = terms_of(filled(pattern, content))
            coded = self._typed(mould.key, parts[0]) if len(parts) == 1 else None
            fits = coded is not None and coded.key == mould.key
            if coded is not None and fits and matches(mould.patterns[n], coded.shape.root):
                return coded
        return None

    def _content(self, key: int, pattern: Nested) -> Nested:
        """A random function for the hole of a pattern."""
        root = root_of(self._keys[key])
        kind = _kind_of_hole(pattern, Separable if pattern[0] in PRODUCTS else root)
        return (
            self._draw(key).tree if kind is root else self._trees.nested(self._trees.grow(kind, 2))
        )


def _kind_of_hole(node: Nested, kind: Any) -> Any:
    """Type of what stands in the hole of a form of some type."""
    while node != HOLE:
        inner = operands(node)
        place = next(k for k, u in enumerate(inner) if has_hole(u))
        if node[0] == "sum":
            kind = Radial if len(kind_of(node[1][0]).variables) == 1 else Separable
        elif node[0] in PRODUCTS:
            kind = Angular if place == len(inner) - 1 else Radial
        node = inner[place]
    return kind
