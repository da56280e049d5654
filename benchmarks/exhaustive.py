"""How fast all forms up to a complexity are listed and fitted, and how far ten minutes reach.

    python benchmarks/exhaustive.py [--seconds 20] [--minutes 10] [--workers 2] [--limit N]

Data: argon and silicon as they come with the package, with the settings of their demo.toml.
Classes: pair forms for argon, terms up to 11 and forms up to 18; pair and separable forms for
silicon, terms up to 11 and forms up to 16.

Forms of each complexity are fitted in chunks drawn at random, on one core, for as long as its share
of the seconds; the time for all of them follows from their number. How good the starts are is seen
from others: forms drawn alike, with four times as many.

Comes out: a Markdown table for each class: forms of each complexity, forms per second and core,
time of a search up to there on so many workers, and the part of all valid forms, and of the best
tenth of these, whose loss is within 2 % of what four times as many starts reach.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from importlib.resources import files

import numpy as np
from common import machine
from numpy.typing import NDArray

from symreg import config
from symreg.fit.projected.fitter import Fitter
from symreg.runs.pipeline.preparation import prepare
from symreg.searching.exhaustive.examine import Examiner, ExamineSettings
from symreg.searching.exhaustive.forms import Forms
from symreg.searching.exhaustive.listing import list_forms
from symreg.terms.kinds import adjective_of

CLASSES = {"argon": (18, 11), "silicon": (16, 11)}
CHUNK = 1000
SMALL = 60
WITHIN = 1.02


def losses(examiner: Examiner, complexity: int, start: int, stop: int) -> NDArray[np.float64]:
    """The lowest loss of each form over all starts; inf where none is valid."""
    terms = examiner.forms.terms(complexity, start, stop)
    batch, place, form = examiner.candidates(terms)
    fits = examiner.fitter.fit_arrays(batch, examiner.settings.fit)
    best = np.full(terms.place.size, np.inf)
    np.minimum.at(best, form, np.where(examiner.are_valid(fits, place), fits.losses, np.inf))
    return best


def chunks(size: int, length: int, seed: int) -> Sequence[tuple[int, int]]:
    """Ranges of places, in random order."""
    starts = np.arange(0, size, length)
    np.random.default_rng(seed).shuffle(starts)
    return [(int(start), min(int(start) + length, size)) for start in starts]


def rate(examiner: Examiner, complexity: int, seconds: float) -> float:
    """Forms per second of a complexity, all that ``Examiner.examine`` does included."""
    count, began = 0, time.process_time()
    for start, stop in chunks(examiner.forms.sizes[complexity], CHUNK, 0):
        count += examiner.examine(complexity, start, stop).count
        if time.process_time() - began > seconds:
            break
    return count / (time.process_time() - began)


def quality(few: Examiner, many: Examiner, complexity: int, seconds: float) -> tuple[float, float]:
    """Parts of the valid forms, and of the best tenth, that few starts fit as well as many."""
    pairs, began = [], time.process_time()
    for start, stop in chunks(few.forms.sizes[complexity], SMALL, 1):
        pairs.append([losses(e, complexity, start, stop) for e in (few, many)])
        if time.process_time() - began > seconds:
            break
    one, two = np.concatenate(pairs, axis=1)
    valid = np.isfinite(two)
    one, two = one[valid], np.minimum(one, two)[valid]
    good = one <= WITHIN * two
    return float(good.mean()), float(good[two <= np.quantile(two, 0.1)].mean())


def measure(
    name: str, seconds: float, minutes: float, workers: int, most: int | None = None
) -> None:
    """Print the table of one class."""
    prepared = prepare(config.load(str(files("symreg") / "data" / name / "demo.toml")))
    limit, term_limit = (min(size, most or size) for size in CLASSES[name])
    began = time.process_time()
    forms: Forms = list_forms(prepared.design.keys, limit, term_limit)
    listing = time.process_time() - began
    kinds = " and ".join(adjective_of(key.over) for key in forms.keys)
    print(f"\n{name}, {kinds}: terms up to {term_limit} listed in {listing:.1f} s, ", end="")
    print(f"{sum(forms.counts.values()):,} forms up to {limit}", flush=True)
    print(
        f"\n| complexity | forms | per second and core | up to there, {workers} workers |", end=""
    )
    print(" as with 4 times the starts | the best tenth |")
    print("|---|---|---|---|---|---|")
    fitter = Fitter(prepared.design)
    few = Examiner(forms, fitter)
    many = Examiner(forms, fitter, ExamineSettings(starts=4 * few.settings.starts))
    few.examine(3)  # compiles, or loads what was compiled before
    total, reached = listing, 0
    share = seconds / len([c for c in forms.counts.values() if c])
    for complexity, count in forms.counts.items():
        if not count:
            continue
        speed = rate(few, complexity, share)
        total += count / speed / workers
        reached = complexity if total <= 60 * minutes else reached
        every, best = quality(few, many, complexity, share)
        print(f"| {complexity} | {count:,} | {speed:,.0f} | {total:,.0f} s ", end="")
        print(f"| {100 * every:.1f} % | {100 * best:.1f} % |", flush=True)
    print(f"\n{minutes:g} minutes on {workers} workers, extrapolated: up to complexity {reached}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="of fitting for each class")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--limit", type=int, help="most complex form, below that of the class")
    options = parser.parse_args()
    print(machine())
    for name in CLASSES:
        measure(name, options.seconds, options.minutes, options.workers, options.limit)


if __name__ == "__main__":
    main()
