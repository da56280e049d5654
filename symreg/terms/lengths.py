"""Lengths of a formula, as sums of either half see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Annotated, Any

import numpy as np

from symreg.arrays import Floats
from symreg.terms.cutoff import Cutoff
from symreg.terms.term import Key
from symreg.terms.wall import Clamp
from symreg.typed import Range, typed

R0 = Annotated[float, Range(1e-3, 1e3, "Å")]
"""Unit of reduced distance in Å."""
E0 = Annotated[float, Range(-1e8, 1e8, "eV")]
"""Energy of a free atom in eV; all electrons of the heaviest are bound by 1.5e6."""


@dataclass(frozen=True)
class Lengths:
    """Lengths and cutoff functions, which make a function of x = r / r0 one of distances.

    Those of all keys of a formula, or by ``at`` those of one of its keys.
    """

    cutoff: Cutoff
    """That of pairs."""
    cutoff_three_body: Cutoff | None
    """That of both distances of triplets."""
    r0: float
    """Unit of reduced distance in Å."""
    r_lo: float = 0.0
    """Where the domain begins in Å: below it pairs that stand alone meet a wall, and all other
    distances come to rest, as in the finished formula. With 0 formulas hold as they stand."""
    r_lo_pairs: Mapping[str, float] = field(default_factory=dict)
    """Where it begins for single pairs of species, such as ``Hf-O``, in Å."""
    cutoffs: Mapping[str, Cutoff] = field(default_factory=dict)
    """Cutoff functions of single keys, such as ``Hf-O`` or ``O;Hf-Hf``, in place of the others."""
    r0s: Mapping[str, float] = field(default_factory=dict)
    """Units of reduced distance of single keys in Å, in place of ``r0``."""
    r_lo_second: float | None = None
    """Where the domain of the second distance of a triplet begins in Å; ``r_lo`` if None."""

    @property
    def every_cutoff(self) -> list[Cutoff]:
        """All cutoff functions."""
        common = [one for one in (self.cutoff, self.cutoff_three_body) if one is not None]
        return [*common, *self.cutoffs.values()]

    @property
    def reach(self) -> float:
        """Distance in Å beyond which atoms do not feel each other: the largest cutoff radius."""
        return max(one.r_cut for one in self.every_cutoff)

    def farthest(self, neighbours: int) -> float | None:
        """Largest cutoff radius in Å of pairs, with one of ``neighbours``, or of triplets with two.

        None where there is none: formulas have no triplets.
        """
        common = self.cutoff if neighbours == 1 else self.cutoff_three_body
        own = (c for key, c in self.cutoffs.items() if len(Key.read(key).species) == neighbours + 1)
        return max((c.r_cut for c in (common, *own) if c is not None), default=None)

    def begin(self, one: str, other: str) -> float:
        """Where the domain of a pair of species begins in Å."""
        return self.r_lo_pairs.get("-".join(sorted((one, other))), self.r_lo)

    def at(self, species: Sequence[str]) -> Lengths:
        """Those of a pair, in either order, or of triplets of a centre and its neighbours.

        >>> far, near = Cutoff(kind="septic", r_cut=6.0), Cutoff(kind="septic", r_cut=5.0)
        >>> lengths = Lengths(far, None, 2.0, 1.5, {"Hf-O": 1.8}, {"Hf-O": near})
        >>> lengths.at(("O", "Hf")).cutoff.r_cut, lengths.at(("O", "Hf")).r_lo
        (5.0, 1.8)
        """
        centre, *near = species
        key = str(Key.of(*species))
        own = self.cutoffs.get(key)
        begins = [self.begin(centre, other) for other in near]
        return Lengths(
            cutoff=own if own is not None and len(near) == 1 else self.cutoff,
            cutoff_three_body=own if own is not None and len(near) == 2 else self.cutoff_three_body,
            r0=self.r0s.get(key, self.r0),
            r_lo=begins[0],
            r_lo_second=begins[-1],
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; ``from_dict`` reads it back to equal lengths."""
        three = self.cutoff_three_body
        return {
            **{one.name: getattr(self, one.name) for one in fields(self)},
            "cutoff": self.cutoff.to_dict(),
            "cutoff_three_body": three and three.to_dict(),
            "r_lo_pairs": dict(self.r_lo_pairs),
            "cutoffs": {key: one.to_dict() for key, one in self.cutoffs.items()},
            "r0s": dict(self.r0s),
        }

    @staticmethod
    def from_dict(record: Mapping[str, Any]) -> Lengths:
        """Undo ``to_dict``."""
        return typed(Lengths, record)

    def at_rest(self, r: Floats, second: bool = False) -> tuple[Floats, Floats]:
        """Distances in Å as all but pairs that stand alone see them, and derivatives by ``r``.

        Those of the ``second`` neighbour of a triplet, whose domain may begin elsewhere, if so.
        """
        r_lo = self.r_lo if not second or self.r_lo_second is None else self.r_lo_second
        return Clamp(r_lo)(r) if r_lo else (r, np.ones_like(r))
