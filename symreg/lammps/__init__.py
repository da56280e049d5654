"""LAMMPS files for a formula, and the proof in LAMMPS itself that they are the formula."""

from symreg.lammps.folder import export

__all__ = ["export"]
