"""Search by blocks: three-body terms while the pair functions are free, pair terms around them.

A good three-body term is worth little beside poor pair terms, and the other way round, so that a
search for both at once ends where neither can change alone. By blocks each is judged as if the rest
were the best possible, as in backfitting (J. H. Friedman and W. Stuetzle, J. Am. Stat. Assoc. 76,
817, 1981).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from symreg.constants import Fitter
from symreg.evolution import EvolutionSettings, Island
from symreg.expression import Expression
from symreg.individuals import Gene, Individual, n_constants, terms_from
from symreg.selection import front, survivors, without_duplicates
from symreg.variation import VariationSettings

CLOSE = (1.05, 1.5, 3.0)
"""Pair terms are sought around the simplest three-body terms within these factors of the best."""
ROOM = 2 / 3
"""Part of the complexity that three-body terms alone may have; the rest is for pair terms."""
CHEAPER = 10
"""Generations of pair terms for each of the others: they are fitted as many times faster."""


class Blocks:
    """The blocks of one island: whole individuals, and three-body terms alone.

    Parameters
    ----------
    fitter, settings, variation
        As for ``Island``.
    """

    def __init__(
        self, fitter: Fitter, settings: EvolutionSettings, variation: VariationSettings
    ) -> None:
        self.settings = settings
        self.limits = variation
        self.whole = Island(fitter, settings, variation)
        self.alone: Island | None = None
        if fitter.design.triplets is not None:
            pairs = fitter.problem.matrix[:, : fitter.design.n_pair_values]
            limits = replace(variation, max_complexity=int(ROOM * variation.max_complexity))
            self.alone = Island(fitter.freed(pairs), settings, limits, ("three-body",))

    def parts(self, individuals: Iterable[Individual]) -> tuple[list[Individual], list[Individual]]:
        """Whole individuals, and those of three-body terms alone."""
        whole: list[Individual] = []
        alone: list[Individual] = []
        for individual in individuals:
            (whole if self.whole.variation.is_whole(individual.genes) else alone).append(individual)
        return whole, alone

    def begin(
        self, rng: np.random.Generator, seeds: Sequence[tuple[Gene, ...]] = ()
    ) -> tuple[list[Individual], int]:
        """First population of every block, and the candidates fitted; ``seeds`` are whole.

        Raises
        ------
        ValueError
            If nothing can be fitted.
        """
        found, fitted = self.whole.begin(rng, seeds), 2 * self.settings.population_size
        if self.alone is None:
            return found, fitted
        try:
            return [*found, *self.alone.begin(rng)], 2 * fitted
        except ValueError:  # nothing is left to them beside the best pair function
            return found, 2 * fitted

    def front(self, individuals: Iterable[Individual]) -> list[Individual]:
        """The fronts of both."""
        whole, alone = self.parts(individuals)
        return [*front(whole), *front(alone)]

    def survivors(
        self, individuals: Iterable[Individual], rng: np.random.Generator
    ) -> list[Individual]:
        """The next population of each."""
        size = self.settings.population_size
        parts = (without_duplicates(part) for part in self.parts(individuals))
        return [individual for part in parts if part for individual in survivors(part, size, rng)]

    def evolve(
        self,
        individuals: Sequence[Individual],
        generations: int,
        rng: np.random.Generator,
        first: int = 1,
    ) -> tuple[list[Individual], int]:
        """One block after another; the population and the candidates fitted."""
        whole, alone = self.parts(individuals)
        count = 0
        if self.alone is not None and alone:
            for generation in self.alone.evolve(alone, generations, rng, first):
                alone, count = generation.population, count + generation.candidates
            completed, candidates = self._completed(alone, CHEAPER * generations, rng)
            whole = survivors(
                without_duplicates([*whole, *completed]), self.settings.population_size, rng
            )
            count += candidates
        for generation in self.whole.evolve(whole, generations, rng, first):
            whole, count = generation.population, count + generation.candidates
        return [*whole, *alone], count

    def _completed(
        self, alone: Sequence[Individual], generations: int, rng: np.random.Generator
    ) -> tuple[list[Individual], int]:
        """Whole individuals: three-body terms that are held, and the best pair terms around them.

        With them the number of candidates fitted.
        """
        best = front(alone)
        limit = rng.choice(CLOSE) * best[-1].error
        held = next(individual for individual in best if individual.error <= limit)
        fitter, keys = self.whole.fitter, self.whole.fitter.design.keys
        terms = Expression(terms_from(held.genes, keys), held.weights)
        left = replace(
            self.limits,
            max_complexity=self.limits.max_complexity - held.complexity,
            max_constants=self.limits.max_constants - sum(n_constants(g.tree) for g in held.genes),
        )
        loans = [gene.tree[1] for gene in held.genes if gene.tree[0] == "product"]
        around = fitter.freed(fitter.columns(terms))
        island = Island(around, self.settings, left, ("pair",), loans)
        count = 2 * self.settings.population_size
        try:
            population = island.begin(rng)
        except ValueError:  # too little complexity is left, or nothing that pair terms could do
            return [], count
        for generation in island.evolve(population, generations, rng):
            population, count = generation.population, count + generation.candidates
        candidates = [((*i.genes, *held.genes), held.born) for i in front(population)]
        return self.whole.fit(candidates), count
