"""Three-body functions on their tensor grid: values, products with the design, tails.

A separable function h(x1) h(x2) p(c) is known by its factors on one-dimensional grids. One pass
over the tensor of the design gives its column, and what every derivative of a factor needs.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from symreg.arrays import Booleans, Floats, Integers
from symreg.fit.programs.batch import MAX_CONSTANTS
from symreg.fit.programs.elementary import FASTMATH
from symreg.fit.programs.evaluation import Registers, filled_slopes, registers, tree_slopes
from symreg.fit.programs.interpreter import is_binary
from symreg.fit.solve.linear import coefficient_sizes, relative_tail
from symreg.language.operators import CONST, INT, PRODUCT, UNLIKE, VARIABLE

INPUTS = 3
"""Variables of a three-body function."""


class Tensors(NamedTuple):
    """The three-body part of a design: B keys, A nodes of each distance, C of the cosine, P rows.

    A key has Q pairs of nodes of both distances: A (A + 1) / 2, or A^2 where neighbours are unlike.
    """

    x: Floats
    """Reduced distances of both neighbours, shape (B, 2, A)."""
    c: Floats
    """Cosines, shape (C,)."""
    unlike: Booleans
    """Whether neighbours are told apart, shape (B,)."""
    start: Integers
    """Where the Q C node values of each key begin, shape (B + 1,)."""
    points: Floats
    """x1, x2 and c of every node value, shape (sum of Q C, 3)."""
    matrix: Floats
    """From node values to weighted labels, those of each key cosine by cosine, (sum of Q C, P)."""
    radial_coefficients: Floats
    """From values on the nodes to Chebyshev coefficients, shape (A, A)."""
    angular_coefficients: Floats
    """Shape (C, C)."""
    tail_allowed: float
    """A function with a larger relative tail, in any coordinate, is not what its values say."""


class Tensor(NamedTuple):
    """The part of one key."""

    x: Floats
    """Shape (2, A)."""
    c: Floats
    """Shape (C,)."""
    unlike: bool
    points: Floats
    """Shape (K, 3) with K = Q C."""
    matrix: Floats
    """Shape (K, P)."""
    radial_coefficients: Floats
    angular_coefficients: Floats


class Factors(NamedTuple):
    """Scratch for one three-body function of up to k constants."""

    radial: Floats
    """h of both neighbours, shape (2, A)."""
    angular: Floats
    """p, shape (C,)."""
    radial_slopes: Floats
    """Derivatives of h by the constants, shape (2, k, A)."""
    angular_slopes: Floats
    """Shape (k, C)."""
    values: Floats
    """psi on all points of a key, shape (largest K,)."""
    slopes: Floats
    """Its derivatives by the constants, shape (k, largest K)."""
    by_angle: Floats
    """The tensor summed over distances with h h, shape (C, P)."""
    by_distance: Floats
    """The tensor summed over cosines with p, shape (largest Q, P)."""
    registers: Registers
    """Those of the trees."""


@njit(inline="always", error_model="numpy")
def factors(tensors: Tensors, scratch: Registers) -> Factors:
    """Allocate the scratch, but for the registers."""
    a, c, k, size = tensors.x.shape[2], tensors.c.size, MAX_CONSTANTS, 0
    for b in range(tensors.unlike.size):
        size = max(size, tensors.start[b + 1] - tensors.start[b])
    p, pairs = tensors.matrix.shape[1], size // c if c > 0 else 0
    return Factors(
        np.empty((2, a)), np.empty(c), np.empty((2, k, a)), np.empty((k, c)), np.empty(size),
        np.empty((k, size)), np.empty((c, p)), np.empty((pairs, p)), scratch,
    )  # fmt: skip


@njit(inline="always", error_model="numpy")
def of_key(tensors: Tensors, b: int) -> Tensor:
    """The part of key number b."""
    own = slice(tensors.start[b], tensors.start[b + 1])
    return Tensor(
        tensors.x[b], tensors.c, tensors.unlike[b], tensors.points[own], tensors.matrix[own],
        tensors.radial_coefficients, tensors.angular_coefficients,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def is_separable(code: Integers) -> bool:
    """Whether a tree is a product of factors."""
    return code.size > 0 and (code[0] == PRODUCT or code[0] == UNLIKE)


@njit(cache=True, nogil=True, error_model="numpy")
def _end_of(code: Integers, node: int) -> int:
    """Where the factor ends that begins at a node."""
    missing = 1
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
    """Values of all factors of a separable function, and derivatives by its constants."""
    k, scratch, low, high = constants.size, found.registers, 1, 1
    for side in range(2 if tensor.unlike else 1):
        if side == 0 or code[0] == UNLIKE:
            low, high = high, _end_of(code, high)
        radial, slopes = found.radial[side], found.radial_slopes[side, :k]
        tree_slopes(
            code[low:high], arg[low:high], constants, tensor.x[side], scratch, radial, slopes
        )
    angular = found.angular_slopes[:k]
    tree_slopes(code[high:], arg[high:], constants, tensor.c, scratch, found.angular, angular)


@njit(cache=True, nogil=True, error_model="numpy")
def fill_values(
    code: Integers, arg: Integers, constants: Floats, tensor: Tensor, found: Factors
) -> None:
    """Node values of any three-body function, the mean of both orders of neighbours of one kind."""
    if is_separable(code):
        fill_factors(code, arg, constants, tensor, found)
        _outer(tensor.unlike, found.radial, found.angular, found.values)
        return
    k, scratch, size = constants.size, found.registers, tensor.points.shape[0]
    width = scratch.rows.shape[1]
    value, slopes = np.empty(width), np.empty((k, width))
    found.values[:size] = 0.0
    found.slopes[:k, :size] = 0.0
    orders = 1 if tensor.unlike else 2
    for order in range(orders):
        for start in range(0, size, width):
            stop = min(start + width, size)
            for n in range(start, stop):
                for variable in range(INPUTS):
                    other = 1 - variable if order == 1 and variable < 2 else variable
                    scratch.rows[variable, n - start] = tensor.points[n, other]
            filled_slopes(code, arg, constants, INPUTS, scratch, value, slopes)
            for n in range(start, stop):
                found.values[n] += value[n - start] / orders
                for d in range(k):
                    found.slopes[d, n] += slopes[d, n - start] / orders


@njit(cache=True, nogil=True, error_model="numpy")
def _outer(unlike: bool, radial: Floats, angular: Floats, values: Floats) -> None:
    point, one, two = 0, radial[0], radial[1] if unlike else radial[0]
    for a in range(one.size):
        for b in range(0 if unlike else a, one.size):
            for n in range(angular.size):
                values[point] = one[a] * two[b] * angular[n]
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
        _contract(tensor, found.values, column)
        for d in range(slopes.shape[0]):
            _contract(tensor, found.slopes[d], slopes[d])
        return
    fill_factors(code, arg, constants, tensor, found)
    _sweep(tensor, found, slopes.shape[0] > 0)
    _combine(found.by_angle, found.angular, column)
    for d in range(slopes.shape[0]):
        _combine(found.by_angle, found.angular_slopes[d], slopes[d])
        _add_radial(tensor.unlike, found, d, slopes[d])


@njit(inline="always", error_model="numpy")
def _factors_for(code: Integers, constants: Floats, tensors: Tensors) -> Factors:
    width = max(tensors.x.shape[2], tensors.c.size)
    rows = INPUTS + constants.size + code.size
    return factors(tensors, registers(rows, constants.size, width))


@njit(cache=True, nogil=True, error_model="numpy")
def triplet_columns(
    code: Integers, arg: Integers, constants: Floats, tensors: Tensors, b: int
) -> tuple[Floats, Floats]:
    """As ``project_triplets``, for one function of key b and with scratch of its own."""
    found, column = _factors_for(code, constants, tensors), np.empty(tensors.matrix.shape[1])
    slopes = np.empty((constants.size, column.size))
    project_triplets(code, arg, constants, of_key(tensors, b), found, column, slopes)
    return column, slopes


@njit(cache=True, nogil=True, error_model="numpy")
def triplet_values(
    code: Integers, arg: Integers, constants: Floats, tensors: Tensors, b: int, length: int
) -> tuple[Floats, float]:
    """Node values of one function of key b, and the worst relative tail of ``length``."""
    found, tensor = _factors_for(code, constants, tensors), of_key(tensors, b)
    fill_values(code, arg, constants, tensor, found)
    return found.values[: tensor.points.shape[0]], tensor_tail(code, tensor, found, length)


@njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
def _add_scaled(factor: float, row: Floats, total: Floats) -> None:
    for r in range(total.size):
        total[r] += factor * row[r]


@njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
def _sweep(tensor: Tensor, found: Factors, turning: bool) -> None:
    """Both partial sums over the tensor in one pass; that over cosines only where needed."""
    unlike, angular, matrix = tensor.unlike, found.angular, tensor.matrix
    one, two = found.radial[0], found.radial[1] if unlike else found.radial[0]
    by_angle, by_distance = found.by_angle, found.by_distance
    by_angle[:] = 0.0
    if turning:
        by_distance[: matrix.shape[0] // angular.size] = 0.0
    point = 0
    for n in range(angular.size):
        pair = 0
        for a in range(one.size):
            for b in range(0 if unlike else a, one.size):
                row = matrix[point]
                _add_scaled(one[a] * two[b], row, by_angle[n])
                if turning:
                    _add_scaled(angular[n], row, by_distance[pair])
                pair += 1
                point += 1


@njit(cache=True, nogil=True, error_model="numpy")
def _combine(rows: Floats, factors: Floats, total: Floats) -> None:
    total[:] = 0.0
    for n in range(factors.size):
        _add_scaled(factors[n], rows[n], total)


@njit(cache=True, nogil=True, error_model="numpy")
def _add_radial(unlike: bool, found: Factors, d: int, total: Floats) -> None:
    """Add what the radial factors change with constant d."""
    pair, side, rows = 0, 1 if unlike else 0, found.by_distance
    one, two = found.radial[0], found.radial[side]
    by_one, by_two = found.radial_slopes[0, d], found.radial_slopes[side, d]
    for a in range(one.size):
        for b in range(0 if unlike else a, one.size):
            change = by_one[a] * two[b] + one[a] * by_two[b]
            if change != 0.0:
                _add_scaled(change, rows[pair], total)
            pair += 1


@njit(cache=True, nogil=True, error_model="numpy")
def _contract(tensor: Tensor, values: Floats, total: Floats) -> None:
    total[:] = 0.0
    matrix, cosines = tensor.matrix, tensor.c.size
    pairs = matrix.shape[0] // cosines
    for n in range(cosines):
        for pair in range(pairs):
            _add_scaled(values[pair * cosines + n], matrix[n * pairs + pair], total)


@njit(cache=True, nogil=True, error_model="numpy")
def tensor_tail(code: Integers, tensor: Tensor, found: Factors, length: int) -> float:
    """Worst relative tail of a three-body function over its coordinates; values are filled."""
    if is_separable(code):
        worst = relative_tail(tensor.angular_coefficients, found.angular, length)
        for side in range(2 if tensor.unlike else 1):
            radial = relative_tail(tensor.radial_coefficients, found.radial[side], length)
            worst = max(worst, radial)
        return worst
    largest = last = 0.0
    n_radial, n_angular = tensor.x.shape[1], tensor.c.size
    line = np.empty(n_radial)
    for n in range(n_angular):
        for a in range(n_radial):
            for side in range(2 if tensor.unlike else 1):
                for b in range(n_radial):
                    one, two = (a, b) if side == 0 else (b, a)
                    pair = _pair_number(one, two, n_radial, tensor.unlike)
                    line[b] = found.values[pair * n_angular + n]
                size, tail = coefficient_sizes(tensor.radial_coefficients, line, length)
                largest, last = max(largest, size), max(last, tail)
    for start in range(0, tensor.points.shape[0], n_angular):
        values = found.values[start : start + n_angular]
        size, tail = coefficient_sizes(tensor.angular_coefficients, values, length)
        largest, last = max(largest, size), max(last, tail)
    return last / largest if largest > 0 else math.inf


@njit(inline="always", error_model="numpy")
def _pair_number(a: int, b: int, n: int, unlike: bool) -> int:
    """Number of a pair of nodes of both distances, of n each."""
    if unlike:
        return a * n + b
    low, high = min(a, b), max(a, b)
    return low * n - low * (low - 1) // 2 + high - low
