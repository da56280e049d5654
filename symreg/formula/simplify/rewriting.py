"""Other ways to write a formula, found by SymPy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import sympy

from symreg.formula.simplify.translate import split_weight, sympy_to_tree, tree_to_sympy
from symreg.language import Tree
from symreg.language.operators import WEIGHT_COST

Form = list[tuple[float, Tree]]  # weights in eV and their trees

X = sympy.Symbol("x", positive=True)
HIGHEST_EXPANDED = 6  # sums to higher powers are left whole: written out they are long


def _expand_powers(expression: Any) -> Any:
    return sympy.powsimp(sympy.expand(sympy.expand_power_base(expression, force=True)))


def _absorb(expression: Any) -> Any:
    # exp(a + b x) is a number times exp(b x), but exp(b x + c x^2) stays one exponential.
    return sympy.powsimp(sympy.expand(expression, power_exp=True), combine="exp")


# The cheap ones first: when time runs out, what has been found so far is kept.
_REWRITES: tuple[Callable[[Any], Any], ...] = (
    lambda expression: expression,
    lambda expression: sympy.expand_mul(expression, deep=False),
    sympy.expand,
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

    First ways to write the whole sum, then the sum of the shortest ways to write each term. A
    number that multiplies an addend becomes its weight.
    """
    terms = [(weight, tree_to_sympy(tree, X)) for weight, tree in form]
    total = sympy.Add(*(sympy.Float(weight) * expression for weight, expression in terms))
    yield from _forms(total, sympy.Add.make_args)
    together: Form = []
    for weight, expression in terms:
        found = [
            *_forms(expression, sympy.Add.make_args),
            *_forms(expression, lambda whole: [whole]),
        ]
        if not found:
            return
        together += [(weight * number, tree) for number, tree in min(found, key=_cost)]
    yield together


def _forms(expression: Any, addends: Callable[[Any], Sequence[Any]]) -> Iterator[Form]:
    seen = set()
    whole, powers = _without_high_powers(expression)
    for change in _REWRITES:
        changed = change(whole).xreplace(powers)
        if changed not in seen:
            seen.add(changed)
            with suppress(ValueError):  # some expressions cannot be said by a tree
                yield _written(addends(changed))


def _without_high_powers(expression: Any) -> tuple[Any, dict[Any, Any]]:
    """The expression with a symbol for each high power of a sum, and what they stand for."""
    high = {
        power: sympy.Dummy()
        for power in expression.atoms(sympy.Pow)
        if power.base.is_Add and power.exp.is_Integer and abs(power.exp) > HIGHEST_EXPANDED
    }
    return expression.xreplace(high), {symbol: power for power, symbol in high.items()}


def _written(addends: Sequence[Any]) -> Form:
    """A term for each addend, whose tree may be a sum."""
    parts: dict[Any, float] = {}
    for addend in addends:
        weight, rest = split_weight(addend)
        parts[rest] = parts.get(rest, 0.0) + weight
    return [(weight, sympy_to_tree(rest)) for rest, weight in parts.items()]


def _cost(form: Form) -> tuple[int, int]:
    return (
        sum(tree.complexity + WEIGHT_COST for _, tree in form),
        sum(len(tree.constants) for _, tree in form) + len(form),
    )
