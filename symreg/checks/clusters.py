"""Trimers and dense clusters."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.cluster import Icosahedron

from symreg.arrays import Floats
from symreg.checks.crystals import SCALES, energy_volume
from symreg.checks.dimers import POINTS
from symreg.checks.report import Check
from symreg.formula import Formula, FormulaCalculator, TripletSum
from symreg.terms.curves import pole

ANGLES = (60.0, 90.0, 180.0)
"""Of trimers that are looked at, in degrees."""


def embedding_check(formula: Formula, crystals: Sequence[Atoms]) -> list[Check]:
    """Whether an atom alone is finite, and trimers and dense clusters are not bound too deeply."""
    (symbol,) = formula.species
    name = "neighbour sums of an atom alone"
    try:
        lone = Atoms(symbol)
        lone.calc = FormulaCalculator(formula)
        energy = float(lone.get_potential_energy())
    except ValueError as error:
        return [Check(name, False, str(error))]
    alone = Check(name, bool(np.isfinite(energy)), f"energy {energy:.5g} eV")
    curves = [energy_volume(FormulaCalculator(formula), atoms, SCALES) for atoms in crystals]
    # Of the most stable crystal; zero if none is bound.
    cohesive = -min([0.0, *(float(curve.energy.min()) - energy for curve in curves)])
    corners = ([[0, 0, 0], [1, 0, 0], [np.cos(t), np.sin(t), 0]] for t in np.radians(ANGLES))
    shapes = [*(Atoms(f"{symbol}3", positions) for positions in corners), _icosahedron(symbol)]
    return [alone, *(_depth_check(formula, shape, energy, cohesive) for shape in shapes)]


def _scan(
    formula: Formula, shape: Atoms, alone: float, distances: Floats
) -> tuple[str, Floats, int]:
    """Name of a cluster, its energies (eV/atom) at nearest ``distances``, and which is lowest."""
    atoms, positions, energies = shape.copy(), shape.positions.copy(), []
    atoms.calc = FormulaCalculator(formula)
    for distance in distances:
        atoms.positions = distance * positions
        energies.append(atoms.get_potential_energy() / len(atoms) - alone)
    return atoms.get_chemical_formula(), np.array(energies), int(np.argmin(energies))


def _depth_check(formula: Formula, shape: Atoms, alone: float, cohesive: float) -> Check:
    """Whether no distance binds a cluster by more than twice the cohesive energy of a crystal."""
    distances = np.linspace(0.5 * formula.r_lo, formula.cutoff.r_cut, 60)
    name, energies, lowest = _scan(formula, shape, alone, distances)
    name, depth = f"{name} is bound by no more than twice the crystal", -energies[lowest]
    if len(shape) == 3:
        name = f"{name}, {shape.get_angle(1, 0, 2):.0f} degrees"
    detail = f"{depth:.4g} eV/atom at {distances[lowest]:.4g} Å, crystal {cohesive:.4g}"
    return Check(name, bool(np.isfinite(energies).all() and depth <= 2 * cohesive), detail)


def trimer_check(formula: Formula, species: tuple[str, str, str]) -> list[Check]:
    """Whether trimers are finite, and neither they nor a dense cluster gain by being squeezed."""
    name = f"trimer {'-'.join(species)}"
    try:
        problem = _triplet_pole(formula.three_body_function(*species))
        sides, cosine, values = _trimers(formula, species)
    except ValueError as error:
        return [Check(f"{name} is finite", False, str(error))]
    broken = ~np.isfinite(values).all(axis=0)
    if broken.any():
        r1, r2, _ = sides[:, broken][:, 0]
        problem = f"it is not finite at {r1:.4g} Å, {r2:.4g} Å, cosine {cosine[broken][0]:.4g}"
    if problem:
        return [Check(f"{name} is finite", False, problem)]
    reach = f"from {sides.min():.4g} to {sides[0].max():.4g} Å, angles 0 to 180 degrees"
    finite = Check(f"{name} is finite", True, reach)
    energy = values[0] / 3
    lowest = int(energy.argmin())
    closest = float(sides[:, lowest].min())
    trimer = _collapse(formula, f"{name} does not collapse", closest, float(energy[lowest]))
    return [finite, trimer, _cluster_check(formula)]


def _collapse(formula: Formula, name: str, closest: float, energy: float) -> Check:
    detail = f"lowest energy {energy:.5g} eV/atom, nearest atoms at {closest:.4g} Å"
    values = {"energy_per_atom": energy, "closest": closest}
    if closest < formula.r_lo:
        detail += f": closer than {formula.r_lo:.4g} Å, where the domain begins"
    return Check(name, closest >= formula.r_lo, detail, values)


def _triplet_pole(function: TripletSum) -> str:
    """Where the function jumps along its cosine or a distance; empty if it does not."""
    r_lo, r_cut = function.clamp.r_lo, function.r_cut
    distances = r_lo + np.array([0.0, 0.37, 0.74]) * (r_cut - r_lo)
    c, r = np.linspace(-1, 1, POINTS), np.linspace(r_lo, r_cut, POINTS)[:-1]
    for fixed, other in itertools.product(distances, distances):
        first, second = np.full(POINTS, fixed), np.full(POINTS, other)
        energy, _, _, slope = function.derivatives(first, second, c)
        if (place := pole(c, energy, slope)) is not None:
            return f"the formula has a pole near cosine {place:.4g}"
    for fixed, cosine in itertools.product(distances, (-1.0, -0.3, 0.3, 1.0)):
        others = np.full(r.size, fixed), np.full(r.size, cosine)
        energy, slope, _, _ = function.derivatives(r, *others)
        if (place := pole(r, energy, slope)) is not None:
            return f"the formula has a pole near {place:.4g} Å"
    return ""


def _trimers(formula: Formula, species: tuple[str, str, str]) -> tuple[Floats, Floats, Floats]:
    """Sides in Å (3, T), cosine between the first two (T,), energies (eV) with all slopes."""
    function, pair = formula.three_body_function(*species), formula.pair_function(*species[:2])
    r = np.linspace(0.5 * pair.r_lo, function.r_cut, 30)
    angles = np.cos(np.radians(np.linspace(0, 180, 37)))
    r1, r2, c = (part.ravel() for part in np.meshgrid(r, r, angles))
    r3 = np.sqrt(np.maximum(r1**2 + r2**2 - 2 * r1 * r2 * c, 0.0))
    chosen = (r1 <= r2) & (r3 >= r[0])
    r1, r2, r3, c = r1[chosen], r2[chosen], r3[chosen], c[chosen]
    c1, c2 = ((a - b * c) / r3 for a, b in ((r1, r2), (r2, r1)))
    triplets = [
        function.derivatives(one, two, np.clip(cosine, -1.0, 1.0))
        for one, two, cosine in ((r1, r2, c), (r1, r3, c1), (r2, r3, c2))
    ]
    pairs = [pair.derivatives(side, 1) for side in (r1, r2, r3)]
    energy = sum(part[0] for part in (*pairs, *triplets))
    return np.stack([r1, r2, r3]), c, np.vstack([energy, *pairs, *triplets])


def _cluster_check(formula: Formula) -> Check:
    """Whether the icosahedron of 13 atoms is best where its neighbours keep their distance."""
    symbol, distances = formula.species[0], np.linspace(0.5 * formula.r_lo, formula.r_cut, 100)
    name, energies, lowest = _scan(formula, _icosahedron(symbol), formula.e0[symbol], distances)
    name = f"cluster {name} does not collapse"
    if not np.isfinite(energies).all():
        return Check(name, False, "its energy is not finite")
    return _collapse(formula, name, float(distances[lowest]), float(energies[lowest]))


def _icosahedron(symbol: str) -> Atoms:
    """13 atoms, nearest neighbours 1 Å apart."""
    atoms: Atoms = Icosahedron(symbol, noshells=2, latticeconstant=1.0)
    atoms.positions /= atoms.get_distances(0, range(1, 13)).min()
    return atoms
