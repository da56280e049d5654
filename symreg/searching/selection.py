"""Selection: duplicates, NSGA-II over error and complexity, tournaments, the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from deap import tools

from symreg.searching.individuals import Individual
from symreg.searching.randomness import random

_SAME_ERROR = 1e3
"""Errors that agree to one part in this many count as equal."""


def without_duplicates(individuals: Iterable[Individual]) -> list[Individual]:
    """The simplest of those whose fitted functions leave the same residuals.

    Individuals that are not valid are left out.
    """
    best: dict[tuple[int, float, float], Individual] = {}
    for individual in individuals:
        if not math.isfinite(individual.error):
            continue
        key = (
            round(_SAME_ERROR * math.log(max(individual.error, 1e-300))),
            round(individual.fingerprint[0], 2),
            round(individual.fingerprint[1], 2),
        )
        known = best.get(key)
        if known is None or individual.complexity < known.complexity:
            best[key] = individual
    return list(best.values())


def survivors(
    individuals: Sequence[Individual], size: int, rng: np.random.Generator
) -> list[Individual]:
    """The next population by NSGA-II with constrained domination.

    Whoever breaks no condition of the gate comes before all who break one, and these go by how
    many they break (Deb et al., IEEE Trans. Evol. Comput. 6, 182, 2002, section VI).
    """
    chosen: list[Individual] = []
    with random.seeded(rng):
        for broken in sorted({individual.violation for individual in individuals}):
            alike = [i for i in individuals if i.violation == broken]
            left = size - len(chosen)
            if left > 0:
                chosen += tools.selNSGA2(alike, min(left, len(alike)), nd="log")
    return chosen


def tournament(
    population: Sequence[Individual], count: int, rng: np.random.Generator
) -> list[Individual]:
    """Parents: of two drawn at random the one that ``survivors`` ranked first."""
    draws = rng.integers(len(population), size=(count, 2)).min(axis=1)
    return [population[k] for k in draws]


def front(individuals: Iterable[Individual]) -> list[Individual]:
    """Individuals that no other beats in error and complexity, simplest first.

    Those that break a condition of the gate are left out.
    """
    best: list[Individual] = []
    for individual in sorted(individuals, key=lambda i: (i.complexity, i.error)):
        better = math.isfinite(individual.error) and (not best or individual.error < best[-1].error)
        if better and not individual.violation:
            best.append(individual)
    return best
