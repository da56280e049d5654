"""The kinds of sums in closed form: one class for each, with one base that says what it gives."""

from symreg.formula.sums.base import Cpp, Portion, SumFunction, Surroundings
from symreg.formula.sums.pairs import PairSum
from symreg.formula.sums.triplets import TripletSum

__all__ = ["Cpp", "PairSum", "Portion", "SumFunction", "Surroundings", "TripletSum"]
