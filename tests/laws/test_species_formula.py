"""Several elements: the finished formula computes what the exact path does, and its own slopes."""

from functools import lru_cache

import numpy as np
import pytest
from ase.build import bulk
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from random_crystals import crystals

from symreg.fit.exact import ExactPath, Prediction
from symreg.formula import Formula, FormulaCalculator
from symreg.structures import from_atoms
from symreg.structures.neighbours import structure_pairs
from symreg.terms import expression_of
from symreg.terms.cutoff import Cutoff

FAR, NEAR = Cutoff(kind="septic", r_cut=4.4, r_on=2.0), Cutoff(kind="septic", r_cut=3.6, r_on=2.0)
OWN = {"Hf-O": Cutoff(kind="septic", r_cut=4.0, r_on=2.4), "O;Hf-O": Cutoff(r_cut=3.9, kind="poet")}
BEGINS = {"Hf-O": 1.1, "O-O": 1.3}
E0 = {"Hf": -1.3, "O": 0.4}
PAIRS = ((0.7, "Hf-Hf: x^-6"), (-0.4, "Hf-O: exp(-1.3*x)"), (0.3, "O-O: x^-4"))
CASES = {
    "pairs": (),
    "products": (
        (0.5, "O;Hf-Hf: exp(-1.1*x1)*exp(-1.1*x2)*(c + 0.3)^2"),
        (-0.6, "O;Hf-O: exp(-0.9*x1)*exp(-1.7*x2)*(c - 0.2)^2"),
        (0.4, "O;Hf-O: x1^-2*1*c"),
    ),
    "general": (
        (0.8, "Hf;Hf-O: exp(-1.2*x1 - 0.4*x2^2)*(c + 0.1)"),
        (0.2, "Hf;O-O: (x1 - 2*x2)^2*exp(-x1 - x2)*c"),
    ),
    "functions": (
        (-1.1, "Hf: sqrt(1.0 + sum_O(x^-3) + 0.5*sum(exp(-2.0*x))^2)"),
        (-0.7, "O: log(1.5 + sum_Hf(exp(-x))*sum_Hf_O(exp(-0.8*x1)*exp(-1.4*x2)*(c + 0.3)^2))"),
        (0.3, "O: sum_O_O(exp(-x1)*exp(-x2)*c)^2 + sum_Hf(x^-2)"),
    ),
}
CASES["all"] = tuple(part for case in CASES.values() for part in case)
every_case = pytest.mark.parametrize("case", CASES)
every_order = pytest.mark.parametrize("species", [("Hf", "O"), ("O", "Hf")], ids="-".join)
CRYSTALS = crystals(("Hf", "O", "Hf", "O", "O"))
few = settings(max_examples=6)


@lru_cache
def formula_of(case, species):
    expression = expression_of([*PAIRS, *CASES[case]])
    return Formula(expression, 2.5, E0, species, FAR, 0.9, BEGINS, NEAR, OWN)


def computed(formula, atoms):
    atoms = atoms.copy()
    atoms.calc = FormulaCalculator(formula)
    return atoms


@every_case
@every_order
@few
@given(atoms=CRYSTALS)
def test_both_halves_agree(close, case, species, atoms):
    formula = formula_of(case, species)
    delivered = computed(formula, atoms)
    exact = ExactPath(from_atoms([atoms]), formula.lengths).predict(formula.expression, E0)
    stress = delivered.get_stress() if atoms.pbc.all() else np.full(6, np.nan)
    energy = np.array([delivered.get_potential_energy()])
    close(exact, Prediction(energy, delivered.get_forces(), stress[None, :]))


@every_case
@few
@given(atoms=CRYSTALS, coordinate=st.integers(0, 14))
def test_forces_are_the_slope_of_the_energy(case, atoms, coordinate):
    formula = formula_of(case, ("Hf", "O"))
    r = structure_pairs(from_atoms([atoms]), 0, 5.0).r
    edges = [edge for one in formula.lengths.every_cutoff for edge in (one.r_cut, one.r_on)]
    assume(np.abs(r[:, None] - [*edges, 0.9, *BEGINS.values()]).min(initial=1) > 1e-3)
    energies = []
    for step in (1e-5, -1e-5):
        moved = computed(formula, atoms)
        moved.positions.ravel()[coordinate] += step
        energies.append(moved.get_potential_energy())
    forces = computed(formula, atoms).get_forces()
    slope = (energies[0] - energies[1]) / 2e-5
    scale = 1 + np.abs(forces).max() + np.abs(energies[0])
    assert -slope == pytest.approx(forces.ravel()[coordinate], abs=1e-6 * scale)
    np.testing.assert_allclose(forces.sum(axis=0), 0, atol=1e-10 * scale)


@every_case
def test_energies_of_atoms_do_not_depend_on_their_order(case):
    formula = formula_of(case, ("Hf", "O"))
    atoms = bulk("HfO", "rocksalt", a=4.4, cubic=True)
    atoms.rattle(0.1, seed=2)
    one, other = computed(formula, atoms), computed(formula, atoms[::-1])
    energies = one.get_potential_energies()
    np.testing.assert_allclose(other.get_potential_energies()[::-1], energies, rtol=1e-11)
    assert Formula.from_dict(formula.to_dict()) == formula
