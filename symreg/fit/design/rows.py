"""The loops over pairs and triplets that fill the rows of the projected design."""

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


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def add_triplet_rows(
    start: Integers,
    j: Integers,
    r: Floats,
    unit: Floats,
    radial: Floats,
    slope: Floats,
    n_angular: int,
    energy: Floats,
    forces: Floats,
    virial: Floats,
) -> None:
    """Add what every symmetric three-body basis function would contribute to one structure.

    The functions are [g_a(r_ij) g_b(r_ik) + g_b(r_ij) g_a(r_ik)] T_c(cos theta_jik) for a < b, and
    g_a(r_ij) g_a(r_ik) T_c for a = b, with g_a a Chebyshev polynomial times f_c. Triplets are
    formed here, each unordered pair of neighbours once, and never stored.

    Parameters
    ----------
    start
        Where the pairs of each centre begin, shape (n + 1,).
    j, r, unit
        Neighbour, distance in Å and direction of the directed pairs, shapes (P,), (P,), (P, 3).
    radial, slope
        g_a and its derivative in 1/Å at each pair, shape (P, A).
    n_angular
        Number of angular polynomials, C.
    energy, forces, virial
        Sums, shapes (K,), (n, 3, K), (6, K) with K = A (A + 1) / 2 * C.
    """
    size = energy.size
    by_first, by_second, by_cosine = np.empty(size), np.empty(size), np.empty(size)
    pull_j, pull_k = np.empty((3, size)), np.empty((3, size))
    angular, turn = np.empty(n_angular), np.empty(n_angular)
    for i in range(start.size - 1):
        for p in range(start[i], start[i + 1]):
            for q in range(p + 1, start[i + 1]):
                cosine = unit[p, 0] * unit[q, 0] + unit[p, 1] * unit[q, 1] + unit[p, 2] * unit[q, 2]
                cosine = min(1.0, max(-1.0, cosine))
                _chebyshev(cosine, angular, turn)
                _triplet_basis(
                    radial[p], slope[p], radial[q], slope[q], angular, turn,
                    energy, by_first, by_second, by_cosine,
                )  # fmt: skip
                for x in range(3):
                    u, v = unit[p, x], unit[q, x]
                    bend_j, bend_k = (v - cosine * u) / r[p], (u - cosine * v) / r[q]
                    on_i, on_j, on_k = forces[i, x], forces[j[p], x], forces[j[q], x]
                    for n in range(size):
                        pull_j[x, n] = by_first[n] * u + by_cosine[n] * bend_j
                        pull_k[x, n] = by_second[n] * v + by_cosine[n] * bend_k
                    for n in range(size):
                        on_j[n] -= pull_j[x, n]
                        on_k[n] -= pull_k[x, n]
                        on_i[n] += pull_j[x, n] + pull_k[x, n]
                for c in range(6):
                    a, b = _ROW[c], _COLUMN[c]
                    row = virial[c]
                    for n in range(size):
                        row[n] += (
                            r[p] * unit[p, a] * pull_j[b, n] + r[q] * unit[q, a] * pull_k[b, n]
                        )


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def _triplet_basis(
    g1: Floats,
    d1: Floats,
    g2: Floats,
    d2: Floats,
    angular: Floats,
    turn: Floats,
    energy: Floats,
    by_first: Floats,
    by_second: Floats,
    by_cosine: Floats,
) -> None:
    """Add one triplet's energies; write derivatives by both distances and the cosine."""
    column = 0
    for a in range(g1.size):
        for b in range(a, g1.size):
            value, first, second = g1[a] * g2[b], d1[a] * g2[b], g1[a] * d2[b]
            if a != b:
                value += g1[b] * g2[a]
                first += d1[b] * g2[a]
                second += g1[b] * d2[a]
            for c in range(angular.size):
                energy[column + c] += value * angular[c]
                by_first[column + c] = first * angular[c]
                by_second[column + c] = second * angular[c]
                by_cosine[column + c] = value * turn[c]
            column += angular.size
