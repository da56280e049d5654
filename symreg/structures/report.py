"""Read the ``[data]`` of a run file, and report what was read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from symreg.structures.data import Structures, data_hash
from symreg.structures.distances import check_overlaps, isolated_atoms
from symreg.structures.files import data_files, read_images, shown_path
from symreg.structures.frames import Frame, assemble, check_labelled, collect
from symreg.structures.labels import available_keys
from symreg.structures.lint import lint
from symreg.structures.settings import QUANTITIES, SPLITS, DataSettings
from symreg.structures.split import choose_validation, trajectory_name


@dataclass(frozen=True, kw_only=True)
class DataReport:
    """Summary of the data that were read; ``data.json`` of a run folder."""

    files: Mapping[str, Mapping[str, Any]]
    """For each file: its setting, structures, and how often each key was taken."""
    structures: Mapping[str, int]
    """Structures in each split."""
    atoms: Mapping[str, int]
    """Atoms in each split."""
    groups: Mapping[str, Mapping[str, Mapping[str, int]]]
    """For each group and split: structures and atoms."""
    labels: Mapping[str, int]
    """Structures that carry each quantity."""
    species: tuple[str, ...]
    """Elements that occur."""
    closest: Mapping[str, float]
    """Smallest distance in Å of each pair of elements, such as ``Ga-As``."""
    max_force: float | None
    """Largest force on an atom in eV/Å."""
    isolated_atoms: Mapping[str, float | None]
    """Energy in eV of an isolated atom of each element, where there is one."""
    notes: tuple[str, ...]
    """Decisions taken while reading."""
    warnings: tuple[str, ...]
    """Warnings of data that look wrong."""
    data_hash: str
    """SHA-256 of the arrays."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain types, ready for JSON."""
        return asdict(self)


def read_structures(settings: DataSettings, folder: Path) -> tuple[Structures, DataReport]:
    """Read, check and split all structures of a run.

    Parameters
    ----------
    settings
        The ``[data]`` table.
    folder
        Where relative paths start: the folder of the run file.

    Raises
    ------
    FileNotFoundError
        If a path or glob matches no file.
    ValueError
        If a file or label is unusable; the message says where and what to do.
    """
    frames: list[Frame] = []
    left_out: list[Frame] = []
    split: list[int] = []
    files: dict[str, dict[str, Any]] = {}
    for path, number in data_files(settings, folder).items():
        name = shown_path(path, folder)
        images = read_images(path, name)
        of_file = collect(
            images,
            [f"{name} frame {n}" for n in range(len(images))],
            keys=settings.keys,
            group_key=settings.group_key,
            home=name,
        )
        left_out += [frame for frame in of_file if frame.group in settings.leave_out]
        of_file = [frame for frame in of_file if frame.group not in settings.leave_out]
        check_labelled(of_file)
        files[name] = {
            "split": SPLITS[number],
            "structures": len(of_file),
            "keys": {q: _keys_taken(of_file, q) for q in QUANTITIES},
        }
        frames += of_file
        split += [number] * len(of_file)
    notes = _left_out_notes(left_out, frames, settings)
    _check_names(frames, settings)
    notes += _notes(frames, settings)
    if not settings.validation:
        notes += _set_aside(frames, split, settings)
    structures = assemble(frames, split)
    return structures, _report(structures, files, notes)


def _keys_taken(frames: Sequence[Frame], quantity: str) -> dict[str, int]:
    """Return how often each key was taken for a quantity."""
    return dict(Counter(f.labels.keys[quantity] for f in frames if quantity in f.labels.keys))


def _left_out_notes(
    left_out: Sequence[Frame], frames: Sequence[Frame], settings: DataSettings
) -> list[str]:
    """Say how many structures are left out; stop where a group is unknown, or none remain."""
    groups = {frame.group for frame in left_out}
    for unknown in sorted(set(settings.leave_out) - groups):
        known = ", ".join(sorted(groups | {frame.group for frame in frames}))
        raise ValueError(f"[data] leave_out names the group '{unknown}'; the groups are {known}")
    if not frames:
        raise ValueError("[data] leave_out leaves no structures; take a group out of it")
    names = ", ".join(settings.leave_out)
    return [f"left out {len(left_out)} structures: {names}"] if left_out else []


def _check_names(frames: Sequence[Frame], settings: DataSettings) -> None:
    """Stop where a key, group or element of the run file is not that of the data."""
    first = f"{frames[0].source} has {available_keys(frames[0].atoms)}"
    for quantity, key in settings.keys.items():
        if key and not any(quantity in f.labels.keys for f in frames):
            raise ValueError(f'[data] {quantity}_key is "{key}", which no structure has; {first}')
    if settings.group_key != "group" and not any(settings.group_key in f.info for f in frames):
        raise ValueError(
            f'[data] group_key is "{settings.group_key}", which no structure has; {first}'
        )
    groups = {f.group for f in frames}
    for unknown in sorted(set(settings.weights) - groups):
        raise ValueError(
            f"[data.weights] names the group '{unknown}'; the groups are "
            f"{', '.join(sorted(groups))}"
        )
    for frame in frames if settings.species else ():
        for other in sorted(set(frame.atoms.get_chemical_symbols()) - set(settings.species)):
            raise ValueError(
                f"{frame.source} contains {other}, which is not among [data] species "
                f"({', '.join(settings.species)}); add it, or drop the structure"
            )


def _notes(frames: Sequence[Frame], settings: DataSettings) -> list[str]:
    """Say where something was chosen that the user did not ask for."""
    notes = []
    gaps = [abs(f.labels.free_minus_energy) for f in frames]
    if max(gaps) > 1e-6:
        notes.append(
            f"energy and free energy differ in {np.count_nonzero(np.array(gaps) > 1e-6)} "
            f"structures, by up to {max(gaps):.4g} eV: took the free energy, since forces are "
            "its slopes"
        )
    for quantity in ("energy", "forces"):
        without = [f.source for f in frames if quantity not in f.labels.keys]
        if without:
            notes.append(f"{len(without)} structures have no {quantity}, the first {without[0]}")
        keys = _keys_taken(frames, quantity)
        if len(keys) > 1:
            taken = ", ".join(f"{key} ({count})" for key, count in keys.items())
            notes.append(f"{quantity} was found under several keys: {taken}")
    unnamed = sum(trajectory_name(f.info) is None for f in frames)
    if unnamed and settings.split == "trajectory":
        notes.append(
            f"{unnamed} structures have no info key trajectory, description or config_type that "
            "tells runs apart: each group of a file counts as one trajectory"
        )
    return notes


def _set_aside(frames: Sequence[Frame], split: list[int], settings: DataSettings) -> list[str]:
    """Move a part of the training structures to validation, and return notes."""
    train = [s for s, number in enumerate(split) if number == SPLITS.index("train")]
    chosen, notes = choose_validation(
        [frames[s].group for s in train],
        [frames[s].trajectory for s in train],
        settings.split,
        settings.validation_fraction,
    )
    for s in np.flatnonzero(chosen):
        split[train[s]] = SPLITS.index("validation")
    return notes


def _report(
    structures: Structures, files: Mapping[str, Mapping[str, Any]], notes: Sequence[str]
) -> DataReport:
    """Count and check what was read."""
    closest = check_overlaps(structures)
    checked, found = lint(structures)
    names = [SPLITS[k] for k in structures.split]
    groups: dict[str, dict[str, dict[str, int]]] = {}
    for group, split, n in zip(structures.group, names, structures.n_atoms, strict=True):
        cell = groups.setdefault(group, {}).setdefault(split, {"structures": 0, "atoms": 0})
        cell["structures"] += 1
        cell["atoms"] += int(n)
    force = np.linalg.norm(structures.forces, axis=1)
    force = force[np.isfinite(force)]
    return DataReport(
        files=files,
        structures={x: names.count(x) for x in SPLITS},
        atoms={
            x: int(structures.n_atoms[structures.split == k].sum()) for k, x in enumerate(SPLITS)
        },
        groups=groups,
        labels={
            "energy": int(np.isfinite(structures.energy).sum()),
            "forces": int(np.isfinite(structures.forces[structures.start[:-1], 0]).sum()),
            "stress": int(np.isfinite(structures.stress[:, 0]).sum()),
        },
        species=structures.species,
        closest={f"{a}-{b}": d for (a, b), d in closest.items()},
        max_force=float(force.max()) if force.size else None,
        isolated_atoms=_isolated(structures),
        notes=(*notes, *checked),
        warnings=tuple(found),
        data_hash=data_hash(structures),
    )


def _isolated(structures: Structures) -> dict[str, float | None]:
    """Return the energy of an isolated atom of each element that has one."""
    found: dict[str, float | None] = {}
    for s in np.flatnonzero(isolated_atoms(structures)):
        energy = float(structures.energy[s])
        symbol = structures.formula(int(s))
        found[symbol] = energy if np.isfinite(energy) else found.get(symbol)
    return found
