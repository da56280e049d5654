import re

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from numpy.testing import assert_allclose

from symreg.checks import check, dimer_curve
from symreg.fit.exact import ExactPath
from symreg.formula import Formula, FormulaCalculator
from symreg.searching.gate import Gate, _dimers
from symreg.structures import from_atoms
from symreg.terms import expression_of
from symreg.terms.curves import pole
from symreg.terms.cutoff import Cutoff
from symreg.terms.lengths import Lengths

R0, R_LO = 2.55, 1.9
SEPTIC = Cutoff(kind="septic", r_cut=5.5, r_on=3.3)
THREE = Cutoff(kind="septic", r_cut=4.0, r_on=2.4)
GUPTA = ((3000.0, "Cu-Cu: exp(-9.3*x)"), (-20.0, "Cu: sqrt(sum(exp(-5.1*x)))"))


def labelled(atoms):
    atoms.calc = SinglePointCalculator(atoms, energy=-3.0, forces=np.zeros((len(atoms), 3)))
    return atoms


CRYSTALS = [labelled(bulk("Cu", "fcc", a=3.6)), labelled(bulk("Cu", "bcc", a=2.9))]
CRYSTALS[1].info["group"] = "bcc"


def gate_of(cutoff=SEPTIC, three_body=None, structures=CRYSTALS):
    return Gate(from_atoms(structures), Lengths(cutoff, three_body, R0, R_LO))


@pytest.fixture(scope="module")
def gate():
    return gate_of()


def test_gupta_passes(gate):
    assert gate.broken(expression_of(GUPTA)) == []


def test_crystals_are_those_of_the_data_or_face_centred_cubic(gate):
    # 3.6 / √2 = 2.546 Å with 12 neighbours, 2.9 √3 / 2 = 2.511 Å with 8
    assert [curve.name for curve in gate.crystals] == [
        "crystal Cu with 12 neighbours at 2.55 Å",
        "crystal Cu with 8 neighbours at 2.51 Å",
    ]
    liquid = bulk("Cu", "fcc", a=3.6, cubic=True)
    liquid.calc = SinglePointCalculator(liquid, energy=-12.0, forces=np.ones((4, 3)))
    (only,) = gate_of(structures=[liquid]).crystals
    assert only.name == "crystal fcc Cu"


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        (((0.3, "Cu-Cu: x^-9"), (-0.2, "Cu: log(sum(x^-6))")), "an atom alone"),
        (((0.3, "Cu-Cu: x^-9"), (0.2, "Cu: 1/sum(x^-6)")), "an atom alone"),
        (((0.3, "Cu-Cu: x^-9"), (0.2, "Cu: sum(x^-4)/sum(x^-6)")), "an atom alone"),
        (((0.3, "Cu-Cu: x^-9"), (1.0, "Cu: sqrt(sum(x - 1.2))")), "dimer is not finite"),
        (((0.3, "Cu-Cu: x^-9"), (0.2, "Cu: 1/(sum(x^-6) - 0.7)")), "pole near"),
        (((0.3, "Cu-Cu: x^-9"), (-0.2, "Cu: sum(x^-6)^0.2")), "without bound"),
        (((-0.3, "Cu-Cu: x^-2"),), "attracts"),
        (((0.3, "Cu-Cu: x^-9"),), "crystal Cu with 8 neighbours at 2.51 Å has no minimum up to"),
        (((0.0003, "Cu-Cu: x^-9"), (-0.05, "Cu: sum(x^-6)^2")), "collapses|no minimum"),
    ],
)
def test_what_is_broken_is_said(gate, parts, reason):
    broken = "; ".join(gate.broken(expression_of(parts)))
    assert re.search(reason, broken), broken


def test_an_energy_that_falls_when_squeezed_is_seen(gate):
    # Two wells, the outer one deeper, the inner one at 0.7 of its volume.
    outer, inner = "Cu-Cu: exp(-300.0*(x - 1.35)^2)", "Cu-Cu: exp(-300.0*(x - 1.2)^2)"
    parts = ((0.5, "Cu-Cu: x^-9"), (-0.4, outer), (-0.3, inner))
    assert any(
        "does not rise when squeezed from 3." in text for text in gate.broken(expression_of(parts))
    )


@pytest.mark.parametrize("text", ["(1.7 - x)^3", "((1.9 - x)^3 - 0.02)^3", "(1.6 - x)^7"])
def test_a_level_bend_is_not_taken_for_a_pole(gate, text):
    # Where the slope is zero, too, the points on both sides explain little of what is between.
    parts = ((4.0, f"Cu-Cu: {text}"), (-0.3, "Cu-Cu: x^-3"))
    assert not any("pole" in reason for reason in gate.broken(expression_of(parts)))


def test_a_pole_is_seen_beside_a_larger_bend_at_the_cutoff(gate):
    # A step at 3 Å, and a larger one in the last hundredth of an Å, where a root may bend.
    (dimers,) = gate.dimers
    r = dimers.length
    bound, push = np.zeros((2, len(gate.start) - 1))
    bound[dimers.probes] = 0.1 * (r > 3.0) + 1.0 * (r > SEPTIC.r_cut - 5e-3)
    (found,) = _dimers(dimers, bound, push)
    assert found == f"the dimer has a pole near {r[r <= 3.0][-1]:.4g} Å"
    bound[dimers.probes] = 1.0 * (r > SEPTIC.r_cut - 5e-3)
    assert list(_dimers(dimers, bound, push)) == []


def test_a_pole_is_where_the_energy_jumps_not_where_a_wall_is_steep():
    # The wall misses more between two points than the step is high, but its slopes explain it.
    x = np.linspace(1.0, 2.0, 101)
    wall = 1e4 * np.exp(-50.0 * (x - 1.0))
    assert pole(x, wall, -50.0 * wall) is None
    assert pole(x, wall + (x > 1.8), -50.0 * wall) == pytest.approx(1.8)


def test_a_truncated_cutoff_is_not_taken_for_a_force_without_bound():
    gate = gate_of(cutoff=Cutoff(kind="none", r_cut=5.5))
    assert gate.broken(expression_of([(1.0, "Cu-Cu: x^-12"), (-2.0, "Cu-Cu: x^-6")])) == []


def test_triplets_that_pull_atoms_through_the_wall_collapse():
    gate = gate_of(three_body=THREE)
    pair = [(1.0, "Cu-Cu: x^-12"), (-2.0, "Cu-Cu: x^-6")]
    assert gate.broken(expression_of(pair)) == []
    pulling = (-0.3, "Cu-Cu-Cu: x1^-8*x2^-8*(c + 1.0)^2")
    broken = gate.broken(expression_of([*pair, pulling]))
    assert any("crystal Cu with 12 neighbours at 2.55 Å collapses to" in text for text in broken)


@pytest.mark.parametrize("extra", [(), ((0.4, "Cu-Cu-Cu: exp(-2.0*x1)*exp(-2.0*x2)*(c + 0.4)^2"),)])
def test_energies_below_the_domain_are_those_of_the_finished_formula(extra):
    expression = expression_of([*GUPTA, *extra])
    formula = Formula(expression, R0, {"Cu": 0.0}, ("Cu",), SEPTIC, R_LO, cutoff_three_body=THREE)
    images = []
    for distance in (1.0, 1.5, 1.85, 1.89, 2.1):
        corners = [[0, 0, 0], [distance, 0, 0], [0, 1.1 * distance, 0], [1.2, 1.3, distance]]
        images.append(Atoms("Cu4", corners))
    structures = from_atoms([labelled(atoms) for atoms in images])
    found = ExactPath(structures, Lengths(SEPTIC, THREE, R0, R_LO)).predict(expression, {"Cu": 0.0})
    for k, atoms in enumerate(images):
        atoms.calc = FormulaCalculator(formula)
        # The wall's foot has its second and third derivative from differences there.
        assert_allclose(found.energy[k], atoms.get_potential_energy(), rtol=1e-4)
        here = structures.atoms_of(k)
        largest = np.abs(atoms.get_forces()).max()
        assert_allclose(found.forces[here], atoms.get_forces(), atol=1e-3 * largest)


def test_dimers_are_those_of_physics(gate):
    expression = expression_of(GUPTA)
    formula = Formula(expression, R0, {"Cu": 0.0}, ("Cu",), SEPTIC, R_LO)
    curve = dimer_curve(formula, "Cu", "Cu")
    sums = gate.path.sums(expression, gate.around)
    (dimers,) = gate.dimers
    energy = np.add.reduceat(sums[0], gate.start[:-1])[dimers.probes] - 2 * sums[0][0]
    expected = np.interp(dimers.length, curve.r, curve.energy)
    assert_allclose(energy, expected, atol=1e-3 * np.abs(expected).max())
    assert check(formula).passed


# Several elements: copper and nickel, mixed crystals of two compositions.

MIXED = [labelled(bulk("CuNi", "cesiumchloride", a=2.9)), labelled(bulk("Ni", "fcc", a=3.5))]
MIXED[1].info["group"] = "nickel"
BEGINS = {"Cu-Cu": 1.9, "Cu-Ni": 1.85, "Ni-Ni": 1.8}
ALLOY = (
    *((3000.0, f"{pair}: exp(-9.3*x)") for pair in BEGINS),
    (-20.0, "Cu: sqrt(sum(exp(-5.1*x)) + 1.2*sum_Ni(exp(-5.0*x)))"),
    (-21.0, "Ni: sqrt(sum(exp(-5.1*x)) + 0.8*sum_Cu(exp(-5.0*x)))"),
)


def alloy_gate(begins=BEGINS, structures=MIXED, cutoffs=None):
    lengths = Lengths(SEPTIC, None, R0, min(begins.values()), begins, cutoffs or {})
    return Gate(from_atoms(structures), lengths)


@pytest.fixture(scope="module")
def alloy():
    return alloy_gate()


def test_an_alloy_is_tried_with_dimers_and_clusters_of_every_pair(alloy):
    assert [curve.name for curve in alloy.dimers] == ["dimer Cu-Cu", "dimer Cu-Ni", "dimer Ni-Ni"]
    assert [curve.r_lo for curve in alloy.dimers] == [1.9, 1.85, 1.8]
    names = [curve.name for curve in alloy.clusters]
    assert names.count("icosahedron") == 2
    assert {"icosahedron CuNi12", "linear trimer Cu-Ni-Cu", "trimer Ni-Cu-Ni"} < set(names)
    assert len(names) == 2 * 4 + 2 * 4
    assert sorted(curve.name for curve in alloy.crystals) == [
        "crystal CuNi with 8 neighbours at 2.51 Å",
        "crystal Ni with 12 neighbours at 2.47 Å",
    ]
    assert alloy.broken(expression_of(ALLOY)) == []


@pytest.mark.parametrize(
    ("number", "weight", "reason"),
    [
        (1, -3000.0, "the dimer Cu-Ni attracts"),
        (2, -3000.0, "the dimer Ni-Ni attracts"),
    ],
)
def test_a_fault_of_one_pair_is_told_of_that_pair(alloy, number, weight, reason):
    parts = list(ALLOY)
    parts[number] = weight, parts[number][1]
    broken = "; ".join(alloy.broken(expression_of(parts)))
    assert reason in broken
    assert "dimer Cu-Cu" not in broken


def test_an_atom_alone_of_any_element_has_a_finite_energy(alloy):
    parts = (*ALLOY, (0.1, "Ni: 1/sum_Cu(x^-2)"))
    assert alloy.broken(expression_of(parts)) == ["an atom alone has no finite energy"]


def test_pairs_that_never_meet_are_not_tried():
    gate = alloy_gate({"Cu-Ni": 1.85, "Ni-Ni": 1.8})
    assert [curve.name for curve in gate.dimers] == ["dimer Cu-Ni", "dimer Ni-Ni"]
    assert not any("Cu-Ni-Cu" in curve.name for curve in gate.clusters)
    # The lattice of copper in the mixed crystal is one of atoms that training never shows.
    assert [curve.name for curve in gate.crystals] == ["crystal Ni with 12 neighbours at 2.47 Å"]


def test_the_cutoff_of_a_pair_ends_its_dimer_and_a_shape_begins_where_its_closest_pair_does():
    near = Cutoff(kind="septic", r_cut=4.5, r_on=2.7)
    gate = alloy_gate(cutoffs={"Cu-Ni": near})
    assert gate.dimers[1].length.max() < 4.5 < gate.dimers[0].length.max()
    (mixed,) = (curve for curve in gate.crystals if "CuNi" in curve.name)
    assert (mixed.r_lo, mixed.r_cut) == (1.85, 4.5)


def test_clusters_are_compared_with_crystals_of_their_own_elements(alloy):
    bound = np.zeros(sum(alloy.specimens.sizes))
    for curve in alloy.crystals:
        bound[curve.probes] = -10.0 if "CuNi" in curve.name else -1.0
    for curve in alloy.clusters:  # more than twice the crystal of nickel, less than the mixed one
        bound[curve.probes] = -5.0
    found = {text.partition(" collapses")[0] for text in alloy._collapse(bound)}
    # Of copper alone there is no crystal: any of them has to do.
    assert found == {curve.name for curve in alloy.clusters if curve.species == {"Ni"}}


def test_paths_of_other_lengths_do_not_share_what_they_remember(gate):
    shorter = Cutoff(kind="septic", r_cut=4.5, r_on=2.7)
    path = ExactPath(from_atoms(CRYSTALS), Lengths(shorter, None, R0, R_LO))
    expression = expression_of(GUPTA)
    gate.path.sums(expression, gate.around)
    found = path.sums(expression, gate.around)[0]
    assert_allclose(found, path.sums(expression, gate.around._replace(memory=None))[0])


@pytest.mark.parametrize(
    ("symbols", "name"),
    [("HfO2", "crystal fluorite HfO2"), ("Mg2O2", "crystal rocksalt MgO"), ("Al2O3", None)],
)
def test_a_compound_without_crystals_is_tried_as_a_prototype_of_its_composition(symbols, name):
    atoms = Atoms(symbols, cell=[4.0, 4.0, 4.0], pbc=True)
    atoms.positions = np.random.default_rng(0).uniform(0, 4, (len(atoms), 3))
    atoms.calc = SinglePointCalculator(atoms, energy=-3.0, forces=np.ones((len(atoms), 3)))
    gate = Gate(from_atoms([atoms]), Lengths(SEPTIC, None, 2.0, 1.5))
    assert [curve.name for curve in gate.crystals] == [name] * bool(name)


def test_functions_of_an_alloy_are_remembered_without_their_weights():
    gate, sums = alloy_gate(), []
    others = (*ALLOY[:3], *((0.5 * weight, text) for weight, text in ALLOY[3:]))
    for parts in (ALLOY, others):
        expression = expression_of(parts)
        sums.append((gate._sums(expression), gate.path.sums(expression, gate.around)))
    assert [str(term.key) for term in gate._known] == ["Cu", "Ni"]
    for found, expected in sums:
        for one, other in zip(found, expected, strict=False):
            assert_allclose(one, other, atol=1e-9 * np.abs(other).max())


def test_the_gate_forgets_functions_beyond_a_number(monkeypatch):
    monkeypatch.setattr("symreg.searching.gate._REMEMBERED", 1)
    gate = alloy_gate()
    gate.broken(expression_of(ALLOY))
    assert [str(term.key) for term in gate._known] == ["Ni"]
