"""Sums over the neighbours of an atom, and pair interactions, with derivatives by SymPy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import sympy

from symreg.arrays import Floats
from symreg.formula.ccode import assignments, constants, declared, function, number
from symreg.formula.radial import Number, Parts, R, RadialFunction, weighted_sum
from symreg.formula.sums import base
from symreg.formula.sums.base import Cpp, OfPairs, Portion, SumFunction, Surroundings
from symreg.formula.sums.poles import first_pole
from symreg.terms.kinds import PAIRS
from symreg.terms.lengths import Lengths
from symreg.terms.wall import Wall


class PairSum(SumFunction):
    """S = Σ_j φ(r_ij/r0) f_c(r_ij), from ``r_lo`` to ``r_cut``.

    Alone it is the pair interaction u(r) = φ(r/r0) f_c(r), half of it on each atom, with the wall
    below ``r_lo``; in a function of sums distances below ``r_lo`` come to rest.
    """

    over = PAIRS
    letter = "φ"
    latex_letter = r"\varphi"
    meaning = "sum over pairs of formula(x = r/r0) * cutoff(r)"
    words = "sum over pairs of φ(x) f_c(r)"

    def __init__(self, parts: Parts, species: Sequence[str], lengths: Lengths) -> None:
        super().__init__(parts, species, lengths)
        # Between r_lo and r_cut.
        self.inside = RadialFunction(parts, self.r0, self.cutoff, self.write)

    def energy(self, r: Floats) -> Floats:
        """Energy of a pair in eV at the distances ``r`` in Å, any shape."""
        return np.asarray(self.derivatives(r, 0)[0])

    def slope(self, r: Floats) -> Floats:
        """First derivative in eV/Å at the distances ``r`` in Å, any shape."""
        return np.asarray(self.derivatives(r, 1)[1])

    def curvature(self, r: Floats) -> Floats:
        """Second derivative in eV/Å^2 at the distances ``r`` in Å, any shape."""
        return np.asarray(self.derivatives(r, 2)[2])

    def derivatives(self, r: Floats, order: int) -> Floats:
        """Value and derivatives up to ``order`` <= 3, in eV/Å^n; shape (order + 1, *r.shape)."""
        r = np.asarray(r, dtype=float)
        result = np.zeros((order + 1, *r.shape))
        below = r < self.r_lo
        for n in range(order + 1) if below.any() else ():
            result[n, below] = self.wall.derivative(r[below], n)
        inside = ~below & (r < self.r_cut)
        result[:, inside] = self.inside.derivatives(r[inside], order)
        return result

    @cached_property
    def wall(self) -> Wall:
        """The repulsion below ``r_lo``."""
        at_edge = self.inside.derivatives(np.array([self.r_lo]), 3)[:, 0]
        if not np.isfinite(at_edge).all():
            raise ValueError(
                f"the formula for {self.name} is not finite at {self.r_lo:g} Å, where "
                "its domain begins"
            )
        return Wall.join(self.r_lo, *at_edge.tolist())

    @property
    def expression(self) -> Any:
        """The formula without cutoff function and wall as SymPy, in r (Å), in eV."""
        return self.inside.expression

    def sympy(self) -> Any:
        # A plain symbol, or `expression.subs("r", 3.8)` would silently do nothing.
        return self.expression.xreplace({R: sympy.Symbol("r")})

    def latex(self, number: Number) -> list[str]:
        total = weighted_sum(self.parts, base.LATEX, number, self.write)
        return [self.named("x", base.latex(total))]

    def latex_argument(self, symbol: str, number: Number) -> list[str]:
        written = self.written(self.parts[0][0], number)
        centre, near = self.species
        of = "j" if near == centre else rf"{{j \in \mathrm{{{near}}}}}"
        return [rf"{symbol} = \sum_{of} \left[ {written} \right] f_c(r_j)"]

    def addends(self, around: Surroundings, *, alone: bool) -> Iterable[Portion]:
        centre, neighbour = self.species
        near = around.near(self.r_cut, centre, neighbour, either=alone)
        if alone:
            # The list is full: each bond counts once as i -> j and once as j -> i.
            return [OfPairs(near, 0.5 * self.derivatives(near.pairs.r, 1))]
        return [OfPairs(near, self.of_one_neighbour(near.pairs.r))]

    def of_one_neighbour(self, r: Floats) -> Floats:
        return self.inside.clamped(r, *self.clamp(r))

    def refuse_infinite(self, name: str) -> None:
        near = np.array([self.clamp.floor, self.clamp.r_lo])
        base.refuse(self.of_one_neighbour(near), f"{name} at {{:g}} Å", near)

    def refuse_poles(self) -> None:
        r = first_pole(self.parts, self.r0, self.r_lo, self.cutoff)
        if r is not None:
            raise ValueError(
                f"the formula for {self.name} has no finite value, or a pole, near {r:.4g} Å; it "
                f"must be smooth from r_lo = {self.r_lo:g} to r_cut"
            )

    def cpp(self, number: int, place: int, fade: str, *, alone: bool) -> Cpp:
        if alone:
            interaction = self._interaction(number, fade)
            return Cpp([interaction], [], [f"energy += pair_{number}(r, slope);"])
        fill = [
            f"{fade}(r, f, df);",
            f"density_{number}(r, b.g[{place}], b.g_slope[{place}]);",
            f"b.g_slope[{place}] = (b.g_slope[{place}]*f + b.g[{place}]*df)*r_slope;",
            f"b.g[{place}] *= f;",
        ]
        return Cpp([declared(f"density_{number}", self.inside.numbered)], [fill], [], 1)

    def _interaction(self, n: int, fade: str) -> str:
        u = self.inside.numbered
        values = {"const double u": u.expression, "const double du": u.slopes[0]}
        body = [f"if (r < {number(self.r_lo)}) {{", f"  const double h = {number(self.r_lo)} - r;"]
        wall, c = self.wall, [number(value) for value in self.wall.coefficients]
        if wall.kind == "exponential":
            body.append(f"  const double rise = {c[1]} * exp({c[2]} * h);")
            body += [f"  slope -= {c[2]} * rise;", f"  return {c[0]} + rise;"]
        else:
            derivative = f"({c[1]}) + h*(2.0*({c[2]}) + h*(3.0*({c[3]}) + h*4.0*({c[4]})))"
            rise = f"({c[1]}) + h*(({c[2]}) + h*(({c[3]}) + h*({c[4]})))"
            body += [f"  slope -= {derivative};", f"  return {c[0]} + h*({rise});"]
        body += ["}", *constants(u), *assignments(values)]
        body += ["double f, df;", f"{fade}(r, f, df);", "slope += du*f + u*df;", "return u*f;"]
        comment = f"Energy of {self.name}; its slope is added."
        return function(f"pair_{n}", ["double r", "double &slope"], body, comment, "double")
