"""Variation: individuals as lists of typed trees, and how new ones arise from old ones."""

from symreg.variation.genes import (
    Gene,
    Individual,
    decode,
    encode,
    genes_of,
    structure,
    terms_from,
)
from symreg.variation.operators import Variation, VariationSettings, primitive_set

__all__ = [
    "Gene",
    "Individual",
    "Variation",
    "VariationSettings",
    "decode",
    "encode",
    "genes_of",
    "primitive_set",
    "structure",
    "terms_from",
]
