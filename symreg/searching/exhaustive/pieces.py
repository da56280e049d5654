"""Functions as flat arrays, from which batches of any forms are put together without Python loops.

A pair term is one piece, a separable three-body term three: the ``product`` at its root, its radial
and its angular factor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from symreg.fit.programs.batch import Batch, Encoded, decode, encoded
from symreg.language.canonical import shaped, valued
from symreg.language.operators import CONST, PRODUCT
from symreg.language.text import Nested
from symreg.searching.exhaustive.starts import places

Integers = NDArray[np.int64]

_CONST = CONST
_ARRAYS = (
    *("code", "arg", "node_start", "place", "constant_start"),
    *("addend_code", "addend_arg", "addend_start"),
)


class Constants(NamedTuple):
    """K constants of a batch; arrays of shape (K,)."""

    place: Integers
    """As numbered in ``symreg.searching.exhaustive.starts``."""
    number: Integers
    """Number within the candidate."""
    candidate: Integers
    """Which candidate each belongs to."""


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
    addend_code, addend_arg, addend_start
        Functions that constants are added to, encoded alike.
    """

    def __init__(
        self,
        code: Integers,
        arg: Integers,
        node_start: Integers,
        place: Integers,
        constant_start: Integers,
        addend_code: Integers,
        addend_arg: Integers,
        addend_start: Integers,
    ) -> None:
        self.code, self.arg, self.node_start = code, arg, node_start
        self.place, self.constant_start = place, constant_start
        self.addend_code, self.addend_arg = addend_code, addend_arg
        self.addend_start = addend_start
        self.n_nodes, self.n_constants = np.diff(node_start), np.diff(constant_start)

    @staticmethod
    def of(trees: Sequence[Nested]) -> Pieces:
        """Encode functions, of x or the cosine, numbered from 1."""
        functions = _encoded(trees)
        addends: dict[Nested, int] = {}

        def number_of(tree: Nested) -> int:
            return addends.setdefault(tree, len(addends))

        place = [p for tree in trees for p in places(tree, number_of)]
        others = _encoded(list(addends))
        constants = [shaped(tree)[0].n_constants for tree in trees]
        return Pieces(
            np.concatenate([[PRODUCT], functions[0]]).astype(np.int64),
            np.concatenate([[0], functions[1]]).astype(np.int64),
            np.concatenate([[0], functions[2] + 1]),
            np.array(place, dtype=np.int64),
            np.concatenate([[0, 0], np.cumsum(constants)]).astype(np.int64),
            *others,
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
        batch, _ = self.batch(there, np.zeros_like(there), one, np.array([0, 1]))
        ((coded,),) = decode(batch)
        return valued(coded.shape, coded.constants)

    def batch(
        self, piece: Integers, term: Integers, block: Integers, term_start: Integers
    ) -> tuple[Batch, Constants]:
        """Candidates made of pieces, constants 1.

        Parameters
        ----------
        piece, term
            Number of each piece, and the term that it belongs to.
        block
            Kind and species of each term.
        term_start
            Where the terms of each candidate begin.
        """
        nodes = ragged(self.node_start[piece], self.n_nodes[piece])
        constants = ragged(self.constant_start[piece], self.n_constants[piece])
        constant_start = _starts(self.n_constants[piece], term, block.size)
        node_start = _starts(self.n_nodes[piece], term, block.size)
        before = np.cumsum(self.n_constants[piece]) - self.n_constants[piece]
        shift = np.repeat(before - constant_start[term], self.n_nodes[piece])
        code = self.code[nodes]
        arg = self.arg[nodes] + np.where(code == _CONST, shift, 0)
        first = constant_start[term_start]
        candidate = np.repeat(np.arange(term_start.size - 1), np.diff(first))
        found = Constants(
            self.place[constants], np.arange(constants.size) - first[candidate], candidate
        )
        ones = np.ones(constants.size)
        return Batch(code, arg, node_start, ones, constant_start, block, term_start), found


def _encoded(trees: Sequence[Nested]) -> tuple[Integers, Integers, Integers]:
    """Codes, arguments and beginnings of functions of one variable each."""
    every = [encoded(shaped(tree)[0], alone=True) for tree in trees]
    none = [Encoded(np.empty(0, np.int64), np.empty(0, np.int64))]
    code, arg = (np.concatenate(part) for part in zip(*(every or none), strict=True))
    starts = np.concatenate([[0], np.cumsum([len(one.code) for one in every])])
    return code, arg, starts.astype(np.int64)


def _starts(counts: Integers, owner: Integers, n: int) -> Integers:
    """Where the parts of each owner begin, shape (n+1,)."""
    total = np.bincount(owner, counts, n).astype(np.int64)
    return np.concatenate([[0], np.cumsum(total)])
