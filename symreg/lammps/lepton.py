"""Formulas as strings for ``pair_style lepton``: exact, and 4-6 times dearer than ``lj/cut``.

The strings hold numbers only, since Lepton takes a name that it does not know for zero.
"""

from __future__ import annotations

import math
from typing import Any

import sympy

from symreg.formula import Formula, Wall
from symreg.lammps.route import Route, Way, lines_of, type_pairs
from symreg.language import Tree
from symreg.language.operators import OPERATORS
from symreg.language.tree import translated
from symreg.terms import Key
from symreg.terms.cutoff import Cutoff

FUNCTIONS = ("sqrt", "exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh", "erf", "erfc")
"""Functions of one argument that Lepton has, by the names that SymPy and symreg call them too."""


def lepton_string(formula: Formula, a: str, b: str) -> str:
    """u(r) of a pair of species, wall included, in Å and eV; helpers follow after semicolons."""
    function = formula.pair_function(a, b)
    inside = tree_to_lepton(formula.expression.total(Key.of(a, b)))
    helpers = [f"x=r/{_number(function.r0)}"]
    if fade := _fade(function.cutoff):
        inside, helpers = f"{inside}*fc", [*helpers, *fade]
    below, wall = f"step({_number(function.r_lo)}-r)", _wall(function.wall)
    helpers.append(f"h={_number(function.r_lo)}-r")
    return ";".join([f"select({below},{wall},{inside})", *helpers])


def tree_to_lepton(tree: Tree) -> str:
    """A tree in x with its constants as numbers and every operation in parentheses."""
    constants = list(map(_number, tree.constants))
    return str(translated(tree.root, {"x": "x"}, constants, _number, _applied))


def _applied(op: str, *operands: str) -> str:
    """The value of an operator as text."""
    if op not in OPERATORS:
        raise ValueError(f"a formula holds '{op}', which is neither an operator nor a variable")
    if symbol := OPERATORS[op].symbol.strip():
        one, other = operands if len(operands) == 2 else ("0", *operands)
        return f"({one}{symbol}{other})"
    return _called(op, *operands)


def _called(name: str, *operands: str) -> str:
    if name not in FUNCTIONS:
        raise ValueError(f"Lepton has no function '{name}': use style 'table'")
    return f"{name}({','.join(operands)})"


def sympy_to_lepton(expression: Any) -> str:
    """SymPy with its numbers to all digits and every operation in parentheses."""
    if expression.is_Symbol:
        return str(expression)
    if expression.is_number:
        return _number(int(expression) if expression.is_Integer else float(expression))
    operands = map(sympy_to_lepton, expression.args)
    for kind, symbol in ((sympy.Add, "+"), (sympy.Mul, "*"), (sympy.Pow, "^")):
        if isinstance(expression, kind):
            return f"({symbol.join(operands)})"
    return _called(expression.func.__name__, *operands)


def _number(value: float) -> str:
    """Its text; Lepton would take the name ``inf`` for zero."""
    if not math.isfinite(value):
        raise ValueError(f"the formula holds the number {value:g}, which is not finite")
    text = repr(value if isinstance(value, int) else float(value))  # numpy's say who they are
    return f"({text})" if text.startswith("-") else text


def _fade(cutoff: Cutoff) -> list[str]:
    """The cutoff function ``fc``; nothing where it is 1."""
    # At its onset it is 1, and level.
    distance = "q" if cutoff.fade.has_onset else "r"
    expression = cutoff.sympy(sympy.Symbol(distance))
    if expression == 1:
        return []
    onset = [f"q=max(r,{_number(cutoff.r_on)})"] if cutoff.fade.has_onset else []
    return [f"fc={sympy_to_lepton(expression)}", *onset]


def _wall(wall: Wall) -> str:
    """The wall in ``h``, how far a distance is below ``r_lo``."""
    c = [_number(value) for value in wall.coefficients]
    if wall.kind == "exponential":
        return f"{c[0]}+{c[1]}*exp({c[2]}*h)"
    return f"{c[0]}+h*({c[1]}+h*({c[2]}+h*({c[3]}+h*{c[4]})))"


class LeptonWay(Way):
    """Pairs as strings."""

    style = "lepton"
    says = "by `pair_style lepton`, exact and slower"

    def make(self, formula: Formula, first_line: str) -> Route:  # noqa: ARG002
        """See ``Way``."""
        lines = [f"pair_style lepton {formula.r_cut!r}"]
        for i, j, a, b in type_pairs(formula):
            text, r_cut = lepton_string(formula, a, b), formula.pair_function(a, b).r_cut
            own = f" {r_cut!r}" if r_cut != formula.r_cut else ""
            lines.append(f'pair_coeff {i} {j} "{text}"{own}')
        return Route(self.style, lines_of(lines), {}, 0.0)
