"""Sums over every two neighbours of an atom, with derivatives by SymPy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import sympy

from symreg.arrays import Booleans, Floats, Integers
from symreg.formula.ccode import assignments, constants, declared, function
from symreg.formula.ccode import number as cpp_number
from symreg.formula.radial import Number, Numbered, Parts, RadialFunction, weighted_sum
from symreg.formula.sums import base
from symreg.formula.sums.base import Cpp, Near, Portion, SumFunction, Surroundings
from symreg.formula.sums.poles import first_gap
from symreg.language import Shape, Tree
from symreg.language.text import ONE
from symreg.structures.neighbours import triplets
from symreg.terms.kinds import TRIPLETS
from symreg.terms.lengths import Lengths

X1, X2, C = sympy.symbols("x1 x2 c")
"""Reduced distances and the cosine in SymPy; it knows nothing about them."""
VARIABLES = {"x1": X1, "x2": X2, "c": C}


class Product(NamedTuple):
    """One separable term w h1(x1) h2(x2) p(c); h1 and h2 are one unless neighbours are unlike."""

    radials: tuple[RadialFunction, RadialFunction]
    """g(r) = h(r/r0) f_c(r) of both neighbours, without the weight."""
    angular: Numbered  # w p(c), in eV


class Radials(NamedTuple):
    """All that triplets need to know of every pair, computed once per pair; Q pairs."""

    x: Floats  # effective distance over r0, shape (Q,)
    x_slope: Floats  # dx/dr in 1/Å, shape (Q,)
    fade: Floats  # cutoff function and its derivative by r, shape (2, Q)
    products: list[Floats]  # for each product g and dg/dr, shape (2, Q)

    @staticmethod
    def chosen(second: Booleans, one: Radials, other: Radials) -> Radials:
        """Those of the second neighbours, shape (Q,), from ``other``, all others from ``one``."""
        pairs = zip(one.products, other.products, strict=True)
        x, slope, fade = (np.where(second, b, a) for a, b in zip(one[:3], other[:3], strict=True))
        return Radials(x, slope, fade, [np.where(second, b, a) for a, b in pairs])


class TripletSum(SumFunction):
    """S = Σ_{j<k} ψ(x_ij, x_ik, c) f_c(r_ij) f_c(r_ik) of one centre.

    Of unlike neighbours j is the one whose species is named first. Of like ones ψ that are no
    products stand for their mean over both orders. Distances below where the domain of a pair
    begins come to rest.
    """

    over = TRIPLETS
    cutoff_name = "cutoff_three_body"
    letter = "ψ"
    latex_letter = r"\psi"
    meaning = (
        "sum over triplets j <- i -> k of formula(x1 = r_ij/r0, x2 = r_ik/r0, c = cosine"
        " of the angle; mean over both orders of like j and k, unlike ones in the key's order) *"
        " cutoff_three_body(r_ij) * cutoff_three_body(r_ik)"
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
            if (factors := tree.factors) is None:
                self.general.append((tree, weight))
                continue
            *radials, p = factors
            one, two = (
                RadialFunction([(h, 1.0)], self.r0, self.cutoff, self.write) for h in radials
            )
            angular = self._numbered([(p, weight)], {"c": C})
            self.products.append(Product((one, one if radials[0] == radials[1] else two), angular))
        self.fade = RadialFunction([(Tree(Shape(ONE)), 1.0)], self.r0, self.cutoff)

    @property
    def is_unlike(self) -> bool:
        """Whether its neighbours are of two species."""
        return self.species[1] != self.species[2]

    @cached_property
    def psi(self) -> Numbered:
        """The weighted sum of all terms that are no products."""
        return self._numbered(self.general, VARIABLES)

    def _numbered(self, parts: Parts, variables: Mapping[str, Any]) -> Numbered:
        def written(number: Number) -> Any:
            return weighted_sum(parts, variables, number, self.write)

        return Numbered(written, [*variables.values()])

    def sympy(self) -> Any:
        """See ``SumFunction``; symmetric in the neighbours if they are of one species."""
        total = sympy.Integer(0)
        for tree, weight in self.parts:
            one = self.write(tree, VARIABLES)
            two = one if self.is_unlike else one.xreplace({X1: X2, X2: X1})
            total += sympy.Float(weight) * (one if one == two else (one + two) / 2)
        return total

    def latex(self, number: Number) -> list[str]:
        """See ``SumFunction``: the sum of all terms by names of their factors, and each factor."""
        psi, lines = "", []
        for n, (tree, weight) in enumerate(self.parts, 1):
            index = f"_{{{n}}}" if len(self.parts) > 1 else ""
            factor = number(weight)
            falls = factor.could_extract_minus_sign()
            sign = ("-" if falls else "+" if n > 1 else "") + (" " if n > 1 else "")
            psi += f"{' ' if psi else ''}{sign}{base.latex(-factor if falls else factor)}"
            if (factors := tree.factors) is None:
                psi += f" {self._mean(f'q{index}')}"
                lines.append(rf"q{index}(x_1, x_2, c) = {self.written(tree, number)}")
                continue
            *radials, angular = factors
            names = ("h", "h") if radials[0] == radials[1] else ("g", "h")
            for name, radial in dict(zip(names, radials, strict=True)).items():
                if radial.root != ONE:
                    lines.append(f"{name}{index}(x) = {self.written(radial, number)}")
            for name, radial, place in zip(names, radials, (1, 2), strict=True):
                psi += f" {name}{index}(x_{place})" if radial.root != ONE else ""
            if angular.root != ONE:
                psi += f" p{index}(c)"
                lines.append(f"p{index}(c) = {self.written(angular, number)}")
        return [self.named("x_1, x_2, c", psi), *lines]

    def latex_argument(self, symbol: str, number: Number) -> list[str]:
        tree, fades, (centre, j, k) = self.parts[0][0], "f_3(r_j) f_3(r_k)", self.species
        over = "j<k"
        if {j, k} != {centre}:
            over = rf"{'j, k' if self.is_unlike else over} \in \mathrm{{{j}}}, \mathrm{{{k}}}"
        written = self.written(tree, number)
        if tree.factors is not None:
            return [rf"{symbol} = \sum_{{{over}}} \left[ {written} \right] {fades}"]
        name = symbol.replace("S", "q", 1)
        mean = rf"{symbol} = \sum_{{{over}}} {self._mean(name)} {fades}"
        return [mean, f"{name}(x_1, x_2, c) = {written}"]

    def _mean(self, name: str) -> str:
        """The mean of a function over both orders of its neighbours if they are alike, as LaTeX."""
        if self.is_unlike:
            return f"{name}(x_1, x_2, c)"
        return rf"\tfrac{{1}}{{2}} [{name}(x_1, x_2, c) + {name}(x_2, x_1, c)]"

    def derivatives(self, r1: Floats, r2: Floats, c: Floats) -> Floats:
        """Energy in eV and its derivatives by both distances (eV/Å) and the cosine, shape (4, T).

        Distances are in Å, of unlike neighbours in the order of ``species``; all have the shape
        (T,).
        """
        first = np.arange(len(r1))
        second = np.repeat([False, True], len(r1))
        radials = self.radials(np.concatenate([r1, r2]), second)
        return self.triplets(radials, first, first + len(r1), c)

    def radials(self, r: Floats, second: Booleans) -> Radials:
        """All that depends on one distance only, at the distances ``r`` in Å, shape (Q,).

        ``second``, of this shape, tells distances to second neighbours, where these are others.
        """
        if not self.is_unlike:
            return self.radials_of(0, r)
        return Radials.chosen(second, self.radials_of(0, r), self.radials_of(1, r))

    def radials_of(self, neighbour: int, r: Floats) -> Radials:
        """As ``radials`` for distances that are all to first neighbours, 0, or to second ones."""
        assert self._is_finite
        effective, slope = self.clamps[neighbour](r)
        return Radials(
            effective / self.r0,
            slope / self.r0,
            self.fade.clamped(r, effective, slope),
            [one.radials[neighbour].clamped(r, effective, slope) for one in self.products],
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
        psi = self.psi(x1, x2, c)
        if not self.is_unlike:
            psi = 0.5 * (psi + self.psi(x2, x1, c)[[0, 2, 1, 3]])
        (f1, f2), (d1, d2) = ((part[first], part[second]) for part in radials.fade)
        slope1 = psi[1] * radials.x_slope[first] * f1 + psi[0] * d1
        slope2 = psi[2] * radials.x_slope[second] * f2 + psi[0] * d2
        return np.stack([psi[0] * f1 * f2, slope1 * f2, f1 * slope2, psi[3] * f1 * f2])

    def addends(self, around: Surroundings, *, alone: bool) -> Iterable[Portion]:  # noqa: ARG002
        centre, *neighbours = self.species
        near = around.near(self.r_cut, centre, *neighbours)
        second = around.symbols[near.pairs.j] == neighbours[1]
        radials = self.radials(near.pairs.r, second)
        return _Addends(self, near, radials, second, around.symbols.size)

    def refuse_infinite(self, name: str) -> None:  # noqa: ARG002
        assert self._is_finite

    def refuse_poles(self) -> None:
        begins = [clamp.r_lo for clamp in self.clamps]
        trees = [tree for tree, _ in self.parts]
        at = first_gap(trees, self.r0, begins, self.r_cut, self.is_unlike)
        if at is not None:
            raise ValueError(
                f"the three-body formula for {self.name} has no finite value at {at[0]:.4g} Å, "
                f"{at[1]:.4g} Å and cosine {at[2]:.4g}; it must be smooth up to r_cut"
            )

    @cached_property
    def _is_finite(self) -> bool:
        """Whether it has a value where atoms can be driven to: near, and in one line."""
        name = f"the three-body formula for {self.name} is not finite"
        rest = [np.array([clamp.floor, clamp.r_lo]) for clamp in self.clamps]
        for n, near in enumerate(rest):
            for radial in (self.fade, *(product.radials[n] for product in self.products)):
                base.refuse(radial.derivatives(near, 1), f"{name} at {{:g}} Å", near)
        cosines = np.array([-1.0, 0.0, 1.0])
        for product in self.products:
            base.refuse(product.angular(cosines), f"{name} at cosine {{:g}}", cosines)
        if self.general:
            r1, r2, c = (part.ravel() for part in np.meshgrid(*rest, cosines))
            psi = self.psi(r1 / self.r0, r2 / self.r0, c)
            base.refuse(psi, f"{name} at {{:g}} Å, {{:g}} Å and cosine {{:g}}", r1, r2, c)
        return True

    def cpp(self, number: int, place: int, fade: str, *, alone: bool) -> Cpp:  # noqa: ARG002
        functions, add = [], []
        fills = [[f"{fade}(r, f, df);"] for _ in self.clamps]
        for n, product in enumerate(self.products):
            name = f"{number}_{n}"
            functions.append(declared(f"angular_{name}", product.angular))
            for k, radial in enumerate(dict.fromkeys(product.radials)):
                functions.append(declared(f"radial_{name}_{k}", radial.numbered))
            for fill, radial in zip(fills, product.radials, strict=True):
                k = list(dict.fromkeys(product.radials)).index(radial)
                filled = FILL_PRODUCT.replace("@", f"{name}_{k}").replace("#", str(place + n))
                fill += filled.splitlines()
            add += ADD_PRODUCT.replace("@", name).replace("#", str(place + n)).splitlines()
        if not self.general:
            return Cpp(functions, fills, add, len(self.products))
        last = place + len(self.products)
        for fill in fills:
            fill += [f"n.g[{last}] = f;", f"n.g_slope[{last}] = df*r_slope;"]
        functions.append(self._psi_cpp(number))
        adding = ADD_UNLIKE if self.is_unlike else ADD_PSI
        adding = adding.replace("@", str(number)).replace("#", str(last))
        add += adding.replace("R0", cpp_number(self.r0)).splitlines()
        return Cpp(functions, fills, add, len(self.products) + 1)

    def _psi_cpp(self, n: int) -> str:
        psi = self.psi
        values = {f"v[{k}]": part for k, part in enumerate([psi.expression, *psi.slopes])}
        unused = [f"(void) {v};" for v in psi.variables if not psi.expression.has(v)]
        arguments = ["double x1", "double x2", "double c", "double *v"]
        comment = "All terms that are no products, and their derivatives by x1, x2 and c."
        body = [*unused, *constants(psi), *assignments(values)]
        return function(f"psi_{n}", arguments, body, comment)


FILL_PRODUCT = """\
radial_@(r, n.g[#], n.g_slope[#]);
n.g_slope[#] = (n.g_slope[#]*f + n.g[#]*df)*r_slope;
n.g[#] *= f;
"""
ADD_PRODUCT = """\
{
  double p, dp;
  angular_@(c, p, dp);
  const double gg = a.g[#]*b.g[#];
  energy += gg*p;
  slope[0] += a.g_slope[#]*b.g[#]*p;
  slope[1] += a.g[#]*b.g_slope[#]*p;
  slope[2] += gg*dp;
}
"""
ADD_PSI = """\
{
  const double xa = a.seen/R0, xb = b.seen/R0, da = a.seen_slope/R0, db = b.seen_slope/R0;
  double one[4], two[4];
  psi_@(xa, xb, c, one);
  psi_@(xb, xa, c, two);
  const double value = 0.5*(one[0] + two[0]), fa = a.g[#], fb = b.g[#];
  energy += value*fa*fb;
  slope[0] += (0.5*(one[1] + two[2])*da*fa + value*a.g_slope[#])*fb;
  slope[1] += (0.5*(one[2] + two[1])*db*fb + value*b.g_slope[#])*fa;
  slope[2] += 0.5*(one[3] + two[3])*fa*fb;
}
"""
ADD_UNLIKE = """\
{
  const double xa = a.seen/R0, xb = b.seen/R0, da = a.seen_slope/R0, db = b.seen_slope/R0;
  double one[4];
  psi_@(xa, xb, c, one);
  const double fa = a.g[#], fb = b.g[#];
  energy += one[0]*fa*fb;
  slope[0] += (one[1]*da*fa + one[0]*a.g_slope[#])*fb;
  slope[1] += (one[2]*db*fb + one[0]*b.g_slope[#])*fa;
  slope[2] += one[3]*fa*fb;
}
"""


@dataclass(frozen=True, eq=False)
class _Addends:
    """Addends of all triplets, computed anew each time: there may be too many to be kept."""

    function: TripletSum
    near: Near
    radials: Radials
    is_second: Booleans  # whether the neighbour of a pair is of the last species, shape (Q,)
    n: int

    def __iter__(self) -> Iterator[Portion]:
        near, unit = self.near, self.near.pairs.unit
        for first, second in triplets(near.pairs, self.n):
            if self.function.is_unlike:
                first, second = self._in_order(first, second)
            # Rounding must not push the cosine of atoms in one line out of its domain.
            c = np.clip(np.einsum("ta,ta->t", unit[first], unit[second]), -1.0, 1.0)
            values = self.function.triplets(self.radials, first, second, c)
            yield OfTriplets(near, first, second, c, values)

    def _in_order(self, one: Integers, other: Integers) -> tuple[Integers, Integers]:
        """The triplets of unlike neighbours, each as the species of the key say."""
        unlike = self.is_second[one] != self.is_second[other]
        one, other = one[unlike], other[unlike]
        swapped = self.is_second[one]
        return np.where(swapped, other, one), np.where(swapped, one, other)


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
