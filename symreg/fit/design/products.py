"""Floors of separable three-body terms: what sums of a few products h(x1) h(x2) p(c) can reach.

Every factor is free on its nodes, and so is the pair function. All but the radial factors enter
linearly: they are weights to the solver, the radial factors its constants.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from symreg.arrays import Floats
from symreg.fit.design.design import Design, solve
from symreg.fit.solve.linear import ordered
from symreg.fit.solve.solver import Columns
from symreg.fit.solve.solver import solve as solve_constants
from symreg.fit.sums.triplet_grid import NEGLIGIBLE
from symreg.records import ProductFloor

MOST_PRODUCTS = 3
"""Beyond it a sum of products is no shorter than a general function."""
_LEADING, _RANDOM = 4, 4
"""Starting points of the last product: leading factors of the floor's solution, random ones."""


def product_floors(design: Design, most: int = MOST_PRODUCTS) -> tuple[ProductFloor, ...]:
    """The floors of one, two, ... ``most`` products; the design has triplets of one key."""
    products = _Products(design)
    rng = np.random.default_rng(0)
    factors = np.empty((0, products.tensor.shape[0]))
    floors = []
    for _ in range(most):
        fits = [products.fit(start) for start in products.starts(factors, rng)]
        factors = min(fits, key=lambda fit: fit[0])[1]
        floors.append(products.floor(design, factors))
    return tuple(floors)


class _Products:
    """The part of the training data that pair functions cannot reach, A radial and C angular modes.

    Factors are Chebyshev coefficients in units of what is smooth, as in ``TripletGrid.felt``. A
    penalty, small as what is negligible there, bounds those of p where two products cancel.
    """

    def __init__(self, design: Design) -> None:
        (grid,), problem = design.triplet_grids, design.training
        assert grid.combinations is not None
        left, rank = ordered(problem.matrix[:, : design.n_pair_values], full_matrices=True)
        out_of_reach = left[:, rank:]
        self.target = out_of_reach.T @ problem.target
        self.felt = grid.combinations.T @ grid.smooth
        rows = out_of_reach.T @ problem.matrix[:, design.n_pair_values :] @ self.felt
        left, sizes, right = np.linalg.svd(rows, full_matrices=False)
        self.penalty = NEGLIGIBLE * sizes[0]
        self.first, self.second = np.triu_indices(grid.n_radial)
        self.tensor = self._square(rows)
        """From coefficients of h, h and p to weighted labels, shape (A, A, C, P)."""
        damped = sizes / (sizes**2 + self.penalty**2)
        general = self._square((right.T @ (damped * (left.T @ self.target)))[None, :])
        self.leading = np.linalg.svd(general.reshape(grid.n_radial, -1))[0].T[:_LEADING]

    def _square(self, rows: Floats) -> Floats:
        """Coefficients of symmetric products (P, K) for every ordered pair, shape (A, A, C, P)."""
        folded = 0.5 * rows.reshape(len(rows), self.first.size, -1).transpose(1, 2, 0)
        n = self.first[-1] + 1
        full = np.empty((n, n, *folded.shape[1:]))
        full[self.first, self.second] = full[self.second, self.first] = folded
        return full

    def starts(self, factors: Floats, rng: np.random.Generator) -> Iterator[Floats]:
        """Radial factors to start from, one more than ``factors`` (n, A), the best of n."""
        n, size = factors.shape
        yield self.leading[: n + 1]
        for new in (*self.leading, *rng.normal(size=(_RANDOM, size))):
            yield np.vstack([factors, new])
        for _ in range(_RANDOM):
            yield rng.normal(size=(n + 1, size))

    def fit(self, start: Floats) -> tuple[float, Floats]:
        """Penalised loss of a local minimum, and its radial factors (n, A)."""
        shape = start.shape
        found = solve_constants(
            lambda x, _: self._columns(x.reshape(shape)), start.ravel(), tolerance=1e-6
        )
        return found.loss, found.constants.reshape(shape)

    def _columns(self, factors: Floats) -> Columns:
        """Columns of best p (n C) for radial factors (n, A), with the rows of the penalty."""
        n, rows = len(factors), self.target.size
        size = np.linalg.norm(factors, axis=1)[:, None, None]
        h = factors / size[:, 0]
        half = np.tensordot(h, self.tensor, axes=1)
        columns = np.einsum("nacp,na->ncp", half, h).reshape(-1, rows)
        width = len(columns)

        def slopes(weights: Floats) -> Floats:
            p = weights.reshape(n, -1)
            turned = 2.0 * np.einsum("nacp,nc->nap", half, p)
            turned -= h[:, :, None] * np.einsum("nap,na->np", turned, h)[:, None, :]
            return np.hstack([(turned / size).reshape(h.size, -1), np.zeros((h.size, width))])

        both = np.hstack([columns, self.penalty * np.eye(width)])
        return Columns(both, slopes, np.concatenate([self.target, np.zeros(width)]))

    def floor(self, design: Design, factors: Floats) -> ProductFloor:
        """Errors of products with these radial factors, the pair function included."""
        best = solve_constants(lambda _, __: self._columns(factors), np.empty(0))
        p = best.weights.reshape(len(factors), -1)
        h = factors / np.linalg.norm(factors, axis=1)[:, None]
        both = h[:, self.first] * h[:, self.second] * np.where(self.first == self.second, 0.5, 1.0)
        triplets = self.felt @ np.einsum("nk,nc->kc", both, p).ravel()
        problem, n = design.training, design.n_pair_values
        felt = problem.matrix[:, n:] @ triplets
        solution, loss = solve(problem, np.column_stack([problem.matrix[:, :n], felt]))
        coordinates = np.concatenate([solution[:n], solution[n] * triplets])
        rmse = design.rmse(problem.e0(coordinates), coordinates)
        return ProductFloor(design.error(loss), rmse, len(h))
