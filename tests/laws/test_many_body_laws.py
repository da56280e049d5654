import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_crystals import crystals, numbers, strained, stress_from

from symreg.fit.exact import ExactPath, Prediction
from symreg.formula import Formula, FormulaCalculator
from symreg.language import parse
from symreg.language.canonical import nested, tree_of
from symreg.structures import from_atoms
from symreg.terms import Expression, Term
from symreg.terms.cutoff import KINDS, Cutoff

R0 = 2.5
CRYSTALS = crystals(("Cu",) * 4)
FORMS = (
    "sqrt(sum(x^-6))",
    "sum(exp(-2.3*x))^0.6",
    "log(1.5 + sum(x^-3))",
    "sum(x^-9)/(0.4 + sum(exp(-x)))",
    "exp(-0.2*sum(1))*sum(x)",
    "sum((x - 1.1)^2)^2 - 0.3*sum(x^-1)*sum(x^-2)",
    "log(1.2 + sum(exp(-x1)*exp(-x2)*(c + 0.4)^2))",
    "sum(x^-3)*exp(-0.5*sum(x1^-2*x2^-2*(c - 0.2)^2))",
)

few = settings(max_examples=15)


@st.composite
def formulas(draw, kinds=KINDS):
    chosen = draw(st.lists(st.sampled_from(FORMS), min_size=1, max_size=3, unique=True))
    terms = [Term("pair", ("Cu", "Cu"), parse("x^-6"))]
    terms += [Term("many-body", ("Cu",), parse(text, variable="sum")) for text in chosen]
    weights = tuple(draw(numbers) for _ in terms)
    cutoff = Cutoff(kind=draw(st.sampled_from(kinds)), r_cut=4.4, r_on=3.0)
    three = Cutoff(kind=draw(st.sampled_from(kinds)), r_cut=3.9, r_on=2.8)
    expression = Expression(tuple(terms), weights)
    return Formula(expression, R0, {"Cu": -0.3}, ("Cu",), cutoff, 0.9, cutoff_three_body=three)


def predict(formula, atoms):
    cutoffs = formula.cutoff, formula.r0, formula.cutoff_three_body
    path = ExactPath(from_atoms([atoms]), *cutoffs)
    return path.predict(formula.expression, formula.e0)


@few
@given(formulas(), CRYSTALS)
def test_numba_and_sympy_agree(close, formula, atoms):
    found = predict(formula, atoms)
    atoms.calc = FormulaCalculator(formula)
    stress = atoms.get_stress() if atoms.pbc.all() else np.full(6, np.nan)
    energy = np.array([atoms.get_potential_energy()])
    close(found, Prediction(energy, atoms.get_forces(), stress[None, :]))


# The slope of "none" and "poet" jumps at r_cut, that of "cosine" bends.
SMOOTH = ("septic", "stillinger_weber")


@few
@given(formulas(SMOOTH), CRYSTALS, st.integers(0, 11))
def test_forces_are_the_slope_of_the_energy(formula, atoms, coordinate):
    forces = predict(formula, atoms).forces
    energies = []
    for step in (1e-5, -1e-5):
        moved = atoms.copy()
        moved.positions.ravel()[coordinate] += step
        energies.append(predict(formula, moved).energy[0])
    scale = np.abs(forces).max() + 1
    slope = (energies[0] - energies[1]) / 2e-5
    assert -slope == pytest.approx(forces.ravel()[coordinate], abs=1e-6 * scale)
    np.testing.assert_allclose(forces.sum(axis=0), 0, atol=1e-10 * scale)


@few
@given(formulas(SMOOTH), CRYSTALS)
def test_stress_is_the_slope_of_the_energy_with_strain(formula, atoms):
    atoms.pbc = True
    stress = predict(formula, atoms).stress[0]
    numeric = stress_from([predict(formula, copy).energy[0] for copy in strained(atoms)], atoms)
    np.testing.assert_allclose(stress, numeric, atol=1e-6 * (1 + np.abs(stress).max()))


@few
@given(formulas(), CRYSTALS, st.permutations(range(4)), st.tuples(numbers, numbers, numbers))
def test_order_place_and_turn_do_not_matter(close, formula, atoms, order, shift):
    still, other = predict(formula, atoms), atoms[list(order)]
    other.translate(np.multiply(shift, 10))
    other.rotate(70 * shift[0], (1, 2, 3), rotate_cell=True)
    turn = np.linalg.solve(atoms.cell.array, other.cell.array)
    found = predict(formula, other)
    turned = [turn.T @ _matrix(stress) @ turn for stress in still.stress]
    voigt = np.array([[s[a, b] for a, b in _VOIGT] for s in turned])
    close(found, Prediction(still.energy, still.forces[list(order)] @ turn, voigt))


_VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def _matrix(stress):
    xx, yy, zz, yz, xz, xy = stress
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


@few
@given(formulas(), CRYSTALS, st.sampled_from([(2, 1, 1), (1, 2, 1), (1, 1, 2)]))
def test_doubling_the_cell_doubles_the_energy(close, formula, atoms, repeat):
    atoms.pbc = True
    once, twice = predict(formula, atoms), predict(formula, atoms * repeat)
    close(twice, Prediction(2 * once.energy, np.tile(once.forces, (2, 1)), once.stress))


@few
@given(st.sampled_from(FORMS), numbers)
def test_text_and_canonical_forms_are_read_back(text, factor):
    tree = parse(f"{factor!r}*{text}" if factor > 0 else text, variable="sum")
    assert parse(str(tree), variable="sum") == tree
    canonical = nested(tree)
    assert nested(tree_of(canonical)) == canonical
    assert parse(tree_of(canonical).text(), variable="sum").embedding is not None
