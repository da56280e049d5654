"""ASE calculator of a formula."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress
from numpy.typing import NDArray

from symreg.formula.closed_form import Formula
from symreg.formula.many_body import ManyBodyFunction
from symreg.formula.three_body import ThreeBodyFunction
from symreg.structures.neighbours import Pairs, find_pairs, triplets

PROPERTIES = ("energy", "free_energy", "energies", "forces", "stress")


class FormulaCalculator(Calculator):
    """Energies, forces and stresses of a formula in ASE.

    Stresses come with three periodic directions only. ``energies`` holds e0, half of every pair
    energy of an atom, the energies of the triplets that it is the centre of, and its many-body
    energy.

    Raises
    ------
    ValueError
        On calculating, if the structure holds a species that the formula does not describe.
    """

    implemented_properties = list(PROPERTIES)  # noqa: RUF012 - ASE wants it here, as a list

    def __init__(self, formula: Formula, **settings: Any) -> None:
        """Compute with ``formula``; ``settings`` are those of any ASE calculator."""
        super().__init__(**settings)  # type: ignore[no-untyped-call]
        self.formula = formula

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Fill ``results``; called by ASE."""
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]
        # ASE has kept a copy, and calls without a structure to compute the last one again.
        atoms = cast("Atoms", self.atoms)
        symbols = np.array(atoms.get_chemical_symbols(), dtype=np.str_)
        self._check_species(symbols)
        pairs = find_pairs(atoms.positions, atoms.cell.array, atoms.pbc, self.formula.r_cut)
        energies, gradient = self._pair_part(symbols, pairs)
        for species in self.formula.species_triplets:
            function = self.formula.three_body_function(*species)
            _add_triplets(function, pairs, energies, gradient)
        if self.formula.many_body is not None:
            _add_embedded(self.formula.many_body, pairs, energies, gradient)
        n = len(atoms)
        forces = _per_atom(pairs.i, gradient, n) - _per_atom(pairs.j, gradient, n)
        total = float(energies.sum())
        self.results = {
            "energy": total,
            "free_energy": total,
            "energies": energies,
            "forces": forces,
        }
        if atoms.pbc.all():
            virial = np.einsum("p,pa,pb->ab", pairs.r, pairs.unit, gradient)
            self.results["stress"] = full_3x3_to_voigt_6_stress(virial / atoms.get_volume())

    def _check_species(self, symbols: NDArray[np.str_]) -> None:
        for symbol in np.unique(symbols):
            if symbol not in self.formula.species:
                raise ValueError(
                    f"the structure holds {symbol}; the formula describes "
                    f"{', '.join(self.formula.species)}"
                )

    def _pair_part(
        self, symbols: NDArray[np.str_], pairs: Pairs
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Energies in eV of all atoms, shape (N,), and gradients by the pair vectors, (P, 3)."""
        energy, slope = np.zeros(pairs.r.size), np.zeros(pairs.r.size)
        first, second = symbols[pairs.i], symbols[pairs.j]
        for a in np.unique(first):
            for b in np.unique(second[first == a]):
                chosen = (first == a) & (second == b)
                function = self.formula.pair_function(str(a), str(b))
                energy[chosen], slope[chosen] = function.derivatives(pairs.r[chosen], 1)
        # The list is full: each bond counts once as i -> j and once as j -> i.
        free = np.array([self.formula.e0[symbol] for symbol in symbols], dtype=float)
        free += np.bincount(pairs.i, 0.5 * energy, symbols.size)
        return free, 0.5 * slope[:, None] * pairs.unit


def _add_triplets(
    function: ThreeBodyFunction,
    pairs: Pairs,
    energies: NDArray[np.float64],
    gradient: NDArray[np.float64],
) -> None:
    """Add what triplets do to the energies of their centres and to the gradients by pair."""
    for bend in _bends(function, pairs, energies.size):
        energies += bend.energies(energies.size)
        bend.add(np.ones(energies.size), gradient)


class _Bends(NamedTuple):
    """A three-body function of some triplets."""

    pairs: Pairs
    near: NDArray[np.int64]
    """Which of all pairs those are that ``first`` and ``second`` count."""
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    cosine: NDArray[np.float64]
    values: NDArray[np.float64]
    """Energy, and slopes by both distances and the cosine, shape (4, T)."""

    def energies(self, n: int) -> NDArray[np.float64]:
        """Of the centres, shape (n,)."""
        return np.asarray(np.bincount(self.pairs.i[self.first], self.values[0], n), dtype=float)

    def add(self, weight: NDArray[np.float64], gradient: NDArray[np.float64]) -> None:
        """Add gradients by pair, each triplet weighted as its centre is, shape (N,)."""
        pairs, first, second, c = self.pairs, self.first, self.second, self.cosine
        u1, u2 = pairs.unit[first], pairs.unit[second]
        slopes = self.values[1:]
        # What does not change is not felt, also where all are at the cutoff and F has no slope.
        felt, none = slopes != 0, np.zeros_like(slopes)
        slope1, slope2, slope_c = np.multiply(slopes, weight[pairs.i[first]], none, where=felt)
        turn1, turn2 = slope_c / pairs.r[first], slope_c / pairs.r[second]
        for axis in range(3):
            one = slope1 * u1[:, axis] + turn1 * (u2[:, axis] - c * u1[:, axis])
            two = slope2 * u2[:, axis] + turn2 * (u1[:, axis] - c * u2[:, axis])
            gradient[self.near, axis] += np.bincount(first, one, self.near.size)
            gradient[self.near, axis] += np.bincount(second, two, self.near.size)


def _bends(function: ThreeBodyFunction, pairs: Pairs, n: int) -> Iterator[_Bends]:
    """A three-body function of all triplets, some at a time."""
    near = np.flatnonzero(pairs.r < function.r_cut)
    chosen = Pairs(pairs.i[near], pairs.j[near], pairs.r[near], pairs.unit[near])
    radials = function.radials(chosen.r)
    for first, second in triplets(chosen, n):
        # Rounding must not push the cosine of atoms in one line out of its domain.
        c = np.clip(np.einsum("ta,ta->t", chosen.unit[first], chosen.unit[second]), -1.0, 1.0)
        values = function.triplets(radials, first, second, c)
        yield _Bends(chosen, near, first, second, c, values)


def _add_embedded(
    function: ManyBodyFunction,
    pairs: Pairs,
    energies: NDArray[np.float64],
    gradient: NDArray[np.float64],
) -> None:
    """Add the energies of neighbour sums, and their gradients by pair."""
    near = np.flatnonzero(pairs.r < function.r_cut)
    i, densities = pairs.i[near], function.densities(pairs.r[near])
    sums = np.array([np.bincount(i, value, energies.size) for value, _ in densities])
    for n, bends in function.bends.items():
        for bend in _bends(bends, pairs, energies.size):
            sums[n] += bend.energies(energies.size)
    energy, *by_sum = function.energy(sums)
    energies += energy
    for n, bends in function.bends.items():
        for bend in _bends(bends, pairs, energies.size):
            bend.add(by_sum[n], gradient)
    for change, (_, slope) in zip(by_sum, densities, strict=True):
        felt = slope != 0  # where all neighbours are at the cutoff F need not have a slope
        along = change[i[felt]] * slope[felt]
        gradient[near[felt]] += along[:, None] * pairs.unit[near[felt]]


def _per_atom(
    atom: NDArray[np.int64], gradient: NDArray[np.float64], n: int
) -> NDArray[np.float64]:
    """Sum of the gradients of all pairs that share an atom, shape (n, 3)."""
    return np.stack([np.bincount(atom, part, n) for part in gradient.T], axis=1)
