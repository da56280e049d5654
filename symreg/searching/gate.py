"""The gate: whether a candidate stays physical away from its data, judged while it is bred.

Everything is computed with compiled programs on a fixed set of atoms that no data need to hold:
an atom alone, dimers, trimers, dense clusters and crystals over a range of volumes. ``physics``
repeats and extends the tests on the finished formula, with derivatives by SymPy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.cluster import Icosahedron

from symreg.arrays import Floats
from symreg.fit.exact import ExactPath
from symreg.structures import Structures, crystals
from symreg.structures.neighbours import Pairs, find_pairs
from symreg.terms import Expression
from symreg.terms.curves import pole
from symreg.terms.lengths import Lengths

CONDITIONS = (
    "an atom alone has a finite energy",
    "dimers are finite from half of r_lo to the cutoff",
    "dimers repel each other below r_lo",
    "crystals have a minimum, above which the energy rises down to 0.6 of its volume",
    "trimers and dense clusters keep above twice the cohesive energy",
)
"""Conditions that a candidate has to meet."""
COMPRESSION = 0.6
"""Down to this part of the minimum's volume the energy has to rise."""
DEEPEST = 2.0
"""Nothing may be bound by more than this many times the cohesive energy, per atom."""
DENSEST = 0.7
"""Crystals and clusters are squeezed until neighbours are this part of r_lo apart."""
_DIMERS, _OTHERS = 160, 60
_LARGEST_CELL, _MOST_CRYSTALS = 8, 4
_ALIKE = 1.1
"""Neighbours up to this many times the distance of the nearest are counted in a crystal's name."""
_JUMP = 0.05
"""Part of the largest energy of a dimer by which it has to jump at a pole: points are few."""
_EDGE = (1e-2, 1e-3, 1e-4, 1e-5)
"""Distances in Å from the cutoff radius at which a force that grows without bound shows."""
_GROWTH = 1.2
"""A force may grow by this factor from each of them to the next."""


@dataclass(frozen=True, eq=False)
class _Curve:
    """Structures of one kind along a length, as slices of all probes."""

    name: str
    """With the distance in the data, if it is a crystal of theirs."""
    length: Floats
    """Distance of nearest neighbours in Å, ascending, shape (S,)."""
    probes: slice


class Gate:
    """Tests individuals of one element.

    Structures are the data, for their element and their crystals; ``lengths`` tell where the domain
    begins.
    """

    def __init__(self, structures: Structures, lengths: Lengths) -> None:
        self.path = ExactPath(structures, lengths)
        cutoff, r_lo = lengths.cutoff, lengths.r_lo
        self.r_lo, self.r_cut = r_lo, cutoff.r_cut
        (symbol,) = structures.species
        self._probes = [Atoms(symbol)]
        edge = [] if cutoff.kind == "none" else [self.r_cut - gap for gap in _EDGE]
        r = np.sort(np.concatenate([np.linspace(0.5 * r_lo, self.r_cut, _DIMERS)[:-1], edge]))
        dimer = Atoms(f"{symbol}2", [[0, 0, 0], [0, 0, 1]], info={"name": "dimer"})
        self.dimers = self._curve(dimer, r)
        apart = np.geomspace(DENSEST * r_lo, self.r_cut, _OTHERS)
        self.clusters = [self._curve(atoms, apart) for atoms in _clusters(symbol)]
        shapes = _measured(crystals(structures)) or [_close_packed(symbol)]
        self.crystals = [self._curve(atoms, apart) for atoms in shapes]
        self.start = np.concatenate([[0], np.cumsum([len(atoms) for atoms in self._probes])])
        self.kind = np.zeros(self.start[-1], dtype=np.int64)
        parts = []
        for first, atoms in zip(self.start, self._probes, strict=False):
            pairs = find_pairs(atoms.positions, np.asarray(atoms.cell), atoms.pbc, self.path.reach)
            parts.append((pairs.i + first, pairs.j + first, pairs.r, pairs.unit))
        self.pairs = Pairs(*map(np.concatenate, zip(*parts, strict=True)))

    def _curve(self, atoms: Atoms, lengths: Floats) -> _Curve:
        """Probes of one shape, from 1 Å scaled to lengths."""
        first = len(self._probes)
        self._probes += _scaled(atoms, lengths)
        return _Curve(atoms.info["name"], lengths, slice(first, len(self._probes)))

    def broken(self, expression: Expression) -> list[str]:
        """Those of ``CONDITIONS`` that an expression breaks, in words; empty if all hold."""
        with np.errstate(all="ignore"):
            energies, forces, _ = self.path.sums(expression, self.pairs, self.kind)
            energy = np.add.reduceat(energies, self.start[:-1])
            alone = float(energy[0])
            if not np.isfinite(alone):
                return ["an atom alone has no finite energy"]
            bound = energy / np.diff(self.start) - alone
            push = forces[self.start[:-1], 2]
            return [*self._dimers(bound, push), *self._crystals(bound), *self._collapse(bound)]

    def _dimers(self, bound: Floats, push: Floats) -> Iterator[str]:
        r, energy = self.dimers.length, 2 * bound[self.dimers.probes]
        # The first atom is below the second: its force is the slope of the energy.
        slope = push[self.dimers.probes]
        broken = ~(np.isfinite(energy) & np.isfinite(slope))
        if broken.any():
            yield f"the dimer is not finite at {r[broken][0]:.4g} Å"
            return
        # Towards the cutoff a root may bend more between two points than their slopes explain.
        inside = (r >= self.r_lo) & (r < self.r_cut - 2 * _EDGE[0])
        at = pole(r[inside], energy[inside], slope[inside], _JUMP)
        if at is not None:
            yield f"the dimer has a pole near {at:.4g} Å"
        near = np.abs(slope[r >= self.r_cut - 1.5 * _EDGE[0]][: len(_EDGE)])
        if near.size == len(_EDGE) and (near[1:] > _GROWTH * near[:-1]).all():
            yield "the force of the dimer grows without bound towards the cutoff"
        pulls = r[(slope > 0) & (r < self.r_lo)]
        if pulls.size:
            yield f"the dimer attracts at {pulls[-1]:.4g} Å, below r_lo"

    def _crystals(self, bound: Floats) -> Iterator[str]:
        for curve in self.crystals:
            d, energy = curve.length, bound[curve.probes]
            lowest = int(np.argmin(energy))
            squeezed = (d > COMPRESSION ** (1 / 3) * d[lowest]) & (d <= d[lowest])
            if not np.isfinite(energy).all():
                at = d[~np.isfinite(energy)][-1]
                yield f"{curve.name} has no finite energy at {at:.3g} Å"
            elif d[lowest] < self.r_lo:
                yield f"{curve.name} collapses to {d[lowest]:.3g} Å, below r_lo"
            elif lowest == len(d) - 1:
                yield f"{curve.name} has no minimum up to {d[-1]:.3g} Å"
            elif (np.diff(energy[squeezed]) > 0).any():
                at = f"from {d[lowest]:.3g} to {d[squeezed][0]:.3g} Å"
                yield f"the energy of {curve.name} does not rise when squeezed {at}"

    def _collapse(self, bound: Floats) -> Iterator[str]:
        cohesive = min(
            float(bound[curve.probes][curve.length >= self.r_lo].min()) for curve in self.crystals
        )
        for curve in self.clusters:
            energy = bound[curve.probes]
            worst = int(np.argmin(energy))
            if not np.isfinite(energy).all():
                yield f"{curve.name} has no finite energy"
            elif energy[worst] < DEEPEST * min(cohesive, 0.0):
                at = f"{energy[worst]:.3g} eV/atom at {curve.length[worst]:.3g} Å"
                yield f"{curve.name} collapses: {at}"


def _scaled(shape: Atoms, lengths: Floats) -> Iterator[Atoms]:
    """The shape, whose nearest neighbours are 1 Å apart, with other distances in Å."""
    for length in lengths:
        atoms = shape.copy()
        atoms.set_cell(length * np.asarray(shape.cell))
        atoms.positions = length * shape.positions
        yield atoms


def _clusters(symbol: str) -> Iterator[Atoms]:
    """Trimers of three shapes and an icosahedron, nearest neighbours 1 Å apart."""
    for name, angle in (("equilateral trimer", 60), ("trimer", 90), ("linear trimer", 180)):
        turn = np.radians(angle)
        corners = [[0, 0, 0], [1, 0, 0], [np.cos(turn), np.sin(turn), 0]]
        yield Atoms(f"{symbol}3", corners, info={"name": name})
    ball = Icosahedron(symbol, noshells=2, latticeconstant=1.0)
    ball.positions /= ball.get_distances(0, range(1, 13)).min()
    yield Atoms(ball.symbols, ball.positions, info={"name": "icosahedron"})


def _measured(found: Sequence[Atoms]) -> list[Atoms]:
    """The smallest few crystals, named, in units of the distance of their nearest neighbours."""
    small = sorted((atoms for atoms in found if len(atoms) <= _LARGEST_CELL), key=len)
    shapes: list[Atoms] = []
    for atoms in small[:_MOST_CRYSTALS]:
        reach = 2.0 * (atoms.get_volume() / len(atoms)) ** (1 / 3)
        pairs = find_pairs(atoms.positions, np.asarray(atoms.cell), atoms.pbc, reach)
        nearest = pairs.r.min()
        count = int(((pairs.i == 0) & (pairs.r < _ALIKE * nearest)).sum())
        atoms.info["name"] = f"crystal {atoms.symbols} with {count} neighbours at {nearest:.3g} Å"
        shapes.extend(_scaled(atoms, np.array([1.0 / nearest])))
    return shapes


def _close_packed(symbol: str) -> Atoms:
    """The crystal of data that have none, nearest neighbours 1 Å apart."""
    atoms = bulk(symbol, "fcc", a=np.sqrt(2))
    atoms.info["name"] = f"crystal fcc {symbol}"
    return atoms
