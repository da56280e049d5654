"""Neighbour pairs and triplets: who is near whom, periodic images included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from symreg.structures import Structures
from symreg.structures.distances import closest_distances, nearest_neighbours
from symreg.structures.periodic import image_search

__all__ = [
    "Pairs",
    "closest_distance",
    "closest_distances",
    "find_pairs",
    "nearest_neighbour_mean",
    "structure_pairs",
    "triplets",
]

NEIGHBOUR_REACH = 9.0
"""Distance in Å beyond which an atom counts as having no neighbour."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """All P directed pairs i -> j of one structure closer than a cutoff, sorted by i.

    The list is full: a bond appears as i -> j and as j -> i. Every periodic image of j is a pair
    of its own, also the images of i itself.
    """

    i: NDArray[np.int64]
    """Central atom, shape (P,)."""
    j: NDArray[np.int64]
    """Its neighbour, shape (P,)."""
    r: NDArray[np.float64]
    """Distance in Å, shape (P,)."""
    unit: NDArray[np.float64]
    """Direction from i to j, length 1, shape (P, 3)."""

    def __len__(self) -> int:
        """Count the pairs."""
        return self.r.size

    def subset(self, chosen: NDArray[np.bool_]) -> Pairs:
        """The pairs where ``chosen``, shape (P,), is true."""
        return Pairs(self.i[chosen], self.j[chosen], self.r[chosen], self.unit[chosen])


def find_pairs(
    positions: NDArray[np.float64],
    cell: NDArray[np.float64],
    pbc: NDArray[np.bool_],
    r_cut: float,
) -> Pairs:
    """Find all pairs of one structure that are closer than the cutoff.

    The cutoff may exceed the cell. Equal input gives equal output, bit for bit.

    Parameters
    ----------
    positions
        Positions in Å, shape (n, 3); atoms may lie outside the cell.
    cell
        Cell vectors in Å as rows, shape (3, 3); those that do not repeat may be zero.
    pbc
        Whether the structure repeats along each cell vector, shape (3,).
    r_cut
        Cutoff radius in Å.

    Raises
    ------
    ValueError
        If the cutoff is not positive, or two atoms are in one place.

    Examples
    --------
    >>> one_atom = find_pairs(np.zeros((1, 3)), 2.0 * np.eye(3), np.ones(3, bool), r_cut=2.5)
    >>> one_atom.r
    array([2., 2., 2., 2., 2., 2.])
    """
    if not r_cut > 0:
        raise ValueError(f"r_cut is {r_cut:g} Å; it must be greater than 0")
    i, j, r, vector = image_search(positions, cell, pbc, r_cut, "ijdD", full=True)
    if r.size and r.min() == 0:
        p = int(np.argmin(r))
        raise ValueError(f"atoms {i[p]} and {j[p]} are in one place; remove one of them")
    # Images of one neighbour keep the order in which the search meets them, always the same.
    order = np.argsort(i * len(positions) + j, kind="stable")
    r = r[order]
    return Pairs(i=i[order], j=j[order], r=r, unit=vector[order] / r[:, None])


def structure_pairs(structures: Structures, s: int, r_cut: float) -> Pairs:
    """Find the pairs of structure ``s``; its atoms count from 0. See ``find_pairs``."""
    atoms = structures.atoms_of(s)
    try:
        return find_pairs(structures.positions[atoms], structures.cell[s], structures.pbc[s], r_cut)
    except ValueError as error:
        raise ValueError(f"{structures.source[s]} ({structures.formula(s)}): {error}") from None


def triplets(
    pairs: Pairs, n_atoms: int, most: int = 200_000
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Meet every triplet j <- i -> k once, chunk by chunk; they are never all in memory.

    Images of one atom are neighbours of their own.

    Parameters
    ----------
    pairs
        Pairs of one structure.
    n_atoms
        Number of its atoms.
    most
        Triplets in one chunk.

    Yields
    ------
    Two indices into the pair list, first < second, with the same centre, shapes (T,).

    Examples
    --------
    >>> chain = find_pairs(np.diag([1.0, 2.0, 3.0]), np.zeros((3, 3)), np.zeros(3, bool), 4.0)
    >>> [(first.tolist(), second.tolist()) for first, second in triplets(chain, 3)]
    [([0, 2, 4], [1, 3, 5])]
    """
    start = np.searchsorted(pairs.i, np.arange(n_atoms + 1))
    p = np.arange(len(pairs))
    done = np.concatenate([[0], np.cumsum(start[pairs.i + 1] - p - 1)])
    for low in range(0, done[-1], most):
        high = min(low + most, done[-1])
        here = slice(np.searchsorted(done, low, "right") - 1, np.searchsorted(done, high))
        counts = np.diff(np.clip(done[here.start : here.stop + 1], low, high))
        first = np.repeat(p[here], counts)
        yield first, first + 1 + np.arange(low, high) - done[first]


def closest_distance(structures: Structures) -> float:
    """Return the smallest distance in Å of any two atoms; inf when none are within 9 Å."""
    return min(closest_distances(structures).values(), default=np.inf)


def nearest_neighbour_mean(structures: Structures) -> float:
    """Return the mean distance in Å from an atom to its nearest neighbour.

    Atoms without a neighbour within 9 Å are left out.

    Raises
    ------
    ValueError
        If no atom has a neighbour.
    """
    nearest = nearest_neighbours(structures, NEIGHBOUR_REACH)
    nearest = nearest[np.isfinite(nearest)]
    if nearest.size == 0:
        raise ValueError(f"no atom has a neighbour within {NEIGHBOUR_REACH:g} Å; check the data")
    return float(nearest.mean())
