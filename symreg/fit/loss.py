r"""The loss: what an error of each quantity counts.

.. math:: L = \tfrac12 [\langle (\Delta E / n)^2 / \sigma_E^2 \rangle
    + \langle \Delta F^2 / \sigma_F^2 \rangle + \langle \Delta S^2 / \sigma_S^2 \rangle]

with group-weighted means over the labels that are present.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass


@dataclass(frozen=True, kw_only=True)
class LossSettings:
    """Errors that count as one. Read from the ``[loss]`` table of a run file."""

    sigma_energy: float = 0.005
    """Energy error that counts as one, in eV/atom."""
    sigma_forces: float = 0.1
    """Force error that counts as one, in eV/Å."""
    sigma_stress: float = 0.005
    """Stress error that counts as one, in eV/Å³; 0 leaves stresses out."""

    def __post_init__(self) -> None:
        """Refuse scales that make no loss."""
        for name, value in asdict(self).items():
            also = ", or 0 to leave stresses out" if name == "sigma_stress" else ""
            if not (math.isfinite(value) and (value > 0 or (also and value == 0))):
                raise ValueError(f"[loss] {name} is {value:g}; it must be above 0{also}")

    def sigma(self, quantity: str) -> float:
        """Scale of ``energy``, ``forces`` or ``stress``; 0 where it is left out."""
        return float(getattr(self, f"sigma_{quantity}"))
