"""Evolution of one island: vary, fit, select, generation after generation."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from symreg.fit.solve.fitter import AS_IT_STANDS, POLISH, QUICK, Fits, FitSettings, Fitter
from symreg.fit.solve.judging import DEPENDENT, FITTED
from symreg.language.canonical import Nested, tree_of
from symreg.searching.gate import Gate
from symreg.searching.individuals import (
    Candidate,
    Fitness,
    Gene,
    Individual,
    complexity,
    decode,
    encode,
    structure,
    terms_from,
)
from symreg.searching.selection import front, survivors, tournament, without_duplicates
from symreg.searching.variation import (
    Variation,
    VariationSettings,
    adapted,
    counted,
    is_sane,
    no_credit,
)
from symreg.terms import Expression

Floats = NDArray[np.float64]
HOPELESS = 4.0
"""How many times the error of the front, at its complexity, a candidate may have in midst a fit."""

GAIN = 0.95
"""An operator has credit for errors below this part of the front's at that complexity."""


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
    """Against candidates that crash the process that fits them, as compiled code may."""

    quarantined: frozenset[str] = frozenset()
    """Names of structures that are not fitted any more, see ``named``."""
    record: Path | None = None
    """Where each candidate is named before it is fitted alone, to learn which crashes."""

    def admits(self, genes: Sequence[Gene]) -> bool:
        """Whether a candidate may be fitted."""
        return not self.quarantined or named(genes) not in self.quarantined

    def note(self, genes: Sequence[Gene]) -> None:
        """Name what is fitted now."""
        if self.record is not None:
            text = " and ".join(str(tree_of(gene.tree)) for gene in genes)
            self.record.write_text(f"{named(genes)}\n{text}\n", encoding="utf-8")


UNGUARDED = Guard()


def named(genes: Sequence[Gene]) -> str:
    """Name of a structure: the individual without the values of its constants."""
    return repr(structure(genes))


@dataclass(frozen=True)
class Generation:
    """What one generation ends with."""

    number: int
    population: list[Individual]
    """Best first."""
    candidates: int
    """Candidates fitted in this generation."""
    credit: Floats
    """Candidates of each operator and their gains on the front, older ones less, shape (n, 2)."""


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
    gate
        Tests whether individuals are physical; without it none is tested.
    guard
        Keeps away candidates that crash.
    """

    def __init__(
        self,
        fitter: Fitter,
        settings: EvolutionSettings,
        variation: VariationSettings,
        kinds: Collection[str] | None = None,
        loans: Sequence[Nested] = (),
        gate: Gate | None = None,
        guard: Guard = UNGUARDED,
    ) -> None:
        self.fitter = fitter
        self.settings = settings
        self.gate = gate
        self.guard = guard
        design = fitter.design
        x_range = float(design.r_lo.min()) / design.r0, design.r_cut / design.r0
        self.variation = Variation(variation, design.keys, x_range, kinds, loans)

    def fit(
        self,
        candidates: Sequence[Candidate],
        settings: FitSettings = QUICK,
        rivals: Sequence[Individual] = (),
    ) -> list[Individual]:
        """Valid individuals from genes and births, constants fitted and written back.

        Those with a term that hardly lowers the loss are fitted once more without it. What was
        fitted to the structures for screening alone has no error yet; it may be given up where
        ``rivals`` are much better.
        """
        fitted: list[Individual] = []
        candidates = [candidate for candidate in candidates if self.guard.admits(candidate[0])]
        while candidates:
            valid, candidates = self._fit(candidates, settings, rivals)
            fitted += valid
        return fitted

    def _fit(
        self, candidates: Sequence[Candidate], settings: FitSettings, rivals: Sequence[Individual]
    ) -> tuple[list[Individual], list[Candidate]]:
        """Valid individuals, and those of the rest that deserve another fit with fewer terms."""
        every = [candidate.genes for candidate in candidates]
        fits = self._fits(every, settings, self._bars(every, rivals))
        fitted: list[Individual] = []
        shorter: list[Candidate] = []
        starts = fits.batch.term_start
        for k, (genes, (_, *origin)) in enumerate(zip(decode(fits.batch), candidates, strict=True)):
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
                    shorter.append(Candidate(kept, *origin))
                continue
            loss = float(fits.losses[k])
            size = math.sqrt(2 * loss) or 1.0
            one, two = fits.fingerprints[k] / size
            error = self.fitter.design.error(loss)
            shape = (float(one), float(two))
            born, made = origin
            found = Individual(genes, error, tuple(map(float, weights)), shape, born, made=made)
            if not settings.on_all and self.is_direct(genes):
                found = replace(found, error=math.inf, screened=error)
            fitted.append(found)
        return fitted, shorter

    def _fits(
        self,
        candidates: Sequence[Sequence[Gene]],
        settings: FitSettings,
        bars: np.ndarray | None = None,
    ) -> Fits:
        """Fits of a batch; where a crash is looked for, each candidate is fitted alone before."""
        if self.guard.record is not None:
            for genes in candidates:
                self.guard.note(genes)
                self.fitter.fit(encode([genes]), settings)
        return self.fitter.fit(encode(candidates), settings, bars)

    def _bars(
        self, candidates: Sequence[Sequence[Gene]], rivals: Sequence[Individual]
    ) -> np.ndarray | None:
        """Losses above which candidates are not worth the rest of their fit."""
        best = front([_by_screening(i) for i in rivals])
        if not best or not any(map(self.is_direct, candidates)):
            return None
        sizes = [i.complexity for i in best]
        losses = [self.fitter.design.loss_of(HOPELESS * i.error) for i in best]
        places = np.searchsorted(sizes, [complexity(genes) for genes in candidates], "right") - 1
        return np.where(places < 0, np.inf, np.array(losses)[places])

    def is_direct(self, genes: Sequence[Gene]) -> bool:
        """Whether the projected design cannot tell what the genes predict."""
        return any(self.fitter.design.keys[gene.key][0] == "many-body" for gene in genes)

    def chosen(
        self,
        population: Sequence[Individual],
        fitted: Sequence[Individual],
        rng: np.random.Generator,
    ) -> list[Individual]:
        """Those of the newly fitted that would survive by what screening says of all, scored.

        The others are left out: a score over all labels costs many times what screening does, and
        the gate as much.
        """
        if self.gate is None and all(math.isfinite(i.error) for i in fitted):
            return list(fitted)
        screened = [_by_screening(i) for i in (*population, *fitted)]
        best = survivors(without_duplicates(screened), self.settings.population_size, rng)
        names = {id(view.genes) for view in best}
        ahead = [i for i in fitted if id(i.genes) in names]
        known = [self.gated(i) for i in ahead if math.isfinite(i.error)]
        return [*known, *self.scored([i for i in ahead if not math.isfinite(i.error)])]

    def scored(self, individuals: Sequence[Individual]) -> list[Individual]:
        """Individuals with their weights and errors over all training labels, and gated."""
        if not individuals:
            return []
        fits = self._fits([i.genes for i in individuals], AS_IT_STANDS)
        starts = fits.batch.term_start
        scored = []
        for k, individual in enumerate(individuals):
            if fits.outcomes[k] in (FITTED, DEPENDENT):
                weights = tuple(map(float, fits.weights[starts[k] : starts[k + 1]]))
                error = self.fitter.design.error(float(fits.losses[k]))
                scored.append(replace(individual, error=error, weights=weights, fitness=Fitness()))
        return [self.gated(individual) for individual in scored]

    def gated(self, individual: Individual) -> Individual:
        """The individual with the number of conditions of the gate that it breaks."""
        if self.gate is None:
            return individual
        terms = terms_from(individual.genes, self.fitter.design.keys)
        broken = self.gate.broken(Expression(terms, individual.weights))
        return replace(individual, violation=len(broken), fitness=Fitness())

    def polished(self, individuals: Sequence[Individual]) -> list[Individual]:
        """Individuals with their constants fitted to all training labels, as well as can be."""
        if not individuals:
            return []
        found = self.fit([Candidate(i.genes, i.born) for i in individuals], POLISH)
        known = {structure(i.genes): i.screened for i in individuals}
        screened = [
            replace(i, screened=known.get(structure(i.genes), i.error), fitness=Fitness())
            if self.is_direct(i.genes)
            else i
            for i in found
        ]
        return [self.gated(individual) for individual in screened]

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
        fitted = self.fit([Candidate(g, 0) for g in genes])
        valid = without_duplicates(self.chosen([], fitted, rng))
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
        credit: Floats | None = None,
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
        credit
            Of each of ``OPERATORS`` from before; their rates follow it.
        """
        credit = no_credit() if credit is None else credit
        base = self.variation.base_rates
        tried = Counter(structure(individual.genes) for individual in population)
        size = self.settings.population_size
        for number in range(first, first + generations):
            parents = tournament(population, 2 * size, rng)
            offspring = self.variation.vary(parents, rng, adapted(base, credit))
            newcomers = self.variation.random(max(1, int(self.settings.newcomers * size)), rng)
            offspring += [Candidate(genes, number) for genes in newcomers]
            fresh = []
            for candidate in offspring:
                shape = structure(candidate.genes)
                tried[shape] += 1
                if tried[shape] <= self.settings.tries:
                    fresh.append(candidate)
            fitted = (
                self.chosen(population, self.fit(fresh, rivals=population), rng) if fresh else []
            )
            gains = _gains(front(population), fitted)
            credit = counted(credit, [c.made for c in fresh], [i.made for i in gains])
            population = survivors(without_duplicates([*population, *fitted]), size, rng)
            yield Generation(number, population, len(fresh), credit)


def _gains(best: Sequence[Individual], fitted: Sequence[Individual]) -> list[Individual]:
    """Individuals with errors well below those of a front at their complexity."""
    sizes = [i.complexity for i in best]
    places = [bisect_right(sizes, i.complexity) for i in fitted]
    return [
        i
        for place, i in zip(places, fitted, strict=True)
        if not i.violation and (not place or i.error < GAIN * best[place - 1].error)
    ]


def _by_screening(individual: Individual) -> Individual:
    """The individual as the structures for screening show it, like all candidates."""
    if math.isnan(individual.screened):
        return individual
    return replace(individual, error=individual.screened, violation=0, fitness=Fitness())
