"""One formula of a front, as a run folder has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from symreg.files import read_json
from symreg.records import SplitErrors
from symreg.runs.records import FittedConstant, MemberRecord

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
        """Cost of all nodes and weights."""
        return self.record.complexity

    @property
    def n_constants(self) -> int:
        """How many fitted numbers it has, weights included."""
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
    def constants(self) -> list[FittedConstant]:
        """Fitted constants: ``name``, ``value``, ``standard_error``, ``low``, ``high``."""
        return list(self.record.constants or ())

    @cached_property
    def potential(self) -> Potential:
        """The potential, read from its folder.

        Raises
        ------
        OSError
            If the run has not written it.
        """
        path = self.folder / "potential.json"
        # The file may be of an earlier front while a search is under way.
        if not self.record.is_delivered or not path.exists():
            raise FileNotFoundError(
                f"{path} does not exist; the run ended before it wrote its potentials"
            )
        from symreg.potential import Potential

        return Potential.load(path)

    @property
    def checks(self) -> list[Mapping[str, Any]]:
        """Physics checks of ``validation.json``; none where they were not made."""
        path = self.folder / "validation.json"
        found: list[Mapping[str, Any]] = read_json(path).get("checks", []) if path.exists() else []
        return found

    @property
    def parity(self) -> Mapping[str, Any]:
        """Differences of LAMMPS from the formula, as ``parity.json`` has them; empty if unknown."""
        path = self.folder / "lammps" / "parity.json"
        found: Mapping[str, Any] = read_json(path) if path.exists() else {}
        return found
