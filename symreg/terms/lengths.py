"""Lengths of a formula, as sums of either half see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from symreg.arrays import Floats
from symreg.terms.cutoff import Cutoff
from symreg.terms.wall import Clamp
from symreg.typed import Range

R0 = Annotated[float, Range(1e-3, 1e3, "Å")]
"""Unit of reduced distance in Å."""
E0 = Annotated[float, Range(-1e8, 1e8, "eV")]
"""Energy of a free atom in eV; all electrons of the heaviest are bound by 1.5e6."""


@dataclass(frozen=True)
class Lengths:
    """Lengths and cutoff functions, which make a function of x = r / r0 one of distances."""

    cutoff: Cutoff
    """That of pairs."""
    cutoff_three_body: Cutoff | None
    """That of both distances of triplets."""
    r0: float
    """Unit of reduced distance in Å."""
    r_lo: float = 0.0
    """Where the domain begins in Å: below it pairs that stand alone meet a wall, and all other
    distances come to rest, as in the finished formula. With 0 formulas hold as they stand."""

    @property
    def cutoffs(self) -> list[Cutoff]:
        """All cutoff functions."""
        return [cutoff for cutoff in (self.cutoff, self.cutoff_three_body) if cutoff is not None]

    def at_rest(self, r: Floats) -> tuple[Floats, Floats]:
        """Distances in Å as all but pairs that stand alone see them, and derivatives by ``r``."""
        return Clamp(self.r_lo)(r) if self.r_lo else (r, np.ones_like(r))
