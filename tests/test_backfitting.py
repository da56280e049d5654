import math
from dataclasses import replace

import numpy as np
import pytest
from coded import coded_of, form_of

from symreg.fit.design.design import solve
from symreg.fit.programs.batch import pack
from symreg.fit.projected.fitter import POLISH, Fitter
from symreg.fit.projected.judging import FITTED
from symreg.fit.solve.linear import covariance, span
from symreg.language.canonical import X
from symreg.searching.backfitting import ROOM, Backfitting
from symreg.searching.individuals import Individual
from symreg.searching.island import EvolutionSettings
from symreg.searching.variation import VariationSettings
from symreg.terms import Expression, Term

SIZE = 40
SETTINGS = EvolutionSettings(population_size=SIZE)
LIMITS = VariationSettings(max_complexity=45)
PAIR = Term.read("Si-Si: x^-8")
SW = Term.read("Si-Si-Si: exp(-3.5*x1)*exp(-3.5*x2)*(c + 0.3)^2")


@pytest.fixture(scope="module")
def fitter(silicon_design):
    return Fitter(silicon_design)


@pytest.fixture(scope="module")
def blocks(fitter):
    return Backfitting(fitter, SETTINGS, LIMITS)


@pytest.fixture(scope="module")
def evolved(blocks):
    rng = np.random.default_rng(0)
    begun, _ = blocks.begin(rng)
    return begun, *blocks.evolve(begun, 3, rng)[:2]


def lowest(fitter, columns):
    return solve(fitter.problem, columns)[1]


def test_a_three_body_term_is_fitted_as_if_beside_the_best_pair_function(fitter, blocks):
    fits = blocks.alone.fitter.fit(pack([[SW]], fitter.design.keys), POLISH)
    assert fits.outcomes[0] == FITTED
    fitted = SW.with_constants(fits.batch.constants.tolist())
    pairs = fitter.problem.matrix[:, : fitter.design.n_pair_values]
    column = fitter.columns(Expression((fitted,), (1.0,)))[:, :1]
    together = lowest(fitter, np.hstack([pairs, column]))
    assert fits.losses[0] == pytest.approx(together, rel=1e-9)
    assert fits.losses[0] < fitter.refit([PAIR, SW])[1]


def test_a_pair_term_is_fitted_as_if_three_body_terms_followed(fitter):
    # Compiled code reads the triangle above the diagonal alone.
    held = fitter.columns(Expression((SW,), (2.0,)))
    freed = fitter.freed(held)
    assert np.array_equal(freed.problem.matrix, np.triu(freed.problem.matrix))
    fits = freed.fit(pack([[PAIR]], fitter.design.keys))
    column = fitter.columns(Expression((PAIR,), (1.0,)))
    assert fits.losses[0] == pytest.approx(lowest(fitter, np.hstack([column, held])), rel=1e-9)


def test_columns_that_are_zero_or_alike_free_nothing_more(fitter):
    column = fitter.columns(Expression((SW,), (1.0,)))[:, :1]
    once = fitter.freed(column)
    again = fitter.freed(np.hstack([column, 3 * column, 0 * column]))
    one, two = (f.fit(pack([[PAIR]], fitter.design.keys)).losses[0] for f in (once, again))
    assert one == pytest.approx(two, rel=1e-12)


def test_every_block_begins_and_stays_within_its_limits(blocks, evolved):
    begun, population, count = evolved
    for individuals in (begun, population):
        whole, alone = blocks.parts(individuals)
        assert SIZE / 2 < len(whole) <= SIZE
        assert SIZE / 2 < len(alone) <= SIZE
        assert all(i.complexity <= LIMITS.max_complexity for i in whole)
        assert all(i.complexity <= ROOM * LIMITS.max_complexity for i in alone)
        assert all(any(g.key == 0 for g in i.coded_terms) for i in whole)
        assert all({g.key for g in i.coded_terms} == {1} for i in alone)
    assert count > 12 * SIZE


def test_pair_terms_are_found_around_the_best_three_body_terms(blocks, evolved):
    begun, _, _ = evolved
    whole, alone = blocks.parts(begun)
    completed, count = blocks._completed(alone, 20, np.random.default_rng(1), math.inf)
    assert count > 10 * SIZE
    kept = {form_of(coded)[0] for i in completed for coded in i.coded_terms if coded.key == 1}
    assert completed
    assert kept == {"product"}
    held = {tuple(g.key for g in i.coded_terms).count(1) for i in completed}
    assert held <= {len(i.coded_terms) for i in alone}
    assert min(i.error for i in completed) < min(i.error for i in whole)


def test_the_front_of_each_block_travels(blocks, evolved):
    _, population, _ = evolved
    whole, alone = blocks.parts(blocks.front(population))
    assert whole
    assert alone
    assert min(i.error for i in whole) == min(i.error for i in blocks.parts(population)[0])


def test_three_body_terms_that_leave_no_room_are_not_completed(fitter, evolved):
    _, alone = Backfitting(fitter, SETTINGS, LIMITS).parts(evolved[1])
    smallest = min(i.complexity for i in alone)
    narrow = Backfitting(fitter, SETTINGS, replace(LIMITS, max_complexity=smallest))
    assert narrow._completed(alone, 5, np.random.default_rng(0), math.inf) == ([], 2 * SIZE)


def fails(*_, **__):
    raise np.linalg.LinAlgError("SVD did not converge")


def losses_around(fitter, columns):
    return fitter.freed(columns).fit(pack([[PAIR]], fitter.design.keys)).losses


def test_columns_that_are_not_finite_free_nothing(fitter):
    column = fitter.columns(Expression((SW,), (1.0,)))[:, :1]
    broken = np.hstack([column * np.nan, column, column * 1e300, column + np.inf])
    expected = losses_around(fitter, column)
    # Sums over other layouts of memory round in another way.
    assert losses_around(fitter, broken) == pytest.approx(expected, rel=1e-12)
    assert losses_around(fitter, column * np.nan) == pytest.approx(
        fitter.fit(pack([[PAIR]], fitter.design.keys)).losses, rel=1e-9
    )
    np.testing.assert_allclose(span(broken), span(column), rtol=1e-14)
    assert span(column * np.nan).shape == (len(column), 0)


def test_a_decomposition_that_does_not_converge_is_done_in_another_way(fitter, monkeypatch):
    columns = fitter.columns(Expression((SW,), (1.0,)))
    basis, losses = span(columns), losses_around(fitter, columns)
    expected = covariance(columns, 1.0, 100)
    monkeypatch.setattr(np.linalg, "svd", fails)
    assert losses_around(fitter, columns) == pytest.approx(losses, rel=1e-9)
    found = span(columns)
    np.testing.assert_allclose(found @ found.T, basis @ basis.T, atol=1e-10)
    np.testing.assert_allclose(covariance(columns, 1.0, 100), expected, rtol=1e-6)


def test_held_terms_that_cannot_be_decomposed_are_not_completed(fitter, evolved, monkeypatch):
    blocks = Backfitting(fitter, SETTINGS, LIMITS)
    _, alone = blocks.parts(evolved[1])
    monkeypatch.setattr(np.linalg, "svd", fails)
    monkeypatch.setattr("scipy.linalg.svd", fails)
    assert blocks._completed(alone, 5, np.random.default_rng(0), math.inf) == ([], 2 * SIZE)


def test_where_pair_functions_leave_nothing_only_whole_individuals_evolve(silicon_design):
    fitter = Fitter(silicon_design)
    values = silicon_design.nodes[0] ** -6
    labels = fitter.problem.matrix[:, : values.size] @ values
    pairs_only = replace(fitter.problem, target=labels)
    blocks = Backfitting(Fitter(silicon_design, pairs_only), SETTINGS, LIMITS)
    rng = np.random.default_rng(0)
    begun, _ = blocks.begin(rng)
    population, *_ = blocks.evolve(begun, 2, rng)
    whole, alone = blocks.parts(population)
    assert whole
    assert not alone


def test_without_triplets_there_is_one_block(argon_design):
    blocks = Backfitting(Fitter(argon_design), SETTINGS, LIMITS)
    begun, count = blocks.begin(np.random.default_rng(0), [(coded_of(0, X),)])
    assert blocks.alone is None
    assert count == 2 * SIZE
    assert blocks.parts(begun) == (begun, [])
    assert len(blocks.survivors([*begun, *begun])) <= SIZE


def test_what_has_no_pair_term_is_not_whole(blocks):
    pair, triplet = coded_of(0, X), coded_of(1, ("product", X, ("c",)))
    individuals = Individual((pair, triplet)), Individual((triplet,)), Individual((pair,))
    whole, alone = blocks.parts(individuals)
    assert whole == [individuals[0], individuals[2]]
    assert alone == [individuals[1]]
