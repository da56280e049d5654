"""Canonical forms: cheap rewriting of every candidate, so that equal functions look equal.

Works on nested tuples as shapes have them, with the value of a constant in the place of its number:
``("const", 2.5)``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from symreg.language.operators import COSTS, LARGEST_EXPONENT, OPERATORS, PRODUCTS
from symreg.language.text import ONE, Nested
from symreg.language.tree import Shape, Tree, mapped, operands

X: Nested = ("x",)
_NUMBERS = ("const", "int")
NOT_LINEAR: set[str] = set()
"""Kinds of sums out of which no factor can be taken, by the first word of their heads."""


def build(op: str, *operands: Any) -> Nested:
    """Make a node from canonical operands, folded and reordered where that is free.

    >>> build("mul", ("const", 2.0), build("mul", ("const", 3.0), X))
    ('mul', ('const', 6.0), ('x',))
    >>> build("powi", -6, build("mul", X, X))
    ('powi', -12, ('x',))
    """
    if op == "unlike" and operands[0] == operands[1]:
        return "product", *operands[1:]
    if op in PRODUCTS:
        return (op, *operands)
    if op not in ("powi", "sum") and all(operand[0] in _NUMBERS for operand in operands):
        return _fold(op, *(operand[1] for operand in operands))
    rule = _RULES.get(op)
    return rule(*operands) if rule else _function(op, *operands)


def _neighbour_sum(head: Nested, u: Nested) -> Nested:
    """A sum over neighbours; what scales every addend scales a linear sum."""
    if head[0] in NOT_LINEAR:
        return ("sum", head, u)
    if u[0] == "const":
        return _product(u, ("sum", head, ONE))
    if _is_scaled(u):
        return _product(u[1], ("sum", head, u[2]))
    if u[0] in PRODUCTS:
        scales, factors = zip(*(_scale_of(factor) for factor in u[1:]), strict=True)
        rest = ("sum", head, build(u[0], *factors))
        scale = scales[0] * scales[-2] * scales[-1]
        return rest if scale == 1.0 else _product(("const", scale), rest)
    return ("sum", head, u)


def _scale_of(u: Nested) -> tuple[float, Nested]:
    """A factor of a product as a number and what it multiplies."""
    if u[0] in _NUMBERS:
        return float(u[1]), ONE
    return (float(u[1][1]), u[2]) if _is_scaled(u) else (1.0, u)


def _is_scaled(u: Nested) -> bool:
    """Whether a number multiplies something: canonical products have it first."""
    return bool(u[0] == "mul" and u[1][0] in _NUMBERS)


def _fold(op: str, *numbers: float) -> Nested:
    try:
        return ("const", float(OPERATORS[op].number(*map(float, numbers))))
    except (ValueError, ArithmeticError):
        return ("const", math.nan)


def _integer_power(n: int, u: Nested) -> Nested:
    if n in (0, 1):
        return u if n else ONE
    if u[0] in _NUMBERS:
        return _fold("pow", u[1], n)
    if u[0] == "powi" and abs(n * u[1]) <= LARGEST_EXPONENT:
        return _integer_power(n * u[1], u[2])
    if u[0] == "pow":
        return build("pow", u[1], build("mul", ("const", float(n)), u[2]))
    if u[0] == "exp":
        return build("exp", build("mul", ("const", float(n)), u[1]))
    return ("powi", n, u)


def _power(u: Nested, v: Nested) -> Nested:
    if v[0] == "int":
        # In a text it could not be told from an integer power.
        small = abs(v[1]) <= LARGEST_EXPONENT
        return _integer_power(v[1], u) if small else ("pow", u, ("const", float(v[1])))
    if u[0] == "pow":
        return build("pow", u[1], build("mul", u[2], v))
    if u[0] == "powi" and u[2] == X:  # the others may be negative
        return build("pow", X, build("mul", ("const", float(u[1])), v))
    if u[0] == "exp":
        return build("exp", build("mul", v, u[1]))
    return ("pow", u, v)


def _split(u: Nested) -> tuple[Nested, int] | None:
    """Base and integer exponent of a power."""
    if len(u) == 1:
        return u, 1
    return (u[2], u[1]) if u[0] == "powi" else None


def _product(u: Nested, v: Nested) -> Nested:
    if v[0] in _NUMBERS:
        u, v = v, u
    if u[0] in _NUMBERS:
        if u[1] == 1:
            return v
        return _product(_fold("mul", u[1], v[1][1]), v[2]) if _is_scaled(v) else ("mul", u, v)
    for one, other in ((u, v), (v, u)):
        if _is_scaled(one):
            return build("mul", one[1], build("mul", one[2], other))
    left, right = _split(u), _split(v)
    if left and right and left[0] == right[0] and abs(left[1] + right[1]) <= LARGEST_EXPONENT:
        return _integer_power(left[1] + right[1], left[0])
    if u[0] == v[0] == "exp":
        return build("exp", build("add", u[1], v[1]))
    return ("mul", u, v) if u <= v or u[0] != v[0] else ("mul", v, u)


def _quotient(u: Nested, v: Nested) -> Nested:
    if v[0] in _NUMBERS:
        return _product(_fold("div", 1.0, v[1]), u)
    if v[0] == "exp":
        return build("mul", u, build("exp", build("mul", ("const", -1.0), v[1])))
    if u == ONE or v[0] == "powi" or len(v) == 1:
        return build("mul", u, _integer_power(-1, v))
    return ONE if u == v else ("div", u, v)


def _sum(u: Nested, v: Nested) -> Nested:
    if v[0] in _NUMBERS:
        u, v = v, u
    if u[0] in _NUMBERS and v[0] == "add" and v[1][0] in _NUMBERS:
        return ("add", _fold("add", u[1], v[1][1]), v[2])
    return build("mul", ("int", 2), u) if u == v else ("add", u, v)


def _difference(u: Nested, v: Nested) -> Nested:
    if v[0] in _NUMBERS:
        return _sum(("const", -float(v[1])), u)
    return ("const", 0.0) if u == v else ("sub", u, v)


_RULES: dict[str, Any] = {
    "add": _sum,
    "sub": _difference,
    "mul": _product,
    "div": _quotient,
    "pow": _power,
    "neg": lambda u: _product(("const", -1.0), u),
    "powi": _integer_power,
    "sum": _neighbour_sum,
}


def _function(op: str, u: Nested) -> Nested:
    """A function of one operand; that of its inverse is the operand of that."""
    inverse = OPERATORS[op].inverse
    return u[1] if inverse and u[0] == inverse else (op, u)


def terms_of(u: Nested) -> list[Nested]:
    """Addends of a root sum, without the factors that a linear weight takes over.

    >>> terms_of(build("sub", build("mul", ("const", 4.0), X), ("const", 2.0)))
    [('int', 1), ('x',)]
    """
    op = u[0]
    if op in ("add", "sub"):
        return [*terms_of(u[1]), *terms_of(u[2])]
    if op in _NUMBERS:
        return [ONE] if math.isfinite(u[1]) and u[1] != 0 else []
    if _is_scaled(u):
        return terms_of(u[2])
    if op == "mul":
        return [build("mul", _bare(u[1]), _bare(u[2]))]
    if op in PRODUCTS:
        factors = [_without_scale(factor) for factor in u[1:]]
        return [build(op, *factors)] if all(factors) else []
    return [_bare(u)]


def _without_scale(u: Nested) -> Nested:
    """A factor of a separable function without its scale; empty when it is zero or not finite."""
    if u[0] in _NUMBERS:
        return ONE if math.isfinite(u[1]) and u[1] != 0 else ()
    return _monic(_bare(u))


def _scaled(u: Nested) -> tuple[float, Nested] | None:
    """Scale and rest of a product with a fitted constant."""
    fitted = _is_scaled(u) and u[1][0] == "const" and u[1][1] != 0
    return (float(u[1][1]), u[2]) if fitted else None


def _monic(u: Nested) -> Nested:
    """A sum divided by the scale of one addend, where that leaves fewer constants.

    >>> _monic(build("sub", ("const", 3.0), build("mul", ("const", 2.0), X)))
    ('add', ('const', -1.5), ('x',))
    """
    if u[0] not in ("add", "sub"):
        return u
    one, two = u[1], u[2]
    sign = -1.0 if u[0] == "sub" else 1.0
    second = _scaled(two)
    if one[0] == "const":
        scale, rest = second or (1.0, two)
        return _sum(("const", float(one[1]) / (sign * scale)), rest) if second or sign < 0 else u
    first = _scaled(one)
    if first and second:
        return build(u[0], first[1], _product(("const", second[0] / first[0]), second[1]))
    return u


def _bare(u: Nested) -> Nested:
    """A factor without the constant that scales it."""
    op = u[0]
    if _is_scaled(u):
        return _bare(u[2])
    if op == "exp" and u[1][0] in ("add", "sub") and u[1][1][0] in _NUMBERS:
        return build("exp", u[1][2] if u[1][0] == "add" else build("neg", u[1][2]))
    if op == "powi":
        return build("powi", u[1], _monic(_bare(u[2])))
    if op == "div":
        return build("div", ONE if u[1][0] in _NUMBERS else _bare(u[1]), _bare(u[2]))
    root = op == "sqrt" or (op == "pow" and u[2][0] == "const")
    if root and _is_scaled(u[1]) and u[1][1][1] > 0:
        return build(op, u[1][2], *u[2:])
    return u


def nested(tree: Tree) -> Nested:
    """Canonical nested form of a tree, with values in the places of its constants."""
    return canonical(valued(tree.shape, tree.constants))


def canonical(u: Nested) -> Nested:
    """A nested form rewritten from its leaves to its root."""
    return u if len(u) == 1 or u[0] in _NUMBERS else build(*mapped(u, canonical))


def valued(shape: Shape, constants: Sequence[float]) -> Nested:
    """A shape with values in the places of the numbers of its constants."""
    return _valued(shape.root, constants)


def _valued(u: Nested, constants: Sequence[float]) -> Nested:
    if u[0] == "const":
        return "const", constants[u[1]]
    if len(u) == 1 or u[0] == "int":
        return u
    if u[0] in ("powi", "sum"):
        return u[0], u[1], _valued(u[2], constants)
    return (u[0], *[_valued(v, constants) for v in u[1:]])


def shaped(u: Nested) -> tuple[Shape, tuple[float, ...]]:
    """Undo ``valued``."""
    constants: list[float] = []
    return Shape(_numbered(u, constants)), tuple(constants)


def _numbered(u: Nested, constants: list[float]) -> Nested:
    """A form with numbers in the places of its values, which go to the end of a list."""
    if u[0] == "const":
        constants.append(u[1])
        return "const", len(constants) - 1
    if len(u) == 1 or u[0] == "int":
        return u
    if u[0] in ("powi", "sum"):
        return u[0], u[1], _numbered(u[2], constants)
    return (u[0], *[_numbered(v, constants) for v in u[1:]])


def tree_of(u: Nested) -> Tree:
    """Undo ``nested``, of canonical forms."""
    return Tree(*shaped(u))


def cost(u: Nested) -> int:
    """Complexity of a nested form."""
    return COSTS.get(u[0], 1) + sum([cost(v) for v in operands(u)])


def n_constants(u: Nested) -> int:
    """Constants of a form with values, each counted."""
    return 1 if u[0] == "const" else sum([n_constants(v) for v in operands(u)])
