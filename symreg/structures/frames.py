"""ASE structures into flat arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms

from symreg.structures.data import Structures
from symreg.structures.formats.converged import is_converged
from symreg.structures.formats.units import declared_units
from symreg.structures.labels import (
    Labels,
    available_keys,
    frame_info,
    read_labels,
)
from symreg.structures.periodic import FLAT
from symreg.structures.settings import QUANTITIES, SPLITS
from symreg.structures.split import trajectory_name

LARGEST = 1e4
"""Coordinate or component of a cell vector in Å beyond which a frame is refused."""
CELL_KEYS = ("lattice", "cell", "box")
"""Info keys that hold a cell which the reader of the file left there."""


@dataclass(frozen=True)
class Frame:
    """One structure as its file has it."""

    atoms: Atoms
    source: str
    """Name in messages, such as ``a.extxyz frame 3``."""
    info: Mapping[str, Any]
    labels: Labels
    group: str
    trajectory: str
    converged: bool = True
    """False where the file says that self-consistency was not reached."""


def collect(
    images: Sequence[Atoms],
    sources: Sequence[str],
    *,
    keys: Mapping[str, str],
    group_key: str,
    home: str,
) -> list[Frame]:
    """Check ASE structures and read their labels; frames of no named run belong to ``home``."""
    frames = []
    for image, source in zip(images, sources, strict=True):
        info = frame_info(image)
        atoms = _in_angstrom(image, info, source)
        _check_geometry(atoms, source)
        group = str(info.get(group_key, info.get("config_type", "all")))
        run = trajectory_name(info)
        frames.append(
            Frame(
                atoms=atoms,
                source=source,
                info=info,
                labels=read_labels(image, source, keys),
                group=group,
                trajectory=f"{home}: {group}" if run is None else run,
                converged=is_converged(info),
            )
        )
    return frames


def check_labelled(frames: Sequence[Frame]) -> None:
    """Stop at a frame without energy and forces, saying which keys it has."""
    for frame in frames:
        if not {"energy", "forces"} & set(frame.labels.keys):
            raise ValueError(
                f"{frame.source} has neither an energy nor forces under a usual name; it has "
                f"{available_keys(frame.atoms)}; name the right key, as in "
                '[data] energy_key = "my_energy"'
            )


def from_atoms(
    images: Sequence[Atoms],
    *,
    sources: Sequence[str] | None = None,
    energy_key: str = "",
    forces_key: str = "",
    stress_key: str = "",
    group_key: str = "group",
    split: str = "train",
) -> Structures:
    """Turn ASE structures into flat arrays.

    Parameters
    ----------
    images
        Structures with their labels in calculator, ``info`` or ``arrays``; labels may be absent.
    sources
        What to call each in a message; ``structure 3`` and so on when absent.
    energy_key, forces_key, stress_key, group_key
        As in ``DataSettings``.
    split
        One of ``SPLITS``, for all of them.

    Raises
    ------
    ValueError
        If a structure is empty, or a label is ambiguous or not finite.

    Examples
    --------
    >>> atoms = Atoms("Ar2", positions=[[0, 0, 0], [0, 0, 3.8]], info={"energy": -0.012})
    >>> from_atoms([atoms]).energy
    array([-0.012])
    """
    keys = dict(zip(QUANTITIES, (energy_key, forces_key, stress_key), strict=True))
    names = sources or [f"structure {s}" for s in range(len(images))]
    frames = collect(images, names, keys=keys, group_key=group_key, home="structures")
    return assemble(frames, [SPLITS.index(split)] * len(frames))


def assemble(frames: Sequence[Frame], split: Sequence[int]) -> Structures:
    """Lay frames one after the other in flat arrays."""
    if not frames:
        raise ValueError("there are no structures; at least one is needed")
    symbols = [frame.atoms.get_chemical_symbols() for frame in frames]
    species = tuple(sorted({x for names in symbols for x in names}))
    number = {x: k for k, x in enumerate(species)}
    labels = [frame.labels for frame in frames]
    return Structures(
        species=species,
        start=np.cumsum([0, *map(len, symbols)], dtype=np.int64),
        kind=np.array([number[x] for names in symbols for x in names], dtype=np.int64),
        positions=np.concatenate([f.atoms.positions for f in frames], dtype=np.float64),
        cell=np.array([f.atoms.cell.array for f in frames], dtype=np.float64),
        pbc=np.array([f.atoms.pbc for f in frames], dtype=bool),
        energy=np.array([x.energy for x in labels], dtype=np.float64),
        forces=np.concatenate([x.forces for x in labels], dtype=np.float64),
        stress=np.array([x.stress for x in labels], dtype=np.float64),
        group=tuple(f.group for f in frames),
        trajectory=tuple(f.trajectory for f in frames),
        split=np.array(split, dtype=np.int64),
        source=tuple(f.source for f in frames),
    )


def _in_angstrom(atoms: Atoms, info: Mapping[str, Any], source: str) -> Atoms:
    """Return the structure in Å, a copy without labels if its file declares another length."""
    factor = declared_units(info, source, len(atoms)).factors.get("length", 1.0)
    if factor == 1.0:
        return atoms
    scaled: Atoms = atoms.copy()
    scaled.positions *= factor
    scaled.cell *= factor
    return scaled


def _check_geometry(atoms: Atoms, source: str) -> None:
    """Stop at a frame whose geometry cannot be what its author meant."""
    if not len(atoms):
        raise ValueError(f"{source} has no atoms; drop it")
    wrong = [k for k, v in atoms.info.items() if str(k).lower() in CELL_KEYS and np.size(v) > 2]
    if wrong and not atoms.pbc.any() and not atoms.cell.any():
        raise ValueError(
            f"{source} has its cell under '{wrong[0]}', where nobody looks, leaving a cluster; "
            "write it under 'Lattice'"
        )
    for what, numbers in (("position", atoms.positions), ("cell vector", atoms.cell.array)):
        good = np.abs(numbers) <= LARGEST
        if not good.all():
            row = int(np.argmin(good.all(axis=1)))
            raise ValueError(
                f"{source}: {what} {row} is {numbers[row]} Å; it must be finite and within "
                f"{LARGEST:g} Å, so repair or drop the frame"
            )
    periodic = atoms.cell.array[atoms.pbc]
    box = np.prod(np.linalg.norm(periodic, axis=1))
    if not np.sqrt(max(np.linalg.det(periodic @ periodic.T), 0)) > FLAT * box:
        raise ValueError(
            f"{source} is periodic along {len(periodic)} directions, but those cell vectors are "
            "zero or parallel; give the whole cell, or set pbc to F there"
        )
    if (atoms.numbers == 0).any():
        raise ValueError(f"{source} has an atom without an element ('X'); name it or remove it")
