"""All that a way to give a formula to LAMMPS says of itself; each stands in a file of its own."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import ClassVar

from symreg.files import one_line
from symreg.formula import Formula
from symreg.lammps.records import Splines, Tabulated
from symreg.terms.kinds import adjective_of

LONGEST = 10_000
"""Letters of a text from outside that are written."""


@dataclass(frozen=True)
class Route:
    """One formula by one way."""

    style: str
    """Name of the way, one of ``routes.styles()``."""
    commands: str
    """``pair_style`` and ``pair_coeff`` lines."""
    files: Mapping[str, str | bytes]
    """Name and content of the files that the commands read."""
    r_min: float
    """From where on in Å the route follows the formula; with its ``r_lo``, from where the domain of
    each pair begins."""
    shares_energies: bool = False
    """Whether atoms share the energy of a triplet, which belongs to its centre elsewhere."""
    splines: Splines | None = None
    """Of triplets, or of functions of sums; known before LAMMPS has seen them."""
    table: Tabulated | None = None
    """Interpolation in the table of the pairs."""
    keeps_promise: bool = True
    """Whether it may be recommended before exact ways."""
    digest: float | None = None
    """Answer of a plugin's style to those who ask which formula it computes."""
    plugin: str | None = None
    """``built``, or why the library of a plugin is not among the files; None without one."""


class Way(ABC):
    """One way to give formulas to LAMMPS."""

    style: ClassVar[str]
    """Its name."""
    computes_triplets: ClassVar[bool] = False
    """Whether it computes three-body terms beside those of pairs."""
    says: ClassVar[str] = ""
    """How it computes a formula, as a README goes on after "the same potential"."""
    automatic: ClassVar[bool] = True
    """Whether style ``auto`` takes it, where its ``is_automatic`` does not say more."""
    one_type_each: ClassVar[bool] = False
    """Whether there has to be exactly one atom type for each species."""
    closer: ClassVar[str] = ""
    """Further words of a README on such atoms."""

    def accepts(self, formula: Formula) -> bool:
        """Whether it can express a formula."""
        try:
            self.require(formula)
        except ValueError:
            return False
        return True

    def require(self, formula: Formula) -> None:
        """Raise ``ValueError`` if it cannot express a formula; here, if it lacks kinds of terms."""
        if formula.functions:
            raise ValueError(
                f"style '{self.style}' does not compute many-body terms, and this formula has "
                "some: use style 'eam' or 'plugin'"
            )
        left = [
            key
            for key in formula.sums
            if not (key.is_pair or (self.computes_triplets and key.is_triplet))
        ]
        if left:
            names = " and ".join(sorted({adjective_of(key.over) for key in left}))
            what = "computes pairs only" if not self.computes_triplets else "does not compute all"
            others = "'meam' or 'plugin'" if all(key.is_triplet for key in left) else "'plugin'"
            raise ValueError(
                f"style '{self.style}' {what}, and this formula has {names} terms: use style "
                f"{others}"
            )

    @abstractmethod
    def make(self, formula: Formula, first_line: str) -> Route:
        """Commands and files for a formula; ``ValueError`` if a value is not finite."""

    def is_automatic(self, formula: Formula) -> bool:  # noqa: ARG002
        """Whether style ``auto`` takes it for a formula that it accepts."""
        return self.automatic

    def notes(self, route: Route) -> str:  # noqa: ARG002
        """A point of a README on what it takes to use a route of this way."""
        return ""


def type_pairs(formula: Formula) -> list[tuple[int, int, str, str]]:
    """Atom types i <= j with their species; type 1 is the first species."""
    numbered = list(enumerate(formula.species, 1))
    return [(i, j, a, b) for (i, a), (j, b) in combinations_with_replacement(numbered, 2)]


def quoted(value: object) -> str:
    """Text from outside that stays in its line of a comment, and is no keyword of a header."""
    text = one_line(value, most=LONGEST)
    return re.sub("(DATE|UNITS|CONTRIBUTOR|CITATION):", r"\1", text)


def lines_of(lines: Sequence[str]) -> str:
    """Lines as a text."""
    return "\n".join(lines) + "\n"
