import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from scipy.interpolate import CubicSpline

from symreg.lammps import export
from symreg.lammps.meam import FORCE_ERROR, meam_files
from symreg.lammps.plugin import build_plugin, plugin_of
from symreg.lammps.roundtrip import MEASURE, reference
from symreg.lammps.routes import make_routes
from symreg.lammps.runtime import run
from symreg.lammps.specimens import data_file, make_specimens, typical_distance
from symreg.lammps.stillinger import stillinger_angles
from symreg.potential import Potential
from symreg.terms.cutoff import KINDS

SEPARABLE = "exp(-1.3*(x1 - 1))*exp(-1.3*(x2 - 1))*(c + 0.3)^2"
ANGULAR = "1*1*(exp(c) - 0.2*c)"
GENERAL = "exp(-x1 - 2.0*x2)*(c + 0.1*x1)^2"
QUANTITIES = ("energy_per_atom_max", "forces_max", "virial_per_atom_max")
needs_compiler = pytest.mark.skipif(shutil.which("c++") is None, reason="there is no C++ compiler")


def triplet(formula):
    return formula.three_body_function("Si", "Si", "Si")


@pytest.fixture(scope="module")
def exported(make_silicon, tmp_path_factory):
    """Two products, and their parity record."""
    folder = tmp_path_factory.mktemp("export")
    return folder, export(make_silicon(SEPARABLE, ANGULAR), folder)


@pytest.mark.lammps
def test_formula_of_stillinger_and_weber_is_lammps_own(stillinger_weber):
    numbers = "2.1683 2.0951 1.80 21.0 1.20 -0.33333333333333333 7.049556277 0.6022245584 4 0 0"
    crystal = bulk("Si", a=5.43, cubic=True) * (2, 2, 2)
    crystal.set_cell(crystal.cell.array @ [[1, 0, 0], [0.03, 1, 0], [0, 0.01, 1]], True)
    crystal.rattle(0.08, seed=1)
    cell = bulk("Si", "sc", a=2.5)  # one atom meets its own images
    chain = Atoms("Si3", [[5, 5, 3], [5, 5, 5.3], [5, 5, 8.0]], cell=[12, 12, 12], pbc=True)
    files, tasks, structures = {"Si.sw": f"# UNITS: metal\nSi Si Si {numbers}\n"}, [], []
    for n, atoms in enumerate((crystal, cell, chain)):
        files[f"data.{n}"] = data_file(atoms, ("Si",), "silicon")
        structures.append(atoms)
        tasks.append(
            {
                "input": "units metal\natom_style atomic\natom_modify map array\n"
                f"read_data data.{n}\npair_style sw\npair_coeff * * Si.sw Si\n{MEASURE}run 0\n"
            }
        )
    for atoms, found in zip(structures, run(tasks, files)["results"], strict=True):
        expected = reference(stillinger_weber, atoms)
        assert found["energy"] == pytest.approx(expected.energies.sum(), abs=1e-9)
        np.testing.assert_allclose(found["forces"], expected.forces, atol=1e-9)
        np.testing.assert_allclose(found["virial"], expected.virial, atol=1e-9)


@pytest.mark.lammps
def test_splines_compute_products(exported):
    _, parity = exported
    assert (parity["status"], parity["style"]) == ("run", "meam")
    assert parity["splines"]["within_promise"]
    assert parity["splines"]["knots"] >= 2000
    for quantity in QUANTITIES:
        assert parity[quantity] < 5e-6
    record = parity["routes"]["meam"]
    assert record["wall_forces_relative_max"] < 1e-4
    assert record["finite_difference_max"] < 1e-7
    assert record["two_ranks"]["forces_max"] < 1e-12
    names = {"trimers", "close trimers", "trimer 2", "dense", "lattice", "dimers"}
    assert names <= set(record["checks"])


@pytest.mark.lammps
@needs_compiler
def test_plugin_computes_products_exactly(exported):
    parity = exported[1]
    assert parity["plugin"] == "built"
    record = parity["routes"]["plugin"]
    for quantity in QUANTITIES:
        assert record[quantity] < 1e-11
    assert record["wall_forces_relative_max"] < 1e-12
    assert record["two_ranks"]["forces_max"] < 1e-12
    drift, splines = record["nve"], parity["routes"]["meam"]["nve"]
    assert drift["drift"] == pytest.approx(splines["drift"], abs=drift["standard_error"])


@pytest.mark.lammps
@needs_compiler
def test_plugin_computes_any_three_body_term(make_silicon, tmp_path):
    parity = export(make_silicon(SEPARABLE, GENERAL), tmp_path)
    assert (parity["status"], parity["style"]) == ("run", "plugin")
    for quantity in QUANTITIES:
        assert parity[quantity] < 1e-11
    assert parity["routes"]["plugin"]["finite_difference_max"] < 1e-7
    assert parity["two_ranks"]["forces_max"] < 1e-12
    assert parity["table"] is None


@pytest.mark.lammps
def test_exported_folder_runs_as_it_stands(exported):
    folder, _ = exported
    if shutil.which("lmp") is None:
        pytest.skip("there is no lmp command")
    subprocess.run(["lmp", "-in", "in.check"], cwd=folder, check=True, capture_output=True)
    stored = json.loads((folder / "reference.json").read_text())
    forces = np.loadtxt(folder / "forces.check", skiprows=9)[:, 2:]
    np.testing.assert_allclose(forces, stored["forces"], atol=1e-6)


@pytest.mark.lammps
def test_folder_says_how_to_use_each_route(exported):
    folder, parity = exported
    readme = (folder / "README.md").read_text()
    for words in (
        "ψ(Si-Si-Si) += 2.1*(exp(-1.3*(x1 - 1))*exp(-1.3*(x2 - 1))*(c + 0.3)^2)",
        "f_3: kind = 'septic', r_cut = 3.8 Å",
        "Triplets do not feel neighbours come closer than 1.805 Å",
        f"Splines of {parity['splines']['knots']} knots",
        "`potential.mod` computes it by `pair_style hybrid/overlay`",
        "`sh build.sh` builds `pair_symreg_si_",
    ):
        assert words in readme


@pytest.mark.lammps
@pytest.mark.slow
@needs_compiler
def test_stillinger_weber_goes_by_all_routes(stillinger_weber, tmp_path):
    parity = export(stillinger_weber, tmp_path)
    assert list(parity["routes"]) == ["meam", "sw", "plugin"]
    for style, promise in (("meam", 5e-6), ("sw", 1e-6), ("plugin", 1e-11)):
        assert max(parity["routes"][style][quantity] for quantity in QUANTITIES) < promise


@pytest.mark.slow
@pytest.mark.lammps
def test_native_sw_of_triplets_computes_several_terms(make_silicon, tmp_path):
    formula = make_silicon(
        "1*1*(c + 0.3)^2", "exp(0.4/(x1 - 1.7))*exp(0.4/(x2 - 1.7))*(2*c - 0.5)^2",
        kind="stillinger_weber", r_cut=1.7 * 2.35,
    )  # fmt: skip
    parity = export(formula, tmp_path, style="sw")
    assert sorted(file.name for file in tmp_path.glob("*.sw")) == ["Si-1.sw", "Si-2.sw"]
    assert parity["forces_max"] < 1e-6
    assert parity["routes"]["sw"]["checks"]["rattled"]["forces_max"] < 1e-8


@pytest.mark.lammps
@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("r_cut", [3.4, 5.6])
def test_every_cutoff_function_goes_through_lammps(make_silicon, tmp_path, kind, r_cut):
    parity = export(make_silicon(SEPARABLE, ANGULAR, kind=kind, r_cut=r_cut), tmp_path)
    for style, promise in (("meam", 5e-6), ("plugin", 1e-11)):
        assert parity["routes"][style]["forces_max"] < promise


@pytest.mark.slow
@pytest.mark.lammps
@needs_compiler
def test_plugin_computes_pairs_of_two_species(alloy, tmp_path):
    parity = export(alloy, tmp_path, style="plugin")
    assert parity["status"] == "run"
    assert parity["forces_max"] < 1e-11


def test_plugin_that_cannot_be_built_is_reported(make_silicon, tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    parity = export(make_silicon(GENERAL), tmp_path)
    assert parity["plugin"].startswith("not built: ")
    assert parity["status"] == f"not run: plugin {parity['plugin']}"
    assert parity["forces_max"] is None
    names = {file.name for file in tmp_path.iterdir()}
    assert {"build.sh", "potential.mod"} <= names
    assert {Path(name).suffix for name in names if name.startswith("pair_symreg_si_")} == {".cpp"}
    assert "The plugin was not built" in (tmp_path / "README.md").read_text()


@pytest.mark.lammps
@needs_compiler
def test_error_of_the_compiler_is_told(make_silicon):
    plugin = plugin_of(make_silicon(GENERAL))
    files = plugin.files()
    files[plugin.source] += "nonsense"
    with pytest.raises(RuntimeError, match=r"error.*nonsense"):
        build_plugin(files, plugin.library)


@pytest.mark.parametrize("kind", ["septic", "stillinger_weber", "none"])
def test_spline_file_holds_the_factors(make_silicon, kind):
    formula = make_silicon(SEPARABLE, kind=kind)
    function, (file,) = triplet(formula), meam_files(formula)
    assert file.force_error < FORCE_ERROR
    lines = file.text("UNITS: metal", ["Si"]).splitlines()
    assert lines[:2] == ["# UNITS: metal", "meam/spline 1 Si"]
    starts = [n for n, line in enumerate(lines) if line == "spline3eq"]
    assert [int(lines[n + 1]) for n in starts[:3]] == [2, 2, 2]
    splines = []
    for n in starts[3:]:
        slopes = [float(word) for word in lines[n + 2].split()]
        x, y, _ = np.loadtxt(lines[n + 3 : n + 3 + int(lines[n + 1])]).T
        np.testing.assert_allclose(np.diff(x), (x[-1] - x[0]) / (x.size - 1), rtol=1e-9)
        splines.append(CubicSpline(x, y, bc_type=((1, slopes[0]), (1, slopes[1]))))
    r1, r2, c = np.array([1.83, 2.4]), np.array([3.0, 3.2]), np.array([-1.0, 0.33])
    by_file = splines[0](r1) * splines[0](r2) * splines[1](c)
    np.testing.assert_allclose(by_file, function.derivatives(r1, r2, c)[0], rtol=1e-8)


def test_splines_are_refused_for_what_is_no_product(make_silicon):
    with pytest.raises(ValueError, match=r"\(c \+ 0\.1\*x1\)\^2 is none: use style 'plugin'"):
        make_routes(make_silicon(SEPARABLE, GENERAL), "meam", "")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (SEPARABLE, "stillinger_weber"),
        ("1*1*(c + 0.3)^2", "septic"),
        ("1*1*(c + 0.3)^3", "stillinger_weber"),
        ("1*1*((c + 0.3)^2 + 0.1)", "stillinger_weber"),
        ("1*1*(-(c + 0.3)^2)", "stillinger_weber"),
        (GENERAL, "stillinger_weber"),
    ],
)
def test_native_sw_is_refused_for_another_form(make_silicon, text, kind):
    with pytest.raises(ValueError, match="style 'sw' is for"):
        make_routes(make_silicon(text, kind=kind), "sw", "")


def test_terms_of_stillinger_and_weber_are_recognised(make_silicon):
    #  5 K0 (2c - 0.5)^2 with radial factor 3: K = 0.1*9*4 with c0 = 0.25
    text = "3*3*(2*c - 0.5)^2"
    formula = make_silicon(text, weights=(1.0, 0.1), kind="stillinger_weber")
    ((strength, cosine, arms),) = stillinger_angles(triplet(formula))
    assert (strength, cosine, arms[0].s) == pytest.approx((3.6, 0.25, 2.5))
    assert arms[0] == arms[1]
    by_factor = make_silicon("exp(1.2/(x1 - 2))*exp(1.2/(x2 - 2))*c^2", kind="none", r_cut=4.7)
    assert stillinger_angles(triplet(by_factor))[0].arms[0].s == pytest.approx(1.2 * 2.35)


def test_styles_and_kinds_of_formulas_must_match(make_silicon, argon):
    for style in ("table", "lepton", "native"):
        with pytest.raises(ValueError, match=f"style '{style}' computes pairs only"):
            make_routes(make_silicon(SEPARABLE), style, "")
    for style in ("meam", "sw"):
        with pytest.raises(ValueError, match=f"style '{style}' is for three-body terms"):
            make_routes(argon, style, "")


def test_specimens_suit_silicon(stillinger_weber):
    # 2^(1/6) sigma = 2.3517 Å, the bond of diamond silicon
    assert typical_distance(stillinger_weber) == pytest.approx(2.3517, abs=0.03)
    specimens = {s.name: s.atoms for s in make_specimens(stillinger_weber, 0.2)}
    trimers = specimens["trimers"].positions.reshape(-1, 2, 3, 3)
    np.testing.assert_allclose(
        trimers[:, 0, 1] - trimers[:, 0, 0], trimers[:, 1, 2] - trimers[:, 1, 0]
    )
    arms = trimers[:, 0, 1:] - trimers[:, 0, :1]
    arms /= np.linalg.norm(arms, axis=2)[..., None]
    cosines = np.einsum("na,na->n", arms[:, 0], arms[:, 1])
    assert (np.abs(cosines - 1) < 1e-12).sum() > 2
    assert (np.abs(cosines + 1) < 1e-12).sum() > 2
    assert len(specimens["close trimers"])


def test_crystals_of_what_is_not_bound_have_few_neighbours():
    # With r0 = 1 Å the crystal would have 260 neighbours, and 33,000 triplets, for each atom.
    bends = {"Si-Si": "0.0*r^-9", "Si;Si-Si": "1.5*exp(-1.1*r1)*exp(-1.1*r2)*(c + 0.333)^2"}
    formula = Potential.from_formula(bends, r_cut=6.5).formula
    assert typical_distance(formula) == pytest.approx(6.5 * 0.7 / 3)
