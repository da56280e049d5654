"""Functions as flat arrays, from which batches of any forms are put together without Python loops.

A pair term is one piece, a separable three-body term three: the ``product`` at its root, its radial
and its angular factor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symreg.expression.canonical import LEAVES, Nested, X
from symreg.individuals import Gene, decode, encode
from symreg.kernels.problem import Batch
from symreg.primitives import PRIMITIVES
from symreg.variation import HIGHEST_EXPONENT, LOWEST_EXPONENT
from symreg.variation.limits import LARGEST_CONSTANT

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

SCALE, RATE, EXPONENT, SHIFT, MINUS_SHIFT, COSINE_SHIFT, MINUS_COSINE_SHIFT = range(7)
"""Places where a constant can stand: beside a function, as a factor or addend of what an
exponential holds, as an exponent, as an addend to x or the cosine, or less these."""
_SHIFTS = {
    ("add", X): SHIFT,
    ("sub", X): MINUS_SHIFT,
    ("add", LEAVES["c"]): COSINE_SHIFT,
    ("sub", LEAVES["c"]): MINUS_COSINE_SHIFT,
}
_SPREAD = {
    SCALE: (-5.0, -1.5, -0.5, -0.1, 0.1, 0.5, 1.5, 5.0),
    RATE: (-14.0, -8.0, -5.0, -3.0, -1.5, -0.5, 0.5, 1.5),
    EXPONENT: (-14.0, -10.0, -7.0, -4.0, -2.0, -1.0, 0.5, 2.5),
}
_CONST = PRIMITIVES["const"].code
_ARRAYS = ("code", "arg", "node_start", "place", "constant_start")
_PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53)


def places(u: Nested, inside: str = "") -> list[int]:
    """Where each constant of a form stands, in order of appearance."""
    found: list[int] = []
    op, operands = u[0], [v for v in u[1:] if isinstance(v, tuple)]
    for k, v in enumerate(operands):
        if v[0] != "const":
            below = op if op in ("exp", "log", "sqrt", "powi", "pow", "div") else inside
            found += places(v, below)
        elif op == "pow" and k == 1:
            found.append(EXPONENT)
        elif op in ("add", "sub") and len(operands[1 - k]) == 1:
            found.append(_SHIFTS.get((op, operands[1 - k]), SCALE))
        else:
            found.append(RATE if inside == "exp" and op == "mul" else SCALE)
    return found


def _halton(n: int, base: int) -> float:
    """The n-th number of the van der Corput sequence of a base."""
    value, scale = 0.0, 1.0
    while n:
        n, digit = divmod(n, base)
        scale /= base
        value += digit * scale
    return value


def starting_values(starts: int, x_range: tuple[float, float]) -> Floats:
    """Values for a place, number of a constant in its form, and start; shape (7, 16, starts).

    The points of a Halton sequence, one dimension for each constant, spread over what is sensible
    at each place: shifts lie to both sides of the range of the variable and within it.
    """
    spread: dict[int, tuple[float, ...]] = dict(_SPREAD)
    for plus, minus, (low, high) in (
        (SHIFT, MINUS_SHIFT, x_range),
        (COSINE_SHIFT, MINUS_COSINE_SHIFT, (-1.0, 1.0)),
    ):
        beyond = (-1.5, -0.3, 0.2, 0.5, 0.8, 1.2, 1.5, 2.5)
        spread[plus] = tuple(-(low + part * (high - low)) for part in reversed(beyond))
        spread[minus] = tuple(low + part * (high - low) for part in beyond)
    quantiles = [[_halton(s + 1, base) for s in range(starts)] for base in _PRIMES]
    known = np.linspace(0.0, 1.0, len(_SPREAD[SCALE]))
    return np.array([np.interp(quantiles, known, spread[place]) for place in range(len(spread))])


def ragged(first: Integers, count: Integers) -> Integers:
    """The numbers first, first + 1, ... of each range, one after another."""
    ends = np.cumsum(count)
    total = int(ends[-1]) if ends.size else 0
    return np.asarray(np.arange(total) + np.repeat(first - (ends - count), count))


class Pieces:
    """Encoded functions; number 0 is the ``product`` at the root of a separable function.

    Parameters
    ----------
    code, arg
        Nodes of all functions in prefix order.
    node_start
        Where the nodes of each begin, shape (pieces + 1,).
    place
        Where each constant of all functions stands.
    constant_start
        Where the constants of each begin, shape (pieces + 1,).
    """

    def __init__(
        self,
        code: Integers,
        arg: Integers,
        node_start: Integers,
        place: Integers,
        constant_start: Integers,
    ) -> None:
        self.code, self.arg, self.node_start = code, arg, node_start
        self.place, self.constant_start = place, constant_start
        self.n_nodes, self.n_constants = np.diff(node_start), np.diff(constant_start)

    @staticmethod
    def of(trees: Sequence[Nested]) -> Pieces:
        """Encode functions, of x or the cosine, numbered from 1."""
        batch = encode([[Gene(0, tree)] for tree in trees])
        return Pieces(
            np.concatenate([[PRIMITIVES["product"].code], batch.code]).astype(np.int64),
            np.concatenate([[0], batch.arg]).astype(np.int64),
            np.concatenate([[0], batch.node_start + 1]),
            np.array([p for tree in trees for p in places(tree)], dtype=np.int64),
            np.concatenate([[0], batch.constant_start]),
        )

    def to_arrays(self) -> dict[str, Integers]:
        """The arrays that the pieces consist of."""
        return {name: getattr(self, name) for name in _ARRAYS}

    @staticmethod
    def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> Pieces:
        """Undo ``to_arrays``."""
        return Pieces(*(arrays[name] for name in _ARRAYS))

    def tree(self, pieces: Integers) -> Nested:
        """The function of a term, constants 1."""
        there = pieces[pieces >= 0]
        one = np.zeros(1, dtype=np.int64)
        values = np.ones((len(_SPREAD) + 4, len(_PRIMES), 1))
        of_term = np.zeros_like(there), one, np.array([0, 1]), one
        batch, _ = self.batch(there, *of_term, values)
        ((gene,),) = decode(batch)
        return gene.tree

    def batch(
        self,
        piece: Integers,
        term: Integers,
        block: Integers,
        term_start: Integers,
        start: Integers,
        values: Floats,
    ) -> tuple[Batch, Integers]:
        """Candidates made of pieces, and the place of each of their constants.

        Parameters
        ----------
        piece, term
            Number of each piece, and the term that it belongs to.
        block
            Kind and species of each term.
        term_start
            Where the terms of each candidate begin.
        start
            Which starting values each candidate has.
        values
            From ``starting_values``.
        """
        nodes = ragged(self.node_start[piece], self.n_nodes[piece])
        constants = ragged(self.constant_start[piece], self.n_constants[piece])
        n_terms = block.size
        constant_start = _starts(self.n_constants[piece], term, n_terms)
        before = np.concatenate([[0], np.cumsum(self.n_constants[piece])])[:-1]
        shift = np.repeat(before - constant_start[term], self.n_nodes[piece])
        code = self.code[nodes]
        arg = self.arg[nodes] + np.where(code == _CONST, shift, 0)
        place = self.place[constants]
        of_candidate = constant_start[term_start]
        number = np.arange(place.size) - np.repeat(of_candidate[:-1], np.diff(of_candidate))
        chosen = values[place, number, np.repeat(start, np.diff(of_candidate))]
        node_start = _starts(self.n_nodes[piece], term, n_terms)
        return Batch(code, arg, node_start, chosen, constant_start, block, term_start), place


def _starts(counts: Integers, owner: Integers, n: int) -> Integers:
    """Where the parts of each owner begin, shape (n+1,)."""
    total = np.bincount(owner, counts, n).astype(np.int64)
    return np.concatenate([[0], np.cumsum(total)])


def bounds() -> tuple[Floats, Floats]:
    """Smallest and largest sensible value of a constant by its place."""
    low, high = np.full(7, -LARGEST_CONSTANT), np.full(7, LARGEST_CONSTANT)
    low[EXPONENT], high[EXPONENT] = LOWEST_EXPONENT, HIGHEST_EXPONENT
    return low, high
