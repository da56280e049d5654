"""The crystals of a data set: which prototypes its lowest structures are, if any.

Distances to the nearest neighbours, sorted and in units of the cube root of the volume per atom,
are compared with those of prototypes, so that strained and warm crystals are recognised, and melts
are not. Stackings of close-packed layers differ in how many neighbours lie opposite each other.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import permutations
from typing import NamedTuple

import numpy as np
from ase import Atoms

from symreg.arrays import Floats
from symreg.structures.data import Structures
from symreg.structures.distances import isolated_atoms
from symreg.structures.prototypes import for_stoichiometry, make
from symreg.structures.settings import SPLITS

WARM, COLD = 0.07, 0.03
"""Root mean squares of differences of distances: of a warm crystal, and of one almost at rest."""
APART, APART_SELDOM = 1.5, 1.15
"""Another family of crystals has to differ by this many times as much; one that is seldom."""
FAMILIES = (
    ("fcc", "hcp", "dhcp"),
    ("diamond", "hexagonal_diamond"),
    ("zincblende", "wurtzite"),
)
"""Close polytypes: stackings of the same layers."""
SELDOM = ("sc", "chain", "graphite", "beta_tin", "A15")
"""Crystals that data hold for comparison, so that they are not assumed where no other is there."""
NEIGHBOURS, _NEAREST, _REACH, _MOST_ATOMS = 20, 12, 2.6, 64
AT_REST = 0.03
"""Largest pressure in eV/Å^3 of a crystal that holds together by itself."""
OPPOSITE = -0.945
"""Largest cosine of neighbours that lie opposite each other."""
MOST = 4
"""Crystals of so many compositions at most, the commonest first."""
COMMON = 0.1
"""Part of the periodic structures that a composition has, or its crystal is not assumed."""


@dataclass(frozen=True, eq=False)
class Recognised:
    """A crystal that the data hold."""

    name: str
    """That of its prototype."""
    species: tuple[str, ...]
    """In the order of the prototype."""
    atoms: Atoms
    """The structure."""
    at_rest: bool = False
    """Whether its pressure is known to be small."""

    def __str__(self) -> str:
        """In words, as ``fcc Cu (Cu108, -4.101 eV/atom)``."""
        found = self.atoms.info.get("energy_per_atom")
        energy = "" if found is None else f", {found:.4g} eV/atom"
        formula = self.atoms.get_chemical_formula()
        return f"{self.name} {''.join(self.species)} ({formula}{energy})"


class _Surroundings(NamedTuple):
    """Neighbours of the atoms of one element, on average."""

    distances: Floats
    """By element of the neighbour, ascending, reduced; shape (elements * NEIGHBOURS,)."""
    opposite: float
    """Pairs of the nearest neighbours that lie opposite each other."""


def family(name: str) -> tuple[str, ...]:
    """Close polytypes of a prototype, itself among them."""
    return next((names for names in FAMILIES if name in names), (name,))


def recognise(structures: Structures) -> tuple[Recognised, ...]:
    """The lowest crystal of each common composition, where it is a prototype; no test data.

    Of elements, and of the commonest compound; none where the lowest structure is no known
    crystal, or could be several.
    """
    found = []
    for s in _lowest(structures):
        atoms = structures.to_atoms(s)
        if (name := _name(atoms)) is not None:
            energy = float(structures.energy[s]) / len(atoms)
            atoms.info["energy_per_atom"] = energy
            pressure = abs(float(structures.stress[s, :3].mean()))
            found.append(Recognised(*name, atoms, at_rest=pressure < AT_REST))
    return tuple(found[:MOST])


def _lowest(structures: Structures) -> list[int]:
    """The lowest periodic structure of each composition that has prototypes, commonest first."""
    count: Counter[tuple[int, ...]] = Counter()
    energies: dict[tuple[int, ...], tuple[float, int]] = {}
    judged = structures.split != SPLITS.index("test")
    for s in np.flatnonzero(judged & ~isolated_atoms(structures)).tolist():
        energy = float(structures.energy[s] / structures.n_atoms[s])
        if not (structures.pbc[s].all() and np.isfinite(energy)):
            continue
        kinds = structures.kind[structures.atoms_of(s)]
        counts = np.bincount(kinds, minlength=len(structures.species))
        parts = tuple((counts // np.gcd.reduce(counts)).tolist())
        count[parts] += 1
        energies[parts] = min((energy, s), energies.get(parts, (np.inf, -1)))
    common = [p for p, n in count.most_common() if n >= COMMON * count.total()]
    known = [p for p in common if for_stoichiometry([n for n in p if n])]
    compounds = [parts for parts in known if np.count_nonzero(parts) > 1][:1]
    return [energies[p][1] for p in known if np.count_nonzero(p) == 1 or p in compounds]


def _name(atoms: Atoms) -> tuple[str, tuple[str, ...]] | None:
    """Prototype of a structure and its elements; None where it is none, or could be several."""
    found = _surroundings(atoms)
    if found is None:
        return None
    by_name: dict[str, tuple[float, tuple[str, ...]]] = {}
    for name, species in _candidates(atoms):
        far = _difference(found, _ideal(name, species))
        by_name[name] = min((far, species), by_name.get(name, (np.inf, species)))
    families: dict[tuple[str, ...], list[tuple[float, str]]] = defaultdict(list)
    for name, (far, _) in by_name.items():
        families[family(name)].append((far, name))
    (best, members), *others = sorted((min(group)[0], sorted(group)) for group in families.values())
    if best > WARM or any(far < _apart(group[0][1]) * best for far, group in others):
        return None
    chosen = _stacking(found, members) if len(members) > 1 else members[0][1]
    if chosen is None or chosen in SELDOM or (best > COLD and len(found) > 1):
        return None
    return chosen, by_name[chosen][1]


def _apart(name: str) -> float:
    return APART_SELDOM if name in SELDOM else APART


def _candidates(atoms: Atoms) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Prototypes of a composition, with the elements in every order that has it."""
    count = Counter(atoms.symbols)
    for name in for_stoichiometry(list(count.values())):
        for species in permutations(sorted(count)):
            ideal = Counter(make(name, species, 1.0).symbols)
            if all(ideal[s] * len(atoms) == count[s] * ideal.total() for s in count):
                yield name, species


def _stacking(found: dict[str, _Surroundings], members: Sequence[tuple[float, str]]) -> str | None:
    """Which of several close polytypes it is: of close packing by neighbours that are opposite."""
    (best, name), (second, _), *_ = members
    if "fcc" in family(name):
        (here,) = found.values()
        for one, opposite in (("fcc", 6.0), ("hcp", 3.0)):
            if abs(here.opposite - opposite) < 0.6:
                return one
        return name if name == "dhcp" and best < COLD else None
    return name if best < 0.7 * second else None


def _difference(found: dict[str, _Surroundings], ideal: dict[str, _Surroundings]) -> float:
    """Root mean square of the differences of distances, of the element that differs most."""
    return max(
        float(np.sqrt(np.mean((one.distances - ideal[symbol].distances) ** 2)))
        for symbol, one in found.items()
    )


@cache
def _ideal(name: str, species: tuple[str, ...]) -> dict[str, _Surroundings]:
    found = _surroundings(make(name, species, 1.0))
    assert found is not None
    return found


def _surroundings(atoms: Atoms) -> dict[str, _Surroundings] | None:
    """Neighbours by element; None where two atoms are in one place."""
    from symreg.structures.neighbours import find_pairs

    unit = float(atoms.get_volume() / len(atoms)) ** (1 / 3)
    reduced = np.asarray(atoms.cell) / unit
    try:
        pairs = find_pairs(atoms.positions / unit, reduced, atoms.pbc, _REACH)
    except ValueError:
        return None
    symbols = np.array(atoms.get_chemical_symbols())
    start = np.searchsorted(pairs.i, np.arange(len(atoms) + 1))
    found = {}
    for symbol in sorted(set(symbols)):
        distances, opposite = [], []
        for i in np.flatnonzero(symbols == symbol)[:_MOST_ATOMS]:
            here = slice(start[i], start[i + 1])
            r, kinds, unit_vectors = pairs.r[here], symbols[pairs.j[here]], pairs.unit[here]
            distances.append(
                np.concatenate([_nearest(r[kinds == s]) for s in sorted(set(symbols))])
            )
            near = unit_vectors[np.argsort(r, kind="stable")[:_NEAREST]]
            opposite.append(0.5 * float((near @ near.T < OPPOSITE).sum()))
        found[symbol] = _Surroundings(np.mean(distances, axis=0), float(np.mean(opposite)))
    return found


def _nearest(r: Floats) -> Floats:
    """The first distances, ascending; those that are missing lie at the end of the reach."""
    near = np.full(NEIGHBOURS, _REACH)
    near[: len(r)] = np.sort(r)[:NEIGHBOURS]
    return near
