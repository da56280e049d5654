"""Mutations that add a constant where it changes hardly anything, and leave the rest to the fit.

A child begins where its parent ends, so that fitting need not find the way from elsewhere; compare
the function-preserving steps of T. Chen et al., Net2Net, ICLR 2016, and of network morphism.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from symreg.language.canonical import X, build
from symreg.language.operators import PRODUCTS
from symreg.language.text import Nested
from symreg.language.tree import operands
from symreg.searching.randomness import random
from symreg.terms import Key
from symreg.terms.kinds import kind_of

Path = tuple[int, ...]
RADIAL, ANGULAR, TRIPLET, OF_SUMS = "radial", "angular", "triplet", "of sums"
"""Variables that a part of a tree depends on."""
LARGEST_INNER = 8
"""Largest power inside of a power that is split."""


def extend(tree: Nested, key: Key) -> Nested:
    """A canonical tree with one more constant, at random, if there is a place for one."""
    places = list(_places(tree, OF_SUMS if key.is_function else _context(key.over)))
    if not places:
        return tree
    path, context = random.choice(places)
    return _replaced(tree, path, context)


def _context(over: str) -> str:
    return RADIAL if len(kind_of(over).variables) == 1 else TRIPLET


def _places(tree: Nested, context: str, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Where functions stand that are no numbers, and what they are functions of."""
    op = tree[0]
    if op in ("const", "int"):
        return
    if op not in PRODUCTS:
        yield path, context
    first = len(tree) - len(operands(tree))
    for k, operand in enumerate(operands(tree), first):
        inner = _context(tree[1][0]) if op == "sum" else context
        if op in PRODUCTS:
            inner = RADIAL if k < len(tree) - 1 else ANGULAR
        yield from _places(operand, inner, (*path, k))


def _replaced(tree: Nested, path: Path, context: str) -> Nested:
    """The tree with one of its parts extended; canonical again up to there."""
    if not path:
        return _extended(tree, context)
    parts = list(tree[1:])
    parts[path[0] - 1] = _replaced(parts[path[0] - 1], path[1:], context)
    return build(tree[0], *parts)


def _extended(u: Nested, context: str) -> Nested:
    """One function with one constant more."""
    small = ("const", random.choice((-1.0, 1.0)) * math.exp(random.gauss(-3.0, 1.0)))
    ways = ["shift"]
    if context == RADIAL:
        ways += ["fade", "scale"] + ["bend"] * (u[0] == "exp")
    if u[0] == "powi" and context in (RADIAL, OF_SUMS):
        ways += ["free"]
    if u[0] == "powi" and len(u[2]) == 1 and context != ANGULAR:
        ways += ["soften", "soften"]
    way = random.choice(ways)
    if way == "fade":
        return build("mul", u, build("exp", build("mul", small, X)))
    if way == "scale":
        return build("mul", u, build("pow", X, small))
    if way == "bend":
        return build("exp", build("add", u[1], build("mul", small, ("powi", 2, X))))
    if way == "free":
        return build("pow", u[2], ("const", u[1] + small[1]))
    if way == "soften" and (inner := _inner_power(u[1])):
        shifted = build("add", ("const", abs(small[1])), build("powi", inner, u[2]))
        return build("powi", u[1] // inner, shifted)
    return build("add", small, u)


def _inner_power(n: int) -> int:
    """A power k of u^n = (u^k)^(n/k), of either sign; 0 where there is none but n itself."""
    most = min(abs(n), LARGEST_INNER)
    powers = [k for k in range(1, most + 1) if n % k == 0 and k != n]
    return int(random.choice(powers)) if powers else 0
