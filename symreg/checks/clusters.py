"""Trimers and dense clusters."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from ase import Atoms
from ase.cluster import Icosahedron

from symreg.arrays import Floats
from symreg.checks.crystals import SCALES, energy_alone, energy_volume
from symreg.checks.dimers import POINTS
from symreg.checks.report import Check
from symreg.formula import Formula, FormulaCalculator, TripletSum
from symreg.terms import Key
from symreg.terms.curves import pole

ANGLES = (60.0, 90.0, 180.0)
"""Of trimers that are looked at, in degrees."""


def embedding_check(formula: Formula, crystals: Sequence[Atoms]) -> list[Check]:
    """Whether atoms alone are finite, and trimers and dense clusters are not bound too deeply.

    Clusters are of each centre with neighbours of each species that its function sums over. Those
    of several species are compared with crystals only where some are given.
    """
    several, alone = len(formula.species) > 1, {}
    checks: list[Check] = []
    for symbol in formula.species:
        name = f"neighbour sums of an atom{f' {symbol}' if several else ''} alone"
        try:
            alone[symbol] = energy_alone(formula, symbol)
        except ValueError as error:
            return [*checks, Check(name, False, str(error))]
        if symbol in formula.functions:
            detail = f"energy {alone[symbol]:.5g} eV"
            checks.append(Check(name, bool(np.isfinite(alone[symbol])), detail))
    if several and not crystals:
        return checks
    energies = [
        float(energy_volume(FormulaCalculator(formula), atoms, SCALES).energy.min())
        - _mean(alone, atoms)
        for atoms in crystals
    ]
    cohesive = -min([0.0, *energies])  # of the most stable crystal; zero if none is bound
    shapes = [
        shape
        for symbol, many_body in formula.functions.items()
        for near in many_body.neighbours
        for shape in _clusters(symbol, near)
    ]
    depths = [_depth_check(formula, shape, _mean(alone, shape), cohesive) for shape in shapes]
    return [*checks, *depths]


def _mean(values: Mapping[str, float], atoms: Atoms) -> float:
    """Mean over the atoms of a structure of values by species."""
    return float(np.mean([values[symbol] for symbol in atoms.get_chemical_symbols()]))


def _clusters(symbol: str, near: str) -> list[Atoms]:
    """Trimers and an icosahedron of a centre with neighbours 1 Å away."""
    corners = ([[0, 0, 0], [1, 0, 0], [np.cos(t), np.sin(t), 0]] for t in np.radians(ANGLES))
    trimers = [Atoms([symbol, near, near], positions) for positions in corners]
    return [*trimers, _icosahedron(symbol, [near])]


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


def _pairs(shape: Atoms) -> list[tuple[str, str]]:
    """All pairs of the species of a cluster."""
    return [*itertools.combinations_with_replacement(sorted({*shape.symbols}), 2)]


def _scanned(formula: Formula, shape: Atoms) -> tuple[float, float]:
    """Half of where the first domain of its pairs begins, and their largest cutoff radius, in Å."""
    own = [formula.lengths.at(p) for p in _pairs(shape)]
    return 0.5 * min(one.r_lo for one in own), max(one.cutoff.r_cut for one in own)


def _depth_check(formula: Formula, shape: Atoms, alone: float, cohesive: float) -> Check:
    """Whether no distance binds a cluster by more than twice the cohesive energy of a crystal."""
    distances = np.linspace(*_scanned(formula, shape), 60)
    name, energies, lowest = _scan(formula, shape, alone, distances)
    name, depth = f"{name} is bound by no more than twice the crystal", -energies[lowest]
    if len(shape) == 3:
        name = f"{name}, {shape.get_angle(1, 0, 2):.0f} degrees"
    if len(set(shape.symbols)) > 1:
        name += f" at {shape.symbols[0]}"
    detail = f"{depth:.4g} eV/atom at {distances[lowest]:.4g} Å, crystal {cohesive:.4g}"
    return Check(name, bool(np.isfinite(energies).all() and depth <= 2 * cohesive), detail)


def trimer_check(formula: Formula, species: tuple[str, str, str]) -> list[Check]:
    """Whether trimers are finite, and neither they nor a dense cluster gain by being squeezed."""
    name = f"trimer {Key.of(*species)}"
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
    begins = _begins(formula, species)
    end = int((sides[:, lowest] / begins).argmin())
    closest = float(sides[end, lowest])
    trimer = _collapse(f"{name} does not collapse", closest, begins[end], float(energy[lowest]))
    return [finite, trimer, _cluster_check(formula, species)]


def _begins(formula: Formula, species: Sequence[str]) -> list[float]:
    """Where the domains begin, in Å, of a centre and both neighbours, and of these."""
    sides = (species[:2], species[::2], species[1:])
    return [formula.lengths.begin(*side) for side in sides]


def _collapse(name: str, closest: float, r_lo: float, energy: float) -> Check:
    """Whether the nearest atoms are inside their domain, which begins at ``r_lo`` Å."""
    detail = f"lowest energy {energy:.5g} eV/atom, nearest atoms at {closest:.4g} Å"
    values = {"energy_per_atom": energy, "closest": closest}
    if closest < r_lo:
        detail += f": closer than {r_lo:.4g} Å, where the domain begins"
    return Check(name, closest >= r_lo, detail, values)


def _triplet_pole(function: TripletSum) -> str:
    """Where the function jumps along its cosine or a distance; empty if it does not."""
    r_cut, c = function.r_cut, np.linspace(-1, 1, POINTS)
    begins = [clamp.r_lo for clamp in function.clamps]
    distances = [r_lo + np.array([0.0, 0.37, 0.74]) * (r_cut - r_lo) for r_lo in begins]
    for fixed, other in itertools.product(*distances):
        first, second = np.full(POINTS, fixed), np.full(POINTS, other)
        energy, _, _, slope = function.derivatives(first, second, c)
        if (place := pole(c, energy, slope)) is not None:
            return f"the formula has a pole near cosine {place:.4g}"
    for moved in (0, 1) if function.is_unlike else (0,):
        r = np.linspace(begins[moved], r_cut, POINTS)[:-1]
        for fixed, cosine in itertools.product(distances[1 - moved], (-1.0, -0.3, 0.3, 1.0)):
            others = np.full(r.size, fixed), np.full(r.size, cosine)
            one, other = (others[0], r) if moved else (r, others[0])
            found = function.derivatives(one, other, others[1])
            if (place := pole(r, found[0], found[1 + moved])) is not None:
                return f"the formula has a pole near {place:.4g} Å"
    return ""


def _trimers(formula: Formula, species: tuple[str, str, str]) -> tuple[Floats, Floats, Floats]:
    """Sides in Å (3, T), cosine between the first two (T,), energies (eV) with all slopes."""
    centre, one, other = species
    begins, r_cut = _begins(formula, species), formula.three_body_function(*species).r_cut
    grids = [np.linspace(0.5 * r_lo, r_cut, 30) for r_lo in begins[:2]]
    angles = np.cos(np.radians(np.linspace(0, 180, 37)))
    r1, r2, c = (part.ravel() for part in np.meshgrid(*grids, angles))
    r3 = np.sqrt(np.maximum(r1**2 + r2**2 - 2 * r1 * r2 * c, 0.0))
    chosen = ((r1 <= r2) | (one != other)) & (r3 >= 0.5 * begins[2])
    r1, r2, r3, c = r1[chosen], r2[chosen], r3[chosen], c[chosen]
    c1, c2 = ((a - b * c) / r3 for a, b in ((r1, r2), (r2, r1)))
    corners = (
        (centre, {one: r1}, {other: r2}, c),
        (one, {centre: r1}, {other: r3}, c1),
        (other, {centre: r2}, {one: r3}, c2),
    )
    triplets = [found for corner in corners if (found := _triplet(formula, *corner)) is not None]
    ends = ((centre, one), (centre, other), (one, other))
    sides = zip(ends, (r1, r2, r3), strict=True)
    pairs = [formula.pair_function(*pair).derivatives(side, 1) for pair, side in sides]
    energy = sum(part[0] for part in (*pairs, *triplets))
    return np.stack([r1, r2, r3]), c, np.vstack([energy, *pairs, *triplets])


def _triplet(
    formula: Formula, centre: str, near: Mapping[str, Floats], far: Mapping[str, Floats], c: Floats
) -> Floats | None:
    """Energy (eV) of a centre with neighbours at distances by species, and slopes, if it has some.

    The shape is (4, T); cosines beyond 1 by rounding are 1.
    """
    (one,), (other,) = near, far
    if (centre, *sorted((one, other))) not in formula.species_triplets:
        return None
    function = formula.three_body_function(centre, one, other)
    first, second = near[one], far[other]
    if function.species[1] != one:
        first, second = second, first
    return function.derivatives(first, second, np.clip(c, -1.0, 1.0))


def _cluster_check(formula: Formula, species: tuple[str, str, str]) -> Check:
    """Whether an icosahedron of 13 atoms is best where all of them keep their distance.

    Its shell is of both species of neighbours.
    """
    points = 100 if len(formula.species) == 1 else 40
    shape = _icosahedron(species[0], species[1:])
    distances = np.linspace(_scanned(formula, shape)[0], formula.r_cut, points)
    name, energies, lowest = _scan(formula, shape, _mean(formula.e0, shape), distances)
    around = f" around {species[0]}" if len({*species}) > 1 else ""
    name = f"cluster {name}{around} does not collapse"
    if not np.isfinite(energies).all():
        return Check(name, False, "its energy is not finite")
    begins, between = formula.begins(shape.get_chemical_symbols()), shape.get_all_distances()
    ends = np.unravel_index(np.argmin(between / begins + 1e6 * np.eye(len(shape))), begins.shape)
    closest = float(distances[lowest] * between[ends])
    return _collapse(name, closest, float(begins[ends]), float(energies[lowest]))


def _icosahedron(symbol: str, shell: Sequence[str]) -> Atoms:
    """13 atoms, the first in the middle, nearest neighbours 1 Å apart; the shell's alternate."""
    atoms: Atoms = Icosahedron(symbol, noshells=2, latticeconstant=1.0)
    atoms.positions /= atoms.get_distances(0, range(1, 13)).min()
    atoms.symbols[1:] = np.resize(np.array(shell), 12)
    return atoms
