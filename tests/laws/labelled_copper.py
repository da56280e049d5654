"""Copper of every kind, labelled by an expression: what many-body terms are tested on."""

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator

from symreg.fit.exact import ExactPath
from symreg.structures import from_atoms
from symreg.terms.cutoff import Cutoff
from symreg.terms.lengths import Lengths

R0 = 2.55
CUTOFF = Cutoff(kind="septic", r_cut=5.0, r_on=3.0)
THREE = Cutoff(kind="septic", r_cut=3.6, r_on=2.2)
FREE = {"Cu": -0.3}
PAIR, EMBEDDED = "Cu-Cu: exp(-9.0*x)", "Cu: sqrt(sum(exp(-5.0*x)))"
GUPTA = ((2500.0, PAIR), (-19.0, EMBEDDED))


def labelled_copper(expression, noise=0.0, three_body=None, crystals=8):
    """Rattled crystals, a slab in vacuum, a cluster, an atom alone, a primitive cell."""
    rng = np.random.default_rng(1)
    images = []
    for k in range(crystals):
        atoms = bulk("Cu", "fcc", a=3.5 + 0.32 * k / crystals, cubic=True)
        atoms.positions += rng.normal(scale=0.08, size=(4, 3))
        atoms.info["group"] = "ab"[k % 2]
        images.append(atoms)
    slab = bulk("Cu", "fcc", a=3.6, cubic=True).repeat((1, 1, 2))
    slab.pbc = True, True, False
    slab.positions += rng.normal(scale=0.05, size=(8, 3))
    cluster = Atoms("Cu3", [[0, 0, 0], [2.4, 0, 0], [0.9, 2.3, 0]])
    images += [slab, cluster, Atoms("Cu"), bulk("Cu", "fcc", a=3.6)]
    return labelled(images, expression, noise, three_body)


def labelled(images, expression, noise=0.0, three_body=None):
    """Structures with the labels that an expression gives them."""
    rng, bare = np.random.default_rng(2), from_atoms(images)
    found = ExactPath(bare, Lengths(CUTOFF, three_body, R0)).predict(expression, FREE)
    for k, atoms in enumerate(images):
        atoms.info["trajectory"] = f"run {k}"
        labels = {
            "energy": found.energy[k] + noise * rng.normal(),
            "forces": found.forces[bare.atoms_of(k)] + noise * rng.normal(size=(len(atoms), 3)),
        }
        if atoms.pbc.all():
            labels["stress"] = found.stress[k]
        atoms.calc = SinglePointCalculator(atoms, **labels)
    return images
