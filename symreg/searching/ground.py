"""The ground state: no other structure may lie below the crystal that the data hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import NamedTuple

import numpy as np
from ase import Atoms

from symreg.arrays import Floats
from symreg.fit.specimens import Specimen
from symreg.structures.neighbours import find_pairs
from symreg.structures.prototypes import for_stoichiometry, make
from symreg.structures.recognition import Recognised, family
from symreg.terms.lengths import Lengths

UNRELATED, POLYTYPE = 0.020, 0.001
"""So much in eV/atom other structures, and close polytypes, may lie below the crystal."""
NOTICED = 1e-4
"""From this difference in eV/atom on another structure counts as lying below."""
DENSITIES = (0.5, 2.0)
"""Densities of random cells, as parts of that of the crystal."""
_SQUEEZED, _STRETCHED, _SIZES, _RANDOM, _LARGEST = 0.85, 1.5, 32, 24, 8
_KEPT_APART, _TRIES, _SEED = 0.8, 20, 20_020


class Below(NamedTuple):
    """Another structure that lies below the crystal of the data."""

    name: str
    """Of the structure."""
    crystal: str
    """Of the crystal of the data."""
    gap: float
    """By how much, in eV/atom."""
    allowed: float
    """How much of it is, in eV/atom."""

    def __str__(self) -> str:
        """In words, as ``hcp lies 2.1 meV/atom below fcc Cu``."""
        if np.isnan(self.gap):
            return f"{self.name} has no finite energy"
        return f"{self.name} lies {1e3 * self.gap:.3g} meV/atom below {self.crystal}"


@dataclass(frozen=True)
class _Crystal:
    """A crystal of the data and its rivals, as numbers of specimens."""

    name: str
    prototype: str
    own: tuple[int, ...]
    """The crystal itself: its prototype, and the structure of the data if that is small."""
    rivals: tuple[tuple[str, int], ...]
    """Prototypes, over sizes."""
    random: tuple[int, ...]
    """Cells at one size."""


class GroundState:
    """Compares crystals with all prototypes of their composition and with random cells.

    Each prototype is taken at the best of many sizes, nearest distances from ``r_lo`` on.
    """

    def __init__(self, found: Sequence[Recognised], lengths: Lengths) -> None:
        self.lengths = lengths
        self.specimens: list[Specimen] = []
        self.crystals = [self._crystal(one) for one in found]

    def _crystal(self, found: Recognised) -> _Crystal:
        data = found.atoms
        own = [self._added(found.name, found.species, data)]
        if len(data) <= _LARGEST:
            own.append(self._over_sizes(_plain(data), data))
        composition, rivals = Counter(data.symbols), []
        for name in for_stoichiometry(list(composition.values())):
            for species in permutations(sorted(composition)):
                rival = Counter(make(name, species, 1.0).symbols)
                fits = all(
                    rival[s] * len(data) == n * rival.total() for s, n in composition.items()
                )
                if fits and name != found.name:
                    rivals.append((name, self._added(name, species, data)))
        random = tuple(self._one(atoms) for atoms in self._random_cells(data))
        name = f"{found.name} {''.join(found.species)}"
        return _Crystal(name, found.name, tuple(own), tuple(rivals), random)

    def _added(self, name: str, species: tuple[str, ...], data: Atoms) -> int:
        return self._over_sizes(make(name, species, 1.0), data)

    def _over_sizes(self, atoms: Atoms, data: Atoms) -> int:
        """Number of the specimen that is a structure over sizes."""
        here, there = contacts(atoms), contacts(data)
        pair = min(here, key=lambda names: here[names] / self.lengths.begin(*names))
        r_lo, near = self.lengths.begin(*pair), there.get(pair, min(there.values()))
        far = max(_STRETCHED * near, 1.2 * r_lo)
        lengths = np.geomspace(_SQUEEZED * r_lo, min(far, self.lengths.reach), _SIZES)
        self.specimens.append(Specimen(atoms, lengths / here[pair]))
        return len(self.specimens) - 1

    def _one(self, atoms: Atoms) -> int:
        self.specimens.append(Specimen(atoms, np.ones(1)))
        return len(self.specimens) - 1

    def _random_cells(self, data: Atoms) -> Iterator[Atoms]:
        """Atoms at random places of random cells, none of them much closer than ``r_lo``."""
        rng, count = np.random.default_rng(_SEED), Counter(data.symbols)
        divisor = int(np.gcd.reduce(list(count.values())))
        unit = [symbol for symbol, n in sorted(count.items()) for _ in range(n // divisor)]
        volume = data.get_volume() / len(data)
        if len(unit) > _LARGEST:
            return
        for density in np.geomspace(*DENSITIES, _RANDOM):
            symbols = unit * int(rng.integers(1, _LARGEST // len(unit) + 1))
            side = float(volume / density * len(symbols)) ** (1 / 3)
            for _ in range(_TRIES):
                cell = side * (np.eye(3) + rng.uniform(-0.25, 0.25, (3, 3)))
                cell *= side / abs(np.linalg.det(cell)) ** (1 / 3)
                places = rng.random((len(symbols), 3))
                atoms = Atoms(symbols, scaled_positions=places, cell=cell, pbc=True)
                near = contacts(atoms)
                begins = ((r, self.lengths.begin(*names)) for names, r in near.items())
                if all(r > _KEPT_APART * r_lo for r, r_lo in begins):
                    yield atoms
                    break

    def below(self, energies: Sequence[Floats]) -> Iterator[Below]:
        """What lies below each crystal, from energies of the specimens in eV/atom, e0 left out."""
        for one in self.crystals:
            found = [_lowest(energies[k]) for k in one.own]
            reference = min(found)
            if not np.isfinite(reference) or all(_is_unbound(energies[k]) for k in one.own):
                continue
            for name, k in one.rivals:
                allowed = POLYTYPE if name in family(one.prototype) else UNRELATED
                yield from _compared(name, one.name, reference, _lowest(energies[k]), allowed)
            if one.random:
                lowest = min(float(energies[k][0]) for k in one.random)
                yield from _compared("a random cell", one.name, reference, lowest, UNRELATED)


def contacts(atoms: Atoms) -> dict[tuple[str, str], float]:
    """Smallest distance in Å of each pair of elements of a periodic structure."""
    reach = 2.2 * (atoms.get_volume() / len(atoms)) ** (1 / 3)
    pairs = find_pairs(atoms.positions, np.asarray(atoms.cell), atoms.pbc, reach)
    symbols = np.array(atoms.get_chemical_symbols())
    found: dict[tuple[str, str], float] = {}
    order = np.argsort(pairs.r)[::-1]
    for i, j, r in zip(
        symbols[pairs.i[order]], symbols[pairs.j[order]], pairs.r[order], strict=True
    ):
        found[min(i, j), max(i, j)] = float(r)
    return found


def _plain(atoms: Atoms) -> Atoms:
    return Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True)


def _compared(
    name: str, crystal: str, reference: float, energy: float, allowed: float
) -> Iterator[Below]:
    if np.isnan(energy) or reference - energy > NOTICED:
        yield Below(name, crystal, reference - energy, allowed)


def _is_unbound(energies: Floats) -> bool:
    """Whether a crystal has no minimum, so that it says nothing of a ground state."""
    return int(np.argmin(energies)) == energies.size - 1


def _lowest(energies: Floats) -> float:
    """Lowest energy over sizes: that of a parabola through the lowest three points."""
    at = int(np.argmin(energies))
    if not 0 < at < energies.size - 1:
        return float(energies[at])
    left, here, right = energies[at - 1 : at + 2]
    bend = left - 2.0 * here + right
    return float(here - (left - right) ** 2 / (8.0 * bend)) if bend > 0 else float(here)
