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

from symreg.kernels.elementary import FASTMATH
from symreg.kernels.linear import dot, project, relative_tail, remove, solve_damped, solve_weights
from symreg.kernels.programs import (
    INSTRUCTION,
    MAX_CONSTANTS,
    MAX_NODES,
    MAX_ROWS,
    assemble,
    run_tangents,
    run_values,
)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

FITTED, NOT_FINITE, TAIL, DEPENDENT = 0, 1, 2, 3
"""Outcomes: a valid candidate, outside its domain, not resolved by the grid, redundant term."""

_MOST_REJECTIONS = 6


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


class Work(NamedTuple):
    """Scratch of one thread, for candidates of up to n terms and k constants."""

    program: Integers
    rows: Floats
    tangents: Floats
    active: NDArray[np.bool_]
    partials: Floats
    values: Floats
    columns: Floats
    q: Floats
    upper: Floats
    weights: Floats
    residual: Floats
    owner: Integers
    slopes: Floats
    jacobian: Floats
    hessian: Floats
    gradient: Floats
    step: Floats
    trial: Floats
    current: Floats


@njit(cache=True, nogil=True, error_model="numpy")
def _workspace(n: int, k: int, m: int, p: int) -> Work:
    return Work(
        np.empty((MAX_NODES, INSTRUCTION), np.int64),
        np.empty((MAX_ROWS, m)),
        np.empty((MAX_ROWS, MAX_CONSTANTS, m)),
        np.empty((MAX_ROWS, MAX_CONSTANTS), np.bool_),
        np.empty((2, m)),
        np.empty((n, m)),
        np.empty((n, p)),
        np.empty((n, p)),
        np.empty((n, n)),
        np.empty(n),
        np.empty(p),
        np.empty(k, np.int64),
        np.empty((k, m)),
        np.empty((k, p)),
        np.empty((k, k)),
        np.empty(k),
        np.empty(k),
        np.empty(k),
        np.empty(k),
    )


@njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
def _node_values(
    code: Integers, arg: Integers, constants: Floats, x: Floats, work: Work, values: Floats
) -> None:
    """Evaluate one tree on the nodes, shape (M,)."""
    program, rows = work.program, work.rows
    n_instructions, result = assemble(code, arg, constants.size, x.size, program, rows)
    _fill_leaves(constants, x, rows)
    run_values(program, n_instructions, rows, work.partials[0])
    for k in range(x.size):
        values[k] = rows[result, k]


@njit(cache=True, nogil=True, error_model="numpy")
def _fill_leaves(constants: Floats, x: Floats, rows: Floats) -> None:
    for k in range(x.size):
        rows[0, k] = x[k]
    for c in range(constants.size):
        for k in range(x.size):
            rows[1 + c, k] = constants[c]


@njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
def _node_slopes(
    code: Integers,
    arg: Integers,
    constants: Floats,
    x: Floats,
    work: Work,
    values: Floats,
    slopes: Floats,
) -> None:
    """Evaluate one tree on the nodes with derivatives by its constants, shape (K, M)."""
    program, rows, tangents = work.program, work.rows, work.tangents
    n_instructions, result = assemble(code, arg, constants.size, x.size, program, rows)
    _fill_leaves(constants, x, rows)
    active = work.active[:, : constants.size]
    active[:] = False
    for c in range(constants.size):
        active[1 + c, c] = True
        for k in range(x.size):
            tangents[1 + c, c, k] = 1.0
    run_tangents(program, n_instructions, rows, tangents, active, work.partials)
    for c in range(constants.size):
        for k in range(x.size):
            slopes[c, k] = tangents[result, c, k] if active[result, c] else 0.0
    for k in range(x.size):
        values[k] = rows[result, k]


@njit(cache=True, nogil=True, error_model="numpy")
def _evaluate(batch: Batch, individual: int, grid: Grid, work: Work, slopes: bool) -> bool:
    """Fill values, columns, weights and residual for the constants in ``work.trial``."""
    m = grid.x.shape[1]
    first, last = batch.term_start[individual], batch.term_start[individual + 1]
    start = batch.constant_start[first]
    for term in range(first, last):
        t = term - first
        low, high = batch.constant_start[term] - start, batch.constant_start[term + 1] - start
        code = batch.code[batch.node_start[term] : batch.node_start[term + 1]]
        arg = batch.arg[batch.node_start[term] : batch.node_start[term + 1]]
        x = grid.x[batch.block[term]]
        constants = work.trial[low:high]
        if slopes and high > low:
            work.owner[low:high] = t
            _node_slopes(code, arg, constants, x, work, work.values[t], work.slopes[low:high])
        else:
            _node_values(code, arg, constants, x, work, work.values[t])
        project(grid.matrix_t, batch.block[term] * m, work.values[t], work.columns[t])
    n = last - first
    return solve_weights(
        work.columns[:n], grid.target, work.q, work.upper, work.weights, work.residual
    )


@njit(cache=True, nogil=True, error_model="numpy")
def _linearise(batch: Batch, first: int, n: int, k: int, grid: Grid, work: Work) -> None:
    """Kaufman's Jacobian, the gradient and J^T J at the constants just evaluated."""
    m = grid.x.shape[1]
    for c in range(k):
        term = work.owner[c]
        project(grid.matrix_t, batch.block[first + term] * m, work.slopes[c], work.jacobian[c])
        for t in range(n):
            remove(work.q[t], work.jacobian[c])
        for r in range(grid.target.size):
            work.jacobian[c, r] *= -work.weights[term]
        work.gradient[c] = dot(work.jacobian[c], work.residual)
    for a in range(k):
        for b in range(a + 1):
            work.hessian[a, b] = dot(work.jacobian[a], work.jacobian[b])


@njit(cache=True, nogil=True, error_model="numpy")
def _fit(
    batch: Batch,
    individual: int,
    grid: Grid,
    work: Work,
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
    work.trial[:k] = batch.constants[start : start + k]
    best, damping, redundant = math.inf, 1e-3, False
    steps = rejections = 0
    while True:
        dependent = _evaluate(batch, individual, grid, work, steps < max_steps)
        loss = 0.5 * (dot(work.residual, work.residual) + grid.rest)
        if loss < best:
            gain, best, redundant = best - loss, loss, dependent
            work.current[:k] = work.trial[:k]
            weights[:] = work.weights[:n]
            for f in range(2):
                fingerprint[f] = dot(grid.waves[f], work.residual)
            if steps == max_steps or k == 0 or gain < tolerance * loss:
                break
            steps += 1
            rejections = 0
            damping = max(0.1 * damping, 1e-12)
            _linearise(batch, first, n, k, grid, work)
        else:
            rejections += 1
            damping *= 8.0
            if rejections > _MOST_REJECTIONS or not math.isfinite(best):
                break
        while damping < 1e12 and not solve_damped(
            work.hessian[:k, :k], work.gradient[:k], damping, work.step
        ):
            damping *= 10.0
        for c in range(k):
            work.trial[c] = work.current[c] + work.step[c]
    batch.constants[start : start + k] = work.current[:k]
    return best, redundant


@njit(cache=True, nogil=True, error_model="numpy")
def _largest_tail(batch: Batch, individual: int, grid: Grid, work: Work, tail_length: int) -> float:
    """Worst tail of the fitted terms of one candidate."""
    worst = 0.0
    for term in range(batch.term_start[individual], batch.term_start[individual + 1]):
        nodes = slice(batch.node_start[term], batch.node_start[term + 1])
        constants = batch.constants[batch.constant_start[term] : batch.constant_start[term + 1]]
        x = grid.x[batch.block[term]]
        _node_values(batch.code[nodes], batch.arg[nodes], constants, x, work, work.values[0])
        tail = relative_tail(grid.coefficients, work.values[0], tail_length)
        worst = tail if not tail <= worst else worst
    return worst


@njit(cache=True, nogil=True, error_model="numpy")
def fit_batch(
    batch: Batch,
    grid: Grid,
    tail_length: int,
    tail_allowed: float,
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
    work = _workspace(n, k, grid.x.shape[1], grid.target.size)
    for individual in range(starts.size - 1):
        loss, redundant = _fit(
            batch,
            individual,
            grid,
            work,
            max_steps,
            tolerance,
            weights[starts[individual] : starts[individual + 1]],
            fingerprints[individual],
        )
        losses[individual] = loss
        outcomes[individual] = DEPENDENT if redundant else FITTED
        if not math.isfinite(loss):
            outcomes[individual] = NOT_FINITE
        elif not _largest_tail(batch, individual, grid, work, tail_length) <= tail_allowed:
            outcomes[individual] = TAIL
            losses[individual] = math.inf


@njit(cache=True, nogil=True, error_model="numpy")
def jacobian(batch: Batch, grid: Grid) -> tuple[Floats, Floats]:
    """Columns of the terms (T, P) and of weighted constants (K, P) of a one-candidate batch.

    The second hold dA/dc without the weight of the term: the caller multiplies.
    """
    n, k, p = batch.block.size, batch.constants.size, grid.target.size
    work = _workspace(n, max(k, 1), grid.x.shape[1], p)
    work.trial[:k] = batch.constants
    _evaluate(batch, 0, grid, work, True)
    for c in range(k):
        block = batch.block[work.owner[c]]
        project(grid.matrix_t, block * grid.x.shape[1], work.slopes[c], work.jacobian[c])
    return work.columns, work.jacobian[:k]
