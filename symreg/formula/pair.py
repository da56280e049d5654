"""One pair interaction as a function of the distance, with derivatives by SymPy."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from math import comb
from typing import Any

import numpy as np
import sympy
from numpy.typing import NDArray

from symreg.cutoff import SWITCHED, Cutoff
from symreg.expression import Expression
from symreg.formula.wall import Wall
from symreg.simplify import tree_to_sympy

HIGHEST = 3
"""Order of the highest derivative; the wall needs it."""
R = sympy.Symbol("r", positive=True)
"""The distance in Å in all SymPy expressions."""
_ANY_R = sympy.Symbol("r")

Function = Callable[..., tuple[Any, ...]]


def cutoff_to_sympy(cutoff: Cutoff) -> Any:
    """The part of a cutoff function between its onset and ``r_cut``, as SymPy, in r (Å)."""
    outer, inner = sympy.Float(cutoff.r_cut), sympy.Float(cutoff.r_on)
    if cutoff.kind == "none":
        return sympy.Integer(1)
    if cutoff.kind == "cosine":
        return (1 + sympy.cos(sympy.pi * R / outer)) / 2
    if cutoff.kind == "stillinger_weber":
        return sympy.exp(sympy.Float(cutoff.s) / (R - outer))
    if cutoff.kind == "poet":
        switch = (outer**2 - R**2) ** 2 * (outer**2 + 2 * R**2 - 3 * inner**2)
        return switch / (outer**2 - inner**2) ** 3
    # The septic polynomial with its fourfold zero taken out, so that nothing cancels at r_cut.
    t = (R - inner) / (outer - inner)
    return (1 - t) ** 4 * (1 + 4 * t + 10 * t**2 + 20 * t**3)


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
        self._terms = [
            (term.tree, weight)
            for term, weight in zip(expression.terms, expression.weights, strict=True)
            if (term.kind, term.species) == ("pair", species)
        ]

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
        result[:, inside] = self._formula(r[inside], order)
        return result

    @cached_property
    def wall(self) -> Wall:
        """What stands below ``r_lo``."""
        at_edge = self._formula(np.array([self.r_lo]), HIGHEST)[:, 0]
        if not np.isfinite(at_edge).all():
            raise ValueError(
                f"the formula for {'-'.join(self.species)} is not finite at {self.r_lo:g} Å, where "
                "its domain begins"
            )
        return Wall.join(self.r_lo, *at_edge.tolist())

    @cached_property
    def expression(self) -> Any:
        """The formula without cutoff function and wall as SymPy, in r (Å), in eV."""
        return self._symbolic(sympy.Float, R)

    @cached_property
    def switched_expression(self) -> Any:
        """The formula times its cutoff function between onset and ``r_cut``, as SymPy in r (Å)."""
        return self.expression * cutoff_to_sympy(self.cutoff)

    def _symbolic(self, write: Callable[[float], Any], r: Any) -> Any:
        total = sympy.Integer(0)
        for tree, weight in self._terms:
            constants = [write(value) for value in tree.constants]
            total += write(weight) * tree_to_sympy(tree, r / write(self.r0), constants)
        return total

    @cached_property
    def _phi(self) -> tuple[Any, list[Any], list[float]]:
        """The formula with symbols for its numbers, those symbols, and their values."""
        # SymPy would round numbers to 15 digits on the way to numpy. And it knows nothing about
        # these symbols, so it does not make sqrt(u^2) an |u| whose derivatives it cannot compute.
        values: list[float] = []

        def symbol(value: float) -> Any:
            values.append(value)
            return sympy.Symbol(f"p{len(values) - 1}")

        expression = self._symbolic(symbol, _ANY_R)
        return expression, [sympy.Symbol(f"p{n}") for n in range(len(values))], values

    @cached_property
    def _compiled(self) -> dict[int, tuple[Function, Function]]:
        return {}

    def _functions(self, order: int) -> tuple[Function, Function]:
        """Derivatives 0 to ``order`` of the formula and of its switch as numpy functions."""
        if order not in self._compiled:
            expression, symbols, _ = self._phi
            self._compiled[order] = (
                _compile(expression, order, [_ANY_R, *symbols]),
                _compile(cutoff_to_sympy(self.cutoff), order, [R]),
            )
        return self._compiled[order]

    def _formula(self, r: NDArray[np.float64], order: int) -> NDArray[np.float64]:
        """Derivatives 0 to ``order`` at ``r`` in the domain; shape (order + 1, P)."""
        # Two compilations serve all: one for forces, one for the wall and curvatures.
        formula, switch = self._functions(1 if order <= 1 else HIGHEST)
        phi = _evaluate(formula, r, *self._phi[2])[: order + 1]
        outer = r >= self.cutoff.r_on if self.cutoff.kind in SWITCHED else np.full(r.shape, True)
        if self.cutoff.kind == "none" or not outer.any():
            return phi
        f_c = _evaluate(switch, r[outer])
        inner = phi[:, outer]
        for n in range(order + 1):  # Leibniz
            phi[n, outer] = sum(comb(n, k) * inner[k] * f_c[n - k] for k in range(n + 1))
        return phi


def _compile(expression: Any, order: int, arguments: list[Any]) -> Function:
    """Value and derivatives by the first argument as one numpy function."""
    if expression.has(sympy.zoo, sympy.nan, sympy.oo, sympy.I):
        raise ValueError(f"the formula has no finite real value: {expression}")
    derivatives = [expression]
    for _ in range(order):
        derivatives.append(sympy.diff(derivatives[-1], arguments[0]))
    function: Function = sympy.lambdify(arguments, derivatives, modules="numpy", cse=True)
    return function


def _evaluate(function: Function, r: NDArray[np.float64], *values: float) -> NDArray[np.float64]:
    with np.errstate(all="ignore"):
        return np.stack([np.full(r.shape, part, dtype=float) for part in function(r, *values)])
