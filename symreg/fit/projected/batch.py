"""Fitting a batch of candidates on the projected design, in one call without the GIL."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit

from symreg.arrays import Floats, Integers
from symreg.fit.programs.batch import MAX_CONSTANTS, Batch, CodedTerm
from symreg.fit.programs.evaluation import MAX_ROWS, registers, tree_slopes, tree_values
from symreg.fit.projected.judging import DEPENDENT, FITTED, NOT_FINITE, judge
from symreg.fit.projected.problem import ON_TENSOR, Grid
from symreg.fit.projected.tensor import Factors, factors, of_key, project_triplets
from symreg.fit.solve.linear import dot, project
from symreg.fit.solve.solver import (
    DONE,
    LINEARISE,
    Stop,
    Work,
    begin,
    linearise,
    make_work,
    outcome_of,
    weigh,
)
from symreg.terms import Expression, Term


class Fits(NamedTuple):
    """Results for I candidates with T terms and K constants in all."""

    batch: Batch
    """The candidates with their fitted constants."""
    losses: Floats
    """Shape (I,); inf for a candidate that is not valid."""
    weights: Floats
    """eV, shape (T,)."""
    outcomes: Integers
    """Codes of ``symreg.fit.projected.judging``, shape (I,)."""
    spares: Integers
    """The term that hardly lowers the loss, -1 where all do, shape (I,)."""
    fingerprints: Floats
    """Two numbers that agree for candidates of equal residual, shape (I, 2)."""

    @staticmethod
    def room(batch: Batch) -> Fits:
        """Room for the results of a batch: with a copy of its constants, and no valid candidate."""
        n, batch = batch.term_start.size - 1, batch._replace(constants=batch.constants.copy())
        outcomes, spares = np.zeros(n, dtype=np.int64), np.full(n, -1, dtype=np.int64)
        weights, fingerprints = np.zeros(batch.key.size), np.zeros((n, 2))
        return Fits(batch, np.full(n, np.inf), weights, outcomes, spares, fingerprints)

    def coded_terms(self, candidates: Sequence[Sequence[CodedTerm]]) -> list[tuple[CodedTerm, ...]]:
        """The candidates that were fitted, with their constants; shapes are shared."""
        constants = self.batch.constants.tolist()
        starts = iter(self.batch.constant_start.tolist())
        low, found, new = next(starts), [], tuple.__new__  # CodedTerm(...) takes twice as long
        for coded_terms in candidates:
            fitted = []
            for key, shape, _ in coded_terms:
                high = next(starts)
                fitted.append(new(CodedTerm, (key, shape, tuple(constants[low:high]))))
                low = high
            found.append(tuple(fitted))
        return found

    def expression(self, terms: Sequence[Term]) -> tuple[Expression, float]:
        """The one candidate, whose terms are given, as fitted; and its loss."""
        starts, constants = self.batch.constant_start, self.batch.constants
        fitted = tuple(
            term.with_constants(constants[low:high].tolist())
            for term, low, high in zip(terms, starts[:-1], starts[1:], strict=True)
        )
        return Expression(fitted, tuple(map(float, self.weights))), float(self.losses[0])


# The compiler's time decides the shape of what follows. Each level of functions that call each
# other is optimised again with all that it calls, so what has one caller is inlined by Numba; and
# every access to a member loads its whole tuple, so there are several small ones.
@njit(inline="always", error_model="numpy")
def is_moved(batch: Batch, term: int, parameter: Integers) -> bool:
    """Whether a constant of a term is free."""
    moved = False
    for c in range(batch.constant_start[term], batch.constant_start[term + 1]):
        moved = moved or parameter[c] >= 0
    return moved


@njit(inline="always", error_model="numpy")
def _evaluate(
    batch: Batch,
    individual: int,
    parameter: Integers,
    grid: Grid,
    found: Factors,
    work: Work,
    constants: Floats,
    values: Floats,
    slopes: Floats,
    with_slopes: bool,
    is_first: bool,
) -> None:
    """Fill columns, and derivatives of those by constants, at the trial parameters.

    Columns of terms whose constants are all held are filled the first time alone.
    """
    m = grid.x.shape[1]
    columns, jacobian, scratch = work.columns, work.jacobian, found.registers
    first, last = batch.term_start[individual], batch.term_start[individual + 1]
    start = batch.constant_start[first]
    for c in range(start, batch.constant_start[last]):
        place = parameter[c]
        constants[c - start] = work.trial[place] if place >= 0 else batch.constants[c]
    for term in range(first, last):
        t = term - first
        low, high = batch.constant_start[term] - start, batch.constant_start[term + 1] - start
        moves = is_moved(batch, term, parameter)
        if not (moves or is_first):
            continue
        turning = with_slopes and moves
        code = batch.code[batch.node_start[term] : batch.node_start[term + 1]]
        arg = batch.arg[batch.node_start[term] : batch.node_start[term + 1]]
        slot = grid.slot[batch.key[term]]
        if slot < 0:
            turned = jacobian[low : high if turning else low]
            tensor = of_key(grid.tensors, ON_TENSOR - slot)
            project_triplets(code, arg, constants[low:high], tensor, found, columns[t], turned)
            continue
        x = grid.x[slot]
        if turning:
            tree_slopes(code, arg, constants[low:high], x, scratch, values, slopes[low:high])
        else:
            tree_values(code, arg, constants[low:high], x, scratch, values)
        project(grid.matrix_t, slot * m, values, columns[t])


@njit(inline="always", error_model="numpy")
def _weigh_slopes(
    batch: Batch, individual: int, parameter: Integers, grid: Grid, work: Work, slopes: Floats
) -> None:
    """Make derivatives of predictions of those of columns, now that weights are known.

    Those by constants that are tied are joined in one.
    """
    m, jacobian = grid.x.shape[1], work.jacobian
    first, last = batch.term_start[individual], batch.term_start[individual + 1]
    start = batch.constant_start[first]
    for term in range(first, last):
        if not is_moved(batch, term, parameter):
            continue
        weight, slot = work.trial_weights[term - first], grid.slot[batch.key[term]]
        for c in range(batch.constant_start[term] - start, batch.constant_start[term + 1] - start):
            if slot >= 0:
                project(grid.matrix_t, slot * m, slopes[c], jacobian[c])
            for r in range(jacobian.shape[1]):
                jacobian[c, r] *= weight
    known = 0
    for c in range(batch.constant_start[last] - start):
        place = parameter[start + c]
        if place < 0:
            continue
        if place == c:
            known = c + 1
            continue
        for r in range(jacobian.shape[1]):
            before = jacobian[place, r] if place < known else 0.0
            jacobian[place, r] = before + jacobian[c, r]
        known = max(known, place + 1)


@njit(inline="always", error_model="numpy")
def _fit(
    batch: Batch,
    individual: int,
    parameter: Integers,
    grid: Grid,
    found: Factors,
    work: Work,
    constants: Floats,
    values: Floats,
    slopes: Floats,
    stop: Stop,
) -> None:
    """Fit one candidate; its constants in the batch become the fitted ones."""
    first = batch.term_start[individual]
    n = batch.term_start[individual + 1] - first
    start, end = batch.constant_start[first], batch.constant_start[first + n]
    k = 0
    for c in range(start, end):
        k = max(k, parameter[c] + 1)
        if parameter[c] >= 0:
            work.trial[parameter[c]] = batch.constants[c]
    begin(work)
    status, steps, is_first = LINEARISE, 0, True
    while status != DONE:
        _evaluate(
            batch, individual, parameter, grid, found, work, constants, values, slopes,
            steps < stop.max_steps, is_first,
        )  # fmt: skip
        is_first = False
        status = weigh(work, n, k, grid.target, grid.rest, stop)
        if status == LINEARISE:
            steps += 1
            _weigh_slopes(batch, individual, parameter, grid, work, slopes)
            status = linearise(work, n, k)
    for c in range(start, end):
        if parameter[c] >= 0:
            batch.constants[c] = work.constants[parameter[c]]


@njit(cache=True, nogil=True, error_model="numpy")
def fit_batch(
    found: Fits, parameter: Integers, grid: Grid, stop: Stop, most_cancellation: float
) -> None:
    """Fit weights and constants of all candidates; they are written over those of ``found``.

    ``parameter`` tells which of the free ones of its candidate each constant is, shape (K,): they
    are numbered as they first appear; -1 for one that is held.
    """
    batch, losses, weights = found.batch, found.losses, found.weights
    outcomes, spares, fingerprints = found.outcomes, found.spares, found.fingerprints
    starts = batch.term_start
    n = k = 1
    for individual in range(starts.size - 1):
        first, last = starts[individual], starts[individual + 1]
        n = max(n, last - first)
        k = max(k, batch.constant_start[last] - batch.constant_start[first])
    m, p = grid.x.shape[1], grid.target.size
    width = max(m, grid.tensors.x.shape[2], grid.tensors.c.size)
    scratch = factors(grid.tensors, registers(MAX_ROWS, MAX_CONSTANTS, width))
    work, values, slopes, constants = make_work(n, k, p), np.empty(m), np.empty((k, m)), np.empty(k)
    for individual in range(starts.size - 1):
        first, last = starts[individual], starts[individual + 1]
        _fit(batch, individual, parameter, grid, scratch, work, constants, values, slopes, stop)
        loss, dependent, spare = outcome_of(work)
        losses[individual], spares[individual] = loss, spare
        if not math.isfinite(loss):
            outcomes[individual] = NOT_FINITE
            continue
        for t in range(last - first):
            weights[first + t] = work.weights[t]
        for f in range(2):
            fingerprints[individual, f] = dot(grid.waves[f], work.best)
        outcome = judge(batch, individual, grid, scratch, most_cancellation, weights[first:last])
        outcomes[individual] = DEPENDENT if dependent and outcome == FITTED else outcome
        if outcome != FITTED:
            losses[individual] = math.inf
