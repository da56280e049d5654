"""Checks of a finished formula: its dimers and trimers, a dense cluster, crystals squeezed."""

from symreg.physics.checking import check
from symreg.physics.crystals import crystal_check, energy_volume
from symreg.physics.dimers import dimer_check, dimer_curve
from symreg.physics.report import Check, PhysicsReport

__all__ = [
    "Check",
    "PhysicsReport",
    "check",
    "crystal_check",
    "dimer_check",
    "dimer_curve",
    "energy_volume",
]
