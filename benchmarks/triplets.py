"""Three-body candidates fitted per second on one core, and the same fits over all triplets.

A pair term, a constant and one or two three-body terms, four to six nonlinear constants, on the
silicon data that come with the package (without atoms alone) and on several copies of them:
separable terms, and general psi(x1, x2, cos). Each candidate is fitted with all weights and
constants on the projected design. A few of them are then fitted by the exact path: sums over all
triplets, weights by least squares, constants by scipy's ``least_squares`` with forward
differences.

    python benchmarks/triplets.py [--turns 5] [--fits 3] [--sizes 1 3 10]

Comes out: candidates per second for each size, the time to project, and the ratio of the two ways.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from importlib.resources import files
from pathlib import Path

import numpy as np
from common import AllLabels, copies, interleaved, key, machine, spread, term

from symreg.fit.design import build_design
from symreg.fit.exact import ExactPath
from symreg.fit.loss import LossSettings
from symreg.fit.programs.batch import encode, pack
from symreg.fit.projected.fitter import Fitter
from symreg.fit.projected.judging import FITTED
from symreg.structures import Structures, read_structures
from symreg.structures.settings import DataSettings
from symreg.terms import Term
from symreg.terms.cutoff import Cutoff
from symreg.terms.lengths import Lengths

CUTOFFS = tuple(Cutoff(kind="septic", r_cut=r, r_on=0.6 * r) for r in (6.0, 4.2))
R0, LOSS = 2.37, LossSettings()
KINDS = ("pair", "three-body")
SHAPES = {
    "separable": (
        ("exp(-4.0*x)", "1", "exp(-2.0*x1)*exp(-2.0*x2)*((c + 0.33)^2 - 0.1)"),
        ("(x - 2.1)^6", "1", "(x1 - 1.6)^2*(x2 - 1.6)^2*(c + 0.3)^2", "x1^-2.5*x2^-2.5*(c - 0.2)"),
    ),
    "general": (("exp(-4.0*x)", "1", "exp(-2.0*(x1 + x2))*((c + 0.33)^2 - 0.1*x1*x2)"),),
}


def silicon() -> Structures:
    """The embedded data without atoms alone, all for training."""
    settings = DataSettings(
        train=("silicon.extxyz",), validation_fraction=0.0, leave_out=("isolated_atom",)
    )
    return read_structures(settings, Path(str(files("symreg") / "data" / "silicon")))[0]


def candidates(shape: str, count: int) -> list[list[Term]]:
    """Known shapes with starting values spread by a tenth."""
    rng = np.random.default_rng(0)
    shapes = [SHAPES[shape][k % len(SHAPES[shape])] for k in range(count)]
    return [
        [spread(term(KINDS["x1" in text], "Si", text), 0.1, rng) for text in texts]
        for texts in shapes
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--fits", type=int, default=3, help="fits by the exact path")
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[1, 3, 10], help="numbers of copies"
    )
    options = parser.parse_args()
    print(machine())
    data, fitters, sizes = silicon(), {}, options.sizes
    for size in sizes:
        more, start = copies(data, size), time.perf_counter()
        fitters[size] = Fitter(build_design(more, Lengths(*CUTOFFS, R0), loss=LOSS))
        took = time.perf_counter() - start
        print(f"x{size}: {len(more)} structures, projected in {took:.1f} s", flush=True)
    print(
        f"\n| candidates per second | {' | '.join(f'x{size}' for size in sizes)} | all triplets |"
    )
    print("|---" * (2 + len(sizes)) + "|")
    exact = AllLabels(data, ExactPath(data, Lengths(CUTOFFS[0], CUTOFFS[1], R0)), LOSS)
    for shape in SHAPES:
        batch = encode(pack(candidates(shape, 50), [key(kind, "Si") for kind in KINDS]))
        assert (fitters[sizes[0]].fit_arrays(batch).outcomes == FITTED).mean() > 0.5
        actions = {
            f"x{size}": partial(fitter.fit_arrays, batch) for size, fitter in fitters.items()
        }
        seconds = interleaved(actions, options.turns)
        rates = [50 / float(np.median(seconds[f"x{size}"])) for size in sizes]
        slow = exact.rate(candidates(shape, options.fits))
        cells = " | ".join(f"{rate:,.0f}" for rate in rates)
        print(
            f"| {shape} | {cells} | {slow:.3g}: {rates[0] / slow:,.0f} times slower |", flush=True
        )


if __name__ == "__main__":
    main()
