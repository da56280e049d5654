"""Functions of one distance that fade by a cutoff function, with derivatives by SymPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from math import comb
from typing import Any

import numpy as np
import sympy
from numpy.typing import NDArray

from symreg.formula.simplify import tree_to_sympy
from symreg.language import Tree
from symreg.terms.cutoff import Cutoff

HIGHEST = 3
"""Order of the highest derivative; the wall needs it."""
R = sympy.Symbol("r", positive=True)
"""The distance in Å in all SymPy expressions."""
# SymPy knows nothing about this one, so it does not make sqrt(u^2) an |u| whose derivatives it
# cannot compute.
ANY_R = sympy.Symbol("r")

Floats = NDArray[np.float64]
Function = Callable[..., tuple[Any, ...]]
"""Several expressions as one numpy function."""
Parts = Sequence[tuple[Tree, float]]
"""Trees with their weights in eV."""
Write = Callable[..., Any]
"""Writes a tree in SymPy, as ``tree_to_sympy`` does: from tree, variables and constants."""


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


def weighted_sum(
    parts: Parts,
    variables: Mapping[str, Any],
    number: Callable[[float], Any] = sympy.Float,
    write: Write = tree_to_sympy,
) -> Any:
    """Σ w f as SymPy in these variables, where ``number`` writes weights and constants."""
    total = sympy.Integer(0)
    for tree, weight in parts:
        factor, constants = number(weight), list(map(number, tree.constants))
        total += factor * write(tree, variables, constants)
    return total


def numbered_sum(
    parts: Parts, variables: Mapping[str, Any], write: Write = tree_to_sympy
) -> tuple[Any, Numbers]:
    """Σ w f as SymPy in these variables, with symbols for its numbers."""
    numbers = Numbers()
    return weighted_sum(parts, variables, numbers.symbol, write), numbers


class RadialFunction:
    """Σ w h(r/r0) f_c(r) for distances below the cutoff radius."""

    def __init__(
        self, parts: Parts, r0: float, cutoff: Cutoff, write: Write = tree_to_sympy
    ) -> None:
        """Take trees in x with their weights in eV; ``r0`` in Å."""
        self.parts = parts
        self.r0 = r0
        self.cutoff = cutoff
        self.write = write

    def derivatives(self, r: Floats, order: int) -> Floats:
        """Derivatives 0 to ``order`` <= 3 at ``r`` below the cutoff; shape (order + 1, P)."""
        # Two compilations serve all: one for forces, one for the wall and curvatures.
        formula, switch = self._functions(1 if order <= 1 else HIGHEST)
        phi = evaluate(formula, r, *self.numbered[1].values)[: order + 1]
        outer = r >= (self.cutoff.r_on if self.cutoff.fade.has_onset else 0.0)
        if self._is_plain or not outer.any():
            return phi
        f_c = evaluate(switch, r[outer])
        inner = phi[:, outer]
        for n in range(order + 1):  # Leibniz
            phi[n, outer] = sum(comb(n, k) * inner[k] * f_c[n - k] for k in range(n + 1))
        return phi

    @cached_property
    def _is_plain(self) -> bool:
        """Whether the cutoff function is 1 as far as it goes."""
        return bool(self.cutoff.sympy(R) == 1)

    def clamped(self, r: Floats, effective: Floats, slope: Floats) -> Floats:
        """Value and slope at distances that are felt as others; shape (2, P), zero from r_cut on.

        Parameters
        ----------
        r
            Distances in Å, shape (P,).
        effective, slope
            Those that are felt in their place, and their derivatives by ``r``, shape (P,).
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
    def numbered(self) -> tuple[Any, Numbers]:
        """Without cutoff function, as SymPy in ``ANY_R``, with symbols for its numbers."""
        numbers = Numbers()
        return self._symbolic(numbers.symbol, ANY_R), numbers

    def _symbolic(self, number: Callable[[float], Any], r: Any) -> Any:
        return weighted_sum(self.parts, {"x": r / number(self.r0)}, number, self.write)

    @cached_property
    def _compiled(self) -> dict[int, tuple[Function, Function]]:
        return {}

    def _functions(self, order: int) -> tuple[Function, Function]:
        """Derivatives 0 to ``order`` of the formula and of its switch as numpy functions."""
        if order not in self._compiled:
            expression, numbers = self.numbered
            self._compiled[order] = (
                _compile(expression, order, [ANY_R, *numbers.symbols]),
                _compile(self.cutoff.sympy(R), order, [R]),
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


def evaluate(function: Function, x: Floats, *others: Any) -> Floats:
    """All values of a compiled function at ``x``, shape (expressions, *x.shape)."""
    with np.errstate(all="ignore"):
        return np.stack([np.full(x.shape, part, dtype=float) for part in function(x, *others)])
