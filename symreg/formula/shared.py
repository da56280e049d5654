"""Forms that several keys share, in LaTeX: the form once, and a table of its constants by key."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import sympy

from symreg.formula.functions import FunctionOfSums
from symreg.formula.sums.base import SumFunction, latex, rounded
from symreg.terms import Expression, Key


class _Named:
    """Numbers written as a_1, a_2, ..., and their values in this order."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def __call__(self, value: float) -> Any:
        self.values.append(value)
        return sympy.Symbol(f"a_{len(self.values)}")


def shared_keys(expression: Expression) -> list[list[Key]]:
    """Keys whose terms have the same shapes, where there are several, in order of the alphabet.

    >>> from symreg.terms import expression_of
    >>> parts = [(1.0, "Ar-Ar: x^-6"), (2.0, "Ar-Kr: x^-6"), (3.0, "Kr-Kr: exp(-x)")]
    >>> [[str(key) for key in keys] for keys in shared_keys(expression_of(parts))]
    [['Ar-Ar', 'Ar-Kr']]
    """
    groups: dict[Any, list[Key]] = defaultdict(list)
    for key in sorted(expression.keys()):
        shapes = tuple(term.tree.shape for term, _ in expression.of(key))
        _, *near = key.species
        # What is symmetric in its neighbours is no form of unlike ones.
        groups[key.over, len(set(near)) > 1, shapes].append(key)
    return [keys for keys in groups.values() if len(keys) > 1]


def shared_latex(parts: Mapping[Key, SumFunction | FunctionOfSums], digits: int) -> list[str]:
    """Lines of the form that all parts have, and a table of their constants by key."""
    rows, heads, form = [], [], [""]
    for key, part in parts.items():
        named = _Named()
        head, *form = part.latex(named)
        name, value = head.split(" = ", 1)
        heads.append(name)
        numbers = (latex(rounded(digits)(value)) for value in named.values)
        rows.append(" & ".join([rf"\mathrm{{{key}}}", *numbers]))
    columns = len(named.values)
    first = " & ".join(["", *(f"a_{{{n}}}" for n in range(1, columns + 1))])
    table = r" \\ ".join([first + r" \\ \hline " + rows[0], *rows[1:]])
    begin = rf"\begin{{array}}{{l|{'r' * columns}}}"
    return [f"{', '.join(heads)} = {value}", *form, rf"{begin} {table} \end{{array}}"]
