"""Three-body functions on their tensor grid: values, products with the design, tails.

A separable function h(x1) h(x2) p(c) is known by its factors on one-dimensional grids. One pass
over the tensor of the design gives its column, and what every derivative of a factor needs.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from symreg.arrays import Floats, Integers
from symreg.fit.programs.batch import MAX_CONSTANTS
from symreg.fit.programs.elementary import FASTMATH
from symreg.fit.programs.evaluation import Registers, filled_slopes, registers, tree_slopes
from symreg.fit.programs.interpreter import is_binary
from symreg.fit.solve.linear import coefficient_sizes, relative_tail
from symreg.language.operators import CONST, INT, PRODUCT, VARIABLE

INPUTS = 3
"""Variables of a three-body function."""


class Tensor(NamedTuple):
    """The three-body part of a design with A nodes of each distance, C of the cosine, P rows."""

    x: Floats
    """Reduced distances, shape (A,)."""
    c: Floats
    """Cosines, shape (C,)."""
    points: Floats
    """x1, x2 and c of each of the K = A (A + 1) / 2 C node values, shape (3, K)."""
    matrix: Floats
    """From node values to weighted labels, shape (C, A (A + 1) / 2, P)."""
    radial_coefficients: Floats
    """From values on the nodes to Chebyshev coefficients, shape (A, A)."""
    angular_coefficients: Floats
    """Shape (C, C)."""


class Factors(NamedTuple):
    """Scratch for one three-body function of up to k constants."""

    radial: Floats
    """h, shape (A,)."""
    angular: Floats
    """p, shape (C,)."""
    radial_slopes: Floats
    """Derivatives of h by the constants, shape (k, A)."""
    angular_slopes: Floats
    """Shape (k, C)."""
    values: Floats
    """psi on all points, shape (K,)."""
    slopes: Floats
    """Its derivatives by the constants, shape (k, K)."""
    by_angle: Floats
    """The tensor summed over distances with h h, shape (C, P)."""
    by_distance: Floats
    """The tensor summed over cosines with p, shape (A (A + 1) / 2, P)."""
    registers: Registers
    """Those of the trees."""


@njit(inline="always", error_model="numpy")
def factors(tensor: Tensor, scratch: Registers) -> Factors:
    """Allocate the scratch, but for the registers."""
    a, c, k = tensor.x.size, tensor.c.size, MAX_CONSTANTS
    pairs, p = tensor.matrix.shape[1], tensor.matrix.shape[2]
    return Factors(
        np.empty(a), np.empty(c), np.empty((k, a)), np.empty((k, c)), np.empty(pairs * c),
        np.empty((k, pairs * c)), np.empty((c, p)), np.empty((pairs, p)), scratch,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def is_separable(code: Integers) -> bool:
    """Whether a tree is a product of factors."""
    return code.size > 0 and code[0] == PRODUCT


@njit(cache=True, nogil=True, error_model="numpy")
def _middle(code: Integers) -> int:
    """Where the angular factor of a product begins."""
    missing, node = 1, 1
    while missing > 0:
        op = code[node]
        if op in (VARIABLE, CONST, INT):
            missing -= 1
        elif is_binary(op):
            missing += 1
        node += 1
    return node


@njit(cache=True, nogil=True, error_model="numpy")
def fill_factors(
    code: Integers, arg: Integers, constants: Floats, tensor: Tensor, found: Factors
) -> None:
    """Values of both factors of a separable function, and derivatives by its constants."""
    middle, k, scratch = _middle(code), constants.size, found.registers
    radial, angular = found.radial_slopes[:k], found.angular_slopes[:k]
    tree_slopes(code[1:middle], arg[1:middle], constants, tensor.x, scratch, found.radial, radial)
    tree_slopes(code[middle:], arg[middle:], constants, tensor.c, scratch, found.angular, angular)


@njit(cache=True, nogil=True, error_model="numpy")
def fill_values(
    code: Integers, arg: Integers, constants: Floats, tensor: Tensor, found: Factors
) -> None:
    """Node values of any three-body function, the mean of both orders of the neighbours."""
    if is_separable(code):
        fill_factors(code, arg, constants, tensor, found)
        _outer(found.radial, found.angular, found.values)
        return
    k, scratch = constants.size, found.registers
    width = scratch.rows.shape[1]
    value, slopes = np.empty(width), np.empty((k, width))
    found.values[:] = 0.0
    found.slopes[:k] = 0.0
    for order in range(2):
        for start in range(0, found.values.size, width):
            stop = min(start + width, found.values.size)
            for n in range(start, stop):
                for variable in range(INPUTS):
                    other = 1 - variable if order == 1 and variable < 2 else variable
                    scratch.rows[variable, n - start] = tensor.points[other, n]
            filled_slopes(code, arg, constants, INPUTS, scratch, value, slopes)
            for n in range(start, stop):
                found.values[n] += 0.5 * value[n - start]
                for d in range(k):
                    found.slopes[d, n] += 0.5 * slopes[d, n - start]


@njit(cache=True, nogil=True, error_model="numpy")
def _outer(radial: Floats, angular: Floats, values: Floats) -> None:
    point = 0
    for a in range(radial.size):
        for b in range(a, radial.size):
            for n in range(angular.size):
                values[point] = radial[a] * radial[b] * angular[n]
                point += 1


@njit(cache=True, nogil=True, error_model="numpy")
def project_triplets(
    code: Integers,
    arg: Integers,
    constants: Floats,
    tensor: Tensor,
    found: Factors,
    column: Floats,
    slopes: Floats,
) -> None:
    """Weighted predictions (P,) of a three-body function, and derivatives by constants (k, P)."""
    if not is_separable(code):
        fill_values(code, arg, constants, tensor, found)
        _contract(tensor.matrix, found.values, column)
        for d in range(slopes.shape[0]):
            _contract(tensor.matrix, found.slopes[d], slopes[d])
        return
    fill_factors(code, arg, constants, tensor, found)
    _sweep(tensor.matrix, found, slopes.shape[0] > 0)
    _combine(found.by_angle, found.angular, column)
    for d in range(slopes.shape[0]):
        _combine(found.by_angle, found.angular_slopes[d], slopes[d])
        _add_radial(found.by_distance, found.radial, found.radial_slopes[d], slopes[d])


@njit(inline="always", error_model="numpy")
def _factors_for(code: Integers, constants: Floats, tensor: Tensor) -> Factors:
    width = max(tensor.x.size, tensor.c.size)
    rows = INPUTS + constants.size + code.size
    return factors(tensor, registers(rows, constants.size, width))


@njit(cache=True, nogil=True, error_model="numpy")
def triplet_columns(
    code: Integers, arg: Integers, constants: Floats, tensor: Tensor
) -> tuple[Floats, Floats]:
    """As ``project_triplets``, for one function and with scratch of its own."""
    found, column = _factors_for(code, constants, tensor), np.empty(tensor.matrix.shape[2])
    slopes = np.empty((constants.size, column.size))
    project_triplets(code, arg, constants, tensor, found, column, slopes)
    return column, slopes


@njit(cache=True, nogil=True, error_model="numpy")
def triplet_values(
    code: Integers, arg: Integers, constants: Floats, tensor: Tensor, length: int
) -> tuple[Floats, float]:
    """Node values of one three-body function, and the worst relative tail of ``length``."""
    found = _factors_for(code, constants, tensor)
    fill_values(code, arg, constants, tensor, found)
    return found.values, tensor_tail(code, tensor, found, length)


@njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
def _add_scaled(factor: float, row: Floats, total: Floats) -> None:
    for r in range(total.size):
        total[r] += factor * row[r]


@njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
def _sweep(matrix: Floats, found: Factors, turning: bool) -> None:
    """Both partial sums over the tensor in one pass; that over cosines only where needed."""
    radial, angular = found.radial, found.angular
    by_angle, by_distance = found.by_angle, found.by_distance
    by_angle[:] = 0.0
    if turning:
        by_distance[:] = 0.0
    for n in range(angular.size):
        pair = 0
        for a in range(radial.size):
            for b in range(a, radial.size):
                row = matrix[n, pair]
                _add_scaled(radial[a] * radial[b], row, by_angle[n])
                if turning:
                    _add_scaled(angular[n], row, by_distance[pair])
                pair += 1


@njit(cache=True, nogil=True, error_model="numpy")
def _combine(rows: Floats, factors: Floats, total: Floats) -> None:
    total[:] = 0.0
    for n in range(factors.size):
        _add_scaled(factors[n], rows[n], total)


@njit(cache=True, nogil=True, error_model="numpy")
def _add_radial(rows: Floats, radial: Floats, slope: Floats, total: Floats) -> None:
    pair = 0
    for a in range(radial.size):
        for b in range(a, radial.size):
            change = slope[a] * radial[b] + radial[a] * slope[b]
            if change != 0.0:
                _add_scaled(change, rows[pair], total)
            pair += 1


@njit(cache=True, nogil=True, error_model="numpy")
def _contract(matrix: Floats, values: Floats, total: Floats) -> None:
    total[:] = 0.0
    for n in range(matrix.shape[0]):
        for pair in range(matrix.shape[1]):
            _add_scaled(values[pair * matrix.shape[0] + n], matrix[n, pair], total)


@njit(cache=True, nogil=True, error_model="numpy")
def tensor_tail(code: Integers, tensor: Tensor, found: Factors, length: int) -> float:
    """Worst relative tail of a three-body function over its coordinates; values are filled."""
    if is_separable(code):
        return max(
            relative_tail(tensor.radial_coefficients, found.radial, length),
            relative_tail(tensor.angular_coefficients, found.angular, length),
        )
    largest = last = 0.0
    n_radial, n_angular = tensor.x.size, tensor.c.size
    line = np.empty(n_radial)
    for n in range(n_angular):
        for a in range(n_radial):
            for b in range(n_radial):
                low, high = min(a, b), max(a, b)
                pair = low * n_radial - low * (low - 1) // 2 + high - low
                line[b] = found.values[pair * n_angular + n]
            size, tail = coefficient_sizes(tensor.radial_coefficients, line, length)
            largest, last = max(largest, size), max(last, tail)
    for start in range(0, found.values.size, n_angular):
        values = found.values[start : start + n_angular]
        size, tail = coefficient_sizes(tensor.angular_coefficients, values, length)
        largest, last = max(largest, size), max(last, tail)
    return last / largest if largest > 0 else math.inf
