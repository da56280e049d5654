import math
from dataclasses import replace
from itertools import islice, pairwise
from time import time

import numpy as np
import pytest
from coded import coded_of

from symreg.fit.projected.fitter import FitSettings, Fitter
from symreg.language.canonical import X
from symreg.searching.individuals import Candidate, Individual, to_arrays
from symreg.searching.island import BATCH, EvolutionSettings, Generation, Island
from symreg.searching.selection import front
from symreg.searching.variation import VariationSettings
from symreg.searching.variation.rates import no_credit

SIZE = 40
X6, X12 = ("powi", -6, X), ("powi", -12, X)


@pytest.fixture(scope="module")
def island(argon_design):
    return Island(
        Fitter(argon_design), EvolutionSettings(population_size=SIZE), VariationSettings()
    )


@pytest.fixture(scope="module")
def history(island):
    rng = np.random.default_rng(0)
    population = island.begin(rng)
    return [Generation(population, 0, no_credit()), *island.evolve(population, 6, rng)]


def same(one, two):
    first, second = to_arrays(one), to_arrays(two)
    return all(first[name].tobytes() == second[name].tobytes() for name in first)


def test_a_population_needs_two_to_breed():
    with pytest.raises(ValueError, match="population_size is 1; crossover needs at least 2"):
        EvolutionSettings(population_size=1)


def test_evolution_goes_on_only_when_asked(island, monkeypatch):
    rng = np.random.default_rng(0)
    population = island.begin(rng)
    fits = []
    fit = island.fit

    def noted(candidates, **named):
        fits.append(max(candidate.born for candidate in candidates))
        return fit(candidates, **named)

    monkeypatch.setattr(island, "fit", noted)
    generations = island.evolve(population, 10**9, rng, first=7)
    assert fits == []
    assert len([*islice(generations, 2)]) == 2
    assert fits == [7, 8]


def test_one_generator_state_gives_the_same_history(island, history):
    rng = np.random.default_rng(0)
    population = island.begin(rng)
    assert same(population, history[0].population)
    for generation, before in zip(island.evolve(population, 6, rng), history[1:], strict=True):
        assert same(generation.population, before.population)
        assert generation.candidates == before.candidates > 0


def test_another_state_gives_another_history(island, history):
    assert not same(island.begin(np.random.default_rng(1)), history[0].population)


def test_the_size_of_the_population_is_kept(history):
    first, *later = (len(generation.population) for generation in history)
    assert SIZE // 2 < first <= SIZE  # there may be too few different ones at first
    assert later == [SIZE] * 6


def test_the_front_never_gets_worse(history):
    equal = 1 + 1e-3  # of duplicates that agree so well the simplest stays
    for before, after in pairwise(history):
        for member in front(before.population):
            assert any(
                new.complexity <= member.complexity and new.error <= equal * member.error
                for new in after.population
            )


def test_survivors_are_valid_and_carry_what_fitting_found(island, history):
    population = history[-1].population
    assert np.isfinite([i.error for i in population]).all()
    for i in population:
        assert len(i.weights) == len(i.coded_terms)
        assert all(np.isfinite(i.weights))
        assert all(i.weights)
        assert np.isfinite(i.fingerprint).all()
        assert i.complexity <= VariationSettings().max_complexity
    as_they_are = FitSettings(max_steps=0)
    again = island.fit([Candidate(i.coded_terms, i.born) for i in population], as_they_are)
    for new, old in zip(again, population, strict=True):
        assert new.error == pytest.approx(old.error, rel=1e-6)  # constants and weights fit


def test_candidates_that_leave_their_domain_or_have_a_pole_are_not_fitted(island):
    pole = ("powi", -1, ("sub", X, ("int", 1)))
    wrong = [("log", ("sub", X, ("int", 9))), ("sqrt", ("sub", X, ("int", 1))), pole]
    assert island.fit([Candidate((coded_of(0, tree),), 0) for tree in wrong]) == []


def test_lennard_jones_is_fitted_to_what_made_the_data(island):
    # The labels are exact, so what is left is what the grid leaves: below 1e-6 of the spread.
    (found,) = island.fit([Candidate((coded_of(0, X12), coded_of(0, X6)), 0)])
    assert found.error < 1e-6
    r0 = island.fitter.design.r0
    expected = 4 * 0.0104 * np.array([(3.4 / r0) ** 12, -((3.4 / r0) ** 6)])
    np.testing.assert_allclose(found.weights, expected, rtol=1e-6)


def test_terms_of_no_weight_are_dropped(island):
    twice = (coded_of(0, X12), coded_of(0, X12))
    (found,) = island.fit([Candidate(twice, 3)])
    assert found.coded_terms == (coded_of(0, X12),)
    assert found.born == 3


def test_seeds_stand_in_the_first_population(island):
    seeds = [(coded_of(0, X12), coded_of(0, X6))]
    population = island.begin(np.random.default_rng(0), seeds)
    assert min(population, key=lambda i: i.error).coded_terms == seeds[0]


def test_one_structure_is_tried_only_so_often(island, monkeypatch):
    rng = np.random.default_rng(0)
    parents = [Individual((coded_of(0, X12),), 1.0, (1.0,))] * 4
    monkeypatch.setattr(
        island.variation,
        "vary",
        lambda chosen, *_: [Candidate((coded_of(0, X6),), 0) for _ in chosen],
    )
    monkeypatch.setattr(island.variation, "random", lambda count, _: [(coded_of(0, X6),)] * count)
    counts = [generation.candidates for generation in island.evolve(parents, 3, rng)]
    assert counts == [island.settings.tries, 0, 0]


def test_data_that_no_candidate_describes_stop_with_a_reason(argon_design):
    silent = replace(
        argon_design, cells={c: _without_target(m) for c, m in argon_design.cells.items()}
    )
    island = Island(Fitter(silent), EvolutionSettings(population_size=SIZE), VariationSettings())
    with pytest.raises(ValueError, match="no candidate could be fitted"):
        island.begin(np.random.default_rng(0))


def _without_target(matrix):
    return np.hstack([matrix[:, :-1], np.zeros((len(matrix), 1))])


def test_a_first_population_whose_fits_take_long_ends_with_its_time(island, monkeypatch):
    fitted = []

    def noted(candidates):
        fitted.extend(candidates)
        return [Individual(candidate.coded_terms, 1.0, (1.0,)) for candidate in candidates]

    monkeypatch.setattr(island, "fit", noted)
    monkeypatch.setattr(island.fitter, "is_direct", lambda _: True, raising=False)
    seeds = [(coded_of(0, X12), coded_of(0, X6))]
    assert island.begin(np.random.default_rng(0), seeds, deadline=0.0)
    assert len(fitted) == BATCH
    assert fitted[0].coded_terms == seeds[0]
    fitted.clear()
    island.begin(np.random.default_rng(0), seeds, deadline=time() + 1000.0)
    assert len(fitted) == 2 * SIZE + 1


def test_quick_fits_of_a_first_population_do_not_look_at_the_clock(island):
    begun = [island.begin(np.random.default_rng(0), deadline=end) for end in (0.0, math.inf)]
    assert same(*begun)
