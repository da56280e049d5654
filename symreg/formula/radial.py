"""Expressions with their derivatives by SymPy, and functions of one distance that fade."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import comb
from typing import Any

import numpy as np
import sympy

from symreg.arrays import Floats
from symreg.formula.simplify import tree_to_sympy
from symreg.language import Tree
from symreg.terms.cutoff import Cutoff

R = sympy.Symbol("r", positive=True)  # the distance in Å in all SymPy expressions
# SymPy knows nothing about this one, so it does not make sqrt(u^2) an |u| whose derivatives it
# cannot compute.
ANY_R = sympy.Symbol("r")

Number = Callable[[float], Any]  # how numbers are written in SymPy
Parts = Sequence[tuple[Tree, float]]  # trees with their weights in eV
Write = Callable[..., Any]  # as ``tree_to_sympy``


class Numbered:
    """An expression with symbols for its numbers, which SymPy would round to 15 digits."""

    def __init__(self, write: Callable[[Number], Any], variables: Sequence[Any]) -> None:
        """Take what writes it, given how to write numbers."""
        self.variables = list(variables)
        self.values: list[float] = []  # the numbers that p0, p1, ... stand for
        self.expression = write(self._symbol)

    def _symbol(self, value: float) -> Any:
        self.values.append(float(value))
        return sympy.Symbol(f"p{len(self.values) - 1}")

    @cached_property
    def slopes(self) -> list[Any]:
        """Derivatives by the variables."""
        return [sympy.diff(self.expression, variable) for variable in self.variables]

    @cached_property
    def _to_first(self) -> Callable[..., Any]:
        return self._compiled([self.expression, *self.slopes])

    @cached_property
    def _to_third(self) -> Callable[..., Any]:
        second = sympy.diff(self.slopes[0], self.variables[0])
        third = sympy.diff(second, self.variables[0])
        return self._compiled([self.expression, self.slopes[0], second, third])

    def _compiled(self, expressions: list[Any]) -> Callable[..., Any]:
        symbols = [sympy.Symbol(f"p{n}") for n in range(len(self.values))]
        arguments = [*self.variables, *symbols]
        function: Callable[..., Any] = sympy.lambdify(arguments, expressions, "numpy", cse=True)
        return function

    def __call__(self, *x: Floats) -> Floats:
        """Value and slopes by the variables, shape (1 + variables, *x.shape)."""
        return self._evaluated(self._to_first, x)

    def to_third(self, x: Floats) -> Floats:
        """Value and three derivatives by the only variable, shape (4, *x.shape)."""
        return self._evaluated(self._to_third, (x,))

    def _evaluated(self, function: Callable[..., Any], x: Sequence[Floats]) -> Floats:
        with np.errstate(all="ignore"):
            parts = function(*x, *self.values)
            return np.stack([np.full(x[0].shape, part, dtype=float) for part in parts])


def weighted_sum(
    parts: Parts, variables: Mapping[str, Any], number: Number, write: Write = tree_to_sympy
) -> Any:
    """Σ w f as SymPy in these variables, where ``number`` writes weights and constants."""
    total = sympy.Integer(0)
    for tree, weight in parts:  # the weight first: that is the order of the numbers
        total += number(weight) * write(tree, variables, list(map(number, tree.constants)))
    return total


@dataclass(eq=False)
class RadialFunction:
    """Σ w h(r/r0) f_c(r) for distances below the cutoff radius; ``r0`` in Å."""

    parts: Parts
    r0: float
    cutoff: Cutoff
    write: Write = tree_to_sympy

    def derivatives(self, r: Floats, order: int) -> Floats:
        """Derivatives 0 to ``order`` <= 3 at ``r`` below the cutoff; shape (order + 1, P)."""

        def values(function: Numbered, r: Floats) -> Floats:
            # Two compilations serve all: one for forces, one for the wall and curvatures.
            return function(r) if order <= 1 else function.to_third(r)

        phi = values(self.numbered, r)[: order + 1]
        outer = r >= (self.cutoff.r_on if self.cutoff.fade.has_onset else 0.0)
        if self._switch.expression == 1 or not outer.any():
            return phi
        f_c = values(self._switch, r[outer])
        inner = phi[:, outer]
        for n in range(order + 1):  # Leibniz
            phi[n, outer] = sum(comb(n, k) * inner[k] * f_c[n - k] for k in range(n + 1))
        return phi

    def clamped(self, r: Floats, effective: Floats, slope: Floats) -> Floats:
        """Value and slope at the distances ``r`` in Å, shape (2, P); zero from r_cut on.

        ``effective`` are the distances that are felt in their place, ``slope`` their derivatives.
        """
        inside = r < self.cutoff.r_cut
        values = np.zeros((2, r.size))
        values[:, inside] = self.derivatives(effective[inside], 1)
        values[1] *= slope
        return values

    @cached_property
    def expression(self) -> Any:
        """Without cutoff function, as SymPy in r (Å)."""
        return self._symbolic(sympy.Float, R)

    @cached_property
    def numbered(self) -> Numbered:
        """Without cutoff function, in ``ANY_R``."""
        return Numbered(lambda number: self._symbolic(number, ANY_R), [ANY_R])

    @cached_property
    def _switch(self) -> Numbered:
        return Numbered(lambda _: self.cutoff.sympy(R), [R])

    def _symbolic(self, number: Number, r: Any) -> Any:
        return weighted_sum(self.parts, {"x": r / number(self.r0)}, number, self.write)
