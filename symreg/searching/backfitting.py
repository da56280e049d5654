"""Search by backfitting: other terms while the pair functions are free, pair terms around them.

A good three-body or many-body term is worth little beside poor pair terms, and the other way round,
so that a search for both at once ends where neither can change alone. Apart each is judged as
if the rest were the best possible, as in backfitting (J. H. Friedman and W. Stuetzle, J. Am. Stat.
Assoc. 76, 817, 1981).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import replace
from time import time

import numpy as np

from symreg.arrays import Floats
from symreg.fit.programs.batch import CodedTerm
from symreg.fit.projected.fitter import JOINT, Fitter
from symreg.searching.gate import Gate
from symreg.searching.individuals import Candidate, Individual
from symreg.searching.island import UNGUARDED, EvolutionSettings, Generation, Guard, Island
from symreg.searching.selection import front, survivors, without_duplicates
from symreg.searching.variation import VariationSettings
from symreg.searching.variation.kin import draft
from symreg.searching.variation.parts import radial_parts
from symreg.searching.variation.rates import no_credit

CLOSE = (1.05, 1.5, 3.0)
"""Pair terms are sought around the simplest other terms within these factors of the best."""
ROOM = 2 / 3
"""Part of the complexity that terms without pairs may have; the rest is for pair terms."""
CHEAPER = 10
"""Generations of pair terms for each of the others: they are fitted as many times faster."""


class Backfitting:
    """The populations of one island: whole individuals, and those without pair terms, alone.

    Parameters are those of ``Island``; a gate tests whole individuals.
    """

    guard: Guard = UNGUARDED

    def __init__(
        self,
        fitter: Fitter,
        settings: EvolutionSettings,
        variation: VariationSettings,
        gate: Gate | None = None,
    ) -> None:
        self.settings, self.limits = settings, variation
        self.whole = Island(fitter, settings, variation, gate=gate)
        self.alone: Island | None = None
        others = {key.over for key in fitter.design.keys if not key.is_pair}
        if others:
            limits = replace(
                variation,
                max_complexity=int(ROOM * variation.max_complexity),
                max_constants=variation.max_constants and max(variation.max_constants - 1, 1),
            )
            self.alone = Island(fitter.beside_any_pairs(), settings, limits, others)

    def guarded(self, guard: Guard) -> Backfitting:
        """A copy with a guard against candidates that crash."""
        if guard == self.guard:
            return self
        other = copy(self)
        other.guard = guard
        other.whole, other.alone = copy(self.whole), copy(self.alone)
        for island in (other.whole, other.alone):
            if island is not None:
                island.guard = guard
        return other

    def parts(self, individuals: Iterable[Individual]) -> tuple[list[Individual], list[Individual]]:
        """Whole individuals, and those without pair terms."""
        parts: tuple[list[Individual], list[Individual]] = [], []
        for individual in individuals:
            parts[not self.whole.variation.is_whole(individual.coded_terms)].append(individual)
        return parts

    def begin(
        self,
        rng: np.random.Generator,
        seeds: Sequence[tuple[CodedTerm, ...]] = (),
        deadline: float = math.inf,
    ) -> tuple[list[Individual], int]:
        """First population of each, and the candidates tried; a ``ValueError`` if none is valid.

        Each has half of the time that is left until the deadline, in seconds of ``time.time()``.
        """
        seeds = [one for one in seeds if self.whole.variation.moulds.are_kept(one)]
        half = deadline if self.alone is None else (time() + deadline) / 2
        found, fitted = self.whole.begin(rng, seeds, half), 2 * self.settings.population_size
        if self.alone is None:
            return found, fitted
        try:
            return [*found, *self.alone.begin(rng, deadline=deadline)], 2 * fitted
        except ValueError:  # nothing is left to them beside the best pair function
            return found, 2 * fitted

    def front(self, individuals: Iterable[Individual]) -> list[Individual]:
        """The fronts of both."""
        whole, alone = self.parts(individuals)
        return [*front(whole), *front(alone)]

    def survivors(self, individuals: Iterable[Individual]) -> list[Individual]:
        """The next population of each."""
        size = self.settings.population_size
        parts = (without_duplicates(part) for part in self.parts(individuals))
        return [individual for part in parts if part for individual in survivors(part, size)]

    def evolve(
        self,
        individuals: Sequence[Individual],
        generations: int,
        rng: np.random.Generator,
        first: int = 1,
        credit: Floats | None = None,
        deadline: float = math.inf,
    ) -> tuple[list[Individual], int, Floats]:
        """One after the other; the population, the candidates fitted, the operators' credit.

        No generation begins after the deadline, in seconds of ``time.time()``.
        """
        credit = no_credit() if credit is None else credit
        whole, alone = self.parts(individuals)
        count = 0
        if self.alone is not None and alone:
            evolution = self.alone.evolve(alone, generations, rng, first, credit)
            for generation in _until(deadline, evolution):
                alone, count = generation.population, count + generation.candidates
                credit = generation.credit
            completed, candidates = self._completed(alone, CHEAPER * generations, rng, deadline)
            every = without_duplicates([*whole, *self.whole.chosen(whole, completed)])
            whole, count = survivors(every, self.settings.population_size), count + candidates
        evolution = self.whole.evolve(whole, generations, rng, first, credit)
        for generation in _until(deadline, evolution):
            whole, count = generation.population, count + generation.candidates
            credit = generation.credit
        best = [i for i in front(whole) if self.whole.fitter.is_direct(i.coded_terms)]
        whole = [*whole, *self.whole.polished(best), *self._joint(self.whole, whole)]
        whole = self.whole.judged(whole)
        return [*whole, *alone, *self._joint(self.alone, alone)], count, credit

    def _joint(self, island: Island | None, population: Sequence[Individual]) -> list[Individual]:
        """The front with all constants fitted, where terms of some keys stood still before."""
        if island is None or not island.fitter.design.may_share:
            return []
        best = [i for i in front(population) if not island.fitter.is_direct(i.coded_terms)]
        return island.polished(best, JOINT)

    def _completed(
        self,
        alone: Sequence[Individual],
        generations: int,
        rng: np.random.Generator,
        deadline: float,
    ) -> tuple[list[Individual], int]:
        """Whole individuals: other terms that are held, and the best pair terms around them.

        With them the number of candidates fitted.
        """
        best = front(alone)
        limit = rng.choice(CLOSE) * best[-1].error
        held = next(individual for individual in best if individual.error <= limit)
        limits, fitted = self.limits, self.whole.variation.n_fitted(held.coded_terms)
        n_nonlinear = fitted - len(held.coded_terms)
        left = replace(
            limits,
            max_complexity=limits.max_complexity - held.complexity,
            max_nonlinear=limits.max_nonlinear - n_nonlinear,
            max_constants=limits.max_constants and limits.max_constants - fitted,
        )
        loans = [part for coded in held.coded_terms for part in radial_parts(draft(coded).tree)]
        count = 2 * self.settings.population_size
        try:
            around = self.whole.fitter.around(held.expression(self.whole.fitter.design.keys))
            pairs = {key.over for key in around.design.keys if key.is_pair}
            island = Island(around, self.settings, left, pairs, loans, guard=self.guard)
            population = island.begin(rng)
        except ValueError:
            # Too little complexity is left, or nothing that pair terms could do, or what is held
            # cannot be decomposed.
            return [], count
        for generation in _until(deadline, island.evolve(population, generations, rng)):
            population, count = generation.population, count + generation.candidates
        candidates = [
            Candidate((*i.coded_terms, *held.coded_terms), held.born) for i in front(population)
        ]
        return self.whole.fit(candidates), count


def _until(deadline: float, generations: Iterator[Generation]) -> Iterator[Generation]:
    """Generations that begin before a moment."""
    while time() < deadline and (generation := next(generations, None)) is not None:
        yield generation
