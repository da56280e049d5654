"""Which structures and labels are left out, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from symreg.files import counted
from symreg.structures.data import Structures
from symreg.structures.facts import Facts
from symreg.structures.findings import Finding, at, listed
from symreg.structures.settings import QUANTITIES, SPLITS, UNCONVERGED, ZERO_LABELS, DataSettings


class Names:
    """Groups and single frames of ``[data] leave_out``, and which of them were met."""

    def __init__(self, settings: DataSettings, files: Sequence[str]) -> None:
        self.groups = {name for name in settings.leave_out if "@" not in name}
        self.frames: dict[tuple[str, str], str] = {}
        """Entry for each file and number."""
        for entry in settings.leave_out:
            if "@" in entry:
                name, _, number = entry.rpartition("@")
                self.frames[_file_called(name, files, entry), number.strip()] = entry
        self.left: dict[str, int] = {}
        self.seen: dict[str, int] = {}
        """Frames of each file."""

    def takes_frame(self, name: str, number: int) -> bool:
        """Whether frame ``number`` of file ``name`` is left out by its number."""
        self.seen[name] = number + 1
        entry = self.frames.get((name, str(number)))
        if entry is not None:
            self.left[entry] = 1
        return entry is not None

    def takes_group(self, group: str) -> bool:
        """Whether a group is left out."""
        if group in self.groups:
            self.left[group] = self.left.get(group, 0) + 1
        return group in self.groups

    def check(self, groups: Sequence[str]) -> None:
        """Stop where a name means nothing.

        Raises
        ------
        ValueError
            If there is no such group, file or frame.
        """
        entries = set(self.frames.values())
        for unknown in sorted((self.groups | entries) - set(self.left)):
            if unknown in entries:
                files = ", ".join(f"{name} (0 to {n - 1})" for name, n in self.seen.items())
                raise ValueError(
                    f"[data] leave_out names the frame '{unknown}'; it must be FILE@INDEX with one "
                    f"of {files}"
                )
            known = ", ".join(sorted({*groups, *(self.left.keys() - entries)}))
            raise ValueError(
                f"[data] leave_out names the group '{unknown}'; the groups are {known}"
            )

    def counted(self) -> dict[str, tuple[int, str]]:
        """Number of structures left out by name, and the names."""
        count = sum(self.left.values())
        return {"leave_out": (count, ", ".join(self.left))} if count else {}


def _file_called(name: str, files: Sequence[str], entry: str) -> str:
    """Return the file that an entry means: its name, or the end of its path.

    A run folder names the same files from another place.
    """
    if name in files:
        return name
    wanted = [part for part in PurePath(name).parts if part != ".."]
    found = [file for file in files if list(PurePath(file).parts[-len(wanted) :]) == wanted]
    if len(found) > 1:
        raise ValueError(
            f"[data] leave_out names the frame '{entry}', but {listed(found)} end like that; write "
            "more of the path"
        )
    return found[0] if found else name


def placeholders(facts: Facts, settings: DataSettings) -> NDArray[np.bool_]:
    """Labels that are zero to the last digit and are not used, by quantity, shape (S, 3).

    One energy of zero may be what others are counted from; several are placeholders.
    """
    blank = facts.blank.copy()
    if len({facts.digest[s] for s in np.flatnonzero(blank[:, 0])}) < 2:
        blank[:, 0] = False
    return blank & (ZERO_LABELS not in settings.keep)


def without_placeholders(structures: Structures, blank: NDArray[np.bool_]) -> Structures:
    """Return the structures with those labels absent."""
    if not blank.any():
        return structures
    forces = np.repeat(blank[:, 1], structures.n_atoms)
    return replace(
        structures,
        energy=np.where(blank[:, 0], np.nan, structures.energy),
        forces=np.where(forces[:, None], np.nan, structures.forces),
        stress=np.where(blank[:, 2, None], np.nan, structures.stress),
    )


def facts_without_placeholders(facts: Facts, blank: NDArray[np.bool_]) -> Facts:
    """Return the facts with those labels absent; steps that used them are dropped."""
    if not blank.any():
        return facts
    steps = facts.steps.copy()
    for quantity, column in zip(QUANTITIES, range(3), strict=True):
        used = blank[steps["a"], column] | blank[steps["b"], column]
        steps[quantity][used] = np.nan
    return replace(
        facts,
        energy=np.where(blank[:, 0], np.nan, facts.energy),
        force=np.where(blank[:, 1], np.nan, facts.force),
        net=np.where(blank[:, 1], np.nan, facts.net),
        stress=np.where(blank[:, 2, None], np.nan, facts.stress),
        steps=steps,
        pulls=tuple(None if b else p for b, p in zip(blank[:, 1], facts.pulls, strict=True)),
        blank=facts.blank & ~blank,
    )


def reasons(facts: Facts, settings: DataSettings) -> dict[str, NDArray[np.bool_]]:
    """Masks, shape (S,), of the structures that each filter leaves out."""
    limits = {
        "max_force": np.nan_to_num(facts.force),
        "max_energy": np.nan_to_num(above_lowest(facts)),
        "min_distance": -facts.nearest,
    }
    found = {}
    for name, value in limits.items():
        limit = getattr(settings, name)
        if limit:
            found[name] = value > (-limit if name == "min_distance" else limit)
    if UNCONVERGED not in settings.keep:
        found["unconverged"] = facts.unconverged
    bare = ~(np.isfinite(facts.energy) | np.isfinite(facts.force))
    found["without labels"] = bare
    train = facts.split == SPLITS.index("train")
    kept = train & ~np.any(list(found.values()), axis=0)
    known = np.isin(facts.species, sorted(facts.elements_of(kept)))
    found["elements that training lacks"] = ~train & (facts.counts[:, ~known] > 0).any(axis=1)
    return {name: mask for name, mask in found.items() if mask.any()}


def above_lowest(facts: Facts) -> NDArray[np.float64]:
    """Energies in eV/atom above the lowest of like composition; 0 for isolated atoms, (S,)."""
    per_atom = np.where(np.isfinite(facts.energy), facts.per_atom, np.inf)
    number = facts.composition
    lowest = np.full(number.max() + 1, np.inf)
    np.minimum.at(lowest, number[~facts.lone], per_atom[~facts.lone])
    with np.errstate(invalid="ignore"):
        above: NDArray[np.float64] = np.where(facts.lone, 0.0, per_atom - lowest[number])
    return np.where(np.isfinite(above), above, 0.0)


def told(
    facts: Facts, masks: Mapping[str, NDArray[np.bool_]], settings: DataSettings
) -> Iterator[Finding]:
    """Say what is left out, how many, and which."""
    for name, mask in masks.items():
        which = listed([at(facts.source[s]) for s in np.flatnonzero(mask)], 3, quote="")
        many = counted(mask.sum(), "structure")
        if name in ("max_force", "max_energy", "min_distance"):
            unit = {"max_force": "eV/Å", "max_energy": "eV/atom above the lowest of its kind"}
            limit = f"[data] {name} = {getattr(settings, name):g} {unit.get(name, 'Å')}"
            yield Finding(f"left out {many} by {limit}", which)
        elif name == "unconverged":
            cure = f'[data] keep = ["{UNCONVERGED}"] uses them'
            yield Finding(f"left out {many} that did not converge", which, cure)
        elif name == "without labels":
            yield Finding(f"left out {many} without energy and forces", which)
        else:
            unknown = facts.elements_of(mask) - facts.elements_of(facts.split == 0)
            yield Finding(
                f"left out {many} of validation and test with elements that "
                f"training lacks ({', '.join(sorted(unknown))}), {which}",
                "nothing is known of these elements",
                "put some of their structures into [data] train",
            )


def zeros_told(facts: Facts, blank: NDArray[np.bool_]) -> Iterator[Finding]:
    """Say which labels are zero to the last digit, and whether they are used."""
    for quantity, left, every in zip(QUANTITIES, blank.T, facts.blank.T, strict=True):
        if quantity == "energy" and len({facts.digest[s] for s in np.flatnonzero(every)}) < 2:
            continue
        if every.any():
            which = listed([at(facts.source[s]) for s in np.flatnonzero(every)], 3, quote="")
            word = {"energy": "energies", "stress": "stresses"}.get(quantity, quantity)
            used = not left.any()
            yield Finding(
                f"the {word} of {counted(every.sum(), 'structure')} "
                f"are zero to the last digit, {which}",
                "they look like placeholders and "
                + ("are used, as [data] keep says" if used else "are left out"),
                "" if used else f'[data] keep = ["{ZERO_LABELS}"] uses them',
            )
