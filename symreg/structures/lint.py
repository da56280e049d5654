"""Look for labels and structures that cannot be right."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from symreg.structures.data import Structures
from symreg.structures.distances import isolated_atoms, nearest_neighbours
from symreg.structures.settings import SPLITS

OUTLIER = 10.0
"""Robust standard deviations from the median energy that make an outlier."""
REACH = 9.0
"""Distance in Å up to which neighbours are looked for."""
SQUEEZED = 0.9
"""A structure whose closest atoms are nearer than this part of its group's median is squeezed."""
LARGE_FORCE = 100.0
"""Force in eV/Å beyond which a structure is of little use to a fit."""
SMALL_STRAIN, LARGE_STRAIN = 1e-4, 0.1
"""Strains between which the work of the stress is compared with the energy."""
SMALL_SHIFT, LARGE_SHIFT = 1e-3, 0.5
"""Displacements in Å between which the work of the forces is compared with the energy."""
STILL = 0.05
"""Largest displacement in Å, apart from the strain, where the work of the stress is compared."""
ENOUGH = 4
"""Pairs of structures that make a median worth a warning."""
CLEAR_STEP = 1e-3
"""Change of energy in eV/atom that stands clear of DFT noise."""
UNITS = {
    "forces": {"Ha/bohr": 1 / 51.422067, "Ry/bohr": 1 / 25.711034, "kcal/mol/Å": 23.060548},
    "stress": {"kBar": 1602.1766, "GPa": 160.21766, "Ha/bohr³": 1 / 183.63154, "bar": 1602176.6},
}
"""Units met in the wild: their size in ours is one over this."""


@dataclass(frozen=True)
class Step:
    """Two structures so similar that one turns into the other by a small step from a to b."""

    energy: float
    """Change of energy in eV/atom."""
    forces: float
    """Change that the forces foretell, eV/atom."""
    stress: float
    """Change that the stresses foretell, eV/atom."""
    shift: float
    """Largest displacement in Å apart from the strain."""
    strain: float
    """Largest component of the strain."""


def lint(structures: Structures) -> tuple[list[str], list[str]]:
    """Return notes on what was checked, and warnings on what looks wrong."""
    notes = _lone_atoms(structures)
    found = [*_duplicates(structures), *_outliers(structures), *_large_forces(structures)]
    steps = list(_steps(structures))
    moved = [x for x in steps if x.strain < SMALL_STRAIN and SMALL_SHIFT < x.shift < LARGE_SHIFT]
    strained = [x for x in steps if SMALL_STRAIN < x.strain < LARGE_STRAIN and x.shift < STILL]
    works = {
        "forces": [(x.forces, x.energy) for x in moved],
        "stress": [(x.stress, x.energy - x.forces) for x in strained],
    }
    for quantity, pairs in works.items():
        ratios = [w / e for w, e in pairs if np.isfinite(w + e) and abs(e) > CLEAR_STEP]
        if len(ratios) >= ENOUGH:
            notes.append(
                f"{quantity} compared with energies over {len(ratios)} pairs of structures"
            )
            found += _judge(quantity, float(np.median(ratios)), len(ratios))
    return notes, found


def _judge(quantity: str, ratio: float, count: int) -> list[str]:
    """Warn if a label, integrated, gives ``ratio`` times the change of energy."""
    if 0.5 < ratio < 2:
        return []
    looks = "the energies may be of another calculation"
    if abs(ratio) < 1e-3:
        looks = "it is zero or in a far larger unit"
    elif 0.5 < -ratio < 2:
        looks = "its sign is the opposite one"
    for unit, size in UNITS[quantity].items():
        if 0.75 < abs(ratio) / size < 1.33:
            sign = " with the opposite sign" if ratio < 0 else ""
            looks = f"it looks like {unit}{sign}"
    wanted = "eV/Å³, tension positive" if quantity == "stress" else "eV/Å"
    return [
        f"{quantity} does not fit the energies: over {count} pairs of similar structures it "
        f"foretells {ratio:.4g} times the change of energy; {looks}; "
        f"{quantity} must be in {wanted}"
    ]


def _steps(structures: Structures) -> Iterator[Step]:
    """Yield steps between structures that follow each other in their file or in volume."""
    alike: dict[bytes, list[int]] = {}
    for s in np.flatnonzero(np.isfinite(structures.energy)).tolist():
        kind = structures.kind[structures.atoms_of(s)]
        alike.setdefault(kind.tobytes() + structures.pbc[s].tobytes(), []).append(s)
    volume = structures.volume
    for members in alike.values():
        by_volume = sorted(members, key=lambda s: float(volume[s]))
        pairs = {*itertools.pairwise(members), *itertools.pairwise(by_volume)}
        yield from (_step(structures, a, b) for a, b in sorted(pairs))


def _step(structures: Structures, a: int, b: int) -> Step:
    """Compare two structures of like atoms, by the trapezoidal rule."""
    atoms_a, atoms_b = structures.atoms_of(a), structures.atoms_of(b)
    cell_a, cell_b = structures.cell[a], structures.cell[b]
    shift = structures.positions[atoms_b] - structures.positions[atoms_a]
    strain = np.zeros((3, 3))
    if structures.pbc[a].all():
        scaled = structures.positions[atoms_b] @ np.linalg.inv(cell_b)
        scaled -= structures.positions[atoms_a] @ np.linalg.inv(cell_a)
        shift = (scaled - np.round(scaled)) @ (0.5 * (cell_a + cell_b))
        gradient = np.linalg.solve(cell_a, cell_b) - np.linalg.solve(cell_b, cell_a)
        strain = 0.25 * (gradient + gradient.T)  # the logarithmic strain, to second order
    elif not np.allclose(cell_a, cell_b):
        strain += np.inf
    shift -= shift.mean(axis=0)
    n = len(shift)
    still = np.abs(shift).max() < SMALL_SHIFT
    force = structures.forces[atoms_a] + structures.forces[atoms_b]
    virial = structures.volume[[a, b]] @ structures.stress[[a, b]]
    # A shear stands twice in the strain tensor and once in the stress of six numbers.
    voigt = strain[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]] * [1, 1, 1, 2, 2, 2]
    return Step(
        energy=float(structures.energy[b] - structures.energy[a]) / n,
        forces=0.0 if still else -0.5 * float((force * shift).sum()) / n,
        stress=0.5 * float(virial @ voigt) / n if np.isfinite(strain).all() else np.nan,
        shift=float(np.abs(shift).max()),
        strain=float(np.abs(strain).max()),
    )


def _lone_atoms(structures: Structures) -> list[str]:
    """Tell one-atom crystals from isolated atoms."""
    crystals = (structures.n_atoms == 1) & ~isolated_atoms(structures)
    if not crystals.any():
        return []
    return [f"{crystals.sum()} one-atom cells are crystals, not isolated atoms"]


def _duplicates(structures: Structures) -> Iterator[str]:
    """Warn of structures that occur more than once, above all in different splits."""
    seen: dict[bytes, int] = {}
    twins, leaks = [], []
    for s in range(len(structures)):
        atoms = structures.atoms_of(s)
        numbers = np.concatenate([structures.positions[atoms], structures.cell[s]])
        key = (np.round(numbers, 6) + 0.0).tobytes() + structures.kind[atoms].tobytes()
        first = seen.setdefault(key + structures.pbc[s].tobytes(), s)
        if first != s:
            pair = f"{structures.source[first]} and {structures.source[s]}"
            twins.append(pair)
            if structures.split[first] != structures.split[s]:
                where = " and ".join(SPLITS[structures.split[x]] for x in (first, s))
                leaks.append(f"{pair} ({where})")
    if twins:
        yield f"{len(twins)} structures occur twice, such as {twins[0]}"
    if leaks:
        yield (
            f"{len(leaks)} structures occur in two splits, such as {leaks[0]}: "
            "errors there are not those of unseen data"
        )


def _outliers(structures: Structures) -> Iterator[str]:
    """Warn of energies far from others of the same group and composition.

    An energy that is high where atoms are squeezed together is what physics wants.
    """
    per_atom = structures.energy / structures.n_atoms
    closest = np.minimum.reduceat(nearest_neighbours(structures, REACH), structures.start[:-1])
    alike: dict[tuple[str, ...], list[int]] = {}
    for s in np.flatnonzero(np.isfinite(per_atom)).tolist():
        counts = np.bincount(structures.kind[structures.atoms_of(s)])
        parts = np.round(counts / structures.n_atoms[s], 3)
        alike.setdefault((structures.group[s], *map(str, parts)), []).append(s)
    far: list[tuple[float, int]] = []
    for members in alike.values():
        above = per_atom[members] - np.median(per_atom[members])
        gaps = np.abs(above)
        squeezed = (above > 0) & (closest[members] < SQUEEZED * np.median(closest[members]))
        # Not the median gap: half of a group may well be hot and the other half cold.
        spread = max(float(np.quantile(gaps, 0.8)) / 1.2816, CLEAR_STEP)
        odd = (gaps > OUTLIER * spread) & ~squeezed
        far += [(float(gaps[k]), members[k]) for k in np.flatnonzero(odd)]
    if far:
        farthest, at = max(far)
        yield (
            f"{len(far)} energies are far from the rest of their group; the farthest, "
            f"{structures.source[at]}, by {farthest:.4g} eV/atom"
        )


def _large_forces(structures: Structures) -> Iterator[str]:
    """Warn of forces that would rule the fit."""
    size = np.nan_to_num(np.linalg.norm(structures.forces, axis=1))
    if size.max() > LARGE_FORCE:
        atom = int(np.argmax(size))
        s = int(np.searchsorted(structures.start, atom, side="right")) - 1
        yield (
            f"{np.count_nonzero(size > LARGE_FORCE)} forces exceed {LARGE_FORCE:g} eV/Å; the "
            f"largest, {size.max():.4g} eV/Å, is on atom {atom - structures.start[s]} of "
            f"{structures.source[s]}"
        )
