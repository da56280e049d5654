"""Functions of one density as a file for ``pair_style eam/alloy`` or ``eam/fs`` (setfl).

The styles compute E = Σ_i F(ρ_i) + Σ_pairs φ(r), ρ_i = Σ_j g(r_ij), with an F for each species. In
``eam/alloy`` g is of the neighbour's species alone, in ``eam/fs`` of the centre's too. They
interpolate F over ρ, and g and r φ over r, by cubic polynomials between equally spaced points whose
slopes are differences of their neighbours; the same interpolation here predicts what it changes.

Several sums make one density where F depends on one weighted sum of them only. Of each centre it is
scaled so that all compressed crystals have about one density: all F share their points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from ase.build import bulk
from ase.data import atomic_masses, atomic_numbers

from symreg.arrays import Floats
from symreg.formula import Formula, FunctionOfSums
from symreg.lammps.records import Splines
from symreg.lammps.route import Route, Way, lines_of
from symreg.lammps.specimens import typical_distance
from symreg.structures.neighbours import find_pairs
from symreg.terms.kinds import kind_of
from symreg.terms.wall import Clamp

POINTS = (2000, 5000, 10_000, 20_000, 50_000)
"""Lengths of tables to choose from."""
FORCE_ERROR = 1e-6
"""Largest change of a force by the interpolation, in eV/Å."""
FORCE_LIMIT = 100.0
"""Where pairs push harder than this, in eV/Å, errors do not count."""
NEIGHBOURS = 4.0
"""As many neighbours are taken to be wrong by the largest error at once."""
COMPRESSED = 0.8
"""Neighbour distance, as a part of that in the crystal, up to which F is tabulated."""
MARGIN = 3
"""Points beyond the last that matters: LAMMPS has poor slopes at the ends."""
SAME = 1e-10
"""Relative difference below which two densities are one."""
SAMPLES, NEIGHBOURS_AT_ONCE = 64, 12
"""Atoms, and neighbours of each species around them, at which it is seen what F depends on."""
OTHERS = (
    "style 'eam' is for pairs and functions of one sum over neighbours; this formula has others: "
    "use style 'plugin'"
)


@dataclass(frozen=True)
class Table:
    """Values at 0, step, 2 step, ..., as LAMMPS interpolates between them."""

    step: float
    values: Floats
    """Shape (N,)."""

    @property
    def slopes(self) -> Floats:
        """Of each point, times ``step``."""
        f = self.values
        inner = (f[:-4] - f[4:] + 8 * (f[3:-1] - f[1:-3])) / 12
        first, last = (f[1] - f[0], 0.5 * (f[2] - f[0])), (0.5 * (f[-1] - f[-3]), f[-1] - f[-2])
        return np.concatenate([first, inner, last])

    def derivatives(self, x: Floats) -> Floats:
        """Value and slope that LAMMPS finds at ``x``, shape (2, X)."""
        f, s = self.values, self.slopes
        m = np.minimum((x / self.step).astype(np.int64), f.size - 2)
        p = np.minimum(x / self.step - m, 1.0)
        rise = f[m + 1] - f[m]
        a, b = 3 * rise - 2 * s[m] - s[m + 1], s[m] + s[m + 1] - 2 * rise
        value = f[m] + p * (s[m] + p * (a + p * b))
        return np.stack([value, (s[m] + p * (2 * a + p * 3 * b)) / self.step])

    def text(self) -> str:
        """Five values in a line."""
        rows = (self.values[n : n + 5] for n in range(0, self.values.size, 5))
        return "".join(" ".join(f"{value:.17g}" for value in row) + "\n" for row in rows)


@dataclass(frozen=True)
class Density:
    """The one density that an F depends on: sums over neighbours, weighted and scaled."""

    many_body: FunctionOfSums
    weights: Floats
    """Of its sums, one of them 1, shape (sums,)."""
    scale: float = 1.0

    def of(self, r: Floats, neighbour: str) -> Floats:
        """Density that a neighbour of a species adds at ``r`` in Å, and its slope, shape (2, P)."""
        parts = self.many_body.densities(r, neighbour)
        return np.asarray(self.scale * np.einsum("n,ndp->dp", self.weights, parts))

    def energy(self, rho: Floats) -> Floats:
        """F in eV and its slope at densities ``rho``, shape (2, P)."""
        sums = np.zeros((self.weights.size, rho.size))
        only = int(np.argmax(self.weights == 1.0))
        sums[only] = rho / self.scale
        found = self.many_body.energy(sums)
        return np.stack([found[0], found[1 + only] / self.scale])


@dataclass(frozen=True)
class EamFile:
    """All tables, and how far in eV/Å forces are predicted to be from the formula's."""

    species: tuple[str, ...]
    r_cut: float
    embeddings: Mapping[str, Table]
    """By centre."""
    densities: Mapping[tuple[str, str], Table]
    """By centre and neighbour."""
    pairs: Mapping[tuple[str, str], Table]
    """Distance times pair energy, in Å eV, by species in order of the alphabet."""
    force_error: float
    dimer_error: float
    """Of two atoms alone: where F is not smooth at 0, as a square root, it is large."""

    @property
    def within_promise(self) -> bool:
        """Whether both errors are known and small enough."""
        return self.force_error < FORCE_ERROR and self.dimer_error < FORCE_ERROR

    def common(self, neighbour: str) -> Table | None:
        """The one density of a neighbour around all centres with some; None if they differ."""
        tables = [self.densities[centre, neighbour] for centre in self.species]
        found = [table for table, one in zip(tables, self.species, strict=True) if self.has(one)]
        first = (found or tables)[0]
        size = np.abs(first.values).max(initial=0.0)
        alike = (np.abs(one.values - first.values).max() <= SAME * size for one in found)
        return first if all(alike) else None

    def has(self, centre: str) -> bool:
        """Whether a centre has an F."""
        return bool(self.embeddings[centre].values.any())

    @property
    def style(self) -> str:
        """``eam/alloy``, or ``eam/fs`` where densities depend on both species."""
        return "eam/alloy" if all(map(self.common, self.species)) else "eam/fs"

    def text(self, first_line: str) -> str:
        """The file; LAMMPS reads ``UNITS:`` from its first line."""
        embedding, density = self.embeddings[self.species[0]], next(iter(self.densities.values()))
        sizes = [embedding.values.size, embedding.step, density.values.size, density.step]
        text = f"# {first_line}\n# written by symreg\n# F, densities and r times pair energy\n"
        text += f"{len(self.species)} {' '.join(self.species)}\n"
        text += f"{' '.join(f'{value:.17g}' for value in [*sizes, self.r_cut])}\n"
        for symbol in self.species:
            number = atomic_numbers[symbol]
            text += f"{number} {atomic_masses[number]:g} 0 fcc\n{self.embeddings[symbol].text()}"
            common = self.common(symbol) if self.style == "eam/alloy" else None
            # In eam/fs: what this species adds around each other.
            around = [self.densities[centre, symbol] for centre in self.species]
            text += "".join(one.text() for one in (around if common is None else [common]))
        for n, one in enumerate(self.species):
            for other in self.species[: n + 1]:
                text += self.pairs[min(one, other), max(one, other)].text()
        return text


def eam_file(formula: Formula) -> EamFile:
    """The shortest file that keeps the promise of 1e-6 eV/Å for crystals, else the longest."""
    functions = _functions(formula)
    distances = _compressed(formula)
    densities, sizes = {}, {}
    for symbol, many_body in functions.items():
        density = _signed(_density_of(many_body))
        densities[symbol] = density
        # Neighbours of unlike sizes lie in shells of their own, which may all be filled.
        near = many_body.neighbours
        sizes[symbol] = sum(_largest_sum(density, b, distances[symbol, b]) for b in near)
    largest = max(sizes.values()) or 1.0
    for symbol, size in sizes.items():
        if size > 0:
            scale = densities[symbol].scale * largest / size
            densities[symbol] = replace(densities[symbol], scale=scale)
    for points in POINTS:
        file = _file(formula, densities, largest, points)
        if file.force_error < FORCE_ERROR:
            break
    return file


def _compressed(formula: Formula) -> dict[tuple[str, str], float]:
    """Distance in Å of each centre and neighbour in compressed crystals.

    Atoms of unlike sizes are apart as the beginnings of their domains are. With several elements no
    distance is beyond that beginning, since crystals of other compositions may be closer packed.
    """
    pairs = [(a, b) for a in formula.species for b in formula.species]
    begins = {pair: formula.lengths.begin(*pair) for pair in pairs}
    largest, distance = max(begins.values()), COMPRESSED * typical_distance(formula)
    if len(formula.species) == 1:
        return dict.fromkeys(pairs, distance)
    return {pair: min(begin, distance * begin / largest) for pair, begin in begins.items()}


def _functions(formula: Formula) -> dict[str, FunctionOfSums]:
    """The functions of sums of a formula, if they are of sums over neighbours alone."""
    if not formula.functions:
        raise ValueError("style 'eam' is for many-body terms, and this formula has none")
    every = [one for many_body in formula.functions.values() for one in many_body.arguments]
    pairs = bool(formula.sums) and all(key.is_pair for key in formula.sums)
    if {kind_of(one.over).neighbours for one in every} != {1} or not pairs:
        raise ValueError(OTHERS)
    return formula.functions


def _density_of(many_body: FunctionOfSums) -> Density:
    """The one density that F depends on; ``ValueError`` if there is none."""
    rng, near = np.random.default_rng(1), many_body.neighbours
    if len(many_body.sums) == 1:
        return Density(many_body, np.ones(1))
    clamps = {one.species[1]: one.clamp for one in many_body.sums}
    sums = np.zeros((len(many_body.sums), SAMPLES))
    for symbol in near:
        r = rng.uniform(clamps[symbol].r_lo, many_body.r_cut, (SAMPLES, NEIGHBOURS_AT_ONCE))
        found = many_body.densities(r.ravel(), symbol)[:, 0].reshape(len(sums), *r.shape)
        sums += (found * rng.uniform(0, 1, r.shape)).sum(axis=2)
    slopes = many_body.energy(sums)[1:]
    steepest = int(np.abs(slopes).sum(axis=1).argmax())
    known = np.abs(slopes[steepest]) > 0
    ratios = slopes[:, known] / slopes[steepest, known]
    if not known.any() or not np.ptp(ratios, axis=1).max() < SAME * np.abs(ratios).max():
        raise ValueError(OTHERS)
    weights = ratios.mean(axis=1)
    weights[steepest] = 1.0
    return Density(many_body, weights)


def _signed(density: Density) -> Density:
    """The density with the sign that makes it positive."""
    r = np.linspace(0.0, density.many_body.r_cut, 4000)[:-1]
    values = np.stack([density.of(r, near)[0] for near in density.many_body.neighbours])
    if values.min() < 0 < values.max():
        texts = ", ".join(summand.text(5) for summand in density.many_body.summands)
        raise ValueError(
            f"style 'eam' needs a sum over neighbours of one sign; that of {texts} changes: use "
            "style 'plugin'"
        )
    return replace(density, scale=-1.0 if values.min() < 0 else 1.0)


def _largest_sum(density: Density, neighbour: str, distance: float) -> float:
    """The sum of an atom of a close-packed crystal whose neighbours are at a distance in Å."""
    atoms = bulk("Cu", "fcc", a=np.sqrt(2) * distance)
    r_cut = density.many_body.r_cut
    pairs = find_pairs(atoms.positions, atoms.cell.array, atoms.pbc, r_cut)
    return float(density.of(pairs.r, neighbour)[0].sum())


def _file(
    formula: Formula, densities: Mapping[str, Density], largest: float, points: int
) -> EamFile:
    last, species = points - 1 - MARGIN, formula.species
    pairs = {pair: formula.pair_function(*pair) for pair in formula.every_pair}
    r_cut = max(
        *(pair.r_cut for pair in pairs.values()), *(d.many_body.r_cut for d in densities.values())
    )
    rho, r = (np.arange(points, dtype=float) / last * end for end in (largest, r_cut))
    zero = np.zeros(points)
    embeddings, around = dict.fromkeys(species, Table(rho[1], zero)), {}
    for symbol, density in densities.items():
        embeddings[symbol] = Table(rho[1], _embedding(density, rho, largest))
    for centre, near in product(species, repeat=2):
        found = densities[centre].of(r, near)[0] if centre in densities else zero
        around[centre, near] = Table(r[1], found)
    products = {pair: Table(r[1], r * function.energy(r)) for pair, function in pairs.items()}
    file = EamFile(species, r_cut, embeddings, around, products, np.nan, np.nan)
    errors = [
        _predicted_errors(formula, file, densities.get(centre), centre, near)
        for centre, near in product(species, repeat=2)
    ]
    force_error, dimer_error = np.max(errors, axis=0).tolist()
    return replace(file, force_error=force_error, dimer_error=dimer_error)


def _embedding(density: Density, rho: Floats, largest: float) -> Floats:
    """F at densities, shape (P,)."""
    found = density.energy(rho)[0]
    if not np.isfinite(found).all():
        at = rho[np.argmin(np.isfinite(found))] / density.scale
        raise ValueError(
            f"F is not finite for a sum of {at:.4g}, less than that of a compressed crystal, "
            f"{largest / density.scale:.4g}: use style 'plugin'"
        )
    return np.asarray(found)


def _predicted_errors(
    formula: Formula, file: EamFile, density: Density | None, centre: str, near: str
) -> tuple[float, float]:
    """Largest error of a force in eV/Å by these neighbours: in crystals, and in a dimer."""
    pair, table = formula.pair_function(centre, near), file.densities[centre, near]
    of_r = file.pairs[min(centre, near), max(centre, near)]
    between = np.arange(table.values.size - 1 - MARGIN) + np.array([[0.2], [0.5], [0.8]])
    r = table.step * between.ravel()
    exact, slope = pair.energy(r), pair.slope(r)
    weak = (np.abs(slope) < FORCE_LIMIT) & (r > Clamp(pair.r_lo).floor)
    r, exact, slope = r[weak], exact[weak], slope[weak]
    value, steep = of_r.derivatives(r)
    of_pairs = np.abs((steep - value / r) / r - slope)
    if density is None:
        return float(NEIGHBOURS * of_pairs.max()), float(of_pairs.max())
    embedding = file.embeddings[centre]
    g, g_slope = density.of(r, near)
    found, found_slope = table.derivatives(r)
    # A dimer: its density passes all values down to zero, where F need not be smooth.
    by_sum = density.energy(g)[1]
    pull = embedding.derivatives(found)[1] * found_slope
    dimer = 2 * np.abs(pull - _felt(by_sum, g_slope))
    rho = embedding.step * between.ravel()
    rho = rho[rho > min(g.max(), 0.1 * rho.max())]
    change = density.energy(rho)[1]
    of_embedding = np.abs(embedding.derivatives(rho)[1] - change).max()
    of_density = np.abs(change).max() * np.abs(found_slope - g_slope)
    crowd = of_pairs + 2 * (of_embedding * np.abs(g_slope) + of_density)
    return float(NEIGHBOURS * crowd.max()), float((of_pairs + dimer).max())


def _felt(by_sum: Floats, slope: Floats) -> Floats:
    """Their product: a sum that does not change is not felt, however steep F is there."""
    return np.multiply(by_sum, slope, out=np.zeros_like(slope), where=slope != 0)


class EamWay(Way):
    """``eam/alloy`` or ``eam/fs``, for functions of one density."""

    style = "eam"
    says = (
        "by `pair_style eam/alloy`, or `eam/fs` where what a neighbour adds depends on both "
        "species, from tables"
    )

    def require(self, formula: Formula) -> None:
        """See ``Way``."""
        eam_file(formula)

    def make(self, formula: Formula, first_line: str) -> Route:
        """See ``Way``."""
        file, species = eam_file(formula), formula.species
        keeps = file.within_promise
        name = f"{'-'.join(species)}.{file.style.replace('/', '.')}"
        embedding = file.embeddings[species[0]]
        record = Splines(
            knots=embedding.values.size,
            predicted_forces_error=file.force_error,
            predicted_dimer_error=file.dimer_error,
            largest_sum=float(embedding.step * (embedding.values.size - 1)),
            promise=FORCE_ERROR,
            within_promise=keeps,
        )
        lines = [f"pair_style {file.style}", f"pair_coeff * * {name} {' '.join(species)}"]
        files = {name: file.text(first_line)}
        return Route(self.style, lines_of(lines), files, 0.0, splines=record, keeps_promise=keeps)
