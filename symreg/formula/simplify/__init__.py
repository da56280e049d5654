"""Formulas made simpler and proven equal; between trees and SymPy."""

from symreg.formula.simplify.rewriter import Rewriter
from symreg.formula.simplify.stages import Domain, equal, shorten, simplify
from symreg.formula.simplify.translate import sympy_to_tree, tree_to_sympy

__all__ = ["Domain", "Rewriter", "equal", "shorten", "simplify", "sympy_to_tree", "tree_to_sympy"]
