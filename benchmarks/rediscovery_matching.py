"""Whether two formulas are the same: their terms multiplied out and compared, addend by addend."""

from __future__ import annotations

from typing import Any

import sympy

from symreg.formula.simplify.translate import tree_to_sympy
from symreg.terms import Expression, Term

CLOSE, FAR = 1e-3, (0.25, 0.5)
"""Relative tolerance of all constants on clean labels; with noise of those inside functions, and of
the numbers in front of them, against those of the true form fitted to the same labels."""

Addend = tuple[str, str, float, tuple[float, ...]]
"""Kind of a sum, structure, number in front and constants inside of an addend."""
X = sympy.Symbol("x", positive=True)
SYMBOLS = {"x": X, "x1": sympy.Symbol("x1", positive=True), "x2": sympy.Symbol("x2", positive=True)}
SYMBOLS["c"] = sympy.Symbol("c", real=True)


def normal(expression: Expression) -> list[Addend]:
    """All addends of a formula multiplied out, sorted; empty where SymPy cannot say them."""
    totals: dict[str, Any] = {}
    sums: dict[Any, tuple[str, tuple[float, ...]]] = {}
    for term, weight in expression.weighted():
        addend = sympy.Float(weight) * _in_sympy(term, sums)
        totals[term.key.over] = totals.get(term.key.over, 0) + addend
    found = []
    for over, total in totals.items():
        for addend in sympy.Add.make_args(sympy.expand(total)):
            number, rest = addend.as_coeff_Mul()
            inside: list[float] = []
            found.append((over, _structure(rest, sums, inside), float(number), tuple(inside)))
    return sorted(found, key=lambda a: (a[0], a[1], a[3]))


def agree(found: list[Addend], true: list[Addend], noisy: bool) -> bool:
    """Whether addends have the same structures, and constants within the tolerance."""
    if [a[:2] for a in found] != [a[:2] for a in true]:
        return False
    inner, outer = FAR if noisy else (CLOSE, CLOSE)
    return all(
        abs(a[2] / b[2] - 1) < outer
        and all(abs(p / q - 1) < inner for p, q in zip(a[3], b[3], strict=True))
        for a, b in zip(found, true, strict=True)
    )


def _in_sympy(term: Term, sums: dict[Any, tuple[str, tuple[float, ...]]]) -> Any:
    """A term in SymPy; every sum of a function, without its scale, becomes a symbol."""
    if term.of is None:
        return tree_to_sympy(term.tree, SYMBOLS)
    variables: dict[str, Any] = {}
    for n, one in enumerate(term.sums, 1):
        total = sympy.expand(tree_to_sympy(one.tree, SYMBOLS))
        scale, rest = total.as_coeff_Mul()
        inside: list[float] = []
        symbol = sympy.Symbol(f"S{len(sums)}", positive=True)
        sums[symbol] = _structure(rest, {}, inside), tuple(inside)
        variables[f"s{n}"] = scale * symbol
    return tree_to_sympy(term.of, variables)


def _structure(
    expression: Any, sums: dict[Any, tuple[str, tuple[float, ...]]], inside: list[float]
) -> str:
    """An expression as text without its real numbers, which are collected in order."""
    if expression in sums:
        text, numbers = sums[expression]
        inside.extend(numbers)
        return f"sum({text})"
    if expression.is_Symbol:
        return str(expression)
    if expression.is_number:
        inside.append(float(expression))
        return "#"
    if expression.is_Pow and expression.exp.is_Rational:
        return f"({_structure(expression.base, sums, inside)})^{expression.exp}"
    parts = []
    for operand in expression.args:
        numbers: list[float] = []
        parts.append((_structure(operand, sums, numbers), numbers))
    if expression.is_Add or expression.is_Mul:
        parts.sort()
    inside.extend(number for _, numbers in parts for number in numbers)
    return f"{expression.func.__name__}({', '.join(text for text, _ in parts)})"
