"""The exact path: sums over all pairs and triplets, the oracle of the projected design."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from symreg.arrays import Floats
from symreg.fit.sums.base import Addends, Around, Parts, SumKind, run
from symreg.structures import Structures
from symreg.structures.neighbours import Pairs, structure_pairs
from symreg.terms import Expression, Key, Sum, Term
from symreg.terms.kinds import kind_of
from symreg.terms.lengths import Lengths

Totals = tuple[Floats, Floats, Floats]
"""Energies (N,), forces (N, 3, 1) and virials (N, 6, 1) being added up."""
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


class ExactPath:
    """Sums over all pairs and triplets, the oracle of the projected design.

    Parameters
    ----------
    structures
        The data.
    lengths
        Those of all keys. With an ``r_lo`` pairs meet a wall below, and distances in all other
        terms come to rest, as in the finished formula; without it formulas hold as they stand.
    """

    def __init__(self, structures: Structures, lengths: Lengths) -> None:
        self.structures, self.lengths = structures, lengths
        self.reach = lengths.reach
        self._kinds: dict[tuple[str, tuple[str, ...]], SumKind] = {}
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
            kind = data.kind[atoms]
            around = Around(self._pairs(s), kind)
            energies, forces[atoms], virial = self.sums(expression, around)
            energy[s] = energies.sum() + free[kind].sum()
            if data.pbc[s].all():
                stress[s] = virial.sum(axis=0) / abs(np.linalg.det(data.cell[s]))
        return Prediction(energy, forces, stress)

    def sums(self, expression: Expression, around: Around) -> tuple[Floats, Floats, Floats]:
        """Energies (N,), forces (N, 3) and virials (N, 6) of N atoms; e0 left out.

        Elements are counted among the species of the structures.
        """
        n = around.kind.size
        totals = np.zeros(n), np.zeros((n, 3, 1)), np.zeros((n, 6, 1))
        for key in expression.keys():  # noqa: SIM118 - no mapping
            if key.is_function:
                for term, weight in expression.of(key):
                    self._add_function(term, weight, around, totals)
            else:
                self._add_alone(expression, key, around, totals)
        energies, forces, virial = totals
        return energies, forces[:, :, 0], virial[:, :, 0]

    def energies(self, expression: Expression, around: Around) -> Floats:
        """Energies in eV of N atoms, shape (N,), as of ``sums`` but without what forces need."""
        energies = np.zeros(around.kind.size)
        for key in expression.keys():  # noqa: SIM118 - no mapping
            if not key.is_function:
                parts = [(term.tree, weight) for term, weight in expression.of(key)]
                energies += self._totals(key, parts, around, alone=True)
                continue
            centres = around.kind == self.structures.species.index(key.centre)
            for term, weight in expression.of(key):
                assert term.of is not None
                sums = [self._totals(one, [(one.tree, 1.0)], around) for one in term.sums]
                energies[centres] += weight * run(term.of, *sums)[0][centres]
        return energies

    def _totals(self, key: Key | Sum, parts: Parts, around: Around, alone: bool = False) -> Floats:
        members = [self.structures.species.index(name) for name in key.species]
        return self.kind(key.over, key.species).totals(parts, members, around, alone)

    def kind(self, over: str, species: tuple[str, ...]) -> SumKind:
        """A kind of sum with the lengths of its species."""
        if (over, species) not in self._kinds:
            self._kinds[over, species] = kind_of(over).discoverer(self.lengths.at(species))
        return self._kinds[over, species]

    def _add_alone(self, expression: Expression, key: Key, around: Around, totals: Totals) -> None:
        """Add the sums of one key that stand alone: the energy is their value."""
        parts = [(term.tree, weight) for term, weight in expression.of(key)]
        energies, *changes = totals
        for addends in self._addends(key, parts, around, alone=True):
            energies += addends.sums(energies.size)
            addends.add_forces(np.ones(energies.size), *changes)

    def _add_function(self, term: Term, weight: float, around: Around, totals: Totals) -> None:
        """Add a function of sums: the energy of their centres."""
        assert term.of is not None
        centres = around.kind == self.structures.species.index(term.key.centre)
        energies, *changes = totals
        densities = np.zeros((len(term.sums), energies.size))
        for density, one in zip(densities, term.sums, strict=True):
            for addends in self._addends(one, [(one.tree, 1.0)], around):
                density += addends.sums(energies.size)
        energy, by_sum = run(term.of, *densities)
        energies[centres] += weight * energy[centres]
        with np.errstate(invalid="ignore"):  # of an atom alone F may have no finite slope
            pulls = np.where(centres, weight * by_sum, 0.0)
        for pull, one in zip(pulls, term.sums, strict=True):
            for addends in self._addends(one, [(one.tree, 1.0)], around):
                addends.add_forces(pull, *changes)

    def _addends(
        self, key: Key | Sum, parts: Parts, around: Around, alone: bool = False
    ) -> Iterator[Addends]:
        members = [self.structures.species.index(name) for name in key.species]
        return self.kind(key.over, key.species).addends(parts, members, around, alone)

    def _pairs(self, s: int) -> Pairs:
        pairs = self._kept.get(s)
        if pairs is None:
            pairs = structure_pairs(self.structures, s, self.reach)
            if self._n_kept + len(pairs) <= _KEPT_PAIRS:
                self._kept[s] = pairs
                self._n_kept += len(pairs)
        return pairs
