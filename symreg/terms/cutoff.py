"""Cutoff functions f_c(r), a class each: values and slopes for fits, SymPy for formulas."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np

from symreg.arrays import Floats
from symreg.typed import Range, values_of


class Fade(ABC):
    """The form of a cutoff function between its onset, if it has one, and the cutoff radius."""

    name: ClassVar[str]
    """As a run file writes it."""
    smoothness: ClassVar[int]
    """Power of the distance to the cutoff radius with which it vanishes there; 0 for a jump."""
    has_onset: ClassVar[bool] = False
    """Whether it is 1 up to an onset radius."""

    @staticmethod
    @abstractmethod
    def values(r: Floats, cutoff: Cutoff) -> tuple[Floats, Floats]:
        """Value and slope in 1/Å at distances in Å, between onset and cutoff radius."""

    @staticmethod
    @abstractmethod
    def sympy(r: Any, cutoff: Cutoff) -> Any:
        """Their form in SymPy, of the distance ``r``."""


class _Truncation(Fade):
    """Nothing but the end at the cutoff radius."""

    name, smoothness = "none", 0

    @staticmethod
    def values(r: Floats, cutoff: Cutoff) -> tuple[Floats, Floats]:  # noqa: ARG004
        return np.ones_like(r), np.zeros_like(r)

    @staticmethod
    def sympy(r: Any, cutoff: Cutoff) -> Any:  # noqa: ARG004
        return r**0  # one, as SymPy has it


class _Septic(Fade):
    """The polynomial of lowest degree with three continuous derivatives at both ends."""

    name, smoothness, has_onset = "septic", 4, True

    @staticmethod
    def values(r: Floats, cutoff: Cutoff) -> tuple[Floats, Floats]:
        """With its zero taken out, so that rounding makes it no negative number below a root."""
        width = cutoff.r_cut - cutoff.r_on
        t = np.clip((r - cutoff.r_on) / width, 0.0, 1.0)
        value = (1 - t) ** 4 * (1 + t * (4 + t * (10 + 20 * t)))
        return value, -140 * (t * (1 - t)) ** 3 / width

    @staticmethod
    def sympy(r: Any, cutoff: Cutoff) -> Any:
        """As a product, so that nothing cancels at the cutoff radius."""
        t = (r - cutoff.r_on) / (cutoff.r_cut - cutoff.r_on)
        return (1 - t) ** 4 * (1 + 4 * t + 10 * t**2 + 20 * t**3)


class _Cosine(Fade):
    """Half a period of a cosine."""

    name, smoothness = "cosine", 2

    @staticmethod
    def values(r: Floats, cutoff: Cutoff) -> tuple[Floats, Floats]:
        angle = np.pi * r / cutoff.r_cut
        return 0.5 * (1 + np.cos(angle)), -0.5 * np.pi / cutoff.r_cut * np.sin(angle)

    @staticmethod
    def sympy(r: Any, cutoff: Cutoff) -> Any:
        import sympy

        return (1 + sympy.cos(sympy.pi * r / cutoff.r_cut)) / 2


class _Poet(Fade):
    """A polynomial in the square of the distance."""

    name, smoothness, has_onset = "poet", 2, True

    @staticmethod
    def values(r: Floats, cutoff: Cutoff) -> tuple[Floats, Floats]:
        outer, inner, square = cutoff.r_cut**2, cutoff.r_on**2, r * r
        scale = (outer - inner) ** 3
        value = (outer - square) ** 2 * (outer + 2 * square - 3 * inner) / scale
        return value, -12 * r * (outer - square) * (square - inner) / scale

    @staticmethod
    def sympy(r: Any, cutoff: Cutoff) -> Any:
        import sympy

        outer, inner = sympy.Float(cutoff.r_cut), sympy.Float(cutoff.r_on)
        switch = (outer**2 - r**2) ** 2 * (outer**2 + 2 * r**2 - 3 * inner**2)
        return switch / (outer**2 - inner**2) ** 3


class _StillingerWeber(Fade):
    """An exponential that vanishes with all its derivatives."""

    name, smoothness = "stillinger_weber", 99

    @staticmethod
    def values(r: Floats, cutoff: Cutoff) -> tuple[Floats, Floats]:
        gap = r - cutoff.r_cut
        value = np.exp(cutoff.s / gap)
        return value, -value * cutoff.s / gap**2

    @staticmethod
    def sympy(r: Any, cutoff: Cutoff) -> Any:
        import sympy

        return sympy.exp(cutoff.s / (r - cutoff.r_cut))


FADES: dict[str, type[Fade]] = {fade.name: fade for fade in Fade.__subclasses__()}
"""Cutoff functions by name."""
LARGEST = 100.0
"""Largest cutoff radius in Å: a crystal has 300,000 neighbours of an atom within it."""
Length = Annotated[float, Range(0.0, LARGEST, "Å")]
"""Of a cutoff function, in Å."""
KINDS = tuple(FADES)
"""Names of the cutoff functions, as a run file writes them."""


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

    A ``ValueError`` refuses unknown kinds and radii that are out of order.

    Examples
    --------
    >>> Cutoff(kind="septic", r_cut=5.0, r_on=3.0).value(np.array([2.0, 4.0, 5.0]))
    array([1. , 0.5, 0. ])
    """

    kind: str
    """One of ``KINDS``."""
    r_cut: Length
    """Cutoff radius in Å."""
    r_on: Length = 0.0
    """Onset of the switch in Å; ``septic`` and ``poet`` only."""
    s: Length = 1.0
    """Length in Å; ``stillinger_weber`` only."""

    def __post_init__(self) -> None:
        for name in ("r_cut", "r_on", "s"):  # numpy's numbers become Python's
            object.__setattr__(self, name, float(getattr(self, name)))
        if self.kind not in KINDS:
            raise ValueError(f"cutoff is '{self.kind}'; it must be one of {', '.join(KINDS)}")
        if not 0 < self.r_cut <= LARGEST:
            raise ValueError(
                f"cutoff radius is {self.r_cut:g} Å; it must be greater than 0, and at most "
                f"{LARGEST:g} Å, or atoms have more neighbours than any computer can list"
            )
        if self.fade.has_onset and not 0 <= self.r_on < self.r_cut:
            raise ValueError(
                f"onset radius is {self.r_on:g} Å; it must lie between 0 and the cutoff radius "
                f"{self.r_cut:g} Å"
            )
        if self.kind == "stillinger_weber" and not self.s > 0:
            raise ValueError(f"stillinger_weber_s is {self.s:g} Å; it must be greater than 0")

    def value(self, r: Floats) -> Floats:
        """Weights between 0 and 1 at the distances ``r`` in Å, any shape."""
        return self._value_and_slope(np.asarray(r, dtype=float))[0]

    def slope(self, r: Floats) -> Floats:
        """Derivative of the weight in 1/Å at the distances ``r`` in Å, any shape."""
        return self._value_and_slope(np.asarray(r, dtype=float))[1]

    @property
    def fade(self) -> type[Fade]:
        """Its form."""
        return FADES[self.kind]

    def _value_and_slope(self, r: Floats) -> tuple[Floats, Floats]:
        onset = self.r_on if self.fade.has_onset else 0.0
        value, slope = np.array(r < onset, dtype=float), np.zeros_like(r)
        fading = (r >= onset) & (r < self.r_cut)
        value[fading], slope[fading] = self.fade.values(r[fading], self)
        return value, slope

    def sympy(self, r: Any) -> Any:
        """The part between onset and cutoff radius as SymPy in ``r`` (Å)."""
        return self.fade.sympy(r, self)

    def to_dict(self) -> dict[str, str | float]:
        """Only the settings that this kind uses."""
        onset = {"r_on": self.r_on} if self.fade.has_onset else {}
        length = {"s": self.s} if self.kind == "stillinger_weber" else {}
        return {"kind": self.kind, "r_cut": self.r_cut, **onset, **length}

    @staticmethod
    def from_dict(record: Mapping[str, str | float]) -> Cutoff:
        """Undo ``to_dict``."""
        return Cutoff.from_data(record)

    @staticmethod
    def from_data(record: Any, key: str = "cutoff") -> Cutoff:
        """Read what stands below a key of a file."""
        return Cutoff(**values_of(Cutoff, record, key))
