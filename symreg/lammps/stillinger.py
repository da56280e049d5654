"""Recognising three-body terms that LAMMPS's own Stillinger-Weber style computes exactly."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from symreg.formula import Formula, TripletSum
from symreg.formula.radial import RadialFunction
from symreg.formula.sums.triplets import Product
from symreg.lammps.meam import TripletWay, triplets_of
from symreg.lammps.route import Route, lines_of
from symreg.lammps.table import overlay, table_route

REAL = 1e-11
"""Relative difference below which two functions are the same function."""


class Arm(NamedTuple):
    """exp(s/(r - r_cut)); both in Å."""

    s: float
    r_cut: float


class Angle(NamedTuple):
    """K (c - c0)^2 exp(s1/(r1 - r_cut)) exp(s2/(r2 - r_cut)): K in eV, c0, and both factors."""

    strength: float
    cosine: float
    arms: tuple[Arm, Arm]


@dataclass
class Layer:
    """Terms that one file can hold: each centre has one factor for a species of neighbours."""

    arms: dict[tuple[str, str], Arm] = field(default_factory=dict)
    """By centre and neighbour."""
    angles: dict[tuple[str, str, str], Angle] = field(default_factory=dict)
    """By centre and both neighbours, in order of the alphabet."""

    def take(self, species: tuple[str, str, str], angle: Angle) -> bool:
        """Add a term if it fits in; whether it did."""
        pairs = [(species[0], near) for near in species[1:]]
        wanted = list(zip(pairs, angle.arms, strict=True))
        if species in self.angles or any(self.arms.get(p, arm) != arm for p, arm in wanted):
            return False
        self.arms |= dict(wanted)
        self.angles[species] = angle
        return True

    def text(self, first_line: str, species: Sequence[str]) -> str:
        """The file of all triplets of these species; LAMMPS wants every one."""
        lines = [f"# {first_line}"]
        for centre, j, k in itertools.product(species, repeat=3):
            angle = self.angles.get((centre, min(j, k), max(j, k)))
            strength, cosine = (0.0, 0.0) if angle is None else (angle.strength, angle.cosine)
            # Where nothing is felt any radius serves; LAMMPS reads those of i j j.
            s, r_cut = self.arms.get((centre, j), Arm(0.0, 1.0))
            # sigma = 1 Å, so that a is r_cut and gamma is s; nothing between pairs.
            values = (strength, 1.0, r_cut, 1.0, s, cosine, 0.0, 0.0, 4.0, 0.0, 0.0)
            lines.append(f"{centre} {j} {k} {' '.join(f'{value:.17g}' for value in values)}")
        return lines_of(lines)


def layers_of(formula: Formula) -> list[Layer]:
    """All terms of triplets, in as few files as their factors allow."""
    layers: list[Layer] = []
    for function in triplets_of(formula):
        centre, one, other = function.species
        for angle in stillinger_angles(function):
            if not any(layer.take((centre, one, other), angle) for layer in layers):
                layers.append(Layer())
                layers[-1].take((centre, one, other), angle)
    return layers


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
    found = [_arm(function, radial, k) for k, radial in enumerate(product.radials)]
    arms = [arm for arm in found if arm is not None]
    if len(arms) < 2:
        return None
    c = np.linspace(-1, 1, 41)
    p = product.angular(c)[0]
    strength = 0.5 * (p[0] + p[-1]) - p[20]
    if not strength > 0:
        return None
    cosine = (p[0] - p[-1]) / (4 * strength)
    if np.abs(strength * (c - cosine) ** 2 - p).max() > REAL * np.abs(p).max():
        return None
    (one, first), (other, second) = arms
    return Angle(float(strength * first * second), float(cosine), (one, other))


def _arm(function: TripletSum, radial: RadialFunction, neighbour: int) -> tuple[Arm, float] | None:
    """A radial factor as ``sw`` has it, and the number that multiplies it; None if it is none."""
    r_cut = function.r_cut
    r = np.linspace(function.clamps[neighbour].r_lo, r_cut, 60)[:-8]
    g, slope = radial.derivatives(r, 1)
    if not (g > 0).all():
        return None
    exponents = -slope / g * (r - r_cut) ** 2
    s = float(exponents[0])
    if s <= 0 or np.abs(exponents / s - 1).max() > REAL:
        return None
    return Arm(s, r_cut), float(g[0] * np.exp(-s / (r[0] - r_cut)))


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
        layers_of(formula)

    def make(self, formula: Formula, first_line: str) -> Route:
        """See ``Way``."""
        species = formula.species
        files = {
            f"{'-'.join(species)}-{n}.sw": layer.text(first_line, species)
            for n, layer in enumerate(layers_of(formula), 1)
        }
        # LAMMPS's sw does not let distances come to rest, so its tables end where they would.
        table = table_route(formula, first_line, domain=True)
        route = overlay(self.style, self.style, table, files, species)
        return replace(route, shares_energies=True)
