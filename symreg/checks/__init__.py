"""Checks of a finished formula: its dimers and trimers, a dense cluster, crystals squeezed."""

from symreg.checks.checking import check
from symreg.checks.crystals import crystal_check, energy_volume
from symreg.checks.dimers import dimer_check, dimer_curve

__all__ = ["check", "crystal_check", "dimer_check", "dimer_curve", "energy_volume"]
