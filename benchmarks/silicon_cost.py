"""Cost of the LAMMPS routes of a silicon formula: CPU time relative to native ``sw``.

    python benchmarks/silicon_cost.py [--potential potential.json] [--repeat 8] [--steps 20]

Diamond at 300 K. The formula is that of a run (``potentials/<n>/potential.json``), by default
Stillinger-Weber's own, given to symreg as a formula. Against it stand native ``sw`` with its
published range of 3.77 Å, ``sw`` stretched to the formula's three-body radius, and ``snap`` with 30
bispectrum components (twojmax 6) within 4.9 Å, whose cost does not depend on its coefficients. All
take turns in one process, on one core; the median of the turns is printed.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from common import cost_options, formula_routes, lammps_table, machine
from stillinger_weber_data import PARAMETERS, PUBLISHED, REACH, SIGMA, potential

from symreg.formula import Formula
from symreg.potential import Potential

CRYSTAL = {
    "lattice": "diamond 5.431",
    "mass": 28.0855,
    "kelvin": 600,
    "timestep": 0.001,
    "first": 20,
}
SNAP = "pair_style snap\npair_coeff * * Si.snapcoeff Si.snapparam Si\n"
SNAP_FILES = {
    "Si.snapcoeff": "1 31\nSi 0.5 1.0\n" + "1e-6\n" * 31,
    "Si.snapparam": "rcutfac 4.9\ntwojmax 6\n",
}


def stretched(radius: float) -> str:
    """Stillinger and Weber's file with another range."""
    return PARAMETERS.replace(f" {REACH} ", f" {radius / SIGMA} ")


def published() -> Potential:
    """Stillinger and Weber's potential as a formula."""
    formula = Formula(
        potential(faded=False),
        SIGMA,
        {"Si": 0.0},
        ("Si",),
        PUBLISHED[0],
        1.8,
        cutoff_three_body=PUBLISHED[1],
    )
    return Potential(formula, {})


def routes(chosen: Potential) -> dict[str, str]:
    """Commands of every route, with their files in the current folder."""
    found = {"sw": "pair_style sw\npair_coeff * * Si.sw Si\n"}
    radius = chosen.formula.cutoff_three_body.r_cut if chosen.formula.cutoff_three_body else 0.0
    Path("Si.sw").write_text(PARAMETERS)
    if radius > REACH * SIGMA + 1e-6:
        Path("wide.sw").write_text(stretched(radius))
        found[f"sw at {radius:g} Å"] = "pair_style sw\npair_coeff * * wide.sw Si\n"
    for name, text in SNAP_FILES.items():
        Path(name).write_text(text)
    return {**found, **formula_routes(chosen), "snap": SNAP}


def main() -> None:
    """Measure and print."""
    options = cost_options(__doc__, steps=20)
    chosen = Potential.load(options.potential) if options.potential else published()
    print(f"{machine()}\nformula: {chosen.formula.expression.text()}\n")
    print(lammps_table(CRYSTAL, partial(routes, chosen), options))


if __name__ == "__main__":
    main()
