"""Islands: several populations that evolve apart, in epochs, and exchange their best.

An epoch is a pure function of a population, the seed and the data. So the result depends neither
on the number of workers nor on which of them computed what, and an epoch can be run again.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from symreg.blocks import Blocks
from symreg.constants import POLISH, Fitter
from symreg.evolution import EvolutionSettings
from symreg.individuals import Gene, Individual, from_arrays, to_arrays
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
    with _old_objects_frozen():
        individuals, count = island.evolve(individuals, generations, rng, epoch * generations + 1)
    return to_arrays(individuals), begun + count


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
    """

    def __init__(
        self,
        design: Design,
        settings: IslandSettings,
        seeds: Sequence[tuple[Gene, ...]] = (),
        executor: Executor | None = None,
    ) -> None:
        self.settings = settings
        self.seeds = tuple(seeds)
        self.executor = executor
        self.here = Blocks(Fitter(design), settings.evolution, settings.variation)

    def search(self, state: State | None = None) -> Iterator[State]:
        """Yield the state after every epoch, for ever; the caller decides when to stop."""
        while True:
            epoch = state.epoch if state else 0
            results = self._epoch(epoch, state.populations if state else None)
            populations = tuple(arrays for arrays, _ in results)
            known = state.front if state else []
            state = State(
                epoch + 1,
                (state.candidates if state else 0) + sum(count for _, count in results),
                populations,
                self._front(known, populations),
            )
            yield state

    def _epoch(
        self, epoch: int, populations: Sequence[Arrays] | None
    ) -> list[tuple[dict[str, np.ndarray], int]]:
        tasks = []
        for number in range(self.settings.islands):
            own = populations[number] if populations else None
            migrants = None
            if populations and self.settings.islands > 1:
                migrants = to_arrays(self.here.front(from_arrays(populations[number - 1])))
            tasks.append((self.settings, number, epoch, own, migrants, self.seeds))
        if self.executor is None:
            return [run_epoch(self.here, *task) for task in tasks]
        futures = [self.executor.submit(_work, *task) for task in tasks]
        return [future.result() for future in futures]

    def _front(self, known: list[Individual], populations: Sequence[Arrays]) -> list[Individual]:
        """Join the fronts and polish the constants of what is new."""
        every = (i for arrays in populations for i in from_arrays(arrays))
        whole, _ = self.here.parts(every)
        best = front([*known, *whole])
        old = {id(individual) for individual in known}
        new = [individual for individual in best if id(individual) not in old]
        polished = self.here.whole.fit([(i.genes, i.born) for i in new], POLISH) if new else []
        return front([*best, *polished])


_island: Blocks | None = None


def _prepare(path: str, settings: IslandSettings) -> None:
    """Set up a worker: the data come from a file, Ctrl-C is for the parent alone."""
    import signal

    global _island
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _island = Blocks(Fitter(Design.load(Path(path))), settings.evolution, settings.variation)


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
