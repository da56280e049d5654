import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_crystals import crystals, numbers, strained, stress_from

from symreg.fit.errors import errors, training_loss
from symreg.fit.exact import ExactPath, Prediction
from symreg.fit.loss import LossSettings
from symreg.formula import Formula, FormulaCalculator
from symreg.structures import from_atoms
from symreg.terms import Expression, Key, Term
from symreg.terms.cutoff import KINDS, Cutoff
from symreg.terms.lengths import Lengths

R0, R_CUT, R_ON = 3.0, 5.0, 3.5
FORMS = ("x^-12", "x^-6.3", "exp(-3.1*x)", "log(x + 0.5)/x", "sqrt(x^2 + 0.3)*exp(-x)", "1")
PAIRS = (("Ar", "Ar"), ("Ar", "Kr"), ("Kr", "Kr"))
CRYSTALS = crystals(("Ar", "Ar", "Ar", "Kr", "Kr"))
SMOOTH = ("septic", "stillinger_weber")

few = settings(max_examples=15)


@st.composite
def expressions(draw):
    terms, weights = [], []
    for pair in PAIRS:
        for text in draw(st.lists(st.sampled_from(FORMS), max_size=3, unique=True)):
            key = Key.of(*pair)
            terms.append(Term.at(key, key.parse(text)))
            weights.append(draw(numbers))
    return Expression(tuple(terms), tuple(weights))


def cutoffs(kinds):
    return st.builds(Cutoff, kind=st.sampled_from(kinds), r_cut=st.just(R_CUT), r_on=st.just(R_ON))


def predict(expression, cutoff, *images, e0=(-0.3, -0.7)):
    path = ExactPath(from_atoms(images), Lengths(cutoff, None, R0))
    return path.predict(expression, dict(zip(("Ar", "Kr"), e0, strict=True)))


@few
@given(expressions(), cutoffs(KINDS), CRYSTALS)
def test_numba_and_sympy_agree(close, expression, cutoff, atoms):
    found = predict(expression, cutoff, atoms)
    formula = Formula(expression, R0, {"Ar": -0.3, "Kr": -0.7}, ("Ar", "Kr"), cutoff, r_lo=0.1)
    if set(formula.species_pairs) != set(PAIRS):
        missing = [Term.read("-".join(pair) + ": 0") for pair in PAIRS]
        padded = Expression((*expression.terms, *missing), (*expression.weights, 1.0, 1.0, 1.0))
        formula = Formula(padded, R0, formula.e0, formula.species, cutoff, r_lo=0.1)
    atoms.calc = FormulaCalculator(formula)
    stress = atoms.get_stress() if atoms.pbc.all() else np.full(6, np.nan)
    other = Prediction(
        np.array([atoms.get_potential_energy()]), atoms.get_forces(), stress[None, :]
    )
    close(found, other)


@few
@given(expressions(), cutoffs(SMOOTH), CRYSTALS, st.integers(0, 14))
def test_forces_are_the_slope_of_the_energy(expression, cutoff, atoms, coordinate):
    moved = [atoms.copy(), atoms.copy()]
    for copy, step in zip(moved, (1e-5, -1e-5), strict=True):
        copy.positions.ravel()[coordinate] += step
    found = predict(expression, cutoff, atoms, *moved)
    up, down = found.energy[1:]
    forces = found.forces[: len(atoms)].ravel()
    scale = 1 + np.abs(forces).max()
    assert -(up - down) / 2e-5 == pytest.approx(forces[coordinate], abs=1e-6 * scale)


@few
@given(expressions(), cutoffs(SMOOTH), CRYSTALS)
def test_stress_is_the_slope_of_the_energy_with_strain(expression, cutoff, atoms):
    atoms.pbc = True
    found = predict(expression, cutoff, atoms, *strained(atoms))
    numeric = stress_from(found.energy[1:], atoms)
    stress = found.stress[0]
    np.testing.assert_allclose(stress, numeric, atol=1e-5 * (1 + np.abs(stress).max()))


@few
@given(expressions(), cutoffs(KINDS), CRYSTALS, st.tuples(numbers, numbers, numbers))
def test_moving_everything_changes_nothing(close, expression, cutoff, atoms, shift):
    moved = atoms.copy()
    moved.translate(np.multiply(shift, 10))
    moved.wrap()  # along what repeats
    close(predict(expression, cutoff, moved), predict(expression, cutoff, atoms))


@few
@given(expressions(), cutoffs(KINDS), CRYSTALS, st.floats(0, 360))
def test_forces_and_stress_turn_with_the_structure(close, expression, cutoff, atoms, angle):
    turned = atoms.copy()
    turned.rotate(angle, (1, 2, 3), rotate_cell=True)
    turn = np.linalg.solve(atoms.cell.array, turned.cell.array)
    still, found = predict(expression, cutoff, atoms), predict(expression, cutoff, turned)
    tensor = still.stress[0][[[0, 5, 4], [5, 1, 3], [4, 3, 2]]]
    stress = (turn.T @ tensor @ turn).ravel()[[0, 4, 8, 5, 2, 1]]
    close(found, Prediction(still.energy, still.forces @ turn, stress[None, :]))


@few
@given(expressions(), cutoffs(KINDS), CRYSTALS, st.permutations(range(5)))
def test_order_of_atoms_does_not_matter(close, expression, cutoff, atoms, order):
    order = list(order)
    still = predict(expression, cutoff, atoms)
    other = predict(expression, cutoff, atoms[order])
    close(other, Prediction(still.energy, still.forces[order], still.stress))


@few
@given(expressions(), cutoffs(KINDS), CRYSTALS, st.integers(0, 2))
def test_doubling_the_cell_doubles_the_energy(close, expression, cutoff, atoms, axis):
    atoms.pbc = True
    repeat = [1, 1, 1]
    repeat[axis] = 2
    once, twice = (predict(expression, cutoff, image) for image in (atoms, atoms * repeat))
    close(twice, Prediction(2 * once.energy, np.tile(once.forces, (2, 1)), once.stress))


@few
@given(expressions(), cutoffs(KINDS), CRYSTALS)
def test_forces_sum_to_nothing(expression, cutoff, atoms):
    forces = predict(expression, cutoff, atoms).forces
    np.testing.assert_allclose(forces.sum(0), 0, atol=1e-11 * (1 + np.abs(forces).max()))


@few
@given(expressions(), cutoffs(KINDS), CRYSTALS, CRYSTALS)
def test_structures_do_not_see_each_other(expression, cutoff, one, other):
    both = predict(expression, cutoff, one, other)
    alone = predict(expression, cutoff, other)
    np.testing.assert_array_equal(both.energy[1:], alone.energy)
    np.testing.assert_array_equal(both.forces[len(one) :], alone.forces)
    np.testing.assert_array_equal(both.stress[1:], alone.stress)


@few
@given(expressions(), CRYSTALS, st.lists(numbers, min_size=2, max_size=2))
def test_prediction_of_its_own_labels_has_no_error(expression, atoms, e0):
    cutoff = Cutoff(kind="septic", r_cut=R_CUT, r_on=R_ON)
    found = predict(expression, cutoff, atoms, e0=e0)
    atoms.info["energy"] = float(found.energy[0])
    atoms.arrays["forces"] = found.forces
    labels = from_atoms([atoms])
    assert training_loss(labels, found, LossSettings(), {}) == 0
    gaps = errors(labels, found)["train"]
    assert gaps.energy.rmse == gaps.forces.rmse == 0
    assert gaps.stress is None
