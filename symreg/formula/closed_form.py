"""Everything that computing with a potential takes: terms, lengths, cutoff and domain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import sympy

from symreg.formula.latex import formula_latex
from symreg.formula.many_body import ManyBodyFunction
from symreg.formula.pair import PairFunction
from symreg.formula.radial import R
from symreg.formula.three_body import ThreeBodyFunction
from symreg.terms import Expression, Term
from symreg.terms.cutoff import Cutoff


@dataclass(frozen=True)
class Formula:
    """A potential in closed form: E = sum of e0 + sum over pairs of φ(r/r0) f_c(r) + others.

    Every atom i adds ψ(r_ij/r0, r_ik/r0, cos θ) f_3(r_ij) f_3(r_ik) for each two of its neighbours,
    and F(S_1, S_2, ...), where each S is a sum of a function of r/r0 times f_c(r) over them.

    Raises
    ------
    ValueError
        If lengths are out of order, a species has no e0, a term is of a kind not known here, or
        three-body or many-body terms come without their cutoff, without a pair term, or with
        several species.
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
    cutoff_three_body: Cutoff | None = None
    """Cutoff function of three-body terms, one for each of both distances."""

    def __post_init__(self) -> None:
        """Refuse what cannot be computed; numpy's numbers become Python's."""
        for name in ("r0", "r_lo"):
            object.__setattr__(self, name, float(getattr(self, name)))
        object.__setattr__(self, "e0", {name: float(value) for name, value in self.e0.items()})
        if not self.r0 > 0:
            raise ValueError(f"r0 is {self.r0:g} Å; it must be greater than 0")
        for cutoff in self._cutoffs:
            for r_lo in (self.r_lo, *self.r_lo_pairs.values()):
                if not 0 < r_lo < cutoff.r_cut:
                    raise ValueError(
                        f"r_lo is {r_lo:g} Å; it must lie between 0 and the cutoff radius "
                        f"{cutoff.r_cut:g} Å"
                    )
        for symbol in self.species:
            if symbol not in self.e0:
                raise ValueError(f"e0 has no value for species {symbol}")
        for term in self.expression.terms:
            self._check_term(term)
        for kind in ("three-body", "many-body"):
            if kind in self.kinds:
                self._check_others(kind)

    def _check_term(self, term: Term) -> None:
        if len(term.species) != {"pair": 2, "three-body": 3, "many-body": 1}.get(term.kind):
            raise ValueError(
                "a formula is made of pair, three-body and many-body terms; it has a "
                f"'{term.kind}' term of {len(term.species)} species"
            )
        for symbol in term.species:
            if symbol not in self.species:
                raise ValueError(
                    f"a term is between {'-'.join(term.species)}; the formula's species are "
                    f"{', '.join(self.species)}"
                )

    def _check_others(self, kind: str) -> None:
        if len(self.species) > 1:
            raise ValueError(
                f"{kind} terms are for formulas of one species; this one describes "
                f"{', '.join(self.species)}"
            )
        if self.cutoff_three_body is None and (kind == "three-body" or self._has_bends):
            raise ValueError("a formula with three-body terms or sums needs cutoff_three_body")
        if not self.species_pairs:
            raise ValueError(
                f"a formula with {kind} terms needs a pair term for "
                f"{'-'.join(2 * self.species)} too: it keeps atoms apart"
            )

    @property
    def kinds(self) -> set[str]:
        """Kinds of terms that occur."""
        return {term.kind for term in self.expression.terms}

    @property
    def _has_bends(self) -> bool:
        """Whether there is a sum over every two neighbours."""
        return any(
            node.op == "product"
            for term in self.expression.terms
            if term.kind == "many-body"
            for node in term.tree.nodes
        )

    @property
    def _cutoffs(self) -> list[Cutoff]:
        """All cutoff functions."""
        return [cutoff for cutoff in (self.cutoff, self.cutoff_three_body) if cutoff is not None]

    @property
    def r_cut(self) -> float:
        """Distance in Å beyond which atoms do not feel each other: the larger cutoff radius."""
        return max(cutoff.r_cut for cutoff in self._cutoffs)

    @property
    def species_pairs(self) -> list[tuple[str, str]]:
        """Pairs of species that have a term, each sorted."""
        keys = self.expression.keys()
        return sorted({(of[0], of[1]) for kind, of in keys if kind == "pair"})

    @property
    def species_triplets(self) -> list[tuple[str, str, str]]:
        """Triplets of species that have a term: the centre, then both neighbours."""
        keys = self.expression.keys()
        return sorted({(of[0], of[1], of[2]) for kind, of in keys if kind == "three-body"})

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

    def three_body_function(self, centre: str, b: str, c: str) -> ThreeBodyFunction:
        """Interaction of a centre with its neighbours of species ``b`` and ``c``.

        Raises
        ------
        ValueError
            If the formula has no term for the triplet.
        """
        if (centre, b, c) not in self._three_body_functions:
            known = ", ".join("-".join(of) for of in self.species_triplets) or "none"
            raise ValueError(
                f"the formula has no three-body term for {centre}-{b}-{c}; it has {known}"
            )
        return self._three_body_functions[centre, b, c]

    @cached_property
    def _three_body_functions(self) -> dict[tuple[str, str, str], ThreeBodyFunction]:
        if self.cutoff_three_body is None:
            return {}
        return {
            of: ThreeBodyFunction(
                self.expression,
                of,
                self.r0,
                self.cutoff_three_body,
                self.r_lo_pairs.get("-".join(of[:2]), self.r_lo),
            )
            for of in self.species_triplets
        }

    @cached_property
    def many_body(self) -> ManyBodyFunction | None:
        """What the sums over its neighbours give an atom; None without many-body terms."""
        if "many-body" not in self.kinds:
            return None
        (symbol,) = self.species
        r_lo = self.r_lo_pairs.get(f"{symbol}-{symbol}", self.r_lo)
        cutoffs = self.cutoff, r_lo, self.cutoff_three_body
        return ManyBodyFunction(self.expression, symbol, self.r0, *cutoffs)

    def sympy(self, a: str, b: str) -> Any:
        """φ(r/r0) of a pair of species as SymPy in r (Å), in eV, without cutoff and wall."""
        # A plain symbol, or `expression.subs("r", 3.8)` would silently do nothing.
        return self.pair_function(a, b).expression.xreplace({R: sympy.Symbol("r")})

    def sympy_three_body(self, centre: str, b: str, c: str) -> Any:
        """ψ of a triplet of species as SymPy in x1, x2 and c, in eV, without cutoff function."""
        return self.three_body_function(centre, b, c).sympy()

    def latex(self, digits: int = 6) -> str:
        r"""Every φ(x) and ψ(x1, x2, c), x = r/r0, in eV as LaTeX; lines are joined by ``\\``.

        A product is ψ = w h(x1) h(x2) p(c), with h and p on lines of their own.
        """
        return formula_latex(self.expression, digits)

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
        return record

    @staticmethod
    def from_dict(record: Mapping[str, Any]) -> Formula:
        """Undo ``to_dict``; formulas go through the parser of ``expression``."""
        three_body = record.get("cutoff_three_body")
        return Formula(
            expression=Expression.from_dict(record["terms"]),
            r0=float(record["r0"]),
            e0={str(symbol): float(value) for symbol, value in record["e0"].items()},
            species=tuple(record["species"]),
            cutoff=Cutoff.from_dict(record["cutoff"]),
            r_lo=float(record["r_lo"]),
            r_lo_pairs={k: float(v) for k, v in record.get("r_lo_pairs", {}).items()},
            cutoff_three_body=None if three_body is None else Cutoff.from_dict(three_body),
        )
