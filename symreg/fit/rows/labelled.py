"""The labels of a run in a file, for worker processes."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from symreg.files import write_arrays
from symreg.fit.design import Design
from symreg.fit.projected.fitter import Fitter
from symreg.fit.rows.fitter import DirectFitter
from symreg.fit.rows.rows import all_rows, screening_rows
from symreg.structures import Structures
from symreg.terms.lengths import Lengths


@dataclass(frozen=True, eq=False)
class Labelled:
    """Structures with the lengths of their formulas."""

    structures: Structures
    lengths: Lengths

    def fitter(self, design: Design) -> DirectFitter:
        """Fits candidates of every kind to the training labels."""
        rows = all_rows(self.structures, design, self.lengths)
        screen = screening_rows(self.structures, design, self.lengths)
        return DirectFitter(Fitter(design), rows, rows if screen is None else screen)

    def save(self, path: Path) -> None:
        """Write to an npz file, all of it or nothing.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        values = {f.name: getattr(self.structures, f.name) for f in fields(Structures)}
        arrays = {n: value for n, value in values.items() if isinstance(value, np.ndarray)}
        header = {
            "texts": {n: value for n, value in values.items() if n not in arrays},
            "lengths": self.lengths.to_dict(),
        }
        write_arrays(path, {**arrays, "header": np.array(json.dumps(header))})

    @staticmethod
    def load(path: Path) -> Labelled:
        """Undo ``save``."""
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays: dict[str, Any] = {name: file[name] for name in file.files}
        header = json.loads(str(arrays.pop("header")))
        texts: dict[str, Any] = {name: tuple(value) for name, value in header["texts"].items()}
        return Labelled(Structures(**arrays, **texts), Lengths.from_dict(header["lengths"]))
