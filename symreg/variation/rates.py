"""Rates of operators that follow what works: probability matching with a floor.

D. E. Goldberg, Machine Learning 5, 407 (1990); D. Thierens, Proc. GECCO 2005, 1539.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FLOOR = 0.4
"""Part of its base rate that an operator keeps however little it yields."""
PRIOR = 100.0
"""Candidates of average yield that every operator is credited with: so many tell the yield."""
MEMORY = 0.97
"""Part of the credit that is left after a generation: some 30 of them count."""


def adapted(base: Floats, credit: Floats) -> Floats:
    r"""Rates of operators, by their base rates and their credit.

    .. math:: p_k = f b_k + (1 - f) \frac{b_k q_k}{\sum_j b_j q_j}

    with the floor f and the yields q: gains for each candidate, from counts with a prior of the
    average yield. Without credit, or when all operators yield the same, the rates are the base
    rates.

    Parameters
    ----------
    base
        Base rates, which sum to 1, shape (n,).
    credit
        Candidates made by each operator and how many of them were gains, shape (n, 2).

    Examples
    --------
    >>> base = np.array([0.5, 0.5])
    >>> adapted(base, np.array([[100.0, 50.0], [100.0, 0.0]])).round(3)
    array([0.65, 0.35])
    """
    tried, won = credit.T
    if not won.sum() > 0:
        return base
    mean = won.sum() / tried.sum()
    earned = base * (won + PRIOR * mean) / (tried + PRIOR)
    return np.asarray(FLOOR * base + (1 - FLOOR) * earned / earned.sum())
