"""The closed form of a potential: energies, SymPy derivatives, short-range wall, calculator."""

from symreg.formula.calculator import FormulaCalculator
from symreg.formula.closed_form import Formula
from symreg.formula.many_body import ManyBodyFunction
from symreg.formula.pair import PairFunction
from symreg.formula.three_body import ThreeBodyFunction
from symreg.terms.wall import Wall

__all__ = [
    "Formula",
    "FormulaCalculator",
    "ManyBodyFunction",
    "PairFunction",
    "ThreeBodyFunction",
    "Wall",
]
