"""Trees as DEAP has them: converted from and to nested forms, and grown at random."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from deap import gp

from symreg.language.canonical import LEAVES, ONE, Nested, build, tree_of
from symreg.searching.randomness import random
from symreg.searching.variation.types import (
    BEND,
    EXPONENT,
    SUFFIX,
    VARIABLES,
    Angular,
    Atomic,
    Constant,
    Radial,
    Separable,
    primitive_set,
    random_constant,
    root_of,
)

CHAINS = 0.4
"""Fraction of random subtrees that are compositions of functions of one variable."""
BENDS = 0.25
"""Fraction of random neighbour sums that are over every two neighbours, where they may be."""
NEIGHBOURS = 12
"""Neighbours at x = 1 that a random shift of a neighbour sum reckons with."""


class Trees:
    """DEAP's trees of the primitive set: from nested forms and back, and made at random.

    Parameters
    ----------
    x_range
        Smallest and largest reduced distance of the data.
    bends
        Whether neighbour sums may be over every two neighbours.
    """

    def __init__(self, x_range: tuple[float, float], bends: bool = False) -> None:
        self.x_range = x_range
        self.bends = bends
        self.pset = primitive_set()
        self._ephemeral = next(
            t for t in self.pset.terminals[Constant] if isinstance(t, gp.MetaEphemeral)
        )
        self.exponents: dict[Any, dict[int, Any]] = {
            kind: {t.value: t for t in self.pset.terminals[kind]} for kind in EXPONENT.values()
        }
        names = [name for of_kind in VARIABLES.values() for name in of_kind]
        self._variables = {name: self.pset.mapping[name] for name in names}
        self._leaves = {name: LEAVES[name.partition("_")[0]] for name in names}
        self._leaves |= {"one" + suffix: ONE for suffix in SUFFIX.values()}

    def constant(self, value: float) -> Any:
        """Node of a number."""
        node = object.__new__(self._ephemeral)
        node.value = value
        return node

    def deap(self, tree: Nested) -> gp.PrimitiveTree:
        """DEAP's tree of a nested form."""
        nodes: list[Any] = []
        mapping = self.pset.mapping

        def visit(u: Nested, kind: type) -> None:
            op, suffix = u[0], SUFFIX.get(kind, "")
            if op in LEAVES:
                nodes.append(mapping[op if op != "c" else "c" + suffix.replace("_c", "")])
            elif op == "const" or (op == "int" and (u != ONE or kind is Constant)):
                nodes.append(self.constant(float(u[1])))
            elif op == "int":
                nodes.append(mapping["one" + suffix])
            elif op == "powi":
                power = mapping["powi" + suffix]
                exponent = power.args[0]
                known = self.exponents[exponent].get(u[1])
                nodes.extend((power, known or gp.Terminal(u[1], False, exponent)))
                visit(u[2], kind)
            else:
                over_two = op == "sum" and u[1][0] == "product"
                nodes.append(mapping[BEND if over_two else op + suffix])
                for operand, needed in zip(u[1:], nodes[-1].args, strict=True):
                    visit(operand, needed)

        visit(tree, root_of(tree))
        return gp.PrimitiveTree(nodes)

    def nested(self, tree: Sequence[Any]) -> Nested:
        """Nested form of DEAP's tree."""
        stack: list[Any] = []
        for node in reversed(tree):
            if node.arity:
                operands = (stack.pop() for _ in range(node.arity))
                stack.append(build(node.name.partition("_")[0], *operands))
            elif node.ret is Constant:
                stack.append(("const", node.value))
            elif node.ret in self.exponents:
                stack.append(node.value)
            else:
                stack.append(self._leaves[node.value])
        nested: Nested = stack.pop()
        return nested

    def expression(self, pset: gp.PrimitiveSetTyped, type_: type) -> list[Any]:  # noqa: ARG002
        """Random subtree of a type, as DEAP's mutation asks for it."""
        if type_ in SUFFIX and random.random() < CHAINS:
            return self._chain(type_)
        return self.grow(type_, random.choice((0, 1, 1, 2)))

    def grow(self, kind: type, depth: int) -> list[Any]:
        """Random subtree of a type; DEAP's generators need primitives of every type."""
        if kind is Atomic and (depth <= 0 or random.random() < 0.15):
            return self.neighbour_sum()
        if kind in SUFFIX and depth > 1 and random.random() < CHAINS:
            return self._chain(kind)
        primitives, terminals = self.pset.primitives[kind], self.pset.terminals[kind]
        if terminals and (depth <= 0 or not primitives or random.random() < 0.15):
            terminal = random.choice(terminals)
            if kind in VARIABLES and random.random() < 0.5:
                terminal = self._variables[random.choice(VARIABLES[kind])]
            return [terminal() if isinstance(terminal, gp.MetaEphemeral) else terminal]
        primitive = random.choice(primitives)
        if primitive.name == BEND:
            return self.neighbour_sum()
        nodes = [primitive]
        for argument in primitive.args:
            nodes += self.grow(argument, depth - 1)
        return nodes

    def _chain(self, kind: type) -> list[Any]:
        """Random composition of functions of one variable, with shifts and scales in between.

        Most radial and angular functions of the literature are such; growing node by node rarely
        makes one of several links.
        """
        if kind is Atomic:
            return self.embedded(self.neighbour_sum())
        mapping, suffix = self.pset.mapping, SUFFIX[kind]
        nodes: list[Any] = [self._variables[random.choice(VARIABLES[kind])]]
        links = ("power", "power", "exp", *(("log", "sqrt") if kind is Radial else ()))
        for _ in range(random.choice((1, 1, 2, 2, 3))):
            link = random.choice(links)
            if link == "exp":
                scale = self.constant(random_constant())
                nodes = [mapping["exp" + suffix], mapping["mul" + suffix], scale, *nodes]
                continue
            exponent = self.random_exponent(mapping["powi" + suffix].args[0])
            if random.random() < 0.5:
                singular = link != "power" or exponent.value < 0
                shift = self.random_shift(kind, singular and len(nodes) == 1)
                nodes = [mapping["add" + suffix], shift, *nodes]
            if link == "power":
                nodes = [mapping["powi" + suffix], exponent, *nodes]
            else:
                nodes = [mapping[link], *nodes]
        return nodes

    def neighbour_sum(self) -> list[Any]:
        """Sum of a random function of the distance, or of a product over every two neighbours."""
        if self.bends and random.random() < BENDS:
            return [self.pset.mapping[BEND], *self.grow(Separable, 2)]
        inner = self._chain(Radial) if random.random() < 0.7 else self.grow(Radial, 1)
        return [self.pset.mapping["sum_a"], *inner]

    def embedded(self, nodes: list[Any]) -> list[Any]:
        """Random function of one variable of a neighbour sum, or of a function of it."""
        mapping = self.pset.mapping
        for _ in range(random.choice((1, 1, 1, 2))):
            link = random.choice(("sqrt", "sqrt", "pow", "log", "exp", "powi", "inverse"))
            size = self._size(nodes) * math.exp(random.gauss(0.0, 1.0))
            if link == "sqrt":
                nodes = [mapping["sqrt_a"], *nodes]
            elif link == "pow":
                nodes = [mapping["pow_a"], *nodes, self.constant(random.uniform(0.2, 2.0))]
            elif link == "exp":
                scale = random.choice((-1.0, 1.0)) / size
                nodes = [mapping["exp_a"], mapping["mul_a"], self.constant(scale), *nodes]
            elif link == "powi":
                exponent = random.choice(self.pset.terminals[EXPONENT[Atomic]])
                nodes = [mapping["powi_a"], exponent, *nodes]
            else:
                nodes = [mapping["add_a"], self.constant(size), *nodes]
                inverse = self.exponents[EXPONENT[Atomic]][-1]
                outer = [mapping["log_a"]] if link == "log" else [mapping["powi_a"], inverse]
                nodes = [*outer, *nodes]
        return nodes

    def _size(self, nodes: Sequence[Any]) -> float:
        """About how large a neighbour sum is in a dense crystal; 1 for anything else."""
        if nodes[0].name != "sum_a":
            return 1.0
        (value,) = tree_of(self.nested(nodes[1:]))(np.ones(1))
        return NEIGHBOURS * abs(float(value)) if math.isfinite(value) and value != 0 else 1.0

    def random_shift(self, kind: type, singular: bool) -> Any:
        """A constant to add to a variable, which puts no singularity into its range.

        Elsewhere fitting could not move it: a candidate with a pole is not valid. Compare interval
        arithmetic in M. Keijzer, EuroGP 2003, LNCS 2610, 70.
        """
        low, high = (-1.0, 1.0) if kind is Angular else self.x_range
        width = high - low
        if not singular:
            return self.constant(-random.uniform(low - 0.5 * width, high + 0.5 * width))
        gap = width * math.exp(random.gauss(-1.0, 1.0))
        return self.constant(gap - low if random.random() < 0.5 else -high - gap)

    def random_exponent(self, kind: type) -> Any:
        """An integer exponent, small ones more often."""
        known = self.pset.terminals[kind]
        (exponent,) = random.choices(known, [1.0 / abs(e.value) for e in known])
        return exponent

    def random_variable(self, tree: gp.PrimitiveTree) -> int | None:
        """Where one of the variables stands, if there is any."""
        places = [k for k, node in enumerate(tree) if node in self._variables.values()]
        return random.choice(places) if places else None
