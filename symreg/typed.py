"""Plain data against types: numbers within their ranges, records of the right shape.

A type may be a number, a text, ``X | None``, a list or tuple, a mapping, a matrix, a dataclass, or
a class with ``from_data``; ``Annotated[float, Range(0, 1)]`` bounds a number.
"""

from __future__ import annotations

import math
import sys
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from symreg.files import one_line, read_json

T = TypeVar("T")
_KINDS: dict[Any, str] = {
    int: "an integer",
    float: "a finite number",
    str: "a text",
    bool: "true or false",
}


class Range(NamedTuple):
    """Bounds of a number, both allowed; stands beside its type."""

    low: float
    high: float
    unit: str = ""
    below: bool = False
    """Whether ``high`` itself is not allowed."""
    zero: str = ""
    """Effect of 0, where that is allowed too although it is out of the bounds."""

    def holds(self, value: float) -> bool:
        """Whether a number is within; NaN never is."""
        within = self.low <= value and (value < self.high if self.below else value <= self.high)
        return within or (bool(self.zero) and value == 0)

    def __str__(self) -> str:
        """The range in words, as in ``from 0.1 to 100 Å``."""
        end = "up to but not including" if self.below else "to"
        text = f"from {_number(self.low)} {end} {_number(self.high)}{self.unit and f' {self.unit}'}"
        return f"{text}, or 0 to {self.zero}" if self.zero else text


_LARGEST = {
    int: Range(-(2**63), 2**63 - 1),
    float: Range(-sys.float_info.max, sys.float_info.max),
}
"""Numbers that a computer can hold."""


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) and abs(value) < 10**12 else f"{value:g}"


@cache
def hints_of(kind: Any) -> dict[str, Any]:
    """Types of the fields of a dataclass, ranges included."""
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in fields(kind)}


def ranges_in(hint: Any) -> list[Range]:
    """The ranges that stand in a type, as in that of an optional number or of a mapping's."""
    marks = [mark for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, Range)]
    return marks + [found for part in get_args(hint) for found in ranges_in(part)]


def check_ranges(record: object, table: str = "", error: type[ValueError] = ValueError) -> None:
    """Refuse numbers of a dataclass that are out of the ranges beside their types.

    The ``table`` is that of a run file, where the dataclass holds settings.

    Raises
    ------
    ValueError
        The first of them, as in ``[search] workers is 0; it must be from 1 to 1,024``; or an
        ``error`` of another class.
    """
    kind: Any = type(record)
    for name, hint in hints_of(kind).items():
        for span in ranges_in(hint):
            for key, value in _numbers(getattr(record, name), table, name):
                is_number = isinstance(value, int | float | np.number)
                if isinstance(value, bool) or not (is_number and span.holds(value)):
                    raise error(f"{key} is {_shown(value)}; it must be {span}")


def _numbers(value: Any, table: str, name: str) -> list[tuple[str, Any]]:
    """Numbers that the value of a field must hold, each with its name."""
    if isinstance(value, Mapping):
        head = f"[{table}.{name}] " if table else f"{name}."
        return [(f"{head}{key}", one) for key, one in value.items()]
    there = value is not None and not isinstance(value, str)
    return [(f"[{table}] {name}" if table else name, value)] if there else []


def _shown(value: Any) -> str:
    """A value as a file has it."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return f"{value:g}" if isinstance(value, float) else one_line(repr(value), 60)


def read_typed(path: Path, hint: type[T], absent: Any = None) -> T:
    """Read a JSON file as a type; ``absent``, unless it is None, is read where there is none.

    Raises
    ------
    OSError
        If it is missing or damaged; one line names it, the key, and what was expected.
    """
    try:
        return typed(hint, read_json(path, absent))
    except ValueError as error:
        raise OSError(f"{path} is damaged: {error}") from None


def read_with(path: Path, hint: type[T], *needed: str) -> T:
    """Read a JSON object as a type, or the type's defaults where there is no file.

    Raises
    ------
    OSError
        If it is damaged, or lacks one of the keys ``needed``; one line names it.
    """
    for key in needed if path.exists() else ():
        if key not in read_typed(path, dict[str, Any]):
            raise OSError(f"{path} is damaged: it has no '{key}'; put a copy of it back")
    return read_typed(path, hint, {})


def typed(hint: type[T], value: Any, key: str = "") -> T:
    """Turn plain data of a file into a type.

    Where a number is expected null stands for one that is not finite, as NaN. What a dataclass
    does not know is left out, what a file does not have takes its default.

    Raises
    ------
    ValueError
        If that is impossible; one line names the key and says what was expected.
    """
    found: T = _typed(hint, value, key)
    return found


def _typed(hint: Any, value: Any, key: str) -> Any:
    origin, parts = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin is Annotated:
        return _simple(parts[0], value, key, *ranges_in(hint))
    if origin in (Union, types.UnionType):
        return _either(parts, value, key)
    if hint in _KINDS:
        return _simple(hint, value, key)
    if origin is np.ndarray:
        return _array(value, key)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {name: _typed(parts[1], one, _below(key, name)) for name, one in table(value, key)}
    if isinstance(origin, type) and issubclass(origin, Sequence):
        made = [_typed(parts[0], one, f"{key}[{n}]") for n, one in enumerate(_list(value, key))]
        return tuple(made) if origin is tuple else made
    if issubclass(hint, tuple):  # with names
        return _named_tuple(hint, _list(value, key), key)
    if isinstance(value, hint):
        return value
    if hasattr(hint, "from_data"):
        return hint.from_data(value, key)
    assert isinstance(hint, type)
    return hint(**values_of(hint, value, key))


def values_of(kind: Any, record: Any, key: str = "") -> dict[str, Any]:
    """Values of the fields of a dataclass that a file has, each of its type."""
    known, found = dict(table(record, key)), {}
    needed = {f.name for f in fields(kind) if f.default is f.default_factory is MISSING}
    for name, hint in hints_of(kind).items():
        if name in known:
            found[name] = _typed(hint, known[name], _below(key, name))
        elif name in needed and type(None) in get_args(hint):
            found[name] = None
        elif name in needed:
            raise ValueError(f"{key or 'it'} has no entry '{name}'")
    return found


def table(value: Any, key: str = "") -> Any:
    """Entries of what must be an object of JSON."""
    if not isinstance(value, Mapping):
        raise _wrong(key, value, "an object with entries")
    return value.items()


def _list(value: Any, key: str) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise _wrong(key, value, "a list")
    return value


def _simple(hint: Any, value: Any, key: str, span: Range | None = None) -> Any:
    if value is None and hint is float and span is None:
        return math.nan
    kinds = (int, float) if hint is float else hint
    fits = isinstance(value, kinds) and (hint is bool or not isinstance(value, bool))
    if fits and hint in (int, float):
        fits = (span or _LARGEST[hint]).holds(value)
    if not fits:
        raise _wrong(key, value, _KINDS[hint] if span is None else f"a number {span}")
    return float(value) if hint is float else value


def _either(parts: Sequence[Any], value: Any, key: str) -> Any:
    """The first type that fits; the complaint of the last if none does."""
    if value is None and type(None) in parts:
        return None
    *others, last = [part for part in parts if part is not type(None)]
    for part in others:
        try:
            return _typed(part, value, key)
        except ValueError:
            continue
    return _typed(last, value, key)


def _array(value: Any, key: str) -> Any:
    """Rows of numbers, as long as each other."""
    rows = _typed(list[list[float]], value, key)
    if len({len(row) for row in rows}) > 1:
        raise ValueError(f"rows of {key} differ in length")
    return np.array(rows, dtype=float)


def _named_tuple(hint: Any, values: Sequence[Any], key: str) -> Any:
    hints = get_type_hints(hint, include_extras=True)
    if len(values) != len(hints):
        raise _wrong(key, values, f"a list of {', '.join(hints)}")
    named = zip(hints.items(), values, strict=True)
    return hint(*(_typed(one, value, _below(key, name)) for (name, one), value in named))


def _below(key: str, name: str) -> str:
    return f"{key}.{name}" if key else str(name)


def _wrong(key: str, value: Any, expected: str) -> ValueError:
    return ValueError(f"{key or 'it'} is {_shown(value)}; it must be {expected}")
