"""Fitting a batch of candidates on the projected design, in one call without the GIL."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from symreg.fit.programs.batch import MAX_CONSTANTS, Batch
from symreg.fit.programs.evaluation import (
    MAX_ROWS,
    Registers,
    registers,
    tree_slopes,
    tree_values,
)
from symreg.fit.projected.judging import DEPENDENT, FITTED, NOT_FINITE, judge
from symreg.fit.projected.problem import Grid, Limits
from symreg.fit.projected.tensor import Factors, factors, project_triplets
from symreg.fit.solve.linear import dot, project
from symreg.fit.solve.solver import (
    DONE,
    LINEARISE,
    MOST_REJECTIONS,
    Work,
    begin,
    is_dependent,
    linearise,
    loss_of,
    make_work,
    spare_of,
    weigh,
)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


# The compiler's time decides the shape of what follows. Each level of functions that call each
# other is optimised again with all that it calls, so what has one caller is inlined by Numba; and
# every access to a member loads its whole tuple, so there are several small ones.
@njit(inline="always", error_model="numpy")
def _evaluate(
    batch: Batch,
    individual: int,
    grid: Grid,
    scratch: Registers,
    found: Factors,
    work: Work,
    values: Floats,
    slopes: Floats,
    with_slopes: bool,
) -> None:
    """Fill columns, and derivatives of those by constants, at the trial constants."""
    m = grid.x.shape[1]
    columns, jacobian, trial = work.columns, work.jacobian, work.trial
    first, last = batch.term_start[individual], batch.term_start[individual + 1]
    start = batch.constant_start[first]
    for term in range(first, last):
        t = term - first
        low, high = batch.constant_start[term] - start, batch.constant_start[term + 1] - start
        code = batch.code[batch.node_start[term] : batch.node_start[term + 1]]
        arg = batch.arg[batch.node_start[term] : batch.node_start[term + 1]]
        slot = grid.slot[batch.key[term]]
        if slot < 0:
            turned = jacobian[low : high if with_slopes else low]
            project_triplets(
                code, arg, trial[low:high], grid.tensor, scratch, found, columns[t], turned
            )
            continue
        x = grid.x[slot]
        if with_slopes and high > low:
            tree_slopes(code, arg, trial[low:high], x, scratch, values, slopes[low:high])
        else:
            tree_values(code, arg, trial[low:high], x, scratch, values)
        project(grid.matrix_t, slot * m, values, columns[t])


@njit(inline="always", error_model="numpy")
def _weigh_slopes(batch: Batch, individual: int, grid: Grid, work: Work, slopes: Floats) -> None:
    """Make derivatives of predictions of those of columns, now that weights are known."""
    m, jacobian = grid.x.shape[1], work.jacobian
    first, last = batch.term_start[individual], batch.term_start[individual + 1]
    start = batch.constant_start[first]
    for term in range(first, last):
        weight, slot = work.trial_weights[term - first], grid.slot[batch.key[term]]
        for c in range(batch.constant_start[term] - start, batch.constant_start[term + 1] - start):
            if slot >= 0:
                project(grid.matrix_t, slot * m, slopes[c], jacobian[c])
            for r in range(jacobian.shape[1]):
                jacobian[c, r] *= weight


@njit(inline="always", error_model="numpy")
def _fit(
    batch: Batch,
    individual: int,
    grid: Grid,
    scratch: Registers,
    found: Factors,
    work: Work,
    values: Floats,
    slopes: Floats,
    max_steps: int,
    tolerance: float,
) -> None:
    """Fit one candidate; its constants in the batch become the fitted ones."""
    first = batch.term_start[individual]
    n = batch.term_start[individual + 1] - first
    start = batch.constant_start[first]
    k = batch.constant_start[first + n] - start
    for c in range(k):
        work.trial[c] = batch.constants[start + c]
    begin(work)
    status, steps = LINEARISE, 0
    while status != DONE:
        _evaluate(batch, individual, grid, scratch, found, work, values, slopes, steps < max_steps)
        status = weigh(work, n, k, grid.target, grid.rest, max_steps, tolerance, MOST_REJECTIONS)
        if status == LINEARISE:
            steps += 1
            _weigh_slopes(batch, individual, grid, work, slopes)
            status = linearise(work, n, k)
    for c in range(k):
        batch.constants[start + c] = work.constants[c]


@njit(cache=True, nogil=True, error_model="numpy")
def fit_batch(
    batch: Batch,
    grid: Grid,
    limits: Limits,
    max_steps: int,
    tolerance: float,
    losses: Floats,
    weights: Floats,
    outcomes: Integers,
    spares: Integers,
    fingerprints: Floats,
) -> None:
    """Fit weights and constants of all candidates of a batch.

    Parameters
    ----------
    batch, grid
        Candidates and data; ``batch.constants`` is overwritten by the fitted values.
    limits
        What makes a candidate valid.
    max_steps, tolerance
        Most Levenberg-Marquardt steps; a relative gain below the tolerance ends them.
    losses, outcomes
        Loss (inf when invalid) and outcome of each candidate, shape (I,).
    weights
        Weight of each term in eV, shape (T,).
    spares
        The term without which a candidate would hardly lose, -1 where all count, shape (I,).
    fingerprints
        Two numbers that agree for candidates of equal residual, shape (I, 2).
    """
    starts = batch.term_start
    n = k = 1
    for individual in range(starts.size - 1):
        first, last = starts[individual], starts[individual + 1]
        n = max(n, last - first)
        k = max(k, batch.constant_start[last] - batch.constant_start[first])
    m, p = grid.x.shape[1], grid.target.size
    width = max(m, grid.tensor.x.size, grid.tensor.c.size)
    scratch, found = registers(MAX_ROWS, MAX_CONSTANTS, width), factors(grid.tensor)
    work, values, slopes = make_work(n, k, p), np.empty(m), np.empty((k, m))
    for individual in range(starts.size - 1):
        first, last = starts[individual], starts[individual + 1]
        _fit(batch, individual, grid, scratch, found, work, values, slopes, max_steps, tolerance)
        loss = loss_of(work)
        losses[individual], spares[individual] = loss, spare_of(work)
        if not math.isfinite(loss):
            outcomes[individual] = NOT_FINITE
            continue
        for t in range(last - first):
            weights[first + t] = work.weights[t]
        for f in range(2):
            fingerprints[individual, f] = dot(grid.waves[f], work.best)
        outcome = judge(batch, individual, grid, scratch, found, limits, weights[first:last])
        redundant = is_dependent(work) and outcome == FITTED
        outcomes[individual] = DEPENDENT if redundant else outcome
        if outcome != FITTED:
            losses[individual] = math.inf
