"""Whether Lennard-Jones is found from energies and forces alone, and how soon.

    python benchmarks/rediscovery.py [--seeds 20] [--epochs 5] [--data FOLDER]

Data: lennard_jones_argon.extxyz, in --data, $SYMREG_SHARED_DATA or ../shared/data beside the
checkout, of Hernandez et al., npj Comput. Mater. 5, 112 (2019), tabulated
from eps = 0.012340 eV and sigma = 3.350 Å. Rules: no library seeds, a random start, the production
primitive set, nothing of the form supplied but the cutoff function (POET's, 4.355 to 7.5 Å).

Success: after simplification a member of the front has exactly the terms x^-12 and x^-6 as
integers, with eps = w6^2 / (4 w12) and sigma = r0 (w12 / -w6)^(1/6) within 0.1 %. Time: reading,
projecting, searching on one core and simplifying, until that member first stands on the front;
imports and compilation, which are cached between runs, are not included.

Then the same seed is given a whole run as the run file's defaults have it (4 islands of 400, 10
generations in an epoch), of a fixed number of epochs, on one core: its seconds with simplification,
whether the true form stands on the delivered front, and whether it is the recommended member.

Comes out: a line for each seed, and the summary.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from common import machine, shared_data

from symreg import config
from symreg.expression import Expression
from symreg.islands import Islands, IslandSettings
from symreg.pipeline.delivery import quick_record, tidy
from symreg.pipeline.preparation import Prepared, prepare
from symreg.pipeline.searching import island_settings
from symreg.runs import Member, recommended

EPSILON, SIGMA = 0.012340, 3.350
WITHIN = 1e-3
MOST_GENERATIONS = 200
FIELDS = ("number", "complexity", "n_constants", "error", "expression", "errors")


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


def whole_run(prepared: Prepared, seed: int, epochs: int) -> tuple[bool, bool]:
    """Whether the front of a run with default settings holds the true form, and recommends it."""
    search_settings = replace(prepared.settings.search, seed=seed)
    settings = island_settings(replace(prepared.settings, search=search_settings))
    states = Islands(prepared.design, settings).search()
    state = next(state for state in states if state.epoch == epochs)
    front, right = [], []
    for number, candidate in enumerate(tidy(prepared, state.front)):
        record = quick_record(prepared, candidate, number)
        front.append(
            Member(**{name: record[name] for name in FIELDS}, record=record, folder=Path())
        )
        if is_lennard_jones(candidate.expression, prepared.r0):
            right.append(front[-1])
    return bool(right), recommended(front) in right


def main() -> None:
    """Print a line for each seed and the summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--data", type=Path, default=shared_data(), help="folder of the data")
    options = parser.parse_args()
    settings = settings_for(options.data.resolve())
    prepared = prepare(settings)
    search(prepared, seed=10**6)  # compiles, or loads what was compiled before
    print(f"{machine()}; one core")
    first, whole, preparing, on_front, recommends = [], [], [], 0, 0
    for seed in range(options.seeds):
        began = perf_counter()
        prepared = prepare(settings)
        preparing.append(perf_counter() - began)
        generations = search(prepared, seed)
        found = perf_counter() - began
        right, chosen = whole_run(prepared, seed, options.epochs)
        whole.append(preparing[-1] + perf_counter() - began - found)
        outcome = "not found" if generations is None else f"generation {generations}"
        judged = "recommended" if chosen else "on the front" if right else "not on the front"
        print(f"seed {seed:2d}  {found:6.2f} s  {outcome}; whole run {whole[-1]:.2f} s, {judged}")
        if generations is not None:
            first.append(found)
        on_front, recommends = on_front + right, recommends + chosen
    n = options.seeds
    print(f"reading and projecting: median {statistics.median(preparing):.2f} s")
    print(f"until it first stands on the front: {len(first)} of {n}{describe(first)}")
    print(f"whole runs of {options.epochs} epochs: front {on_front} of {n}, ", end="")
    print(f"recommended {recommends} of {n}{describe(whole)}")


def describe(seconds: list[float]) -> str:
    """Median and worst, if there are any."""
    if not seconds:
        return ""
    return f"; median {statistics.median(seconds):.2f} s, worst {max(seconds):.2f} s"


if __name__ == "__main__":
    main()
