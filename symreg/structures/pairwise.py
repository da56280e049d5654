"""Labels beside pair functions that are fitted to the forces: order, energies, stresses, size.

Where a function of the distance for each pair of elements explains most of the forces, it foretells
energies and stresses too, of structures that follow no trajectory: what does not go with them is
of another unit, sign or structure. Where it explains little nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from symreg.structures.facts import Facts
from symreg.structures.pulls import ORDERS, WEAK, Pull, explained

FEWEST = 8
"""Structures that make a comparison."""
MOST = 2000
"""Structures that are compared."""
TRUSTED = 0.75
"""Part of the squares of forces that pair functions explain where they are trusted."""
LEAST, CLEARLY = 0.1, 4.0
"""Part that they explain with forces in another order from which on this is taken for the right
one, if the part is so many times larger, or what they leave so many times smaller."""
MUCH = 0.6
"""Least part for the latter."""
STRONG_RIDGE, STABLE, LARGE = 1e-2, 1.25, 8
"""A ridge by which the stiffness changes by no more than this factor where forces determine it; and
the atoms of the middle structure from which on they can."""


class Beside(NamedTuple):
    """Labels of K structures beside what pair functions foretell."""

    structures: NDArray[np.int64]
    """Which they are, shape (K,)."""
    explained: float
    """Part of the squares of forces that pair functions explain."""
    otherwise: NDArray[np.float64]
    """That with forces in each of ``ORDERS``, shape (3,)."""
    energies: NDArray[np.float64]
    """Foretold, eV/atom but for a constant of each composition, shape (K,)."""
    virials: NDArray[np.float64]
    """Stress times volume, foretold, eV/atom, Voigt, shape (K, 6)."""
    stiffness: NDArray[np.float64]
    """What draws an atom back to its place, eV/Å², shape (K,)."""
    determined: bool
    """Whether forces determine virials and stiffness; those of small cells need not."""

    @property
    def trusted(self) -> bool:
        """Whether the functions explain forces so well that other labels can be held to them."""
        return self.structures.size >= FEWEST and self.explained > TRUSTED


def beside_pairs(facts: Facts) -> Beside | None:
    """Fit pair functions to the forces of a sample of the structures; None if they are few."""
    chosen = np.array(
        [
            s
            for s, pull in enumerate(facts.pulls)
            if pull is not None and pull.squares > 3 * facts.n_atoms[s] * WEAK**2
        ],
        dtype=np.int64,
    )
    chosen = chosen[:: max(1, -(-chosen.size // MOST))]
    if chosen.size < FEWEST:
        return None
    used: list[Pull] = [pull for s in chosen if (pull := facts.pulls[s]) is not None]
    n = facts.n_atoms[chosen]
    fit = explained(used, n)
    others = [
        explained([p._replace(moment=p.others[k]) for p in used], n).part
        for k in range(len(ORDERS))
    ]
    energies = [v @ p.energies for v, p in zip(fit.values, used, strict=True)]
    virials = [p.virials @ v for v, p in zip(fit.values, used, strict=True)]
    stiffness, stiff = (
        np.array([v @ p.stiffness for v, p in zip(one.values, used, strict=True)])
        for one in (fit, explained(used, n, STRONG_RIDGE))
    )
    ratio = float(np.median(stiff) / max(float(np.median(stiffness)), 1e-9))
    return Beside(
        chosen,
        fit.part,
        np.array(others),
        np.array(energies) / n,
        np.array(virials) / n[:, None],
        stiffness,
        float(np.median(n)) >= LARGE and 1 / STABLE < ratio < STABLE,
    )


def misplaced(beside: Beside) -> str:
    """Name the order in which forces seem to stand; empty if in that of the atoms."""
    best = int(np.argmax(beside.otherwise))
    part, here = float(beside.otherwise[best]), max(beside.explained, 0.0)
    more = part > LEAST and part > CLEARLY * here
    less = part > MUCH and CLEARLY * (1 - part) < 1 - here
    return list(ORDERS)[best] if more or less else ""


class Alike(NamedTuple):
    """Labels of like structures beside what is foretold."""

    members: NDArray[np.int64]
    """Places among all K, shape (n,)."""
    volume: NDArray[np.float64]
    """Columns of one, volume and its square, orthonormal, shape (n, 1 to 3)."""

    def clean(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Take out what depends on the volume alone: of that forces know little; shape (n,)."""
        rest: NDArray[np.float64] = values - self.volume @ (self.volume.T @ values)
        return rest


def alike(facts: Facts, beside: Beside, known: NDArray[np.bool_]) -> Iterator[Alike]:
    """Yield structures of like atoms and size where ``known``, shape (K,), from ``FEWEST`` on."""
    counts = facts.counts[beside.structures]
    _, number = np.unique(counts, axis=0, return_inverse=True)
    for one in range(int(number.max()) + 1):
        members = np.flatnonzero((number.ravel() == one) & known)
        if members.size < FEWEST:
            continue
        volume = np.nan_to_num(facts.volume[beside.structures[members]])
        columns = [np.ones(members.size)]
        if np.ptp(volume) > 1e-6 * abs(volume.mean()):
            scaled = (volume - volume.mean()) / volume.std()
            columns += [scaled, scaled**2]
        yield Alike(members, np.linalg.qr(np.stack(columns, axis=1))[0])


class Match(NamedTuple):
    """How a label goes with what is foretold."""

    cosine: float
    ratio: float
    """Label over what is foretold."""
    structures: int


def energies_match(facts: Facts, beside: Beside, shift: int = 0) -> Match | None:
    """Compare energies with those foretold for the structure ``shift`` places before them."""
    at = beside.structures + shift
    inside = (at >= 0) & (at < len(facts))
    at = np.clip(at, 0, len(facts) - 1)
    same = (facts.counts[at] == facts.counts[beside.structures]).all(axis=1)
    energy = np.where(inside & same, facts.per_atom[at], np.nan)
    pairs = [
        (group.clean(beside.energies[group.members]), group.clean(energy[group.members]))
        for group in alike(facts, beside, np.isfinite(energy))
    ]
    return _match(pairs)


def stresses_match(facts: Facts, beside: Beside, *, deviators: bool) -> Match | None:
    """Compare stresses with those foretold, by component, but for what volumes tell.

    Without their pressures if only ``deviators`` are wanted: of these pair functions know little.
    """
    per_atom = facts.volume[beside.structures] / facts.n_atoms[beside.structures]
    work, foretold = facts.stress[beside.structures] * per_atom[:, None], beside.virials.copy()
    for values in (work, foretold) if deviators else ():
        values[:, :3] -= values[:, :3].mean(axis=1, keepdims=True)
    pairs = [
        (group.clean(foretold[group.members, k]), group.clean(work[group.members, k]))
        for group in alike(facts, beside, np.isfinite(work.sum(axis=1)))
        for k in range(6)
    ]
    found = _match(pairs)
    return None if found is None else found._replace(structures=found.structures // 6)


def _match(pairs: list[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> Match | None:
    if not pairs:
        return None
    foretold, label = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    norms = float(np.linalg.norm(foretold)), float(np.linalg.norm(label))
    if min(norms) <= 1e-9:
        return None
    return Match(float(foretold @ label) / norms[0] / norms[1], norms[1] / norms[0], label.size)


class Offset(NamedTuple):
    """Like structures whose energies lie higher than those of others, by one amount."""

    gap: float
    """In eV/atom."""
    members: NDArray[np.int64]
    """The fewer of the two parts, numbers of structures."""
    others: NDArray[np.int64]


SMALLEST_GAP, WIDTHS, SHARE = 0.15, 6.0, 0.15
"""Gap in eV/atom, gap over the spread within each part, and the share of the smaller part."""
MIXED = 0.05
"""Share of structures whose nearest like one is of the other part: two phases are apart."""


def offset(facts: Facts, beside: Beside) -> Offset | None:
    """Find two parts of like structures whose energies differ by one amount that forces do not.

    The parts must lie among each other in their distances, as two phases do not.
    """
    energy = facts.per_atom[beside.structures]
    for group in alike(facts, beside, np.isfinite(energy)):
        upper, gap = _two_parts(energy[group.members], beside.energies[group.members], group)
        if upper is None or not _is_mixed(facts, beside.structures[group.members], upper):
            continue
        part = upper if upper.sum() <= upper.size / 2 else ~upper
        return Offset(
            gap,
            beside.structures[group.members[part]],
            beside.structures[group.members[~part]],
        )
    return None


def _two_parts(
    energy: NDArray[np.float64], foretold: NDArray[np.float64], group: Alike
) -> tuple[NDArray[np.bool_] | None, float]:
    """Part structures by what pair functions leave of energies: which are higher, by how much."""
    n, none = energy.size, (None, 0.0)
    least = max(3, int(SHARE * n))
    rest = energy - foretold
    order = np.sort(rest)
    gaps = np.diff(order)[least - 1 : n - least]
    if n < 2 * least + 4 or not gaps.size:
        return none
    cut = least + int(np.argmax(gaps))
    upper, gap, width = rest >= order[cut], 0.0, np.inf
    for _ in range(4):  # the volume, the size of what is foretold and the offset, all at once
        if not least <= upper.sum() <= n - least:
            return none
        columns = np.column_stack([group.volume, foretold - foretold.mean(), upper])
        solution = np.linalg.lstsq(columns, energy, rcond=None)[0]
        left = energy - columns @ solution
        slope, gap = float(solution[-2]), float(solution[-1])
        width = float(np.sqrt((left**2).sum() / (n - columns.shape[1])))
        upper = left + gap * upper > gap / 2
    clear = gap > max(SMALLEST_GAP, WIDTHS * width) and 1 / 3 < slope < 3
    return (upper, gap) if clear and least <= upper.sum() <= n - least else none


def _is_mixed(facts: Facts, members: NDArray[np.int64], upper: NDArray[np.bool_]) -> bool:
    """Whether structures of both parts lie among each other in the distances of their atoms."""
    pulls = [pull for s in members if (pull := facts.pulls[s]) is not None]
    if len({pull.keys for pull in pulls}) > 1:
        return False
    places = np.stack([pull.energies for pull in pulls]).astype(float)
    apart = ((places[:, None] - places[None]) ** 2).sum(axis=2)
    np.fill_diagonal(apart, np.inf)
    crossing = upper[apart.argmin(axis=1)] != upper
    return bool(crossing.sum() >= max(2, MIXED * upper.size))
