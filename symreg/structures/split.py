"""Which structures validate, and which belong together."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symreg.structures.data import Structures

SNAPSHOT = re.compile(
    r"\b(?:snapshot|frame|step|image|configuration)[\s_#:]*\d+(?:\s*(?:of|/)\s*\d+)?(?:\s+of\b)?",
    re.IGNORECASE,
)
"""A number that tells apart the frames of one run, as in "Snapshot 3 of 20 of AIMD at 300 K"."""


def trajectory_name(info: Mapping[str, Any]) -> str | None:
    """Name the run that a frame comes from, if its file says anything about it."""
    if "trajectory" in info:
        return str(info["trajectory"])
    if isinstance(info.get("description"), str):
        return " ".join(SNAPSHOT.sub(" ", info["description"]).split())
    return str(info["config_type"]) if "config_type" in info else None


def choose_validation(
    group: Sequence[str], trajectory: Sequence[str], kind: str, fraction: float
) -> tuple[NDArray[np.bool_], list[str]]:
    """Set aside a part of every group for validation.

    Parameters
    ----------
    group, trajectory
        Names for each structure, length S.
    kind
        ``trajectory`` takes whole trajectories, and contiguous blocks where a group has too few;
        ``block`` takes contiguous blocks; ``random`` takes single structures.
    fraction
        Part to set aside of each group.

    Returns
    -------
    Which structures validate, shape (S,), and notes for the report.
    """
    rng = np.random.default_rng(0)
    chosen = np.zeros(len(group), dtype=bool)
    blocked = []
    for name, members in _strata(group, trajectory, whole=kind == "trajectory").items():
        wanted = min(round(fraction * members.size), members.size - 1)
        if wanted == 0:
            continue
        if kind == "random":
            taken = rng.permutation(members)[:wanted]
        elif kind == "block":
            taken = _blocks(members, wanted)
        else:
            taken = _whole_trajectories(members, trajectory, wanted, rng)
            if taken.size == 0:
                blocked.append(name)
                taken = _blocks(members, wanted)
        chosen[taken] = True
    notes = []
    if blocked:
        notes.append(
            f"too few trajectories to set whole ones aside in {_listed(blocked)}: "
            "validation takes contiguous blocks there"
        )
    if fraction > 0 and not chosen.any():
        notes.append(f"too few structures ({len(group)}) to set any aside for validation")
    return chosen, notes


def bootstrap_blocks(structures: Structures, n: int = 20, most: int = 100) -> NDArray[np.int64]:
    """Number the blocks to draw together when the data are resampled, shape (S,).

    A trajectory is a block. Where there are fewer than ``n``, the long ones are cut into
    contiguous pieces, in proportion to their length. Where there are more than ``most``, such as
    one for each structure, several that follow each other are one block.
    """
    runs = _indices(structures.trajectory)
    if len(runs) > most:
        return _joined(runs, most)
    blocks = np.zeros(len(structures), dtype=np.int64)
    count = 0
    for members in runs.values():
        share = round(n * members.size / len(structures)) if len(runs) < n else 1
        for piece in np.array_split(members, min(max(share, 1), members.size)):
            blocks[piece] = count
            count += 1
    return blocks


def _joined(runs: Mapping[str, NDArray[np.int64]], most: int) -> NDArray[np.int64]:
    """Number ``most`` blocks of about as many trajectories each."""
    blocks = np.zeros(sum(members.size for members in runs.values()), dtype=np.int64)
    for r, members in enumerate(runs.values()):
        blocks[members] = r * most // len(runs)
    return blocks


def _indices(names: Sequence[str]) -> dict[str, NDArray[np.int64]]:
    """Return where each name stands, in order of appearance."""
    found: dict[str, list[int]] = {}
    for s, name in enumerate(names):
        found.setdefault(name, []).append(s)
    return {name: np.array(where, dtype=np.int64) for name, where in found.items()}


def _strata(
    group: Sequence[str], trajectory: Sequence[str], *, whole: bool
) -> dict[str, NDArray[np.int64]]:
    """Return the members of each group; if ``whole``, a trajectory stays in its first group."""
    if not whole:
        return _indices(group)
    home: dict[str, str] = {}
    return _indices([home.setdefault(t, g) for g, t in zip(group, trajectory, strict=True)])


def _whole_trajectories(
    members: NDArray[np.int64], trajectory: Sequence[str], wanted: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return trajectories drawn until no further one brings their sum closer to ``wanted``."""
    runs = [members[where] for where in _indices([trajectory[s] for s in members]).values()]
    taken: list[int] = []
    for r in rng.permutation(len(runs)):
        after = len(taken) + runs[r].size
        if after < members.size and abs(after - wanted) < abs(len(taken) - wanted):
            taken.extend(runs[r])
    return np.array(sorted(taken), dtype=np.int64)


def _blocks(members: NDArray[np.int64], wanted: int) -> NDArray[np.int64]:
    """Return ``wanted`` members in one contiguous block, or in two where they are many."""
    # Few blocks: each end of a block has a neighbour in time among the training structures.
    count = 2 if wanted >= 10 else 1
    sections = np.array_split(members, count)
    sizes = [wanted // count + (b < wanted % count) for b in range(count)]
    starts = [(s.size - size) // 2 for s, size in zip(sections, sizes, strict=True)]
    return np.concatenate(
        [s[a : a + size] for s, a, size in zip(sections, starts, sizes, strict=True)]
    )


def _listed(names: Sequence[str], most: int = 5) -> str:
    """Return the first few names, quoted."""
    shown = ", ".join(f"'{name}'" for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
