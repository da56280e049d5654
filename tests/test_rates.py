import numpy as np
import pytest
from coded import coded_of
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from symreg.fit.projected.fitter import Fitter
from symreg.searching.backfitting import Backfitting
from symreg.searching.individuals import Candidate, Individual, to_arrays
from symreg.searching.island import EvolutionSettings, Island
from symreg.searching.islands import IslandSettings, run_epoch
from symreg.searching.variation import OPERATORS, Variation, VariationSettings
from symreg.searching.variation.rates import (
    BETWEEN_KEYS,
    FLOOR,
    MEMORY,
    adapted,
    counted,
    no_credit,
)
from symreg.terms import Key

N = len(OPERATORS)
BASE = Variation(VariationSettings(), [Key.of("Ar", "Ar")]).base_rates
SETTINGS = IslandSettings(
    islands=2, generations_per_epoch=3, evolution=EvolutionSettings(population_size=30)
)
counts = arrays(float, N, elements=st.floats(0, 1e6))


def test_base_rates_are_a_distribution_over_all_operators():
    assert BASE.shape == (N,)
    assert BASE.sum() == pytest.approx(1.0)
    assert BASE[OPERATORS.index("crossover")] == VariationSettings().crossover_rate
    between = [name for name, _ in BETWEEN_KEYS]
    assert [name for name, rate in zip(OPERATORS, BASE, strict=True) if not rate] == between
    several = Variation(VariationSettings(), [Key.of("Hf", "O"), Key.of("O", "O")]).base_rates
    assert several.sum() == pytest.approx(1.0)
    assert (several > 0).all()


@given(tried=counts, part=arrays(float, N, elements=st.floats(0, 1)))
def test_rates_stay_a_distribution_with_a_floor(tried, part):
    rates = adapted(BASE, np.column_stack([tried, part * tried]))
    assert rates.sum() == pytest.approx(1.0)
    assert (rates >= FLOOR * BASE * (1 - 1e-12)).all()


def test_without_credit_rates_are_the_base_rates():
    np.testing.assert_array_equal(adapted(BASE, no_credit()), BASE)


def test_gains_too_old_to_be_told_from_none_count_as_none():
    # They are multiplied by 0.97 in every generation; the quotient was 0/0.
    np.testing.assert_array_equal(adapted(BASE, np.tile([1.0, 5e-324], (N, 1))), BASE)


def test_operators_that_yield_the_same_keep_their_base_rates():
    credit = np.column_stack([np.linspace(100, 1e4, N), np.linspace(10, 1e3, N)])
    np.testing.assert_allclose(adapted(BASE, credit), BASE, rtol=1e-12)


def test_an_operator_that_never_succeeds_falls_to_the_floor():
    credit = np.column_stack([np.full(N, 1e7), np.full(N, 1e6)])
    credit[3, 1] = 0.0
    rates = adapted(BASE, credit)
    assert rates[3] == pytest.approx(FLOOR * BASE[3], rel=1e-4)
    assert ((rates > BASE) | (BASE == 0))[np.arange(N) != 3].all()


def test_an_operator_that_yields_more_is_used_more():
    credit = np.column_stack([np.full(N, 1e4), np.full(N, 1e2)])
    credit[5, 1] *= 4
    assert adapted(BASE, credit)[5] > 2 * BASE[5]


def test_credit_fades_and_grows_by_what_was_made():
    before = np.full((N, 2), 100.0)
    after = counted(before, [3, 3, -1, 0], [3, -1])
    expected = MEMORY * before
    expected[3] += 2, 1
    expected[0, 0] += 1
    np.testing.assert_array_equal(after, expected)
    assert (before == 100.0).all()
    np.testing.assert_array_equal(counted(no_credit(), [], []), no_credit())


def test_rates_decide_what_makes_offspring():
    variation = Variation(VariationSettings(), [Key.of("Ar", "Ar")])
    rng = np.random.default_rng(0)
    rates = np.zeros(N)
    rates[OPERATORS.index("add")] = 1.0
    parents = [Individual(coded_terms) for coded_terms in variation.random(40, rng)]
    made = {child.made for child in variation.vary(parents, rng, rates)}
    assert made == {OPERATORS.index("add")}


@pytest.fixture(scope="module")
def island(argon_design):
    return Island(Fitter(argon_design), SETTINGS.evolution, SETTINGS.variation)


def test_credit_counts_what_was_fitted_and_what_of_it_was_a_gain(island, monkeypatch):
    rng = np.random.default_rng(0)
    x6, steep = ("powi", -6, ("x",)), ("powi", -12, ("x",))
    (poor,) = island.fit([Candidate((coded_of(0, steep),), 0)])
    children = [
        Candidate((coded_of(0, steep), coded_of(0, x6)), 0, 4),  # what made the data
        Candidate((coded_of(0, ("log", ("sub", ("x",), ("int", 9)))),), 0, 2),  # no number
    ]
    monkeypatch.setattr(island.variation, "vary", lambda *_: children)
    (generation,) = island.evolve([poor, poor], 1, rng)
    expected = no_credit()
    expected[4] = 1, 1
    expected[2] = 1, 0
    np.testing.assert_array_equal(generation.credit, expected)


def test_credit_that_is_given_is_added_to_and_not_changed(island):
    rng = np.random.default_rng(0)
    before = np.full((N, 2), 7.0)
    (generation,) = island.evolve(island.begin(rng), 1, rng, 1, before)
    assert (before == 7.0).all()
    assert (generation.credit >= MEMORY * before).all()
    assert generation.credit.sum() > MEMORY * before.sum()


@pytest.fixture(scope="module")
def first(argon_design):
    blocks = Backfitting(Fitter(argon_design), SETTINGS.evolution, SETTINGS.variation)
    return blocks, run_epoch(blocks, SETTINGS, 0, 0, None, None)[0]


def test_an_epoch_ends_with_the_credit_of_its_operators(first):
    _, arrays = first
    tried, won = arrays["credit"].T
    assert arrays["credit"].shape == (N, 2)
    assert (won <= tried).all()
    assert won.sum() > 0


def test_an_epoch_depends_on_the_credit_and_does_without(first):
    blocks, arrays = first
    own = {name: values.copy() for name, values in arrays.items()}
    usual = run_epoch(blocks, SETTINGS, 0, 1, arrays, None)[0]
    assert all(own[name].tobytes() == arrays[name].tobytes() for name in own)
    without = {name: values for name, values in arrays.items() if name != "credit"}
    begun = run_epoch(blocks, SETTINGS, 0, 1, without, None)[0]
    other = {**arrays, "credit": 10 * arrays["credit"][::-1]}
    changed = run_epoch(blocks, SETTINGS, 0, 1, other, None)[0]
    assert begun["credit"].sum() < usual["credit"].sum()
    assert changed["error"].tobytes() != usual["error"].tobytes()


def test_credit_survives_a_file_to_the_last_bit(first, tmp_path):
    blocks, arrays = first
    np.savez(tmp_path / "island.npz", **arrays)
    with np.load(tmp_path / "island.npz") as file:
        read = {name: file[name] for name in file.files}
    one, two = (run_epoch(blocks, SETTINGS, 0, 1, own, None)[0] for own in (arrays, read))
    assert one.keys() == two.keys() == {*to_arrays([]), "credit"}
    assert all(one[name].tobytes() == two[name].tobytes() for name in one)
