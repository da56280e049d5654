"""Potentials that one already has: their terms stay as they are beside those that evolve."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations, combinations_with_replacement
from pathlib import Path
from typing import Any

import numpy as np

from symreg.config import Settings
from symreg.fit.exact import ExactPath
from symreg.fit.rows.labelled import LABELS
from symreg.formula import Formula
from symreg.potential import Potential
from symreg.structures import Structures
from symreg.structures.targets import Targets
from symreg.terms import Expression, Key
from symreg.terms.cutoff import Cutoff
from symreg.terms.expression import NOTHING
from symreg.terms.lengths import Lengths


@dataclass(frozen=True, eq=False)
class Frozen:
    """Formulas whose terms and energies of free atoms stay as they are, by their files' names.

    A formula describes its elements among themselves, so no key of these alone evolves beside it.
    """

    formulas: Mapping[str, Formula]

    @property
    def names(self) -> list[str]:
        """Names of the files, without folders."""
        return [Path(name).name for name in self.formulas]

    @property
    def described(self) -> tuple[tuple[str, ...], ...]:
        """Species of each formula."""
        return tuple(one.species for one in self.formulas.values())

    @cached_property
    def expression(self) -> Expression:
        """All terms as the files have them, those that several hold once."""
        total = NOTHING
        for formula in self.formulas.values():
            there = set(total.keys())
            new = [part for part in formula.expression.weighted() if part[0].key not in there]
            terms, weights = zip(*new, strict=True) if new else ((), ())
            total = total + Expression(tuple(terms), tuple(weights))
        return total

    @property
    def e0(self) -> dict[str, float]:
        """Energies of free atoms in eV."""
        return {name: e0 for one in self.formulas.values() for name, e0 in one.e0.items()}

    def lengths(self, common: Lengths) -> Lengths:
        """Lengths of a run in which the keys of the files keep theirs."""
        cutoffs, r0s, begins = dict(common.cutoffs), dict(common.r0s), dict(common.r_lo_pairs)
        for formula in self.formulas.values():
            for species in _summed(formula):
                key, own = str(Key.of(*species)), formula.lengths.at(species)
                cutoff = own.cutoff if len(species) == 2 else own.cutoff_three_body
                usual = common.cutoff if len(species) == 2 else common.cutoff_three_body
                if cutoff is not None and cutoff != usual:
                    cutoffs[key] = cutoff
                if own.r0 != common.r0:
                    r0s[key] = own.r0
            begins |= {"-".join(pair): formula.lengths.begin(*pair) for pair in formula.every_pair}
        return replace(common, cutoffs=cutoffs, r0s=r0s, r_lo_pairs=begins)

    @property
    def cutoff_three_body(self) -> Cutoff | None:
        """A cutoff function of triplets, if a formula has one, for runs that have none."""
        found = (one.cutoff_three_body for one in self.formulas.values())
        return next((cutoff for cutoff in found if cutoff is not None), None)

    def rest(self, structures: Structures, lengths: Lengths) -> Structures:
        """The structures with labels less what the terms give; e0 stays in them.

        A ``ValueError`` names a structure of which the terms give nothing finite.
        """
        if not self.formulas:
            return structures
        nothing = dict.fromkeys(structures.species, 0.0)
        with np.errstate(all="ignore"):
            given = ExactPath(structures, lengths).predict(self.expression, nothing)
        for s in range(len(structures)):
            forces = given.forces[structures.atoms_of(s)]
            if not (np.isfinite(given.energy[s]) and np.isfinite(forces).all()):
                raise ValueError(
                    f"[terms] frozen: {', '.join(self.formulas)} give no finite energy and forces "
                    f"for {structures.source[s]}; leave that structure out, or freeze other files"
                )
        labels = {name: getattr(structures, name) - getattr(given, name) for name in LABELS}
        return replace(structures, **labels)

    def left(self, targets: Targets | None, lengths: Lengths) -> Targets | None:
        """What is left of targets for the terms that evolve."""
        if targets is None or not self.formulas:
            return targets
        nothing = dict.fromkeys(targets.structures.species, 0.0)
        given = ExactPath(targets.structures, lengths).predict(self.expression, nothing)
        return targets.less(given.energy)


NONE = Frozen({})
"""No files."""


def read_frozen(settings: Settings) -> Frozen:
    """Read the files that a run file names.

    Raises
    ------
    OSError, ValueError
        If a file is no potential, files contradict each other, or other settings contradict them.
    """
    formulas: dict[str, Formula] = {}
    for name in settings.terms.frozen:
        try:
            formulas[name] = Potential.load(settings.base / name).formula
        except FileNotFoundError:
            raise FileNotFoundError(
                f"[terms] frozen: {settings.base / name} does not exist; name a potential.json "
                "file, relative to the run file"
            ) from None
        except ValueError as error:
            raise ValueError(f"[terms] frozen: {error}") from None
    for one, other in combinations(formulas, 2):
        _compare(one, formulas[one], other, formulas[other])
    for name, formula in formulas.items():
        _check_settings(settings, name, formula)
    return Frozen(formulas)


def check_elements(frozen: Frozen, species: Sequence[str]) -> None:
    """Refuse files of elements that the data lack; a ``ValueError``."""
    for name, formula in frozen.formulas.items():
        if missing := [symbol for symbol in formula.species if symbol not in species]:
            raise ValueError(
                f"[terms] frozen: {name} describes {', '.join(missing)}, which the data lack; "
                f"there are {', '.join(species)}: leave the file out, or add structures"
            )


def _compare(one: str, first: Formula, other: str, second: Formula) -> None:
    """Refuse two files that say unlike things of the elements that both have."""
    common = sorted({*first.species} & {*second.species})
    for what, mine, theirs in zip(
        _names(common), _of(first, common), _of(second, common), strict=True
    ):
        if mine != theirs:
            raise ValueError(
                f"[terms] frozen: {one} and {other} differ in {what}; name one of them alone, or "
                "files that agree"
            )


def _names(species: Sequence[str]) -> Iterator[str]:
    """Names of the values that files are compared by."""
    yield from (f"e0 of {symbol}" for symbol in species)
    yield from map(str, _keys(species))


def _of(formula: Formula, species: Sequence[str]) -> Iterator[Any]:
    """Values of a file for these, in the same order: energies, terms with all their lengths."""
    yield from (formula.e0[symbol] for symbol in species)
    for key in _keys(species):
        terms = formula.expression.of(key)
        own = key.species if not key.is_function else key.species * 2
        summed = {one.species for term, _ in terms for one in term.sums} | {own}
        lengths = [formula.lengths.at(each) for each in sorted(summed)] if terms else []
        yield [(str(term), term.tree.named, weight) for term, weight in terms], lengths


def _keys(species: Sequence[str]) -> list[Key]:
    pairs = list(combinations_with_replacement(species, 2))
    alone = [Key.of(symbol) for symbol in species]
    return [
        *(Key.of(*pair) for pair in pairs),
        *(Key.of(c, *p) for c in species for p in pairs),
        *alone,
    ]


def _check_settings(settings: Settings, name: str, formula: Formula) -> None:
    """Refuse settings of what a file describes."""
    for text in settings.terms.cutoffs:
        if set(Key.read(text).species) <= set(formula.species):
            raise ValueError(
                f"[terms.cutoffs] {text}: {name} of [terms] frozen describes these elements, and "
                "its lengths stay; leave the cutoff out, or the file"
            )
    given = settings.terms.e0 if isinstance(settings.terms.e0, Mapping) else {}
    for symbol in formula.species:
        if given.get(symbol, formula.e0[symbol]) != formula.e0[symbol]:
            raise ValueError(
                f"[terms] e0 of {symbol} is {given[symbol]:g} eV, but {formula.e0[symbol]:g} eV in "
                f"{name} of [terms] frozen, which stays; leave it out of e0"
            )


def _summed(formula: Formula) -> list[tuple[str, ...]]:
    """Species of all sums of a formula."""
    return sorted({one.species for term in formula.expression.terms for one in term.sums})
