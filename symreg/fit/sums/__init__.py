"""Kinds of sums for discovery: addends over neighbours, and values on rows of labels."""

from symreg.fit.sums.base import Addends, Around, Selection, SumKind, SumRows, Variants

__all__ = ["Addends", "Around", "Selection", "SumKind", "SumRows", "Variants"]
