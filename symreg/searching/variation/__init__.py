"""Variation: how new individuals arise from old ones, with DEAP's operators on typed trees.

DEAP draws from Python's global random stream. Every public method here that calls DEAP seeds
that stream from the generator it is given.
"""

from symreg.searching.variation.limits import VariationSettings
from symreg.searching.variation.operators import Variation
from symreg.searching.variation.rates import OPERATORS

__all__ = ["OPERATORS", "Variation", "VariationSettings"]
