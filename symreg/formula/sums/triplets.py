"""Sums over every two neighbours of an atom, with derivatives by SymPy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import sympy

from symreg.arrays import Floats, Integers
from symreg.formula.ccode import assignments, constants, declared, function
from symreg.formula.radial import Number, Numbered, Parts, RadialFunction, weighted_sum
from symreg.formula.sums import base
from symreg.formula.sums.base import Cpp, Near, Portion, SumFunction, Surroundings
from symreg.language import Shape, Tree
from symreg.language.text import ONE
from symreg.structures.neighbours import triplets
from symreg.terms.kinds import TRIPLETS
from symreg.terms.lengths import Lengths

X1, X2, C = sympy.symbols("x1 x2 c")
"""Reduced distances and the cosine in SymPy; it knows nothing about them."""
VARIABLES = {"x1": X1, "x2": X2, "c": C}


class Product(NamedTuple):
    """One separable term w h(x1) h(x2) p(c)."""

    radial: RadialFunction  # g(r) = h(r/r0) f_c(r), without the weight
    angular: Numbered  # w p(c), in eV


class Radials(NamedTuple):
    """All that triplets need to know of every pair, computed once per pair; Q pairs."""

    x: Floats  # effective distance over r0, shape (Q,)
    x_slope: Floats  # dx/dr in 1/Å, shape (Q,)
    fade: Floats  # cutoff function and its derivative by r, shape (2, Q)
    products: list[Floats]  # for each product g and dg/dr, shape (2, Q)


class TripletSum(SumFunction):
    """S = Σ_{j<k} ψ(x_ij, x_ik, c) f_c(r_ij) f_c(r_ik) of one centre.

    ψ that are no products stand for their mean over both orders of the neighbours. Distances below
    ``r_lo`` come to rest.
    """

    over = TRIPLETS
    cutoff_name = "cutoff_three_body"
    letter = "ψ"
    latex_letter = r"\psi"
    meaning = (
        "sum over triplets j <- i -> k of formula(x1 = r_ij/r0, x2 = r_ik/r0, c = cosine"
        " of the angle; mean over both orders of j and k) * cutoff_three_body(r_ij) *"
        " cutoff_three_body(r_ik)"
    )
    words = (
        "sum over triplets j <- i -> k of ψ(x1 = x_ij, x2 = x_ik, c = cos θ) f_3(r_ij) f_3(r_ik)"
    )
    rests = "Triplets"

    def __init__(self, parts: Parts, species: Sequence[str], lengths: Lengths) -> None:
        super().__init__(parts, species, lengths)
        self.products: list[Product] = []
        self.general: list[tuple[Tree, float]] = []  # no products
        for tree, weight in parts:
            if tree.factors is None:
                self.general.append((tree, weight))
                continue
            h, _, p = tree.factors
            radial = RadialFunction([(h, 1.0)], self.r0, self.cutoff, self.write)
            self.products.append(Product(radial, self._numbered([(p, weight)], {"c": C})))
        self.fade = RadialFunction([(Tree(Shape(ONE)), 1.0)], self.r0, self.cutoff)

    @cached_property
    def psi(self) -> Numbered:
        """The weighted sum of all terms that are no products."""
        return self._numbered(self.general, VARIABLES)

    def _numbered(self, parts: Parts, variables: Mapping[str, Any]) -> Numbered:
        def written(number: Number) -> Any:
            return weighted_sum(parts, variables, number, self.write)

        return Numbered(written, [*variables.values()])

    def sympy(self) -> Any:
        """See ``SumFunction``; symmetric in the neighbours."""
        total = sympy.Integer(0)
        for tree, weight in self.parts:
            one = self.write(tree, VARIABLES)
            two = one.xreplace({X1: X2, X2: X1})
            total += sympy.Float(weight) * (one if one == two else (one + two) / 2)
        return total

    def latex(self, digits: int) -> list[str]:
        """See ``SumFunction``: the sum of all terms by names of their factors, and each factor."""
        psi, lines = "", []
        for n, (tree, weight) in enumerate(self.parts, 1):
            index = f"_{{{n}}}" if len(self.parts) > 1 else ""
            sign = ("-" if weight < 0 else "+" if n > 1 else "") + (" " if n > 1 else "")
            psi += f"{' ' if psi else ''}{sign}{base.latex(base.rounded(digits)(abs(weight)))}"
            if tree.factors is None:
                psi += f" {_mean(f'q{index}')}"
                lines.append(rf"q{index}(x_1, x_2, c) = {self.written(tree, digits)}")
                continue
            radial, _, angular = tree.factors
            if radial.root != ONE:
                psi += f" h{index}(x_1) h{index}(x_2)"
                lines.append(f"h{index}(x) = {self.written(radial, digits)}")
            if angular.root != ONE:
                psi += f" p{index}(c)"
                lines.append(f"p{index}(c) = {self.written(angular, digits)}")
        return [self.named("x_1, x_2, c", psi), *lines]

    def latex_argument(self, symbol: str, digits: int) -> list[str]:
        tree, fades = self.parts[0][0], "f_3(r_j) f_3(r_k)"
        written = self.written(tree, digits)
        if tree.factors is not None:
            return [rf"{symbol} = \sum_{{j<k}} \left[ {written} \right] {fades}"]
        name = symbol.replace("S", "q", 1)
        mean = rf"{symbol} = \sum_{{j<k}} {_mean(name)} {fades}"
        return [mean, f"{name}(x_1, x_2, c) = {written}"]

    def derivatives(self, r1: Floats, r2: Floats, c: Floats) -> Floats:
        """Energy in eV and its derivatives by both distances (eV/Å) and the cosine, shape (4, T).

        Distances are in Å; all have the shape (T,).
        """
        first = np.arange(len(r1))
        return self.triplets(self.radials(np.concatenate([r1, r2])), first, first + len(r1), c)

    def radials(self, r: Floats) -> Radials:
        """All that depends on one distance only, at the distances ``r`` in Å, shape (Q,)."""
        assert self._is_finite
        effective, slope = self.clamp(r)
        return Radials(
            effective / self.r0,
            slope / self.r0,
            self.fade.clamped(r, effective, slope),
            [product.radial.clamped(r, effective, slope) for product in self.products],
        )

    def triplets(self, radials: Radials, first: Integers, second: Integers, c: Floats) -> Floats:
        """As ``derivatives``, for triplets given as indices into ``radials``, shape (T,)."""
        result = np.zeros((4, c.size))
        for product, (g, g_slope) in zip(self.products, radials.products, strict=True):
            p, p_slope = product.angular(c)
            result[0] += g[first] * g[second] * p
            result[1] += g_slope[first] * g[second] * p
            result[2] += g[first] * g_slope[second] * p
            result[3] += g[first] * g[second] * p_slope
        if self.general:
            result += self._general(radials, first, second, c)
        return result

    def _general(self, radials: Radials, first: Integers, second: Integers, c: Floats) -> Floats:
        x1, x2 = radials.x[first], radials.x[second]
        psi = 0.5 * (self.psi(x1, x2, c) + self.psi(x2, x1, c)[[0, 2, 1, 3]])
        (f1, f2), (d1, d2) = ((part[first], part[second]) for part in radials.fade)
        slope1 = psi[1] * radials.x_slope[first] * f1 + psi[0] * d1
        slope2 = psi[2] * radials.x_slope[second] * f2 + psi[0] * d2
        return np.stack([psi[0] * f1 * f2, slope1 * f2, f1 * slope2, psi[3] * f1 * f2])

    def addends(self, around: Surroundings, *, alone: bool) -> Iterable[Portion]:  # noqa: ARG002
        centre, neighbour, _ = self.species
        near = around.near(self.r_cut, centre, neighbour)
        return _Addends(self, near, self.radials(near.pairs.r), around.symbols.size)

    def refuse_infinite(self, name: str) -> None:  # noqa: ARG002
        assert self._is_finite

    @cached_property
    def _is_finite(self) -> bool:
        """Whether it has a value where atoms can be driven to: near, and in one line."""
        name = f"the three-body formula for {self.name} is not finite"
        near = np.array([self.clamp.floor, self.clamp.r_lo])
        for radial in (self.fade, *(product.radial for product in self.products)):
            base.refuse(radial.derivatives(near, 1), f"{name} at {{:g}} Å", near)
        cosines = np.array([-1.0, 0.0, 1.0])
        for product in self.products:
            base.refuse(product.angular(cosines), f"{name} at cosine {{:g}}", cosines)
        if self.general:
            r1, r2, c = (part.ravel() for part in np.meshgrid(near, near, cosines))
            psi = self.psi(r1 / self.r0, r2 / self.r0, c)
            base.refuse(psi, f"{name} at {{:g}} Å, {{:g}} Å and cosine {{:g}}", r1, r2, c)
        return True

    def cpp(self, number: int, place: int, *, alone: bool) -> Cpp:  # noqa: ARG002
        functions, fill, add = [], [], []
        for n, product in enumerate(self.products, place):
            functions.append(declared(f"radial_{n}", product.radial.numbered))
            functions.append(declared(f"angular_{n}", product.angular))
            fill += FILL_PRODUCT.replace("#", str(n)).splitlines()
            add += ADD_PRODUCT.replace("#", str(n)).splitlines()
        if self.general:
            functions.append(self._psi_cpp(number))
            add += ADD_PSI.replace("#", str(number)).splitlines()
        return Cpp(functions, fill, add, len(self.products))

    def _psi_cpp(self, n: int) -> str:
        psi = self.psi
        values = {f"v[{k}]": part for k, part in enumerate([psi.expression, *psi.slopes])}
        unused = [f"(void) {v};" for v in psi.variables if not psi.expression.has(v)]
        arguments = ["double x1", "double x2", "double c", "double *v"]
        comment = "All terms that are no products, and their derivatives by x1, x2 and c."
        body = [*unused, *constants(psi), *assignments(values)]
        return function(f"psi_{n}", arguments, body, comment)


FILL_PRODUCT = """\
radial_#(r, n.g[#], n.g_slope[#]);
n.g_slope[#] = (n.g_slope[#]*n.fade + n.g[#]*n.fade_slope)*r_slope;
n.g[#] *= n.fade;
"""
ADD_PRODUCT = """\
{
  double p, dp;
  angular_#(c, p, dp);
  const double gg = a.g[#]*b.g[#];
  energy += gg*p;
  slope[0] += a.g_slope[#]*b.g[#]*p;
  slope[1] += a.g[#]*b.g_slope[#]*p;
  slope[2] += gg*dp;
}
"""
ADD_PSI = """\
{
  double one[4], two[4];
  psi_#(a.x, b.x, c, one);
  psi_#(b.x, a.x, c, two);
  const double value = 0.5*(one[0] + two[0]), ff = a.fade*b.fade;
  energy += value*ff;
  slope[0] += (0.5*(one[1] + two[2])*a.x_slope*a.fade + value*a.fade_slope)*b.fade;
  slope[1] += (0.5*(one[2] + two[1])*b.x_slope*b.fade + value*b.fade_slope)*a.fade;
  slope[2] += 0.5*(one[3] + two[3])*ff;
}
"""


@dataclass(frozen=True, eq=False)
class _Addends:
    """Addends of all triplets, computed anew each time: there may be too many to be kept."""

    function: TripletSum
    near: Near
    radials: Radials
    n: int

    def __iter__(self) -> Iterator[Portion]:
        near, unit = self.near, self.near.pairs.unit
        for first, second in triplets(near.pairs, self.n):
            # Rounding must not push the cosine of atoms in one line out of its domain.
            c = np.clip(np.einsum("ta,ta->t", unit[first], unit[second]), -1.0, 1.0)
            values = self.function.triplets(self.radials, first, second, c)
            yield OfTriplets(near, first, second, c, values)


class OfTriplets(NamedTuple):
    """Addends of some triplets, as a ``Portion``."""

    near: Near
    first: Integers  # one neighbour of each, as a place among the pairs that are near, shape (T,)
    second: Integers  # the other one, shape (T,)
    cosine: Floats  # of the angle between them, shape (T,)
    values: Floats  # value, and slopes by both distances and the cosine, shape (4, T)

    def sums(self, n: int) -> Floats:
        return np.asarray(np.bincount(self.near.pairs.i[self.first], self.values[0], n), float)

    def add(self, weight: Floats | None, gradient: Floats) -> None:
        (at, pairs), first, second, c = self.near, self.first, self.second, self.cosine
        u1, u2, slopes = pairs.unit[first], pairs.unit[second], self.values[1:]
        if weight is not None:
            # Also where all are at the cutoff and F has no slope.
            felt, none = slopes != 0, np.zeros_like(slopes)
            slopes = np.multiply(slopes, weight[pairs.i[first]], none, where=felt)
        slope1, slope2, slope_c = slopes
        turn1, turn2 = slope_c / pairs.r[first], slope_c / pairs.r[second]
        for axis in range(3):
            one = slope1 * u1[:, axis] + turn1 * (u2[:, axis] - c * u1[:, axis])
            two = slope2 * u2[:, axis] + turn2 * (u1[:, axis] - c * u2[:, axis])
            gradient[at, axis] += np.bincount(first, one, at.size)
            gradient[at, axis] += np.bincount(second, two, at.size)


def _mean(name: str) -> str:
    """The mean of a function over both orders of its neighbours, as LaTeX."""
    return rf"\tfrac{{1}}{{2}} [{name}(x_1, x_2, c) + {name}(x_2, x_1, c)]"
