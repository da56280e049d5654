"""Evolution of one island: vary, fit, select, generation after generation."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from symreg.constants import QUICK, FitSettings, Fitter
from symreg.expression.canonical import Nested
from symreg.individuals import Gene, Individual, decode, encode, structure
from symreg.kernels.judging import DEPENDENT, FITTED
from symreg.selection import survivors, tournament, without_duplicates
from symreg.variation import Variation, VariationSettings, is_sane

Candidate = tuple[tuple[Gene, ...], int]
"""Genes and birth."""


@dataclass(frozen=True, kw_only=True)
class EvolutionSettings:
    """How an island evolves."""

    population_size: int = 400
    """Individuals kept from one generation to the next."""
    newcomers: float = 0.05
    """Fraction of offspring that are random instead of bred."""
    tries: int = 3
    """How often one structure is fitted, from different constants, within an epoch."""

    def __post_init__(self) -> None:
        """Refuse a population that cannot breed."""
        if self.population_size < 2:
            raise ValueError(
                f"[search] population_size is {self.population_size}; crossover needs at least 2"
            )


@dataclass(frozen=True)
class Generation:
    """What one generation ends with."""

    number: int
    population: list[Individual]
    """Best first."""
    candidates: int
    """Candidates fitted in this generation."""


class Island:
    """One population with all it needs to evolve.

    Parameters
    ----------
    fitter
        Fits candidates to the data.
    settings, variation
        Sizes, rates and limits.
    kinds, loans
        As for ``Variation``.
    """

    def __init__(
        self,
        fitter: Fitter,
        settings: EvolutionSettings,
        variation: VariationSettings,
        kinds: Collection[str] | None = None,
        loans: Sequence[Nested] = (),
    ) -> None:
        self.fitter = fitter
        self.settings = settings
        design = fitter.design
        x_range = float(design.r_lo.min()) / design.r0, design.r_cut / design.r0
        self.variation = Variation(variation, design.keys, x_range, kinds, loans)

    def fit(
        self,
        candidates: Sequence[Candidate],
        settings: FitSettings = QUICK,
    ) -> list[Individual]:
        """Valid individuals from genes and births, constants fitted and written back.

        Those with a term that hardly lowers the loss are fitted once more without it.
        """
        fitted: list[Individual] = []
        while candidates:
            valid, candidates = self._fit(candidates, settings)
            fitted += valid
        return fitted

    def _fit(
        self, candidates: Sequence[Candidate], settings: FitSettings
    ) -> tuple[list[Individual], list[Candidate]]:
        """Valid individuals, and those of the rest that deserve another fit with fewer terms."""
        fits = self.fitter.fit(encode([genes for genes, _ in candidates]), settings)
        fitted: list[Individual] = []
        shorter: list[Candidate] = []
        starts = fits.batch.term_start
        for k, (genes, (_, born)) in enumerate(zip(decode(fits.batch), candidates, strict=True)):
            if fits.outcomes[k] not in (FITTED, DEPENDENT):
                continue
            if not all(is_sane(gene.tree) for gene in genes):
                continue
            weights = fits.weights[starts[k] : starts[k + 1]]
            kept = tuple(
                gene for t, gene in enumerate(genes) if weights[t] != 0 and t != fits.spares[k]
            )
            if len(kept) < len(genes):
                if self.variation.is_whole(kept):
                    shorter.append((kept, born))
                continue
            loss = float(fits.losses[k])
            size = math.sqrt(2 * loss) or 1.0
            one, two = fits.fingerprints[k] / size
            error = self.fitter.design.error(loss)
            shape = (float(one), float(two))
            fitted.append(Individual(genes, error, tuple(map(float, weights)), shape, born))
        return fitted, shorter

    def begin(
        self, rng: np.random.Generator, seeds: Sequence[tuple[Gene, ...]] = ()
    ) -> list[Individual]:
        """First population: random individuals, and ``seeds`` among them.

        Raises
        ------
        ValueError
            If none of them is valid.
        """
        size = self.settings.population_size
        genes = [*seeds, *self.variation.random(2 * size, rng)]
        valid = without_duplicates(self.fit([(g, 0) for g in genes]))
        if not valid:
            raise ValueError(
                "no candidate could be fitted; the training labels may hold no more than the "
                "energies of free atoms: add structures with other distances, or forces"
            )
        return survivors(valid, size, rng)

    def evolve(
        self,
        population: list[Individual],
        generations: int,
        rng: np.random.Generator,
        first: int = 1,
    ) -> Iterator[Generation]:
        """Yield one generation after another; the caller decides when to stop.

        Parameters
        ----------
        population
            Individuals to start from.
        generations
            How many to run.
        rng
            The only source of randomness.
        first
            Number of the first generation.
        """
        tried = Counter(structure(individual.genes) for individual in population)
        size = self.settings.population_size
        for number in range(first, first + generations):
            parents = tournament(population, 2 * size, rng)
            offspring = self.variation.vary(parents, rng)
            newcomers = self.variation.random(max(1, int(self.settings.newcomers * size)), rng)
            offspring += [(genes, number) for genes in newcomers]
            fresh = []
            for genes, born in offspring:
                shape = structure(genes)
                tried[shape] += 1
                if tried[shape] <= self.settings.tries:
                    fresh.append((genes, born))
            fitted = self.fit(fresh) if fresh else []
            population = survivors(without_duplicates([*population, *fitted]), size, rng)
            yield Generation(number, population, len(fresh))
