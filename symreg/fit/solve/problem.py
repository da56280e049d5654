"""What a fit is made of: candidates, the least-squares problem, and scratch arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from symreg.fit.solve.tensor import Tensor

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Grid(NamedTuple):
    """The least-squares problem of P rows: B blocks of M nodes of pairs, and maybe triplets."""

    x: Floats
    """Reduced distances of the nodes, shape (B, M)."""
    matrix_t: Floats
    """Transpose of the upper triangular matrix from node values of pairs, shape (B M, P)."""
    tensor: Tensor
    """The same from node values of triplets; empty when there are none."""
    target: Floats
    """Right-hand side, shape (P,)."""
    rest: float
    """Squared part of the labels that no node values reach."""
    coefficients: Floats
    """From node values to Chebyshev coefficients, shape (M, M)."""
    waves: Floats
    """Two fixed directions that make fingerprints, shape (2, P)."""


class Limits(NamedTuple):
    """What makes a fitted candidate valid."""

    tail_length: int
    """How many of the last Chebyshev coefficients count; one less for three-body functions."""
    tail: float
    """The certificate of pair functions: largest of these relative to the largest of all."""
    tensor_tail: float
    """That of three-body functions, in each coordinate."""
    cancellation: float
    """How many times larger than the sum of all a term may be."""


class Weighing(NamedTuple):
    """Scratch for the linear part of a fit of up to n terms."""

    values: Floats
    """Node values of pair terms, shape (n, M)."""
    columns: Floats
    """Their products with the matrix, shape (n, P)."""
    q: Floats
    """Orthonormal columns of the same span, shape (n, P)."""
    upper: Floats
    """From ``q`` to ``columns``, shape (n, n)."""
    weights: Floats
    """Shape (n,)."""
    residual: Floats
    """Shape (P,)."""


class Turning(NamedTuple):
    """Scratch for the nonlinear part of a fit of up to k constants."""

    owner: Integers
    """Term of each constant, shape (k,)."""
    slopes: Floats
    """Derivatives of node values of pair terms by constants, shape (k, M)."""
    jacobian: Floats
    """Derivatives of the columns by constants, then of the residual, shape (k, P)."""
    hessian: Floats
    """J^T J, lower triangle, shape (k, k)."""
    gradient: Floats
    """J^T times the residual, shape (k,)."""
    step: Floats
    """Shape (k,)."""
    trial: Floats
    """Constants being tried, shape (k,)."""
    best: Floats
    """Constants of the lowest loss so far, shape (k,)."""


@njit(inline="always", error_model="numpy")
def make_weighing(n: int, m: int, p: int) -> Weighing:
    """Scratch for n terms, m nodes of pairs and p rows."""
    return Weighing(
        np.empty((n, m)),
        np.empty((n, p)),
        np.empty((n, p)),
        np.empty((n, n)),
        np.empty(n),
        np.empty(p),
    )


@njit(inline="always", error_model="numpy")
def make_turning(k: int, m: int, p: int) -> Turning:
    """Scratch for k constants, m nodes of pairs and p rows."""
    return Turning(
        np.empty(k, np.int64),
        np.empty((k, m)),
        np.empty((k, p)),
        np.empty((k, k)),
        np.empty(k),
        np.empty(k),
        np.empty(k),
        np.empty(k),
    )
