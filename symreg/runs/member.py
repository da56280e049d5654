"""One formula of a front, as a run folder has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from symreg.potential import Potential


@dataclass(frozen=True)
class Member:
    """One formula of a Pareto front."""

    number: int
    """Name of its folder in ``potentials/``."""
    complexity: int
    n_constants: int
    error: float
    """Training error, the root of the mean squared error in units of the sigmas."""
    expression: str
    """The formula in x = r / r0, in eV."""
    errors: Mapping[str, Mapping[str, Any]]
    """``errors[split][quantity]["rmse"]`` in eV/atom, eV/Å and eV/Å³; ``"mae"`` and ``"n"`` too."""
    record: Mapping[str, Any] = field(repr=False)
    """All that ``front.json`` says of it."""
    folder: Path = field(repr=False)
    """Its folder in the run folder."""

    @property
    def constants(self) -> list[Mapping[str, Any]]:
        """Fitted constants: ``name``, ``value``, ``standard_error``, ``low``, ``high``."""
        return list(self.record.get("constants", []))

    @cached_property
    def potential(self) -> Potential:
        """The potential, read from its folder.

        Raises
        ------
        OSError
            If the run has not written it.
        """
        path = self.folder / "potential.json"
        # Without it the record is of a search under way; the file may be of an earlier front.
        if "exact_difference" not in self.record or not path.exists():
            raise FileNotFoundError(
                f"{path} does not exist; the run ended before it wrote its potentials"
            )
        from symreg.potential import Potential

        return Potential.load(path)
