"""The loop over pairs that fills the rows of the projected design."""

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
def add_design_rows(
    i: Integers,
    r: Floats,
    unit: Floats,
    block: Integers,
    r_lo: Floats,
    r_cut: float,
    weight: Floats,
    slope: Floats,
    energy: Floats,
    forces: Floats,
    virial: Floats,
) -> None:
    """Add what every Chebyshev polynomial times f_c would contribute to one structure.

    Parameters
    ----------
    i, r, unit
        Centre, distance in Å and direction of the directed pairs, shapes (P,), (P,), (P, 3).
    block
        Block of columns of each pair, by its species, shape (P,).
    r_lo, r_cut
        Interval of each block in Å; r_lo has shape (B,).
    weight, slope
        f_c and its derivative in 1/Å, shape (P,).
    energy, forces, virial
        Sums, shapes (B, M), (n, 3, B, M), (6, B, M). The virial is sum of r dphi/dr u u in eV.
    """
    m = energy.shape[1]
    value = np.empty(m)
    derivative = np.empty(m)
    for p in range(r.size):
        b = block[p]
        scale = 2.0 / (r_cut - r_lo[b])
        s = (r[p] - r_lo[b]) * scale - 1.0
        _chebyshev(s, value, derivative)
        for n in range(m):
            change = derivative[n] * scale * weight[p] + value[n] * slope[p]
            energy[b, n] += 0.5 * value[n] * weight[p]
            derivative[n] = change
        for c in range(3):
            row = forces[i[p], c, b]
            for n in range(m):
                row[n] += unit[p, c] * derivative[n]
        for c in range(6):
            factor = 0.5 * r[p] * unit[p, _ROW[c]] * unit[p, _COLUMN[c]]
            row = virial[c, b]
            for n in range(m):
                row[n] += factor * derivative[n]


@njit(cache=True, nogil=True, error_model="numpy")
def _chebyshev(s: float, value: Floats, derivative: Floats) -> None:
    """Chebyshev polynomials T_0 .. T_{M-1} and their derivatives at s."""
    value[0], derivative[0] = 1.0, 0.0
    value[1], derivative[1] = s, 1.0
    for n in range(2, value.size):
        value[n] = 2.0 * s * value[n - 1] - value[n - 2]
        derivative[n] = 2.0 * value[n - 1] + 2.0 * s * derivative[n - 1] - derivative[n - 2]
