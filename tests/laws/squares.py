"""A kind of sum for tests, of twenty lines: sums over pairs of the square of a function."""

from symreg.fit.sums.base import AllAddends
from symreg.fit.sums.pairs import PairKind
from symreg.formula import PairSum
from symreg.terms.kinds import Kind


class Squares(PairKind):
    """Σ_j f(r_ij/r0)^2 f_c(r_ij) in discovery, on no grid."""

    grid_type = None

    def function(self, tree, x):
        value, slope = super().function(tree, x)
        return value**2, 2 * value * slope

    def rows(self, chosen, species):
        return AllAddends(self, chosen, species)


class SquareSum(PairSum):
    """Σ_j f(r_ij/r0)^2 f_c(r_ij) in delivery."""

    over = "squares"
    letter, latex_letter = "χ", r"\chi"
    meaning = "sum over pairs of formula(x = r/r0)^2 * cutoff(r)"
    words = "sum over pairs of χ(x)^2 f_c(r)"

    @staticmethod
    def write(tree, variables, constants=None):
        return PairSum.write(tree, variables, constants) ** 2


SQUARES = Kind("squares", ("x",), 1, Squares, SquareSum, linear=False, adjective="square")
