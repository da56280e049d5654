import math
from importlib.resources import files
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
import pytest

from symreg.constants import AS_IT_IS, Fitter
from symreg.cutoff import Cutoff
from symreg.expression import Expression
from symreg.expression.canonical import nested, terms_of, tree_of
from symreg.forms import FORMS, terms_of_form
from symreg.kernels.programs import MAX_CONSTANTS, MAX_NODES
from symreg.loss import LossSettings
from symreg.neighbours import nearest_neighbour_mean
from symreg.projection import build_design
from symreg.structures import DataSettings, read_structures

AR = ("pair", ("Ar", "Ar"))
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
forms = pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)


def named(name):
    return next(form for form in FORMS if form.name == name)


@pytest.fixture(scope="module")
def fitter():
    """The argon dimers and clusters of the package, from DFT."""
    folder = Path(str(files("symreg.data.argon")))
    structures, _ = read_structures(DataSettings(train=("argon.extxyz",)), folder)
    cutoff = Cutoff(kind="septic", r_cut=8.5, r_on=5.1)
    r0 = nearest_neighbour_mean(structures)
    return Fitter(build_design(structures, cutoff, r0=r0, loss=LossSettings()))


def test_every_form_is_listed_once_with_its_source():
    assert {form.name for form in FORMS} == set(N_CONSTANTS)
    assert len(FORMS) == len(N_CONSTANTS)
    assert all(form.source for form in FORMS)


@forms
def test_form_has_as_many_constants_as_the_literature_gives_it(form):
    terms = terms_of_form(form, [AR])
    assert Expression(terms, (1.0,) * len(terms)).n_constants == N_CONSTANTS[form.name]


@forms
def test_form_fits_in_compiled_code_and_is_finite(form):
    for term in terms_of_form(form, [AR]):
        assert len(term.tree.nodes) <= MAX_NODES
        assert len(term.tree.constants) <= MAX_CONSTANTS
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
    keys = [("pair", pair) for pair in combinations_with_replacement(("Ar", "Kr", "Xe"), 2)]
    terms = terms_of_form(form, keys)
    assert len(terms) == 6 * len(form.terms)
    assert [(t.kind, t.species) for t in terms[:: len(form.terms)]] == keys


def test_forms_with_shared_constants_are_no_seeds():
    # A search knows no names: a seed with shared constants would lose what ties them.
    for form in FORMS:
        names = [name for term in terms_of_form(form, [AR]) for name in term.tree.names if name]
        assert form.is_seed == (not names)


@pytest.mark.parametrize("form", [f for f in FORMS if f.is_seed], ids=lambda form: form.name)
def test_seeds_are_canonical_terms_already(form):
    for term in terms_of_form(form, [AR]):
        assert [tree_of(u) for u in terms_of(nested(term.tree))] == [term.tree]


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
