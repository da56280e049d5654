"""Three-body terms in the projected design: their grid, and what they contribute to a structure.

A three-body function psi(r_ij, r_ik, cos theta_jik), symmetric in j and k, is known by its values
on a tensor grid of Chebyshev nodes, each unordered pair of distances once. Many combinations of
these values leave every label unchanged; the design keeps only those that do not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from symreg.fit.design.grid import chebyshev_coefficients, chebyshev_nodes
from symreg.fit.design.rows import add_triplet_rows
from symreg.structures import Structures
from symreg.structures.neighbours import structure_pairs
from symreg.terms.cutoff import Cutoff

Floats = NDArray[np.float64]

N_RADIAL, N_ANGULAR = 12, 10
"""Nodes of each distance and of the cosine."""
MOST_NEIGHBOURS = 200
"""Beyond it triplets are too many to be worth their time."""
SMOOTHNESS = 0.5
"""Functions that pass the tail test have coefficients that fall at least like this to the power of
their degree, in every coordinate."""
NEGLIGIBLE = 3e-8
"""Combinations of such coefficients that move the labels less than this part of what the strongest
combination does are left out."""


@dataclass(frozen=True, eq=False)
class TripletGrid:
    """The tensor grid of the three-body terms of one element."""

    r_lo: float
    """Beginning of the grid of each distance in Å."""
    r_cut: float
    """Its end in Å."""
    basis: Floats | None = None
    """From node values to the k combinations that the data feel, shape (K, k)."""
    n_radial: int = N_RADIAL
    n_angular: int = N_ANGULAR

    @property
    def size(self) -> int:
        """Number of node values, K."""
        return self.n_radial * (self.n_radial + 1) // 2 * self.n_angular

    @property
    def columns(self) -> int:
        """Columns of the design, k; K while it is being built."""
        return self.size if self.basis is None else self.basis.shape[1]

    def coordinates(self, values: Floats) -> Floats:
        """What the data feel of node values (K, ...), shape (k, ...); these while building."""
        return values if self.basis is None else np.asarray(self.basis.T @ values)

    @cached_property
    def distances(self) -> Floats:
        """Nodes of each distance in Å, shape (n_radial,)."""
        return chebyshev_nodes(self.n_radial, self.r_lo, self.r_cut)

    @cached_property
    def cosines(self) -> Floats:
        """Nodes of the cosine, shape (n_angular,)."""
        return chebyshev_nodes(self.n_angular, -1.0, 1.0)

    @cached_property
    def points(self) -> tuple[Floats, Floats, Floats]:
        """Both distances in Å and the cosine of every node value, shapes (K,)."""
        first, second = np.triu_indices(self.n_radial)
        n = self.n_angular
        return (
            np.repeat(self.distances[first], n),
            np.repeat(self.distances[second], n),
            np.tile(self.cosines, first.size),
        )

    @cached_property
    def polynomials(self) -> tuple[Floats, NDArray[np.int64]]:
        """Node values of the symmetric products of Chebyshev polynomials, shape (K, K).

        With them the degree in each coordinate, shape (3, K).
        """
        radial = np.linalg.inv(chebyshev_coefficients(self.n_radial))
        angular = np.linalg.inv(chebyshev_coefficients(self.n_angular))
        first, second = np.triu_indices(self.n_radial)
        both = radial[first][:, first] * radial[second][:, second]
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
        if self.basis is None:
            return np.eye(self.size)
        return np.asarray(self.smooth @ (self.smooth.T @ self.basis))

    @property
    def lower_degrees(self) -> Floats:
        """Those of the polynomials that have three quarters of the degrees, shape (K, n)."""
        values, degrees = self.polynomials
        most = 3 * np.array([[self.n_radial], [self.n_radial], [self.n_angular]]) // 4
        return np.asarray(values[:, (degrees < most).all(axis=0)])

    def felt(self, rows: Floats) -> tuple[TripletGrid, Floats]:
        """The grid with its basis, and the map from columns of node values to those of the basis.

        The combinations are those of a singular value decomposition, once smoothness is taken into
        account: of rough combinations there are many that no formula will ever use.

        Parameters
        ----------
        rows
            Weighted rows of all labels, or their triangular matrix, shape (R, K).

        Raises
        ------
        ValueError
            If all rows are zero: there are no triplets.
        """
        smooth = self.smooth
        _, sizes, turned = np.linalg.svd(rows @ smooth, full_matrices=False)
        if not sizes.size or not sizes[0] > 0:
            raise ValueError(
                "no atom has two neighbours within [terms] r_cut_three_body, so there are no "
                "triplets; make it larger, or set three_body = false"
            )
        kept = turned[sizes > NEGLIGIBLE * sizes[0]]
        basis = np.linalg.solve(smooth.T, kept.T)
        return replace(self, basis=np.ascontiguousarray(basis)), smooth @ kept.T


class TripletRows:
    """What the three-body node values contribute to structures."""

    def __init__(self, grid: TripletGrid, cutoff: Cutoff) -> None:
        self.grid = grid
        self.cutoff = cutoff
        self._lagrange = chebyshev_coefficients(grid.n_radial)

    def of(self, structures: Structures, s: int) -> tuple[Floats, Floats, Floats]:
        """Contributions to energy (K,), forces (n, 3, K) and virial (6, K) of one structure.

        The angular part is still in Chebyshev coefficients; ``to_node_values`` changes that.

        Raises
        ------
        ValueError
            If an atom has too many neighbours.
        """
        n, size = int(structures.n_atoms[s]), self.grid.size
        energy, forces, virial = np.zeros(size), np.zeros((n, 3, size)), np.zeros((6, size))
        pairs = structure_pairs(structures, s, self.cutoff.r_cut)
        start = np.searchsorted(pairs.i, np.arange(n + 1))
        most = int(np.diff(start).max(initial=0))
        if most > MOST_NEIGHBOURS:
            within = self.cutoff.r_cut * (0.8 * MOST_NEIGHBOURS / most) ** (1 / 3)
            raise ValueError(
                f"{structures.source[s]} has an atom with {most} neighbours within "
                f"[terms] r_cut_three_body = {self.cutoff.r_cut:g} Å, more than "
                f"{MOST_NEIGHBOURS}; try r_cut_three_body = {within:.1f}"
            )
        radial, slope = self._radial(pairs.r)
        add_triplet_rows(
            start,
            pairs.j,
            pairs.r,
            pairs.unit,
            radial,
            slope,
            self.grid.n_angular,
            energy,
            forces,
            virial,
        )
        return energy, forces, virial

    def to_node_values(self, matrix: Floats) -> Floats:
        """Columns of angular node values from columns of angular coefficients, shape (R, K)."""
        shape = (len(matrix), -1, self.grid.n_angular)
        turned = matrix.reshape(shape) @ chebyshev_coefficients(self.grid.n_angular)
        return np.asarray(turned.reshape(len(matrix), -1))

    def _radial(self, r: Floats) -> tuple[Floats, Floats]:
        """Lagrange polynomials times f_c and their derivatives in 1/Å, shape (P, n_radial)."""
        n, low = self.grid.n_radial, self.grid.r_lo
        scale = 2.0 / (self.grid.r_cut - low)
        s = (r - low) * scale - 1.0
        value = chebyshev.chebvander(s, n - 1) @ self._lagrange
        derivative = chebyshev.chebval(s, chebyshev.chebder(self._lagrange, axis=0)).T * scale
        fade = self.cutoff.value(r)[:, None]
        return value * fade, derivative * fade + value * self.cutoff.slope(r)[:, None]
