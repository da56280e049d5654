import math
import subprocess
import sys

import numpy as np
import pytest
import sympy
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.lj import LennardJones
from ase.calculators.morse import MorsePotential
from ase.io import read
from ase.neighborlist import neighbor_list

from symreg.formula import Formula, FormulaCalculator, Wall
from symreg.formula.simplify import sympy_to_tree, tree_to_sympy
from symreg.lammps.lepton import tree_to_lepton
from symreg.lammps.plugin import plugin_of
from symreg.language import Shape, Tree, parse
from symreg.language.operators import COSTS, OPERATORS, REAL, Operator
from symreg.terms import Expression, Sum, Term, expression_of
from symreg.terms.cutoff import KINDS, Cutoff

EPSILON, SIGMA = 0.0104, 3.405
R_LO, R_CUT = 3.1, 8.5


def expression(*parts):
    return expression_of([(weight, f"Ar-Ar: {text}") for weight, text in parts])


def argon(*parts, kind="septic", r_lo=R_LO, r0=SIGMA, e0=0.0):
    parts = parts or ((4 * EPSILON, "x^-12"), (-4 * EPSILON, "x^-6"))
    cutoff = Cutoff(kind=kind, r_cut=R_CUT, r_on=6.0)
    return Formula(expression(*parts), r0, {"Ar": e0}, ("Ar",), cutoff, r_lo)


@pytest.fixture
def rattled_argon():
    atoms = bulk("Ar", "fcc", a=5.3, cubic=True) * (2, 2, 2)
    atoms.rattle(0.1, seed=1)
    return atoms


@pytest.mark.parametrize("kind", KINDS)
def test_energy_is_the_formula_times_its_cutoff_function(kind):
    formula = argon(kind=kind)
    r = np.linspace(R_LO, R_CUT + 0.5, 300)
    by_hand = 4 * EPSILON * ((SIGMA / r) ** 12 - (SIGMA / r) ** 6) * formula.cutoff.value(r)
    energy = formula.pair_function("Ar", "Ar").energy(r)
    np.testing.assert_allclose(energy, by_hand, rtol=1e-13, atol=1e-17)


@pytest.mark.parametrize("kind", KINDS)
def test_derivatives_match_finite_differences_in_all_pieces(kind):
    function = argon(kind=kind).pair_function("Ar", "Ar")
    r, h = np.array([0.5, 2.0, 3.0, 3.3, 4.0, 5.9, 6.1, 7.0, 8.0, 9.0]), 1e-5
    above, below = function.derivatives(r + h, 3), function.derivatives(r - h, 3)
    exact = function.derivatives(r, 3)
    for order in (1, 2, 3):
        numeric = (above[order - 1] - below[order - 1]) / (2 * h)
        # Round-off of the difference: 1e-16 of the values over h.
        scale = np.abs(above[order - 1])
        np.testing.assert_allclose(exact[order], numeric, rtol=1e-7, atol=1e-12 + 1e-10 * scale[0])
    np.testing.assert_allclose(function.slope(r), exact[1], rtol=1e-13)
    np.testing.assert_allclose(function.curvature(r), exact[2], rtol=1e-13)


def test_septic_energy_keeps_its_precision_at_the_cutoff():
    # t = 1 - 1e-4: f_c = 35 (1 - t)^4 = 3.5e-15, which the expanded polynomial loses.
    r = np.array([R_CUT - 1e-4 * (R_CUT - 6.0)])
    energy = argon((1.0, "1")).pair_function("Ar", "Ar").energy(r)
    np.testing.assert_allclose(energy, 35e-16, rtol=1e-3)


def test_square_root_of_a_square_has_all_derivatives():
    function = argon((1.0, "sqrt((x - 2.0)^2)"), r0=1.0, kind="none").pair_function("Ar", "Ar")
    np.testing.assert_allclose(function.derivatives(np.array([4.0]), 3)[:, 0], [2, 1, 0, 0])


def test_wall_is_exponential_where_the_formula_repels():
    #    u = 1/r at r = 1: u' = -1, u'' = 2, so k = 2, b = 1/2, a = 1/2
    wall = Wall.join(4.0, 1.0, -1.0, 2.0, -6.0)
    assert wall.kind == "exponential"
    assert wall.coefficients == (0.5, 0.5, 2.0)
    assert wall.text() == "0.5 + 0.5*exp(2*(4 - r)) for r < 4"


@pytest.mark.parametrize(
    "edge",
    [
        (0.1, -0.5, 3.0, -20.0),  # steep, as it should be
        (0.1, 0.5, 3.0, -20.0),  # attracts
        (0.1, 0.5, -3.0, 20.0),  # attracts, ever more
        (-0.1, -0.5, -3.0, 20.0),  # repels ever less
        (-0.1, -1e-6, 3.0, 0.0),  # k is 3e6 / Å
        (0.0, -1e-3, 1e-6, 0.0),  # repels too weakly
        (0.0, 0.0, 0.0, 0.0),  # nothing at all
        (1e3, -1e5, 1e6, -1e8),
    ],
)
@pytest.mark.parametrize("r_lo", [0.7, 2.0, 3.5])
def test_every_wall_is_smooth_finite_and_repels(edge, r_lo):
    wall = Wall.join(r_lo, *edge)
    smooth = 3 if wall.kind == "core" else 2
    for order in range(smooth + 1):
        joined = wall.derivative(np.array([r_lo]), order)
        np.testing.assert_allclose(joined, edge[order], rtol=1e-12, atol=1e-12)
    r = np.linspace(0, 0.9 * r_lo, 500)
    values = np.stack([wall.derivative(r, order) for order in range(4)])
    assert np.isfinite(values).all()
    assert (values[1] < 0).all()
    assert wall.derivative(np.array([0.1 * r_lo]), 0) >= edge[0] + 99


def test_formula_that_is_not_finite_where_its_domain_begins_is_named():
    formula = argon((1.0, "log(x - 1.0)"), r0=4.0)
    with pytest.raises(ValueError, match=r"Ar-Ar is not finite at 3.1 Å"):
        formula.pair_function("Ar", "Ar").energy(np.array([2.0]))
    formula = argon((1.0, "1/(2 - 2) + x"))
    with pytest.raises(ValueError, match="no finite real value"):
        formula.pair_function("Ar", "Ar").energy(np.array([4.0]))


def test_integers_that_explode_in_a_potential_are_refused_before_they_are_computed():
    record = argon((1.0, "x^-6")).to_dict()
    record["terms"][0]["term"] = "Ar-Ar: x^-6 + 9^9^9"
    with pytest.raises(ValueError, match=r"numbers end at 1\.8e308"):
        Formula.from_dict(record)
    formula = argon((1.0, "(((2*x)^64)^64)^64"))
    with pytest.raises(ValueError, match=r"numbers end at 1\.8e308"):
        formula.pair_function("Ar", "Ar").energy(np.array([4.0]))


def test_calculator_matches_ase_lennard_jones(rattled_argon):
    rattled_argon.calc = FormulaCalculator(argon(kind="none", r_lo=2.5))
    energies = rattled_argon.get_potential_energies()
    forces, stress = rattled_argon.get_forces(), rattled_argon.get_stress()
    # ASE shifts its pair energies to zero at the cutoff.
    shift = 4 * EPSILON * ((SIGMA / R_CUT) ** 12 - (SIGMA / R_CUT) ** 6)
    neighbours = np.bincount(neighbor_list("i", rattled_argon, R_CUT))
    rattled_argon.calc = LennardJones(epsilon=EPSILON, sigma=SIGMA, rc=R_CUT)
    expected = rattled_argon.get_potential_energies() + 0.5 * shift * neighbours
    np.testing.assert_allclose(energies, expected, atol=1e-12)
    np.testing.assert_allclose(forces, rattled_argon.get_forces(), atol=1e-12)
    np.testing.assert_allclose(stress, rattled_argon.get_stress(), atol=1e-14)


def test_calculator_matches_ase_morse_below_the_onset():
    atoms = Atoms("Ar4", positions=[[0, 0, 0], [3.5, 0, 0], [0, 3.6, 0], [1, 1, 3.7]])
    atoms.calc = FormulaCalculator(argon((0.3, "(1 - exp(-2.5*(x - 1)))^2"), (-0.3, "1"), r0=3.8))
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    # ASE's Morse: epsilon [e^(-2 rho0 (r/r0 - 1)) - 2 e^(-rho0 (r/r0 - 1))]; cut off far away.
    atoms.calc = MorsePotential(epsilon=0.3, rho0=2.5, r0=3.8, rcut1=20, rcut2=21)
    assert energy == pytest.approx(atoms.get_potential_energy(), abs=1e-12)
    np.testing.assert_allclose(forces, atoms.get_forces(), atol=1e-12)


def test_stretched_dimer_pulls_together_with_half_the_energy_each():
    #    0 ---------- 4.2 Å ----------> 1        minimum at 2^(1/6) 3.405 = 3.82 Å
    formula = argon(e0=-0.5)
    dimer = Atoms("Ar2", positions=[[0, 0, 0], [4.2, 0, 0]])
    dimer.calc = FormulaCalculator(formula)
    function = formula.pair_function("Ar", "Ar")
    slope, energy = function.slope(np.array([4.2]))[0], function.energy(np.array([4.2]))[0]
    assert slope > 0
    np.testing.assert_allclose(dimer.get_forces(), [[slope, 0, 0], [-slope, 0, 0]], atol=1e-15)
    np.testing.assert_allclose(dimer.get_potential_energies(), [-0.5 + energy / 2] * 2)
    assert dimer.get_potential_energy(force_consistent=True) == pytest.approx(-1 + energy)


def test_one_atom_cell_meets_its_own_images():
    atoms = bulk("Ar", "fcc", a=5.3)
    atoms.calc = FormulaCalculator(argon())
    large = atoms * (3, 3, 3)
    large.calc = FormulaCalculator(argon())
    assert large.get_potential_energy() == pytest.approx(27 * atoms.get_potential_energy())
    np.testing.assert_allclose(large.get_stress(), atoms.get_stress(), atol=1e-15)
    np.testing.assert_allclose(atoms.get_forces(), 0, atol=1e-15)


def test_lone_atom_has_its_own_energy_and_no_force():
    atoms = Atoms("Ar", cell=[30, 30, 30], pbc=True)
    atoms.calc = FormulaCalculator(argon(e0=-0.5))
    assert atoms.get_potential_energy() == -0.5
    np.testing.assert_array_equal(atoms.get_forces(), np.zeros((1, 3)))
    np.testing.assert_array_equal(atoms.get_stress(), np.zeros(6))


def test_cluster_and_slab_have_no_stress():
    for pbc in (False, (True, True, False)):
        atoms = Atoms("Ar2", positions=[[0, 0, 0], [0, 0, 4]], cell=[20, 20, 20], pbc=pbc)
        atoms.calc = FormulaCalculator(argon())
        assert np.isfinite(atoms.get_potential_energy())
        with pytest.raises(PropertyNotImplementedError):
            atoms.get_stress()


def test_unknown_species_is_named():
    atoms = Atoms("ArNe", positions=[[0, 0, 0], [0, 0, 4]])
    atoms.calc = FormulaCalculator(argon())
    with pytest.raises(ValueError, match="structure holds Ne; the formula describes Ar"):
        atoms.get_potential_energy()


def two_species():
    parts = [(0.04, "Ar-Ar: x^-12"), (0.05, "Ar-Ne: 2*x^-9"), (0.06, "Ne-Ne: 3*x^-8")]
    cutoff = Cutoff(kind="septic", r_cut=R_CUT, r_on=6.0)
    return Formula(expression_of(parts), 3.0, {"Ar": -1.0, "Ne": -2.0}, ("Ar", "Ne"), cutoff, 2.0)


def test_each_pair_of_species_has_its_own_function():
    #   Ar --- 3 Å --- Ne --- 4 Å --- Ne
    atoms = Atoms("ArNe2", positions=[[0, 0, 0], [3, 0, 0], [7, 0, 0]])
    formula = two_species()
    atoms.calc = FormulaCalculator(formula)
    u = [formula.pair_function(*pair) for pair in (("Ne", "Ar"), ("Ne", "Ne"))]
    bonds = u[0].energy(np.array([3.0, 7.0])).sum() + u[1].energy(np.array([4.0]))[0]
    assert u[0].energy(np.array([3.0]))[0] == pytest.approx(0.1)
    assert atoms.get_potential_energy() == pytest.approx(-5 + bonds)
    assert formula.species_pairs == [("Ar", "Ar"), ("Ar", "Ne"), ("Ne", "Ne")]


def test_species_that_are_not_described_are_named():
    with pytest.raises(ValueError, match="no term for Ne-Ar; it describes Ar"):
        argon().pair_function("Ne", "Ar")


def test_pairs_without_a_term_meet_a_wall_alone():
    cutoff = Cutoff(kind="none", r_cut=R_CUT)
    formula = Formula(
        expression((1.0, "x^-12")), 3.0, {"Ar": 0, "Ne": 0}, ("Ar", "Ne"), cutoff, 2.0
    )
    assert formula.unseen_pairs == [("Ar", "Ne"), ("Ne", "Ne")]
    function = formula.pair_function("Ne", "Ar")
    r = np.linspace(0.1, R_CUT, 200)
    assert not function.energy(r[r > 2.0]).any()
    inside = r[r < 2.0]
    assert (function.slope(inside) < 0).all()
    assert function.energy(np.array([0.2]))[0] == pytest.approx(100.0, rel=1e-3)
    atoms = Atoms("ArNe", positions=[[0, 0, 0], [0, 0, 0.2]], calculator=FormulaCalculator(formula))
    assert atoms.get_potential_energy() == pytest.approx(100.0, rel=1e-3)
    assert atoms.get_forces()[1, 2] == pytest.approx(-function.slope(np.array([0.2]))[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"r0": 0.0}, "r0 is 0; it must be from 0.001"),
        ({"r_lo": 9.0}, "r_lo is 9 Å; it must lie between 0 and the cutoff radius 8.5 Å"),
        ({"e0": {}}, "e0 has no value for species Ar"),
        ({"species": ("Ne",), "e0": {"Ne": 0.0}}, "a term is between Ar-Ar"),
    ],
)
def test_formula_that_cannot_be_computed_is_refused(change, message):
    settings = vars(argon()) | change
    with pytest.raises(ValueError, match=message):
        Formula(**settings)


def test_other_kinds_of_terms_are_refused():
    with pytest.raises(ValueError, match="there is no kind of sum 'three_body'; there are pairs"):
        Term((Sum("three_body", ("Ar",) * 3, parse("x")),))


def test_latex_shows_every_pair_in_x():
    assert argon().latex(3) == (
        r"\varphi_{\mathrm{ArAr}}(x) = - \frac{0.0416}{x^{6}} + \frac{0.0416}{x^{12}}"
    )
    assert two_species().latex().count(r"\varphi") == 3


def test_latex_tells_a_shared_form_once_more_with_its_constants():
    parts = [(0.04, "Ar-Ar: exp(-2.0*x)"), (0.05, "Ar-Ne: exp(-3.0*x)"), (0.06, "Ne-Ne: x^-8")]
    formula = Formula(
        expression_of(parts), 3.0, {"Ar": -1.0, "Ne": -2.0}, ("Ar", "Ne"),
        Cutoff(kind="septic", r_cut=R_CUT, r_on=6.0), 2.0,
    )  # fmt: skip
    *_, form, table = formula.latex(3).split(" \\\\\n")
    heads = r"\varphi_{\mathrm{ArAr}}(x), \varphi_{\mathrm{ArNe}}(x)"
    assert form == heads + r" = a_{1} e^{a_{2} x}"
    rows = r"\mathrm{Ar-Ar} & 0.04 & -2.0 \\ \mathrm{Ar-Ne} & 0.05 & -3.0"
    assert rows in table
    assert "Ne-Ne" not in table


def test_sympy_form_is_in_angstrom():
    assert float(argon().sympy("Ar", "Ar").subs("r", SIGMA)) == pytest.approx(0, abs=1e-15)
    [symbol] = argon().sympy("Ar", "Ar").free_symbols
    assert str(symbol) == "r"


def test_dictionary_round_trip_is_exact():
    for formula in (argon(), two_species(), argon((0.1, "(sigma/x)^12 - exp(-1.25*x)"))):
        assert Formula.from_dict(formula.to_dict()) == formula


def test_published_argon_is_reproduced(shared_data):
    # Pair energies 4 eps [...] with eps = 0.01234 eV, sigma = 3.35 Å, r_on = 4.355 Å.
    cutoff = Cutoff(kind="poet", r_cut=7.5, r_on=4.355)
    poet = expression((2 * 49302, "x^-12"), (-2 * 34.88, "x^-6"))
    formula = Formula(poet, 1.0, {"Ar": 0.0}, ("Ar",), cutoff, 2.0)
    for atoms in read(shared_data / "lennard_jones_argon.extxyz", "::15"):
        labels = atoms.get_potential_energy(), atoms.get_forces()
        atoms.calc = FormulaCalculator(formula)
        # The makers tabulated the energies and printed four digits of the constants.
        assert atoms.get_potential_energy() == pytest.approx(labels[0], rel=2e-4)
        np.testing.assert_allclose(atoms.get_forces(), labels[1], rtol=2e-5, atol=2e-4)


def test_formulas_do_not_import_the_discovery_half():
    halves = ("fit", "searching")
    code = "import sys, symreg.formula; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {f"symreg.{name}" for name in halves} & set(loaded)


def test_an_operator_is_a_row_of_the_table(monkeypatch):
    row = Operator("tanh", 99, 1, 4, np.tanh, math.tanh, "tanh", ("1 - f^2",), REAL, "bounded")
    monkeypatch.setitem(OPERATORS, "tanh", row)
    monkeypatch.setitem(COSTS, "tanh", 4)
    tree = Tree(Shape(("mul", ("const", 0), ("tanh", ("x",)))), (2.5,))
    x = sympy.Symbol("x", positive=True)
    assert tree_to_sympy(tree, x) == 2.5 * sympy.tanh(x)
    assert sympy_to_tree(2.5 * sympy.tanh(x)) == tree
    assert tree_to_lepton(tree) == "(2.5*tanh(x))"
    term = Term((Sum("pairs", ("Ar", "Ar"), tree),))
    formula = Formula(
        Expression((term,), (0.1,)), 1.0, {"Ar": 0.0}, ("Ar",), Cutoff(kind="none", r_cut=5.0), 2.0
    )
    assert formula.latex(3).endswith(r"= 0.25 \tanh{\left(x \right)}")
    r = np.array([3.0])
    slope = 0.25 / np.cosh(3.0) ** 2
    np.testing.assert_allclose(formula.pair_function("Ar", "Ar").slope(r), [slope])
    assert "tanh(r" in plugin_of(formula).template


def test_an_unknown_operator_computes_nothing():
    tree = Tree(Shape(("gamma", ("x",))))
    for translate in (lambda: tree_to_sympy(tree, sympy.Symbol("x")), lambda: tree_to_lepton(tree)):
        with pytest.raises(ValueError, match="'gamma'"):
            translate()
    with pytest.raises(ValueError, match="'y', which is neither an operator nor a variable"):
        tree_to_sympy(Tree(Shape(("y",))), sympy.Symbol("x"))


def test_a_species_is_named_once():
    with pytest.raises(ValueError, match="species names Ar twice; each is named once"):
        Formula(**(vars(argon()) | {"species": ("Ar", "Ar")}))
