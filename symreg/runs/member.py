"""One formula of a front: what was measured of it, and its potential."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from symreg import files
from symreg.checks.report import Check
from symreg.records import SplitErrors
from symreg.runs.records import BOTH, FittedConstant, MemberRecord
from symreg.typed import read_typed

if TYPE_CHECKING:
    from symreg.potential import Potential


@dataclass(frozen=True, repr=False)
class Member:
    """One formula of a Pareto front."""

    record: MemberRecord
    """All that ``front.json`` says of it; its entries are also read as ``record["r0"]``."""
    folder: Path
    """Its folder in the run folder."""

    def __repr__(self) -> str:
        size = f"complexity {self.complexity}, error {self.error:.4g}"
        return f"<member {self.number}: {size}, {self.expression}>"

    @property
    def number(self) -> int:
        """Name of its folder in ``potentials/``."""
        return self.record.number

    @property
    def complexity(self) -> int:
        """Cost of all nodes and weights, frozen terms left out."""
        return self.record.complexity

    @property
    def n_constants(self) -> int:
        """How many fitted numbers it has, weights included, frozen terms left out."""
        return self.record.n_constants

    @property
    def error(self) -> float:
        """Training error, the root of the mean squared error in units of the sigmas."""
        return self.record.error

    @property
    def expression(self) -> str:
        """The formula in x = r / r0, in eV."""
        return self.record.expression

    @property
    def errors(self) -> Mapping[str, SplitErrors]:
        """``errors[split][quantity]["rmse"]`` in eV/atom, eV/Å, eV/Å³; ``"mae"``, ``"n"`` too."""
        return self.record.errors

    @property
    def targets(self) -> Mapping[str, float]:
        """Predictions of targets by name, in the units of the run file; none without targets."""
        return self.record.targets or {}

    @property
    def targets_rms(self) -> float | None:
        """Root mean square of what the predictions of targets are off, in sigmas."""
        return self.record.targets_rms

    @property
    def unfit(self) -> str | None:
        """Why it is not fit for use; None if its errors speak not against it."""
        return self.record.unfit

    @property
    def constants(self) -> list[FittedConstant]:
        """Fitted to training: ``name``, ``value``, ``standard_error``, ``low``, ``high``."""
        return list(self.record.constants or ())

    @cached_property
    def potential(self) -> Potential:
        """The potential of ``potential.json``; an OSError if the run has not written it."""
        path = self.folder / "potential.json"
        # The file may be of an earlier front while a search is under way.
        if not self.record.is_delivered or not path.exists():
            raise FileNotFoundError(
                f"{path} does not exist; the run ended before it wrote its potentials"
            )
        from symreg.potential import Potential

        return Potential.load(path)

    @property
    def refitted(self) -> bool:
        """Whether its potential, and so checks and LAMMPS files, have constants of their own.

        They are fitted to training and validation together; ``errors`` and ``constants`` are those
        of training alone.
        """
        record = files.read_json(self.folder / "potential.json", {})  # without formulas: fast
        history = record.get("provenance") if isinstance(record, Mapping) else None
        fit = history.get("fit") if isinstance(history, Mapping) else None
        return self.record.is_delivered and fit == BOTH

    @property
    def checks(self) -> list[Mapping[str, Any]]:
        """Physics checks of ``validation.json``; none where they were not made."""
        return [asdict(c) for c in read_typed(self.folder / "validation.json", _Checks, {}).checks]

    @property
    def parity(self) -> Mapping[str, Any]:
        """Differences of LAMMPS from the formula, as ``parity.json`` has them; empty if unknown."""
        path = self.folder / "lammps" / "parity.json"
        read_typed(path, _Parity, {})
        return read_typed(path, dict[str, Any], {})


@dataclass(frozen=True)
class _Checks:
    """The part of ``validation.json`` that is shown."""

    checks: tuple[Check, ...] = ()


@dataclass(frozen=True)
class _Parity:
    """The part of ``parity.json`` that is shown."""

    status: str = ""
    style: str = ""
    lammps_version: str | int | None = None
    energy_per_atom_max: float | None = None
    forces_max: float | None = None
    routes: Mapping[str, Any] = field(default_factory=dict)
