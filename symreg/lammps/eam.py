"""One sum over neighbours as a file for ``pair_style eam/alloy`` (setfl).

The style computes E = Σ_i F(ρ_i) + Σ_pairs φ(r), ρ_i = Σ_j g(r_ij). It interpolates F over ρ, and g
and r φ over r, by cubic polynomials between equally spaced points whose slopes are differences of
their neighbours; the same interpolation here predicts what it changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase.build import bulk
from ase.data import atomic_masses, atomic_numbers

from symreg.arrays import Floats
from symreg.formula import Formula, FunctionOfSums, PairSum
from symreg.lammps.records import Splines
from symreg.lammps.route import Route, Way, lines_of
from symreg.lammps.specimens import typical_distance
from symreg.structures.neighbours import find_pairs
from symreg.terms.kinds import FUNCTION, PAIRS, kind_of

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
class EamFile:
    """All three tables, and how far in eV/Å forces are predicted to be from the formula's."""

    symbol: str
    r_cut: float
    embedding: Table
    density: Table
    pair: Table
    """Distance times pair energy, in Å eV."""
    force_error: float
    dimer_error: float
    """Of two atoms alone: where F is not smooth at 0, as a square root, it is large."""

    @property
    def within_promise(self) -> bool:
        """Whether both errors are known and small enough."""
        return self.force_error < FORCE_ERROR and self.dimer_error < FORCE_ERROR

    def text(self, first_line: str) -> str:
        """The file; LAMMPS reads ``UNITS:`` from its first line."""
        number = atomic_numbers[self.symbol]
        sizes = [self.embedding.values.size, self.embedding.step]
        sizes += [self.density.values.size, self.density.step, self.r_cut]
        head = f"# {first_line}\n# written by symreg\n# F, density and r times pair energy\n"
        head += f"1 {self.symbol}\n{' '.join(f'{value:.17g}' for value in sizes)}\n"
        head += f"{number} {atomic_masses[number]:g} 0 fcc\n"
        return head + self.embedding.text() + self.density.text() + self.pair.text()


def eam_file(formula: Formula) -> EamFile:
    """The shortest file that keeps the promise of 1e-6 eV/Å for crystals, else the longest."""
    many_body = _one_sum(formula)
    pair = formula.pair_function(many_body.species, many_body.species)
    sign = _sign(many_body)
    largest = _largest_sum(many_body, COMPRESSED * typical_distance(formula))
    for points in POINTS:
        file = _file(many_body, pair, sign, largest, points)
        if file.force_error < FORCE_ERROR:
            break
    return file


def _one_sum(formula: Formula) -> FunctionOfSums:
    """The function of sums of a formula, if it is one of a single sum over neighbours."""
    found = formula.many_body
    if found is None:
        raise ValueError("style 'eam' is for many-body terms, and this formula has none")
    single = [kind_of(one.over).neighbours for one in found.arguments] == [1]
    if not single or formula.kinds != {PAIRS, FUNCTION}:
        raise ValueError(
            "style 'eam' is for pairs and functions of one sum over neighbours; this formula has "
            "others: use style 'plugin'"
        )
    return found


def _sign(many_body: FunctionOfSums) -> float:
    """That of all sums."""
    r = np.linspace(0.0, many_body.r_cut, 4000)[:-1]
    values = many_body.densities(r)[0, 0]
    if values.min() < 0 < values.max():
        raise ValueError(
            "style 'eam' needs a sum over neighbours of one sign; that of "
            f"{many_body.summands[0].text(5)} changes: use style 'plugin'"
        )
    return -1.0 if values.min() < 0 else 1.0


def _largest_sum(many_body: FunctionOfSums, distance: float) -> float:
    """The sum of an atom of a close-packed crystal whose neighbours are at a distance in Å."""
    atoms = bulk("Cu", "fcc", a=np.sqrt(2) * distance)
    pairs = find_pairs(atoms.positions, atoms.cell.array, atoms.pbc, many_body.r_cut)
    return float(np.abs(many_body.densities(pairs.r)[0, 0]).sum())


def _file(
    many_body: FunctionOfSums, pair: PairSum, sign: float, largest: float, points: int
) -> EamFile:
    last = points - 1 - MARGIN
    rho, r = (np.arange(points, dtype=float) / last * end for end in (largest, pair.r_cut))
    embedding = many_body.energy(sign * rho[None, :])[0]
    if not np.isfinite(embedding).all():
        at = sign * rho[np.argmin(np.isfinite(embedding))]
        raise ValueError(
            f"F is not finite for a sum of {at:.4g}, less than that of a compressed crystal, "
            f"{sign * largest:.4g}: use style 'plugin'"
        )
    tables = (
        Table(rho[1], embedding),
        Table(r[1], sign * many_body.densities(r)[0, 0]),
        Table(r[1], r * pair.energy(r)),
    )
    errors = _predicted_errors(many_body, pair, sign, tables)
    return EamFile(many_body.species, pair.r_cut, *tables, *errors)


def _predicted_errors(
    many_body: FunctionOfSums, pair: PairSum, sign: float, tables: tuple[Table, ...]
) -> tuple[float, float]:
    """Largest error of a force in eV/Å: in crystals, and in a dimer."""
    embedding, density, product = tables
    between = np.arange(density.values.size - 1 - MARGIN) + np.array([[0.2], [0.5], [0.8]])
    r = density.step * between.ravel()
    exact, slope = pair.energy(r), pair.slope(r)
    weak = (np.abs(slope) < FORCE_LIMIT) & (r > many_body.clamp.floor)
    r, exact, slope = r[weak], exact[weak], slope[weak]
    value, steep = product.derivatives(r)
    of_pairs = np.abs((steep - value / r) / r - slope)
    g, g_slope = sign * many_body.densities(r)[0]
    found, found_slope = density.derivatives(r)
    # A dimer: its density passes all values down to zero, where F need not be smooth.
    by_sum = sign * many_body.energy(sign * g[None, :])[1]
    pull = embedding.derivatives(found)[1] * found_slope
    dimer = 2 * np.abs(pull - _felt(by_sum, g_slope))
    rho = embedding.step * between.ravel()
    rho = rho[rho > min(g.max(), 0.1 * rho.max())]
    change = sign * many_body.energy(sign * rho[None, :])[1]
    of_embedding = np.abs(embedding.derivatives(rho)[1] - change).max()
    of_density = np.abs(change).max() * np.abs(found_slope - g_slope)
    crowd = of_pairs + 2 * (of_embedding * np.abs(g_slope) + of_density)
    return float(NEIGHBOURS * crowd.max()), float((of_pairs + dimer).max())


def _felt(by_sum: Floats, slope: Floats) -> Floats:
    """Their product: a sum that does not change is not felt, however steep F is there."""
    return np.multiply(by_sum, slope, out=np.zeros_like(slope), where=slope != 0)


class EamWay(Way):
    """``eam/alloy``, for one sum over neighbours."""

    style = "eam"
    says = "by `pair_style eam/alloy`, from tables"

    def require(self, formula: Formula) -> None:
        """See ``Way``."""
        eam_file(formula)

    def make(self, formula: Formula, first_line: str) -> Route:
        """See ``Way``."""
        file = eam_file(formula)
        name, keeps = f"{file.symbol}.eam.alloy", file.within_promise
        record = Splines(
            knots=file.density.values.size,
            predicted_forces_error=file.force_error,
            predicted_dimer_error=file.dimer_error,
            largest_sum=float(file.embedding.step * (file.embedding.values.size - 1)),
            promise=FORCE_ERROR,
            within_promise=keeps,
        )
        commands = lines_of(["pair_style eam/alloy", f"pair_coeff * * {name} {file.symbol}"])
        files = {name: file.text(first_line)}
        return Route(self.style, commands, files, 0.0, splines=record, keeps_promise=keeps)
