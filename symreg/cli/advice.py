"""How to go on with a run that has ended, if that is possible."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from symreg.files import counted
from symreg.runs.records import NEEDED, Progress
from symreg.typed import read_with

if TYPE_CHECKING:
    from symreg.runs import Run


def going_on(run: Run) -> str:
    """Words that continue an interrupted run, or why nothing does."""
    # Slow to import, and only runs that were interrupted need it.
    from symreg.runs.pipeline.checkpoint import refusal

    if why := refusal(run.folder, run.settings):
        return f"it cannot be continued: {why}"
    return f"continue it with `symreg resume {run.folder}`"


def about_progress(folder: Path) -> str:
    """Say that ``progress.json``, of which a front needs nothing, is damaged; empty if not."""
    try:
        read_with(folder / "progress.json", Progress, *NEEDED)
    except OSError as error:
        return f"{error}; what is shown does not need it"
    return ""


def going_further(folder: Path) -> str:
    """Words that take a finished run beyond its end; empty if it is not finished."""
    if read_with(folder / "manifest.json", dict[str, Any], "status").get("status") != "finished":
        return ""
    progress = read_with(folder / "progress.json", Progress, *NEEDED)
    if progress.forms:
        return "the run is finished: every form is fitted, and nothing is left to do"
    epoch, minutes = progress.epoch or 1, (progress.seconds or 60.0) / 60
    more = max(1, round(2 * minutes))
    return (
        f"the run is finished, after {counted(epoch, 'epoch')} "
        f"in {minutes:.3g} minutes; to go further: "
        f"`symreg resume {folder} --epochs {2 * epoch}`, or --minutes {more}, both in all"
    )
