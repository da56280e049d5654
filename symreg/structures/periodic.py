"""Search for atoms near each other, periodic images included, in shapes that a search survives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from vesin import NeighborList

MOST_NEIGHBOURS = 20_000
"""Neighbours per atom, as estimated from the density, beyond which a search is refused."""
FARTHEST = 1e9
"""Coordinate in Å beyond which a position has lost the digits that a force needs."""
LONG = 100.0
"""Extent in cutoffs along an open direction from which gaps are closed before the search."""
MOST_CELLS = 90_000
"""Cells of the size of the cutoff into which vesin divides an elongated box without failing."""
FLAT = 1e-6
"""Volume of a cell over that of a box of the same edges below which its vectors are parallel."""


def image_search(
    positions: NDArray[np.float64],
    cell: NDArray[np.float64],
    pbc: NDArray[np.bool_],
    radius: float,
    quantities: str,
    *,
    full: bool,
) -> tuple[NDArray[Any], ...]:
    """Find the pairs of atoms closer than a radius.

    Atoms may be far apart: gaps along directions that do not repeat, which no pair can span, are
    closed first.

    Parameters
    ----------
    positions
        Positions in Å, shape (n, 3).
    cell, pbc
        Cell vectors in Å as rows, and whether the structure repeats along each.
    radius
        Largest distance in Å.
    quantities
        Letters of vesin: ``i`` and ``j`` for the atoms, ``d`` for distances, ``D`` for vectors.
    full
        Whether each pair is met as i -> j and as j -> i.

    Raises
    ------
    ValueError
        If a position is not finite or beyond 1e9 Å, the cell is flat, there would be more than
        20,000 neighbours per atom, or the box is too long and narrow for the radius.
    """
    positions, radius = _prepare(positions, cell, pbc, radius)
    # One thread: the order of pairs must not depend on the machine, and workers fill the cores.
    search = NeighborList(cutoff=radius, full_list=full, n_threads=1)
    found = search.compute(positions, cell, pbc, quantities)
    return tuple(a.view(np.int64) if a.dtype == np.uint64 else a for a in found)


def expected_neighbours(
    positions: NDArray[np.float64],
    cell: NDArray[np.float64],
    pbc: NDArray[np.bool_],
    radius: float,
) -> float:
    """Estimate how many neighbours an atom has within a radius in Å, from the mean density."""
    return _measured(positions, cell, pbc, radius)[2]


def _prepare(
    positions: NDArray[np.float64],
    cell: NDArray[np.float64],
    pbc: NDArray[np.bool_],
    radius: float,
) -> tuple[NDArray[np.float64], float]:
    """Return positions and a radius that give the same pairs, or stop."""
    positions, radius, images, heights = _measured(positions, cell, pbc, radius)
    _refuse_crowds(images, radius)
    _refuse_needles(heights, radius)
    return positions, radius


def _measured(
    positions: NDArray[np.float64],
    cell: NDArray[np.float64],
    pbc: NDArray[np.bool_],
    radius: float,
) -> tuple[NDArray[np.float64], float, float, NDArray[np.float64]]:
    """Return positions and a radius that give the same pairs, neighbours per atom, and heights."""
    if not (np.abs(positions) <= FARTHEST).all():
        atom = int(np.argmin((np.abs(positions) <= FARTHEST).all(axis=1)))
        raise ValueError(
            f"atom {atom} is at {positions[atom]} Å; coordinates must be finite and within "
            f"{FARTHEST:g} Å"
        )
    heights, volume, normals = _shape(cell[pbc])
    # Zero, one, two or three dimensions of the ball that periodic images fill.
    ball = (1.0, 2 * radius, math.pi * radius**2, 4 / 3 * math.pi * radius**3)[len(heights)]
    images = len(positions) * ball / volume
    if len(normals):
        positions = _close_gaps(positions, normals, radius)
        extent = np.ptp(positions @ normals.T, axis=0) if len(positions) else np.zeros(1)
        if not len(heights):
            radius = min(radius, 1.001 * float(np.linalg.norm(extent)) + 1.0)
        sphere = 4 / 3 * math.pi * radius**3
        images = min(images, len(positions) * sphere / (volume * float(np.prod(extent + 1.0))))
        heights = np.concatenate([heights, extent])
    return positions, radius, images, heights


def _shape(
    vectors: NDArray[np.float64],
) -> tuple[NDArray[np.float64], float, NDArray[np.float64]]:
    """Return heights of the periodic cell, its volume, area or length, and the open directions."""
    rank = len(vectors)
    left, size, right = np.linalg.svd(np.nan_to_num(vectors, posinf=0.0, neginf=0.0))
    volume = float(np.prod(size))
    if not volume > FLAT * float(np.prod(np.linalg.norm(vectors, axis=1))):
        raise ValueError(
            f"the structure repeats along {rank} directions, but those cell vectors are zero, "
            "parallel or not finite; give the whole cell, or set pbc to F there"
        )
    reciprocal = (right[:rank].T / size) @ left.T
    return 1 / np.linalg.norm(reciprocal, axis=0), volume, right[rank:]


def _close_gaps(
    positions: NDArray[np.float64], normals: NDArray[np.float64], radius: float
) -> NDArray[np.float64]:
    """Bring parts that no pair connects along an open direction to twice the radius."""
    for normal in normals:
        along = positions @ normal
        if len(along) and np.ptp(along) > LONG * radius:
            order = np.argsort(along, kind="stable")
            excess = np.maximum(np.diff(along[order]) - 2 * radius, 0)
            shift = np.empty(len(along))
            shift[order] = along[order[0]] + np.concatenate([[0], np.cumsum(excess)])
            positions = positions - shift[:, None] * normal
    return positions


def _refuse_crowds(neighbours: float, radius: float) -> None:
    """Stop before a search that would not end."""
    if neighbours > MOST_NEIGHBOURS:
        raise ValueError(
            f"within {radius:g} Å an atom has some {neighbours:.3g} neighbours; at most "
            f"{MOST_NEIGHBOURS} are allowed, so choose a smaller cutoff (r_cut), or look whether "
            "the cell is as large as it should be"
        )


def _refuse_needles(lengths: NDArray[np.float64], radius: float) -> None:
    """Stop at a box so long and narrow that dividing it leaves no cells across."""
    cells = np.maximum(lengths / radius, 1.0)
    if cells.prod() > MOST_CELLS * cells.min() ** 3:
        raise ValueError(
            f"the structure is {lengths.max():.4g} Å long and {lengths.min():.4g} Å wide, too "
            f"long and narrow for a search within {radius:g} Å; split it into parts"
        )
