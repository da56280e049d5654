"""Whether a fitted candidate is valid: the grid resolves it, and its terms do not cancel."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from symreg.fit.programs.batch import Batch
from symreg.fit.programs.evaluation import Registers, tree_values
from symreg.fit.projected.problem import Grid, Limits
from symreg.fit.projected.tensor import Factors, fill_values, tensor_tail
from symreg.fit.solve.linear import relative_tail

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

FITTED, NOT_FINITE, TAIL, DEPENDENT, CANCELLING = 0, 1, 2, 3, 4
"""Outcomes: a valid candidate, outside its domain, not resolved by the grid, redundant term, terms
that nearly cancel each other."""


@njit(cache=True, nogil=True, error_model="numpy")
def judge(
    batch: Batch,
    individual: int,
    grid: Grid,
    scratch: Registers,
    found: Factors,
    limits: Limits,
    weights: Floats,
) -> int:
    """Outcome of a fitted candidate: whether its grid resolves it, and its terms do not cancel."""
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
            tree_values(code, arg, constants, x, scratch, out[: x.size])
            tail = relative_tail(grid.coefficients, out[: x.size], limits.tail_length)
            if not tail <= limits.tail:
                return TAIL
        else:
            fill_values(code, arg, constants, grid.tensor, scratch, found)
            tail = tensor_tail(code, grid.tensor, found, limits.tail_length - 1)
            if not tail <= limits.tensor_tail:
                return TAIL
            for node in range(found.values.size):
                out[node] = found.values[node]
    for key in range(grid.slot.size):
        used = found.values.size if grid.slot[key] < 0 else grid.x.shape[1]
        parts = _cancellation(batch.key[first:last], key, weights, values[:, :used])
        if not parts <= limits.cancellation:
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
