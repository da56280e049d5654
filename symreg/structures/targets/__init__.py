"""Physics that a formula shall meet beside the labels: each a linear functional of energies."""

from symreg.structures.targets.functionals import MET, Targets, read_targets
from symreg.structures.targets.settings import TargetSettings

__all__ = ["MET", "TargetSettings", "Targets", "read_targets"]
