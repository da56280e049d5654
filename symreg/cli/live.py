"""The state of a search while it runs, here or elsewhere: a live table, or plain lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from symreg.cli.advice import going_on
from symreg.runs import RunFolder, open_run
from symreg.runs.progress import ROWS, headline, state_of_search
from symreg.runs.records import NEEDED, Progress
from symreg.typed import read_with

INTERVAL = 1.0
"""Seconds between two looks at a search that runs elsewhere."""
FLOOR = "the best of smooth terms without neighbour sums"


@contextmanager
def progress(console: Console | None = None) -> Iterator[Callable[[Progress], None]]:
    """Show a search as it goes; call what this gives with each progress."""
    console = console or Console(highlight=False)
    if not console.is_terminal:
        yield _lines(console)
        return
    with Live(console=console, transient=True, refresh_per_second=4) as live:

        def show(now: Progress) -> None:
            if now.message:
                live.console.print(now.message, markup=False, highlight=False)
            live.update(table(now))

        yield show


def _lines(console: Console) -> Callable[[Progress], None]:
    """One line for each epoch and each message."""
    epoch = -1

    def show(now: Progress) -> None:
        nonlocal epoch
        if now.message:
            console.print(now.message, markup=False, soft_wrap=True)
        if now.front and now.epoch != epoch:
            epoch = now.epoch
            console.print(headline(now), markup=False, soft_wrap=True)

    return show


def table(now: Progress) -> Group:
    """Draw the front with the floor as its last line."""
    # Formulas are given what numbers leave: only a column with a ratio yields to the others.
    drawn = Table(box=None, pad_edge=False, expand=True)
    drawn.add_column("complexity", justify="right", no_wrap=True)
    drawn.add_column("error", justify="right", no_wrap=True)
    drawn.add_column("formula, x = r/r0, eV", no_wrap=True, overflow="ellipsis", ratio=1)
    for complexity, error, expression in now.front[-ROWS:]:
        drawn.add_row(str(complexity), f"{error:.4g}", Text(expression))
    if now.floor_error is not None:
        floor = Text(FLOOR, style="dim")
        drawn.add_row("floor", f"{now.floor_error:.4g}", floor)
    doubts = [Text(f"warning: {doubt}", style="bold red") for doubt in now.doubts]
    return Group(Text(headline(now), style="bold"), Text(state_of_search(now)), *doubts, drawn)


def in_lines(now: Progress) -> str:
    """The whole front as the table has it, in lines that can be kept or searched."""
    rows = [(str(complexity), error, text) for complexity, error, text in now.front]
    if now.floor_error is not None:
        rows.append(("floor", now.floor_error, FLOOR))
    lines = [f"{name:>10}  {error:>9.4g}  {text}" for name, error, text in rows]
    head = f"{'complexity':>10}  {'error':>9}  formula, x = r/r0, eV"
    return "\n".join([headline(now), *filter(None, [state_of_search(now)]), head, *lines])


def follow(folder: Path, report: Callable[[Progress], None], *, once: bool = False) -> str:
    """Report the progress of a search until it ends, or ``once``; how it stands, in words.

    An OSError or ValueError if there is no run in the folder.
    """
    seen: tuple[object, ...] = ()
    told = 0
    try:
        while True:
            owner = RunFolder(folder).owner()  # first: a search notes its status before it ends
            status = open_run(folder).manifest.get("status")
            progress, log = folder / "progress.json", folder / "log.txt"
            now = replace(read_with(progress, Progress, *NEEDED), message="")
            lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
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


def _end(folder: Path, status: object, owner: str) -> str:
    if owner:
        return f"searched by {owner}; `symreg stop {folder}` ends it"
    if status == "finished":
        return f"finished; see it with `symreg show {folder}`"
    if status == "interrupted":
        return f"stopped before its end; {going_on(open_run(folder))}"
    return f"its process has ended before its time; {going_on(open_run(folder))}"
