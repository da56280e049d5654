"""The state of a search in words, and shown where Python runs in a notebook."""

from __future__ import annotations

import sys
from collections.abc import Callable
from html import escape
from typing import Any

from symreg.runs.records import Progress

OnProgress = Callable[[Progress], None]

OPERATORS = 5
"""Operators that are named, those with the largest gains."""
ROWS = 15
"""Members that are shown; of a longer front the simplest are left out."""
MESSAGES = 12
"""Messages that a notebook shows, the last."""


def headline(now: Progress) -> str:
    """One line: where the search is, how fast it goes, and how far it is from the floor."""
    parts = [f"epoch {now.epoch}", f"{now.seconds:.0f} s"]
    if not now.forms:
        parts.insert(1, f"generation {now.generation}")
    if now.candidates:
        rate = f"{now.candidates_per_second:,.0f}/s"
        of = f"of {now.forms:,} forms" if now.forms else "candidates"
        parts.append(f"{now.candidates:,} {of} ({rate})")
    if now.lowest_error is not None:
        parts.append(f"lowest error {now.lowest_error:.4g}")
    if now.floor_error is not None:
        doubtful = " (doubtful: see the warnings)" if now.doubts else ""
        parts.append(f"floor {now.floor_error:.4g}{doubtful}")
    if now.seconds_left is not None:
        parts.append(f"{_duration(now.seconds_left)} left")
    return ", ".join(parts)


def _duration(seconds: float) -> str:
    """Write a time to two figures or so, as in ``45 s``, ``3.2 min`` or ``2.5 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def state_of_search(now: Progress) -> str:
    """One line: who computes, how varied the populations are, and which operators gain."""
    parts = [now.workers] if now.workers else []
    if now.diversity:
        parts.append(f"diversity {now.diversity:.2f}")
    gains = sorted(now.operators.items(), key=lambda entry: -entry[1])
    if gains:
        shown = ", ".join(f"{name} {share:.2%}" for name, share in gains[:OPERATORS])
        parts.append(f"gains: {shown}")
    return "; ".join(parts)


def ignore(progress: Progress) -> None:
    """Tell nobody."""


def default_progress() -> OnProgress:
    """In a notebook one display that is updated; elsewhere nothing is told."""
    return NotebookDisplay().show if in_notebook() else ignore


def in_notebook() -> bool:
    """Whether the code runs in the kernel of a notebook, not in a terminal."""
    python = sys.modules.get("IPython")  # which a kernel has imported
    shell = python.get_ipython() if python is not None else None
    return shell is not None and getattr(shell, "kernel", None) is not None


class NotebookDisplay:
    """A table below a cell, of the front as it grows; messages stand below it."""

    def __init__(self) -> None:
        self.handle: Any = None
        self.messages: list[str] = []
        self.latest = Progress()

    def show(self, now: Progress) -> None:
        """Draw the front, or add a message."""
        if now.message:
            self.messages.append(now.message)
        if now.front or not self.latest.front:
            self.latest = now
        shown = {"text/html": self.html(), "text/plain": headline(self.latest)}
        if self.handle is None:
            from IPython import display

            shower: Any = display.display
            self.handle = shower(shown, raw=True, display_id=True)
        else:
            self.handle.update(shown, raw=True)

    def html(self) -> str:
        """The headline, the front with the floor as its last row, and the last messages."""
        now = self.latest
        cells = [(str(line[0]), f"{line[1]:.4g}", line[2]) for line in now.front[-ROWS:]]
        if cells and now.floor_error is not None:
            floor = "the best of smooth terms without neighbour sums"
            cells.append(("floor", f"{now.floor_error:.4g}", floor))
        left = ' style="text-align:left"'
        rows = [
            f"<tr><td>{size}</td><td>{error}</td><td{left}><code>{escape(text)}</code></td></tr>"
            for size, error, text in cells
        ]
        head = f"<tr><th>complexity</th><th>error</th><th{left}>formula, x = r/r0, eV</th></tr>"
        table = f"<table>{head}{''.join(rows)}</table>" if rows else ""
        told = "".join(f"<div>{escape(text)}</div>" for text in self.messages[-MESSAGES:])
        lines = (f"<b>{escape(headline(now))}</b>", escape(state_of_search(now)))
        return "".join(f"<div>{line}</div>" for line in lines if line) + table + told
