"""Part of each key in the floor: the floor with and without its block of columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from symreg.fit.design.design import Design, solve


def block_errors(design: Design) -> dict[str, float]:
    """Lowest errors that tell what each key brings, where a kind has several keys.

    Of a pair of species it is that of all pair functions but its own; of triplets that of all pair
    functions and of theirs alone. One solve each.
    """
    numbers = range(len(design.grids))
    pairs = [k for k in numbers if design.grids[k].key.is_pair]
    others = [k for k in numbers if k not in pairs]
    found = {}
    if len(pairs) > 1:
        for k in pairs:
            found[str(design.grids[k].key)] = _error(design, [n for n in pairs if n != k])
    if len(others) > 1:
        for k in others:
            found[str(design.grids[k].key)] = _error(design, [*pairs, k])
    return found


def _error(design: Design, chosen: Sequence[int]) -> float:
    """The floor of functions on some grids alone."""
    problem = design.training
    parts = [
        problem.matrix[:, design.place(k)] @ design.grids[k].basis(coarser=False) for k in chosen
    ]
    return design.error(solve(problem, np.hstack(parts))[1])
