"""Formulas made simpler and proven equal; between trees and SymPy."""

from symreg.simplify.translate import tree_to_sympy

__all__ = ["tree_to_sympy"]
