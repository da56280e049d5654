"""Cost of the LAMMPS routes of one formula: CPU time per atom-step relative to ``lj/cut``.

Argon, face-centred cubic, 4000 atoms, cutoff 8.5 Å. The routes take turns in one process, so that
whatever else the machine does meets all of them; the median of the turns is printed.

    python benchmarks/lammps_cost.py
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from common import lammps_table, machine

from symreg.formula import Formula
from symreg.lammps.routes import lepton_route, native_route, table_route
from symreg.language import parse
from symreg.terms import Expression, Term
from symreg.terms.cutoff import Cutoff

SETUP = """\
units metal
lattice fcc 5.26
region box block 0 10 0 10 0 10
create_box 1 box
create_atoms 1 box
mass 1 39.948
velocity all create 40 1
{commands}
fix nve all nve
timestep 0.002
thermo 1000
run 1 post no
"""


def argon(kind: str) -> Formula:
    """Lennard-Jones argon with one of the cutoff functions."""
    cutoff = Cutoff(kind=kind, r_cut=8.5, r_on=5.1)
    term = Term("pair", ("Ar", "Ar"), parse("x^-12 - 2*x^-6"))
    return Formula(Expression((term,), (0.0104,)), 3.82, {"Ar": 0.0}, ("Ar",), cutoff, 3.0)


def main() -> None:
    """Measure and print."""
    print(machine())
    table, tables = table_route(argon("septic"), "UNITS: metal")
    commands = {
        "lj/cut": native_route(argon("none")).commands,
        f"table {tables.points}": table.commands,
        "lepton, no cutoff function": lepton_route(argon("none")).commands,
        "lepton, septic": lepton_route(argon("septic")).commands,
    }
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for name, text in table.files.items():
            Path(name).write_text(text)
        print(lammps_table(SETUP, commands, steps=100))


if __name__ == "__main__":
    main()
