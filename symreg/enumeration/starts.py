"""Where fits start: values of constants by the place where they stand."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from symreg.expression.canonical import Nested
from symreg.individuals import n_constants
from symreg.kernels.programs import evaluate_values
from symreg.primitives import PRIMITIVES
from symreg.variation import HIGHEST_EXPONENT, LOWEST_EXPONENT
from symreg.variation.limits import LARGEST_CONSTANT

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

SCALE, RATE, EXPONENT, SHIFT = range(4)
"""Places of a constant: beside a function, as a factor of what an exponential holds, as an
exponent, and from ``SHIFT`` on as an addend to a function without constants. Each of these has two
numbers, for c + u and c - u."""
MOST_CONSTANTS = 16
"""Most constants of a form; at complexities that can be examined there are far fewer."""

_PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53)
_SPREAD = {
    SCALE: (-5.0, -1.5, -0.5, -0.1, 0.1, 0.5, 1.5, 5.0),
    RATE: (-14.0, -8.0, -5.0, -3.0, -1.5, -0.5, 0.5, 1.5),
    EXPONENT: (-14.0, -10.0, -7.0, -4.0, -2.0, -1.0, 0.5, 2.5),
}
_FARTHEST, _NEAREST = 2.0, 1e-3
"""Distances of a zero from the range of a function, as parts of its width."""
_COSINE = PRIMITIVES["c"].code
_POINTS = 33


def places(u: Nested, number_of: Callable[[Nested], int], inside: str = "") -> list[int]:
    """Where each constant of a form stands, in order of appearance.

    ``number_of`` numbers functions without constants.
    """
    found: list[int] = []
    op, operands = u[0], [v for v in u[1:] if isinstance(v, tuple)]
    for k, v in enumerate(operands):
        if v[0] != "const":
            below = op if op in ("exp", "log", "sqrt", "powi", "pow", "div") else inside
            found += places(v, number_of, below)
        elif op == "pow" and k == 1:
            found.append(EXPONENT)
        elif op in ("add", "sub") and not n_constants(operands[1 - k]):
            found.append(SHIFT + 2 * number_of(operands[1 - k]) + (op == "sub"))
        else:
            found.append(RATE if inside == "exp" and op == "mul" else SCALE)
    return found


def _halton(n: int, base: int) -> float:
    """The n-th number of the van der Corput sequence of a base."""
    value, scale = 0.0, 1.0
    while n:
        n, digit = divmod(n, base)
        scale /= base
        value += digit * scale
    return value


def _beyond(quantile: float) -> float:
    """Where to put a zero: three times in four outside of 0 to 1, nearer to the ends more often."""
    if 0.5 <= quantile < 0.75:
        return 4.0 * quantile - 2.0
    below = quantile < 0.5
    part = 2.0 * quantile if below else 4.0 * (1.0 - quantile)
    gap = math.exp((1.0 - part) * math.log(_FARTHEST) + part * math.log(_NEAREST))
    return -gap if below else 1.0 + gap


class Starts:
    """Starting values: the points of a Halton sequence, one dimension for each constant of a form.

    They are spread over what is sensible at each place. A shift c + u is zero below, above or
    within the range of u: only the first two are of use where it stands in a denominator or under a
    root, for no fit moves a pole through data.

    Parameters
    ----------
    starts
        Most starts of a form.
    x_range
        Smallest and largest reduced distance of the data.
    code, arg, start
        Encoded functions that constants are added to, in the order of their numbers.
    """

    def __init__(
        self,
        starts: int,
        x_range: tuple[float, float],
        code: Integers,
        arg: Integers,
        start: Integers,
    ) -> None:
        quantiles = [[_halton(s + 1, base) for s in range(starts)] for base in _PRIMES]
        known = np.linspace(0.0, 1.0, len(_SPREAD[SCALE]))
        spread = [np.interp(quantiles, known, _SPREAD[p]) for p in (SCALE, RATE, EXPONENT)]
        self._units = np.array([*spread, np.vectorize(_beyond)(quantiles)])
        offset, width = [0.0] * SHIFT, [1.0] * SHIFT
        for low, high in pairwise(start):
            ends = (-1.0, 1.0) if _COSINE in code[low:high] else x_range
            least, most = _range(code[low:high], arg[low:high], np.linspace(*ends, _POINTS))
            offset += [-least, least]
            width += [least - most, most - least]
        self._offset, self._width = np.array(offset), np.array(width)

    def values(self, place: Integers, number: Integers, start: Integers) -> Floats:
        """Values of constants from their places, numbers in their forms, and starts."""
        unit = self._units[np.minimum(place, SHIFT), number, start]
        return np.asarray(self._offset[place] + self._width[place] * unit)


def _range(code: Integers, arg: Integers, x: Floats) -> tuple[float, float]:
    """Smallest and largest finite value of a function; 0 and 1 where there is none."""
    values = evaluate_values(code, arg, np.empty(0), x)
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)


def are_sensible(place: Integers, constants: Floats) -> NDArray[np.bool_]:
    """Whether constants are of sensible size, and exponents within the bounds of variation."""
    within = (constants >= LOWEST_EXPONENT) & (constants <= HIGHEST_EXPONENT)
    small = np.abs(constants) <= LARGEST_CONSTANT
    return np.asarray(small & (within | (place != EXPONENT)))
