"""Trees as DEAP has them: converted from and to nested forms, and grown at random."""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any

import numpy as np
from deap import gp

from symreg.fit.programs.batch import CodedTerm
from symreg.language import Shape
from symreg.language.canonical import build, tree_of
from symreg.language.operators import FUNCTIONS, OPERATORS
from symreg.language.text import ONE, Nested
from symreg.language.tree import operands
from symreg.searching.randomness import random
from symreg.searching.variation.types import (
    EXPONENT,
    SUFFIX,
    SUMMED,
    VARIABLES,
    Angular,
    Atomic,
    Constant,
    Radial,
    functions_of,
    name_of_sum,
    primitive_set,
    random_constant,
)
from symreg.terms.kinds import kind_of, kinds

CHAINS = 0.4
"""Fraction of random subtrees that are compositions of functions of one variable."""
BENDS = 0.25
"""Fraction of random sums that are not over pairs, where they may be over something else."""
OTHERS = 0.5
"""Fraction of random sums over neighbours of other species than the centre's, if there are any."""
_BOUNDED = tuple(name for name in FUNCTIONS if OPERATORS[name].growth == "bounded")
_EMBEDDINGS = ("sqrt", "sqrt", "pow", "log", "exp", "powi", "inverse", *_BOUNDED)
"""Functions made of sums; the embedding functions of the literature are the first."""
NEIGHBOURS = 12
"""Neighbours at x = 1 that a random shift of a neighbour sum reckons with."""


class Trees:
    """DEAP's trees of the primitive set: from nested forms and back, and made at random.

    ``overs`` is what sums of functions may be over, the commonest first; ``heads`` are those of
    sums over neighbours of other species than the centre's, and with ``unlike`` products may have
    two radial factors.
    """

    def __init__(
        self,
        x_range: tuple[float, float],
        overs: Sequence[str],
        heads: Sequence[Nested] = (),
        unlike: bool = False,
    ) -> None:
        self.x_range, self.overs, self.heads = x_range, tuple(overs), tuple(heads)
        self.pset = primitive_set(heads, unlike)
        self._directed = {
            over: [name_of_sum(head) for head in heads if head[0] == over] for over in overs
        }
        self._ephemeral = next(
            t for t in self.pset.terminals[Constant] if isinstance(t, gp.MetaEphemeral)
        )
        self.exponents: dict[Any, dict[int, Any]] = {
            kind: {t.value: t for t in self.pset.terminals[kind]} for kind in EXPONENT.values()
        }
        self._likely = {
            kind: list(accumulate(1.0 / abs(n) for n in known))
            for kind, known in self.exponents.items()
        }
        """Sums of the likelihoods of the exponents of each type."""
        names = [name for of_kind in VARIABLES.values() for name in of_kind]
        self._variables = {name: self.pset.mapping[name] for name in names}
        self._leaves: dict[str, Nested] = {name: (name.partition("_")[0],) for name in names}
        self._leaves |= {"one" + suffix: ONE for suffix in SUFFIX.values()}
        self._remembered = lru_cache(maxsize=2**14)(self._skeleton)
        self._places = {id(node) for node in self._variables.values()}
        names = [node.name for of_type in self.pset.primitives.values() for node in of_type]
        self._operators: dict[str, Nested] = {name: (name.partition("_")[0],) for name in names}
        every = (*((kind.over, kind.name) for kind in kinds()), *heads)
        self._operators |= {name_of_sum(head): ("sum", head) for head in every}

    def constant(self, value: float) -> Any:
        """Node of a number."""
        node = object.__new__(self._ephemeral)
        node.value = value
        return node

    def deap(self, tree: Nested, root: type) -> gp.PrimitiveTree:
        """DEAP's tree of a nested form of a type."""
        nodes = list[Any]()
        for place, value in self._append(tree, root, nodes):
            nodes[place] = self.constant(float(value))
        return gp.PrimitiveTree(nodes)

    def coded(self, coded: CodedTerm, root: type) -> gp.PrimitiveTree:
        """DEAP's tree of a term, from what is remembered of its shape."""
        nodes, places = self._remembered(coded.shape, root)
        tree = gp.PrimitiveTree(nodes)
        for place, number in places:
            list.__setitem__(tree, place, self.constant(coded.constants[number]))
        return tree

    def _skeleton(self, shape: Shape, root: type) -> tuple[list[Any], list[tuple[int, int]]]:
        """Nodes of a shape, and the place and number of each constant among them."""
        nodes = list[Any]()
        return nodes, list(self._append(shape.root, root, nodes))

    def _append(self, u: Nested, kind: type, nodes: list[Any]) -> Iterator[tuple[int, Any]]:
        """Append nodes of a nested form; yield the place and value of each constant to be set."""
        mapping, op, suffix = self.pset.mapping, u[0], SUFFIX.get(kind, "")
        if len(u) == 1:
            nodes.append(mapping[op if op != "c" else "c" + suffix.replace("_c", "")])
        elif op == "const":
            nodes.append(None)
            yield len(nodes) - 1, u[1]
        elif op == "int":
            one = u == ONE and kind is not Constant
            nodes.append(mapping["one" + suffix] if one else self.constant(float(u[1])))
        elif op == "powi":
            power = mapping["powi" + suffix]
            exponent = power.args[0]
            known = self.exponents[exponent].get(u[1])
            nodes.extend((power, known or gp.Terminal(u[1], False, exponent)))
            yield from self._append(u[2], kind, nodes)
        else:
            nodes.append(mapping[name_of_sum(u[1]) if op == "sum" else op + suffix])
            for operand, needed in zip(operands(u), nodes[-1].args, strict=True):
                yield from self._append(operand, needed, nodes)

    def nested(self, tree: Sequence[Any]) -> Nested:
        """Nested form of DEAP's tree."""
        stack: list[Any] = []
        operators, leaves = self._operators, self._leaves
        for node in reversed(tree):
            if node.__class__ is gp.Primitive:
                one = stack.pop()
                rest: tuple[Any, ...] = (stack.pop(),) if node.arity == 2 else ()
                if node.arity == 3:
                    rest = stack.pop(), stack.pop()
                stack.append(build(*operators[node.name], one, *rest))
                continue
            value = node.value
            if value.__class__ is float:
                stack.append(("const", value))
            else:
                stack.append(value if value.__class__ is int else leaves[value])
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
        if primitive.name.startswith(SUMMED):
            return self.neighbour_sum()
        nodes = [primitive]
        for argument in primitive.args:
            nodes += self.grow(argument, depth - 1)
        return nodes

    def _chain(self, kind: type) -> list[Any]:
        """Random composition of functions of one variable, which growing node by node rarely makes.

        Most radial and angular functions of the literature are such, with shifts and scales.
        """
        if kind is Atomic:
            return self.embedded(self.neighbour_sum())
        mapping, suffix = self.pset.mapping, SUFFIX[kind]
        nodes: list[Any] = [self._variables[random.choice(VARIABLES[kind])]]
        links = ("power", "power", *functions_of(kind))
        for _ in range(random.choice((1, 1, 2, 2, 3))):
            link = random.choice(links)
            growth = "power" if link == "power" else OPERATORS[link].growth
            if growth in ("exponential", "bounded"):
                scale = self.constant(random_constant())
                nodes = [mapping["mul" + suffix], scale, *nodes]
                if growth == "bounded":  # a shift of an exponent is a scale, but not of a step
                    nodes = [mapping["add" + suffix], self.constant(random_constant()), *nodes]
                nodes = [mapping[link + suffix], *nodes]
                continue
            exponent = self.random_exponent(mapping["powi" + suffix].args[0])
            if random.random() < 0.5:
                singular = link != "power" or exponent.value < 0
                shift = self.random_shift(kind, singular and len(nodes) == 1)
                nodes = [mapping["add" + suffix], shift, *nodes]
            power = [mapping["powi" + suffix], exponent]
            nodes = [*(power if link == "power" else [mapping[link + suffix]]), *nodes]
        return nodes

    def neighbour_sum(self) -> list[Any]:
        """Sum of a random function of the distance, or of a product over every two neighbours."""
        over = self.overs[0]
        if len(self.overs) > 1 and random.random() < BENDS:
            over = random.choice(self.overs[1:]) if len(self.overs) > 2 else self.overs[1]
        name = SUMMED + over
        if self._directed[over] and random.random() < OTHERS:
            name = random.choice(self._directed[over])
        head = self.pset.mapping[name]
        if head.args[0] is not Radial:
            return [head, *self.grow(head.args[0], 2)]
        return [head, *(self._chain(Radial) if random.random() < 0.7 else self.grow(Radial, 1))]

    def embedded(self, nodes: list[Any]) -> list[Any]:
        """Random function of one variable of a neighbour sum, or of a function of it."""
        mapping = self.pset.mapping
        for _ in range(random.choice((1, 1, 1, 2))):
            link = random.choice(_EMBEDDINGS)
            size = self._size(nodes) * math.exp(random.gauss(0.0, 1.0))
            if link == "sqrt":
                nodes = [mapping["sqrt_a"], *nodes]
            elif link == "pow":
                nodes = [mapping["pow_a"], *nodes, self.constant(random.uniform(0.2, 2.0))]
            elif link == "exp" or link in _BOUNDED:
                scale = random.choice((-1.0, 1.0)) / size
                nodes = [mapping[link + "_a"], mapping["mul_a"], self.constant(scale), *nodes]
            elif link == "powi":
                exponent = random.choice(self.pset.terminals[EXPONENT[Atomic]])
                nodes = [mapping["powi_a"], exponent, *nodes]
            else:
                inverse = [mapping["powi_a"], self.exponents[EXPONENT[Atomic]][-1]]
                outer = [mapping["log_a"]] if link == "log" else inverse
                nodes = [*outer, mapping["add_a"], self.constant(size), *nodes]
        return nodes

    def _size(self, nodes: Sequence[Any]) -> float:
        """About how large a neighbour sum is in a dense crystal; 1 for anything else."""
        operator = self._operators.get(nodes[0].name, ONE)
        if operator[0] != "sum" or not kind_of(operator[1][0]).is_pair:
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
        known, limits = self.pset.terminals[kind], self._likely[kind]
        return known[min(bisect(limits, random.random() * limits[-1]), len(known) - 1)]

    def random_variable(self, tree: gp.PrimitiveTree) -> int | None:
        """Where one of the variables stands, if there is any."""
        places = [k for k, node in enumerate(tree) if id(node) in self._places]
        return random.choice(places) if places else None
