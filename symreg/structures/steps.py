"""Small steps from one structure to a like one: what forces and stresses foretell of the energy."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from symreg.structures.data import Structures

STILL = 1e-3
"""Displacement in Å that counts as none."""
FAR = 0.5
"""Largest displacement in Å of a step, apart from the strain."""
STRONG = 0.1
"""Largest component of the strain of a step."""
MOST = 4000
"""Steps that are looked at in one portion of the data."""

STEP = np.dtype(
    [
        ("a", np.int64),
        ("b", np.int64),
        ("energy", np.float64),
        ("forces", np.float64),
        ("stress", np.float64),
        ("shift", np.float64),
        ("strain", np.float64),
        ("atoms", np.int64),
    ]
)
"""From structure a to b: change of energy in eV/atom, the changes that forces and stresses foretell
(NaN where they are absent), largest displacement in Å, largest component of the strain, atoms."""


def small_steps(structures: Structures) -> NDArray[np.void]:
    """Find steps between structures that follow each other in their file or in volume."""
    pairs = _alike(structures)
    every = max(1, -(-len(pairs) // MOST))
    found = [_step(structures, a, b) for a, b in pairs[::every]]
    steps = np.array([step for step in found if step is not None], dtype=STEP)
    clear: NDArray[np.void] = steps[np.isfinite(steps["energy"])]
    return clear


def _alike(structures: Structures) -> list[tuple[int, int]]:
    """Return neighbours in file and in volume among structures of like atoms."""
    alike: dict[bytes, list[int]] = {}
    for s in np.flatnonzero(np.isfinite(structures.energy)).tolist():
        kind = structures.kind[structures.atoms_of(s)]
        alike.setdefault(kind.tobytes() + structures.pbc[s].tobytes(), []).append(s)
    volume = structures.volume
    found: set[tuple[int, int]] = set()
    for members in alike.values():
        by_volume = sorted(members, key=lambda s: float(volume[s]))
        found.update(itertools.pairwise(members), itertools.pairwise(by_volume))
    return sorted(found)


def _step(structures: Structures, a: int, b: int) -> tuple[float, ...] | None:
    """Compare two structures of like atoms by the trapezoidal rule; None if they are far apart."""
    atoms_a, atoms_b = structures.atoms_of(a), structures.atoms_of(b)
    cell_a, cell_b = structures.cell[a], structures.cell[b]
    shift = structures.positions[atoms_b] - structures.positions[atoms_a]
    strain = np.zeros((3, 3))
    if structures.pbc[a].all():
        scaled = structures.positions[atoms_b] @ np.linalg.inv(cell_b)
        scaled -= structures.positions[atoms_a] @ np.linalg.inv(cell_a)
        shift = (scaled - np.round(scaled)) @ (0.5 * (cell_a + cell_b))
        gradient = np.linalg.solve(cell_a, cell_b) - np.linalg.solve(cell_b, cell_a)
        strain = 0.25 * (gradient + gradient.T)  # the logarithmic strain, to second order
    elif not np.allclose(cell_a, cell_b):
        return None
    shift -= shift.mean(axis=0)
    largest, strong = float(np.abs(shift).max()), float(np.abs(strain).max())
    if largest > FAR or strong > STRONG:
        return None
    n = len(shift)
    force = structures.forces[atoms_a] + structures.forces[atoms_b]
    virial = np.abs(np.linalg.det(structures.cell[[a, b]])) @ structures.stress[[a, b]]
    # A shear stands twice in the strain tensor and once in the stress of six numbers.
    voigt = strain[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]] * [1, 1, 1, 2, 2, 2]
    still, unstrained = largest < STILL, strong == 0
    return (
        a,
        b,
        float(structures.energy[b] - structures.energy[a]) / n,
        0.0 if still else -0.5 * float((force * shift).sum()) / n,
        0.0 if unstrained else 0.5 * float(virial @ voigt) / n,
        largest,
        strong,
        n,
    )
