"""Numbers of each structure that checks, filters and splits go by; small beside the structures."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from numpy.typing import ArrayLike, NDArray

from symreg.structures.data import Structures
from symreg.structures.distances import VACUUM, nearest_of_each_kind, search
from symreg.structures.pulls import Pull, pulls_of
from symreg.structures.steps import STEP, small_steps

PAIR = np.dtype(
    [
        ("structure", np.int64),
        ("a", np.int64),
        ("b", np.int64),
        ("closest", np.float64),
        ("farthest", np.float64),
    ]
)
"""Two elements of a structure: the distances in Å from an atom of the one to the nearest of the
other, the smallest and the largest of them (inf: an atom of the one meets none of the other)."""

BOND = 4.5
"""Distance in Å within which atoms of any size feel each other."""
FEW = 5
"""Structures of a composition from which on the most strained are looked for."""


@dataclass(frozen=True, eq=False)
class Facts:
    """All that is known of S structures, whose atoms need not be in memory any more."""

    species: tuple[str, ...]
    """Chemical symbols, sorted."""
    counts: NDArray[np.int64]
    """Atoms of each element, shape (S, species)."""
    energy: NDArray[np.float64]
    """Total energy in eV, NaN where absent, shape (S,)."""
    volume: NDArray[np.float64]
    """Å³, NaN where not fully periodic, shape (S,)."""
    force: NDArray[np.float64]
    """Largest force on an atom in eV/Å, NaN without forces, shape (S,)."""
    squares: NDArray[np.float64]
    """Sum of the squares of all forces in (eV/Å)², shape (S,)."""
    net: NDArray[np.float64]
    """Sum of all forces, divided by the number of atoms, in eV/Å, shape (S,)."""
    stress: NDArray[np.float64]
    """eV/Å³, NaN where absent, shape (S, 6)."""
    nearest: NDArray[np.float64]
    """Smallest distance of two atoms in Å, shape (S,)."""
    lone: NDArray[np.bool_]
    """Whether the structure is one atom without neighbours, shape (S,)."""
    loose: NDArray[np.int64]
    """Atoms without a neighbour within the cutoff radius, shape (S,)."""
    blank: NDArray[np.bool_]
    """Whether energy, forces, stress are exactly zero where nothing demands it, shape (S, 3)."""
    unconverged: NDArray[np.bool_]
    """Whether the file says that the calculation did not converge, shape (S,)."""
    split: NDArray[np.int64]
    """Index into ``SPLITS``, shape (S,)."""
    pairs: NDArray[np.void]
    """Elements that are together in a structure, ``PAIR``."""
    steps: NDArray[np.void]
    """Small steps between structures, ``STEP``."""
    pulls: tuple[Pull | None, ...]
    """Forces beside those of pair functions, of a sample of the structures."""
    digest: tuple[bytes, ...]
    """Fingerprint of the geometry of each structure."""
    group: tuple[str, ...]
    trajectory: tuple[str, ...]
    source: tuple[str, ...]

    def __len__(self) -> int:
        """Count the structures."""
        return len(self.energy)

    @cached_property
    def n_atoms(self) -> NDArray[np.int64]:
        """Atoms of each structure, shape (S,)."""
        total: NDArray[np.int64] = self.counts.sum(axis=1)
        return total

    @cached_property
    def per_atom(self) -> NDArray[np.float64]:
        """Energies in eV/atom, shape (S,)."""
        energies: NDArray[np.float64] = self.energy / self.n_atoms
        return energies

    @cached_property
    def composition(self) -> NDArray[np.int64]:
        """Number of each structure's composition, the same for like proportions, shape (S,)."""
        parts = np.round(self.counts / self.n_atoms[:, None], 3)
        number: NDArray[np.int64] = np.unique(parts, axis=0, return_inverse=True)[1].ravel()
        return number

    def by_composition(self, mask: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
        """Return the numbers of the structures of ``mask``, one array for each composition."""
        chosen = np.flatnonzero(mask)
        chosen = chosen[np.argsort(self.composition[chosen], kind="stable")]
        return np.split(chosen, 1 + np.flatnonzero(np.diff(self.composition[chosen])))

    def elements_of(self, mask: NDArray[np.bool_]) -> set[str]:
        """Return the symbols that occur in the structures where ``mask`` is true."""
        return {x for x, n in zip(self.species, self.counts[mask].sum(axis=0), strict=True) if n}

    def ranges(self, mask: NDArray[np.bool_]) -> dict[tuple[str, str], tuple[float, float]]:
        """Closest and farthest nearest distance in Å of each pair of elements where ``mask``."""
        pairs = self.pairs[mask[self.pairs["structure"]]]
        found = {}
        for a, b in sorted({(int(p["a"]), int(p["b"])) for p in np.unique(pairs[["a", "b"]])}):
            here = pairs[(pairs["a"] == a) & (pairs["b"] == b)]
            far = here["farthest"][np.isfinite(here["farthest"])]
            name = self.species[a], self.species[b]
            found[name] = float(here["closest"].min()), float(far.max(initial=0.0))
        return found

    def subset(self, mask: ArrayLike) -> Facts:
        """Return the facts where ``mask``, shape (S,), is true."""
        return self.taken(np.flatnonzero(mask))

    def taken(self, chosen: NDArray[np.int64]) -> Facts:
        """Return the facts of the structures with these numbers, in this order."""
        number = np.full(len(self), -1)
        number[chosen] = np.arange(chosen.size)
        pairs = self.pairs[number[self.pairs["structure"]] >= 0]
        pairs["structure"] = number[pairs["structure"]]
        steps = self.steps[(number[self.steps["a"]] >= 0) & (number[self.steps["b"]] >= 0)]
        for end in ("a", "b"):
            steps[end] = number[steps[end]]
        parts: dict[str, Any] = {"species": self.species, "pairs": pairs, "steps": steps}
        for name in (entry.name for entry in fields(self) if entry.name not in parts):
            value = getattr(self, name)
            parts[name] = tuple(value[s] for s in chosen) if type(value) is tuple else value[chosen]
        return Facts(**parts)

    def extremes(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Tell which structures of ``mask`` have the closest atoms or most strained cells, (S,).

        Of each pair of elements the closest two atoms, of each composition of five structures or
        more the smallest and the largest volume per atom; and an isolated atom of each element.
        """
        found = np.zeros(len(self), dtype=bool)
        for atoms in self.by_composition(mask & self.lone & np.isfinite(self.energy)):
            found[atoms[:1]] = True
        pairs = self.pairs[mask[self.pairs["structure"]] & np.isfinite(self.pairs["closest"])]
        order = np.lexsort((pairs["closest"], pairs["b"], pairs["a"]))
        _, first = np.unique(pairs[["a", "b"]][order], return_index=True)
        found[pairs["structure"][order[first]]] = True
        volume = self.volume / self.n_atoms
        for members in self.by_composition(mask & np.isfinite(volume)):
            of_each = volume[members]
            if members.size >= FEW and np.ptp(of_each) > 1e-3 * of_each.mean():
                found[members[[np.argmin(of_each), np.argmax(of_each)]]] = True
        return found


def facts_of(
    structures: Structures, r_cut: float, unconverged: Sequence[bool] | None = None
) -> Facts:
    """Look at every structure once; ``r_cut`` in Å is the radius within which atoms interact."""
    n, start = structures.n_atoms, structures.start[:-1]
    size = np.linalg.norm(structures.forces, axis=1)
    labelled = np.isfinite(np.add.reduceat(size, start))
    largest = np.where(labelled, np.maximum.reduceat(np.nan_to_num(size), start), np.nan)
    net = np.linalg.norm(np.add.reduceat(structures.forces, start, axis=0), axis=1) / n
    counts = np.zeros((len(structures), len(structures.species)), dtype=np.int64)
    np.add.at(counts, (np.repeat(np.arange(len(n)), n), structures.kind), 1)
    around = [_surroundings(structures, s, r_cut) for s in range(len(structures))]
    nearest, loose, pairs = zip(*around, strict=True)
    lone = (n == 1) & (np.array(nearest) > VACUUM)
    blank = np.stack(
        [structures.energy == 0, largest == 0, (structures.stress == 0).all(axis=1)], axis=1
    )
    blank[np.array(nearest) > _bonded(structures.species, counts)] = False
    for s in np.flatnonzero(blank[:, 1]):
        blank[s, 1] = not _is_symmetric(structures, int(s))
    return Facts(
        species=structures.species,
        counts=counts,
        energy=structures.energy,
        volume=np.where(structures.pbc.all(axis=1), structures.volume, np.nan),
        force=largest,
        squares=np.add.reduceat(np.nan_to_num(size) ** 2, start),
        net=net,
        stress=structures.stress,
        nearest=np.array(nearest),
        lone=lone,
        loose=np.array(loose),
        blank=blank,
        unconverged=np.array(unconverged or [False] * len(n), dtype=bool),
        split=structures.split,
        pairs=np.concatenate(pairs),
        steps=small_steps(structures),
        pulls=pulls_of(structures),
        digest=tuple(_digest(structures, s) for s in range(len(structures))),
        group=structures.group,
        trajectory=structures.trajectory,
        source=structures.source,
    )


def _bonded(species: Sequence[str], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Distances in Å within which atoms feel each other for certain, shape (S,)."""
    radius = np.array([covalent_radii[atomic_numbers[name]] for name in species])
    distances: NDArray[np.float64] = np.maximum(BOND, 2.6 * np.max(radius * (counts > 0), axis=1))
    return distances


def join(parts: Sequence[Facts]) -> Facts:
    """Lay facts one after the other; elements are numbered anew."""
    species = tuple(sorted({name for part in parts for name in part.species}))
    first, pairs, steps, counts = 0, [], [], []
    for part in parts:
        number = np.array([species.index(name) for name in part.species])
        of_part, moved = part.pairs.copy(), part.steps.copy()
        of_part["structure"] += first
        for end in ("a", "b"):
            of_part[end] = number[of_part[end]]
            moved[end] += first
        wide = np.zeros((len(part), len(species)), dtype=np.int64)
        wide[:, number] = part.counts
        pairs.append(of_part)
        steps.append(moved)
        counts.append(wide)
        first += len(part)
    joined: dict[str, Any] = {
        "species": species,
        "counts": np.concatenate(counts),
        "pairs": np.concatenate(pairs),
        "steps": np.concatenate(steps),
    }
    for name in (entry.name for entry in fields(Facts) if entry.name not in joined):
        values = [getattr(part, name) for part in parts]
        whole = type(values[0]) is tuple
        joined[name] = tuple(x for v in values for x in v) if whole else np.concatenate(values)
    return Facts(**joined)


def _surroundings(
    structures: Structures, s: int, r_cut: float
) -> tuple[float, int, NDArray[np.void]]:
    """Return the closest distance, the number of atoms without neighbours, and the pairs."""
    kind = structures.kind[structures.atoms_of(s)]
    nearest = nearest_of_each_kind(structures, s, r_cut)
    present = np.unique(kind)
    rows = []
    for p, a in enumerate(present):
        for b in present[p:]:
            both = np.concatenate([nearest[kind == a, b], nearest[kind == b, a]])
            rows.append((s, a, b, both.min(), both[np.isfinite(both)].max(initial=0.0)))
    alone = int(np.count_nonzero(nearest.min(axis=1) >= r_cut))
    return float(nearest.min()), alone, np.array(rows, dtype=PAIR)


def _is_symmetric(structures: Structures, s: int) -> bool:
    """Tell whether the neighbours of every atom pull evenly, so that forces are surely zero."""
    kind = structures.kind[structures.atoms_of(s)]
    i, j, d, vector = search(structures, s, VACUUM, "ijdD", full=True)
    for length in (0.7, 1.5):
        weight = np.exp(-d / length) * (1.0 + kind[j])
        pull, most = np.zeros((kind.size, 3)), np.full(kind.size, 1e-30)
        np.add.at(pull, i, weight[:, None] * vector / np.maximum(d, 1e-9)[:, None])
        np.add.at(most, i, weight)
        if (np.linalg.norm(pull, axis=1) > 1e-3 * most).any():
            return False
    return True


def _digest(structures: Structures, s: int) -> bytes:
    """Return a fingerprint of elements, positions and cell, to a millionth of an Å."""
    atoms = structures.atoms_of(s)
    numbers = np.concatenate([structures.positions[atoms], structures.cell[s]])
    names = np.array(structures.species)[structures.kind[atoms]]
    text = (np.round(numbers, 6) + 0.0).tobytes() + " ".join(names).encode()
    return hashlib.blake2b(text + structures.pbc[s].tobytes(), digest_size=16).digest()


__all__ = ["PAIR", "STEP", "Facts", "facts_of", "join"]
