"""Between expression trees and SymPy: the delivery half's own reading of a formula."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sympy

from symreg.language import Shape, Tree, combine
from symreg.language.operators import LARGEST_EXPONENT, OPERATORS
from symreg.language.text import ONE, Nested
from symreg.language.tree import translated

_LARGEST_INTEGER = 10**15


def tree_to_sympy(
    tree: Tree, x: Any | Mapping[str, Any], constants: Sequence[Any] | None = None
) -> Any:
    """Write a tree in SymPy.

    Parameters
    ----------
    tree
        The tree.
    x
        SymPy expression that stands for the variable; those of all variables by their names for a
        function of several. A function of x1, x2 and c is written as it stands: not yet averaged
        over both orders of the neighbours.
    constants
        SymPy expressions that stand for the constants; their values when not given.

    Raises
    ------
    ValueError
        If the tree holds what is neither in the table of operators nor a variable.

    Examples
    --------
    >>> from symreg.language import parse
    >>> tree_to_sympy(parse("x^-12 - x^-6"), sympy.Symbol("x", positive=True))
    -1/x**6 + x**(-12)
    >>> x1, x2, c = sympy.symbols("x1 x2 c")
    >>> separable = parse("x1^-2*x2^-2*(c + 1)", variable=("x1", "x2", "c"))
    >>> tree_to_sympy(separable, {"x1": x1, "x2": x2, "c": c})
    (c + 1)/(x1**2*x2**2)
    """
    given = [sympy.Float(value) for value in tree.constants] if constants is None else constants
    variables = x if isinstance(x, Mapping) else {"x": x}
    if tree.root[0] != "product":
        return _written(tree.root, variables, given)
    _, radial, angular = tree.root
    one, two = (_written(radial, {"x": variables[name]}, given) for name in ("x1", "x2"))
    return one * two * _written(angular, variables, given)


def _written(root: Nested, variables: Mapping[str, Any], constants: Sequence[Any]) -> Any:
    return translated(root, variables, constants, sympy.Integer, _applied)


def _applied(op: str, *operands: Any) -> Any:
    """The value of an operator in SymPy."""
    if op not in OPERATORS:
        raise ValueError(f"a formula holds '{op}', which is neither an operator nor a variable")
    meaning = OPERATORS[op].sympy
    return (getattr(sympy, meaning) if isinstance(meaning, str) else meaning)(*operands)


def sympy_to_tree(expression: Any) -> Tree:
    """Write a SymPy expression of one symbol as a tree; real numbers become constants.

    Raises
    ------
    ValueError
        If it holds what no tree can say, such as a complex number or an absolute value.

    Examples
    --------
    >>> x = sympy.Symbol("x", positive=True)
    >>> str(sympy_to_tree(1 / x - 2.5 * sympy.exp(-x)))
    'x^-1 - 2.5*exp(-x)'
    """
    if expression.is_Symbol:
        return Tree(Shape(("x",)))
    if expression.is_Integer and abs(int(expression)) < _LARGEST_INTEGER:
        return Tree(Shape(("int", int(expression))))
    if expression.is_number and not expression.is_Rational:
        return _constant(expression)
    if expression.is_Add:
        return _sum(expression)
    if expression.is_Mul or expression.is_Rational:
        return _product(expression)
    if expression.is_Pow:
        return _power(*expression.args)
    for row in OPERATORS.values():
        if isinstance(row.sympy, str) and expression.func is getattr(sympy, row.sympy):
            return combine(row.name, *map(sympy_to_tree, expression.args))
    raise ValueError(f"a formula cannot hold {expression}")


def split_weight(addend: Any) -> tuple[float, Any]:
    """Split an addend into its number and what multiplies it."""
    weight, rest = 1.0, []
    for factor in sympy.Mul.make_args(addend):
        if factor.is_number:
            weight *= _constant(factor).constants[0]
        else:
            rest.append(factor)
    return weight, sympy.Mul(*rest)


def _constant(number: Any) -> Tree:
    value = sympy.N(number, 20)
    if not (value.is_real and value.is_finite):
        raise ValueError(f"a formula cannot hold the number {number}")
    return Tree(Shape(("const", 0)), (float(value),))


def _sum(expression: Any) -> Tree:
    addends = expression.as_ordered_terms()
    # A sum begins with a number or a positive addend, so that it needs no minus in front.
    addends.sort(key=lambda addend: addend.could_extract_minus_sign() and not addend.is_number)
    total = sympy_to_tree(addends[0])
    for addend in addends[1:]:
        if addend.could_extract_minus_sign():
            total = combine("sub", total, sympy_to_tree(-addend))
        else:
            total = combine("add", total, sympy_to_tree(addend))
    return total


def _product(expression: Any) -> Tree:
    number, rest = expression.as_coeff_Mul()
    above: list[Any] = []
    below: list[Any] = []
    for factor in sympy.Mul.make_args(rest) if rest != 1 else ():
        base, exponent = factor.as_base_exp()
        (below if exponent == -1 else above).append(base if exponent == -1 else factor)
    top = [sympy_to_tree(factor) for factor in above]
    bottom = [sympy_to_tree(base) for base in below]
    if number.is_Rational:
        sign, numerator, denominator = (-1 if number < 0 else 1), abs(number.p), number.q
        bottom += [sympy_to_tree(sympy.Integer(denominator))] * (denominator != 1)
        leading = sign * numerator
        negate = leading == -1 and bool(top)
        top = [sympy_to_tree(sympy.Integer(leading))] * (leading not in (1, -1)) + top
        if leading == -1 and not negate:
            top = [sympy_to_tree(sympy.Integer(-1))]
    else:
        negate, top = False, [_constant(number), *top]
    result = _quotient(top, bottom)
    return combine("neg", result) if negate else result


def _quotient(top: list[Tree], bottom: list[Tree]) -> Tree:
    if not top and len(bottom) == 1:
        return _integer_power(bottom[0], -1)
    result = _chain(top) if top else Tree(Shape(ONE))
    return combine("div", result, _chain(bottom)) if bottom else result


def _chain(factors: list[Tree]) -> Tree:
    result = factors[0]
    for factor in factors[1:]:
        result = combine("mul", result, factor)
    return result


def _power(base: Any, exponent: Any) -> Tree:
    below = sympy_to_tree(base)
    if exponent.is_Rational and exponent.q == 2:
        root = combine("sqrt", below)
        return root if exponent.p == 1 else _integer_power(root, int(exponent.p))
    if exponent.is_Integer:
        return _integer_power(below, int(exponent))
    return combine("pow", below, sympy_to_tree(exponent))


def _integer_power(base: Tree, exponent: int) -> Tree:
    if abs(exponent) > LARGEST_EXPONENT:
        raise ValueError(f"exponents end at {LARGEST_EXPONENT}; this one is {exponent}")
    return Tree(Shape(("powi", exponent, base.root)), base.constants)
