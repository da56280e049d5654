"""Individuals, and the flat arrays in which populations travel."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from symreg.fit.design import Design
from symreg.fit.programs.batch import Batch, CodedTerm, decode, encode
from symreg.language import Shape, Tree
from symreg.language.canonical import nested, shaped, terms_of
from symreg.language.operators import WEIGHT_COST
from symreg.terms import Expression, Key, Term
from symreg.terms.sharing import Sharing, may_share, sharing

Arrays = Mapping[str, np.ndarray]
"""A population, or what else travels by name."""


class Candidate(NamedTuple):
    """Terms to be fitted."""

    coded_terms: tuple[CodedTerm, ...]
    born: int
    """As of individuals."""
    made: int = -1
    """Index of the operator that made it; -1 for none."""
    moved: tuple[bool, ...] = ()
    """Terms whose constants are to be fitted, the others being held; empty for all."""


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
    unsound: int = -1
    """How many conditions it breaks of those that are tested on the front alone; -1: untested."""
    made: int = -1
    """Index of the operator that made it in this generation; does not travel."""
    complexity: int = -1
    """Complexity as ``complexity`` counts it; of terms that share nothing unless given."""
    residuals: tuple[float, float, float] = field(init=False)
    """Equal for valid individuals whose fitted functions leave the same residuals."""

    def __post_init__(self) -> None:
        """Count its complexity, and round what tells residuals apart."""
        if self.complexity < 0:
            self.complexity = complexity(self.coded_terms)
        one, two = self.fingerprint
        size = math.log(max(self.error, 1e-300)) if math.isfinite(self.error) else 0.0
        self.residuals = round(size, 3), round(one, 2), round(two, 2)

    def expression(self, keys: Sequence[Key]) -> Expression:
        """The function that it is; ``keys`` are those of the design."""
        return Expression(terms_from(self.coded_terms, keys), self.weights)


def complexity(coded_terms: Iterable[CodedTerm], keys: Sequence[Key] = ()) -> int:
    """Costs of all nodes, and two for each weight; a form counts once that ``keys`` share."""
    if not may_share(keys):
        return sum([coded.shape.cost + WEIGHT_COST for coded in coded_terms])
    return shared(coded_terms, keys).complexity


def n_fitted(coded_terms: Iterable[CodedTerm], keys: Sequence[Key] = ()) -> int:
    """Fitted reals: weights, and constants in the trees; one that ``keys`` share is one."""
    if not may_share(keys):
        return sum([1 + coded.shape.n_constants for coded in coded_terms])
    return shared(coded_terms, keys).n_constants


def shared(coded_terms: Iterable[CodedTerm], keys: Sequence[Key]) -> Sharing:
    """Forms and constants that terms share."""
    return sharing((keys[key], shape, own) for key, shape, own in coded_terms)


def order_of(coded: CodedTerm) -> tuple[int, str, tuple[float, ...]]:
    """By what terms are ordered."""
    return coded.key, coded.shape.text, coded.constants


def reduced_range(design: Design) -> tuple[float, float]:
    """Smallest and largest reduced distance of the data."""
    return float(design.r_lo.min()) / design.r0, design.r_cut / design.r0


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
    return {
        **encode([i.coded_terms for i in population])._asdict(),
        "weights": np.array([w for i in population for w in i.weights]),
        "error": np.array([i.error for i in population]),
        "fingerprint": np.array([i.fingerprint for i in population]).reshape(-1, 2),
        "born": np.array([i.born for i in population], dtype=np.int64),
        "screened": np.array([i.screened for i in population]),
        "violation": np.array([i.violation for i in population], dtype=np.int64),
        "unsound": np.array([i.unsound for i in population], dtype=np.int64),
        "complexity": np.array([i.complexity for i in population], dtype=np.int64),
    }


def from_arrays(arrays: Arrays) -> list[Individual]:
    """Undo ``to_arrays``."""
    batch = Batch(**{name: arrays[name] for name in Batch._fields})
    weights, cuts = arrays["weights"].tolist(), pairwise(batch.term_start.tolist())
    names = "error", "fingerprint", "born", "screened", "violation", "unsound", "complexity"
    untested = {"unsound": np.full(arrays["error"].size, -1)}  # by older versions
    columns = ({**untested, **arrays}[name].tolist() for name in names)
    return [
        Individual(
            coded_terms,
            error,
            tuple(weights[low:high]),
            tuple(fingerprint),
            born,
            screened,
            violation,
            unsound,
            complexity=size,
        )
        for coded_terms, (
            low,
            high,
        ), error, fingerprint, born, screened, violation, unsound, size in zip(
            decode(batch), cuts, *columns, strict=True
        )
    ]
