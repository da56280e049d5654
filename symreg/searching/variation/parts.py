"""Parts of terms: radial factors, and the heads of sums over neighbours of other species."""

from __future__ import annotations

from collections.abc import Sequence

from symreg.language.canonical import build
from symreg.language.operators import PRODUCTS
from symreg.language.text import Nested
from symreg.language.tree import mapped, operands
from symreg.searching.randomness import random
from symreg.searching.variation.trees import Trees
from symreg.searching.variation.types import Angular, Atomic, Radial
from symreg.terms import Key
from symreg.terms.kinds import kind_of
from symreg.terms.term import sums_in


def heads_of(keys: Sequence[Key]) -> list[Nested]:
    """Heads of sums over neighbours of other species than their centre, where there are some."""
    centres = {key.centre for key in keys if key.is_function}
    if not centres:
        return []
    found = set[tuple[str, ...]]()
    for key in keys:
        if key.is_pair and key.species[0] != key.species[1]:
            found |= {(key.over, near) for near in key.species}
        elif not key.is_function and len(key.species) == 3 and set(key.species[1:]) != {key.centre}:
            found.add((key.over, *key.species[1:]))
    return [(over, kind_of(over).name, *species) for over, *species in sorted(found)]


def radial_parts(tree: Nested) -> list[Nested]:
    """Radial factors of a product, or those of what neighbour sums sum."""
    if tree[0] in PRODUCTS:
        return radials(tree)
    return [part for node in sums_in(tree) for part in radials(node[2])]


def radials(summand: Nested) -> list[Nested]:
    """The functions of distances in what is summed."""
    return list(summand[1:-1]) if summand[0] in PRODUCTS else [summand]


def with_radial_part(tree: Nested, old: Nested, new: Nested) -> Nested:
    """The term with another of its radial parts."""
    if tree[0] in PRODUCTS:
        place = tree.index(old, 1)
        return (*tree[:place], new, *tree[place + 1 :])
    if tree[0] == "sum":
        if tree[2] == old:
            return build("sum", tree[1], new)
        if tree[2][0] in PRODUCTS and old in tree[2][1:-1]:
            return build("sum", tree[1], with_radial_part(tree[2], old, new))
        return tree
    if not operands(tree):
        return tree
    return build(*mapped(tree, lambda u: with_radial_part(u, old, new)))


def with_other_part(tree: Nested, trees: Trees, unlike: bool) -> Nested:
    """A term with another radial function, or another one of what is around it.

    Products of ``unlike`` neighbours may get a second radial factor.
    """
    chosen = random.choice(radial_parts(tree))
    if random.random() < 0.5:
        return with_radial_part(tree, chosen, _drawn(trees, Radial))
    if tree[0] == "product" and unlike and random.random() < 0.5:
        radial = _drawn(trees, Radial)
        both = random.choice(((chosen, radial), (radial, chosen)))
        return ("unlike", *both, tree[2])
    if tree[0] in PRODUCTS:
        return (*tree[:-1], _drawn(trees, Angular))
    inner = next(one for one in sums_in(tree) if chosen in radials(one[2]))
    return trees.nested(trees.embedded(trees.deap(inner, Atomic)))


def _drawn(trees: Trees, kind: type) -> Nested:
    """A random function of a type."""
    return trees.nested(trees.expression(trees.pset, kind))
