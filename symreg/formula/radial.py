"""Functions of one distance that fade by a cutoff function, with derivatives by SymPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from math import comb
from typing import Any

import numpy as np
import sympy
from numpy.typing import NDArray

from symreg.formula.simplify import tree_to_sympy
from symreg.language import Tree
from symreg.terms.cutoff import SWITCHED, Cutoff

HIGHEST = 3
"""Order of the highest derivative; the wall needs it."""
R = sympy.Symbol("r", positive=True)
"""The distance in Å in all SymPy expressions."""
# SymPy knows nothing about this one, so it does not make sqrt(u^2) an |u| whose derivatives it
# cannot compute.
ANY_R = sympy.Symbol("r")

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


class Numbers:
    """Symbols in place of the numbers of a formula: SymPy would round them to 15 digits."""

    def __init__(self) -> None:
        """Begin with none."""
        self.values: list[float] = []

    def symbol(self, value: float) -> Any:
        """The next symbol, which stands for ``value``."""
        self.values.append(float(value))
        return sympy.Symbol(f"p{len(self.values) - 1}")

    @property
    def symbols(self) -> list[Any]:
        """All symbols, in the order of ``values``."""
        return [sympy.Symbol(f"p{n}") for n in range(len(self.values))]


class RadialFunction:
    """Σ w h(r/r0) f_c(r) for distances below the cutoff radius."""

    def __init__(self, parts: Sequence[tuple[Tree, float]], r0: float, cutoff: Cutoff) -> None:
        """Take trees in x with their weights in eV; ``r0`` in Å."""
        self.parts = parts
        self.r0 = r0
        self.cutoff = cutoff

    def derivatives(self, r: NDArray[np.float64], order: int) -> NDArray[np.float64]:
        """Derivatives 0 to ``order`` <= 3 at ``r`` below the cutoff; shape (order + 1, P)."""
        # Two compilations serve all: one for forces, one for the wall and curvatures.
        formula, switch = self._functions(1 if order <= 1 else HIGHEST)
        phi = evaluate(formula, r, *self.numbered[1].values)[: order + 1]
        outer = r >= self.cutoff.r_on if self.cutoff.kind in SWITCHED else np.full(r.shape, True)
        if self.cutoff.kind == "none" or not outer.any():
            return phi
        f_c = evaluate(switch, r[outer])
        inner = phi[:, outer]
        for n in range(order + 1):  # Leibniz
            phi[n, outer] = sum(comb(n, k) * inner[k] * f_c[n - k] for k in range(n + 1))
        return phi

    @cached_property
    def expression(self) -> Any:
        """Without cutoff function, as SymPy in r (Å)."""
        return self._symbolic(sympy.Float, R)

    @cached_property
    def numbered(self) -> tuple[Any, Numbers]:
        """Without cutoff function, as SymPy in ``ANY_R``, with symbols for its numbers."""
        numbers = Numbers()
        return self._symbolic(numbers.symbol, ANY_R), numbers

    def _symbolic(self, write: Callable[[float], Any], r: Any) -> Any:
        total = sympy.Integer(0)
        for tree, weight in self.parts:
            constants = [write(value) for value in tree.constants]
            total += write(weight) * tree_to_sympy(tree, r / write(self.r0), constants)
        return total

    @cached_property
    def _compiled(self) -> dict[int, tuple[Function, Function]]:
        return {}

    def _functions(self, order: int) -> tuple[Function, Function]:
        """Derivatives 0 to ``order`` of the formula and of its switch as numpy functions."""
        if order not in self._compiled:
            expression, numbers = self.numbered
            self._compiled[order] = (
                _compile(expression, order, [ANY_R, *numbers.symbols]),
                _compile(cutoff_to_sympy(self.cutoff), order, [R]),
            )
        return self._compiled[order]


def _compile(expression: Any, order: int, arguments: list[Any]) -> Function:
    """Value and derivatives by the first argument as one numpy function."""
    derivatives = [expression]
    for _ in range(order):
        derivatives.append(sympy.diff(derivatives[-1], arguments[0]))
    return compile_all(derivatives, arguments)


def compile_all(expressions: Sequence[Any], arguments: Sequence[Any]) -> Function:
    """Several expressions as one numpy function, the first being the formula itself.

    Raises
    ------
    ValueError
        If the formula has no finite real value anywhere.
    """
    if expressions[0].has(sympy.zoo, sympy.nan, sympy.oo, sympy.I):
        raise ValueError(f"the formula has no finite real value: {expressions[0]}")
    function: Function = sympy.lambdify(arguments, expressions, modules="numpy", cse=True)
    return function


def evaluate(function: Function, x: NDArray[np.float64], *others: Any) -> NDArray[np.float64]:
    """All values of a compiled function at ``x``, shape (expressions, *x.shape)."""
    with np.errstate(all="ignore"):
        return np.stack([np.full(x.shape, part, dtype=float) for part in function(x, *others)])
