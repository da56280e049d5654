"""Candidates as flat arrays, as compiled code reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


class Batch(NamedTuple):
    """Candidates as flat arrays: I candidates, T terms, K constants in all."""

    code: Integers
    """Operator of each node, prefix order, tree after tree."""
    arg: Integers
    """Constant, integer or exponent of each node."""
    node_start: Integers
    """Where the nodes of each term begin, shape (T+1,)."""
    constants: Floats
    """Constants of all terms, shape (K,)."""
    constant_start: Integers
    """Where the constants of each term begin, shape (T+1,)."""
    key: Integers
    """Key of each term, by its place among those of the design, shape (T,)."""
    term_start: Integers
    """Where the terms of each candidate begin, shape (I+1,)."""

    def candidate(self, k: int) -> Batch:
        """One candidate as a batch of its own; the arrays are views."""
        first, last = self.term_start[k], self.term_start[k + 1]
        nodes = self.node_start[first : last + 1]
        constants = self.constant_start[first : last + 1]
        return Batch(
            self.code[nodes[0] : nodes[-1]],
            self.arg[nodes[0] : nodes[-1]],
            nodes - nodes[0],
            self.constants[constants[0] : constants[-1]],
            constants - constants[0],
            self.key[first:last],
            np.array([0, last - first]),
        )

    @staticmethod
    def joined(batches: Sequence[Batch]) -> Batch:
        """Batches one after another as one."""

        def ends(parts: list[Integers]) -> Integers:
            sizes = [np.zeros(1, dtype=np.int64), *(np.diff(part) for part in parts)]
            return np.cumsum(np.concatenate(sizes))

        columns = {name: [getattr(b, name) for b in batches] for name in Batch._fields}
        arrays: dict[str, NDArray[Any]] = {
            name: ends(parts) if name.endswith("start") else np.concatenate(parts)
            for name, parts in columns.items()
        }
        return Batch(**arrays)
