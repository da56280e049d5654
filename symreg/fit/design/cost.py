"""Memory and time that projecting a data set takes, estimated before any of it is computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic

import numpy as np

from symreg.arrays import Booleans, Integers
from symreg.files import counted
from symreg.structures import SPLITS, Structures
from symreg.structures.periodic import expected_neighbours

BUFFERED_ROWS = 2048
"""Rows that wait in each cell until they are reduced."""
GB = 1e9
_NUMBER = 8
"""Bytes of a number."""
_LEAST = 0.05
"""GB that libraries take where the data take next to nothing."""
_SPEED = 2e10
"""Operations a second of a QR decomposition on one core, about."""
_EVERY = 10.0
"""Seconds between two words of how far a projection is."""

_PAIR = 200
"""Bytes of a neighbour while a list is made."""
_LISTED = 20
"""Largest structures whose neighbours are estimated."""

Tell = Callable[[str], None]
"""Called with what happens, in words."""


@dataclass(frozen=True)
class Cost:
    """Memory and time that a projection takes."""

    pairs: int
    """Pairs of species within reach."""
    columns: int
    """Columns of every matrix, C."""
    matrices: int
    """Matrices that are kept: one for each quantity, group, split and bootstrap block."""
    memory: float
    """GB at the worst moment."""
    minutes: float

    def __str__(self) -> str:
        """One line, as in ``6.4 GB, some 9 minutes, for 78 pairs of species (...)``."""
        memory = f"{self.memory:.2g} GB" if self.memory >= 0.1 else f"{1e3 * self.memory:.2g} MB"
        time = f", some {self.minutes:.0f} minutes," if self.minutes >= 1 else ""
        pairs = f"{counted(self.pairs, 'pair')} of species"
        sizes = f"{self.columns:,} columns, {self.matrices:,} matrices"
        return f"{memory}{time} for {pairs} ({sizes})"


@dataclass(frozen=True, eq=False)
class Outline:
    """Sizes that decide what a projection takes."""

    structures: Structures
    blocks: Integers
    """Bootstrap block of each structure, shape (S,)."""
    pairs: Sequence[tuple[str, ...]]
    """Pairs of species within reach."""
    per_pair: int
    """Columns of each."""
    others: int
    """Columns of the other grids, of e0 and of the target."""

    def cost(self, without: Sequence[str] = ()) -> Cost:
        """Words for what it takes; without some elements, without all structures that hold them."""
        kept = ~np.any([self._with(name) for name in without], axis=0) if without else self._all
        pairs = [pair for pair in self.pairs if not set(pair) & set(without)]
        c = self.others + self.per_pair * len(pairs)
        rows = self._rows(kept)
        cells = np.array(list(rows.values()), dtype=float)
        forces = 3 * int(self.structures.n_atoms[kept].max(initial=0))
        held = float((np.minimum(cells, c) + np.minimum(cells, BUFFERED_ROWS)).sum())
        largest = float(cells.max(initial=0.0))
        stack = min(largest, BUFFERED_ROWS + forces) + min(largest, c)
        blocks = len(np.unique(self.blocks[kept & self._training]))
        final = float(np.minimum(cells, c).sum())
        # A decomposition holds its rows four times; all blocks are joined in one.
        joined = final + c * (6 * blocks + 16)
        most = max(held + 4 * stack + 4 * forces, joined)
        # A decomposition of R rows takes 2 R C^2 operations.
        reduced = cells + c * (cells // BUFFERED_ROWS) + 2 * np.minimum(cells, c)
        every = float(reduced.sum()) + final + c * (2 * blocks + 40)
        minutes = 2 * every * c**2 / _SPEED / 60
        memory = _LEAST + _NUMBER * c * most / GB
        return Cost(len(pairs), c, cells.size, memory, minutes)

    @property
    def _all(self) -> Booleans:
        return np.ones(len(self.structures), dtype=bool)

    @property
    def _training(self) -> Booleans:
        return np.asarray(self.structures.split == SPLITS.index("train"))

    def _with(self, name: str) -> Booleans:
        """Structures that hold an element, shape (S,)."""
        structures = self.structures
        own = structures.kind == structures.species.index(name)
        return np.asarray(np.add.reduceat(own, structures.start[:-1]) > 0)

    def _rows(self, kept: Booleans) -> Counter[tuple[object, ...]]:
        """Rows of each cell."""
        structures, rows = self.structures, Counter[tuple[object, ...]]()
        known = np.isfinite(structures.forces).sum(axis=1)
        forces = np.add.reduceat(known, structures.start[:-1])
        stress = np.isfinite(structures.stress).sum(axis=1) * structures.pbc.all(axis=1)
        energy = np.isfinite(structures.energy)
        for s in np.flatnonzero(kept):
            where = structures.group[s], structures.split[s], self.blocks[s]
            for quantity, count in (("e", energy[s]), ("f", forces[s]), ("s", stress[s])):
                if count:
                    rows[quantity, *where] += int(count)
        return rows

    def check(self, most: float) -> Cost:
        """Words for what it takes; a ``ValueError`` with ways out if it is above ``most`` GB."""
        cost = self.cost()
        if cost.memory <= most:
            return cost
        raise ValueError(
            f"projecting the data would take {cost}; [search] max_memory allows {most:g} GB: "
            f"raise it, make [terms] r_cut smaller, or {self._advice(most)}"
        )

    def _advice(self, most: float) -> str:
        """Words for the structures that could be left out, those with the rarest elements."""
        names = self.structures.species
        held = {name: int(self._with(name).sum()) for name in names}
        rarest = sorted(names, key=lambda name: held[name])
        for n in range(1, len(rarest)):
            dropped = rarest[:n]
            gone = int(np.any([self._with(name) for name in dropped], axis=0).sum())
            if gone > len(self.structures) // 2:
                return "search data of fewer elements"
            cost = self.cost(dropped)
            if cost.memory <= most and cost.pairs:
                return (
                    f"leave out the {gone} of {len(self.structures)} structures with "
                    f"{', '.join(dropped)}, which hardly occur: then it takes {cost.memory:.2g} GB"
                )
        return "use fewer structures"


def check_neighbours(structures: Structures, reach: float, most: float) -> None:
    """Refuse neighbour lists within ``reach`` in Å that would take more than ``most`` in GB."""
    for s in np.argsort(-structures.n_atoms, kind="stable")[:_LISTED]:
        atoms = structures.positions[structures.atoms_of(s)]
        each = expected_neighbours(atoms, structures.cell[s], structures.pbc[s], reach)
        memory = _PAIR * each * len(atoms) / GB
        if memory > most:
            raise ValueError(
                f"{structures.source[s]} ({structures.formula(s)}) would take {memory:.2g} GB for "
                f"{each * len(atoms):.2g} neighbours within {reach:g} Å; [search] max_memory "
                f"allows {most:g} GB: raise it, make [terms] r_cut smaller, or use smaller cells"
            )


class Pace:
    """Tells now and then how far something long is."""

    def __init__(self, tell: Tell, words: str, total: int) -> None:
        self.tell, self.words, self.total = tell, words, total
        self.done, self.last = 0, monotonic()

    def step(self) -> None:
        """Count one; say so if nothing was said for a while."""
        self.done += 1
        if monotonic() - self.last >= _EVERY:
            self.last = monotonic()
            self.tell(f"{self.words}: {self.done:,} of {self.total:,}")
