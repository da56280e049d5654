import gzip
import importlib.util
import json
import shutil
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.units import GPa, Hartree, Rydberg

from symreg.structures import DataSettings, read_structures
from symreg.structures.files import read_images
from symreg.structures.frames import collect

GOLDEN = Path(__file__).parent / "golden" / "formats"
PRESSURE = -0.1 * GPa * np.array([-16.02176634, -16.02176634, -32.04353268, 2, 3, 1])
"""Stress of VASP in the golden files, from kbar; that of mlearn has yz and xz exchanged."""
KEYS = {"energy": "", "forces": "", "stress": ""}


def frames_of(path, species=()):
    images = read_images(path, path.name, species)
    sources = [f"{path.name} frame {k}" for k in range(len(images))]
    return collect(images, sources, keys=KEYS, group_key="group", home=path.name)


@pytest.mark.parametrize(
    ("name", "energy", "stress"),
    [
        ("OUTCAR", -10.75, PRESSURE),
        ("vasprun.xml", -10.75, PRESSURE),
        ("gpaw.txt", -10.75, [0.01, 0.01, 0.02, 0.002, 0.003, 0]),
        ("aims.out", -15000.6, [np.nan] * 6),
        ("silicon.pwo", -15.85 * Rydberg, [np.nan]),
    ],
)
def test_outputs_give_free_energies_and_stresses_in_our_sign(name, energy, stress):
    first = frames_of(GOLDEN / name)[0]
    assert first.atoms.get_chemical_formula() == "Si2"
    # ASE's reader of Quantum ESPRESSO and that of VASP convert with constants of another year.
    assert first.labels.energy == pytest.approx(energy, rel=1e-6)
    assert first.labels.keys["energy"] == "free_energy"
    force = first.labels.forces
    np.testing.assert_allclose(force, [[0, 0, force[0, 2]], [0, 0, -force[0, 2]]])
    if name != "silicon.pwo":
        assert force[0, 2] == 0.25
        np.testing.assert_allclose(first.labels.stress, stress, rtol=1e-6, atol=1e-9)
    else:
        np.testing.assert_allclose(first.labels.stress[3:] / first.labels.stress[0], [0.2, 0.3, 0])
        assert first.labels.stress[0] < 0  # it is under pressure


@pytest.mark.parametrize("name", ["OUTCAR", "vasprun.xml", "silicon.pwo", "aims.out", "gpaw.txt"])
def test_the_frame_of_an_output_whose_cycle_did_not_converge_is_left_out(name):
    assert [f.converged for f in frames_of(GOLDEN / name)] == [True, False]
    structures, report = read_structures(DataSettings(train=(name,)), GOLDEN)
    assert structures.source == (f"{name} frame 0",)
    assert report.left_out["unconverged"] == (1, f"{name}@1")
    kept, _ = read_structures(DataSettings(train=(name,), keep=("unconverged",)), GOLDEN)
    assert len(kept) == 2


def test_one_failed_cycle_marks_all_frames_where_they_cannot_be_matched(tmp_path):
    text = (GOLDEN / "gpaw.txt").read_text()
    # ASE drops a frame without an energy, and all that follow.
    text = text[: text.rindex("Energy contributions")]
    (tmp_path / "gpaw.txt").write_text(text)
    assert [f.converged for f in frames_of(tmp_path / "gpaw.txt")] == [False]


def test_compressed_outputs_are_read(tmp_path):
    with gzip.open(tmp_path / "OUTCAR.gz", "wb") as file:
        file.write((GOLDEN / "OUTCAR").read_bytes())
    assert [f.converged for f in frames_of(tmp_path / "OUTCAR.gz")] == [True, False]


def test_trajectories_of_ase_keep_labels_and_flags(tmp_path):
    atoms = Atoms("Ar2", positions=[[0, 0, 0], [0, 0, 3.8]], info={"scf_converged": False})
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0, forces=np.zeros((2, 3)))
    ase.io.write(tmp_path / "a.traj", [atoms])
    ase.io.write(tmp_path / "a.json", [atoms])
    for name in ("a.traj", "a.json"):
        (frame,) = frames_of(tmp_path / name)
        assert (frame.labels.energy, frame.converged) == (-1.0, name == "a.json")


# FitSNAP and mlearn


def test_fitsnap_gives_folders_as_groups_and_turns_pressure_into_stress(tmp_path):
    shutil.copytree(GOLDEN / "Bulk", tmp_path / "JSON" / "Bulk")
    structures, _ = read_structures(DataSettings(train=("JSON/*/*.json",)), tmp_path)
    assert structures.group == ("Bulk",)
    assert structures.formula(0) == "InP"
    assert structures.energy.tolist() == [-6.5]
    assert structures.forces[:, 2].tolist() == [0.25, -0.25]
    stress = 0.1 * GPa * np.array([160.2176634, 160.2176634, 320.4353268, -20, -30, 0])
    np.testing.assert_allclose(structures.stress, [stress], atol=1e-12)


def test_fitsnap_in_other_units_is_converted_and_in_unknown_ones_refused(tmp_path):
    text = (GOLDEN / "Bulk" / "bulk_1.json").read_text()
    (tmp_path / "a.json").write_text(text.replace('"electronvolt"', '"hartree"'))
    assert frames_of(tmp_path / "a.json")[0].labels.energy == pytest.approx(-6.5 * Hartree)
    (tmp_path / "a.json").write_text(text.replace('"kB"', '"psi"'))
    with pytest.raises(ValueError, match=r"a.json frame 0: StressStyle is 'psi', which is not"):
        read_images(tmp_path / "a.json", "a.json")


def test_mlearn_gives_groups_and_trajectories():
    (frame,) = frames_of(GOLDEN / "mlearn.json")
    assert (frame.group, frame.trajectory) == ("AIMD", "AIMD NVT simulation at 300 K")
    assert frame.atoms.get_chemical_formula() == "Mo2"
    assert frame.labels.energy == -21.5


@pytest.mark.parametrize(
    ("sheared", "virial", "place"),
    [  # molybdenum of mlearn, modes 5 and 6 of its elastic set
        ((1, 2, 0.380115), [6.19381, 6.52918, 4.37334, 0.2425, 0.25252, -43.2903], 3),
        ((0, 2, 0.760229), [10.74849, 17.27979, 7.2038, -0.01551, -84.57197, 0.08211], 4),
    ],
)
def test_the_shear_stress_of_mlearn_is_that_of_the_sheared_cell(tmp_path, sheared, virial, place):
    content = json.loads((GOLDEN / "mlearn.json").read_text())
    row, column, shift = sheared
    content[0]["structure"]["lattice"]["matrix"][row][column] = shift
    content[0]["outputs"]["virial_stress"] = virial
    (tmp_path / "a.json").write_text(json.dumps(content))
    (frame,) = frames_of(tmp_path / "a.json")
    shear = frame.labels.stress[3:]
    assert np.abs(shear).argmax() == place - 3
    assert shear[place - 3] == pytest.approx(-0.1 * GPa * min(virial))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda entry: entry["structure"].pop("sites"),
            "frame 0: 'sites' is missing or unknown",
        ),
        (lambda entry: entry.update(structure=[]), r"a.json frame 0 is not as it should be"),
        (lambda entry: entry["outputs"].update(forces=[[0, 0, 1]]), r"a.json frame 0 is not as"),
    ],
)
def test_damaged_entry_of_a_json_set_is_named(tmp_path, change, message):
    content = json.loads((GOLDEN / "mlearn.json").read_text())
    change(content[0])
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        read_images(tmp_path / "a.json", "a.json")


def test_truncated_json_set_is_named(tmp_path):
    (tmp_path / "a.json").write_text((GOLDEN / "mlearn.json").read_text()[:-20])
    with pytest.raises(ValueError, match=r"a.json is not JSON .* write the file again"):
        read_images(tmp_path / "a.json", "a.json")


# MLIP


def test_mlip_gives_virials_with_elements_named_by_the_run_file():
    crystal, atom = frames_of(GOLDEN / "mlip.cfg", ["Mo", "Se"])
    assert crystal.atoms.get_chemical_symbols() == ["Mo", "Se"]
    assert crystal.labels.energy == -14.5
    assert crystal.labels.forces[:, 2].tolist() == [0.25, -0.25]
    stress = [0.01, 0.01, 0.02, -0.002, -0.003, -0.001]
    np.testing.assert_allclose(crystal.labels.stress, stress)
    assert not atom.atoms.pbc.any()
    assert atom.labels.keys == {"energy": "energy"}


def test_mlip_without_names_of_its_types_stops_with_what_to_type():
    with pytest.raises(ValueError, match=r"frame 0 has type 1, .*\[data\] species = \[\"Mo\", "):
        read_images(GOLDEN / "mlip.cfg", "mlip.cfg", ["Mo"])


def test_truncated_mlip_file_is_named(tmp_path):
    (tmp_path / "a.cfg").write_text((GOLDEN / "mlip.cfg").read_text()[:300])
    with pytest.raises(ValueError, match=r"a.cfg frame 0 is not a configuration as MLIP writes it"):
        read_images(tmp_path / "a.cfg", "a.cfg", ["Mo", "Se"])


# DeePMD-kit


@pytest.fixture
def system(tmp_path):
    folder = tmp_path / "water" / "set.000"
    folder.mkdir(parents=True)
    (folder.parent / "type.raw").write_text("0\n1\n")
    (folder.parent / "type_map.raw").write_text("Mo\nSe\n")
    coordinates = np.array([[0, 0, 0, 2.5, 2.5, 2.5], [0, 0, 0, 2.5, 2.5, 2.4]])
    np.save(folder / "coord.npy", coordinates.astype(np.float32))
    np.save(folder / "box.npy", np.tile(5 * np.eye(3).ravel(), (2, 1)))
    np.save(folder / "energy.npy", np.array([-14.5, -14.4]))
    np.save(folder / "force.npy", np.array([[0, 0, 0.25, 0, 0, -0.25]] * 2))
    np.save(folder / "virial.npy", np.tile(np.diag([-1.25, -1.25, -2.5]).ravel(), (2, 1)))
    return folder.parent


def test_system_of_deepmd_is_read_by_its_folder(system):
    structures, report = read_structures(DataSettings(train=("water",)), system.parent)
    structures = structures.taken(np.argsort(structures.source))
    assert structures.source == ("water frame 0", "water frame 1")
    assert structures.group == ("water", "water")
    assert structures.formula(0) == "MoSe"
    assert structures.energy.tolist() == [-14.5, -14.4]
    assert structures.forces[:2, 2].tolist() == [0.25, -0.25]
    np.testing.assert_allclose(structures.stress[0], [0.01, 0.01, 0.02, 0, 0, 0], atol=1e-15)
    assert report.files["water"]["keys"]["stress"] == {"virial": 2}


def test_system_of_deepmd_may_be_a_cluster_or_of_mixed_type(system):
    np.save(system / "set.000" / "real_atom_types.npy", np.array([[0, 1], [1, 1]]))
    (system / "nopbc").touch()
    images = read_images(system, "water")
    assert [x.get_chemical_formula() for x in images] == ["MoSe", "Se2"]
    assert not images[0].pbc.any()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "type_map.raw").unlink(), r"water/type_map.raw is missing; it must hold"),
        (lambda f: (f / "type_map.raw").write_text("Mo Q"), "water/type_map.raw names 'Q'"),
        (lambda f: (f / "type_map.raw").write_text("Mo"), "atoms of type 0 to 1, but .* names 1"),
        (lambda f: np.save(f / "set.000/force.npy", np.zeros((2, 5))), r"force.npy has .*\(2, 5\)"),
        (lambda f: np.save(f / "set.000/energy.npy", np.zeros(1)), r"energy.npy has shape \(1,\)"),
        (lambda f: (f / "set.000/box.npy").write_text("x"), "set.000/box.npy cannot be read"),
        (lambda f: (f / "set.001").mkdir(), "set.001 has no coord.npy"),
    ],
)
def test_damaged_system_of_deepmd_is_named(system, damage, message):
    damage(system)
    with pytest.raises(ValueError, match=message):
        read_images(system, "water")


def test_arrays_of_python_objects_are_refused(system):
    np.save(system / "set.000" / "energy.npy", np.array([{}, {}]), allow_pickle=True)
    with pytest.raises(ValueError, match=r"energy.npy cannot be read \(Object arrays"):
        read_images(system, "water")


def test_folder_that_is_no_system_stops_with_what_to_type(tmp_path):
    (tmp_path / "frames").mkdir()
    with pytest.raises(ValueError, match=r"'frames' is a folder; name the files in it, as in "):
        read_structures(DataSettings(train=("frames",)), tmp_path)


# CP2K, through dpdata


def test_output_of_cp2k_is_read_through_dpdata():
    pytest.importorskip("dpdata", reason="dpdata is not installed")
    (frame,) = frames_of(GOLDEN / "cp2k.out")
    # dpdata converts with the CODATA values of another year.
    assert frame.labels.energy == pytest.approx(-8 * Hartree, rel=1e-6)
    np.testing.assert_allclose(frame.labels.forces[:, 2], [0.514220, -0.514220], rtol=1e-5)
    stress = -GPa * np.array([1, 1, 2, 0.2, 0.3, 0])
    np.testing.assert_allclose(frame.labels.stress, stress, rtol=1e-5, atol=1e-12)


def test_output_of_cp2k_that_did_not_converge_is_named(tmp_path):
    pytest.importorskip("dpdata", reason="dpdata is not installed")
    text = (GOLDEN / "cp2k.out").read_text()
    (tmp_path / "cp2k.out").write_text(text.replace("run converged", "run NOT converged"))
    with pytest.raises(ValueError, match=r"^cp2k.out: a self-consistency cycle did not converge"):
        read_images(tmp_path / "cp2k.out", "cp2k.out")


def test_without_dpdata_what_to_install_is_said(monkeypatch):
    monkeypatch.setattr("symreg.structures.formats.outputs.find_spec", lambda _: None)
    with pytest.raises(
        ValueError, match=r'cp2k.out is of .* pip install "symreg-potentials\[formats\]"'
    ):
        read_images(GOLDEN / "cp2k.out", "cp2k.out")
    assert importlib.util.find_spec("ase")


def test_file_of_no_known_kind_is_named(tmp_path):
    (tmp_path / "a.dat").write_text("no structures here\n")
    with pytest.raises(ValueError, match=r"^a.dat: ASE cannot read it as .* write extended"):
        read_images(tmp_path / "a.dat", "a.dat")
