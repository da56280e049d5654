import numpy as np
import pytest
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st
from random_crystals import crystals, numbers, strained, stress_from

from symreg.fit.exact import ExactPath, Prediction
from symreg.formula import Formula, FormulaCalculator
from symreg.language import parse
from symreg.language.text import TRIPLET
from symreg.structures import from_atoms
from symreg.terms import Expression, Term
from symreg.terms.cutoff import KINDS, Cutoff

R0 = 2.4
CRYSTALS = crystals(("Si",) * 4)
FORMS = (
    "exp(1.2/(x1 - 1.9))*exp(1.2/(x2 - 1.9))*(c + 1/3)^2",
    "x1^-4*x2^-4*(1 - c^2)",
    "1*1*exp(0.7*c)",
    "x1^2*x2^2*c",
    "exp(-(x1 + x2 + x1*c)^2)",
    "(x1 - 2*x2)^2*(c + 0.3)",
    "x1^-2*log(2 + c)",
    "sqrt(x1^2 + x2^2 - 1.9*x1*x2*c)",
    "1",
)

few = settings(max_examples=25)


def three_body(*texts):
    terms = (Term("three-body", ("Si", "Si", "Si"), parse(t, variable=TRIPLET)) for t in texts)
    return Expression(tuple(terms), (1.0,) * len(texts))


@st.composite
def expressions(draw):
    texts = draw(st.lists(st.sampled_from(FORMS), min_size=1, max_size=3, unique=True))
    terms = list(three_body(*texts).terms)
    if draw(st.booleans()):
        terms.append(Term("pair", ("Si", "Si"), parse("x^-4")))
    return Expression(tuple(terms), tuple(draw(numbers) for _ in terms))


def cutoffs(kind="septic", pair_radius=3.4):
    """Three-body terms reach 4 Å; pair terms less far, or farther."""
    pair = Cutoff(kind="septic", r_cut=pair_radius, r_on=2.5)
    return pair, Cutoff(kind=kind, r_cut=4.0, r_on=2.8)


def predict(expression, *images, **settings):
    pair, three_body = cutoffs(**settings)
    return ExactPath(from_atoms(images), pair, R0, three_body).predict(expression, {"Si": -0.3})


@few
@given(expressions(), CRYSTALS, st.sampled_from(KINDS))
def test_numba_and_sympy_agree(close, expression, atoms, kind):
    found = predict(expression, atoms, kind=kind)
    pair, three_body = cutoffs(kind)
    none = Term("pair", ("Si", "Si"), parse("0"))  # a formula needs a pair term
    formula = Formula(
        Expression((*expression.terms, none), (*expression.weights, 1.0)),
        R0, {"Si": -0.3}, ("Si",), pair, r_lo=0.5, cutoff_three_body=three_body,
    )  # fmt: skip
    atoms.calc = FormulaCalculator(formula)
    stress = atoms.get_stress() if atoms.pbc.all() else np.full(6, np.nan)
    energy = np.array([atoms.get_potential_energy()])
    close(found, Prediction(energy, atoms.get_forces(), stress[None, :]))


@few
@given(expressions(), CRYSTALS, st.integers(0, 11))
def test_forces_are_the_slope_of_the_energy(expression, atoms, coordinate):
    moved = [atoms.copy(), atoms.copy()]
    for copy, step in zip(moved, (1e-5, -1e-5), strict=True):
        copy.positions.ravel()[coordinate] += step
    found = predict(expression, atoms, *moved)
    up, down = found.energy[1:]
    forces = found.forces[: len(atoms)].ravel()
    scale = 1 + np.abs(forces).max() + np.abs(up)
    assert -(up - down) / 2e-5 == pytest.approx(forces[coordinate], abs=1e-6 * scale)


@few
@given(expressions(), CRYSTALS)
def test_stress_is_the_slope_of_the_energy_with_strain(expression, atoms):
    atoms.pbc = True
    found = predict(expression, atoms, *strained(atoms))
    numeric = stress_from(found.energy[1:], atoms)
    scale = 1 + np.abs(found.stress[0]).max() + np.abs(found.energy[0]) / atoms.get_volume()
    np.testing.assert_allclose(found.stress[0], numeric, atol=1e-6 * scale)


@few
@given(expressions(), CRYSTALS, st.tuples(numbers, numbers, numbers))
def test_moving_everything_changes_nothing(close, expression, atoms, shift):
    moved = atoms.copy()
    moved.translate(np.multiply(shift, 10))
    moved.wrap()  # along what repeats
    close(predict(expression, moved), predict(expression, atoms))


@few
@given(expressions(), CRYSTALS, st.floats(0, 360))
def test_forces_and_stress_turn_with_the_structure(close, expression, atoms, angle):
    turned = atoms.copy()
    turned.rotate(angle, (1, 2, 3), rotate_cell=True)
    turn = np.linalg.solve(atoms.cell.array, turned.cell.array)
    still, found = predict(expression, atoms), predict(expression, turned)
    tensor = still.stress[0][[[0, 5, 4], [5, 1, 3], [4, 3, 2]]]
    stress = (turn.T @ tensor @ turn).ravel()[[0, 4, 8, 5, 2, 1]]
    close(found, Prediction(still.energy, still.forces @ turn, stress[None, :]))


@few
@given(expressions(), CRYSTALS, st.permutations(range(4)))
def test_order_of_atoms_does_not_matter(close, expression, atoms, order):
    order = list(order)
    still, other = predict(expression, atoms), predict(expression, atoms[order])
    close(other, Prediction(still.energy, still.forces[order], still.stress))


@few
@given(st.sampled_from(FORMS), CRYSTALS)
def test_swapping_both_neighbours_changes_nothing(close, text, atoms):
    swapped = text.replace("x1", "first").replace("x2", "x1").replace("first", "x2")
    close(predict(three_body(swapped), atoms), predict(three_body(text), atoms))


@few
@given(expressions(), CRYSTALS, st.integers(0, 2))
def test_doubling_the_cell_doubles_the_energy(close, expression, atoms, axis):
    atoms.pbc = True
    repeat = [1, 1, 1]
    repeat[axis] = 2
    once, twice = (predict(expression, image) for image in (atoms, atoms * repeat))
    close(twice, Prediction(2 * once.energy, np.tile(once.forces, (2, 1)), once.stress))


@few
@given(expressions(), CRYSTALS)
def test_forces_sum_to_nothing(expression, atoms):
    forces = predict(expression, atoms).forces
    np.testing.assert_allclose(forces.sum(0), 0, atol=1e-11 * (1 + np.abs(forces).max()))


@few
@given(expressions(), CRYSTALS, st.sampled_from(KINDS))
def test_atom_beyond_the_cutoff_is_not_felt(close, expression, atoms, kind):
    atoms.pbc = False
    far = atoms + Atoms("Si", [atoms.positions[0] + [25, 0, 0]])
    found, expected = (predict(expression, image, kind=kind) for image in (far, atoms))
    close(
        Prediction(found.energy + 0.3, found.forces[:4], found.stress),
        expected,
    )
    np.testing.assert_array_equal(found.forces[4], 0)


@few
@given(st.sampled_from(FORMS), CRYSTALS)
def test_reach_of_the_pair_terms_does_not_matter_to_triplets(close, text, atoms):
    expression = three_body(text)
    close(predict(expression, atoms, pair_radius=3.0), predict(expression, atoms, pair_radius=7.0))
