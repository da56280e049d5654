"""Whether energies, forces and stresses are of one unit and one calculation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from symreg.structures.facts import Facts
from symreg.structures.findings import Finding, at

SMALL_STRAIN = 1e-4
"""Strain that counts as none where forces are compared with energies."""
SMALL_SHIFT = 1e-3
"""Displacement in Å from which on forces are compared with energies."""
CALM = 0.05
"""Largest displacement in Å where stresses are compared with energies, if there are enough."""
ENOUGH = 4
"""Steps that make a comparison."""
CLEAR_STEP = 1e-3
"""Change of energy in eV/atom that stands clear of DFT noise."""
ALIKE, POORLY = 2.0, 20.0
"""Factors between two changes of energy that make them differ: if they go together, or if not."""
TOGETHER = 0.8
"""Cosine between foretold and true changes of energy from which on they go together."""
HARDEST = 20.0
"""Pressure times volume in eV/atom that no solid bears: some 300 GPa in copper."""
LARGE_GAP, HUGE_GAP = 1.0, 10.0
"""Gaps in eV/atom between two clusters of energies: with a ratio of units, or with any."""
ENERGIES = {
    "Ha": 27.211386,
    "Ry": 13.605693,
    "kcal/mol": 1 / 23.060548,
    "kJ/mol": 1 / 96.485332,
    "meV": 1e-3,
}
"""Units of energy in eV."""
UNITS = {
    "forces": {"Ha/bohr": 51.422067, "Ry/bohr": 25.711034, "kcal/mol/Å": 1 / 23.060548},
    "stress": {
        "kBar": 1 / 1602.1766,
        "GPa": 1 / 160.21766,
        "Ha/bohr³": 183.63154,
        "bar": 6.2415e-7,
    },
}
"""Units met in the wild, in ours."""


def check_units(facts: Facts) -> tuple[list[Finding], list[Finding]]:
    """Return notes on what was compared, and warnings of what does not fit together."""
    notes, found, doubtful = [], [*_clusters(facts), *_sizes(facts)], False
    for quantity, (work, energy, atoms) in _works(facts).items():
        if work.size < ENOUGH:
            continue
        judged = list(_judge(quantity, work, energy, atoms))
        # Stresses are compared after the work of forces: nothing is said where these are wrong.
        blamed = quantity == "stress" and doubtful
        doubtful |= bool(judged)
        found += [] if blamed else judged
        if blamed:
            agree = "says nothing where forces do not fit the energies"
        elif judged:
            agree = "do not agree"
        elif abs(_cosine(work, energy)) > TOGETHER:
            agree = "nothing speaks against the units"
        else:
            agree = "too loosely related to tell units or signs of a part of them"
        what = f"{quantity} compared with energies over {work.size} pairs of structures"
        notes.append(Finding(what, agree))
    return notes, [*found, *_hard(facts)]


def _works(facts: Facts) -> dict[str, tuple[NDArray[np.float64], ...]]:
    """Return foretold and true changes of energy in eV/atom, and atoms, of clear steps."""
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
    works: dict[str, tuple[NDArray[np.float64], ...]] = {}
    for quantity, (of, work, energy) in chosen.items():
        clear = np.maximum(np.abs(work), np.abs(energy)) > CLEAR_STEP  # False where NaN
        works[quantity] = work[clear], energy[clear], of["atoms"][clear]
    return works


def _judge(
    quantity: str,
    work: NDArray[np.float64],
    energy: NDArray[np.float64],
    atoms: NDArray[np.float64],
) -> Iterator[Finding]:
    """Warn if a label, integrated, is far from the change of energy."""
    norms = float(np.sqrt(work @ work)), float(np.sqrt(energy @ energy))
    if not norms[0]:  # labels that are all zero are told of elsewhere
        return
    cosine = _cosine(work, energy)
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = float(np.median(np.abs(work))), float(np.median(np.abs(energy)))
        ratios = np.array([norms[0] / norms[1], middle[0] / middle[1]])
        sign = -1.0 if cosine < -TOGETHER else 1.0
        ratio = sign * float(np.median(np.abs(work / energy)))
    limit = ALIKE if abs(cosine) > TOGETHER else POORLY
    sizes = np.append(ratios, abs(ratio))
    if sign > 0 and not ((sizes > limit).all() or (sizes < 1 / limit).all()):
        return
    verbs = ("do", "they foretell") if quantity == "forces" else ("does", "it foretells")
    looks = _looks(quantity, ratio, float(np.median(atoms)))
    if limit == POORLY:
        looks = f"its numbers are far too {'large' if abs(ratio) > 1 else 'small'}"
    yield Finding(
        f"{quantity} {verbs[0]} not fit the energies: over {work.size} pairs of similar "
        f"structures {verbs[1]} {ratio:.4g} times the change of energy",
        f"{looks}; a fit to both ends between them",
        f"convert them: {quantity} must be in "
        + ("eV/Å³, tension positive" if quantity == "stress" else "eV/Å")
        + ", energies the total in eV",
    )


def _cosine(work: NDArray[np.float64], energy: NDArray[np.float64]) -> float:
    """How much two series of changes go together, from -1 to 1."""
    norms = float(np.sqrt(work @ work) * np.sqrt(energy @ energy))
    return float(work @ energy) / max(norms, 1e-300)


def _looks(quantity: str, ratio: float, atoms: float) -> str:
    """Say what would explain that a label foretells ``ratio`` times the change of energy."""
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
    if near[text] < 0.28:
        return text + sign
    return "the energies may be of another calculation" + sign


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
            "no solid bears that; they look like kBar or GPa and would rule the fit",
            "write them in eV/Å³ (1 GPa = 0.0062415, 1 kBar = 0.00062415), or set "
            "[loss] sigma_stress = 0",
        )
