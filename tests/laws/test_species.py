"""Several elements: laws of formulas with sums of every key, and what fits make of them."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from random_crystals import crystals, strained, stress_from

from symreg.fit.design import build_design
from symreg.fit.errors import training_loss
from symreg.fit.exact import ExactPath
from symreg.fit.intervals import bootstrap, intervals
from symreg.fit.loss import LossSettings
from symreg.fit.programs.batch import pack
from symreg.fit.projected.fitter import QUICK, Fitter
from symreg.fit.rows import Labelled
from symreg.structures import from_atoms
from symreg.structures.neighbours import structure_pairs
from symreg.terms import Expression, Key, Sum, Term, expression_of
from symreg.terms.cutoff import Cutoff
from symreg.terms.lengths import Lengths

FAR, NEAR = Cutoff(kind="septic", r_cut=4.4, r_on=2.0), Cutoff(kind="septic", r_cut=3.6, r_on=2.0)
LENGTHS = Lengths(
    FAR,
    NEAR,
    2.5,
    0.9,
    {"Hf-O": 1.1, "O-O": 1.3},
    {
        "Hf-O": Cutoff(kind="septic", r_cut=4.0, r_on=2.4),
        "O;Hf-O": Cutoff(kind="septic", r_cut=3.9),
    },
)
E0 = {"Hf": -1.3, "O": 0.4}
PAIRS = ((0.7, "Hf-Hf: x^-6"), (-0.4, "Hf-O: exp(-1.3*x)"), (0.3, "O-O: x^-4"))
TRIPLETS = (
    (0.5, "O;Hf-Hf: exp(-1.1*x1)*exp(-1.1*x2)*(c + 0.3)^2"),
    (-0.6, "O;Hf-O: exp(-0.9*x1)*exp(-1.7*x2)*(c - 0.2)^2"),
    (0.8, "Hf;Hf-O: exp(-1.2*x1 - 0.4*x2^2)*(c + 0.1)"),
    (0.2, "Hf;O-O: (x1 - 2*x2)^2*exp(-x1 - x2)*c"),
)
FUNCTIONS = (
    (-1.1, "Hf: sqrt(1.0 + sum_O(x^-3) + 0.5*sum(exp(-2.0*x))^2)"),
    (-0.7, "O: log(1.5 + sum_Hf(exp(-x))*sum_Hf_O(exp(-0.8*x1)*exp(-1.4*x2)*(c + 0.3)^2))"),
    (0.3, "O: sum_O_O(exp(-x1)*exp(-x2)*c)^2 + sum_Hf(x^-2)"),
)
CASES = {
    "pairs": PAIRS,
    "triplets": (*PAIRS, *TRIPLETS),
    "functions": (*PAIRS, *FUNCTIONS),
    "all": (*PAIRS, *TRIPLETS, *FUNCTIONS),
}
CRYSTALS = crystals(("Hf", "O", "Hf", "O", "O"))
few = settings(max_examples=6)
every_case = pytest.mark.parametrize("case", CASES)


@lru_cache
def expression(case):
    return expression_of(CASES[case])


def predict(case, *images, lengths=LENGTHS):
    return ExactPath(from_atoms(images), lengths).predict(expression(case), E0)


def away_from_edges(atoms):
    """No distance where a cutoff function has a bend, or the domain begins."""
    r = structure_pairs(from_atoms([atoms]), 0, 5.0).r
    edges = [e for c in LENGTHS.every_cutoff for e in (c.r_cut, c.r_on)]
    edges += [LENGTHS.r_lo, *LENGTHS.r_lo_pairs.values()]
    assume(np.abs(r[:, None] - edges).min(initial=1) > 1e-3)


@every_case
@few
@given(atoms=CRYSTALS, coordinate=st.integers(0, 14))
def test_forces_are_the_slope_of_the_energy(case, atoms, coordinate):
    away_from_edges(atoms)
    moved = [atoms.copy(), atoms.copy()]
    for copy, step in zip(moved, (1e-5, -1e-5), strict=True):
        copy.positions.ravel()[coordinate] += step
    found = predict(case, atoms, *moved)
    forces, (up, down) = found.forces[:5], found.energy[1:]
    scale = 1 + np.abs(forces).max() + np.abs(up)
    assert -(up - down) / 2e-5 == pytest.approx(forces.ravel()[coordinate], abs=1e-6 * scale)
    np.testing.assert_allclose(forces.sum(axis=0), 0, atol=1e-10 * scale)


@every_case
@few
@given(atoms=CRYSTALS)
def test_stress_is_the_slope_of_the_energy_with_strain(case, atoms):
    atoms.pbc = True
    away_from_edges(atoms)
    found = predict(case, atoms, *strained(atoms))
    scale = 1 + np.abs(found.stress[0]).max() + np.abs(found.energy[0]) / atoms.get_volume()
    np.testing.assert_allclose(
        found.stress[0], stress_from(found.energy[1:], atoms), atol=1e-6 * scale
    )


@every_case
@few
@given(atoms=CRYSTALS, order=st.permutations(range(5)))
def test_order_of_the_atoms_does_not_matter(case, atoms, order):
    one, other = predict(case, atoms), predict(case, atoms[list(order)])
    assert other.energy == pytest.approx(one.energy, rel=1e-11)
    scale = 1 + np.abs(one.forces).max()
    np.testing.assert_allclose(other.forces, one.forces[list(order)], atol=1e-11 * scale)


def test_distances_of_unlike_neighbours_belong_to_their_species():
    plain = Cutoff(kind="none", r_cut=3.0)
    found = ExactPath(
        from_atoms([Atoms("OHfO", [[0, 0, 0], [2.0, 0, 0], [0, 2.6, 0]])]),
        Lengths(plain, plain, 1.0),
    ).predict(expression_of([(1.0, "O;Hf-O: x1^2*x2*1")]), {"Hf": 0.0, "O": 0.0})
    assert found.energy[0] == pytest.approx(2.0**2 * 2.6)


# Fits


def labelled_oxide(truth, noise=0.0):
    """Rattled cells of several compositions."""
    rng, images = np.random.default_rng(3), []
    for n in range(14):
        atoms = bulk("HfO", "rocksalt", a=4.3 + 0.05 * (n % 5), cubic=True)
        atoms.symbols[rng.integers(8)] = "O" if n % 3 else "Hf"
        atoms.rattle(0.15, seed=n)
        found = ExactPath(from_atoms([atoms]), LENGTHS).predict(truth, E0)
        labels = {
            "energy": found.energy[0] + noise * rng.normal(),
            "forces": found.forces + noise * rng.normal(size=(8, 3)),
            "stress": found.stress[0] + 0.1 * noise * rng.normal(size=6),
        }
        atoms.calc = SinglePointCalculator(atoms, **labels)
        images.append(atoms)
    return from_atoms(images)


def design_of(structures):
    return build_design(structures, replace(LENGTHS, r_lo=0.0), LossSettings(), many_body=True)


@pytest.fixture(scope="module")
def oxide():
    return labelled_oxide(expression("all"), noise=0.03)


@pytest.fixture(scope="module")
def design(oxide):
    return design_of(oxide)


@pytest.fixture(scope="module")
def fitter(oxide, design):
    return Labelled(oxide, design.within(LENGTHS)).fitter(design)


def exact_loss(oxide, design, expression, e0):
    path = ExactPath(oxide, design.within(LENGTHS))
    found = path.predict(expression, dict(zip(design.species, e0, strict=True)))
    return training_loss(oxide, found, design.loss, {})


def test_every_key_that_the_data_show_has_a_place(design):
    assert list(map(str, design.keys)) == [
        "Hf-Hf", "Hf-O", "O-O",
        "Hf-Hf-Hf", "Hf;Hf-O", "Hf;O-O", "O;Hf-Hf", "O;Hf-O", "O-O-O", "Hf", "O",
    ]  # fmt: skip
    (unlike,) = (grid for grid in design.grids if str(grid.key) == "O;Hf-O")
    assert (unlike.cutoff.r_cut, unlike.size) == (3.9, 8 * 8 * 7)


@every_case
def test_loss_is_that_of_the_exact_path(oxide, design, fitter, case):
    known = expression(case)
    found = fitter.loss(known)
    exact = exact_loss(oxide, design, known, fitter.e0(known))
    # Eight nodes resolve these triplets to 1e-4, and slopes of sums come from a table.
    assert found == pytest.approx(exact, rel=2e-3)


SHARED = (
    (0.9, "Hf-Hf: x^-6.5"), (0.4, "Hf-O: x^-6.5"), (0.7, "O-O: x^-4.5"),
    (0.6, "O;Hf-O: exp(-0.9*x1)*exp(-1.7*x2)*(c + 0.2)^2"),
    (-0.8, "Hf;Hf-O: exp(-0.9*x1)*exp(-1.2*x2)*(c + 0.2)^2"),
)  # fmt: skip
EMBEDDED = (
    (-1.2, "Hf: sqrt(sum(exp(-2.0*x)) + 0.7*sum_O(exp(-2.0*x)))"),
    (-0.9, "O: sqrt(sum(exp(-1.2*x)) + 0.7*sum_Hf(exp(-2.0*x)))"),
)


@pytest.mark.parametrize("parts", [SHARED, (*SHARED[:3], *EMBEDDED)])
def test_tied_constants_are_found_and_stay_equal(parts):
    truth = expression_of(parts)
    oxide = labelled_oxide(truth)
    design = design_of(oxide)
    fitter = Labelled(oxide, design.within(LENGTHS)).fitter(design)
    start = [term.with_constants([1.03 * c for c in term.constants]) for term in truth.terms]
    found, loss = fitter.refit(start)
    assert design.error(loss) < 3e-3
    assert found.sharing == truth.sharing
    assert truth.sharing.is_tied
    for one, other in zip(found.terms, truth.terms, strict=True):
        assert one.constants == pytest.approx(other.constants, rel=0.01)
    assert found.weights == pytest.approx(truth.weights, rel=0.03)


@pytest.mark.parametrize("parts", [SHARED, (*SHARED[:3], *EMBEDDED)])
@pytest.mark.parametrize("chosen", [(0,), (2,), (3, 4), ()])
def test_constants_of_other_terms_are_held(fitter, parts, chosen):
    start = expression_of(parts)
    moved = [n in chosen for n in range(len(parts))]
    (coded,) = pack([start.terms], fitter.design.keys)
    found, _ = fitter.fit([coded], QUICK, moved=[moved]).expression(start.terms)
    before, after = ([c for term in e.terms for c in term.constants] for e in (start, found))
    of_term = [n for n, term in enumerate(start.terms) for _ in term.constants]
    tied = start.sharing.parameter
    free = {tied[k] for k, n in enumerate(of_term) if n in chosen}
    for k, (one, other) in enumerate(zip(before, after, strict=True)):
        assert one == other or tied[k] in free
    assert chosen or before == after
    assert found.sharing == start.sharing


def test_covariance_is_of_what_is_fitted(design):
    (start, fitter) = expression_of(SHARED), Fitter(design)
    found, _ = fitter.refit(start.terms, QUICK)
    spread = intervals(fitter, found, bootstrap(design, 4))
    n = found.n_constants
    assert spread.covariance.shape == (n, n) == (11, 11)
    assert spread.low.shape == (n,)
    step = 1e-4
    moved = found.terms[0].constants[0] + step
    terms = [t.with_constants([moved]) if n < 2 else t for n, t in enumerate(found.terms)]
    change = fitter.residual(replace(found, terms=tuple(terms))) - fitter.residual(found)
    columns = fitter.columns(found)
    np.testing.assert_allclose(
        change / step, columns[:, 5] + columns[:, 6], atol=1e-3 * np.abs(columns[:, 5]).max()
    )


# What formulas share


@pytest.mark.parametrize(
    ("texts", "complexity", "n_constants"),
    [
        (["Hf-O: exp(-2.0*x)"], 9, 2),
        (["Hf-O: exp(-2.0*x)", "O-O: exp(-2.0*x)"], 9 + 1, 3),
        (["Hf-O: exp(-2.0*x)", "O-O: exp(-3.0*x)"], 9 + 2, 4),
        (["Hf-O: exp(-2.0*x)", "O-O: x^-2.0"], 9 + 8, 4),
        (["Hf-O: exp(-2.0*x)", "Hf-O: exp(-3.0*x)"], 9 + 9, 4),
        (["Hf-Hf: exp(-3.0*x)", "Hf-Hf: exp(-2.0*x)", "Hf-O: exp(-2.0*x)"], 9 + 9 + 1, 5),
        (["Hf-Hf: x^-3.0", "Hf-Hf: x^-2.0", "O-O: x^-4.0", "O-O: x^-3.0"], 8 + 8 + 3, 7),
        (["Hf: sqrt(sum(x^-4))", "O: sqrt(sum(x^-4))"], 13 + 1, 2),
        (["Hf: sqrt(sum(x^-4) + 2.0*sum_O(x^-4))"], 16, 2),
    ],
)
def test_a_shared_form_counts_once_and_each_further_value_one(texts, complexity, n_constants):
    terms = tuple(map(Term.read, texts))
    found = Expression(terms, (1.0,) * len(terms)).sharing
    assert (found.complexity, found.n_constants) == (complexity, n_constants)


def test_neighbours_of_one_kind_have_one_radial_factor():
    tree = Key.read("O;Hf-O").parse("exp(-x1)*exp(-2*x2)*c")
    assert tree.root[0] == "unlike"
    with pytest.raises(ValueError, match="neighbours of one kind have one radial factor"):
        Sum("triplets", ("O", "Hf", "Hf"), tree)


@every_case
def test_terms_read_back_from_their_text(case):
    for term in expression(case).terms:
        assert Term.read(str(term)) == term
    assert Expression.from_dict(expression(case).to_dict()) == expression(case)
