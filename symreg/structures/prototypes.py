"""Known crystals by name: their cells, for any elements and lattice constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms

IDEAL = float(np.sqrt(8 / 3))
"""Ratio c/a of close packing."""
_T = (1 / 3, 2 / 3)


@dataclass(frozen=True)
class Prototype:
    """A crystal with lattice constant a = 1: cell, places in it, and which element sits where."""

    cell: tuple[tuple[float, float, float], ...]
    """Cell vectors as rows; the third is along z where there is a ratio c/a."""
    places: tuple[tuple[float, float, float], ...]
    """Fractions of the cell vectors."""
    kinds: tuple[int, ...]
    """Index of the element of each place."""

    @property
    def counts(self) -> tuple[int, ...]:
        """Atoms of each element in the smallest formula unit."""
        counts = np.bincount(self.kinds)
        return tuple((counts // np.gcd.reduce(counts)).tolist())


_CUBE = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
_FCC = ((0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0))
_BCC = ((-0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0.5, 0.5, -0.5))


def _hexagonal(c: float) -> tuple[tuple[float, float, float], ...]:
    return ((1.0, 0.0, 0.0), (-0.5, float(np.sqrt(0.75)), 0.0), (0.0, 0.0, c))


_A15 = (
    (0.0, 0.0, 0.0), (0.5, 0.5, 0.5), (0.25, 0.0, 0.5), (0.75, 0.0, 0.5),
    (0.5, 0.25, 0.0), (0.5, 0.75, 0.0), (0.0, 0.5, 0.25), (0.0, 0.5, 0.75),
)  # fmt: skip
_WURTZITE = ((*_T, 0.0), (_T[1], _T[0], 0.5), (*_T, 0.375), (_T[1], _T[0], 0.875))
_TETRAGONAL = 0.55
PROTOTYPES: Mapping[str, Prototype] = {
    "sc": Prototype(_CUBE, ((0, 0, 0),), (0,)),
    "bcc": Prototype(_BCC, ((0, 0, 0),), (0,)),
    "fcc": Prototype(_FCC, ((0, 0, 0),), (0,)),
    "hcp": Prototype(_hexagonal(IDEAL), ((*_T, 0.25), (_T[1], _T[0], 0.75)), (0, 0)),
    "dhcp": Prototype(
        _hexagonal(2 * IDEAL),
        ((0, 0, 0), (*_T, 0.25), (0, 0, 0.5), (_T[1], _T[0], 0.75)),
        (0,) * 4,
    ),
    "diamond": Prototype(_FCC, ((0, 0, 0), (0.25, 0.25, 0.25)), (0, 0)),
    "hexagonal_diamond": Prototype(_hexagonal(IDEAL), _WURTZITE, (0,) * 4),
    "beta_tin": Prototype(
        ((1, 0, 0), (0, 1, 0), (0.5, 0.5, _TETRAGONAL / 2)),
        ((0, 0, 0), (-0.25, 0.25, 0.5)),
        (0, 0),
    ),
    "A15": Prototype(_CUBE, _A15, (0,) * 8),
    "graphite": Prototype(
        _hexagonal(2.72),
        ((0, 0, 0), (*_T, 0), (0, 0, 0.5), (_T[1], _T[0], 0.5)),
        (0,) * 4,
    ),
    "chain": Prototype(((4.0, 0, 0), (0, 4.0, 0), (0, 0, 1.0)), ((0, 0, 0),), (0,)),
    "rocksalt": Prototype(_FCC, ((0, 0, 0), (0.5, 0.5, 0.5)), (0, 1)),
    "cesium_chloride": Prototype(_CUBE, ((0, 0, 0), (0.5, 0.5, 0.5)), (0, 1)),
    "zincblende": Prototype(_FCC, ((0, 0, 0), (0.25, 0.25, 0.25)), (0, 1)),
    "wurtzite": Prototype(_hexagonal(IDEAL), _WURTZITE, (0, 0, 1, 1)),
    "L1_0": Prototype(
        ((0.5, -0.5, 0), (0.5, 0.5, 0), (0, 0, 1)), ((0, 0, 0), (0.5, 0.5, 0.5)), (0, 1)
    ),
    "L1_2": Prototype(
        _CUBE, ((0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)), (0, 1, 1, 1)
    ),
    "D0_3": Prototype(
        _FCC,
        ((0, 0, 0), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), (0.75, 0.75, 0.75)),
        (0, 1, 1, 1),
    ),
    "fluorite": Prototype(
        _FCC, ((0, 0, 0), (0.25, 0.25, 0.25), (0.75, 0.75, 0.75)), (0, 1, 1)
    ),
    "rutile": Prototype(
        ((1, 0, 0), (0, 1, 0), (0, 0, 0.644)),
        (
            (0, 0, 0), (0.5, 0.5, 0.5), (0.305, 0.305, 0), (0.695, 0.695, 0),
            (0.805, 0.195, 0.5), (0.195, 0.805, 0.5),
        ),
        (0, 0, 1, 1, 1, 1),
    ),
}  # fmt: skip
NAMES = tuple(PROTOTYPES)


def for_stoichiometry(counts: Sequence[int]) -> tuple[str, ...]:
    """Names of the crystals of a composition, in any order of its elements.

    >>> for_stoichiometry((2, 1))
    ('fluorite', 'rutile')
    """
    wanted = sorted(np.array(counts) // np.gcd.reduce(np.array(counts)))
    return tuple(name for name, one in PROTOTYPES.items() if sorted(one.counts) == wanted)


def make(name: str, species: str | Sequence[str], a: float, c: float | None = None) -> Atoms:
    """Make a crystal; lattice constants in Å.

    Elements are in the order of the crystal's name, the metal of an oxide before the oxygen.

    Raises
    ------
    ValueError
        If there is no such crystal, or the number of elements is not its own.
    """
    if name not in PROTOTYPES:
        raise ValueError(f"there is no prototype {name!r}; there are {', '.join(NAMES)}")
    one, symbols = PROTOTYPES[name], [species] if isinstance(species, str) else list(species)
    if len(symbols) != len(one.counts):
        raise ValueError(f"{name} has {len(one.counts)} elements, not {len(symbols)}")
    cell = a * np.array(one.cell, dtype=float)
    if c is not None:
        cell[:, 2] *= c / cell[:, 2].sum()
    return Atoms(
        [symbols[kind] for kind in one.kinds],
        scaled_positions=one.places,
        cell=cell,
        pbc=True,
        info={"name": name, "lattice": name},
    )
