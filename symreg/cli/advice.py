"""How to go on with a run that has ended, if that is possible."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from symreg.files import counted, read_json

if TYPE_CHECKING:
    from symreg.runs import Run


def going_on(run: Run) -> str:
    """Words that continue an interrupted run, or why nothing does."""
    # Slow to import, and only runs that were interrupted need it.
    from symreg.runs.pipeline.checkpoint import refusal

    if why := refusal(run.folder, run.settings):
        return f"it cannot be continued: {why}"
    return f"continue it with `symreg resume {run.folder}`"


def going_further(folder: Path) -> str:
    """Words that take a finished run beyond its end; empty if it is not finished."""
    if read_json(folder / "manifest.json", {}).get("status") != "finished":
        return ""
    progress = read_json(folder / "progress.json", {})
    if progress.get("forms"):
        return "the run is finished: every form is fitted, and nothing is left to do"
    epoch, minutes = progress.get("epoch") or 1, (progress.get("seconds") or 60.0) / 60
    more = max(1, round(2 * minutes))
    return (
        f"the run is finished, after {counted(epoch, 'epoch')} "
        f"in {minutes:.3g} minutes; to go further: "
        f"`symreg resume {folder} --epochs {2 * epoch}`, or --minutes {more}, both in all"
    )
