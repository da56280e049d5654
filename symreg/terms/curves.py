"""Poles between the points of sampled curves, and whether these rise."""

from __future__ import annotations

import numpy as np

from symreg.arrays import Floats


def pole(x: Floats, energy: Floats, slope: Floats, least: float = 1e-6) -> float | None:
    """Where the energy jumps most in a way that the slopes on both sides do not explain.

    Points ascend; None where there is no such place. A jump counts from ``least`` of the largest
    energy on: between few points a smooth curve may bend as much as its slopes explain.

    >>> x = np.linspace(1.0, 2.0, 100)
    >>> round(pole(x, 1 / (x - 1.5), -1 / (x - 1.5) ** 2), 2)
    1.49
    >>> pole(x, x**2, 2 * x) is None
    True
    """
    step = np.diff(x)
    missing = np.abs(np.diff(energy) - 0.5 * step * (slope[1:] + slope[:-1]))
    explained = 0.5 * step * (np.abs(slope[1:]) + np.abs(slope[:-1]))
    jumps = missing > 0.1 * explained + least * np.abs(energy).max()
    # Not the largest of all: between few points of a steep wall much is missing, but explained.
    return float(x[np.where(jumps, missing, 0.0).argmax()]) if jumps.any() else None
