"""Sums over every two neighbours of an atom, with derivatives by SymPy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import sympy
from numpy.typing import NDArray

from symreg.formula.ccode import assignments, constants, declared, function
from symreg.formula.radial import (
    ANY_R,
    Function,
    Numbers,
    Parts,
    RadialFunction,
    compile_all,
    evaluate,
    numbered_sum,
)
from symreg.formula.sums.base import (
    Again,
    Cpp,
    Floats,
    Near,
    Portion,
    SumFunction,
    Surroundings,
    latex,
    rounded,
)
from symreg.language import Shape, Tree
from symreg.language.text import ONE
from symreg.structures.neighbours import triplets
from symreg.terms.kinds import TRIPLETS
from symreg.terms.lengths import Lengths

Integers = NDArray[np.int64]

X1, X2, C = sympy.symbols("x1 x2 c")
"""Reduced distances and the cosine in SymPy; it knows nothing about them, as of ``ANY_R``."""
VARIABLES = {"x1": X1, "x2": X2, "c": C}
LATEX = {
    "x": sympy.Symbol("x", positive=True),
    "x1": sympy.Symbol("x_1", positive=True),
    "x2": sympy.Symbol("x_2", positive=True),
    "c": C,
}
"""Variables in LaTeX."""


class Product(NamedTuple):
    """One separable term w h(x1) h(x2) p(c)."""

    radial: RadialFunction
    """g(r) = h(r/r0) f_c(r), without the weight."""
    angular: tuple[Any, Numbers]
    """w p(c) as SymPy, with symbols for its numbers."""
    trees: tuple[Tree, Tree]
    """h and p."""
    weight: float
    """In eV."""

    def function(self) -> Function:
        """W p(c) and its derivative as a numpy function."""
        expression, numbers = self.angular
        return compile_all([expression, sympy.diff(expression, C)], [C, *numbers.symbols])


class Radials(NamedTuple):
    """All that triplets need to know of every pair, computed once per pair; Q pairs."""

    x: Floats
    """Effective distance over r0, shape (Q,)."""
    x_slope: Floats
    """dx/dr in 1/Å, shape (Q,)."""
    fade: Floats
    """Cutoff function and its derivative by r, shape (2, Q)."""
    products: list[Floats]
    """For each product g and dg/dr, shape (2, Q)."""


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
        """See ``SumFunction``."""
        super().__init__(parts, species, lengths)
        self.products: list[Product] = []
        self.general: list[tuple[Tree, float]] = []
        """Terms that are no products, with their weights in eV."""
        for tree, weight in parts:
            if tree.factors is None:
                self.general.append((tree, weight))
                continue
            radial, angular = tree.factors
            self.products.append(
                Product(
                    RadialFunction([(radial, 1.0)], self.r0, self.cutoff, self.write),
                    numbered_sum([(angular, weight)], {"c": C}, self.write),
                    (radial, angular),
                    weight,
                )
            )
        self.fade = RadialFunction([(Tree(Shape(ONE)), 1.0)], self.r0, self.cutoff)
        """The cutoff function alone."""

    @cached_property
    def psi(self) -> tuple[Any, Numbers]:
        """The weighted sum of all terms that are no products, with symbols for its numbers."""
        return numbered_sum(self.general, VARIABLES, self.write)

    def sympy(self) -> Any:
        """See ``SumFunction``; symmetric in the neighbours."""
        total = sympy.Integer(0)
        for product in self.products:
            h, p = product.trees
            factors = [self.write(h, X1), self.write(h, X2), self.write(p, {"c": C})]
            total += sympy.Float(product.weight) * sympy.Mul(*factors)
        for tree, weight in self.general:
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
            psi += f"{' ' if psi else ''}{sign}{latex(rounded(digits)(abs(weight)))}"
            if tree.factors is None:
                psi += f" {_mean(f'q{index}')}"
                lines.append(rf"q{index}(x_1, x_2, c) = {self._written(tree, digits)}")
                continue
            radial, angular = tree.factors
            if radial.root != ONE:
                psi += f" h{index}(x_1) h{index}(x_2)"
                lines.append(f"h{index}(x) = {self._written(radial, digits)}")
            if angular.root != ONE:
                psi += f" p{index}(c)"
                lines.append(f"p{index}(c) = {self._written(angular, digits)}")
        name = "".join(self.species)
        return [rf"{self.latex_letter}_{{\mathrm{{{name}}}}}(x_1, x_2, c) = {psi}", *lines]

    def latex_argument(self, symbol: str, digits: int) -> list[str]:
        """See ``SumFunction``."""
        tree, fades = self.parts[0][0], "f_3(r_j) f_3(r_k)"
        written = self._written(tree, digits)
        if tree.factors is not None:
            return [rf"{symbol} = \sum_{{j<k}} \left[ {written} \right] {fades}"]
        name = symbol.replace("S", "q", 1)
        return [
            rf"{symbol} = \sum_{{j<k}} {_mean(name)} {fades}",
            f"{name}(x_1, x_2, c) = {written}",
        ]

    def _written(self, tree: Tree, digits: int) -> str:
        return latex(self.write(tree, LATEX, list(map(rounded(digits), tree.constants))))

    def derivatives(self, r1: Floats, r2: Floats, c: Floats) -> Floats:
        """Energy in eV and its derivatives by both distances (eV/Å) and the cosine, shape (4, T).

        Parameters
        ----------
        r1, r2
            Distances in Å of the neighbours from the centre, shape (T,).
        c
            Cosine of the angle between them, shape (T,).
        """
        count = len(r1)
        first = np.arange(count)
        radials = self.radials(np.concatenate([r1, r2]))
        return self.triplets(radials, first, first + count, c)

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
        angular = zip(self.products, radials.products, self._angular, strict=True)
        for product, (g, g_slope), compiled in angular:
            p, p_slope = evaluate(compiled, c, *product.angular[1].values)
            result[0] += g[first] * g[second] * p
            result[1] += g_slope[first] * g[second] * p
            result[2] += g[first] * g_slope[second] * p
            result[3] += g[first] * g[second] * p_slope
        if self.general:
            result += self._general(radials, first, second, c)
        return result

    def _general(self, radials: Radials, first: Integers, second: Integers, c: Floats) -> Floats:
        x1, x2 = radials.x[first], radials.x[second]
        numbers = self.psi[1].values
        one = evaluate(self._psi_function, x1, x2, c, *numbers)
        two = evaluate(self._psi_function, x2, x1, c, *numbers)
        psi = 0.5 * (one + two[[0, 2, 1, 3]])
        (f1, f2), (d1, d2) = ((part[first], part[second]) for part in radials.fade)
        slope1 = psi[1] * radials.x_slope[first] * f1 + psi[0] * d1
        slope2 = psi[2] * radials.x_slope[second] * f2 + psi[0] * d2
        return np.stack([psi[0] * f1 * f2, slope1 * f2, f1 * slope2, psi[3] * f1 * f2])

    @cached_property
    def _angular(self) -> list[Function]:
        return [product.function() for product in self.products]

    @cached_property
    def _psi_parts(self) -> list[Any]:
        """ψ that is no product and its derivatives by x1, x2 and c."""
        expression = self.psi[0]
        return [expression, *(sympy.diff(expression, variable) for variable in (X1, X2, C))]

    @cached_property
    def _psi_function(self) -> Function:
        return compile_all(self._psi_parts, [X1, X2, C, *self.psi[1].symbols])

    def addends(self, around: Surroundings, *, alone: bool) -> Iterable[Portion]:  # noqa: ARG002
        """See ``SumFunction``."""
        centre, neighbour, _ = self.species
        near = around.near(self.r_cut, centre, neighbour)
        radials = self.radials(near.pairs.r)

        def compute() -> Iterator[Portion]:
            for first, second in triplets(near.pairs, around.symbols.size):
                unit = near.pairs.unit
                # Rounding must not push the cosine of atoms in one line out of its domain.
                c = np.clip(np.einsum("ta,ta->t", unit[first], unit[second]), -1.0, 1.0)
                yield OfTriplets(near, first, second, c, self.triplets(radials, first, second, c))

        return Again(compute)

    def refuse_infinite(self, name: str) -> None:  # noqa: ARG002
        """See ``SumFunction``."""
        assert self._is_finite

    @cached_property
    def _is_finite(self) -> bool:
        """Whether it has a value where atoms can be driven to: near, and in one line."""
        name = f"the three-body formula for {self.name} is not finite"
        near = np.array([self.clamp.floor, self.clamp.r_lo])
        for radial in (self.fade, *(product.radial for product in self.products)):
            _refuse(radial.derivatives(near, 1), f"{name} at {{:g}} Å", near)
        cosines = np.array([-1.0, 0.0, 1.0])
        for product, compiled in zip(self.products, self._angular, strict=True):
            values = evaluate(compiled, cosines, *product.angular[1].values)
            _refuse(values, f"{name} at cosine {{:g}}", cosines)
        if self.general:
            r1, r2, c = (part.ravel() for part in np.meshgrid(near, near, cosines))
            psi = evaluate(self._psi_function, r1 / self.r0, r2 / self.r0, c, *self.psi[1].values)
            _refuse(psi, f"{name} at {{:g}} Å, {{:g}} Å and cosine {{:g}}", r1, r2, c)
        return True

    def cpp(self, number: int, place: int, *, alone: bool) -> Cpp:  # noqa: ARG002
        """See ``SumFunction``."""
        functions: list[str] = []
        fill: list[str] = []
        add: list[str] = []
        for n, product in enumerate(self.products, place):
            functions.append(declared(f"radial_{n}", *product.radial.numbered, ANY_R))
            functions.append(declared(f"angular_{n}", *product.angular, C))
            fill += FILL_PRODUCT.replace("#", str(n)).splitlines()
            add += ADD_PRODUCT.replace("#", str(n)).splitlines()
        if self.general:
            functions.append(self._psi_cpp(number))
            add += ADD_PSI.replace("#", str(number)).splitlines()
        return Cpp(functions, fill, add, len(self.products))

    def _psi_cpp(self, n: int) -> str:
        expression, numbers = self.psi
        values = {f"v[{k}]": part for k, part in enumerate(self._psi_parts)}
        unused = [f"(void) {v};" for v in (X1, X2, C) if not expression.has(v)]
        arguments = ["double x1", "double x2", "double c", "double *v"]
        comment = "All terms that are no products, and their derivatives by x1, x2 and c."
        body = [*unused, *constants(numbers), *assignments(values)]
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


class OfTriplets(NamedTuple):
    """Addends of some triplets."""

    near: Near
    first: Integers
    """One neighbour of each, as a place among the pairs that are near, shape (T,)."""
    second: Integers
    """The other one, shape (T,)."""
    cosine: Floats
    """Of the angle between them, shape (T,)."""
    values: Floats
    """Value, and slopes by both distances and the cosine, shape (4, T)."""

    def sums(self, n: int) -> Floats:
        """See ``Portion``."""
        return np.asarray(np.bincount(self.near.pairs.i[self.first], self.values[0], n), float)

    def add(self, weight: Floats | None, gradient: Floats) -> None:
        """See ``Portion``."""
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


def _refuse(values: Floats, message: str, *coordinates: Floats) -> None:
    """Raise ``ValueError`` with the first of the places at which a value is not finite."""
    broken = ~np.isfinite(values).all(axis=0)
    if broken.any():
        n = int(np.argmax(broken))
        raise ValueError(message.format(*(part[n] for part in coordinates)))
