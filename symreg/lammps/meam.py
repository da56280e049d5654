"""Products h1(x1) h2(x2) p(c) as files for ``pair_style meam/spline``.

The style computes E = Σ_i U_i(n_i), n_i = Σ_{j<k} f_j(r_ij) f_k(r_ik) g_jk(cos θ), from cubic
splines: U is of the centre's species, f of a neighbour's, g of those of both. With U(n) = n for
one centre, 0 for others, and neither pair energy nor pair density, f and g are the factors of one
product for each two species of neighbours. Products of one centre share a file where those of one
neighbour's species have one radial factor, and where LAMMPS finds each g, see ``place_of``.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from symreg.arrays import Floats
from symreg.formula import Formula, TripletSum
from symreg.formula.sums.triplets import Product
from symreg.lammps.records import Splines
from symreg.lammps.route import Route, Way
from symreg.lammps.table import clamped_spline, overlay, table_route

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


Factor = tuple[TripletSum, int, int]
"""A sum, the number of one of its products, and 0 or 1: the radial factor of which neighbour."""


@dataclass
class Layer:
    """Products of one centre that one file can hold."""

    centre: str
    species: tuple[str, ...]
    """Of the atom types."""
    radials: dict[str, Factor] = field(default_factory=dict)
    """By the species of the neighbour."""
    angulars: dict[tuple[str, str], tuple[TripletSum, int]] = field(default_factory=dict)
    """Sums with the number of a product, by the species of both neighbours."""

    def take(self, function: TripletSum, n: int) -> bool:
        """Add a product if it fits in; whether it did."""
        centre, *near = function.species
        both = (near[0], near[1])
        factors: list[Factor] = [(function, n, 0), (function, n, 1)]
        fits = centre == self.centre and both not in self.angulars
        for symbol, factor in zip(near, factors, strict=True):
            there = self.radials.get(symbol, factor)
            fits = fits and _is_same(there, factor)
        if near[0] == near[1]:
            fits = fits and _is_same(*factors)
        # What is cut off sharply must end where the file's cutoff radius is.
        fits = fits and all(one.r_cut == function.r_cut for one, _, _ in self.radials.values())
        radials = {**self.radials, **dict(zip(near, factors, strict=True))}
        angulars = {**self.angulars, both: (function, n)}
        if not fits or places(self.species, [*radials], [*angulars]) is None:
            return False
        self.radials, self.angulars = radials, angulars
        return True


def _is_same(one: Factor, other: Factor) -> bool:
    """Whether two radial factors are one function of the distance."""
    f, g = (function.products[n].radials[k] for function, n, k in (one, other))
    same = f is g or [tree for tree, _ in f.parts] == [tree for tree, _ in g.parts]
    first, second = (function.clamps[k] for function, _, k in (one, other))
    lengths = (f.r0, f.cutoff) == (g.r0, g.cutoff)
    return same and lengths and first == second


def place_of(j: int, k: int, n: int) -> int:
    """Where LAMMPS looks for the g of neighbours of types ``j`` and ``k`` of ``n``, from 0.

    From three types on it may look elsewhere for k and j, which come in any order.

    >>> place_of(0, 1, 2), place_of(1, 0, 2), place_of(0, 1, 3), place_of(1, 0, 3)
    (1, 1, 1, 2)
    """
    return k + j * n - j * (j + 1) // 2


def places(
    species: Sequence[str], felt: Sequence[str], angulars: Sequence[tuple[str, str]]
) -> dict[int, tuple[str, str]] | None:
    """Which g has to stand at which place if some species are ``felt``; None if two collide.

    Neighbours of other species have no f, so their g do not matter.
    """
    found: dict[int, tuple[str, str]] = {}
    for one, other in itertools.product(felt, repeat=2):
        at = place_of(species.index(one), species.index(other), len(species))
        both = (min(one, other), max(one, other))
        there = found.setdefault(at, both)
        if there != both and {there, both} & {*angulars}:
            return None
    return {at: both for at, both in found.items() if both in angulars}


def layers_of(formula: Formula) -> list[Layer]:
    """All products of a formula, in as few files as their radial factors allow."""
    layers: list[Layer] = []
    for species in formula.species_triplets:
        function = formula.three_body_function(*species)
        for n in range(len(function.products)):
            if not any(layer.take(function, n) for layer in layers):
                layers.append(Layer(species[0], formula.species))
                taken = layers[-1].take(function, n)
                assert taken
    return layers


@dataclass(frozen=True)
class MeamFile:
    """Products of one centre as splines, and how far they are from these."""

    centre: str
    radials: Mapping[str, Spline]
    """By the species of the neighbour."""
    angulars: Mapping[tuple[str, str], Spline]
    """By those of both neighbours, in order of the alphabet."""
    force_error: float
    """Predicted, in eV/Å, where ``AT_ONCE`` triplets are wrong at once."""

    @property
    def knots(self) -> int:
        """Of the longest spline."""
        return max(one.x.size for one in (*self.radials.values(), *self.angulars.values()))

    def text(self, first_line: str, species: Sequence[str]) -> str:
        """The file for these species; LAMMPS reads ``UNITS:`` from its first line."""
        pairs = [*itertools.combinations_with_replacement(species, 2)]
        ends = next(iter(self.radials.values())).x[[0, -1]]
        nothing = Spline(ends, np.zeros(2), (0.0, 0.0))
        flat = Spline(np.array([-1.0, 1.0]), np.zeros(2), (0.0, 0.0))
        identity = Spline(np.array([-1.0, 1.0]), np.array([-1.0, 1.0]), (1.0, 1.0))
        splines = [nothing] * (len(pairs) + len(species))
        splines += [identity if symbol == self.centre else flat for symbol in species]
        splines += [self.radials.get(symbol, nothing) for symbol in species]
        there = places(species, [*self.radials], [*self.angulars])
        assert there is not None
        splines += [self.angulars[there[n]] if n in there else flat for n in range(len(pairs))]
        return meam_text(first_line, species, splines)


def meam_text(first_line: str, species: Sequence[str], splines: Sequence[Spline]) -> str:
    """A ``meam/spline`` file from its splines."""
    head = f"# {first_line}\nmeam/spline {len(species)} {' '.join(species)}\n"
    return head + "".join(spline.text() for spline in splines)


def guard_text(species: Sequence[str]) -> str:
    """A file of nothing, of a style whose files LAMMPS reads in ``units metal`` only."""
    n, nothing = len(species), Spline(np.array([0.0, 1.0]), np.zeros(2), (0.0, 0.0))
    return meam_text("UNITS: metal", species, [nothing] * (n * (n + 1) + 3 * n))


def meam_files(formula: Formula) -> list[MeamFile]:
    """Files as short as the promise of 5e-6 eV/Å allows, else the longest."""
    return [_file(layer) for layer in layers_of(formula)]


def _file(layer: Layer) -> MeamFile:
    for knots in KNOTS:
        radials = {name: _radial_spline(one, knots) for name, one in layer.radials.items()}
        angulars = {
            near: _angular_spline(function.products[n], knots)
            for near, (function, n) in layer.angulars.items()
        }
        error = max(
            _predicted_error(function, n, [radials[name] for name in near], angulars[near])
            for near, (function, n) in layer.angulars.items()
        )
        file = MeamFile(layer.centre, radials, angulars, error)
        if file.force_error < FORCE_ERROR:
            break
    return file


def _radial(factor: Factor, r: Floats) -> Floats:
    """Radial factor times cutoff function and its slope, shape (2, X)."""
    function, n, neighbour = factor
    values = function.radials_of(neighbour, r).products[n]
    _refuse_infinite(values, r, "a radial factor of triplets is not finite at {:.4g} Å")
    return values


def _refuse_infinite(values: Floats, places: Floats, message: str) -> None:
    known = np.isfinite(values).all(axis=0)
    if not known.all():
        raise ValueError(message.format(places[np.argmin(known)]))


def _radial_spline(factor: Factor, knots: int) -> Spline:
    function, _, neighbour = factor
    clamp = function.clamps[neighbour]
    start = clamp.r_lo - clamp.width  # the factor is constant below
    r = np.linspace(start, function.r_cut, knots)
    # The last point belongs to the function inside, whose value need not vanish at the cutoff.
    inside = np.minimum(r, np.nextafter(function.r_cut, 0.0))
    value, slope = _radial(factor, inside)
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


def _predicted_error(
    function: TripletSum, n: int, radials: Sequence[Spline], angular: Spline
) -> float:
    """Largest error of a force, in eV/Å."""
    (g, g_slope), (dg, dg_slope) = np.transpose(
        [_radial_errors((function, n, k), spline) for k, spline in enumerate(radials)], (1, 2, 0)
    )
    c = np.concatenate([(1 - t) * angular.x[1:-2] + t * angular.x[2:-1] for t in (0.2, 0.5, 0.8)])
    p = function.products[n].angular(c)
    dp, dp_slope = np.abs(angular.derivatives(c) - p).max(axis=1)
    p0, p1 = np.abs(p).max(axis=1)
    found = []
    for one, other in ((0, 1), (1, 0)):
        along = dg_slope[one] * g[other] * p0
        along += g_slope[one] * (dg[other] * p0 + g[other] * dp)
        across = ((dg[0] * g[1] + g[0] * dg[1]) * p1 + g[0] * g[1] * dp_slope) / radials[one].x[0]
        found.append(float(AT_ONCE * np.hypot(along, across)))
    return max(found)


def _radial_errors(factor: Factor, spline: Spline) -> Floats:
    """Largest value and slope of a radial factor, and largest errors of both, shape (2, 2)."""
    inner = spline.x[spline.x < factor[0].r_cut]
    r = np.concatenate([(1 - t) * inner[:-1] + t * inner[1:] for t in (0.2, 0.5, 0.8)])
    exact = _radial(factor, r)
    return np.asarray(np.abs([exact, spline.derivatives(r) - exact]).max(axis=2))


class TripletWay(Way):
    """A table for the pairs, and something of LAMMPS's for the triplets."""

    computes_triplets = True

    def require(self, formula: Formula) -> None:
        """See ``Way``."""
        super().require(formula)
        if not formula.species_triplets:
            raise ValueError(
                f"style '{self.style}' is for three-body terms, and this formula has none: use "
                "style 'table'"
            )


class MeamWay(TripletWay):
    """A ``meam/spline`` for the products of the triplets of each centre."""

    style = "meam"
    one_type_each = True
    says = (
        "by `pair_style hybrid/overlay` of a table and one `meam/spline` for each product, or for "
        "those of one centre whose radial factors are one for each species of neighbours"
    )

    def require(self, formula: Formula) -> None:
        """See ``Way``."""
        super().require(formula)
        general = [tree for one in triplets_of(formula) for tree, _ in one.general]
        if texts := ", ".join(tree.text(5) for tree in general):
            raise ValueError(
                f"style 'meam' is for products h(x1)*h(x2)*p(c); {texts} is none: use style "
                "'plugin'"
            )

    def make(self, formula: Formula, first_line: str) -> Route:
        """See ``Way``."""
        splines, species = meam_files(formula), formula.species
        files = {
            f"{'-'.join(species)}-{n}.meam.spline": file.text(first_line, species)
            for n, file in enumerate(splines, 1)
        }
        record = Splines(
            knots=max(file.knots for file in splines),
            predicted_forces_error=float(np.max([file.force_error for file in splines])),
            promise=FORCE_ERROR,
            within_promise=all(file.force_error < FORCE_ERROR for file in splines),
        )
        table = table_route(formula, first_line)
        route = overlay(self.style, "meam/spline", table, files, species)
        return replace(route, splines=record)


def triplets_of(formula: Formula) -> list[TripletSum]:
    """All sums over triplets of a formula that stand alone."""
    return [formula.three_body_function(*species) for species in formula.species_triplets]
