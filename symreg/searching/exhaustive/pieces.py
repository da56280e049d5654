"""Functions as flat arrays, from which batches of any forms are put together without Python loops.

A pair term is one piece, a separable three-body term three: the ``product`` at its root, its radial
and its angular factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from symreg.arrays import Integers
from symreg.fit.programs.batch import Batch, encoded
from symreg.language.canonical import shaped
from symreg.language.operators import CONST, PRODUCT
from symreg.language.text import Nested
from symreg.searching.exhaustive.starts import places


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


class Pieces(NamedTuple):
    """Encoded functions; number 0 is the ``product`` at the root of a separable function."""

    code: Integers
    arg: Integers
    """Nodes of all functions in prefix order, shape (nodes,), as ``code``."""
    node_start: Integers
    """Where the nodes of each begin, shape (pieces + 1,)."""
    place: Integers
    """Where each constant of all functions stands."""
    constant_start: Integers
    """Where the constants of each begin, shape (pieces + 1,)."""
    addend_code: Integers
    addend_arg: Integers
    addend_start: Integers
    """Functions that constants are added to, encoded alike."""

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

    def batch(
        self, piece: Integers, term: Integers, block: Integers, term_start: Integers
    ) -> tuple[Batch, Constants]:
        """Candidates made of pieces, constants 1.

        ``piece`` and ``term`` are the number of each piece and the term that it belongs to,
        ``block`` the key of each term, ``term_start`` where the terms of each candidate begin.
        """
        n_nodes = self.node_start[piece + 1] - self.node_start[piece]
        n_constants = self.constant_start[piece + 1] - self.constant_start[piece]
        nodes = ragged(self.node_start[piece], n_nodes)
        constants = ragged(self.constant_start[piece], n_constants)
        node_start = _starts(n_nodes, term, block.size)
        constant_start = _starts(n_constants, term, block.size)
        shift = np.cumsum(n_constants) - n_constants - constant_start[term]
        code = self.code[nodes]
        arg = self.arg[nodes] + np.where(code == CONST, np.repeat(shift, n_nodes), 0)
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
    none = np.empty(0, np.int64)
    code = np.concatenate([none, *(one.code for one in every)])
    arg = np.concatenate([none, *(one.arg for one in every)])
    starts = np.concatenate([[0], np.cumsum([one.code.size for one in every])])
    return code, arg, starts.astype(np.int64)


def _starts(counts: Integers, owner: Integers, n: int) -> Integers:
    """Where the parts of each owner begin, shape (n+1,)."""
    total = np.bincount(owner, counts, n).astype(np.int64)
    return np.concatenate([[0], np.cumsum(total)])
