"""The one place that tells the modes of a search apart."""

from __future__ import annotations

from pathlib import Path

from symreg.config import Settings
from symreg.runs.pipeline.evolution import Evolution
from symreg.runs.pipeline.exhaustive import Exhaustion

Mode = Evolution | Exhaustion
"""How formulas are looked for: what is computed, said, and when it is done."""


def mode_of(settings: Settings, checkpoint: Path = Path()) -> Mode:
    """Choose the mode that a run file asks for.

    Parameters
    ----------
    settings
        The run file.
    checkpoint
        Folder that the state of the search is kept in.
    """
    if settings.search.mode == "exhaustive":
        return Exhaustion(settings, (checkpoint / "forms.npz").resolve())
    return Evolution(settings)
