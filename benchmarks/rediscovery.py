"""How often a known potential is found from energies and forces alone, and how soon.

    python benchmarks/rediscovery.py [--seeds 10] [--minutes 1] [--workers 1] [--noise both]
        [--cases NAME ...] [--tuned-half | --reported-half] [--json FILE] [--table]

Cases and their data: ``rediscovery_cases.py``, made anew. Rules: no library seeds, a random start,
the production primitive set, nothing of the form supplied but the cutoff functions; the same
settings for all cases, chosen on those of the tuned half. ``published_argon``, in neither half, has
its labels from lennard_jones_argon.extxyz of Hernandez et al., npj Comput. Mater. 5, 112 (2019), in
--data, $SYMREG_SHARED_DATA or ../shared/data beside the checkout.

Success, said of what stands on the front after an epoch:

symbolic  after simplification a member has exactly the true terms, multiplied out: the same
          structures, integer exponents as integers, and all constants within 0.1 %. With noise
          constants inside functions within 25 %, and the numbers in front of them within 50 %, of
          those of the true form fitted to the same labels.
numeric   clean labels only: the best member's error is below 1e-6 of the spread of the labels.

Time: CPU seconds of one core from reading the data on, searching and simplifying, until then; what
other programs do hardly changes it. Imports and compilation, which are cached between runs, are not
included. A trial ends with success (both, on clean labels), at the limit, or when a member that is
no more complex than the true form fits noisy labels better than that form fitted to them: the true
form cannot stand on the front then, and this is no failure of the search but of the labels to tell.
It counts as a miss all the same, and the table says how many of them there are.

Comes out: a line for each trial, the misses, and with --table that of docs/measured.md. --json
keeps trials in a file and goes on with those that it lacks.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from itertools import islice
from pathlib import Path
from time import process_time

import numpy as np
from common import machine
from needs import shared_data
from rediscovery_cases import CASES, Case
from rediscovery_matching import Addend, agree, normal
from threadpoolctl import threadpool_limits

from symreg import config
from symreg.runs.pipeline.delivery import contender_of, tidy
from symreg.runs.pipeline.modes import island_settings
from symreg.runs.pipeline.preparation import Prepared, prepare
from symreg.searching.individuals import Individual
from symreg.searching.islands import Islands

SEARCH = {"islands": 2, "population_size": 200, "generations_per_epoch": 2}
"""Settings of every search. Each island is looked at after every two generations."""
NUMERIC = 1e-6
NEAR, SPARE = 1e-3, 1.02
"""Members are simplified and compared when their errors are below this part of the spread of the
labels and this many times that of the true form."""
MOST_COMPARED = 5
"""Of these, as many in each epoch: the simplest, or with clean labels the best."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Outcome of one search; times are None where there was no success."""

    case: str
    noisy: bool
    seed: int
    minutes: float
    symbolic: float | None
    """CPU seconds."""
    symbolic_candidates: int | None
    numeric: float | None
    numeric_candidates: int | None
    seconds: float
    candidates: int
    lowest: float
    """Error of the best member as a part of the spread of the labels."""
    best: str
    """That member."""
    beaten: str = ""
    """The best member that is no more complex than the true form but fits better."""

    @property
    def key(self) -> tuple[str, bool, int, float]:
        """Its name and settings, which tell it from others."""
        return self.case, self.noisy, self.seed, self.minutes


@dataclass(frozen=True)
class Watch:
    """Looks for the true form on the front."""

    case: Case
    prepared: Prepared
    noisy: bool

    @cached_property
    def truth(self) -> tuple[int, float]:
        """Complexity and error of the true form, fitted to these labels."""
        fitted, loss = self.prepared.fitter.refit(self.case.truth(self.prepared.lengths.r0).terms)
        return fitted.complexity, self.prepared.design.error(loss)

    @cached_property
    def references(self) -> list[list[Addend]]:
        """The true form in every way that it can be written."""
        refit = self.prepared.fitter.refit if self.noisy else None
        return self.case.references(self.prepared.lengths.r0, refit)

    def better(self, front: Sequence[Individual]) -> Individual | None:
        """The best member that is no more complex than the true form but fits better."""
        size, error = self.truth
        found = [i for i in front if i.complexity <= size and i.error < error]
        return found[-1] if self.noisy and found else None

    def is_found(self, front: Sequence[Individual], known: set[object]) -> bool:
        """Whether a member is the true form; ``known`` are those that are not."""
        bar = NEAR * self.prepared.spread + SPARE * self.truth[1]
        near = [i for i in front if i.error < bar and (i.coded_terms, i.weights) not in known]
        # Where many are near, those of noisy labels only fit the noise, those of clean ones do not.
        for individual in near[:MOST_COMPARED] if self.noisy else near[-MOST_COMPARED:]:
            known.add((individual.coded_terms, individual.weights))
            for member in tidy(self.prepared, [individual]):
                found = normal(member.expression)
                if any(agree(found, true, self.noisy) for true in self.references):
                    return True
        return False


def settings_for(case: Case, file: Path, seed: int) -> config.Settings:
    """The run file of one trial."""
    record = {
        "data": {"train": [str(file)]},
        "terms": case.table,
        "search": {**SEARCH, "seed": seed},
    }
    return config.from_dict(record)


@cache
def warm(case: str) -> None:
    """Load what is compiled, before anything is timed."""
    with tempfile.TemporaryDirectory() as name:
        file = CASES[case].write(Path(name), noisy=False)
        prepared = prepare(settings_for(CASES[case], file, seed=10**6))
        search = Islands(
            prepared.design,
            island_settings(prepared.settings),
            fitter=prepared.fitter,
            gate=prepared.gate,
        ).search()
        (state,) = islice(search, 1)
        tidy(prepared, state.front)


def trial(name: str, noisy: bool, seed: int, minutes: float) -> Trial:
    """One search."""
    case = CASES[name]
    with threadpool_limits(1), tempfile.TemporaryDirectory() as folder:
        warm(name)
        file = case.write(Path(folder), noisy)
        began = process_time()
        prepared = prepare(settings_for(case, file, seed))
        watch = Watch(case, prepared, noisy)
        return _search(watch, began, seed, minutes)


def _search(watch: Watch, began: float, seed: int, minutes: float) -> Trial:
    prepared, known = watch.prepared, set[object]()
    symbolic = numeric = None
    settings = island_settings(prepared.settings)
    islands = Islands(
        prepared.design, settings, fitter=prepared.fitter, gate=prepared.gate
    ).search()
    for state in islands:
        lowest = state.front[-1].error / prepared.spread if state.front else math.inf
        if symbolic is None and watch.is_found(state.front, known):
            symbolic = process_time() - began, state.candidates
        if numeric is None and not watch.noisy and lowest < NUMERIC:
            numeric = process_time() - began, state.candidates
        done = symbolic and (numeric or watch.noisy or watch.case.published)
        beaten = None if symbolic else watch.better(state.front)
        seconds = process_time() - began
        if done or beaten or seconds > 60 * minutes:
            return Trial(
                case=watch.case.name,
                noisy=watch.noisy,
                seed=seed,
                minutes=minutes,
                symbolic=symbolic and round(symbolic[0], 2),
                symbolic_candidates=symbolic and symbolic[1],
                numeric=numeric and round(numeric[0], 2),
                numeric_candidates=numeric and numeric[1],
                seconds=round(seconds, 2),
                candidates=state.candidates,
                lowest=lowest,
                best=_text(prepared, state.front[-1] if state.front else None),
                beaten=_text(prepared, beaten),
            )
    raise AssertionError("islands search for ever")


def _text(prepared: Prepared, individual: Individual | None) -> str:
    if individual is None:
        return ""
    return contender_of(prepared, individual).expression.text(6, named=True)


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """95 % interval of a rate, E. B. Wilson, J. Am. Stat. Assoc. 22, 209 (1927)."""
    z, rate = 1.96, successes / trials
    middle = rate + z * z / (2 * trials)
    half = z * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials**2))
    scale = 1 + z * z / trials
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def rate(times: Sequence[float | None]) -> str:
    """Successes of trials with their interval."""
    won = sum(time is not None for time in times)
    low, high = wilson(won, len(times))
    return f"{won} of {len(times)} ({100 * low:.0f} to {100 * high:.0f} %)"


def quantile(times: Sequence[float | None], part: float) -> str:
    """Quantile of all trials, a miss being later than all; a dash where that is a miss."""
    ordered = sorted(math.inf if time is None else time for time in times)
    value = ordered[math.ceil(part * len(ordered)) - 1]
    return f"{value:.1f}" if math.isfinite(value) else "-"


def table(trials: Iterable[Trial]) -> str:
    """Markdown: a row for each case and kind of labels."""
    lines = [
        "| case | half | labels | symbolic (95 % interval) | median, 90th percentile, s "
        "| numeric | median, 90th percentile, s |",
        "|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[str, bool], list[Trial]] = {}
    for one in trials:
        groups.setdefault((one.case, one.noisy), []).append(one)
    for case in CASES.values():
        for noisy in (False, True):
            found = groups.get((case.name, noisy))
            if found:
                lines.append(_row(case, noisy, found))
    return "\n".join(lines)


def _row(case: Case, noisy: bool, found: Sequence[Trial]) -> str:
    half = "" if case.published else "tuned" if case.tuned else "reported"
    beaten = sum(bool(one.beaten) for one in found)
    labels = f"1 % noise{f', {beaten} beaten' if beaten else ''}" if noisy else "clean"
    cells = [case.name, half, labels]
    numeric = [] if noisy or case.published else [[one.numeric for one in found]]
    for times in ([one.symbolic for one in found], *numeric):
        cells += [rate(times), f"{quantile(times, 0.5)}, {quantile(times, 0.9)}"]
    return f"| {' | '.join(cells + [''] * (7 - len(cells)))} |"


def line(one: Trial) -> str:
    """Outcome of one trial."""
    parts = [f"{one.case} {'noisy' if one.noisy else 'clean'} seed {one.seed}:"]
    for word in ("symbolic", "numeric"):
        if word == "symbolic" or not one.noisy:
            seconds, candidates = getattr(one, word), getattr(one, f"{word}_candidates")
            found = f"{seconds:.1f} s ({candidates} candidates)" if candidates else "missed"
            parts.append(f"{word} {found};")
    parts.append(f"lowest {one.lowest:.1e} of the spread")
    return " ".join(parts)


def run(tasks: Sequence[tuple[str, bool, int, float]], workers: int) -> Iterator[Trial]:
    """Trials as they end, each in one process at a time."""
    if workers == 1:
        yield from (trial(*task) for task in tasks)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        yield from pool.map(trial, *zip(*tasks, strict=True))


def _known(file: Path | None) -> list[Trial]:
    if file is None or not file.exists():
        return []
    return [Trial(**json.loads(text)) for text in file.read_text().splitlines()]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, help="all but published_argon")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=1.0, help="CPU time of each trial at most")
    parser.add_argument("--workers", type=int, default=1, help="trials at the same time")
    parser.add_argument("--noise", choices=("clean", "noisy", "both"), default="both")
    halves = parser.add_mutually_exclusive_group()
    halves.add_argument("--tuned-half", action="store_true")
    halves.add_argument("--reported-half", action="store_true")
    parser.add_argument("--json", type=Path, help="file of trials, one a line, to go on with")
    parser.add_argument("--table", action="store_true", help="print the table in Markdown")
    parser.add_argument("--data", type=Path, default=shared_data(), help="for published_argon")
    return parser.parse_args()


def main() -> None:
    """Run the trials that are missing; print what came of all."""
    options = _options()
    os.environ["SYMREG_SHARED_DATA"] = str(options.data.resolve())  # for workers, too
    print(__doc__[__doc__.index("Success,") : __doc__.index("Comes out")])
    print(f"{machine()}; {options.workers} trials at a time, each on one core; {SEARCH}")
    names = options.cases or [case.name for case in CASES.values() if not case.published]
    if options.tuned_half or options.reported_half:
        names = [n for n in names if CASES[n].tuned == options.tuned_half]
    kinds = {"clean": [False], "noisy": [True], "both": [False, True]}[options.noise]
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    tasks = [
        (name, noisy, seed, options.minutes)
        for seed in seeds
        for name in names
        for noisy in kinds
        if not (noisy and CASES[name].published)
    ]
    known = {one.key: one for one in _known(options.json)}
    for one in run([task for task in tasks if task not in known], options.workers):
        known[one.key] = one
        print(line(one), flush=True)
        if options.json:
            with options.json.open("a") as stream:
                stream.write(json.dumps(asdict(one)) + "\n")
    trials = [known[task] for task in tasks]
    print("\nmisses:")
    for one in trials:
        if one.symbolic is None:
            why = f"a form as simple fits better: {one.beaten}" if one.beaten else one.best
            print(f"{line(one)}: {why}")
    print(f"\n{table(trials) if options.table else summary(trials)}")


def summary(trials: Sequence[Trial]) -> str:
    """One line for all trials: successes, and candidates until then, misses at their limit."""
    logs = [math.log(one.symbolic_candidates or one.candidates) for one in trials]
    seconds = [math.log(one.symbolic or one.seconds) for one in trials]
    return (
        f"symbolic {rate([one.symbolic for one in trials])}; geometric means until then, or the "
        f"limit: {math.exp(np.mean(logs)):.0f} candidates, {math.exp(np.mean(seconds)):.2f} s"
    )


if __name__ == "__main__":
    main()
