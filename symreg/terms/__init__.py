"""What formulas are made of: terms and expressions, cutoff functions, walls, known forms."""

from symreg.terms.term import VARIABLES_OF, Expression, Term

__all__ = ["VARIABLES_OF", "Expression", "Term"]
