"""Structures on which LAMMPS and the formula are compared, and LAMMPS's text for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.data import atomic_masses, atomic_numbers

from symreg.arrays import Floats
from symreg.formula import Formula, FormulaCalculator
from symreg.terms.kinds import kind_of

DIMERS = 150
"""Distances per pair of species."""
TRIMERS, FEWER_TRIMERS = 48, 32
"""Of the one centre and its neighbours, or of each of several."""
SIDE = {"fcc": np.sqrt(2), "diamond": 4 / np.sqrt(3)}
"""Edges of cubes by lattice, in distances of nearest neighbours."""
STRONG = 100.0
"""Force in eV/Å from which on differences count relative to the force."""
PACKED, TRIALS = 8, 4000
"""Neighbours of the centre of a packed cluster, and places that are tried for them."""
SKIN, ROOM = 2.0, 1200
"""Å beyond the cutoff that LAMMPS looks for neighbours, and how many it may find; from 2000 on it
stops."""
SEED = 20250722
SHEAR = np.array([[1.0, 0.0, 0.0], [0.03, 1.0, 0.0], [-0.02, 0.01, 1.0]])
"""A small strain whose cell LAMMPS takes unrotated; it makes every virial component nonzero."""


class Specimen(NamedTuple):
    """A structure to compare on; a free one has a cell too, since only cells have stresses."""

    name: str
    atoms: Atoms

    @property
    def periodic(self) -> bool:
        """Whether it is a crystal in LAMMPS too."""
        return self.name in ("rattled", "lattice", "dense")

    @property
    def file(self) -> str:
        """Name of its data file."""
        return f"data.{self.name.replace(' ', '_')}"


def typical_distance(formula: Formula) -> float:
    """Distance in Å of dimers of pairs alone, or in crystals, if bound best; r0 if not bound.

    Larger where LAMMPS would find more neighbours around an atom of a crystal than it has room for.
    """
    near = [formula.three_body_function(*species).r_cut for species in formula.species_triplets]
    r_cut = max(near, default=formula.lengths.farthest(1) or 0.0)
    if formula.is_pairwise:
        r = np.linspace(_innermost(formula), r_cut, 2000)[1:-1]
        best = [formula.pair_function(*pair).energy(r).argmin() for pair in formula.species_pairs]
        least = _outermost(formula)
    else:
        # All nearest neighbours of an atom stay within the cutoff, but no thousands of others.
        start = max(1.03 * _outermost(formula), 0.15 * r_cut)
        r = np.linspace(start, max(0.95 * r_cut, 1.1 * start), 80)
        least = max(_outermost(formula), r_cut / 3)
        best = [np.array([_crystal_energy(formula, float(d)) for d in r]).argmin()]
    inner = [float(r[n]) for n in best if 0 < n < r.size - 1]
    d = max(inner) if inner else float(np.clip(formula.r0, least, max(least, r_cut)))
    # Of close packing, the densest crystal: sqrt(2) / d^3 atoms in a volume.
    volume = 4 / 3 * np.pi * (formula.r_cut + SKIN) ** 3
    return max(d, float(np.cbrt(np.sqrt(2) * volume / ROOM)))


def _innermost(formula: Formula) -> float:
    """Where the domain of the first pair begins, in Å."""
    return min(formula.lengths.begin(*pair) for pair in formula.every_pair)


def _outermost(formula: Formula) -> float:
    """Where the domain of all pairs has begun, in Å."""
    return max(formula.lengths.begin(*pair) for pair in formula.every_pair)


def _crystal_energy(formula: Formula, d: float) -> float:
    lattice = _lattice(formula)
    atoms = bulk(formula.species[0], lattice, a=SIDE[lattice] * d)
    if len(formula.species) > 1:
        atoms = crystal(formula, d, 1, np.random.default_rng(SEED))
    atoms.calc = FormulaCalculator(formula)
    return float(atoms.get_potential_energy())


def _lattice(formula: Formula) -> str:
    """Diamond if there are triplets, else face-centred cubic."""
    return "diamond" if formula.species_triplets else "fcc"


def make_specimens(formula: Formula, r_min: float) -> list[Specimen]:
    """All structures; scans begin at ``r_min`` in Å."""
    rng = np.random.default_rng(SEED)
    d = typical_distance(formula)
    if len(formula.species) > 1:  # also rattled every pair stays in its domain
        d = max(d, 1.2 * _outermost(formula))
    scans = dimer_scans(formula, r_min, rng)
    if formula.species_triplets:
        scans |= {"dense": crystal(formula, 1.15 * d, 2, rng, "fcc")}
    if _triples(formula):
        scans |= trimer_scans(formula, d, r_min, rng)
    if len(formula.species) > 1:
        scans |= {f"only {s}": random_cluster(formula, d, 6, rng, (s,)) for s in formula.species}
        scans |= packed_clusters(formula, rng)
    structures = {
        "rattled": rattled_crystal(formula, d, rng),
        "lattice": crystal(formula, d, 2, rng),
        "cluster 1": random_cluster(formula, d, 12, rng),
        "cluster 2": random_cluster(formula, d, 25, rng),
        **{f"trimer {n}": trimer for n, trimer in enumerate(trimers(formula, d, rng), 1)},
        **scans,
        **close_cluster(formula, rng),
    }
    return [Specimen(name, atoms) for name, atoms in structures.items() if atoms]


def crystal(
    formula: Formula, d: float, size: int, rng: np.random.Generator, lattice: str = ""
) -> Atoms:
    """Cell of ``size``^3 cubes, species at random, neighbours at ``d`` Å."""
    lattice = lattice or _lattice(formula)
    atoms: Atoms = bulk("Ar", lattice, a=SIDE[lattice] * d, cubic=True).repeat(size)
    atoms.symbols[:] = _symbols(formula, len(atoms), rng)
    return atoms


def rattled_crystal(formula: Formula, d: float, rng: np.random.Generator) -> Atoms:
    """64 or 108 atoms, sheared and displaced by 3 % of the neighbour distance."""
    atoms = crystal(formula, d, 2 if formula.species_triplets else 3, rng)
    atoms.set_cell(atoms.cell.array @ SHEAR, scale_atoms=True)
    atoms.positions += rng.normal(scale=0.03 * d, size=atoms.positions.shape)
    return atoms


def random_cluster(
    formula: Formula, d: float, n: int, rng: np.random.Generator, species: Sequence[str] = ()
) -> Atoms:
    """``n`` atoms at random, none closer than 0.9 ``d`` or than the domain allows.

    They are of all species of the formula unless some are given.
    """
    side, positions = 1.3 * d * n ** (1 / 3), np.empty((0, 3))
    closest = max(0.9 * d, min(d, 1.02 * _outermost(formula)))
    while len(positions) < n:
        place = rng.uniform(0, side, 3)
        if (np.linalg.norm(positions - place, axis=1) > closest).all():
            positions = np.vstack([positions, place])
    return _isolated(formula, _symbols(formula, n, rng, species), positions)


def close_cluster(formula: Formula, rng: np.random.Generator) -> dict[str, Atoms]:
    """Five atoms with distances on both sides of ``r_lo``; its name tells strong forces."""
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1], [5 / 3, 5 / 3, -5 / 3]])
    middle = 0.5 * (formula.r_lo + _outermost(formula))
    positions = middle * (corners / np.sqrt(8) + rng.normal(scale=0.03, size=(5, 3)))
    atoms = _isolated(formula, _symbols(formula, 5, rng), positions)
    atoms.calc = FormulaCalculator(formula)
    weak = np.abs(atoms.get_forces()).max() < STRONG
    return {"close cluster" if weak else "wall cluster": atoms}


def packed_clusters(formula: Formula, rng: np.random.Generator) -> dict[str, Atoms]:
    """A centre of each species with neighbours as close as the domain of each pair allows.

    Atoms of unlike sizes are as dense here as in crystals. Names tell strong forces.
    """
    found = {}
    for centre in formula.species:
        atoms = _packed(formula, centre, rng)
        atoms.calc = FormulaCalculator(formula)
        weak = np.abs(atoms.get_forces()).max() < STRONG
        found[f"packed {centre}" if weak else f"wall packed {centre}"] = atoms
    return found


def _packed(formula: Formula, centre: str, rng: np.random.Generator) -> Atoms:
    """Up to eight neighbours around an atom, of all species in turn where there is room."""
    begin, species = formula.lengths.begin, formula.species
    symbols, positions = [centre], np.zeros((1, 3))
    for n in range(TRIALS):
        near, direction = species[n % len(species)], rng.normal(size=3)
        r = rng.uniform(1.005, 1.03) * begin(centre, near)
        place = r * direction / np.linalg.norm(direction)
        least = [1.002 * begin(near, other) for other in symbols]
        if (np.linalg.norm(positions - place, axis=1) > least).all():
            symbols, positions = [*symbols, near], np.vstack([positions, place])
        if len(symbols) > PACKED:
            break
    return _isolated(formula, symbols, positions)


def trimers(formula: Formula, d: float, rng: np.random.Generator) -> list[Atoms]:
    """A triangle, a straight chain, and two neighbours in the same direction."""
    places = (
        [[0, 0, 0], [d, 0, 0], [0.4 * d, 0.95 * d, 0]],
        [[0, 0, 0], [0, d, 0], [0, -1.05 * d, 0]],
        [[0, 0, 0], [0, 0, d], [0, 0, 2.02 * d]],
    )
    return [_isolated(formula, _symbols(formula, 3, rng), np.array(p)) for p in places]


def dimer_scans(formula: Formula, r_min: float, rng: np.random.Generator) -> dict[str, Atoms]:
    """Dimers of every pair far apart in one box.

    ``dimers`` and, below ``r_lo``, ``close dimers`` have forces below 100 eV/Å; ``wall`` the rest.
    """
    evenly = np.linspace(1.001 * r_min, 1.05 * formula.r_cut, DIMERS)
    scans: dict[str, list[tuple[tuple[str, str], float]]]
    scans = {"dimers": [], "close dimers": [], "wall": []}
    for pair in formula.every_pair:
        function = formula.pair_function(*pair)
        near = [function.cutoff.r_on, function.r_lo, function.r_cut]
        r = np.concatenate([evenly, [x + e for x in near for e in (-1e-6, 1e-6)]])
        r = r[r > r_min]
        for x, slope in zip(r.tolist(), function.slope(r), strict=True):
            weak = "dimers" if x >= function.r_lo else "close dimers"
            scans[weak if abs(slope) < STRONG else "wall"].append((pair, x))
    return {name: _dimer_box(formula, dimers, rng) for name, dimers in scans.items()}


def _dimer_box(
    formula: Formula, dimers: list[tuple[tuple[str, str], float]], rng: np.random.Generator
) -> Atoms:
    axes = rng.normal(size=(len(dimers), 3))
    axes /= np.linalg.norm(axes, axis=1)[:, None]
    half = 0.5 * np.array([r for _, r in dimers])[:, None] * axes
    symbols = [symbol for pair, _ in dimers for symbol in pair]
    return _box(formula, symbols, np.stack([-half, half], axis=1))


def _triples(formula: Formula) -> list[tuple[str, ...]]:
    """Centres with two neighbours, of all sums over these, alone or in a function."""
    every = {one.species for one in formula.every_sum if kind_of(one.over).neighbours == 2}
    return sorted(every)


def trimer_scans(
    formula: Formula, d: float, r_min: float, rng: np.random.Generator
) -> dict[str, Atoms]:
    """Trimers far apart in one box, with forces below 100 eV/Å: ``trimers``, ``close trimers``.

    Their angles are 0, 180 degrees and others; each stands there in both orders of its neighbours.
    """
    triples, symbols, places = _triples(formula), [], []
    for species in triples:
        for n in range(TRIMERS if len(triples) == 1 else FEWER_TRIMERS):
            place = _trimer(formula, species, n, d, r_min, rng)
            # Unlike neighbours change places, and every other time their order in the file.
            atoms = list(species) if n % 2 else [species[0], species[2], species[1]]
            symbols += [atoms, atoms]
            places += [place, place[[0, 2, 1]]]
    return {
        name: _box(formula, [s for n in chosen for s in symbols[n]], np.array(places)[chosen])
        for name, chosen in _by_strength(formula, symbols, np.array(places)).items()
    }


def _by_strength(
    formula: Formula, symbols: list[list[str]], places: Floats
) -> dict[str, list[int]]:
    """Which trimers, positions (n, 3, 3) in Å, stand in which scan."""
    atoms = _box(formula, [symbol for one in symbols for symbol in one], places)
    atoms.calc = FormulaCalculator(formula)
    weak = np.abs(atoms.get_forces()).reshape(-1, 9).max(axis=1) < STRONG
    found: dict[str, list[int]] = {"trimers": [], "close trimers": []}
    for n in np.flatnonzero(weak).tolist():
        trimer = Atoms(symbols[n], places[n])
        near = trimer.get_all_distances() + 1e6 * np.eye(3) < formula.begins(symbols[n])
        found["close trimers" if near.any() else "trimers"].append(n)
    return found


def _trimer(
    formula: Formula, species: Sequence[str], n: int, d: float, r_min: float,
    rng: np.random.Generator,
) -> Floats:  # fmt: skip
    """Positions of a centre and two neighbours, shape (3, 3), the ``n``th of a scan.

    No two are closer than the domain of their pair allows, or than a little less.
    """
    three_body = formula.lengths.at(species).cutoff_three_body
    assert three_body is not None
    sides = [(species[0], species[1]), (species[0], species[2]), (species[1], species[2])]
    lows = [formula.lengths.begin(*side) for side in sides]
    close = n // 8 % 2 == 0
    starts = [max(0.93 * low, 1.001 * r_min) if close else 1.001 * low for low in lows]
    part = n / (TRIMERS - 1) % 1.0
    reach = (1 - part) * d + part * 1.02 * three_body.r_cut
    r1, r2 = (rng.uniform(start, max(reach, 1.05 * start)) for start in starts[:2])
    # Along an axis the angle is exact; turned it is so up to rounding.
    turn = np.eye(3) if n % 8 < 4 else np.linalg.qr(rng.normal(size=(3, 3)))[0]
    if n % 4 == 0:  # 180 degrees
        places = [[0.0, 0.0, 0.0], [0.0, 0.0, r1], [0.0, 0.0, -r2]]
    elif n % 4 == 1:  # 0 degrees
        near, far = min(r1, r2), min(r1, r2) + max(abs(r1 - r2), starts[2])
        places = [[0.0, 0.0, 0.0], [0.0, 0.0, near], [0.0, 0.0, far]]
    else:
        largest = min((r1**2 + r2**2 - starts[2] ** 2) / (2 * r1 * r2), 1.0)
        c = rng.uniform(-1, max(largest, -1.0))
        places = [[0.0, 0.0, 0.0], [r1, 0.0, 0.0], [r2 * c, r2 * np.sqrt(1 - c * c), 0.0]]
    return np.asarray(np.array(places) @ turn)


def _box(formula: Formula, symbols: list[str], groups: Floats) -> Atoms:
    """Groups of atoms, positions (groups, atoms, 3) in Å, out of each other's reach."""
    gap, size = 2.2 * formula.r_cut + 2, int(np.ceil(len(groups) ** (1 / 3)))
    centres = gap * (0.5 + np.stack(np.unravel_index(np.arange(len(groups)), (size,) * 3), axis=1))
    positions = (groups + centres[:, None]).reshape(-1, 3)
    return Atoms(symbols, positions=positions, cell=[gap * size] * 3, pbc=True)


def _isolated(formula: Formula, symbols: list[str], positions: Floats) -> Atoms:
    width = np.ptp(positions, axis=0).max() + 2.2 * formula.r_cut
    centred = positions - positions.mean(axis=0) + width / 2
    return Atoms(symbols, positions=centred, cell=[width] * 3, pbc=True)


def _symbols(
    formula: Formula, n: int, rng: np.random.Generator, species: Sequence[str] = ()
) -> list[str]:
    """``n`` chemical symbols in random order, each species as often as any other."""
    return [str(s) for s in rng.permutation(np.resize(np.array(species or formula.species), n))]


def data_file(atoms: Atoms, species: tuple[str, ...], title: str) -> str:
    """LAMMPS data file of a structure; its cell must be lower triangular."""
    cell = atoms.cell.array
    assert not np.triu(cell, 1).any()
    tilt = [cell[1, 0], cell[2, 0], cell[2, 1]]
    box = [f"0 {cell[n, n]:.17g} {axis}lo {axis}hi" for n, axis in enumerate("xyz")]
    if any(tilt):
        box.append(" ".join(f"{value:.17g}" for value in tilt) + " xy xz yz")
    masses = [f"{n} {atomic_masses[atomic_numbers[s]]:g}" for n, s in enumerate(species, 1)]
    places = [
        f"{n} {species.index(atom.symbol) + 1} " + " ".join(f"{x:.17g}" for x in atom.position)
        for n, atom in enumerate(atoms, 1)
    ]
    head = f"# {title}; units metal; atom types {type_names(species)}"
    sizes = [f"{len(atoms)} atoms", f"{len(species)} atom types"]
    blocks = [[head], sizes, box, ["Masses"], masses, ["Atoms # atomic"], places]
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def type_names(species: tuple[str, ...]) -> str:
    """Which atom type is which species: ``1 = Ar, 2 = Kr``."""
    return ", ".join(f"{n} = {symbol}" for n, symbol in enumerate(species, 1))
