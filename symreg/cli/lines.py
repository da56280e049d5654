"""Long lines in a terminal: folded where they may be, never within a number."""

from __future__ import annotations

import os
import re
import shutil
import sys


def columns() -> int | None:
    """Width of the terminal, or what COLUMNS says; None where lines may have any length."""
    width = shutil.get_terminal_size((0, 0)).columns
    known = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal()
    return width if known and width > 0 else None


def folded(text: str, width: int | None = None) -> str:
    """The text with lines no longer than ``width``, that of the terminal unless given.

    Lines are folded at spaces, and after ``*`` in a formula; what follows stands below the last
    column of the line, which begins after two spaces.

    >>> print(folded("  1  0.25  12.5*exp(-4.5*x) - 0.5*x^-6", 26))
      1  0.25  12.5*exp(-4.5*
               x) - 0.5*x^-6
    """
    width = columns() if width is None else width
    if width is None:
        return text
    return "\n".join(part for line in text.split("\n") for part in _fold(line, width))


def _fold(line: str, width: int) -> list[str]:
    if len(line) <= width:
        return [line]
    begins = [gap.end() for gap in re.finditer(r"  +(?=\S)", line) if gap.end() <= width // 2]
    indent = max(begins, default=0)
    lines = [line[:indent]]
    for piece in re.findall(r"\S+?\*(?=\S)|\S+|\s+", line[indent:]):
        if len(lines[-1]) + len(piece.rstrip()) > width and lines[-1].strip():
            lines.append(" " * indent)
            if piece.isspace():
                continue
        lines[-1] += piece
    return [part.rstrip() for part in lines]
