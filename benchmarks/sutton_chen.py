"""Whether Sutton-Chen is found again from energies and forces of copper, and how soon.

    python benchmarks/sutton_chen.py [--seeds 10] [--minutes 6] [--data FOLDER]
                                    [--set NAME=VALUE ...]

Data: sutton_chen_copper.extxyz, in --data, $SYMREG_SHARED_DATA or ../shared/data beside the
checkout, of Hernandez et al., npj Comput. Mater. 5, 112 (2019), 400 structures of 32 atoms at 300
to 20000 K. Rules: no library seeds, a random start, the production primitive set, nothing of the
form supplied but the cutoff function (POET's, 3 to 5 Å).

Success: after simplification a member of the front has exactly the terms x^-9 and sqrt(sum(x^-6)),
exponents as integers, and both constants, in the published units (644.52 and 527.6), within 0.5 %.
Time: reading, projecting, searching with 2 workers and simplifying, until that member first stands
on the front; it is looked for after every epoch whose lowest error is below 1e-3 of the spread of
the labels.

Comes out: a line for each seed, and the summary.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter

from common import machine, over_seeds, two_processes, with_settings
from needs import data_file, shared_data

from symreg import config
from symreg.runs.pipeline.delivery import tidy
from symreg.runs.pipeline.modes import island_settings
from symreg.runs.pipeline.preparation import Prepared, prepare
from symreg.searching.islands import Islands
from symreg.terms import Expression

WITHIN = 5e-3
LOW_ENOUGH = 1e-3
PUBLISHED = {"x^-9": 644.52, "sqrt(sum(x^-6))": 527.6}


def settings_for(data: Path, seed: int, changes: Mapping[str, str]) -> config.Settings:
    """The run file of one seed."""
    record = {
        "data": {"train": [str(data_file(data, "sutton_chen_copper.extxyz"))]},
        "terms": {
            "many_body": True,
            "library_seeds": False,
            "cutoff": "poet",
            "r_cut": 5.0,
            "r_on": 3.0,
        },
        "search": {
            "seed": seed,
            "islands": 2,
            "population_size": 200,
            "generations_per_epoch": 2,
        },
    }
    return config.from_dict(record, overrides=changes)


def largest_deviation(expression: Expression, r0: float) -> float | None:
    """Of both constants, relative; None where the terms are not the published ones."""
    weight = {str(term.tree): value for term, value in expression.weighted()}
    if set(weight) != set(PUBLISHED) or weight["sqrt(sum(x^-6))"] > 0:
        return None
    # Every atom has half of its pairs; the published form sums over all neighbours.
    repulsion = 0.5 * weight["x^-9"] * r0**9
    density = weight["sqrt(sum(x^-6))"] ** 2 * r0**6
    found = {"x^-9": repulsion, "sqrt(sum(x^-6))": density}
    return max(abs(found[name] / value - 1) for name, value in PUBLISHED.items())


def search(prepared: Prepared, scratch: Path, minutes: float) -> tuple[int, int, float] | None:
    """Epochs, candidates and deviation when the form stands on the front; None if it does not."""
    settings = island_settings(prepared.settings)
    began = perf_counter()
    with two_processes(prepared, scratch) as workers:
        islands = Islands(prepared.design, settings, (), *workers, prepared.fitter, prepared.gate)
        for state in islands.search():
            if state.front and state.front[-1].error < LOW_ENOUGH * prepared.spread:
                for member in tidy(prepared, state.front):
                    off = largest_deviation(member.expression, prepared.lengths.r0)
                    if off is not None and off < WITHIN:
                        return state.epoch, state.candidates, off
            if perf_counter() - began > 60 * minutes:
                lowest = state.front[-1].error / prepared.spread if state.front else float("nan")
                print(f"  lowest error {lowest:.1e} of the spread, {state.candidates} candidates")
                return None
    raise AssertionError("islands search for ever")


def main() -> None:
    """Print a line for each seed and the summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=6.0, help="most for each seed")
    parser.add_argument("--data", type=Path, default=shared_data(), help="folder of the data")
    options = with_settings(parser)
    print(f"{machine()}; 2 workers")
    with tempfile.TemporaryDirectory() as name:
        over_seeds(
            options.seeds,
            lambda seed: search(
                prepare(settings_for(options.data, seed, options.changes)),
                Path(name),
                options.minutes,
            ),
        )


if __name__ == "__main__":
    main()
