"""What is said of labels that do not go with pair functions fitted to the forces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from ase.data import atomic_numbers, covalent_radii

from symreg.structures.facts import Facts
from symreg.structures.findings import Finding, at
from symreg.structures.pairwise import (
    Beside,
    beside_pairs,
    energies_match,
    misplaced,
    offset,
    stresses_match,
)
from symreg.structures.wrong_units import ENERGIES, FORCES, NOBLE, STRESSES, UNBONDED

FOLLOWS, GOES, BETTER = 0.95, 0.9, 4.0
"""Cosines between energies and foretold ones: of energies shifted by a frame, and of those in a
unit of their own; and the ratio of what is left from which on a shift is the better explanation."""
STRESS_GOES = 0.6
"""Cosine between stresses and foretold ones from which on they go together."""
SIZES = 3.3, 5.0
"""Ratios of energies, and of stresses, to foretold ones that are of one unit."""
LIKE, LIKE_STRESS = 1.6, 2.2
"""Ratios within which one is taken for that of units."""
SOFTEST, STIFFEST = 0.3, 75.0
"""What draws an atom of a solid back to its place in eV/Å²: caesium has 0.2, copper 8, diamond 64
by their Debye temperatures, a nitrogen molecule 48 by its vibration."""
SOFT = (*NOBLE, "K", "Rb", "Cs")
"""Elements that may be softer."""


class Compared(NamedTuple):
    """Findings by the labels that they are of, and whether any could be compared."""

    forces: list[Finding]
    """Of forces and energies."""
    stress: list[Finding]
    trusted: bool
    order: bool = False
    """Whether forces stand in another order, so that they foretell nothing."""


def compare_with_pairs(facts: Facts) -> Compared:
    """Hold labels to pair functions that explain the forces, where there are such."""
    beside = beside_pairs(facts)
    if beside is None:
        return Compared([], [], False)
    if order := misplaced(beside):
        return Compared([_order(beside, order)], [], True, True)
    if not beside.trusted:
        return Compared([], [], False)
    sized = list(_size(facts, beside))
    found = [*_shift(facts, beside)] or [*_offset(facts, beside)] or [*_scale(facts, beside, sized)]
    return Compared([*sized, *found], [] if sized or found else [*_stress(facts, beside)], True)


def _order(beside: Beside, order: str) -> Finding:
    best = float(beside.otherwise.max())
    return Finding(
        "forces do not go with the positions: pair functions explain "
        f"{100 * max(beside.explained, 0.0):.0f} % of their squares, and {100 * best:.0f} % where "
        f"each is taken to stand {order}",
        "they look like those of other atoms, and no formula fits them",
        "write forces and positions in one order",
    )


def _shift(facts: Facts, beside: Beside) -> Iterator[Finding]:
    """Warn of energies that stand beside the structure before or after their own."""
    here = energies_match(facts, beside)
    for shift, where in ((1, "after"), (-1, "before")):
        there = energies_match(facts, beside, shift)
        if here is None or there is None or there.cosine < FOLLOWS:
            continue
        if 1 - here.cosine**2 > BETTER * (1 - there.cosine**2):
            yield Finding(
                "energies do not go with their structures: with those of one frame "
                f"{'later' if shift > 0 else 'earlier'} the cosine of what forces foretell is "
                f"{there.cosine:.3f}, with their own {here.cosine:.3f}",
                f"energies look as if they stood one frame {where} their structures",
                "write each beside its own",
            )
            return


def _offset(facts: Facts, beside: Beside) -> Iterator[Finding]:
    """Warn of a part of the energies that lies higher or lower by one amount."""
    found = offset(facts, beside)
    if found is None:
        return
    sources = [facts.source[part[0]] for part in (found.members, found.others)]
    total = found.members.size + found.others.size
    yield Finding(
        f"energies of {found.members.size} of {total} like structures are {found.gap:.3g} eV/atom "
        f"off those of the others, such as {sources[0]} beside {sources[1]}, and forces do not "
        "account for it",
        "they look like two calculations; no formula fits both",
        "take the difference out, or leave one part out, as in [data] leave_out = "
        f'["{at(sources[0])}", ...]',
    )


def _scale(facts: Facts, beside: Beside, sized: list[Finding]) -> Iterator[Finding]:
    """Warn of energies of another unit or sign than what forces foretell."""
    match = energies_match(facts, beside)
    if match is None or abs(match.cosine) < GOES:
        return
    ratio = 1 / match.ratio  # of what forces foretell to what is
    if match.cosine > 0 and 1 / SIZES[0] < ratio < SIZES[0]:
        return
    atoms = float(np.median(facts.n_atoms[beside.structures]))
    likely = {f"the forces look like {unit}": 1 / size for unit, size in FORCES.items()}
    if not sized:
        likely |= {f"the energies look like {unit}": size for unit, size in ENERGIES.items()}
        if atoms > 1:
            likely["the energies look like eV/atom instead of the total"] = atoms
    looks = _likely(likely, ratio) or "they look like two calculations"
    if match.cosine < 0:
        looks = "the forces look like gradients, of the opposite sign"
    yield Finding(
        f"forces do not fit the energies: pair functions that follow the forces of "
        f"{match.structures} structures foretell {np.sign(match.cosine) * ratio:.3g} times the "
        "changes of energy",
        f"{looks}; a fit to both ends between them",
        "convert them: forces must be in eV/Å, energies the total in eV",
    )


def _stress(facts: Facts, beside: Beside) -> Iterator[Finding]:
    """Warn of stresses of another unit or sign than what forces foretell."""
    matches = [stresses_match(facts, beside, deviators=only) for only in (False, True)]
    if not beside.determined or any(m is None or abs(m.cosine) < STRESS_GOES for m in matches):
        return
    ratios = [match.ratio for match in matches if match is not None]
    turned = [match.cosine < 0 for match in matches if match is not None]
    match = matches[0]
    if match is None or turned[0] != turned[1]:
        return
    large, small = min(ratios) > SIZES[1], max(ratios) < 1 / SIZES[1]
    if not (turned[0] or large or small):
        return
    looks = "its sign is the opposite one"
    if large or small:
        likely = {f"it looks like {unit}": 1 / size for unit, size in STRESSES.items()}
        likely["it looks like a virial in eV"] = float(np.median(facts.volume[beside.structures]))
        looks = _likely(likely, match.ratio, LIKE_STRESS) or "its unit is another one"
        looks += " with the opposite sign" if turned[0] != ("virial" in looks) else ""
    yield Finding(
        f"stress does not fit the forces: it is {np.sign(match.cosine) * match.ratio:.3g} times "
        f"what pair functions that follow the forces of {match.structures} structures foretell",
        f"{looks}; a fit to both ends between them",
        "convert it: stress must be in eV/Å³, tension positive",
    )


def _size(facts: Facts, beside: Beside) -> Iterator[Finding]:
    """Warn of forces that are stronger or weaker than those of any solid."""
    stiffness = float(np.median(beside.stiffness))
    if not beside.determined:
        return
    if stiffness > STIFFEST:
        limit, likely = f"no solid or molecule by more than {STIFFEST:g}", _smaller(stiffness, True)
    elif 0 < stiffness < SOFTEST and _is_bound(facts, beside):
        limit, likely = f"those of solids by {SOFTEST:g} or more", _smaller(stiffness, False)
    else:
        return
    match = energies_match(facts, beside)
    both = match is not None and 1 / SIZES[0] < match.ratio < SIZES[0]
    yield Finding(
        f"forces draw atoms back to their places by {stiffness:.3g} eV/Å² in the median, {limit}",
        (f"they look like {likely}" if likely else "they are of another unit")
        + (", and the energies, which fit them, like the same" if both else ""),
        "convert them: forces must be in eV/Å, energies the total in eV",
    )


def _smaller(stiffness: float, strong: bool) -> str:
    """Units of forces by which a stiffness becomes that of a solid."""
    units = {u: s for u, s in FORCES.items() if (s < 1) == strong and 1 < s * stiffness < 40}
    return " or ".join(units)


def _is_bound(facts: Facts, beside: Beside) -> bool:
    """Whether the structures are crystals or liquids, of elements that bind their atoms firmly."""
    if {*facts.species} & {*SOFT}:
        return False
    radius = np.array([covalent_radii[atomic_numbers[name]] for name in facts.species])
    pairs = facts.pairs[np.isin(facts.pairs["structure"], beside.structures)]
    apart = np.full(len(facts), np.inf)
    reach = radius[pairs["a"]] + radius[pairs["b"]]
    np.minimum.at(apart, pairs["structure"], pairs["closest"] / reach)
    solid = np.isfinite(facts.volume[beside.structures])
    return bool(solid.all() and (apart[beside.structures] < UNBONDED).all())


def _likely(sizes: Mapping[str, float], ratio: float, within: float = LIKE) -> str:
    """All that would explain a ratio, the nearest first."""
    gaps = {text: abs(np.log(ratio / size)) for text, size in sizes.items()}
    near = [
        text for text in sorted(gaps, key=lambda text: gaps[text]) if gaps[text] < np.log(within)
    ]
    return ", or ".join(near)
