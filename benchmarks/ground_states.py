"""What the gate says of the members of finished runs, also of runs that had no such gate.

    python benchmarks/ground_states.py RUN [RUN ...]

Prints for each run how many members pass, what is wrong with the others, how far other crystals lie
above that of the data by the recommended member, and how long a verdict takes.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import numpy as np
from common import machine

import symreg
from symreg.potential import Potential
from symreg.runs.trust import counted_faults
from symreg.searching.gate import Gate
from symreg.searching.ground import _lowest
from symreg.structures import read_structures
from symreg.terms import Expression


def gate_of(run: symreg.Run) -> Gate:
    """The gate of a run, from its data and the lengths of its formulas."""
    settings, member = run.settings, run.front[0]
    potential = Potential.load(member.folder / "potential.json")
    structures, _ = read_structures(settings.data, settings.base, r_cut=settings.terms.r_cut)
    bound = bool(settings.terms.many_body)
    return Gate(structures, potential.formula.lengths, bound=bound)


def gaps(gate: Gate, expression: Expression) -> str:
    """How far other prototypes lie above the crystal of the data, in meV/atom."""
    found = []
    with np.errstate(all="ignore"):
        every = gate.specimens.energies(expression)
    every = every[len(every) - len(gate.ground.specimens) :]
    for one in gate.ground.crystals:
        own = min(_lowest(every[k]) for k in one.own)
        others = [f"{name} {1e3 * (_lowest(every[k]) - own):.0f}" for name, k in one.rivals]
        found.append(f"above {one.name}: {', '.join(others)}")
    return "; ".join(found) or "no crystal is recognised"


def main() -> None:
    """Print a row for each run, and a line for its recommended member."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+")
    print(machine())
    print("| run | members | pass | faults of the others | verdict (ms) |")
    print("|---|---|---|---|---|")
    lines = []
    for folder in parser.parse_args().runs:
        run = symreg.open_run(folder)
        gate, faults, times = gate_of(run), [], []
        for member in run.front:
            began = time.perf_counter()
            faults.append("; ".join(gate.broken(member.record.terms)))
            times.append(1e3 * (time.perf_counter() - began))
        bad = [text for text in faults if text]
        words = ", ".join(f"{n} {what}" for what, n in counted_faults(bad).items())
        passed = len(faults) - len(bad)
        print(f"| {folder} | {len(faults)} | {passed} | {words} | {median(times):.1f} |")
        best = run.best()
        name = f"{folder}, member {best.number}"
        lines.append(f"{name} (error {best.error:.3g}): {gaps(gate, best.record.terms)} meV/atom")
    print("\n".join(["", *lines]))


if __name__ == "__main__":
    main()
