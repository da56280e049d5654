"""The ways to give a formula to LAMMPS."""

from __future__ import annotations

import difflib
from dataclasses import replace

from symreg.formula import Formula
from symreg.lammps.eam import EamWay
from symreg.lammps.lepton import LeptonWay
from symreg.lammps.meam import MeamWay, guard_text
from symreg.lammps.native import NativeWay
from symreg.lammps.plugin import PluginWay
from symreg.lammps.route import Route, Way
from symreg.lammps.stillinger import StillingerWay
from symreg.lammps.table import TableWay

GUARD = """\
# LAMMPS reads the file of this style in 'units metal' only, and stops in others. Where it lacks the
# package MANYBODY, delete both lines.
pair_style meam/spline
"""
_WAYS: dict[str, Way] = {}


def register(way: Way) -> None:
    """Make a way known by a new name; of those that ``auto`` takes the first is recommended."""
    if way.style in styles():
        raise ValueError(f"there is a LAMMPS style '{way.style}' already")
    _WAYS[way.style] = way


def styles() -> tuple[str, ...]:
    """All that ``export`` can be asked for."""
    return "auto", *_WAYS


def way_of(style: str) -> Way:
    """The way of a name; ``ValueError`` if there is none."""
    if style in _WAYS:
        return _WAYS[style]
    close = difflib.get_close_matches(style, styles(), 1)
    hint = f"; did you mean '{close[0]}'?" if close else ""
    raise ValueError(f"LAMMPS style is '{style}'; it must be one of {', '.join(styles())}{hint}")


def make_routes(formula: Formula, style: str, first_line: str) -> list[Route]:
    """The routes of a style that can express the formula, the recommended one first."""
    if style == "auto":
        ways = [way for way in _WAYS.values() if way.is_automatic(formula) and way.accepts(formula)]
    else:
        ways = [way_of(style)]
        ways[0].require(formula)
    routes = [_guarded(way.make(formula, first_line), formula.species) for way in ways]
    return sorted(routes, key=lambda route: not route.keeps_promise)


def _guarded(route: Route, species: tuple[str, ...]) -> Route:
    """The route behind a file that LAMMPS refuses in other units than metal."""
    name = f"{'-'.join(species)}.units.metal"
    commands = GUARD + f"pair_coeff * * {name} {' '.join(species)}\n{route.commands}"
    return replace(route, commands=commands, files={**route.files, name: guard_text(species)})


for _way in (TableWay, LeptonWay, NativeWay, MeamWay, StillingerWay, EamWay, PluginWay):
    register(_way())
