"""The closed form of a potential: energies, SymPy derivatives, short-range wall, calculator."""

from symreg.formula.calculator import FormulaCalculator
from symreg.formula.closed_form import Formula
from symreg.formula.functions import FunctionOfSums
from symreg.formula.sums import PairSum, TripletSum
from symreg.terms.wall import Wall

__all__ = ["Formula", "FormulaCalculator", "FunctionOfSums", "PairSum", "TripletSum", "Wall"]
