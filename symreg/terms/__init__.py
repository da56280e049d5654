"""Parts of formulas: sums, terms, expressions; cutoff functions, walls, known forms."""

from symreg.terms.expression import Expression, expression_of
from symreg.terms.term import Key, Sum, Term

__all__ = ["Expression", "Key", "Sum", "Term", "expression_of"]
