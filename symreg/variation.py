"""Variation: how new individuals arise from old ones, with DEAP's operators on typed trees.

DEAP draws from Python's global random stream. Every public function here that calls DEAP seeds
that stream from the generator it is given.
"""

from __future__ import annotations

import math
import operator
import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from deap import gp

from symreg.expression.canonical import ONE, Nested, X, build, terms_of
from symreg.individuals import Gene, Individual, cost, n_constants
from symreg.kernels.programs import MAX_CONSTANTS, MAX_NODES
from symreg.primitives import WEIGHT_COST


class _StableType(type):
    """Types whose hash does not depend on their address.

    DEAP's crossover draws from a set of types; by address its order, and so the result for a
    given seed, would differ from process to process.
    """

    def __hash__(cls) -> int:
        return zlib.crc32(cls.__name__.encode())


class Radial(metaclass=_StableType):
    """A function of the reduced distance."""


class Constant(Radial):
    """A real number that is fitted."""


class Integer(metaclass=_StableType):
    """An integer exponent."""


EXPONENTS = tuple(n for n in range(-14, 9) if n not in (0, 1))
"""Integer exponents of the primitive set."""
LOWEST_EXPONENT, HIGHEST_EXPONENT = -24, 8
"""Powers of powers may reach these; beyond them a power only patches one end of the range."""


def _random_constant() -> float:
    return random.choice((-1.0, 1.0)) * math.exp(random.gauss(0.7, 0.8))


def primitive_set() -> gp.PrimitiveSetTyped:
    """The production primitive set: typed operators, x, constants and exponents."""
    pset = gp.PrimitiveSetTyped("radial", [Radial], Radial)
    pset.renameArguments(ARG0="x")
    for name in ("add", "sub", "mul", "div"):
        pset.addPrimitive(operator.add, [Radial, Radial], Radial, name=name)
    for name in ("exp", "log", "sqrt"):
        pset.addPrimitive(operator.neg, [Radial], Radial, name=name)
    pset.addPrimitive(operator.pow, [Integer, Radial], Radial, name="powi")
    pset.addPrimitive(operator.pow, [Radial, Constant], Radial, name="pow")
    for n in EXPONENTS:
        pset.addTerminal(n, Integer)
    pset.addTerminal(1, Radial)
    pset.addEphemeralConstant("constant", _random_constant, Constant)
    return pset


@dataclass(frozen=True, kw_only=True)
class VariationSettings:
    """Limits and rates of variation."""

    max_complexity: int = 60
    max_terms: int = 6
    """For each kind and species."""
    crossover_rate: float = 0.35
    """Fraction of offspring that have two parents."""


MUTATIONS = (
    ("point", 0.16),
    ("subtree", 0.16),
    ("insert", 0.10),
    ("shrink", 0.08),
    ("constant", 0.10),
    ("exponent", 0.12),
    ("add", 0.12),
    ("drop", 0.08),
    ("replace", 0.08),
)
"""Mutations and their rates."""


class Variation:
    """Makes individuals for ``n_keys`` kinds and species.

    Parameters
    ----------
    settings
        Limits and rates.
    n_keys
        Number of blocks that a term can belong to.
    """

    def __init__(self, settings: VariationSettings, n_keys: int) -> None:
        self.settings = settings
        self.n_keys = n_keys
        self.pset = primitive_set()
        self._ephemeral = next(
            t for t in self.pset.terminals[Constant] if isinstance(t, gp.MetaEphemeral)
        )
        self._terminals = {t.value: t for t in self.pset.terminals[Integer]}
        self._x, self._one = self.pset.mapping["x"], self.pset.mapping["1"]

    def random(self, count: int, rng: np.random.Generator) -> list[tuple[Gene, ...]]:
        """Random individuals of one to three terms."""
        random.seed(int(rng.integers(2**63)))
        found: list[tuple[Gene, ...]] = []
        while len(found) < count:
            genes = self._tidy([self._random_gene() for _ in range(random.choice((1, 2, 2, 3)))])
            if genes:
                found.append(genes)
        return found

    def vary(
        self, parents: Sequence[Individual], rng: np.random.Generator
    ) -> list[tuple[tuple[Gene, ...], int]]:
        """Offspring of each two parents in turn, with its birth; some parents have none."""
        random.seed(int(rng.integers(2**63)))
        offspring = []
        for one, two in zip(parents[::2], parents[1::2], strict=True):
            if random.random() < self.settings.crossover_rate:
                genes, born = self._crossover(one.genes, two.genes), min(one.born, two.born)
            else:
                genes, born = self._mutate(one.genes), one.born
            tidy = self._tidy(genes)
            if tidy:
                offspring.append((tidy, born))
        return offspring

    def _tidy(self, genes: Sequence[Gene]) -> tuple[Gene, ...]:
        """Canonical order without duplicates; empty when a limit is broken."""
        split = {Gene(g.key, part) for g in genes for part in terms_of(g.tree)}
        if not split or len(split) > self.settings.max_terms * self.n_keys:
            return ()
        if sum(cost(g.tree) + WEIGHT_COST for g in split) > self.settings.max_complexity:
            return ()
        if any(n_constants(g.tree) > MAX_CONSTANTS or not is_sane(g.tree) for g in split):
            return ()
        # No node costs less than 1. Compiled code has room for so many and does not check.
        if any(cost(g.tree) > MAX_NODES for g in split):
            return ()
        return tuple(sorted(split, key=repr))

    def _random_gene(self) -> Gene:
        depth = random.choice((1, 2, 2, 3))
        return Gene(random.randrange(self.n_keys), self._canonical(self._grow(Radial, depth)))

    def _grow(self, kind: type, depth: int) -> list[Any]:
        """Random subtree of a type; DEAP's generators need primitives of every type."""
        primitives = self.pset.primitives[kind]
        if depth == 0 or not primitives or random.random() < 0.15:
            terminal = random.choice(self.pset.terminals[kind])
            if kind is Radial and random.random() < 0.5:
                terminal = self._x
            return [terminal() if isinstance(terminal, gp.MetaEphemeral) else terminal]
        primitive = random.choice(primitives)
        nodes = [primitive]
        for argument in primitive.args:
            nodes += self._grow(argument, depth - 1)
        return nodes

    def _expression(self, pset: gp.PrimitiveSetTyped, type_: type) -> list[Any]:  # noqa: ARG002
        return self._grow(type_, random.choice((0, 1, 1, 2)))

    def _mutate(self, genes: Sequence[Gene]) -> list[Gene]:
        names, rates = zip(*MUTATIONS, strict=True)
        name = random.choices(names, rates)[0]
        changed = list(genes)
        if name == "add":
            return [*changed, self._random_gene()]
        place = random.randrange(len(changed))
        if name == "drop" and len(changed) > 1:
            del changed[place]
        elif name in ("drop", "replace"):
            changed[place] = self._random_gene()
        else:
            tree = self._deap(changed[place].tree)
            tree = self._mutate_tree(name, tree)
            changed[place] = Gene(changed[place].key, self._canonical(tree))
        return changed

    def _mutate_tree(self, name: str, tree: gp.PrimitiveTree) -> gp.PrimitiveTree:
        if name == "point":
            (tree,) = gp.mutNodeReplacement(tree, self.pset)
        elif name == "subtree":
            (tree,) = gp.mutUniform(tree, self._expression, self.pset)
        elif name == "insert":
            (tree,) = gp.mutInsert(tree, self.pset)
        elif name == "shrink":
            (tree,) = gp.mutShrink(tree)
        elif name == "constant":
            places = [k for k, node in enumerate(tree) if node.ret is Constant]
            for k in places:
                list.__setitem__(
                    tree, k, self._constant(tree[k].value * math.exp(random.gauss(0.0, 0.5)))
                )
        else:
            self._mutate_exponent(tree)
        return tree

    def _mutate_exponent(self, tree: gp.PrimitiveTree) -> None:
        """Shift an integer exponent, or give x one."""
        places = [k for k, node in enumerate(tree) if node.ret is Integer]
        if places:
            place = random.choice(places)
            shifted = tree[place].value + random.choice((-3, -2, -1, 1, 2, 3))
            list.__setitem__(tree, place, self._terminals.get(shifted, tree[place]))
            return
        variables = [k for k, node in enumerate(tree) if node is self._x]
        if variables:
            place = random.choice(variables)
            exponent = random.choice(self.pset.terminals[Integer])
            tree[place : place + 1] = [self.pset.mapping["powi"], exponent, self._x]

    def _crossover(self, one: Sequence[Gene], two: Sequence[Gene]) -> list[Gene]:
        """Exchange a term, or subtrees between two terms."""
        a, b = random.randrange(len(one)), random.randrange(len(two))
        changed = list(one)
        chance = random.random()
        if chance < 0.3:
            changed[a] = two[b]
        elif chance < 0.6:
            changed.append(two[b])
        else:
            tree, _ = gp.cxOnePoint(self._deap(one[a].tree), self._deap(two[b].tree))
            changed[a] = Gene(one[a].key, self._canonical(tree))
        return changed

    def _constant(self, value: float) -> Any:
        node = object.__new__(self._ephemeral)
        node.value = value
        return node

    def _deap(self, tree: Nested) -> gp.PrimitiveTree:
        """DEAP's tree of a nested form."""
        nodes: list[Any] = []

        def visit(u: Nested, kind: type) -> None:
            op = u[0]
            if u == X:
                nodes.append(self._x)
            elif op == "const" or (op == "int" and (u != ONE or kind is Constant)):
                nodes.append(self._constant(float(u[1])))
            elif op == "int":
                nodes.append(self._one)
            elif op == "powi":
                nodes.append(self.pset.mapping["powi"])
                exponent = self._terminals.get(u[1])
                nodes.append(exponent or gp.Terminal(u[1], False, Integer))
                visit(u[2], Radial)
            else:
                nodes.append(self.pset.mapping[op])
                for operand, needed in zip(u[1:], self.pset.mapping[op].args, strict=True):
                    visit(operand, needed)

        visit(tree, Radial)
        return gp.PrimitiveTree(nodes)

    def _canonical(self, tree: Sequence[Any]) -> Nested:
        """Nested form of DEAP's tree."""
        stack: list[Any] = []
        for node in reversed(tree):
            if node.arity:
                stack.append(build(node.name, *(stack.pop() for _ in range(node.arity))))
            elif node.ret is Constant:
                stack.append(("const", node.value))
            elif node.ret is Integer:
                stack.append(node.value)
            else:
                stack.append(X if node is self._x else ONE)
        nested: Nested = stack.pop()
        return nested


def is_sane(tree: Nested) -> bool:
    """Whether constants are finite and exponents within bounds."""
    if tree[0] == "const":
        return math.isfinite(tree[1])
    if tree[0] == "pow" and tree[2][0] == "const":
        return LOWEST_EXPONENT <= tree[2][1] <= HIGHEST_EXPONENT and is_sane(tree[1])
    if tree[0] == "powi":
        within = LOWEST_EXPONENT <= tree[1] <= HIGHEST_EXPONENT
        return within and tree[2][0] != "powi" and is_sane(tree[2])
    return all(is_sane(u) for u in tree[1:] if isinstance(u, tuple))
