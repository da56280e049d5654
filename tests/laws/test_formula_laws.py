import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_crystals import crystals, numbers, strained, stress_from

from symreg.formula import Formula, FormulaCalculator
from symreg.terms import expression_of
from symreg.terms.cutoff import Cutoff

R_CUT, R_ON, R_LO = 5.0, 3.5, 2.4
FORMS = (
    ("x^-12", "x^-6"),
    ("exp(-3.1*x)", "x^-6"),
    ("(1 - exp(-2.2*(x - 1.1)))^2", "exp(-(x - 1.5)^2/0.2)"),
    ("x^-9.3*log(x + 1.5)", "sqrt(x^2 + 0.3)"),
)
PAIRS = (("Ar", "Ar"), ("Ar", "Kr"), ("Kr", "Kr"))
MIXTURE = crystals(("Ar", "Ar", "Ar", "Kr", "Kr"), (True,))


@st.composite
def formulas(draw, kinds=("septic", "cosine", "poet", "stillinger_weber")):
    parts = [
        (draw(numbers), f"{'-'.join(pair)}: {text}")
        for pair in PAIRS
        for text in draw(st.sampled_from(FORMS))
    ]
    cutoff = Cutoff(kind=draw(st.sampled_from(kinds)), r_cut=R_CUT, r_on=R_ON)
    e0 = {"Ar": draw(numbers), "Kr": draw(numbers)}
    return Formula(expression_of(parts), 3.0, e0, ("Ar", "Kr"), cutoff, R_LO)


def computed(formula, atoms):
    atoms = atoms.copy()
    atoms.calc = FormulaCalculator(formula)
    return atoms


few = settings(max_examples=8)


@few
@given(formulas(), MIXTURE, st.tuples(numbers, numbers, numbers))
def test_moving_everything_changes_nothing(formula, atoms, shift):
    moved = computed(formula, atoms)
    moved.translate(np.multiply(shift, 10))
    moved.wrap()
    still = computed(formula, atoms)
    assert moved.get_potential_energy() == pytest.approx(still.get_potential_energy(), abs=1e-9)
    np.testing.assert_allclose(moved.get_forces(), still.get_forces(), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(moved.get_stress(), still.get_stress(), rtol=1e-9, atol=1e-9)


@few
@given(formulas(), MIXTURE, st.floats(0, 360))
def test_forces_and_stress_turn_with_the_structure(formula, atoms, angle):
    turned, still = computed(formula, atoms), computed(formula, atoms)
    turned.rotate(angle, (1, 2, 3), rotate_cell=True)
    # Rows of the cell turn as vectors do.
    turn = np.linalg.solve(still.cell.array, turned.cell.array)
    assert turned.get_potential_energy() == pytest.approx(still.get_potential_energy(), abs=1e-9)
    np.testing.assert_allclose(turned.get_forces(), still.get_forces() @ turn, rtol=1e-8, atol=1e-8)
    stress = turn.T @ still.get_stress(voigt=False) @ turn
    np.testing.assert_allclose(turned.get_stress(voigt=False), stress, rtol=1e-8, atol=1e-8)


@few
@given(formulas(), MIXTURE, st.permutations(range(5)))
def test_order_of_atoms_does_not_matter(formula, atoms, order):
    still, other = computed(formula, atoms), computed(formula, atoms[list(order)])
    np.testing.assert_allclose(
        other.get_potential_energies(), still.get_potential_energies()[list(order)], atol=1e-9
    )
    np.testing.assert_allclose(other.get_forces(), still.get_forces()[list(order)], atol=1e-8)


@few
@given(formulas(kinds=("septic", "stillinger_weber")), MIXTURE, st.integers(0, 14))
def test_forces_are_the_slope_of_the_energy(formula, atoms, coordinate):
    atoms = computed(formula, atoms)
    force = atoms.get_forces().ravel()[coordinate]
    energies = []
    for step in (1e-5, -1e-5):
        moved = computed(formula, atoms)
        moved.positions.ravel()[coordinate] += step
        energies.append(moved.get_potential_energy())
    scale = np.abs(atoms.get_forces()).max() + 1
    assert -(energies[0] - energies[1]) / 2e-5 == pytest.approx(force, abs=1e-6 * scale)


def check_stress(formula, atoms):
    """Compare the stress with the slope of the energy with strain."""
    atoms = computed(formula, atoms)
    stress = atoms.get_stress()
    numeric = stress_from(
        [computed(formula, copy).get_potential_energy() for copy in strained(atoms)], atoms
    )
    np.testing.assert_allclose(stress, numeric, atol=1e-5 * (np.abs(stress).max() + 1))


@few
@given(formulas(kinds=("septic", "stillinger_weber")), MIXTURE)
def test_stress_is_the_slope_of_the_energy_with_strain(formula, atoms):
    check_stress(formula, atoms)


@few
@given(formulas(), MIXTURE, st.sampled_from([(2, 1, 1), (1, 2, 1), (1, 1, 2)]))
def test_doubling_the_cell_doubles_the_energy(formula, atoms, repeat):
    once, twice = computed(formula, atoms), computed(formula, atoms * repeat)
    assert twice.get_potential_energy() == pytest.approx(2 * once.get_potential_energy(), rel=1e-9)
    np.testing.assert_allclose(twice.get_stress(), once.get_stress(), rtol=1e-8, atol=1e-9)


@few
@given(formulas(), MIXTURE)
def test_energies_of_atoms_sum_to_the_energy_and_forces_to_nothing(formula, atoms):
    atoms = computed(formula, atoms)
    energies, forces = atoms.get_potential_energies(), atoms.get_forces()
    assert energies.sum() == pytest.approx(atoms.get_potential_energy(), rel=1e-12)
    np.testing.assert_allclose(forces.sum(0), 0, atol=1e-10 * (1 + np.abs(forces).max()))


@few
@given(formulas(kinds=("septic", "cosine", "poet", "stillinger_weber", "none")))
def test_nothing_is_left_beyond_the_cutoff(formula):
    r = np.array([R_CUT, R_CUT + 1e-12, 7.0, 100.0])
    for pair in PAIRS:
        np.testing.assert_array_equal(formula.pair_function(*pair).derivatives(r, 3), 0)


@few
@given(formulas(kinds=("septic",)))
def test_value_slope_and_curvature_are_continuous_everywhere(formula):
    for pair in PAIRS:
        function = formula.pair_function(*pair)
        for edge in (R_LO, R_ON, R_CUT):
            sides = function.derivatives(np.array([edge - 1e-9, edge + 1e-9]), 3)
            for order in range(3):
                # Across 2e-9 Å a smooth function changes by its next derivative times that.
                change = 1e-8 * (1 + np.abs(sides[order + 1]).max())
                assert abs(sides[order, 1] - sides[order, 0]) < change


@few
@given(formulas())
def test_every_formula_is_finite_and_repels_at_contact(formula):
    for pair in PAIRS:
        r = np.linspace(0, R_CUT, 400)
        values = formula.pair_function(*pair).derivatives(r, 3)
        assert np.isfinite(values).all()
        assert (values[1, r < 0.9 * R_LO] < 0).all()
        assert values[0, 0] > 90
