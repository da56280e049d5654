"""Which formula describes the argon dimer best at each complexity.

    python benchmarks/argon_forms.py [--seeds 3] [--epochs 20]

The DFT curve that comes with the package (symreg/data/argon, settings of its demo.toml): members
of the fronts of several seeds, started from no known form, against Lennard-Jones, Mie, Morse,
Buckingham and Tang-Toennies forms fitted to the same data. The table is Markdown; errors are
training errors in units of the sigmas (0.1 meV per atom, 1 meV/Å), as in front.csv.
"""

from __future__ import annotations

import argparse
from importlib.resources import files

from symreg import config
from symreg.islands import Islands
from symreg.pipeline.delivery import Candidate, pareto, tidy
from symreg.pipeline.preparation import Prepared, baselines, prepare
from symreg.pipeline.searching import island_settings


def front_of(seeds: int, epochs: int) -> tuple[Prepared, list[Candidate]]:
    """The joint front of several searches."""
    run_file = str(files("symreg") / "data" / "argon" / "demo.toml")
    found: list[Candidate] = []
    for seed in range(seeds):
        settings = config.load(run_file, {"search.seed": str(seed)})
        prepared = prepare(settings)
        for state in Islands(prepared.design, island_settings(settings)).search():
            if state.epoch == epochs:
                found += tidy(prepared, state.front)
                break
    return prepared, pareto(found)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    prepared, front = front_of(options.seeds, options.epochs)
    rows = [
        (c.expression.complexity, c.expression.n_constants, c.error, f"`{c.expression.text(5)}`")
        for c in front
    ]
    rows += [
        (found["complexity"], found["n_constants"], found["error"], f"**{name}**")
        for name, found in baselines(prepared).items()
    ]
    print("| complexity | constants | error | formula, x = r/r0, eV |\n|---|---|---|---|")
    for complexity, constants, error, text in sorted(rows, key=lambda row: (row[0], row[2])):
        print(f"| {complexity} | {constants} | {error:.4g} | {text} |")
    print(f"| | | {prepared.design.floor.error:.4g} | floor: any smooth pair term |")


if __name__ == "__main__":
    main()
