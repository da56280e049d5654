"""The README of an exported folder."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from symreg.formula import Formula
from symreg.lammps.plugin import plugin_names
from symreg.lammps.roundtrip import Route
from symreg.lammps.specimens import type_names
from symreg.lammps.table import FORCE_ERROR, R_MIN
from symreg.terms.cutoff import Cutoff
from symreg.terms.wall import Clamp

TRIPLETS = (
    " + sum over triplets j <- i -> k of ψ(x1 = x_ij, x2 = x_ik, c = cos θ) f_3(r_ij) f_3(r_ik)"
)
SUMS = " + sum over atoms of F; sum(f) = sum over neighbours of f(x) f_c(r)"
ROUTES = {
    "lepton": "by `pair_style lepton`, exact and slower",
    "meam": "by `pair_style hybrid/overlay` of a table and one `meam/spline` for each product",
    "sw": "by `pair_style hybrid/overlay` of a table and LAMMPS's own `sw` for the triplets, whose "
    "energies per atom LAMMPS shares among the three atoms",
    "eam": "by `pair_style eam/alloy`, from tables",
    "plugin": "by a pair style of its own in C++, exact and fast",
}
RUN = """\
## How to run

In an input script with `units metal`, once the box exists:

    include potential.mod

LAMMPS looks for data files in its working folder and in those of `LAMMPS_POTENTIALS`.

- `lmp -in in.check` computes `data.check`; `reference.json` has what the formula gives.
- `lmp -in in.nve` runs at constant energy.
"""


def readme_text(
    formula: Formula,
    routes: list[Route],
    parity: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> str:
    """The whole file, in Markdown."""
    parts = [
        f"# {'-'.join(formula.species)}\n",
        _formula_text(formula),
        _range_text(formula, routes[0]),
        _parity_text(parity),
        RUN + _route_text(formula, routes),
    ]
    if provenance.get("constants"):
        parts.append(_constants_text(provenance["constants"]))
    known = {k: v for k, v in provenance.items() if k not in ("citation", "constants")}
    if known:
        parts.append("## Where it comes from\n\n" + "\n".join(_bullets(known)) + "\n")
    parts.append(f"## Citation\n\n{provenance.get('citation', 'none given')}\n")
    return "\n".join(parts)


def _formula_text(formula: Formula) -> str:
    lines = [
        "E = sum of e0 + sum over pairs of φ(x) f_c(r)"
        f"{TRIPLETS if formula.species_triplets else ''}"
        f"{SUMS if formula.many_body else ''}; x = r / r0; energies in eV, r in Å.\n",
    ]
    for pair in formula.species_pairs:
        tree = formula.expression.total("pair", pair)
        lines.append(f"    φ({'-'.join(pair)}) = {tree}")
        lines += [f"        {name} = {value!r}" for name, value in tree.named.items()]
    lines += _other_lines(formula)
    lines.append(f"\n- r0 = {formula.r0!r} Å")
    lines += [f"- e0({symbol}) = {formula.e0[symbol]!r} eV" for symbol in formula.species]
    lines.append(f"- f_c: {_cutoff_text(formula.cutoff)}")
    if formula.species_triplets and formula.cutoff_three_body is not None:
        lines.append(f"- f_3: {_cutoff_text(formula.cutoff_three_body)}")
    lines.append(f"- atom types: {type_names(formula.species)}")
    lines.append("\nLAMMPS's energies do not contain e0: compare them with E - sum of e0.")
    return "\n".join(lines) + "\n"


def _other_lines(formula: Formula) -> list[str]:
    """The terms of ψ and F, each with its weight in front."""
    lines = []
    expression = formula.expression
    for term, weight in zip(expression.terms, expression.weights, strict=True):
        name, function = "-".join(term.species), f"{weight!r}*({term.tree.text()})"
        if term.kind == "three-body":
            mean = "" if term.tree.factors else ", mean over both orders of j and k"
            lines.append(f"    ψ({name}) += {function}{mean}")
        elif term.kind == "many-body":
            lines.append(f"    F({name}) += {function}")
    return lines


def _cutoff_text(cutoff: Cutoff) -> str:
    return ", ".join(
        f"{key} = {value!r}{'' if key == 'kind' else ' Å'}"
        for key, value in cutoff.to_dict().items()
    )


def _constants_text(constants: Sequence[Mapping[str, Any]]) -> str:
    """A table of the fitted constants: weights w in eV, constants c without unit."""
    lines = [
        "## Constants\n",
        "Weights w in eV; constants c have no unit. 95 % intervals are from a bootstrap.\n",
        "| name | value | standard error | 95 % interval |",
        "|---|---|---|---|",
    ]
    for entry in constants:
        low, high = entry.get("low"), entry.get("high")
        known = low is not None and high is not None and math.isfinite(low + high)
        interval = f"{low:.6g} to {high:.6g}" if known else "unknown"
        error = entry.get("standard_error")
        shown = "unknown" if error is None or not math.isfinite(error) else f"{error:.2g}"
        lines.append(f"| {entry['name']} | {entry['value']:.8g} | {shown} | {interval} |")
    return "\n".join(lines) + "\n"


def _rest_text(what: str, clamp: Clamp) -> str:
    return (
        f"\n{what} do not feel neighbours come closer than {clamp.r_lo - clamp.width:.4g} Å: "
        f"there they see them at {clamp.floor:.4g} Å."
    )


def _range_text(formula: Formula, route: Route) -> str:
    lines = [f"## Valid from {formula.r_lo:.4g} to {formula.r_cut:.4g} Å\n"]
    if route.style == "native":
        lines.append(
            "Closer atoms feel LAMMPS's own form of the formula, not symreg's repulsive wall."
        )
    else:
        lines.append("Closer atoms feel a repulsive wall:\n")
        for pair in formula.species_pairs:
            wall = formula.pair_function(*pair).wall.text()
            lines.append(f"- {'-'.join(pair)}: {wall}")
    lines += [
        _rest_text("Triplets", formula.three_body_function(*species).clamp)
        for species in formula.species_triplets
    ]
    if formula.many_body:
        lines.append(_rest_text("Sums over neighbours", formula.many_body.clamp))
    if route.style == "sw":
        lines.append("LAMMPS's sw has its own form there.")
    if route.style in ("table", "meam", "sw"):
        lines.append(f"\nThe table begins at {route.r_min:.4g} Å; closer atoms stop LAMMPS.")
        if route.r_min > R_MIN:
            lines.append("Further in its numbers would be too large.")
    if formula.cutoff.kind == "none":
        lines.append(
            "\nWarning: plain truncation; the energy jumps where a pair passes the cutoff."
        )
    return "\n".join(lines) + "\n"


def _parity_text(parity: Mapping[str, Any]) -> str:
    lines = ["## Measured in LAMMPS\n"]
    table = parity.get("table")
    if parity["status"] == "run":
        lines += [
            f"Version {parity['lammps_version']}; largest differences from the formula where "
            "forces are below 100 eV/Å:\n",
            "| route | energy eV/atom | force eV/Å | virial eV/atom | drift meV/atom/ns |",
            "|---|---|---|---|---|",
        ]
        lines += [_parity_row(name, record) for name, record in parity["routes"].items()]
    else:
        lines.append(f"LAMMPS: {parity['status']}")
    if splines := parity.get("splines"):
        dimer = splines.get("predicted_dimer_error")
        lines.append(
            f"\nSplines of {splines['knots']} knots; predicted interpolation error "
            f"{_number(splines['predicted_forces_error'])} eV/Å"
            + ("." if dimer is None else f", of two atoms alone {_number(dimer)} eV/Å.")
            + (
                ""
                if splines["within_promise"]
                else f" This misses the promise of {splines['promise']:g}."
            )
        )
        if "largest_sum" in splines:
            largest = splines["largest_sum"]
            lines.append(f"F is tabulated up to a sum of {largest:.4g}, and straight beyond.")
    if parity.get("plugin", "built") != "built":
        lines.append(f"\nThe plugin was {parity['plugin']}")
    if table:
        promise = "" if table["within_promise"] else f" This misses the promise of {FORCE_ERROR:g}."
        lines.append(
            f"\nTable of {table['points']} points; predicted interpolation error "
            f"{_number(table['predicted_forces_error'])} eV/Å.{promise}"
        )
    return "\n".join(lines) + "\n"


def _parity_row(name: str, record: Mapping[str, Any]) -> str:
    values = [record[key] for key in ("energy_per_atom_max", "forces_max", "virial_per_atom_max")]
    nve = record.get("nve", {"error": "not run"})
    drift = nve.get("error") or f"{_number(nve['drift'])} ± {_number(nve['standard_error'])}"
    return f"| {name} | {' | '.join(map(_number, values))} | {drift} |"


def _number(value: float) -> str:
    """Two digits of a number, or that it is none."""
    return f"{value:.1e}" if math.isfinite(value) else "not finite"


def _route_text(formula: Formula, routes: list[Route]) -> str:
    """What each route is, and what it takes to use it."""
    text = "".join(
        f"- `potential-{route.style}.mod` is the same potential {ROUTES[route.style]}.\n"
        for route in routes[1:]
    )
    if routes[0].style in ("meam", "sw", "plugin"):
        text = f"- `potential.mod` computes it {ROUTES[routes[0].style]}.\n" + text
    if any(route.style == "plugin" for route in routes):
        names = plugin_names(formula)
        text += (
            f"- `sh build.sh` builds `{names['library']}` from `{names['source']}`; it takes a C++ "
            "compiler and LAMMPS's headers, which LAMMPS's Python package has. Build it anew for "
            "another LAMMPS. `plugin load` looks for it in the working folder: give the whole path "
            "to run elsewhere. It needs `newton on`.\n"
        )
    return text


def _bullets(values: Mapping[str, Any], indent: str = "") -> list[str]:
    lines: list[str] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            lines += [f"{indent}- {key}:", *_bullets(value, indent + "  ")]
        else:
            known = not isinstance(value, float) or math.isfinite(value)
            text = f"{value:.6g}" if isinstance(value, float) else str(value)
            lines.append(f"{indent}- {key}: {text if known else 'unknown'}")
    return lines
