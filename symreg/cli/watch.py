"""Follow a search by what it writes to its run folder, from wherever the folder can be seen."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from symreg.files import read_json
from symreg.runs import RunFolder, open_run
from symreg.runs.records import Progress

INTERVAL = 1.0
"""Seconds between two looks."""


def follow(folder: Path, report: Callable[[Progress], None], *, once: bool = False) -> str:
    """Report the progress of a search until it ends.

    Parameters
    ----------
    folder
        The run folder.
    report
        Called with each new progress, as the search itself calls it.
    once
        Report what there is, and end.

    Returns
    -------
    How the search stands, and what can be done.

    Raises
    ------
    OSError, ValueError
        If there is no run in the folder.
    """
    seen: tuple[object, ...] = ()
    told = 0
    try:
        while True:
            owner = RunFolder(folder).owner()  # first: a search notes its status before it ends
            status = open_run(folder).manifest.get("status")
            now, lines = _progress(folder), _log(folder)
            news = lines[told:] if told else lines[-1:]
            told = len(lines)
            if (now.epoch, now.seconds) != seen:
                seen = now.epoch, now.seconds
                report(now)
            for line in news:
                report(replace(now, message=line.partition(" ")[2]))  # without its time
            if once or not owner:
                return _end(folder, status, owner)
            time.sleep(INTERVAL)
    except KeyboardInterrupt:
        return f"the search goes on; `symreg stop {folder}` ends it"


def _progress(folder: Path) -> Progress:
    """The progress that the search last wrote; before its first epoch an empty one."""
    path = folder / "progress.json"
    return replace(Progress.from_dict(read_json(path) if path.exists() else {}), message="")


def _log(folder: Path) -> list[str]:
    path = folder / "log.txt"
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _end(folder: Path, status: object, owner: str) -> str:
    if owner:
        return f"searched by {owner}; `symreg stop {folder}` ends it"
    if status == "finished":
        return f"finished; see it with `symreg show {folder}`"
    if status == "interrupted":
        return f"stopped before its end; `symreg resume {folder}` continues it"
    return f"its process has ended before its time; `symreg resume {folder}` continues it"
