"""Sums over the triplets of one structure."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from symreg.fit.forces.pairs import VOIGT

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@njit(cache=True, nogil=True, error_model="numpy")
def cosines(unit: Floats, first: Integers, second: Integers) -> Floats:
    """Cosines between the directions (P, 3) of two pairs each, between -1 and 1, shape (T,)."""
    cosine = np.empty(first.size)
    for t in range(first.size):
        u, v = unit[first[t]], unit[second[t]]
        cosine[t] = min(1.0, max(-1.0, u[0] * v[0] + u[1] * v[1] + u[2] * v[2]))
    return cosine


@njit(cache=True, nogil=True, error_model="numpy")
def fade_triplets(
    first: Integers,
    second: Integers,
    fade: Floats,
    fade_slope: Floats,
    psi: Floats,
    slopes: Floats,
) -> None:
    """Multiply a three-body function with f_c of both distances, in place.

    Parameters
    ----------
    first, second
        Both pairs of each triplet, shape (T,).
    fade, fade_slope
        f_c and its derivative in 1/Å at each pair, shape (P,).
    psi, slopes
        Values, shape (T,), and derivatives by both distances and by the cosine, shape (3, T).
    """
    for t in range(first.size):
        one, two = fade[first[t]], fade[second[t]]
        slopes[0, t] = (slopes[0, t] * one + psi[t] * fade_slope[first[t]]) * two
        slopes[1, t] = (slopes[1, t] * two + psi[t] * fade_slope[second[t]]) * one
        slopes[2, t] *= one * two
        psi[t] *= one * two


@njit(cache=True, nogil=True, error_model="numpy")
def add_triplet_observables(
    i: Integers,
    j: Integers,
    r: Floats,
    unit: Floats,
    first: Integers,
    second: Integers,
    cosine: Floats,
    psi: Floats,
    slopes: Floats,
    energies: Floats,
    forces: Floats,
    virial: Floats,
) -> None:
    """Add the energies, forces and virial of one three-body term over triplets.

    ``i``, ``j``, ``r``, ``unit`` are of the P pairs; ``first``, ``second`` and ``cosine`` of the T
    triplets. ``psi`` in eV, shape (T,), has ``slopes`` (3, T) by both distances and the cosine.
    ``energies`` has shape (N,), ``forces`` (N, 3), ``virial`` (N, 6); the first and the last are
    per central atom.
    """
    on_j, on_k = np.empty(3), np.empty(3)
    for t in range(first.size):
        p, q = first[t], second[t]
        centre = i[p]
        energies[centre] += psi[t]
        for a in range(3):
            u, v = unit[p, a], unit[q, a]
            # Along the line of a collinear triplet both brackets vanish: no division by a sine.
            on_j[a] = -slopes[0, t] * u - slopes[2, t] * (v - cosine[t] * u) / r[p]
            on_k[a] = -slopes[1, t] * v - slopes[2, t] * (u - cosine[t] * v) / r[q]
            forces[j[p], a] += on_j[a]
            forces[j[q], a] += on_k[a]
            forces[centre, a] -= on_j[a] + on_k[a]
        for n in range(6):
            a, b = VOIGT[n]
            virial[centre, n] -= r[p] * unit[p, a] * on_j[b] + r[q] * unit[q, a] * on_k[b]
