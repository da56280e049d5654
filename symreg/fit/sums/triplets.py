"""Sums over triplets: psi(x1, x2, c) f_c(r1) f_c(r2) over every two neighbours of an atom."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from symreg.arrays import Booleans, Floats, Integers
from symreg.fit.forces import add_triplet, add_triplets, cosine_between, cosines
from symreg.fit.grid import chebyshev_nodes, relative_tail
from symreg.fit.programs.elementary import FASTMATH
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
    sides,
)
from symreg.fit.sums.triplet_grid import NODES, TAIL_ALLOWED, TripletGrid
from symreg.language import Tree
from symreg.structures.neighbours import Pairs, triplets
from symreg.terms.cutoff import Cutoff

TripletFunction = Callable[[Integers, Integers, Floats], tuple[Floats, Floats]]

TOGETHER = 20_000
"""Triplets in one go: their arrays then stay in the cache."""
COSINES = np.linspace(-1.0, 1.0, 129)
"""Where functions of the cosine are tabulated."""


@dataclass(eq=False)
class TripletAddends(Addends):
    """Addends of triplets."""

    centre: Integers
    value: Floats
    pairs: Pairs
    first: Integers
    second: Integers
    cosine: Floats
    slopes: Floats
    """By both distances in 1/Å and by the cosine, shape (A, 3)."""

    def add_forces(self, weight: Floats, forces: Floats, virial: Floats) -> None:
        """All three atoms feel it."""
        slopes = felt(weight[self.centre][:, None] * np.ones(3), self.slopes)
        pairs, corners = self.pairs, (self.first, self.second, self.cosine)
        add_triplets(pairs.i, pairs.j, pairs.r, pairs.unit, *corners, slopes, forces, virial)


class Corners(NamedTuple):
    """Triplets of N atoms of which equal ones are counted, C of them; see ``TripletKind``."""

    x: Floats
    """Reduced distances of pairs, shape (P,)."""
    fade: Floats
    """f_c there, shape (P,)."""
    centre: Integers
    """Shape (C,)."""
    first: Integers
    """Pair of the first neighbour, shape (C,)."""
    second: Integers
    """That of the second, shape (C,)."""
    cosine: Floats
    """Shape (C,)."""
    times: Integers
    """How many there are, shape (C,)."""


class TripletKind(SumKind):
    """Sums over every two neighbours of one centre."""

    grid_type = TripletGrid

    @property
    def cutoff(self) -> Cutoff:
        """That of both distances; raises as ``reach`` does."""
        if self.lengths.cutoff_three_body is None:
            raise ValueError("the formula has three-body terms; they need a cutoff_three_body")
        return self.lengths.cutoff_three_body

    @property
    def reach(self) -> float:
        """Cutoff radius of triplets in Å."""
        return self.cutoff.r_cut

    def function(self, tree: Tree, x: Floats, unlike: bool) -> TripletFunction:
        """A function of two pairs and the cosine, given all reduced distances (P,).

        It returns values (T,) and derivatives by x1, x2 and c, shape (T, 3), without cutoffs.
        """
        if tree.factors is None:
            return partial(_ordered if unlike else _symmetric, tree, x)
        *radial, angular = tree.factors
        h = [run(factor, x) for factor in radial]  # for each pair, not for each triplet

        def separable(first: Integers, second: Integers, cosine: Floats) -> tuple[Floats, Floats]:
            p, (p_slope,) = run(angular, cosine)
            pairs = zip(h, (first, second), strict=True)
            (one, one_slope), (two, two_slope) = ((v[k], s[0][k]) for (v, s), k in pairs)
            slopes = (one_slope * two * p, one * two_slope * p, one * two * p_slope)
            return one * two * p, np.stack(slopes, axis=1)

        return separable

    def addends(
        self,
        parts: Parts,
        species: Sequence[int],
        around: Around,
        alone: bool,  # noqa: ARG002
    ) -> Iterator[Addends]:
        """Triplets chunk by chunk, never all in memory; each has one centre in any case."""
        kind, lengths, unlike = around.kind, self.lengths, species[1] != species[2]
        pairs = around.centred(species, self.reach)
        side = sides(pairs, kind, species)
        distance, rest = self._rest(pairs.r, side)
        fade = self.cutoff.value(distance), self.cutoff.slope(distance) * rest
        functions = [(self.function(tree, distance / lengths.r0, unlike), w) for tree, w in parts]
        for first, second in triplets(pairs, kind.size, TOGETHER):
            first, second = self._in_order(side, first, second, unlike)
            cosine = cosines(pairs.unit, first, second)
            value, slopes = np.zeros(first.size), np.zeros((first.size, 3))
            for function, weight in functions:
                psi, change = function(first, second, cosine)
                value += weight * psi
                slopes += weight * change
            slopes[:, 0] *= rest[first] / lengths.r0
            slopes[:, 1] *= rest[second] / lengths.r0
            _fade(first, second, *fade, value, slopes)
            yield TripletAddends(pairs.i[first], value, pairs, first, second, cosine, slopes)

    def totals(
        self,
        parts: Parts,
        species: Sequence[int],
        around: Around,
        alone: bool,  # noqa: ARG002
    ) -> Floats:
        """Equal triplets of one centre are evaluated once."""
        corners: Corners = around.kept(
            (self, "corners", *species), lambda: self._corners(around, species)
        )
        first, second, value = corners.first, corners.second, np.zeros(corners.centre.size)
        for tree, weight in parts:
            function = self.function(tree, corners.x, species[1] != species[2])
            value += weight * function(first, second, corners.cosine)[0]
        value *= corners.fade[first] * corners.fade[second] * corners.times
        return np.asarray(np.bincount(corners.centre, value, around.kind.size))

    def _corners(self, around: Around, species: Sequence[int]) -> Corners:
        """All triplets, equal ones counted."""
        pairs, unlike = around.centred(species, self.reach), species[1] != species[2]
        side = sides(pairs, around.kind, species)
        shells, shell, _ = alike(pairs.i, side.astype(np.int64), rounded(pairs.r))
        found = []
        for first, second in triplets(pairs, around.kind.size):
            one, two = self._in_order(side, first, second, unlike)
            cosine = cosines(pairs.unit, one, two)
            near, far = shell[one], shell[two]
            if not unlike:
                near, far = np.minimum(near, far), np.maximum(near, far)
            new, _, count = alike(near, far, rounded(cosine))
            found.append((pairs.i[one[new]], near[new], far[new], cosine[new], count))
        none = np.zeros(0, dtype=np.int64)
        centre, first, second, cosine, count = map(
            np.concatenate, zip((none, none, none, np.zeros(0), none), *found, strict=True)
        )
        distance, _ = self._rest(pairs.r[shells], side[shells])
        x, fade = distance / self.lengths.r0, self.cutoff.value(distance)
        return Corners(x, fade, centre, first, second, cosine, count)

    def _rest(self, r: Floats, side: Booleans) -> tuple[Floats, Floats]:
        """Distances as functions see them, those of a side by its lengths, and their slopes."""
        of_both = self.lengths.at_rest(r), self.lengths.at_rest(r, second=True)
        distance, rest = (np.where(side, *pair) for pair in zip(*reversed(of_both), strict=True))
        return distance, rest

    @staticmethod
    def _in_order(
        side: Booleans, first: Integers, second: Integers, unlike: bool
    ) -> tuple[Integers, Integers]:
        """Both pairs of each triplet; of unlike neighbours that of the first kind comes first."""
        if not unlike:
            return first, second
        mixed = side[first] != side[second]
        first, second = first[mixed], second[mixed]
        return np.where(side[first], second, first), np.where(side[first], first, second)

    def rows(self, chosen: Selection, species: Sequence[int]) -> SumRows:
        """By factors of all pairs."""
        return TripletRows(self, chosen, species)


def _ordered(
    tree: Tree, x: Floats, first: Integers, second: Integers, cosine: Floats
) -> tuple[Floats, Floats]:
    """Of neighbours that are told apart."""
    value, slopes = run(tree, x[first], x[second], cosine)
    return value, np.ascontiguousarray(slopes.T)


def _symmetric(
    tree: Tree, x: Floats, first: Integers, second: Integers, cosine: Floats
) -> tuple[Floats, Floats]:
    """The mean over both orders of the neighbours."""
    forth, forth_slopes = run(tree, x[first], x[second], cosine)
    back, back_slopes = run(tree, x[second], x[first], cosine)
    slopes = 0.5 * (forth_slopes + back_slopes[[1, 0, 2]])
    return 0.5 * (forth + back), np.ascontiguousarray(slopes.T)


@njit(cache=True, nogil=True, error_model="numpy")
def _fade(
    first: Integers, second: Integers, fade: Floats, fade_slope: Floats, psi: Floats, slopes: Floats
) -> None:
    """Multiply functions of T triplets, and their slopes (T, 3), with f_c of both distances."""
    for t in range(first.size):
        one, two = fade[first[t]], fade[second[t]]
        slopes[t, 0] = (slopes[t, 0] * one + psi[t] * fade_slope[first[t]]) * two
        slopes[t, 1] = (slopes[t, 1] * two + psi[t] * fade_slope[second[t]]) * one
        slopes[t, 2] *= one * two
        psi[t] *= one * two


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
    active: Booleans
    """Centres whose triplets act on an atom that has forces, or a structure with stresses, (N,)."""
    side: Booleans
    """Whether the neighbour is of the second kind of unlike ones, shape (P,)."""
    unlike: bool
    """Whether both neighbours of a triplet are of two kinds."""


class Bend(NamedTuple):
    """The product g(r_ij) g(r_ik) p(cos) that is summed over every two neighbours."""

    g: Floats
    """h(r / r0) f_c(r) at every pair, h that of its side, shape (P,)."""
    g_slope: Floats
    """Its derivative in 1/Å, shape (P,)."""
    p: Floats
    """p at evenly spaced cosines from -1 to 1, shape (T,)."""
    p_slope: Floats
    """Its derivative, shape (T,)."""


class TripletRows(SumRows):
    """Products h h p over every two neighbours on rows of labels; parameters as of ``PairRows``."""

    def __init__(self, kind: TripletKind, chosen: Selection, species: Sequence[int]) -> None:
        self.kind, self.chosen = kind, chosen
        n = int(chosen.start[-1])
        pairs = chosen.joined(kind.reach, chosen=lambda a: a.centred(species, kind.reach))
        felt_by = chosen.wanted | (chosen.owner < chosen.stressed)
        active = felt_by | (np.bincount(pairs.i, felt_by[pairs.j], n) > 0)
        start, side = np.searchsorted(pairs.i, np.arange(n + 1)), sides(pairs, chosen.kind, species)
        unlike = bool(species[1] != species[2])
        self.bonds = Bonds(start, pairs.j, pairs.r, pairs.unit, active, side, unlike)
        r0, lengths = kind.lengths.r0, kind.lengths
        self.x = pairs.r / r0
        self.fade = kind.cutoff.value(pairs.r), kind.cutoff.slope(pairs.r) * r0
        begins = lengths.r_lo, lengths.r_lo if lengths.r_lo_second is None else lengths.r_lo_second
        radial, angular = NODES
        self.nodes = [chebyshev_nodes(radial, low, kind.reach) / r0 for low in begins]
        self.cosine_nodes = chebyshev_nodes(angular, -1.0, 1.0)

    def _bend(self, variants: Variants, d: int) -> Bend:
        one, two, angular = _factors(variants.tree(d))
        (h, (h_slope,)), (p, (p_slope,)) = run(one, self.x), run(angular, COSINES)
        if two != one:
            other, (other_slope,) = run(two, self.x)
            h = np.where(self.bonds.side, other, h)
            h_slope = np.where(self.bonds.side, other_slope, h_slope)
        fade, fade_slope = self.fade
        slope = (h_slope * fade + h * fade_slope) / self.kind.lengths.r0
        return Bend(h * fade, slope, p, p_slope)

    def sums(self, variants: Variants) -> tuple[Floats, Any]:
        """By one pass over all triplets for each variant that differs."""
        found = np.empty((len(variants.constants), self.bonds.start.size - 1))
        bends: list[Bend] = []
        for d, sums in enumerate(found):
            if variants.is_new(d):
                bends.append(self._bend(variants, d))
                _bend_sums(self.bonds, bends[d], sums)
            else:
                bends.append(bends[0])
                sums[:] = found[0]
        return found, bends

    def add_forces(self, state: Any, by_sum: Floats, forces: Floats, virial: Floats) -> None:
        """By another pass for each variant."""
        for d, bend in enumerate(state):
            on_atoms, on_cells = np.zeros((len(forces), 3, 1)), np.zeros((len(virial), 6, 1))
            change = np.ascontiguousarray(by_sum[d])
            _add_bends(self.bonds, bend, self.chosen.owner, change, on_atoms, on_cells)
            forces[:, :, d] += on_atoms[:, :, 0]
            virial[:, :, d] += on_cells[:, :, 0]

    def resolved(self, variants: Variants) -> bool:
        """By the tails of both factors."""
        *radial, angular = _factors(variants.tree())
        values = [run(h, nodes)[0] for h, nodes in zip(radial, self.nodes, strict=True)]
        values.append(run(angular, self.cosine_nodes)[0])
        return max(relative_tail(of_one, 2) for of_one in values) <= TAIL_ALLOWED


def _factors(tree: Tree) -> tuple[Tree, Tree, Tree]:
    assert tree.factors is not None, "sums of functions of sums are of products"
    return tree.factors


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


@njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
def _bend_sums(bonds: Bonds, bend: Bend, sums: Floats) -> None:
    """Write the sum over every two neighbours of each atom, shape (N,)."""
    start, g, unit, p_table = bonds.start, bend.g, bonds.unit, bend.p
    side, unlike = bonds.side, bonds.unlike
    for i in range(sums.size):
        total = 0.0
        for p in range(start[i], start[i + 1]):
            for q in range(p + 1, start[i + 1]):
                if unlike and side[p] == side[q]:
                    continue
                total += g[p] * g[q] * _between(p_table, cosine_between(unit, p, q))
        sums[i] = total


@njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
def _add_bends(
    bonds: Bonds, bend: Bend, owner: Integers, by_sum: Floats, forces: Floats, virial: Floats
) -> None:
    """Add what a function of the sums does to forces (N, 3, 1) and virials (S', 6, 1).

    ``by_sum`` is dF/dS of every atom, shape (N,); ``owner`` its structure.
    """
    start, j, r, unit = bonds.start, bonds.j, bonds.r, bonds.unit
    side, unlike = bonds.side, bonds.unlike
    slopes, pulls, none = np.empty((3, 1)), np.empty((2, 3, 1)), np.empty((0, 1))
    for i in range(by_sum.size):
        if not bonds.active[i]:
            continue
        s = owner[i]
        on_cell = virial[s] if s < virial.shape[0] else none
        for p in range(start[i], start[i + 1]):
            for q in range(p + 1, start[i + 1]):
                if unlike and side[p] == side[q]:
                    continue
                cosine = cosine_between(unit, p, q)
                value = by_sum[i] * _between(bend.p, cosine)
                slopes[0, 0] = value * bend.g_slope[p] * bend.g[q]
                slopes[1, 0] = value * bend.g[p] * bend.g_slope[q]
                slopes[2, 0] = by_sum[i] * bend.g[p] * bend.g[q] * _between(bend.p_slope, cosine)
                add_triplet(
                    i, j[p], j[q], unit[p], unit[q], r[p], r[q], cosine,
                    slopes, forces, on_cell, pulls,
                )  # fmt: skip
