"""The potential as people use it: a formula with its history, one JSON file, and ways out."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from symreg.arrays import Floats
from symreg.files import one_line, parse_json, plain, write_text
from symreg.formula import Formula, FormulaCalculator
from symreg.formula.by_hand import by_hand
from symreg.terms import Key
from symreg.terms.cutoff import Cutoff
from symreg.typed import Range, typed

FORMAT = "symreg-potential"
UNITS = {"energy": "eV", "length": "angstrom"}
VERSION = 3
"""Version 3 has cutoff functions and r0 of single keys, and terms of several elements of any kind;
version 2 terms in their one text form, and the covariance of the constants."""


@dataclass(frozen=True)
class Potential:
    """An interatomic potential in closed form.

    Examples
    --------
    >>> from symreg.terms.cutoff import Cutoff
    >>> from symreg.terms import expression_of
    >>> expression = expression_of([(3000.0, "Ar-Ar: exp(-12.5*x)")])
    >>> cutoff = Cutoff(kind="septic", r_cut=8.0, r_on=6.0)
    >>> potential = Potential(Formula(expression, 3.8, {"Ar": 0.0}, ("Ar",), cutoff, 3.0))
    >>> potential.constants
    {'w1': 3000.0, 'c1': -12.5}
    """

    formula: Formula
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Where it comes from: data hash, versions, seed, errors, intervals."""
    covariance: Floats | None = None
    """Covariance matrix of ``constants`` in their order and units, shape (n, n); None where it is
    not known."""

    @staticmethod
    def from_formula(
        formulas: Mapping[str, str],
        *,
        r_cut: float,
        r0: float | None = None,
        e0: Mapping[str, float] | None = None,
        r_lo: float = 0.5,
        cutoff: str = "septic",
        cutoff_onset: float = 0.6,
        stillinger_weber_s: float = 1.0,
        r_cut_three_body: float | None = None,
        cutoff_three_body: str | None = None,
        stillinger_weber_s_three_body: float | None = None,
        cutoffs: Mapping[str, float] | None = None,
    ) -> Potential:
        """Make a potential of formulas written by hand, in eV; constants are numbers.

        Parameters
        ----------
        formulas
            Texts by key. ``Hf-O`` is a pair of species, in either order, with a formula of r in Å.
            ``O;Hf-Hf`` is a centre with two of its neighbours, each two once, with a formula of r1,
            r2 and c, the cosine of the angle between them; of ``O;Hf-Si`` r1 is the distance to
            Hf, r2 that to Si. ``Cu`` is an atom, with a formula of sums over its neighbours, such
            as ``-1.3*sqrt(sum(exp(-2.0*r)) + sum_Ni(exp(-2.1*r)))``. Pairs of species without a
            formula do not feel each other, but for a repulsive wall below ``r_lo``.
        r_cut
            Cutoff radius in Å.
        r0
            Length in Å. Where it is given formulas are of x = r/r0, or of x1, x2 and c.
        e0
            Energies of free atoms in eV by species; 0 unless given.
        r_lo
            Where the domain begins, in Å: pairs meet a wall below, other distances come to rest.
        cutoff
            Cutoff function, one of ``symreg.terms.cutoff.KINDS``.
        cutoff_onset
            Where it begins to fall, as a fraction of the cutoff radius.
        stillinger_weber_s
            Length in Å of the cutoff function ``stillinger_weber``.
        r_cut_three_body, cutoff_three_body, stillinger_weber_s_three_body
            Those of sums over two neighbours; 0.7 ``r_cut`` and the same function unless given.
        cutoffs
            Cutoff radii in Å of single pairs and triplets, such as ``{"Hf-O": 4.5}``, in place of
            ``r_cut`` and ``r_cut_three_body``.

        Raises
        ------
        ValueError
            If a formula cannot be read or has no value where its domain begins, or a number is out
            of range.

        Examples
        --------
        >>> morse = "0.35*(exp(-2.8*(r - 2.9)) - 2*exp(-1.4*(r - 2.9)))"
        >>> copper = Potential.from_formula({"Cu-Cu": morse}, r_cut=7.0)
        >>> copper.formula.cutoff.r_on, copper.formula.e0
        (4.2, {'Cu': 0.0})
        """
        radius = 0.7 * r_cut if r_cut_three_body is None else r_cut_three_body
        s = stillinger_weber_s
        s_three_body = s if stillinger_weber_s_three_body is None else stillinger_weber_s_three_body
        shapes = ((cutoff, r_cut, s), (cutoff_three_body or cutoff, radius, s_three_body))
        pair, three_body = (
            Cutoff(kind=kind, r_cut=far, r_on=cutoff_onset * far, s=length)
            for kind, far, length in shapes
        )
        own = {}
        for name, far in (cutoffs or {}).items():
            key = Key.read(name)
            base = three_body if len(key.species) == 3 else pair
            own[str(key)] = replace(base, r_cut=far, r_on=cutoff_onset * far)
        lengths = {"cutoff": pair, "cutoff_three_body": three_body}
        formula = by_hand(formulas, r_lo=r_lo, r0=r0, e0=e0, **lengths, cutoffs=own)
        return Potential(formula, {"written_by_hand": dict(formulas)})

    def __post_init__(self) -> None:
        """Refuse a matrix that is not one of the constants."""
        if self.covariance is None:
            return
        matrix, n = np.asarray(self.covariance, dtype=float), self.n_constants
        if matrix.shape != (n, n):
            raise ValueError(
                f"covariance has shape {matrix.shape}; the formula has {n} constants, so it must "
                f"be ({n}, {n})"
            )
        if (np.diag(matrix) < 0).any():
            raise ValueError("covariance has a negative number on its diagonal, no variance")
        object.__setattr__(self, "covariance", matrix)

    def __eq__(self, other: object) -> bool:
        """Whether formula, history and covariance are the same."""
        if not isinstance(other, Potential):
            return NotImplemented
        if (self.formula, self.provenance) != (other.formula, other.provenance):
            return False
        one, two = self.covariance, other.covariance
        return one is two if one is None or two is None else np.array_equal(one, two, True)

    @property
    def constants(self) -> dict[str, float]:
        """Fitted numbers: weights w1, w2, ... in eV, then c1, c2, ... and named ones.

        They are counted in the order in which the formula's terms hold them. A name that occurs in
        several terms gets a number in all but the first. What keys share is there once.
        """
        expression = self.formula.expression
        found = {f"w{n}": weight for n, weight in enumerate(expression.weights, 1)}
        nameless, seen = 0, set[int]()
        parameters = iter(expression.sharing.parameter)
        for term in expression.terms:
            for name, value in zip(term.tree.names, term.constants, strict=True):
                if (number := next(parameters)) in seen:
                    continue
                seen.add(number)
                nameless += not name
                wanted = base = name or f"c{nameless}"
                number = 1
                while wanted in found:
                    number += 1
                    wanted = f"{base}_{number}"
                found[wanted] = value
        return found

    @property
    def n_constants(self) -> int:
        """How many fitted numbers the formula has."""
        return len(self.constants)

    def latex(self, digits: int = 6) -> str:
        """The formula of each pair of species as LaTeX, x = r/r0, in eV."""
        return self.formula.latex(digits)

    def _repr_latex_(self) -> str:
        return rf"$\displaystyle \begin{{gathered}}{self.latex()}\end{{gathered}}$"

    def sympy(self) -> Any:
        """Every function without its cutoff as SymPy in eV: pairs in r (Å), triplets in x1, x2, c.

        One expression if there is one pair of species and no triplet, else a dictionary such as
        ``{"Si-Si": ..., "Si-Si-Si": ...}``. A many-body function is one of S1, S2, ..., which stand
        for sums over neighbours of functions of x = r/r0: ``{"Cu": (F, [phi, ...])}``.
        """
        formula = self.formula
        expressions = {str(key): one.sympy() for key, one in formula.sums.items()}
        expressions |= {centre: one.sympy() for centre, one in formula.functions.items()}
        return next(iter(expressions.values())) if len(expressions) == 1 else expressions

    def calculator(self) -> FormulaCalculator:
        """An ASE calculator: energy, free_energy, energies, forces, stress.

        It warns of pairs of species without a term, which meet nothing but a repulsive wall.
        """
        for a, b in self.formula.unseen_pairs:
            begin = self.formula.lengths.begin(a, b)
            warnings.warn(
                f"the formula has no term for {a}-{b}: such atoms do not feel each other, but for "
                f"a repulsive wall below {begin:.4g} Å",
                stacklevel=2,
            )
        return FormulaCalculator(self.formula)

    def export_lammps(self, folder: str | os.PathLike[str], style: str = "auto") -> dict[str, Any]:
        """Write LAMMPS files to a folder; returns how far LAMMPS is from the formula."""
        from symreg.lammps import export

        return export(self.formula, Path(folder), style=style, provenance=dict(self.provenance))

    def to_dict(self) -> dict[str, Any]:
        """Plain data as it stands in the file; all under ``information`` follows from the rest."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "units": dict(UNITS),
            **self.formula.to_dict(),
            "covariance": None if self.covariance is None else plain(self.covariance),
            "information": self._information(),
            "provenance": plain(self.provenance),
        }

    def _information(self) -> dict[str, Any]:
        walls = {
            "-".join(pair): self.formula.pair_function(*pair).wall.text()
            for pair in self.formula.every_pair
        }
        meanings = (part.meaning for part in self.formula.meanings)
        return {
            "formula": self.formula.expression.text(digits=8),
            "meaning": " + ".join(["E = sum of e0 over atoms", *meanings]),
            "domain": [self.formula.r_lo, self.formula.r_cut],
            "complexity": self.formula.expression.complexity,
            "constants": self.constants,
            "wall": walls,
            "only_walls": ["-".join(pair) for pair in self.formula.unseen_pairs],
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the JSON file, all of it or nothing.

        Raises
        ------
        OSError
            If it cannot be written; a file that was there before is left whole.
        """
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
        write_text(Path(path), text + "\n")

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Potential:
        """Read a file that ``save`` has written.

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If it holds no potential, one with a pole, or one written by a newer symreg.
        """
        try:
            record = parse_json(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is no JSON file: {one_line(error)}") from None
        try:
            return Potential.from_dict(record)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    @staticmethod
    def from_dict(record: Mapping[str, Any]) -> Potential:
        """Undo ``to_dict``; ``ValueError`` where that is impossible, or a function has a pole."""
        if not isinstance(record, Mapping) or record.get("format") != FORMAT:
            raise ValueError(f'this is no potential; one says "format": "{FORMAT}"')
        around = typed(_Around, record)
        if around.version > VERSION:
            raise ValueError(
                f"it was written in version {around.version} of the format; this symreg reads up "
                f"to version {VERSION}: install a newer symreg"
            )
        if around.units != UNITS:
            raise ValueError(f"units are {dict(around.units)}; they must be {UNITS}")
        formula = Formula.from_dict(record)
        formula.refuse_poles()
        return Potential(formula, around.provenance, around.covariance)


@dataclass(frozen=True)
class _Around:
    """All of a file but the formula."""

    version: Annotated[int, Range(1, 10**9)]
    units: Mapping[str, str] = field(default_factory=lambda: dict(UNITS))
    provenance: Mapping[str, Any] = field(default_factory=dict)
    covariance: Floats | None = None
