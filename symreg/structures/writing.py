"""ASE structures into extended XYZ that holds every digit, so that reading it gives them back."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from symreg.files import write_text
from symreg.structures.formats.comments import read_comment
from symreg.structures.labels import frame_info

LABELS = ("energy", "free_energy", "forces", "stress")
"""Results of a calculator that are kept."""
TAKEN = ("lattice", "properties", "pbc")
"""Keys of a comment line that mean something else."""
TENSORS = ("stress", "virial")
"""Keys under which ASE reads nine numbers only."""
KINDS = {"f": "R", "i": "I", "u": "I", "b": "L", "U": "S"}
"""Letters of columns by those of arrays."""


def write_extxyz(path: Path, images: Sequence[Atoms]) -> None:
    """Write structures with ``info``, arrays and what a calculator has found.

    Numbers have all their digits, where ASE writes eight. What one line of text cannot hold, such
    as an object or a table of tables, is left out.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    write_text(path, "".join(map(_frame, images)))


def _frame(atoms: Atoms) -> str:
    """Write one frame; labels of the calculator come first, as they do when they are read."""
    results = {k: v for k, v in (getattr(atoms.calc, "results", None) or {}).items() if k in LABELS}
    arrays = {"pos": atoms.positions, **{k: results[k] for k in ("forces",) if k in results}}
    arrays |= {k: v for k, v in atoms.arrays.items() if k not in ("numbers", "positions", *arrays)}
    columns = {name: np.asarray(values) for name, values in arrays.items()}
    columns = {name: values for name, values in columns.items() if _is_column(name, values)}
    info = {k: v for k, v in results.items() if k != "forces"}
    info |= {k: v for k, v in frame_info(atoms).items() if k not in info}
    words = [_properties(columns), f'pbc="{_text(np.asarray(atoms.pbc))}"']
    if atoms.cell.any():
        words.insert(0, f'Lattice="{_text(atoms.cell.array)}"')
    words += filter(None, (_pair(key, value) for key, value in info.items()))
    rows = [[symbol] for symbol in atoms.get_chemical_symbols()]
    for values in columns.values():
        for row, entry in zip(rows, values, strict=True):
            row.append(_text(np.asarray(entry)))
    return "\n".join([str(len(atoms)), " ".join(words), *map(" ".join, rows)]) + "\n"


def _is_column(name: str, values: NDArray[Any]) -> bool:
    """Whether the words of a table can hold an array over atoms."""
    if values.ndim not in (1, 2) or not values.size or values.dtype.kind not in KINDS:
        return False
    split = values.dtype.kind == "U" and any(re.search(r"^$|\s", x) for x in values.flat)
    return not (split or re.search(r'[\s":=]|^$', name) or name.lower() == "species")


def _properties(columns: Mapping[str, NDArray[Any]]) -> str:
    widths = {name: values[0].size for name, values in columns.items()}
    named = [f"{name}:{KINDS[columns[name].dtype.kind]}:{n}" for name, n in widths.items()]
    return f"Properties={':'.join(['species:S:1', *named])}"


def _pair(key: object, value: object) -> str:
    """Write one entry of ``info`` such that it is read as it was; empty where that cannot be."""
    if not isinstance(key, str) or key.lower() in TAKEN or re.search(r'["\n\r]|^$', key):
        return ""
    array = np.asarray(value)
    if array.dtype.kind not in KINDS or array.ndim > 2 or not array.size:
        return ""
    quoted = f'"{key}"' if re.search(r"[\s='{}\[\]]", key) else key
    if key.lower() in TENSORS and array.shape == (6,):
        array = array[[[0, 5, 4], [5, 1, 3], [4, 3, 2]]]
    if array.shape == (3, 3):
        array = array.T.ravel()  # by columns, as ASE has it
    if array.dtype.kind != "U":
        table = array.ndim == 2 and array.dtype.kind != "b"
        return f'{quoted}="{f"_JSON {json.dumps(array.tolist())}" if table else _text(array)}"'
    if array.ndim or re.search(r"[\n\r]", str(value)):
        return ""
    plain = re.sub(r'(["\\])', r"\\\1", str(value))
    # A text that looks like a number or like JSON would be read as such.
    texts = (plain, f"_JSON {json.dumps(str(value))}".replace("\\", "\\\\").replace('"', '\\"'))
    pairs = (f'{quoted}="{text}"' for text in texts)
    return next((pair for pair in pairs if _reads(pair, key) == str(value)), "")


def _reads(pair: str, key: str) -> str | None:
    """Text under a key of a comment line; None if it is read as something else."""
    value = read_comment(pair).get(key)
    return value if isinstance(value, str) else None


def _text(values: NDArray[Any]) -> str:
    """Words for numbers, truth values and texts, row after row."""
    words = {True: "T", False: "F"} if values.dtype.kind == "b" else {}
    return " ".join(words.get(x) or str(x) for x in values.ravel().tolist())
