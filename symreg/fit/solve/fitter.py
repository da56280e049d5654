"""Constants of candidates: fitted on the projected design, with intervals for those that count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from symreg.fit.design import TAIL_LENGTH, Design, Problem, chebyshev_coefficients, triangle
from symreg.fit.programs.batch import Batch
from symreg.fit.programs.evaluation import differentiate
from symreg.fit.programs.packing import pack, tree_arrays
from symreg.fit.solve.batch import fit_batch
from symreg.fit.solve.problem import Grid, Limits
from symreg.fit.solve.tensor import Tensor, triplet_columns
from symreg.terms import Expression, Term

Floats = NDArray[np.float64]

TAIL_ALLOWED = 1e-6
"""A pair function with a larger relative tail is not what its node values say."""
TENSOR_TAIL_ALLOWED = 1e-4
"""The same for a three-body function, in each of its coordinates."""
_SINGULAR = 1e-13
"""Directions that move the labels less than this part of what the strongest does are none."""


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
AS_IT_STANDS = replace(POLISH, max_steps=0)
"""For weights alone."""
AS_IT_IS = replace(POLISH, most_cancellation=np.inf, finite_alone=False)
"""For a form that someone asked for."""


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
    """Codes of ``symreg.fit.solve.judging``, shape (I,)."""
    spares: NDArray[np.int64]
    """The term that hardly lowers the loss, -1 where all do, shape (I,)."""
    fingerprints: Floats
    """Shape (I, 2)."""

    def expression(self, terms: Sequence[Term]) -> tuple[Expression, float]:
        """The one candidate of the batch, whose terms are given, as fitted; and its loss."""
        starts = self.batch.constant_start
        fitted = tuple(
            Term(t.kind, t.species, t.tree.with_constants(self.batch.constants[low:high].tolist()))
            for t, low, high in zip(terms, starts[:-1], starts[1:], strict=True)
        )
        return Expression(fitted, tuple(map(float, self.weights))), float(self.losses[0])


def svd(matrix: Floats, full_matrices: bool = False) -> tuple[Floats, Floats, Floats]:
    """Singular value decomposition of a matrix of finite numbers, as NumPy's.

    Raises
    ------
    numpy.linalg.LinAlgError
        If neither of LAPACK's algorithms converges; it is a ``ValueError``.
    """
    try:
        left, sizes, right = np.linalg.svd(matrix, full_matrices=full_matrices)
    except np.linalg.LinAlgError:
        # Divide and conquer fails on some matrices that nothing is wrong with.
        left, sizes, right = scipy.linalg.svd(matrix, full_matrices, lapack_driver="gesvd")
    return left, sizes, right


def span(columns: Floats) -> Floats:
    """Orthonormal basis of what columns of any scale span, shape (P, rank).

    Columns that are not finite, or too large to be squared, are left out.
    """
    left, rank = _ordered(columns, full_matrices=False)
    return left[:, :rank]


def _ordered(columns: Floats, full_matrices: bool) -> tuple[Floats, int]:
    """Orthonormal directions, those that finite columns span before others; and their number."""
    with np.errstate(over="ignore", invalid="ignore"):
        scale = np.linalg.norm(columns, axis=0)
    known = np.isfinite(scale)
    columns, scale = columns[:, known], scale[known]
    left, sizes, _ = svd(columns / np.where(scale == 0, 1.0, scale), full_matrices)
    return left, int(np.sum(sizes > _SINGULAR * sizes.max(initial=0.0)))


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
            np.ascontiguousarray(self.problem.matrix[:, : design.n_pair_values].T),
            self._tensor(),
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

        Predictions that are not finite reach nothing.

        Raises
        ------
        numpy.linalg.LinAlgError
            If they cannot be decomposed.
        """
        left, rank = _ordered(columns, full_matrices=True)
        beyond = left[:, rank:].T
        both = beyond @ np.column_stack([self.problem.matrix, self.problem.target])
        upper = triangle([both], both.shape[1])
        rest = self.problem.rest + float(upper[-1, -1] ** 2)
        problem = replace(self.problem, matrix=upper[:-1, :-1], target=upper[:-1, -1], rest=rest)
        return Fitter(self.design, problem)

    def _tensor(self) -> Tensor:
        """The three-body part of the problem, by node values."""
        triplets, rows = self.design.triplets, self.problem.target.size
        if triplets is None or triplets.basis is None:
            none = np.empty((0, 0))
            return Tensor(np.empty(0), np.empty(0), none, np.empty((0, 0, rows)), none, none)
        matrix = self.problem.matrix[:, self.design.n_pair_values :] @ triplets.basis.T
        by_cosine = matrix.T.reshape(-1, triplets.n_angular, rows).transpose(1, 0, 2)
        first, second, cosines = triplets.points
        r0 = self.design.r0
        return Tensor(
            triplets.distances / r0,
            triplets.cosines,
            np.array([first / r0, second / r0, cosines]),
            np.ascontiguousarray(by_cosine),
            chebyshev_coefficients(triplets.n_radial),
            chebyshev_coefficients(triplets.n_angular),
        )

    def fit(
        self,
        batch: Batch,
        settings: FitSettings = QUICK,
        bars: Floats | None = None,  # noqa: ARG002
    ) -> Fits:
        """Fit all candidates of a batch; the constants in it are the starting values.

        Candidates with many-body terms whose loss is still above their bar, shape (I,), after two
        steps are given up.
        """
        n, terms = batch.term_start.size - 1, batch.key.size
        batch = batch._replace(constants=batch.constants.copy())
        losses, weights = np.empty(n), np.empty(terms)
        outcomes, fingerprints = np.empty(n, dtype=np.int64), np.empty((n, 2))
        spares = np.empty(n, dtype=np.int64)
        fit_batch(
            batch,
            self.grid,
            Limits(TAIL_LENGTH, TAIL_ALLOWED, TENSOR_TAIL_ALLOWED, settings.most_cancellation),
            settings.max_steps,
            settings.tolerance,
            losses,
            weights,
            outcomes,
            spares,
            fingerprints,
        )
        return Fits(batch, losses, weights, outcomes, spares, fingerprints)

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
        for term, weight in zip(expression.terms, expression.weights, strict=True):
            column, slopes = self._term_columns(term)
            by_weight.append(column)
            by_constant.append(weight * slopes)
        return np.vstack([*by_weight, *by_constant]).T

    def _term_columns(self, term: Term) -> tuple[Floats, Floats]:
        """Weighted predictions (P,) of a term of weight 1, and derivatives by constants (k, P)."""
        code, arg = (np.array(part, dtype=np.int64) for part in tree_arrays(term.tree))
        constants = np.array(term.tree.constants)
        block, m = self.design.keys.index((term.kind, term.species)), self.design.n_nodes
        if term.kind == "three-body":
            column, turned = triplet_columns(code, arg, constants, self.grid.tensor)
            return column, turned
        values, slopes = differentiate(code, arg, constants, self.grid.x[block], False)
        matrix = self.problem.matrix[:, block * m : (block + 1) * m]
        return matrix @ values, slopes @ matrix.T

    def coordinates(self, expression: Expression) -> Floats:
        """Coordinates of an expression in the design, weights as they are, shape (C,)."""
        design, r0 = self.design, self.design.r0
        pairs, triplets = np.zeros_like(design.nodes), None
        if design.triplets is not None:
            triplets = np.zeros(design.triplets.size)
            first, second, cosines = design.triplets.points
        for term, weight in zip(expression.terms, expression.weights, strict=True):
            if term.kind == "three-body" and triplets is not None:
                triplets += weight * term.tree(first / r0, second / r0, cosines)
            else:
                block = design.keys.index((term.kind, term.species))
                pairs[block] += weight * term.tree(design.nodes[block] / r0)
        return design.coordinates(pairs, triplets)

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
        """The same expression with the best weights for its constants."""
        terms = self.columns(expression)[:, : len(expression.weights)]
        with np.errstate(over="ignore"):
            scale = np.linalg.norm(terms, axis=0)
        if not np.isfinite(scale).all() or not scale.all():
            return expression
        best = np.linalg.lstsq(terms / scale, self.problem.target, rcond=1e-13)[0] / scale
        return replace(expression, weights=tuple(map(float, best)))


@dataclass(frozen=True, eq=False)
class Intervals:
    """How well the data determine W weights and K constants, in this order."""

    standard_error: Floats
    """From the covariance at the optimum, shape (W + K,); it takes errors as independent."""
    correlation: Floats
    """Shape (W + K, W + K)."""
    low: Floats
    """2.5th percentile over bootstrap samples, shape (W + K,); NaN where there are too few."""
    high: Floats
    """97.5th percentile."""
    samples: int
    """Bootstrap samples that gave a fit."""


FEWEST_BLOCKS = 5
"""With fewer blocks of structures a bootstrap says nothing."""
SAMPLES = 100
"""Bootstrap samples."""


def bootstrap(design: Design, samples: int = SAMPLES) -> list[Fitter]:
    """Fitters of training data drawn anew; empty when there are too few blocks.

    The bootstrap (Efron, Ann. Statist. 7, 1, 1979) draws blocks of structures that belong
    together, so that correlated frames do not feign certainty.
    """
    blocks = design.block_triangles
    if len(blocks) < FEWEST_BLOCKS:
        return []
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(blocks), size=(samples, len(blocks)))
    samples_of = (triangle([blocks[k] for k in row], design.columns) for row in drawn)
    return [Fitter(design, Problem.of(sample, design.n_e0)) for sample in samples_of]


def intervals(
    fitter: Fitter, expression: Expression, resampled: Sequence[Fitter] = ()
) -> Intervals:
    """Covariance at the optimum, and percentiles over bootstrap samples, of a fitted expression.

    Parameters
    ----------
    fitter
        The data that the expression was fitted to.
    expression
        With fitted weights and constants.
    resampled
        From ``bootstrap``; without it there are no percentiles.
    """
    columns = fitter.columns(expression)
    covariance = covariance_of(fitter, fitter.loss(expression), columns)
    error = np.sqrt(np.diag(covariance))
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = covariance / np.outer(error, error)
    found = _refits(expression, resampled)
    low = high = np.full(error.size, np.nan)
    if found and len(found) >= len(resampled) // 2:
        low, high = np.percentile(found, [2.5, 97.5], axis=0)
    return Intervals(error, correlation, low, high, len(found))


def covariance_of(fitter: Fitter, loss: float, columns: Floats) -> Floats:
    """Covariance of fitted numbers from the derivatives of the predictions by them, (P, n).

    All NaN where the data do not determine the numbers.
    """
    n = columns.shape[1]
    freedom = fitter.design.n_labels - n - fitter.design.n_e0
    if freedom < 1 or not np.isfinite(columns).all():
        return np.full((n, n), np.nan)
    variance = 2.0 * loss / freedom
    scale = np.linalg.norm(columns, axis=0)
    scale[scale == 0] = 1.0
    _, sizes, rotation = svd(columns / scale)
    if sizes[-1] <= 1e-12 * sizes[0]:
        return np.full((n, n), np.nan)
    inverse = (rotation.T / sizes**2) @ rotation
    return np.asarray(variance * inverse / np.outer(scale, scale))


def _refits(expression: Expression, resampled: Sequence[Fitter]) -> list[list[float]]:
    found = []
    for fitter in resampled:
        sample, loss = fitter.refit(expression.terms)
        if np.isfinite(loss):
            constants = [c for term in sample.terms for c in term.tree.constants]
            found.append([*sample.weights, *constants])
    return found
