"""Checks of a finished formula, and their report."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Check:
    """One property of a formula."""

    name: str
    passed: bool
    detail: str
    values: dict[str, float] = field(default_factory=dict)
    """Numbers in eV, Å, Å^3 and eV/Å^3."""


@dataclass(frozen=True)
class PhysicsReport:
    """All checks of a formula."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"passed": self.passed, "checks": [asdict(check) for check in self.checks]}
