"""Three-body interactions as functions of two distances and a cosine, derivatives by SymPy."""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import sympy
from numpy.typing import NDArray

from symreg.formula.radial import Function, Numbers, RadialFunction, compile_all, evaluate
from symreg.formula.simplify import tree_to_sympy
from symreg.language import Node, Tree
from symreg.terms import Expression
from symreg.terms.cutoff import Cutoff
from symreg.terms.wall import Clamp

X1, X2, C = sympy.symbols("x1 x2 c")
"""Reduced distances and the cosine in SymPy; it knows nothing about them, as of ``ANY_R``."""
VARIABLES = {"x1": X1, "x2": X2, "c": C}
ONE = Tree((Node("int", 1),))


class Product(NamedTuple):
    """One separable term w h(x1) h(x2) p(c)."""

    radial: RadialFunction
    """g(r) = h(r/r0) f_c(r), without the weight."""
    angular: tuple[Any, Numbers]
    """w p(c) as SymPy, with symbols for its numbers."""
    trees: tuple[Tree, Tree]
    """h and p."""
    weight: float
    """In eV."""

    def function(self) -> Function:
        """W p(c) and its derivative as a numpy function."""
        expression, numbers = self.angular
        return compile_all([expression, sympy.diff(expression, C)], [C, *numbers.symbols])


class Radials(NamedTuple):
    """What triplets need to know of every pair, computed once per pair; arrays of shape (P,)."""

    x: NDArray[np.float64]
    """Effective distance over r0."""
    x_slope: NDArray[np.float64]
    """dx/dr in 1/Å."""
    fade: NDArray[np.float64]
    """Cutoff function and its derivative by r, shape (2, P)."""
    products: list[NDArray[np.float64]]
    """For each product g and dg/dr, shape (2, P)."""


class ThreeBodyFunction:
    """Σ w ψ(x_ij, x_ik, c) f_c(r_ij) f_c(r_ik) of one centre and two of its neighbours.

    ψ that are no products stand for their mean over both orders of the neighbours.
    """

    def __init__(
        self,
        expression: Expression,
        species: tuple[str, str, str],
        r0: float,
        cutoff: Cutoff,
        r_lo: float,
    ) -> None:
        """Take the three-body terms of one triplet of species; ``r0`` and ``r_lo`` in Å."""
        self.species = species
        """Chemical symbols: the centre, then its neighbours."""
        self.r0 = r0
        self.cutoff = cutoff
        self.clamp = Clamp(r_lo)
        self.r_cut = cutoff.r_cut
        """Cutoff radius in Å."""
        self.products: list[Product] = []
        self.general: list[tuple[Tree, float]] = []
        """Terms that are no products, with their weights in eV."""
        for term, weight in zip(expression.terms, expression.weights, strict=True):
            if (term.kind, term.species) != ("three-body", species):
                continue
            if term.tree.factors is None:
                self.general.append((term.tree, weight))
            else:
                self.products.append(self._product(*term.tree.factors, weight))
        self.fade = RadialFunction([(ONE, 1.0)], r0, cutoff)
        """The cutoff function alone."""

    def _product(self, radial: Tree, angular: Tree, weight: float) -> Product:
        numbers = Numbers()
        factor = numbers.symbol(weight)
        constants = [numbers.symbol(value) for value in angular.constants]
        return Product(
            RadialFunction([(radial, 1.0)], self.r0, self.cutoff),
            (factor * tree_to_sympy(angular, {"c": C}, constants), numbers),
            (radial, angular),
            weight,
        )

    @cached_property
    def psi(self) -> tuple[Any, Numbers]:
        """The weighted sum of all terms that are no products, with symbols for its numbers."""
        numbers = Numbers()
        total = sympy.Integer(0)
        for tree, weight in self.general:
            factor = numbers.symbol(weight)
            constants = [numbers.symbol(value) for value in tree.constants]
            total += factor * tree_to_sympy(tree, VARIABLES, constants)
        return total, numbers

    def sympy(self) -> Any:
        """ψ without cutoff functions as SymPy in x1, x2 and c, symmetric in the neighbours."""
        total = sympy.Integer(0)
        for product in self.products:
            h, p = product.trees
            total += (
                sympy.Float(product.weight)
                * tree_to_sympy(h, X1)
                * tree_to_sympy(h, X2)
                * tree_to_sympy(p, {"c": C})
            )
        for tree, weight in self.general:
            one = tree_to_sympy(tree, VARIABLES)
            two = one.xreplace({X1: X2, X2: X1})
            total += sympy.Float(weight) * (one if one == two else (one + two) / 2)
        return total

    def derivatives(
        self, r1: NDArray[np.float64], r2: NDArray[np.float64], c: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Energy in eV and its derivatives by both distances (eV/Å) and the cosine, shape (4, T).

        Parameters
        ----------
        r1, r2
            Distances in Å of the neighbours from the centre, shape (T,).
        c
            Cosine of the angle between them, shape (T,).
        """
        count = len(r1)
        first = np.arange(count)
        radials = self.radials(np.concatenate([r1, r2]))
        return self.triplets(radials, first, first + count, c)

    def radials(self, r: NDArray[np.float64]) -> Radials:
        """All that depends on one distance only, at the distances ``r`` in Å, shape (P,)."""
        assert self._is_finite
        effective, slope = self.clamp(r)
        inside = r < self.r_cut

        def clamped(function: RadialFunction) -> NDArray[np.float64]:
            values = np.zeros((2, r.size))
            values[:, inside] = function.derivatives(effective[inside], 1)
            values[1] *= slope
            return values

        return Radials(
            effective / self.r0,
            slope / self.r0,
            clamped(self.fade),
            [clamped(product.radial) for product in self.products],
        )

    def triplets(
        self,
        radials: Radials,
        first: NDArray[np.int64],
        second: NDArray[np.int64],
        c: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """As ``derivatives``, for triplets given as indices into ``radials``."""
        result = np.zeros((4, c.size))
        angular = zip(self.products, radials.products, self._angular, strict=True)
        for product, (g, g_slope), function in angular:
            p, p_slope = evaluate(function, c, *product.angular[1].values)
            result[0] += g[first] * g[second] * p
            result[1] += g_slope[first] * g[second] * p
            result[2] += g[first] * g_slope[second] * p
            result[3] += g[first] * g[second] * p_slope
        if self.general:
            result += self._general(radials, first, second, c)
        return result

    def _general(
        self,
        radials: Radials,
        first: NDArray[np.int64],
        second: NDArray[np.int64],
        c: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        x1, x2 = radials.x[first], radials.x[second]
        numbers = self.psi[1].values
        one = evaluate(self._psi_function, x1, x2, c, *numbers)
        two = evaluate(self._psi_function, x2, x1, c, *numbers)
        psi = 0.5 * (one + two[[0, 2, 1, 3]])
        (f1, f2), (d1, d2) = ((part[first], part[second]) for part in radials.fade)
        slope1 = psi[1] * radials.x_slope[first] * f1 + psi[0] * d1
        slope2 = psi[2] * radials.x_slope[second] * f2 + psi[0] * d2
        return np.stack([psi[0] * f1 * f2, slope1 * f2, f1 * slope2, psi[3] * f1 * f2])

    @cached_property
    def _angular(self) -> list[Function]:
        return [product.function() for product in self.products]

    @cached_property
    def _psi_function(self) -> Function:
        expression, numbers = self.psi
        slopes = [sympy.diff(expression, variable) for variable in (X1, X2, C)]
        return compile_all([expression, *slopes], [X1, X2, C, *numbers.symbols])

    @cached_property
    def _is_finite(self) -> bool:
        """Whether it has a value where atoms can be driven to: near, and in one line.

        Raises
        ------
        ValueError
            If it has none.
        """
        name = f"the three-body formula for {'-'.join(self.species)} is not finite"
        near = np.array([self.clamp.floor, self.clamp.r_lo])
        for radial in (self.fade, *(product.radial for product in self.products)):
            _refuse(radial.derivatives(near, 1), f"{name} at {{:g}} Å", near)
        cosines = np.array([-1.0, 0.0, 1.0])
        for product, function in zip(self.products, self._angular, strict=True):
            values = evaluate(function, cosines, *product.angular[1].values)
            _refuse(values, f"{name} at cosine {{:g}}", cosines)
        if self.general:
            r1, r2, c = (part.ravel() for part in np.meshgrid(near, near, cosines))
            psi = evaluate(self._psi_function, r1 / self.r0, r2 / self.r0, c, *self.psi[1].values)
            _refuse(psi, f"{name} at {{:g}} Å, {{:g}} Å and cosine {{:g}}", r1, r2, c)
        return True


def _refuse(values: NDArray[np.float64], message: str, *coordinates: NDArray[np.float64]) -> None:
    """Raise ``ValueError`` with the first of the places at which a value is not finite."""
    broken = ~np.isfinite(values).all(axis=0)
    if broken.any():
        n = int(np.argmax(broken))
        raise ValueError(message.format(*(part[n] for part in coordinates)))
