"""Cost of the LAMMPS routes of one formula: CPU time per atom-step relative to ``lj/cut``.

Argon, face-centred cubic, 4000 atoms (10 cells along an edge), cutoff 8.5 Å. The routes take turns
in one process, so that whatever else the machine does meets all of them; the median of the turns is
printed.

    python benchmarks/lammps_cost.py [--repeat 10] [--steps 100] [--turns 7]
"""

from __future__ import annotations

from pathlib import Path

from common import cost_options, lammps_table, machine

from symreg.formula import Formula
from symreg.lammps.routes import way_of
from symreg.terms import expression_of
from symreg.terms.cutoff import Cutoff

CRYSTAL = {
    "lattice": "fcc 5.26",
    "mass": 39.948,
    "kelvin": 40,
    "timestep": 0.002,
    "first": 1,
}


def argon(kind: str) -> Formula:
    """Lennard-Jones argon with one of the cutoff functions."""
    cutoff = Cutoff(kind=kind, r_cut=8.5, r_on=5.1)
    expression = expression_of([(0.0104, "Ar-Ar: x^-12 - 2*x^-6")])
    return Formula(expression, 3.82, {"Ar": 0.0}, ("Ar",), cutoff, 3.0)


def routes() -> dict[str, str]:
    """Commands of every route, with the tables in the current folder."""
    table, native, lepton = (way_of(style) for style in ("table", "native", "lepton"))
    by_table = table.make(argon("septic"), "UNITS: metal")
    for name, text in by_table.files.items():
        Path(name).write_text(text)
    return {
        "lj/cut": native.make(argon("none"), "").commands,
        "table": by_table.commands,
        "lepton, no cutoff function": lepton.make(argon("none"), "").commands,
        "lepton, septic": lepton.make(argon("septic"), "").commands,
    }


def main() -> None:
    """Measure and print."""
    options = cost_options(__doc__, repeat=10, steps=100, potential=False)
    print(machine())
    print(lammps_table(CRYSTAL, routes, options))


if __name__ == "__main__":
    main()
