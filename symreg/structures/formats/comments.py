"""Comment lines of extended XYZ: ``key=value`` pairs, with values as what they look like."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from symreg.files import parse_json

PAIR = re.compile(
    r"""
    \s*(?P<key>"[^"]*"|[^\s="]+)                                    # a key, quoted or not,
    (?:\s*=\s*(?P<value>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\{[^{}]*\}  # perhaps a quoted value,
    |\[(?:[^\[\]]|\[[^\[\]]*\])*\]|\S*))?                           # a list, or a word
    """,
    re.VERBOSE,
)
FORTRAN = re.compile(r"[dD](?=[+-]?\d+$)")
"""Exponent letter of a Fortran double, as in 1.0D+02."""
LOGICAL = {"T": True, "TRUE": True, "F": False, "FALSE": False}


def read_comment(line: str, where: str = "the comment line") -> dict[str, Any]:
    """Return the pairs of a comment line; a key alone is true.

    Parameters
    ----------
    line
        The line.
    where
        What to call it in a message.

    Raises
    ------
    ValueError
        If a key has two values.

    Examples
    --------
    >>> read_comment("Energy = -1.5 pbc='T T F' name=run_2 tail")
    {'Energy': -1.5, 'pbc': [True, True, False], 'name': 'run_2', 'tail': True}
    """
    words: dict[str, Any] = {}
    texts: dict[str, str] = {}
    for match in PAIR.finditer(line):
        key, text = match["key"].strip('"'), match["value"]
        words[key] = True
        if text is not None and texts.setdefault(key, text) != text:
            raise ValueError(f"{where} has both {key}={texts[key]} and {key}={text}; remove one")
    return words | {key: _value(text) for key, text in texts.items()}


def number(word: str) -> float:
    """Read a number, also with a Fortran exponent; ``ValueError`` if it is none."""
    if "_" in word:
        raise ValueError(f"'{word}' is not a number")
    try:
        return float(word)
    except ValueError:
        return float(FORTRAN.sub("e", word))


def _value(text: str) -> Any:
    """Return numbers, truth values, JSON, or else the text."""
    if text[:1] in ("'", '"', "{", "[") and len(text) > 1:
        text = re.sub(r"\\(.)", r"\1", text[1:-1])
    if text.startswith("_JSON "):
        return _json(text.removeprefix("_JSON "))
    words = text.replace(",", " ").replace("[", " ").replace("]", " ").split()
    for kind in (_integers, _floats, _logicals):
        try:
            values = kind(words)
        except (ValueError, KeyError, OverflowError):
            continue
        if len(values):
            return values[0] if len(values) == 1 else values
    return text


def _json(text: str) -> Any:
    """Return an array where JSON has one, else what it has."""
    try:
        value = parse_json(text)
    except ValueError:
        return text
    if isinstance(value, list):
        try:
            return np.array(value, dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            return value
    return value


def _integers(words: Sequence[str]) -> Any:
    if any("_" in word for word in words):
        raise ValueError
    values = [int(word) for word in words]
    return values if len(values) < 2 else np.array(values, dtype=np.int64)


def _floats(words: Sequence[str]) -> Any:
    values = [number(word) for word in words]
    return values if len(values) < 2 else np.array(values)


def _logicals(words: Sequence[str]) -> Any:
    values = []
    for word in words:
        if word not in ("T", "F", "true", "false", "True", "False", "TRUE", "FALSE"):
            raise KeyError
        values.append(LOGICAL[word.upper()])
    return values
