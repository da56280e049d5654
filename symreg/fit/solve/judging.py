"""Whether a fitted candidate is valid: the grid resolves it, and its terms do not cancel."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from symreg.fit.programs.batch import Batch
from symreg.fit.programs.evaluation import Registers, tree_values
from symreg.fit.solve.linear import relative_tail
from symreg.fit.solve.problem import Grid, Limits
from symreg.fit.solve.tensor import Factors, fill_values, tensor_tail

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
    n_pairs = grid.x.shape[0]
    largest = max(grid.x.shape[1], found.values.size)
    values = np.empty((last - first, largest))
    for term in range(first, last):
        constants = batch.constants[batch.constant_start[term] : batch.constant_start[term + 1]]
        code = batch.code[batch.node_start[term] : batch.node_start[term + 1]]
        arg = batch.arg[batch.node_start[term] : batch.node_start[term + 1]]
        block, out = batch.key[term], values[term - first]
        if block < n_pairs:
            x = grid.x[block]
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
    for block in range(n_pairs + 1):
        used = found.values.size if block == n_pairs else grid.x.shape[1]
        if (
            not _cancellation(batch.key[first:last], block, weights, values[:, :used])
            <= limits.cancellation
        ):
            return CANCELLING
    return FITTED


@njit(cache=True, nogil=True, error_model="numpy")
def _cancellation(blocks: Integers, block: int, weights: Floats, values: Floats) -> float:
    """Largest term of a block relative to the largest sum of them all, on the nodes (n, M)."""
    largest = total = 0.0
    for node in range(values.shape[1]):
        value = 0.0
        for t in range(blocks.size):
            if blocks[t] == block:
                part = weights[t] * values[t, node]
                value += part
                largest = max(largest, abs(part))
        total = max(total, abs(value))
    if largest == 0.0:
        return 0.0
    return largest / total if total > 0 else math.inf
