"""Forces and virials from slopes: one assembly for pairs, one for triplets.

Arrays hold D functions side by side, last: the columns of a design, variants of a candidate, or one
formula. Forces have shape (N, 3, D), virials (S, 6, D) in ASE's order xx yy zz yz xz xy; ``owner``
says to which of the S rows of energies and virials an atom belongs; beyond the last it has none.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from symreg.arrays import Floats, Integers

_ROW = np.array([0, 1, 2, 1, 0, 0])
_COLUMN = np.array([0, 1, 2, 2, 2, 1])
WIDE = 7
"""Functions from which on a loop over them pays."""


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def add_pairs(
    i: Integers,
    r: Floats,
    unit: Floats,
    owner: Integers,
    value: Floats,
    slope: Floats,
    energies: Floats,
    forces: Floats,
    virial: Floats,
) -> None:
    """Add energies (S', D), forces (N, 3, D) and virials (S, 6, D) of functions of a distance.

    Each of P directed pairs, there from both of its atoms, has a distance in Å and a direction
    (P, 3); it adds a value in eV to its centre, which feels its slope in eV/Å, shapes (P, D).
    """
    width, first = slope.shape[1], 0
    pull = np.empty(r.size if width < WIDE else 0)
    while first < r.size:
        centre, last = i[first], end_of_centre(i, first)
        row = owner[centre]
        if row < energies.shape[0]:
            for p in range(first, last):
                for d in range(width):
                    energies[row, d] += value[p, d]
        if width < WIDE:
            for d in range(width):
                for p in range(first, last):
                    pull[p - first] = slope[p, d]
                add_function(first, last, centre, row, r, unit, pull, d, forces, virial)
        else:
            _add_many(first, last, centre, row, r, unit, slope, forces, virial)
        first = last


@njit(inline="always", error_model="numpy")
def end_of_centre(i: Integers, first: int) -> int:
    """Where the pairs of the centre of pair ``first`` end, which stand together."""
    last = first + 1
    while last < i.size and i[last] == i[first]:
        last += 1
    return last


@njit(inline="always", error_model="numpy")
def add_function(
    first: int,
    last: int,
    centre: int,
    row: int,
    r: Floats,
    unit: Floats,
    pull: Floats,
    d: int,
    forces: Floats,
    virial: Floats,
) -> None:
    """Add forces and virials of function ``d`` for the pairs of a centre, its slopes in ``pull``.

    Sums stay in registers: for few functions that is faster than a loop over them.
    """
    x = y = z = xx = yy = zz = yz = xz = xy = 0.0
    for p in range(first, last):
        u, v, w, f = unit[p, 0], unit[p, 1], unit[p, 2], pull[p - first]
        x += u * f
        y += v * f
        z += w * f
        if row < virial.shape[0]:
            half = 0.5 * r[p] * f
            xx += half * u * u
            yy += half * v * v
            zz += half * w * w
            yz += half * v * w
            xz += half * u * w
            xy += half * u * v
    for c, force in enumerate((x, y, z)):
        forces[centre, c, d] += force
    if row < virial.shape[0]:
        for n, work in enumerate((xx, yy, zz, yz, xz, xy)):
            virial[row, n, d] += work


@njit(inline="always", error_model="numpy")
def _add_many(
    first: int,
    last: int,
    centre: int,
    row: int,
    r: Floats,
    unit: Floats,
    slope: Floats,
    forces: Floats,
    virial: Floats,
) -> None:
    """Add forces and virials of the pairs of a centre, all functions side by side."""
    for p in range(first, last):
        for c in range(3):
            for d in range(slope.shape[1]):
                forces[centre, c, d] += unit[p, c] * slope[p, d]
        if row < virial.shape[0]:
            for n in range(6):
                factor = 0.5 * r[p] * unit[p, _ROW[n]] * unit[p, _COLUMN[n]]
                for d in range(slope.shape[1]):
                    virial[row, n, d] += factor * slope[p, d]


@njit(inline="always", error_model="numpy")
def cosine_between(unit: Floats, p: int, q: int) -> float:
    """Cosine between the directions of two pairs; rounding must not push it out of its domain."""
    dot: float = unit[p, 0] * unit[q, 0] + unit[p, 1] * unit[q, 1] + unit[p, 2] * unit[q, 2]
    return min(1.0, max(-1.0, dot))


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def add_triplet(
    i: int,
    j: int,
    k: int,
    u: Floats,
    v: Floats,
    r1: float,
    r2: float,
    cosine: float,
    slopes: Floats,
    forces: Floats,
    virial: Floats,
    pulls: Floats,
) -> None:
    """Add forces (N, 3, D) and virials (6, D) of functions of one triplet j <- i -> k.

    Directions u, v (3,) and distances in Å are those of j and k from i; slopes (3, D) are by both
    distances in eV/Å and by the cosine. Without a virial its shape is (0, D). ``pulls`` is scratch,
    shape (2, 3, D).
    """
    first, second, turn = slopes[0], slopes[1], slopes[2]
    for x in range(3):
        # Along the line of a collinear triplet both brackets vanish: no division by a sine.
        bend_j, bend_k = (v[x] - cosine * u[x]) / r1, (u[x] - cosine * v[x]) / r2
        pull_j, pull_k = pulls[0, x], pulls[1, x]
        on_i, on_j, on_k = forces[i, x], forces[j, x], forces[k, x]
        for d in range(first.size):
            pull_j[d] = first[d] * u[x] + turn[d] * bend_j
            pull_k[d] = second[d] * v[x] + turn[d] * bend_k
        for d in range(first.size):
            on_j[d] -= pull_j[d]
            on_k[d] -= pull_k[d]
            on_i[d] += pull_j[d] + pull_k[d]
    for n in range(virial.shape[0]):
        a, b = _ROW[n], _COLUMN[n]
        row = virial[n]
        for d in range(first.size):
            row[d] += r1 * u[a] * pulls[0, b, d] + r2 * v[a] * pulls[1, b, d]


@njit(cache=True, nogil=True, error_model="numpy")
def cosines(unit: Floats, first: Integers, second: Integers) -> Floats:
    """Cosines between the directions (P, 3) of two pairs each, shape (T,)."""
    cosine = np.empty(first.size)
    for t in range(first.size):
        cosine[t] = cosine_between(unit, first[t], second[t])
    return cosine


@njit(cache=True, nogil=True, error_model="numpy")
def add_triplets(
    i: Integers,
    j: Integers,
    r: Floats,
    unit: Floats,
    first: Integers,
    second: Integers,
    cosine: Floats,
    slopes: Floats,
    forces: Floats,
    virial: Floats,
) -> None:
    """Add forces (N, 3, 1) and virials (N, 6, 1), at the centres, of one function of T triplets.

    Each is two pairs, whose cosines have shape (T,), slopes (T, 3); all as for ``add_triplet``.
    """
    pulls, by = np.empty((2, 3, 1)), np.empty((3, 1))
    for t in range(first.size):
        p, q = first[t], second[t]
        for n in range(3):
            by[n, 0] = slopes[t, n]
        add_triplet(
            i[p], j[p], j[q], unit[p], unit[q], r[p], r[q], cosine[t], by,
            forces, virial[i[p]], pulls,
        )  # fmt: skip
