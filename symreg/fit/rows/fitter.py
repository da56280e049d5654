"""Fits of candidates with and without many-body terms, behind the same methods as ``Fitter``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from symreg.arrays import Floats
from symreg.fit.design import Problem, triangle
from symreg.fit.programs.batch import CodedTerm, encode, pack
from symreg.fit.projected.batch import Fits
from symreg.fit.projected.fitter import AS_IT_STANDS, QUICK, FitSettings, Fitter
from symreg.fit.projected.judging import DEPENDENT, FITTED
from symreg.fit.rows.rows import Rows
from symreg.fit.rows.system import System
from symreg.fit.solve.linear import span
from symreg.fit.solve.solver import Solution
from symreg.terms import Expression


class DirectFitter(Fitter):
    """Fits what has many-body terms to rows of labels, and all else to the projected design.

    The rows are all training labels, and for a first look at a candidate those of a few structures.
    ``pairs_are_free`` is as for ``System``.
    """

    def __init__(
        self, projected: Fitter, rows: Rows, screen: Rows, pairs_are_free: bool = False
    ) -> None:
        self.projected = projected
        self.design, self.problem, self.grid = projected.design, projected.problem, projected.grid
        self.all = System(rows, projected, pairs_are_free)
        self.few = self.all if screen is rows else System(screen, projected, pairs_are_free)

    def beside_any_pairs(self) -> DirectFitter:
        """Fits as if the best smooth pair function stood beside every candidate."""
        projected = self.projected.beside_any_pairs()
        return DirectFitter(projected, self.all.rows, self.few.rows, pairs_are_free=True)

    def around(self, expression: Expression) -> Fitter:
        """Fits of pair terms around terms that are held, their constants free to follow."""
        if not expression.has_functions:
            return self.projected.around(expression)
        rows = self.all.rows
        held = span(np.hstack([rows.free, self._columns(expression).T]))
        rest = np.hstack([rows.matrix, rows.target[:, None]])
        upper = triangle([rest - held @ (held.T @ rest)], rest.shape[1])
        problem = replace(Problem.of(upper, n_e0=0), e0_rows=self.problem.e0_rows)
        return Fitter(self.design, problem)

    def fit(
        self,
        candidates: Sequence[Sequence[CodedTerm]],
        settings: FitSettings = QUICK,
        bars: Floats | None = None,
        moved: Sequence[Sequence[bool]] | None = None,
    ) -> Fits:
        """Fit all candidates, as ``Fitter`` does."""
        direct = [k for k, coded_terms in enumerate(candidates) if self.is_direct(coded_terms)]
        if not direct:
            return self.projected.fit(candidates, settings, bars, moved)
        found, n = Fits.room(encode(candidates)), len(candidates)
        system = self.all if settings.on_all else self.few
        for k in direct:
            bar = math.inf if bars is None else float(bars[k])
            free = None if moved is None else moved[k]
            found.outcomes[k], solution = system.fit(candidates[k], settings, bar, free)
            if solution is not None:
                _write(found, k, solution, system)
        if others := sorted({*range(n)} - {*direct}):
            own = None if moved is None else [moved[k] for k in others]
            fits = self.projected.fit([candidates[k] for k in others], settings, moved=own)
            for at, k in enumerate(others):
                _copy(found, k, fits, at)
        return found

    def is_direct(self, coded_terms: Sequence[CodedTerm]) -> bool:
        """Whether the projected design cannot tell what the coded terms predict."""
        return any(coded.key >= len(self.design.grids) for coded in coded_terms)

    def columns(self, expression: Expression) -> Floats:
        """Derivatives of the weighted predictions by weights, then constants, shape (P, W + K)."""
        if not expression.has_functions:
            return self.projected.columns(expression)
        return self.all.beyond(self._columns(expression)).T

    def residual(self, expression: Expression) -> Floats:
        """Weighted predictions minus labels, weights and constants as they are, shape (P,)."""
        if not expression.has_functions:
            return self.projected.residual(expression)
        return self.all.beyond(self._prediction(expression)) - self.all.target

    def loss(self, expression: Expression) -> float:
        """Loss at the weights and constants as they are, maybe inf; atomic energies are fitted."""
        if not expression.has_functions:
            return self.projected.loss(expression)
        gap = self.residual(expression)
        return 0.5 * float(gap @ gap)

    def e0(self, expression: Expression) -> Floats:
        """Energies of free atoms in eV that fit best, shape (n_e0,)."""
        if not expression.has_functions:
            return self.projected.e0(expression)
        rows = self.all.rows
        gap = rows.target - self._prediction(expression)
        return np.asarray(np.linalg.lstsq(rows.free, gap, rcond=1e-10)[0])

    def weigh(self, expression: Expression) -> Expression:
        """The expression with the best weights for its constants."""
        if not expression.has_functions:
            return self.projected.weigh(expression)
        fits = self.fit(pack([expression.terms], self.design.keys), AS_IT_STANDS)
        if not np.isfinite(fits.losses[0]):
            return expression
        return replace(expression, weights=tuple(map(float, fits.weights)))

    def _prediction(self, expression: Expression) -> Floats:
        columns = self._predictions(expression, with_slopes=False)[0]
        return np.asarray(np.array(expression.weights) @ columns)

    def _columns(self, expression: Expression) -> Floats:
        """Predictions of each term of weight 1, then changes with constants, shape (W + K, P)."""
        columns, slopes = self._predictions(expression, with_slopes=True)
        counts = [len(term.constants) for term in expression.terms]
        return np.vstack([columns, np.repeat(expression.weights, counts)[:, None] * slopes])

    def _predictions(self, expression: Expression, with_slopes: bool) -> tuple[Floats, Floats]:
        (coded_terms,) = pack([expression.terms], self.design.keys)
        constants = np.array([c for coded in coded_terms for c in coded.constants], dtype=float)
        with np.errstate(all="ignore"):
            return self.all.predictions(coded_terms, constants, with_slopes)


def _places(fits: Fits, k: int) -> tuple[slice, slice]:
    """Where the terms and the constants of a candidate are."""
    first, last = fits.batch.term_start[k : k + 2]
    starts = fits.batch.constant_start
    return slice(first, last), slice(starts[first], starts[last])


def _write(found: Fits, k: int, solution: Solution, system: System) -> None:
    """Put the fit of one candidate, whose outcome is known, among those of all."""
    terms, constants = _places(found, k)
    found.weights[terms] = solution.weights
    found.batch.constants[constants] = solution.constants
    found.spares[k] = solution.spare
    found.fingerprints[k] = system.waves @ solution.residual
    if found.outcomes[k] in (FITTED, DEPENDENT):
        found.losses[k] = solution.loss


def _copy(found: Fits, k: int, fits: Fits, n: int) -> None:
    """Copy the n-th of some fits to place k of all."""
    terms, constants = _places(found, k)
    own_terms, own_constants = _places(fits, n)
    found.weights[terms] = fits.weights[own_terms]
    found.batch.constants[constants] = fits.batch.constants[own_constants]
    for name in ("losses", "outcomes", "spares", "fingerprints"):
        getattr(found, name)[k] = getattr(fits, name)[n]
