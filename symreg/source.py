"""The data as workers read them: files of the run folder, which all of them must see."""

from __future__ import annotations

import platform
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from symreg.constants import Fitter
from symreg.direct import Labelled
from symreg.gate import Gate
from symreg.projection import Design

Made = TypeVar("Made")


@dataclass(frozen=True)
class Source:
    """Where the data are."""

    path: str
    """The projected design; the labels lie beside it."""
    token: str
    """Changes with the data, and with the settings that they are read with."""

    def load(self) -> tuple[Fitter, Gate | None]:
        """What fits and tests candidates.

        Raises
        ------
        OSError
            If the files cannot be read here.
        """
        path = Path(self.path)
        if not path.is_file():
            raise FileNotFoundError(
                f"a worker on {platform.node()} cannot read {path}; "
                "the run folder must lie on a file system that all workers share"
            )
        design = Design.load(path)
        if not design.many_body:
            return Fitter(design), None
        data = Labelled.load(labels_beside(path))
        return data.fitter(design), data.gate(design)


def labels_beside(design: Path) -> Path:
    """Where the labels themselves are, which many-body terms need."""
    return design.with_name("labels.npz")


_made = threading.local()


def kept(make: Callable[..., Made], *arguments: Any) -> Made:
    """What a function makes of its arguments; this thread keeps what was made last.

    So a worker reads the data once, not for every task.
    """
    if getattr(_made, "of", None) != (make, arguments):
        _made.result = make(*arguments)
        _made.of = make, arguments
    result: Made = _made.result
    return result
