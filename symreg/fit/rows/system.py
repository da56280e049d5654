"""One joint least-squares problem over rows of labels, for candidates with many-body terms.

Pair and three-body terms enter the rows through the coordinates of the projected design. Weights
are eliminated by variable projection (Golub and Pereyra, SIAM J. Numer. Anal. 10, 413, 1973) with
Kaufman's simplified Jacobian (BIT 15, 49, 1975); constants are fitted by Levenberg-Marquardt.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from symreg.fit.design import TAIL_LENGTH
from symreg.fit.programs.batch import Batch
from symreg.fit.programs.evaluation import differentiate
from symreg.fit.rows.rows import Rows
from symreg.fit.rows.terms import Embedding, Part, embedding, is_bend, variants
from symreg.fit.solve.batch import NO_GAIN
from symreg.fit.solve.fitter import TAIL_ALLOWED, TENSOR_TAIL_ALLOWED, FitSettings, Fitter, span
from symreg.fit.solve.judging import CANCELLING, DEPENDENT, FITTED, NOT_FINITE, TAIL
from symreg.fit.solve.linear import least_gain, relative_tail, solve_damped, solve_weights
from symreg.fit.solve.tensor import triplet_values

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

STEP = 1e-6
"""A constant is moved by this part of itself, or of one, for a derivative."""
_MOST_REJECTIONS = 4
_RACE = 2
"""Steps after which a candidate above its bar is given up."""
_LARGEST_DAMPING = 1e12


def _none() -> Floats:
    return np.empty(0)


@dataclass(frozen=True, eq=False)
class Function:
    """One term of a candidate."""

    key: int
    """As in a batch."""
    code: Integers
    arg: Integers
    own: slice
    """Where its constants stand among those of the candidate."""
    embedding: Embedding | None
    """For many-body terms only."""


@dataclass(frozen=True, eq=False)
class Fit:
    """What the fit of one candidate ended with."""

    outcome: int
    """Code of ``symreg.fit.solve.judging``."""
    loss: float = math.inf
    constants: Floats = field(default_factory=_none)
    weights: Floats = field(default_factory=_none)
    residual: Floats = field(default_factory=_none)
    spare: int = -1
    """The term that hardly lowers the loss, -1 where all do."""


class System:
    """The rows, and what of them is fitted beside every candidate.

    Parameters
    ----------
    rows
        The labels.
    fitter
        Of the projected design.
    pairs_are_free
        Whether any smooth pair function stands beside the terms of candidates, which have none.
    """

    def __init__(self, rows: Rows, fitter: Fitter, pairs_are_free: bool) -> None:
        self.rows, self.grid, self.design = rows, fitter.grid, fitter.design
        self.pairs_are_free = pairs_are_free
        n = self.design.n_pair_values if pairs_are_free else 0
        self._beside = span(np.hstack([rows.free, rows.matrix[:, :n]]))
        self.target = self.beyond(rows.target)
        self.many_body = len(self.design.keys) - 1
        size = float(np.linalg.norm(self.target)) or 1.0
        self.waves = np.sin(np.outer([1.3, 2.3], np.arange(1, self.target.size + 1))) / size

    def beyond(self, rows: Floats) -> Floats:
        """What of predictions (..., P) the functions beside a candidate cannot reach."""
        return np.asarray(rows - (rows @ self._beside) @ self._beside.T)

    def functions(self, batch: Batch) -> list[Function] | None:
        """The terms of the one candidate of a batch; None where one lacks its sums."""
        found = []
        for t, key in enumerate(batch.key.tolist()):
            nodes = slice(batch.node_start[t], batch.node_start[t + 1])
            own = slice(batch.constant_start[t], batch.constant_start[t + 1])
            code, arg = batch.code[nodes], batch.arg[nodes]
            apart = embedding(code, arg) if key == self.many_body else None
            if key == self.many_body and not self._has_room_for(apart):
                return None
            found.append(Function(key, code, arg, own, apart))
        return found

    def _has_room_for(self, term: Embedding | None) -> bool:
        """Whether these rows can compute a function of sums."""
        bends = term is not None and any(map(is_bend, term.summands))
        return term is not None and (not bends or self.rows.near is not None)

    def predictions(
        self, functions: Sequence[Function], constants: Floats, with_slopes: bool
    ) -> tuple[Floats, Floats]:
        """Predictions of terms of weight 1, (n, P), and their changes with constants, (K, P)."""
        columns = np.empty((len(functions), self.target.size))
        slopes = np.empty((constants.size if with_slopes else 0, self.target.size))
        for t, function in enumerate(functions):
            columns[t], slopes[function.own] = self._term(
                function, constants[function.own], with_slopes
            )
        return columns, slopes

    def _term(
        self, function: Function, constants: Floats, with_slopes: bool
    ) -> tuple[Floats, Floats]:
        steps = STEP * np.maximum(np.abs(constants), 1.0) if with_slopes else _none()
        if function.embedding is not None:
            return self._embedded(function.embedding, constants, steps)
        m, n = self.design.n_nodes, self.design.n_pair_values
        if function.key < len(self.design.pair_keys):
            part = self.rows.matrix[:, function.key * m : (function.key + 1) * m]
            x = self.grid.x[function.key]
            values, slopes = differentiate(function.code, function.arg, constants, x, False)
        else:
            assert self.design.triplets is not None
            part, grid = self.rows.matrix[:, n:], self.design.triplets
            moved = [constants, *(constants + step for step in np.diag(steps))]
            every = [grid.coordinates(self._triplets(function, c)[0]) for c in moved]
            values = every[0]
            slopes = np.array([v - values for v in every[1:]]).reshape(-1, values.size)
            slopes /= steps[:, None]
        return part @ values, slopes[: steps.size] @ part.T

    def _triplets(self, function: Function | Part, constants: Floats) -> tuple[Floats, float]:
        return triplet_values(
            function.code, function.arg, constants, self.grid.tensor, TAIL_LENGTH - 1
        )

    def _embedded(self, term: Embedding, constants: Floats, steps: Floats) -> tuple[Floats, Floats]:
        x, rows = self.grid.x[0], self.rows
        found = variants(term, constants, steps, x, rows.sums, rows.near)
        every = rows.predictions(found)
        return every[0], (every[1:] - every[0]) / steps[:, None]

    def fit(self, batch: Batch, settings: FitSettings, bar: float = math.inf) -> Fit:
        """Fit and judge the one candidate of a batch; it is given up above ``bar``."""
        functions = self.functions(batch)
        if functions is None:
            return Fit(NOT_FINITE)
        with np.errstate(all="ignore"):
            found = self._fit(functions, batch.constants, settings, bar)
            if not math.isfinite(found.loss):
                return found
            outcome = self._judge(functions, found, settings)
        if outcome != FITTED:
            return Fit(outcome, math.inf, found.constants, found.weights, found.residual)
        return found

    def _fit(
        self, functions: Sequence[Function], constants: Floats, settings: FitSettings, bar: float
    ) -> Fit:
        """Levenberg-Marquardt, as ``fit_batch`` does it for functions that enter linearly."""
        n, k, p = len(functions), constants.size, self.target.size
        owner = np.repeat(np.arange(n), [f.own.stop - f.own.start for f in functions])
        q, upper, weights = np.empty((n, p)), np.zeros((n, n)), np.empty(n)
        residual, step, trial = np.empty(p), np.empty(k), constants
        best, damping, steps, rejections = Fit(NOT_FINITE), 1e-3, 0, 0
        while True:
            turning = steps < settings.max_steps and k > 0
            columns, slopes = self.predictions(functions, trial, turning)
            dependent = solve_weights(
                self.beyond(columns), self.target, q, upper, weights, residual
            )
            loss = 0.5 * float(residual @ residual)
            if loss < best.loss:
                gain = best.loss - loss
                weakest, gained = least_gain(upper, weights)
                spare = weakest if n > 1 and gained < NO_GAIN * 2.0 * loss else -1
                outcome = DEPENDENT if dependent else FITTED
                best = Fit(outcome, loss, trial, weights.copy(), residual.copy(), spare)
                if not turning or gain < settings.tolerance * loss:
                    return best
                if steps == _RACE and loss > bar:
                    return Fit(NOT_FINITE)
                steps, rejections, damping = steps + 1, 0, max(0.1 * damping, 1e-12)
                jacobian = self.beyond(slopes)
                jacobian -= (jacobian @ q.T) @ q
                jacobian *= -weights[owner][:, None]
                hessian, gradient = jacobian @ jacobian.T, jacobian @ residual
            else:
                rejections, damping = rejections + 1, 8.0 * damping
                if rejections > _MOST_REJECTIONS or not math.isfinite(best.loss):
                    return best
            solved = False
            while not solved and damping < _LARGEST_DAMPING:
                solved = solve_damped(hessian, gradient, damping, step)
                damping = damping if solved else 10.0 * damping
            if not solved:
                return best
            trial = best.constants + step

    def _judge(self, functions: Sequence[Function], found: Fit, settings: FitSettings) -> int:
        """Whether nodes resolve a fitted candidate, F is finite, and terms do not cancel."""
        for function in functions:
            constants = found.constants[function.own]
            if function.embedding is not None:
                outcome = self._finite(function.embedding, constants, settings.finite_alone)
            elif function.key < len(self.design.pair_keys):
                outcome = self._tail(function, constants, self.grid.x[function.key])
            else:
                resolved = self._triplets(function, constants)[1] <= TENSOR_TAIL_ALLOWED
                outcome = FITTED if resolved else TAIL
            if outcome != FITTED:
                return outcome
        if self.pairs_are_free:
            return found.outcome
        columns, _ = self.predictions(functions, found.constants, False)
        parts = self.beyond(found.weights[:, None] * columns)
        total = float(np.linalg.norm(parts.sum(axis=0)))
        largest = float(np.linalg.norm(parts, axis=1).max())
        return found.outcome if largest <= settings.most_cancellation * total else CANCELLING

    def _tail(self, function: Function | Part, constants: Floats, x: Floats) -> int:
        values, _ = differentiate(function.code, function.arg, constants, x, False)
        tail = relative_tail(self.grid.coefficients, values, TAIL_LENGTH)
        return FITTED if tail <= TAIL_ALLOWED else TAIL

    def _finite(self, term: Embedding, constants: Floats, alone: bool) -> int:
        """Whether nodes resolve what is summed, and F is finite: in dimers, and maybe alone."""
        x = self.grid.x[0]
        for part in term.summands:
            if is_bend(part):
                limit, tail = TENSOR_TAIL_ALLOWED, self._triplets(part, constants[part.used])[1]
                outcome = FITTED if tail <= limit else TAIL
            else:
                outcome = self._tail(part, constants[part.used], x)
            if outcome != FITTED:
                return outcome
        found = variants(term, constants, _none(), x, self.rows.dimers)
        value = found.value if alone else found.value[:, 1:]
        finite = np.isfinite(value).all() and np.isfinite(found.by_sum[..., 1:]).all()
        return FITTED if finite else NOT_FINITE
