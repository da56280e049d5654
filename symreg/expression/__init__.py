"""Typed expression trees, their text, and expressions made of several terms."""

from symreg.expression.parsing import parse
from symreg.expression.terms import Expression, Term
from symreg.expression.tree import Node, Tree, combine, number_text

__all__ = ["Expression", "Node", "Term", "Tree", "combine", "number_text", "parse"]
