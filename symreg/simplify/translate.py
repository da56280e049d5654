"""From expression trees to SymPy: the delivery half's own reading of a formula."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import sympy

from symreg.expression import Tree
from symreg.primitives import PRIMITIVES

_SYMPY: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "neg": lambda a: -a,
    "pow": lambda a, b: a**b,
    "exp": sympy.exp,
    "log": sympy.log,
    "sqrt": sympy.sqrt,
}


def tree_to_sympy(tree: Tree, x: Any, constants: Sequence[Any] | None = None) -> Any:
    """Write a tree in SymPy.

    Parameters
    ----------
    tree
        The tree.
    x
        SymPy expression that stands for the variable.
    constants
        SymPy expressions that stand for the constants; their values when not given.

    Examples
    --------
    >>> from symreg.expression import parse
    >>> tree_to_sympy(parse("x^-12 - x^-6"), sympy.Symbol("x", positive=True))
    -1/x**6 + x**(-12)
    """
    given = [sympy.Float(value) for value in tree.constants] if constants is None else constants
    stack: list[Any] = []
    for node in reversed(tree.nodes):
        if node.op == "x":
            stack.append(x)
        elif node.op == "const":
            stack.append(given[node.arg])
        elif node.op == "int":
            stack.append(sympy.Integer(node.arg))
        elif node.op == "powi":
            stack.append(stack.pop() ** sympy.Integer(node.arg))
        else:
            operands = [stack.pop() for _ in range(PRIMITIVES[node.op].arity)]
            stack.append(_SYMPY[node.op](*operands))
    return stack.pop()
