"""The report on the data in words: of ``symreg data``, of plans and of the start of a run."""

from __future__ import annotations

from collections.abc import Iterator

from symreg.files import counted
from symreg.structures.report import DataReport
from symreg.structures.settings import QUANTITIES, DataSettings

MOST = 6
"""Files or pairs of elements that are told of one by one."""


def in_words(report: DataReport, settings: DataSettings) -> Iterator[tuple[str, str]]:
    """Yield a heading and a line for each thing that a user should know of the data."""
    counts = ", ".join(f"{n} {split}" for split, n in report.structures.items() if n)
    labels = ", ".join(f"{n} with {quantity}" for quantity, n in report.labels.items())
    atoms = sum(report.atoms.values())
    yield (
        "structures",
        f"{counts}; {labels}; {counted(atoms, 'atom')} of {', '.join(report.species)}",
    )
    files = list(report.files.items())
    for name, record in files[:MOST]:
        keys = ", ".join(_keys(record["keys"][q], q, settings) for q in QUANTITIES)
        yield "file", f"{name}, {record['structures']} for {record['split']}: {keys}"
    if len(files) > MOST:
        yield "file", f"and {len(files) - MOST} more"
    yield "units", f"taken for {report.units}"
    yield "e0", _e0(report)
    near = [
        f"{pair} {low:.4g} to {report.farthest[pair]:.4g}" for pair, low in report.closest.items()
    ]
    if near:
        more = f" and {len(near) - 3 * MOST} more" if len(near) > 3 * MOST else ""
        yield (
            "neighbours",
            f"nearest ones in training, in Å: {', '.join(near[: 3 * MOST])}{more}; "
            "closer than the first number the formula is a continuation",
        )
    if report.energy_range:
        low, high = report.energy_range
        yield "energies", f"{low:.5g} to {high:.5g} eV/atom, isolated atoms left out"
    if report.max_force is not None:
        yield "forces", f"up to {report.max_force:.4g} eV/Å"
    for text in report.notes:
        yield "note", text
    for text in report.warnings:
        yield "warning", text


def _keys(taken: dict[str, int], quantity: str, settings: DataSettings) -> str:
    """Say where a quantity came from, and why from there."""
    if not taken:
        return f"no {quantity}"
    why = "as the run file says" if settings.keys[quantity] else "a usual name"
    return f"{quantity} from {' and '.join(map(repr, taken))} ({why})"


def _e0(report: DataReport) -> str:
    """Say whether the energy of an atom alone is known."""
    known = {name: e for name, e in report.isolated_atoms.items() if e is not None}
    told = [f"{name} {energy:.6g} eV" for name, energy in known.items()]
    unknown = [name for name in report.species if name not in known]
    if report.doubtful_atoms:
        return f"single atoms: {', '.join(told)}; some look like crystals written as clusters"
    if told and not unknown:
        return f'isolated atoms: {", ".join(told)}; [terms] e0 = "isolated" takes them'
    of = f"isolated atoms: {', '.join(told)}; " if told else ""
    return (
        f"{of}training has no isolated atom of {', '.join(unknown)}: e0 is fitted, and cohesive "
        "energies are not certain"
    )
