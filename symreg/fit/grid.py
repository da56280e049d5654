"""Chebyshev grids: nodes, coefficients, and the tail that tells whether a function fits on one."""

from __future__ import annotations

import numpy as np

from symreg.arrays import Floats

NODE_COUNTS = (32, 36, 40, 44, 48, 56, 64, 80, 96)
"""Numbers of nodes tried, in turn, until a steep function is resolved."""
RESOLVED = 1e-8
"""Largest tail allowed for (r / r_lo)^-12 when the number of nodes is chosen."""
TAIL_LENGTH = 3
"""How many of the last Chebyshev coefficients make up a function's tail."""


def chebyshev_nodes(count: int, low: float, high: float) -> Floats:
    """Roots of T_count on [low, high] in Å, ascending, shape (count,)."""
    angle = np.pi * (np.arange(count)[::-1] + 0.5) / count
    return 0.5 * (low + high) + 0.5 * (high - low) * np.cos(angle)


def chebyshev_coefficients(count: int) -> Floats:
    """Matrix from values on the nodes to Chebyshev coefficients, shape (count, count)."""
    angle = np.pi * (np.arange(count)[::-1] + 0.5) / count
    matrix = 2.0 / count * np.cos(np.outer(np.arange(count), angle))
    matrix[0] *= 0.5
    return np.asarray(matrix)


def relative_tail(values: Floats, length: int = TAIL_LENGTH) -> float:
    """Largest of the last Chebyshev coefficients relative to the largest of all."""
    coefficients = np.abs(chebyshev_coefficients(values.size) @ values)
    largest = float(coefficients.max())
    return float(coefficients[-length:].max()) / largest if largest > 0 else np.inf


def choose_node_count(low: float, high: float) -> int:
    """Smallest grid on [low, high] that resolves r^-12; the largest on offer if none does."""
    for count in NODE_COUNTS:
        if relative_tail((chebyshev_nodes(count, low, high) / low) ** -12) < RESOLVED:
            return count
    return NODE_COUNTS[-1]
