"""Memory and time that projecting a data set takes, estimated before any of it is computed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from time import monotonic

import numpy as np

from symreg.arrays import Booleans, Floats, Integers
from symreg.files import counted
from symreg.structures import SPLITS, Structures, bootstrap_blocks
from symreg.structures.periodic import expected_neighbours
from symreg.terms.term import Key

BUFFERED_ROWS = 2048
"""Rows that wait in each cell until they are reduced."""
GB = 1e9
LONG = 1.0
"""Minutes from which on a projection is said to be long."""
_NUMBER = 8
"""Bytes of a number."""
_LEAST = 0.05
"""GB that libraries take where the data take next to nothing."""
_SPEED = 5e10
"""Operations a second of a QR decomposition on one core, about."""
_EVERY = 10.0
"""Seconds between two words of how far a projection is."""

_PAIR = 200
"""Bytes of a neighbour while a list is made."""
_LISTED = 20
"""Largest structures whose neighbours are estimated."""

Tell = Callable[[str], None]
"""Called with what happens, in words."""


class TooLongError(ValueError):
    """Projecting takes longer than who asked for it would wait; the message says how long."""


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
        pairs = f"{counted(self.pairs, 'pair')} of species"
        sizes = f"{counted(self.columns, 'column')}, {counted(self.matrices, 'matrix', 'matrices')}"
        return f"{self.size}{',' * (self.minutes >= LONG)} for {pairs} ({sizes})"

    @property
    def size(self) -> str:
        """Memory, and minutes where there are some."""
        memory = f"{self.memory:.2g} GB" if self.memory >= 0.1 else f"{1e3 * self.memory:.2g} MB"
        minutes = counted(round(self.minutes), "minute")
        return f"{memory}, some {minutes}" if self.minutes >= LONG else memory


@dataclass(frozen=True, eq=False)
class Outline:
    """Sizes that decide what a projection takes."""

    structures: Structures
    blocks: Integers
    """Bootstrap block of each structure, shape (S,)."""
    columns: Mapping[Key, int]
    """Columns of the grid of each key, of pairs within reach and of triplets."""
    others: int
    """Columns of e0 and of the target."""

    def cost(self, kept: Booleans | None = None, without: Sequence[str] = ()) -> Cost:
        """Memory and time; of some structures alone, shape (S,), or without some elements."""
        kept = np.ones(len(self.structures), dtype=bool) if kept is None else kept
        left = {k: n for k, n in self.columns.items() if not set(k.species) & set(without)}
        pairs, c = sum(key.is_pair for key in left), self.others + sum(left.values())
        cells = self._rows(kept)
        forces = 3 * int(self.structures.n_atoms[kept].max(initial=0))
        held = float((np.minimum(cells, c) + np.minimum(cells, BUFFERED_ROWS)).sum())
        largest = float(cells.max(initial=0.0))
        stack = min(largest, BUFFERED_ROWS + forces) + min(largest, c)
        training = self.structures.split == SPLITS.index("train")
        blocks = len(np.unique(self.blocks[kept & training]))
        final = float(np.minimum(cells, c).sum())
        # A decomposition holds its rows four times; all blocks are joined in one.
        joined = final + c * (6 * blocks + 16)
        most = max(held + 4 * stack + 4 * forces, joined)
        # A decomposition of R rows takes 2 R C^2 operations.
        reduced = cells + c * (cells // BUFFERED_ROWS) + 2 * np.minimum(cells, c)
        every = float(reduced.sum()) + final + c * (2 * blocks + 40)
        minutes = 2 * every * c**2 / _SPEED / 60
        memory = _LEAST + _NUMBER * c * most / GB
        return Cost(pairs, c, cells.size, memory, minutes)

    def _with(self, name: str) -> Booleans:
        """Structures that hold an element, shape (S,)."""
        structures = self.structures
        own = structures.kind == structures.species.index(name)
        return np.asarray(np.add.reduceat(own, structures.start[:-1]) > 0)

    @cached_property
    def _labels(self) -> tuple[Integers, Integers]:
        """Number of the group, split and block of each structure (S,), and its labels (S, 3)."""
        structures, numbers = self.structures, dict[tuple[object, ...], int]()
        where = zip(structures.group, structures.split.tolist(), self.blocks.tolist(), strict=True)
        number = [numbers.setdefault(key, len(numbers)) for key in where]
        known = np.isfinite(structures.forces).sum(axis=1)
        forces = np.add.reduceat(known, structures.start[:-1])
        stress = np.isfinite(structures.stress).sum(axis=1) * structures.pbc.all(axis=1)
        energy = np.isfinite(structures.energy)
        return np.array(number), np.stack([energy, forces, stress], axis=1).astype(np.int64)

    def _rows(self, kept: Booleans) -> Floats:
        """Rows of each cell that some structures fill."""
        number, labels = self._labels[0][kept], self._labels[1][kept]
        rows = np.concatenate([np.bincount(number, of_each) for of_each in labels.T])
        return np.asarray(rows[rows > 0])

    def check(self, most: float, patience: float = math.inf) -> str:
        """Words for what it takes, and for ways to less where that is more than a minute or two.

        Raises
        ------
        ValueError
            If it is above ``most`` GB; with ways out.
        TooLongError
            If it takes more than ``patience`` in minutes.
        """
        cost = self.cost()
        if cost.memory > most:
            raise ValueError(
                f"projecting the data would take {cost}; [search] max_memory allows {most:g} GB: "
                f"raise it, {self._ways(most, math.inf)}"
            )
        if cost.minutes < LONG:
            return f"projecting the data takes {cost}"
        advice = f"to have it in less than a minute, {self._ways(most, LONG)}"
        if cost.minutes > patience:
            raise TooLongError(f"projecting the data would take {cost}; {advice}")
        return f"projecting the data takes {cost}; {advice}"

    def _ways(self, most: float, minutes: float) -> str:
        """Words for other terms that take less, if there are some, and for fewer data."""
        advice, pairs = self._advice(most, minutes), self._of_pairs
        if 2 * sum(pairs.columns.values()) >= sum(self.columns.values()):
            # Nodes of pairs hardly change with the cutoff, but fewer pairs are within it.
            return f"make [terms] r_cut smaller, or {advice}" if minutes == math.inf else advice
        return (
            "set [terms] three_body = false, or many_body = true instead of three_body: then it "
            f"takes {pairs.cost().size}; or {advice}"
        )

    @property
    def _of_pairs(self) -> Outline:
        """Sizes without triplets; there are more bootstrap blocks then."""
        columns = {key: n for key, n in self.columns.items() if key.is_pair}
        return replace(self, columns=columns, blocks=bootstrap_blocks(self.structures))

    def _advice(self, most: float, minutes: float) -> str:
        """Words for the structures that could be left out, those with the rarest elements first."""
        names, total = self.structures.species, len(self.structures)
        held = {name: self._with(name) for name in names}
        rarest = sorted(names, key=lambda name: int(held[name].sum()))
        for n in range(1, len(rarest)):
            dropped = rarest[:n]
            gone = np.any([held[name] for name in dropped], axis=0)
            if gone.sum() > total // 2:
                break
            cost = self.cost(~gone, dropped)
            if cost.memory <= most and cost.minutes < minutes and cost.pairs:
                return (
                    f"leave out the {gone.sum()} of {counted(total, 'structure')} with "
                    f"{', '.join(dropped)}, which hardly occur: then it takes {cost.size}"
                )
        for every in (2, 4, 8, 16):
            kept = np.arange(total) % every == 0
            cost = self.cost(kept)
            if cost.memory <= most and cost.minutes < minutes and cost.matrices:
                few = f"{kept.sum()} of {total} structures"
                return f"search {few} alone: then it takes {cost.size}"
        for n in range(1, len(names)):
            cost = self.cost(without=rarest[:n])
            if cost.memory <= most and cost.minutes < minutes and cost.pairs:
                few = counted(len(names) - n, "element")
                return (
                    f"search data of fewer elements: as many structures of {few} take {cost.size}"
                )
        return "search data of fewer elements" if len(names) > 1 else "use fewer structures"


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
