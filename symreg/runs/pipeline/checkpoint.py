"""Checkpoints: written by a search after every epoch, read when it is resumed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from symreg import __version__, files
from symreg.config import TABLES, Settings, to_dict, toml_value
from symreg.files import one_line, parse_json
from symreg.language.text import Nested
from symreg.language.tree import operands
from symreg.runs.folder import CHECKPOINT, PREVIOUS, RunFolder
from symreg.runs.pipeline.stopping import refuse_limits
from symreg.runs.records import Count
from symreg.searching.individuals import Individual, from_arrays, to_arrays
from symreg.searching.islands import State
from symreg.terms import Key
from symreg.terms.kinds import kind_of
from symreg.typed import Range, read_typed, typed

FORMAT = 6
FREE = {
    # The data themselves are compared, and the constants delivered are fitted at the end.
    "data": ("train", "validation", "test", "refit"),
    "search": ("minutes", "epochs", "target", "stagnation", "workers", "seeds_from", "max_memory"),
}
"""Settings that a resumed run may change: where things lie, when to stop, what is delivered."""
_TABLES = {table: kind for table, kind in TABLES.items() if table != "output"}


class CheckpointError(ValueError):
    """A checkpoint that cannot be used, in words for the user."""


@dataclass(frozen=True)
class Origin:
    """Data that a checkpoint depends on, and every setting but those of ``FREE``."""

    data_hash: str
    settings: Mapping[str, Mapping[str, Any]]

    @staticmethod
    def of(settings: Settings, data_hash: str) -> Origin:
        """Origin of a run of these settings."""
        record = files.plain(to_dict(settings))
        used = {
            table: {key: v for key, v in record[table].items() if key not in FREE.get(table, ())}
            for table in _TABLES
        }
        used["terms"]["frozen"] = [_with_hash(settings.base / one) for one in settings.terms.frozen]
        return Origin(data_hash, used)

    @property
    def token(self) -> str:
        """A text that changes with the data and with any of the settings."""
        text = json.dumps([self.data_hash, self.settings], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def difference(self, other: Origin) -> str:
        """Say what was different when a checkpoint was written; empty if nothing was."""
        for table, kind in _TABLES.items():
            old, new = other.settings.get(table, {}), self.settings[table]
            for key in {**old, **new}:
                default = _default(kind, key)
                was, now = old.get(key, default), new.get(key, default)
                if was != now:
                    was, now = ("not set" if v is None else toml_value(v) for v in (was, now))
                    return (
                        f"[{table}] {key} is {now}, but the run was searched with {was}; "
                        "set it back, or begin another run"
                    )
        if other.data_hash != self.data_hash:
            return (
                "the files of [data] are not what they were when the run began; "
                "restore them, or begin another run"
            )
        return ""


def _with_hash(path: Path) -> str:
    """Name of a file with the beginning of its hash: what stands in it counts, not where it is."""
    found = hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path.is_file() else "missing"
    return f"{path.name} ({found})"


def _default(kind: type[Any], key: str) -> Any:
    """Value of a setting where a run file does not say; None for one that must be given."""
    for entry in fields(kind):
        if entry.name == key and entry.default_factory is not MISSING:
            return files.plain(entry.default_factory())
    return files.plain(getattr(kind, key, None))


def write(folder: RunFolder, state: State, seconds: float, origin: Origin) -> None:
    """Replace the checkpoint in one step, and keep the one before."""
    header = {
        "format": FORMAT,
        "version": __version__,
        "epoch": state.epoch,
        "candidates": state.candidates,
        "islands": len(state.populations),
        "improved": state.improved,
        "quarantined": state.quarantined,
        "seconds": seconds,
        "data_hash": origin.data_hash,
        "settings": origin.settings,
    }
    arrays: dict[str, NDArray[Any]] = {"header": np.array(json.dumps(header))}
    for number, population in enumerate(state.populations):
        arrays |= {f"island{number}_{name}": values for name, values in population.items()}
    seeds = [Individual(coded_terms) for coded_terms in state.seeds]
    parts = {"front": state.front, "rejected": state.rejected, "seeds": seeds}
    for part, individuals in parts.items():
        arrays |= {f"{part}_{name}": values for name, values in to_arrays(individuals).items()}
    if (folder.path / CHECKPOINT).exists():
        (folder.path / CHECKPOINT).replace(folder.path / PREVIOUS)
    files.write_arrays(folder.path / CHECKPOINT, arrays)


@dataclass(frozen=True)
class _Header:
    """All of a checkpoint but its arrays."""

    data_hash: str
    settings: Mapping[str, Mapping[str, Any]]
    epoch: Count
    candidates: Count
    islands: Annotated[int, Range(1, 10**6)]
    improved: Count
    seconds: Annotated[float, Range(0.0, 1e15)]
    quarantined: tuple[str, ...]


@dataclass(frozen=True)
class _Mark:
    """The part of a header that every format has."""

    format: int
    version: str = "of another version"


def read(folder: RunFolder, origin: Origin) -> tuple[State, float, str] | None:
    """The last state, the seconds it took, and what is to be said of it; None when there is none.

    Where the last checkpoint is damaged, or was never written, the one before it is taken. A
    CheckpointError if none is whole, or they are of a newer version, other data or settings.
    """
    found, last = _find(folder, origin), folder.path / CHECKPOINT
    if found is not None and found[2] and last.exists():
        # Or it would become the one before, in place of this one.
        last.replace(last.with_name("damaged.npz"))
    return found


def _find(folder: RunFolder, origin: Origin) -> tuple[State, float, str] | None:
    """Find what ``read`` returns; nothing is written."""
    paths = [folder.path / name for name in (CHECKPOINT, PREVIOUS)]
    found = [path for path in paths if path.exists()]
    problem = f"{paths[0]} is missing"
    for path in found:
        try:
            header, arrays = _load(path)
            state = _state(header, arrays)
            _check_terms(state)
        except CheckpointError:
            raise
        except Exception as error:  # zipfile and numpy raise whatever they stumble upon
            problem = f"{path} is damaged ({one_line(error)})"
            continue
        if difference := origin.difference(Origin(header.data_hash, header.settings)):
            raise CheckpointError(f"{folder.path / 'run.toml'}: {difference}")
        if path == paths[0]:
            return state, header.seconds, ""
        said = f"{problem}; going on from the one before, epoch {state.epoch}"
        return state, header.seconds, said
    if found:
        raise CheckpointError(f"{problem}; remove {folder.checkpoint} to begin anew")
    return None


def refusal(folder: Path, settings: Settings) -> str:
    """Why a run cannot go on from its checkpoint, in words; empty if it can, or begins anew.

    Whether the data are those of the run is not looked at: it takes their reading.
    """
    manifest = read_typed(folder / "manifest.json", dict[str, Any], {})
    origin = Origin.of(settings, manifest.get("data_hash", ""))
    try:
        if found := _find(RunFolder(folder), origin):
            refuse_limits(settings.search, *found[:2], goes_further=False)
    except ValueError as error:
        return str(error)
    return ""


def _load(path: Path) -> tuple[_Header, dict[str, NDArray[Any]]]:
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        record = parse_json(str(file["header"]))
        mark = typed(_Mark, record)
        if mark.format != FORMAT:
            newer = mark.format > FORMAT
            raise CheckpointError(
                f"{path} was written by symreg {one_line(mark.version, 40)} in format "
                f"{mark.format}; this is symreg {__version__}, which reads {FORMAT}: "
                + ("install the newer one" if newer else "finish it where it began, or begin anew")
            )
        return typed(_Header, record), {name: file[name] for name in file.files if name != "header"}


def _state(header: _Header, arrays: Mapping[str, NDArray[Any]]) -> State:
    populations = tuple(_part(arrays, f"island{n}_") for n in range(header.islands))
    front, rejected = (from_arrays(_part(arrays, f"{part}_")) for part in ("front", "rejected"))
    return State(
        epoch=header.epoch,
        candidates=header.candidates,
        populations=populations,
        front=front,
        rejected=rejected,
        improved=header.improved,
        quarantined=header.quarantined,
        seeds=tuple(seed.coded_terms for seed in from_arrays(_part(arrays, "seeds_"))),
    )


def check_keys(folder: RunFolder, state: State, keys: Sequence[Key]) -> None:
    """See that terms belong to the keys of the design; a CheckpointError if not."""
    try:
        _check_terms(state, keys)
    except ValueError as error:
        raise CheckpointError(
            f"the checkpoint is damaged ({error}); remove {folder.checkpoint} to begin anew"
        ) from None


def _check_terms(state: State, keys: Sequence[Key] | None = None) -> None:
    """See that terms have keys and all their constants: now, not in the middle of an epoch."""
    every = [*state.front, *state.rejected, *map(Individual, state.seeds)]
    every += [one for population in state.populations for one in from_arrays(population)]
    for coded in (coded for individual in every for coded in individual.coded_terms):
        if not 0 <= coded.key < (10**6 if keys is None else len(keys)):
            there = "" if keys is None else f"; there are {len(keys)}"
            raise ValueError(f"a term has the key {coded.key}{there}")
        if len(coded.constants) != coded.shape.n_constants:
            wanted = coded.shape.n_constants
            raise ValueError(f"a term of {wanted} constants has {len(coded.constants)}")
        if keys is not None:
            key = keys[coded.key]
            _check_variables(coded.shape.root, () if key.is_function else _variables(key.over))


def _variables(over: str) -> tuple[str, ...]:
    return ("x", *kind_of(over).variables)  # factors of products are functions of x


def _check_variables(node: Nested, known: Sequence[str]) -> None:
    """See that a nested form holds no other variables, and sums none but their own."""
    if node[0] == "sum":
        known = _variables(node[1][0])
    parts = operands(node)
    if not parts and node[0] not in ("const", "int", *known):
        raise ValueError(f"a term holds {node[0]}, which its key has not")
    for part in parts:
        _check_variables(part, known)


def _part(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {n.removeprefix(prefix): v for n, v in arrays.items() if n.startswith(prefix)}
