import numpy as np

from symreg.fit.forces import add_pairs, add_triplet, add_triplets, cosines


def test_pair_sums_of_a_dimer():
    #    0 ----- 2 Å -----> 1,  phi = 3 eV, dphi/dr = -5 eV/Å: they push each other away
    unit = np.array([[0.6, 0.0, 0.8], [-0.6, 0.0, -0.8]])
    i, r = np.array([0, 1]), np.full(2, 2.0)
    energies, forces, virial = np.zeros((2, 1)), np.zeros((2, 3, 1)), np.zeros((2, 6, 1))
    value, slope = np.full((2, 1), 1.5), np.full((2, 1), -5.0)  # half of phi from either atom
    add_pairs(i, r, unit, i, value, slope, energies, forces, virial)
    np.testing.assert_allclose(energies, 1.5)
    np.testing.assert_allclose(forces[:, :, 0], [[-3, 0, -4], [3, 0, 4]])
    # r dphi/dr u u, half at each atom, as xx yy zz yz xz xy
    total = virial[:, :, 0].sum(0)
    np.testing.assert_allclose(total, -10 * np.array([0.36, 0, 0.64, 0, 0.48, 0]))


def test_functions_stand_side_by_side_and_rows_are_those_of_owners():
    rng = np.random.default_rng(0)
    i, r, unit = rng.integers(4, size=30), rng.uniform(2, 4, 30), rng.normal(size=(30, 3))
    value, slope = rng.normal(size=(2, 30, 3))
    owner = np.array([0, 0, 1, 2])  # the last has energies, but no virial; no row is its own
    sums = np.zeros((3, 3)), np.zeros((4, 3, 3)), np.zeros((2, 6, 3))
    add_pairs(i, r, unit, owner, value, slope, *sums)
    for d in range(3):
        one = np.zeros((3, 1)), np.zeros((4, 3, 1)), np.zeros((2, 6, 1))
        columns = (np.ascontiguousarray(part[:, [d]]) for part in (value, slope))
        add_pairs(i, r, unit, owner, *columns, *one)
        for every, alone in zip(sums, one, strict=True):
            np.testing.assert_allclose(every[..., [d]], alone, atol=1e-14)
    energies = np.zeros((3, 3))
    np.add.at(energies, owner[i], value)
    np.testing.assert_allclose(sums[0], energies, atol=1e-14)


#  2
#  |      r_01 = 3, r_02 = 4 Å; E = r_01 r_02 cos = r_01 . r_02 is 0, its slopes are not
#  0--1
U, V = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])
BY_HAND = [[3, 4, 0], [0, -4, 0], [-3, 0, 0]]
SLOPES = np.array([[0.0], [0.0], [12.0]])  # r_02 cos, r_01 cos, r_01 r_02


def test_triplet_at_a_right_angle_is_that_of_a_calculation_by_hand():
    forces, virial = np.zeros((3, 3, 1)), np.zeros((6, 1))
    add_triplet(0, 1, 2, U, V, 3.0, 4.0, 0.0, SLOPES, forces, virial, np.empty((2, 3, 1)))
    np.testing.assert_allclose(forces[:, :, 0], BY_HAND)
    # A shear of both bonds turns them towards each other: dE/d(strain xy) = 3 * 4
    np.testing.assert_allclose(virial[:, 0], [0, 0, 0, 0, 0, 12])
    none = np.empty((0, 1))
    add_triplet(0, 1, 2, U, V, 3.0, 4.0, 0.0, SLOPES, forces, none, np.empty((2, 3, 1)))
    np.testing.assert_allclose(forces[:, :, 0], 2 * np.array(BY_HAND))


def test_triplets_add_up_and_leave_their_virials_at_the_centre():
    i, j, r, unit = np.array([0, 0]), np.array([1, 2]), np.array([3.0, 4.0]), np.array([U, V])
    first, second = np.array([0, 0]), np.array([1, 1])  # the same one twice
    cosine = cosines(unit, first, second)
    np.testing.assert_array_equal(cosine, 0)
    forces, virial = np.zeros((3, 3, 1)), np.zeros((3, 6, 1))
    slopes = np.repeat(SLOPES.T, 2, axis=0)
    add_triplets(i, j, r, unit, first, second, cosine, slopes, forces, virial)
    np.testing.assert_allclose(forces[:, :, 0], 2 * np.array(BY_HAND))
    np.testing.assert_allclose(virial[0, :, 0], [0, 0, 0, 0, 0, 24])
    np.testing.assert_array_equal(virial[1:], 0)


def test_cosines_never_leave_their_domain():
    direction = np.array([0.6, 0.48, 0.64]) * (1 + 1e-15)
    unit = np.array([direction, direction, -direction])
    found = cosines(unit, np.array([0, 0]), np.array([1, 2]))
    assert found.tolist() == [1, -1]
