import json
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from symreg.checks import check, crystal_check, dimer_check, dimer_curve, energy_volume
from symreg.checks.crystals import lattice
from symreg.formula import Formula, FormulaCalculator
from symreg.potential import Potential
from symreg.terms import expression_of
from symreg.terms.cutoff import Cutoff

EPSILON, SIGMA = 0.0104, 3.405


def argon(*parts, r_lo=3.1, r_cut=12.0, kind="septic"):
    parts = parts or ((4 * EPSILON, "x^-12"), (-4 * EPSILON, "x^-6"))
    expression = expression_of([(weight, f"Ar-Ar: {text}") for weight, text in parts])
    cutoff = Cutoff(kind=kind, r_cut=r_cut, r_on=0.9 * r_cut)
    return Formula(expression, SIGMA, {"Ar": -0.5}, ("Ar",), cutoff, r_lo)


def failed(checks):
    return [found.name for found in checks if not found.passed]


def test_lennard_jones_argon_passes_every_check():
    report = check(argon())
    assert report.passed, report
    names = [found.name for found in report.checks]
    assert names == [
        "dimer Ar-Ar is finite",
        "dimer Ar-Ar repels at short range",
        "dimer Ar-Ar has at most one well",
        "dimer Ar-Ar fades at the cutoff",
        "energy of Ar against volume",
    ]


def test_well_of_lennard_jones_is_found():
    _, _, well, _ = dimer_check(argon(), "Ar", "Ar")
    assert well.values["r_min"] == pytest.approx(2 ** (1 / 6) * SIGMA, abs=0.005)
    assert well.values["depth"] == pytest.approx(EPSILON, rel=1e-4)


def test_argon_crystal_has_the_lattice_of_lennard_jones():
    # Lattice sums of fcc: a = 1.5424 sigma, cohesive energy 8.610 eps, B = 75.2 eps/sigma^3.
    values = check(argon(r_cut=40.0)).checks[-1].values
    assert values["lattice_constant"] == pytest.approx(1.5424 * SIGMA, rel=1e-3)
    assert values["cohesive_energy"] == pytest.approx(8.610 * EPSILON, rel=2e-3)
    assert values["bulk_modulus"] == pytest.approx(75.2 * EPSILON / SIGMA**3, rel=5e-3)


def test_dimer_force_is_the_slope_of_its_energy():
    curve = dimer_curve(argon(), "Ar", "Ar", points=20001)
    slope = np.gradient(curve.energy, curve.r)
    np.testing.assert_allclose(-slope[1:-1], curve.force[1:-1], rtol=1e-4, atol=1e-7)
    assert curve.r[0] == pytest.approx(1.55)
    assert curve.force[0] > 0


def test_second_well_is_reported():
    formula = argon((0.04, "x^-12"), (-0.04, "x^-6"), (-0.02, "exp(-(x - 2)^2/0.05)"))
    [well] = [found for found in dimer_check(formula, "Ar", "Ar") if not found.passed]
    assert "at most one well" in well.name
    assert "2 wells, at 3.8" in well.detail


def test_ripple_is_no_well():
    formula = argon((0.04, "x^-12"), (-0.04, "x^-6"), (-1e-5, "exp(-(x - 2)^2/0.001)"))
    assert failed(dimer_check(formula, "Ar", "Ar")) == []


def test_purely_repulsive_formula_has_no_well_and_no_crystal():
    report = check(argon((0.04, "x^-12")))
    assert failed(report.checks) == ["energy of Ar against volume"]
    assert "no well" in report.checks[2].detail
    assert "no minimum" in report.checks[-1].detail


def test_attraction_at_short_range_is_reported():
    found = dimer_check(argon((-0.04, "x^-6")), "Ar", "Ar")
    assert failed(found) == ["dimer Ar-Ar repels at short range"]
    assert "attract each other between" in found[1].detail


def test_pole_in_the_domain_is_reported():
    for text in ("1/(x - 1.5)^2", "1/(x - 1.5)"):
        report = check(argon((0.04, text)))
        assert failed(report.checks) == ["dimer Ar-Ar is finite"]
        assert "pole near 5.1" in report.checks[0].detail


def test_values_that_are_not_finite_are_reported():
    report = check(argon((0.04, "log(1.5 - x)")))
    assert failed(report.checks) == ["dimer Ar-Ar is finite"]
    assert "not finite at 5.1" in report.checks[0].detail


def test_formula_without_a_value_at_its_shortest_distance_fails_its_check():
    report = check(argon((0.04, "log(x - 1)")))
    assert failed(report.checks) == ["dimer Ar-Ar is finite"]
    assert "where its domain begins" in report.checks[0].detail


def test_plain_truncation_fails_to_fade():
    found = dimer_check(argon(kind="none", r_cut=6.0), "Ar", "Ar")
    assert failed(found) == ["dimer Ar-Ar fades at the cutoff"]
    assert "jumps by 0.0013" in found[-1].detail


def test_energy_against_volume_is_that_of_the_scaled_crystal():
    formula, atoms = argon(), bulk("Ar", "fcc", a=5.3, cubic=True)
    curve = energy_volume(FormulaCalculator(formula), atoms, [0.8, 1.0])
    assert curve.volume[1] == pytest.approx(5.3**3 / 4)
    assert curve.volume[0] == pytest.approx(0.8 * curve.volume[1])
    atoms.calc = FormulaCalculator(formula)
    assert curve.energy[1] == pytest.approx(atoms.get_potential_energy() / 4)


def test_given_crystal_is_checked_instead_of_the_cubic_one():
    report = check(argon(), [bulk("Ar", "hcp", a=3.7, c=6.0), bulk("Ar", "bcc", a=4.2)])
    assert len(report.checks) == 6
    assert report.checks[-1].values["cohesive_energy"] < report.checks[-2].values["cohesive_energy"]


def test_crystal_that_softens_under_pressure_fails():
    # A second, shallower well at 0.87 of the neighbour distance: 0.66 of the volume.
    formula = argon(
        (4 * EPSILON, "x^-12"),
        (-4 * EPSILON, "x^-6"),
        (-0.02, "exp(-(x - 0.95)^2/0.001)"),
        r_lo=2.7,
    )
    found = crystal_check(formula, bulk("Ar", "fcc", a=5.26))
    assert not found.passed
    assert "does not rise all the way" in found.detail


def test_unknown_species_in_a_crystal_fails_its_check():
    found = crystal_check(argon(), bulk("Ne", "fcc", a=4.4))
    assert not found.passed
    assert "holds Ne" in found.detail


def test_report_is_plain_data():
    record = json.loads(json.dumps(check(argon()).to_dict()))
    assert record["passed"] is True
    assert record["checks"][0]["name"] == "dimer Ar-Ar is finite"


def silicon(*three_body, third=1 / 3):
    """The formula of F. H. Stillinger and T. A. Weber, Phys. Rev. B 31, 5262 (1985), and more."""
    epsilon, sigma = 2.1683, 2.0951
    texts = [f"1*1*(c + {third})^2", *three_body]
    keyed = ["Si-Si: 0.6022245584*x^-4 - 1", *(f"Si-Si-Si: {text}" for text in texts)]
    weights = (7.049556277 * epsilon, 21.0 * epsilon, *(1.0 for _ in three_body))
    far, near = (
        Cutoff(kind="stillinger_weber", r_cut=1.8 * sigma, s=s) for s in (sigma, 1.2 * sigma)
    )
    expression = expression_of(list(zip(weights, keyed, strict=True)))
    return Formula(expression, sigma, {"Si": -1.0}, ("Si",), far, 1.8, cutoff_three_body=near)


def test_silicon_of_stillinger_and_weber_passes_every_check():
    report = check(silicon())
    assert report.passed, report
    assert [found.name for found in report.checks[4:]] == [
        "trimer Si-Si-Si is finite",
        "trimer Si-Si-Si does not collapse",
        "cluster Si13 does not collapse",
        "energy of Si2 against volume",
    ]
    assert "from 0.9 to 3.771 Å, angles 0 to 180 degrees" in report.checks[4].detail
    # Published: 2 epsilon and 5.431 Å for diamond; bulk modulus 101 GPa.
    values = report.checks[-1].values
    assert values["cohesive_energy"] == pytest.approx(2 * 2.1683, abs=1e-4)
    assert values["lattice_constant"] == pytest.approx(5.431, abs=1e-3)
    assert values["bulk_modulus"] / 0.0062415 == pytest.approx(101.4, abs=0.5)


def test_lowest_trimer_is_found():
    # Two whole bonds at the best angle give 2 epsilon; the third pair adds a little.
    values = check(silicon()).checks[5].values
    assert values["energy_per_atom"] < -2 * 2.1683 / 3
    assert 2.2 < values["closest"] < 2.7


@pytest.mark.parametrize(
    ("three_body", "place"),
    [
        ("1*1*(c - 0.1)/(c - 0.31)", "pole near cosine 0.3"),
        ("1/(x1 - 1.3)*1/(x2 - 1.3)*c", "pole near 2.7"),
        ("log(x1 - 1)*c", "not finite at 1.755 Å, 1.755 Å and cosine -1"),
        ("1*1*log(0.9 - c)", "at cosine 1"),
        ("1*1*sqrt((c - 0.3)^2 - 0.001)", "not finite at"),
    ],
)
def test_triplets_that_are_not_finite_are_reported(three_body, place):
    report = check(silicon(three_body))
    assert not report.passed
    (finite,) = [found for found in report.checks if found.name == "trimer Si-Si-Si is finite"]
    assert place in finite.detail


def test_triplets_that_beat_the_wall_are_reported():
    report = check(silicon("-5*x1^-6*x2^-6"))
    assert "cluster Si13 does not collapse" in failed(report.checks)
    assert "closer than 1.8 Å, where the domain begins" in report.checks[6].detail


OXIDE = {
    "Hf-Hf": "x^-8 - 0.9*x^-4",
    "Hf-O": "0.7*(x^-8 - 2*x^-4)",
    "O;Hf-Hf": "0.4*exp(-x1)*exp(-x2)*(c + 0.2)^2",
    "O;Hf-O": "0.3*exp(-x1)*exp(-2.0*x2)*(c + 0.3)^2",
    "Hf": "-0.1*sqrt(0.1 + sum(x^-3) + sum_O(x^-4))",
}


def oxide(**changes):
    texts = {"O-O": "0.5*x^-6", **OXIDE, **changes}
    texts = {key: text for key, text in texts.items() if text}
    formula = Potential.from_formula(texts, r_cut=5.0, r0=2.0, r_lo=1.5).formula
    return replace(formula, r_lo_pairs={"Hf-O": 1.7, "Hf-Hf": 1.9})


def faults(formula):
    return {found.name: found.detail for found in check(formula).checks if not found.passed}


def test_every_pair_triplet_and_centre_of_an_oxide_is_checked():
    names = {found.name for found in check(oxide()).checks}
    for name in (
        "dimer Hf-O repels at short range",
        "trimer O;Hf-Hf is finite",
        "trimer O;Hf-O does not collapse",
        "cluster Hf6O7 around O does not collapse",
        "neighbour sums of an atom Hf alone",
    ):
        assert name in names
    assert not faults(oxide())
    # Clusters are compared with a crystal, where one is given.
    crystal = bulk("HfO", "rocksalt", a=4.4)
    deep = {found.name for found in check(oxide(), [crystal]).checks} - names
    assert "HfO2 is bound by no more than twice the crystal, 90 degrees at Hf" in deep


def test_the_pair_the_triplet_and_the_centre_at_fault_are_named():
    two_wells = "0.5*x^-6 - exp(-20.0*(x - 1.2)^2) - exp(-20.0*(x - 1.8)^2)"
    assert [*faults(oxide(**{"O-O": two_wells}))] == ["dimer O-O has at most one well"]
    broken = faults(oxide(**{"O;Hf-O": "0.3*x1^-1*1/(x2 - 1.3)*(c + 0.3)^2"}))
    assert broken["trimer O;Hf-O is finite"] == "the formula has a pole near 2.6 Å"
    sinking = faults(oxide(**{"O;Hf-O": "-900.0*exp(-x1)*exp(-2.0*x2)*(c + 0.3)^2"}))
    assert "trimer O;Hf-O does not collapse" in sinking
    assert "trimer O;Hf-Hf does not collapse" not in sinking


def test_a_pair_without_a_term_is_named_and_no_fault():
    texts = {key: text for key, text in OXIDE.items() if key != "O;Hf-O"}
    formula = Potential.from_formula(texts, r_cut=5.0, r0=2.0, r_lo=1.5).formula
    (found,) = [one for one in check(formula).checks if one.name == "dimer O-O has no term"]
    assert found.passed
    assert found.detail.startswith("such atoms do not feel each other but for a wall: ")


def test_the_curve_of_a_dimer_of_two_species_counts_the_functions_of_both():
    formula = oxide(O="0.2*log(1 + sum_Hf(x^-3))")
    curve = dimer_curve(formula, "Hf", "O", 50)
    alone = sum(energy_of(formula, Atoms(symbol)) for symbol in ("Hf", "O"))
    for n in (3, 20, 40):
        dimer = Atoms("HfO", [[0, 0, 0], [0, 0, curve.r[n]]], calculator=FormulaCalculator(formula))
        assert curve.energy[n] == pytest.approx(dimer.get_potential_energy() - alone, abs=1e-12)
        assert curve.force[n] == pytest.approx(dimer.get_forces()[1, 2], abs=1e-12)


def energy_of(formula, atoms):
    atoms.calc = FormulaCalculator(formula)
    return atoms.get_potential_energy()


def copper_of(*parts):
    cutoff = Cutoff(kind="septic", r_cut=5.5, r_on=3.3)
    return Formula(expression_of(parts), 2.55, {"Cu": -1.0}, ("Cu",), cutoff, 1.9)


def test_a_constant_of_an_embedding_is_no_part_of_the_cohesive_energy():
    #   sqrt(s1 + 1) is 1 for an atom alone: 20 eV that belong into e0
    pair = (3000.0, "Cu-Cu: exp(-9.3*x)")
    plain = copper_of(pair, (-20.0, "Cu: sqrt(sum(exp(-5.1*x)) + 1) - 1"))
    shifted = copper_of(pair, (-20.0, "Cu: sqrt(sum(exp(-5.1*x)) + 1)"))
    crystal = bulk("Cu", "fcc", a=3.6)
    one, other = (crystal_check(formula, crystal).values for formula in (plain, shifted))
    assert other["cohesive_energy"] == pytest.approx(one["cohesive_energy"], abs=1e-9)


def test_cohesive_energies_are_not_told_where_free_atoms_are_not_known():
    found = check(copper_of((0.3, "Cu-Cu: x^-9"), (-0.9, "Cu-Cu: x^-4")), knows_atoms=False)
    assert "cohesive energy not known" in found.checks[-1].detail
    assert "cohesive_energy" not in found.checks[-1].values


def test_the_lattice_that_is_looked_for_is_the_lowest_and_not_diamond_because_of_triplets():
    close = Cutoff(kind="septic", r_cut=3.5, r_on=2.1)
    far = Cutoff(kind="septic", r_cut=5.5, r_on=3.3)
    wells = [(-0.5, f"Mo-Mo: exp(-200.0*(x - {at})^2)") for at in (1.0, 1.155)]
    parts = [(0.02, "Mo-Mo: x^-12"), *wells]
    weak = (1e-4, "Mo-Mo-Mo: x1^-1*x2^-1*(c + 0.3)^2")
    metal = Formula(
        expression_of([*parts, weak]), 2.7, {"Mo": 0.0}, ("Mo",), far, 2.0, cutoff_three_body=close
    )
    assert lattice(metal).info["lattice"] == "bcc"
    assert check(metal).checks[-1].values["lattice_constant"] == pytest.approx(3.14, abs=0.1)
