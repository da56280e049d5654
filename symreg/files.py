"""Files that are either old or new, never half: atomic writing and forgiving reading."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import ArrayLike

DEEPEST = 50
"""Levels of JSON that is read; no file of symreg's has ten."""


def write_text(path: Path, text: str) -> None:
    """Replace a text file in one step.

    Raises
    ------
    OSError
        If the disk is full or the folder cannot be written; the old file is then unharmed.
    """
    _replace(path, lambda stream: stream.write(text.encode("utf-8")))


def write_json(path: Path, record: Any) -> None:
    """Replace a JSON file in one step; numpy values become plain, NaN becomes null."""
    text = json.dumps(plain(record), indent=1, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def write_arrays(path: Path, arrays: Mapping[str, ArrayLike]) -> None:
    """Replace an npz file in one step; only plain arrays, never objects."""
    plain_arrays: dict[str, Any] = {name: np.asarray(value) for name, value in arrays.items()}
    assert not any(array.dtype.hasobject for array in plain_arrays.values())
    _replace(path, lambda stream: np.savez(stream, **plain_arrays))


def write_rows(
    path: Path, rows: Sequence[Mapping[str, object]], columns: Sequence[str] = ()
) -> None:
    """Replace a CSV file in one step.

    The header is the keys of the first row; where there are no rows, the names in ``columns``.
    """
    lines = [_csv_line(rows[0] if rows else columns)]
    lines += [_csv_line([_cell(value) for value in row.values()]) for row in rows]
    write_text(path, "".join(lines))


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a binary file in one step."""
    _replace(path, lambda stream: stream.write(content))


def append_text(path: Path, text: str) -> None:
    """Add to a text file.

    Raises
    ------
    OSError
        If it cannot be written; the message names it.
    """
    with _Naming(path), path.open("a", encoding="utf-8") as stream:
        stream.write(text)


def append_row(path: Path, row: Mapping[str, object]) -> None:
    """Add a line to a CSV file, after dropping one that was cut off half-way.

    Raises
    ------
    OSError
        If the line cannot be written.
    """
    old = path.read_bytes() if path.exists() else b""
    whole = old[: old.rfind(b"\n") + 1]
    line = _csv_line([_cell(value) for value in row.values()])
    if not whole:
        write_text(path, _csv_line(row) + line)
        return
    if whole != old:
        write_text(path, whole.decode("utf-8"))
    append_text(path, line)


def read_json(path: Path, absent: Any = None) -> Any:
    """Read a JSON file; ``absent``, unless it is None, stands for one that is missing.

    Raises
    ------
    OSError
        If it is missing or damaged; the message names it.
    """
    if absent is not None and not path.exists():
        return absent
    try:
        return parse_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise OSError(f"{path} is damaged: {one_line(error)}") from None


def parse_json(text: str) -> Any:
    """Read JSON; a ``ValueError`` of one line where it is none, or nested without end."""
    try:
        found = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    level = [found] if isinstance(found, dict | list) else []
    for _ in range(DEEPEST):
        inner = [one.values() if isinstance(one, dict) else one for one in level]
        level = [v for values in inner for v in values if isinstance(v, dict | list)]
        if not level:
            return found
    raise ValueError(f"it is nested deeper than {DEEPEST} levels")


def counted(n: int, one: str, several: str = "") -> str:
    """Return a number with its noun.

    >>> counted(1, "structure"), counted(2, "structure"), counted(1, "one has", "they have")
    ('1 structure', '2 structures', '1 one has')
    """
    return f"{n} {one if n == 1 else several or one + 's'}"


def one_line(words: object, most: int = 200) -> str:
    """Words of others on one line, shortened where they are many: for messages that quote them."""
    text = " ".join(str(words).split())
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read a CSV file; a last line that was cut off is left out."""
    text = path.read_text(encoding="utf-8", errors="replace")
    rows = list(csv.reader(io.StringIO(text[: text.rfind("\n") + 1])))
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:] if len(row) == len(rows[0])]


def plain(value: Any) -> Any:
    """Turn numpy values, tuples and the like into what JSON knows; NaN and infinities to None.

    >>> plain({"a": (np.float64(1.5), float("nan"))})
    {'a': [1.5, None]}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _csv_line(cells: Sequence[object] | Mapping[str, object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.10g}" if isinstance(value, float) else str(value)


class _Naming:
    """Say which file could not be written."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Raise the same kind of error with the name and the reason."""
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
            raise type(error)(f"cannot write {self.path}: {reason}") from error


def _replace(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write beside the file, then take its place."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with _Naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with draft.open("wb") as stream:
                write(stream)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)
