"""All ways to give one formula to LAMMPS, and why others are none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from symreg.cli.summary import parity_text
from symreg.lammps.routes import styles

if TYPE_CHECKING:
    from symreg.potential import Potential


def export_every_style(potential: Potential, folder: Path) -> Iterator[str]:
    """Write the files of every style into a folder of its name; a line for each, as it is done.

    Last come those styles that cannot express the formula, with the reason.
    """
    refused = []
    for style in styles():
        if style == "auto":
            continue
        try:
            yield parity_text(potential.export_lammps(folder / style, style=style))
        except ValueError as error:
            refused.append(f"no {style:<6} {error}")
    yield from refused
