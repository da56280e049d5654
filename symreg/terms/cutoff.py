"""Cutoff functions f_c(r): how an interaction fades to nothing at the cutoff radius."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KINDS = ("none", "septic", "cosine", "poet", "stillinger_weber")
"""Names of the cutoff functions, as a run file writes them."""

SWITCHED = ("septic", "poet")
"""Kinds that are 1 up to an onset radius."""


@dataclass(frozen=True, kw_only=True)
class Cutoff:
    r"""A cutoff function with its radii.

    With :math:`t = (r - r_\mathrm{on}) / (r_c - r_\mathrm{on})` held between 0 and 1:

    - ``septic``: :math:`1 - 35 t^4 + 84 t^5 - 70 t^6 + 20 t^7`, three continuous derivatives;
    - ``poet``: :math:`(r_c^2-r^2)^2 (r_c^2+2r^2-3r_\mathrm{on}^2) / (r_c^2-r_\mathrm{on}^2)^3`
      (Hernandez et al., npj Comput. Mater. 5, 112, 2019), one continuous derivative;
    - ``cosine``: :math:`[1 + \cos(\pi r / r_c)] / 2` (Behler and Parrinello,
      Phys. Rev. Lett. 98, 146401, 2007), one continuous derivative;
    - ``stillinger_weber``: :math:`\exp[s / (r - r_c)]` (Stillinger and Weber,
      Phys. Rev. B 31, 5262, 1985), smooth to every order;
    - ``none``: 1, a plain truncation; energies jump at the cutoff.

    Raises
    ------
    ValueError
        If the kind is unknown or the radii are out of order.

    Examples
    --------
    >>> Cutoff(kind="septic", r_cut=5.0, r_on=3.0).value(np.array([2.0, 4.0, 5.0]))
    array([1. , 0.5, 0. ])
    """

    kind: str
    """One of ``KINDS``."""
    r_cut: float
    """Cutoff radius in Å."""
    r_on: float = 0.0
    """Onset of the switch in Å; ``septic`` and ``poet`` only."""
    s: float = 1.0
    """Length in Å; ``stillinger_weber`` only."""

    def __post_init__(self) -> None:
        """Refuse radii that make no function; numpy's numbers become Python's."""
        for name in ("r_cut", "r_on", "s"):
            object.__setattr__(self, name, float(getattr(self, name)))
        if self.kind not in KINDS:
            raise ValueError(f"cutoff is '{self.kind}'; it must be one of {', '.join(KINDS)}")
        if not self.r_cut > 0:
            raise ValueError(f"cutoff radius is {self.r_cut:g} Å; it must be greater than 0")
        if self.kind in SWITCHED and not 0 <= self.r_on < self.r_cut:
            raise ValueError(
                f"onset radius is {self.r_on:g} Å; it must lie between 0 and the cutoff radius "
                f"{self.r_cut:g} Å"
            )
        if self.kind == "stillinger_weber" and not self.s > 0:
            raise ValueError(f"stillinger_weber_s is {self.s:g} Å; it must be greater than 0")

    def value(self, r: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weights between 0 and 1 at the distances ``r`` in Å, any shape."""
        return self._value_and_slope(np.asarray(r, dtype=float))[0]

    def slope(self, r: NDArray[np.float64]) -> NDArray[np.float64]:
        """Derivative of the weight in 1/Å at the distances ``r`` in Å, any shape."""
        return self._value_and_slope(np.asarray(r, dtype=float))[1]

    def _value_and_slope(
        self, r: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        inside = r < self.r_cut
        if self.kind == "none":
            return inside.astype(float), np.zeros_like(r)
        if self.kind == "cosine":
            angle = np.pi * np.minimum(r / self.r_cut, 1.0)
            return 0.5 * (1 + np.cos(angle)), -0.5 * np.pi / self.r_cut * np.sin(angle)
        if self.kind == "stillinger_weber":
            gap = np.where(inside, r - self.r_cut, -np.inf)
            value = np.where(inside, np.exp(self.s / gap), 0.0)
            return value, -value * self.s / gap**2
        if self.kind == "poet":
            return self._poet(np.clip(r, self.r_on, self.r_cut))
        width = self.r_cut - self.r_on
        t = np.clip((r - self.r_on) / width, 0.0, 1.0)
        # With its zero taken out, so that rounding makes it no negative number below a root.
        value = (1 - t) ** 4 * (1 + t * (4 + t * (10 + 20 * t)))
        return value, -140 * (t * (1 - t)) ** 3 / width

    def _poet(self, r: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        outer, inner, square = self.r_cut**2, self.r_on**2, r * r
        scale = (outer - inner) ** 3
        value = (outer - square) ** 2 * (outer + 2 * square - 3 * inner) / scale
        return value, -12 * r * (outer - square) * (square - inner) / scale

    def to_dict(self) -> dict[str, str | float]:
        """Only the settings that this kind uses."""
        record: dict[str, str | float] = {"kind": self.kind, "r_cut": self.r_cut}
        if self.kind in SWITCHED:
            record["r_on"] = self.r_on
        if self.kind == "stillinger_weber":
            record["s"] = self.s
        return record

    @staticmethod
    def from_dict(record: Mapping[str, str | float]) -> Cutoff:
        """Undo ``to_dict``."""
        radii = {name: float(record[name]) for name in ("r_cut", "r_on", "s") if name in record}
        return Cutoff(kind=str(record["kind"]), **radii)
