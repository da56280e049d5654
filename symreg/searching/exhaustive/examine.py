"""Fitting forms: every one from several starts, the best of each complexity kept.

What is found does not depend on how the forms are divided into chunks, nor on their order: a fit
depends on its form and start alone, and of what is kept the best is the same in any order.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from symreg.arrays import Booleans, Integers
from symreg.fit.programs.batch import Batch, CodedTerm, decode
from symreg.fit.projected.batch import Fits
from symreg.fit.projected.fitter import POLISH, FitSettings, Fitter
from symreg.fit.projected.judging import DEPENDENT, FITTED
from symreg.searching.exhaustive.forms import Forms, Terms
from symreg.searching.exhaustive.pieces import ragged
from symreg.searching.exhaustive.starts import MOST_CONSTANTS, Starts, are_sensible
from symreg.searching.individuals import Individual, order_of, reduced_range
from symreg.searching.variation.limits import is_sane


@dataclass(frozen=True, kw_only=True)
class ExamineSettings:
    """How forms are fitted."""

    starts: int = 12
    """Starts of each form, for each of its constants; forms without constants are fitted once."""
    kept: int = 16
    """Forms of each complexity that are fitted once more, as well as can be."""
    fit: FitSettings = field(default_factory=partial(FitSettings, max_steps=20))
    """For every start."""

    def __post_init__(self) -> None:
        """Refuse what finds nothing."""
        for name in ("starts", "kept"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")


@dataclass(frozen=True)
class Examined:
    """Outcome of some forms of one complexity."""

    count: int
    """Forms fitted."""
    best: list[Individual]
    """The best of them, best first; at most ``ExamineSettings.kept``."""


class Examiner:
    """Fits forms, of the keys of the design."""

    def __init__(
        self,
        forms: Forms,
        fitter: Fitter,
        settings: ExamineSettings | None = None,
    ) -> None:
        self.forms, self.fitter = forms, fitter
        self.settings = settings or ExamineSettings()
        self._starts = Starts(
            self.settings.starts * MOST_CONSTANTS,
            reduced_range(fitter.design),
            forms.pieces.addend_code,
            forms.pieces.addend_arg,
            forms.pieces.addend_start,
        )

    def examine(
        self, complexity: int, start: int = 0, stop: int | None = None, bar: float = math.inf
    ) -> Examined:
        """Fit the forms at some places of a complexity, as for ``Forms.terms``.

        Those with an error above the bar are of no interest: as many as are kept are better.
        """
        terms = self.forms.terms(complexity, start, stop)
        if not terms.place.size:
            return Examined(0, [])
        batch, place, form = self.candidates(terms)
        fits = self.fitter.fit_arrays(batch, self.settings.fit)
        losses = np.where(self.are_valid(fits, place), fits.losses, np.inf)
        order = np.lexsort((np.arange(losses.size), losses))
        _, first = np.unique(form[order], return_index=True)
        chosen = order[np.sort(first)]  # the best start of each form, best form first
        chosen = chosen[np.isfinite(losses[chosen])]
        return Examined(terms.place.size, self._best(fits, chosen, bar))

    def candidates(self, terms: Terms) -> tuple[Batch, Integers, Integers]:
        """Every form from every start; places of the constants, and the form of each candidate."""
        pieces = self.forms.pieces
        constants = np.append(np.diff(pieces.constant_start), 0)[terms.pieces].sum(axis=1)
        first, count = terms.term_start[:-1], np.diff(terms.term_start)
        nonlinear = np.add.reduceat(constants, first)
        starts = np.maximum(1, self.settings.starts * nonlinear)
        form = np.repeat(np.arange(count.size), starts)
        start = ragged(np.zeros_like(starts), starts)
        chosen = ragged(first[form], count[form])
        term_start = np.concatenate([[0], np.cumsum(count[form])])
        piece = terms.pieces[chosen]
        there = piece >= 0
        term = np.repeat(np.arange(chosen.size), there.sum(axis=1))
        batch, found = pieces.batch(piece[there], term, terms.key[chosen], term_start)
        values = self._starts.values(found.place, found.number, start[found.candidate])
        return batch._replace(constants=values), found.place, form

    def are_valid(self, fits: Fits, place: Integers) -> Booleans:
        """Which candidates a search would keep: all terms count, all constants are sensible."""
        constants, starts = fits.batch.constants, fits.batch.term_start
        outside = ~are_sensible(place, constants)
        bad = np.concatenate([[0], np.cumsum(outside)])[fits.batch.constant_start[starts]]
        weightless = np.concatenate([[0], np.cumsum(fits.weights == 0)])[starts]
        sound = (np.diff(bad) == 0) & (np.diff(weightless) == 0) & (fits.spares < 0)
        fitted = np.isin(fits.outcomes, (FITTED, DEPENDENT)) & np.isfinite(fits.losses)
        return np.asarray(sound & fitted)

    def _best(self, fits: Fits, chosen: Integers, bar: float) -> list[Individual]:
        """The best candidates of those in order."""
        found: list[Individual] = []
        for candidate in chosen:
            error = self.fitter.design.error(float(fits.losses[candidate]))
            full = len(found) >= self.settings.kept
            if error > bar or (full and error > found[-1].error):
                break
            (coded_terms,) = decode(fits.batch.candidate(int(candidate)))
            found.append(self._individual(coded_terms, fits, int(candidate)))
        return best_of(found, self.settings.kept)

    def _individual(self, coded_terms: tuple[CodedTerm, ...], fits: Fits, k: int) -> Individual:
        low, high = fits.batch.term_start[k : k + 2]
        loss = float(fits.losses[k])
        one, two = fits.fingerprints[k] / (math.sqrt(2 * loss) or 1.0)
        weights = tuple(map(float, fits.weights[low:high]))
        error = self.fitter.design.error(loss)
        return Individual(coded_terms, error, weights, (float(one), float(two)))

    def polished(self, individuals: Sequence[Individual]) -> list[Individual]:
        """Those that are still valid with constants fitted as well as can be."""
        every = [i.coded_terms for i in individuals]
        fits = self.fitter.fit(every, POLISH)
        starts = fits.batch.term_start
        found = []
        for k, coded_terms in enumerate(fits.coded_terms(every)):
            weighted = fits.weights[starts[k] : starts[k + 1]].all() and fits.spares[k] < 0
            valid = fits.outcomes[k] in (FITTED, DEPENDENT) and weighted
            if valid and all(map(is_sane, coded_terms)):
                found.append(self._individual(coded_terms, fits, k))
        return found


def best_of(individuals: Iterable[Individual], count: int) -> list[Individual]:
    """The best individuals, best first; the same whatever their order."""

    def order(individual: Individual) -> tuple[Any, ...]:
        return individual.error, [*map(order_of, individual.coded_terms)]

    return sorted(individuals, key=order)[:count]
