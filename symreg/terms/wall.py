"""Below the domain: the repulsive wall of pairs, and distances at rest for all other terms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from symreg.arrays import Floats

HEIGHT = 100.0
"""Energy in eV that every wall reaches at a tenth of ``r_lo``."""
STEEPEST = 60.0
"""Largest k r_lo of an exponential wall; keeps it below 1e27 times its foot at r = 0."""
TURN = 0.1
"""Part of ``r_lo`` within which a core has turned repulsive."""
CLAMP = 0.05
"""Width of the stretch in which distances below ``r_lo`` come to rest, as a part of ``r_lo``."""


@dataclass(frozen=True)
class Wall:
    r"""Repulsion below ``r_lo``, joined smoothly to a pair function; finite down to r = 0.

    With :math:`h = r_\mathrm{lo} - r`:

    - ``exponential``: :math:`a + b\, e^{k h}` with coefficients (a, b, k), two continuous
      derivatives. Taken where :math:`u' < 0 < u''` and the wall is high enough, not too steep;
    - ``core``: :math:`c_0 + c_1 h + c_2 h^2 + c_3 h^3 + c_4 h^4`, three continuous derivatives.
      The first four coefficients continue the function; :math:`c_4` is large enough that the
      energy rises all the way from :math:`h = r_\mathrm{lo} / 10`, and by 100 eV or more.
    """

    kind: str
    """``exponential`` or ``core``."""
    r_lo: float
    """Where the wall begins, in Å."""
    coefficients: tuple[float, ...]
    """In eV, eV/Å, ..., as listed above."""

    @staticmethod
    def join(r_lo: float, u: float, u1: float, u2: float, u3: float) -> Wall:
        """Continue a function from its value (eV) and three derivatives (eV/Å, ...) at ``r_lo``."""
        reach = 0.9 * r_lo
        if u1 < 0 < u2 and -u2 / u1 * r_lo <= STEEPEST:
            k = -u2 / u1
            b = -u1 / k
            if b * math.expm1(k * reach) >= HEIGHT:
                return Wall("exponential", r_lo, (u - b, b, k))
        turn = TURN * r_lo
        # Beyond `turn` each part of 4 c4 h^3 outweighs one part of the slope that pulls inwards.
        c4 = (max(u1, 0) / turn**3 + max(-u2, 0) / turn**2 + max(u3, 0) / (2 * turn)) / 4
        # The rise of the continuation so far counts only from `turn`, where it stops falling.
        fall = max(u1, 0) * turn + max(-u2, 0) * turn**2 / 2 + max(u3, 0) * turn**3 / 6
        c4 += (HEIGHT + fall) / (reach**4 - turn**4)
        return Wall("core", r_lo, (u, -u1, u2 / 2, -u3 / 6, c4))

    def derivative(self, r: Floats, order: int) -> Floats:
        """Derivative of the given order with respect to r, in eV/Å^order, at ``r`` <= ``r_lo``."""
        h = self.r_lo - r
        sign = (-1.0) ** order
        if self.kind == "exponential":
            a, b, k = self.coefficients
            value = b * k**order * np.exp(k * h)
            return a + value if order == 0 else sign * value
        polynomial = np.polynomial.Polynomial(self.coefficients)
        return np.asarray(sign * (polynomial.deriv(order) if order else polynomial)(h))

    def text(self) -> str:
        """One line for people: the form with its numbers, r in Å, energy in eV."""
        r_lo, c = f"{self.r_lo:.6g}", self.coefficients
        if self.kind == "exponential":
            return f"{c[0]:.8g} + {c[1]:.8g}*exp({c[2]:.8g}*({r_lo} - r)) for r < {r_lo}"
        parts = [f"{c[0]:.8g}", *(f"{c[n]:+.8g}*({r_lo} - r)^{n}" for n in range(1, 5))]
        return f"{' '.join(parts)} for r < {r_lo}"


class Clamp(NamedTuple):
    r"""The distance that triplets and neighbour sums see, with three continuous derivatives.

    .. math:: r_\mathrm{eff} = r_\mathrm{lo} - d\,S((r_\mathrm{lo} - r)/d), \quad
       S(t) = t - \tfrac52 t^4 + 3 t^5 - t^6

    between :math:`r_\mathrm{lo} - d` and :math:`r_\mathrm{lo}`; :math:`r` itself above, and
    :math:`r_\mathrm{lo} - d/2` below. So they cannot beat the wall of the pairs.
    """

    r_lo: float
    """In Å."""

    @property
    def width(self) -> float:
        """The stretch d in Å."""
        return CLAMP * self.r_lo

    @property
    def floor(self) -> float:
        """Smallest distance in Å that they see."""
        return self.r_lo - 0.5 * self.width

    def __call__(self, r: Floats) -> tuple[Floats, Floats]:
        """Effective distance in Å and its derivative by ``r``."""
        t = np.clip((self.r_lo - r) / self.width, 0.0, 1.0)
        distance = self.r_lo - self.width * (t - t**4 * (2.5 - t * (3 - t)))
        slope = 1 - t**3 * (10 - t * (15 - 6 * t))
        return np.where(r < self.r_lo, distance, r), slope
