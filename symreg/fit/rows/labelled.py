"""The labels of a run in a file, for worker processes."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from symreg.files import write_arrays
from symreg.fit.design import Design
from symreg.fit.projected.fitter import Fitter
from symreg.fit.rows.fitter import DirectFitter
from symreg.fit.rows.rows import all_rows, screening_rows
from symreg.structures import Structures
from symreg.structures.targets import Targets
from symreg.terms import Expression
from symreg.terms.expression import NOTHING
from symreg.terms.lengths import Lengths

LABELS = "energy", "forces", "stress"
"""Names of the labels in structures, and of what is predicted."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """Structures with the lengths of their formulas, and terms of these that stay as they are."""

    structures: Structures
    lengths: Lengths
    frozen: Expression = NOTHING
    """Terms that every formula has, whatever is fitted."""
    rest: Structures | None = None
    """The structures with labels less what the frozen terms give; those themselves if None."""
    targets: Targets | None = None
    """Less what the frozen terms give too."""

    @property
    def fitted(self) -> Structures:
        """The structures with the labels that are fitted."""
        return self.structures if self.rest is None else self.rest

    def fitter(self, design: Design) -> DirectFitter:
        """Fits candidates of every kind to the training labels."""
        rows = all_rows(self.fitted, design, self.lengths, self.targets)
        screen = screening_rows(self.fitted, design, self.lengths, self.targets)
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
            "frozen": self.frozen.to_dict(),
        }
        if self.rest is not None:
            arrays |= {f"rest_{name}": getattr(self.rest, name) for name in LABELS}
        if self.targets is not None:
            header["targets"], own = self.targets.to_arrays()
            arrays |= {f"targets_{name}": array for name, array in own.items()}
        write_arrays(path, {**arrays, "header": np.array(json.dumps(header))})

    @staticmethod
    def load(path: Path) -> Labelled:
        """Undo ``save``."""
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays: dict[str, Any] = {name: file[name] for name in file.files}
        header = json.loads(str(arrays.pop("header")))
        targets = None
        if "targets" in header:
            names = [name for name in arrays if name.startswith("targets_")]
            own = {name.removeprefix("targets_"): arrays.pop(name) for name in names}
            targets = Targets.from_arrays(header["targets"], own)
        texts: dict[str, Any] = {name: tuple(value) for name, value in header["texts"].items()}
        other = {name: arrays.pop(f"rest_{name}", None) for name in LABELS}
        structures = Structures(**arrays, **texts)
        rest = None if other["energy"] is None else replace(structures, **other)
        frozen = Expression.from_dict(header["frozen"])
        lengths = Lengths.from_dict(header["lengths"])
        return Labelled(structures, lengths, frozen, rest, targets)
