"""Settings and structures given in Python; the structures are kept in the run folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ase import Atoms

from symreg import config
from symreg.config import Settings
from symreg.runs.folder import RunFolder
from symreg.structures import SPLITS
from symreg.structures.frames import check_labelled, collect
from symreg.structures.writing import write_extxyz

Data = str | Path | Atoms | Sequence[str | Path] | Sequence[Atoms]
"""Structures, or files of structures."""


class Given:
    """Arguments that a search was called with.

    Settings are an object, a run file, or tables as of a run file; ``data`` are structures or files
    for each split, in place of those that the settings name. A ValueError or TypeError if they
    cannot be used.
    """

    def __init__(
        self, settings: Settings | Mapping[str, Any] | str | Path, data: Mapping[str, Data | None]
    ) -> None:
        named = {split: value for split, value in data.items() if value is not None}
        if empty := [split for split, value in named.items() if not _listed(value)]:
            raise ValueError(
                f"{empty[0]} holds no structures; give it ASE structures or names of files, as in "
                f'search(settings, {empty[0]}=ase.io.read("a.extxyz", ":"))'
            )
        if isinstance(settings, Mapping):
            table = settings.get("data", {})
            if isinstance(table, Mapping):
                named = {split: table[split] for split in SPLITS if split in table} | named
                rest = {key: value for key, value in table.items() if key not in SPLITS}
                # Something stands for structures until it is known in which folder they lie.
                settings = {**settings, "data": rest | {split: ["?"] for split in named}}
            settings = config.from_dict(settings)
        elif isinstance(settings, str | Path):
            settings = config.load(settings)
        elif not isinstance(settings, Settings):
            raise TypeError(
                f"settings are of type {type(settings).__name__}; they must be the path of a run "
                "file, a dictionary of its tables, or symreg.config.Settings"
            )
        self.images: dict[str, list[Atoms]] = {}
        """Structures by split."""
        paths: dict[str, Any] = {
            split: self._paths(split, value, settings) for split, value in named.items()
        }
        self.settings: Settings = replace(settings, data=replace(settings.data, **paths))

    def _paths(self, split: str, value: Data, settings: Settings) -> tuple[str, ...]:
        """The files of a split: those named, or the one that will hold its structures."""
        entries: list[object] = _listed(value)
        if all(isinstance(entry, str | Path) for entry in entries):
            return tuple(str(entry) for entry in entries)
        for n, entry in enumerate(entries):
            if not isinstance(entry, Atoms):
                raise TypeError(
                    f"{split}[{n}] is of type {type(entry).__name__}; {split} must be a list of "
                    "ase.Atoms, or of names of files"
                )
        images = [entry for entry in entries if isinstance(entry, Atoms)]
        keys, group_key = settings.data.keys, settings.data.group_key
        sources = [f"{split}[{n}]" for n in range(len(images))]
        frames = collect(images, sources, keys=keys, group_key=group_key, home=split)
        check_labelled([f for f in frames if f.group not in settings.data.leave_out])
        self.images[split] = images
        return (os.path.join(settings.output.folder, f"{split}.extxyz"),)

    def check(self, folder: RunFolder) -> None:
        """Refuse to overwrite what is not of a run; a FileExistsError."""
        for path in self._files(folder):
            if path.exists() and not (folder.path / "manifest.json").exists():
                raise FileExistsError(
                    f"{path} exists, and is not of a run; choose another [output] folder"
                )

    @contextmanager
    def kept(self, folder: RunFolder) -> Iterator[None]:
        """Keep the structures in the run folder, unless the run cannot begin."""
        try:
            for split, images in self.images.items():
                write_extxyz(folder.path / f"{split}.extxyz", images)
            yield
        except (ValueError, OSError, KeyboardInterrupt):
            for path in self._files(folder):
                path.unlink(missing_ok=True)
            raise

    def _files(self, folder: RunFolder) -> list[Path]:
        return [folder.path / f"{split}.extxyz" for split in self.images]


def _listed(value: object) -> list[object]:
    """One of something, or several; structures can be run through too, atom by atom."""
    one = isinstance(value, str | Path | Atoms | Mapping) or not isinstance(value, Iterable)
    return [value] if one else list(value)  # type: ignore[call-overload]
