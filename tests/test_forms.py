import math
from dataclasses import replace
from importlib.resources import files
from itertools import combinations_with_replacement
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from coded import form_of

from symreg.config import TermSettings
from symreg.fit.design import build_design
from symreg.fit.loss import LossSettings
from symreg.fit.programs.batch import MAX_CONSTANTS, fits
from symreg.fit.projected.fitter import AS_IT_IS, Fitter
from symreg.language.canonical import nested, terms_of, tree_of
from symreg.runs.pipeline.preparation import best_fit
from symreg.runs.pipeline.seeds import is_within, of_known_forms
from symreg.searching.individuals import coded_terms_of, n_fitted
from symreg.structures import DataSettings, read_structures
from symreg.structures.neighbours import nearest_neighbour_mean
from symreg.terms import Expression, Key, Term
from symreg.terms.cutoff import Cutoff
from symreg.terms.kinds import TRIPLETS as OVER_TRIPLETS
from symreg.terms.known import (
    FORMS,
    MANY_BODY_FORMS,
    THREE_BODY_FORMS,
    known_forms,
    terms_of_form,
    untied,
)
from symreg.terms.lengths import Lengths

AR = Key.of("Ar", "Ar")
SILICON = (Key.of("Si", "Si"), Key.of("Si", "Si", "Si"))
X = np.linspace(0.85, 1.8, 40)
N_CONSTANTS = {
    "Lennard-Jones": 2,
    "Mie": 4,
    "Morse": 3,
    "Buckingham": 3,
    "Born-Mayer": 2,
    "double exponential": 4,
    "Tang-Toennies": 4,
}
N_CONSTANTS_THREE_BODY = {
    "Stillinger-Weber": 5,
    "Stillinger-Weber-like": 7,
    "Tersoff-like": 9,
    "Behler-Parrinello G2 and G5": 8,
    "Behler-Parrinello G2 and G4": 8,
    "moment tensors": 8,
}
N_CONSTANTS_MANY_BODY = {
    "Gupta": 4,
    "Sutton-Chen": 4,
    "Finnis-Sinclair-like": 6,
    "Johnson-like EAM": 7,
    "POET GP1": 6,  # five as published, whose pair sum has a weight of one
    "POET GP3": 7,
}
COPPER = (Key.of("Cu", "Cu"), Key.of("Cu"))
forms = pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
three_body_forms = pytest.mark.parametrize("form", THREE_BODY_FORMS, ids=lambda form: form.name)
TRIPLETS = np.random.default_rng(2).uniform((0.8, 0.8, -1), (1.8, 1.8, 1), (50, 3)).T


def named(name):
    return next(form for form in FORMS + THREE_BODY_FORMS + MANY_BODY_FORMS if form.name == name)


def three_body_trees(name):
    return [term.tree for term in terms_of_form(named(name), SILICON[1:])]


@pytest.fixture(scope="module")
def fitter():
    """The argon dimers and clusters of the package, from DFT."""
    folder = Path(str(files("symreg") / "data" / "argon"))
    structures, _ = read_structures(DataSettings(train=("argon.extxyz",)), folder)
    cutoff = Cutoff(kind="septic", r_cut=8.5, r_on=5.1)
    r0 = nearest_neighbour_mean(structures)
    return Fitter(build_design(structures, Lengths(cutoff, None, r0), loss=LossSettings()))


def test_every_form_is_listed_once_with_its_source():
    assert {form.name for form in FORMS} == set(N_CONSTANTS)
    assert len(FORMS) == len(N_CONSTANTS)
    assert [form.name for form in THREE_BODY_FORMS] == list(N_CONSTANTS_THREE_BODY)
    assert all(form.source for form in FORMS + THREE_BODY_FORMS)


@forms
def test_form_has_as_many_constants_as_the_literature_gives_it(form):
    terms = terms_of_form(form, [AR])
    assert Expression(terms, (1.0,) * len(terms)).n_constants == N_CONSTANTS[form.name]


@forms
def test_form_fits_in_compiled_code_and_is_finite(form):
    for term in terms_of_form(form, [AR]):
        assert fits(term.tree.shape)
        assert np.isfinite(term.tree(X)).all()


@forms
def test_every_form_fits_argon_from_its_starting_values(fitter, form):
    found, loss = fitter.refit(terms_of_form(form, [AR]), AS_IT_IS)
    nothing = Expression(found.terms, (0.0,) * len(found.terms))
    # One repulsive exponential cannot bind; all others explain argon almost wholly.
    assert loss < fitter.loss(nothing) * (0.5 if form.name == "Born-Mayer" else 0.02)
    assert np.isfinite(found.weights).all()
    assert fitter.design.error(loss) >= fitter.design.floor.error


@forms
def test_every_pair_of_species_gets_terms_of_its_own(form):
    keys = [Key.of(*pair) for pair in combinations_with_replacement(("Ar", "Kr", "Xe"), 2)]
    terms = terms_of_form(form, keys)
    assert len(terms) == 6 * len(form.terms)
    assert [t.key for t in terms[:: len(form.terms)]] == keys


def test_forms_with_shared_constants_are_no_seeds():
    # A search knows no names: a seed with shared constants would lose what ties them.
    for form in FORMS + THREE_BODY_FORMS + MANY_BODY_FORMS:
        terms = terms_of_form(form, [AR, SILICON[1], COPPER[1]])
        names = [name for term in terms for name in term.tree.names if name]
        assert form.is_seed == (not names and not form.in_angstrom)


SEEDS = [form for form in FORMS + THREE_BODY_FORMS + MANY_BODY_FORMS if form.is_seed]


@pytest.mark.parametrize("form", SEEDS, ids=lambda form: form.name)
def test_seeds_are_canonical_terms_already(form):
    for term in terms_of_form(form, [AR, SILICON[1], COPPER[1]]):
        assert [tree_of(u) for u in terms_of(nested(term.tree))] == [term.tree]


@pytest.mark.parametrize("form", MANY_BODY_FORMS, ids=lambda form: form.name)
def test_a_many_body_form_has_as_many_constants_as_the_literature_gives_it(form):
    terms = terms_of_form(form, COPPER)
    count = Expression(terms, (1.0,) * len(terms)).n_constants
    assert count == N_CONSTANTS_MANY_BODY[form.name]
    assert {term.key for term in terms} == set(COPPER)
    assert form.source


def test_forms_with_a_length_in_an_exponent_are_for_distances_in_angstrom():
    reduced, lengths = (known_forms(COPPER, ("poet",), r0) for r0 in (2.5, 1.0))
    assert not any(form.in_angstrom for form in reduced)
    assert [form for form in lengths if form not in reduced] == [
        form for form in MANY_BODY_FORMS if form.in_angstrom
    ]
    assert not set(MANY_BODY_FORMS) & set(known_forms(COPPER[:1]))


def test_morse_is_its_definition():
    (term,) = terms_of_form(named("Morse"), [AR])
    tree = term.tree.with_constants([5.0, 1.1])
    np.testing.assert_allclose(tree(X), (1 - np.exp(-5 * (X - 1.1))) ** 2 - 1, atol=1e-13)
    assert tree(np.array([1.1])) == pytest.approx(-1)


def test_tang_toennies_is_its_definition():
    (term,) = terms_of_form(named("Tang-Toennies"), [AR])
    values = {"b": 11.0, "c": 3e-2, "d": 0.4}
    tree = term.tree.with_constants([values[name] for name in term.tree.names])

    def damping(order):
        terms = [(11.0 * X) ** k / math.factorial(k) for k in range(order + 1)]
        return 1 - np.exp(-11.0 * X) * np.sum(terms, axis=0)

    expected = np.exp(-11.0 * (X - 1)) - 3e-2 * (damping(6) / X**6 + 0.4 * damping(8) / X**8)
    np.testing.assert_allclose(tree(X), expected, rtol=1e-12)


# Three-body forms


@three_body_forms
def test_three_body_form_has_as_many_constants_as_its_formula(form):
    terms = terms_of_form(form, SILICON)
    expression = Expression(terms, (1.0,) * len(terms))
    assert expression.n_constants == N_CONSTANTS_THREE_BODY[form.name]
    assert sum(len(term.tree.constants) for term in terms) <= MAX_CONSTANTS
    assert expression.keys() == list(SILICON)


def test_pairs_alone_are_described_by_pair_potentials_alone():
    assert known_forms([AR]) == FORMS
    assert known_forms(SILICON, ("septic", "septic"))[: len(FORMS)] == FORMS


def test_stillinger_weber_needs_its_own_cutoff_function_for_all_terms():
    own, name = "stillinger_weber", "Stillinger-Weber"
    assert name in [form.name for form in known_forms(SILICON, (own, own))]
    for cutoffs in (("septic", own), (own, "septic"), ("septic", "septic")):
        assert name not in [form.name for form in known_forms(SILICON, cutoffs)]


def test_stillinger_weber_is_its_definition():
    # Phys. Rev. B 31, 5262: lengths in sigma = 2.0951 Å, energies in epsilon.
    sigma, a, gamma, big_a, big_b, strength = 2.0951, 1.8, 1.2, 7.049556277, 0.6022245584, 21.0
    r_cut, form = a * sigma, named("Stillinger-Weber")
    pairs = Cutoff(kind="stillinger_weber", r_cut=r_cut, s=sigma)
    triplets = Cutoff(kind="stillinger_weber", r_cut=r_cut, s=gamma * sigma)
    repulsion, attraction, bend = (term.tree for term in terms_of_form(form, SILICON))
    r, (r1, r2, c) = np.linspace(1.6, 3.7, 30), TRIPLETS * [[2.0], [2.0], [1.0]]
    pair = (big_a * big_b * repulsion(r / sigma) - big_a * attraction(r / sigma)) * pairs.value(r)
    x = r / sigma
    np.testing.assert_allclose(
        pair, big_a * (big_b * x**-4 - 1) * np.exp(1 / (x - a)), rtol=1e-12, atol=1e-12
    )
    bend = bend.with_constants([1 / 3])
    fade = triplets.value(r1) * triplets.value(r2)
    inside = (r1 < r_cut) & (r2 < r_cut)
    with np.errstate(over="ignore"):
        envelope = np.exp(gamma / (r1 / sigma - a) + gamma / (r2 / sigma - a)) * inside
    np.testing.assert_allclose(
        strength * bend(r1 / sigma, r2 / sigma, c) * fade, strength * (c + 1 / 3) ** 2 * envelope
    )


def test_tersoff_angles_are_their_definition():
    (tree,) = three_body_trees("Tersoff-like")
    a, b, h = 1.3, 1.7, -0.6
    # 1 + a^2/b^2 is left to the weight.
    tree = tree.with_constants([-3.0, a**2 / (1 + a**2 / b**2), b**2, -h])
    x1, x2, c = TRIPLETS
    angular = 1 + a**2 / b**2 - a**2 / (b**2 + (h - c) ** 2)
    expected = np.exp(-3 * (x1 + x2)) * angular / (1 + a**2 / b**2)
    np.testing.assert_allclose(tree(x1, x2, c), expected, rtol=1e-12)


@pytest.mark.parametrize("zeta", [1, 2])
def test_symmetry_functions_are_their_definitions(zeta):
    x1, x2, c = TRIPLETS
    eta = 0.7
    bend = (1 + c) ** zeta
    g5 = three_body_trees("Behler-Parrinello G2 and G5")[zeta - 1].with_constants([-eta])
    np.testing.assert_allclose(g5(x1, x2, c), bend * np.exp(-eta * (x1**2 + x2**2)))
    g4 = three_body_trees("Behler-Parrinello G2 and G4")[zeta - 1].with_constants([-2 * eta])
    opposite = x1**2 + x2**2 - 2 * x1 * x2 * c
    np.testing.assert_allclose(g4(x1, x2, c), bend * np.exp(-eta * (x1**2 + x2**2 + opposite)))


def test_only_symmetry_functions_with_all_three_distances_are_no_products():
    general = [form.name for form in FORMS + THREE_BODY_FORMS if not form.is_separable]
    assert general == ["Behler-Parrinello G2 and G4"]


@pytest.fixture(scope="module")
def silicon_fitter(silicon_design):
    return Fitter(silicon_design)


# What fits best of the general form is too steep for the grid.
PRODUCTS = [form for form in THREE_BODY_FORMS if form.is_separable]


@pytest.mark.parametrize("form", PRODUCTS, ids=lambda form: form.name)
def test_products_fit_silicon_beyond_their_pair_terms(silicon_fitter, form):
    design = silicon_fitter.design
    prepared = SimpleNamespace(fitter=silicon_fitter)
    _, loss = best_fit(prepared, terms_of_form(form, SILICON))
    _, loss_of_pairs = best_fit(prepared, terms_of_form(form, SILICON[:1]))
    assert design.floor.error <= design.error(loss) < 0.9 * design.error(loss_of_pairs)


@three_body_forms
def test_every_three_body_form_is_found_again(silicon_fitter, form):
    terms = terms_of_form(form, SILICON)
    made = Expression(
        tuple(term.with_constants([0.9 * c for c in term.constants]) for term in terms),
        tuple(range(1, len(terms) + 1)),
    )
    problem = silicon_fitter.problem
    labels = problem.matrix @ silicon_fitter.coordinates(made)
    fitter = Fitter(silicon_fitter.design, replace(problem, target=labels, rest=0.0))
    _, loss = best_fit(SimpleNamespace(fitter=fitter), terms)
    assert loss < 1e-8 * 0.5 * labels @ labels


def seeds_of(design, **changes):
    fits = []
    for form in known_forms(SILICON, ("septic", "septic")):
        terms = terms_of_form(form, SILICON)
        fits.append((form, form.name, Expression(terms, (1.0,) * len(terms)), 0.0))
    settings = SimpleNamespace(terms=TermSettings(max_complexity=80, **changes))
    prepared = SimpleNamespace(settings=settings, design=design, known=fits)
    return of_known_forms(prepared)


@pytest.mark.parametrize("shape", ["separable", "general"])
def test_searches_start_from_forms_of_the_shape_they_search(silicon_design, shape):
    seeds = seeds_of(silicon_design, three_body=shape)
    assert len(seeds) == (10 if shape == "general" else 9)
    roots = {form_of(coded)[0] for seed in seeds for coded in seed if coded.key == 1}
    assert roots == ({"product", "mul"} if shape == "general" else {"product"})


def test_searches_start_from_forms_of_as_few_constants_as_they_may_have(
    silicon_design,
):
    every = seeds_of(silicon_design, three_body="general")
    sizes = [n_fitted(seed) for seed in every]
    most = sorted(sizes)[len(sizes) // 2]
    few = seeds_of(silicon_design, three_body="general", max_constants=most)
    assert few == [seed for seed, size in zip(every, sizes, strict=True) if size <= most]
    assert 0 < len(few) < len(every)


def test_searches_start_from_forms_of_as_few_sums_as_they_may_have():
    terms = Term.read("Cu-Cu: x^-9"), Term.read("Cu: sqrt(sum(x^-6) + sum(x^-4))")
    coded_terms = coded_terms_of(terms, COPPER)
    assert is_within(TermSettings(max_sums=2), coded_terms)
    assert not is_within(TermSettings(max_sums=1), coded_terms)


# Several elements.

ALLOY = tuple(map(Key.read, ("Cu-Cu", "Cu-Ni", "Ni-Ni", "Cu", "Ni")))
COMPOUND = tuple(map(Key.read, ("Hf-Hf", "Hf-O", "O-O", "Hf;O-O", "O;Hf-Hf", "O;Hf-O")))


def constants_of(terms):
    return {constant for term in terms for constant in term.constants}


def test_a_known_form_of_one_element_has_one_version():
    for form in (*FORMS, *MANY_BODY_FORMS):
        assert not list(untied(terms_of_form(form, COPPER)))


def test_constants_of_a_form_are_tied_over_all_keys_or_each_has_its_own():
    tied = terms_of_form(named("Buckingham"), COMPOUND[:3])
    ((words, own),) = untied(tied)
    assert words == "constants of each key"
    counts = [Expression(terms, (1.0,) * len(terms)).n_constants for terms in (tied, own)]
    assert counts == [6 + 1, 6 + 3]
    assert not list(untied(terms_of_form(named("Lennard-Jones"), COMPOUND[:3])))


def test_stillinger_and_weber_have_an_angle_for_each_triplet():
    terms = dict(untied(terms_of_form(named("Stillinger-Weber-like"), COMPOUND)))[
        "angles of each key"
    ]
    angular = [term for term in terms if term.key.over == OVER_TRIPLETS]
    assert len({term.constants[-1] for term in angular}) == 3
    assert len(constants_of(angular)) == 3 + 1


def test_densities_of_alloys_are_over_neighbours_of_every_species():
    terms = terms_of_form(named("Gupta"), ALLOY)
    copper, nickel = (str(term) for term in terms if term.key.is_function)
    assert copper == "Cu: sqrt(sum(exp(-4.6*x)) + 1.02*sum_Ni(exp(-4.6*x)))"
    assert nickel == "Ni: sqrt(sum(exp(-4.6*x)) + 1.03*sum_Cu(exp(-4.6*x)))"
    for form in MANY_BODY_FORMS:
        terms = terms_of_form(form, ALLOY)
        for every in (terms, *dict(untied(terms)).values()):
            assert all(("sum_" in str(term)) == (term.key.is_function) for term in every), form.name


def test_an_element_that_never_meets_its_own_kind_has_densities_of_the_others():
    keys = (*ALLOY[:2], *ALLOY[3:])
    (*_, last) = terms_of_form(named("Gupta"), keys)
    assert str(last) == "Ni: sqrt(sum_Cu(exp(-4.6*x)))"
