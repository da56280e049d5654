"""Which structures validate, and which belong together."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symreg.structures.data import Structures
from symreg.structures.findings import listed

SNAPSHOT = re.compile(
    r"\b(?:snapshot|frame|step|image|configuration)[\s_#:]*\d+(?:\s*(?:of|/)\s*\d+)?(?:\s+of\b)?",
    re.IGNORECASE,
)
"""A number that tells apart the frames of one run, as in "Snapshot 3 of 20 of AIMD at 300 K"."""

MANY = 5
"""Groups from which on it is worth to hold whole ones out."""


def trajectory_name(info: Mapping[str, Any]) -> str | None:
    """Name the run that a frame comes from, if its file says anything about it."""
    if "trajectory" in info:
        return str(info["trajectory"])
    if isinstance(info.get("description"), str):
        return " ".join(SNAPSHOT.sub(" ", info["description"]).split())
    return str(info["config_type"]) if "config_type" in info else None


def choose_validation(
    group: Sequence[str],
    trajectory: Sequence[str],
    kind: str,
    fraction: float,
    pinned: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.bool_], list[str]]:
    """Set aside a part of every group for validation.

    Parameters
    ----------
    group, trajectory
        Names for each structure, length S.
    kind
        ``trajectory`` takes whole trajectories, and contiguous blocks where a group has too few;
        ``group`` takes whole groups; ``block`` takes contiguous blocks; ``random`` takes single
        structures.
    fraction
        Part to set aside of each group, or of all where whole groups are taken.
    pinned
        Structures that stay in training, shape (S,).

    Returns
    -------
    Which structures validate, shape (S,), and notes for the report.
    """
    rng = np.random.default_rng(0)
    chosen = np.zeros(len(group), dtype=bool)
    stays = np.zeros(len(group), dtype=bool) if pinned is None else pinned
    runs = group if kind == "group" else trajectory
    blocked, whole = [], 0
    for name, members in _strata(group, trajectory, kind).items():
        wanted = min(round(fraction * members.size), members.size - 1)
        if wanted <= 0:
            continue
        free = members[~stays[members]]
        if kind == "random":
            taken = rng.permutation(members)
            taken = taken[~stays[taken]][:wanted]
        elif kind == "block":
            taken = _blocks(free, min(wanted, free.size))
        else:
            taken = _whole_trajectories(members, runs, wanted, rng, stays)
            whole += len({runs[s] for s in taken})
            if taken.size == 0 and kind == "trajectory":
                blocked.append(name)
                taken = _blocks(free, min(wanted, free.size))
        chosen[taken] = True
    return chosen, _notes(chosen, runs, kind, whole, blocked, fraction)


def _notes(
    chosen: NDArray[np.bool_],
    runs: Sequence[str],
    kind: str,
    whole: int,
    blocked: Sequence[str],
    fraction: float,
) -> list[str]:
    """Say what was set aside."""
    notes = []
    if blocked:
        notes.append(
            f"too few trajectories to set whole ones aside in {listed(blocked)}: "
            "validation takes contiguous blocks there"
            + ('; [data] split = "group" holds whole groups out' * (len(blocked) >= MANY))
        )
    if whole:
        names = sorted({runs[s] for s in np.flatnonzero(chosen).tolist()})
        noun = "groups" if kind == "group" else "trajectories"
        notes.append(f"validation takes {whole} whole {noun}: {listed(names)}")
    if fraction > 0 and not chosen.any():
        notes.append(f"too few structures ({chosen.size}) to set any aside for validation")
    return notes


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
    group: Sequence[str], trajectory: Sequence[str], kind: str
) -> dict[str, NDArray[np.int64]]:
    """Return the members of each group; whole trajectories stay in their first group."""
    if kind == "group":
        return {"all": np.arange(len(group))}
    if kind != "trajectory":
        return _indices(group)
    home: dict[str, str] = {}
    return _indices([home.setdefault(t, g) for g, t in zip(group, trajectory, strict=True)])


def _whole_trajectories(
    members: NDArray[np.int64],
    trajectory: Sequence[str],
    wanted: int,
    rng: np.random.Generator,
    stays: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Return trajectories drawn until no further one brings their sum closer to ``wanted``.

    One with a structure that stays in training is not drawn.
    """
    runs = [members[where] for where in _indices([trajectory[s] for s in members]).values()]
    taken: list[int] = []
    for r in rng.permutation(len(runs)):
        if stays[runs[r]].any():
            continue
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
