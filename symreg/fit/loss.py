r"""The loss: what an error of each quantity counts.

.. math:: L = \tfrac12 [\langle (\Delta E / n)^2 / \sigma_E^2 \rangle
    + \langle \Delta F^2 / \sigma_F^2 \rangle + \langle \Delta S^2 / \sigma_S^2 \rangle]

with group-weighted means over the labels that are present.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from symreg.typed import Range, check_ranges

_LOW, _HIGH = 1e-8, 1e4


@dataclass(frozen=True, kw_only=True)
class LossSettings:
    """Errors that count as one. Read from the ``[loss]`` table of a run file."""

    sigma_energy: Annotated[float, Range(_LOW, _HIGH, "eV/atom")] = 0.005
    """Energy error that counts as one, in eV/atom."""
    sigma_forces: Annotated[float, Range(_LOW, _HIGH, "eV/Å")] = 0.1
    """Force error that counts as one, in eV/Å."""
    sigma_stress: Annotated[float, Range(_LOW, _HIGH, "eV/Å³", zero="leave stresses out")] = 0.005
    """Stress error that counts as one, in eV/Å³; 0 leaves stresses out."""

    def __post_init__(self) -> None:
        """Refuse scales that make no loss."""
        check_ranges(self, "loss")

    def sigma(self, quantity: str) -> float:
        """Scale of ``energy``, ``forces`` or ``stress``; 0 where it is left out."""
        return float(getattr(self, f"sigma_{quantity}"))
