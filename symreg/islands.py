"""Islands: several populations that evolve apart, in epochs, and exchange their best.

Every other island explores: it learns from none and begins anew after runs of several lengths, for
descendants of one family soon fill a population. Its best go to a neighbour that settles.

An epoch is a pure function of a population, the seed and the data. So the result depends neither
on the number of workers nor on which of them computed what, and an epoch can be run again.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from symreg.blocks import Blocks
from symreg.constants import Fitter
from symreg.direct import Labelled
from symreg.evolution import EvolutionSettings, begins_anew
from symreg.gate import Gate
from symreg.individuals import Fitness, Gene, Individual, from_arrays, to_arrays
from symreg.projection import Design
from symreg.selection import front
from symreg.variation import VariationSettings

Arrays = Mapping[str, np.ndarray]


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
    island: Blocks,
    settings: IslandSettings,
    number: int,
    epoch: int,
    population: Arrays | None,
    migrants: Arrays | None,
    seeds: Sequence[tuple[Gene, ...]] = (),
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
        Genes put into a random population.
    """
    rng = np.random.default_rng([settings.seed, number, epoch])
    if population is None:
        individuals, begun = island.begin(rng, seeds)
    else:
        arrived = from_arrays(migrants) if migrants is not None else []
        individuals, begun = island.survivors([*from_arrays(population), *arrived], rng), 0
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
        Genes put into the first populations.
    executor
        Runs epochs elsewhere; made by ``processes``. None runs them here, one after another.
    fitter, gate
        What fits and tests candidates; by default the design alone.
    """

    def __init__(
        self,
        design: Design,
        settings: IslandSettings,
        seeds: Sequence[tuple[Gene, ...]] = (),
        executor: Executor | None = None,
        fitter: Fitter | None = None,
        gate: Gate | None = None,
    ) -> None:
        self.settings = settings
        self.seeds = tuple(seeds)
        self.executor = executor
        self.here = Blocks(fitter or Fitter(design), settings.evolution, settings.variation, gate)

    def search(self, state: State | None = None) -> Iterator[State]:
        """Yield the state after every epoch, for ever; the caller decides when to stop."""
        while True:
            epoch = state.epoch if state else 0
            results = self._epoch(epoch, state.populations if state else None)
            populations = tuple(arrays for arrays, _ in results)
            known, rejected = (state.front, state.rejected) if state else ([], [])
            front, rejected = self._front(known, rejected, populations)
            candidates = (state.candidates if state else 0) + sum(count for _, count in results)
            state = State(epoch + 1, candidates, populations, front, rejected)
            yield state

    def _epoch(
        self, epoch: int, populations: Sequence[Arrays] | None
    ) -> list[tuple[dict[str, np.ndarray], int]]:
        tasks = []
        for number in range(self.settings.islands):
            own = populations[number] if populations else None
            migrants = None
            explores = bool(number % 2 and self.settings.evolution.restart)
            if explores and self._begins_anew(epoch):
                own = None
            if populations and self.settings.islands > 1 and not explores:
                migrants = to_arrays(self.here.front(from_arrays(populations[number - 1])))
            tasks.append((self.settings, number, epoch, own, migrants, self.seeds))
        if self.executor is None:
            return [run_epoch(self.here, *task) for task in tasks]
        futures = [self.executor.submit(_work, *task) for task in tasks]
        return [future.result() for future in futures]

    def _begins_anew(self, epoch: int) -> bool:
        """Whether islands that explore do so from a random population now."""
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
        new = [i for i in best if id(i) not in old and not island.is_direct(i.genes)]
        best = front([*best, *island.polished(new)])
        broken = [i for i in (*rejected, *whole) if i.violation]
        lawless = front([replace(i, violation=0, fitness=Fitness()) for i in (*best, *broken)])
        names = {id(i.genes) for i in lawless}
        return best, [i for i in broken if id(i.genes) in names]


_island: Blocks | None = None


def _prepare(path: str, settings: IslandSettings) -> None:
    """Set up a worker: the data come from files, Ctrl-C is for the parent alone."""
    import signal

    global _island
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    design = Design.load(Path(path))
    fitter, gate = Fitter(design), None
    if design.many_body:
        data = Labelled.load(labels_beside(Path(path)))
        fitter, gate = data.fitter(design), data.gate(design)
    _island = Blocks(fitter, settings.evolution, settings.variation, gate)


def labels_beside(design: Path) -> Path:
    """Where workers find the labels themselves, which many-body terms need."""
    return design.with_name("labels.npz")


def _work(
    settings: IslandSettings,
    number: int,
    epoch: int,
    population: Arrays | None,
    migrants: Arrays | None,
    seeds: Sequence[tuple[Gene, ...]],
) -> tuple[dict[str, np.ndarray], int]:
    assert _island is not None
    return run_epoch(_island, settings, number, epoch, population, migrants, seeds)


@contextmanager
def processes(workers: int, path: Path, settings: IslandSettings) -> Iterator[Executor]:
    """Worker processes, each with one thread, that read the projected design from a file."""
    from loky import ProcessPoolExecutor

    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    pool = ProcessPoolExecutor(
        workers, initializer=_prepare, initargs=(str(path), settings), env=one_thread
    )
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, kill_workers=True)
