"""The language of formulas: operators, trees, and the text that people read and write."""

from symreg.language.text import number_text
from symreg.language.tree import Shape, Tree, combine, parse

__all__ = ["Shape", "Tree", "combine", "number_text", "parse"]
