"""Find a formula for argon, as `symreg run runs/argon.toml` does."""

from pathlib import Path

import symreg

if __name__ == "__main__":
    run = symreg.search(Path(__file__).with_name("argon.toml"))
    best = run.best()
    print(run.front)
    print(best.expression, best.errors["validation"]["energy"]["rmse"], "eV/atom")
    print(best.potential.export_lammps(run.folder / "lammps"))
