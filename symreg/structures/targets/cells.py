"""Structures that targets name: frames of files, known crystals, and cells strained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import read
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from symreg.structures.prototypes import NAMES, make
from symreg.structures.targets.settings import Described, TargetSettings

FREE = "atom"
"""The prototype of an atom alone."""
STRAIN = 0.005
"""Of second differences of energies."""
SMALL = 0.001
"""Of first differences."""
_BOX = 60.0
"""Edge in Å of the cell of an atom alone; it is not periodic."""
_MOVED = 1e-5
"""Largest force of a made-up pair function, relative to one bond, that counts as none."""


@dataclass
class Cells:
    """All cells that some targets name, each once."""

    base: Path
    """Folder that files are relative to."""
    species: Sequence[str]
    """Elements of the data."""
    images: list[Atoms] = field(default_factory=list)
    _files: dict[Path, list[Atoms]] = field(default_factory=dict)

    def number(self, atoms: Atoms) -> int:
        """Number of a cell among all."""
        for n, known in enumerate(self.images):
            if known == atoms and (known.pbc == atoms.pbc).all():
                return n
        self.images.append(atoms)
        return len(self.images) - 1

    def find(self, target: TargetSettings, described: str | Described) -> Atoms:
        """The structure that a target describes.

        Raises
        ------
        ValueError
            If there is none, or it has elements that the data lack.
        """
        atoms = (
            self._frame(target, described)
            if isinstance(described, str)
            else (_crystal(target, described))
        )
        if unknown := sorted(set(atoms.get_chemical_symbols()) - set(self.species)):
            raise target.error(
                f"{_shown(described)} has {', '.join(unknown)}; the data hold "
                f"{', '.join(self.species)}"
            )
        return atoms

    def _frame(self, target: TargetSettings, text: str) -> Atoms:
        """A frame of a file by its index, or by its name in ``info``."""
        name, mark, which = text.rpartition("@")
        if not mark:
            raise target.error(f"'{text}' names no frame; write FILE@INDEX or FILE@NAME")
        path = self.base / name
        if path not in self._files:
            try:
                found = read(path, ":")
            except FileNotFoundError:
                raise target.error(f"{path} does not exist") from None
            except Exception as error:  # ASE's readers raise whatever they stumble upon
                raise target.error(f"{path} cannot be read: {error}") from None
            self._files[path] = found if isinstance(found, list) else [found]
        frames = self._files[path]
        named = [atoms for atoms in frames if str(atoms.info.get("name", "")) == which]
        if len(named) > 1:
            raise target.error(f"{path} has {len(named)} frames named {which}; give an index")
        if named:
            return _bare(named[0])
        try:
            return _bare(frames[int(which)])
        except (ValueError, IndexError):
            raise target.error(
                f"{path} has no frame {which}: it has {len(frames)} frames, numbered from 0"
            ) from None

    def alone(self, symbol: str) -> int:
        """Number of the cell of one atom alone."""
        return self.number(_atom(symbol))


def _bare(atoms: Atoms) -> Atoms:
    """A copy without labels, its stress kept as ``info["stress"]``."""
    copy = Atoms(
        atoms.get_chemical_symbols(), positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc
    )
    results = getattr(atoms.calc, "results", {})
    if "stress" in results:
        copy.info["stress"] = np.ravel(results["stress"])
    return copy


def _atom(symbol: str) -> Atoms:
    return Atoms(symbol, positions=[3 * [_BOX / 2]], cell=3 * [_BOX], pbc=False)


def _crystal(target: TargetSettings, described: Described) -> Atoms:
    """A known crystal by its name and lattice constants."""
    values: dict[str, Any] = dict(described)
    name, species = values.pop("prototype", ""), values.pop("species", ())
    if unknown := sorted(set(values) - {"a", "c"}):
        raise target.error(f"a structure has no '{unknown[0]}'; it has prototype, species, a, c")
    if not species:
        raise target.error(f'{_shown(described)} lacks species, as in species = "Cu"')
    try:
        if name == FREE:
            return _atom(species if isinstance(species, str) else species[0])
        if name not in NAMES or not float(values.get("a", 0.0)) > 0:
            raise ValueError(
                f"{_shown(described)} must have one of the prototypes {FREE}, {', '.join(NAMES)}, "
                "and a in angstrom above 0"
            )
        made = make(name, species, **{k: float(v) for k, v in values.items()})
    except (KeyError, TypeError, ValueError) as error:
        raise target.error(str(error)) from None
    return _bare(made)


def _shown(described: str | Described) -> str:
    if isinstance(described, str):
        return described
    return "{ " + ", ".join(f"{name} = {value}" for name, value in described.items()) + " }"


def strained(atoms: Atoms, voigt: Sequence[float] | NDArray[np.float64]) -> Atoms:
    """A cell with its atoms, clamped, under a small strain in Voigt's notation."""
    xx, yy, zz, yz, xz, xy = voigt
    strain = np.array([[xx, xy / 2, xz / 2], [xy / 2, yy, yz / 2], [xz / 2, yz / 2, zz]])
    copy: Atoms = atoms.copy()
    copy.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    return copy


def atoms_move(atoms: Atoms, voigt: Sequence[float] | NDArray[np.float64]) -> bool:
    """Whether the symmetry of a strained cell lets its atoms move.

    A made-up pair function, with no symmetry of its own, has forces on them then; those that it has
    without strain are none of the strain's.
    """
    before, after = _forces(atoms), _forces(strained(atoms, voigt))
    return bool(np.abs(after - before).max() > _MOVED)


def _forces(atoms: Atoms) -> NDArray[np.float64]:
    """Forces of exp(-r), faded out at about the size of the cell, relative to the largest."""
    side = np.ptp(np.vstack([atoms.cell.array, -atoms.cell.array]), axis=0).max()
    radius = min(12.0, 1.2 * side)
    reach = [int(np.ceil(radius / h)) for h in 1 / np.linalg.norm(atoms.cell.reciprocal(), axis=1)]
    shifts = np.array(
        [[i, j, k]
         for i in range(-reach[0], reach[0] + 1)
         for j in range(-reach[1], reach[1] + 1)
         for k in range(-reach[2], reach[2] + 1)]
    ) @ atoms.cell.array  # fmt: skip
    images = (atoms.positions[None, :, :] + shifts[:, None, :]).reshape(-1, 3)
    r = cdist(atoms.positions, images)
    near = (r > 1e-9) & (r < radius)
    size = np.where(near, np.exp(-r) * (1 - np.minimum(r / radius, 1.0) ** 2) ** 3, 0.0)
    ways = (images[None, :, :] - atoms.positions[:, None, :]) / np.where(near, r, 1.0)[:, :, None]
    found: NDArray[np.float64] = (size[:, :, None] * ways).sum(axis=1)
    return found / max(float(size.max()), 1e-300)
