"""Values of functions all over their domain, where a file may hold one that has none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from symreg.arrays import Booleans, Floats
from symreg.formula.radial import Parts
from symreg.language import Tree
from symreg.terms.cutoff import Cutoff

POINTS = 4001
"""Distances at which a function of one is looked at."""
FEWER, ANGLES = 16, 9
"""Distances, and cosines from -1 to 1, at which one of two distances is."""
HUGE = 100.0
"""Jumps over the median size that no smooth function makes from one point to the next."""


def first_pole(parts: Parts, r0: float, r_lo: float, cutoff: Cutoff) -> float | None:
    """Distance in Å near which Σ w f(r/r0) f_c(r) is not finite or has a pole; None if nowhere."""
    r = np.linspace(r_lo, cutoff.r_cut, POINTS)[:-1]
    with np.errstate(all="ignore"):
        value = sum((weight * tree(r / r0) for tree, weight in parts), np.zeros(r.size))
        value = value * cutoff.value(r)
        jumps, size = np.abs(np.diff(value)), np.abs(value)
        wild = ~np.isfinite(value)
        # At a pole of odd order the values on both sides are huge, and of unlike sign.
        middle = np.median(size[~wild]) if not wild.all() else 0.0
        wild[1:] |= (value[1:] * value[:-1] < 0) & (jumps > HUGE * middle) & _peaks(size)
    return float(r[np.argmax(wild)]) if wild.any() else None


def first_gap(
    trees: Sequence[Tree], r0: float, begins: Sequence[float], r_cut: float, unlike: bool
) -> tuple[float, float, float] | None:
    """Two distances in Å and a cosine where a function of these is not finite; None if nowhere."""
    near = [np.linspace(r_lo, r_cut, FEWER, endpoint=False) for r_lo in (begins[0], begins[-1])]
    places = np.meshgrid(*near, np.linspace(-1.0, 1.0, ANGLES), indexing="ij")
    r1, r2, c = (part.ravel() for part in places)
    for tree in trees:
        wild = ~np.isfinite(tree(r1 / r0, r2 / r0, c, unlike=unlike))
        if wild.any():
            n = int(np.argmax(wild))
            return float(r1[n]), float(r2[n]), float(c[n])
    return None


def _peaks(size: Floats) -> Booleans:
    """Whether sizes grow towards each interval between points, from both of its sides, (P - 1,)."""
    before = np.concatenate([[np.inf], size[:-2]])
    after = np.concatenate([size[2:], [np.inf]])
    return (size[:-1] > before) & (size[1:] > after)
