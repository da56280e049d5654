"""Parts of the floor: what each block of columns brings, what targets it leaves unmet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from symreg.arrays import Floats
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


def gaps_at_floor(design: Design) -> Floats:
    """What targets are off, in sigmas, where smooth functions on all grids fit best, shape (T,).

    Coefficients in eV of functions in ``smooth`` units have a prior of width 1 about zero: else
    polynomials of high degree meet differences of energies by ripples that no formula has.
    """
    assert design.aims is not None
    problem = design.training
    bases = [grid.coordinates(grid.smooth) for grid in design.grids]
    parts = [problem.matrix[:, design.place(k)] @ basis for k, basis in enumerate(bases)]
    columns = np.hstack(parts)
    n = columns.shape[1]
    target = np.concatenate([problem.target, np.zeros(n)])
    found = np.linalg.lstsq(np.vstack([columns, np.eye(n)]), target, rcond=None)[0]
    ends = np.cumsum([basis.shape[1] for basis in bases])[:-1]
    each = zip(bases, np.split(found, ends), strict=True)
    coordinates = np.concatenate([basis @ own for basis, own in each])
    vector = np.concatenate([problem.e0(coordinates), coordinates, [-1.0]])
    return np.asarray(design.aims @ vector)


def _error(design: Design, chosen: Sequence[int]) -> float:
    """The floor of functions on some grids alone."""
    problem = design.training
    parts = [
        problem.matrix[:, design.place(k)] @ design.grids[k].basis(coarser=False) for k in chosen
    ]
    return design.error(solve(problem, np.hstack(parts))[1])
