"""The language of formulas: operators, trees, and the text that people read and write."""

from symreg.language.text import parse
from symreg.language.tree import Node, Tree, combine, end_of, number_text

__all__ = ["Node", "Tree", "combine", "end_of", "number_text", "parse"]
