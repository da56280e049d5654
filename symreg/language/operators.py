"""The operators that expressions are made of, with their codes, arities and costs."""

from __future__ import annotations

from typing import NamedTuple


class Primitive(NamedTuple):
    """One operator or terminal of an expression tree."""

    code: int
    """Number by which compiled code knows it."""
    arity: int
    """Number of operands."""
    cost: int
    """What it adds to the complexity; tracks the cost in molecular dynamics."""


PRIMITIVES: dict[str, Primitive] = {
    "x": Primitive(0, 0, 1),
    "const": Primitive(1, 0, 1),
    "int": Primitive(2, 0, 1),
    "add": Primitive(3, 2, 1),
    "sub": Primitive(4, 2, 1),
    "mul": Primitive(5, 2, 1),
    "div": Primitive(6, 2, 2),
    "neg": Primitive(7, 1, 1),
    "powi": Primitive(8, 1, 2),
    "pow": Primitive(9, 2, 4),
    "exp": Primitive(10, 1, 4),
    "log": Primitive(11, 1, 4),
    "sqrt": Primitive(12, 1, 2),
    "x1": Primitive(13, 0, 1),
    "x2": Primitive(14, 0, 1),
    "c": Primitive(15, 0, 1),
    "product": Primitive(16, 2, 4),
    "sum": Primitive(17, 1, 6),
}
"""Every operator by name. ``powi`` carries its integer exponent, so it has one operand.

``x`` is a reduced distance; ``x1`` and ``x2`` are those of both neighbours of a centre and ``c`` is
the cosine of the angle between them. ``product`` stands at the root of a separable three-body
function h(x1) h(x2) p(c): its operands are h, in ``x``, and p, in ``c``. ``sum`` is that of its
operand over all neighbours of an atom, times the cutoff function: a function of ``x``, or a
``product`` over every two neighbours.
"""

VARIABLES = ("x", "x1", "x2", "c")
"""Leaves that stand for what is known of a pair or a triplet."""

WEIGHT_COST = 2
"""What each linear weight of a term adds to the complexity."""

FUNCTIONS = ("exp", "log", "sqrt")
"""Operators written as functions in a text formula."""

SUMS = ("x1", "x2", "c")
"""Leaves in whose places compiled code has the neighbour sums of a many-body function."""

LARGEST_EXPONENT = 64
"""Largest size of an integer exponent, in text formulas and in trees."""
