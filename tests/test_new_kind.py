"""A kind of sum that is registered here works everywhere, and no other file is touched."""

import shutil

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from squares import SQUARES

from symreg.formula import Formula, FormulaCalculator
from symreg.lammps import export
from symreg.lammps.runtime import is_installed
from symreg.potential import Potential
from symreg.terms import expression_of
from symreg.terms.cutoff import Cutoff
from symreg.terms.kinds import Kind, register, unregister


@pytest.fixture(autouse=True)
def squares():
    register(SQUARES)
    yield
    unregister("squares")


PAIR = (0.1, "Cu-Cu: exp(-11.0*(x - 1))")
ALONE = (-0.02, "squares Cu-Cu: exp(-1.5*(x - 1)) - 0.2")
INSIDE = (-1.3, "Cu: sqrt(squares(exp(-2.3*(x - 1))) + sum(x^-6)^2)")
OTHERS = (0.02, "Cu-Cu-Cu: x1^-2*x2^-2*(c + 0.3)^2")


def formula_of(*parts):
    cutoff, near = (Cutoff(kind="septic", r_cut=r, r_on=0.6 * r) for r in (5.5, 4.1))
    expression = expression_of(parts)
    return Formula(expression, 2.55, {"Cu": -0.2}, ("Cu",), cutoff, 1.9, cutoff_three_body=near)


def same_by_pairs(*parts):
    """A formula with squares written out."""
    written = [
        (-0.02, "Cu-Cu: (exp(-1.5*(x - 1)) - 0.2)^2"),
        (-1.3, "Cu: sqrt(sum(exp(-2.3*(x - 1))^2) + sum(x^-6)^2)"),
    ]
    swap = dict(zip((ALONE, INSIDE), written, strict=True))
    return formula_of(*(swap.get(part, part) for part in parts))


def computed(formula, atoms):
    atoms = atoms.copy()
    atoms.calc = FormulaCalculator(formula)
    return atoms


@pytest.mark.parametrize("parts", [(PAIR, ALONE), (PAIR, INSIDE), (PAIR, ALONE, INSIDE, OTHERS)])
def test_it_computes_what_pairs_with_squares_written_out_do(parts):
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=1)
    one, two = computed(formula_of(*parts), atoms), computed(same_by_pairs(*parts), atoms)
    np.testing.assert_allclose(one.get_potential_energies(), two.get_potential_energies(), 1e-12)
    np.testing.assert_allclose(one.get_forces(), two.get_forces(), atol=1e-12)
    np.testing.assert_allclose(one.get_stress(), two.get_stress(), atol=1e-12)


def test_forces_are_the_slope_of_the_energy():
    formula = formula_of(PAIR, ALONE, INSIDE)
    atoms = computed(formula, Atoms("Cu3", [[0, 0, 0], [2.4, 0, 0.1], [0.3, 2.6, 0]]))
    energies = []
    for step in (1e-5, -1e-5):
        moved = computed(formula, atoms)
        moved.positions[1, 0] += step
        energies.append(moved.get_potential_energy())
    assert atoms.get_forces()[1, 0] == pytest.approx((energies[1] - energies[0]) / 2e-5, abs=1e-8)


def test_it_is_written_read_and_shown(tmp_path):
    potential = Potential(formula_of(PAIR, ALONE, INSIDE))
    potential.save(tmp_path / "potential.json")
    assert Potential.load(tmp_path / "potential.json") == potential
    assert "formula(x = r/r0)^2" in potential.to_dict()["information"]["meaning"]
    assert list(potential.sympy()) == ["Cu-Cu", "squares Cu-Cu", "Cu"]
    value = float(potential.sympy()["squares Cu-Cu"].subs("r", 2.55))
    assert value == pytest.approx(-0.02 * 0.8**2)
    lines = potential.latex(3).split(" \\\\\n")
    assert lines[1] == r"S_1 = \sum_j \left[ 99.5 e^{- 4.6 x} \right] f_c(r_j)"
    assert any(line.startswith(r"\chi_{\mathrm{CuCu}}(x) = - 0.02 ") for line in lines)


@pytest.mark.parametrize(
    ("over", "variables", "message"),
    [
        ("pairs", ("x",), "there is a kind of sum 'pairs' already"),
        ("exp", ("x",), "a kind of sum is called 'exp'; it must be a new word of a to z"),
        ("my_sum", ("x",), "a kind of sum is called 'my_sum'"),
        ("function", ("x",), "a kind of sum is called 'function'"),
        ("bonds", ("x", "z"), "a sum over bonds is of a function of z; variables are x, x1, x2, c"),
    ],
)
def test_a_kind_that_no_text_could_name_is_refused(over, variables, message):
    with pytest.raises(ValueError, match=message):
        register(Kind(over, variables, 1, "nowhere:A", "nowhere:B"))
    with pytest.raises(ValueError, match="there is no kind of sum 'rings'"):
        unregister("rings")


def test_routes_that_compute_pairs_only_refuse_it(tmp_path):
    for style in ("table", "lepton", "native"):
        with pytest.raises(ValueError, match="and this formula has square terms: use style 'plugi"):
            export(formula_of(PAIR, ALONE), tmp_path, style=style)


@pytest.mark.lammps
@pytest.mark.skipif(shutil.which("c++") is None, reason="there is no C++ compiler")
@pytest.mark.skipif(not is_installed(), reason="LAMMPS is not installed")
def test_lammps_computes_it(tmp_path):
    parity = export(formula_of(PAIR, ALONE, INSIDE, OTHERS), tmp_path)
    assert (parity["status"], parity["style"]) == ("run", "plugin")
    for quantity in ("energy_per_atom_max", "forces_max", "virial_per_atom_max"):
        assert parity[quantity] < 1e-11
    assert parity["routes"]["plugin"]["finite_difference_max"] < 1e-7
    readme = (tmp_path / "README.md").read_text()
    assert "χ(Cu-Cu) += -0.02*(exp(-1.5*(x - 1)) - 0.2)" in readme
