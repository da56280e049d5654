"""Individuals, and the flat arrays in which populations travel."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from symreg.fit.programs.batch import Batch, CodedTerm, decode, encode
from symreg.language import Shape, Tree
from symreg.language.canonical import nested, shaped, terms_of
from symreg.language.operators import WEIGHT_COST
from symreg.terms import Key, Term


class Candidate(NamedTuple):
    """Terms to be fitted."""

    coded_terms: tuple[CodedTerm, ...]
    born: int
    """As of individuals."""
    made: int = -1
    """Index of the operator that made it; -1 for none."""


@dataclass(eq=False)
class Individual:
    """A list of terms with what fitting found."""

    coded_terms: tuple[CodedTerm, ...]
    error: float = math.inf
    """As in tables."""
    weights: tuple[float, ...] = ()
    """Linear weights in eV."""
    fingerprint: tuple[float, float] = (math.nan, math.nan)
    born: int = 0
    """Generation in which it, or the oldest of its ancestors since it was random, arose."""
    screened: float = math.nan
    """Error on the structures for screening; NaN where all were counted from the first."""
    violation: int = 0
    """How many of the physical conditions of the gate it breaks."""
    made: int = -1
    """Index of the operator that made it in this generation; does not travel."""
    complexity: int = field(init=False)
    residuals: tuple[float, float, float] = field(init=False)
    """Equal for valid individuals whose fitted functions leave the same residuals."""

    def __post_init__(self) -> None:
        """Count its complexity, and round what tells residuals apart."""
        self.complexity = complexity(self.coded_terms)
        one, two = self.fingerprint
        size = math.log(max(self.error, 1e-300)) if math.isfinite(self.error) else 0.0
        self.residuals = round(size, 3), round(one, 2), round(two, 2)


def complexity(coded_terms: Iterable[CodedTerm]) -> int:
    """Costs of all nodes, and two for each weight."""
    return sum([coded.shape.cost + WEIGHT_COST for coded in coded_terms])


def n_fitted(coded_terms: Iterable[CodedTerm]) -> int:
    """Fitted reals: weights, and constants in the trees."""
    return sum([1 + coded.shape.n_constants for coded in coded_terms])


def structure(coded_terms: Sequence[CodedTerm]) -> tuple[tuple[int, Shape], ...]:
    """Keys and shapes of an individual: all but the values of its constants."""
    return tuple([coded[:2] for coded in coded_terms])


def coded_terms_of(terms: Sequence[Term], keys: Sequence[Key]) -> tuple[CodedTerm, ...]:
    """Coded terms of terms in canonical form; those of species that do not occur are left out."""
    index = {key: k for k, key in enumerate(keys)}
    return tuple(
        CodedTerm(index[term.key], *shaped(u))
        for term in terms
        if term.key in index
        for u in terms_of(nested(term.tree))
    )


def terms_from(coded_terms: Sequence[CodedTerm], keys: Sequence[Key]) -> tuple[Term, ...]:
    """Terms of coded ones."""
    return tuple(
        Term.at(keys[coded.key], Tree(coded.shape, coded.constants)) for coded in coded_terms
    )


def to_arrays(population: Sequence[Individual]) -> dict[str, np.ndarray]:
    """A population as flat arrays, which ``from_arrays`` reads back to an equal one."""
    arrays = dict(encode([individual.coded_terms for individual in population])._asdict())
    arrays["weights"] = np.array([w for individual in population for w in individual.weights])
    arrays["error"] = np.array([individual.error for individual in population])
    arrays["fingerprint"] = np.array([i.fingerprint for i in population]).reshape(-1, 2)
    arrays["born"] = np.array([individual.born for individual in population], dtype=np.int64)
    arrays["screened"] = np.array([individual.screened for individual in population])
    arrays["violation"] = np.array([i.violation for i in population], dtype=np.int64)
    return arrays


def from_arrays(arrays: Mapping[str, np.ndarray]) -> list[Individual]:
    """Undo ``to_arrays``."""
    batch = Batch(**{name: arrays[name] for name in Batch._fields})
    starts = batch.term_start
    return [
        Individual(
            coded_terms,
            float(arrays["error"][k]),
            tuple(map(float, arrays["weights"][starts[k] : starts[k + 1]])),
            (float(arrays["fingerprint"][k, 0]), float(arrays["fingerprint"][k, 1])),
            int(arrays["born"][k]),
            float(arrays["screened"][k]),
            int(arrays["violation"][k]),
        )
        for k, coded_terms in enumerate(decode(batch))
    ]
