"""Physics that a formula shall meet beside the labels: each a linear functional of energies."""

from symreg.structures.targets.functionals import MET, Targets, read_targets
from symreg.structures.targets.proposed import commented, proposed_targets
from symreg.structures.targets.settings import TargetSettings

__all__ = ["MET", "TargetSettings", "Targets", "commented", "proposed_targets", "read_targets"]
