"""Everything that computing with a potential takes: terms, lengths, cutoff and domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import combinations_with_replacement
from typing import Any

import numpy as np

from symreg.arrays import Floats
from symreg.formula.functions import FunctionOfSums
from symreg.formula.shared import shared_keys, shared_latex
from symreg.formula.sums import PairSum, SumFunction, TripletSum
from symreg.formula.sums.base import rounded
from symreg.terms import Expression, Key, Term
from symreg.terms.cutoff import Cutoff, Length
from symreg.terms.kinds import adjective_of, kind_of
from symreg.terms.lengths import E0, R0, Lengths
from symreg.terms.term import check_elements
from symreg.typed import check_ranges, typed, values_of


@dataclass(frozen=True)
class Formula:
    """A potential in closed form: E = sum of e0 + sum over pairs of φ(r/r0) f_c(r) + others.

    Every atom i adds ψ(r_ij/r0, r_ik/r0, cos θ) f_3(r_ij) f_3(r_ik) for each two of its neighbours,
    and F(S_1, S_2, ...), where each S is a sum over its neighbours, or over every two of them.

    Raises
    ------
    ValueError
        If lengths are out of order, a species has no e0, a cutoff function is of no key, or terms
        other than those of pairs come without their cutoff function or without a pair term that
        keeps a centre and its neighbours apart.
    """

    expression: Expression
    r0: R0
    """Length in Å that the formula's x = r / r0 is measured in."""
    e0: Mapping[str, E0]
    """Energy in eV of a free atom of each species."""
    species: tuple[str, ...]
    """Chemical symbols."""
    cutoff: Cutoff
    r_lo: Length
    """Where the domain [r_lo, r_cut] begins, in Å; the wall stands below."""
    r_lo_pairs: Mapping[str, Length] = field(default_factory=dict)
    """That of the pairs of species, such as ``Ar-Kr``, that begin farther out."""
    cutoff_three_body: Cutoff | None = None
    """Cutoff function of sums over every two neighbours, one for each of both distances."""
    cutoffs: Mapping[str, Cutoff] = field(default_factory=dict)
    """Those of single keys, such as ``Hf-O`` or ``O;Hf-Hf``, in place of both."""
    r0s: Mapping[str, R0] = field(default_factory=dict)
    """Lengths in Å that single keys measure distances in, in place of ``r0``."""

    def __post_init__(self) -> None:
        """Refuse what cannot be computed; numpy's numbers become Python's."""
        for name in ("r0", "r_lo"):
            object.__setattr__(self, name, float(getattr(self, name)))
        object.__setattr__(self, "e0", {name: float(value) for name, value in self.e0.items()})
        check_ranges(self)
        if twice := [name for name in dict.fromkeys(self.species) if self.species.count(name) > 1]:
            raise ValueError(f"species names {twice[0]} twice; each is named once")
        check_elements((*self.species, *self.e0))
        self._check_lengths()
        for symbol in self.species:
            if symbol not in self.e0:
                raise ValueError(f"e0 has no value for species {symbol}")
        for term in self.expression.terms:
            self._check_term(term)
        for key in self.expression.keys():  # noqa: SIM118 - no mapping
            if not key.is_pair:
                self._check_others(key)

    def _check_lengths(self) -> None:
        """Refuse cutoff functions of what is no key, and domains that begin beyond their end."""
        for name in (*self.cutoffs, *self.r_lo_pairs, *self.r0s):
            key = Key.read(name)
            if str(key) != name or key.is_function:
                raise ValueError(
                    f"lengths are given for '{name}'; write pairs in order of the alphabet, as in "
                    "Hf-O, and triplets as O;Hf-Hf"
                )
        common = self.lengths.every_cutoff[: 2 if self.cutoff_three_body else 1]
        ends = [("", self.r_lo, cutoff.r_cut) for cutoff in common]
        for centre, *near in {one.species for term in self.expression.terms for one in term.sums}:
            lengths = self.lengths.at((centre, *near))
            cutoff = lengths.cutoff if len(near) == 1 else lengths.cutoff_three_body
            if cutoff is not None:
                ends += [(f" of {centre}-{b}", self.lengths.begin(centre, b), cutoff.r_cut)
                         for b in near]  # fmt: skip
        for name, r_lo, r_cut in ends:
            if not 0 < r_lo < r_cut:
                raise ValueError(
                    f"r_lo{name} is {r_lo:g} Å; it must lie between 0 and the cutoff radius "
                    f"{r_cut:g} Å"
                )

    def _check_term(self, term: Term) -> None:
        for one in term.sums:
            if not set(one.species) <= set(self.species):
                raise ValueError(
                    f"a term is between {'-'.join(one.species)}; the formula's species are "
                    f"{', '.join(self.species)}"
                )
            lengths = self.lengths.at(one.species)
            if getattr(lengths, kind_of(one.over).deliverer.cutoff_name) is None:
                raise ValueError("a formula with three-body terms or sums needs cutoff_three_body")

    def _check_others(self, key: Key) -> None:
        sums = [one for term, _ in self.expression.of(key) for one in term.sums]
        for pair in sorted({Key.of(key.centre, b).species for s in sums for b in s.species[1:]}):
            if pair not in self.species_pairs:
                raise ValueError(
                    f"a formula with {adjective_of(key.over)} terms of {key} needs a pair term for "
                    f"{'-'.join(pair)} too: it keeps atoms apart"
                )

    def __getstate__(self) -> dict[str, Any]:
        """Its fields alone: compiled functions cannot be pickled, and are made anew."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @property
    def is_pairwise(self) -> bool:
        """Whether all terms are of pairs."""
        return all(key.is_pair for key in self.expression.keys())  # noqa: SIM118 - no mapping

    @property
    def every_sum(self) -> list[SumFunction]:
        """All sums, alone or in a function, without the walls of pairs that have no term."""
        return [*self.sums.values(), *(s for f in self.functions.values() for s in f.sums)]

    @property
    def parts(self) -> list[SumFunction | FunctionOfSums]:
        """All sums that stand alone, and all functions of sums."""
        return [*self.sums.values(), *self.functions.values()]

    @property
    def meanings(self) -> list[type[SumFunction | FunctionOfSums]]:
        """The classes of all parts, each once, which say in words what they add."""
        return list(dict.fromkeys(type(part) for part in self.parts))

    @property
    def lengths(self) -> Lengths:
        """Lengths and cutoff functions of all keys."""
        return Lengths(
            self.cutoff,
            self.cutoff_three_body,
            self.r0,
            self.r_lo,
            self.r_lo_pairs,
            self.cutoffs,
            self.r0s,
        )

    @property
    def r_cut(self) -> float:
        """Distance in Å beyond which atoms do not feel each other: the larger cutoff radius."""
        return self.lengths.reach

    @property
    def species_pairs(self) -> list[tuple[str, str]]:
        """Pairs of species that have a term, each sorted."""
        pairs: list[Any] = sorted(key.species for key in self.sums if key.is_pair)
        return pairs

    @property
    def every_pair(self) -> list[tuple[str, str]]:
        """All pairs of its species, each sorted, whether they have a term or not."""
        return [*combinations_with_replacement(sorted(self.species), 2)]

    @property
    def unseen_pairs(self) -> list[tuple[str, str]]:
        """Pairs of species without a term: they meet nothing but a repulsive wall.

        It rises as h^4 with the depth h below where their domain begins, and is 100 eV at a tenth
        of it. Data in which such atoms are never near each other say no more of them.
        """
        return [pair for pair in self.every_pair if pair not in self.species_pairs]

    @property
    def species_triplets(self) -> list[tuple[str, str, str]]:
        """Triplets of species that have a term: the centre, then both neighbours."""
        triplets: list[Any] = sorted(key.species for key in self.sums if key.is_triplet)
        return triplets

    @cached_property
    def sums(self) -> dict[Key, SumFunction]:
        """All sums that stand alone, pairs first, in order of their species."""
        keys = sorted(self.expression.keys(), key=lambda key: (not key.is_pair, key))
        return {
            key: kind_of(key.over).deliverer(
                [(term.tree, weight) for term, weight in self.expression.of(key)],
                key.species,
                self.lengths.at(key.species),
            )
            for key in keys
            if not key.is_function
        }

    @cached_property
    def functions(self) -> dict[str, FunctionOfSums]:
        """All functions of sums, by the species of their centre."""
        return {
            key.centre: FunctionOfSums(self.expression.of(key), self.lengths)
            for key in self.expression.keys()  # noqa: SIM118 - no mapping
            if key.is_function
        }

    @cached_property
    def walls(self) -> dict[Key, PairSum]:
        """Pairs of species without a term, as functions that are zero down to their walls."""
        return {
            Key.of(*pair): PairSum([], pair, self.lengths.at(pair)) for pair in self.unseen_pairs
        }

    def pair_function(self, a: str, b: str) -> PairSum:
        """Interaction of two species in either order, for those without a term a mere wall.

        Raises ``ValueError`` for a species that the formula does not describe.
        """
        key = Key.of(a, b)
        found = self.sums.get(key) or self.walls.get(key)
        if found is None:
            known = ", ".join(self.species)
            raise ValueError(f"the formula has no term for {a}-{b}; it describes {known}")
        assert isinstance(found, PairSum)
        return found

    def begins(self, symbols: Sequence[str]) -> Floats:
        """Where the domain of every two of N atoms begins in Å, shape (N, N)."""
        species = self.species
        table = np.array([[self.lengths.begin(a, b) for b in species] for a in species])
        kind = [species.index(symbol) for symbol in symbols]
        return np.asarray(table[np.ix_(kind, kind)])

    def of_dimer(self, a: str, b: str) -> list[PairSum]:
        """All sums that stand alone of which two atoms of these species feel something."""
        of, alone = {a, b}, (*self.sums.values(), *self.walls.values())
        return [one for one in alone if isinstance(one, PairSum) and set(one.species) == of]

    def three_body_function(self, centre: str, b: str, c: str) -> TripletSum:
        """Interaction of a centre and two neighbours; ``ValueError`` if there is no term for it."""
        found = self.sums.get(Key.of(centre, b, c))
        if found is None:
            known = ", ".join("-".join(of) for of in self.species_triplets) or "none"
            raise ValueError(
                f"the formula has no three-body term for {centre}-{b}-{c}; it has {known}"
            )
        assert isinstance(found, TripletSum)
        return found

    def refuse_poles(self) -> None:
        """Raise ``ValueError`` if a function is not finite all over its domain, or has a pole."""
        for one in self.every_sum:
            one.refuse_poles()

    def sympy(self, a: str, b: str) -> Any:
        """φ(r/r0) of a pair of species as SymPy in r (Å), in eV, without cutoff and wall."""
        return self.pair_function(a, b).sympy()

    def latex(self, digits: int = 6) -> str:
        r"""Every F(S_1, ...), φ(x) and ψ(x1, x2, c), x = r/r0, in eV; lines joined by ``\``.

        Forms that several keys share follow once more, with a table of their constants by key, then
        r0 of keys that have one of their own.
        """
        lines = [
            line
            for key in sorted(self.expression.keys())
            for line in self.part(key).latex(rounded(digits))
        ]
        groups = shared_keys(self.expression)
        for keys in groups:
            lines += shared_latex({key: self.part(key) for key in keys}, digits)
        lines += [
            rf"r_0(\mathrm{{{key}}}) = {r0:.{digits}g}\,\mathrm{{\AA}}"
            for key, r0 in self.r0s.items()
        ]
        return " \\\\\n".join(lines)

    def part(self, key: Key) -> SumFunction | FunctionOfSums:
        """The sum that stands alone, or the function of sums, of a key with terms."""
        return self.functions[key.centre] if key.is_function else self.sums[key]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; ``from_dict`` reads it back to an equal formula."""
        record = {
            "terms": self.expression.to_dict(),
            "species": list(self.species),
            "r0": self.r0,
            "e0": dict(self.e0),
            "cutoff": self.cutoff.to_dict(),
            "r_lo": self.r_lo,
            "r_lo_pairs": dict(self.r_lo_pairs),
        }
        if self.cutoff_three_body is not None:
            record["cutoff_three_body"] = self.cutoff_three_body.to_dict()
        if self.cutoffs:
            record["cutoffs"] = {key: one.to_dict() for key, one in self.cutoffs.items()}
        if self.r0s:
            record["r0s"] = dict(self.r0s)
        return record

    @staticmethod
    def from_dict(record: Mapping[str, Any]) -> Formula:
        """Undo ``to_dict``; formulas go through the parser of ``expression``."""
        terms = typed(_Terms, record).terms
        return Formula(**values_of(Formula, {**record, "expression": terms}))


@dataclass(frozen=True)
class _Terms:
    """The part of a file that holds the expression."""

    terms: Expression
