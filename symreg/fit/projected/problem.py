"""The least-squares problem of a design, as compiled code reads it."""

from __future__ import annotations

from typing import NamedTuple

from symreg.arrays import Floats, Integers
from symreg.fit.projected.tensor import Tensors

ON_TENSOR = -1
"""Slot of the first key whose functions are known on a tensor; the next have -2, -3, ..."""


class Grid(NamedTuple):
    """The least-squares problem of P rows: B pairs of M nodes each, and maybe triplets."""

    slot: Integers
    """For each key the number of its pair grid, or its slot among tensors, shape (keys,)."""
    x: Floats
    """Reduced distances of the nodes, shape (B, M)."""
    matrix_t: Floats
    """Transpose of the upper triangular matrix from node values of pairs, shape (B M, P)."""
    tensors: Tensors
    """That from node values of triplets; empty when there are none."""
    target: Floats
    """Right-hand side, shape (P,)."""
    rest: float
    """Squared part of the labels that no node values reach."""
    coefficients: Floats
    """From node values to Chebyshev coefficients, shape (M, M)."""
    waves: Floats
    """Two fixed directions that make fingerprints, shape (2, P)."""
