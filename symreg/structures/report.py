"""Read the ``[data]`` of a run file, and report what was read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symreg.files import counted
from symreg.structures import filters, lint
from symreg.structures.data import Structures, data_hash, join_structures
from symreg.structures.distances import OVERLAP
from symreg.structures.facts import Facts, facts_of, join
from symreg.structures.files import data_files, read_portions, shown_path
from symreg.structures.findings import Finding, at, listed
from symreg.structures.frames import assemble, check_labelled, collect
from symreg.structures.order import canonical_order
from symreg.structures.settings import SPLITS, DataSettings
from symreg.structures.split import choose_validation
from symreg.structures.tally import Tally

TRAIN, VALIDATION = SPLITS.index("train"), SPLITS.index("validation")
UNITS = (
    "energies of whole structures in eV, forces in eV/Å, stresses in eV/Å³ with tension positive, "
    "virials in eV"
)
"""Units that labels are taken to be in."""
Functions = Callable[[int], int]


def pair_functions(species: int) -> int:
    """Number of pairs of so many elements."""
    return species * (species + 1) // 2


@dataclass(frozen=True, kw_only=True)
class DataReport:
    """Summary of the data that were read; ``data.json`` of a run folder."""

    units: str = UNITS
    """Units that labels were taken to be in."""
    files: Mapping[str, Mapping[str, Any]]
    """For each file: its setting, structures, and how often each key was taken."""
    structures: Mapping[str, int]
    """Structures in each split."""
    atoms: Mapping[str, int]
    """Atoms in each split."""
    groups: Mapping[str, Mapping[str, Mapping[str, int]]]
    """For each group and split: structures and atoms."""
    labels: Mapping[str, int]
    """Structures that carry each quantity."""
    species: tuple[str, ...]
    """Elements that occur."""
    closest: Mapping[str, float]
    """Smallest distance in Å of each pair of elements, such as ``Ga-As``, in training."""
    farthest: Mapping[str, float]
    """Largest distance in Å from an atom of the one to the nearest of the other, in training."""
    max_force: float | None
    """Largest force on an atom in eV/Å."""
    energy_range: tuple[float, float] | None
    """Lowest and highest energy in eV/atom, isolated atoms left out."""
    isolated_atoms: Mapping[str, float | None]
    """Energy in eV of an isolated atom of each element, where training has one."""
    doubtful_atoms: tuple[str, ...] = ()
    """Elements whose isolated atoms look like crystals written as clusters."""
    left_out: Mapping[str, tuple[int, str]]
    """For each filter: structures that it leaves out, and the first of them."""
    notes: tuple[str, ...]
    """Decisions taken while reading."""
    warnings: tuple[str, ...]
    """Warnings of data that look wrong."""
    data_hash: str
    """SHA-256 of the arrays; empty where they were not kept."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain types, ready for JSON."""
        return asdict(self)


def read_structures(
    settings: DataSettings,
    folder: Path,
    *,
    r_cut: float = 6.0,
    functions: Functions = pair_functions,
) -> tuple[Structures, DataReport]:
    """Read, check and split all structures of a run.

    Their order does not depend on that of files and frames, except where frames differ in nothing.

    Parameters
    ----------
    settings
        The ``[data]`` table.
    folder
        Where relative paths start: the folder of the run file.
    r_cut
        Radius in Å within which atoms interact.
    functions
        Functions that the run asks for, by the number of elements; one for each pair of these by
        default.

    Raises
    ------
    FileNotFoundError
        If a path or glob matches no file.
    ValueError
        If a file or label is unusable; the message says where and what to do.
    """
    parts: list[Structures] = []
    facts, survey = _read(settings, folder, r_cut, parts)
    structures = filters.without_placeholders(join_structures(parts), survey.blank)
    structures = structures.taken(survey.kept)
    order = canonical_order(structures, facts)
    structures, ordered = structures.taken(order), facts.taken(order)
    split = survey.split_of(ordered, settings)
    facts = replace(facts, split=_undone(split, order))
    known = sorted(facts.elements_of(np.ones(len(facts), dtype=bool)))
    structures = replace(structures.with_species(known), split=split)
    return structures, survey.report(facts, r_cut, functions, data_hash(structures))


def survey_structures(
    settings: DataSettings,
    folder: Path,
    *,
    r_cut: float = 6.0,
    functions: Functions = pair_functions,
) -> tuple[Facts, DataReport]:
    """Report what ``read_structures`` would, without holding all structures in memory.

    Parameters and errors are those of ``read_structures``.

    Returns
    -------
    What is known of the structures that would be used, and the report.
    """
    facts, survey = _read(settings, folder, r_cut, None)
    facts = replace(facts, split=survey.split_of(facts, settings))
    return facts, survey.report(facts, r_cut, functions, "")


def _undone(values: NDArray[np.int64], order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return values in the order before ``order`` was applied."""
    found = np.empty_like(values)
    found[order] = values
    return found


def _read(
    settings: DataSettings, folder: Path, r_cut: float, parts: list[Structures] | None
) -> tuple[Facts, _Survey]:
    """Read portion by portion; structures are kept in ``parts`` if that is a list."""
    files = sorted(data_files(settings, folder).items())
    shown = [shown_path(path, folder) for path, _ in files]
    tally, names, facts = Tally(settings), filters.Names(settings, shown), []
    for name, (path, split) in zip(shown, files, strict=True):
        first = 0
        tally.open_file(name, split)
        for images in read_portions(path, name, settings.species):
            chosen = [n for n in range(len(images)) if not names.takes_frame(name, first + n)]
            frames = collect(
                [images[n] for n in chosen],
                [f"{name} frame {first + n}" for n in chosen],
                keys=settings.keys,
                group_key=settings.group_key,
                home=name,
            )
            first += len(images)
            frames = [frame for frame in frames if not names.takes_group(frame.group)]
            check_labelled([frame for frame in frames if frame.converged])
            tally.add(frames, name)
            if frames:
                structures = assemble(frames, [split] * len(frames))
                unconverged = [not frame.converged for frame in frames]
                facts.append(facts_of(structures, r_cut, unconverged))
                if parts is not None:
                    parts.append(structures)
    names.check(sorted(tally.groups))
    if not facts:
        raise ValueError("[data] leave_out leaves no structures; take a group out of it")
    tally.check()
    return _filtered(join(facts), settings, tally, names)


def _filtered(
    facts: Facts, settings: DataSettings, tally: Tally, names: filters.Names
) -> tuple[Facts, _Survey]:
    """Leave out what the settings say."""
    blank = filters.placeholders(facts, settings)
    zeros = list(filters.zeros_told(facts, blank))
    facts = filters.facts_without_placeholders(facts, blank)
    masks = filters.reasons(facts, settings)
    left = np.any(list(masks.values()), axis=0) if masks else np.zeros(len(facts), dtype=bool)
    told = list(filters.told(facts, masks, settings))
    if left.all() or not (facts.split[~left] == TRAIN).any():
        raise ValueError(
            "no training structures remain: " + "; ".join(finding.text for finding in told)
        )
    empty = list(_emptied(facts.split[~left], settings, [*names.counted().values()], told))
    counts = names.counted()
    groups = [Finding(f"left out {counted(n, 'structure')}", text) for n, text in counts.values()]
    counts |= {
        name: (int(m.sum()), at(facts.source[int(np.argmax(m))])) for name, m in masks.items()
    }
    survey = _Survey(
        tally, blank, np.flatnonzero(~left), counts, [*groups, *told], [*zeros, *empty]
    )
    return facts.subset(~left), survey


def _emptied(
    split: NDArray[np.int64],
    settings: DataSettings,
    named: Sequence[tuple[int, str]],
    told: Sequence[Finding],
) -> Iterator[Finding]:
    """Refuse a validation set that the user named and filters leave empty; warn of such a test."""
    why = [f"{counted(n, 'structure')} by [data] leave_out = {which}" for n, which in named]
    reasons = "; ".join([*why, *(finding.text for finding in told)])
    for number, name in enumerate(SPLITS[1:], 1):
        files = getattr(settings, name)
        if not files or (split == number).any():
            continue
        if number == VALIDATION:
            raise ValueError(
                f"no structures of [data] validation = {list(files)} remain: {reasons}; change "
                "that, or take the files out, and a part of training is set aside"
            )
        yield Finding(
            f"no structures of [data] {name} = {list(files)} remain",
            "there will be no errors of a test",
            reasons,
        )


@dataclass
class _Survey:
    """All that was noticed before the split."""

    tally: Tally
    blank: NDArray[np.bool_]
    """Labels that are not used, of all structures that were read, by quantity, shape (S, 3)."""
    kept: NDArray[np.int64]
    """Structures that are used."""
    left_out: dict[str, tuple[int, str]]
    notes: list[Finding]
    warnings: list[Finding]
    split_notes: Sequence[Finding] = ()

    def split_of(self, facts: Facts, settings: DataSettings) -> NDArray[np.int64]:
        """Set a part of the training structures aside, shape (S,)."""
        split = facts.split.copy()
        held = np.isin(facts.group, settings.validation_groups) & (split == TRAIN)
        split[held] = VALIDATION
        if settings.validation_groups and not held.any():
            raise ValueError(
                f"no structures of [data] validation_groups = {list(settings.validation_groups)} "
                "remain in training: filters or leave_out leave them out; change that, or take "
                "the groups out"
            )
        unseen = facts.elements_of(split >= 0) - facts.elements_of(split == TRAIN)
        if unseen:
            raise ValueError(
                f"[data] validation_groups leaves training without {', '.join(sorted(unseen))}; "
                "take a group out of it"
            )
        if settings.validation or settings.validation_groups:
            return split
        train = np.flatnonzero(split == TRAIN)
        chosen, notes = choose_validation(
            [facts.group[s] for s in train],
            [facts.trajectory[s] for s in train],
            settings.split,
            settings.validation_fraction,
            facts.extremes(split == TRAIN)[train],
        )
        split[train[chosen]] = VALIDATION
        self.split_notes = [Finding(*_parts(note)) for note in notes]
        return split

    def report(self, facts: Facts, r_cut: float, functions: Functions, digest: str) -> DataReport:
        """Count and check what was read."""
        _check_overlaps(facts)
        train = facts.split == TRAIN
        asked = functions(len(facts.elements_of(train)))
        notes, warnings = lint.check(facts, r_cut, asked)
        notes = [
            *self.notes,
            *self.tally.notes(),
            *self.split_notes,
            *_groups_held_out(facts),
            *_outside(facts),
            *notes,
        ]
        ranges = facts.ranges(train)
        force, energy = facts.force[np.isfinite(facts.force)], facts.per_atom[~facts.lone]
        energy = energy[np.isfinite(energy)]
        return DataReport(
            files=self.tally.files,
            structures={x: int((facts.split == k).sum()) for k, x in enumerate(SPLITS)},
            atoms={x: int(facts.n_atoms[facts.split == k].sum()) for k, x in enumerate(SPLITS)},
            groups=_groups(facts),
            labels={
                "energy": int(np.isfinite(facts.energy).sum()),
                "forces": int(np.isfinite(facts.force).sum()),
                "stress": int(np.isfinite(facts.stress[:, 0]).sum()),
            },
            species=tuple(sorted(facts.elements_of(facts.n_atoms > 0))),
            closest={"-".join(pair): d for pair, (d, _) in ranges.items() if np.isfinite(d)},
            farthest={"-".join(pair): d for pair, (c, d) in ranges.items() if np.isfinite(c)},
            max_force=float(force.max()) if force.size else None,
            energy_range=(float(energy.min()), float(energy.max())) if energy.size else None,
            isolated_atoms=_isolated(facts, train),
            doubtful_atoms=tuple(lint.doubtful_atoms(facts)),
            left_out=self.left_out,
            notes=tuple(x.text for x in notes),
            warnings=tuple(x.text for x in [*self.tally.warnings(), *self.warnings, *warnings]),
            data_hash=digest,
        )


def _parts(note: str) -> tuple[str, str]:
    """Cut a note at its first colon."""
    what, _, means = note.partition(": ")
    return what, means or "training takes all"


def _groups(facts: Facts) -> dict[str, dict[str, dict[str, int]]]:
    """Count structures and atoms of each group and split."""
    groups: dict[str, dict[str, dict[str, int]]] = {}
    for group, split, n in zip(facts.group, facts.split, facts.n_atoms, strict=True):
        of_group = groups.setdefault(group, {})
        cell = of_group.setdefault(SPLITS[split], {"structures": 0, "atoms": 0})
        cell["structures"] += 1
        cell["atoms"] += int(n)
    return groups


def _groups_held_out(facts: Facts) -> list[Finding]:
    """Name groups that training does not see."""
    train = {facts.group[s] for s in np.flatnonzero(facts.split == TRAIN)}
    missing = sorted(set(facts.group) - train)
    if not missing:
        return []
    means = "errors there tell how formulas do beyond their data"
    return [Finding(f"no structure of {listed(missing)} is in training", means)]


def _outside(facts: Facts) -> list[Finding]:
    """Name structures with atoms closer than in any of training."""
    found = []
    known = {pair: d for pair, (d, _) in facts.ranges(facts.split == TRAIN).items()}
    for split in SPLITS[1:]:
        here = facts.split[facts.pairs["structure"]] == SPLITS.index(split)
        pairs = facts.pairs[here & np.isfinite(facts.pairs["closest"])]
        names = [(facts.species[p["a"]], facts.species[p["b"]]) for p in pairs]
        closer = np.array([known.get(n, 0.0) for n in names]) - pairs["closest"] > 1e-6
        if closer.any():
            worst = pairs[closer][np.argmin(pairs["closest"][closer])]
            pair = facts.species[worst["a"]], facts.species[worst["b"]]
            found.append(
                Finding(
                    f"{counted(len(set(pairs['structure'][closer])), 'structure')} of {split} with "
                    f"atoms closer than any in training; the closest, {'-'.join(pair)} "
                    f"{worst['closest']:.4g} Å in {facts.source[worst['structure']]}, where "
                    f"training ends at {known[pair]:.4g} Å",
                    "they lie outside what the formula is fitted to, and errors there are those of "
                    "its continuation",
                )
            )
    return found


def _check_overlaps(facts: Facts) -> None:
    """Stop where two atoms stand in one place."""
    s = int(np.argmin(facts.nearest))
    if facts.nearest[s] < OVERLAP:
        raise ValueError(
            f"{facts.source[s]} has two atoms only {facts.nearest[s]:.4f} Å apart; remove one of "
            f'them, or set [data] leave_out = ["{at(facts.source[s])}"] or min_distance'
        )


def _isolated(facts: Facts, train: NDArray[np.bool_]) -> dict[str, float | None]:
    """Return the energy of an isolated atom of each element that has one in training."""
    found: dict[str, float | None] = {}
    for s in np.flatnonzero(facts.lone & train):
        symbol = facts.species[int(np.argmax(facts.counts[s]))]
        energy = float(facts.energy[s])
        found[symbol] = energy if np.isfinite(energy) else found.get(symbol)
    return found
