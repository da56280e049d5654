"""Checks of a finished formula: its dimers and trimers, a dense cluster, crystals squeezed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.cluster import Icosahedron
from ase.units import GPa
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from symreg.curves import pole
from symreg.formula import Formula, ThreeBodyFunction

POINTS = 2000
ATOMS_IN_CUBE = {"fcc": 4, "diamond": 8}
PROMINENCE = 0.01
"""A minimum counts if it is this deep, as a part of the deepest."""
SCALES = np.linspace(0.4, 2.5, 106)
"""Volumes at which a crystal's minimum is looked for, as parts of its own."""
FLAT = 1e-9
"""Energies in eV below which nothing is left."""
EDGE = 1e-7
"""How far from the cutoff radius in Å the force of a dimer with neighbour sums is looked at."""
FADED = 1e-5
"""What may be left there, in eV and eV/Å."""
COMPRESSION = 0.6
"""Down to this part of the minimum's volume the energy has to rise."""


@dataclass(frozen=True)
class Check:
    """One property of a formula."""

    name: str
    passed: bool
    detail: str
    values: dict[str, float] = field(default_factory=dict)
    """Numbers in eV, Å, Å^3 and eV/Å^3."""


@dataclass(frozen=True)
class PhysicsReport:
    """All checks of a formula."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"passed": self.passed, "checks": [asdict(check) for check in self.checks]}


class DimerCurve(NamedTuple):
    """Two atoms drawn apart; e0 is left out."""

    r: NDArray[np.float64]
    """Distances in Å."""
    energy: NDArray[np.float64]
    """Energies in eV."""
    force: NDArray[np.float64]
    """Forces in eV/Å; positive pushes apart."""


class EnergyVolume(NamedTuple):
    """A crystal under pressure."""

    volume: NDArray[np.float64]
    """Å^3 per atom."""
    energy: NDArray[np.float64]
    """eV per atom."""


def check(formula: Formula, crystals: Sequence[Atoms] = ()) -> PhysicsReport:
    """Check the dimer of every pair of species, trimers and dense clusters, and every crystal.

    Without crystals a formula of one species is asked for its face-centred cubic one, or for
    diamond if it has triplets. Nothing here raises an error: a formula that cannot be computed
    fails its check.
    """
    checks = [found for pair in formula.species_pairs for found in dimer_check(formula, *pair)]
    structures = list(crystals)
    if not structures and len(formula.species) == 1 and all(found.passed for found in checks[:1]):
        structures = [_lattice(formula)]
    for species in formula.species_triplets:
        checks += trimer_check(formula, species)
    if formula.many_body is not None:
        checks += embedding_check(formula, structures)
    checks += [crystal_check(formula, atoms) for atoms in structures]
    return PhysicsReport(tuple(checks))


def dimer_curve(formula: Formula, a: str, b: str, points: int = POINTS) -> DimerCurve:
    """Energy and force of a pair of atoms from half of its ``r_lo`` to the cutoff radius.

    Both as far as they are more than those of atoms alone.
    """
    function = formula.pair_function(a, b)
    r = np.linspace(0.5 * function.r_lo, function.r_cut, points)
    energy, slope = function.derivatives(r, 1)
    if formula.many_body is not None:
        embedded = _embedded_dimer(formula, r)
        energy, slope = energy + embedded[0], slope + embedded[1]
    return DimerCurve(r, energy, -slope)


def _embedded_dimer(
    formula: Formula, r: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What many-body terms add to the energy of a dimer (eV) and its slope (eV/Å)."""
    many = formula.many_body
    assert many is not None
    densities = many.densities(r)
    alone = many.energy(np.zeros((len(densities), 1)))[0]
    embedded, *by_sum = many.energy(densities[:, 0])
    slope = np.zeros_like(r)
    for change, (_, steep) in zip(by_sum, densities, strict=True):
        # At the cutoff itself the sums are zero, where F need not have a slope.
        felt = steep != 0
        slope[felt] += 2 * change[felt] * steep[felt]
    return 2 * (embedded - alone), slope


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
        _wells(curve, formula.pair_function(a, b).r_lo, f"{name} has at most one well"),
        _fading(formula, a, b, f"{name} fades at the cutoff"),
    ]


def _repulsion(formula: Formula, a: str, b: str, name: str) -> Check:
    r = np.linspace(0.0, formula.pair_function(a, b).r_lo, POINTS)
    energy, slope = formula.pair_function(a, b).derivatives(r, 1)
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


def _prominence(energy: NDArray[np.float64], at: int) -> float:
    """How far one has to climb from a minimum, on its lower side, to get to a deeper place."""
    climbs = []
    for side in (energy[at::-1], energy[at:]):
        deeper = np.flatnonzero(side < energy[at])
        climbs.append(side[: deeper[0] + 1 if deeper.size else None].max() - energy[at])
    return float(min(climbs))


def _fading(formula: Formula, a: str, b: str, name: str) -> Check:
    function = formula.pair_function(a, b)
    edge = np.nextafter(function.r_cut, 0.0)
    energy, slope = function.derivatives(np.array([edge]), 1)[:, 0]
    if formula.many_body is not None:
        # At the cutoff itself a root of a sum is lost in rounding.
        (energy,), (slope,) = _embedded_dimer(formula, np.array([function.r_cut - EDGE]))
    allowed = FLAT if formula.many_body is None else FADED
    detail = f"jumps by {abs(energy):.3g} eV and {abs(slope):.3g} eV/Å at {function.r_cut:.4g} Å"
    return Check(name, bool(max(abs(energy), abs(slope)) < allowed), detail)


def embedding_check(formula: Formula, crystals: Sequence[Atoms]) -> list[Check]:
    """Whether an atom alone is finite, and trimers and dense clusters are not bound too deeply."""
    (symbol,) = formula.species
    name = "neighbour sums of an atom alone"
    try:
        lone = Atoms(symbol)
        lone.calc = formula.calculator()
        energy = float(lone.get_potential_energy())
    except ValueError as error:
        return [Check(name, False, str(error))]
    alone = Check(name, bool(np.isfinite(energy)), f"energy {energy:.5g} eV")
    cohesive = _cohesive_energy(formula, crystals, energy)
    found = [
        _depth_check(formula, atoms, energy, cohesive)
        for atoms in (*_trimer_shapes(symbol), _icosahedron(symbol))
    ]
    return [alone, *found]


def _cohesive_energy(formula: Formula, crystals: Sequence[Atoms], alone: float) -> float:
    """Of the most stable crystal, per atom in eV; zero if none is bound."""
    lowest = 0.0
    for atoms in crystals:
        curve = energy_volume(formula.calculator(), atoms, SCALES)
        lowest = min(lowest, float(curve.energy.min()) - alone)
    return -lowest


def _trimer_shapes(symbol: str) -> list[Atoms]:
    """Trimers at 60, 90 and 180 degrees, nearest neighbours 1 Å apart."""
    turns = np.radians([60.0, 90.0, 180.0])
    corners = ([[0, 0, 0], [1, 0, 0], [np.cos(t), np.sin(t), 0]] for t in turns)
    return [Atoms(f"{symbol}3", positions) for positions in corners]


def _depth_check(formula: Formula, shape: Atoms, alone: float, cohesive: float) -> Check:
    """Whether no distance binds a cluster by more than twice the cohesive energy of a crystal."""
    atoms, positions = shape.copy(), shape.positions.copy()
    atoms.calc = formula.calculator()
    distances, energies = np.linspace(0.5 * formula.r_lo, formula.cutoff.r_cut, 60), []
    for distance in distances:
        atoms.positions = distance * positions
        energies.append(atoms.get_potential_energy() / len(atoms) - alone)
    lowest = int(np.argmin(energies))
    name = f"{atoms.get_chemical_formula()} is bound by no more than twice the crystal"
    if len(atoms) == 3:
        name = f"{name}, {shape.get_angle(1, 0, 2):.0f} degrees"
    detail = f"{-energies[lowest]:.4g} eV/atom at {distances[lowest]:.4g} Å, crystal {cohesive:.4g}"
    return Check(
        name, bool(np.isfinite(energies).all()) and -energies[lowest] <= 2 * cohesive, detail
    )


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


def _triplet_pole(function: ThreeBodyFunction) -> str:
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


def _trimers(
    formula: Formula, species: tuple[str, str, str]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
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
    atoms = _icosahedron(formula.species[0])
    shape = atoms.positions.copy()
    atoms.calc = formula.calculator()
    distances = np.linspace(0.5 * formula.r_lo, formula.r_cut, 100)
    energies = []
    for distance in distances:
        atoms.positions = distance * shape
        energies.append(atoms.get_potential_energy() / len(atoms) - formula.e0[formula.species[0]])
    lowest = int(np.argmin(energies))
    name = f"cluster {atoms.get_chemical_formula()} does not collapse"
    if not np.isfinite(energies).all():
        return Check(name, False, "its energy is not finite")
    return _collapse(formula, name, float(distances[lowest]), float(energies[lowest]))


def _icosahedron(symbol: str) -> Atoms:
    """13 atoms, nearest neighbours 1 Å apart."""
    atoms: Atoms = Icosahedron(symbol, noshells=2, latticeconstant=1.0)
    atoms.positions /= atoms.get_distances(0, range(1, 13)).min()
    return atoms


def energy_volume(
    calculator: Calculator, atoms: Atoms, scales: Sequence[float] | NDArray[np.float64]
) -> EnergyVolume:
    """Energies of a crystal scaled to volumes ``scales`` times its own."""
    volumes, energies = [], []
    for scale in scales:
        scaled = atoms.copy()
        scaled.set_cell(atoms.cell.array * scale ** (1 / 3), scale_atoms=True)
        scaled.calc = calculator
        volumes.append(scaled.get_volume() / len(atoms))
        energies.append(scaled.get_potential_energy() / len(atoms))
    return EnergyVolume(np.array(volumes), np.array(energies))


def crystal_check(formula: Formula, atoms: Atoms) -> Check:
    """Whether a crystal has an energy minimum, and its energy rises on compression to 0.6 of it."""
    name = f"energy of {atoms.get_chemical_formula()} against volume"
    calculator = formula.calculator()
    try:
        curve = energy_volume(calculator, atoms, SCALES)
    except ValueError as error:
        return Check(name, False, str(error))
    best = int(curve.energy.argmin())
    # Atoms that only repel end beyond the cutoff, where the energy is flat.
    if best == 0 or not curve.energy[best] < curve.energy[-1] - FLAT:
        return Check(name, False, f"no minimum at {SCALES[0]:g} to {SCALES[-1]:g} of its volume")
    found = minimize_scalar(
        lambda scale: float(energy_volume(calculator, atoms, [scale]).energy[0]),
        bounds=(SCALES[best - 1], SCALES[best + 1]),
        method="bounded",
        options={"xatol": 1e-6},
    )
    scale, lowest = float(found.x), float(found.fun)
    squeezed = energy_volume(calculator, atoms, scale * np.linspace(COMPRESSION, 1.0, 41))
    rises = bool((np.diff(squeezed.energy[:-1]) < 0).all() and squeezed.energy[-2] > lowest)
    values = _equilibrium(formula, atoms, scale, lowest)
    detail = (
        f"minimum at {values['volume']:.5g} Å^3/atom, {values['cohesive_energy']:.5g} eV/atom "
        f"below free atoms, bulk modulus {values['bulk_modulus'] / GPa:.4g} GPa"
    )
    if "lattice_constant" in values:
        detail += f", lattice constant {values['lattice_constant']:.5g} Å"
    if not rises:
        detail += f"; the energy does not rise all the way to {COMPRESSION:g} of that volume"
    return Check(name, rises, detail, values)


def _equilibrium(formula: Formula, atoms: Atoms, scale: float, lowest: float) -> dict[str, float]:
    """Properties at the minimum, which is ``lowest`` eV/atom at ``scale`` of the volume given."""
    volume = float(scale * atoms.get_volume() / len(atoms))
    step = 0.005
    below, at, above = energy_volume(
        formula.calculator(), atoms, [scale * (1 - step), scale, scale * (1 + step)]
    ).energy
    free = sum(formula.e0[symbol] for symbol in atoms.get_chemical_symbols()) / len(atoms)
    values = {
        "volume": volume,
        "length_scale": scale ** (1 / 3),
        "cohesive_energy": free - lowest,
        "bulk_modulus": float((below - 2 * at + above) / (step**2 * volume)),
    }
    if (lattice := atoms.info.get("lattice")) is not None:
        values["lattice_constant"] = float((ATOMS_IN_CUBE[lattice] * volume) ** (1 / 3))
    return values


def _lattice(formula: Formula) -> Atoms:
    """A cubic crystal, neighbours as far apart as in the dimer; diamond if there are triplets."""
    curve = dimer_curve(formula, *formula.species_pairs[0])
    inner = curve.r >= formula.r_lo
    distance = float(curve.r[inner][curve.energy[inner].argmin()])
    lattice = "diamond" if formula.species_triplets else "fcc"
    side = distance * (4 / np.sqrt(3) if formula.species_triplets else np.sqrt(2))
    atoms = bulk(formula.species[0], lattice, a=side)
    atoms.info["lattice"] = lattice
    return atoms
