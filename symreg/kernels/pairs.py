"""Sums over the pairs of one structure."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# Voigt order of ASE: xx yy zz yz xz xy.
_ROW = np.array([0, 1, 2, 1, 0, 0])
_COLUMN = np.array([0, 1, 2, 2, 2, 1])


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
            virial[i[p], c] += 0.5 * r[p] * dphi_dr[p] * unit[p, _ROW[c]] * unit[p, _COLUMN[c]]
