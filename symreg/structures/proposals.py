"""Files that ``symreg init`` finds in a folder, and the filters that it proposes."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np

from symreg.files import counted
from symreg.structures.facts import Facts
from symreg.structures.files import COMPRESSED
from symreg.structures.filters import above_lowest
from symreg.structures.lint import RARE, TRAIN, force_limit, overlapping
from symreg.structures.settings import SPLITS

ENDS = (".extxyz", ".xyz", ".cfg", ".traj", ".db", "vasprun.xml", "OUTCAR")
"""How names of files of structures end, compression apart."""
WORDS = {
    "train": ("train", "training"),
    "validation": ("valid", "validation", "val", "dev"),
    "test": ("test", "testing"),
}
"""Words in the names of files that say what these are for."""
LEAST_ENERGY = 10.0
"""Smallest limit of energies in eV/atom that is proposed."""


RESOLVED = 0.25
"""Part of the root mean square of training forces that an error of one may be at the most."""


class Proposal(NamedTuple):
    """A value for a setting of ``[data]`` or ``[loss]``, and the reason."""

    setting: str
    value: float
    reason: str


def data_in(folder: Path) -> dict[str, list[str]]:
    """Find files of structures in a folder and below it, by what their names say they are for.

    Hidden folders and those of runs are passed over. Where no name says ``train``, all that is not
    for validation or test is.
    """
    found: dict[str, list[str]] = {split: [] for split in SPLITS}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        plain = path.name.removesuffix(path.suffix) if path.suffix in COMPRESSED else path.name
        if not plain.endswith(ENDS) or not path.is_file() or path.name.startswith("."):
            continue
        if any(
            p.name.startswith(".") or (folder / p / "manifest.json").exists() for p in _over(name)
        ):
            continue
        found[use_of(name)].append(name.as_posix())
    if not found["train"]:
        found = {"train": sorted(itertools.chain(*found.values())), "validation": [], "test": []}
    return found


def _over(name: PurePath) -> list[PurePath]:
    """Return the folders that a file lies in."""
    return list(name.parents)[:-1]


def use_of(name: PurePath) -> str:
    """Tell what a file is for: its own name counts first, then those of the folders around it.

    >>> [use_of(PurePath(name)) for name in ("test/a.xyz", "cu_valid.xyz.gz", "a.xyz")]
    ['test', 'validation', 'train']
    """
    for part in reversed(name.parts):
        words = re.split(r"[^a-z]+", part.lower())
        for split, known in WORDS.items():
            if set(words) & set(known):
                return split
    return "train"


def proposals(facts: Facts) -> Iterator[Proposal]:
    """Propose filters where a few structures would rule the fit."""
    left = np.zeros(len(facts), dtype=bool)
    deep = overlapping(facts)
    if deep.any() and deep.mean() < RARE:
        value = np.floor(10 * float(facts.nearest[~deep].min(initial=np.inf))) / 10
        if np.isfinite(value):
            left |= deep
            yield Proposal(
                "min_distance",
                float(value),
                f"atoms overlap in {counted(deep.sum(), 'structure')}"
                f", down to {facts.nearest.min():.2g} Å",
            )
    force = np.nan_to_num(facts.force)
    value = force_limit(facts.subset(facts.split == TRAIN))
    if value is not None:
        above = force > value
        share = 100 * facts.squares[above].sum() / facts.squares.sum()
        left |= above
        yield Proposal(
            "max_force",
            value,
            f"{counted(above.sum(), 'structure')} above it, up to {force.max():.4g} eV/Å, "
            f"make {share:.3g} % of the squares",
        )
    energy = above_lowest(facts)
    rest = energy[~left & np.isfinite(energy)]
    if rest.size and rest.max() > 2 * LEAST_ENERGY:
        value = float(np.ceil(max(LEAST_ENERGY, 3 * float(np.quantile(rest, 0.75)))))
        above = np.nan_to_num(energy) > value
        if above.any() and above.mean() < RARE:
            yield Proposal(
                "max_energy",
                value,
                f"{counted(above.sum(), 'structure')} above it, up to {rest.max():.4g} eV/atom",
            )


def loss_proposals(facts: Facts, usual: float) -> Iterator[Proposal]:
    """Propose a ``sigma_forces`` in eV/Å where training forces are small beside the ``usual`` one.

    Forces of relaxed structures would else count nothing, and energies alone rule the fit.
    """
    counted_in = (facts.split == TRAIN) & np.isfinite(facts.force) & ~facts.lone
    n = 3 * int(facts.n_atoms[counted_in].sum())
    rms = float(np.sqrt(facts.squares[counted_in].sum() / n)) if n else 0.0
    value = float(f"{RESOLVED * rms:.1g}")
    if 0.0 < value < usual:
        reason = f"eV/angstrom; a quarter of the rms of training forces, {rms:.2g}"
        yield Proposal("sigma_forces", value, reason)
