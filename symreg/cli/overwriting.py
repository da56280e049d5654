"""Room for a new run where another one lies: it is moved aside, by those who name it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer

from symreg.runs.folder import RunFolder


@contextmanager
def room_for(folder: Path, needed: Sequence[Path], *, yes: bool) -> Iterator[None]:
    """Move a run aside while another one is searched in its place; back, if that cannot begin.

    A ValueError or OSError where the run is another program's, is being searched, or holds files
    that are ``needed`` for the new one, and where whoever asks does not name it.
    """
    if not (folder / "manifest.json").exists():
        yield
        return
    run = RunFolder(folder)
    run.require_movable(needed)
    if not yes:
        _confirm(folder)
    aside = run.move_aside()
    typer.echo(f"the run in {folder} lies in {aside} now", err=True)
    try:
        yield
    except BaseException:
        if not folder.exists():
            aside.rename(folder)
            typer.echo(f"the run is in {folder} again", err=True)
        raise


def _confirm(folder: Path) -> None:
    """Have the name of the folder typed."""
    name = folder.resolve().name
    if not sys.stdin.isatty():
        raise ValueError(
            f"--overwrite moves the run in {folder} aside and asks by name, but there is no "
            "terminal: give --yes too"
        )
    typed = typer.prompt(f"{folder} holds a run; type {name} to move it aside", err=True)
    if typed.strip() != name:
        raise ValueError(f"'{typed}' is not '{name}'; the run in {folder} was left as it is")
