"""Everything that computing with a potential takes: terms, lengths, cutoff and domain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import sympy

from symreg.cutoff import Cutoff
from symreg.expression import Expression
from symreg.formula.pair import PairFunction, R
from symreg.simplify import tree_to_sympy

if TYPE_CHECKING:
    from symreg.formula.calculator import FormulaCalculator


@dataclass(frozen=True)
class Formula:
    """A potential in closed form: E = sum of e0 + sum over pairs of φ(r/r0) f_c(r).

    Raises
    ------
    ValueError
        If lengths are out of order, a species has no e0, or a term is of a kind not known here.
    """

    expression: Expression
    r0: float
    """Length in Å that the formula's x = r / r0 is measured in."""
    e0: Mapping[str, float]
    """Energy in eV of a free atom of each species."""
    species: tuple[str, ...]
    """Chemical symbols."""
    cutoff: Cutoff
    r_lo: float
    """Where the domain [r_lo, r_cut] begins, in Å; the wall stands below."""
    r_lo_pairs: Mapping[str, float] = field(default_factory=dict)
    """The same for those pairs of species, such as ``Ar-Kr``, that begin farther out."""

    def __post_init__(self) -> None:
        """Refuse what cannot be computed; numpy's numbers become Python's."""
        for name in ("r0", "r_lo"):
            object.__setattr__(self, name, float(getattr(self, name)))
        object.__setattr__(self, "e0", {name: float(value) for name, value in self.e0.items()})
        if not self.r0 > 0:
            raise ValueError(f"r0 is {self.r0:g} Å; it must be greater than 0")
        for r_lo in (self.r_lo, *self.r_lo_pairs.values()):
            if 0 < r_lo < self.cutoff.r_cut:
                continue
            raise ValueError(
                f"r_lo is {r_lo:g} Å; it must lie between 0 and the cutoff radius "
                f"{self.cutoff.r_cut:g} Å"
            )
        for symbol in self.species:
            if symbol not in self.e0:
                raise ValueError(f"e0 has no value for species {symbol}")
        for term in self.expression.terms:
            if term.kind != "pair" or len(term.species) != 2:
                raise ValueError(f"a formula is made of pair terms; it has a '{term.kind}' term")
            for symbol in term.species:
                if symbol not in self.species:
                    raise ValueError(
                        f"a term is between {'-'.join(term.species)}; the formula's species are "
                        f"{', '.join(self.species)}"
                    )

    @property
    def r_cut(self) -> float:
        """Cutoff radius in Å."""
        return self.cutoff.r_cut

    @property
    def species_pairs(self) -> list[tuple[str, str]]:
        """Pairs of species that have a term, each sorted."""
        return sorted({(term.species[0], term.species[1]) for term in self.expression.terms})

    def pair_function(self, a: str, b: str) -> PairFunction:
        """Interaction of species ``a`` and ``b``, in either order.

        Raises
        ------
        ValueError
            If the formula has no term for the pair.
        """
        first, second = sorted((a, b))
        if (first, second) not in self._pair_functions:
            known = ", ".join("-".join(pair) for pair in self.species_pairs) or "nothing"
            raise ValueError(f"the formula has no term for {a}-{b}; it describes {known}")
        return self._pair_functions[first, second]

    @cached_property
    def _pair_functions(self) -> dict[tuple[str, str], PairFunction]:
        return {
            pair: PairFunction(
                self.expression,
                pair,
                self.r0,
                self.cutoff,
                self.r_lo_pairs.get("-".join(pair), self.r_lo),
            )
            for pair in self.species_pairs
        }

    def calculator(self) -> FormulaCalculator:
        """An ASE calculator of this formula."""
        from symreg.formula.calculator import FormulaCalculator

        return FormulaCalculator(self)

    def sympy(self, a: str, b: str) -> Any:
        """φ(r/r0) of a pair of species as SymPy in r (Å), in eV, without cutoff and wall."""
        # A plain symbol, or `expression.subs("r", 3.8)` would silently do nothing.
        return self.pair_function(a, b).expression.xreplace({R: sympy.Symbol("r")})

    def latex(self, digits: int = 6) -> str:
        r"""Every pair's φ(x), x = r/r0, in eV as LaTeX; lines are joined by ``\\``."""
        x = sympy.Symbol("x", positive=True)
        lines = []
        for a, b in self.species_pairs:
            tree = self.expression.total("pair", (a, b))
            numbers = [sympy.Float(f"{value:.{digits}g}", digits) for value in tree.constants]
            right = sympy.latex(tree_to_sympy(tree, x, numbers))
            lines.append(rf"\varphi_{{\mathrm{{{a}{b}}}}}(x) = {right}")
        return " \\\\\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; ``from_dict`` reads it back to an equal formula."""
        return {
            "terms": self.expression.to_dict(),
            "species": list(self.species),
            "r0": self.r0,
            "e0": dict(self.e0),
            "cutoff": self.cutoff.to_dict(),
            "r_lo": self.r_lo,
            "r_lo_pairs": dict(self.r_lo_pairs),
        }

    @staticmethod
    def from_dict(record: Mapping[str, Any]) -> Formula:
        """Undo ``to_dict``; formulas go through the parser of ``expression``."""
        return Formula(
            expression=Expression.from_dict(record["terms"]),
            r0=float(record["r0"]),
            e0={str(symbol): float(value) for symbol, value in record["e0"].items()},
            species=tuple(record["species"]),
            cutoff=Cutoff.from_dict(record["cutoff"]),
            r_lo=float(record["r_lo"]),
            r_lo_pairs={k: float(v) for k, v in record.get("r_lo_pairs", {}).items()},
        )
