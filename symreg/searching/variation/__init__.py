"""Variation: how new individuals arise from old ones, with DEAP's operators on typed trees.

DEAP draws from Python's global random stream. Every public method here that calls DEAP seeds
that stream from the generator it is given.
"""

from symreg.searching.variation.limits import (
    HIGHEST_EXPONENT,
    LOWEST_EXPONENT,
    VariationSettings,
    is_sane,
)
from symreg.searching.variation.operators import Variation, draft, radial_parts
from symreg.searching.variation.rates import MUTATIONS, OPERATORS, adapted, counted, no_credit
from symreg.searching.variation.types import (
    DEGREES,
    EXPONENTS,
    POWERS,
    Angular,
    Atomic,
    Constant,
    Degree,
    Integer,
    Power,
    Radial,
    Separable,
    Triplet,
    primitive_set,
)

__all__ = [
    "DEGREES",
    "EXPONENTS",
    "HIGHEST_EXPONENT",
    "LOWEST_EXPONENT",
    "MUTATIONS",
    "OPERATORS",
    "POWERS",
    "Angular",
    "Atomic",
    "Constant",
    "Degree",
    "Integer",
    "Power",
    "Radial",
    "Separable",
    "Triplet",
    "Variation",
    "VariationSettings",
    "adapted",
    "counted",
    "draft",
    "is_sane",
    "no_credit",
    "primitive_set",
    "radial_parts",
]
