"""The ways to give a formula to LAMMPS."""

from __future__ import annotations

import difflib

from symreg.formula import Formula
from symreg.lammps.eam import EamWay
from symreg.lammps.lepton import LeptonWay
from symreg.lammps.meam import MeamWay
from symreg.lammps.native import NativeWay
from symreg.lammps.plugin import PluginWay
from symreg.lammps.route import Route, Way
from symreg.lammps.stillinger import StillingerWay
from symreg.lammps.table import TableWay

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
    routes = [way.make(formula, first_line) for way in ways]
    return sorted(routes, key=lambda route: not route.keeps_promise)


for _way in (TableWay, LeptonWay, NativeWay, MeamWay, StillingerWay, EamWay, PluginWay):
    register(_way())
