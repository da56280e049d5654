"""Tasks that run anywhere: the data as files that all workers must see, and who runs them."""

from __future__ import annotations

import gc
import platform
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

from symreg.fit.design import Design
from symreg.fit.projected.fitter import Fitter
from symreg.fit.rows import Labelled
from symreg.searching.gate import Gate
from symreg.versions import versions

Made = TypeVar("Made")


class WorkersLostError(OSError):
    """Workers are lost again and again."""


class AnyCrew(Protocol):
    """Runs pure tasks on workers, as ``symreg.workers`` does."""

    @property
    def tell(self) -> Callable[[str], object]:
        """Called with a line for each loss."""

    def run(
        self, work: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], attempts: int = ...
    ) -> list[Any]:
        """Results in the order of the tasks; None for a task that no worker survives."""


_READING = threading.Lock()
"""NumPy parses headers by ``ast``, which two threads at once break in Python 3.11 (gh-106905)."""
SAME = ("symreg", "numpy", "scipy", "numba", "llvmlite", "deap")
"""Packages that, like Python, must have the same version everywhere, or the front is another."""


@cache
def versions_here() -> tuple[tuple[str, str], ...]:
    """Python and packages that must be the same, as they are here."""
    return tuple(versions(SAME).items())


@dataclass(frozen=True)
class Source:
    """Where the data are."""

    path: str
    """The projected design; the labels lie beside it."""
    token: str
    """Changes with the data, and with the settings that they are read with."""
    versions: tuple[tuple[str, str], ...] = field(default_factory=versions_here)
    """Those of the search."""

    def load(self) -> tuple[Fitter, Gate | None]:
        """Objects that fit and test candidates, the latter where there are labels.

        Raises
        ------
        OSError, ValueError
            If the files cannot be read here, or versions here are not those of the search.
        """
        for (package, wanted), (_, found) in zip(self.versions, versions_here(), strict=True):
            if found != wanted:
                raise ValueError(
                    f"a worker on {platform.node()} has {package} {found}, where the search has "
                    f"{wanted}; install the same versions everywhere"
                )
        path = Path(self.path)
        if not path.is_file():
            raise FileNotFoundError(
                f"a worker on {platform.node()} cannot read {path}; "
                "the run folder must lie on a file system that all workers share"
            )
        with _READING:
            design = Design.load(path)
            labels = labels_beside(path)
            data = Labelled.load(labels) if design.many_body or labels.is_file() else None
        fitter = data.fitter(design) if data and design.many_body else Fitter(design)
        return fitter, gate_of(data, design) if data else None


def gate_of(data: Labelled, design: Design) -> Gate:
    """Tests candidates for labelled structures."""
    lengths = design.within(data.lengths)
    return Gate(data.structures, lengths, data.frozen, bound=design.many_body)


def labels_beside(design: Path) -> Path:
    """Where the labels themselves are, which many-body terms need."""
    return design.with_name("labels.npz")


@contextmanager
def no_search_for_cycles() -> Iterator[None]:
    """Nothing that is made here refers to itself; looking for what does took much of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


_made = threading.local()


def kept(make: Callable[..., Made], *arguments: Any) -> Made:
    """Value of a function, kept by this thread until the next: a worker reads the data once."""
    if getattr(_made, "of", None) != (make, arguments):
        _made.result = make(*arguments)
        _made.of = make, arguments
    result: Made = _made.result
    return result
