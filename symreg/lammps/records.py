"""Everything that is measured of an export, as records; ``parity.json`` holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from symreg.records import Record


@dataclass(frozen=True)
class Tabulated(Record):
    """A table of pairs before LAMMPS has seen it; errors of LAMMPS's interpolation."""

    points: int
    r_min: float
    """Where it begins, in Å."""
    predicted_energy_error: float
    """In eV."""
    predicted_forces_error: float
    """In eV/Å."""
    within_promise: bool


@dataclass(frozen=True, kw_only=True)
class Splines(Record):
    """Splines of triplets, or tables of a function of a sum; errors in eV/Å."""

    knots: int
    predicted_forces_error: float
    predicted_dimer_error: float | None = None
    """Of two atoms alone."""
    largest_sum: float | None = None
    """Where the table of a function of a sum ends."""
    promise: float
    """Largest error that was promised."""
    within_promise: bool


@dataclass(frozen=True)
class Differences(Record):
    """Largest differences between LAMMPS and the formula for one structure."""

    energy_per_atom_max: float
    """In eV."""
    forces_max: float
    """Of a component, in eV/Å."""
    virial_per_atom_max: float
    """Of a component of stress times volume, in eV."""


@dataclass(frozen=True)
class Drift(Record):
    """Drift of the total energy at constant energy in meV/atom/ns, or LAMMPS's message."""

    drift: float | None = None
    standard_error: float | None = None
    error: str | None = None


@dataclass(frozen=True)
class Ranks(Record):
    """Largest differences between one and two MPI processes, in eV/Å and eV."""

    status: str
    """``run``, or why not."""
    forces_max: float | None = None
    energy_per_atom_max: float | None = None


@dataclass(frozen=True)
class RouteParity(Differences):
    """One route in LAMMPS against the formula: largest differences of all structures.

    Structures called ``wall``, whose forces exceed 100 eV/Å, count apart, relative to their forces.
    """

    checks: Mapping[str, Differences]
    """By structure; those that a route cannot compute are absent."""
    wall_forces_relative_max: float | None = None
    """Without unit."""
    finite_difference_max: float | None = None
    """Of forces from differences of LAMMPS's own energies, in eV/Å."""
    nve: Drift | None = None
    two_ranks: Ranks | None = None


@dataclass(frozen=True)
class Parity:
    """Everything that is known of an export: the content of ``parity.json``."""

    status: str
    """``run``, or why LAMMPS was not run."""
    style: str
    """The recommended route."""
    lammps_version: str | None = None
    routes: Mapping[str, RouteParity] = field(default_factory=dict)
    """By style, the recommended one first; empty where LAMMPS was not run."""
    table: Tabulated | None = None
    splines: Splines | None = None
    """Of the recommended route."""
    plugin: str | None = None
    """``built``, or why not; None where there is none."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; largest differences are null where LAMMPS was not run."""
        best = self.routes.get(self.style)
        ranks = None if best is None else best.two_ranks
        record: dict[str, Any] = {
            "status": self.status,
            "lammps_version": self.lammps_version,
            **{one.name: getattr(best, one.name, None) for one in fields(Differences)},
            "routes": {style: one.to_dict() for style, one in self.routes.items()},
            "two_ranks": ranks and ranks.to_dict(),
            "style": self.style,
            "table": self.table and self.table.to_dict(),
            "plugin": self.plugin,
            "splines": self.splines and self.splines.to_dict(),
        }
        optional = ("routes", "two_ranks", "plugin", "splines")
        return {name: found for name, found in record.items() if found or name not in optional}
