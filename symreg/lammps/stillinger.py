"""Recognising three-body terms that LAMMPS's own Stillinger-Weber style computes exactly."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from symreg.formula import Formula, TripletSum
from symreg.formula.sums.triplets import Product
from symreg.lammps.meam import TripletWay, triplets_of
from symreg.lammps.route import Route
from symreg.lammps.table import overlay, table_route

REAL = 1e-11
"""Relative difference below which two functions are the same function."""


class Angle(NamedTuple):
    """K (c - c0)^2 exp(s/(r1 - r_cut)) exp(s/(r2 - r_cut)): K in eV, c0, and s in Å."""

    strength: float
    cosine: float
    s: float


def stillinger_angles(function: TripletSum) -> list[Angle]:
    """The terms as LAMMPS's ``sw`` has them; ``ValueError`` if one has another form."""
    found = [_angle(function, product) for product in function.products]
    angles = [angle for angle in found if angle is not None]
    if function.general or len(angles) < len(found):
        raise ValueError(
            "style 'sw' is for three-body terms w*(c - c0)^2 with w > 0 whose radial factor times "
            'cutoff function is exp(s/(r - r_cut)), such as cutoff "stillinger_weber" with no '
            "radial factor: use style 'meam' or 'plugin'"
        )
    return angles


def _angle(function: TripletSum, product: Product) -> Angle | None:
    r_cut = function.r_cut
    r = np.linspace(function.clamp.r_lo, r_cut, 60)[:-8]
    g, slope = product.radial.derivatives(r, 1)
    if not (g > 0).all():
        return None
    exponents = -slope / g * (r - r_cut) ** 2
    s = float(exponents[0])
    scale = g[0] * np.exp(-s / (r[0] - r_cut))
    if s <= 0 or np.abs(exponents / s - 1).max() > REAL:
        return None
    c = np.linspace(-1, 1, 41)
    p = product.angular(c)[0]
    strength = 0.5 * (p[0] + p[-1]) - p[20]
    if not strength > 0:
        return None
    cosine = (p[0] - p[-1]) / (4 * strength)
    if np.abs(strength * (c - cosine) ** 2 - p).max() > REAL * np.abs(p).max():
        return None
    return Angle(float(strength * scale**2), float(cosine), s)


class StillingerWay(TripletWay):
    """An ``sw`` without pairs for each term of triplets."""

    style = "sw"
    says = (
        "by `pair_style hybrid/overlay` of a table and LAMMPS's own `sw` for the triplets, whose "
        "energies per atom LAMMPS shares among the three atoms; atoms closer than its domain stop "
        "LAMMPS"
    )

    def require(self, formula: Formula) -> None:
        """See ``Way``."""
        super().require(formula)
        stillinger_angles(triplets_of(formula))

    def make(self, formula: Formula, first_line: str) -> Route:
        """See ``Way``."""
        function, (symbol,), files = triplets_of(formula), formula.species, {}
        for n, (strength, cosine, s) in enumerate(stillinger_angles(function), 1):
            # sigma = 1 Å, so that a is r_cut and gamma is s; nothing between pairs.
            values = (strength, 1.0, function.r_cut, 1.0, s, cosine, 0.0, 0.0, 4.0, 0.0, 0.0)
            numbers = " ".join(f"{value:.17g}" for value in values)
            files[f"{symbol}-{n}.sw"] = f"# {first_line}\n{symbol} {symbol} {symbol} {numbers}\n"
        # LAMMPS's sw does not let distances come to rest, so its table ends where they would.
        table = table_route(formula, first_line, formula.r_lo)
        route = overlay(self.style, self.style, table, files, symbol)
        return replace(route, shares_energies=True)
