"""Fitting a batch of candidates on the projected design, in one call without the GIL.

Linear weights are eliminated by variable projection (Golub and Pereyra, SIAM J. Numer. Anal. 10,
413, 1973) with Kaufman's simplified Jacobian (BIT 15, 49, 1975); the constants inside the trees
are fitted by Levenberg-Marquardt with derivatives carried through the programs.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from symreg.fit.programs.batch import Batch
from symreg.fit.programs.evaluation import (
    MAX_CONSTANTS,
    MAX_ROWS,
    Registers,
    registers,
    tree_slopes,
    tree_values,
)
from symreg.fit.solve.judging import DEPENDENT, FITTED, NOT_FINITE, judge
from symreg.fit.solve.linear import dot, least_gain, project, remove, solve_damped, solve_weights
from symreg.fit.solve.problem import Grid, Limits, Turning, Weighing, make_turning, make_weighing
from symreg.fit.solve.tensor import Factors, factors, project_triplets

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

NO_GAIN = 1e-4
"""A term without which the squared residual grows by less than this part of it is spare."""
_MOST_REJECTIONS = 9
_LARGEST_DAMPING = 1e12


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
    weighing: Weighing,
    turning: Turning,
    with_slopes: bool,
) -> bool:
    """Fill columns, weights, residual and slopes for the constants in ``turning.trial``."""
    m = grid.x.shape[1]
    values, columns = weighing.values, weighing.columns
    owner, slopes, trial = turning.owner, turning.slopes, turning.trial
    first, last = batch.term_start[individual], batch.term_start[individual + 1]
    start = batch.constant_start[first]
    for term in range(first, last):
        t = term - first
        low, high = batch.constant_start[term] - start, batch.constant_start[term + 1] - start
        code = batch.code[batch.node_start[term] : batch.node_start[term + 1]]
        arg = batch.arg[batch.node_start[term] : batch.node_start[term + 1]]
        for c in range(low, high):
            owner[c] = t
        if batch.key[term] == grid.x.shape[0]:
            turned = turning.jacobian[low : high if with_slopes else low]
            project_triplets(
                code, arg, trial[low:high], grid.tensor, scratch, found, columns[t], turned
            )
            continue
        x = grid.x[batch.key[term]]
        if with_slopes and high > low:
            tree_slopes(code, arg, trial[low:high], x, scratch, values[t], slopes[low:high])
        else:
            tree_values(code, arg, trial[low:high], x, scratch, values[t])
        project(grid.matrix_t, batch.key[term] * m, values[t], columns[t])
    return solve_weights(
        columns[: last - first],
        grid.target,
        weighing.q,
        weighing.upper,
        weighing.weights,
        weighing.residual,
    )


@njit(inline="always", error_model="numpy")
def _linearise(
    batch: Batch, first: int, n: int, k: int, grid: Grid, weighing: Weighing, turning: Turning
) -> None:
    """Kaufman's Jacobian, the gradient and J^T J at the constants just evaluated."""
    m = grid.x.shape[1]
    jacobian, hessian, gradient = turning.jacobian, turning.hessian, turning.gradient
    q, weights, residual = weighing.q, weighing.weights, weighing.residual
    for c in range(k):
        term = turning.owner[c]
        block = batch.key[first + term]
        if block < grid.x.shape[0]:
            project(grid.matrix_t, block * m, turning.slopes[c], jacobian[c])
        for t in range(n):
            remove(q[t], jacobian[c])
        for r in range(residual.size):
            jacobian[c, r] *= -weights[term]
        gradient[c] = dot(jacobian[c], residual)
    for a in range(k):
        for b in range(a + 1):
            hessian[a, b] = dot(jacobian[a], jacobian[b])


@njit(inline="always", error_model="numpy")
def _fit(
    batch: Batch,
    individual: int,
    grid: Grid,
    scratch: Registers,
    found: Factors,
    weighing: Weighing,
    turning: Turning,
    max_steps: int,
    tolerance: float,
    weights: Floats,
    fingerprint: Floats,
) -> tuple[float, bool, int]:
    """Levenberg-Marquardt on one candidate; its loss, whether a term is redundant, a spare one."""
    first = batch.term_start[individual]
    n = batch.term_start[individual + 1] - first
    start = batch.constant_start[first]
    k = batch.constant_start[first + n] - start
    residual, trial, kept, step = weighing.residual, turning.trial, turning.best, turning.step
    for c in range(k):
        trial[c] = batch.constants[start + c]
    best, damping, redundant, spare = math.inf, 1e-3, False, -1
    steps = rejections = 0
    while True:
        dependent = _evaluate(
            batch, individual, grid, scratch, found, weighing, turning, steps < max_steps
        )
        loss = 0.5 * (dot(residual, residual) + grid.rest)
        if loss < best:
            gain, best, redundant = best - loss, loss, dependent
            for c in range(k):
                kept[c] = trial[c]
            for t in range(n):
                weights[t] = weighing.weights[t]
            weakest, gained = least_gain(weighing.upper[:n, :n], weighing.weights[:n])
            spare = weakest if n > 1 and gained < NO_GAIN * 2.0 * loss else -1
            for f in range(2):
                fingerprint[f] = dot(grid.waves[f], residual)
            if steps == max_steps or k == 0 or gain < tolerance * loss:
                break
            steps += 1
            rejections = 0
            damping = max(0.1 * damping, 1e-12)
            _linearise(batch, first, n, k, grid, weighing, turning)
        else:
            rejections += 1
            damping *= 8.0
            if rejections > _MOST_REJECTIONS or not math.isfinite(best):
                break
        solved = False
        while not solved and damping < _LARGEST_DAMPING:
            solved = solve_damped(turning.hessian[:k, :k], turning.gradient[:k], damping, step)
            damping = damping if solved else 10.0 * damping
        if not solved:
            break
        for c in range(k):
            trial[c] = kept[c] + step[c]
    for c in range(k):
        batch.constants[start + c] = kept[c]
    return best, redundant, spare


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
    weighing, turning = make_weighing(n, m, p), make_turning(k, m, p)
    for individual in range(starts.size - 1):
        first, last = starts[individual], starts[individual + 1]
        loss, redundant, spares[individual] = _fit(
            batch,
            individual,
            grid,
            scratch,
            found,
            weighing,
            turning,
            max_steps,
            tolerance,
            weights[first:last],
            fingerprints[individual],
        )
        losses[individual] = loss
        if not math.isfinite(loss):
            outcomes[individual] = NOT_FINITE
            continue
        outcome = judge(batch, individual, grid, scratch, found, limits, weights[first:last])
        outcomes[individual] = DEPENDENT if redundant and outcome == FITTED else outcome
        if outcome != FITTED:
            losses[individual] = math.inf
