"""Which formula describes the argon dimer best at each complexity.

    python benchmarks/argon_forms.py [--seeds 3] [--epochs 20]

The DFT curve that comes with the package (symreg/data/argon, settings of its demo.toml): the joint
front of several seeds, started from no known form, against those of ``symreg.terms.known``
fitted to the same data.

Comes out: a Markdown table. Errors are in units of the sigmas (0.1 meV per atom, 1 meV/Å) as in
front.csv; the energy's RMSE on the validation points is in µeV per atom. "Wins" marks what no
simpler or equally simple formula of the table beats.
"""

from __future__ import annotations

import argparse
import math
from importlib.resources import files
from time import perf_counter

import numpy as np
from common import machine

from symreg import config
from symreg.runs.pipeline.delivery import Contender, pareto, tidy
from symreg.runs.pipeline.modes import island_settings
from symreg.runs.pipeline.preparation import Prepared, best_fit, prepare
from symreg.searching.islands import Islands
from symreg.terms import Expression
from symreg.terms.known import FORMS, terms_of_form

Row = tuple[int, float, str, Expression]


def front_of(seeds: int, epochs: int) -> tuple[Prepared, list[Contender]]:
    """The joint front of several searches."""
    run_file = str(files("symreg") / "data" / "argon" / "demo.toml")
    found: list[Contender] = []
    for seed in range(seeds):
        settings = config.load(run_file, {"search.seed": str(seed)})
        prepared = prepare(settings)
        for state in Islands(prepared.design, island_settings(settings)).search():
            if state.epoch == epochs:
                found += tidy(prepared, state.front)
                break
    return prepared, pareto(found)


def known_forms(prepared: Prepared) -> tuple[list[Row], list[str]]:
    """Known forms fitted to the data, and the names of those that have no valid fit."""
    rows, failed = [], []
    for form in FORMS:
        expression, loss = best_fit(prepared, terms_of_form(form, prepared.design.keys))
        if math.isfinite(loss):
            error = prepared.design.error(loss)
            rows.append((expression.complexity, error, f"**{form.name}**", expression))
        else:
            failed.append(form.name)
    return rows, failed


def validation(prepared: Prepared, expression: Expression) -> float:
    """Energy RMSE of the validation points in µeV per atom; atomic energies are given."""
    design, e0 = prepared.design, prepared.e0(expression)
    fitted = np.array([e0[name] for name in design.species] if design.n_e0 else [])
    found = design.rmse(fitted, prepared.fitter.coordinates(expression))
    return 1e6 * found["validation"].energy.rmse


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    print(machine())
    began = perf_counter()
    prepared, front = front_of(options.seeds, options.epochs)
    took = perf_counter() - began
    print(f"{options.seeds} seeds of {options.epochs} epochs on one core: {took:.0f} s\n")
    rows, failed = known_forms(prepared)
    rows += [
        (c.expression.complexity, c.error, f"`{c.expression.text(5)}`", c.expression) for c in front
    ]
    titles = ("complexity", "constants", "error", "validation", "wins", "formula, x = r/r0, eV")
    print(f"| {' | '.join(titles)} |\n{'|---' * len(titles)}|")
    lowest = math.inf
    for complexity, error, text, expression in sorted(rows, key=lambda row: row[:2]):
        wins = "yes" if error < lowest else ""
        lowest = min(lowest, error)
        cells = (expression.n_constants, f"{error:.4g}", f"{validation(prepared, expression):.3g}")
        print(f"| {complexity} | {' | '.join(map(str, cells))} | {wins} | {text} |")
    for name in failed:
        print(f"| | | no valid fit | | | **{name}** |")
    print(f"| | | {prepared.design.floor.error:.4g} | | | floor: any smooth pair term |")


if __name__ == "__main__":
    main()
