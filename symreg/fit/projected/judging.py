"""Whether a fitted candidate is valid: the grid resolves it, and its terms do not cancel."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from symreg.arrays import Floats, Integers
from symreg.fit.grid import TAIL_LENGTH
from symreg.fit.programs.batch import Batch
from symreg.fit.programs.evaluation import tree_values
from symreg.fit.projected.problem import ON_TENSOR, Grid
from symreg.fit.projected.tensor import Factors, fill_values, of_key, tensor_tail
from symreg.fit.solve.linear import relative_tail
from symreg.fit.sums.pairs import TAIL_ALLOWED

FITTED, NOT_FINITE, TAIL, DEPENDENT, CANCELLING = 0, 1, 2, 3, 4
"""Outcomes: valid, outside its domain, not resolved by the grid, redundant or cancelling terms."""


@njit(cache=True, nogil=True, error_model="numpy")
def judge(
    batch: Batch, individual: int, grid: Grid, found: Factors, most: float, weights: Floats
) -> int:
    """Outcome of a fitted candidate: its grid resolves it, no term is ``most`` times their sum."""
    first, last = batch.term_start[individual], batch.term_start[individual + 1]
    largest = max(grid.x.shape[1], found.values.size)
    values = np.empty((last - first, largest))
    for term in range(first, last):
        constants = batch.constants[batch.constant_start[term] : batch.constant_start[term + 1]]
        code = batch.code[batch.node_start[term] : batch.node_start[term + 1]]
        arg = batch.arg[batch.node_start[term] : batch.node_start[term + 1]]
        slot, out = grid.slot[batch.key[term]], values[term - first]
        if slot >= 0:
            x = grid.x[slot]
            tree_values(code, arg, constants, x, found.registers, out[: x.size])
            tail = relative_tail(grid.coefficients, out[: x.size], TAIL_LENGTH)
            if not tail <= TAIL_ALLOWED:
                return TAIL
        else:
            tensor = of_key(grid.tensors, ON_TENSOR - slot)
            fill_values(code, arg, constants, tensor, found)
            tail = tensor_tail(code, tensor, found, TAIL_LENGTH - 1)
            if not tail <= grid.tensors.tail_allowed:
                return TAIL
            for node in range(tensor.points.shape[0]):
                out[node] = found.values[node]
    for key in range(grid.slot.size):
        b, used = ON_TENSOR - grid.slot[key], grid.x.shape[1]
        if b >= 0:
            used = grid.tensors.start[b + 1] - grid.tensors.start[b]
        parts = _cancellation(batch.key[first:last], key, weights, values[:, :used])
        if not parts <= most:
            return CANCELLING
    return FITTED


@njit(cache=True, nogil=True, error_model="numpy")
def _cancellation(keys: Integers, key: int, weights: Floats, values: Floats) -> float:
    """Largest term of a key relative to the largest sum of them all, on the nodes (n, M)."""
    largest = total = 0.0
    for node in range(values.shape[1]):
        value = 0.0
        for t in range(keys.size):
            if keys[t] == key:
                part = weights[t] * values[t, node]
                value += part
                largest = max(largest, abs(part))
        total = max(total, abs(value))
    if largest == 0.0:
        return 0.0
    return largest / total if total > 0 else math.inf
