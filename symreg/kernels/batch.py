"""Fitting a batch of candidates on the projected design, in one call without the GIL.

Linear weights are eliminated by variable projection (Golub and Pereyra, SIAM J. Numer. Anal. 10,
413, 1973) with Kaufman's simplified Jacobian (BIT 15, 49, 1975); the constants inside the trees
are fitted by Levenberg-Marquardt with derivatives carried through the programs.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from symreg.kernels.linear import dot, project, relative_tail, remove, solve_damped, solve_weights
from symreg.kernels.programs import (
    MAX_CONSTANTS,
    MAX_ROWS,
    Registers,
    registers,
    tree_slopes,
    tree_values,
)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

FITTED, NOT_FINITE, TAIL, DEPENDENT, CANCELLING = 0, 1, 2, 3, 4
"""Outcomes: a valid candidate, outside its domain, not resolved by the grid, redundant term, terms
that nearly cancel each other."""

_MOST_REJECTIONS = 6
_LARGEST_DAMPING = 1e12


class Batch(NamedTuple):
    """Candidates as flat arrays: I candidates, T terms, K constants in all."""

    code: Integers
    """Operator of each node, prefix order, tree after tree."""
    arg: Integers
    """Constant, integer or exponent of each node."""
    node_start: Integers
    """Where the nodes of each term begin, shape (T+1,)."""
    constants: Floats
    """Constants of all terms, shape (K,)."""
    constant_start: Integers
    """Where the constants of each term begin, shape (T+1,)."""
    block: Integers
    """Block of nodes of each term, shape (T,)."""
    term_start: Integers
    """Where the terms of each candidate begin, shape (I+1,)."""


class Grid(NamedTuple):
    """The least-squares problem on B blocks of M nodes, P = B M."""

    x: Floats
    """Reduced distances of the nodes, shape (B, M)."""
    matrix_t: Floats
    """Transpose of the upper triangular matrix, shape (P, P)."""
    target: Floats
    """Right-hand side, shape (P,)."""
    rest: float
    """Squared part of the labels that no node values reach."""
    coefficients: Floats
    """From node values to Chebyshev coefficients, shape (M, M)."""
    waves: Floats
    """Two fixed directions that make fingerprints, shape (2, P)."""


class Weighing(NamedTuple):
    """Scratch for the linear part of a fit of up to n terms."""

    values: Floats
    """Node values of the terms, shape (n, M)."""
    best_values: Floats
    """The same for the lowest loss so far."""
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
    """Derivatives of node values by constants, shape (k, M)."""
    jacobian: Floats
    """Derivatives of the residual, shape (k, P)."""
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
def _weighing(n: int, m: int, p: int) -> Weighing:
    return Weighing(
        np.empty((n, m)),
        np.empty((n, m)),
        np.empty((n, p)),
        np.empty((n, p)),
        np.empty((n, n)),
        np.empty(n),
        np.empty(p),
    )


@njit(inline="always", error_model="numpy")
def _turning(k: int, m: int, p: int) -> Turning:
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


# The compiler's time decides the shape of what follows. Each level of functions that call each
# other is optimised again with all that it calls, so what has one caller is inlined by Numba; and
# every access to a member loads its whole tuple, so there are several small ones.
@njit(inline="always", error_model="numpy")
def _evaluate(
    batch: Batch,
    individual: int,
    grid: Grid,
    scratch: Registers,
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
        x = grid.x[batch.block[term]]
        if with_slopes and high > low:
            for c in range(low, high):
                owner[c] = t
            tree_slopes(code, arg, trial[low:high], x, scratch, values[t], slopes[low:high])
        else:
            tree_values(code, arg, trial[low:high], x, scratch, values[t])
        project(grid.matrix_t, batch.block[term] * m, values[t], columns[t])
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
        project(grid.matrix_t, batch.block[first + term] * m, turning.slopes[c], jacobian[c])
        for t in range(n):
            remove(q[t], jacobian[c])
        for r in range(residual.size):
            jacobian[c, r] *= -weights[term]
        gradient[c] = dot(jacobian[c], residual)
    for a in range(k):
        for b in range(a + 1):
            hessian[a, b] = dot(jacobian[a], jacobian[b])


@njit(inline="always", error_model="numpy")
def _keep(n: int, k: int, weighing: Weighing, turning: Turning, weights: Floats) -> None:
    """Remember the trial as the best so far."""
    best, trial = turning.best, turning.trial
    values, best_values, found = weighing.values, weighing.best_values, weighing.weights
    for c in range(k):
        best[c] = trial[c]
    for t in range(n):
        weights[t] = found[t]
        for node in range(values.shape[1]):
            best_values[t, node] = values[t, node]


@njit(inline="always", error_model="numpy")
def _fit(
    batch: Batch,
    individual: int,
    grid: Grid,
    scratch: Registers,
    weighing: Weighing,
    turning: Turning,
    max_steps: int,
    tolerance: float,
    weights: Floats,
    fingerprint: Floats,
) -> tuple[float, bool]:
    """Levenberg-Marquardt on one candidate; its loss, and whether a term is redundant."""
    first = batch.term_start[individual]
    n = batch.term_start[individual + 1] - first
    start = batch.constant_start[first]
    k = batch.constant_start[first + n] - start
    residual, trial, kept, step = weighing.residual, turning.trial, turning.best, turning.step
    for c in range(k):
        trial[c] = batch.constants[start + c]
    best, damping, redundant = math.inf, 1e-3, False
    steps = rejections = 0
    while True:
        dependent = _evaluate(
            batch, individual, grid, scratch, weighing, turning, steps < max_steps
        )
        loss = 0.5 * (dot(residual, residual) + grid.rest)
        if loss < best:
            gain, best, redundant = best - loss, loss, dependent
            _keep(n, k, weighing, turning, weights)
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
    return best, redundant


@njit(inline="always", error_model="numpy")
def _largest_tail(coefficients: Floats, values: Floats, length: int) -> float:
    """Worst tail of the terms of one candidate, whose node values are given (n, M)."""
    worst = 0.0
    for t in range(values.shape[0]):
        tail = relative_tail(coefficients, values[t], length)
        worst = tail if not tail <= worst else worst
    return worst


@njit(inline="always", error_model="numpy")
def _cancellation(block: Integers, weights: Floats, values: Floats) -> float:
    """Largest term relative to the largest sum of the terms of its block, on the nodes (n, M)."""
    worst = 0.0
    for t in range(block.size):
        term = total = 0.0
        for node in range(values.shape[1]):
            value = 0.0
            for other in range(block.size):
                if block[other] == block[t]:
                    value += weights[other] * values[other, node]
            total = max(total, abs(value))
            term = max(term, abs(weights[t] * values[t, node]))
        worst = max(worst, term / total if total > 0 else math.inf)
    return worst


@njit(cache=True, nogil=True, error_model="numpy")
def fit_batch(
    batch: Batch,
    grid: Grid,
    tail_length: int,
    tail_allowed: float,
    most_cancellation: float,
    max_steps: int,
    tolerance: float,
    losses: Floats,
    weights: Floats,
    outcomes: Integers,
    fingerprints: Floats,
) -> None:
    """Fit weights and constants of all candidates of a batch.

    Parameters
    ----------
    batch, grid
        Candidates and data; ``batch.constants`` is overwritten by the fitted values.
    tail_length, tail_allowed
        The certificate: last Chebyshev coefficients, relative to the largest.
    most_cancellation
        How many times larger than the sum of all a term may be.
    max_steps, tolerance
        Most Levenberg-Marquardt steps; a relative gain below the tolerance ends them.
    losses, outcomes
        Loss (inf when invalid) and outcome of each candidate, shape (I,).
    weights
        Weight of each term in eV, shape (T,).
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
    scratch = registers(MAX_ROWS, MAX_CONSTANTS, m)
    weighing, turning = _weighing(n, m, p), _turning(k, m, p)
    for individual in range(starts.size - 1):
        first, last = starts[individual], starts[individual + 1]
        loss, redundant = _fit(
            batch,
            individual,
            grid,
            scratch,
            weighing,
            turning,
            max_steps,
            tolerance,
            weights[first:last],
            fingerprints[individual],
        )
        losses[individual] = loss
        outcomes[individual] = DEPENDENT if redundant else FITTED
        if not math.isfinite(loss):
            outcomes[individual] = NOT_FINITE
            continue
        values = weighing.best_values[: last - first]
        if not _largest_tail(grid.coefficients, values, tail_length) <= tail_allowed:
            outcomes[individual] = TAIL
        elif not _cancellation(batch.block[first:last], weights[first:last], values) <= (
            most_cancellation
        ):
            outcomes[individual] = CANCELLING
        if outcomes[individual] in (TAIL, CANCELLING):
            losses[individual] = math.inf
