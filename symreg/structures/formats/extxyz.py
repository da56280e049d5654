"""Extended XYZ files into ASE structures: as written, or one line that says why not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from numpy.typing import NDArray

from symreg.structures.formats.comments import LOGICAL, number, read_comment

PLAIN = "species:S:1:pos:R:3"
"""Columns of a file that does not name them."""
MEANS = {"species": "symbols", "element": "symbols", "symbol": "symbols", "symbols": "symbols"}
MEANS |= {"z": "numbers", "pos": "positions", "positions": "positions", "position": "positions"}
"""Meaning of columns of these names, in any case; others keep theirs."""
CP2K = re.compile(r"\s*i\s*=\s*\d+,\s*(time\s*=\s*\S+,\s*)?E\s*=\s*\S+", re.IGNORECASE)
"""Comment line of a position file of CP2K."""
SHORTEST_LINE = 2
"""Characters that the line of an atom has at least, its end included."""


@dataclass(frozen=True)
class Column:
    """Some neighbouring columns of a table of atoms."""

    name: str
    kind: str
    """R, I, S or L: real, integer, text or logical."""
    first: int
    width: int


def read_extxyz(path: Path, name: str) -> Iterator[Atoms]:
    """Read the frames of an extended XYZ file, one after another.

    ``Lattice``, ``Properties`` and ``pbc`` are known in any case. Labels stay under their names,
    in ``info`` and ``arrays``; there is no calculator.

    Parameters
    ----------
    path
        The file.
    name
        What to call it in a message.

    Raises
    ------
    ValueError
        If a frame is not what its header says; the message names file, frame and line.
    """
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        yield from _frames(file, name, path.stat().st_size)


def _frames(file: TextIO, name: str, size: int) -> Iterator[Atoms]:
    """Yield frame after frame."""
    line_number, frame, before = 0, 0, "the file begins with it"
    for line in file:
        line_number += 1
        if not line.strip():
            continue
        where = f"{name} frame {frame}"
        n = _count(line, f"{where}, line {line_number}", before, size)
        block = list(islice(file, n + 1))
        if len(block) < n + 1:
            raise ValueError(
                f"{where} says that it has {n} atoms, but the file ends after "
                f"{max(len(block) - 1, 0)}; correct the number in line {line_number}, or remove "
                "the truncated frame"
            )
        yield _frame(block[0], block[1:], where, line_number + 2)
        line_number += n + 1
        frame += 1
        before = f"the frame before says that it has {n} atoms"


def _count(line: str, where: str, before: str, size: int) -> int:
    """Return the number of atoms of a frame."""
    word = line.strip()
    if not (word.isascii() and word.isdigit()):
        raise ValueError(f"{where}: expected a number of atoms, found '{word[:60]}'; {before}")
    if len(word) > 12 or int(word) * SHORTEST_LINE > size + SHORTEST_LINE:
        raise ValueError(
            f"{where}: it says {word[:20]} atoms, more than a file of {size} bytes can hold; "
            "correct the number"
        )
    return int(word)


def _frame(comment: str, lines: Sequence[str], where: str, first_line: int) -> Atoms:
    """Read one frame, whose atoms begin in ``first_line`` of the file."""
    if CP2K.match(comment):
        raise ValueError(
            f"{where} is of a position file of CP2K: its E is in hartree and its forces are in "
            "another file; name the output of CP2K instead, or write energy (eV) and forces "
            "(eV/Å) into one extended XYZ file (1 hartree is 27.211386 eV)"
        )
    info = read_comment(comment, where)
    named = _take(info, "properties", where)
    columns = _columns(PLAIN if named is None else str(named), where)
    width = columns[-1].first + columns[-1].width
    rows = [line.split() for line in lines]
    for k, row in enumerate(rows):
        if len(row) != width:
            told = "Properties names" if named is not None else "without Properties there are"
            raise ValueError(
                f"{where}, line {first_line + k} has {len(row)} columns, but {told} {width}; "
                "repair the line, or name all columns as in "
                "Properties=species:S:1:pos:R:3:forces:R:3"
            )
    arrays = {c.name: _array(c, rows, where, first_line) for c in columns}
    cell, pbc = _box(info, where)
    atoms = Atoms(
        _numbers(arrays, where, first_line),
        positions=arrays.pop("positions"),
        cell=cell,
        pbc=pbc,
        info=info,
    )
    for key, values in arrays.items():
        atoms.new_array(key, values)
    return atoms


def _take(info: dict[str, Any], key: str, where: str) -> Any:
    """Remove a key from ``info`` in whatever case it stands there, and return its value."""
    found = [k for k in info if k.lower() == key]
    if len(found) > 1:
        raise ValueError(f"{where} has both {found[0]}= and {found[1]}=; remove one of them")
    return info.pop(found[0]) if found else None


def _columns(text: str, where: str) -> list[Column]:
    """Split a description such as ``species:S:1:pos:R:3``."""
    fields = text.split(":")
    columns: list[Column] = []
    first = 0
    for name, kind, width in zip(fields[::3], fields[1::3], fields[2::3], strict=False):
        if kind.upper() not in ("R", "I", "S", "L") or not width.isdigit() or int(width) < 1:
            raise ValueError(
                f"{where}: Properties describes '{name}' as '{kind}:{width}'; it must be R, I, S "
                "or L and a number of columns, as in forces:R:3"
            )
        columns.append(Column(MEANS.get(name.lower(), name), kind.upper(), first, int(width)))
        first += int(width)
    names = [c.name for c in columns]
    if len(fields) % 3 or len(set(names)) < len(names):
        raise ValueError(
            f"{where}: Properties is '{text}'; it must be name:kind:columns, each name once, as "
            f"in {PLAIN}:forces:R:3"
        )
    if "positions" not in names or not {"symbols", "numbers"} & set(names):
        raise ValueError(f"{where}: Properties is '{text}'; it lacks species:S:1 or pos:R:3")
    return columns


def _array(column: Column, rows: Sequence[Sequence[str]], where: str, first: int) -> NDArray[Any]:
    """Convert the words of one column; an array of shape (n,) or (n, width)."""
    here = slice(column.first, column.first + column.width)
    kind: type = {"R": float, "I": int, "S": str, "L": bool}[column.kind]
    try:
        if column.kind == "L":
            values: list[Any] = [[LOGICAL[word.upper()] for word in row[here]] for row in rows]
        elif column.kind == "S":
            values = [row[here] for row in rows]
        else:
            values = [list(map(kind, row[here])) for row in rows]
    except (ValueError, KeyError):
        values = [
            [_entry(word, column, f"{where}, line {first + k}") for word in row[here]]
            for k, row in enumerate(rows)
        ]
    array: NDArray[Any] = np.array(values, dtype=kind).reshape(len(rows), column.width)
    return array[:, 0] if column.width == 1 else array


def _entry(word: str, column: Column, where: str) -> float:
    """Read what is not a plain number, or say where it stands."""
    try:
        value = number(word)
    except ValueError:
        stars = "its format was too narrow; " if "*" in word else ""
        raise ValueError(
            f"{where}: '{word}' in column {column.name} is not a number; {stars}"
            "write the file again, or drop the frame"
        ) from None
    if column.kind != "R" and value != round(value):
        raise ValueError(f"{where}: '{word}' in column {column.name} is not an integer")
    return value


def _numbers(arrays: dict[str, NDArray[Any]], where: str, first: int) -> list[int]:
    """Return atomic numbers, from symbols where there are some."""
    numbers = arrays.pop("numbers", None)
    if (symbols := arrays.pop("symbols", None)) is None:
        assert numbers is not None, "one of the two is there"
        found = [int(z) for z in numbers]
    else:
        found = [atomic_numbers.get(x.capitalize(), -1) for x in symbols.tolist()]
    for k, z in enumerate(found):
        if not 0 <= z < len(atomic_numbers):
            shown = symbols[k] if symbols is not None else z
            raise ValueError(f"{where}, line {first + k}: '{shown}' is not an element; name it")
    return found


def _box(info: dict[str, Any], where: str) -> tuple[NDArray[np.float64] | None, Any]:
    """Take cell and periodicity out of ``info``."""
    cell, pbc = _take(info, "lattice", where), _take(info, "pbc", where)
    if cell is not None:
        if np.shape(cell) != (9,) or np.asarray(cell).dtype.kind not in "if":
            raise ValueError(
                f"{where}: Lattice is '{cell}'; it must hold nine numbers, the cell vectors one "
                "after the other"
            )
        cell = np.reshape(cell, (3, 3)).astype(np.float64)
    if pbc is None:
        return cell, cell is not None
    flags = np.atleast_1d(np.asarray(pbc))
    if flags.shape not in ((1,), (3,)) or any(x not in (0, 1) for x in flags.tolist()):
        raise ValueError(f"{where}: pbc is '{pbc}'; it must be three of T and F, as in \"T T F\"")
    return cell, flags.astype(bool) if flags.size == 3 else bool(flags[0])
