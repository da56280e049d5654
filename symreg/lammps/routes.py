"""The ways to give a formula to LAMMPS: their commands and files."""

from __future__ import annotations

import difflib
from itertools import combinations_with_replacement

from symreg.formula import Formula
from symreg.lammps.lepton import lepton_string
from symreg.lammps.native import native_coefficients
from symreg.lammps.roundtrip import Route
from symreg.lammps.table import TableFile, choose_tables

STYLES = ("auto", "table", "lepton", "native")
"""What ``export`` can be asked for."""


def make_routes(
    formula: Formula, style: str, first_line: str
) -> tuple[list[Route], TableFile | None]:
    """The routes of a style, the recommended one first, and the table if there is one.

    Raises
    ------
    ValueError
        If the style is unknown or cannot express the formula.
    """
    if style not in STYLES:
        close = difflib.get_close_matches(style, STYLES, 1)
        hint = f"; did you mean '{close[0]}'?" if close else ""
        raise ValueError(f"LAMMPS style is '{style}'; it must be one of {', '.join(STYLES)}{hint}")
    if style == "native":
        return [native_route(formula)], None
    if style == "lepton":
        return [lepton_route(formula)], None
    route, tables = table_route(formula, first_line)
    return [route, lepton_route(formula)] if style == "auto" else [route], tables


def type_pairs(formula: Formula) -> list[tuple[int, int, str, str]]:
    """Atom types i <= j with their species; type 1 is the first species."""
    numbered = list(enumerate(formula.species, 1))
    return [(i, j, a, b) for (i, a), (j, b) in combinations_with_replacement(numbered, 2)]


def table_route(formula: Formula, first_line: str) -> tuple[Route, TableFile]:
    """``pair_style table`` with splines."""
    pairs = type_pairs(formula)
    tables = choose_tables({f"{a}_{b}": formula.pair_function(a, b) for _, _, a, b in pairs})
    name = f"{'-'.join(formula.species)}.table"
    lines = [f"pair_style table spline {tables.points}"]
    lines += [f"pair_coeff {i} {j} {name} {a}_{b} {formula.r_cut!r}" for i, j, a, b in pairs]
    r_min = float(tables.tables[0].r[0])
    return Route("table", _commands(lines), {name: tables.text(first_line)}, r_min), tables


def lepton_route(formula: Formula) -> Route:
    """``pair_style lepton`` with the formula itself."""
    lines = [f"pair_style lepton {formula.r_cut!r}"]
    lines += [
        f'pair_coeff {i} {j} "{lepton_string(formula, a, b)}"' for i, j, a, b in type_pairs(formula)
    ]
    return Route("lepton", _commands(lines), {}, 0.0)


def native_route(formula: Formula) -> Route:
    """The style of LAMMPS's own that is exactly the formula; it has no wall below ``r_lo``."""
    style, coefficients = native_coefficients(formula)
    lines = [f"pair_style {style} {formula.r_cut!r}"]
    for i, j, a, b in type_pairs(formula):
        values = " ".join(f"{value:.16g}" for value in coefficients[min(a, b), max(a, b)])
        lines.append(f"pair_coeff {i} {j} {values}")
    return Route("native", _commands([*lines, "pair_modify shift no"]), {}, formula.r_lo)


def _commands(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"
