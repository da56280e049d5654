"""Files for ``pair_style table``, and how far LAMMPS's interpolation in them is from the formula.

LAMMPS splines energy and force/r over r^2, clamped at both ends by the true slopes. A file whose
points are equally spaced in r^2 (``RSQ``), as many as LAMMPS is asked for, reaches these splines
unchanged, so the same splines built here predict every interpolated value to the last digits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline

from symreg.arrays import Floats
from symreg.formula import Formula, PairSum
from symreg.lammps.records import Tabulated
from symreg.lammps.route import Route, Way, lines_of, type_pairs

R_MIN = 0.2
"""Where tables begin, in Å; closer atoms stop LAMMPS."""
POINTS = (1000, 2000, 5000, 10_000, 20_000, 50_000)
"""Table lengths to choose from."""
FORCE_ERROR = 1e-6
"""Largest change of a force by the interpolation, in eV/Å, ..."""
FORCE_LIMIT = 100.0
"""... where the force is weaker than this, in eV/Å."""
LARGEST = 1e15
"""Energies (eV) and forces (eV/Å) beyond this are left out: the table begins further out."""


@dataclass(frozen=True)
class PairTable:
    """Energy and force of one pair of species at distances equally spaced in r^2."""

    name: str
    """Keyword of the section in the file."""
    r: Floats
    """Distances in Å, shape (N,)."""
    energy: Floats
    """In eV, shape (N,)."""
    force: Floats
    """-du/dr in eV/Å, shape (N,)."""
    force_slope: tuple[float, float]
    """dF/dr at the first and last point in eV/Å^2, LAMMPS's ``FPRIME``."""

    def interpolate(self, r: Floats) -> tuple[Floats, Floats]:
        """Energies in eV and forces in eV/Å that LAMMPS finds at distances ``r`` in Å."""
        knots, ends = self.r**2, [0, -1]
        r_ends, f_ends = self.r[ends], self.force[ends]
        energy_ends = -f_ends / (2 * r_ends)
        force_ends = (np.array(self.force_slope) - f_ends / r_ends) / (2 * r_ends**2)
        energy = clamped_spline(knots, self.energy, energy_ends)
        force = clamped_spline(knots, self.force / self.r, force_ends)
        return energy(r * r), force(r * r) * r

    def text(self) -> str:
        """The section of a table file."""
        first, last = self.force_slope
        header = (
            f"{self.name}\n"
            f"N {self.r.size} RSQ {self.r[0]:.16g} {self.r[-1]:.16g} "
            f"FPRIME {first:.16g} {last:.16g}\n\n"
        )
        rows = zip(self.r, self.energy, self.force, strict=True)
        return header + "".join(
            f"{n} {r:.16g} {energy:.16g} {force:.16g}\n"
            for n, (r, energy, force) in enumerate(rows, 1)
        )


def clamped_spline(x: Floats, y: Floats, slopes: Sequence[float] | Floats) -> CubicSpline[Any]:
    """A cubic spline with these slopes at both ends."""
    first, last = np.array(slopes)
    return CubicSpline(x, y, bc_type=((1, first), (1, last)))


def tabulate(function: PairSum, name: str, points: int, r_min: float) -> PairTable:
    """One pair function from ``r_min`` (Å) to its cutoff.

    ``ValueError`` if a value is not finite: one such number would poison all of LAMMPS's table.
    """
    r = np.sqrt(np.linspace(r_min**2, function.r_cut**2, points))
    # The last point belongs to the function inside, whose value need not vanish at the cutoff.
    inside = np.minimum(r, np.nextafter(function.r_cut, 0.0))
    energy, force = function.energy(inside), -function.slope(inside)
    first, last = -function.curvature(inside[[0, -1]])
    table = PairTable(name, r, energy, force, (float(first), float(last)))
    bad = ~(np.isfinite(energy) & np.isfinite(force))
    if bad.any() or not np.isfinite(table.force_slope).all():
        at = r[np.argmax(bad)] if bad.any() else r[0]
        raise ValueError(f"the formula for {name} is not finite at {at:.4g} Å; no table is written")
    return table


def start_of_table(functions: Iterable[PairSum]) -> float:
    """The least distance in Å, from 0.2 Å up, at which all functions are of storable size."""
    r = R_MIN
    for function in functions:
        grid = np.linspace(R_MIN, max(function.r_lo, R_MIN), 200)
        size = np.maximum(np.abs(function.energy(grid)), np.abs(function.slope(grid)))
        small = np.maximum(size, np.abs(function.curvature(grid))) < LARGEST
        if small.any():
            r = max(r, float(grid[np.argmax(small)]))
    return r


def predicted_error(function: PairSum, table: PairTable) -> tuple[float, float]:
    """Largest error of interpolation where forces are weak: energy in eV, force in eV/Å."""
    r = np.concatenate([(1 - t) * table.r[:-1] + t * table.r[1:] for t in (0.2, 0.5, 0.8)])
    energy, force = table.interpolate(r)
    exact = -function.slope(r)
    weak = np.abs(exact) < FORCE_LIMIT
    if not weak.any():
        return 0.0, 0.0
    energy_error = np.abs(energy - function.energy(r))[weak].max()
    return float(energy_error), float(np.abs(force - exact)[weak].max())


def tables_of(formula: Formula, domain: bool = False) -> tuple[list[PairTable], Tabulated]:
    """The shortest tables that keep the promise of 1e-6 eV/Å for all pairs, else the longest.

    They begin where the ``domain`` of each pair does if so, else as near as numbers can be stored.
    """
    pairs = type_pairs(formula)
    functions = {f"{a}_{b}": formula.pair_function(a, b) for _, _, a, b in pairs}
    near = start_of_table(functions.values())
    for points in POINTS:
        tables = [
            tabulate(f, name, points, f.r_lo if domain else near) for name, f in functions.items()
        ]
        errors = list(map(predicted_error, functions.values(), tables))
        energy, force = np.max(errors, axis=0).tolist()
        if force < FORCE_ERROR:
            break
    start = min(float(table.r[0]) for table in tables)
    return tables, Tabulated(points, start, energy, force, force < FORCE_ERROR)


def table_route(formula: Formula, first_line: str, domain: bool = False) -> Route:
    """``pair_style table`` with splines, for the pair terms of any formula; see ``tables_of``."""
    tables, record = tables_of(formula, domain)
    name = f"{'-'.join(formula.species)}{'-domain' if domain else ''}.table"
    lines = [f"pair_style table spline {record.points}"]
    for i, j, a, b in type_pairs(formula):
        r_cut = formula.pair_function(a, b).r_cut
        lines.append(f"pair_coeff {i} {j} {name} {a}_{b} {r_cut!r}")
    text = f"# {first_line}\n\n" + "\n".join(table.text() for table in tables)
    return Route("table", lines_of(lines), {name: text}, record.r_min, table=record)


def overlay(
    name: str, style: str, table: Route, files: dict[str, str], species: Sequence[str]
) -> Route:
    """A table and several of one style on top of each other, for these atom types."""
    first, *coefficients = table.commands.splitlines()
    styles = " ".join(
        [first.replace("pair_style", "pair_style hybrid/overlay"), *[style] * len(files)]
    )
    words = (line.split() for line in coefficients)
    lines = [styles, *(" ".join([*one[:3], "table", *one[3:]]) for one in words)]
    for n, file in enumerate(files, 1):
        number = f"{n} " if len(files) > 1 else ""
        lines.append(f"pair_coeff * * {style} {number}{file} {' '.join(species)}")
    return replace(table, style=name, commands=lines_of(lines), files={**table.files, **files})


class TableWay(Way):
    """Pairs as a table."""

    style = "table"

    def make(self, formula: Formula, first_line: str) -> Route:
        """See ``Way``."""
        return table_route(formula, first_line)
