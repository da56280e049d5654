"""Kinds of sums in discovery: addends over the neighbours of atoms.

From these follow values, forces and virials by one chain rule, whether the sum stands alone or in a
function F. A kind may bring a faster way for rows of labels, see ``SumRows``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np

from symreg.arrays import Booleans, Floats, Integers
from symreg.fit.programs.batch import encoded
from symreg.fit.programs.evaluation import differentiate
from symreg.language import Shape, Tree
from symreg.structures import Structures
from symreg.structures.neighbours import Pairs, structure_pairs
from symreg.terms.lengths import Lengths

Made = TypeVar("Made")
Parts = Sequence[tuple[Tree, float]]
"""Functions and their weights."""


class Around(NamedTuple):
    """N atoms and their neighbours."""

    pairs: Pairs
    """Directed pairs within the reach of all sums."""
    kind: Integers
    """Index of each atom's element among the species, shape (N,)."""
    memory: dict[Any, Any] | None = None
    """Results that kinds of sums keep of it, if it is used again and again."""

    def kept(self, what: tuple[Any, ...], make: Callable[[], Made]) -> Made:
        """Result of the neighbours alone, made once where there is a memory.

        ``what`` begins with the kind of sum that makes it, for each has lengths of its own.
        """
        if self.memory is None:
            return make()
        if what not in self.memory:
            self.memory[what] = make()
        found: Made = self.memory[what]
        return found

    def centred(self, species: Sequence[int], reach: float) -> Pairs:
        """Pairs closer than ``reach`` in Å from the first of the species to any of the others."""
        centre, *others = species
        near = (self.kind[self.pairs.i] == centre) & np.isin(self.kind[self.pairs.j], others)
        return self.pairs.subset(near & (self.pairs.r < reach))


ALIKE = 1e-6
"""Distances in Å, and cosines, that differ by less are one in crystals."""


def rounded(values: Floats) -> Integers:
    """Values in steps of ``ALIKE``."""
    return np.asarray(np.round(values / ALIKE).astype(np.int64))


def alike(*columns: Integers) -> tuple[Integers, Integers, Integers]:
    """Rows of A that are equal in all columns, each of shape (A,).

    Returns the first of each, shape (U,), which of these each one is, and how many there are.
    """
    order = np.lexsort(columns[::-1])
    new = np.zeros(order.size, dtype=bool)
    new[:1] = True
    for column in columns:
        new[1:] |= np.diff(column[order]) != 0
    group = np.empty(order.size, dtype=np.int64)
    group[order] = np.cumsum(new) - 1
    return order[new], group, np.bincount(group)


def sides(pairs: Pairs, kind: Integers, species: Sequence[int]) -> Booleans:
    """Whether neighbours are of the second kind of a key of triplets, shape (P,).

    ``kind`` is each atom's element, shape (N,). Of neighbours of one kind no one is.
    """
    if species[1] == species[2]:
        return np.zeros(len(pairs), dtype=bool)
    return np.asarray(kind[pairs.j] == species[2])


class Addends(ABC):
    """Some addends of a sum, A of them: what each adds to its centre, and how forces follow."""

    centre: Integers
    """Atom whose sum it is, shape (A,)."""
    value: Floats
    """Shape (A,)."""

    @abstractmethod
    def add_forces(self, weight: Floats, forces: Floats, virial: Floats) -> None:
        """Add forces (N, 3, 1) in eV/Å and virials (N, 6, 1) in eV, the latter at the centres.

        They are those of a function of the sums; its derivative by the sum of each atom, shape
        (N,), is zero for those that are no centres.
        """

    def sums(self, n: int) -> Floats:
        """Sums around each of N atoms, shape (N,)."""
        return np.asarray(np.bincount(self.centre, self.value, n), dtype=float)


def felt(weight: Floats, change: Floats) -> Floats:
    """Their product; what does not change is not felt, also where the weight is not finite.

    At the cutoff all addends are zero, and F need not have a slope there.
    """
    return np.multiply(weight, change, out=np.zeros_like(change), where=change != 0)


class SumKind(ABC):
    """One kind of sum with the lengths of a formula."""

    grid_type: ClassVar[type[Any] | None] = None
    """The ``NodeGrid`` on which it is projected where it stands alone; None if it is not."""

    def __init__(self, lengths: Lengths) -> None:
        self.lengths = lengths

    @property
    @abstractmethod
    def reach(self) -> float:
        """Distance in Å from which on neighbours add nothing.

        Raises
        ------
        ValueError
            If the lengths lack the cutoff function that it needs.
        """

    @abstractmethod
    def addends(
        self, parts: Parts, species: Sequence[int], around: Around, alone: bool
    ) -> Iterator[Addends]:
        """Addends of the weighted sum of several functions of one key, some at a time.

        ``species`` are indices of the centre's and the neighbours'; a sum that stands ``alone`` is,
        over all atoms, the energy itself.
        """

    def totals(self, parts: Parts, species: Sequence[int], around: Around, alone: bool) -> Floats:
        """Sums around each of N atoms without their slopes, shape (N,).

        All addends unless a kind adds up equal ones at once.
        """
        total = np.zeros(around.kind.size)
        for addends in self.addends(parts, species, around, alone):
            total += addends.sums(total.size)
        return total

    def rows(self, chosen: Selection, species: Sequence[int]) -> SumRows:
        """The sum on rows of labels; the addends of all atoms unless a kind knows a faster way."""
        return AllAddends(self, chosen, species)


MOST_KEPT = 2_000_000
"""Pairs that a selection keeps at the most, 48 bytes each."""


def run(tree: Tree, *variables: Floats) -> tuple[Floats, Floats]:
    """Values (R,) of a function and its derivatives (V, R) by its variables."""
    code, arg = encoded(tree.shape, alone=len(variables) == 1)
    points = np.ascontiguousarray(np.stack(variables))
    values, slopes = differentiate(code, arg, np.array(tree.constants), points, False)
    return values, slopes


class Variants(NamedTuple):
    """D variants of a function that is summed: one for each constant of its term that moves."""

    shape: Shape
    used: Integers
    """Which constants of the term it holds, shape (k,)."""
    constants: Floats
    """Those of each variant: first as they are, then each moved in turn, shape (D, K)."""
    steps: Floats
    """By how much each is moved, shape (K,) or (0,)."""

    def own(self, d: int = 0) -> Floats:
        """Constants of what is summed in one variant, shape (k,)."""
        return np.asarray(self.constants[d][self.used])

    def tree(self, d: int = 0) -> Tree:
        """The function that one variant sums."""
        return Tree(self.shape, tuple(self.own(d).tolist()))

    def is_new(self, d: int) -> bool:
        """Whether a variant is the first, or differs from it."""
        return d == 0 or d - 1 in self.used


@dataclass(frozen=True, eq=False)
class Selection:
    """Structures whose labels are rows: S of them with N atoms."""

    structures: Structures
    chosen: Sequence[int]
    """Their indices."""
    wanted: Booleans
    """Atoms whose forces count, shape (N,)."""
    stressed: int
    """So many of them, the first, have stresses that count."""
    n_nodes: int
    """Nodes of the grids of pairs, M."""
    _found: dict[tuple[int, float], Pairs] = field(default_factory=dict)

    @cached_property
    def start(self) -> Integers:
        """Where the atoms of each structure begin, shape (S + 1,)."""
        sizes = self.structures.n_atoms[list(self.chosen)]
        return np.cumsum([0, *sizes], dtype=np.int64)

    @cached_property
    def owner(self) -> Integers:
        """Structure of each atom, shape (N,)."""
        return np.repeat(np.arange(len(self.chosen)), np.diff(self.start))

    def pairs(self, r_cut: float) -> Iterator[Pairs]:
        """Pairs of each structure, its atoms counted from 0.

        Of several elements every two ask for them, so they are kept, up to ``MOST_KEPT``.
        """
        keeps, n_kept = (
            len(self.structures.species) > 1,
            sum(p.r.size for p in self._found.values()),
        )
        for s in self.chosen:
            found = self._found.get((s, r_cut))
            if found is None:
                found = structure_pairs(self.structures, s, r_cut)
                n_kept += found.r.size
                if keeps and n_kept <= MOST_KEPT:
                    self._found[s, r_cut] = found
            yield found

    def joined(
        self,
        r_cut: float,
        of: Booleans | None = None,
        chosen: Callable[[Around], Pairs] | None = None,
    ) -> Pairs:
        """Pairs of all structures, atoms counted through; of some centres only, shape (N,).

        Of those of each structure some may be ``chosen``.
        """
        parts, kinds = [], np.split(self.kind, self.start[1:-1])
        for first, kind, every in zip(self.start, kinds, self.pairs(r_cut), strict=False):
            pairs = every if chosen is None else chosen(Around(every, kind))
            near = Pairs(pairs.i + first, pairs.j + first, pairs.r, pairs.unit)
            parts.append(near if of is None else near.subset(of[near.i]))
        names = ("i", "j", "r", "unit")
        return Pairs(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))

    @cached_property
    def kind(self) -> Integers:
        """Index of each atom's element, shape (N,)."""
        atoms = (self.structures.kind[self.structures.atoms_of(s)] for s in self.chosen)
        return np.concatenate(list(atoms))


class SumRows(ABC):
    """A kind of sum on rows of labels: its values for all atoms, and what F of it does to these."""

    chosen: Selection

    @abstractmethod
    def sums(self, variants: Variants) -> tuple[Floats, Any]:
        """Sums of every atom, shape (D, N), and what ``add_forces`` needs of them."""

    @abstractmethod
    def add_forces(self, state: Any, by_sum: Floats, forces: Floats, virial: Floats) -> None:
        """Add forces (N, 3, D) and virials (S', 6, D), given dF/dS of every atom, (D, N)."""

    def resolved(self, variants: Variants) -> bool:  # noqa: ARG002
        """Whether the grid on which it is known resolves what is summed, if there is a grid."""
        return True

    def dimers(self, variants: Variants) -> Floats:
        """Sums of an atom alone, and of one of two at M distances on the grid, shape (D, 1 + M)."""
        return np.zeros((len(variants.constants), 1 + self.chosen.n_nodes))


class AllAddends(SumRows):
    """Sums by the addends of all atoms, without a grid."""

    def __init__(self, kind: SumKind, chosen: Selection, species: Sequence[int]) -> None:
        self.kind, self.chosen, self.species = kind, chosen, species
        self.around = Around(chosen.joined(kind.reach), chosen.kind)

    def _addends(self, tree: Tree) -> list[Addends]:
        return list(self.kind.addends([(tree, 1.0)], self.species, self.around, alone=False))

    def sums(self, variants: Variants) -> tuple[Floats, Any]:
        """By adding them up."""
        every: list[list[Addends]] = []
        for d in range(len(variants.constants)):
            every.append(self._addends(variants.tree(d)) if variants.is_new(d) else every[0])
        n = self.around.kind.size
        sums = [np.sum([a.sums(n) for a in addends], axis=0) for addends in every]
        return np.array(sums).reshape(len(every), n), every

    def add_forces(self, state: Any, by_sum: Floats, forces: Floats, virial: Floats) -> None:
        """By the chain rule, one variant after another."""
        n, owner = self.around.kind.size, self.chosen.owner
        for d, addends in enumerate(state):
            on_atoms, at_centres = np.zeros((n, 3, 1)), np.zeros((n, 6, 1))
            for some in addends:
                some.add_forces(by_sum[d], on_atoms, at_centres)
            forces[:, :, d] += on_atoms[:, :, 0]
            for s in range(len(virial)):
                virial[s, :, d] += at_centres[owner == s, :, 0].sum(axis=0)
