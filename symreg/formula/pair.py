"""One pair interaction as a function of the distance, with derivatives by SymPy."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symreg.formula.radial import HIGHEST, RadialFunction
from symreg.terms import Expression
from symreg.terms.cutoff import Cutoff
from symreg.terms.wall import Wall


class PairFunction:
    """u(r) = φ(r/r0) f_c(r) with the wall below ``r_lo`` and zero from ``r_cut`` on."""

    def __init__(
        self,
        expression: Expression,
        species: tuple[str, str],
        r0: float,
        cutoff: Cutoff,
        r_lo: float,
    ) -> None:
        """Take the pair terms of one pair of species; ``r0`` and ``r_lo`` in Å."""
        self.species = species
        """Chemical symbols, sorted."""
        self.r0 = r0
        """Length unit of the formula in Å."""
        self.cutoff = cutoff
        self.r_lo = r_lo
        """Below this distance in Å the wall takes over."""
        self.r_cut = cutoff.r_cut
        """Cutoff radius in Å."""
        parts = [
            (term.tree, weight)
            for term, weight in zip(expression.terms, expression.weights, strict=True)
            if (term.kind, term.species) == ("pair", species)
        ]
        self.inside = RadialFunction(parts, r0, cutoff)
        """The function between ``r_lo`` and ``r_cut``."""

    def energy(self, r: NDArray[np.float64]) -> NDArray[np.float64]:
        """Energy of a pair in eV at the distances ``r`` in Å, any shape."""
        return np.asarray(self.derivatives(r, 0)[0])

    def slope(self, r: NDArray[np.float64]) -> NDArray[np.float64]:
        """First derivative in eV/Å at the distances ``r`` in Å, any shape."""
        return np.asarray(self.derivatives(r, 1)[1])

    def curvature(self, r: NDArray[np.float64]) -> NDArray[np.float64]:
        """Second derivative in eV/Å^2 at the distances ``r`` in Å, any shape."""
        return np.asarray(self.derivatives(r, 2)[2])

    def derivatives(self, r: NDArray[np.float64], order: int) -> NDArray[np.float64]:
        """Value and derivatives up to ``order`` <= 3, in eV/Å^n; shape (order + 1, *r.shape)."""
        r = np.asarray(r, dtype=float)
        result = np.zeros((order + 1, *r.shape))
        below = r < self.r_lo
        if below.any():
            for n in range(order + 1):
                result[n, below] = self.wall.derivative(r[below], n)
        inside = ~below & (r < self.r_cut)
        result[:, inside] = self.inside.derivatives(r[inside], order)
        return result

    @cached_property
    def wall(self) -> Wall:
        """What stands below ``r_lo``."""
        at_edge = self.inside.derivatives(np.array([self.r_lo]), HIGHEST)[:, 0]
        if not np.isfinite(at_edge).all():
            raise ValueError(
                f"the formula for {'-'.join(self.species)} is not finite at {self.r_lo:g} Å, where "
                "its domain begins"
            )
        return Wall.join(self.r_lo, *at_edge.tolist())

    @property
    def expression(self) -> Any:
        """The formula without cutoff function and wall as SymPy, in r (Å), in eV."""
        return self.inside.expression
