"""Configurations of MLIP, the program of moment tensor potentials: ``.cfg`` files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np
from ase import Atoms

BEGIN = "BEGIN_CFG"
ORDER = ("xx", "yy", "zz", "yz", "xz", "xy")


def read_mlip(path: Path, name: str, species: Sequence[str]) -> list[Atoms]:
    """Read all configurations of a ``.cfg`` file.

    Types are numbers from 0; ``species`` names them, in order. ``PlusStress`` is a virial in eV.

    Raises
    ------
    ValueError
        If ``species`` does not name a type, or the file is not as MLIP writes it.
    """
    images: list[Atoms] = []
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.split()[:1] != [BEGIN]:
                continue
            where = f"{name} frame {len(images)}"
            try:
                images.append(_configuration(file, species, where))
            except (StopIteration, IndexError, KeyError, ValueError) as error:
                if str(error).startswith(where):
                    raise
                raise ValueError(
                    f"{where} is not a configuration as MLIP writes it "
                    f"({type(error).__name__}: {error}); drop it or write it again"
                ) from None
    return images


def _configuration(file: TextIO, species: Sequence[str], where: str) -> Atoms:
    """Read from below BEGIN_CFG to END_CFG."""
    lines = _until_end(file)
    cell: list[list[str]] = []
    size, table, names = 0, [], []
    info: dict[str, object] = {}
    for words in lines:
        match words[0].rstrip(":").lower():
            case "size":
                size = int(next(lines)[0])
            case "supercell":
                cell = [next(lines) for _ in range(3)]
            case "atomdata":
                names = words[1:]
                table = [next(lines) for _ in range(size)]
            case "energy":
                info["energy"] = float(next(lines)[0])
            case "plusstress":
                virial = dict(zip(words[1:], map(float, next(lines)), strict=True))
                info["virial"] = np.array([virial[x] for x in ORDER])
            case "feature" if len(words) > 2:
                info[words[1]] = " ".join(words[2:])
    columns = dict(zip(names, np.array(table, dtype=float).T, strict=True))
    direct = "direct_x" in columns
    place = np.stack([columns[f"{'direct' if direct else 'cartes'}_{x}"] for x in "xyz"], axis=1)
    matrix = np.array(cell, dtype=float)
    atoms = Atoms(
        _symbols(columns["type"].astype(int).tolist(), species, where),
        positions=place @ matrix if direct else place,
        cell=matrix if cell else None,
        pbc=bool(cell),
        info=info,
    )
    if "fx" in columns:
        atoms.new_array("forces", np.stack([columns[f"f{x}"] for x in "xyz"], axis=1))
    return atoms


def _until_end(file: TextIO) -> Iterator[list[str]]:
    """Yield the words of each line up to END_CFG."""
    for line in file:
        words = line.split()
        if words[:1] == ["END_CFG"]:
            return
        if words:
            yield words


def _symbols(types: Sequence[int], species: Sequence[str], where: str) -> list[str]:
    """Name the types."""
    if max(types) >= len(species):
        raise ValueError(
            f"{where} has type {max(types)}, and MLIP files hold no elements; name those of "
            'type 0, 1, ... in order, as in [data] species = ["Mo", "Se"]'
        )
    return [species[t] for t in types]
