import itertools
import json
from importlib import resources
from pathlib import Path

import dft_silicon as compute
import numpy as np
import plane_waves
import pytest
from numpy.testing import assert_allclose
from scipy.interpolate import CubicSpline

from symreg.structures import DataSettings, read_structures

FOLDER = resources.files("symreg") / "data" / "silicon"
KINDS = {
    "beta_tin_ev",
    "bc8_ev",
    "bcc_ev",
    "diamond_ev",
    "dimer",
    "elastic",
    "fcc_ev",
    "hex_diamond_ev",
    "isolated_atom",
    "rattled_diamond",
    "sc_ev",
    "silicene",
    "simple_hex_ev",
    "trimer",
    "vacancy",
}


@pytest.fixture(scope="module")
def images():
    return plane_waves.read_file(compute.FILE)


@pytest.fixture(scope="module")
def record():
    return json.loads((FOLDER / "record.json").read_text(encoding="utf-8"))


def curves(images):
    found = {}
    for atoms in images.values():
        if atoms.info["group"].endswith("_ev"):
            found.setdefault(atoms.info["group"], []).append(atoms)
    return found


def test_package_reads_it_without_warnings():
    data = DataSettings(train=(compute.FILE.name,), split="trajectory")
    structures, report = read_structures(data, compute.FILE.parent)
    assert report.warnings == ()
    assert set(structures.group) == KINDS
    assert structures.trajectory == tuple(sorted(structures.trajectory))
    assert report.isolated_atoms["Si"] == pytest.approx(-0.8451, abs=1e-3)
    # Whole trajectories are set aside: each structure was computed for itself.
    assert not any("too few trajectories" in note for note in report.notes)
    assert report.structures["validation"] >= 15


def test_structures_are_those_of_the_script(images):
    built = compute.structures()
    assert [atoms.info["name"] for atoms in built] == list(images)
    for atoms in built:
        kept = images[atoms.info["name"]]
        assert kept.info["group"] == atoms.info["group"]
        assert_allclose(kept.info["kpts"], atoms.info["kpts"])
        assert_allclose(kept.cell, atoms.cell, atol=1e-9)
        assert_allclose(kept.positions, atoms.positions, atol=1e-7)


def test_forces_sum_to_zero(images):
    for atoms in images.values():
        # The threshold of the density leaves up to 1e-3 eV/Å on an atom.
        assert_allclose(atoms.get_forces().sum(axis=0), 0, atol=1e-3)


def test_stress_is_given_where_periodic(images):
    for atoms in images.values():
        assert ("stress" in atoms.calc.results) == bool((atoms.info["kpts"] > 1).all())


def test_phases_are_in_the_right_order(images, record):
    fits = {g: plane_waves.equation_of_state(found) for g, found in curves(images).items()}
    assert fits == record["equations_of_state"]
    order = ["diamond", "hex_diamond", "bc8", "beta_tin", "simple_hex", "sc", "bcc", "fcc"]
    energies = [fits[f"{phase}_ev"]["energy_eV_per_atom"] for phase in order]
    assert energies == sorted(energies)


def test_diamond_has_the_lattice_constant_and_bulk_modulus_of_pbe(record):
    fit = record["equations_of_state"]["diamond_ev"]
    assert np.cbrt(8 * fit["volume_cubic_angstrom_per_atom"]) == pytest.approx(5.47, abs=0.01)
    assert fit["bulk_modulus_GPa"] == pytest.approx(89, abs=2)


# Grids change along a curve: between two structures the energy may step by the error of k-points.
@pytest.mark.parametrize(
    ("group", "step_mev_per_atom"),
    [
        ("beta_tin_ev", 0.2),
        ("diamond_ev", 1.2),
        ("hex_diamond_ev", 0.7),
        ("fcc_ev", 0.7),
        ("simple_hex_ev", 2.0),
        ("bcc_ev", 2.5),
        ("sc_ev", 5.0),
    ],
)
def test_stress_is_the_slope_of_the_energy(images, group, step_mev_per_atom):
    found = curves(images)[group]
    volume = np.array([atoms.get_volume() for atoms in found])
    energy = np.array([atoms.get_potential_energy() for atoms in found])
    slope = np.array([atoms.get_stress()[:3].mean() for atoms in found])
    work = [CubicSpline(volume, slope).integrate(*ends) for ends in itertools.pairwise(volume)]
    assert_allclose(work, np.diff(energy), atol=step_mev_per_atom / 1000 * len(found[0]))


def test_record_says_how_the_data_were_made(record, images):
    assert {"python", "gpaw", "gpaw-data", "numpy", "scipy", "ase"} <= set(record["versions"])
    assert record["method"]["cutoff_eV"] == compute.SETTINGS.cutoff
    assert record["method"]["smearing_eV"] == compute.SETTINGS.smearing
    assert record["structures"] == len(images) == 107
    assert record["wall_s"] > 0


def test_every_kind_was_labelled_twice_within_1_mev_per_atom(record, images):
    again = record["reproduction"]
    assert {images[name].info["group"] for name in again["all"]} == KINDS
    assert again["structures"] == len(again["all"]) >= 12
    assert again["largest"] == plane_waves.largest(again["all"].values())
    assert again["largest"]["energy_meV_per_atom"] < 1
    assert again["largest"]["forces_eV_per_angstrom"] < 2e-3
    assert again["largest"]["stress_eV_per_cubic_angstrom"] < 2e-5


def test_record_has_every_test_of_convergence(record):
    assert {name: set(rows) for name, rows in record["convergence"].items()} == {
        name: set(tests) for name, tests in compute.DATA.convergence.items()
    }


def test_plane_waves_are_converged(record):
    for tests in record["convergence"].values():
        for name, change in tests.items():
            if name.startswith("cutoff"):
                assert abs(change["energy_meV_per_atom"]) < 1
                assert change["forces_eV_per_angstrom"] < 1e-3
                assert change.get("stress_eV_per_cubic_angstrom", 0) < 1e-4


@pytest.mark.parametrize("name", ["record.json", "silicon.extxyz", "README.md"])
def test_files_name_no_absolute_path(name):
    words = (FOLDER / name).read_text(encoding="utf-8").replace('"', " ").split()
    assert not [word for word in words if len(word) > 1 and Path(word).is_absolute()]


def test_k_points_are_no_further_apart_than_asked():
    cell = 5.47 / 2 * (np.ones((3, 3)) - np.eye(3))
    # The reciprocal vectors of fcc are 2π √3/a long: 1.9895 1/Å.
    assert plane_waves.k_points(cell, 0.25) == [8, 8, 8]
    assert plane_waves.k_points(cell, 1.9895 / 7) == [8, 8, 8]
    assert plane_waves.k_points(cell, 1.9897 / 7) == [7, 7, 7]


def test_a_sample_takes_every_kind_first(images):
    chosen = plane_waves.sample(list(images.values()), len(KINDS))
    assert {atoms.info["group"] for atoms in chosen} == KINDS
    names = {a.info["name"] for a in plane_waves.sample(list(images.values()), len(images))}
    assert names == set(images)


def test_differences_are_per_atom_and_the_largest_component(images):
    atoms = images["dia_s1.005"]
    point = {"energy": atoms.get_potential_energy() + 0.002, "stress": atoms.get_stress()}
    point["forces"] = atoms.get_forces() + np.array([[0, 0, 0], [0, -0.03, 0.01]])
    found = plane_waves.differences(atoms, point)
    assert found == {
        "energy_meV_per_atom": 1.0,
        "forces_eV_per_angstrom": 0.03,
        "stress_eV_per_cubic_angstrom": 0.0,
    }


def test_labels_survive_the_file(tmp_path, images):
    atoms = images["dimer_3.7"]
    point = {"energy": -2.5, "forces": [[0, 0, 1], [0, 0, -1]], "total_magmom": 4.0}
    path = tmp_path / "one.extxyz"
    plane_waves.labelled(atoms, point).write(path)
    kept = plane_waves.read_file(path)["dimer_3.7"]
    assert kept.get_potential_energy() == -2.5
    assert kept.info["total_magmom"] == 4.0
    assert_allclose(kept.get_forces(), point["forces"])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_gpaw_gives_stored_labels_again(images):
    pytest.importorskip("gpaw", reason="needs the extra gpaw")
    for name in ("dia_s1.005", "dimer_2.3", "atom"):
        found = plane_waves.label(images[name], compute.SETTINGS)
        assert abs(plane_waves.differences(images[name], found)["energy_meV_per_atom"]) < 0.1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_stored_force_is_the_slope_of_the_energy_of_gpaw(images):
    pytest.importorskip("gpaw", reason="needs the extra gpaw")
    atoms = images["dimer_2.5"]
    ends = []
    for shift in (-0.01, 0.01):
        moved = atoms.copy()
        moved.positions[1, 2] += shift
        ends.append(plane_waves.label(moved, compute.SETTINGS)["energy"])
    # Plane waves of one box: no grid to move over. The error is of h², below 1e-3.
    assert (ends[0] - ends[1]) / 0.02 == pytest.approx(atoms.get_forces()[1, 2], abs=5e-3)
