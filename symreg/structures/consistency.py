"""Whether energies, forces and stresses are of one unit and one calculation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from numpy.typing import NDArray

from symreg.files import counted
from symreg.structures.facts import Facts
from symreg.structures.findings import Finding, at, listed
from symreg.structures.pairwise_findings import Compared, compare_with_pairs
from symreg.structures.pulls import FEWEST_ATOMS, FEWEST_LIKE, odd_part
from symreg.structures.wrong_units import ENERGIES, FORCES, NOBLE, STRESSES, UNBONDED

SMALL_STRAIN = 1e-4
"""Strain that counts as none where forces are compared with energies."""
SMALL_SHIFT = 1e-3
"""Displacement in Å from which on forces are compared with energies."""
CALM = 0.05
"""Largest displacement in Å where stresses are compared with energies, if there are enough."""
ENOUGH = 4
"""Steps that make a comparison."""
CLEAR_FORCE, SAME = 0.05, 0.3
"""Largest force in eV/Å from which on a structure's energy is no accident of symmetry, and the part
of structures with one energy that is too large."""
CLEAR_STEP = 1e-3
"""Change of energy in eV/atom that stands clear of DFT noise."""
FEWEST_STEPS, JUMP, CLEAR_JUMP, STEEP = 8, 0.2, 10.0, 3.0
"""Steps that tell a jump, its least size in eV/atom, its ratio to the upper quartile, and to what
forces account for: the work of steep repulsions is hardly known."""
ALIKE, POORLY = 2.0, 20.0
"""Factors between two changes of energy that make them differ: if they go together, or if not."""
TOGETHER = 0.8
"""Cosine between foretold and true changes of energy from which on they go together."""
HARDEST = 20.0
"""Pressure times volume in eV/atom that no solid bears: some 300 GPa in copper."""
LARGE_GAP, HUGE_GAP = 1.0, 10.0
"""Gaps in eV/atom between two clusters of energies: with a ratio of units, or with any."""
NEAR = 0.28
"""Logarithm of a ratio within which it is taken for that of a unit."""
STRONG = 0.1
"""Root mean square of forces in eV/Å that tells of bonds."""
VIRIAL_CURE = "give it the key virial, which is minus stress times volume, and is converted"
UNITS = {
    "forces": {unit: FORCES[unit] for unit in ("Ha/bohr", "Ry/bohr", "kcal/mol/Å")},
    "stress": STRESSES,
}
"""Units met in the wild, in ours."""


def check_units(facts: Facts) -> tuple[list[Finding], list[Finding]]:
    """Return notes on what was compared, and warnings of what does not fit together."""
    one = list(_constant(facts))
    if one:  # no comparison with such energies says anything of other labels
        return [], [*one, *_parts(facts), *_lengths(facts), *_hard(facts)]
    notes, found = [], [*_clusters(facts), *_sizes(facts), *_lengths(facts)]
    parts = list(_parts(facts))
    pairs = Compared([], [], False) if parts or found else compare_with_pairs(facts)
    doubtful = bool(parts)
    found += parts
    works = _works(facts)
    for quantity, by_pairs in (("forces", pairs.forces), ("stress", pairs.stress)):
        work = works[quantity]
        enough = work.label.size >= ENOUGH
        judged = list(_judge(quantity, work)) if enough else []
        # Pair functions see more than steps that are loosely related to energies.
        if by_pairs and (pairs.order or not (judged and abs(work.cosine) > TOGETHER)):
            judged = by_pairs
        # Stresses are compared after the work of forces: nothing is said where these are wrong,
        # and nothing of all forces where those of a part are.
        blamed = doubtful and (quantity == "stress" or bool(parts))
        doubtful |= bool(judged)
        found += [] if blamed else judged
        if enough:
            agree = "do not agree" if judged else _agreement(quantity, work, facts)
            agree = "says nothing where forces do not fit the energies" if blamed else agree
            count = counted(work.label.size, "pair")
            what = f"{quantity} compared with energies over {count} of structures"
            notes.append(Finding(what, agree))
    if not found:
        found += _jumps(facts)
    if pairs.trusted and not found:
        what = "energies and stresses compared with pair functions that follow the forces"
        notes.append(Finding(what, "nothing speaks against units, signs and order"))
    return notes, [*found, *_hard(facts)]


def _jumps(facts: Facts) -> Iterator[Finding]:
    """Warn of a frame from which on energies are others, though atoms have hardly moved."""
    steps = facts.steps[(facts.steps["b"] == facts.steps["a"] + 1)]
    steps = steps[(steps["strain"] < SMALL_STRAIN) & np.isfinite(steps["forces"])]
    if steps.size < FEWEST_STEPS:
        return
    rest = steps["energy"] - steps["forces"]
    far = np.abs(rest) > max(JUMP, CLEAR_JUMP * float(np.quantile(np.abs(rest), 0.75)))
    far &= np.abs(rest) > STEEP * np.abs(steps["forces"])
    # An outlier is a jump and its opposite, and is told of as one.
    if far.any() and abs(rest[far].sum()) > 0.5 * np.abs(rest[far]).max():
        step, gap = steps[far][0], float(rest[far][0])
        a, b = (facts.source[step[end]] for end in ("a", "b"))
        yield Finding(
            f"from {a} to {b} the energy changes by {gap:.3g} eV/atom more than forces account "
            f"for, where atoms move by {step['shift']:.2g} Å at most",
            "they look like two calculations; no formula fits both",
            f'take the difference out, or leave one part out, as in [data] leave_out = ["{at(b)}", '
            "...]",
        )


def _agreement(quantity: str, work: Work, facts: Facts) -> str:
    """Say how a label goes with energies where nothing is wrong."""
    if abs(work.cosine) > TOGETHER:
        return "nothing speaks against the units"
    if quantity == "forces" and sum(pull is not None for pull in facts.pulls) >= FEWEST_LIKE:
        return "loosely related; beside pair functions they are of one unit and sign"
    return "too loosely related to tell units or signs of a part of them"


def _constant(facts: Facts) -> Iterator[Finding]:
    """Warn of one energy for structures that differ, and whose atoms feel forces."""
    pulled = np.nan_to_num(facts.force) > CLEAR_FORCE
    alike: dict[tuple[bytes, float], list[int]] = {}
    for s in np.flatnonzero(np.isfinite(facts.energy) & pulled).tolist():
        key = facts.counts[s].tobytes(), float(facts.energy[s])
        alike.setdefault(key, []).append(s)
    known = int(np.count_nonzero(np.isfinite(facts.energy) & pulled))
    same = [m for m in alike.values() if len({facts.digest[s] for s in m}) >= ENOUGH]
    total = sum(map(len, same))
    if total > SAME * known:
        first = same[0]
        yield Finding(
            f"energies of {total} of {counted(known, 'structure')} with forces are one number, "
            f"such as {facts.energy[first[0]]:.6g} eV in {facts.source[first[0]]} and "
            f"{facts.source[first[1]]}",
            "structures that differ have energies that do: a fit would learn that nothing matters",
            "look where they come from, or write no energies: forces are fitted alone",
        )


class Work(NamedTuple):
    """Changes of energy that a label foretells, and true ones, from structure to structure."""

    label: NDArray[np.float64]
    """Foretold, eV/atom, shape (K,)."""
    energy: NDArray[np.float64]
    """True, eV/atom, shape (K,)."""
    atoms: NDArray[np.int64]
    volume: NDArray[np.float64]
    """Å³, shape (K,)."""

    @property
    def cosine(self) -> float:
        """How much the two go together, from -1 to 1."""
        norms = float(np.linalg.norm(self.label) * np.linalg.norm(self.energy))
        return float(self.label @ self.energy) / max(norms, 1e-300)


def _works(facts: Facts) -> dict[str, Work]:
    """Compare foretold and true changes of energy over clear steps."""
    steps = facts.steps
    moved = steps[(steps["strain"] < SMALL_STRAIN) & (steps["shift"] > SMALL_SHIFT)]
    strained = steps[steps["strain"] > SMALL_STRAIN]
    calm = strained[strained["shift"] < CALM]
    chosen = {
        "forces": (moved, moved["forces"], moved["energy"]),
        "stress": (strained, strained["stress"], strained["energy"] - strained["forces"]),
    }
    if np.isfinite(calm["stress"] + calm["forces"]).sum() >= ENOUGH:
        chosen["stress"] = calm, calm["stress"], calm["energy"] - calm["forces"]
    works: dict[str, Work] = {}
    for quantity, (of, work, energy) in chosen.items():
        clear = np.maximum(np.abs(work), np.abs(energy)) > CLEAR_STEP  # False where NaN
        of = of[clear]
        works[quantity] = Work(work[clear], energy[clear], of["atoms"], facts.volume[of["a"]])
    return works


def _judge(quantity: str, work: Work) -> Iterator[Finding]:
    """Warn if a label, integrated, is far from the change of energy."""
    norms = np.linalg.norm(work.label), np.linalg.norm(work.energy)
    if not norms[0]:  # labels that are all zero are told of elsewhere
        return
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = np.median(np.abs(work.label)), np.median(np.abs(work.energy))
        ratios = np.array([norms[0] / norms[1], middle[0] / middle[1]])
        sign = -1.0 if work.cosine < -TOGETHER else 1.0
        ratio = sign * float(np.median(np.abs(work.label / work.energy)))
    limit = ALIKE if abs(work.cosine) > TOGETHER else POORLY
    sizes = np.append(ratios, abs(ratio))
    if sign > 0 and not ((sizes > limit).all() or (sizes < 1 / limit).all()):
        return
    verbs = ("do", "they foretell") if quantity == "forces" else ("does", "it foretells")
    looks, virial = _looks(quantity, ratio, work), _is_virial(ratio, work)
    if limit == POORLY:
        looks = f"its numbers are far too {'large' if abs(ratio) > 1 else 'small'}"
    if quantity == "stress" and virial:
        looks = "it looks like a virial in eV" + (" with the opposite sign" if ratio > 0 else "")
    cure = f"convert them: {quantity} must be in " + (
        "eV/Å³, tension positive" if quantity == "stress" else "eV/Å"
    )
    if quantity == "stress" and virial:
        cure = VIRIAL_CURE if ratio < 0 else "divide it by the volume of the cell"
    yield Finding(
        f"{quantity} {verbs[0]} not fit the energies: over "
        f"{counted(work.label.size, 'pair')} of similar structures {verbs[1]} {ratio:.4g} times "
        "the change of energy",
        f"{looks}; a fit to both ends between them",
        cure + ("" if virial and quantity == "stress" else ", energies the total in eV"),
    )


def _is_virial(ratio: float, work: Work) -> bool:
    """Whether a stress foretells energies times the volume, better than times any one unit.

    Where all volumes are alike and that of a unit of stress, the unit wins.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        gaps = np.log(np.abs(work.label / work.energy) / work.volume)
    clear = np.isfinite(gaps)
    if clear.sum() < ENOUGH or abs(float(np.median(gaps[clear]))) > NEAR:
        return False
    around = float(np.median(np.abs(gaps[clear])))
    sizes = np.log(abs(ratio)) + np.log(list(UNITS["stress"].values()))
    one_unit = gaps[clear] + np.log(work.volume[clear])
    of_units = [
        float(np.median(np.abs(one_unit + np.log(size)))) for size in UNITS["stress"].values()
    ]
    return bool(np.abs(sizes).min() > NEAR or around < 0.5 * min(of_units))


def _looks(quantity: str, ratio: float, work: Work) -> str:
    """Say what would explain that a label foretells ``ratio`` times the change of energy."""
    atoms = float(np.median(work.atoms))
    sign = " with the opposite sign" if ratio < 0 else ""
    if 0.5 < -ratio < 2:
        return "its sign is the opposite one"
    # A label in a larger unit has a smaller number, an energy in a larger unit makes it larger.
    likely = {f"it looks like {unit}": 1 / size for unit, size in UNITS[quantity].items()}
    likely |= {f"the energies look like {unit}": size for unit, size in ENERGIES.items()}
    if atoms > 1:
        likely["the energies look like eV/atom instead of the total"] = atoms
    near = {text: abs(np.log(abs(ratio) / size)) for text, size in likely.items()}
    text = min(near, key=lambda name: near[name])
    if near[text] < NEAR:
        return text + sign
    return "the energies may be of another calculation" + sign


def _parts(facts: Facts) -> Iterator[Finding]:
    """Warn of forces in a part of the structures that are of another unit or sign."""
    looks = {-1.0: "they look like gradients, or those of the others do"}
    looks |= {1 / size: f"they look like {unit}" for unit, size in FORCES.items()}
    looks |= {size: f"those of the others look like {u}" for u, size in FORCES.items()}
    part = odd_part(facts.pulls, facts.n_atoms, list(looks))
    if part is None:
        return
    sources = [facts.source[s] for s in part.members]
    if part.ratio == -1.0:
        what = "the opposite sign of those of similar ones"
    else:
        what = f"{part.ratio:.3g} times the size of those of similar ones"
    groups = sorted({facts.group[s] for s in part.members})
    of = f" (of {listed(groups)})" if len(set(facts.group)) > 1 else ""
    yield Finding(
        f"forces of {part.members.size} of {counted(part.compared, 'structure')} "
        f"compared{of} have {what}, such as {listed(sources, 3, quote='')}",
        f"{looks[part.ratio]}; no formula fits both",
        f'convert them, or leave them out, as in [data] leave_out = ["{at(sources[0])}", ...]',
    )


def _lengths(facts: Facts) -> Iterator[Finding]:
    """Warn of crystals and liquids without bonds whose forces speak of bonds: lengths in bohr."""
    radius = np.array([covalent_radii[atomic_numbers[name]] for name in facts.species])
    noble = np.array([name in NOBLE for name in facts.species])
    pairs = facts.pairs
    apart = np.full(len(facts), np.inf)
    reach = radius[pairs["a"]] + radius[pairs["b"]]
    np.minimum.at(apart, pairs["structure"], pairs["closest"] / reach)
    pull = np.sqrt(facts.squares / (3 * facts.n_atoms))
    solid = np.isfinite(facts.volume) & (facts.n_atoms >= FEWEST_ATOMS)
    solid &= (facts.counts[:, noble] == 0).all(axis=1) & (pull > STRONG)
    far = np.flatnonzero(solid & (apart > UNBONDED) & np.isfinite(apart))
    if far.size < ENOUGH:
        return
    first = facts.source[far[0]]
    closest = float(np.median(facts.nearest[far]))
    yield Finding(
        f"no atoms of {counted(far.size, 'structure')}, such as {first}, are within reach of a "
        f"bond, the closest {closest:.3g} Å apart in the median, but forces are "
        f"{np.median(pull[far]):.2g} eV/Å in the root mean square",
        "positions and cells look like bohr, 1.89 times as far apart as atoms are",
        'write length-unit="bohr" into their headers, or multiply both by 0.529177',
    )


def _clusters(facts: Facts) -> Iterator[Finding]:
    """Warn of two clusters of energies per atom among like structures."""
    for members in facts.by_composition(~facts.lone & np.isfinite(facts.energy)):
        members = members[np.argsort(facts.per_atom[members], kind="stable")]
        if members.size < 2 * ENOUGH:
            continue
        energies = facts.per_atom[members]
        least = max(2, members.size // 20)
        gaps = np.diff(energies)[least - 1 : members.size - least]
        cut = least + int(np.argmax(gaps))
        gap, low, high = float(gaps.max()), members[:cut], members[cut:]
        wide = max(float(np.ptp(energies[:cut])), float(np.ptp(energies[cut:])))
        near = [float(np.median(facts.nearest[part])) for part in (low, high)]
        # Gas beside solid, or squeezed beside relaxed, is what physics wants.
        if gap < LARGE_GAP or not 0.8 < near[1] / near[0] < 1.25:
            continue
        middle = [float(np.median(facts.per_atom[part])) for part in (low, high)]
        unit = _ratio_of_units(*middle) if gap > wide else ""
        if unit or gap > max(HUGE_GAP, wide):
            few = min((low, high), key=len)
            yield Finding(
                f"energies per atom lie in two clusters, {low.size} near {middle[0]:.5g} and "
                f"{high.size} near {middle[1]:.5g} eV/atom, in like structures "
                f"(such as {facts.source[low[0]]} and {facts.source[high[-1]]})",
                (unit or "they look like two calculations") + "; no formula fits both",
                f"convert them, or leave one part out, as in [data] leave_out = "
                f'["{at(facts.source[few[0]])}", ...]',
            )


def _ratio_of_units(low: float, high: float) -> str:
    """Say which unit one of two energies seems to be in, if their ratio is that of units."""
    sizes = sorted((abs(low), abs(high)))
    if low * high <= 0:
        return ""
    for unit, size in ENERGIES.items():
        if 0.85 < sizes[1] / sizes[0] / max(size, 1 / size) < 1.18:
            smaller = "the smaller" if size > 1 else "the larger"
            return f"{smaller} ones look like {unit}"
    return ""


def _sizes(facts: Facts) -> Iterator[Finding]:
    """Warn of energies that do not grow with the cell."""
    for here in facts.by_composition(~facts.lone & np.isfinite(facts.energy)):
        sizes = np.unique(facts.n_atoms[here])
        if sizes.size < 2 or here.size < ENOUGH:
            continue
        parts = [here[facts.n_atoms[here] == n] for n in sizes]
        total = np.array([np.median(facts.energy[part]) for part in parts])
        apart = float(np.ptp(total / sizes))
        if apart > 0.3 and np.ptp(total) < 0.2 * apart:
            yield Finding(
                f"energies are about {np.median(total):.5g} eV in cells of "
                f"{', '.join(map(str, sizes[:4]))} atoms",
                "they look like energies per atom, not of the whole cell, and would be divided by "
                "the number of atoms once more",
                "multiply them by it",
            )


def _hard(facts: Facts) -> Iterator[Finding]:
    """Warn of stresses beyond what any solid bears."""
    pressure = np.abs(facts.stress[:, :3].mean(axis=1))
    work = (pressure * facts.volume / facts.n_atoms)[np.isfinite(pressure * facts.volume)]
    if work.size and np.median(work) > HARDEST:
        yield Finding(
            f"stresses reach {np.nanmax(pressure):.4g} eV/Å³, in the median "
            f"{np.nanmedian(pressure):.4g} ({160.21766 * np.nanmedian(pressure):.3g} GPa)",
            f"no solid bears that; they look like {_too_hard(facts)} and would rule the fit",
            "write them in eV/Å³ (1 GPa = 0.0062415, 1 kBar = 0.00062415), give virials the key "
            "virial, or set [loss] sigma_stress = 0",
        )


def _too_hard(facts: Facts) -> str:
    """Say which units of stress would make it one that solids bear, and a virial if it grows so."""
    pressure = np.abs(facts.stress[:, :3].mean(axis=1))
    known = np.isfinite(pressure * facts.volume) & (pressure > 0)
    size, volume = np.log(pressure[known]), np.log(facts.volume[known])
    if np.ptp(volume) > np.log(2) and np.corrcoef(size, volume)[0, 1] > TOGETHER:
        return "virials in eV (they grow with the cell)"
    return "kBar or GPa, or virials in eV"
