"""Where fits start: values of constants by the place where they stand."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from symreg.arrays import Booleans, Floats, Integers
from symreg.fit.programs.batch import encoded
from symreg.fit.programs.evaluation import evaluate
from symreg.language import Shape
from symreg.language.canonical import n_constants
from symreg.language.operators import FUNCTIONS, VARIABLE
from symreg.language.text import Nested
from symreg.language.tree import operands
from symreg.searching.variation.limits import HIGHEST_EXPONENT, LARGEST_CONSTANT, LOWEST_EXPONENT

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
_BUCKETS = 128
"""Starting values are tabulated for so many parts of the unit interval."""
_SHARES = (0.0, 0.4, 0.75, 0.8, 1.0)
"""Where the kinds of shifts begin and end in the unit interval, in the order of ``_shifts``."""
_COSINE = int(encoded(Shape(("c",)), alone=True).arg[0])
_POINTS = 33


def places(u: Nested, number_of: Callable[[Nested], int], inside: str = "") -> list[int]:
    """Where each constant of a form stands, in order; ``number_of`` numbers other functions."""
    op, parts, found = u[0], operands(u), list[int]()
    for k, v in enumerate(parts):
        if v[0] != "const":
            below = op if op in (*FUNCTIONS, "powi", "pow", "div") else inside
            found += places(v, number_of, below)
        elif op == "pow" and k == 1:
            found.append(EXPONENT)
        elif op in ("add", "sub") and not n_constants(parts[1 - k]):
            found.append(SHIFT + 2 * number_of(parts[1 - k]) + (op == "sub"))
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


def _shifts(u: Floats) -> Floats:
    """Values of c in u + c, from those of a function along the range, shape (_BUCKETS,).

    The first are values of the function itself, where the sum turns from one to the other; then
    come zeros below the range of the function, within it and above it.
    """
    t = (np.arange(_BUCKETS) + 0.5) / _BUCKETS
    turn, low, inside, high = (
        np.clip((t - begin) / (end - begin), 0.0, 1.0) for begin, end in pairwise(_SHARES)
    )
    u = u[np.isfinite(u)] if np.isfinite(u).any() else np.array([0.0, 1.0])
    least, most = float(u.min()), float(u.max())
    width = most - least or 1.0
    below = min(least, width) if least > 0 else width
    turns = np.interp(turn, np.linspace(0, 1, u.size), u)
    if least < 0 < most:  # the sum would be zero somewhere
        turns = width * _gap(turn) - least
    zeros = (least - below * _gap(low), least + width * inside, most + width * _gap(high))
    return np.select([t < end for end in _SHARES[1:]], [turns, *(-z for z in zeros)])


def _gap(part: Floats) -> Floats:
    """From 0 to 1, distances from 2 down to 0.01, evenly in their logarithm."""
    return np.asarray(2.0 * 0.005 ** np.clip(part, 0.0, 1.0))


class Starts:
    """Starting values: the points of a Halton sequence, one dimension for each constant of a form.

    They are spread over what is sensible at each place. Most shifts c + u have no zero within the
    data: where they stand in a denominator or under a root no fit moves a pole through data.
    ``starts`` is the most of a form; ``code``, ``arg`` and ``start`` are encoded functions that
    constants are added to, in the order of their numbers.
    """

    def __init__(
        self,
        starts: int,
        x_range: tuple[float, float],
        code: Integers,
        arg: Integers,
        start: Integers,
    ) -> None:
        quantiles = np.array([[_halton(s + 1, base) for s in range(starts)] for base in _PRIMES])
        self._bucket = (quantiles * _BUCKETS).astype(np.int64)
        t = (np.arange(_BUCKETS) + 0.5) / _BUCKETS
        known = np.linspace(0.0, 1.0, len(_SPREAD[SCALE]))
        table = [np.interp(t, known, _SPREAD[place]) for place in (SCALE, RATE, EXPONENT)]
        for low, high in pairwise(start):
            of_cosine = ((code == VARIABLE) & (arg == _COSINE))[low:high].any()
            x = np.linspace(*((-1.0, 1.0) if of_cosine else x_range), _POINTS)[None, :]
            shifts = _shifts(evaluate(code[low:high], arg[low:high], np.empty(0), x))
            table += [shifts, -shifts]
        self._table = np.array(table)

    def values(self, place: Integers, number: Integers, start: Integers) -> Floats:
        """Values of constants from their places, numbers in their forms, and starts."""
        return np.asarray(self._table[place, self._bucket[number, start]])


def are_sensible(place: Integers, constants: Floats) -> Booleans:
    """Whether constants are of sensible size, and exponents within the bounds of variation."""
    within = (constants >= LOWEST_EXPONENT) & (constants <= HIGHEST_EXPONENT)
    small = np.abs(constants) <= LARGEST_CONSTANT
    return np.asarray(small & (within | (place != EXPONENT)))
