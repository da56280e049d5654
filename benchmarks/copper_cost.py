"""Cost of the LAMMPS routes of a copper formula: CPU time relative to native ``eam/alloy``.

    python benchmarks/copper_cost.py [--potential potential.json] [--repeat 8]

Face-centred cubic copper at 300 K. The formula is one of a run (``potentials/<n>/potential.json``),
by default Gupta's. Native ``eam/alloy`` reads Gupta's tables with the formula's cutoff radius; its
cost does not depend on what they say. All take turns in one process, on one core; the median of the
turns is printed.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from pathlib import Path

from common import lammps_table, machine

from symreg.formula import Formula
from symreg.lammps.routes import eam_route
from symreg.language import parse
from symreg.potential import Potential
from symreg.terms import Expression, Term
from symreg.terms.cutoff import Cutoff

SETUP = """\
units metal
lattice fcc 3.63
region box block 0 {n} 0 {n} 0 {n}
create_box 1 box
create_atoms 1 box
mass 1 63.546
velocity all create 600 1
{commands}
fix nve all nve
timestep 0.001
thermo 1000
run 20 post no
"""


def gupta(r_cut: float) -> Formula:
    """Gupta's form for copper, smoothly cut off."""
    terms = (
        Term("pair", ("Cu", "Cu"), parse("exp(-10.94*(x - 1))")),
        Term("many-body", ("Cu",), parse("sqrt(sum(exp(-4.56*(x - 1))))", variable="sum")),
    )
    cutoff = Cutoff(kind="septic", r_cut=r_cut, r_on=0.6 * r_cut)
    return Formula(Expression(terms, (0.171, -1.224)), 2.556, {"Cu": 0.0}, ("Cu",), cutoff, 1.8)


def routes(chosen: Potential) -> dict[str, str]:
    """Commands of native ``eam/alloy`` and of the formula's routes, files in the current folder."""
    (text,) = eam_route(gupta(chosen.formula.r_cut), "UNITS: metal").files.values()
    Path("native.eam.alloy").write_text(text)
    found = {"eam/alloy": "pair_style eam/alloy\npair_coeff * * native.eam.alloy Cu\n"}
    parity = chosen.export_lammps(Path(), style="auto")
    for name in parity["routes"]:
        suffix = "" if name == parity["style"] else f"-{name}"
        found[f"formula, {name}"] = f"include potential{suffix}.mod\n"
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--potential", type=Path)
    parser.add_argument("--repeat", type=int, default=8, help="cubes of 4 atoms along an edge")
    options = parser.parse_args()
    chosen = Potential.load(options.potential) if options.potential else Potential(gupta(6.0), {})
    formula = chosen.formula
    print(f"{machine()}\nformula: {formula.expression.text()}; {formula.r_cut:g} Å\n")
    setup = SETUP.replace("{n}", str(options.repeat))
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        print(lammps_table(setup, routes(chosen), steps=50))


if __name__ == "__main__":
    main()
