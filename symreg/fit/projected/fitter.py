"""Fits of candidates on the projected design."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from symreg.arrays import Floats, Integers
from symreg.fit.design import Design, Problem, triangle
from symreg.fit.design.design import solve
from symreg.fit.grid import chebyshev_coefficients
from symreg.fit.programs.batch import (
    Batch,
    CodedTerm,
    encode,
    encoded,
    pack,
    parameters,
    untied,
)
from symreg.fit.programs.evaluation import differentiate
from symreg.fit.projected.batch import Fits, fit_batch
from symreg.fit.projected.problem import ON_TENSOR, Grid
from symreg.fit.projected.tensor import INPUTS, Tensors, triplet_columns
from symreg.fit.solve.linear import ordered
from symreg.fit.solve.solver import Stop
from symreg.terms import Expression, Term


@dataclass(frozen=True)
class FitSettings:
    """How hard constants are fitted."""

    max_steps: int = 12
    """Most Levenberg-Marquardt steps."""
    tolerance: float = 1e-4
    """A relative gain of the loss below this ends the fit."""
    most_cancellation: float = 100.0
    """A term may be this many times larger than the sum of all. Beyond it the sum is a difference
    of large numbers, and its constants cannot be published to a sensible number of digits."""
    finite_alone: bool = True
    """Whether many-body terms must have a finite value for an atom alone."""
    on_all: bool = True
    """Whether many-body terms are fitted to all training labels, or to a few for screening."""


QUICK = FitSettings(on_all=False)
"""For every candidate of a search."""
POLISH = FitSettings(max_steps=100, tolerance=1e-12)
"""For the few candidates that are kept."""
JOINT = replace(POLISH, max_steps=20, tolerance=1e-6)
"""For formulas of several keys, of which a step takes many times as long."""
AS_IT_STANDS = replace(POLISH, max_steps=0)
"""For weights alone."""
AS_IT_IS = replace(POLISH, most_cancellation=np.inf, finite_alone=False)
"""For a form that someone asked for."""


class Fitter:
    """Fits candidates to the training data of a design, or to another problem of its columns."""

    def __init__(self, design: Design, problem: Problem | None = None) -> None:
        self.design = design
        self.problem = problem or design.training
        p = self.problem.target.size
        waves = np.sin(np.outer([1.3, 2.3], np.arange(1, p + 1)))
        scale = float(np.linalg.norm(self.problem.target)) or 1.0
        pairs = len(design.pair_grids)  # these come first
        slots = [k if k < pairs else ON_TENSOR + pairs - k for k in range(len(design.grids))]
        self.grid = Grid(
            np.array(slots, dtype=np.int64),
            design.nodes / design.r0,
            np.ascontiguousarray(self.problem.matrix[:, : design.n_pair_values].T),
            self._tensors(),
            self.problem.target,
            self.problem.rest,
            chebyshev_coefficients(design.n_nodes),
            waves / scale,
        )

    def beside_any_pairs(self) -> Fitter:
        """Fits as if the best smooth pair function stood beside every candidate."""
        return self.freed(self.problem.matrix[:, : self.design.n_pair_values])

    def around(self, expression: Expression) -> Fitter:
        """Fits of pair terms around terms that are held, their constants free to follow."""
        return self.freed(self.columns(expression))

    def freed(self, columns: Floats) -> Fitter:
        """Fits to what no combination of these weighted predictions, shape (P, n), can reach.

        Those that are not finite reach nothing; a ``LinAlgError`` if they cannot be decomposed.
        """
        left, rank = ordered(columns, full_matrices=True)
        beyond = left[:, rank:].T
        both = beyond @ np.column_stack([self.problem.matrix, self.problem.target])
        upper = triangle([both], both.shape[1])
        rest = self.problem.rest + float(upper[-1, -1] ** 2)
        problem = replace(self.problem, matrix=upper[:-1, :-1], target=upper[:-1, -1], rest=rest)
        return Fitter(self.design, problem)

    def _tensors(self) -> Tensors:
        """The three-body part of the problem, by node values."""
        grids, rows, r0 = self.design.triplet_grids, self.problem.target.size, self.design.r0
        pairs = len(self.design.pair_grids)
        matrices, points = [np.empty((0, rows))], [np.empty((0, INPUTS))]
        for k, grid in enumerate(grids, pairs):
            own = self.problem.matrix[:, self.design.place(k)]
            matrix = own if grid.combinations is None else own @ grid.combinations.T
            by_cosine = matrix.T.reshape(-1, grid.n_angular, rows).transpose(1, 0, 2)
            matrices.append(by_cosine.reshape(-1, rows))
            first, second, cosines = grid.points
            points.append(np.array([first / r0, second / r0, cosines]).T)
        sizes = grids[0] if grids else None
        radial, angular = (sizes.n_radial, sizes.n_angular) if sizes else (0, 0)
        return Tensors(
            np.array([grid.distances / r0 for grid in grids]).reshape(len(grids), 2, radial),
            sizes.cosines if sizes else np.empty(0),
            np.array([grid.key.is_unlike for grid in grids], dtype=bool),
            np.cumsum([0, *(grid.size for grid in grids)], dtype=np.int64),
            np.ascontiguousarray(np.concatenate(points)),
            np.ascontiguousarray(np.concatenate(matrices)),
            chebyshev_coefficients(radial) if radial else np.empty((0, 0)),
            chebyshev_coefficients(angular) if angular else np.empty((0, 0)),
            sizes.tail_allowed if sizes else 0.0,
        )

    def fit(
        self,
        candidates: Sequence[Sequence[CodedTerm]],
        settings: FitSettings = QUICK,
        bars: Floats | None = None,  # noqa: ARG002
        moved: Sequence[Sequence[bool]] | None = None,
    ) -> Fits:
        """Fit all candidates from their constants; ``bars`` are for those of ``DirectFitter``.

        Only constants of terms that are ``moved``, where this is told, and those tied to them, are
        fitted, with all weights; the others are held.
        """
        free = None
        if self.design.may_share or moved is not None:
            free = parameters(candidates, self.design.keys, moved)
        return self.fit_arrays(encode(candidates), settings, free)

    def fit_arrays(
        self, batch: Batch, settings: FitSettings = QUICK, parameter: Integers | None = None
    ) -> Fits:
        """Fit all candidates of a batch, which the design projects.

        ``parameter`` tells which constants are tied, as for ``fit_batch``; none unless given.
        """
        found, stop = Fits.room(batch), Stop(settings.max_steps, settings.tolerance)
        free = untied(batch) if parameter is None else parameter
        fit_batch(found, free, self.grid, stop, settings.most_cancellation)
        return found

    def is_direct(self, coded_terms: Sequence[CodedTerm]) -> bool:  # noqa: ARG002
        """Whether the projected design cannot tell what the coded terms predict."""
        return False

    def refit(
        self, terms: Sequence[Term], settings: FitSettings = POLISH
    ) -> tuple[Expression, float]:
        """Fit one list of terms; its expression and loss (inf when it is not valid)."""
        return self.fit(pack([terms], self.design.keys), settings).expression(terms)

    def e0(self, expression: Expression) -> Floats:
        """Energies of free atoms in eV that fit best, shape (n_e0,)."""
        return self.problem.e0(self.coordinates(expression))

    def columns(self, expression: Expression) -> Floats:
        """Derivatives of the weighted predictions by weights, then constants, shape (P, W + K)."""
        by_weight, by_constant = [], []
        for term, weight in expression.weighted():
            column, slopes = self._term_columns(term)
            by_weight.append(column)
            by_constant.append(weight * slopes)
        return np.vstack([*by_weight, *by_constant]).T

    def _term_columns(self, term: Term) -> tuple[Floats, Floats]:
        """Weighted predictions (P,) of a term of weight 1, and derivatives by constants (k, P)."""
        code, arg = encoded(term.tree.shape)
        constants = np.array(term.constants)
        slot, m = int(self.grid.slot[self.design.keys.index(term.key)]), self.design.n_nodes
        if slot < 0:
            tensors = self.grid.tensors
            columns, turned = triplet_columns(code, arg, constants, tensors, ON_TENSOR - slot)
            return columns, turned
        values, slopes = differentiate(code, arg, constants, self.grid.x[slot][None, :], True)
        matrix = self.problem.matrix[:, slot * m : (slot + 1) * m]
        return matrix @ values, slopes @ matrix.T

    def coordinates(self, expression: Expression) -> Floats:
        """Coordinates of an expression in the design, weights as they are, shape (C,)."""
        return self.design.coordinates(expression)

    def residual(self, expression: Expression) -> Floats:
        """Weighted predictions minus labels, weights and constants as they are, shape (P,)."""
        terms = self.columns(expression)[:, : len(expression.weights)]
        return np.asarray(terms @ np.array(expression.weights) - self.problem.target)

    def loss(self, expression: Expression) -> float:
        """Loss at the weights and constants as they are, maybe inf; atomic energies are fitted."""
        with np.errstate(over="ignore", invalid="ignore"):
            gap = self.residual(expression)
            return 0.5 * (float(gap @ gap) + self.problem.rest)

    def weigh(self, expression: Expression) -> Expression:
        """The expression with the best weights for its constants."""
        terms = self.columns(expression)[:, : len(expression.weights)]
        with np.errstate(over="ignore"):
            scale = np.linalg.norm(terms, axis=0)
        if not np.isfinite(scale).all() or not scale.all():
            return expression
        best, _ = solve(self.problem, terms)
        return replace(expression, weights=tuple(map(float, best)))
