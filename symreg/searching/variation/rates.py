"""Rates of operators that follow what works: probability matching with a floor.

D. E. Goldberg, Machine Learning 5, 407 (1990); D. Thierens, Proc. GECCO 2005, 1539.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from symreg.arrays import Floats
from symreg.searching.variation.mutations import MUTATIONS_OF_TREES

MUTATIONS = (
    *((row.name, row.rate) for row in MUTATIONS_OF_TREES),
    ("add", 0.08),
    ("duplicate", 0.05),
    ("drop", 0.06),
    ("replace", 0.04),
    ("factor", 0.05),
    ("borrow", 0.08),
    ("limit", 0.03),
    ("extend", 0.08),
)
"""Mutations and their rates: those of one tree, then those of a term or an individual."""
BETWEEN_KEYS = (("copy", 0.04), ("tie", 0.06), ("untie", 0.06), ("split", 0.05), ("merge", 0.04))
"""Mutations that take place where a kind has several keys, and their rates."""
OPERATORS = ("crossover", *(name for name, _ in (*MUTATIONS, *BETWEEN_KEYS)))
"""Operators that make offspring, in the order of rates and credit."""

FLOOR = 0.4
"""Part of its base rate that an operator keeps however little it yields."""
PRIOR = 100.0
"""Candidates of average yield that every operator is credited with: so many tell the yield."""
MEMORY = 0.97
"""Part of the credit that is left after a generation: some 30 of them count."""


def no_credit() -> Floats:
    """Credit of operators of which nothing is known, shape (n, 2)."""
    return np.zeros((len(OPERATORS), 2))


def counted(credit: Floats, fresh: Sequence[int], gains: Sequence[int]) -> Floats:
    """Credit, shape (n, 2), after one more generation.

    ``fresh`` and ``gains`` are indices of the operators that made what was fitted and what was a
    gain; -1 stands for none.
    """
    counts = [
        np.bincount(np.array(m, dtype=np.int64) + 1, minlength=1 + len(credit))
        for m in (fresh, gains)
    ]
    return MEMORY * credit + np.column_stack(counts)[1:]


def adapted(base: Floats, credit: Floats) -> Floats:
    r"""Rates of operators, by their base rates and their credit.

    .. math:: p_k = f b_k + (1 - f) \frac{b_k q_k}{\sum_j b_j q_j}

    with the floor f, the base rates b, which sum to 1, and the yields q: gains for each candidate,
    from counts with a prior of the average yield. Credit is candidates made by each operator and
    how many of them were gains, shape (n, 2). Without it, or when all yield the same, the rates are
    the base rates.

    >>> base = np.array([0.5, 0.5])
    >>> adapted(base, np.array([[100.0, 50.0], [100.0, 0.0]])).round(3)
    array([0.65, 0.35])
    """
    tried, won = credit.T
    if not won.sum() > 0:
        return base
    mean = won.sum() / tried.sum()
    earned = base * (won + PRIOR * mean) / (tried + PRIOR)
    if not earned.sum() > 0:  # gains so old that nothing is left of them
        return base
    return np.asarray(FLOOR * base + (1 - FLOOR) * earned / earned.sum())
