"""How soon an evolution reaches the exact front that an exhaustive search finds.

    python benchmarks/exhaustive_front.py [--seeds 10] [--limit 14] [--seconds 120]
                                         [--set NAME=VALUE ...]

Data: argon (pair terms) and silicon (pair and separable three-body terms) as they come with the
package, with the settings of their demo.toml and no known forms as seeds. All forms of one or two
terms up to the limit are fitted once. Then each seed evolves, with epochs of two generations, until
its front has, at every complexity of the exact front, an error no more than 1 % above it, or until
its time is up. All run on one core; seconds are CPU seconds without compilation.

Comes out: the exact front; for each seed the seconds until it was reached, or which part of the
exact front was; and the summary.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from time import process_time

from common import machine, with_settings

from symreg import config
from symreg.runs.pipeline.delivery import contender_of
from symreg.runs.pipeline.modes import TERM_COMPLEXITY, island_settings
from symreg.runs.pipeline.preparation import Prepared, prepare
from symreg.searching.exhaustive.examine import Examiner
from symreg.searching.exhaustive.listing import list_forms
from symreg.searching.exhaustive.search import Exhaustive
from symreg.searching.individuals import Individual
from symreg.searching.islands import Islands

WITHIN = 1.01


def exact_front(prepared: Prepared, limit: int) -> list[Individual]:
    """The front of all forms, after a line on what it took."""
    began = process_time()
    forms = list_forms(prepared.design.keys, limit, min(limit, TERM_COMPLEXITY))
    search = Exhaustive(Examiner(forms, prepared.fitter))
    *_, last = search.search()
    front = search.front(last)
    print(f"{last.examined:,} forms up to {limit} in {process_time() - began:.0f} s", flush=True)
    for individual in front:
        text = contender_of(prepared, individual).expression.text(named=len(forms.keys) > 1)
        print(f"  {individual.complexity:3d}  {individual.error:.4g}  {text}", flush=True)
    return front


def reached(exact: Sequence[Individual], found: Sequence[Individual]) -> int:
    """Members of the exact front that are equalled."""
    return sum(
        any(i.complexity <= one.complexity and i.error <= WITHIN * one.error for i in found)
        for one in exact
    )


def evolve(
    prepared: Prepared, exact: Sequence[Individual], seed: int, seconds: float
) -> tuple[float, int]:
    """Seconds, and members of the exact front that are reached then."""
    settings = replace(island_settings(prepared.settings), seed=seed, generations_per_epoch=2)
    began = process_time()
    for state in Islands(prepared.design, settings, fitter=prepared.fitter).search():
        passed, count = process_time() - began, reached(exact, state.front)
        if count == len(exact) or passed > seconds:
            return passed, count
    raise AssertionError("islands search for ever")


def measure(name: str, options: argparse.Namespace) -> None:
    """Print what one class gives."""
    run_file = str(files("symreg") / "data" / name / "demo.toml")
    prepared = prepare(config.load(run_file, options.changes))
    print(f"\n{name}")
    evolve(prepared, [], 0, 0.0)  # compiles, or loads what was compiled before
    exact = exact_front(prepared, options.limit)
    times = []
    for seed in range(options.seeds):
        passed, count = evolve(prepared, exact, seed, options.seconds)
        print(f"seed {seed:2d}  {passed:6.1f} s, {count} of {len(exact)} members", flush=True)
        if count == len(exact):
            times.append(passed)
    print(f"{len(times)} of {options.seeds} seeds reached the exact front", end="")
    print(f"; median {statistics.median(times):.1f} s, worst {max(times):.1f} s" if times else "")


def main() -> None:
    """Measure both classes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--limit", type=int, default=14)
    parser.add_argument("--seconds", type=float, default=120.0)
    options = with_settings(parser)
    print(machine())
    for name in ("argon", "silicon"):
        measure(name, options)


if __name__ == "__main__":
    main()
