import itertools

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from symreg.structures.neighbours import find_pairs


def image_sum(positions, cell, pbc, r_cut):
    """Every pair by looking at every image that can be near enough."""
    periodic = cell[pbc]
    # |s_k| is at most (r_cut + size) / height_k, where 1 / height_k^2 stands on this diagonal.
    inverse = np.diag(np.linalg.inv(periodic @ periodic.T)) if len(periodic) else np.zeros(0)
    size = np.linalg.norm(np.ptp(positions, axis=0))
    reach = np.zeros(3, dtype=int)
    reach[pbc] = np.ceil((r_cut + size) * np.sqrt(inverse))
    found = []
    for s in itertools.product(*(range(-m, m + 1) for m in reach)):
        vector = positions[None, :, :] + np.array(s) @ cell - positions[:, None, :]
        r = np.linalg.norm(vector, axis=-1)
        near = r < r_cut
        if not any(s):
            np.fill_diagonal(near, False)  # an atom is no neighbour of itself, its images are
        found += [(i, j, r[i, j], *vector[i, j]) for i, j in np.argwhere(near)]
    return np.array(found, dtype=float).reshape(-1, 6)


def in_order(rows):
    """Rows by atoms, then by direction, whatever way they were found."""
    keys = np.round(rows, 6) + 0.0
    return rows[np.lexsort(keys.T[[5, 4, 3, 1, 0]])] if len(rows) else rows


@st.composite
def systems(draw):
    side = draw(st.floats(1.5, 4.0))
    lower = draw(arrays(float, (3, 3), elements=st.floats(-0.6, 0.6)))
    stretch = draw(arrays(float, 3, elements=st.floats(1.0, 1.5)))
    cell = side * (np.tril(lower, -1) + np.diag(stretch))
    turn = draw(st.sampled_from([np.eye(3), np.eye(3)[[1, 2, 0]], np.diag([1.0, 1.0, -1.0])]))
    pbc = draw(arrays(bool, 3))
    inside = draw(arrays(float, (draw(st.integers(1, 4)), 3), elements=st.floats(-1.5, 2.5)))
    positions = inside @ cell @ turn  # some lie outside the cell
    if draw(st.booleans()):
        cell = np.where(pbc[:, None], cell, 0.0)
    return positions, cell @ turn, pbc, side * draw(st.floats(0.3, 2.5))


@given(systems())
@settings(max_examples=150)
def test_pairs_are_those_of_the_image_sum(system):
    *_, r_cut = system
    expected = image_sum(*system)
    assume(np.all(np.abs(expected[:, 2] - r_cut) > 1e-9))  # rounding decides at the cutoff itself
    assume(np.all(expected[:, 2] > 1e-6))
    pairs = find_pairs(*system)
    found = np.column_stack([pairs.i, pairs.j, pairs.r, pairs.unit * pairs.r[:, None]])
    np.testing.assert_allclose(in_order(found), in_order(expected), atol=1e-9)


@given(systems())
@settings(max_examples=50)
def test_every_pair_has_its_reverse(system):
    assume(np.all(image_sum(*system)[:, 2] > 1e-6))
    pairs = find_pairs(*system)
    vector = pairs.unit * pairs.r[:, None]
    forth = np.column_stack([pairs.i, pairs.j, pairs.r, vector])
    back = np.column_stack([pairs.j, pairs.i, pairs.r, -vector])
    np.testing.assert_allclose(in_order(back), in_order(forth), atol=1e-9)


@given(systems())
@settings(max_examples=50)
def test_pairs_come_sorted_and_the_same_each_time(system):
    assume(np.all(image_sum(*system)[:, 2] > 1e-6))
    first, second = find_pairs(*system), find_pairs(*system)
    assert np.all(np.diff(first.i) >= 0)
    for name in ("i", "j", "r", "unit"):
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes()
