import itertools

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list

from symreg.structures import from_atoms
from symreg.structures.neighbours import (
    closest_distance,
    closest_distances,
    find_pairs,
    nearest_neighbour_mean,
    structure_pairs,
    triplets,
)

EVERYWHERE = np.ones(3, dtype=bool)
NOWHERE = np.zeros(3, dtype=bool)


def test_pairs_of_a_dimer_point_both_ways():
    #    0 ---- 2 Å ----> 1
    pairs = find_pairs(np.array([[0, 0, 0], [2.0, 0, 0]]), np.zeros((3, 3)), NOWHERE, 2.5)
    assert pairs.i.tolist() == [0, 1]
    assert pairs.j.tolist() == [1, 0]
    np.testing.assert_allclose(pairs.r, [2, 2])
    np.testing.assert_allclose(pairs.unit, [[1, 0, 0], [-1, 0, 0]])
    assert pairs.i.dtype == pairs.j.dtype == np.int64


def test_atom_in_a_small_cell_meets_its_own_images():
    # Simple cubic, 1 Å: 6 images at 1, 12 at sqrt 2, 8 at sqrt 3, 6 at 2 Å.
    pairs = find_pairs(np.zeros((1, 3)), np.eye(3), EVERYWHERE, 2.1)
    r, count = np.unique(np.round(pairs.r, 9), return_counts=True)
    np.testing.assert_allclose(r, np.sqrt([1, 2, 3, 4]))
    assert count.tolist() == [6, 12, 8, 6]


def test_slab_has_no_neighbours_across_its_surface():
    pairs = find_pairs(np.zeros((1, 3)), np.eye(3), np.array([True, True, False]), 1.1)
    assert len(pairs) == 4
    np.testing.assert_array_equal(pairs.unit[:, 2], 0)


def test_lone_atom_has_no_pairs():
    pairs = find_pairs(np.zeros((1, 3)), np.zeros((3, 3)), NOWHERE, 5.0)
    assert len(pairs) == 0
    assert pairs.unit.shape == (0, 3)


def test_atoms_in_one_place_are_refused():
    with pytest.raises(ValueError, match="atoms 0 and 1 are in one place; remove one"):
        find_pairs(np.zeros((2, 3)), np.zeros((3, 3)), NOWHERE, 5.0)


def test_message_about_atoms_in_one_place_names_the_structure():
    structures = from_atoms([Atoms("Cu2", positions=np.zeros((2, 3)))], sources=["a.xyz frame 7"])
    with pytest.raises(ValueError, match=r"a.xyz frame 7 \(Cu2\): atoms 0 and 1"):
        structure_pairs(structures, 0, 3.0)


def test_cutoff_must_be_positive():
    with pytest.raises(ValueError, match="r_cut is 0 Å; it must be greater than 0"):
        find_pairs(np.zeros((1, 3)), np.eye(3), EVERYWHERE, 0.0)


# Shapes that a search does not survive by itself


@pytest.mark.parametrize("far", [1e4, 1e6, 9e8])
@pytest.mark.parametrize("direction", [[1, 0, 0], [1, 1, 0], [1, -1, 1]])
def test_parts_of_a_cluster_may_be_any_distance_apart(far, direction):
    dimer = np.array([[0, 0, 0], [0, 0, 2.0]])
    pairs = find_pairs(
        np.vstack([dimer, dimer + far * np.array(direction)]), np.zeros((3, 3)), NOWHERE, 8.0
    )
    assert list(zip(pairs.i, pairs.j, strict=True)) == [(0, 1), (1, 0), (2, 3), (3, 2)]
    np.testing.assert_allclose(pairs.r, 2, rtol=1e-6)  # far out, seven digits are left


def test_layers_of_a_slab_may_be_any_distance_apart():
    slanted = np.array([[4.0, 0, 1], [0, 4, 1], [0, 0, 0]])
    normal = np.cross(slanted[0], slanted[1]) / np.linalg.norm(np.cross(slanted[0], slanted[1]))
    layers = np.array([np.zeros(3), 2 * normal, 1e6 * normal])
    pbc = np.array([True, True, False])
    near = find_pairs(layers[:2], slanted, pbc, 4.2)
    far = find_pairs(layers, slanted, pbc, 4.2)
    assert len(far) == len(near) + len(find_pairs(layers[:1], slanted, pbc, 4.2))
    np.testing.assert_allclose(np.sort(far.r)[:2], 2)


def test_cutoff_beyond_a_cluster_finds_all_of_its_pairs():
    positions = np.random.default_rng(0).uniform(0, 5, (7, 3))
    for r_cut in (20.0, 1e3, 1e9):
        assert len(find_pairs(positions, np.zeros((3, 3)), NOWHERE, r_cut)) == 7 * 6


@pytest.mark.parametrize(
    ("positions", "cell", "pbc", "r_cut", "message"),
    [
        (np.zeros((1, 3)), np.eye(3), EVERYWHERE, 1e3, "within 1000 Å an atom has some 4.19e"),
        (np.zeros((1, 3)), np.eye(3), EVERYWHERE, 1e9, "at most 20000 are allowed, so choose"),
        (np.zeros((1, 3)), np.diag([1e-4, 5, 5]), EVERYWHERE, 5.0, "cell is as large as it should"),
        (np.zeros((1, 3)), np.eye(3), np.array([True, True, False]), 1e5, "an atom has some 3.14e"),
        (np.zeros((1, 3)), np.zeros((3, 3)), EVERYWHERE, 5.0, "along 3 directions, but .* zero"),
        (np.zeros((1, 3)), np.ones((3, 3)), EVERYWHERE, 5.0, "parallel or not finite"),
        (np.zeros((1, 3)), np.nan * np.eye(3), EVERYWHERE, 5.0, "parallel or not finite"),
        (np.zeros((1, 3)), np.diag([4, 0, 4.0]), EVERYWHERE, 5.0, "give the whole cell, or set"),
        (np.full((1, 3), np.nan), 9 * np.eye(3), EVERYWHERE, 5.0, "atom 0 is at .nan nan nan. Å"),
        (np.array([[0, 0, 0], [1e300, 0, 0]]), np.eye(3), NOWHERE, 5.0, r"atom 1 is at \[1.e\+300"),
        (np.zeros((1, 3)), np.diag([1e6, 4, 4]), EVERYWHERE, 4.0, "1e\\+06 Å long and 4 Å wide"),
    ],
)
def test_shapes_that_cannot_be_searched_are_refused(positions, cell, pbc, r_cut, message):
    with pytest.raises(ValueError, match=message):
        find_pairs(positions, cell, pbc, r_cut)


def test_message_about_a_shape_names_the_structure():
    crystal = Atoms("Cu", cell=np.eye(3), pbc=True)
    structures = from_atoms([crystal], sources=["a.xyz frame 7"])
    with pytest.raises(ValueError, match=r"a.xyz frame 7 \(Cu\): within 1000 Å an atom has some"):
        structure_pairs(structures, 0, 1e3)


def test_chunks_of_triplets_hold_every_pair_of_neighbours_once():
    rng = np.random.default_rng(2)
    pairs = find_pairs(rng.uniform(0, 3, (6, 3)), np.diag([3.0, 3.0, 9.0]), EVERYWHERE, 2.0)
    expected = [
        (p, q) for p, q in itertools.combinations(range(len(pairs)), 2) if pairs.i[p] == pairs.i[q]
    ]
    for most in (1, 7, 10**9):
        chunks = list(triplets(pairs, 6, most))
        found = [pair for chunk in chunks for pair in zip(*chunk, strict=True)]
        assert found == expected
        assert all(first.size == most for first, _ in chunks[:-1])
        assert chunks[0][0].dtype == chunks[0][1].dtype == np.int64


def test_triplets_of_a_small_cell_hold_images_of_one_atom():
    # Simple cubic, one atom, 6 neighbours: 6 * 5 / 2 triplets.
    pairs = find_pairs(np.zeros((1, 3)), np.eye(3), EVERYWHERE, 1.1)
    ((first, second),) = triplets(pairs, 1)
    cosine = np.sum(pairs.unit[first] * pairs.unit[second], axis=1)
    assert np.bincount(np.round(cosine + 1).astype(int)).tolist() == [3, 12]


@pytest.mark.parametrize("positions", [[[0, 0, 0]], [[0, 0, 0], [0, 0, 2]], [[0, 0, 0], [9, 9, 9]]])
def test_lone_atoms_and_dimers_have_no_triplets(positions):
    pairs = find_pairs(np.array(positions, dtype=float), np.zeros((3, 3)), NOWHERE, 3.0)
    assert list(triplets(pairs, len(positions))) == []


@pytest.mark.parametrize("name", ["lennard_jones_argon", "silicon_gpaw"])
def test_pairs_match_ase(shared_data, name):
    images = ase.io.read(shared_data / f"{name}.extxyz", index="::8")
    structures = from_atoms(images)
    for s, atoms in enumerate(images):
        i, j, r, vector = neighbor_list("ijdD", atoms, 5.0)
        pairs = structure_pairs(structures, s, 5.0)
        rows = np.column_stack([pairs.i, pairs.j, pairs.r, pairs.unit * pairs.r[:, None]])
        expected = np.column_stack([i, j, r, vector])
        for table in (rows, expected):
            keys = np.round(table, 6) + 0.0
            table[:] = table[np.lexsort(keys.T[[5, 4, 3, 1, 0]])]
        np.testing.assert_allclose(rows, expected, atol=1e-10)


def test_closest_distances_are_found_for_each_pair_of_elements():
    salt = bulk("NaCl", "rocksalt", a=5.64)
    dimer = Atoms("NaCl", positions=[[0, 0, 0], [0, 0, 2.36]])
    structures = from_atoms([salt, dimer])
    expected = {("Cl", "Cl"): 5.64 / 2**0.5, ("Cl", "Na"): 2.36, ("Na", "Na"): 5.64 / 2**0.5}
    assert closest_distances(structures) == pytest.approx(expected)
    assert closest_distance(structures) == pytest.approx(2.36)


def test_pair_that_never_meets_has_no_closest_distance():
    structures = from_atoms([Atoms("ArKr", positions=[[0, 0, 0], [0, 0, 20.0]])])
    assert closest_distances(structures) == {}
    assert closest_distance(structures) == np.inf


def test_mean_nearest_neighbour_is_that_of_the_lattice_and_leaves_lone_atoms_out():
    structures = from_atoms([bulk("Ar", "fcc", a=5.26), Atoms("Ar")])
    assert nearest_neighbour_mean(structures) == pytest.approx(5.26 / 2**0.5)


def test_mean_nearest_neighbour_needs_a_neighbour():
    with pytest.raises(ValueError, match="no atom has a neighbour within 9 Å"):
        nearest_neighbour_mean(from_atoms([Atoms("Ar")]))
