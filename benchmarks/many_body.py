"""Many-body candidates fitted per second on one core, and the same fits over all pairs.

Gupta, a logarithm and a ratio of sums, with four nonlinear constants at most, on rattled copper
labelled by Gupta and noise: 75 structures of 32 atoms and four times as many. Each candidate is

- fitted to the structures for screening, as every candidate of a search is,
- scored over all labels with its weights solved, as those are that survive,
- fitted to all labels, as those are that come to stand on the front.

A few are then fitted by the exact path, a pass over all pairs in compiled code for every
prediction: weights by least squares, constants by scipy's ``least_squares`` with forward
differences.

    python benchmarks/many_body.py [--turns 5] [--fits 3] [--structures 75 300]

Comes out: candidates per second and core for each, and the ratios to the exact path.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial

import numpy as np
from ase.build import bulk
from common import (
    AllLabels,
    expression_of,
    interleaved,
    key,
    machine,
    term,
)

from symreg.fit.design import build_design
from symreg.fit.exact import ExactPath
from symreg.fit.loss import LossSettings
from symreg.fit.programs.batch import CodedTerm, pack
from symreg.fit.projected.fitter import AS_IT_STANDS, POLISH, QUICK, FitSettings
from symreg.fit.projected.judging import FITTED
from symreg.fit.rows import DirectFitter, Labelled
from symreg.structures import Structures, from_atoms
from symreg.terms import Term
from symreg.terms.cutoff import Cutoff
from symreg.terms.lengths import Lengths

CUTOFF = Cutoff(kind="septic", r_cut=6.0, r_on=3.6)
R0, LOSS = 2.55, LossSettings()
NOISE = {"energy": 0.05, "forces": 0.02, "stress": 5e-4}
KINDS = ("pair", "many-body")
SHAPES = (
    ("exp(-10.0*x)", "sqrt(sum(exp(-5.0*x)))"),
    ("x^-9", "log(2.0 + sum((x - 2.1)^4))"),
    ("(x + 0.9)^-14", "sum(x^-6.5)/(3.0 + sum(x^-3))"),
)


def copper(count: int) -> Structures:
    """Rattled face-centred cubic cells of 32 atoms, labelled by Gupta and noise."""
    rng = np.random.default_rng(0)
    images = []
    for _ in range(count):
        atoms = bulk("Cu", "fcc", a=3.62 * rng.uniform(0.97, 1.03), cubic=True).repeat(2)
        atoms.positions += rng.normal(scale=0.15, size=(32, 3))
        images.append(atoms)
    bare = from_atoms(images)
    weights = (3000.0, -20.0)
    parts = [(*named, {}, w) for *named, w in zip(KINDS, SHAPES[0], weights, strict=True)]
    gupta = expression_of("Cu", parts)
    found = ExactPath(bare, Lengths(CUTOFF, None, R0)).predict(gupta, {"Cu": 0.0})
    labels = {
        name: getattr(found, name) + rng.normal(0.0, sigma, size=getattr(found, name).shape)
        for name, sigma in NOISE.items()
    }
    return Structures(**{**vars(bare), **labels})


def terms_of(texts: tuple[str, str], factor: float) -> list[Term]:
    """A pair term and a many-body term with their starting values scaled."""
    terms = [term(kind, "Cu", text) for kind, text in zip(KINDS, texts, strict=True)]
    return [one.with_constants([factor * c for c in one.constants]) for one in terms]


def candidates(count: int) -> list[list[Term]]:
    """The shapes with starting values spread by a tenth."""
    rng = np.random.default_rng(0)
    return [terms_of(SHAPES[k % len(SHAPES)], np.exp(rng.normal(0.0, 0.1))) for k in range(count)]


def rates(
    fitter: DirectFitter, drawn: Sequence[Sequence[CodedTerm]], turns: int
) -> dict[str, float]:
    """Candidates per second of every kind of fit."""
    ways: dict[str, FitSettings] = {"screened": QUICK, "scored": AS_IT_STANDS, "fitted": POLISH}
    seconds = interleaved({n: partial(fitter.fit, drawn, s) for n, s in ways.items()}, turns)
    return {name: len(drawn) / float(np.median(found)) for name, found in seconds.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--fits", type=int, default=3, help="fits by the exact path")
    parser.add_argument("--structures", type=int, nargs="+", default=[75, 300])
    options = parser.parse_args()
    print(machine())
    drawn = pack(candidates(60), [key(kind, "Cu") for kind in KINDS])
    print("\n| structures | screened /s | scored /s | fitted /s | exact path /s | ratios |")
    print("|---|---|---|---|---|---|")
    for size in options.structures:
        data = copper(size)
        design = build_design(data, Lengths(CUTOFF, None, R0), loss=LOSS, many_body=True)
        fitter = Labelled(data, Lengths(CUTOFF, None, R0)).fitter(design)
        assert (fitter.fit(drawn).outcomes == FITTED).mean() > 0.5
        found = rates(fitter, drawn, options.turns)
        exact = AllLabels(data, ExactPath(data, Lengths(CUTOFF, None, R0)), LOSS)
        slow = exact.rate(candidates(options.fits))
        cells = " | ".join(f"{rate:,.0f}" for rate in found.values())
        ratios = ", ".join(f"{rate / slow:,.0f}" for rate in found.values())
        print(f"| {size} | {cells} | {slow:.3g} | {ratios} |", flush=True)


if __name__ == "__main__":
    main()
