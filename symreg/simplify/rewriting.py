"""Other ways to write a formula, found by SymPy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import sympy

from symreg.expression import Tree
from symreg.primitives import WEIGHT_COST
from symreg.simplify.translate import split_weight, sympy_to_tree, tree_to_sympy

Form = list[tuple[float, Tree]]
"""Weights in eV and their trees."""

X = sympy.Symbol("x", positive=True)


def _expand(expression: Any) -> Any:
    return sympy.expand(expression)


def _expand_powers(expression: Any) -> Any:
    return sympy.powsimp(sympy.expand(sympy.expand_power_base(expression, force=True)))


def _absorb(expression: Any) -> Any:
    # exp(a + b x) is a number times exp(b x), but exp(b x + c x^2) stays one exponential.
    return sympy.powsimp(sympy.expand(expression, power_exp=True), combine="exp")


def _shallow(expression: Any) -> Any:
    return sympy.expand_mul(expression, deep=False)


# The cheap ones first: when time runs out, what has been found so far is kept.
_REWRITES: tuple[Callable[[Any], Any], ...] = (
    lambda expression: expression,
    _shallow,
    _expand,
    sympy.powsimp,
    _expand_powers,
    _absorb,
    sympy.factor_terms,
    lambda expression: sympy.collect(sympy.expand(expression), X),
    sympy.together,
    sympy.cancel,
)


def rewrite(form: Sequence[tuple[float, Tree]]) -> Iterator[Form]:
    """Yield forms equal to a weighted sum of trees, as far as SymPy is right about it.

    First ways to write the whole sum, then the sum of the shortest ways to write each addend. A
    number that multiplies an addend becomes its weight.
    """
    addends = [sympy.Float(weight) * tree_to_sympy(tree, X) for weight, tree in form]
    yield from _forms(sympy.Add(*addends))
    shortest = [min(_forms(addend), key=_cost, default=None) for addend in addends]
    if len(addends) > 1 and None not in shortest:
        yield [part for parts in shortest if parts is not None for part in parts]


def _forms(expression: Any) -> Iterator[Form]:
    seen = set()
    for change in _REWRITES:
        changed = change(expression)
        if changed in seen:
            continue
        seen.add(changed)
        try:
            yield _split(changed)
        except ValueError:
            continue  # no tree can say it


def _split(expression: Any) -> Form:
    parts: dict[Any, float] = {}
    for addend in sympy.Add.make_args(expression):
        weight, rest = split_weight(addend)
        parts[rest] = parts.get(rest, 0.0) + weight
    return [(weight, sympy_to_tree(rest)) for rest, weight in parts.items()]


def _cost(form: Form) -> tuple[int, int]:
    return (
        sum(tree.complexity + WEIGHT_COST for _, tree in form),
        sum(len(tree.constants) + 1 for _, tree in form),
    )
