"""Cost of the LAMMPS routes of a copper formula: CPU time relative to native ``eam/alloy``.

    python benchmarks/copper_cost.py [--potential potential.json] [--repeat 8] [--steps 50]

Face-centred cubic copper at 300 K. The formula is one of a run (``potentials/<n>/potential.json``),
by default Gupta's. Native ``eam/alloy`` reads Gupta's tables with the formula's cutoff radius; its
cost does not depend on what they say. All take turns in one process, on one core; the median of the
turns is printed.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from common import cost_options, formula_routes, lammps_table, machine

from symreg.formula import Formula
from symreg.lammps.routes import way_of
from symreg.potential import Potential
from symreg.terms import expression_of
from symreg.terms.cutoff import Cutoff

CRYSTAL = {
    "lattice": "fcc 3.63",
    "mass": 63.546,
    "kelvin": 600,
    "timestep": 0.001,
    "first": 20,
}


def gupta(r_cut: float) -> Formula:
    """Gupta's form for copper, smoothly cut off."""
    parts = [
        (0.171, "Cu-Cu: exp(-10.94*(x - 1))"),
        (-1.224, "Cu: sqrt(sum(exp(-4.56*(x - 1))))"),
    ]
    cutoff = Cutoff(kind="septic", r_cut=r_cut, r_on=0.6 * r_cut)
    return Formula(expression_of(parts), 2.556, {"Cu": 0.0}, ("Cu",), cutoff, 1.8)


def routes(chosen: Potential) -> dict[str, str]:
    """Commands of native ``eam/alloy`` and of the formula's routes, files in the current folder."""
    native = way_of("eam").make(gupta(chosen.formula.r_cut), "UNITS: metal")
    (text,) = native.files.values()
    Path("native.eam.alloy").write_text(text)
    native = {"eam/alloy": "pair_style eam/alloy\npair_coeff * * native.eam.alloy Cu\n"}
    return native | formula_routes(chosen)


def main() -> None:
    """Measure and print."""
    options = cost_options(__doc__, steps=50)
    chosen = Potential.load(options.potential) if options.potential else Potential(gupta(6.0), {})
    formula = chosen.formula
    print(f"{machine()}\nformula: {formula.expression.text()}; {formula.r_cut:g} Å\n")
    print(lammps_table(CRYSTAL, partial(routes, chosen), options))


if __name__ == "__main__":
    main()
