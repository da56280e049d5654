import math
from dataclasses import replace

import numpy as np
import pytest
from coded import coded_of
from deap import base, tools

from symreg.language.canonical import X
from symreg.language.text import ONE
from symreg.searching.individuals import Individual
from symreg.searching.selection import front, survivors, tournament, without_duplicates


def individual(error, complexity=3, fingerprint=(0.0, 0.0)):
    """An individual of a given size: x with as many factors as it takes."""
    tree = X
    for _ in range((complexity - 3) // 2):
        tree = ("mul", X, tree)
    if complexity % 2 == 0:
        tree = ("neg", tree)
    made = Individual((coded_of(0, tree),), error, (1.0,), fingerprint)
    assert made.complexity == complexity
    return made


def sizes(individuals):
    return [i.complexity for i in individuals]


def test_of_equal_functions_the_simplest_is_kept():
    complex_one, simple = individual(0.5, 9, (0.3, 0.1)), individual(0.5, 5, (0.3, 0.1))
    assert without_duplicates([complex_one, simple]) == [simple]
    assert without_duplicates([simple, complex_one]) == [simple]


def test_of_equal_functions_of_equal_size_the_first_is_kept():
    first, second = individual(0.5), individual(0.5)
    assert without_duplicates([first, second]) == [first]


@pytest.mark.parametrize(
    "other",
    [
        individual(0.51, fingerprint=(0.3, 0.1)),
        individual(0.5, fingerprint=(0.4, 0.1)),
        individual(0.5, fingerprint=(0.3, -0.1)),
    ],
)
def test_equal_errors_alone_make_no_duplicate(other):
    one = individual(0.5, fingerprint=(0.3, 0.1))
    assert without_duplicates([one, other]) == [one, other]


def test_rounding_does_not_tell_functions_apart():
    one = individual(0.5, fingerprint=(0.3, 0.1))
    other = individual(0.5 * (1 + 1e-9), fingerprint=(0.3 + 1e-9, 0.1 - 1e-9))
    assert without_duplicates([one, other]) == [one]


@pytest.mark.parametrize("error", [math.nan, math.inf])
def test_what_is_not_valid_is_left_out(error):
    valid = individual(0.5)
    assert without_duplicates([individual(error), valid]) == [valid]
    assert front([individual(error), valid]) == [valid]


def test_the_front_is_strictly_decreasing_and_simplest_first():
    rng = np.random.default_rng(0)
    crowd = [
        individual(float(e), int(c))
        for e, c in zip(rng.uniform(0, 1, 200), rng.integers(3, 30, 200), strict=True)
    ]
    best = front(crowd)
    errors = [i.error for i in best]
    assert np.all(np.diff(errors) < 0)
    assert np.all(np.diff(sizes(best)) > 0)
    for i in crowd:  # nobody outside beats anybody inside
        assert any(b.error <= i.error and b.complexity <= i.complexity for b in best)


def test_a_front_keeps_the_simpler_of_equal_errors():
    assert sizes(front([individual(0.5, 9), individual(0.5, 5), individual(0.5, 7)])) == [5]


def test_the_front_of_nobody_is_empty():
    assert front([]) == []


def test_survivors_keep_both_ends_of_the_front():
    crowd = [individual(1.0 / c, c) for c in range(3, 43)]
    kept = survivors(crowd, 5)
    assert len(kept) == 5
    assert {3, 42} <= set(sizes(kept))


def test_survivors_are_those_that_fewer_beat():
    good = [individual(1.0 / c, c) for c in range(3, 13)]
    bad = [individual(9.0 / c, c + 1) for c in range(3, 13)]
    kept = survivors([*bad, *good], 10)
    assert {id(i) for i in kept} == {id(i) for i in good}


class Fitness(base.Fitness):
    weights = (-1.0, -1.0)


@pytest.mark.parametrize("seed", range(5))
def test_fronts_and_crowding_are_those_of_deap(seed):
    rng = np.random.default_rng(seed)
    crowd = [
        individual(float(math.exp(e)), int(c))  # some are equal in error, in size or in both
        for e, c in zip(rng.integers(0, 40, 120) / 10, rng.integers(3, 20, 120), strict=True)
    ]
    for one in crowd:
        one.fitness = Fitness((math.log(one.error), one.complexity))
    fronts = tools.sortNondominated(crowd, len(crowd))
    kept = survivors(crowd, len(crowd))
    for front_of_deap in fronts:
        tools.emo.assignCrowdingDist(front_of_deap)
        ours, kept = kept[: len(front_of_deap)], kept[len(front_of_deap) :]
        assert {id(i) for i in ours} == {id(i) for i in front_of_deap}
        if len({one.fitness.values for one in ours}) == len(ours):  # else the order is arbitrary
            distances = [one.fitness.crowding_dist for one in ours]
            assert distances == pytest.approx(sorted(distances, reverse=True))
    assert not kept


def test_a_small_population_survives_whole():
    crowd = [individual(1.0 / c, c) for c in (3, 4, 5)]
    assert len(survivors(crowd, 10)) == 3


def test_a_tournament_prefers_those_ranked_first():
    population = [individual(1.0, c) for c in range(3, 13)]
    drawn = sizes(tournament(population, 10_000, np.random.default_rng(0)))
    counts = np.bincount(drawn, minlength=13)[3:]
    # The first of ten wins with probability 1 - (9/10)^2 = 0.19, the last with 1/100; the
    # standard deviation of a count is at most 40.
    assert np.all(np.diff(counts) < 0)
    assert counts[0] == pytest.approx(1900, abs=160)
    assert counts[-1] == pytest.approx(100, abs=40)


def test_one_generator_state_gives_the_same_parents():
    population = [individual(1.0, c) for c in range(3, 13)]
    one, two = (tournament(population, 20, np.random.default_rng(4)) for _ in range(2))
    assert one == two


def test_a_constant_is_an_individual_too():
    assert front([Individual((coded_of(0, ONE),), 2.0, (1.0,))])[0].complexity == 3


def breaking(made, violation):
    return replace(made, violation=violation)


def test_whoever_breaks_a_condition_comes_after_all_who_break_none():
    lawful = [individual(1.0, 3), individual(0.9, 5), individual(0.95, 7)]
    best_but_broken = breaking(individual(0.1, 3), 1)
    worse = breaking(individual(0.05, 3), 2)
    chosen = survivors([worse, best_but_broken, *lawful], 4)
    assert {id(i) for i in chosen[:3]} == {id(i) for i in lawful}
    assert chosen[3] is best_but_broken
    assert survivors([worse, best_but_broken], 5) == [best_but_broken, worse]


def test_whoever_breaks_a_condition_is_not_on_the_front():
    lawful, broken = individual(0.5, 5), breaking(individual(0.1, 3), 1)
    assert front([broken, lawful]) == [lawful]
