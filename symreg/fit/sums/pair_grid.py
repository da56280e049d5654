"""Pair functions on Chebyshev nodes, and what these predict."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit

from symreg.arrays import Booleans, Floats
from symreg.fit.forces import add_pairs
from symreg.fit.grid import chebyshev_coefficients, chebyshev_nodes, choose_node_count
from symreg.fit.sums.base import Around
from symreg.fit.sums.node_grid import NodeGrid
from symreg.language import Tree
from symreg.terms import Key
from symreg.terms.kinds import PAIRS
from symreg.terms.lengths import Lengths

CHUNK = 2048
"""Pairs whose polynomials are computed together: they then stay in the cache."""


def directed(around: Around, species: Sequence[int], reach: float) -> tuple[Booleans, Booleans]:
    """Which pairs closer than ``reach`` in Å lead from one species to the other, and back."""
    one, two = around.kind[around.pairs.i], around.kind[around.pairs.j]
    first, second = species[:2]
    near = around.pairs.r < reach
    return (one == first) & (two == second) & near, (one == second) & (two == first) & near


SMOOTHNESS = 0.7
"""Expected part of each Chebyshev coefficient of the one before."""


@dataclass(frozen=True, eq=False)
class PairGrid(NodeGrid):
    """The grid of one pair of species."""

    n_nodes: int
    """Number of nodes, M."""

    @classmethod
    def every(
        cls, keys: Collection[Key], lengths: Lengths, n_nodes: int | None = None
    ) -> list[NodeGrid]:
        """Grids of those keys that are of pairs, all with the nodes that one of them needs."""
        own = {key: lengths.at(key.species) for key in sorted(keys) if key.over == PAIRS}
        needed = (choose_node_count(at.r_lo, at.cutoff.r_cut) for at in own.values())
        nodes = n_nodes or max(needed, default=0)
        return [cls(key, at.r_lo, at.cutoff, nodes) for key, at in own.items()]

    @property
    def size(self) -> int:
        """Number of nodes, M."""
        return self.n_nodes

    @cached_property
    def distances(self) -> Floats:
        """Nodes in Å, shape (M,)."""
        return chebyshev_nodes(self.n_nodes, self.r_lo, self.cutoff.r_cut)

    def contributions(self, around: Around, species: Sequence[int]) -> tuple[Floats, ...]:
        """Energy (M,), forces (n, 3, M) and virial (6, M) of Chebyshev polynomials times f_c."""
        n, m, low, high = around.kind.size, self.n_nodes, self.r_lo, self.cutoff.r_cut
        pairs = around.pairs.subset(np.logical_or(*directed(around, species, high)))
        energy, virial = np.zeros((1, m)), np.zeros((1, 6, m))
        forces, owner = np.zeros((n, 3, m)), np.zeros(n, dtype=np.int64)
        for start in range(0, len(pairs), CHUNK):
            some = slice(start, start + CHUNK)
            i, r, unit = pairs.i[some], pairs.r[some], pairs.unit[some]
            fade = self.cutoff.value(r), self.cutoff.slope(r)
            value, slope = _polynomials(r, low, high, *fade, m)
            add_pairs(i, r, unit, owner, value, slope, energy, forces, virial)
        return energy[0], forces, virial[0]

    def to_node_values(self, matrix: Floats) -> Floats:
        """By the map from node values to Chebyshev coefficients."""
        return np.asarray(matrix @ chebyshev_coefficients(self.n_nodes))

    def basis(self, coarser: bool) -> Floats:
        """Chebyshev polynomials, of three quarters of the degrees if ``coarser``."""
        polynomials = np.linalg.inv(chebyshev_coefficients(self.n_nodes))
        return np.asarray(polynomials[:, : 3 * self.n_nodes // 4] if coarser else polynomials)

    @property
    def smooth(self) -> Floats:
        """The polynomials in units in which smooth functions have coefficients of like size."""
        return np.asarray(self.basis(coarser=False) * SMOOTHNESS ** np.arange(self.n_nodes))

    def values(self, tree: Tree, r0: float) -> Floats:
        """Values at the nodes, without cutoff function, shape (M,)."""
        return tree(self.distances / r0)


@njit(cache=True, nogil=True, error_model="numpy")
def _polynomials(
    r: Floats, low: float, high: float, fade: Floats, fade_slope: Floats, m: int
) -> tuple[Floats, Floats]:
    """Half of the first M Chebyshev polynomials times f_c, (P, M), and all of their slopes in 1/Å.

    Energies count half of each directed pair, forces all of it.
    """
    value, slope = np.empty((r.size, m)), np.empty((r.size, m))
    scale = 2.0 / (high - low)
    for p in range(r.size):
        t, dt = value[p], slope[p]
        s = (r[p] - low) * scale - 1.0
        chebyshev_at(s, t, dt)
        for n in range(m):
            dt[n] = dt[n] * scale * fade[p] + t[n] * fade_slope[p]
            t[n] *= 0.5 * fade[p]
    return value, slope


@njit(cache=True, nogil=True, error_model="numpy")
def chebyshev_at(s: float, value: Floats, derivative: Floats) -> None:
    """Write Chebyshev polynomials T_0 .. T_{M-1} and their derivatives at s, shape (M,)."""
    value[0], derivative[0] = 1.0, 0.0
    value[1], derivative[1] = s, 1.0
    for n in range(2, value.size):
        value[n] = 2.0 * s * value[n - 1] - value[n - 2]
        derivative[n] = 2.0 * value[n - 1] + 2.0 * s * derivative[n - 1] - derivative[n - 2]
