"""Two atoms drawn apart."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from symreg.arrays import Floats
from symreg.checks.report import Check
from symreg.formula import Formula
from symreg.terms.curves import pole

POINTS = 2000
PROMINENCE = 0.01
"""A minimum counts if it is this deep, as a part of the deepest."""
FLAT = 1e-9
"""Energies in eV below which nothing is left."""
EDGE = 1e-7
"""How far from the cutoff radius in Å the force of a dimer with neighbour sums is looked at."""
FADED = 1e-5
"""Largest energy and force that may be left there, in eV and eV/Å."""


class DimerCurve(NamedTuple):
    """Two atoms drawn apart; e0 is left out."""

    r: Floats
    """Distances in Å, shape (R,)."""
    energy: Floats
    """Energies in eV, shape (R,)."""
    force: Floats
    """Forces in eV/Å, shape (R,); positive pushes apart."""


def dimer_curve(formula: Formula, a: str, b: str, points: int = POINTS) -> DimerCurve:
    """Energy and force of two atoms beyond those of atoms alone, from half ``r_lo`` to cutoff."""
    function = formula.pair_function(a, b)
    r = np.linspace(0.5 * function.r_lo, function.r_cut, points)
    energy, slope = _alone(formula, a, b, r)
    embedded = _embedded_dimer(formula, a, b, r)
    energy, slope = energy + embedded[0], slope + embedded[1]
    return DimerCurve(r, energy, -slope)


def _alone(formula: Formula, a: str, b: str, r: Floats) -> Floats:
    """Energy (eV) and slope (eV/Å) of a pair by all sums that stand alone, shape (2, *r.shape)."""
    return np.asarray(sum(one.derivatives(r, 1) for one in formula.of_dimer(a, b)))


def _embedded_dimer(formula: Formula, a: str, b: str, r: Floats) -> tuple[Floats, Floats]:
    """Energy of a dimer (eV) by functions of sums, and its slope (eV/Å), both of shape (P,)."""
    energy, slope = np.zeros_like(r), np.zeros_like(r)
    for centre, near in ((a, b), (b, a)):
        if (many := formula.functions.get(centre)) is None:
            continue
        densities = many.densities(r, near)
        alone = many.energy(np.zeros((len(densities), 1)))[0]
        embedded, *by_sum = many.energy(densities[:, 0])
        energy += embedded - alone
        for change, (_, steep) in zip(by_sum, densities, strict=True):
            # At the cutoff itself the sums are zero, where F need not have a slope.
            felt = steep != 0
            slope[felt] += change[felt] * steep[felt]
    return energy, slope


def dimer_check(formula: Formula, a: str, b: str) -> list[Check]:
    """Whether a dimer is finite, repels when squeezed, has at most one well, and fades."""
    name = f"dimer {a}-{b}"
    try:
        curve = dimer_curve(formula, a, b)
    except ValueError as error:
        return [Check(f"{name} is finite", False, str(error))]
    broken = ~(np.isfinite(curve.energy) & np.isfinite(curve.force))
    if broken.any():
        at = f"energy or force is not finite at {curve.r[broken][0]:.4g} Å"
        return [Check(f"{name} is finite", False, at)]
    r_lo = formula.pair_function(a, b).r_lo
    # Not the last point: a plain truncation is judged by `_fading`.
    inside = [part[:-1][curve.r[:-1] >= r_lo] for part in curve]
    if (place := pole(inside[0], inside[1], -inside[2])) is not None:
        return [Check(f"{name} is finite", False, f"the formula has a pole near {place:.4g} Å")]
    return [
        Check(f"{name} is finite", True, f"from {curve.r[0]:.4g} to {curve.r[-1]:.4g} Å"),
        _repulsion(formula, a, b, f"{name} repels at short range"),
        _wells(curve, r_lo, f"{name} has at most one well"),
        _fading(formula, a, b, f"{name} fades at the cutoff"),
    ]


def unseen_check(formula: Formula, a: str, b: str) -> Check:
    """Effect of two species without a term on each other: no fault, but to be known."""
    wall = formula.pair_function(a, b).wall
    detail = f"such atoms do not feel each other but for a wall: {wall.text()}"
    return Check(f"dimer {a}-{b} has no term", True, detail)


def _repulsion(formula: Formula, a: str, b: str, name: str) -> Check:
    r = np.linspace(0.0, formula.pair_function(a, b).r_lo, POINTS)
    energy, slope = _alone(formula, a, b, r)
    pulls = r[slope >= 0]
    detail = f"energy rises from {energy[-1]:.4g} eV at {r[-1]:.4g} Å to {energy[0]:.4g} eV at 0"
    if pulls.size:
        detail = f"atoms attract each other between {pulls[0]:.4g} and {pulls[-1]:.4g} Å"
    return Check(name, not pulls.size and bool(np.isfinite(energy).all()), detail)


def _wells(curve: DimerCurve, r_lo: float, name: str) -> Check:
    r, energy, _ = (part[curve.r >= r_lo] for part in curve)
    falls = (energy[1:-1] < energy[:-2]) & (energy[1:-1] <= energy[2:])
    inner = [int(at) for at in 1 + np.flatnonzero(falls)]
    if not inner:
        return Check(name, True, "no well: it repels or attracts at all distances")
    span = np.abs(energy[inner]).max()
    wells = [at for at in inner if _prominence(energy, at) > PROMINENCE * span]
    deepest = min(inner, key=energy.__getitem__)
    values = {"r_min": float(r[deepest]), "depth": float(-energy[deepest])}
    detail = f"minimum {energy[deepest]:.4g} eV at {r[deepest]:.4g} Å"
    if len(wells) > 1:
        detail += f"; {len(wells)} wells, at {', '.join(f'{r[at]:.4g}' for at in wells)} Å"
    return Check(name, len(wells) <= 1, detail, values)


def _prominence(energy: Floats, at: int) -> float:
    """How far one has to climb from a minimum, on its lower side, to get to a deeper place."""
    climbs = []
    for side in (energy[at::-1], energy[at:]):
        deeper = np.flatnonzero(side < energy[at])
        climbs.append(side[: deeper[0] + 1 if deeper.size else None].max() - energy[at])
    return float(min(climbs))


def _fading(formula: Formula, a: str, b: str, name: str) -> Check:
    function = formula.pair_function(a, b)
    edge = np.nextafter(function.r_cut, 0.0)
    energy, slope = _alone(formula, a, b, np.array([edge]))[:, 0]
    embedded = bool({a, b} & formula.functions.keys())
    if embedded:
        # At the cutoff itself a root of a sum is lost in rounding.
        (more,), (steeper,) = _embedded_dimer(formula, a, b, np.array([function.r_cut - EDGE]))
        energy, slope = energy + more, slope + steeper
    allowed = FADED if embedded else FLAT
    detail = f"jumps by {abs(energy):.3g} eV and {abs(slope):.3g} eV/Å at {function.r_cut:.4g} Å"
    return Check(name, bool(max(abs(energy), abs(slope)) < allowed), detail)
