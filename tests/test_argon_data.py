import itertools
import json
from importlib import resources

import ase.io
import dft_argon as compute
import dft_argon_summary as summary
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.interpolate import CubicSpline

FOLDER = resources.files("symreg") / "data" / "argon"


def read(name):
    with resources.as_file(FOLDER / name) as path:
        return ase.io.read(path, ":")


def curve(name):
    images = read(name)
    r = np.array([atoms.get_distance(0, 1) for atoms in images])
    return r, np.array([atoms.get_potential_energy() for atoms in images]), images


@pytest.fixture(scope="module")
def record():
    return json.loads((FOLDER / "record.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["argon.extxyz", "argon_ccsdt.extxyz"])
def test_distances_rise_from_2_8_to_10_angstrom(name):
    r, energies, images = curve(name)
    assert_allclose(r[[0, -1]], [2.8, 10.0])
    assert (np.diff(r) > 0).all()
    assert_allclose([atoms.info["distance"] for atoms in images], r)
    assert len({atoms.info["trajectory"] for atoms in images}) == len(images)
    assert np.abs(energies[-1]) < 1e-4
    assert energies[0] > 0.1


@pytest.mark.parametrize("name", ["argon.extxyz", "argon_clusters.extxyz"])
def test_forces_and_torques_sum_to_zero(name):
    for atoms in read(name):
        forces = atoms.get_forces()
        assert_allclose(forces.sum(axis=0), 0, atol=1e-6)
        # Grids do not turn with the cluster: 1e-3 eV is about 1e-4 eV/Å of noise on each atom.
        assert_allclose(np.cross(atoms.positions, forces).sum(axis=0), 0, atol=1e-3)


def test_forces_are_the_slope_of_a_spline_through_the_energies():
    r, energies, images = curve("argon.extxyz")
    forces = np.array([atoms.get_forces()[1, 2] for atoms in images])
    # In x = -1/r^6 the wall is nearly a parabola, which a cubic spline follows closely.
    spline = CubicSpline(-(r**-6), energies)
    slope = spline(-(r**-6), 1) * 6 * r**-7
    well = r > 3.1
    assert_allclose(-slope[well], forces[well], atol=2e-5)
    # On the wall the spline itself is less sharp: its steps are 0.1 Å and it has an end.
    assert_allclose(-slope, forces, rtol=3e-3)


@pytest.mark.parametrize(
    ("name", "part", "depth_percent", "minimum_angstrom"),
    [("argon_ccsdt.extxyz", "ccsdt", 3, 0.02), ("argon.extxyz", "dimer", 10, 0.1)],
)
def test_well_is_near_the_accepted_one(record, name, part, depth_percent, minimum_angstrom):
    r, energies, _ = curve(name)
    spline = CubicSpline(r, energies)
    fine = np.linspace(3.5, 4.2, 7001)
    lowest = fine[spline(fine).argmin()]
    accepted = record["accepted"]
    depth = -1000 * spline(lowest)
    assert abs(depth / accepted["well_depth_meV"] - 1) < depth_percent / 100
    assert abs(lowest - accepted["minimum_angstrom"]) < minimum_angstrom
    result = record["parts"][part]["result"]
    assert result["well_depth_meV"] == pytest.approx(depth, abs=1e-3)
    assert result["minimum_angstrom"] == pytest.approx(lowest, abs=1e-3)


def test_record_says_how_the_data_were_made(record):
    packages = {"python", "pyscf", "pyscf-dispersion", "numpy", "scipy", "ase"}
    assert packages <= set(record["versions"])
    assert record["dft"] == compute.DFT
    assert record["ccsdt"] == compute.CCSDT
    assert record["command"].startswith("python benchmarks/dft_argon.py")
    for part in record["parts"].values():
        assert part["wall_s"] > 0
        assert len(read(part["file"])) == part["structures"]


def test_clusters_are_those_of_the_script_and_nearly_pair_additive(record):
    shapes = compute.cluster_geometries()
    rows = record["parts"]["clusters"]["beyond_pairs"]
    images = read("argon_clusters.extxyz")
    assert [atoms.info["name"] for atoms in images] == list(rows)
    for atoms in images:
        group, positions = shapes[atoms.info["name"]]
        assert atoms.info["group"] == group
        assert_allclose(atoms.positions, positions, atol=1e-7)
        row = rows[atoms.info["name"]]
        assert row["energy_meV"] == pytest.approx(1000 * atoms.get_potential_energy(), abs=1e-3)
        n_pairs = len(atoms) * (len(atoms) - 1) / 2
        assert abs(row["beyond_pairs_meV"]) < 2 * n_pairs


def test_symmetry_carries_atoms_and_vectors():
    _, positions = compute.cluster_geometries()["tetrahedron 3.8"]
    to, rotation = compute.symmetry(positions, 0, 2)
    centred = positions - positions.mean(axis=0)
    assert to[0] == 2
    assert_allclose(centred[list(to)], centred @ rotation.T, atol=1e-12)
    _, scalene = compute.cluster_geometries()["random trimer"]
    assert compute.symmetry(scalene, 0, 1) is None


def test_minimum_of_lennard_jones_is_where_it_should_be():
    r = np.linspace(3.0, 6.0, 61)
    sigma = 3.762 / 2 ** (1 / 6)
    result = summary.minimum(r, 4 * 0.012318 * ((sigma / r) ** 12 - (sigma / r) ** 6))
    assert result["well_depth_meV"] == pytest.approx(12.318, abs=1e-3)
    assert abs(result["minimum_error_angstrom"]) < 1e-3


def test_a_sum_of_pair_terms_has_nothing_beyond_pairs():
    def point(name, positions):
        positions = np.array(positions)
        energy, forces = 0.0, np.zeros_like(positions)
        for i, j in itertools.combinations(range(len(positions)), 2):
            bond = positions[j] - positions[i]
            r = np.linalg.norm(bond)
            energy += r**-6
            forces[[i, j]] += np.array([-6, 6])[:, None] * r**-7 * bond / r
        return {"name": name, "positions": positions, "energy": energy, "forces": forces}

    dimers = [point(f"dimer {r}", [[0, 0, 0], [0, 0, r]]) for r in np.linspace(3, 5, 41)]
    rows = summary.non_additivity([point("bent", [[0, 0, 0], [0, 0, 3.6], [0, 3.4, 0]])], dimers)
    assert rows["bent"]["beyond_pairs_meV"] == pytest.approx(0, abs=1e-3)
    assert rows["bent"]["forces_rms_meV_per_angstrom"] == pytest.approx(0, abs=1e-2)


def test_finished_points_are_not_computed_again(tmp_path):
    said = []
    path = tmp_path / "points.jsonl"
    compute.run_points(path, {"a": lambda: {"energy": 1.0}}, said.append)
    compute.run_points(path, {"a": pytest.fail, "b": lambda: {"energy": 2.0}}, said.append)
    assert [point["energy"] for point in compute.read_points(path).values()] == [1.0, 2.0]
    assert len(said) == 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_pyscf_gives_the_stored_point_again():
    pytest.importorskip("pyscf.dispersion", reason="needs the extra dft")
    atoms = next(a for a in read("argon.extxyz") if a.info["distance"] == 3.8)
    energy, forces = compute.interaction(atoms.positions)
    assert energy == pytest.approx(atoms.get_potential_energy(), abs=1e-7)
    assert_allclose(forces, atoms.get_forces(), atol=1e-6)
    # Forces of the same theory by finite differences of energies, at 0.01 Å: error of h^2.
    ends = [compute.interaction(np.outer([0, 1], [0, 0, r]))[0] for r in (3.79, 3.81)]
    assert (ends[0] - ends[1]) / 0.02 == pytest.approx(forces[1, 2], abs=2e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_quick_run_writes_every_file(tmp_path):
    pytest.importorskip("pyscf.dispersion", reason="needs the extra dft")
    assert compute.main(["--out", str(tmp_path), "--quick"]) == 0
    parts = json.loads((tmp_path / "record.json").read_text())["parts"]
    assert set(parts) == {"dimer", "clusters", "ccsdt"}
    assert (tmp_path / "argon_ccsdt.extxyz").exists()
