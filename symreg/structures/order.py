"""An order of structures that does not depend on how files and frames were listed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from symreg.structures.data import Structures
from symreg.structures.facts import Facts

MOST = 50_000_000
"""Displacements of atoms that are computed to order the frames of one trajectory."""


def canonical_order(structures: Structures, facts: Facts) -> NDArray[np.int64]:
    """Return the structures by split, trajectory and elements, like frames next to each other.

    A shuffled trajectory comes out as one that is in order: each frame is followed by the one,
    among those left, whose atoms are closest to its own. So contiguous blocks hold what is alike.
    """
    alike: dict[tuple[int, str, bytes], list[int]] = {}
    for s in range(len(structures)):
        kind = structures.kind[structures.atoms_of(s)]
        key = (
            int(structures.split[s]),
            structures.trajectory[s],
            kind.tobytes() + structures.pbc[s].tobytes(),
        )
        alike.setdefault(key, []).append(s)
    order: list[int] = []
    volume = structures.volume
    for key in sorted(alike):
        members = sorted(alike[key], key=lambda s: (facts.digest[s], structures.energy[s]))
        order += _chained(structures, np.array(members), volume[members])
    return np.array(order, dtype=np.int64)


def _chained(
    structures: Structures, members: NDArray[np.int64], volume: NDArray[np.float64]
) -> list[int]:
    """Return frames of like atoms, each followed by the nearest of those left."""
    if members.size < 3:
        return [int(s) for s in members]
    n = _size(structures, members[0])
    first = members[np.argmin(volume)]
    window = max(3, MOST // (members.size * n))
    if window < members.size:  # too many to compare each with each: near the first ones first
        members = members[np.argsort(_distances(structures, first, members), kind="stable")]
    order: list[int] = []
    for start in range(0, members.size, window):
        part = members[start : start + window]
        order += _walk(structures, part, first if first in part else part[0])
    return order


def _walk(structures: Structures, members: NDArray[np.int64], first: np.int64) -> Iterator[int]:
    """Yield ``members`` from ``first`` on, from neighbour to neighbour."""
    left, here = members[members != first], first
    while left.size:
        yield int(here)
        nearest = int(np.argmin(_distances(structures, here, left)))
        here, left = left[nearest], np.delete(left, nearest)
    yield int(here)


def _distances(
    structures: Structures, here: np.int64, others: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Sums of squared displacements and changes of cell in Å², shape (others,)."""
    cell, start = structures.cell[here], structures.start
    n = _size(structures, here)
    atoms = start[others][:, None] + np.arange(n)
    shift = structures.positions[atoms] - structures.positions[start[here] : start[here] + n]
    if structures.pbc[here].all():
        # Products one by one: those of BLAS may depend on where in the array a frame stands.
        inverse = np.linalg.inv(cell)
        scaled = (shift[..., None] * inverse).sum(axis=-2)
        scaled -= np.round(scaled)
        shift = (scaled[..., None] * cell).sum(axis=-2)
    strain = ((structures.cell[others] - cell) ** 2).reshape(others.size, -1).sum(axis=1)
    distances: NDArray[np.float64] = (shift**2).reshape(others.size, -1).sum(axis=1) + strain
    return distances


def _size(structures: Structures, s: np.int64) -> int:
    """Atoms of one structure."""
    return int(structures.start[s + 1] - structures.start[s])
