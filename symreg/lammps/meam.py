"""Products h(x1) h(x2) p(c) as files for ``pair_style meam/spline``, one product in each.

The style computes E = Σ_i U(n_i), n_i = Σ_{j<k} f(r_ij) f(r_ik) g(cos θ), from cubic splines. With
U(n) = n and neither pair energy nor pair density, f and g are the factors of a product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from symreg.arrays import Floats
from symreg.formula import Formula, TripletSum
from symreg.formula.sums.triplets import Product
from symreg.lammps.records import Splines
from symreg.lammps.route import Route, Way
from symreg.lammps.table import clamped_spline, overlay, table_route
from symreg.terms.kinds import PAIRS, TRIPLETS

KNOTS = (2000, 5000, 10_000, 20_000)
"""Spline lengths to choose from."""
FORCE_ERROR = 5e-6
"""Largest change of a force by the interpolation, in eV/Å."""
AT_ONCE = 10
"""As many triplets are taken to be wrong by the largest error at once."""
SMOOTH = 3
"""Cutoff functions of this smoothness end so smoothly that a spline goes on beyond them."""


@dataclass(frozen=True)
class Spline:
    """A cubic spline over equally spaced knots with given slopes at both ends."""

    x: Floats
    """Knots, shape (N,)."""
    y: Floats
    """Values there, shape (N,)."""
    slopes: tuple[float, float]

    def text(self) -> str:
        """The section of a ``meam/spline`` file."""
        first, last = self.slopes
        rows = "".join(f"{x:.17g} {y:.17g} 0\n" for x, y in zip(self.x, self.y, strict=True))
        return f"spline3eq\n{self.x.size}\n{first:.17g} {last:.17g}\n{rows}"

    def derivatives(self, x: Floats) -> Floats:
        """Value and slope that LAMMPS finds at ``x`` between the ends, shape (2, X)."""
        spline = clamped_spline(self.x, self.y, self.slopes)
        return np.stack([spline(x), spline(x, 1)])


@dataclass(frozen=True)
class MeamFile:
    """One product as splines, and how far they are from it."""

    radial: Spline
    angular: Spline
    force_error: float
    """Predicted, in eV/Å, where ``AT_ONCE`` triplets are wrong at once."""

    def text(self, first_line: str, symbol: str) -> str:
        """The file; LAMMPS reads ``UNITS:`` from its first line."""
        nothing = Spline(self.radial.x[[0, -1]], np.zeros(2), (0.0, 0.0))
        identity = Spline(np.array([-1.0, 1.0]), np.array([-1.0, 1.0]), (1.0, 1.0))
        splines = (nothing, nothing, identity, self.radial, self.angular)
        return meam_text(first_line, [symbol], splines)


def meam_text(first_line: str, species: Sequence[str], splines: Sequence[Spline]) -> str:
    """A ``meam/spline`` file from its splines."""
    head = f"# {first_line}\nmeam/spline {len(species)} {' '.join(species)}\n"
    return head + "".join(spline.text() for spline in splines)


def guard_text(species: Sequence[str]) -> str:
    """A file of nothing, of a style whose files LAMMPS reads in ``units metal`` only."""
    n, nothing = len(species), Spline(np.array([0.0, 1.0]), np.zeros(2), (0.0, 0.0))
    return meam_text("UNITS: metal", species, [nothing] * (n * (n + 1) + 3 * n))


def meam_files(function: TripletSum) -> list[MeamFile]:
    """A file for each product, as short as the promise of 5e-6 eV/Å allows, else the longest."""
    return [_file(function, n) for n in range(len(function.products))]


def _file(function: TripletSum, n: int) -> MeamFile:
    for knots in KNOTS:
        radial = _radial_spline(function, n, knots)
        angular = _angular_spline(function.products[n], knots)
        file = MeamFile(radial, angular, _predicted_error(function, n, radial, angular))
        if file.force_error < FORCE_ERROR:
            break
    return file


def _radial(function: TripletSum, n: int, r: Floats) -> Floats:
    """Radial factor times cutoff function and its slope, shape (2, X)."""
    values = function.radials(r).products[n]
    _refuse_infinite(values, r, "a radial factor of triplets is not finite at {:.4g} Å")
    return values


def _refuse_infinite(values: Floats, places: Floats, message: str) -> None:
    known = np.isfinite(values).all(axis=0)
    if not known.all():
        raise ValueError(message.format(places[np.argmin(known)]))


def _radial_spline(function: TripletSum, n: int, knots: int) -> Spline:
    start = function.clamp.r_lo - function.clamp.width  # the factor is constant below
    r = np.linspace(start, function.r_cut, knots)
    # The last point belongs to the function inside, whose value need not vanish at the cutoff.
    inside = np.minimum(r, np.nextafter(function.r_cut, 0.0))
    value, slope = _radial(function, n, inside)
    if function.cutoff.fade.smoothness >= SMOOTH:
        # LAMMPS reads past the end of a spline where rounding takes a distance for the last knot.
        return Spline(np.append(r, 2 * r[-1] - r[-2]), np.append(value, 0.0), (0.0, 0.0))
    return Spline(r, value, (0.0, float(slope[-1])))


def _angular_spline(product: Product, knots: int) -> Spline:
    c = np.linspace(-1, 1, knots)
    values = product.angular.to_third(c)
    message = "an angular factor of triplets is not finite at cosine {:.4g}"
    _refuse_infinite(values[:2], c, message)
    # One knot beyond each end, for rounding: p need not exist there, its Taylor polynomial does.
    step = c[1] - c[0]
    low, high = (
        np.polynomial.Polynomial(np.nan_to_num(values[:, end]) / np.array([1, 1, 2, 6]))
        for end in (0, -1)
    )
    return Spline(
        np.concatenate([[-1 - step], c, [1 + step]]),
        np.concatenate([[low(-step)], values[0], [high(step)]]),
        (float(low.deriv()(-step)), float(high.deriv()(step))),
    )


def _predicted_error(function: TripletSum, n: int, radial: Spline, angular: Spline) -> float:
    """Largest error of a force, in eV/Å."""
    inner = radial.x[radial.x < function.r_cut]
    r = np.concatenate([(1 - t) * inner[:-1] + t * inner[1:] for t in (0.2, 0.5, 0.8)])
    c = np.concatenate([(1 - t) * angular.x[1:-2] + t * angular.x[2:-1] for t in (0.2, 0.5, 0.8)])
    g, product = _radial(function, n, r), function.products[n]
    p = product.angular(c)
    (dg, dg_slope), (dp, dp_slope) = (
        np.abs(spline.derivatives(place) - exact).max(axis=1)
        for spline, place, exact in ((radial, r, g), (angular, c, p))
    )
    (g0, g1), (p0, p1) = np.abs(g).max(axis=1), np.abs(p).max(axis=1)
    along = dg_slope * g0 * p0 + g1 * (dg * p0 + g0 * dp)
    across = (2 * dg * g0 * p1 + g0 * g0 * dp_slope) / radial.x[0]
    return float(AT_ONCE * np.hypot(along, across))


class TripletWay(Way):
    """A table for the pairs, and something of LAMMPS's for the triplets."""

    computes = frozenset({PAIRS, TRIPLETS})

    def require(self, formula: Formula) -> None:
        """See ``Way``."""
        super().require(formula)
        if not formula.species_triplets:
            raise ValueError(
                f"style '{self.style}' is for three-body terms, and this formula has none: use "
                "style 'table'"
            )


class MeamWay(TripletWay):
    """A ``meam/spline`` for each product of the triplets."""

    style = "meam"
    says = "by `pair_style hybrid/overlay` of a table and one `meam/spline` for each product"

    def require(self, formula: Formula) -> None:
        """See ``Way``."""
        super().require(formula)
        if texts := ", ".join(tree.text(5) for tree, _ in triplets_of(formula).general):
            raise ValueError(
                f"style 'meam' is for products h(x1)*h(x2)*p(c); {texts} is none: use style "
                "'plugin'"
            )

    def make(self, formula: Formula, first_line: str) -> Route:
        """See ``Way``."""
        splines, (symbol,) = meam_files(triplets_of(formula)), formula.species
        files = {
            f"{symbol}-{n}.meam.spline": file.text(first_line, symbol)
            for n, file in enumerate(splines, 1)
        }
        record = Splines(
            knots=max(one.x.size for file in splines for one in (file.radial, file.angular)),
            predicted_forces_error=float(np.max([file.force_error for file in splines])),
            promise=FORCE_ERROR,
            within_promise=all(file.force_error < FORCE_ERROR for file in splines),
        )
        table = table_route(formula, first_line)
        route = overlay(self.style, "meam/spline", table, files, symbol)
        return replace(route, splines=record)


def triplets_of(formula: Formula) -> TripletSum:
    """The one sum over triplets of a formula."""
    (species,) = formula.species_triplets
    return formula.three_body_function(*species)
