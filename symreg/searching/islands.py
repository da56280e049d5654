"""Islands: several populations that evolve apart, in epochs, and exchange their best.

The last of several islands explores: it learns from none and begins anew after runs of several
lengths, for descendants of one family soon fill a population. Its best go to the first.

An epoch is a pure function of a population, the seed and the data. So the result depends neither
on the number of workers nor on which of them computed what, and an epoch can be run again.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from symreg.fit.design import Design
from symreg.fit.programs.batch import CodedTerm
from symreg.fit.projected.fitter import Fitter
from symreg.searching.backfitting import Backfitting
from symreg.searching.gate import Gate
from symreg.searching.individuals import Individual, from_arrays, to_arrays
from symreg.searching.island import EvolutionSettings, Guard
from symreg.searching.restarts import begins_anew
from symreg.searching.selection import front
from symreg.searching.tasks import AnyCrew, Source, WorkersLostError, kept
from symreg.searching.variation import VariationSettings

Arrays = Mapping[str, np.ndarray]
GAIN = 0.01
"""Relative gain in error that counts as an improvement of the front."""
MOST_CRASHES = 10
"""Structures that may crash a worker within one epoch of an island."""


@dataclass(frozen=True, kw_only=True)
class IslandSettings:
    """How many islands, and for how long they stay apart."""

    islands: int = 4
    generations_per_epoch: int = 10
    seed: int = 0
    evolution: EvolutionSettings = field(default_factory=EvolutionSettings)
    variation: VariationSettings = field(default_factory=VariationSettings)


@dataclass(frozen=True)
class State:
    """All that a search needs to go on."""

    epoch: int
    """Epochs done."""
    candidates: int
    """Candidates fitted so far."""
    populations: tuple[Arrays, ...]
    """One for each island."""
    front: list[Individual]
    """The best of all islands and epochs, constants polished, simplest first."""
    rejected: list[Individual] = field(default_factory=list)
    """Those that would stand on the front, did they not break conditions of the gate."""
    improved: int = 0
    """The last epoch that lowered the error at some complexity by more than ``GAIN``."""
    quarantined: tuple[str, ...] = ()
    """Names of structures that crash the process that fits them."""
    seeds: tuple[tuple[CodedTerm, ...], ...] = ()
    """Coded terms put into random populations, also into those of islands that begin anew."""


@contextmanager
def _old_objects_frozen() -> Iterator[None]:
    # Modules and compiled code are a million objects. Trees, made by the thousand, have Python
    # search them all for cycles again and again, which took a quarter of the time.
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def run_epoch(
    island: Backfitting,
    settings: IslandSettings,
    number: int,
    epoch: int,
    population: Arrays | None,
    migrants: Arrays | None,
    seeds: Sequence[tuple[CodedTerm, ...]] = (),
) -> tuple[dict[str, np.ndarray], int]:
    """One epoch of one island; the population it ends with and the candidates it fitted.

    Parameters
    ----------
    island
        Built for the data; it holds no state of the search.
    settings
        The same for all islands.
    number, epoch
        Which island and epoch: with the seed they determine all random numbers.
    population
        Where to start; None for a random population.
    migrants
        Individuals of another island.
    seeds
        Coded terms put into a random population.
    """
    rng = np.random.default_rng([settings.seed, number, epoch])
    if population is None:
        individuals, begun = island.begin(rng, seeds)
    else:
        arrived = from_arrays(migrants) if migrants is not None else []
        individuals, begun = island.survivors([*from_arrays(population), *arrived]), 0
    generations = settings.generations_per_epoch
    credit = population.get("credit") if population is not None else None
    with _old_objects_frozen():
        individuals, count, credit = island.evolve(
            individuals, generations, rng, epoch * generations + 1, credit
        )
    return {**to_arrays(individuals), "credit": credit}, begun + count


class Islands:
    """A search on several islands.

    Parameters
    ----------
    design
        The data.
    settings
        The same for all islands.
    seeds
        Coded terms put into the first populations; a state that a search goes on from has its own.
    crew, source
        Run epochs elsewhere, on data from files. Without them they run here, one after another.
    fitter, gate
        What fits and tests candidates; by default the design alone.
    """

    def __init__(
        self,
        design: Design,
        settings: IslandSettings,
        seeds: Sequence[tuple[CodedTerm, ...]] = (),
        crew: AnyCrew | None = None,
        source: Source | None = None,
        fitter: Fitter | None = None,
        gate: Gate | None = None,
    ) -> None:
        self.settings = settings
        self.seeds = tuple(seeds)
        self.crew = crew
        self.source = source
        self.here = Backfitting(
            fitter or Fitter(design), settings.evolution, settings.variation, gate
        )

    def search(self, state: State | None = None) -> Iterator[State]:
        """Yield the state after every epoch, for ever; the caller decides when to stop.

        Raises
        ------
        WorkersLostError
            If workers are lost again and again, and no candidate is to blame.
        """
        state = state or State(0, 0, (), [], seeds=self.seeds)
        while True:
            results, quarantined = self._epoch(state)
            populations = tuple(arrays for arrays, _ in results)
            front, rejected = self._front(state.front, state.rejected, populations)
            better = gained(state.front, front)
            state = State(
                epoch=state.epoch + 1,
                candidates=state.candidates + sum(count for _, count in results),
                populations=populations,
                front=front,
                rejected=rejected,
                improved=state.epoch + 1 if better else state.improved,
                quarantined=quarantined,
                seeds=state.seeds,
            )
            yield state

    def _epoch(
        self, state: State
    ) -> tuple[list[tuple[dict[str, np.ndarray], int]], tuple[str, ...]]:
        """Final populations of all islands, and the structures that are quarantined then."""
        tasks = []
        for number in range(self.settings.islands):
            own = state.populations[number] if state.populations else None
            migrants = None
            last = number == self.settings.islands - 1 > 0
            explores = last and self.settings.evolution.restart > 0
            if explores and self._begins_anew(state.epoch):
                own = None
            if state.populations and self.settings.islands > 1 and not explores:
                migrants = to_arrays(self.here.front(from_arrays(state.populations[number - 1])))
            tasks.append((number, state.epoch, own, migrants, state.seeds))
        guard = Guard(frozenset(state.quarantined))
        if self.crew is None:
            here = self.here.guarded(guard)
            return [run_epoch(here, self.settings, *task) for task in tasks], state.quarantined
        results = self.crew.run(work, [(self.source, self.settings, guard, *t) for t in tasks])
        found = set(state.quarantined)
        for k, task in enumerate(tasks):
            if results[k] is None:
                results[k], crashing = self._without_crashes(task, guard)
                found |= crashing
        return results, tuple(sorted(found))

    def _without_crashes(
        self, task: tuple[Any, ...], guard: Guard
    ) -> tuple[tuple[dict[str, np.ndarray], int], frozenset[str]]:
        """Run an epoch that no worker survived without the candidates that crash it."""
        assert self.crew is not None
        assert self.source is not None
        record = Path(self.source.path).with_name(f"suspect{task[0]}.txt")
        for _ in range(MOST_CRASHES):
            record.unlink(missing_ok=True)
            careful = replace(guard, record=record)
            (result,) = self.crew.run(
                work, [(self.source, self.settings, careful, *task)], attempts=1
            )
            name, _, text = (
                record.read_text("utf-8").partition("\n") if record.exists() else [""] * 3
            )
            record.unlink(missing_ok=True)
            if result is not None:
                return result, guard.quarantined
            if not name or name in guard.quarantined:
                break
            self.crew.tell(f"quarantined {text}: whatever its constants, it crashes its worker")
            guard = Guard(guard.quarantined | {name})
        raise WorkersLostError("workers were lost again and again, perhaps for want of memory")

    def _begins_anew(self, epoch: int) -> bool:
        """Whether the island that explores does so from a random population now."""
        length, restart = self.settings.generations_per_epoch, self.settings.evolution.restart
        unit = max(1, round(restart / length)) * length
        return begins_anew(epoch * length, unit)

    def _front(
        self,
        known: Sequence[Individual],
        rejected: Sequence[Individual],
        populations: Sequence[Arrays],
    ) -> tuple[list[Individual], list[Individual]]:
        """Join the fronts and polish the constants of what is new; with those that are rejected."""
        every = (i for arrays in populations for i in from_arrays(arrays))
        whole, _ = self.here.parts(every)
        best = front([*known, *whole])
        old = {id(individual) for individual in known}
        island = self.here.whole
        # Islands polish what only they can: it takes their time, not that of all.
        new = [i for i in best if id(i) not in old and not island.is_direct(i.coded_terms)]
        best = front([*best, *island.polished(new)])
        broken = [i for i in (*rejected, *whole) if i.violation]
        lawless = front([replace(i, violation=0) for i in (*best, *broken)])
        names = {id(i.coded_terms) for i in lawless}
        return best, [i for i in broken if id(i.coded_terms) in names]


def gained(old: Sequence[Individual], new: Sequence[Individual]) -> bool:
    """Whether a front is better than an earlier one somewhere, by more than ``GAIN``."""
    for individual in new:
        known = [i.error for i in old if i.complexity <= individual.complexity]
        if individual.error < (1 - GAIN) * min(known, default=np.inf):
            return True
    return False


def backfitting_from(source: Source, settings: IslandSettings) -> Backfitting:
    """Backfitting for the data of a source."""
    fitter, gate = source.load()
    return Backfitting(fitter, settings.evolution, settings.variation, gate)


def work(
    source: Source, settings: IslandSettings, guard: Guard, *task: Any
) -> tuple[dict[str, np.ndarray], int]:
    """``run_epoch`` in a worker, on one thread: sums depend on the number of threads."""
    threadpool_limits(1)  # for good: other tasks of this process would have more again
    island = kept(backfitting_from, source, settings).guarded(guard)
    return run_epoch(island, settings, *task)
