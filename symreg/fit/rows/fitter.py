"""Fits of candidates with and without many-body terms, behind the same methods as ``Fitter``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from symreg.fit.design import Problem, triangle
from symreg.fit.programs.batch import Batch
from symreg.fit.programs.packing import pack
from symreg.fit.rows.rows import Rows
from symreg.fit.rows.system import Fit, System
from symreg.fit.solve.fitter import AS_IT_STANDS, QUICK, Fits, FitSettings, Fitter, span
from symreg.terms import Expression, Term

Floats = NDArray[np.float64]


class DirectFitter(Fitter):
    """Fits what has many-body terms to rows of labels, and all else to the projected design.

    Parameters
    ----------
    projected
        Fits candidates without many-body terms.
    rows
        All training labels.
    screen
        Those of a few structures, for a first look at a candidate.
    pairs_are_free
        Whether any smooth pair function stands beside the terms of candidates, which have none.
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
        return DirectFitter(
            self.projected.beside_any_pairs(), self.all.rows, self.few.rows, pairs_are_free=True
        )

    def around(self, expression: Expression) -> Fitter:
        """Fits of pair terms around terms that are held, their constants free to follow."""
        if not _has_sums(expression.terms):
            return self.projected.around(expression)
        rows = self.all.rows
        held = span(np.hstack([rows.free, self._columns(expression).T]))
        rest = np.hstack([rows.matrix, rows.target[:, None]])
        upper = triangle([rest - held @ (held.T @ rest)], rest.shape[1])
        problem = Problem(
            np.ascontiguousarray(upper[:-1, :-1]),
            np.ascontiguousarray(upper[:-1, -1]),
            float(upper[-1, -1] ** 2),
            self.problem.e0_rows,
        )
        return Fitter(self.design, problem)

    def fit(self, batch: Batch, settings: FitSettings = QUICK, bars: Floats | None = None) -> Fits:
        """Fit all candidates of a batch, as ``Fitter`` does."""
        every = [batch.candidate(k) for k in range(batch.term_start.size - 1)]
        direct = [bool((one.key == self.all.many_body).any()) for one in every]
        linear = [one for one, has_sums in zip(every, direct, strict=True) if not has_sums]
        if not any(direct):
            return self.projected.fit(batch, settings)
        system = self.all if settings.on_all else self.few
        plain = _taken_apart(self.projected.fit(Batch.joined(linear), settings)) if linear else []
        rest, limits = iter(plain), [math.inf] * len(every) if bars is None else bars.tolist()
        found = [
            _of_fit(one, system.fit(one, settings, bar), system) if has_sums else next(rest)
            for one, has_sums, bar in zip(every, direct, limits, strict=True)
        ]
        return Fits(
            Batch.joined([fits.batch for fits in found]),
            *(
                np.concatenate([getattr(fits, name) for fits in found])
                for name in ("losses", "weights", "outcomes", "spares", "fingerprints")
            ),
        )

    def columns(self, expression: Expression) -> Floats:
        """Derivatives of the weighted predictions by weights, then constants, shape (P, W + K)."""
        if not _has_sums(expression.terms):
            return self.projected.columns(expression)
        return self.all.beyond(self._columns(expression)).T

    def residual(self, expression: Expression) -> Floats:
        """Weighted predictions minus labels, weights and constants as they are, shape (P,)."""
        if not _has_sums(expression.terms):
            return self.projected.residual(expression)
        return self.all.beyond(self._prediction(expression)) - self.all.target

    def loss(self, expression: Expression) -> float:
        """Loss at the weights and constants as they are, maybe inf; atomic energies are fitted."""
        if not _has_sums(expression.terms):
            return self.projected.loss(expression)
        gap = self.residual(expression)
        return 0.5 * float(gap @ gap)

    def e0(self, expression: Expression) -> Floats:
        """Energies of free atoms in eV that fit best, shape (n_e0,)."""
        if not _has_sums(expression.terms):
            return self.projected.e0(expression)
        rows = self.all.rows
        gap = rows.target - self._prediction(expression)
        return np.asarray(np.linalg.lstsq(rows.free, gap, rcond=1e-10)[0])

    def weigh(self, expression: Expression) -> Expression:
        """The same expression with the best weights for its constants."""
        if not _has_sums(expression.terms):
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
        counts = [len(term.tree.constants) for term in expression.terms]
        return np.vstack([columns, np.repeat(expression.weights, counts)[:, None] * slopes])

    def _predictions(self, expression: Expression, with_slopes: bool) -> tuple[Floats, Floats]:
        batch = pack([expression.terms], self.design.keys)
        functions = self.all.functions(batch)
        assert functions is not None
        with np.errstate(all="ignore"):
            return self.all.predictions(functions, batch.constants, with_slopes)


def _has_sums(terms: Sequence[Term]) -> bool:
    return any(term.kind == "many-body" for term in terms)


def _of_fit(batch: Batch, fit: Fit, system: System) -> Fits:
    """The fit of one candidate as a batch would have it."""
    known = fit.weights.size > 0
    return Fits(
        batch._replace(constants=fit.constants if known else batch.constants),
        np.array([fit.loss]),
        fit.weights if known else np.zeros(batch.key.size),
        np.array([fit.outcome]),
        np.array([fit.spare]),
        (system.waves @ fit.residual)[None, :] if known else np.zeros((1, 2)),
    )


def _taken_apart(fits: Fits) -> list[Fits]:
    """What was found for each candidate of a batch."""
    starts = fits.batch.term_start
    return [
        Fits(
            fits.batch.candidate(k),
            fits.losses[k : k + 1],
            fits.weights[starts[k] : starts[k + 1]],
            fits.outcomes[k : k + 1],
            fits.spares[k : k + 1],
            fits.fingerprints[k : k + 1],
        )
        for k in range(starts.size - 1)
    ]
