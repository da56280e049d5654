"""Find a formula with three-body terms in ten minutes.

Without arguments the data are symreg's own silicon; `python runs/silicon.py my.extxyz` takes yours.
"""

import json
import sys
from pathlib import Path

import symreg
from symreg import config

if __name__ == "__main__":
    mine = [str(Path(name).absolute()) for name in sys.argv[1:]]
    # Weights and groups of the run file are those of its own data.
    changes = {"train": json.dumps(mine), "weights": "{}", "leave_out": "[]", "folder": "mine"}
    settings = config.load(Path(__file__).with_name("silicon.toml"), changes if mine else None)
    run = symreg.search(settings)
    best = run.best()
    print(run.front)
    print(best.expression, best.errors["validation"]["forces"]["rmse"], "eV/Å")
    print(best.potential.export_lammps(run.folder / "lammps"))
