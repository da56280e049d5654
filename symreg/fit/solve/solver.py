r"""The one solver: variable projection for weights, Levenberg-Marquardt for constants.

Minimises :math:`\tfrac12 (|A(c)\, w - t|^2 + \rho)` over weights w and constants c. Weights are
eliminated (Golub and Pereyra, SIAM J. Numer. Anal. 10, 413, 1973) with Kaufman's simplified
Jacobian (BIT 15, 49, 1975); the damping is Marquardt's (J. Soc. Ind. Appl. Math. 11, 431, 1963).

It asks for what it needs, so that compiled loops and Python drive the same steps: whoever uses it
fills the columns A of the constants in ``work.trial``, calls ``weigh``, and where that returns
``LINEARISE`` fills derivatives of A w by the constants and calls ``linearise``, until ``DONE``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit

from symreg.arrays import Floats, Integers
from symreg.fit.solve.linear import dot, least_gain, remove, solve_damped, solve_weights

EVALUATE, LINEARISE, DONE = 0, 1, 2
"""Next need of the solver: columns at the trial constants, derivatives there, or nothing."""
NO_GAIN = 1e-4
"""A column without which the squared residual grows by less than this part of it is spare."""
_LARGEST_DAMPING = 1e12
_FIRST_DAMPING = 1e-3
# Places in ``state`` and ``counts``.
_LOSS, _DAMPING = 0, 1
_STEPS, _REJECTIONS, _DEPENDENT, _SPARE = 0, 1, 2, 3


class Stop(NamedTuple):
    """When a solve ends."""

    max_steps: int = 100
    tolerance: float = 1e-12
    """A relative gain of the loss below this ends it."""
    most_rejections: int = 9
    """Trials that do not lower the loss, one after another, before it is taken for the lowest."""


class Work(NamedTuple):
    """State and scratch of one solve with n columns, k constants and P rows."""

    columns: Floats
    """A^T at the trial constants, to be filled by the user, shape (n, P)."""
    jacobian: Floats
    """Derivatives of A w by the constants, to be filled by the user, shape (k, P)."""
    bounds: Floats
    """Lowest and highest value of each constant, shape (2, k)."""
    trial: Floats
    """Constants to be tried, shape (k,)."""
    constants: Floats
    """Those of the lowest loss so far, shape (k,)."""
    weights: Floats
    """Weights at these, shape (n,)."""
    best: Floats
    """Residual A w - t with the sign turned, at these, shape (P,)."""
    q: Floats
    """Orthonormal columns of the same span as those tried last, shape (n, P)."""
    upper: Floats
    """From ``q`` to the columns, shape (n, n)."""
    trial_weights: Floats
    """Shape (n,)."""
    residual: Floats
    """Shape (P,)."""
    hessian: Floats
    """J^T J, lower triangle, shape (k, k)."""
    gradient: Floats
    """J^T times the residual, shape (k,)."""
    step: Floats
    """Shape (k,)."""
    state: Floats
    """Lowest loss and damping, shape (2,)."""
    counts: Integers
    """Steps taken, rejections, whether a column is dependent, the spare one, shape (4,)."""


@njit(cache=True, nogil=True, error_model="numpy")
def make_work(n: int, k: int, p: int) -> Work:
    """Scratch for up to n columns, k constants and p rows; constants are unbounded."""
    bounds = np.empty((2, k))
    bounds[0] = -math.inf
    bounds[1] = math.inf
    return Work(
        np.empty((n, p)), np.empty((k, p)), bounds, np.empty(k), np.empty(k), np.empty(n),
        np.empty(p), np.empty((n, p)), np.zeros((n, n)), np.empty(n), np.empty(p),
        np.empty((k, k)), np.empty(k), np.empty(k), np.empty(2), np.zeros(4, np.int64),
    )  # fmt: skip


@njit(inline="always", error_model="numpy")
def begin(work: Work) -> None:
    """Begin anew, at the trial constants; these and no weights stand until columns are finite."""
    for c in range(work.trial.size):
        work.constants[c] = work.trial[c]
    for t in range(work.weights.size):
        work.weights[t] = 0.0
    work.state[_LOSS] = math.inf
    work.state[_DAMPING] = _FIRST_DAMPING
    work.counts[:] = 0
    work.counts[_SPARE] = -1


@njit(cache=True, nogil=True, error_model="numpy")
def weigh(work: Work, n: int, k: int, target: Floats, rest: float, stop: Stop) -> int:
    """Take n columns at k trial constants: find their weights, and accept or reject them.

    The right-hand side is ``target``, shape (P,), and ``rest`` the squared part of it that nothing
    can reach. Returns ``LINEARISE``, ``EVALUATE`` or ``DONE``.
    """
    state, count, residual = work.state, work.counts, work.residual
    dependent = solve_weights(
        work.columns[:n], target, work.q, work.upper, work.trial_weights, residual
    )
    loss = 0.5 * (dot(residual, residual) + rest)
    if loss < state[_LOSS]:
        gain = state[_LOSS] - loss
        state[_LOSS] = loss
        count[_DEPENDENT] = dependent
        for c in range(k):
            work.constants[c] = work.trial[c]
        for t in range(n):
            work.weights[t] = work.trial_weights[t]
        for r in range(residual.size):
            work.best[r] = residual[r]
        weakest, gained = least_gain(work.upper[:n, :n], work.trial_weights[:n])
        count[_SPARE] = weakest if n > 1 and gained < NO_GAIN * 2.0 * loss else -1
        if count[_STEPS] == stop.max_steps or k == 0 or gain < stop.tolerance * loss:
            return DONE
        return LINEARISE
    count[_REJECTIONS] += 1
    state[_DAMPING] *= 8.0
    if count[_REJECTIONS] > stop.most_rejections or not math.isfinite(state[_LOSS]):
        return DONE
    return _step(work, k)


@njit(cache=True, nogil=True, error_model="numpy")
def linearise(work: Work, n: int, k: int) -> int:
    """Take the derivatives of A w, set out for the next trial; ``EVALUATE`` or ``DONE``."""
    state, count, jacobian, residual = work.state, work.counts, work.jacobian, work.residual
    count[_STEPS] += 1
    count[_REJECTIONS] = 0
    state[_DAMPING] = max(0.1 * state[_DAMPING], 1e-12)
    for c in range(k):
        for t in range(n):
            remove(work.q[t], jacobian[c])
        for r in range(residual.size):
            jacobian[c, r] = -jacobian[c, r]
        work.gradient[c] = dot(jacobian[c], residual)
    for a in range(k):
        for b in range(a + 1):
            work.hessian[a, b] = dot(jacobian[a], jacobian[b])
    _hold(work, k)
    return _step(work, k)


@njit(inline="always", error_model="numpy")
def _hold(work: Work, k: int) -> None:
    """Take constants that would leave their bounds out of the next step."""
    low, high, gradient, hessian = work.bounds[0], work.bounds[1], work.gradient, work.hessian
    for c in range(k):
        falls = work.constants[c] <= low[c] and gradient[c] > 0.0
        rises = work.constants[c] >= high[c] and gradient[c] < 0.0
        if falls or rises:
            gradient[c] = 0.0
            for a in range(k):
                if a != c:
                    hessian[max(a, c), min(a, c)] = 0.0


@njit(inline="always", error_model="numpy")
def _step(work: Work, k: int) -> int:
    """Next trial constants, within bounds; ``DONE`` where there are none."""
    state, solved = work.state, False
    while not solved and state[_DAMPING] < _LARGEST_DAMPING:
        solved = solve_damped(work.hessian[:k, :k], work.gradient[:k], state[_DAMPING], work.step)
        if not solved:
            state[_DAMPING] *= 10.0
    if not solved:
        return DONE
    for c in range(k):
        moved = work.constants[c] + work.step[c]
        work.trial[c] = min(max(moved, work.bounds[0, c]), work.bounds[1, c])
    return EVALUATE


@njit(inline="always", error_model="numpy")
def outcome_of(work: Work) -> tuple[float, bool, int]:
    """The lowest loss, and of its columns: whether one is dependent, and which is spare, or -1."""
    return work.state[_LOSS], work.counts[_DEPENDENT] != 0, work.counts[_SPARE]


@dataclass(frozen=True, eq=False)
class Solution:
    """Outcome of a solve."""

    loss: float
    """Half of the squared residual and of the rest; inf where no columns were finite."""
    constants: Floats
    """Shape (k,); the start where no columns were finite."""
    weights: Floats
    """Shape (n,)."""
    residual: Floats
    """Target minus prediction, shape (P,)."""
    is_dependent: bool
    """Whether a column is explained by those before it; its weight is 0."""
    spare: int
    """The column that hardly lowers the loss; -1 where all do."""


class Columns(NamedTuple):
    """Columns of a problem at some constants."""

    columns: Floats
    """A^T, shape (n, P)."""
    slopes: Callable[[Floats], Floats]
    """From the weights (n,) to the derivatives of A w by the constants, shape (k, P)."""
    target: Floats
    """Right-hand side, shape (P,); it may change with the constants."""


def solve(
    evaluate: Callable[[Floats, bool], Columns],
    start: Floats,
    rest: float = 0.0,
    max_steps: int = 100,
    tolerance: float = 1e-12,
    give_up: Callable[[int, float], bool] | None = None,
    bounds: Floats | None = None,
    most_rejections: int = 9,
) -> Solution:
    """Minimise over weights and constants, with columns made in Python; see ``weigh`` and ``Stop``.

    ``evaluate`` is told constants, and whether derivatives there may be asked for; ``give_up`` says
    whether to end after so many steps with that loss. Constants begin at ``start``, shape (k,), and
    stay between ``bounds``, shape (2, k).

    Examples
    --------
    >>> x = np.linspace(0.0, 1.0, 9)
    >>> def decay(c, with_slopes):
    ...     column = np.exp(-c[0] * x)[None, :]
    ...     return Columns(column, lambda w: w[0] * -x * column, 2.0 * np.exp(-3.0 * x))
    >>> found = solve(decay, np.array([1.0]))
    >>> found.constants.round(6), found.weights.round(6)
    (array([3.]), array([2.]))
    """
    low, high = (-math.inf, math.inf) if bounds is None else bounds
    start = np.clip(start, low, high)
    found = evaluate(start, max_steps > 0)
    n, k = len(found.columns), start.size
    work = make_work(n, k, found.target.size)
    work.bounds[0], work.bounds[1], work.trial[:] = low, high, start
    begin(work)
    stop, status = Stop(max_steps, tolerance, most_rejections), EVALUATE
    while status != DONE:
        work.columns[:] = found.columns
        status = weigh(work, n, k, found.target, rest, stop)
        if status == LINEARISE:
            if give_up is not None and give_up(int(work.counts[_STEPS]), work.state[_LOSS]):
                return Solution(math.inf, work.constants, work.weights, work.best, False, -1)
            work.jacobian[:] = found.slopes(work.trial_weights)
            status = linearise(work, n, k)
        if status == EVALUATE:
            found = evaluate(work.trial, work.counts[_STEPS] < max_steps)
    loss, dependent, spare = outcome_of(work)
    return Solution(
        float(loss), work.constants, work.weights, work.best, bool(dependent), int(spare)
    )
