from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms

from symreg.formula import FormulaCalculator
from symreg.lammps.roundtrip import MEASURE
from symreg.lammps.routes import make_routes, way_of
from symreg.lammps.runtime import run
from symreg.lammps.specimens import data_file, dimer_scans
from symreg.lammps.table import predicted_error, tables_of, tabulate
from symreg.terms.cutoff import Cutoff

PLAIN = Cutoff(kind="none", r_cut=8.5)
CUTOFFS = [
    Cutoff(kind=kind, r_cut=8.5, r_on=5.1)
    for kind in ("septic", "cosine", "poet", "stillinger_weber", "none")
]
TREES = [
    "x^-12.7 - 2.1*x^-6",
    "exp(-3.5*x) - 0.1*log(x)/x",
    "-(x - 1.5)^2*sqrt(x) + 1/(1 + x)",
    "(x + 0.5)^-x",
    "1e-05*exp(x) - 1e+22*exp(-60.0*x)",
    "-x^-6",
]
NATIVE = {
    "lj/cut": "4*((0.9/x)^12 - (0.9/x)^6)",
    "mie/cut": "x^-14.5 - 2.1*x^-6.5",
    "morse": "exp(-12.0*(x - 1)) - 2*exp(-6.0*(x - 1))",
    "buck": "1.5e5*exp(-12.0*x) - 2.0*x^-6",
    "born": "1.5e5*exp(-12.0*x) - 2.0*x^-6 - 0.5*x^-8",
}


def compute(formulas, routes, scans):
    """Energies and forces of scans by LAMMPS, all in one run of it."""
    setup = "units metal\natom_style atomic\natom_modify map array\nboundary f f f\n"
    files, tasks = {}, []
    for n, (formula, route, scan) in enumerate(zip(formulas, routes, scans, strict=True)):
        files |= {f"data.{n}": data_file(scan, formula.species, "scan"), **route.files}
        script = f"{setup}read_data data.{n}\n{route.commands}{MEASURE}run 0\n"
        tasks.append({"input": script})
    results = run(tasks, files)["results"]
    return [(np.array(r["energies"]), np.array(r["forces"])) for r in results]


def expected(formula, atoms):
    atoms = atoms.copy()
    atoms.calc = FormulaCalculator(formula)
    free = np.array([formula.e0[symbol] for symbol in atoms.get_chemical_symbols()])
    return atoms.get_potential_energies() - free, atoms.get_forces()


@pytest.mark.lammps
def test_lepton_computes_the_formula_with_every_cutoff_operator_and_wall(make_formula):
    rng = np.random.default_rng(0)
    formulas = [make_formula(TREES[0], cutoff) for cutoff in CUTOFFS]
    formulas += [make_formula(tree, weight=0.3) for tree in TREES[1:]]
    assert {f.pair_function("Ar", "Ar").wall.kind for f in formulas} == {"exponential", "core"}
    cases = [(f, scan) for f in formulas for scan in dimer_scans(f, 0.3, rng).values() if len(scan)]
    formulas, scans = zip(*cases, strict=True)
    routes = [way_of("lepton").make(formula, "") for formula in formulas]
    results = compute(formulas, routes, scans)
    for formula, scan, (energies, forces) in zip(formulas, scans, results, strict=True):
        energy, force = expected(formula, scan)
        np.testing.assert_allclose(energies, energy, rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(forces, force, rtol=1e-11, atol=1e-12)


@pytest.mark.lammps
def test_native_styles_compute_the_formula(make_formula):
    rng = np.random.default_rng(0)
    formulas = [make_formula(text, PLAIN) for text in NATIVE.values()]
    routes = [way_of("native").make(formula, "") for formula in formulas]
    scans = [dimer_scans(formula, formula.r_lo, rng)["dimers"] for formula in formulas]
    results = compute(formulas, routes, scans)
    for style, formula, route, scan, (energies, forces) in zip(
        NATIVE, formulas, routes, scans, results, strict=True
    ):
        assert route.commands.startswith(f"pair_style {style} 8.5\n")
        energy, force = expected(formula, scan)
        np.testing.assert_allclose(energies, energy, rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(forces, force, rtol=1e-11, atol=1e-13)


@pytest.mark.lammps
def test_predicted_interpolation_is_what_lammps_does(argon):
    # 300 points, so that the error is large and its every digit is compared; the true slopes at
    # the ends tell the meaning of FPRIME.
    function = argon.pair_function("Ar", "Ar")
    table = tabulate(function, "Ar_Ar", 300, 2.0)
    r = np.linspace(2.01, 8.49, 100)
    route = way_of("table").make(argon, "UNITS: metal")
    route.files["Ar.table"] = f"# UNITS: metal\n\n{table.text()}"
    commands = "pair_style table spline 300\npair_coeff 1 1 Ar.table Ar_Ar 8.5\n"
    places = [[30.0 * n, 5, 5 + x] for n, x in enumerate(r) for x in (0, r[n])]
    atoms = Atoms("Ar200", positions=places, cell=[3000, 20, 20])
    route = type(route)("table", commands, route.files, 2.0)
    ((energies, forces),) = compute([argon], [route], [atoms])
    energy, force = table.interpolate(r)
    np.testing.assert_allclose(2 * energies[1::2], energy, rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(forces[1::2, 2], force, rtol=1e-11, atol=1e-14)
    error = np.abs(forces[1::2, 2] + function.slope(r)).max()
    assert 1e-5 < error < predicted_error(function, table)[1]


def test_table_follows_the_calculator_of_ase(argon):
    route = way_of("table").make(argon, "UNITS: metal")
    dimer = Atoms("Ar2", positions=[[0, 0, 0], [0, 0, 4.1]])
    _, force = tables_of(argon)[0][0].interpolate(np.array([4.1]))
    assert force[0] == pytest.approx(expected(argon, dimer)[1][1, 2], abs=1e-6)
    assert route.commands.startswith("pair_style table spline 5000\n")


def test_unknown_style_is_refused_with_a_suggestion(argon):
    with pytest.raises(ValueError, match=r"style is 'tabel'.*did you mean 'table'"):
        make_routes(argon, "tabel", "")


def test_native_style_is_refused_where_a_cutoff_function_changes_the_form(argon):
    with pytest.raises(ValueError, match=r"needs cutoff = \"none\".*use style 'table'"):
        make_routes(argon, "native", "")


@pytest.mark.parametrize(
    "text",
    ["x^-12 + 2*x^-6", "x^-12", "1/(1 + x)", "exp(-3.0*x) - exp(-2.0*x)", "x^-12 - x^-6 + 1"],
)
def test_native_style_is_refused_for_another_form(make_formula, text):
    with pytest.raises(ValueError, match=r"none of lj/cut.*is the form .*use style 'table'"):
        make_routes(make_formula(text, PLAIN), "native", "")


def test_numbers_of_numpy_are_written_as_numbers(make_formula):
    formula = make_formula("x^-12.7", Cutoff(kind="septic", r_cut=np.float64(8.5), r_on=5.1))
    expression = replace(formula.expression, weights=(np.float64(0.01),))
    lengths = {"r0": np.float64(3.8), "r_lo": np.float64(3.0), "e0": {"Ar": np.float64(0.1)}}
    routes = make_routes(replace(formula, expression=expression, **lengths), "auto", "a line")
    assert not any("float64" in route.commands for route in routes)
