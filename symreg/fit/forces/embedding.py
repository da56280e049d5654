"""Many-body terms over rows of labels: functions of neighbour sums, and what they do to forces.

Several variants of a term go through every loop: the term itself, and one with each of its
constants moved a little, for derivatives.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from symreg.fit.forces.pairs import VOIGT
from symreg.fit.programs.elementary import FASTMATH
from symreg.fit.programs.evaluation import evaluate_triplets

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
def add_sum_rows(
    i: Integers, r: Floats, fade: Floats, low: float, high: float, rows: Floats
) -> None:
    """Add what every Chebyshev polynomial on [low, high] times f_c sums to at each atom, (N, M)."""
    scale = 2.0 / (high - low)
    m = rows.shape[1]
    value = np.empty(m)
    for p in range(r.size):
        s = (r[p] - low) * scale - 1.0
        value[0], value[1] = 1.0, s
        for n in range(2, m):
            value[n] = 2.0 * s * value[n - 1] - value[n - 2]
        row = rows[i[p]]
        for n in range(m):
            row[n] += value[n] * fade[p]


@njit(cache=True, nogil=True, error_model="numpy")
def embed(code: Integers, arg: Integers, constants: Floats, sums: Floats) -> tuple[Floats, Floats]:
    """Values F (D, N) of D variants and derivatives by the sums (A, D, N).

    Parameters
    ----------
    code, arg
        F with sums in the places of its variables, prefix order.
    constants
        Those of each variant, shape (D, K).
    sums
        Shape (A, D, N).
    """
    n_sums, variants, n = sums.shape
    value, slope = np.empty((variants, n)), np.empty(sums.shape)
    for d in range(variants):
        first, second, third = sums[0, d], sums[min(1, n_sums - 1), d], sums[n_sums - 1, d]
        f, by_sum = evaluate_triplets(code, arg, constants[d], first, second, third, 3)
        for k in range(n):
            value[d, k] = f[k]
        for a in range(n_sums):
            for k in range(n):
                slope[a, d, k] = by_sum[a, k]
    return value, slope


class Neighbours(NamedTuple):
    """Directed pairs of N' atoms, as the loop over them reads them."""

    start: Integers
    """Where the pairs of each centre begin, shape (N' + 1,)."""
    j: NDArray[np.uint32]
    """Neighbour, shape (P,)."""
    at: NDArray[np.uint32]
    """First of the four points of the table that surround the distance, shape (P,)."""
    weight: Floats
    """Weights of these points in a cubic, shape (P, 4)."""
    unit: Floats
    """Direction from the centre to the neighbour, shape (P, 3)."""
    r: Floats
    """Distance in Å, shape (P,)."""


def neighbours(
    start: Integers, j: Integers, r: Floats, unit: Floats, low: float, step: float, points: int
) -> Neighbours:
    """Place pairs in a table that begins at ``low`` with a spacing of ``step``, both in Å."""
    place = (r - low) / step
    at = np.clip(place.astype(np.int64), 1, points - 3)
    t = place - at
    weight = np.stack(
        [
            -t * (t - 1) * (t - 2) / 6,
            (t + 1) * (t - 1) * (t - 2) / 2,
            -(t + 1) * t * (t - 2) / 2,
            (t + 1) * t * (t - 1) / 6,
        ],
        axis=1,
    )
    return Neighbours(start, j.astype(np.uint32), (at - 1).astype(np.uint32), weight, unit, r)


@njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
def add_pulls(
    pairs: Neighbours,
    structure: Integers,
    table: Floats,
    by_sum: Floats,
    forces: Floats,
    virial: Floats,
) -> None:
    """Add forces (D, N', 3) and virials (D, S', 6) of D variants over directed pairs.

    Parameters
    ----------
    pairs
        Those of the atoms that have forces; others have none.
    structure
        That of each atom, shape (N',).
    table
        Slopes of what is summed in 1/Å, shape (A, D, T).
    by_sum
        dF/dS of every atom, shape (A, D, N).
    forces, virial
        Sums; there are virials of the first structures only.
    """
    start, j, at, weight, unit, r = pairs
    n_sums, variants, _ = table.shape
    # One variant after another: the pairs of an atom stay in the cache, the sums in registers.
    for i in range(start.size - 1):
        s = structure[i]
        for d in range(variants):
            x = y = z = xx = yy = zz = yz = xz = xy = 0.0
            for a in range(n_sums):
                here = by_sum[a, d, i]
                for p in range(start[i], start[i + 1]):
                    b = at[p]
                    slope = weight[p, 0] * table[a, d, b]
                    slope += weight[p, 1] * table[a, d, b + np.uint32(1)]
                    slope += weight[p, 2] * table[a, d, b + np.uint32(2)]
                    slope += weight[p, 3] * table[a, d, b + np.uint32(3)]
                    pull = slope * (here + by_sum[a, d, j[p]])
                    fx, fy, fz = unit[p, 0] * pull, unit[p, 1] * pull, unit[p, 2] * pull
                    x += fx
                    y += fy
                    z += fz
                    if s < virial.shape[1]:
                        half = 0.5 * r[p]
                        xx += half * unit[p, 0] * fx
                        yy += half * unit[p, 1] * fy
                        zz += half * unit[p, 2] * fz
                        yz += half * unit[p, 1] * fz
                        xz += half * unit[p, 0] * fz
                        xy += half * unit[p, 0] * fy
            forces[d, i, 0] += x
            forces[d, i, 1] += y
            forces[d, i, 2] += z
            if s < virial.shape[1]:
                virial[d, s, 0] += xx
                virial[d, s, 1] += yy
                virial[d, s, 2] += zz
                virial[d, s, 3] += yz
                virial[d, s, 4] += xz
                virial[d, s, 5] += xy


class Bonds(NamedTuple):
    """Directed pairs of N atoms within the reach of triplets."""

    start: Integers
    """Where the pairs of each centre begin, shape (N + 1,)."""
    j: Integers
    """Neighbour, shape (P,)."""
    r: Floats
    """Distance in Å, shape (P,)."""
    unit: Floats
    """Direction from the centre to the neighbour, shape (P, 3)."""
    active: NDArray[np.bool_]
    """Centres whose triplets act on an atom that has forces, or a structure with stresses, (N,)."""


class Bend(NamedTuple):
    """What is summed over every two neighbours: g(r_ij) g(r_ik) p(cos)."""

    g: Floats
    """h(r / r0) f_c(r) at every pair, shape (P,)."""
    g_slope: Floats
    """Its derivative in 1/Å."""
    p: Floats
    """p at evenly spaced cosines from -1 to 1, shape (T,)."""
    p_slope: Floats


@njit(inline="always", error_model="numpy")
def _between(table: Floats, cosine: float) -> float:
    """A function of the cosine by the cubic through four points of its table."""
    place = (cosine + 1.0) * 0.5 * (table.size - 1)
    at = min(max(int(place), 1), table.size - 3)
    t = place - at
    w0, w1 = -t * (t - 1) * (t - 2) / 6, (t + 1) * (t - 1) * (t - 2) * 0.5
    w2, w3 = -(t + 1) * t * (t - 2) * 0.5, (t + 1) * t * (t - 1) / 6
    value: float = w0 * table[at - 1] + w1 * table[at] + w2 * table[at + 1] + w3 * table[at + 2]
    return value


@njit(inline="always", error_model="numpy")
def _cosine(unit: Floats, p: int, q: int) -> float:
    dot: float = unit[p, 0] * unit[q, 0] + unit[p, 1] * unit[q, 1] + unit[p, 2] * unit[q, 2]
    return min(1.0, max(-1.0, dot))


@njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
def bend_sums(bonds: Bonds, bend: Bend, sums: Floats) -> None:
    """Write the sum over every two neighbours of each atom, shape (N,)."""
    start, g = bonds.start, bend.g
    for i in range(sums.size):
        total = 0.0
        for p in range(start[i], start[i + 1]):
            for q in range(p + 1, start[i + 1]):
                total += g[p] * g[q] * _between(bend.p, _cosine(bonds.unit, p, q))
        sums[i] = total


@njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
def add_bends(
    bonds: Bonds,
    bend: Bend,
    structure: Integers,
    by_sum: Floats,
    forces: Floats,
    virial: Floats,
) -> None:
    """Add what a sum over every two neighbours does to forces (N, 3) and virials (S', 6).

    ``by_sum`` is dF/dS of every atom, shape (N,); ``structure`` says where each belongs.
    """
    start, j, r, unit = bonds.start, bonds.j, bonds.r, bonds.unit
    on_j, on_k = np.empty(3), np.empty(3)
    for i in range(by_sum.size):
        if not bonds.active[i]:
            continue
        for p in range(start[i], start[i + 1]):
            for q in range(p + 1, start[i + 1]):
                cosine = _cosine(unit, p, q)
                value = by_sum[i] * _between(bend.p, cosine)
                first = value * bend.g_slope[p] * bend.g[q]
                second = value * bend.g[p] * bend.g_slope[q]
                turn = by_sum[i] * bend.g[p] * bend.g[q] * _between(bend.p_slope, cosine)
                for a in range(3):
                    u, v = unit[p, a], unit[q, a]
                    on_j[a] = -first * u - turn * (v - cosine * u) / r[p]
                    on_k[a] = -second * v - turn * (u - cosine * v) / r[q]
                    forces[j[p], a] += on_j[a]
                    forces[j[q], a] += on_k[a]
                    forces[i, a] -= on_j[a] + on_k[a]
                s = structure[i]
                if s < virial.shape[0]:
                    for n in range(6):
                        a, b = VOIGT[n]
                        virial[s, n] -= r[p] * unit[p, a] * on_j[b] + r[q] * unit[q, a] * on_k[b]
