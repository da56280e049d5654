"""C++ functions from SymPy expressions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sympy
from sympy.printing.c import C99CodePrinter

from symreg.formula.radial import Numbered


class _Printer(C99CodePrinter):  # type: ignore[misc]
    """C++ in which integer powers are multiplications."""

    def _print_Pow(self, expr: Any) -> str:  # noqa: N802 - SymPy calls it by this name
        base, exponent = expr.as_base_exp()
        if exponent.is_Integer and abs(int(exponent)) > 1:
            text = f"power<{abs(int(exponent))}>({self._print(base)})"
            return f"(1.0/{text})" if exponent < 0 else text
        return str(super()._print_Pow(expr))


def number(value: float) -> str:
    """A number as C++, every digit of it."""
    return repr(float(value))


def constants(function: Numbered) -> list[str]:
    """Declarations of the numbers of a function."""
    return [f"constexpr double p{n} = {number(value)};" for n, value in enumerate(function.values)]


def assignments(expressions: Mapping[str, Any]) -> list[str]:
    """Statements that assign expressions to names, common subexpressions first."""
    printer = _Printer()
    names = sympy.numbered_symbols("t")
    common, results = sympy.cse(list(expressions.values()), symbols=names)
    lines = [f"const double {name} = {printer.doprint(part)};" for name, part in common]
    for name, part in zip(expressions, results, strict=True):
        lines.append(f"{name} = {printer.doprint(part)};")
    return lines


def function(
    name: str, arguments: Sequence[str], body: Sequence[str], comment: str, returns: str = "void"
) -> str:
    """A whole function."""
    text = "".join(f"  {line}\n" for line in body)
    return f"// {comment}\ninline {returns} {name}({', '.join(arguments)})\n{{\n{text}}}\n"


def declared(name: str, one: Numbered) -> str:
    """A function of one variable, and its slope."""
    variable, body = one.variables[0], constants(one)
    body += assignments({"value": one.expression, "slope": one.slopes[0]})
    if not one.expression.has(variable):
        body.insert(0, f"(void) {variable};")
    arguments = [f"double {variable}", "double &value", "double &slope"]
    return function(name, arguments, body, "A function of one variable, and its slope.")
