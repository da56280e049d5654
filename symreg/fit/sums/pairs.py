"""Sums over pairs: f(x) f_c(r) over the neighbours of an atom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from symreg.arrays import Booleans, Floats, Integers
from symreg.fit.forces import add_function, add_pairs, end_of_centre
from symreg.fit.grid import chebyshev_coefficients, chebyshev_nodes, relative_tail
from symreg.fit.programs.batch import encoded
from symreg.fit.programs.elementary import FASTMATH
from symreg.fit.programs.evaluation import differentiate
from symreg.fit.sums.base import (
    Addends,
    Around,
    Parts,
    Selection,
    SumKind,
    SumRows,
    Variants,
    alike,
    felt,
    rounded,
    run,
)
from symreg.fit.sums.pair_grid import PairGrid, directed
from symreg.language import Tree
from symreg.structures.neighbours import Pairs
from symreg.terms.cutoff import Cutoff
from symreg.terms.wall import Wall

TAIL_ALLOWED = 1e-6
"""A function with a larger relative tail is not what its node values say."""
TABLE = 512
"""Points of the table in which pairs look up the slopes of what is summed."""


class PairAddends(Addends):
    """Addends of pairs."""

    def __init__(self, pairs: Pairs, value: Floats, slope: Floats) -> None:
        self.centre, self.value = pairs.i, value
        self.pairs = pairs
        """Pairs in both directions, whichever atom is a centre."""
        self.slope = slope
        """In 1/Å, or eV/Å where it stands alone, shape (A,)."""

    def add_forces(self, weight: Floats, forces: Floats, virial: Floats) -> None:
        """Each pair is i -> j and j -> i, and both atoms feel it."""
        pairs = self.pairs
        pull = felt(weight[pairs.i] + weight[pairs.j], self.slope)[:, None]
        none, owner = np.empty((0, 1)), np.arange(weight.size)
        add_pairs(pairs.i, pairs.r, pairs.unit, owner, pull, pull, none, forces, virial)


class PairKind(SumKind):
    """Sums over pairs of one centre, or half of a function of each pair where they stand alone."""

    grid_type = PairGrid

    @property
    def reach(self) -> float:
        """The cutoff radius of pairs in Å."""
        return self.lengths.cutoff.r_cut

    def function(self, tree: Tree, x: Floats) -> tuple[Floats, Floats]:
        """Values of what is summed, without cutoff function, and slopes by x, shape (P,)."""
        values, slopes = run(tree, x)
        return values, slopes[0]

    def addends(
        self, parts: Parts, species: Sequence[int], around: Around, alone: bool
    ) -> Iterator[Addends]:
        """All pairs in one go."""
        pairs, forth = around.kept(
            (self, "between", *species), lambda: self._between(around, species)
        )
        if alone:
            fades = around.kept(
                (self, "wall", *species), lambda: self._fades(self._inside(pairs.r))
            )
            value, slope = self.walled(parts, pairs.r, fades)
            yield PairAddends(pairs, 0.5 * value, 0.5 * slope)
        else:
            distance, rest, *fade = around.kept(
                (self, "rest", *species), lambda: self._rest(pairs.r)
            )
            value, slope = self.faded(parts, distance, fade)
            yield PairAddends(pairs, forth * value, slope * rest)

    def totals(self, parts: Parts, species: Sequence[int], around: Around, alone: bool) -> Floats:
        """Equal distances from one centre are evaluated once."""
        centre, r, count, fades = around.kept(
            (self, "shells", alone, *species), lambda: self._shells(around, species, alone)
        )
        value = 0.5 * self.walled(parts, r, fades)[0] if alone else self.faded(parts, r, fades)[0]
        return np.asarray(np.bincount(centre, count * value, around.kind.size))

    def _shells(
        self, around: Around, species: Sequence[int], alone: bool
    ) -> tuple[Integers, Floats, Integers, tuple[Floats, Floats]]:
        """Centres, distances as functions see them, how many there are, and f_c with its slope."""
        pairs, forth = self._between(around, species)
        if not alone:
            pairs = pairs.subset(forth)
        first, _, count = alike(pairs.i, rounded(pairs.r))
        r = pairs.r[first]
        if not alone:
            r = self.lengths.at_rest(r)[0]
        return pairs.i[first], r, count, self._fades(self._inside(r) if alone else r)

    def _between(self, around: Around, species: Sequence[int]) -> tuple[Pairs, Booleans]:
        """Pairs of two species in both directions, and which of them lead from the first."""
        forth, back = directed(around, species, self.reach)
        return around.pairs.subset(forth | back), forth[forth | back]

    def _inside(self, r: Floats) -> Floats:
        """Distances in Å at which functions are evaluated that stand alone."""
        return np.maximum(r, self.lengths.r_lo)

    def _rest(self, r: Floats) -> tuple[Floats, ...]:
        """Distances that functions of sums see, their slopes, and f_c with its slope there."""
        distance, rest = self.lengths.at_rest(r)
        return distance, rest, *self._fades(distance)

    def _fades(self, r: Floats) -> tuple[Floats, Floats]:
        """The cutoff function and its slope in 1/Å at distances ``r`` in Å."""
        cutoff = self.lengths.cutoff
        return cutoff.value(r), cutoff.slope(r)

    def faded(
        self, parts: Parts, r: Floats, fades: Sequence[Floats] | None = None
    ) -> tuple[Floats, Floats]:
        """Weighted functions times f_c and their slopes in 1/Å at distances ``r`` in Å.

        ``fades`` are f_c and its slope there, if they are known.
        """
        lengths = self.lengths
        fade, fade_slope = self._fades(r) if fades is None else fades
        total, change = np.zeros_like(r), np.zeros_like(r)
        for tree, weight in parts:
            value, slope = self.function(tree, r / lengths.r0)
            total += weight * value * fade
            change += weight * (slope / lengths.r0 * fade + value * fade_slope)
        return total, change

    def walled(
        self, parts: Parts, r: Floats, fades: Sequence[Floats] | None = None
    ) -> tuple[Floats, Floats]:
        """Energies in eV and slopes in eV/Å at distances ``r`` in Å, with the wall below r_lo."""
        r_lo = self.lengths.r_lo
        below = r < r_lo
        value, slope = self.faded(parts, self._inside(r), fades)
        if below.any():
            wall = self._wall(parts)
            value[below], slope[below] = (wall.derivative(r[below], n) for n in (0, 1))
        return value, slope

    def _wall(self, parts: Parts) -> Wall:
        """The wall below ``r_lo``; higher derivatives there are differences of slopes."""
        r_lo = self.lengths.r_lo
        step = 1e-3 * r_lo
        value, slope = self.faded(parts, r_lo + step * np.array([-1.0, 0.0, 1.0]))
        second = (slope[2] - slope[0]) / (2 * step)
        third = (slope[2] - 2 * slope[1] + slope[0]) / step**2
        if not np.isfinite([value[1], slope[1], second, third]).all():
            return Wall("core", r_lo, (np.nan,) * 5)
        return Wall.join(r_lo, float(value[1]), float(slope[1]), float(second), float(third))

    def rows(self, chosen: Selection, species: Sequence[int]) -> SumRows:
        """By values on nodes."""
        return PairRows(self, chosen, species)


class PairRows(SumRows):
    """Sums over pairs on rows of labels, linear in the values of their function on M nodes.

    They are around the C atoms of the first of the ``species``, over neighbours of the second.
    """

    def __init__(self, kind: PairKind, chosen: Selection, species: Sequence[int]) -> None:
        self.kind, self.chosen = kind, chosen
        cutoff, low, m = kind.lengths.cutoff, kind.lengths.r_lo, chosen.n_nodes
        self.centres = np.flatnonzero(chosen.kind == species[0])
        self.nodes = chebyshev_nodes(m, low, cutoff.r_cut)
        self.x = self.nodes / kind.lengths.r0
        coefficients = chebyshev_coefficients(m)
        matrices = []
        atoms = np.split(chosen.kind, chosen.start[1:-1])
        for kinds, every in zip(atoms, chosen.pairs(cutoff.r_cut), strict=True):
            forth, _ = directed(Around(every, kinds), species, cutoff.r_cut)
            pairs, sums = every.subset(forth), np.zeros((kinds.size, m))
            _add_polynomials(pairs.i, pairs.r, cutoff.value(pairs.r), low, cutoff.r_cut, sums)
            matrices.append(sums[kinds == species[0]] @ coefficients)
        self.matrix = np.concatenate(matrices)
        """From node values to the sums of every centre, shape (C, M)."""
        between = partial(_both_ways, species, cutoff.r_cut)
        pairs = chosen.joined(cutoff.r_cut, of=chosen.wanted, chosen=between)
        self.pairs = _placed(pairs, low, (cutoff.r_cut - low) / (TABLE - 1))
        self.table = _slopes(low, cutoff, m)
        """From node values to slopes with f_c at the points of a table, shape (TABLE, M)."""

    def node_values(self, variants: Variants) -> Floats:
        """Values of what is summed on the nodes, shape (D, M); linear in moved constants."""
        tree, x = encoded(variants.shape), self.x[None, :]
        value, slopes = differentiate(*tree, variants.own(), x, True)
        nodes = np.repeat(value[None, :], len(variants.constants), axis=0)
        if variants.steps.size:
            for k, slope in zip(variants.used, slopes, strict=True):
                nodes[1 + k] += variants.steps[k] * slope
        return nodes

    def sums(self, variants: Variants) -> tuple[Floats, Any]:
        """Of every atom, zero for those that are no centres, by one product of matrices."""
        nodes = self.node_values(variants)
        sums = np.zeros((len(nodes), self.chosen.kind.size))
        sums[:, self.centres] = nodes @ self.matrix.T
        return sums, nodes

    def add_forces(self, state: Any, by_sum: Floats, forces: Floats, virial: Floats) -> None:
        """By slopes from a table."""
        _add_pulls(self.pairs, self.chosen.owner, state @ self.table.T, by_sum, forces, virial)

    def resolved(self, variants: Variants) -> bool:
        """By the tail of its Chebyshev coefficients."""
        return relative_tail(self.node_values(variants)[0]) <= TAIL_ALLOWED

    def dimers(self, variants: Variants) -> Floats:
        """Zero, then what a neighbour at each of the nodes adds."""
        values = self.node_values(variants) * self.kind.lengths.cutoff.value(self.nodes)
        return np.concatenate([np.zeros((len(values), 1)), values], axis=1)


def _both_ways(species: Sequence[int], reach: float, around: Around) -> Pairs:
    """Pairs of two species closer than ``reach`` in Å, in both directions."""
    if around.kind.size and (around.kind == species[0]).all() and species[0] == species[1]:
        return around.pairs  # no copy of what may be large
    return around.pairs.subset(np.logical_or(*directed(around, species, reach)))


@njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
def _add_polynomials(
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


class Placed(NamedTuple):
    """Directed pairs of N atoms, with their places in a table."""

    i: Integers
    """Centre, shape (P,)."""
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


def _placed(pairs: Pairs, low: float, step: float) -> Placed:
    """Place pairs in a table that begins at ``low`` with a spacing of ``step``, both in Å."""
    place = (pairs.r - low) / step
    at = np.clip(place.astype(np.int64), 1, TABLE - 3)
    t = place - at
    w0, w1 = -t * (t - 1) * (t - 2) / 6, (t + 1) * (t - 1) * (t - 2) / 2
    w2, w3 = -(t + 1) * t * (t - 2) / 2, (t + 1) * t * (t - 1) / 6
    weight = np.stack([w0, w1, w2, w3], axis=1)
    near = pairs.j.astype(np.uint32), (at - 1).astype(np.uint32)
    return Placed(pairs.i, *near, weight, pairs.unit, pairs.r)


@njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
def _add_pulls(
    pairs: Placed, owner: Integers, table: Floats, by_sum: Floats, forces: Floats, virial: Floats
) -> None:
    """Add forces (N, 3, D) and virials (S', 6, D) of D variants of a function of a sum.

    ``table`` holds slopes of what is summed in 1/Å, shape (D, T), ``by_sum`` the derivatives by the
    sum of every atom, shape (D, N).
    """
    first, pull = 0, np.empty(pairs.r.size)
    while first < pairs.r.size:
        centre, last = pairs.i[first], end_of_centre(pairs.i, first)
        for d in range(table.shape[0]):
            here = by_sum[d, centre]
            for p in range(first, last):
                b = pairs.at[p]
                slope = pairs.weight[p, 0] * table[d, b]
                slope += pairs.weight[p, 1] * table[d, b + np.uint32(1)]
                slope += pairs.weight[p, 2] * table[d, b + np.uint32(2)]
                slope += pairs.weight[p, 3] * table[d, b + np.uint32(3)]
                pull[p - first] = slope * (here + by_sum[d, pairs.j[p]])
            add_function(
                first, last, centre, owner[centre], pairs.r, pairs.unit, pull, d, forces, virial
            )
        first = last


def _slopes(low: float, cutoff: Cutoff, m: int) -> Floats:
    """From node values to slopes with f_c in 1/Å at the points of the table, shape (TABLE, M)."""
    high = cutoff.r_cut
    r = np.linspace(low, high, TABLE)
    s, coefficients = 2.0 * (r - low) / (high - low) - 1.0, chebyshev_coefficients(m)
    value = chebyshev.chebvander(s, m - 1) @ coefficients
    change = chebyshev.chebval(s, chebyshev.chebder(coefficients, axis=0)).T * 2.0 / (high - low)
    # At the cutoff itself f_c is that of the inside, or a truncated one would end a point early.
    inside = np.minimum(r, np.nextafter(high, 0.0))[:, None]
    return np.asarray(change * cutoff.value(inside) + value * cutoff.slope(inside))
