"""Three-body functions on a tensor grid, and what their values there predict.

A function psi(r_ij, r_ik, cos theta_jik) is known by its values on a tensor grid of Chebyshev
nodes. It is symmetric in neighbours j and k of one kind: then each unordered pair of distances is
there once. Many combinations of these values leave every label unchanged; a design keeps only those
that do not.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numba import njit
from numpy.polynomial import chebyshev

from symreg.arrays import Booleans, Floats, Integers
from symreg.fit.forces import add_triplet, cosine_between
from symreg.fit.grid import chebyshev_coefficients, chebyshev_nodes
from symreg.fit.sums.base import Around, sides
from symreg.fit.sums.node_grid import NodeGrid
from symreg.fit.sums.pair_grid import chebyshev_at
from symreg.language import Tree
from symreg.terms import Key
from symreg.terms.kinds import TRIPLETS
from symreg.terms.lengths import Lengths
from symreg.terms.wall import Clamp

NODES, NODES_OF_MANY = (12, 10), (8, 7)
"""Nodes of each distance and of the cosine, of one element and of several."""
TAIL_ALLOWED, TAIL_ALLOWED_OF_MANY = 1e-4, 1e-3
"""A function with a larger relative tail, in any coordinate, is not what its node values say. With
the fewer nodes the coefficient after the last is a tenth of those that are looked at."""
MOST_NEIGHBOURS = 200
"""Beyond it triplets are too many to be worth their time."""
SMOOTHNESS = 0.5
"""Functions that pass the tail test have coefficients that fall at least like this to the power of
their degree, in every coordinate."""
NEGLIGIBLE, NEGLIGIBLE_OF_MANY = 3e-8, 1e-6
"""Combinations of such coefficients that move the labels less than this part of what the strongest
combination does are left out. With the fewer nodes the rest is less than what these tell."""

NO_TRIPLETS = (
    "no atom has two neighbours within [terms] r_cut_three_body, so there are no triplets; make "
    "it larger, or set three_body = false"
)


@dataclass(frozen=True, eq=False)
class TripletGrid(NodeGrid):
    """The tensor grid of one centre and its neighbours."""

    is_condensed = True

    r_lo_second: float | None = None
    """Beginning of the grid of the second distance in Å, if it is another."""
    rests: tuple[float, float] | None = None
    """Below these both distances in Å come to rest, as in formulas, if the data show such; of a
    pair that has no grid of its own."""
    combinations: Floats | None = None
    """From node values to the k combinations that the data feel, shape (K, k)."""
    n_radial: int = NODES[0]
    n_angular: int = NODES[1]

    @classmethod
    def every(
        cls,
        keys: Collection[Key],
        lengths: Lengths,
        n_nodes: int | None = None,  # noqa: ARG003 - of each dimension it has its own
    ) -> list[NodeGrid]:
        """Grids of those keys that are of triplets; see ``NodeGrid``."""
        own = sorted(key for key in keys if key.over == TRIPLETS)
        radial, angular = NODES if len({key.centre for key in keys}) == 1 else NODES_OF_MANY
        grids: list[NodeGrid] = []
        for key in own:
            cutoff = lengths.at(key.species).cutoff_three_body
            assert cutoff is not None
            pairs = [Key.of(key.centre, near) for near in key.species[1:]]
            rests = [lengths.begin(*pair.species) for pair in pairs]
            first, second = (
                rest if pair in keys else Clamp(rest).floor
                for pair, rest in zip(pairs, rests, strict=True)
            )
            all_there = set(pairs) <= set(keys)
            grids.append(
                cls(
                    key,
                    first,
                    cutoff,
                    second if key.is_unlike else None,
                    None if all_there else (rests[0], rests[1]),
                    n_radial=radial,
                    n_angular=angular,
                )
            )
        return grids

    @property
    def is_fine(self) -> bool:
        """Whether it has the nodes of one element."""
        return self.n_radial >= NODES[0]

    @property
    def tail_allowed(self) -> float:
        """Largest relative tail of functions that it resolves."""
        return TAIL_ALLOWED if self.is_fine else TAIL_ALLOWED_OF_MANY

    @cached_property
    def nodes(self) -> tuple[Integers, Integers]:
        """Nodes of both distances of every pair of these, shape (pairs,)."""
        if self.key.is_unlike:
            first, second = np.indices((self.n_radial, self.n_radial)).reshape(2, -1)
        else:
            first, second = np.triu_indices(self.n_radial)
        return first, second

    @property
    def size(self) -> int:
        """Number of node values, K."""
        return self.nodes[0].size * self.n_angular

    @property
    def columns(self) -> int:
        """Columns of the design, k; K while it is being built."""
        return self.size if self.combinations is None else self.combinations.shape[1]

    def coordinates(self, values: Floats) -> Floats:
        """Node values (K, ...) as far as the data feel them, shape (k, ...); all while building."""
        return values if self.combinations is None else np.asarray(self.combinations.T @ values)

    @cached_property
    def distances(self) -> Floats:
        """Nodes of both distances in Å, shape (2, n_radial)."""
        begins = (self.r_lo, self.r_lo_second or self.r_lo)
        return np.array([chebyshev_nodes(self.n_radial, r, self.cutoff.r_cut) for r in begins])

    @cached_property
    def cosines(self) -> Floats:
        """Nodes of the cosine, shape (n_angular,)."""
        return chebyshev_nodes(self.n_angular, -1.0, 1.0)

    @cached_property
    def points(self) -> tuple[Floats, Floats, Floats]:
        """Both distances in Å and the cosine of every node value, shapes (K,)."""
        n, pairs = self.n_angular, zip(self.distances, self.nodes, strict=True)
        one, two = (np.repeat(distances[nodes], n) for distances, nodes in pairs)
        return one, two, np.tile(self.cosines, self.nodes[0].size)

    @cached_property
    def polynomials(self) -> tuple[Floats, Integers]:
        """Node values of the products of Chebyshev polynomials, symmetric ones if like, (K, K).

        With them the degree in each coordinate, shape (3, K).
        """
        radial = np.linalg.inv(chebyshev_coefficients(self.n_radial))
        angular = np.linalg.inv(chebyshev_coefficients(self.n_angular))
        first, second = self.nodes
        both = radial[first][:, first] * radial[second][:, second]
        if not self.key.is_unlike:
            both += radial[first][:, second] * radial[second][:, first]
        n = self.n_angular
        degrees = np.repeat(first, n), np.repeat(second, n), np.tile(np.arange(n), first.size)
        return np.kron(both, angular), np.array(degrees)

    @property
    def smooth(self) -> Floats:
        """The polynomials in units in which smooth functions have coefficients of like size."""
        values, degrees = self.polynomials
        return np.asarray(values * SMOOTHNESS ** degrees.sum(axis=0))

    @cached_property
    def turn(self) -> Floats:
        """From columns of node values to columns of what the data feel, shape (K, k)."""
        if self.combinations is None:
            return np.eye(self.size)
        return np.asarray(self.smooth @ (self.smooth.T @ self.combinations))

    def felt(self, rows: Floats) -> tuple[TripletGrid, Floats]:
        """The grid with combinations from a singular value decomposition, and the map to them.

        Smoothness is taken into account: of rough combinations there are many that no formula will
        ever use.

        Raises
        ------
        ValueError
            If all rows are zero: there are no triplets.
        """
        smooth = self.smooth
        _, sizes, turned = np.linalg.svd(rows @ smooth, full_matrices=False)
        if not sizes.size or not sizes[0] > 0:
            raise ValueError(NO_TRIPLETS)
        least = NEGLIGIBLE if self.is_fine else NEGLIGIBLE_OF_MANY
        kept = turned[sizes > least * sizes[0]]
        combinations = np.linalg.solve(smooth.T, kept.T)
        return replace(self, combinations=np.ascontiguousarray(combinations)), smooth @ kept.T

    def basis(self, coarser: bool) -> Floats:
        """All coordinates, or those of polynomials of three quarters of the degrees."""
        if not coarser:
            return np.eye(self.columns)
        values, degrees = self.polynomials
        most = 3 * np.array([[self.n_radial], [self.n_radial], [self.n_angular]]) // 4
        return self.coordinates(values[:, (degrees < most).all(axis=0)])

    def values(self, tree: Tree, r0: float) -> Floats:
        """Values at the nodes, without cutoff functions, shape (K,)."""
        first, second, cosines = self.points
        return tree(first / r0, second / r0, cosines, unlike=self.key.is_unlike)

    def contributions(self, around: Around, species: Sequence[int]) -> tuple[Floats, ...]:
        """Energy (K,), forces (n, 3, K) and virial (6, K) of one structure.

        The angular part is still in Chebyshev coefficients; ``to_node_values`` changes that.

        Raises
        ------
        ValueError
            If an atom has too many neighbours.
        """
        n, size = around.kind.size, self.size
        pairs = around.centred(species, self.cutoff.r_cut)
        side = sides(pairs, around.kind, species)
        start = np.searchsorted(pairs.i, np.arange(n + 1))
        most = int(np.diff(start).max(initial=0))
        if most > MOST_NEIGHBOURS:
            within = self.cutoff.r_cut * (0.8 * MOST_NEIGHBOURS / most) ** (1 / 3)
            raise ValueError(
                f"an atom with {most} neighbours within [terms] r_cut_three_body = "
                f"{self.cutoff.r_cut:g} Å, more than {MOST_NEIGHBOURS}; try r_cut_three_body = "
                f"{within:.1f}"
            )
        energy, forces, virial = np.zeros(size), np.zeros((n, 3, size)), np.zeros((6, size))
        radial, slope = self._radial(pairs.r, side)
        _add_triplet_rows(
            start, pairs.j, pairs.r, pairs.unit, radial, slope, side, self.key.is_unlike,
            self.n_angular, energy, forces, virial,
        )  # fmt: skip
        return energy, forces, virial

    def _radial(self, r: Floats, side: Booleans) -> tuple[Floats, Floats]:
        """Lagrange polynomials times f_c and their derivatives in 1/Å, shape (P, n_radial)."""
        n, low = self.n_radial, np.where(side, self.r_lo_second or self.r_lo, self.r_lo)
        lagrange = chebyshev_coefficients(n)
        scale = 2.0 / (self.cutoff.r_cut - low)
        seen, rest = self._seen(r, side)
        s = (seen - low) * scale - 1.0
        value = chebyshev.chebvander(s, n - 1) @ lagrange
        derivative = chebyshev.chebval(s, chebyshev.chebder(lagrange, axis=0)).T * scale[:, None]
        fade = self.cutoff.value(seen)[:, None]
        slope = derivative * fade + value * self.cutoff.slope(seen)[:, None]
        return value * fade, slope * rest[:, None]

    def _seen(self, r: Floats, side: Booleans) -> tuple[Floats, Floats]:
        """Distances as formulas see them, maybe at rest, and their derivatives."""
        if self.rests is None:
            return r, np.ones_like(r)
        (first, by_first), (second, by_second) = (Clamp(rest)(r) for rest in self.rests)
        return np.where(side, second, first), np.where(side, by_second, by_first)

    def to_node_values(self, matrix: Floats) -> Floats:
        """Columns of angular node values from columns of angular coefficients, shape (R, K)."""
        shape = (len(matrix), -1, self.n_angular)
        turned = matrix.reshape(shape) @ chebyshev_coefficients(self.n_angular)
        return np.asarray(turned.reshape(len(matrix), -1))


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def _add_triplet_rows(
    start: Integers,
    j: Integers,
    r: Floats,
    unit: Floats,
    radial: Floats,
    slope: Floats,
    side: Booleans,
    unlike: bool,
    n_angular: int,
    energy: Floats,
    forces: Floats,
    virial: Floats,
) -> None:
    """Add what every three-body basis function would contribute to one structure.

    The functions are [g_a(r_ij) g_b(r_ik) + g_b(r_ij) g_a(r_ik)] T_c(cos theta_jik) for a < b, and
    g_a(r_ij) g_a(r_ik) T_c for a = b, with g_a a Chebyshev polynomial times f_c, given with its
    slope in 1/Å at each pair, shape (P, A); of ``unlike`` neighbours g_a(r_ij) g_b(r_ik) T_c for
    all a, b, where k is on the second ``side``, shape (P,). The pairs of each centre begin at
    ``start``, (n + 1,). Triplets are formed here, each unordered pair of neighbours once, and never
    stored. Sums have shapes (K,), (n, 3, K), (6, K) with K node values.
    """
    slopes, pulls = np.empty((3, energy.size)), np.empty((2, 3, energy.size))
    angle = np.empty((2, n_angular))
    for i in range(start.size - 1):
        for p in range(start[i], start[i + 1]):
            for q in range(p + 1, start[i + 1]):
                if unlike and side[p] == side[q]:
                    continue
                a, b = (q, p) if unlike and side[p] else (p, q)
                cosine = cosine_between(unit, a, b)
                chebyshev_at(cosine, angle[0], angle[1])
                _triplet_basis(
                    radial[a], slope[a], radial[b], slope[b], unlike, angle, energy, slopes
                )
                add_triplet(
                    i, j[a], j[b], unit[a], unit[b], r[a], r[b], cosine, slopes,
                    forces, virial, pulls,
                )  # fmt: skip


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def _triplet_basis(
    g1: Floats,
    d1: Floats,
    g2: Floats,
    d2: Floats,
    unlike: bool,
    angle: Floats,
    energy: Floats,
    slopes: Floats,
) -> None:
    """Add one triplet's energies; write derivatives by both distances and the cosine."""
    angular, turn = angle[0], angle[1]
    by_first, by_second, by_cosine = slopes[0], slopes[1], slopes[2]
    column = 0
    for a in range(g1.size):
        for b in range(0 if unlike else a, g1.size):
            value, first, second = g1[a] * g2[b], d1[a] * g2[b], g1[a] * d2[b]
            if a != b and not unlike:
                value += g1[b] * g2[a]
                first += d1[b] * g2[a]
                second += g1[b] * d2[a]
            for c in range(angular.size):
                energy[column + c] += value * angular[c]
                by_first[column + c] = first * angular[c]
                by_second[column + c] = second * angular[c]
                by_cosine[column + c] = value * turn[c]
            column += angular.size
