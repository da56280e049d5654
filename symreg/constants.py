"""Constants of candidates: fitted on the projected design, with intervals for those that count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from symreg.expression import Expression, Term
from symreg.kernels.batch import Batch, Grid, fit_batch
from symreg.projection import (
    TAIL_LENGTH,
    Design,
    Problem,
    chebyshev_coefficients,
)
from symreg.scoring import pack

Floats = NDArray[np.float64]

TAIL_ALLOWED = 1e-6
"""A pair function with a larger relative tail is not what its node values say."""


@dataclass(frozen=True)
class FitSettings:
    """How hard constants are fitted."""

    max_steps: int = 12
    """Most Levenberg-Marquardt steps."""
    tolerance: float = 1e-4
    """A relative gain of the loss below this ends the fit."""


POLISH = FitSettings(max_steps=100, tolerance=1e-12)
"""For the few candidates that are kept."""


@dataclass(frozen=True, eq=False)
class Fits:
    """What ``fit_batch`` found for I candidates with T terms and K constants in all."""

    batch: Batch
    """The candidates with their fitted constants."""
    losses: Floats
    """Shape (I,); inf for a candidate that is not valid."""
    weights: Floats
    """eV, shape (T,)."""
    outcomes: NDArray[np.int64]
    """Codes of ``symreg.kernels.batch``, shape (I,)."""
    fingerprints: Floats
    """Shape (I, 2)."""


class Fitter:
    """Fits candidates to one projected design.

    Parameters
    ----------
    design
        The data.
    problem
        Another weighting of the same columns, such as a bootstrap sample; by default the
        training data.
    """

    def __init__(self, design: Design, problem: Problem | None = None) -> None:
        self.design = design
        self.problem = problem or design.training
        p = self.problem.target.size
        waves = np.sin(np.outer([1.3, 2.3], np.arange(1, p + 1)))
        scale = float(np.linalg.norm(self.problem.target)) or 1.0
        self.grid = Grid(
            design.nodes / design.r0,
            np.ascontiguousarray(self.problem.matrix.T),
            self.problem.target,
            self.problem.rest,
            chebyshev_coefficients(design.n_nodes),
            waves / scale,
        )

    def fit(self, batch: Batch, settings: FitSettings = FitSettings()) -> Fits:
        """Fit all candidates of a batch; the constants in it are the starting values."""
        n, terms = batch.term_start.size - 1, batch.block.size
        batch = batch._replace(constants=batch.constants.copy())
        losses, weights = np.empty(n), np.empty(terms)
        outcomes, fingerprints = np.empty(n, dtype=np.int64), np.empty((n, 2))
        fit_batch(
            batch,
            self.grid,
            TAIL_LENGTH,
            TAIL_ALLOWED,
            settings.max_steps,
            settings.tolerance,
            losses,
            weights,
            outcomes,
            fingerprints,
        )
        return Fits(batch, losses, weights, outcomes, fingerprints)

    def refit(
        self, terms: Sequence[Term], settings: FitSettings = POLISH
    ) -> tuple[Expression, float]:
        """Fit one list of terms; its expression and loss (inf when it is not valid)."""
        fits = self.fit(pack([terms], self.design.keys), settings)
        starts = fits.batch.constant_start
        fitted = tuple(
            Term(t.kind, t.species, t.tree.with_constants(fits.batch.constants[low:high]))
            for t, low, high in zip(terms, starts[:-1], starts[1:], strict=True)
        )
        return Expression(fitted, tuple(map(float, fits.weights))), float(fits.losses[0])
