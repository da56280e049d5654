"""Systems of DeePMD-kit: folders with ``type.raw`` and ``set.*`` of NumPy arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from numpy.typing import NDArray

SHAPES = {"energy": (), "force": (-1, 3), "virial": (3, 3)}
"""Shape of each label of one frame; energies and virials in eV, forces in eV/Å."""


def is_deepmd(folder: Path) -> bool:
    """Tell whether a folder is a system of DeePMD-kit."""
    return (folder / "type.raw").is_file() and any(folder.glob("set.*/coord.npy"))


def read_deepmd(folder: Path, name: str) -> list[Atoms]:
    """Read all frames of a system; its folder is their group.

    Raises
    ------
    ValueError
        If an array is damaged or of the wrong size, or the elements have no names.
    """
    images: list[Atoms] = []
    types = np.loadtxt(folder / "type.raw", dtype=np.int64, ndmin=1)
    names = _names(folder, name)
    for part in sorted(folder.glob("set.*")):
        arrays = dict(_arrays(part, f"{name}/{part.name}"))
        if "coord" not in arrays:
            raise ValueError(f"{name}/{part.name} has no coord.npy; complete or remove the folder")
        here = arrays.pop("real_atom_types", np.tile(types, (len(arrays["coord"]), 1)))
        if here.size and not 0 <= here.min() <= here.max() < len(names):
            raise ValueError(
                f"{name}/{part.name} has atoms of type {here.min()} to {here.max()}, but "
                f"type_map.raw names {len(names)} elements; complete it"
            )
        periodic = not (folder / "nopbc").exists() and "box" in arrays
        for k in range(len(arrays["coord"])):
            symbols = [names[t] for t in here[k]]
            images.append(_frame(arrays, k, symbols, periodic, f"{name}/{part.name}"))
            images[-1].info["group"] = folder.name
    return images


def atoms_of_arrays(
    symbols: list[str],
    positions: NDArray[np.float64],
    cell: NDArray[np.float64] | None,
    labels: Mapping[str, NDArray[np.float64]],
) -> Atoms:
    """Return an ASE structure with labels by the names of DeePMD-kit."""
    atoms = Atoms(symbols, positions=positions, cell=cell, pbc=cell is not None)
    if "energy" in labels:
        atoms.info["energy"] = float(labels["energy"])
    if "force" in labels:
        atoms.new_array("forces", labels["force"])
    if "virial" in labels and cell is not None:
        atoms.info["virial"] = labels["virial"].reshape(9)
    return atoms


def _names(folder: Path, name: str) -> list[str]:
    """Return the elements of types 0, 1, ..."""
    path = folder / "type_map.raw"
    names = path.read_text(encoding="utf-8").split() if path.is_file() else []
    wrong = [x for x in names if x not in atomic_numbers]
    if not names or wrong:
        found = f"names '{wrong[0]}'" if wrong else "is missing"
        raise ValueError(
            f"{name}/type_map.raw {found}; it must hold the element of each type, one a line"
        )
    return names


def _arrays(part: Path, name: str) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the arrays of one set."""
    for key in ("coord", "box", "real_atom_types", *SHAPES):
        path = part / f"{key}.npy"
        if not path.is_file():
            continue
        try:
            yield key, np.load(path, allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise ValueError(f"{name}/{key}.npy cannot be read ({error}); write it again") from None


def _frame(
    arrays: Mapping[str, NDArray[Any]], k: int, symbols: list[str], periodic: bool, name: str
) -> Atoms:
    """Take frame ``k`` out of the arrays of a set."""
    n = len(symbols)
    sizes = {"coord": 3 * n, "box": 9, "energy": 1, "force": 3 * n, "virial": 9}
    for key, size in sizes.items():
        if key in arrays and (len(arrays[key]) <= k or arrays[key][k].size != size):
            raise ValueError(
                f"{name}/{key}.npy has shape {arrays[key].shape}; each of "
                f"{len(arrays['coord'])} frames of {n} atoms needs {size} numbers"
            )
    labels = {
        key: arrays[key][k].astype(np.float64).reshape(shape)
        for key, shape in SHAPES.items()
        if key in arrays
    }
    cell = arrays["box"][k].reshape(3, 3).astype(np.float64) if periodic else None
    return atoms_of_arrays(symbols, arrays["coord"][k].reshape(n, 3), cell, labels)
