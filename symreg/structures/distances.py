"""Periodic search, and the closest distances it finds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symreg.structures.data import Structures
from symreg.structures.periodic import image_search

SEARCH_RADII = (2.5, 4.0, 6.0, 9.0)
"""Radii in Å tried one after the other; atoms further apart than the last do not interact."""
NEAR = 3.5
"""Distance in Å within which most atoms have a neighbour."""
OVERLAP = 0.1
"""Distance in Å below which two atoms stand in one place by mistake."""
VACUUM = 6.0
"""Distance in Å without a neighbour that makes an atom an isolated one."""


def closest_pairs(
    structures: Structures, farthest: float = SEARCH_RADII[-1]
) -> dict[tuple[str, str], tuple[float, int, int, int]]:
    """Find the closest two atoms of each pair of elements.

    Returns
    -------
    For each sorted pair of symbols that occurs within ``farthest`` (Å): distance in Å, structure,
    and the two atoms, numbered within the structure.
    """
    names = list(itertools.combinations_with_replacement(structures.species, 2))
    present = np.array(
        [
            np.isin(np.arange(len(structures.species)), structures.kind[a])
            for a in map(structures.atoms_of, range(len(structures)))
        ]
    )
    closest: dict[tuple[str, str], tuple[float, int, int, int]] = {}
    for radius in [r for r in SEARCH_RADII if r < farthest] + [farthest]:
        missing = [n for n in names if n not in closest]
        lookup = [tuple(structures.species.index(x) for x in n) for n in missing]
        for s in range(len(structures)):
            if not any(present[s, a] and present[s, b] for a, b in lookup):
                continue
            for pair, d, i, j in _closest_in(structures, s, radius):
                # A later, larger radius cannot beat a pair that an earlier one has found.
                if pair in missing and d < closest.get(pair, (np.inf,))[0]:
                    closest[pair] = (d, s, i, j)
    return dict(sorted(closest.items()))


def closest_distances(
    structures: Structures, farthest: float = SEARCH_RADII[-1]
) -> dict[tuple[str, str], float]:
    """Return the smallest distance in Å of each pair of elements that occurs within ``farthest``.

    That is 9 Å, where elements count as never meeting, unless a longer cutoff needs more.
    """
    return {pair: found[0] for pair, found in closest_pairs(structures, farthest).items()}


def nearest_neighbours(structures: Structures, farthest: float) -> NDArray[np.float64]:
    """Return each atom's distance in Å to its nearest neighbour, inf beyond ``farthest``, (N,)."""
    nearest = np.full(structures.kind.size, np.inf)
    for s in range(len(structures)):
        of_atom = nearest[structures.atoms_of(s)]
        for radius in [r for r in SEARCH_RADII if r < farthest] + [farthest]:
            i, d = search(structures, s, radius, "id", full=True)
            np.minimum.at(of_atom, i, d)
            if np.isfinite(of_atom).all():
                break
    return nearest


def nearest_of_each_kind(structures: Structures, s: int, r_cut: float) -> NDArray[np.float64]:
    """Distances in Å from each atom to its nearest neighbour of each element, (n, species).

    They are inf beyond 9 Å, or beyond ``r_cut`` where that is longer.
    """
    kind = structures.kind[structures.atoms_of(s)]
    nearest = np.full((kind.size, len(structures.species)), np.inf)
    present = np.unique(kind)
    for radius in (NEAR, VACUUM, max(SEARCH_RADII[-1], r_cut)):
        i, j, d = search(structures, s, radius, "ijd", full=True)
        np.minimum.at(nearest, (i, kind[j]), d)
        if np.isfinite(nearest[:, present]).all():
            break
    return nearest


def isolated_atoms(structures: Structures) -> NDArray[np.bool_]:
    """Tell which structures are one atom without a neighbour within 6 Å, images included, (S,)."""
    lone = np.zeros(len(structures), dtype=bool)
    for s in np.flatnonzero(structures.n_atoms == 1):
        lone[s] = search(structures, int(s), VACUUM, "i", full=True)[0].size == 0
    return lone


def search(
    structures: Structures, s: int, radius: float, quantities: str, *, full: bool
) -> tuple[NDArray[Any], ...]:
    """Run ``image_search`` in structure ``s``."""
    atoms = structures.atoms_of(s)
    cell, pbc = structures.cell[s], structures.pbc[s]
    return image_search(structures.positions[atoms], cell, pbc, radius, quantities, full=full)


def _closest_in(
    structures: Structures, s: int, radius: float
) -> Iterator[tuple[tuple[str, str], float, int, int]]:
    """Yield the closest two atoms of each pair of elements in structure ``s``."""
    i, j, d = search(structures, s, radius, "ijd", full=False)
    kind = structures.kind[structures.atoms_of(s)]
    ends = np.sort(np.stack([kind[i], kind[j]]), axis=0)
    pair_number = ends[0] * len(structures.species) + ends[1]
    order = np.argsort(d, kind="stable")
    _, first = np.unique(pair_number[order], return_index=True)
    for p in order[first]:
        a, b = (structures.species[k] for k in ends[:, p])
        yield (a, b), float(d[p]), int(i[p]), int(j[p])
