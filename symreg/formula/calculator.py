"""ASE calculator of a formula."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress
from numpy.typing import NDArray

from symreg.neighbours import Pairs, find_pairs

if TYPE_CHECKING:
    from symreg.formula.closed_form import Formula

PROPERTIES = ("energy", "free_energy", "energies", "forces", "stress")


class FormulaCalculator(Calculator):
    """Energies, forces and stresses of a formula in ASE.

    Stresses come with three periodic directions only. ``energies`` holds e0 and half of every pair
    energy of an atom.

    Raises
    ------
    ValueError
        On calculating, if the structure holds a species that the formula does not describe.
    """

    implemented_properties = list(PROPERTIES)  # noqa: RUF012 - ASE wants it here, as a list

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
        energy, slope = self._pair_values(symbols, pairs)
        energies = np.array([self.formula.e0[symbol] for symbol in symbols], dtype=float)
        energies += np.bincount(pairs.i, 0.5 * energy, len(atoms))
        # The list is full: each bond moves both of its atoms, once as i -> j and once as j -> i.
        push = slope[:, None] * pairs.unit
        forces = np.stack([np.bincount(pairs.i, push[:, c], len(atoms)) for c in range(3)], axis=1)
        total = float(energies.sum())
        self.results = {
            "energy": total,
            "free_energy": total,
            "energies": energies,
            "forces": forces,
        }
        if atoms.pbc.all():
            virial = np.einsum("p,pa,pb->ab", 0.5 * slope * pairs.r, pairs.unit, pairs.unit)
            self.results["stress"] = full_3x3_to_voigt_6_stress(virial / atoms.get_volume())

    def _check_species(self, symbols: NDArray[np.str_]) -> None:
        for symbol in np.unique(symbols):
            if symbol not in self.formula.species:
                raise ValueError(
                    f"the structure holds {symbol}; the formula describes "
                    f"{', '.join(self.formula.species)}"
                )

    def _pair_values(
        self, symbols: NDArray[np.str_], pairs: Pairs
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Energies in eV and slopes in eV/Å of all directed pairs, shapes (P,)."""
        energy, slope = np.zeros(pairs.r.size), np.zeros(pairs.r.size)
        first, second = symbols[pairs.i], symbols[pairs.j]
        for a in np.unique(first):
            for b in np.unique(second[first == a]):
                chosen = (first == a) & (second == b)
                function = self.formula.pair_function(str(a), str(b))
                energy[chosen], slope[chosen] = function.derivatives(pairs.r[chosen], 1)
        return energy, slope
