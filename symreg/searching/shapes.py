"""Shapes that the gate tries formulas on: clusters, and the crystals of the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.cluster import Icosahedron

from symreg.arrays import Floats
from symreg.structures import Structures
from symreg.structures.neighbours import find_pairs
from symreg.structures.prototypes import make
from symreg.structures.recognition import Recognised

LARGEST_CELL, _MOST_CRYSTALS, _MOST_OF_ALL = 8, 4, 12
_ALIKE = 1.1
"""Neighbours up to this many times the distance of the nearest are counted in a crystal's name."""


def scaled(shape: Atoms, lengths: Floats) -> Iterator[Atoms]:
    """The shape, whose nearest neighbours are 1 Å apart, with other distances in Å."""
    for length in lengths:
        atoms = shape.copy()
        atoms.set_cell(length * np.asarray(shape.cell))
        atoms.positions = length * shape.positions
        yield atoms


def reach(atoms: Atoms) -> float:
    """A distance in Å within which every atom of a shape has neighbours of all species."""
    if atoms.pbc.any():
        return float(2.0 * (atoms.get_volume() / len(atoms)) ** (1 / 3))
    return 3.0


def clusters(one: str, other: str) -> Iterator[Atoms]:
    """Trimers of three shapes and an icosahedron, nearest neighbours 1 Å apart.

    Of two species each is the centre once.
    """
    for centre, near in dict.fromkeys(((one, other), (other, one))):
        mark = "" if centre == near else f" {near}-{centre}-{near}"
        for name, angle in (("equilateral trimer", 60), ("trimer", 90), ("linear trimer", 180)):
            turn = np.radians(angle)
            corners = [[0, 0, 0], [1, 0, 0], [np.cos(turn), np.sin(turn), 0]]
            yield Atoms([centre, near, near], corners, info={"name": name + mark})
        ball = Icosahedron(near, noshells=2, latticeconstant=1.0)
        ball.positions /= ball.get_distances(0, range(1, 13)).min()
        name = "icosahedron" if centre == near else f"icosahedron {centre}{near}12"
        yield Atoms([centre, *[near] * 12], ball.positions, info={"name": name})


def measured(found: Sequence[Atoms]) -> list[Atoms]:
    """The smallest few crystals of each set of species, named."""
    small = sorted((atoms for atoms in found if len(atoms) <= LARGEST_CELL), key=len)
    shapes: list[Atoms] = []
    count_of = Counter[tuple[str, ...]]()
    for atoms in small:
        members = tuple(sorted(set(atoms.symbols)))
        count_of[members] += 1
        if count_of[members] > _MOST_CRYSTALS or len(shapes) == _MOST_OF_ALL:
            continue
        pairs = find_pairs(atoms.positions, np.asarray(atoms.cell), atoms.pbc, reach(atoms))
        nearest = pairs.r.min()
        count = int(((pairs.i == 0) & (pairs.r < _ALIKE * nearest)).sum())
        atoms.info["name"] = f"crystal {atoms.symbols} with {count} neighbours at {nearest:.3g} Å"
        shapes.append(atoms)
    return shapes


def ideal(found: Recognised) -> Atoms:
    """A crystal of the data, as its prototype, named."""
    atoms = make(found.name, found.species, 1.0)
    atoms.info["name"] = f"crystal {found.name} {''.join(found.species)}"
    return atoms


def commonest(structures: Structures) -> list[Atoms]:
    """A crystal to try where data show none, by their commonest composition; maybe none.

    Face-centred cubic for one element, rock salt for AB, fluorite for AB2.
    """
    counts = [np.bincount(structures.kind[structures.atoms_of(s)]) for s in range(len(structures))]
    parts = Counter(tuple((count // np.gcd.reduce(count)).tolist()) for count in counts)
    shares = parts.most_common(1)[0][0]
    members = sorted((n, structures.species[k]) for k, n in enumerate(shares) if n)
    name = "".join(symbol + (str(n) if n > 1 else "") for n, symbol in members)
    lattices = {(1,): "fcc", (1, 1): "rocksalt", (1, 2): "fluorite"}
    lattice = lattices.get(tuple(n for n, _ in members))
    if lattice is None:
        return []
    atoms = bulk(name, lattice, a=np.sqrt(2))
    atoms.info["name"] = f"crystal {lattice} {name}"
    return [atoms]
