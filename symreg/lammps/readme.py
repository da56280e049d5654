"""The README of an exported folder."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from symreg.formula import Formula, FunctionOfSums
from symreg.lammps.records import Parity, RouteParity, Splines, Tabulated
from symreg.lammps.route import Route, quoted
from symreg.lammps.routes import way_of
from symreg.lammps.specimens import type_names
from symreg.lammps.table import FORCE_ERROR, R_MIN
from symreg.records import UNITS
from symreg.terms import Key
from symreg.terms.cutoff import Cutoff
from symreg.terms.kinds import kind_of
from symreg.terms.wall import Clamp

RUN = """\
## How to run

In an input script with `units metal`, once the box exists:

    include potential.mod

LAMMPS looks for data files in its working folder and in those of `LAMMPS_POTENTIALS`.

- `lmp -in in.check` computes `data.check`; `reference.json` has what the formula gives.
- `lmp -in in.nve` runs at constant energy.
"""


def readme_text(
    formula: Formula, routes: list[Route], parity: Parity, provenance: Mapping[str, Any]
) -> str:
    """The whole file, in Markdown."""
    constants = provenance.get("constants")
    table = (
        constants if isinstance(constants, list | tuple) and all(map(_is_row, constants)) else ()
    )
    errors = provenance.get("errors")
    told = {"citation", "unfit", *(["constants"] if table else []), *(["errors"] if errors else [])}
    known = {k: v for k, v in provenance.items() if k not in told}
    unfit = provenance.get("unfit")
    blocks = [
        [f"# {'-'.join(formula.species)}"],
        [f"**Not fit for use: {quoted(unfit)}.**"] if unfit else [],
        _formula_lines(formula),
        _range_lines(formula, routes[0]),
        _parity_lines(formula, parity),
        (RUN + _route_text(routes)).splitlines(),
        _type_lines(formula, routes),
        _error_lines(errors) if isinstance(errors, Mapping) else [],
        _constants_lines(table, provenance.get("fit", "")),
        ["## Where it comes from\n", *_bullets(known)] if known else [],
        [f"## Citation\n\n{quoted(provenance.get('citation', 'none given'))}"],
    ]
    return "\n".join("\n".join(block) + "\n" for block in blocks if block)


def _formula_lines(formula: Formula) -> list[str]:
    words = " + ".join(["E = sum of e0", *(meaning.words for meaning in formula.meanings)])
    lines = [f"{words}; x = r / r0; energies in eV, r in Å.\n"]
    for key in sorted(formula.expression.keys(), key=lambda key: (not key.is_pair, key)):
        lines += _key_lines(formula, key)
    lines.append(f"\n- r0 = {formula.r0!r} Å")
    lines += [f"- that of {key}: {r0!r} Å" for key, r0 in formula.r0s.items()]
    lines += [f"- e0({symbol}) = {formula.e0[symbol]!r} eV" for symbol in formula.species]
    lines.append(f"- f_c: {_cutoff_text(formula.cutoff)}")
    three_body = any(one.cutoff is formula.cutoff_three_body for one in formula.every_sum)
    if formula.cutoff_three_body is not None and three_body:
        lines.append(f"- f_3: {_cutoff_text(formula.cutoff_three_body)}")
    lines += [f"- that of {key}: {_cutoff_text(one)}" for key, one in formula.cutoffs.items()]
    return [
        *lines,
        f"- atom types: {type_names(formula.species)}",
        "\nLAMMPS's energies do not contain e0: compare them with E - sum of e0.",
    ]


def _key_lines(formula: Formula, key: Key) -> list[str]:
    """The total φ of a pair and its named constants; of others each term with its weight."""
    if key.is_pair:
        tree = formula.expression.total(key)
        named = [f"        {name} = {value!r}" for name, value in tree.named.items()]
        return [f"    φ({key}) = {tree}", *named]
    letter = "F" if key.is_function else kind_of(key.over).deliverer.letter
    two = not key.is_function and kind_of(key.over).neighbours == 2
    lines = []
    for term, weight in formula.expression.of(key):
        mean = ""
        if two and key.species[1] != key.species[2]:
            mean = f", x1 to {key.species[1]}, x2 to {key.species[2]}"
        elif two and not term.tree.factors:
            mean = ", mean over both orders of j and k"
        name = str(key).split()[-1]
        lines.append(f"    {letter}({name}) += {weight!r}*({term.tree.text()}){mean}")
    return lines


def _cutoff_text(cutoff: Cutoff) -> str:
    return ", ".join(
        f"{key} = {value!r}{'' if key == 'kind' else ' Å'}"
        for key, value in cutoff.to_dict().items()
    )


def _range_lines(formula: Formula, route: Route) -> list[str]:
    way = way_of(route.style)
    lines = [f"## Valid from {formula.r_lo:.4g} to {formula.r_cut:.4g} Å\n"]
    if route.r_min < formula.r_lo:
        walls = {pair: formula.pair_function(*pair).wall for pair in formula.every_pair}
        lines.append("Closer atoms feel a repulsive wall:\n")
        lines += [f"- {'-'.join(pair)}: {wall.text()}" for pair, wall in walls.items()]
        lines += _rest_lines(formula)
    if way.closer:
        lines.append(way.closer)
    if route.table is not None:
        lines.append(f"\nThe table begins at {route.table.r_min:.4g} Å; closer atoms stop LAMMPS.")
        if R_MIN < route.table.r_min < formula.r_lo:
            lines.append("Further in its numbers would be too large.")
    if names := ", ".join("-".join(pair) for pair in formula.unseen_pairs):
        wall = "" if route.r_min >= formula.r_lo else " but the wall above"
        lines.append(
            f"\nWarning: the formula has no term for {names}: such atoms do not feel each other, "
            f"whatever they do in nature. They meet nothing{wall}."
        )
    if any(formula.pair_function(*pair).cutoff.fade.smoothness == 0 for pair in formula.every_pair):
        warning = "Warning: plain truncation; the energy jumps where a pair passes the cutoff."
        lines.append(f"\n{warning}")
    return lines


def _rest_lines(formula: Formula) -> list[str]:
    """How triplets and sums see neighbours closer than where the domain of a pair begins."""
    begins: dict[str, set[float]] = {}
    for part in formula.parts:
        if part.rests:
            sums = part.sums if isinstance(part, FunctionOfSums) else [part]
            here = {clamp for one in sums for clamp in one.clamps}
            begins.setdefault(part.rests, set()).update(clamp.r_lo for clamp in here)
    lines = []
    for who, found in begins.items():
        for clamp in map(Clamp, sorted(found)):
            where = f", whose domain begins at {clamp.r_lo:.4g} Å," if len(found) > 1 else ""
            lines.append(
                f"\n{who} do not feel neighbours{where} come closer than "
                f"{clamp.r_lo - clamp.width:.4g} Å: there they see them at {clamp.floor:.4g} Å."
            )
    return lines


def _parity_lines(formula: Formula, parity: Parity) -> list[str]:
    lines = ["## Measured in LAMMPS\n"]
    if parity.routes:
        lines += [
            f"Version {parity.lammps_version}; largest differences from the formula where "
            "forces are below 100 eV/Å:\n",
            "| route | energy eV/atom | force eV/Å | virial eV/atom | drift meV/atom/ns |",
            "|---|---|---|---|---|",
            *(_parity_row(name, record) for name, record in parity.routes.items()),
        ]
    else:
        lines.append(f"LAMMPS: {parity.status}")
    if splines := parity.splines:
        dimer = splines.predicted_dimer_error
        alone = "" if dimer is None else f", of two atoms alone {_number(dimer)} eV/Å"
        knots = f"Splines of {splines.knots} knots"
        lines.append(_predicted(knots, splines, splines.promise, alone))
        if dimer is not None and not dimer < splines.promise:
            pairs = ", ".join("-".join(pair) for pair in formula.every_pair)
            lines.append(f"Dimers of {pairs} miss it: two atoms with no others near.")
        if splines.largest_sum is not None:
            largest = splines.largest_sum
            lines.append(f"F is tabulated up to a sum of {largest:.4g}, and straight beyond.")
    if parity.plugin not in (None, "built"):
        lines.append(f"\nThe plugin was {parity.plugin}")
    if table := parity.table:
        lines.append(_predicted(f"Table of {table.points} points", table, FORCE_ERROR))
    return lines


def _predicted(what: str, found: Splines | Tabulated, promise: float, more: str = "") -> str:
    error = _number(found.predicted_forces_error)
    missed = "" if found.within_promise else f" This misses the promise of {promise:g}."
    return f"\n{what}; predicted interpolation error {error} eV/Å{more}.{missed}"


def _parity_row(name: str, record: RouteParity) -> str:
    values = [record.energy_per_atom_max, record.forces_max, record.virial_per_atom_max]
    nve, drift = record.nve, "not run"
    if nve is not None and nve.drift is not None and nve.standard_error is not None:
        drift = f"{_number(nve.drift)} ± {_number(nve.standard_error)}"
    elif nve is not None and nve.error:
        drift = nve.error
    return f"| {name} | {' | '.join(map(_number, values))} | {drift} |"


def _number(value: float) -> str:
    """Two digits of a number, or that it is none."""
    return f"{value:.1e}" if math.isfinite(value) else "not finite"


def _route_text(routes: list[Route]) -> str:
    """How each route computes the formula, and what it takes to use it."""
    text = ""
    for n, route in enumerate(routes):
        if says := way_of(route.style).says:
            name = f"potential-{route.style}.mod` is the same potential"
            text += f"- `{name if n else 'potential.mod` computes it'} {says}.\n"
    return text + "".join(way_of(route.style).notes(route) for route in routes)


def _type_lines(formula: Formula, routes: list[Route]) -> list[str]:
    """How to use other atom types than those of the example, where there are several."""
    if len(formula.species) == 1:
        return []
    lines = [
        "## Other atom types\n",
        f"`potential.mod` is for {type_names(formula.species)}; a simulation need not have atoms "
        "of every type. For other types or further ones copy it, and",
        "- delete the two lines of `meam/spline` at its beginning, which read `*.units.metal`;",
        "- where a line begins with `pair_coeff * *`, name the species of each type at its end, "
        "`NULL` for a type of another style under `pair_style hybrid`;",
        "- where a line begins with `pair_coeff` and two types, give one to every pair of types.",
    ]
    if any(way_of(route.style).one_type_each for route in routes):
        name = next(route.style for route in routes if way_of(route.style).one_type_each)
        lines.append(
            f"\nRoute `{name}` takes exactly one type for each species, for so LAMMPS wants it."
        )
    return lines


def _is_row(entry: Any) -> bool:
    """Whether text from outside is what a search knows of a constant."""
    if not isinstance(entry, Mapping) or not {"name", "value"} <= set(entry):
        return False
    others = [entry.get(name) for name in ("low", "high", "standard_error")]
    numbers = [entry["value"], *(number for number in others if number is not None)]
    return all(isinstance(number, int | float) for number in numbers)


def _constants_lines(constants: Sequence[Mapping[str, Any]], fit: object) -> list[str]:
    """A table of the fitted constants, ``fit`` their label: weights w in eV, c without unit."""
    lines = [
        "## Constants\n",
        "Weights w in eV; constants c have no unit. 95 % intervals are from a bootstrap.",
        f"These are {quoted(fit)}.\n" if fit else "",
        "| name | value | standard error | 95 % interval |",
        "|---|---|---|---|",
    ]
    for entry in constants:
        low, high, error = (entry.get(name) for name in ("low", "high", "standard_error"))
        known = low is not None and high is not None and math.isfinite(low + high)
        interval = f"{low:.6g} to {high:.6g}" if known else "unknown"
        shown = "unknown" if error is None or not math.isfinite(error) else f"{error:.2g}"
        lines.append(f"| {quoted(entry['name'])} | {entry['value']:.8g} | {shown} | {interval} |")
    return lines if constants else []


def _error_lines(errors: Mapping[str, Any]) -> list[str]:
    """A table of errors beside the root mean square of their labels, by split and group."""
    lines = [
        "## Errors\n",
        "Root mean squares; of energies the labels' is about one energy per composition.\n",
        "| structures | quantity | RMSE | MAE | RMS of labels |",
        "|---|---|---|---|---|",
    ]
    begin = len(lines)
    for split, every in errors.items():
        for group, part in {"": every, **_table(every, "groups")}.items():
            where = quoted(f"{split}, group {group}" if group else split)
            for quantity, unit in UNITS.items():
                if found := _table(part, quantity):
                    values = (found.get(name) for name in ("rmse", "mae", "label_rms"))
                    cells = (f"{v:.4g}" if isinstance(v, float) else "unknown" for v in values)
                    lines.append(f"| {where} | {quantity} ({unit}) | {' | '.join(cells)} |")
    return lines if len(lines) > begin else []


def _table(record: Any, key: str) -> Mapping[str, Any]:
    """A table of a record that a file may have spoiled; empty where there is none."""
    found = record.get(key) if isinstance(record, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _bullets(values: Mapping[str, Any], indent: str = "") -> list[str]:
    lines: list[str] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            lines += [f"{indent}- {quoted(key)}:", *_bullets(value, indent + "  ")]
        else:
            known = not isinstance(value, float) or math.isfinite(value)
            text = f"{value:.6g}" if isinstance(value, float) else quoted(value)
            lines.append(f"{indent}- {quoted(key)}: {text if known else 'unknown'}")
    return lines
