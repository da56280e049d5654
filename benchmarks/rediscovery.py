"""Whether Lennard-Jones is found from energies and forces alone, and how soon.

    python benchmarks/rediscovery.py [--seeds 20] [--data ../shared/data]

Data: lennard_jones_argon.extxyz of Hernandez et al., npj Comput. Mater. 5, 112 (2019), tabulated
from eps = 0.012340 eV and sigma = 3.350 Å. Rules: no library seeds, a random start, the production
primitive set, nothing of the form supplied but the cutoff function (POET's, 4.355 to 7.5 Å).

Success: after simplification a member of the front has exactly the terms x^-12 and x^-6 as
integers, with eps = w6^2 / (4 w12) and sigma = r0 (w12 / -w6)^(1/6) within 0.1 %. Time: reading,
projecting, searching on one core and simplifying, until that member first stands on the front;
imports and compilation, which are cached between runs, are not included.
"""

from __future__ import annotations

import argparse
import os
import statistics
from pathlib import Path
from time import perf_counter

from symreg import config
from symreg.expression import Expression
from symreg.islands import Islands, IslandSettings
from symreg.pipeline.delivery import tidy
from symreg.pipeline.preparation import Prepared, prepare
from symreg.runs import machine

EPSILON, SIGMA = 0.012340, 3.350
WITHIN = 1e-3
MOST_GENERATIONS = 200


def settings_for(data: Path) -> config.Settings:
    """The run file of the benchmark."""
    record = {
        "data": {"train": [str(data / "lennard_jones_argon.extxyz")]},
        "terms": {"r_cut": 7.5, "r_on": 4.355, "cutoff": "poet", "library_seeds": False},
    }
    return config.from_dict(record)


def is_lennard_jones(expression: Expression, r0: float) -> bool:
    """Whether the form and both constants are those that made the data."""
    weight = {
        str(term.tree): value
        for term, value in zip(expression.terms, expression.weights, strict=True)
    }
    if set(weight) != {"x^-12", "x^-6"} or weight["x^-6"] >= 0 or weight["x^-12"] <= 0:
        return False
    epsilon = weight["x^-6"] ** 2 / (4 * weight["x^-12"])
    sigma = r0 * (-weight["x^-12"] / weight["x^-6"]) ** (1 / 6)
    return abs(epsilon / EPSILON - 1) < WITHIN and abs(sigma / SIGMA - 1) < WITHIN


def search(prepared: Prepared, seed: int) -> int | None:
    """Generations until the true form stands on the front, simplified; None if it never does."""
    one_island = IslandSettings(islands=1, generations_per_epoch=1, seed=seed)
    for state in Islands(prepared.design, one_island).search():
        front = tidy(prepared, state.front)
        if any(is_lennard_jones(member.expression, prepared.r0) for member in front):
            return state.epoch
        if state.epoch >= MOST_GENERATIONS:
            return None
    raise AssertionError("islands search for ever")


def main() -> None:
    """Print a line for each seed and the summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    shared = os.environ.get("SYMREG_SHARED_DATA", "../shared/data")
    parser.add_argument("--data", type=Path, default=Path(shared))
    options = parser.parse_args()
    settings = settings_for(options.data.resolve())
    search(prepare(settings), seed=10**6)  # compiles, or loads what was compiled before
    here = machine()
    print(f"{here['processor']}, one core; seconds from reading the data, compiled code cached")
    seconds = []
    for seed in range(options.seeds):
        began = perf_counter()
        generations = search(prepare(settings), seed)
        took = perf_counter() - began
        outcome = "not found" if generations is None else f"generation {generations}"
        print(f"seed {seed:2d}  {took:6.2f} s  {outcome}", flush=True)
        if generations is not None:
            seconds.append(took)
    print(f"{len(seconds)} of {options.seeds} found", end="")
    if seconds:
        print(f"; median {statistics.median(seconds):.2f} s, worst {max(seconds):.2f} s", end="")
    print()


if __name__ == "__main__":
    main()
