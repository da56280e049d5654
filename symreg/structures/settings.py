"""Settings of the ``[data]`` table of a run file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

QUANTITIES = ("energy", "forces", "stress")
"""Labels that a structure may carry."""
SPLITS = ("train", "validation", "test")
"""Uses of structures; ``Structures.split`` counts in this order."""
SPLIT_KINDS = ("trajectory", "block", "random")


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
    """How validation is set aside: whole trajectories, contiguous blocks, or random structures."""
    validation_fraction: float = 0.2
    """Part of the ``train`` structures set aside, from 0 up to but not including 1."""
    group_key: str = "group"
    """Info key that holds the name of a structure's group; else ``config_type`` is taken."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Weight of each group in the loss, 1 where absent."""
    leave_out: tuple[str, ...] = ()
    """Groups that are not used at all, as if they were not in the files."""
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

    def __post_init__(self) -> None:
        """Reject settings that cannot run, before any file is read."""
        if not self.train:
            raise ValueError('[data] train is empty; name a file, as in train = ["silicon.extxyz"]')
        for name in ("train", "validation", "test", "species", "leave_out"):
            if isinstance(getattr(self, name), str):
                raise ValueError(f"[data] {name} is a text; it must be a list of texts")
        if self.split not in SPLIT_KINDS:
            kinds = ", ".join(f"'{kind}'" for kind in SPLIT_KINDS)
            raise ValueError(f"[data] split is '{self.split}'; it must be one of {kinds}")
        if not 0 <= self.validation_fraction < 1:
            raise ValueError(
                f"[data] validation_fraction is {self.validation_fraction:g}; "
                "it must be at least 0 and less than 1"
            )
        for group, weight in self.weights.items():
            if not (math.isfinite(weight) and weight >= 0):
                raise ValueError(
                    f"[data.weights] {group} is {weight:g}; a weight must be 0 or greater"
                )

    @property
    def keys(self) -> dict[str, str]:
        """Key set for each quantity, empty where it is to be found."""
        return dict(
            zip(QUANTITIES, (self.energy_key, self.forces_key, self.stress_key), strict=True)
        )
