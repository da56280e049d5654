"""Files into ASE structures."""

from __future__ import annotations

import bz2
import glob
import gzip
import lzma
import os
import re
import shutil
import tempfile
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ase.db
import ase.io
from ase import Atoms
from ase.io.formats import filetype

from symreg.structures.formats.deepmd import is_deepmd, read_deepmd
from symreg.structures.formats.extxyz import read_extxyz
from symreg.structures.formats.json_sets import is_json_set, read_json_set
from symreg.structures.formats.mlip import BEGIN, read_mlip
from symreg.structures.formats.outputs import (
    OPTIONS,
    add_free_energy,
    mark_unconverged,
    read_with_dpdata,
)
from symreg.structures.settings import SPLITS, DataSettings

COMPRESSED: Mapping[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
"""How to open a compressed file, by the end of its name."""
XYZ = (".xyz", ".extxyz")
PORTION = 8_000_000
"""Bytes of extended XYZ from which on a file is read in portions of that size."""
LINE = 80
"""Bytes that an atom takes, about."""
HEAD = 65536
"""Bytes from the beginning of a file that tell its kind."""
CP2K_OUTPUT = re.compile(r"^ (?:CP2K\||DBCSR\|)", re.MULTILINE)


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


def read_portions(path: Path, name: str, species: Sequence[str] = ()) -> Iterator[list[Atoms]]:
    """Read all frames of a file as ``read_images`` does; long ones of extended XYZ in portions."""
    plain = path.with_suffix("") if path.suffix.lower() in COMPRESSED else path
    if plain.suffix.lower() not in XYZ or path.stat().st_size < PORTION:
        yield read_images(path, name, species)
        return
    with _plain(path, name) as whole:
        portion: list[Atoms] = []
        size = 0
        for atoms in read_extxyz(whole, name):
            portion.append(atoms)
            size += len(atoms)
            if size * LINE > PORTION:
                yield portion
                portion, size = [], 0
        if portion:
            yield portion


def read_images(path: Path, name: str, species: Sequence[str] = ()) -> list[Atoms]:
    """Read all frames of a file or, for DeePMD-kit, a folder.

    Extended XYZ, JSON of FitSNAP and mlearn, MLIP and DeePMD-kit are read here, outputs of CP2K
    by dpdata, all else by ASE. Files may be compressed by gzip, bzip2 or xz.

    Parameters
    ----------
    path
        The file.
    name
        What to call it in a message.
    species
        Elements of types 0, 1, ... where a file only numbers them.

    Raises
    ------
    ValueError
        If the file cannot be read, or there is nothing in it.
    """
    if path.is_dir():
        return read_deepmd(path, name)
    with _plain(path, name) as plain:
        images = _read(plain, name, species)
    if not images:
        raise ValueError(f"{name} holds no structures; remove it from [data] or write it again")
    return images


@contextmanager
def _plain(path: Path, name: str) -> Iterator[Path]:
    """Give a compressed file under the rest of its name in a folder that is removed afterwards."""
    opened = COMPRESSED.get(path.suffix.lower())
    if opened is None:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="symreg-") as folder:
        # FitSNAP's groups are folders, so that of the file is kept.
        plain = Path(folder) / path.resolve().parent.name / path.stem
        plain.parent.mkdir(exist_ok=True)
        try:
            with opened(path, "rb") as source, plain.open("wb") as target:
                shutil.copyfileobj(source, target)
        except (EOFError, OSError, lzma.LZMAError, zlib.error) as error:
            if getattr(error, "errno", None):
                raise  # a full disk, not the file
            raise ValueError(f"{name} is damaged ({error}); compress it again") from None
        yield plain


def _read(path: Path, name: str, species: Sequence[str]) -> list[Atoms]:
    """Read a file that is not compressed."""
    with path.open("rb") as file:
        head = file.read(HEAD).decode("utf-8", errors="replace")
    if not head:
        raise ValueError(f"{name} is empty; remove it from [data] or write it again")
    if path.suffix.lower() in XYZ:
        return list(read_extxyz(path, name))
    if BEGIN in head:
        return read_mlip(path, name, species)
    if path.suffix.lower() == ".json" and is_json_set(head):
        return read_json_set(path, name)
    if CP2K_OUTPUT.search(head):
        return read_with_dpdata(path, "cp2k/output", name)
    return _read_with_ase(path, name)


def _read_with_ase(path: Path, name: str) -> list[Atoms]:
    """Let ASE read all frames of a file."""
    kind = "a structure file"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters is checked here, frame by frame
            kind = filetype(str(path))
            if kind == "extxyz":
                return list(read_extxyz(path, name))
            images = _read_as(path, kind)
    except Exception as error:
        # ASE's readers raise whatever they stumble upon.
        if isinstance(error, ValueError) and str(error).startswith(name):
            raise
        raise ValueError(
            f"{name}: ASE cannot read it as {kind} ({type(error).__name__}: {error}); "
            "look for a truncated frame or *****, or write extended XYZ (a.xyz) instead"
        ) from error
    add_free_energy(images)
    mark_unconverged(images, kind, path)
    return images


def _read_as(path: Path, kind: str) -> list[Atoms]:
    """Read all frames, keeping what ASE would drop."""
    if kind in ("db", "json"):
        rows = ase.db.connect(path).select()
        return [row.toatoms(add_additional_information=True) for row in rows]
    options = dict(OPTIONS.get(kind, {}))
    return list(ase.io.read(path, index=":", format=kind, do_not_split_by_at_sign=True, **options))


def _matches(patterns: Sequence[str], folder: Path, setting: str) -> list[Path]:
    """Return the files that the patterns name."""
    found: list[Path] = []
    for pattern in patterns:
        path = folder / Path(pattern).expanduser()
        found_here = [path] if path.exists() else map(Path, sorted(glob.glob(str(path))))
        matches = [p for p in found_here if p.is_file() or is_deepmd(p)]
        if not matches and path.is_dir():
            raise ValueError(
                f"'{pattern}' is a folder; name the files in it, as in \"{pattern}/*.xyz\" (only a "
                "DeePMD-kit system, with type.raw and set.*/coord.npy, is named by its folder)"
            )
        if not matches:
            raise FileNotFoundError(
                f"no file matches '{pattern}' in {folder.resolve()}; "
                f"[data] {setting} holds paths or globs relative to the run file"
            )
        found += matches
    return found
