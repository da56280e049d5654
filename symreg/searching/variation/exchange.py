"""Operators between keys: copy, tie, untie, split and merge forms, and crossover by key."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from symreg.fit.programs.batch import CodedTerm
from symreg.searching.randomness import random
from symreg.searching.variation.kin import Draft, Kin

Terms = list[CodedTerm | Draft]
Mutate = Callable[[CodedTerm], Draft]
"""Changes the shape or the constants of one term."""
BY_KEY = 0.3
"""Fraction of crossovers that take all terms of some keys from one parent, the rest from another;
only where a kind has several keys."""
ALL_CONSTANTS = 0.3
"""How often all constants of a form are tied or untied at once."""
_APART = 0.05
"""By about so much of itself a constant changes that is untied."""


def exchanged(name: str, coded_terms: Sequence[CodedTerm], kin: Kin, mutate: Mutate) -> Terms:
    """Terms after one of the operators between keys; as they were where there is no place for it.

    ``split`` changes the form on one key by ``mutate``.
    """
    place = random.randrange(len(coded_terms))
    if name in ("copy", "merge"):
        return _copied(coded_terms, place, kin, whole=name == "merge")
    relatives = [k for k in range(len(coded_terms)) if kin.of(coded_terms, k)]
    if not relatives:
        return _copied(coded_terms, place, kin, whole=False)
    place = random.choice(relatives)
    if name == "split":
        changed: Terms = list(coded_terms)
        changed[place] = mutate(coded_terms[place])
        return changed
    return list(_tied(coded_terms, place, kin, untie=name == "untie"))


def _copied(coded_terms: Sequence[CodedTerm], place: int, kin: Kin, *, whole: bool) -> Terms:
    """The form of a term on one more key; or all forms of its key, in place of that key's."""
    one = coded_terms[place]
    others = kin.others(one.key)
    if not others:
        return list(coded_terms)
    targets = others if whole and random.random() < 0.3 else [random.choice(others)]
    if not whole:
        return [*coded_terms, *(kin.coded(one, key) for key in targets)]
    forms = [coded for coded in coded_terms if coded.key == one.key]
    kept = [coded for coded in coded_terms if coded.key not in targets]
    return [*kept, *(kin.coded(form, key) for key in targets for form in forms)]


def _tied(
    coded_terms: Sequence[CodedTerm], place: int, kin: Kin, *, untie: bool
) -> list[CodedTerm]:
    """Constants of a form set equal to those of a term on one or all of its keys; or apart."""
    one, changed = coded_terms[place], list(coded_terms)
    if not one.constants:
        return changed
    relatives = kin.of(coded_terms, place)
    numbers = range(len(one.constants))
    chosen = numbers if random.random() < ALL_CONSTANTS else [random.choice(numbers)]
    if untie:
        centre = kin.keys[one.key].centre
        family = [k for k in relatives if kin.keys[coded_terms[k].key].centre == centre]
        chance = random.random()
        targets = [place, *(family if chance < 0.3 else relatives if chance < 0.6 else ())]
        own = chance >= 0.3  # each its own value, or the same for those of a centre
    else:
        targets = relatives if random.random() < 0.5 else [random.choice(relatives)]
    factor = math.exp(random.gauss(0.0, _APART))
    for k in targets:
        if untie and own:
            factor = math.exp(random.gauss(0.0, _APART))
        here = kin.coded(coded_terms[k], one.key)  # its constants in the order of the other's
        if here.shape is not one.shape:
            continue  # a product of one radial factor beside one of two
        values = list(here.constants)
        for n in chosen:
            values[n] = one.constants[n] * factor if untie else one.constants[n]
        changed[k] = kin.coded(CodedTerm(one.key, here.shape, tuple(values)), coded_terms[k].key)
    return changed


def crossed_by_key(
    one: Sequence[CodedTerm], two: Sequence[CodedTerm], kin: Kin
) -> tuple[CodedTerm, ...]:
    """All terms of some keys from one parent, those of all other keys from the other."""
    numbers, way = range(len(kin.keys)), random.choice(("each", "kind", "species"))
    if way == "each":
        own = {k for k in numbers if random.random() < 0.5}
    elif way == "kind":
        over = random.choice(sorted({key.over for key in kin.keys}))
        own = {k for k in numbers if kin.keys[k].over == over}
    else:
        centre = random.choice(sorted({key.centre for key in kin.keys}))
        own = {k for k in numbers if kin.keys[k].centre == centre}
    return tuple(
        [coded for coded in one if coded.key in own]
        + [coded for coded in two if coded.key not in own]
    )
