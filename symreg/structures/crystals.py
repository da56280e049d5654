"""Crystals among the structures of a data set."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from symreg.structures.data import Structures
from symreg.structures.distances import isolated_atoms

AT_REST = 0.01
"""Largest force in eV/Å on an atom of a structure that counts as a crystal."""


def crystals(structures: Structures) -> list[Atoms]:
    """The lowest structure of each group among those fully periodic and without forces.

    An atom alone in a periodic box is none.
    """
    lowest: dict[str, tuple[float, int]] = {}
    for s in np.flatnonzero(~isolated_atoms(structures)).tolist():
        atoms = structures.atoms_of(s)
        largest = np.abs(structures.forces[atoms]).max(initial=0.0)
        energy = float(structures.energy[s] / structures.n_atoms[s])
        if structures.pbc[s].all() and largest < AT_REST and np.isfinite(energy):
            lowest[structures.group[s]] = min(
                (energy, s), lowest.get(structures.group[s], (np.inf, s))
            )
    return [structures.to_atoms(s) for _, s in lowest.values()]
