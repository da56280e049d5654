"""Between expression trees and SymPy: the delivery half's own reading of a formula."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial, reduce
from typing import Any

import sympy

from symreg.language import Shape, Tree, combine
from symreg.language.operators import LARGEST_EXPONENT, OPERATORS, PRODUCTS
from symreg.language.text import ONE, Nested
from symreg.language.tree import check_integers, translated

_LARGEST_INTEGER = 10**15
_MOST_DIGITS = 308
_times = partial(combine, "mul")
_NOT_FINITE = (sympy.zoo, sympy.nan, sympy.oo, sympy.I)


def tree_to_sympy(
    tree: Tree, x: Any | Mapping[str, Any], constants: Sequence[Any] | None = None
) -> Any:
    """Write a tree in SymPy; x1, x2 and c as it stands, not averaged over the neighbours' orders.

    Parameters
    ----------
    x
        Expression that stands for the variable, or by their names for each of several.
    constants
        Expressions that stand for the constants; their values when not given.

    Raises
    ------
    ValueError
        If the tree holds what is neither in the table of operators nor a variable, has no finite
        real value, or integers beyond 1.8e308.

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
    check_integers(tree)
    given = [sympy.Float(value) for value in tree.constants] if constants is None else constants
    variables = x if isinstance(x, Mapping) else {"x": x}

    def written(root: Nested, variables: Mapping[str, Any]) -> Any:
        return translated(root, variables, given, sympy.Integer, _applied)

    if tree.root[0] in PRODUCTS:
        _, *radials, angular = tree.root
        both = zip((radials[0], radials[-1]), ("x1", "x2"), strict=True)
        one, two = (written(radial, {"x": variables[name]}) for radial, name in both)
        expression = one * two * written(angular, variables)
    else:
        expression = written(tree.root, variables)
    if expression.has(*_NOT_FINITE):
        raise ValueError(f"the formula has no finite real value: {tree}")
    return expression


def _applied(op: str, *operands: Any) -> Any:
    """The value of an operator in SymPy."""
    if op not in OPERATORS:
        raise ValueError(f"a formula holds '{op}', which is neither an operator nor a variable")
    if op in ("powi", "pow"):
        _check_power(*operands)
    elif op == "exp":  # SymPy makes exp(2*log(u)) a power of u
        for addend in sympy.Add.make_args(*operands):
            factor, rest = addend.as_coeff_Mul()
            if rest.func is sympy.log:
                _check_power(rest.args[0], factor)
    meaning = OPERATORS[op].sympy
    return (getattr(sympy, meaning) if isinstance(meaning, str) else meaning)(*operands)


def _check_power(base: Any, exponent: Any) -> None:
    """Refuse what SymPy would write out as an integer of too many digits."""
    factor, _ = base.as_coeff_Mul()
    if factor.is_Rational and exponent.is_Rational:
        digits = math.log10(max(abs(factor.p), factor.q)) * abs(exponent)
        if digits > _MOST_DIGITS:
            raise ValueError(f"numbers end at 1.8e308; integers exceed that in {base}^{exponent}")


def sympy_to_tree(expression: Any) -> Tree:
    """Write a SymPy expression of one symbol as a tree; real numbers become constants.

    Raises ``ValueError`` if it holds what no tree can say, such as a complex number.

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
        negative = addend.could_extract_minus_sign()
        part = sympy_to_tree(-addend if negative else addend)
        total = combine("sub" if negative else "add", total, part)
    return total


def _product(expression: Any) -> Tree:
    number, rest = expression.as_coeff_Mul()
    top: list[Tree] = []
    bottom: list[Tree] = []
    for factor in sympy.Mul.make_args(rest) if rest != 1 else ():
        base, exponent = factor.as_base_exp()
        if exponent == -1:
            bottom.append(sympy_to_tree(base))
        else:
            top.append(sympy_to_tree(factor))
    negate = False
    if number.is_Rational:
        negate = number.p == -1 and bool(top)
        if number.p not in (1, -1) or (number.p == -1 and not top):
            top.insert(0, sympy_to_tree(sympy.Integer(number.p)))
        if number.q != 1:
            bottom.append(sympy_to_tree(sympy.Integer(number.q)))
    else:
        top.insert(0, _constant(number))
    if not top and len(bottom) == 1:
        return _integer_power(bottom[0], -1)
    result = reduce(_times, top) if top else Tree(Shape(ONE))
    if bottom:
        result = combine("div", result, reduce(_times, bottom))
    return combine("neg", result) if negate else result


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
