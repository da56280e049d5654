"""Structures on which LAMMPS and the formula are compared, and LAMMPS's text for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.data import atomic_masses, atomic_numbers
from numpy.typing import NDArray

from symreg.formula import Formula

DIMERS = 150
"""Distances per pair of species."""
SEED = 20250722
SHEAR = np.array([[1.0, 0.0, 0.0], [0.03, 1.0, 0.0], [-0.02, 0.01, 1.0]])
"""A small strain whose cell LAMMPS takes unrotated; it makes every virial component nonzero."""


@dataclass(frozen=True)
class Specimen:
    """A structure to compare on.

    Free ones too have a cell, wide enough that periodic images do not meet: the calculator gives
    stresses of periodic structures only, LAMMPS computes them with free boundaries.
    """

    name: str
    atoms: Atoms
    periodic: bool = False


def typical_distance(formula: Formula) -> float:
    """Neighbour distance in Å at which the pairs are bound best; r0 where none is bound."""
    r = np.linspace(formula.r_lo, formula.r_cut, 2000)[1:-1]
    best = [formula.pair_function(*pair).energy(r).argmin() for pair in formula.species_pairs]
    inner = [float(r[n]) for n in best if 0 < n < r.size - 1]
    return max(inner) if inner else float(np.clip(formula.r0, formula.r_lo, formula.r_cut))


def make_specimens(formula: Formula, r_min: float) -> list[Specimen]:
    """All structures; the dimer scan begins at ``r_min`` in Å."""
    rng = np.random.default_rng(SEED)
    d = typical_distance(formula)
    scans = dimer_scans(formula, r_min, rng)
    return [
        Specimen("rattled", rattled_crystal(formula, d, rng), periodic=True),
        Specimen("lattice", crystal(formula, d, 2, rng), periodic=True),
        Specimen("cluster 1", random_cluster(formula, d, 12, rng)),
        Specimen("cluster 2", random_cluster(formula, d, 25, rng)),
        *(Specimen(f"trimer {n}", trimer) for n, trimer in enumerate(trimers(formula, d, rng), 1)),
        *(Specimen(name, atoms) for name, atoms in scans.items() if len(atoms)),
    ]


def crystal(formula: Formula, d: float, size: int, rng: np.random.Generator) -> Atoms:
    """Face-centred cubic cell of ``size``^3 cubes, species at random, neighbours at ``d`` Å."""
    atoms: Atoms = bulk("Ar", "fcc", a=d * np.sqrt(2), cubic=True).repeat(size)
    atoms.symbols[:] = _symbols(formula, len(atoms), rng)
    return atoms


def rattled_crystal(formula: Formula, d: float, rng: np.random.Generator) -> Atoms:
    """108 atoms, sheared and displaced by 3 % of the neighbour distance."""
    atoms = crystal(formula, d, 3, rng)
    atoms.set_cell(atoms.cell.array @ SHEAR, scale_atoms=True)
    atoms.positions += rng.normal(scale=0.03 * d, size=atoms.positions.shape)
    return atoms


def random_cluster(formula: Formula, d: float, n: int, rng: np.random.Generator) -> Atoms:
    """``n`` atoms at random, none closer than 0.9 ``d``."""
    side, positions = 1.3 * d * n ** (1 / 3), np.empty((0, 3))
    while len(positions) < n:
        place = rng.uniform(0, side, 3)
        if (np.linalg.norm(positions - place, axis=1) > 0.9 * d).all():
            positions = np.vstack([positions, place])
    return _isolated(formula, _symbols(formula, n, rng), positions)


def trimers(formula: Formula, d: float, rng: np.random.Generator) -> list[Atoms]:
    """A triangle, a straight chain, and two neighbours in the same direction."""
    places = (
        [[0, 0, 0], [d, 0, 0], [0.4 * d, 0.95 * d, 0]],
        [[0, 0, 0], [0, d, 0], [0, -1.05 * d, 0]],
        [[0, 0, 0], [0, 0, d], [0, 0, 2.02 * d]],
    )
    return [_isolated(formula, _symbols(formula, 3, rng), np.array(p)) for p in places]


def dimer_scans(formula: Formula, r_min: float, rng: np.random.Generator) -> dict[str, Atoms]:
    """Dimers of every pair far apart in one box: those with forces below 100 eV/Å, and the rest."""
    r = np.linspace(1.001 * r_min, 1.05 * formula.r_cut, DIMERS)
    near = [formula.cutoff.r_on, formula.r_lo, formula.r_cut]
    r = np.concatenate([r, [x + e for x in near if x > r_min for e in (-1e-6, 1e-6)]])
    r = r[r > r_min]
    scans: dict[str, list[tuple[tuple[str, str], float]]] = {"dimers": [], "wall": []}
    for pair in formula.species_pairs:
        weak = np.abs(formula.pair_function(*pair).slope(r)) < 100
        scans["dimers"] += [(pair, float(x)) for x in r[weak]]
        scans["wall"] += [(pair, float(x)) for x in r[~weak]]
    return {name: _dimer_box(formula, dimers, rng) for name, dimers in scans.items()}


def _dimer_box(
    formula: Formula, dimers: list[tuple[tuple[str, str], float]], rng: np.random.Generator
) -> Atoms:
    gap, size = 2.2 * formula.r_cut + 2, int(np.ceil(len(dimers) ** (1 / 3)))
    centres = gap * (0.5 + np.stack(np.unravel_index(np.arange(len(dimers)), (size,) * 3), axis=1))
    axes = rng.normal(size=(len(dimers), 3))
    axes /= np.linalg.norm(axes, axis=1)[:, None]
    half = 0.5 * np.array([r for _, r in dimers])[:, None] * axes
    positions = np.stack([centres - half, centres + half], axis=1).reshape(-1, 3)
    symbols = [symbol for pair, _ in dimers for symbol in pair]
    return Atoms(symbols, positions=positions, cell=[gap * size] * 3, pbc=True)


def _isolated(formula: Formula, symbols: list[str], positions: NDArray[np.float64]) -> Atoms:
    width = np.ptp(positions, axis=0).max() + 2.2 * formula.r_cut
    centred = positions - positions.mean(axis=0) + width / 2
    return Atoms(symbols, positions=centred, cell=[width] * 3, pbc=True)


def _symbols(formula: Formula, n: int, rng: np.random.Generator) -> list[str]:
    """``n`` chemical symbols in random order, each species as often as any other."""
    return [str(s) for s in rng.permutation(np.resize(np.array(formula.species), n))]


def data_file(atoms: Atoms, species: tuple[str, ...], title: str) -> str:
    """LAMMPS data file of a structure; its cell must be lower triangular.

    Examples
    --------
    >>> print(data_file(bulk("Ar", cubic=True, a=5.3)[:1], ("Ar",), "one atom"))
    # one atom; units metal; atom types 1 = Ar
    <BLANKLINE>
    1 atoms
    1 atom types
    <BLANKLINE>
    0 5.2999999999999998 xlo xhi
    0 5.2999999999999998 ylo yhi
    0 5.2999999999999998 zlo zhi
    <BLANKLINE>
    Masses
    <BLANKLINE>
    1 39.948
    <BLANKLINE>
    Atoms # atomic
    <BLANKLINE>
    1 1 0 0 0
    <BLANKLINE>
    """
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
    blocks = [
        [f"# {title}; units metal; atom types {type_names(species)}"],
        [f"{len(atoms)} atoms", f"{len(species)} atom types"],
        box,
        ["Masses"],
        masses,
        ["Atoms # atomic"],
        places,
    ]
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def type_names(species: tuple[str, ...]) -> str:
    """Which atom type is which species: ``1 = Ar, 2 = Kr``."""
    return ", ".join(f"{n} = {symbol}" for n, symbol in enumerate(species, 1))
