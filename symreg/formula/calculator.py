"""ASE calculator of a formula."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress
from numpy.typing import NDArray

from symreg.arrays import Floats, Integers
from symreg.formula.closed_form import Formula
from symreg.formula.sums import Surroundings
from symreg.structures.neighbours import find_pairs


class FormulaCalculator(Calculator):
    """Energies, forces and stresses of a formula in ASE.

    Stresses come with three periodic directions only. ``energies`` holds e0, half of every pair
    energy of an atom, and all other terms that it is the centre of. Pairs of species without a
    term meet a mere wall, see ``Formula.unseen_pairs``. A structure with species that the formula
    does not describe raises ``ValueError`` on calculating.
    """

    # ASE wants a list.
    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress"]  # noqa: RUF012

    def __init__(self, formula: Formula, **settings: Any) -> None:
        """Compute with ``formula``; ``settings`` are those of any ASE calculator."""
        super().__init__(**settings)  # type: ignore[no-untyped-call]
        self.formula = formula

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Fill ``results``; called by ASE."""
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]
        # ASE has kept a copy, and calls without a structure to compute the last one again.
        atoms = cast("Atoms", self.atoms)
        symbols = np.array(atoms.get_chemical_symbols(), dtype=np.str_)
        self._check_species(symbols)
        pairs = find_pairs(atoms.positions, atoms.cell.array, atoms.pbc, self.formula.r_cut)
        around = Surroundings(pairs, symbols)
        energies = np.array([self.formula.e0[symbol] for symbol in symbols], dtype=float)
        gradient = np.zeros((len(pairs), 3))
        for one in (*self.formula.sums.values(), *self.formula.walls.values()):
            for part in one.addends(around, alone=True):
                energies += part.sums(len(atoms))
                part.add(None, gradient)
        for function in self.formula.functions.values():
            function.add(around, energies, gradient)
        n = len(atoms)
        forces = _per_atom(pairs.i, gradient, n) - _per_atom(pairs.j, gradient, n)
        total = float(energies.sum())
        self.results = {"energies": energies, "forces": forces}
        self.results |= {"energy": total, "free_energy": total}
        if atoms.pbc.all():
            virial = np.einsum("p,pa,pb->ab", pairs.r, pairs.unit, gradient)
            self.results["stress"] = full_3x3_to_voigt_6_stress(virial / atoms.get_volume())

    def _check_species(self, symbols: NDArray[np.str_]) -> None:
        known = self.formula.species
        if others := sorted({*symbols} - {*known}):
            raise ValueError(
                f"the structure holds {others[0]}; the formula describes {', '.join(known)}"
            )


def _per_atom(atom: Integers, gradient: Floats, n: int) -> Floats:
    """Sum of the gradients of all pairs that share an atom, shape (n, 3)."""
    return np.stack([np.bincount(atom, part, n) for part in gradient.T], axis=1)
