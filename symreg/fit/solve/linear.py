"""Small dense linear algebra of a fit: a few terms, a few constants, one triangular matrix."""

from __future__ import annotations

import math

import numpy as np
import scipy.linalg
from numba import njit

from symreg.arrays import Floats
from symreg.fit.programs.elementary import FASTMATH

_SINGULAR = 1e-13
"""Directions that move the labels less than this part of what the strongest does are none."""
DEPENDENT = 1e-7
"""A column this close to the span of others, relative to its size, gets weight 0."""


@njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
def project(matrix_t: Floats, start: int, values: Floats, column: Floats) -> None:
    """Multiply the triangular matrix (given transposed) with node values of one block."""
    for r in range(column.size):
        column[r] = 0.0
    for k in range(values.size):
        c = start + k
        factor = values[k]
        row = matrix_t[c]
        for r in range(c + 1):
            column[r] += factor * row[r]


@njit(cache=True, nogil=True, fastmath=FASTMATH | {"reassoc"}, error_model="numpy")
def dot(a: Floats, b: Floats) -> float:
    """Sum of products; the order of the sum is left to LLVM, NaN stays NaN."""
    total = 0.0
    for k in range(a.size):
        total += a[k] * b[k]
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def remove(direction: Floats, vector: Floats) -> float:
    """Take the part along a unit vector away; return its size."""
    size = dot(direction, vector)
    for k in range(vector.size):
        vector[k] -= size * direction[k]
    return size


@njit(cache=True, nogil=True, error_model="numpy")
def solve_weights(
    columns: Floats, target: Floats, q: Floats, upper: Floats, weights: Floats, residual: Floats
) -> bool:
    """Best weights of the columns (T, P) by Gram-Schmidt, done twice to stay orthogonal.

    A column that the ones before it explain gets weight 0; returns whether there was one. A
    column that is not finite makes the residual NaN.
    """
    n_terms = columns.shape[0]
    projections = np.zeros(n_terms)
    dependent = False
    for k in range(target.size):
        residual[k] = target[k]
    for t in range(n_terms):
        for k in range(target.size):
            q[t, k] = columns[t, k]
        size = math.sqrt(dot(q[t], q[t]))
        if not math.isfinite(size):
            residual[:] = math.nan
            return False
        for s in range(t):
            upper[s, t] = 0.0
        for _ in range(2):
            for s in range(t):
                if upper[s, s] > 0:
                    upper[s, t] += remove(q[s], q[t])
        left = math.sqrt(dot(q[t], q[t]))
        if not left > DEPENDENT * size:
            upper[t, t] = 0.0
            q[t] = 0.0
            dependent = True
            continue
        upper[t, t] = left
        for k in range(target.size):
            q[t, k] /= left
        projections[t] = remove(q[t], residual)
    for t in range(n_terms - 1, -1, -1):
        weights[t] = 0.0
        if upper[t, t] > 0:
            total = projections[t]
            for s in range(t + 1, n_terms):
                total -= upper[t, s] * weights[s]
            weights[t] = total / upper[t, t]
    return dependent


@njit(cache=True, nogil=True, error_model="numpy")
def least_gain(upper: Floats, weights: Floats) -> tuple[int, float]:
    """The column that gains least, and by how much the squared residual would grow without it.

    ``upper`` and ``weights`` are those of ``solve_weights``; columns of weight 0 do not count.
    """
    n = weights.size
    inverse = np.zeros((n, n))
    found, least = -1, math.inf
    for t in range(n - 1, -1, -1):
        if not upper[t, t] > 0:
            continue
        size = 0.0
        for s in range(t, n):
            total = 1.0 if s == t else 0.0
            for k in range(t + 1, s + 1):
                total -= upper[t, k] * inverse[k, s]
            inverse[t, s] = total / upper[t, t]
            size += inverse[t, s] ** 2
        gain = weights[t] ** 2 / size
        if gain < least:
            found, least = t, gain
    return found, least


@njit(cache=True, nogil=True, error_model="numpy")
def solve_damped(hessian: Floats, gradient: Floats, damping: float, step: Floats) -> bool:
    """Solve (H + damping diag H) step = -gradient by Cholesky; False when it breaks down."""
    n = gradient.size
    lower = np.empty((n, n))
    for a in range(n):
        for b in range(a + 1):
            total = hessian[a, b]
            if a == b:
                total += damping * hessian[a, a] + 1e-300
            for k in range(b):
                total -= lower[a, k] * lower[b, k]
            if a == b:
                if not total > 0:
                    return False
                lower[a, a] = math.sqrt(total)
            else:
                lower[a, b] = total / lower[b, b]
    for a in range(n):
        total = -gradient[a]
        for k in range(a):
            total -= lower[a, k] * step[k]
        step[a] = total / lower[a, a]
    for a in range(n - 1, -1, -1):
        total = step[a]
        for k in range(a + 1, n):
            total -= lower[k, a] * step[k]
        step[a] = total / lower[a, a]
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def coefficient_sizes(coefficients: Floats, values: Floats, length: int) -> tuple[float, float]:
    """Largest of all Chebyshev coefficients of node values, and largest of the last."""
    m = values.size
    largest = last = 0.0
    for n in range(m):
        size = abs(dot(coefficients[n], values))
        largest = max(largest, size)
        if n >= m - length:
            last = max(last, size)
    return largest, last


@njit(cache=True, nogil=True, error_model="numpy")
def relative_tail(coefficients: Floats, values: Floats, length: int) -> float:
    """Last Chebyshev coefficients relative to the largest."""
    largest, last = coefficient_sizes(coefficients, values, length)
    return last / largest if largest > 0 else math.inf


def singular_values(matrix: Floats, full_matrices: bool = False) -> tuple[Floats, Floats, Floats]:
    """As NumPy's ``svd``, of finite numbers; a ``LinAlgError`` if no algorithm converges."""
    try:
        left, sizes, right = np.linalg.svd(matrix, full_matrices=full_matrices)
    except np.linalg.LinAlgError:
        # Divide and conquer fails on some matrices that nothing is wrong with.
        left, sizes, right = scipy.linalg.svd(matrix, full_matrices, lapack_driver="gesvd")
    return left, sizes, right


def span(columns: Floats) -> Floats:
    """Orthonormal basis of columns of any scale, shape (P, rank); without those not finite."""
    left, rank = ordered(columns, full_matrices=False)
    return left[:, :rank]


def ordered(columns: Floats, full_matrices: bool) -> tuple[Floats, int]:
    """Orthonormal directions, those that finite columns span before others; and their number."""
    with np.errstate(over="ignore", invalid="ignore"):
        scale = np.linalg.norm(columns, axis=0)
    known = np.isfinite(scale)
    columns, scale = columns[:, known], scale[known]
    left, sizes, _ = singular_values(columns / np.where(scale == 0, 1.0, scale), full_matrices)
    return left, int(np.sum(sizes > _SINGULAR * sizes.max(initial=0.0)))


def covariance(columns: Floats, loss: float, freedom: int) -> Floats:
    """Covariance of fitted numbers at the lowest loss, shape (n, n), for independent errors.

    ``columns`` are derivatives of the weighted predictions by the numbers, shape (P, n); the
    ``freedom`` is labels less numbers. All NaN where the data do not determine the numbers.
    """
    n = columns.shape[1]
    if freedom < 1 or not np.isfinite(columns).all():
        return np.full((n, n), np.nan)
    variance = 2.0 * loss / freedom
    scale = np.linalg.norm(columns, axis=0)
    scale[scale == 0] = 1.0
    _, sizes, rotation = singular_values(columns / scale)
    if not n or sizes[-1] <= 1e-12 * sizes[0]:
        return np.full((n, n), np.nan)
    inverse = (rotation.T / sizes**2) @ rotation
    return np.asarray(variance * inverse / np.outer(scale, scale))
