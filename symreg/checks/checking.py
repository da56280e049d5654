"""All checks of a finished formula."""

from __future__ import annotations

from collections.abc import Sequence

from ase import Atoms

from symreg.checks.clusters import embedding_check, trimer_check
from symreg.checks.crystals import crystal_check, lattice
from symreg.checks.dimers import dimer_check, unseen_check
from symreg.checks.report import PhysicsReport
from symreg.formula import Formula


def check(
    formula: Formula, crystals: Sequence[Atoms] = (), knows_atoms: bool = True
) -> PhysicsReport:
    """Check the dimer of every pair of species, trimers and dense clusters, and every crystal.

    Pairs of species without a term are named. Without crystals one species is asked for the lowest
    of a few cubic ones. Nothing raises an error: a formula that cannot be computed fails its check.
    Cohesive energies are not known unless energies of free atoms are.
    """
    checks = [found for pair in formula.species_pairs for found in dimer_check(formula, *pair)]
    checks += [unseen_check(formula, *pair) for pair in formula.unseen_pairs]
    structures = list(crystals)
    if not structures and len(formula.species) == 1 and all(found.passed for found in checks[:1]):
        structures = [lattice(formula)]
    for species in formula.species_triplets:
        checks += trimer_check(formula, species)
    if formula.functions:
        checks += embedding_check(formula, structures)
    checks += [crystal_check(formula, atoms, knows_atoms) for atoms in structures]
    return PhysicsReport(tuple(checks))
