"""The exact path: sums over all pairs and triplets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from symreg.fit.forces.pairs import add_pair_observables
from symreg.fit.forces.triplets import add_triplet_observables, cosines, fade_triplets
from symreg.fit.programs.evaluation import evaluate, evaluate_triplets
from symreg.fit.programs.packing import Key, tree_arrays
from symreg.language import Tree
from symreg.language.operators import SUMS
from symreg.structures import Structures
from symreg.structures.neighbours import Pairs, structure_pairs, triplets
from symreg.terms import Expression
from symreg.terms.cutoff import Cutoff
from symreg.terms.wall import Clamp, Wall

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Sums = tuple[Floats, Floats, Floats]
TripletFunction = Callable[[Integers, Integers, Floats], tuple[Floats, Floats]]

_KEPT_PAIRS = 4_000_000
"""Pairs held in memory between calls (48 bytes each); beyond it they are found again."""
_TRIPLETS_TOGETHER = 20_000
"""Triplets in one go: their arrays then stay in the cache."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What an expression says of every structure."""

    energy: Floats
    """Total energy in eV, shape (S,)."""
    forces: Floats
    """eV/Å, shape (N, 3)."""
    stress: Floats
    """eV/Å^3 in Voigt order, shape (S, 6); NaN where not fully periodic."""


class Bends(NamedTuple):
    """A three-body function of T triplets of one structure."""

    pairs: Pairs
    first: Integers
    second: Integers
    """Both pairs of each triplet, shape (T,)."""
    cosine: Floats
    psi: Floats
    """In eV, shape (T,)."""
    slopes: Floats
    """By both distances in eV/Å and by the cosine, shape (3, T)."""

    @property
    def centre(self) -> Integers:
        """Atom in the middle, shape (T,)."""
        return self.pairs.i[self.first]

    def add(self, weight: Floats, *sums: Floats) -> None:
        """Add energies, forces and virials, each triplet weighted as its centre is, shape (N,)."""
        pairs, found = self.pairs, np.vstack([self.psi, self.slopes])
        # What does not change is not felt, also where all are at the cutoff and F has no slope.
        felt, none = found != 0, np.zeros_like(found)
        psi, *slopes = np.multiply(weight[self.centre], found, none, where=felt)
        add_triplet_observables(
            pairs.i, pairs.j, pairs.r, pairs.unit, self.first, self.second, self.cosine,
            psi, np.array(slopes), *sums,
        )  # fmt: skip


class ExactPath:
    """Sums over all pairs and triplets, the oracle of the projected design.

    Parameters
    ----------
    structures
        The data.
    cutoff
        Cutoff function of the pair terms and of the sums of many-body terms.
    r0
        Unit of reduced distance in Å.
    cutoff_three_body
        Cutoff function of the three-body terms.
    r_lo
        Where the domain begins in Å: below it pairs meet a wall, and distances in all other terms
        come to rest, as in the finished formula. Without it formulas hold as they stand.
    """

    def __init__(
        self,
        structures: Structures,
        cutoff: Cutoff,
        r0: float,
        cutoff_three_body: Cutoff | None = None,
        r_lo: float | None = None,
    ) -> None:
        self.structures = structures
        self.r_lo = 0.0 if r_lo is None else r_lo
        self.cutoff = cutoff
        self.cutoff_three_body = cutoff_three_body
        self.r0 = r0
        self.reach: float = max(c.r_cut for c in (cutoff, cutoff_three_body) if c)
        self._kept: dict[int, Pairs] = {}
        self._n_kept = 0

    def predict(self, expression: Expression, e0: Mapping[str, float]) -> Prediction:
        """Energies, forces and stresses of an expression with atomic energies ``e0`` in eV.

        Raises
        ------
        ValueError
            If there are three-body terms, but no cutoff function for them.
        """
        data = self.structures
        free = np.array([e0[name] for name in data.species])
        energy, forces = np.empty(len(data)), np.empty_like(data.forces)
        stress = np.full((len(data), 6), np.nan)
        for s in range(len(data)):
            atoms = data.atoms_of(s)
            pairs, kind = self._pairs(s), data.kind[atoms]
            energies, on_atoms, virial = self.sums(expression, pairs, kind)
            energy[s] = energies.sum() + free[data.kind[atoms]].sum()
            forces[atoms] = on_atoms
            if data.pbc[s].all():
                stress[s] = virial.sum(axis=0) / abs(np.linalg.det(data.cell[s]))
        return Prediction(energy, forces, stress)

    def sums(self, expression: Expression, pairs: Pairs, kind: Integers) -> Sums:
        """Energies (N,), forces (N, 3) and virials (N, 6) of N atoms with these pairs; e0 left out.

        ``kind`` is the index of each atom's element among the species of the structures.
        """
        sums = np.zeros(kind.size), np.zeros((kind.size, 3)), np.zeros((kind.size, 6))
        keys = expression.keys()
        parts = {
            "pair": self._add_pairs,
            "three-body": self._add_triplets,
            "many-body": self._add_embedded,
        }
        for key in keys:
            parts[key[0]](expression, key, pairs, kind, sums)
        return sums

    def _add_pairs(
        self, expression: Expression, key: Key, pairs: Pairs, kind: Integers, sums: Sums
    ) -> None:
        first, second = (self.structures.species.index(name) for name in key[1])
        one, two = kind[pairs.i], kind[pairs.j]
        chosen = (one == first) & (two == second) | (one == second) & (two == first)
        pairs = pairs.subset(chosen & (pairs.r < self.cutoff.r_cut))
        phi, slope = self.pair_term(expression, key, pairs.r)
        add_pair_observables(pairs.i, pairs.r, pairs.unit, phi, slope, *sums)

    def pair_term(self, expression: Expression, key: Key, r: Floats) -> tuple[Floats, Floats]:
        """The pair function with f_c in eV and its slope in eV/Å at distances ``r`` in Å."""
        below = r < self.r_lo
        phi, slope = self._weighted(expression, key, np.maximum(r, self.r_lo))
        if below.any():
            wall = self._wall(expression, key)
            phi[below], slope[below] = (wall.derivative(r[below], n) for n in (0, 1))
        return phi, slope

    def _weighted(self, expression: Expression, key: Key, r: Floats) -> tuple[Floats, Floats]:
        phi, slope = np.zeros_like(r), np.zeros_like(r)
        for tree, weight in _trees(expression, key):
            value, change = self._faded(tree, r)
            phi += weight * value
            slope += weight * change
        return phi, slope

    def _wall(self, expression: Expression, key: Key) -> Wall:
        """What stands below ``r_lo``; higher derivatives there are differences of slopes."""
        step = 1e-3 * self.r_lo
        phi, slope = self._weighted(expression, key, self.r_lo + step * np.array([-1.0, 0.0, 1.0]))
        second = (slope[2] - slope[0]) / (2 * step)
        third = (slope[2] - 2 * slope[1] + slope[0]) / step**2
        if not np.isfinite([phi[1], slope[1], second, third]).all():
            return Wall("core", self.r_lo, (np.nan,) * 5)
        return Wall.join(self.r_lo, float(phi[1]), float(slope[1]), float(second), float(third))

    def _faded(self, tree: Tree, r: Floats) -> tuple[Floats, Floats]:
        """A function of the distance with f_c and its slope in 1/Å, at distances ``r`` in Å."""
        value, slope = _run(tree, r / self.r0)
        fade, fade_slope = self.cutoff.value(r), self.cutoff.slope(r)
        return value * fade, slope / self.r0 * fade + value * fade_slope

    def _at_rest(self, r: Floats) -> tuple[Floats, Floats]:
        """Distances in Å as all but pair terms see them, and their derivatives by ``r``."""
        return Clamp(self.r_lo)(r) if self.r_lo else (r, np.ones_like(r))

    def _add_embedded(
        self, expression: Expression, key: Key, pairs: Pairs, kind: Integers, sums: Sums
    ) -> None:
        """Add functions of neighbour sums, of atoms of one species among themselves."""
        species = self.structures.species.index(key[1][0])
        pairs = pairs.subset((kind[pairs.i] == species) & (kind[pairs.j] == species))
        near = pairs.subset(pairs.r < self.cutoff.r_cut)
        slope = np.zeros_like(near.r)
        distance, rest = self._at_rest(near.r)
        for tree, weight in _trees(expression, key):
            if tree.embedding is None:
                raise ValueError("a many-body term holds no sum over neighbours")
            outer, summands = tree.embedding
            densities = np.zeros((len(SUMS), kind.size))
            steep = [np.zeros_like(slope)] * len(summands)
            for n, summand in enumerate(summands):
                if summand.factors is None:
                    value, change = self._faded(summand, distance)
                    densities[n] += np.bincount(near.i, value, kind.size)
                    steep[n] = change * rest
                else:
                    for part in self._bends([(summand, 1.0)], pairs, kind.size):
                        densities[n] += np.bincount(part.centre, part.psi, kind.size)
            energy, by_sum = evaluate_triplets(*_arrays(outer), *densities)
            sums[0][kind == species] += weight * energy[kind == species]
            for change, by_distance, summand in zip(by_sum, steep, summands, strict=False):
                # Each bond is i -> j and j -> i, and both atoms feel it.
                felt = by_distance != 0
                both = change[near.i[felt]] + change[near.j[felt]]
                slope[felt] += weight * both * by_distance[felt]
                if summand.factors is not None:
                    spare = np.zeros(kind.size), *sums[1:]
                    for part in self._bends([(summand, 1.0)], pairs, kind.size):
                        part.add(weight * change, *spare)
        none = np.zeros_like(near.r)
        add_pair_observables(near.i, near.r, near.unit, none, slope, *sums)

    def _add_triplets(
        self, expression: Expression, key: Key, pairs: Pairs, kind: Integers, sums: Sums
    ) -> None:
        centre, *others = (self.structures.species.index(name) for name in key[1])
        chosen = (kind[pairs.i] == centre) & np.isin(kind[pairs.j], others)
        mixed = kind if others[0] != others[1] else None
        parts = _trees(expression, key)
        for bend in self._bends(parts, pairs.subset(chosen), kind.size, mixed):
            bend.add(np.ones(kind.size), *sums)

    def _bends(
        self,
        parts: Sequence[tuple[Tree, float]],
        pairs: Pairs,
        n_atoms: int,
        kind: Integers | None = None,
    ) -> Iterator[Bends]:
        """Weighted three-body functions of all triplets, some at a time, with f_c.

        With ``kind`` only of those whose neighbours are of different kinds.
        """
        cutoff = self.cutoff_three_body
        if cutoff is None:
            raise ValueError("the formula has three-body terms; they need a cutoff_three_body")
        pairs = pairs.subset(pairs.r < cutoff.r_cut)
        distance, rest = self._at_rest(pairs.r)
        fade = cutoff.value(distance), cutoff.slope(distance) * rest
        functions = [(_psi(tree, distance / self.r0), weight) for tree, weight in parts]
        for first, second in triplets(pairs, n_atoms, _TRIPLETS_TOGETHER):
            if kind is not None:
                mixed = kind[pairs.j[first]] != kind[pairs.j[second]]
                first, second = first[mixed], second[mixed]
            cosine = cosines(pairs.unit, first, second)
            psi, slopes = np.zeros(first.size), np.zeros((3, first.size))
            for function, weight in functions:
                value, change = function(first, second, cosine)
                psi += weight * value
                slopes += weight * change
            slopes[0] *= rest[first] / self.r0
            slopes[1] *= rest[second] / self.r0
            fade_triplets(first, second, *fade, psi, slopes)
            yield Bends(pairs, first, second, cosine, psi, slopes)

    def _pairs(self, s: int) -> Pairs:
        pairs = self._kept.get(s)
        if pairs is None:
            pairs = structure_pairs(self.structures, s, self.reach)
            if self._n_kept + len(pairs) <= _KEPT_PAIRS:
                self._kept[s] = pairs
                self._n_kept += len(pairs)
        return pairs


def _trees(expression: Expression, key: Key) -> list[tuple[Tree, float]]:
    """Functions of one kind and species with their weights in eV."""
    terms = zip(expression.terms, expression.weights, strict=True)
    return [(term.tree, weight) for term, weight in terms if (term.kind, term.species) == key]


def _arrays(tree: Tree) -> tuple[Integers, Integers, Floats]:
    code, arg = (np.array(column) for column in tree_arrays(tree))
    return code, arg, np.array(tree.constants)


def _run(tree: Tree, x: Floats) -> tuple[Floats, Floats]:
    """Value and slope of a function of one variable."""
    return evaluate(*_arrays(tree), x)


def _psi(tree: Tree, x: Floats) -> TripletFunction:
    """A three-body function of two pairs and the cosine, given all reduced distances (P,).

    It returns values (T,) and derivatives by x1, x2 and c (3, T).
    """
    if tree.factors is None:
        return _general(tree, x)
    radial, angular = tree.factors
    h, h_slope = _run(radial, x)  # for each pair, not for each triplet

    def separable(first: Integers, second: Integers, cosine: Floats) -> tuple[Floats, Floats]:
        p, p_slope = _run(angular, cosine)
        one, two = h[first], h[second]
        slopes = np.stack(
            [h_slope[first] * two * p, one * h_slope[second] * p, one * two * p_slope]
        )
        return one * two * p, slopes

    return separable


def _general(tree: Tree, x: Floats) -> TripletFunction:
    """The mean over both orders of the neighbours."""
    arrays = _arrays(tree)

    def general(first: Integers, second: Integers, cosine: Floats) -> tuple[Floats, Floats]:
        one, two = x[first], x[second]
        forth, forth_slopes = evaluate_triplets(*arrays, one, two, cosine)
        back, back_slopes = evaluate_triplets(*arrays, two, one, cosine)
        return 0.5 * (forth + back), 0.5 * (forth_slopes + back_slopes[[1, 0, 2]])

    return general
