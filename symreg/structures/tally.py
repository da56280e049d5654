"""Counts of what frames hold, made while they are read, portion by portion."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from ase import Atoms

from symreg.files import counted
from symreg.structures.findings import Finding, listed
from symreg.structures.formats.units import declared_units
from symreg.structures.frames import Frame
from symreg.structures.labels import LIKELY_FORCES, available_keys, unused_vectors
from symreg.structures.settings import QUANTITIES, SPLITS, DataSettings
from symreg.structures.split import trajectory_name


class Tally:
    """Counts of keys, labels and names, of any number of frames."""

    def __init__(self, settings: DataSettings) -> None:
        self.settings = settings
        self.files: dict[str, dict[str, Any]] = {}
        self.keys: dict[str, Counter[str]] = {quantity: Counter() for quantity in QUANTITIES}
        self.missing: dict[str, list[str]] = {"energy": [], "forces": []}
        self.arrays: Counter[str] = Counter()
        """Unused arrays that may be forces; of frames without forces and of all."""
        self.bare: Counter[str] = Counter()
        self.groups: set[str] = set()
        self.gaps: list[float] = []
        self.unnamed = self.count = 0
        self.units: Counter[str] = Counter()
        """Words of headers on units that are not ours."""
        self.open = 0
        """Structures that have a cell and a stress, but are not periodic."""
        self.has_group_key = False
        self.first = ""

    def open_file(self, name: str, split: int) -> None:
        """Begin a file."""
        keys: dict[str, dict[str, int]] = {quantity: {} for quantity in QUANTITIES}
        self.files[name] = {"split": SPLITS[split], "structures": 0, "keys": keys}

    def add(self, frames: Sequence[Frame], name: str) -> None:
        """Count frames of the file ``name``.

        Raises
        ------
        ValueError
            If a frame has an element that the settings do not name.
        """
        record = self.files[name]
        record["structures"] += len(frames)
        for frame in frames:
            self.first = self.first or f"{frame.source} has {available_keys(frame.atoms)}"
            self._check_species(frame)
            for quantity, key in frame.labels.keys.items():
                self.keys[quantity][key] += 1
                taken = record["keys"][quantity]
                taken[key] = taken.get(key, 0) + 1
            for quantity, sources in self.missing.items():
                if quantity not in frame.labels.keys:
                    sources.append(frame.source)
            for key in set(unused_vectors(frame.atoms)) - {frame.labels.keys.get("forces")}:
                self.arrays[key] += 1
                self.bare[key] += "forces" not in frame.labels.keys
            if abs(frame.labels.free_minus_energy) > 1e-6:
                self.gaps.append(abs(frame.labels.free_minus_energy))
            self.open += _is_open(frame)
            if said := declared_units(frame.info, frame.source, len(frame.atoms)).declared:
                self.units[said] += 1
            self.groups.add(frame.group)
            self.has_group_key |= self.settings.group_key in frame.info
            self.unnamed += trajectory_name(frame.info) is None
            self.count += 1

    def _check_species(self, frame: Frame) -> None:
        allowed = self.settings.species
        for other in sorted(set(frame.atoms.symbols) - set(allowed)) if allowed else ():
            raise ValueError(
                f"{frame.source} contains {other}, which is not among [data] species "
                f"({', '.join(allowed)}); add it, or drop the structure"
            )

    def check(self) -> None:
        """Stop where a key or group of the settings is not that of the data.

        Raises
        ------
        ValueError
            Then.
        """
        for quantity, key in self.settings.keys.items():
            if key and not self.keys[quantity]:
                raise ValueError(
                    f'[data] {quantity}_key is "{key}", which no structure has; {self.first}'
                )
        if self.settings.group_key != "group" and not self.has_group_key:
            raise ValueError(
                f'[data] group_key is "{self.settings.group_key}", which no structure has; '
                f"{self.first}"
            )
        for name in ("weights", "validation_groups"):
            for unknown in sorted(set(getattr(self.settings, name)) - self.groups):
                table = "[data.weights]" if name == "weights" else f"[data] {name}"
                raise ValueError(
                    f"{table} names the group '{unknown}'; the groups are "
                    f"{', '.join(sorted(self.groups))}"
                )

    def notes(self) -> Iterator[Finding]:
        """Say where something was chosen that the user did not ask for."""
        if self.gaps:
            yield Finding(
                f"energy and free energy differ in {counted(len(self.gaps), 'structure')}"
                ", by up to "
                f"{max(self.gaps):.4g} eV",
                "took the free energy, since forces are its slopes",
            )
        for quantity, sources in self.missing.items():
            if sources and not (quantity == "forces" and self.bare):
                yield Finding(
                    f"{counted(len(sources), 'structure has', 'structures have')} "
                    f"no {quantity}, the first {sources[0]}",
                    "they count with what they have",
                )
            keys = self.keys[quantity]
            if len(keys) > 1:
                taken = ", ".join(f"{key} ({count})" for key, count in keys.items())
                yield Finding(f"{quantity} was found under several keys: {taken}", "all are used")
        unused = [key for key in self.arrays if LIKELY_FORCES.search(key) and not self.bare[key]]
        if unused:
            yield Finding(
                f"arrays beside the forces: {listed(unused)}",
                "not used",
                f'[data] forces_key = "{unused[0]}" takes one',
            )
        for said, count in self.units.items():
            yield Finding(
                f"{counted(count, 'structure says', 'structures say')} {said}",
                "converted into eV and Å",
            )
        if self.unnamed and self.settings.split == "trajectory":
            yield Finding(
                f"{counted(self.unnamed, 'structure has', 'structures have')} "
                "no info key trajectory, description or "
                "config_type that tells runs apart",
                "each group of a file counts as one trajectory",
            )

    def warnings(self) -> Iterator[Finding]:
        """Say where forces may have been missed, and where a crystal may be taken for a cluster."""
        if self.open:
            yield Finding(
                f"{counted(self.open, 'structure has', 'structures have')} "
                "a cell and a stress, but not "
                "all directions are periodic",
                "they are taken as written: atoms at the faces of the cell lack neighbours, and "
                "stresses are not used",
                'write pbc="T T T", if they are crystals',
            )
        names = [key for key, count in self.bare.items() if count]
        if names:
            bare = len(self.missing["forces"])
            names.sort(key=lambda name: not LIKELY_FORCES.search(name))
            yield Finding(
                f"{counted(bare, 'structure has', 'structures have')} "
                "no forces under a usual name, but arrays of vectors: "
                f"{listed(names)}",
                "energies alone are fitted there; an array of gradients dE/dx would have to "
                "change its sign",
                f'[data] forces_key = "{names[0]}", if these are forces in eV/Å',
            )


def _is_open(frame: Frame) -> bool:
    """Whether a structure has a volume and a stress, but is not periodic in all directions."""
    atoms: Atoms = frame.atoms
    if atoms.pbc.all() or atoms.cell.rank != 3:
        return False
    results = getattr(atoms.calc, "results", None) or {}
    return any(re.fullmatch(r".*(stress|virials?)", str(k), re.I) for k in (*atoms.info, *results))
