"""The gate: whether a candidate stays physical away from its data, judged while it is bred.

Everything is computed with compiled programs on a fixed set of atoms that no data need to hold:
an atom alone, dimers, trimers, dense clusters and crystals over a range of volumes. ``physics``
repeats and extends the tests on the finished formula, with derivatives by SymPy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import NamedTuple

import numpy as np
from ase import Atoms

from symreg.arrays import Floats
from symreg.fit.exact import ExactPath
from symreg.fit.specimens import Specimen, Specimens
from symreg.fit.sums.base import Around
from symreg.searching.ground import UNRELATED, GroundState
from symreg.searching.shapes import (
    LARGEST_CELL,
    clusters,
    commonest,
    ideal,
    measured,
    reach,
    scaled,
)
from symreg.structures import Structures, crystals
from symreg.structures.neighbours import Pairs, find_pairs
from symreg.structures.recognition import recognise
from symreg.terms import Expression, Term
from symreg.terms.curves import pole
from symreg.terms.expression import NOTHING
from symreg.terms.lengths import Lengths

CONDITIONS = (
    "an atom alone has a finite energy",
    "dimers are finite from half of r_lo to the cutoff",
    "dimers repel each other below r_lo",
    "crystals have a minimum, above which the energy rises down to 0.6 of its volume",
    "trimers and dense clusters keep above twice the cohesive energy",
    "crystals that are stretched to the cutoff do not rise above free atoms",
    "no other structure lies below the crystal that the data hold",
)
"""Conditions that a candidate has to meet."""
COMPRESSION = 0.6
"""Down to this part of the minimum's volume the energy has to rise."""
DEEPEST = 2.0
"""Nothing may be bound by more than this many times the cohesive energy, per atom."""
DENSEST = 0.7
"""Crystals and clusters are squeezed until neighbours are this part of r_lo apart."""
_DIMERS, _OTHERS, _MIXED = 160, 60, 20
BARRIER, RISE = 0.005, 0.01
"""Stretched crystals may rise above free atoms by so much in eV/atom, or this part of their depth,
whichever is more."""
_MOST_KEPT = 2000
"""Expressions of which verdicts are kept."""
_REMEMBERED = 128
"""Functions of sums whose energies and forces of all probes are remembered."""
_JUMP = 0.05
"""Part of the largest energy of a dimer by which it has to jump at a pole: points are few."""
_EDGE = (1e-2, 1e-3, 1e-4, 1e-5)
"""Distances in Å from the cutoff radius at which a force that grows without bound shows."""
_GROWTH = 1.2
"""A force may grow by this factor from each of them to the next."""


@dataclass(frozen=True, eq=False)
class _Curve:
    """Structures of one kind along a length, as slices of all probes."""

    name: str
    """With the distance in the data, if it is a crystal of theirs."""
    length: Floats
    """Distance in Å of the pair that comes below its ``r_lo`` first, ascending, shape (S,)."""
    probes: slice
    """Of dimers, or of all other structures along lengths."""
    r_lo: float
    """Where the domain of that pair begins in Å."""
    r_cut: float
    """Cutoff radius of that pair in Å."""
    species: frozenset[str]
    """Its elements."""


class Verdict(NamedTuple):
    """What speaks against a formula, in words."""

    broken: tuple[str, ...] = ()
    """Conditions that it breaks, but for the ground state."""
    lower: tuple[str, ...] = ()
    """Structures that lie too far below the crystal of the data."""
    near: tuple[str, ...] = ()
    """Others that lie a little below it."""


class Gate:
    """Tests individuals.

    Structures are the data, for their elements and their crystals; ``lengths`` tell where the
    domain of each pair of species begins. Terms that are ``frozen`` stand beside those of every
    individual; what has no other pairs than theirs is not judged. Crystals have to be ``bound``,
    unless a repulsion alone might be what the data hold.
    """

    def __init__(
        self,
        structures: Structures,
        lengths: Lengths,
        frozen: Expression = NOTHING,
        bound: bool = True,
    ) -> None:
        self.path = ExactPath(structures, lengths)
        self.lengths, self.species = lengths, structures.species
        self.pairs_met = _met(structures.species, lengths)
        """Pairs of species that training shows within the cutoff."""
        self.frozen_pairs = {key.species for key in frozen.keys() if key.is_pair}  # noqa: SIM118
        """Pairs of species whose terms stay as they are."""
        self._probes = [Atoms(symbol) for symbol in self.species]
        judged = [pair for pair in self.pairs_met if pair not in self.frozen_pairs]
        self.dimers = [self._dimer(*pair) for pair in judged]
        self._specimens: list[Specimen] = []
        shapes = [atoms for pair in self.pairs_met for atoms in clusters(*pair)]
        self.clusters = [self._curve(atoms) for atoms in shapes if self._is_known(atoms)]
        found = [one for one in recognise(structures) if self._is_known(one.atoms)]
        self.bound = bound or any(one.at_rest for one in found)
        known = measured(crystals(structures))
        known += [ideal(one) for one in found if len(one.atoms) > LARGEST_CELL or not known]
        if not known and self.bound:
            known = commonest(structures)
        self.crystals = [self._curve(atoms) for atoms in known if self._is_known(atoms)]
        self.assumed = found
        """Crystals of the data, below which nothing else may lie."""
        self.ground = GroundState(found, lengths)
        self._verdicts: dict[Expression, Verdict] = {}
        self._place(frozen)

    def _place(self, frozen: Expression) -> None:
        """Find neighbours in all probes and specimens, and energies of frozen terms there."""
        self.start = np.concatenate([[0], np.cumsum([len(atoms) for atoms in self._probes])])
        symbols = [symbol for atoms in self._probes for symbol in atoms.symbols]
        self.kind = np.array([self.species.index(symbol) for symbol in symbols])
        parts = []
        for first, atoms in zip(self.start, self._probes, strict=False):
            pairs = find_pairs(atoms.positions, np.asarray(atoms.cell), atoms.pbc, self.path.reach)
            parts.append((pairs.i + first, pairs.j + first, pairs.r, pairs.unit))
        pairs = Pairs(*map(np.concatenate, zip(*parts, strict=True)))
        self.around = Around(pairs, self.kind, {})
        every = [*self._specimens, *self.ground.specimens]
        self.specimens = Specimens(self.path, every)
        self.shares = [self._shares(one.atoms) for one in every]
        self._frozen, self._beside = frozen, tuple[Floats, ...]()
        self._known: dict[Term, tuple[Floats, Floats]] = {}
        if frozen.terms:
            with np.errstate(all="ignore"):
                self._beside = self.path.sums(frozen, self.around)[:2]

    def _shares(self, atoms: Atoms) -> Floats:
        """Part of each element in a structure, shape (species,)."""
        count = [list(atoms.symbols).count(symbol) for symbol in self.species]
        return np.array(count) / len(atoms)

    def _dimer(self, one: str, other: str) -> _Curve:
        """Dimers of a pair of species, from half of where its domain begins to its cutoff."""
        own = self.lengths.at((one, other))
        r_cut, r_lo = own.cutoff.r_cut, own.r_lo
        edge = [] if own.cutoff.kind == "none" else [r_cut - gap for gap in _EDGE]
        r = np.sort(np.concatenate([np.linspace(0.5 * r_lo, r_cut, _DIMERS)[:-1], edge]))
        name = "dimer" if len(self.species) == 1 else f"dimer {one}-{other}"
        first, shape = len(self._probes), Atoms([one, other], [[0, 0, 0], [0, 0, 1]])
        self._probes += scaled(shape, r)
        probes = slice(first, len(self._probes))
        return _Curve(name, r, probes, r_lo, r_cut, frozenset((one, other)))

    def _curve(self, atoms: Atoms) -> _Curve:
        """Probes of one shape with distances from ``DENSEST`` times r_lo to the cutoff radius."""
        distance, r_lo, r_cut = min(self._contacts(atoms), key=lambda one: one[0] / one[1])
        mixed = len(set(atoms.symbols)) > 1 and not atoms.pbc.any()  # there are many of these
        length = np.geomspace(DENSEST * r_lo, r_cut, _MIXED if mixed else _OTHERS)
        first = sum(one.factors.size for one in self._specimens)
        self._specimens.append(Specimen(atoms, length / distance))
        probes = slice(first, first + length.size)
        return _Curve(atoms.info["name"], length, probes, r_lo, r_cut, frozenset(atoms.symbols))

    def _contacts(self, atoms: Atoms) -> Iterator[tuple[float, float, float]]:
        """Smallest distance, r_lo and cutoff radius of each pair of species in a shape, in Å."""
        pairs = find_pairs(atoms.positions, np.asarray(atoms.cell), atoms.pbc, reach(atoms))
        symbols = np.array(atoms.symbols)
        for one, other in self.pairs_met:
            there = (symbols[pairs.i] == one) & (symbols[pairs.j] == other)
            if there.any():
                own = self.lengths.at((one, other))
                yield float(pairs.r[there].min()), own.r_lo, own.cutoff.r_cut

    def _is_known(self, atoms: Atoms) -> bool:
        """Whether training shows all pairs of species of a shape, and some are not frozen."""
        symbols = sorted(set(atoms.symbols))
        single = [symbol for symbol in symbols if list(atoms.symbols).count(symbol) == 1]
        pairs = set(combinations_with_replacement(symbols, 2))
        if not atoms.pbc.any():  # in a crystal every atom has images
            pairs -= {(symbol, symbol) for symbol in single}
        return pairs <= set(self.pairs_met) and not pairs <= self.frozen_pairs

    def in_words(self) -> str:
        """Crystals below which nothing may lie, and where they are from."""
        if not self.assumed:
            return (
                "no crystal is recognised among the lowest structures of the data, so that none is "
                "assumed to be the ground state"
            )
        names = ", ".join(map(str, self.assumed))
        return f"the ground state is assumed to be that of the data: {names}"

    def broken(self, expression: Expression) -> list[str]:
        """Those of ``CONDITIONS`` that an expression breaks, in words; empty if all hold."""
        found = self.verdict(expression)
        return [*found.broken, *found.lower]

    def verdict(self, expression: Expression) -> Verdict:
        """All that speaks against an expression; kept, as members are asked for again."""
        if expression not in self._verdicts:
            if len(self._verdicts) >= _MOST_KEPT:
                self._verdicts.clear()
            with np.errstate(all="ignore"):
                self._verdicts[expression] = self._judged(expression)
        return self._verdicts[expression]

    def _judged(self, expression: Expression) -> Verdict:
        energies, forces = self._sums(expression)
        if self._beside:
            if moved := self._moved(energies):
                text = f"an atom of {moved} alone has another energy than e0 of [terms] frozen"
                return Verdict((text,))
            energies, forces = energies + self._beside[0], forces + self._beside[1]
        energy = np.add.reduceat(energies, self.start[:-1])
        alone = energy[: len(self.species)]
        if not np.isfinite(alone).all():
            return Verdict(("an atom alone has no finite energy",))
        owner = np.repeat(np.arange(self.start.size - 1), np.diff(self.start))
        free = np.bincount(owner, alone[self.kind])
        bound = (energy - free) / np.diff(self.start)
        push = forces[self.start[:-1], 2]
        dimers = [text for one in self.dimers for text in _dimers(one, bound, push)]
        every = self.specimens.energies(expression + self._frozen)
        every = [one - share @ alone for one, share in zip(every, self.shares, strict=True)]
        scanned = np.concatenate([np.zeros(0), *every[: len(self._specimens)]])
        broken = [*dimers, *self._crystals(scanned), *self._collapse(scanned)]
        below = list(self.ground.below(every[len(self._specimens) :]))
        lower = [str(one) for one in below if not one.gap <= one.allowed]
        near = [str(one) for one in below if one.gap <= one.allowed and one.allowed == UNRELATED]
        return Verdict(tuple(broken), tuple(lower), tuple(near))

    def _sums(self, expression: Expression) -> tuple[Floats, Floats]:
        """Energies (N,) and forces (N, 3) of all probes.

        Of several elements the functions of sums are remembered one by one, for most of those of a
        candidate are its parents'. Pair terms are not: their wall is not linear in the weights.
        """
        if len(self.species) == 1 or not expression.has_functions:
            return self.path.sums(expression, self.around)[:2]
        every = list(expression.weighted())
        alone = [(term, weight) for term, weight in every if term.of is None]
        rest = Expression(tuple(term for term, _ in alone), tuple(weight for _, weight in alone))
        energies, forces, _ = self.path.sums(rest, self.around)
        for term, weight in every:
            if term.of is not None:
                own_energies, own_forces = self._function(term)
                energies += weight * own_energies
                forces += weight * own_forces
        return energies, forces

    def _function(self, term: Term) -> tuple[Floats, Floats]:
        """Energies (N,) and forces (N, 3) by a function of sums of weight 1."""
        found = self._known.pop(term, None)
        if found is None:
            found = self.path.sums(Expression((term,), (1.0,)), self.around)[:2]
        self._known[term] = found  # the last used last
        if len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]
        return found

    def _moved(self, energies: Floats) -> str:
        """An element of frozen terms of which an atom alone has an energy by others; or nothing."""
        kept = {name for pair in self.frozen_pairs for name in pair}
        alone = zip(self.species, energies[: len(self.species)], strict=True)
        return next((name for name, energy in alone if name in kept and abs(energy) > 1e-9), "")

    def _crystals(self, bound: Floats) -> Iterator[str]:
        for curve in self.crystals:
            d, energy = curve.length, bound[curve.probes]
            lowest = int(np.argmin(energy))
            most = max(BARRIER, RISE * abs(float(energy[lowest])))
            squeezed = (d > COMPRESSION ** (1 / 3) * d[lowest]) & (d <= d[lowest])
            if not np.isfinite(energy).all():
                at = d[~np.isfinite(energy)][-1]
                yield f"{curve.name} has no finite energy at {at:.3g} Å"
            elif d[lowest] < curve.r_lo:
                yield f"{curve.name} collapses to {d[lowest]:.3g} Å, below r_lo"
            elif lowest == len(d) - 1 and not self.bound:
                pass
            elif lowest == len(d) - 1:
                yield f"{curve.name} has no minimum up to {d[-1]:.3g} Å"
            elif (np.diff(energy[squeezed]) > 0).any():
                at = f"from {d[lowest]:.3g} to {d[squeezed][0]:.3g} Å"
                yield f"the energy of {curve.name} does not rise when squeezed {at}"
            elif (top := float(energy[lowest:].max())) > most:
                at = d[lowest + int(np.argmax(energy[lowest:]))]
                rise = f"rises {top:.3g} eV/atom above free atoms when stretched to {at:.3g} Å"
                yield f"{curve.name} {rise}"

    def _collapse(self, bound: Floats) -> Iterator[str]:
        for curve in self.clusters:
            energy, cohesive = bound[curve.probes], self._cohesive(curve.species, bound)
            worst = int(np.argmin(energy))
            if not np.isfinite(energy).all():
                yield f"{curve.name} has no finite energy"
            elif energy[worst] < DEEPEST * min(cohesive, 0.0):
                at = f"{energy[worst]:.3g} eV/atom at {curve.length[worst]:.3g} Å"
                yield f"{curve.name} collapses: {at}"

    def _cohesive(self, species: frozenset[str], bound: Floats) -> float:
        """Lowest energy in eV/atom of crystals that hold no other species, or else of all crystals.

        That of clusters where there are no crystals.
        """
        every = self.crystals or self.clusters
        own = [curve for curve in every if curve.species <= species] or every
        lowest = (bound[one.probes][one.length >= one.r_lo].min() for one in own)
        return float(min(lowest, default=0.0))


def _dimers(curve: _Curve, bound: Floats, push: Floats) -> Iterator[str]:
    """Faults of a dimer, in words."""
    r, energy = curve.length, 2 * bound[curve.probes]
    # The first atom is below the second: its force is the slope of the energy.
    slope = push[curve.probes]
    broken = ~(np.isfinite(energy) & np.isfinite(slope))
    if broken.any():
        yield f"the {curve.name} is not finite at {r[broken][0]:.4g} Å"
        return
    # Towards the cutoff a root may bend more between two points than their slopes explain.
    inside = (r >= curve.r_lo) & (r < curve.r_cut - 2 * _EDGE[0])
    at = pole(r[inside], energy[inside], slope[inside], _JUMP)
    if at is not None:
        yield f"the {curve.name} has a pole near {at:.4g} Å"
    near = np.abs(slope[r >= curve.r_cut - 1.5 * _EDGE[0]][: len(_EDGE)])
    if near.size == len(_EDGE) and (near[1:] > _GROWTH * near[:-1]).all():
        yield f"the force of the {curve.name} grows without bound towards the cutoff"
    pulls = r[(slope > 0) & (r < curve.r_lo)]
    if pulls.size:
        yield f"the {curve.name} attracts at {pulls[-1]:.4g} Å, below r_lo"


def _met(species: Sequence[str], lengths: Lengths) -> list[tuple[str, str]]:
    """Pairs of species whose domains are known; all, where one domain is that of all."""
    every = combinations_with_replacement(sorted(species), 2)
    known = lengths.r_lo_pairs
    return [(one, other) for one, other in every if not known or f"{one}-{other}" in known]
