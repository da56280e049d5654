"""The exact path: sums over all pairs and triplets, the oracle of the projected design."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from symreg.fit.sums.base import Addends, Around, SumKind, run
from symreg.structures import Structures
from symreg.structures.neighbours import Pairs, structure_pairs
from symreg.terms import Expression, Key, Sum, Term
from symreg.terms.cutoff import Cutoff
from symreg.terms.kinds import kind_of
from symreg.terms.lengths import Lengths

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_KEPT_PAIRS = 4_000_000
"""Pairs held in memory between calls (48 bytes each); beyond it they are found again."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """Predictions of an expression for every structure."""

    energy: Floats
    """Total energy in eV, shape (S,)."""
    forces: Floats
    """eV/Å, shape (N, 3)."""
    stress: Floats
    """eV/Å^3 in Voigt order, shape (S, 6); NaN where not fully periodic."""


class _Totals:
    """Energies, forces and virials of N atoms being added up."""

    def __init__(self, n: int) -> None:
        self.energies = np.zeros(n)
        self.forces, self.virial = np.zeros((n, 3, 1)), np.zeros((n, 6, 1))

    def add(self, addends: Addends, by_sum: Floats) -> None:
        """Add forces and virials, given dE/dS of every atom."""
        addends.add_forces(by_sum, self.forces, self.virial)


class ExactPath:
    """Sums over all pairs and triplets, the oracle of the projected design.

    Parameters
    ----------
    structures
        The data.
    cutoff
        Cutoff function of pairs.
    r0
        Unit of reduced distance in Å.
    cutoff_three_body
        Cutoff function of triplets.
    r_lo
        Where the domain begins in Å: below it pairs meet a wall, and distances in all other terms
        come to rest, as in the finished formula. Without it formulas hold as they stand.
    """

    def __init__(
        self,
        structures: Structures,
        cutoff: Cutoff,
        r0: float,
        cutoff_three_body: Cutoff | None = None,
        r_lo: float | None = None,
    ) -> None:
        self.structures = structures
        self.lengths = Lengths(cutoff, cutoff_three_body, r0, r_lo or 0.0)
        self.reach: float = max(c.r_cut for c in (cutoff, cutoff_three_body) if c)
        self._kinds: dict[str, SumKind] = {}
        self._kept: dict[int, Pairs] = {}
        self._n_kept = 0

    def predict(self, expression: Expression, e0: Mapping[str, float]) -> Prediction:
        """Energies, forces and stresses of an expression with atomic energies ``e0`` in eV.

        Raises
        ------
        ValueError
            If there are three-body terms, but no cutoff function for them.
        """
        data = self.structures
        free = np.array([e0[name] for name in data.species])
        energy, forces = np.empty(len(data)), np.empty_like(data.forces)
        stress = np.full((len(data), 6), np.nan)
        for s in range(len(data)):
            atoms = data.atoms_of(s)
            pairs, kind = self._pairs(s), data.kind[atoms]
            energies, on_atoms, virial = self.sums(expression, pairs, kind)
            energy[s] = energies.sum() + free[data.kind[atoms]].sum()
            forces[atoms] = on_atoms
            if data.pbc[s].all():
                stress[s] = virial.sum(axis=0) / abs(np.linalg.det(data.cell[s]))
        return Prediction(energy, forces, stress)

    def sums(
        self, expression: Expression, pairs: Pairs, kind: Integers
    ) -> tuple[Floats, Floats, Floats]:
        """Energies (N,), forces (N, 3) and virials (N, 6) of N atoms with these pairs; e0 left out.

        ``kind`` is the index of each atom's element among the species of the structures.
        """
        around, totals = Around(pairs, kind), _Totals(kind.size)
        for key in expression.keys():  # noqa: SIM118 - no mapping
            if key.is_function:
                for term, weight in expression.of(key):
                    self._add_function(term, weight, around, totals)
            else:
                self._add_alone(expression, key, around, totals)
        return totals.energies, totals.forces[:, :, 0], totals.virial[:, :, 0]

    def kind(self, over: str) -> SumKind:
        """A kind of sum with these lengths."""
        if over not in self._kinds:
            self._kinds[over] = kind_of(over).discoverer(self.lengths)
        return self._kinds[over]

    def _index(self, species: tuple[str, ...]) -> list[int]:
        return [self.structures.species.index(name) for name in species]

    def _add_alone(self, expression: Expression, key: Key, around: Around, totals: _Totals) -> None:
        """Add the sums of one key that stand alone: the energy is their value."""
        parts = [(term.tree, weight) for term, weight in expression.of(key)]
        one = np.ones(around.kind.size)
        kind = self.kind(key.over)
        for addends in kind.addends(parts, self._index(key.species), around, alone=True):
            totals.energies += addends.sums(around.kind.size)
            totals.add(addends, one)

    def _add_function(self, term: Term, weight: float, around: Around, totals: _Totals) -> None:
        """Add a function of sums: the energy of their centres."""
        assert term.of is not None
        centres = around.kind == self.structures.species.index(term.key.centre)
        densities = np.zeros((len(term.sums), around.kind.size))
        for n, one in enumerate(term.sums):
            for addends in self._addends(one, around):
                densities[n] += addends.sums(around.kind.size)
        energy, by_sum = run(term.of, *densities)
        totals.energies[centres] += weight * energy[centres]
        with np.errstate(invalid="ignore"):  # of an atom alone F may have no finite slope
            pulls = np.where(centres, weight * by_sum, 0.0)
        for pull, one in zip(pulls, term.sums, strict=True):
            for addends in self._addends(one, around):
                totals.add(addends, pull)

    def _addends(self, one: Sum, around: Around) -> Iterator[Addends]:
        species = self._index(one.species)
        return self.kind(one.over).addends([(one.tree, 1.0)], species, around, alone=False)

    def _pairs(self, s: int) -> Pairs:
        pairs = self._kept.get(s)
        if pairs is None:
            pairs = structure_pairs(self.structures, s, self.reach)
            if self._n_kept + len(pairs) <= _KEPT_PAIRS:
                self._kept[s] = pairs
                self._n_kept += len(pairs)
        return pairs
