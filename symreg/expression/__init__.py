"""Typed expression trees, their text, and expressions made of several terms."""

from symreg.expression.parsing import parse
from symreg.expression.terms import VARIABLES_OF, Expression, Term
from symreg.expression.tree import Node, Tree, combine, end_of, number_text

__all__ = [
    "VARIABLES_OF",
    "Expression",
    "Node",
    "Term",
    "Tree",
    "combine",
    "end_of",
    "number_text",
    "parse",
]
