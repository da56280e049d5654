"""Look for labels and structures that cannot be right, or of which a fit must know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from numpy.typing import NDArray

from symreg.files import counted
from symreg.structures.consistency import CLEAR_STEP, check_units
from symreg.structures.data import Structures
from symreg.structures.facts import Facts, facts_of
from symreg.structures.findings import Finding, at, listed
from symreg.structures.settings import SPLITS
from symreg.structures.wrong_units import NOBLE

OUTLIER = 10.0
"""Robust standard deviations from the median energy that make an outlier."""
SQUEEZED = 0.9
"""A structure whose closest atoms are nearer than this part of its group's median is squeezed."""
LARGE_FORCE = 100.0
"""Force in eV/Å beyond which a structure is of little use to a fit."""
LEAST_FORCE = 20.0
"""Smallest limit of forces in eV/Å that is proposed."""
RARE = 0.4
"""A filter is not proposed if it leaves out more than this part of the structures."""
NET_FORCE = 0.005
"""Sum of forces over the number of atoms in eV/Å that is more than rounding."""
LARGE_NET_FORCE = 0.1
"""That which is as large as the errors of forces that a fit aims at, [loss] sigma_forces."""
DEEP = 0.4
"""Part of the sum of covalent radii below which the cores of two atoms overlap."""
LABELS_PER_FUNCTION = 20
"""Labels below which a function of a distance is hardly determined."""
UNLIKE = 0.05
"""Energies in eV that isolated atoms of one element do not differ by."""
COHESIVE = 0.3
"""Least energy in eV/atom by which a solid, unless of noble gas, lies below its atoms."""
TRAIN = SPLITS.index("train")


def lint(
    structures: Structures | Facts, r_cut: float = 6.0, functions: int = 1
) -> tuple[list[str], list[str]]:
    """Return notes on what was checked, and warnings on what looks wrong.

    Parameters
    ----------
    structures
        The data, or what is known of them.
    r_cut
        Cutoff radius in Å.
    functions
        Functions that the run asks for.
    """
    facts = facts_of(structures, r_cut) if isinstance(structures, Structures) else structures
    notes, warnings = check(facts, r_cut, functions)
    return [x.text for x in notes], [x.text for x in warnings]


def check(facts: Facts, r_cut: float, functions: int) -> tuple[list[Finding], list[Finding]]:
    """Return what ``lint`` does, in parts."""
    compared, differ = check_units(facts)
    slight, net = _net_forces(facts)
    notes = [*_lone_atoms(facts), *_loose_atoms(facts, r_cut), *slight]
    notes += [*_ruling_groups(facts), *compared]
    warnings = [*_duplicates(facts), *_outliers(facts), *_large_forces(facts), *_overlaps(facts)]
    warnings += [
        *differ,
        *net,
        *_unlike_atoms(facts),
        *_strangers(facts, r_cut),
        *_few_labels(facts, functions),
    ]
    return notes, warnings


def _lone_atoms(facts: Facts) -> Iterator[Finding]:
    """Tell one-atom crystals from isolated atoms."""
    crystals = (facts.n_atoms == 1) & ~facts.lone
    if crystals.any():
        yield Finding(
            counted(
                crystals.sum(),
                "one-atom cell is a crystal, not an isolated atom",
                "one-atom cells are crystals, not isolated atoms",
            ),
            "e0 does not come from them",
        )


def doubtful_atoms(facts: Facts) -> dict[str, str]:
    """Say of which elements isolated atoms look like crystals whose cells were lost, and why."""
    train, found = (facts.split == TRAIN) & np.isfinite(facts.energy), {}
    for k, name in enumerate(facts.species):
        pure = train & (facts.counts[:, k] == facts.n_atoms)
        atoms, bulk = facts.energy[pure & facts.lone], facts.per_atom[pure & ~facts.lone]
        if atoms.size and np.ptp(atoms) > UNLIKE:
            found[name] = f"have energies from {atoms.min():.4g} to {atoms.max():.4g} eV"
        elif atoms.size and bulk.size and name not in NOBLE and atoms[0] < bulk.min() + COHESIVE:
            found[name] = (
                f"have {atoms[0]:.4g} eV, no more than {COHESIVE:g} eV above the lowest of other "
                f"structures, {bulk.min():.4g} eV/atom"
            )
    return found


def _unlike_atoms(facts: Facts) -> Iterator[Finding]:
    """Warn of atoms taken for isolated ones that bonds seem to hold."""
    for name, why in doubtful_atoms(facts).items():
        yield Finding(
            f"isolated atoms of {name} {why}",
            "they look like crystals written as clusters, without cell or pbc, and have neither "
            "neighbours nor use in a fit",
            'write their cells and pbc="T T T", or leave them out',
        )


def _loose_atoms(facts: Facts, r_cut: float) -> Iterator[Finding]:
    """Tell of atoms that no formula can say anything of."""
    loose = (facts.loose > 0) & ~facts.lone
    if loose.any():
        whole = np.count_nonzero(loose & (facts.loose == facts.n_atoms))
        yield Finding(
            f"{counted(loose.sum(), 'structure has', 'structures have')} "
            f"atoms without a neighbour within {r_cut:g} Å, "
            f"{whole} of them no others; the first is {facts.source[int(np.argmax(loose))]}",
            "of such atoms a formula gives e0 and no force",
        )


def _net_forces(facts: Facts) -> tuple[list[Finding], list[Finding]]:
    """Tell of forces that do not sum to zero; a warning where that is as much as errors may be."""
    net = np.nan_to_num(facts.net)
    if net.max() <= NET_FORCE:
        return [], []
    found = Finding(
        f"the forces of {counted(int((net > NET_FORCE).sum()), 'structure')} do not sum to zero, "
        f"by up to {net.max():.2g} eV/Å per atom, in {facts.source[int(np.argmax(net))]}",
        "no potential can follow them closer than that",
    )
    if net.max() <= LARGE_NET_FORCE:
        return [found], []
    worst = at(facts.source[int(np.argmax(net))])
    cure = f'look for atoms or forces that are missing, or set [data] leave_out = ["{worst}"]'
    return [], [found._replace(do=cure)]


def _ruling_groups(facts: Facts) -> Iterator[Finding]:
    """Name a small group whose forces outweigh all others."""
    names, number = np.unique(facts.group, return_inverse=True)
    squares = np.bincount(number, weights=facts.squares)
    atoms = np.bincount(number, weights=facts.n_atoms)
    top = int(np.argmax(squares))
    if names.size > 1 and squares[top] > 0.5 * squares.sum() and atoms[top] < 0.2 * atoms.sum():
        rms = np.sqrt(np.array([squares[top], squares.sum() - squares[top]]))
        rms /= np.sqrt([atoms[top], atoms.sum() - atoms[top]])
        yield Finding(
            f"forces of group '{names[top]}' are {rms[0]:.3g} eV/Å in the root mean square, those "
            f"of all other groups {rms[1]:.2g}",
            "the error of forces is mostly that of this group",
            f"[data.weights] {names[top]} = 0.1 lessens it",
        )


def _duplicates(facts: Facts) -> Iterator[Finding]:
    """Warn of structures that occur more than once, above all in different splits."""
    seen: dict[bytes, int] = {}
    twins, leaks = [], []
    for s, digest in enumerate(facts.digest):
        first = seen.setdefault(digest, s)
        if first != s:
            pair = f"{facts.source[first]} and {facts.source[s]}"
            twins.append((pair, s))
            if facts.split[first] != facts.split[s]:
                where = " and ".join(SPLITS[facts.split[x]] for x in (first, s))
                leaks.append((f"{pair} ({where})", s))
    if twins:
        yield Finding(
            f"{counted(len(twins), 'structure occurs', 'structures occur')} "
            f"twice, such as {twins[0][0]}",
            "each counts as often as it occurs",
            f'[data] leave_out = ["{at(facts.source[twins[0][1]])}", ...] leaves single ones out',
        )
    if leaks:
        yield Finding(
            f"{counted(len(leaks), 'structure occurs', 'structures occur')} "
            f"in two splits, such as {leaks[0][0]}",
            "errors there are not those of unseen data",
            f'leave one out, as in [data] leave_out = ["{at(facts.source[leaks[0][1]])}"]',
        )


def _outliers(facts: Facts) -> Iterator[Finding]:
    """Warn of energies far from others of the same group and composition.

    An energy that is high where atoms are squeezed together is what physics wants.
    """
    alike: dict[tuple[str, int], list[int]] = {}
    for s in np.flatnonzero(np.isfinite(facts.energy)).tolist():
        alike.setdefault((facts.group[s], int(facts.composition[s])), []).append(s)
    far: list[tuple[float, int]] = []
    for members in alike.values():
        above = facts.per_atom[members] - np.median(facts.per_atom[members])
        gaps, closest = np.abs(above), facts.nearest[members]
        squeezed = (above > 0) & (closest < SQUEEZED * np.median(closest))
        # Not the median gap: half of a group may well be hot and the other half cold.
        spread = max(float(np.quantile(gaps, 0.8)) / 1.2816, CLEAR_STEP)
        odd = (gaps > OUTLIER * spread) & ~squeezed
        far += [(float(gaps[k]), members[k]) for k in np.flatnonzero(odd)]
    if far:
        farthest, s = max(far)
        yield Finding(
            f"{counted(len(far), 'energy is', 'energies are')} "
            "far from the rest of their group; the "
            "farthest, "
            f"{facts.source[s]}, by {farthest:.4g} eV/atom",
            "one such energy outweighs many others",
            f'look at it, or set [data] leave_out = ["{at(facts.source[s])}"]',
        )


def force_limit(facts: Facts) -> float | None:
    """Propose ``[data] max_force`` in eV/Å; None where no force, or a good part, is too large."""
    force = np.nan_to_num(facts.force)
    if not (force > LARGE_FORCE).any():
        return None
    usual = 10 * np.ceil(3 * float(np.quantile(force, 0.75)) / 10)
    limit = float(np.clip(usual, LEAST_FORCE, LARGE_FORCE))
    return limit if (force > limit).mean() < RARE else None


def _large_forces(facts: Facts) -> Iterator[Finding]:
    """Warn of forces that would rule the fit."""
    facts = facts.subset(facts.split == TRAIN)
    size = np.nan_to_num(facts.force)
    if size.max() > LARGE_FORCE:
        limit = force_limit(facts)
        large = size > (limit or LARGE_FORCE)
        share = facts.squares[large].sum() / facts.squares.sum()
        yield Finding(
            f"{counted(large.sum(), 'structure has', 'structures have')} forces beyond "
            f"{limit or LARGE_FORCE:g} eV/Å; the largest, {size.max():.4g} eV/Å, is in "
            f"{facts.source[int(np.argmax(size))]}",
            f"they make {100 * share:.3g} % of the sum of squares and rule the fit",
            f"[data] max_force = {limit:g} leaves them out"
            if limit
            else "look at their units: these are too many to be left out",
        )


def _deep(facts: Facts) -> NDArray[np.bool_]:
    """Tell which of the facts' pairs have atoms whose cores overlap."""
    radius = np.array([covalent_radii[atomic_numbers[name]] for name in facts.species])
    reach = DEEP * (radius[facts.pairs["a"]] + radius[facts.pairs["b"]])
    deep: NDArray[np.bool_] = facts.pairs["closest"] < reach
    return deep


def overlapping(facts: Facts) -> NDArray[np.bool_]:
    """Tell which structures have atoms whose cores overlap, shape (S,)."""
    found = np.zeros(len(facts), dtype=bool)
    found[facts.pairs["structure"][_deep(facts)]] = True
    return found


def _overlaps(facts: Facts) -> Iterator[Finding]:
    """Warn of atoms whose cores overlap, in training: others are outside of it."""
    facts = facts.subset(facts.split == TRAIN)
    inside = overlapping(facts)
    if inside.any():
        deep = facts.pairs[_deep(facts)]
        worst = deep[np.argmin(deep["closest"])]
        names = f"{facts.species[worst['a']]} and {facts.species[worst['b']]}"
        closest = np.floor(10 * facts.nearest[~inside].min(initial=np.inf)) / 10
        cure = f"[data] min_distance = {closest:g}" if np.isfinite(closest) else "leave_out"
        yield Finding(
            f"atoms overlap in {counted(inside.sum(), 'structure')}; the closest, {names}, are "
            f"{worst['closest']:.3g} Å apart in {facts.source[worst['structure']]}",
            "their energies and forces are huge, and few codes compute them right",
            f"{cure} leaves them out",
        )


def _strangers(facts: Facts, r_cut: float) -> Iterator[Finding]:
    """Warn of pairs of elements that never meet in the training structures."""
    train = facts.split == TRAIN
    closest = {pair: reach[0] for pair, reach in facts.ranges(train).items()}
    present = sorted(facts.elements_of(train))
    every = [(a, b) for p, a in enumerate(present) for b in present[p:]]
    if not any(d < r_cut for d in closest.values()):
        return  # a run says so, and stops
    never = [pair for pair in every if not closest.get(pair, np.inf) < r_cut]
    if never:
        known = [(closest[pair], pair) for pair in never if np.isfinite(closest.get(pair, np.inf))]
        cure = f"set [terms] r_cut above {min(known)[0]:.4g}" if known else ""
        yield never_meet(["-".join(pair) for pair in never], f"{r_cut:g} Å", cure)


def never_meet(pairs: Sequence[str], within: str, cure: str = "") -> Finding:
    """Say what holds for pairs of elements that training never shows near each other.

    ``within`` is the radius in words, ``cure`` what helps beside more structures.
    """
    return Finding(
        f"no atoms of {listed(pairs, quote='')} come within {within} of each other in training",
        "no form stands for them, no shared one either: in formulas and LAMMPS files they do not "
        "feel each other, but for a repulsive wall where their domain ends",
        "add structures in which they meet" + (f", or {cure}" if cure else ""),
    )


def _few_labels(facts: Facts, functions: int) -> Iterator[Finding]:
    """Warn where labels can hardly determine the functions asked for."""
    train = facts.split == TRAIN
    forces = 3 * int(facts.n_atoms[train & np.isfinite(facts.force)].sum())
    count = int(np.isfinite(facts.energy[train]).sum()) + forces
    count += int(np.isfinite(facts.stress[train]).sum())
    if count < LABELS_PER_FUNCTION * functions:
        asked = f"{functions} functions are" if functions > 1 else "one function is"
        yield Finding(
            f"training has {counted(count, 'label')}, and {asked} asked for",
            "a fit to so few follows their accidents",
            "add structures or forces, or ask for less in [terms]",
        )
