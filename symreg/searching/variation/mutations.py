"""Mutations of one tree."""

from __future__ import annotations

import math

from deap import gp

from symreg.language.canonical import Nested, build
from symreg.searching.randomness import random
from symreg.searching.variation.trees import Trees
from symreg.searching.variation.types import SUFFIX, Constant

STEEP = 5
"""Powers of sums at least this high may stand for exponentials."""


def limit(tree: Nested) -> Nested:
    """Put exp(n u / a) in place of a high power (a + u)^n, of which it is the limit.

    Fits reach such powers first, for they are cheaper and an exponential is hardly told from them.
    """
    if not any(isinstance(u, tuple) for u in tree[1:]):
        return tree
    operands = [limit(u) if isinstance(u, tuple) else u for u in tree[1:]]
    if tree[0] == "powi" and abs(tree[1]) >= STEEP and operands[1][0] == "add":
        shift, rest = operands[1][1:]
        if shift[0] == "const" and shift[1] != 0:
            return build("exp", build("mul", ("const", tree[1] / shift[1]), rest))
    return build(tree[0], *operands)


def mutate_tree(name: str, tree: gp.PrimitiveTree, trees: Trees) -> gp.PrimitiveTree:
    """Change one tree, in place or anew."""
    if name == "point":
        (tree,) = gp.mutNodeReplacement(tree, trees.pset)
    elif name == "subtree":
        (tree,) = gp.mutUniform(tree, trees.expression, trees.pset)
    elif name == "insert":
        (tree,) = gp.mutInsert(tree, trees.pset)
    elif name == "shrink":
        (tree,) = gp.mutShrink(tree)
    elif name == "constant":
        places = [k for k, node in enumerate(tree) if node.ret is Constant]
        spread = random.choice((0.01, 0.5))  # to go on with a fit, or to begin elsewhere
        for k in places:
            factor = math.exp(random.gauss(0.0, spread))
            list.__setitem__(tree, k, trees.constant(tree[k].value * factor))
    elif name == "shift":
        _shift(tree, trees)
    else:
        _mutate_exponent(tree, trees)
    return tree


def _shift(tree: gp.PrimitiveTree, trees: Trees) -> None:
    """Move the origin of one variable."""
    place = trees.random_variable(tree)
    if place is not None:
        variable = tree[place]
        plus = trees.pset.mapping["add" + SUFFIX[variable.ret]]
        shift = trees.random_shift(variable.ret, random.random() < 0.5)
        tree[place : place + 1] = [plus, shift, variable]


def _mutate_exponent(tree: gp.PrimitiveTree, trees: Trees) -> None:
    """Shift an integer exponent, or give x one."""
    places = [k for k, node in enumerate(tree) if node.ret in trees.exponents]
    if places:
        place = random.choice(places)
        known = trees.exponents[tree[place].ret]
        shifted = tree[place].value + random.choice((-3, -2, -1, 1, 2, 3))
        list.__setitem__(tree, place, known.get(shifted, tree[place]))
        return
    chosen = trees.random_variable(tree)
    if chosen is not None:
        variable = tree[chosen]
        power = trees.pset.mapping["powi" + SUFFIX[variable.ret]]
        exponent = trees.random_exponent(power.args[0])
        tree[chosen : chosen + 1] = [power, exponent, variable]
