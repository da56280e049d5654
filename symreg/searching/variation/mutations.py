"""Mutations of one tree."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from deap import gp

from symreg.language.canonical import build
from symreg.language.text import Nested
from symreg.language.tree import mapped, operands
from symreg.searching.randomness import random
from symreg.searching.variation.trees import Trees
from symreg.searching.variation.types import SUFFIX, Constant

STEEP = 5
"""Powers of sums at least this high may stand for exponentials."""


def limit(tree: Nested) -> Nested:
    """Put exp(n u / a) in place of a high power (a + u)^n, of which it is the limit.

    Fits reach such powers first, for they are cheaper and an exponential is hardly told from them.
    """
    if not operands(tree):
        return tree
    tree = mapped(tree, limit)
    if tree[0] == "powi" and abs(tree[1]) >= STEEP and tree[2][0] == "add":
        shift, rest = tree[2][1:]
        if shift[0] == "const" and shift[1] != 0:
            return build("exp", build("mul", ("const", tree[1] / shift[1]), rest))
    return build(*tree)


def _constants(tree: gp.PrimitiveTree, trees: Trees) -> gp.PrimitiveTree:
    """Other constants: a little, to go on with a fit, or much, to begin elsewhere."""
    places = [k for k, node in enumerate(tree) if node.ret is Constant]
    spread = random.choice((0.01, 0.5))
    for k in places:
        factor = math.exp(random.gauss(0.0, spread))
        list.__setitem__(tree, k, trees.constant(tree[k].value * factor))
    return tree


def _shift(tree: gp.PrimitiveTree, trees: Trees) -> gp.PrimitiveTree:
    """Another origin of one variable."""
    place = trees.random_variable(tree)
    if place is not None:
        variable = tree[place]
        plus = trees.pset.mapping["add" + SUFFIX[variable.ret]]
        shift = trees.random_shift(variable.ret, random.random() < 0.5)
        tree[place : place + 1] = [plus, shift, variable]
    return tree


def _exponent(tree: gp.PrimitiveTree, trees: Trees) -> gp.PrimitiveTree:
    """Another integer exponent, or one for a variable."""
    places = [k for k, node in enumerate(tree) if node.ret in trees.exponents]
    if places:
        place = random.choice(places)
        known = trees.exponents[tree[place].ret]
        shifted = tree[place].value + random.choice((-3, -2, -1, 1, 2, 3))
        list.__setitem__(tree, place, known.get(shifted, tree[place]))
        return tree
    chosen = trees.random_variable(tree)
    if chosen is not None:
        variable = tree[chosen]
        power = trees.pset.mapping["powi" + SUFFIX[variable.ret]]
        exponent = trees.random_exponent(power.args[0])
        tree[chosen : chosen + 1] = [power, exponent, variable]
    return tree


class Mutation(NamedTuple):
    """One mutation of a tree."""

    name: str
    """As progress and credit call it."""
    rate: float
    """How often it is made, as a part of all mutations, before anything is known of its yield."""
    change: Callable[[gp.PrimitiveTree, Trees], gp.PrimitiveTree]
    """Changes a tree, in place or anew; ``symreg.searching.randomness`` is what it draws from."""


MUTATIONS_OF_TREES = (
    Mutation("point", 0.08, lambda tree, trees: gp.mutNodeReplacement(tree, trees.pset)[0]),
    Mutation(
        "subtree", 0.08, lambda tree, trees: gp.mutUniform(tree, trees.expression, trees.pset)[0]
    ),
    Mutation("insert", 0.05, lambda tree, trees: gp.mutInsert(tree, trees.pset)[0]),
    Mutation("shrink", 0.07, lambda tree, _: gp.mutShrink(tree)[0]),
    Mutation("constant", 0.08, _constants),
    Mutation("exponent", 0.10, _exponent),
    Mutation("shift", 0.07, _shift),
)
"""All of them; a row is what it takes to add one."""
