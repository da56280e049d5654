"""Symbolic regression of interatomic potentials: closed-form formulas from DFT data."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from symreg.potential import Potential
    from symreg.runs import Run, open_run
    from symreg.runs.pipeline import resume, search

__version__ = "0.1.0"
__all__ = ["Potential", "Run", "__version__", "open_run", "resume", "search"]

_HOME = {
    "Potential": "potential",
    "Run": "runs",
    "open_run": "runs",
    "resume": "runs.pipeline",
    "search": "runs.pipeline",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``import symreg`` is fast."""
    if name not in _HOME:
        raise AttributeError(f"module 'symreg' has no attribute '{name}'")
    return getattr(import_module(f"symreg.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    """Public names, for those who look around."""
    return sorted(__all__)
