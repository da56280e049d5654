"""Floors of separable three-body terms: what sums of a few products h(x1) h(x2) p(c) can reach.

Every factor is free on its nodes, and so is the pair function. All but the radial factors enter
linearly and are eliminated by variable projection (Golub and Pereyra, SIAM J. Numer. Anal. 10,
413, 1973) with Kaufman's simplified Jacobian (BIT 15, 49, 1975).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.optimize import least_squares

from symreg.fit.design.design import Design, solve
from symreg.fit.design.three_body import NEGLIGIBLE

Floats = NDArray[np.float64]

MOST_PRODUCTS = 3
"""Beyond it a sum of products is no shorter than a general function."""
_SINGULAR = 1e-13
"""Directions of pair functions that the data feel less than this part of the strongest are none."""
_LEADING, _RANDOM = 4, 4
"""Starting points of the last product: leading factors of the floor's solution, random ones."""


@dataclass(frozen=True)
class ProductFloor:
    """The best that smooth pair terms and a few separable products can do on the training data."""

    products: int
    """How many."""
    error: float
    """Lowest error found, as in tables; of several local minima, so an upper bound."""
    rmse: Mapping[str, Any]
    """Errors of that solution by split, quantity and group: a guide, not a bound."""


def product_floors(design: Design, most: int = MOST_PRODUCTS) -> tuple[ProductFloor, ...]:
    """The floors of one, two, ... ``most`` products; the design has three-body terms."""
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

    Factors are known by Chebyshev coefficients in units of what is smooth, as in
    ``TripletGrid.felt``. In these units those of p are kept from growing without bound, where two
    products cancel, by a penalty as small as what is negligible there.
    """

    def __init__(self, design: Design) -> None:
        grid, problem = design.triplets, design.training
        assert grid is not None
        assert grid.basis is not None
        pairs = problem.matrix[:, : design.n_pair_values]
        scale = np.linalg.norm(pairs, axis=0)
        left, sizes, _ = np.linalg.svd(pairs / np.where(scale == 0, 1.0, scale))
        out_of_reach = left[:, int(np.sum(sizes > _SINGULAR * sizes[0])) :]
        self.target = out_of_reach.T @ problem.target
        self.felt = grid.basis.T @ grid.smooth
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

        @lru_cache(maxsize=1)
        def project(data: bytes) -> tuple[Floats, Floats, Floats]:
            return self._project(np.frombuffer(data).reshape(start.shape))

        def residual(x: Floats) -> Floats:
            return project(x.tobytes())[0]

        def jacobian(x: Floats) -> Floats:
            return project(x.tobytes())[1]

        found = least_squares(residual, start.ravel(), jacobian, ftol=1e-6, max_nfev=100)
        return float(found.cost), found.x.reshape(start.shape)

    def _project(self, factors: Floats) -> tuple[Floats, Floats, Floats]:
        """Residual (P + n C,), its derivatives by factors (n, A), and best p (n, C)."""
        size = np.linalg.norm(factors, axis=1)[:, None, None]
        h = factors / size[:, 0]
        half = np.tensordot(h, self.tensor, axes=1)
        columns = np.einsum("nacp,na->pnc", half, h).reshape(self.target.size, -1)
        width = columns.shape[1]
        columns = np.vstack([columns, self.penalty * np.eye(width)])
        target = np.concatenate([self.target, np.zeros(width)])
        q, upper = np.linalg.qr(columns)
        p = solve_triangular(upper, q.T @ target).reshape(len(h), -1)
        slopes = 2.0 * np.einsum("nacp,nc->nap", half, p)
        slopes -= h[:, :, None] * np.einsum("nap,na->np", slopes, h)[:, None, :]
        jacobian = np.zeros((target.size, h.size))
        jacobian[: self.target.size] = (slopes / size).reshape(h.size, -1).T
        return columns @ p.ravel() - target, jacobian - q @ (q.T @ jacobian), p

    def floor(self, design: Design, factors: Floats) -> ProductFloor:
        """Errors of products with these radial factors, the pair function included."""
        p = self._project(factors)[2]
        h = factors / np.linalg.norm(factors, axis=1)[:, None]
        both = h[:, self.first] * h[:, self.second] * np.where(self.first == self.second, 0.5, 1.0)
        triplets = self.felt @ np.einsum("nk,nc->kc", both, p).ravel()
        problem, n = design.training, design.n_pair_values
        felt = problem.matrix[:, n:] @ triplets
        solution, loss = solve(problem, np.column_stack([problem.matrix[:, :n], felt]))
        coordinates = np.concatenate([solution[:n], solution[n] * triplets])
        rmse = design.rmse(problem.e0(coordinates), coordinates)
        return ProductFloor(len(h), design.error(loss), rmse)
