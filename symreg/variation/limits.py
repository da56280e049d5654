"""What variation may make: settings, and bounds of exponents and constants."""

from __future__ import annotations

from dataclasses import dataclass

from symreg.expression.canonical import Nested

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
    max_constants: int = 16
    """Nonlinear constants of an individual."""
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
