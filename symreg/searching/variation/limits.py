"""What variation may make: settings, and bounds of exponents and constants."""

from __future__ import annotations

import math
from dataclasses import dataclass

from symreg.language.canonical import ARITHMETIC, Nested
from symreg.language.operators import SUMS

LOWEST_EXPONENT, HIGHEST_EXPONENT = -24, 8
"""Powers of powers may reach these; beyond them a power only patches one end of the range."""
LARGEST_CONSTANT = 1e4
"""Constants beyond it only undo each other; scales belong to the weights."""


@dataclass(frozen=True, kw_only=True)
class VariationSettings:
    """Limits and rates of variation."""

    max_complexity: int = 60
    max_terms: int = 6
    """For each kind and species."""
    max_nonlinear: int = 16
    """Nonlinear constants of an individual."""
    max_constants: int | None = None
    """Fitted reals of an individual, weights included; any number unless given."""
    crossover_rate: float = 0.35
    """Fraction of offspring that have two parents."""
    general: bool = False
    """Whether three-body functions need not be separable."""


def is_sane(tree: Nested) -> bool:
    """Whether constants are of sensible size and exponents within bounds."""
    if tree[0] == "const":
        return bool(abs(tree[1]) <= LARGEST_CONSTANT)
    if tree[0] == "pow" and tree[2][0] == "const":
        return LOWEST_EXPONENT <= tree[2][1] <= HIGHEST_EXPONENT and is_sane(tree[1])
    if tree[0] == "powi":
        within = LOWEST_EXPONENT <= tree[1] <= HIGHEST_EXPONENT
        return within and tree[2][0] != "powi" and is_sane(tree[2])
    return all(is_sane(u) for u in tree[1:] if isinstance(u, tuple))


STEEPEST_EMBEDDING = 4
"""Largest size of a power of neighbour sums."""


def summands(tree: Nested) -> list[Nested]:
    """What the neighbour sums of a many-body function sum, in order."""
    if tree[0] == "sum":
        return [tree[1]]
    return [found for u in tree[1:] if isinstance(u, tuple) for found in summands(u)]


def is_embedding(tree: Nested, bends: bool = False) -> bool:
    """Whether a function of a few neighbour sums is finite for an atom without neighbours.

    With ``bends`` sums may be over every two neighbours.
    """
    found = summands(tree)
    allowed = bends or all(part[0] != "product" for part in found)
    return allowed and 0 < len(found) <= len(SUMS) and math.isfinite(_alone(tree))


def _alone(tree: Nested) -> float:
    """Value where all sums are zero; NaN where there is none, and for powers that are too steep."""
    op = tree[0]
    if op == "sum":
        return 0.0
    if op in ("const", "int"):
        return float(tree[1])
    if op == "powi":
        operands, exponent = [_alone(tree[2]), float(tree[1])], float(tree[1])
        op = "pow"
    else:
        operands = [_alone(u) for u in tree[1:]]
        exponent = operands[1] if op == "pow" else 0.0
    if abs(exponent) > STEEPEST_EMBEDDING:
        return math.nan
    try:
        return float(ARITHMETIC[op](*operands))
    except (ValueError, ZeroDivisionError, OverflowError):
        return math.nan
