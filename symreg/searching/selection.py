"""Selection: duplicates, NSGA-II over error and complexity, tournaments, the Pareto front."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence

import numpy as np

from symreg.arrays import Floats, Integers
from symreg.searching.individuals import Individual


def without_duplicates(individuals: Iterable[Individual]) -> list[Individual]:
    """The simplest of those that are valid and leave the same residuals."""
    best: dict[tuple[float, float, float], Individual] = {}
    for individual in individuals:
        if not math.isfinite(individual.error):
            continue
        known = best.get(individual.residuals)
        if known is None or individual.complexity < known.complexity:
            best[individual.residuals] = individual
    return list(best.values())


def survivors(individuals: Sequence[Individual], size: int) -> list[Individual]:
    """The next population by NSGA-II with constrained domination, best first.

    Whoever breaks no condition of the gate comes before all who break one, and these go by how
    many they break (Deb et al., IEEE Trans. Evol. Comput. 6, 182, 2002, section VI). Conditions
    that are tested on the front alone are taken to hold before they are tested.
    """
    chosen: list[Individual] = []
    for broken in sorted({_broken(individual) for individual in individuals}):
        alike = [i for i in individuals if _broken(i) == broken]
        chosen += _by_rank(alike)[: max(size - len(chosen), 0)]
    return chosen


def _broken(individual: Individual) -> tuple[int, int]:
    return individual.violation, max(individual.unsound, 0)


def _by_rank(individuals: Sequence[Individual]) -> list[Individual]:
    """By the front of error and complexity, and within it the lonely before the crowded."""
    errors = np.array([math.log(max(individual.error, 1e-300)) for individual in individuals])
    sizes = np.array([individual.complexity for individual in individuals], dtype=float)
    order = np.lexsort((sizes, errors))
    rank = _ranks(errors[order].tolist(), sizes[order].tolist())
    by_front = np.argsort(rank, kind="stable")
    order, rank = order[by_front], rank[by_front]
    crowded = -_crowding_distances(errors[order], sizes[order], rank)
    return [individuals[k] for k in order[np.lexsort((crowded, rank))]]


def _ranks(errors: Sequence[float], sizes: Sequence[float]) -> Integers:
    """How many fronts come before each point; the points are in order of error, then size.

    >>> _ranks([1.0, 2.0, 3.0, 3.0], [5.0, 4.0, 4.0, 6.0])
    array([0, 0, 1, 2])
    """
    rank, smallest = [], list[float]()  # size on each front so far; it grows from front to front
    last, known = (math.nan, math.nan), 0
    for point in zip(errors, sizes, strict=True):
        if point != last:  # equal points do not beat each other
            last, known = point, bisect_right(smallest, point[1])
            smallest[known : known + 1] = [point[1]]
        rank.append(known)
    return np.array(rank, dtype=np.int64)


def _crowding_distances(errors: Floats, sizes: Floats, rank: Integers) -> Floats:
    """Distances of neighbours on a front, in its extents; points are by front, then error."""
    distances = np.full(rank.size, np.inf)
    inner = 1 + np.flatnonzero((rank[1:-1] == rank[:-2]) & (rank[1:-1] == rank[2:]))
    begins = np.flatnonzero(np.diff(rank, prepend=-1))
    distances[inner] = 0.0
    for values in (errors, sizes):
        extent = np.maximum.reduceat(values, begins) - np.minimum.reduceat(values, begins)
        gap = np.abs(values[inner + 1] - values[inner - 1])
        distances[inner] += gap / np.where(extent > 0, extent, 1.0)[rank[inner]]
    return distances


def tournament(
    population: Sequence[Individual], count: int, rng: np.random.Generator
) -> list[Individual]:
    """Parents: of two drawn at random the one that ``survivors`` ranked first."""
    draws = rng.integers(len(population), size=(count, 2)).min(axis=1)
    return [population[k] for k in draws]


def front(individuals: Iterable[Individual]) -> list[Individual]:
    """Individuals that pass the gate and no other beats in error and complexity, simplest first.

    Where none is free of faults that are tested on the front alone, these do not count.
    """
    valid = [i for i in individuals if math.isfinite(i.error) and not i.violation]
    sound = [i for i in valid if i.unsound <= 0]
    best: list[Individual] = []
    for individual in sorted(sound or valid, key=lambda i: (i.complexity, i.error)):
        if not best or individual.error < best[-1].error:
            best.append(individual)
    return best
