"""Targets as rows: what a formula predicts of each is linear in the energies of some cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from symreg.structures.data import Structures, data_hash
from symreg.structures.frames import from_atoms
from symreg.structures.targets.cells import SMALL, STRAIN, Cells, atoms_move, strained
from symreg.structures.targets.settings import GPA, TargetSettings

Floats = NDArray[np.float64]
MET = 2.0
"""A target is met within so many sigmas."""
PRESSED = 1.0
"""GPa of a reference's own stress from which on it is not at zero pressure."""
ZERO = 0.1
"""Sigma of the pressure of an elastic constant's reference, as a part of that of the constant."""
SAME = 1e-6
"""Relative difference of functionals that are one."""


@dataclass(frozen=True, eq=False)
class Targets:
    """T rows over S cells: predictions are ``functional @ energies + offset``, in eV and Å."""

    names: tuple[str, ...]
    """Of all rows; those that stand for no entry of the run file are empty."""
    units: tuple[str, ...]
    """In which predictions are shown."""
    structures: Structures
    """The cells, without labels."""
    functional: Floats
    """Coefficients of total energies, shape (T, S)."""
    offset: Floats
    """Shape (T,)."""
    value: Floats
    """Shape (T,)."""
    sigma: Floats
    """Shape (T,)."""
    factor: Floats
    """Unit of each row in eV and Å, shape (T,)."""

    def __len__(self) -> int:
        return len(self.names)

    def gaps(self, energies: Floats) -> Floats:
        """Predictions minus values, in sigmas, from total energies in eV, shape (T,)."""
        predicted = self.functional @ energies + self.offset
        return np.asarray((predicted - self.value) / self.sigma)

    def shown(self, energies: Floats) -> dict[str, float]:
        """Predictions in the units of the run file by name, from total energies in eV (S,)."""
        predicted = (self.functional @ energies + self.offset) / self.factor
        named = zip(self.names, predicted.tolist(), strict=True)
        return {name: value for name, value in named if name}

    @property
    def digest(self) -> str:
        """Tells these targets from others."""
        arrays = (self.functional, self.offset, self.value, self.sigma)
        return data_hash(self.structures) + "".join(array.tobytes().hex() for array in arrays)

    @property
    def free_atoms(self) -> Floats:
        """Atoms of each element in each cell, shape (S, species)."""
        cells, n = self.structures, len(self.structures.species)
        kinds = (cells.kind[cells.atoms_of(s)] for s in range(len(cells)))
        return np.array([np.bincount(kind, minlength=n) for kind in kinds], dtype=float)

    def rest(self, given_e0: Floats) -> Floats:
        """What terms shall give in sigmas beside free atoms of these energies in eV, shape (T,)."""
        left = self.less(self.free_atoms @ given_e0)
        return np.asarray((left.value - left.offset) / left.sigma)

    def less(self, energies: Floats) -> Targets:
        """What is left for other terms, where some have these total energies in eV (S,)."""
        return replace(self, offset=self.offset + self.functional @ energies)

    def to_arrays(self) -> tuple[dict[str, Any], dict[str, Floats]]:
        """Plain data and arrays, from which ``from_arrays`` makes an equal one."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "structures"}
        cells = {f"cells_{f.name}": getattr(self.structures, f.name) for f in fields(Structures)}
        every = {**own, **cells}
        arrays = {name: value for name, value in every.items() if isinstance(value, np.ndarray)}
        return {name: value for name, value in every.items() if name not in arrays}, arrays

    @staticmethod
    def from_arrays(record: dict[str, Any], arrays: dict[str, Floats]) -> Targets:
        """Undo ``to_arrays``."""
        every: dict[str, Any] = {name: tuple(value) for name, value in record.items()}
        every |= arrays
        cells = {f.name: every.pop(f"cells_{f.name}") for f in fields(Structures)}
        return Targets(structures=Structures(**cells), **every)


@dataclass
class _Row:
    """One row before all cells are known."""

    name: str
    weights: dict[int, float]
    value: float
    sigma: float
    unit: str = "GPa"
    factor: float = GPA
    offset: float = 0.0


def read_targets(
    settings: Sequence[TargetSettings], base: Path, species: Sequence[str]
) -> Targets | None:
    """The rows of all targets over the cells that they name; None without targets.

    Raises
    ------
    ValueError
        If a structure is missing or does not fit, or two targets contradict each other.
    """
    if not settings:
        return None
    names = [target.name for target in settings]
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise ValueError(f"[[targets]] {twice[0]} is there twice; give each a name of its own")
    cells = Cells(base, species)
    rows = [row for target in settings for row in _rows(target, cells)]
    _check_contradictions(rows)
    structures = from_atoms(
        cells.images, sources=[f"cell {n} of targets" for n in range(len(cells.images))]
    )
    functional = np.zeros((len(rows), len(structures)))
    for row, line in zip(rows, functional, strict=True):
        for number, weight in row.weights.items():
            line[number] += weight
    return Targets(
        names=tuple(row.name for row in rows),
        units=tuple(row.unit for row in rows),
        structures=structures.with_species(species),
        functional=functional,
        offset=np.array([row.offset for row in rows]),
        value=np.array([row.value for row in rows]),
        sigma=np.array([row.sigma for row in rows]),
        factor=np.array([row.factor for row in rows]),
    )


def _rows(target: TargetSettings, cells: Cells) -> Iterator[_Row]:
    """The rows of one target."""
    found = [cells.find(target, described) for described in target.structures]
    if target.kind == "elastic":
        yield from _elastic(target, found[0], cells)
        return
    weights, offset = _BY_KIND[target.kind](target, found, cells)
    yield _Row(
        target.name,
        weights,
        target.value * target.factor,
        target.sigma * target.factor,
        target.unit,
        target.factor,
        offset,
    )


Functional = tuple[dict[int, float], float]


def _sum(parts: Sequence[tuple[int, float]], offset: float = 0.0) -> Functional:
    weights: dict[int, float] = {}
    for number, weight in parts:
        weights[number] = weights.get(number, 0.0) + weight
    return weights, offset


def _difference(target: TargetSettings, found: Sequence[Atoms], cells: Cells) -> Functional:
    a, b = found
    if a.symbols.formula.reduce()[0] != b.symbols.formula.reduce()[0]:
        raise target.error(
            f"{a.symbols} and {b.symbols} have other proportions of elements; use a combination"
        )
    return _sum([(cells.number(a), 1 / len(a)), (cells.number(b), -1 / len(b))])


def _combination(target: TargetSettings, found: Sequence[Atoms], cells: Cells) -> Functional:
    return _sum([(cells.number(a), c) for a, c in zip(found, target.coefficients, strict=True)])


def _cohesion(target: TargetSettings, found: Sequence[Atoms], cells: Cells) -> Functional:  # noqa: ARG001
    (bulk,) = found
    n = len(bulk)
    atoms = [(cells.alone(symbol), 1 / n) for symbol in bulk.get_chemical_symbols()]
    return _sum([(cells.number(bulk), -1 / n), *atoms])


def _defect(target: TargetSettings, found: Sequence[Atoms], cells: Cells) -> Functional:
    defect, bulk = found
    if set(defect.get_chemical_symbols()) != set(bulk.get_chemical_symbols()) or (
        len(set(bulk.get_chemical_symbols())) > 1
    ):
        raise target.error(
            "the energy of the missing atom is that of one of the bulk only where there is one "
            "element; use a combination"
        )
    parts = [(cells.number(defect), 1.0), (cells.number(bulk), -len(defect) / len(bulk))]
    return _sum(parts)


def _surface(target: TargetSettings, found: Sequence[Atoms], cells: Cells) -> Functional:
    slab, bulk = found
    weights, _ = (
        _defect(target, found, cells)
        if len(set(bulk.get_chemical_symbols())) == 1
        else _sum([(cells.number(slab), 1.0), (cells.number(bulk), -len(slab) / len(bulk))])
    )
    normal = int(np.argmax(_vacuum(slab)))
    sides = np.delete(slab.cell.array, normal, axis=0)
    area = float(np.linalg.norm(np.cross(*sides)))
    if not area > 0:
        raise target.error(f"{slab.symbols} has no cell; a slab is periodic along its surface")
    return {number: weight / (2 * area) for number, weight in weights.items()}, 0.0


def _vacuum(atoms: Atoms) -> Floats:
    """Largest gap between atoms along each cell vector in Å, shape (3,)."""
    gaps = []
    for axis, length in enumerate(atoms.cell.lengths()):
        places = np.sort(atoms.get_scaled_positions(wrap=True)[:, axis])
        gaps.append(length * np.diff([*places, places[0] + 1.0]).max())
    return np.array(gaps)


def _adsorption(target: TargetSettings, found: Sequence[Atoms], cells: Cells) -> Functional:  # noqa: ARG001
    return _sum([(cells.number(a), c) for a, c in zip(found, (1.0, -1.0, -1.0), strict=True)])


def _pressure_of(target: TargetSettings, atoms: Atoms, cells: Cells) -> dict[int, float]:
    """Pressure -dE/dV in eV/Å³ as weights of energies, by strains of all edges."""
    _need_cell(target, atoms)
    more, less = (strained(atoms, [sign * SMALL] * 3 + [0.0] * 3) for sign in (1, -1))
    width = more.get_volume() - less.get_volume()
    return _sum([(cells.number(more), -1 / width), (cells.number(less), 1 / width)])[0]


def _need_cell(target: TargetSettings, atoms: Atoms) -> None:
    if not (atoms.pbc.all() and atoms.cell.rank == 3):
        raise target.error(f"{atoms.symbols} is not periodic; {target.kind} takes a crystal")


def _pressure(target: TargetSettings, found: Sequence[Atoms], cells: Cells) -> Functional:
    return _pressure_of(target, found[0], cells), 0.0


def _lattice(target: TargetSettings, found: Sequence[Atoms], cells: Cells) -> Functional:
    (cell,) = found
    assert target.bulk_modulus is not None
    pressure = _pressure_of(target, cell, cells)
    a = target.value  # the lattice constant that the cell has, whichever of its vectors it is
    slope = a / (3 * target.bulk_modulus * GPA)
    return {number: slope * weight for number, weight in pressure.items()}, a


_BY_KIND = {
    "energy_difference": _difference,
    "combination": _combination,
    "cohesive_energy": _cohesion,
    "vacancy": _defect,
    "surface": _surface,
    "adsorption": _adsorption,
    "pressure": _pressure,
    "lattice_constant": _lattice,
}


def _elastic(target: TargetSettings, cell: Atoms, cells: Cells) -> Iterator[_Row]:
    """An elastic constant by second differences, and the pressure of its reference, zero."""
    _need_cell(target, cell)
    largest = float(np.abs(cell.info.get("stress", 0.0)).max())
    if largest > PRESSED * GPA:
        pressure = -float(np.mean(cell.info["stress"][:3])) / GPA
        raise target.error(
            f"its reference is not at rest in the file: its pressure is {pressure:.2g} GPa, and "
            f"components of its stress are up to {largest / GPA:.2g} GPa; take a cell that is"
        )
    parts = list(_second_differences(target.component))
    for voigt, _ in parts:
        if atoms_move(cell, np.array(voigt) * STRAIN):
            raise target.error(
                f"under the strain of {target.component} the symmetry of {cell.symbols} lets atoms "
                "move, and a value for relaxed atoms is not one for clamped ones: give relaxed "
                "frames as a combination"
            )
    size = cell.get_volume() * STRAIN**2
    weights: list[tuple[int, float]] = []
    for voigt, factor in parts:
        ends = [strained(cell, sign * np.array(voigt) * STRAIN) for sign in (1, -1)]
        weights += [(cells.number(end), factor / size) for end in ends]
        weights.append((cells.number(cell), -2 * factor / size))
    value, sigma = (getattr(target, name) * target.factor for name in ("value", "sigma"))
    yield _Row(target.name, _sum(weights)[0], value, sigma)
    yield _Row("", _pressure_of(target, cell, cells), 0.0, ZERO * sigma)


def _second_differences(component: str) -> Iterator[tuple[tuple[float, ...], float]]:
    """Strains, in Voigt's notation, and factors of E(+) + E(-) - 2 E(0) per volume and strain^2."""
    if component == "B":
        yield (1, 1, 1, 0, 0, 0), 1 / 9
    elif component == "Cprime":
        yield (1, -1, 0, 0, 0, 0), 1 / 4
    else:
        i, j = int(component[1]) - 1, int(component[2]) - 1
        units = np.eye(6)
        if i == j:
            yield tuple(units[i]), 1.0
        else:
            yield tuple(units[i] + units[j]), 0.5
            yield tuple(units[i]), -0.5
            yield tuple(units[j]), -0.5


def _check_contradictions(rows: Sequence[_Row]) -> None:
    """Refuse two targets of one functional whose values are many sigmas apart."""
    named = [row for row in rows if row.name]
    for n, one in enumerate(named):
        for other in named[:n]:
            numbers = set(one.weights) | set(other.weights)
            a, b = (
                np.array([row.weights.get(k, 0.0) for k in sorted(numbers)]) for row in (one, other)
            )
            same = np.abs(a - b).max() <= SAME * np.abs(a).max()
            apart = abs(one.value - other.value) / np.hypot(one.sigma, other.sigma)
            if same and apart > 3 * MET:
                raise ValueError(
                    f"[[targets]] {other.name} and {one.name} ask for the same with values "
                    f"{apart:.3g} sigmas apart; leave one out"
                )
