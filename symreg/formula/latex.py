"""Formulas as LaTeX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sympy

from symreg.formula.simplify import tree_to_sympy
from symreg.language import Node, Tree
from symreg.language.operators import SUMS
from symreg.terms import Expression

X = {"x": sympy.Symbol("x", positive=True)}
COSINE = {"c": sympy.Symbol("c")}
TRIPLET = {"x1": sympy.Symbol("x_1", positive=True), "x2": sympy.Symbol("x_2", positive=True)}
TRIPLET |= COSINE
ONE = (Node("int", 1),)


def formula_latex(expression: Expression, digits: int) -> str:
    r"""Every φ(x), ψ(x1, x2, c) and F(S1, ...) in eV; lines are joined by ``\\``."""
    lines = []
    for kind, species in sorted(expression.keys()):
        name = "".join(species)
        if kind == "pair":
            right = _function(expression.total(kind, species), X, digits)
            lines.append(rf"\varphi_{{\mathrm{{{name}}}}}(x) = {right}")
            continue
        if kind == "many-body":
            lines += _many_body(expression, species, digits)
            continue
        parts = [
            (term.tree, weight)
            for term, weight in zip(expression.terms, expression.weights, strict=True)
            if (term.kind, term.species) == (kind, species)
        ]
        psi, factors = _three_body(parts, digits)
        lines.append(rf"\psi_{{\mathrm{{{name}}}}}(x_1, x_2, c) = {psi}")
        lines += factors
    return " \\\\\n".join(lines)


def _three_body(parts: Sequence[tuple[Tree, float]], digits: int) -> tuple[str, list[str]]:
    """The sum of all terms by names of their factors, and a line for each factor."""
    psi, lines = "", []
    for n, (tree, weight) in enumerate(parts, 1):
        index = f"_{{{n}}}" if len(parts) > 1 else ""
        sign = ("-" if weight < 0 else "+" if n > 1 else "") + (" " if n > 1 else "")
        psi += f"{' ' if psi else ''}{sign}{_number(abs(weight), digits)}"
        if tree.factors is None:
            psi += rf" \tfrac{{1}}{{2}} [q{index}(x_1, x_2, c) + q{index}(x_2, x_1, c)]"
            lines.append(rf"q{index}(x_1, x_2, c) = {_function(tree, TRIPLET, digits)}")
            continue
        radial, angular = tree.factors
        if radial.nodes != ONE:
            psi += f" h{index}(x_1) h{index}(x_2)"
            lines.append(f"h{index}(x) = {_function(radial, X, digits)}")
        if angular.nodes != ONE:
            psi += f" p{index}(c)"
            lines.append(f"p{index}(c) = {_function(angular, COSINE, digits)}")
    return psi, lines


def _many_body(expression: Expression, species: tuple[str, ...], digits: int) -> list[str]:
    """F of neighbour sums, and a line for each of these."""
    names: dict[Tree, str] = {}
    total = sympy.Integer(0)
    for term, weight in zip(expression.terms, expression.weights, strict=True):
        if (term.kind, term.species) != ("many-body", species) or term.tree.embedding is None:
            continue
        outer, summands = term.tree.embedding
        for summand in summands:
            names.setdefault(summand, f"S_{len(names) + 1}")
        symbols = {place: sympy.Symbol(names[u]) for place, u in zip(SUMS, summands, strict=False)}
        total += _rounded(weight, digits) * _written(outer, symbols, digits)
    arguments = ", ".join(names.values())
    lines = [rf"F_{{\mathrm{{{species[0]}}}}}({arguments}) = {sympy.latex(total)}"]
    for summand, name in names.items():
        if summand.factors is not None:
            written = _function(summand, {**TRIPLET, "x": X["x"]}, digits)
            bend = rf"\left[ {written} \right] f_3(r_j) f_3(r_k)"
            lines.append(rf"{name} = \sum_{{j<k}} {bend}")
            continue
        lines.append(rf"{name} = \sum_j \left[ {_function(summand, X, digits)} \right] f_c(r_j)")
    return lines


def _function(tree: Tree, variables: Mapping[str, Any], digits: int) -> str:
    return str(sympy.latex(_written(tree, variables, digits)))


def _written(tree: Tree, variables: Mapping[str, Any], digits: int) -> Any:
    return tree_to_sympy(tree, variables, [_rounded(value, digits) for value in tree.constants])


def _number(value: float, digits: int) -> str:
    return str(sympy.latex(_rounded(value, digits)))


def _rounded(value: float, digits: int) -> Any:
    return sympy.Float(f"{value:.{digits}g}", digits)
