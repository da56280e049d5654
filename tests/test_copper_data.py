import itertools
import json
from importlib import resources
from pathlib import Path

import ase.units
import dft_copper as compute
import numpy as np
import plane_waves
import pytest
from ase.neighborlist import neighbor_list
from numpy.testing import assert_allclose
from scipy.interpolate import CubicSpline

from symreg.structures import DataSettings, read_structures

FOLDER = resources.files("symreg") / "data" / "copper"
KINDS = {
    "bcc_ev",
    "dimer",
    "elastic",
    "fcc_ev",
    "hcp_ev",
    "isolated_atom",
    "rattled_fcc",
    "sc_ev",
    "slab",
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
    assert report.isolated_atoms["Cu"] == pytest.approx(-0.2034, abs=1e-3)
    # Whole trajectories are set aside: each structure was computed for itself.
    assert not any("too few trajectories" in note for note in report.notes)
    assert report.structures["validation"] >= 8


def test_structures_are_those_of_the_script(images):
    built = compute.structures()
    assert [atoms.info["name"] for atoms in built] == list(images)
    for atoms in built:
        kept = images[atoms.info["name"]]
        assert kept.info["group"] == atoms.info["group"]
        assert_allclose(kept.info["kpts"], atoms.info["kpts"])
        assert_allclose(kept.cell, atoms.cell, atol=1e-9)
        assert_allclose(kept.positions, atoms.positions, atol=1e-7)


def neighbours(atoms):
    """Distance of the nearest neighbours and how many there are, of all atoms together."""
    r = neighbor_list("d", atoms, 3.0)
    return r.min(), int(np.sum(r < r.min() + 1e-6))


@pytest.mark.parametrize(
    ("name", "count"),
    # Twelve in the bulk of close-packed crystals; an atom of a (100) face lacks four, one of a
    # (111) face three; a vacancy is lacked by twelve.
    [
        ("fcc_v1.00", 12),
        ("bcc_v1.02", 8),
        ("hcp_v1.02", 24),
        ("sc_v1.05", 6),
        ("slab100_4", 48 - 8),
        ("slab111_5", 60 - 6),
        ("vac7_0", 7 * 12 - 12),
    ],
)
def test_geometries_have_the_neighbours_of_their_lattice(images, name, count):
    assert neighbours(images[name])[1] == count


@pytest.mark.parametrize("name", ["slab100_4", "slab100_5", "slab111_4", "slab111_5", "vac7_0"])
def test_slabs_and_vacancy_have_the_bonds_of_fcc(images, name):
    assert neighbours(images[name])[0] == pytest.approx(compute.A / np.sqrt(2), abs=1e-6)


def test_dense_end_reaches_six_tenths_of_the_volume(images):
    volume = [atoms.get_volume() for atoms in curves(images)["fcc_ev"]]
    assert min(volume) == pytest.approx(0.6 * compute.A**3 / 4)
    assert max(volume) == pytest.approx(1.15 * compute.A**3 / 4)


def test_forces_sum_to_zero(images):
    for atoms in images.values():
        # The threshold of the density leaves up to 3e-4 eV/Å on an atom.
        assert_allclose(atoms.get_forces().sum(axis=0), 0, atol=1e-3)


def test_stress_is_given_where_periodic(images):
    for atoms in images.values():
        assert ("stress" in atoms.calc.results) == bool((atoms.info["kpts"] > 1).all())


def test_phases_are_in_the_right_order(images, record):
    fits = {g: plane_waves.equation_of_state(found) for g, found in curves(images).items()}
    assert fits == record["equations_of_state"]
    energies = [fits[f"{phase}_ev"]["energy_eV_per_atom"] for phase in ("fcc", "hcp", "bcc", "sc")]
    assert energies == sorted(energies)


def test_fcc_has_the_lattice_constant_and_bulk_modulus_of_pbe(record):
    fit = record["equations_of_state"]["fcc_ev"]
    assert np.cbrt(4 * fit["volume_cubic_angstrom_per_atom"]) == pytest.approx(3.635, abs=0.015)
    assert fit["bulk_modulus_GPa"] == pytest.approx(139, abs=5)


def test_cohesive_energy_is_that_of_pbe(images, record):
    fit = record["equations_of_state"]["fcc_ev"]
    cohesive = images["atom"].get_potential_energy() - fit["energy_eV_per_atom"]
    assert cohesive == pytest.approx(3.48, abs=0.03)


def test_elastic_constants_are_those_of_pbe(images, record):
    found = compute.elastic_constants(images)
    assert found["C11"] == pytest.approx(177, abs=6)
    assert found["C12"] == pytest.approx(127, abs=6)
    assert found["C44"] == pytest.approx(80, abs=4)
    # Two other ways to the same.
    assert found["C11"] - found["C12"] == pytest.approx(found["C11-C12"], abs=4)
    modulus = (found["C11"] + 2 * found["C12"]) / 3
    assert modulus == pytest.approx(
        record["equations_of_state"]["fcc_ev"]["bulk_modulus_GPa"], abs=5
    )


def test_elastic_constants_come_from_stresses():
    # Made up: C11 = 170, C12 = 120, C44 = 80 GPa, and a pressure and curvature that must not count.
    c11, c12, c44 = 170 * ase.units.GPa, 120 * ase.units.GPa, 80 * ase.units.GPa
    images = {}
    for name, rows in compute.STRAINS.items():
        strain = np.array(rows)
        normal = (c11 - c12) * strain.diagonal() + c12 * strain.trace()
        normal += -0.01 + 3 * strain.diagonal() ** 2
        stress = [*normal, 0, 0, 2 * c44 * strain[0, 1] + 5 * strain[0, 1] ** 3]
        point = {"energy": 0.0, "forces": np.zeros((1, 3)), "stress": stress}
        images[f"el_{name}"] = plane_waves.labelled(compute.fcc(1.0), point)
    expected = {"C11": 170.0, "C12": 120.0, "C44": 80.0, "C11-C12": 50.0}
    assert compute.elastic_constants(images) == pytest.approx(expected)


def test_close_packed_surfaces_cost_least(images):
    found = compute.defect_energies(images)
    assert found["vacancy_eV"] == pytest.approx(1.0, abs=0.2)
    for layers in compute.LAYERS:
        assert (
            1.1
            < found[f"surface_111_{layers}_layers"]
            < found[f"surface_100_{layers}_layers"]
            < 1.8
        )


# Stresses are those of a fixed number of plane waves, energies those of a fixed cutoff; most of the
# rest is the spline through 4 or 5 volumes.
@pytest.mark.parametrize("group", ["fcc_ev", "bcc_ev", "hcp_ev", "sc_ev"])
def test_stress_is_the_slope_of_the_energy(images, group):
    found = curves(images)[group]
    volume = np.array([atoms.get_volume() for atoms in found])
    energy = np.array([atoms.get_potential_energy() for atoms in found])
    slope = np.array([atoms.get_stress()[:3].mean() for atoms in found])
    work = [CubicSpline(volume, slope).integrate(*ends) for ends in itertools.pairwise(volume)]
    assert_allclose(work, np.diff(energy), atol=0.005 * len(found[0]))


def test_record_says_how_the_data_were_made(record, images):
    assert {"python", "gpaw", "gpaw-data", "numpy", "scipy", "ase"} <= set(record["versions"])
    assert record["method"]["cutoff_eV"] == compute.SETTINGS.cutoff
    assert record["method"]["smearing_eV"] == compute.SETTINGS.smearing
    assert record["structures"] == len(images) == 58
    assert record["wall_s"] > 0


def test_every_kind_was_labelled_twice_within_1_mev_per_atom(record, images):
    again = record["reproduction"]
    assert {images[name].info["group"] for name in again["all"]} == KINDS
    assert again["structures"] == len(again["all"]) >= len(KINDS)
    assert again["largest"] == plane_waves.largest(again["all"].values())
    assert again["largest"]["energy_meV_per_atom"] < 1
    assert again["largest"]["forces_eV_per_angstrom"] < 2e-3
    assert again["largest"]["stress_eV_per_cubic_angstrom"] < 2e-5


def test_record_has_every_test_of_convergence(record):
    assert {name: set(rows) for name, rows in record["convergence"].items()} == {
        name: set(tests) for name, tests in compute.DATA.convergence.items()
    }


@pytest.mark.parametrize("name", ["record.json", "copper.extxyz", "README.md"])
def test_files_name_no_absolute_path(name):
    words = (FOLDER / name).read_text(encoding="utf-8").replace('"', " ").split()
    assert not [word for word in words if len(word) > 1 and Path(word).is_absolute()]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_gpaw_gives_stored_labels_again(images):
    pytest.importorskip("gpaw", reason="needs the extra gpaw")
    for name in ("fcc_v1.00", "dimer_2.2", "atom"):
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
