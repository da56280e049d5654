"""Structures with their labels as flat, read-only arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class Structures:
    """S structures with N atoms in all, structure after structure; arrays are read-only."""

    species: tuple[str, ...]
    """Chemical symbols, sorted; subsets keep them all."""
    start: NDArray[np.int64]
    """Atoms of structure s are ``start[s]:start[s + 1]``, shape (S + 1,)."""
    kind: NDArray[np.int64]
    """Index of each atom's element in ``species``, shape (N,)."""
    positions: NDArray[np.float64]
    """Positions in Å, shape (N, 3)."""
    cell: NDArray[np.float64]
    """Cell vectors in Å as rows, shape (S, 3, 3)."""
    pbc: NDArray[np.bool_]
    """Whether the structure repeats along each cell vector, shape (S, 3)."""
    energy: NDArray[np.float64]
    """Total energy in eV, NaN where absent, shape (S,)."""
    forces: NDArray[np.float64]
    """Forces in eV/Å, NaN where absent, shape (N, 3)."""
    stress: NDArray[np.float64]
    """Stress in eV/Å³ as xx yy zz yz xz xy, tension positive, NaN where absent, shape (S, 6)."""
    group: tuple[str, ...]
    """Name of each structure's group, length S."""
    trajectory: tuple[str, ...]
    """Name of the run that each structure comes from, length S."""
    split: NDArray[np.int64]
    """Index into ``SPLITS``, shape (S,)."""
    source: tuple[str, ...]
    """Where each structure was read, such as ``a.extxyz frame 3``, length S."""

    def __post_init__(self) -> None:
        """Keep private copies that nobody can write to."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                value = value.copy()
                value.flags.writeable = False
                object.__setattr__(self, field.name, value)

    def __len__(self) -> int:
        """Count the structures."""
        return len(self.energy)

    @property
    def n_atoms(self) -> NDArray[np.int64]:
        """Atoms in each structure, shape (S,)."""
        return np.diff(self.start)

    @property
    def volume(self) -> NDArray[np.float64]:
        """Volume of each cell in Å³, shape (S,)."""
        volume: NDArray[np.float64] = np.abs(np.linalg.det(self.cell))
        return volume

    def atoms_of(self, s: int) -> slice:
        """Return where the atoms of structure ``s`` lie in the arrays over atoms."""
        return slice(int(self.start[s]), int(self.start[s + 1]))

    def formula(self, s: int) -> str:
        """Return the chemical formula of structure ``s``, such as ``GaAs`` or ``Cu2``."""
        counts = np.bincount(self.kind[self.atoms_of(s)], minlength=len(self.species))
        pairs = zip(self.species, counts, strict=True)
        return "".join(f"{a}{n if n > 1 else ''}" for a, n in pairs if n)

    def to_atoms(self, s: int) -> Atoms:
        """Return structure ``s`` as ASE knows it, without labels."""
        atoms = self.atoms_of(s)
        return Atoms(
            [self.species[k] for k in self.kind[atoms]],
            positions=self.positions[atoms],
            cell=self.cell[s],
            pbc=self.pbc[s],
        )

    def subset(self, mask: ArrayLike) -> Structures:
        """Return the structures where ``mask``, shape (S,), is true; ``species`` stays whole."""
        keep = np.asarray(mask, dtype=bool)
        if keep.shape != (len(self),):
            raise ValueError(f"mask has shape {keep.shape}; it must be ({len(self)},)")
        return self.taken(np.flatnonzero(keep))

    def taken(self, chosen: NDArray[np.int64]) -> Structures:
        """Return the structures with these numbers, in this order; ``species`` stays whole."""
        sizes = self.n_atoms[chosen]
        start = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        atoms = np.arange(start[-1]) + np.repeat(self.start[chosen] - start[:-1], sizes)
        return Structures(
            species=self.species,
            start=start,
            kind=self.kind[atoms],
            positions=self.positions[atoms],
            cell=self.cell[chosen],
            pbc=self.pbc[chosen],
            energy=self.energy[chosen],
            forces=self.forces[atoms],
            stress=self.stress[chosen],
            group=tuple(self.group[s] for s in chosen),
            trajectory=tuple(self.trajectory[s] for s in chosen),
            split=self.split[chosen],
            source=tuple(self.source[s] for s in chosen),
        )

    def with_species(self, species: Sequence[str]) -> Structures:
        """Return the same structures with elements numbered as in ``species``."""
        number = np.full(len(self.species), -1)
        for k, name in enumerate(self.species):
            number[k] = species.index(name) if name in species else -1
        return replace(self, species=tuple(species), kind=number[self.kind])


def join_structures(parts: Sequence[Structures]) -> Structures:
    """Lay structures one after the other; elements are numbered anew."""
    species = sorted({name for part in parts for name in part.species})
    parts = [part.with_species(species) for part in parts]
    sizes = np.concatenate([part.n_atoms for part in parts])
    joined: dict[str, Any] = {
        "species": tuple(species),
        "start": np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
    }
    for name in (entry.name for entry in fields(Structures) if entry.name not in joined):
        values = [getattr(part, name) for part in parts]
        whole = isinstance(values[0], tuple)
        joined[name] = tuple(x for v in values for x in v) if whole else np.concatenate(values)
    return Structures(**joined)


def data_hash(structures: Structures) -> str:
    """Return the SHA-256 of all that a fit can see, the same on every platform.

    File names are left out, so that moving a file changes nothing.
    """
    digest = hashlib.sha256()
    for field in fields(structures):
        value = getattr(structures, field.name)
        if field.name == "source":
            continue
        if field.name == "trajectory":
            # Who belongs together counts, not the name: that of an unnamed run is its file's.
            numbers: dict[str, int] = {}
            value = np.array([numbers.setdefault(name, len(numbers)) for name in value])
        digest.update(f"{field.name}:{np.shape(value)}:".encode())
        if isinstance(value, tuple):
            digest.update("\0".join(value).encode())
        elif value.dtype.kind == "f":
            # One NaN and one zero: either has several bit patterns that mean the same.
            same = np.where(np.isnan(value), np.nan, value + 0.0)
            digest.update(same.astype("<f8").tobytes())
        else:
            digest.update(value.astype("<i8").tobytes())
    return digest.hexdigest()
