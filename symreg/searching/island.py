"""Evolution of one island: vary, fit, select, generation after generation."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import time

import numpy as np

from symreg.arrays import Floats
from symreg.fit.programs.batch import CodedTerm
from symreg.fit.projected.batch import Fits
from symreg.fit.projected.fitter import AS_IT_STANDS, POLISH, QUICK, FitSettings, Fitter
from symreg.fit.projected.judging import DEPENDENT, FITTED
from symreg.language import Tree
from symreg.language.text import Nested
from symreg.searching.gate import Gate
from symreg.searching.individuals import Candidate, Individual, reduced_range, structure
from symreg.searching.selection import front, survivors, tournament, without_duplicates
from symreg.searching.variation import Variation, VariationSettings
from symreg.searching.variation.limits import is_sane
from symreg.searching.variation.rates import adapted, counted, no_credit

HOPELESS = 4.0
"""How many times the error of the front, at its complexity, a candidate may have in midst a fit."""
GAIN = 0.95
"""An operator has credit for errors below this part of the front's at that complexity."""

MOST_JUDGED = 10
"""So many individuals on the front are tested by the gate in one generation, or a few more."""


BATCH = 20
"""Candidates of a first population, fitted to rows of labels, between two looks at the clock."""


@dataclass(frozen=True, kw_only=True)
class EvolutionSettings:
    """How an island evolves."""

    population_size: int = 400
    """Individuals kept from one generation to the next."""
    newcomers: float = 0.05
    """Fraction of offspring that are random instead of bred."""
    restart: int = 20
    """Generations after which the last of several islands may begin anew; 0 for never."""
    tries: int = 3
    """How often one structure is fitted, from different constants, within an epoch."""

    def __post_init__(self) -> None:
        """Refuse a population that cannot breed."""
        if self.population_size < 2:
            raise ValueError(
                f"[search] population_size is {self.population_size}; crossover needs at least 2"
            )


@dataclass(frozen=True)
class Guard:
    """Against candidates that crash the process that fits them."""

    quarantined: frozenset[str] = frozenset()
    """Names of structures that are not fitted any more, see ``named``."""
    record: Path | None = None
    """Where each candidate is named before it is fitted alone, to learn which crashes."""


UNGUARDED = Guard()


def named(coded_terms: Sequence[CodedTerm]) -> str:
    """Name of a structure: the individual without the values of its constants."""
    return repr([(coded.key, coded.shape.text) for coded in coded_terms])


@dataclass(frozen=True)
class Generation:
    """Outcome of one generation."""

    population: list[Individual]
    """Best first."""
    candidates: int
    """Candidates fitted in this generation."""
    credit: Floats
    """Candidates of each operator and their gains on the front, older ones less, shape (n, 2)."""


class Island:
    """One population with all it needs to evolve; ``overs`` and ``loans`` are for ``Variation``."""

    def __init__(
        self,
        fitter: Fitter,
        settings: EvolutionSettings,
        variation: VariationSettings,
        overs: Collection[str] | None = None,
        loans: Sequence[Nested] = (),
        gate: Gate | None = None,
        guard: Guard = UNGUARDED,
    ) -> None:
        self.fitter, self.settings, self.gate, self.guard = fitter, settings, gate, guard
        design = fitter.design
        self.gates_all = gate is not None and design.many_body
        """Whether all survivors are tested, and not the front alone."""
        self.variation = Variation(variation, design.keys, reduced_range(design), overs, loans)

    def fit(
        self,
        candidates: Sequence[Candidate],
        settings: FitSettings = QUICK,
        rivals: Sequence[Individual] = (),
    ) -> list[Individual]:
        """Valid individuals from coded terms and births, constants fitted and written back.

        Those with a term that hardly lowers the loss are fitted once more without it. What was
        fitted to the structures for screening alone has no error yet; it may be given up where
        ``rivals`` are much better.
        """
        fitted, banned = list[Individual](), self.guard.quarantined
        if banned:
            candidates = [c for c in candidates if named(c.coded_terms) not in banned]
        while candidates:
            valid, candidates = self._fit(candidates, settings, rivals)
            fitted += valid
        return fitted

    def _fit(
        self, candidates: Sequence[Candidate], settings: FitSettings, rivals: Sequence[Individual]
    ) -> tuple[list[Individual], list[Candidate]]:
        """Valid individuals, and those of the rest that deserve another fit with fewer terms."""
        every = [candidate.coded_terms for candidate in candidates]
        moved = [c.moved or (True,) * len(c.coded_terms) for c in candidates]
        some = moved if any(candidate.moved for candidate in candidates) else None
        fits = self._fits(every, settings, self._bars(every, rivals), some)
        fitted, shorter = list[Individual](), list[Candidate]()
        starts, weights = fits.batch.term_start.tolist(), fits.weights.tolist()
        losses, prints = fits.losses.tolist(), fits.fingerprints.tolist()
        valid = np.isin(fits.outcomes, (FITTED, DEPENDENT)).tolist()
        spares = fits.spares.tolist()
        for k, (coded_terms, (_, born, made, _)) in enumerate(
            zip(fits.coded_terms(every), candidates, strict=True)
        ):
            if not (valid[k] and all(map(is_sane, coded_terms))):
                continue
            own = tuple(weights[starts[k] : starts[k + 1]])
            if spares[k] >= 0 or 0.0 in own:
                left = [t for t in range(len(own)) if own[t] != 0 and t != spares[k]]
                kept = [coded_terms[t] for t in left]
                if self.variation.is_whole(kept):
                    free = tuple([moved[k][t] for t in left]) if candidates[k].moved else ()
                    shorter.append(Candidate(tuple(kept), born, made, free))
                if 0.0 in own or not self.variation.lacks_some(kept):
                    continue  # else it is the one term of a pair, which keeps its atoms apart
            size = math.sqrt(2 * losses[k]) or 1.0
            error = self.fitter.design.error(losses[k])
            screened = math.nan
            if not settings.on_all and self.fitter.is_direct(coded_terms):
                error, screened = math.inf, error
            shape = prints[k][0] / size, prints[k][1] / size
            count = self.variation.complexity(coded_terms)
            fitted.append(
                Individual(
                    coded_terms, error, own, shape, born, screened, made=made, complexity=count
                )
            )
        return fitted, shorter

    def _fits(
        self,
        candidates: Sequence[Sequence[CodedTerm]],
        settings: FitSettings,
        bars: np.ndarray | None = None,
        moved: Sequence[Sequence[bool]] | None = None,
    ) -> Fits:
        """Fits of a batch; where a crash is looked for, each candidate is fitted alone before."""
        if self.guard.record is not None:
            for coded_terms in candidates:
                text = " and ".join(str(Tree(shape, values)) for _, shape, values in coded_terms)
                self.guard.record.write_text(f"{named(coded_terms)}\n{text}\n", encoding="utf-8")
                self.fitter.fit([coded_terms], settings)
        return self.fitter.fit(candidates, settings, bars, moved)

    def _bars(
        self, candidates: Sequence[Sequence[CodedTerm]], rivals: Sequence[Individual]
    ) -> np.ndarray | None:
        """Losses above which candidates are not worth the rest of their fit."""
        if not any(map(self.fitter.is_direct, candidates)):
            return None
        best = front(map(_by_screening, rivals))
        sizes = [i.complexity for i in best]
        losses = [np.inf, *(self.fitter.design.loss_of(HOPELESS * i.error) for i in best)]
        counts = map(self.variation.complexity, candidates)
        return np.array([losses[bisect_right(sizes, count)] for count in counts])

    def chosen(
        self, population: Sequence[Individual], fitted: Sequence[Individual]
    ) -> list[Individual]:
        """Those of the newly fitted that would survive by what screening says of all, scored.

        The others are left out: a score over all labels costs many times what screening does, and
        the gate as much.
        """
        if not self.gates_all and all(math.isfinite(i.error) for i in fitted):
            return list(fitted)
        screened = [_by_screening(i) for i in (*population, *fitted)]
        best = survivors(without_duplicates(screened), self.settings.population_size)
        names = {id(view.coded_terms) for view in best}
        ahead = [i for i in fitted if id(i.coded_terms) in names]
        known = [i for i in ahead if math.isfinite(i.error)]
        known = [self.gated(i) for i in known] if self.gates_all else known
        return [*known, *self.scored([i for i in ahead if not math.isfinite(i.error)])]

    def scored(self, individuals: Sequence[Individual]) -> list[Individual]:
        """Individuals with their weights and errors over all training labels, and gated."""
        fits = self._fits([i.coded_terms for i in individuals], AS_IT_STANDS)
        starts = fits.batch.term_start
        scored = []
        for k, individual in enumerate(individuals):
            if fits.outcomes[k] in (FITTED, DEPENDENT):
                weights = tuple(map(float, fits.weights[starts[k] : starts[k + 1]]))
                error = self.fitter.design.error(float(fits.losses[k]))
                scored.append(replace(individual, error=error, weights=weights))
        return [self.gated(i) for i in scored] if self.gates_all else scored

    def gated(self, individual: Individual) -> Individual:
        """The individual with the number of conditions of the gate that it breaks."""
        if self.gate is None:
            return individual
        found = self.gate.verdict(individual.expression(self.fitter.design.keys))
        broken, lower = len(found.broken), len(found.lower)
        if self.gates_all:
            return replace(individual, violation=broken, unsound=lower)
        return replace(individual, unsound=broken + lower)

    def judged(self, population: Sequence[Individual], most: float = math.inf) -> list[Individual]:
        """The population, all that is on its front tested by the gate.

        After ``most`` individuals, or a few more, the rest waits for another time.
        """
        known, count = list(population), 0
        while self.gate is not None and count < most:
            new = {id(i) for i in front(known) if i.unsound < 0}
            if not new:
                break
            known, count = [self.gated(i) if id(i) in new else i for i in known], count + len(new)
        return known

    def polished(
        self, individuals: Sequence[Individual], settings: FitSettings = POLISH
    ) -> list[Individual]:
        """Individuals with all their constants fitted to all training labels."""
        found = self.fit([Candidate(i.coded_terms, i.born) for i in individuals], settings)
        known = {structure(i.coded_terms): i.screened for i in individuals}
        for individual in found:
            if self.fitter.is_direct(individual.coded_terms):
                shape = structure(individual.coded_terms)
                individual.screened = known.get(shape, individual.error)
        return [self.gated(individual) for individual in found]

    def begin(
        self,
        rng: np.random.Generator,
        seeds: Sequence[tuple[CodedTerm, ...]] = (),
        deadline: float = math.inf,
    ) -> list[Individual]:
        """First population: random individuals and ``seeds``; a ``ValueError`` if none is valid.

        Later than the deadline, in seconds of ``time.time()``, no batch of those is fitted whose
        fits take long, the first excepted.
        """
        size = self.settings.population_size
        coded_terms = [*seeds, *self.variation.random(2 * size, rng)]
        fitted = self._begun([Candidate(g, 0) for g in coded_terms], deadline)
        valid = without_duplicates(self.chosen([], fitted))
        if not valid:
            raise ValueError(
                "no candidate could be fitted; the training labels may hold no more than the "
                "energies of free atoms: add structures with other distances, or forces"
            )
        return survivors(self.judged(valid, MOST_JUDGED), size)

    def _begun(self, candidates: Sequence[Candidate], deadline: float) -> list[Individual]:
        """Valid individuals of the first population, as far as there is time."""
        slow = [c for c in candidates if self.fitter.is_direct(c.coded_terms)]
        if not slow or math.isinf(deadline):
            return self.fit(candidates)
        fitted = self.fit([c for c in candidates if not self.fitter.is_direct(c.coded_terms)])
        for first in range(0, len(slow), BATCH):
            if first and time() >= deadline:
                break
            fitted += self.fit(slow[first : first + BATCH])
        return fitted

    def evolve(
        self,
        population: list[Individual],
        generations: int,
        rng: np.random.Generator,
        first: int = 1,
        credit: Floats | None = None,
    ) -> Iterator[Generation]:
        """Yield one generation after another from number ``first``; rates follow the credit."""
        credit = no_credit() if credit is None else credit
        base = self.variation.base_rates
        tried = Counter(structure(individual.coded_terms) for individual in population)
        size = self.settings.population_size
        for number in range(first, first + generations):
            parents = tournament(population, 2 * size, rng)
            offspring = self.variation.vary(parents, rng, adapted(base, credit))
            newcomers = self.variation.random(max(1, int(self.settings.newcomers * size)), rng)
            offspring += [Candidate(coded_terms, number) for coded_terms in newcomers]
            fresh = []
            for candidate in offspring:
                shape = structure(candidate.coded_terms)
                tried[shape] += 1
                if tried[shape] <= self.settings.tries:
                    fresh.append(candidate)
            fitted = self.chosen(population, self.fit(fresh, rivals=population)) if fresh else []
            gains = _gains(front(population), fitted)
            credit = counted(credit, [c.made for c in fresh], [i.made for i in gains])
            every = self.judged(without_duplicates([*population, *fitted]), MOST_JUDGED)
            population = survivors(every, size)
            yield Generation(population, len(fresh), credit)


def _gains(best: Sequence[Individual], fitted: Sequence[Individual]) -> list[Individual]:
    """Individuals with errors well below those of a front at their complexity."""
    sizes = [i.complexity for i in best]
    bars = [math.inf, *(GAIN * i.error for i in best)]
    return [
        i
        for i in fitted
        if not i.violation and i.unsound <= 0 and i.error < bars[bisect_right(sizes, i.complexity)]
    ]


def _by_screening(individual: Individual) -> Individual:
    """The individual as the structures for screening show it, like all candidates."""
    if math.isnan(individual.screened):
        return individual
    return replace(individual, error=individual.screened, violation=0, unsound=0)
