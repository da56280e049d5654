"""The text that a finished run prints: its front, the recommended formula, its errors, LAMMPS."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from symreg.cli.advice import going_on
from symreg.cli.lines import columns
from symreg.files import counted
from symreg.records import ALL, Errors, labelled
from symreg.runs.records import BOTH
from symreg.runs.results import in_words
from symreg.runs.trust import HIGH, worse_in_words

NEAR = "another structure lies up to 20 meV/atom below the crystal of the data: front.csv names it"

if TYPE_CHECKING:
    from symreg.runs import Member, Run
    from symreg.runs.records import FittedConstant


def summary(run: Run, chosen: Member | None = None) -> str:
    """Describe a run and one of its members, the recommended one unless another is chosen."""
    if not run.front:
        return f"{run.folder} has no front yet; {going_on(run)}"
    member = chosen or run.best()
    parts = [front_text(run, member), *_sums_lines(run)]
    if run.front.baselines:
        parts.append(_wrapped(f"known     {in_words(run.front.compare())}"))
    parts += map(_wrapped, _gate_lines(run))
    parts.append(member_text(run, member))
    if failed := [check["name"] for check in member.checks if not check["passed"]]:
        text = f"physics   {len(failed)} of {len(member.checks)} checks fail: {', '.join(failed)}; "
        parts.append(_wrapped(f"{text}`symreg validate {run.folder}` says why"))
    parts += [_wrapped(f"worse     {text}") for text in worse_in_words(member.record.worse or ())]
    if member.parity:
        parts.append(parity_text(member.parity))
    parts += [_wrapped(f"WARNING   {doubt}") for doubt in run.doubts]
    page = run.folder / "report.html"
    parts.append(f"results   {page if page.exists() else run.folder}")
    if run.manifest.get("status") == "interrupted":
        parts.append(f"stopped before its end; {going_on(run)}")
    if run.manifest.get("status") == "running":
        parts.append(f"its search has not ended; see `symreg watch {run.folder}`")
    return "\n".join(parts)


def _wrapped(text: str) -> str:
    width = min(columns() or 96, 96)
    indent = " " * 10
    return textwrap.fill(text, width, subsequent_indent=indent, break_on_hyphens=False)


def front_text(run: Run, chosen: Member) -> str:
    """All members as a table; the chosen and the unfit are marked, floors are the last rows."""
    head = f"  {'member':>6} {'complexity':>10} {'constants':>9} {'error':>9}  formula"
    lines = [f"{head}, x = r/r0, eV"]
    for m in run.front:
        fault = "!" if m.unfit else "~" if m.record.near_ground_state else ""
        mark = ("*" if m.number == chosen.number else "") + fault
        numbers = f"{m.number:>6} {m.complexity:>10} {m.n_constants:>9} {m.error:>9.4g}"
        lines.append(f"{mark:<2}{numbers}  {m.expression}")
    for name, floor in run.front.floors.items():
        high = f": doubtful, above {HIGH:g} sigmas" if run.floor.doubts and floor > HIGH else ""
        lines.append(f"  {'floor':>6} {' ' * 17}    {floor:>9.4g}  the best of {name}{high}")
    if any(m.unfit for m in run.front):
        lines.append(
            "!         not fit for use: many sigmas wrong, worse than predicting nothing, or "
            "unphysical"
        )
    if any(m.record.near_ground_state and not m.unfit for m in run.front):
        lines.append(f"~         {NEAR}")
    return "\n".join(lines)


def _gate_lines(run: Run) -> Iterator[str]:
    """What the gate assumed, and how many formulas it kept from the front."""
    if run.ground_states:
        yield f"assumed   ground state of the data: {', '.join(run.ground_states)}"
    if run.rejected:
        count = "; ".join(f"{n} for {what}" for what, n in run.rejected.items())
        total = sum(run.rejected.values())
        kept = f"kept {counted(total, 'formula', 'formulas')} from the front"
        yield f"gate      {kept}: {count}; rejected.csv names them"


def _sums_lines(run: Run) -> list[str]:
    """Explain ``sum(f)``, where a formula of the front has it."""
    every = [term for member in run.front for term in member.record.terms.terms]
    sums = [one for term in every if term.of is not None for one in term.sums]
    if not sums:
        return []
    text = "sum(f)    is the sum of f over the neighbours of an atom, within the cutoff"
    bends = any(len(one.species) > 2 for one in sums)
    return [text + (", or over every two of them" if bends else "")]


def member_text(run: Run, member: Member) -> str:
    """The formula of a member, its constants and its errors."""
    terms = run.settings.terms
    lines = ["", f"formula   {member.expression}"]
    if member.record.r0:
        cutoff = f"{terms.cutoff} cutoff at {terms.r_cut:g} Å"
        lines.append(f"with      x = r / {member.record.r0:.6g} Å, {cutoff}, energies in eV")
        three_body = terms.cutoff_function_three_body
        if three_body is not None:
            far = f"{three_body.kind} cutoff at {three_body.r_cut:g} Å"
            lines.append(f"          triplets: cosine c of the angle at the centre, {far}")
        if terms.cutoffs:
            own = ", ".join(f"{key} {r_cut:g} Å" for key, r_cut in terms.cutoffs.items())
            lines.append(_wrapped(f"          own cutoffs: {own}"))
    if member.constants:
        lines.append(_wrapped(f"constants {', '.join(map(_constant, member.constants))}"))
    if member.refitted:
        lines.append(f"delivered {BOTH}; errors are of those above")
    lines += _target_lines(run, member)
    lines += _error_lines(member)
    if found := run.floor_of(member):
        name, floor = found
        of = f" of {name}" if len(run.front.floors) > 1 else ""
        text = f"training error {member.error:.4g} is {member.error / floor:.3g} times the floor"
        lines.append(f"floor     {text}{of}")
    return "\n".join(lines)


def _target_lines(run: Run, member: Member) -> list[str]:
    """What a member predicts of each target, beside what was asked for."""
    if not member.targets:
        return []
    rows = [
        f"{one.name} {member.targets[one.name]:.4g} ({one.value:.4g} ± {one.sigma:.2g} {one.unit})"
        for one in run.settings.targets
        if one.name in member.targets
    ]
    about = f"off by {member.targets_rms:.3g} sigmas, root mean square" * bool(rows)
    return [_wrapped(f"targets   {', '.join(rows)}; {about}")]


def _error_lines(member: Member) -> list[str]:
    """A table of errors beside their labels, by split, and by group where there are several."""
    quantities = labelled(member.errors.values())
    units = [f"{quantity} ({unit})" for quantity, unit in quantities.items()]
    rows = [["RMSE / MAE (labels)", *units]]
    for split, errors in member.errors.items():
        groups = errors.groups or {}
        for group, part in {ALL: errors, **(groups if len(groups) > 1 else {})}.items():
            cells = [_rmse_mae(part.of(quantity)) for quantity in quantities]
            if any(cells):
                rows.append([split if group == ALL else f"  {group}", *cells])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    note = "labels: their root mean square, of energies about one energy per composition"
    return [f"{'' if n else 'errors':<10}{line}" for n, line in enumerate([*lines, note])]


def _rmse_mae(errors: Errors | None) -> str:
    if errors is None:
        return ""
    mae, labels = (
        "–" if value is None else f"{value:.3g}" for value in (errors.mae, errors.label_rms)
    )
    return f"{errors.rmse:.3g} / {mae} ({labels})"


def _constant(constant: FittedConstant) -> str:
    text, error = f"{constant.name} = {constant.value:.6g}", constant.standard_error
    return text if error is None else f"{text} ± {error:.1g}"


def parity_text(parity: Mapping[str, Any]) -> str:
    """One line: how far LAMMPS is from the formula, or why that is not known."""
    energy, forces = (parity.get(f"{name}_max") for name in ("energy_per_atom", "forces"))
    if energy is None or forces is None:
        return f"LAMMPS    {parity.get('status', 'not run')}"
    return (
        f"LAMMPS    {parity.get('lammps_version')}, pair_style {parity.get('style')}: differs from "
        f"the formula by at most {energy:.1e} eV/atom and {forces:.1e} eV/Å"
    )
