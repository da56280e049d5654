"""Settings of the ``[data]`` table of a run file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from symreg.typed import Range, check_ranges

QUANTITIES = ("energy", "forces", "stress")
"""Labels that a structure may carry."""
SPLITS = ("train", "validation", "test")
"""Uses of structures; ``Structures.split`` counts in this order."""
SPLIT_KINDS = ("trajectory", "group", "block", "random")
REFITS = ("all", "train")
ZERO_LABELS, UNCONVERGED = KEEP = ("zero_labels", "unconverged")
"""Labels and structures that are left out unless ``keep`` names them."""
LISTS = ("train", "validation", "test", "validation_groups", "species", "leave_out", "keep")
"""Settings that hold several texts."""


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Which files to read and how. Read from the ``[data]`` table of a run file."""

    train: tuple[str, ...]
    """Paths or globs, relative to the run file."""
    validation: tuple[str, ...] = ()
    """Files for validation; when empty, a part of ``train`` is set aside."""
    test: tuple[str, ...] = ()
    """Files for the test that is made once, at the end."""
    split: str = "trajectory"
    """How validation is set aside: whole trajectories, whole groups, contiguous blocks, or random
    structures."""
    validation_fraction: Annotated[float, Range(0.0, 1.0, below=True)] = 0.2
    """Part of the ``train`` structures set aside."""
    validation_groups: tuple[str, ...] = ()
    """Groups of ``train`` that validate whole."""
    group_key: str = "group"
    """Info key that holds the name of a structure's group; else ``config_type`` is taken."""
    weights: Mapping[str, Annotated[float, Range(0.0, 1e6)]] = field(default_factory=dict)
    """Weight of each group in the loss, 1 where absent."""
    leave_out: tuple[str, ...] = ()
    """Groups, and single frames as ``FILE@INDEX``, that are not used, as if not in the files."""
    max_force: Annotated[float, Range(0.0, 1e9, "eV/Å")] = 0.0
    """Structures with a larger force on an atom in eV/Å are left out; 0: none."""
    max_energy: Annotated[float, Range(0.0, 1e9, "eV/atom")] = 0.0
    """Structures of so many eV/atom above the lowest of like composition are left out; 0: none."""
    min_distance: Annotated[float, Range(0.0, 100.0, "Å")] = 0.0
    """Structures with closer atoms, in Å, are left out; 0: none."""
    keep: tuple[str, ...] = ()
    """Used although they look wrong: ``zero_labels``, ``unconverged``."""
    species: tuple[str, ...] = ()
    """Elements that may occur; any when empty."""
    energy_key: str = ""
    """Key of the total energy in eV; found by its usual names when empty."""
    forces_key: str = ""
    """Key of the forces in eV/Å; found by their usual names when empty."""
    stress_key: str = ""
    """Key of the stress in eV/Å³, tension positive, six numbers as xx yy zz yz xz xy.

    Under a name with ``virial`` it is a virial in eV, which is minus stress times volume.
    """

    refit: str = "all"
    """Data that constants of ``potential.json`` are fitted to: ``train``, or ``all`` for training
    and validation together; the front and its errors stay those of training alone."""

    def __post_init__(self) -> None:
        """Reject settings that cannot run, before any file is read."""
        if not self.train:
            raise ValueError('[data] train is empty; name a file, as in train = ["silicon.extxyz"]')
        for name in LISTS:
            if isinstance(getattr(self, name), str):
                raise ValueError(f"[data] {name} is a text; it must be a list of texts")
        if self.split not in SPLIT_KINDS:
            kinds = ", ".join(f"'{kind}'" for kind in SPLIT_KINDS)
            raise ValueError(f"[data] split is '{self.split}'; it must be one of {kinds}")
        if self.refit not in REFITS:
            kinds = " or ".join(f"'{kind}'" for kind in REFITS)
            raise ValueError(f"[data] refit is '{self.refit}'; it must be {kinds}")
        check_ranges(self, "data")
        for name in self.keep:
            if name not in KEEP:
                known = ", ".join(f"'{entry}'" for entry in KEEP)
                raise ValueError(f"[data] keep names '{name}'; it may name {known}")

    @property
    def keys(self) -> dict[str, str]:
        """Key set for each quantity, empty where it is to be found."""
        return dict(
            zip(QUANTITIES, (self.energy_key, self.forces_key, self.stress_key), strict=True)
        )
