"""Variation with several keys of a kind: forms that they share, ties of constants, wholeness."""

import hashlib

import numpy as np
import pytest
from coded import coded_of, form_of, over_pairs

from symreg.language.canonical import X, build
from symreg.searching.individuals import Individual
from symreg.searching.variation import Variation, VariationSettings
from symreg.searching.variation.kin import Draft, Kin
from symreg.searching.variation.limits import n_sums
from symreg.searching.variation.parts import heads_of
from symreg.searching.variation.rates import BETWEEN_KEYS, MUTATIONS
from symreg.terms import Key
from symreg.terms.kinds import FUNCTION, PAIRS, TRIPLETS

PAIR_KEYS = (Key.of("Hf", "Hf"), Key.of("Hf", "O"), Key.of("O", "O"))
TRIPLET_KEYS = tuple(
    Key.of(centre, *near) for centre in ("Hf", "O") for near in (("Hf", "Hf"), ("Hf", "O"), "OO")
)
FUNCTIONS = (Key.of("Hf"), Key.of("O"))
KEYS = (*PAIR_KEYS, *TRIPLET_KEYS, *FUNCTIONS)
X6, X12 = ("powi", -6, X), ("powi", -12, X)


def decay(constant):
    return ("exp", ("mul", ("const", constant), X))


def over_other(symbol, form):
    return "sum", ("pairs", "sum", symbol), form


SHARED = tuple(coded_of(k, decay(-3.5)) for k in range(3))
OWN = tuple(coded_of(k, form) for k, form in enumerate((decay(-3.5), X6, X12)))


def only(monkeypatch, name, keys=KEYS, **settings):
    """Let one mutation happen and nothing else."""
    monkeypatch.setattr("symreg.searching.variation.operators.MUTATIONS", ())
    monkeypatch.setattr("symreg.searching.variation.operators.BETWEEN_KEYS", ((name, 1.0),))
    return Variation(VariationSettings(crossover_rate=0.0, max_complexity=200, **settings), keys)


def children(variation, *parents, pairs=60, seed=1):
    individuals = [Individual(coded_terms) for coded_terms in parents] * (2 * pairs // len(parents))
    return [child.coded_terms for child in variation.vary(individuals, np.random.default_rng(seed))]


def of_pairs(coded_terms):
    return [coded for coded in coded_terms if coded.key < 3]


LINEAGE = {
    (PAIRS,): "33dfb3992636",
    (PAIRS, TRIPLETS): "1fd1498eecb0",
    (PAIRS, FUNCTION): "23412c1bb0e0",
    (PAIRS, TRIPLETS, FUNCTION): "215cdbec8031",
}
"""Digests of children of one element before there were forms in common."""


@pytest.mark.parametrize("overs", LINEAGE)
def test_one_element_has_the_children_that_it_had_before_keys_shared_forms(overs):
    species = {PAIRS: ("Si", "Si"), TRIPLETS: ("Si", "Si", "Si"), FUNCTION: ("Si",)}
    variation = Variation(VariationSettings(), [Key.of(*species[over]) for over in overs])
    rng, text = np.random.default_rng(3), ""
    population = variation.random(60, rng)
    for _ in range(4):
        chosen = [Individual(population[k]) for k in rng.integers(len(population), size=120)]
        population = [child.coded_terms for child in variation.vary(chosen, rng)]
        text += str(
            [
                [(t.key, t.shape.text, [f"{c:.5g}" for c in t.constants]) for t in terms]
                for terms in population
            ]
        )
    assert hashlib.sha256(text.encode()).hexdigest()[:12] == LINEAGE[overs]


@pytest.mark.parametrize("shared", ["auto", "never", "always"])
def test_every_random_individual_and_child_has_a_term_for_each_pair(shared):
    settings = VariationSettings(max_complexity=300, max_nonlinear=60, shared=shared)
    variation, rng = Variation(settings, KEYS), np.random.default_rng(0)
    population = variation.random(60, rng)
    for _ in range(3):
        assert all({0, 1, 2} <= {coded.key for coded in terms} for terms in population)
        chosen = [Individual(population[k]) for k in rng.integers(len(population), size=120)]
        population = [child.coded_terms for child in variation.vary(chosen, rng)]
    assert len(population) > 30


def test_a_pair_without_a_term_is_given_a_copy_of_another_with_its_constants():
    variation = Variation(VariationSettings(), PAIR_KEYS)
    assert variation._tidy(SHARED[:1]) == SHARED
    assert variation._tidy(OWN) == OWN
    assert not variation._tidy(())


def test_own_forms_alone_are_not_quite_the_copy():
    made = Variation(VariationSettings(shared="never"), PAIR_KEYS)._tidy(SHARED[:1])
    values = [constant for coded in made for constant in coded.constants]
    assert len(set(values)) == 3
    np.testing.assert_allclose(values, -3.5, rtol=0.05)


def test_where_all_is_shared_every_key_of_a_kind_has_the_same_shapes():
    variation = Variation(VariationSettings(shared="always", max_complexity=400), KEYS)
    for coded_terms in children(variation, *variation.random(20, np.random.default_rng(2))):
        for members in (range(3), range(3, 9)):
            shapes = [sorted(t.shape.text for t in coded_terms if t.key == k) for k in members]
            assert all(one == shapes[0] for one in shapes)


@pytest.mark.parametrize("name", ["constant", "exponent", "point", "extend", "replace"])
def test_a_mutation_of_a_shared_form_acts_on_all_its_keys_or_splits_one_off(monkeypatch, name):
    rates = [(one, rate) for one, rate in MUTATIONS if one == name]
    monkeypatch.setattr("symreg.searching.variation.operators.MUTATIONS", rates)
    monkeypatch.setattr("symreg.searching.variation.operators.BETWEEN_KEYS", ())
    made = children(Variation(VariationSettings(crossover_rate=0.0), PAIR_KEYS), SHARED)
    forms = [{str(form_of(coded)) for coded in terms} for terms in made if len(terms) == 3]
    changed = [one for one in forms if one != {str(decay(-3.5))}]
    assert any(len(one) == 1 for one in changed)
    assert any(len(one) == 2 for one in changed)


def test_a_copied_form_keeps_its_constants_and_stands_beside_what_was_there(monkeypatch):
    for coded_terms in children(only(monkeypatch, "copy", PAIR_KEYS), OWN):
        assert set(OWN) < set(coded_terms)
        (new,) = set(coded_terms) - set(OWN)
        assert form_of(new) in [form_of(coded) for coded in OWN if coded.key != new.key]


def test_merged_keys_have_one_form(monkeypatch):
    for coded_terms in children(only(monkeypatch, "merge", PAIR_KEYS), OWN):
        assert len(coded_terms) == 3
        assert len({str(form_of(coded)) for coded in coded_terms}) < 3


def test_tied_constants_are_equal_and_untied_ones_are_not(monkeypatch):
    apart = tuple(coded_of(k, decay(-3.5 - k)) for k in range(3))
    for coded_terms in children(only(monkeypatch, "tie", PAIR_KEYS), apart):
        values = {constant for coded in coded_terms for constant in coded.constants}
        assert len(values) < 3
        assert values <= {-3.5, -4.5, -5.5}
    counts = set()
    for coded_terms in children(only(monkeypatch, "untie", PAIR_KEYS), SHARED):
        values = [constant for coded in coded_terms for constant in coded.constants]
        np.testing.assert_allclose(values, -3.5, rtol=0.3)
        counts.add(len(set(values)))
    assert counts == {2, 3}


@pytest.mark.parametrize("name", ["tie", "untie", "copy", "merge", "split"])
def test_products_of_one_radial_factor_stand_beside_those_of_two(monkeypatch, name):
    angle = ("add", ("c",), ("const", 0.3))
    one, two = ("product", decay(-3.5), angle), ("unlike", decay(-3.5), decay(-2.5), angle)
    pairs = tuple(coded_of(k, X6) for k in range(3))
    forms = [two if KEYS[k].is_unlike else one for k in range(3, 9)]
    parent = (*pairs, *(coded_of(k, form) for k, form in enumerate(forms, 3)))
    for coded_terms in children(only(monkeypatch, name), parent):
        for coded in coded_terms:
            assert coded.shape.root[0] != "unlike" or KEYS[coded.key].is_unlike


def test_a_form_is_split_on_one_key_alone(monkeypatch):
    for coded_terms in children(only(monkeypatch, "split", PAIR_KEYS), SHARED):
        assert len(set(SHARED) & set(coded_terms)) >= 2


def test_between_one_key_of_each_kind_there_is_nothing_to_exchange():
    rates = Variation(VariationSettings(), [Key.of("Si", "Si"), Key.of("Si")]).base_rates
    assert rates[-len(BETWEEN_KEYS) :].sum() == 0
    assert not Kin([Key.of("Si", "Si"), Key.of("Si")], [0, 1]).any


def test_what_has_two_radial_factors_is_no_kin_of_what_has_one():
    kin = Kin(KEYS, range(len(KEYS)))
    angular = ("powi", 2, ("add", ("const", 0.3), ("c",)))
    two = coded_of(4, ("unlike", decay(-2.0), decay(-3.0), angular))
    terms = [two, coded_of(3, ("product", decay(-2.0), angular))]
    assert kin.of(terms, 0) == kin.of(terms, 1) == []
    assert kin.coded(two, 3) == terms[1]
    assert kin.coded(two, 7) == coded_of(7, form_of(two))


def test_crossover_by_key_takes_all_terms_of_a_key_from_one_parent():
    variation = Variation(VariationSettings(crossover_rate=1.0, max_complexity=200), PAIR_KEYS)
    other = tuple(coded_of(k, build("mul", decay(-2.0), X)) for k in range(3))
    made = children(variation, SHARED, other, pairs=200)
    mixed = [
        terms
        for terms in made
        if len(terms) == 3 and set(terms) <= {*SHARED, *other} and len({*terms} - {*SHARED}) == 2
    ]
    assert mixed


def test_functions_of_sums_name_the_neighbours_that_are_not_the_centre():
    assert heads_of(KEYS) == [
        ("pairs", "sum", "Hf"),
        ("pairs", "sum", "O"),
        ("triplets", "sum", "Hf", "Hf"),
        ("triplets", "sum", "Hf", "O"),
        ("triplets", "sum", "O", "O"),
    ]
    assert heads_of((*PAIR_KEYS, *TRIPLET_KEYS)) == []
    variation = Variation(VariationSettings(max_complexity=200), (*PAIR_KEYS, *FUNCTIONS))
    found = set()
    for coded_terms in variation.random(200, np.random.default_rng(0)):
        for coded in coded_terms:
            for node in coded.shape.nodes():
                if node[0] == "sum":
                    found.add((str(variation.keys[coded.key]), *node[1][2:]))
    assert found == {("Hf",), ("Hf", "O"), ("O",), ("O", "Hf")}


def test_a_function_moves_to_another_centre_with_its_species_exchanged():
    kin = Kin(KEYS, range(len(KEYS)))
    form = ("sqrt", build("add", over_pairs(decay(-2.0)), over_other("O", X6)))
    moved = kin.moved(coded_of(9, form), 10)
    back = kin.moved(moved, 9)
    assert moved.key == 10
    assert ("sum", ("pairs", "sum"), decay(-2.0)) in moved.tree[1]
    assert ("sum", ("pairs", "sum", "Hf"), X6) in moved.tree[1]
    assert back == Draft(9, form)
    terms = [coded_of(9, form), coded_of(10, moved.tree)]
    assert kin.of(terms, 0) == [1]
    assert kin.of(terms, 1) == [0]


def test_a_directed_sum_that_stands_alone_is_a_pair_term_of_both_species():
    variation = Variation(VariationSettings(), KEYS)
    assert variation._typed(9, over_other("O", X6)) == coded_of(1, X6)
    assert variation._typed(9, over_other("Hf", X6)) == coded_of(0, X6)
    assert variation._typed(10, over_pairs(X6)) == coded_of(2, X6)


def test_a_density_of_one_shape_counts_as_one_sum_however_many_species_it_is_over():
    density = ("add", over_pairs(decay(-2.0)), over_other("O", decay(-3.0)))
    assert n_sums(("sqrt", density)) == 1
    assert n_sums(("add", over_pairs(decay(-2.0)), over_pairs(decay(-3.0)))) == 2
    assert n_sums(("add", over_pairs(X6), over_other("O", X12))) == 2


def test_no_function_sums_over_neighbours_that_its_centre_never_meets():
    keys = (Key.of("Cu", "Cu"), Key.of("Cu", "Ni"), Key.of("Cu"), Key.of("Ni"))
    variation = Variation(VariationSettings(max_complexity=200), keys)
    for coded_terms in variation.random(100, np.random.default_rng(0)):
        for coded in coded_terms:
            heads = {node[1][2:] for node in coded.shape.nodes() if node[0] == "sum"}
            assert keys[coded.key] != Key.of("Ni") or heads == {("Cu",)}


def test_keys_that_matter_are_given_more_new_forms():
    def counts(importance):
        settings = VariationSettings(shared="never", max_complexity=200, importance=importance)
        population = Variation(settings, KEYS).random(150, np.random.default_rng(0))
        keys = [coded.key for coded_terms in population for coded in coded_terms]
        return np.bincount(keys, minlength=len(KEYS))[3:9]

    likely = (1.0,) * 3 + (0.5, 3.0, 0.5, 0.5, 0.5, 1.0) + (1.0,) * 2
    assert counts(likely)[1] > 1.5 * counts(())[1]
