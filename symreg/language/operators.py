"""The table of operators: a row for each, which is all that there is to know of it.

Values by NumPy, Python and SymPy, the text of formulas, complexity, random growth and the forms
of the exhaustive mode follow from the rows. Compiled code has an instruction for each operator
without a ``definition``; the others are written out in these where a tree is encoded.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

LARGEST_EXPONENT = 64  # of an integer power, in text formulas and in trees
WEIGHT_COST = 2  # complexity of the linear weight of a term
REAL, POSITIVE, NOT_NEGATIVE, NOT_ZERO = "real", "positive", "not negative", "not zero"
"""Domains of the operand that an operator is undefined for elsewhere: the last of a division, the
first of all others."""


class Operator(NamedTuple):
    """One operator; operands are u and v, the value is f."""

    name: str
    """In trees; a function is written by it in formulas too."""
    code: int  # number by which arrays of trees know it
    arity: int
    cost: int  # its part in the complexity; tracks the cost in molecular dynamics
    numpy: Callable[..., Any]
    number: Callable[..., float]
    """Value of numbers; raises an ``ArithmeticError`` or ``ValueError`` outside of the domain."""
    sympy: str | Callable[..., Any]
    """SymPy's function, by its name, or what operators of Python make of expressions."""
    derivatives: tuple[str, ...]
    """By each operand, as formulas in u, v and f; ``n`` is the exponent of an integer power."""
    domain: str  # where it is defined: ``REAL``, ``POSITIVE``, ``NOT_NEGATIVE`` or ``NOT_ZERO``
    growth: str  # ``linear``, ``power``, ``exponential``, ``logarithmic`` or ``bounded``
    inverse: str = ""  # operator that undoes it
    symbol: str = ""  # text between its operands; functions are written by name
    definition: str = ""
    """Formula in u that compiled code computes in its place; u stands in it once."""


def _power(u: Any, v: Any) -> Any:
    """Real power of an array: that of a negative number is none, also where v is an integer."""
    return np.exp(v * np.log(u))


# What an integer power is undefined for depends on its exponent; it is real for positive ones.
_ROWS = (
    Operator("add", 3, 2, 1, np.add, operator.add, operator.add, ("1", "1"), REAL, "linear",
             inverse="sub", symbol=" + "),
    Operator("sub", 4, 2, 1, np.subtract, operator.sub, operator.sub, ("1", "-1"), REAL, "linear",
             inverse="add", symbol=" - "),
    Operator("mul", 5, 2, 1, np.multiply, operator.mul, operator.mul, ("v", "u"), REAL, "power",
             inverse="div", symbol="*"),
    Operator("div", 6, 2, 2, np.divide, operator.truediv, operator.truediv, ("1/v", "-f/v"),
             NOT_ZERO, "power", inverse="mul", symbol="/"),
    Operator("neg", 7, 1, 1, np.negative, operator.neg, operator.neg, ("-1",), REAL, "linear",
             inverse="neg", symbol="-"),
    Operator("powi", 8, 1, 2, np.power, math.pow, operator.pow, ("n*f/u",), REAL, "power",
             symbol="^"),
    Operator("pow", 9, 2, 4, _power, math.pow, operator.pow, ("v*f/u", "f*log(u)"), POSITIVE,
             "power", symbol="^"),
    Operator("exp", 10, 1, 4, np.exp, math.exp, "exp", ("f",), REAL, "exponential", inverse="log"),
    Operator("log", 11, 1, 4, np.log, math.log, "log", ("1/u",), POSITIVE, "logarithmic",
             inverse="exp"),
    Operator("sqrt", 12, 1, 2, np.sqrt, math.sqrt, "sqrt", ("1/2/f",), NOT_NEGATIVE, "power"),
    Operator("tanh", 20, 1, 6, np.tanh, math.tanh, "tanh", ("1 - f^2",), REAL, "bounded",
             definition="1 - 2/(exp(2*u) + 1)"),
)  # fmt: skip

OPERATORS: dict[str, Operator] = {row.name: row for row in _ROWS}
"""Every operator by name. ``powi`` carries its integer exponent, so it has one operand."""

FUNCTIONS = tuple(row.name for row in _ROWS if not row.symbol)
"""Operators written as functions in a text formula."""

CONST, INT, VARIABLE, PRODUCT, SUM, UNLIKE = 1, 2, 0, 16, 17, 18
"""Numbers by which arrays know what is no operator: constants, integers and variables, the roots of
products h(x1) h(x2) p(c) and g(x1) h(x2) p(c), and sums."""

PRODUCTS = {"product": PRODUCT, "unlike": UNLIKE}
"""Roots of separable functions: one radial factor for both neighbours, or one for each."""

COSTS = {row.name: row.cost for row in _ROWS} | {"const": 1, "int": 1, "sum": 6}
COSTS |= dict.fromkeys(PRODUCTS, 4)
"""Complexity of nodes that are no variables; a variable adds 1."""
