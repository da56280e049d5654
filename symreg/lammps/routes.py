"""The ways to give a formula to LAMMPS: their commands and files."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import combinations_with_replacement

import numpy as np

from symreg.formula import Formula, ThreeBodyFunction
from symreg.lammps.eam import FORCE_ERROR as EAM_ERROR
from symreg.lammps.eam import eam_file
from symreg.lammps.lepton import lepton_string
from symreg.lammps.meam import FORCE_ERROR, meam_files
from symreg.lammps.native import native_coefficients
from symreg.lammps.plugin import plugin_commands, plugin_files
from symreg.lammps.roundtrip import Route
from symreg.lammps.stillinger import stillinger_angles, stillinger_file
from symreg.lammps.table import TableFile, choose_tables

PAIR_STYLES = ("table", "lepton", "native", "plugin")
"""Routes of formulas of pairs."""
THREE_BODY_STYLES = ("meam", "sw", "plugin")
"""Routes of formulas with three-body terms."""
MANY_BODY_STYLES = ("eam", "plugin")
"""Routes of formulas with many-body terms."""
STYLES = ("auto", "table", "lepton", "native", "meam", "sw", "eam", "plugin")
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
    if style == "plugin":
        return [plugin_route(formula)], None
    if formula.many_body is not None:
        return _many_body_routes(formula, style, first_line), None
    if style == "eam":
        raise ValueError("style 'eam' is for many-body terms, and this formula has none")
    if formula.species_triplets:
        return _three_body_routes(formula, style, first_line)
    if style in THREE_BODY_STYLES:
        raise ValueError(
            f"style '{style}' is for three-body terms, and this formula has none: use style 'table'"
        )
    if style == "native":
        return [native_route(formula)], None
    if style == "lepton":
        return [lepton_route(formula)], None
    route, tables = table_route(formula, first_line)
    return [route, lepton_route(formula)] if style == "auto" else [route], tables


def _three_body_routes(
    formula: Formula, style: str, first_line: str
) -> tuple[list[Route], TableFile | None]:
    if style in PAIR_STYLES:
        raise ValueError(
            f"style '{style}' computes pairs only, and this formula has three-body terms: use "
            f"style 'meam' or 'plugin'"
        )
    table, tables = table_route(formula, first_line)
    (species,) = formula.species_triplets
    function = formula.three_body_function(*species)
    if style == "meam":
        return [meam_route(table, function, first_line)], tables
    if style == "sw":
        return [stillinger_route(table, function, first_line)], tables
    routes = []
    if not function.general:
        routes.append(meam_route(table, function, first_line))
        with suppress(ValueError):  # few terms are of this form
            routes.append(stillinger_route(table, function, first_line))
    return [*routes, plugin_route(formula)], tables if routes else None


def _many_body_routes(formula: Formula, style: str, first_line: str) -> list[Route]:
    """The file where it is exact enough, and the plugin; that first where it is not."""
    if style not in ("auto", *MANY_BODY_STYLES):
        raise ValueError(
            f"style '{style}' does not compute many-body terms, and this formula has some: use "
            "style 'eam' or 'plugin'"
        )
    if style == "eam":
        return [eam_route(formula, first_line)]
    routes = [plugin_route(formula)]
    with suppress(ValueError):  # several sums, or one that changes its sign
        eam = eam_route(formula, first_line)
        exact = eam.splines is not None and eam.splines["within_promise"]
        routes.insert(0 if exact else 1, eam)
    return routes


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
    r_cut = formula.cutoff.r_cut
    lines += [f"pair_coeff {i} {j} {name} {a}_{b} {r_cut!r}" for i, j, a, b in pairs]
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


def meam_route(table: Route, function: ThreeBodyFunction, first_line: str) -> Route:
    """A table for the pairs, and a ``meam/spline`` for each product."""
    symbol = function.species[0]
    splines = meam_files(function)
    files = {
        f"{symbol}-{n}.meam.spline": file.text(first_line, symbol)
        for n, file in enumerate(splines, 1)
    }
    error = float(np.max([file.force_error for file in splines]))
    record = {
        "knots": max(file.knots for file in splines),
        "predicted_forces_error": error,
        "promise": FORCE_ERROR,
        "within_promise": all(file.force_error < FORCE_ERROR for file in splines),
    }
    route = _overlay("meam", "meam/spline", table, files, symbol, table.r_min)
    return replace(route, splines=record)


def stillinger_route(table: Route, function: ThreeBodyFunction, first_line: str) -> Route:
    """A table for the pairs, and an ``sw`` without pairs for each term."""
    symbol = function.species[0]
    files = {
        f"{symbol}-{n}.sw": stillinger_file(angle, function.r_cut, symbol, first_line)
        for n, angle in enumerate(stillinger_angles(function), 1)
    }
    return _overlay("sw", "sw", table, files, symbol, function.clamp.r_lo)


def _overlay(
    name: str, style: str, table: Route, files: dict[str, str], symbol: str, r_min: float
) -> Route:
    """A table and several of one style on top of each other, for one species."""
    first, coefficients = table.commands.splitlines()
    words = coefficients.split()
    styles = " ".join(
        [first.replace("pair_style", "pair_style hybrid/overlay"), *[style] * len(files)]
    )
    lines = [styles, " ".join([*words[:3], "table", *words[3:]])]
    for n, file in enumerate(files, 1):
        number = f"{n} " if len(files) > 1 else ""
        lines.append(f"pair_coeff * * {style} {number}{file} {symbol}")
    return Route(
        name, _commands(lines), {**table.files, **files}, r_min, atom_energies=name != "sw"
    )


def eam_route(formula: Formula, first_line: str) -> Route:
    """``eam/alloy``, for one sum over neighbours."""
    file = eam_file(formula)
    name = f"{file.symbol}.eam.alloy"
    record = {
        "knots": file.density.values.size,
        "predicted_forces_error": file.force_error,
        "predicted_dimer_error": file.dimer_error,
        "largest_sum": file.largest_sum,
        "promise": EAM_ERROR,
        "within_promise": file.within_promise,
    }
    commands = _commands(["pair_style eam/alloy", f"pair_coeff * * {name} {file.symbol}"])
    return Route("eam", commands, {name: file.text(first_line)}, 0.0, splines=record)


def plugin_route(formula: Formula) -> Route:
    """A pair style of the formula's own, to be built."""
    return Route("plugin", plugin_commands(formula), plugin_files(formula), 0.0)


def _commands(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"
