"""Genes and individuals, and the flat arrays in which populations travel."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from deap import base

from symreg.fit.programs.batch import Batch
from symreg.language.canonical import Nested, nested, terms_of, tree_of
from symreg.language.operators import PRIMITIVES, WEIGHT_COST
from symreg.terms import Term

Key = tuple[str, tuple[str, ...]]


class Gene(NamedTuple):
    """One term of an individual."""

    key: int
    """Index of its kind and species."""
    tree: Nested
    """Canonical nested form."""


class Candidate(NamedTuple):
    """What is to be fitted."""

    genes: tuple[Gene, ...]
    born: int
    """As of individuals."""
    made: int = -1
    """Index of the operator that made it; -1 for none."""


class Fitness(base.Fitness):  # type: ignore[misc]
    """Logarithm of the error, and complexity; both to be minimised."""

    weights = (-1.0, -1.0)


@dataclass(eq=False)
class Individual:
    """A list of terms with what fitting found."""

    genes: tuple[Gene, ...]
    error: float = math.inf
    """As in tables."""
    weights: tuple[float, ...] = ()
    """Linear weights in eV."""
    fingerprint: tuple[float, float] = (math.nan, math.nan)
    born: int = 0
    """Generation in which it, or the oldest of its ancestors since it was random, arose."""
    screened: float = math.nan
    """Error on the structures for screening; NaN where all were counted from the first."""
    violation: int = 0
    """How many of the physical conditions of the gate it breaks."""
    made: int = -1
    """Index of the operator that made it in this generation; does not travel."""
    fitness: Fitness = field(default_factory=Fitness)

    def __post_init__(self) -> None:
        """Count its complexity and set its fitness, once."""
        self.complexity = complexity(self.genes)
        self.fitness.values = math.log(max(self.error, 1e-300)), self.complexity


_COSTS = {name: primitive.cost for name, primitive in PRIMITIVES.items()}


def cost(tree: Nested) -> int:
    """Complexity of a nested form."""
    # Plain loops here and below: generators made these a third of a generation's time.
    total = _COSTS[tree[0]]
    for operand in tree[1:]:
        if isinstance(operand, tuple):
            total += cost(operand)
    return total


def complexity(genes: Iterable[Gene]) -> int:
    """Costs of all nodes, and two for each weight."""
    return sum([cost(gene.tree) + WEIGHT_COST for gene in genes])


def n_fitted(genes: Iterable[Gene]) -> int:
    """Fitted reals: weights, and constants in the trees."""
    return sum([1 + n_constants(gene.tree) for gene in genes])


def structure(genes: Sequence[Gene]) -> tuple[Any, ...]:
    """What is left of an individual without the values of its constants."""
    return tuple([(gene.key, _shape(gene.tree)) for gene in genes])


def _shape(tree: Nested) -> Any:
    if tree[0] == "const":
        return "c"
    return tuple([_shape(u) if isinstance(u, tuple) else u for u in tree])


def n_constants(tree: Nested) -> int:
    """Number of constants of a nested form."""
    if tree[0] == "const":
        return 1
    total = 0
    for operand in tree[1:]:
        if isinstance(operand, tuple):
            total += n_constants(operand)
    return total


def genes_of(terms: Sequence[Term], keys: Sequence[Key]) -> tuple[Gene, ...]:
    """Genes of terms; those of species that do not occur are left out."""
    index = {key: k for k, key in enumerate(keys)}
    return tuple(
        Gene(index[t.kind, t.species], u)
        for t in terms
        if (t.kind, t.species) in index
        for u in terms_of(nested(t.tree))
    )


def terms_from(genes: Sequence[Gene], keys: Sequence[Key]) -> tuple[Term, ...]:
    """Terms of genes."""
    return tuple(Term(*keys[gene.key], tree_of(gene.tree)) for gene in genes)


def encode(candidates: Sequence[Sequence[Gene]]) -> Batch:
    """Flat arrays of many candidates, as compiled code reads them."""
    code: list[int] = []
    arg: list[int] = []
    constants: list[float] = []
    node_start, constant_start, term_start, block = [0], [0], [0], []

    def visit(u: Nested, first: int) -> None:
        op = u[0]
        code.append(PRIMITIVES[op].code)
        if op == "const":
            arg.append(len(constants) - first)
            constants.append(u[1])
            return
        if op == "int":
            arg.append(u[1])
            return
        arg.append(u[1] if op == "powi" else 0)
        for operand in u[1:]:
            if isinstance(operand, tuple):
                visit(operand, first)

    for genes in candidates:
        for gene in genes:
            visit(gene.tree, len(constants))
            node_start.append(len(code))
            constant_start.append(len(constants))
            block.append(gene.key)
        term_start.append(len(block))
    return Batch(
        np.array(code, dtype=np.int64),
        np.array(arg, dtype=np.int64),
        np.array(node_start, dtype=np.int64),
        np.array(constants, dtype=float),
        np.array(constant_start, dtype=np.int64),
        np.array(block, dtype=np.int64),
        np.array(term_start, dtype=np.int64),
    )


_NAMES = {primitive.code: name for name, primitive in PRIMITIVES.items()}


def decode(batch: Batch) -> list[tuple[Gene, ...]]:
    """Undo ``encode``, with the constants that the batch holds now."""
    trees = []
    for term in range(batch.key.size):
        stack: list[Nested] = []
        first = batch.constant_start[term]
        for node in range(batch.node_start[term + 1] - 1, batch.node_start[term] - 1, -1):
            op, arg = _NAMES[int(batch.code[node])], int(batch.arg[node])
            if op == "const":
                stack.append(("const", float(batch.constants[first + arg])))
            elif op == "int":
                stack.append(("int", arg))
            else:
                operands = [stack.pop() for _ in range(PRIMITIVES[op].arity)]
                stack.append((op, arg, *operands) if op == "powi" else (op, *operands))
        trees.append(Gene(int(batch.key[term]), stack.pop()))
    starts = batch.term_start
    return [tuple(trees[low:high]) for low, high in pairwise(starts)]


def to_arrays(population: Sequence[Individual]) -> dict[str, np.ndarray]:
    """A population as flat arrays, which ``from_arrays`` reads back to an equal one."""
    arrays = dict(encode([individual.genes for individual in population])._asdict())
    arrays["weights"] = np.array([w for individual in population for w in individual.weights])
    arrays["error"] = np.array([individual.error for individual in population])
    arrays["fingerprint"] = np.array([i.fingerprint for i in population]).reshape(-1, 2)
    arrays["born"] = np.array([individual.born for individual in population], dtype=np.int64)
    arrays["screened"] = np.array([individual.screened for individual in population])
    arrays["violation"] = np.array([i.violation for i in population], dtype=np.int64)
    return arrays


def from_arrays(arrays: Mapping[str, np.ndarray]) -> list[Individual]:
    """Undo ``to_arrays``."""
    batch = Batch(**{name: arrays[name] for name in Batch._fields})
    starts = batch.term_start
    return [
        Individual(
            genes,
            float(arrays["error"][k]),
            tuple(map(float, arrays["weights"][starts[k] : starts[k + 1]])),
            (float(arrays["fingerprint"][k, 0]), float(arrays["fingerprint"][k, 1])),
            int(arrays["born"][k]),
            float(arrays["screened"][k]),
            int(arrays["violation"][k]),
        )
        for k, genes in enumerate(decode(batch))
    ]
