"""Sums over the pairs of one structure."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
"""Row and column of each component of a tensor, in ASE's order."""


@njit(cache=True, nogil=True, error_model="numpy")
def add_pair_observables(
    i: Integers,
    r: Floats,
    unit: Floats,
    phi: Floats,
    dphi_dr: Floats,
    energies: Floats,
    forces: Floats,
    virial: Floats,
) -> None:
    """Add the energies, forces and virial of one pair term over directed pairs.

    ``energies`` has shape (N,), ``forces`` (N, 3), ``virial`` (N, 6), all per central atom.
    """
    for p in range(r.size):
        energies[i[p]] += 0.5 * phi[p]
        for c in range(3):
            forces[i[p], c] += unit[p, c] * dphi_dr[p]
        for c in range(6):
            a, b = VOIGT[c]
            virial[i[p], c] += 0.5 * r[p] * dphi_dr[p] * unit[p, a] * unit[p, b]
