"""Islands: several populations that evolve apart, in epochs, and exchange their best.

The last of several islands explores: it learns from none and begins anew after runs of several
lengths, for descendants of one family soon fill a population. Its best go to the first.

An epoch is a pure function of a population, the seed and the data. So the result depends neither
on the number of workers nor on which of them computed what, and an epoch can be run again. A
deadline, after which no generation begins, is the one thing that makes it depend on a clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import time
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from symreg.fit.design import Design
from symreg.fit.programs.batch import CodedTerm
from symreg.fit.projected.fitter import Fitter
from symreg.searching.backfitting import Backfitting
from symreg.searching.gate import Gate
from symreg.searching.individuals import Arrays, Individual, from_arrays, to_arrays
from symreg.searching.island import EvolutionSettings, Guard
from symreg.searching.selection import front
from symreg.searching.tasks import AnyCrew, Source, WorkersLostError, kept, no_search_for_cycles
from symreg.searching.variation import VariationSettings

Epoch = tuple[dict[str, np.ndarray], int]
"""Outcome of one of an island: the population it ends with and the candidates it fitted."""
GAIN = 0.01
"""Relative gain in error that counts as an improvement of the front."""
BEGINNING = 0.1
"""Part of the time left that an island has for its first population: the others want some, too."""
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


@no_search_for_cycles()
def run_epoch(
    island: Backfitting,
    settings: IslandSettings,
    number: int,
    epoch: int,
    population: Arrays | None,
    migrants: Arrays | None,
    seeds: Sequence[tuple[CodedTerm, ...]] = (),
    deadline: float = math.inf,
) -> Epoch:
    """One epoch of one island; the population it ends with and the candidates it fitted.

    Number, epoch and the seed of the settings determine all random numbers. Without a population
    it begins with a random one, seeds among it; migrants are individuals of another island. The
    deadline is in seconds of ``time.time()``, for workers have no other clock in common.
    """
    rng = np.random.default_rng([settings.seed, number, epoch])
    generations = settings.generations_per_epoch
    if population is None:
        soon = time() + BEGINNING * max(deadline - time(), 0.0)
        (individuals, begun), credit = island.begin(rng, seeds, soon), None
    else:
        arrived = from_arrays(migrants) if migrants is not None else []
        individuals, begun = island.survivors([*from_arrays(population), *arrived]), 0
        credit = population.get("credit")
    individuals, count, credit = island.evolve(
        individuals, generations, rng, epoch * generations + 1, credit, deadline
    )
    return {**to_arrays(individuals), "credit": credit}, begun + count


class Islands:
    """A search on several islands.

    With a crew epochs run elsewhere, on data from a source, else here, one after another. Seeds are
    put into the first populations; a state that a search goes on from has its own. Without a fitter
    and a gate the design alone fits candidates. No generation begins after the deadline.
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
        deadline: float = math.inf,
    ) -> None:
        self.settings, self.seeds, self.crew, self.source = settings, tuple(seeds), crew, source
        self.deadline = deadline
        fitter = fitter or Fitter(design)
        self.here = Backfitting(fitter, settings.evolution, settings.variation, gate)

    def search(self, state: State | None = None) -> Iterator[State]:
        """Yield the state after every epoch, for ever; the caller decides when to stop.

        A ``WorkersLostError`` says that they are lost again and again, and no candidate to blame.
        """
        state = state or State(0, 0, (), [], seeds=self.seeds)
        while True:
            results, quarantined = self._epoch(state)
            populations = tuple(arrays for arrays, _ in results)
            front, rejected = self._front(state, populations)
            state = State(
                state.epoch + 1,
                state.candidates + sum(count for _, count in results),
                populations,
                front,
                rejected,
                state.epoch + 1 if gained(state.front, front) else state.improved,
                quarantined,
                state.seeds,
            )
            yield state

    def _epoch(self, state: State) -> tuple[list[Epoch], tuple[str, ...]]:
        """Final populations of all islands, and the structures that are quarantined then."""
        length, restart = self.settings.generations_per_epoch, self.settings.evolution.restart
        unit, tasks = max(1, round(restart / length)) * length, []
        for number in range(self.settings.islands):
            own = state.populations[number] if state.populations else None
            migrants = None
            explores = number == self.settings.islands - 1 > 0 and restart > 0
            if explores and begins_anew(state.epoch * length, unit):
                own = None
            if state.populations and self.settings.islands > 1 and not explores:
                migrants = to_arrays(self.here.front(from_arrays(state.populations[number - 1])))
            tasks.append((number, state.epoch, own, migrants, state.seeds, self.deadline))
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

    def _without_crashes(self, task: tuple[Any, ...], guard: Guard) -> tuple[Epoch, frozenset[str]]:
        """Run an epoch that no worker survived without the candidates that crash it."""
        assert self.crew is not None
        assert self.source is not None
        record = Path(self.source.path).with_name(f"suspect{task[0]}.txt")
        for _ in range(MOST_CRASHES):
            record.unlink(missing_ok=True)
            careful = replace(guard, record=record)
            tasks = [(self.source, self.settings, careful, *task)]
            (result,) = self.crew.run(work, tasks, attempts=1)
            found = record.read_text("utf-8") if record.exists() else ""
            name, _, text = found.partition("\n")
            record.unlink(missing_ok=True)
            if result is not None:
                return result, guard.quarantined
            if not name or name in guard.quarantined:
                break
            self.crew.tell(f"quarantined {text}: whatever its constants, it crashes its worker")
            guard = Guard(guard.quarantined | {name})
        raise WorkersLostError("workers were lost again and again, perhaps for want of memory")

    def _front(
        self, state: State, populations: Sequence[Arrays]
    ) -> tuple[list[Individual], list[Individual]]:
        """Join the fronts and polish the constants of what is new; with those that are rejected."""
        every = (i for arrays in populations for i in from_arrays(arrays))
        whole, _ = self.here.parts(every)
        best = front([*state.front, *whole])
        old = {id(individual) for individual in state.front}
        is_direct = self.here.whole.fitter.is_direct
        # Islands polish what only they can: it takes their time, not that of all.
        new = [i for i in best if id(i) not in old and not is_direct(i.coded_terms)]
        best = front([*best, *self.here.whole.polished(new)])
        broken = [i for i in (*state.rejected, *whole) if i.violation or i.unsound > 0]
        lawless = front([replace(i, violation=0, unsound=0) for i in (*best, *broken)])
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


def work(source: Source, settings: IslandSettings, guard: Guard, *task: Any) -> Epoch:
    """``run_epoch`` in a worker, on one thread: sums depend on the number of threads."""
    threadpool_limits(1)  # for good: other tasks of this process would have more again
    island = kept(backfitting_from, source, settings).guarded(guard)
    return run_epoch(island, settings, *task)


def begins_anew(generation: int, unit: int) -> bool:
    """Whether a population that is restarted for ever begins anew after this generation.

    Runs last 1, 1, 2, 1, 1, 2, 4, 1, ... units: whatever the best length is, which nobody knows, so
    little more is lost than a factor of its logarithm (M. Luby, A. Sinclair and D. Zuckerman, Inf.
    Process. Lett. 47, 173, 1993).

    >>> [n for n in range(9) if begins_anew(10 * n, unit=10)]
    [0, 1, 2, 4, 5, 6, 8]
    """
    done, run = 0, 1
    while done < generation:
        done += unit * _luby(run)
        run += 1
    return done == generation


def _luby(n: int) -> int:
    """Element n = 1, 2, ... of Luby's sequence."""
    power = 1 << n.bit_length() - 1
    return power if n == 2 * power - 1 else _luby(n - power + 1)
