"""One thing that was noticed in the data: what it is, what it means for the fit, what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Finding(NamedTuple):
    """A note, or a warning if the data look wrong."""

    what: str
    means: str
    do: str = ""
    """Words to type, or what to do; empty where nothing needs to be done."""

    @property
    def text(self) -> str:
        """All of it in one line."""
        return f"{self.what}: {self.means}" + (f"; {self.do}" if self.do else "")


def listed(names: Sequence[str], most: int = 5, quote: str = "'") -> str:
    """Return the first few names.

    >>> listed(["a", "b", "c"], most=2)
    "'a', 'b' and 1 more"
    """
    shown = ", ".join(f"{quote}{name}{quote}" for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")


def at(source: str) -> str:
    """Return how ``leave_out`` names a frame.

    >>> at("a.extxyz frame 3")
    'a.extxyz@3'
    """
    return "@".join(source.rsplit(" frame ", 1))
