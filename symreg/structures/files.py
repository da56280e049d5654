"""Files into ASE structures."""

from __future__ import annotations

import glob
import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ase.db
import ase.io
from ase import Atoms
from ase.io.extxyz import key_val_str_to_dict
from ase.io.formats import filetype

from symreg.structures.settings import SPLITS, DataSettings

FORTRAN = re.compile(r"(\d\.\d*|\.\d+)[dD](?=[+-]?\d)")
"""Mantissa of a Fortran double, as in 1.0D+02."""
TENSOR = re.compile(r"\b(stress|virial)\s*=\s*[\"'{\[]([^\"'}\]]*)[\"'}\]]")
"""A quoted tensor in the comment line of an extended XYZ file."""
FULL_FROM_VOIGT = (0, 5, 4, 5, 1, 3, 4, 3, 2)


def data_files(settings: DataSettings, folder: Path) -> dict[Path, int]:
    """Return every file of the ``[data]`` table with the number of its split.

    Raises
    ------
    FileNotFoundError
        If a path or glob matches no file.
    ValueError
        If a file is to serve two purposes.
    """
    files: dict[Path, int] = {}
    for number, setting in enumerate(SPLITS):
        for path in _matches(getattr(settings, setting), folder, setting):
            earlier = files.setdefault(path.resolve(), number)
            if earlier != number:
                raise ValueError(
                    f"'{shown_path(path, folder)}' is in both [data] {SPLITS[earlier]} and "
                    f"{setting}; take it out of one"
                )
    return files


def shown_path(path: Path, folder: Path) -> str:
    """Return a path as the user would write it."""
    relative = os.path.relpath(path.resolve(), folder.resolve())
    return str(path) if relative.startswith("..") else Path(relative).as_posix()


def read_images(path: Path, name: str) -> list[Atoms]:
    """Let ASE read all frames of a file.

    Raises
    ------
    ValueError
        If ASE cannot read the file, or there is nothing in it.
    """
    kind = "a structure file"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters is checked here, frame by frame
            kind = filetype(str(path))
            images = _read_as(path, kind)
    except Exception as error:
        # ASE's readers raise whatever they stumble upon.
        raise ValueError(
            f"{name}: ASE cannot read it as {kind} ({type(error).__name__}: {error}); "
            "look for a truncated frame, ***** or a Fortran exponent such as 1.0D+02"
        ) from error
    if not images:
        raise ValueError(f"{name} holds no structures; remove it from [data] or write it again")
    return images


def _read_as(path: Path, kind: str) -> list[Atoms]:
    """Read all frames, keeping what ASE would drop or stumble upon."""
    if kind in ("db", "json"):
        rows = ase.db.connect(path).select()
        return [row.toatoms(add_additional_information=True) for row in rows]
    options: dict[str, Any] = {"do_not_split_by_at_sign": True}
    if kind == "extxyz":
        options["properties_parser"] = _comment_line
    return list(ase.io.read(path, index=":", format=kind, **options))


def _matches(patterns: Sequence[str], folder: Path, setting: str) -> list[Path]:
    """Return the files that the patterns name."""
    found: list[Path] = []
    for pattern in patterns:
        path = folder / Path(pattern).expanduser()
        matches = [path] if path.is_file() else [Path(p) for p in sorted(glob.glob(str(path)))]
        matches = [p for p in matches if p.is_file()]
        if not matches:
            raise FileNotFoundError(
                f"no file matches '{pattern}' in {folder.resolve()}; "
                f"[data] {setting} holds paths or globs relative to the run file"
            )
        found += matches
    return found


def _comment_line(line: str) -> dict[str, Any]:
    """Read a comment line of extended XYZ, with Fortran exponents and tensors of six numbers."""
    plain = FORTRAN.sub(r"\1e", line)
    return dict(key_val_str_to_dict(TENSOR.sub(_nine_numbers, plain)))


def _nine_numbers(match: re.Match[str]) -> str:
    """Write six numbers, xx yy zz yz xz xy, as the nine that ASE asks for."""
    name, words = match[1], match[2].replace(",", " ").split()
    if len(words) == 6:
        words = [words[k] for k in FULL_FROM_VOIGT]
    return f'{name}="{" ".join(words)}"'
