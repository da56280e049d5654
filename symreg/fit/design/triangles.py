"""Rows of labels reduced to triangular matrices by QR decompositions, portion by portion."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from symreg.arrays import Floats
from symreg.fit.design.cost import BUFFERED_ROWS, Pace, Tell

_OPERATIONS = 2 * 10**10
"""Operations of a portion of a decomposition, some second or two on one core."""


class Triangle:
    """Rows that arrive in portions, reduced to a triangular matrix of the same column norms."""

    def __init__(self, columns: int) -> None:
        self.matrix = np.zeros((0, columns))
        self.waiting: list[Floats] = []
        self.count = 0

    def add(self, rows: Floats) -> None:
        """Add rows, shape (R, columns)."""
        self.waiting.append(rows)
        self.count += len(rows)
        if sum(map(len, self.waiting)) > BUFFERED_ROWS:
            self.reduce()

    def reduce(self) -> Floats:
        """The triangular matrix of all rows so far."""
        if self.waiting:
            self.matrix = decomposed(np.vstack([self.matrix, *self.waiting]))
            self.waiting = []
        return self.matrix


def triangle(matrices: Sequence[Floats], columns: int, tell: Tell = lambda _: None) -> Floats:
    """Square upper triangular matrix R with R^T R equal to the sum of the M^T M."""
    return decomposed(np.vstack([np.zeros((columns, columns)), *matrices]), tell)


def reduced(matrices: Sequence[Floats]) -> Floats:
    """Rows with the same R^T R as the given ones, no more of them than columns."""
    stacked = np.vstack(matrices)
    return stacked if len(stacked) <= stacked.shape[1] else decomposed(stacked)


def decomposed(rows: Floats, tell: Tell = lambda _: None) -> Floats:
    """Upper triangular matrix R of a QR decomposition, shape (min(rows, columns), columns).

    Many rows go in portions: nothing can interrupt a decomposition, so none may take long.
    """
    columns = rows.shape[1]
    portion = max(columns, _OPERATIONS // (2 * columns**2))
    pace = Pace(tell, "joined portions of rows", math.ceil(len(rows) / portion))
    found = np.asarray(np.linalg.qr(rows[:portion], mode="r"))
    for first in range(portion, len(rows), portion):
        both = np.vstack([found, rows[first : first + portion]])
        found = np.asarray(np.linalg.qr(both, mode="r"))
        pace.step()
    return found
