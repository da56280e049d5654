"""Crystals and clusters that no data need to hold, at many sizes: their energies, fast.

Atoms whose surroundings are equal are computed once, and so are equal distances and triplets, of
which a perfect crystal has few.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from ase import Atoms

from symreg.arrays import Floats, Integers
from symreg.fit.exact import ExactPath
from symreg.fit.sums.base import Around
from symreg.structures.neighbours import Pairs, find_pairs
from symreg.terms import Expression

_SURROUNDINGS = 2.3
"""Times the nearest distance within which surroundings are compared."""


class Specimen(NamedTuple):
    """A structure and the factors by which its lengths are multiplied, S of them."""

    atoms: Atoms
    factors: Floats
    """Shape (S,)."""


class _Shape(NamedTuple):
    """Atoms of a specimen that differ, C of them, and their neighbours."""

    pairs: Pairs
    """From these atoms, to any of the same element among them."""
    kind: Integers
    """Index of the element, shape (C,)."""
    share: Floats
    """Part of all atoms that each stands for, shape (C,)."""


class Specimens:
    """Energies per atom of specimens, e0 left out, for any expression; see ``ExactPath``."""

    def __init__(self, path: ExactPath, specimens: Sequence[Specimen]) -> None:
        self.path, self.sizes = path, [one.factors.size for one in specimens]
        parts, kinds, shares, owners = list[Pairs](), list[Integers](), list[Floats](), []
        count, n_atoms = 0, 0
        for atoms, factors in specimens:
            shape = _differing(atoms, path.structures.species, path.reach / float(factors.min()))
            for factor in factors:
                near = shape.pairs.subset(factor * shape.pairs.r < path.reach)
                i, j = near.i + n_atoms, near.j + n_atoms
                parts.append(Pairs(i, j, factor * near.r, near.unit))
                kinds.append(shape.kind)
                shares.append(shape.share)
                owners.append(np.full(shape.kind.size, count))
                n_atoms, count = n_atoms + shape.kind.size, count + 1
        self._owner, self._share = _joined(owners), _joined(shares)
        self._around = Around(
            Pairs(*map(_joined, zip(*map(_columns, parts), strict=True))), _joined(kinds), {}
        )

    def energies(self, expression: Expression) -> list[Floats]:
        """Energies in eV/atom of each specimen at all its sizes, shape (S,)."""
        every = self.path.energies(expression, self._around)
        totals = np.bincount(self._owner, self._share * every, sum(self.sizes))
        return np.split(totals, np.cumsum(self.sizes)[:-1])


def _columns(pairs: Pairs) -> tuple[np.ndarray, ...]:
    return pairs.i, pairs.j, pairs.r, pairs.unit


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts)


def _differing(atoms: Atoms, species: Sequence[str], reach: float) -> _Shape:
    """Atoms of a structure with unlike surroundings, and their neighbours within ``reach``."""
    pairs = find_pairs(atoms.positions, np.asarray(atoms.cell), atoms.pbc, reach)
    kind = np.array([species.index(symbol) for symbol in atoms.symbols])
    start = np.searchsorted(pairs.i, np.arange(len(atoms) + 1))
    marks = [_mark(pairs, kind, slice(*start[i : i + 2])) for i in range(len(atoms))]
    first, count = dict[tuple[object, ...], int](), Counter[int]()
    for atom, mark in enumerate(marks):
        count[first.setdefault((kind[atom], *mark), atom)] += 1
    # Energies need of a neighbour its element alone, which one of the chosen atoms has.
    chosen = list(count)
    place = {int(kind[atom]): n for n, atom in reversed(list(enumerate(chosen)))}
    own = np.concatenate([np.arange(*start[atom : atom + 2]) for atom in chosen])
    i = np.repeat(np.arange(len(chosen)), np.diff(start)[chosen])
    j = np.array([place[int(k)] for k in kind[pairs.j[own]]], dtype=np.int64)
    near = Pairs(i, j, pairs.r[own], pairs.unit[own])
    return _Shape(near, kind[chosen], np.array(list(count.values())) / len(atoms))


def _mark(pairs: Pairs, kind: Integers, here: slice) -> tuple[float, ...]:
    """Numbers that are equal for atoms with equal surroundings, whichever way these are turned.

    Sums over all pairs of neighbours of powers of the cosine, weighted by element and distance.
    """
    r, near, unit = pairs.r[here], 1.0 + kind[pairs.j[here]], pairs.unit[here]
    if not r.size:
        return ()
    close = r < _SURROUNDINGS * r.min()
    weight = (near * (r.min() / r) ** 4)[close]
    cosine = unit[close] @ unit[close].T
    return tuple(round(float(weight @ cosine**power @ weight), 6) for power in (0, 1, 2, 3, 4, 6))
