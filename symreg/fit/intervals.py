"""How well the data determine fitted numbers: covariance at the optimum, and the bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from symreg.arrays import Floats
from symreg.fit.design import Design
from symreg.fit.design.cost import GB
from symreg.fit.projected.fitter import JOINT, POLISH, Fitter
from symreg.fit.solve.linear import covariance
from symreg.terms import Expression


@dataclass(frozen=True, eq=False)
class Intervals:
    """How well the data determine W weights and K free constants, those that are tied being one."""

    standard_error: Floats
    """From the covariance at the optimum, shape (W + K,); it takes errors as independent."""
    correlation: Floats
    """Covariance over products of standard errors, shape (W + K, W + K)."""
    low: Floats
    """2.5th percentile over bootstrap samples, shape (W + K,); NaN where there are too few."""
    high: Floats
    """97.5th percentile, shape (W + K,); NaN where there are too few."""
    samples: int
    """Bootstrap samples that gave a fit."""
    covariance: Floats
    """Shape (W + K, W + K); NaN where the data do not determine the numbers."""


FEWEST_BLOCKS = 5
"""With fewer blocks of structures a bootstrap says nothing."""
SAMPLES, FEWEST_SAMPLES = 100, 20
"""Bootstrap samples that are drawn, and the fewest that tell a percentile of a few."""
MOST_MEMORY = 0.5
"""GB that the fitters of all samples may take."""


def bootstrap(
    design: Design, samples: int = SAMPLES, max_memory: float = MOST_MEMORY
) -> list[Fitter]:
    """Fitters of training data drawn anew; empty when there are too few blocks.

    They are as many as ``max_memory`` in GB holds; none, if it holds less than ``FEWEST_SAMPLES``.

    The bootstrap (Efron, Ann. Statist. 7, 1, 1979) draws blocks of structures that belong
    together, so that correlated frames do not feign certainty.
    """
    blocks = design.block_triangles
    if len(blocks) < FEWEST_BLOCKS:
        return []
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(blocks), size=(samples, len(blocks)))[
        : most_samples(design, max_memory)
    ]
    samples_of = ([blocks[k] for k in row] for row in drawn)
    return [Fitter(design, design.problem_of(sample)) for sample in samples_of]


def most_samples(design: Design, max_memory: float = MOST_MEMORY) -> int:
    """Bootstrap samples whose fitters ``max_memory`` in GB holds; 0 if they would tell nothing."""
    rows = design.columns - design.n_e0
    # The matrix, and that of pairs and of triplets by their node values once more.
    columns = rows + design.n_pair_values + sum(grid.size for grid in design.triplet_grids)
    most = int(max_memory * GB / (8 * rows * columns))
    return most if most >= FEWEST_SAMPLES else 0


def intervals(
    fitter: Fitter, expression: Expression, resampled: Sequence[Fitter] = ()
) -> Intervals:
    """Covariance at the optimum, and percentiles over bootstrap samples, of a fitted expression.

    Without fitters from ``bootstrap`` there are no percentiles.
    """
    found_covariance = covariance_of(fitter, expression)
    error = np.sqrt(np.diag(found_covariance))
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = found_covariance / np.outer(error, error)
    settings = JOINT if fitter.design.may_share else POLISH
    refits = [sample.refit(expression.terms, settings) for sample in resampled]
    free = np.unique(expression.sharing.parameter, return_index=True)[1]
    found = []
    for sample, loss in refits:
        if np.isfinite(loss):
            constants = [c for term in sample.terms for c in term.constants]
            found.append([*sample.weights, *(constants[k] for k in free)])
    low = high = np.full(error.size, np.nan)
    if found and len(found) >= len(resampled) // 2:
        low, high = np.percentile(found, [2.5, 97.5], axis=0)
    return Intervals(error, correlation, low, high, len(found), found_covariance)


def covariance_of(fitter: Fitter, expression: Expression, *, weights_fitted: bool = True) -> Floats:
    """Covariance of weights, then free constants, of a fitted expression, shape (W + K, W + K).

    NaN where the data do not determine them; 0 for weights that are not fitted.
    """
    columns = _joined(fitter.columns(expression), expression)
    first = 0 if weights_fitted else len(expression.weights)
    freedom = fitter.design.n_labels - (columns.shape[1] - first) - fitter.design.n_e0
    found = np.zeros((columns.shape[1], columns.shape[1]))
    found[first:, first:] = covariance(columns[:, first:], fitter.loss(expression), freedom)
    return found


def _joined(columns: Floats, expression: Expression) -> Floats:
    """Columns by weights and constants with those by tied constants added up, shape (P, W + K)."""
    n, tied = len(expression.weights), expression.sharing.parameter
    if not expression.sharing.is_tied:
        return columns
    found = np.zeros((len(columns), n + len(set(tied))))
    found[:, :n] = columns[:, :n]
    np.add.at(found.T, [n + number for number in tied], columns[:, n:].T)
    return found
