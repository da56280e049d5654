"""Three-body candidates fitted per second on one core, and the same fits over all triplets.

A pair term, a constant and one or two three-body terms, four to six nonlinear constants, on the
silicon data that come with the package (without atoms alone) and on several copies of them:
separable terms, and general psi(x1, x2, cos). Each candidate is fitted with all weights and
constants on the projected design. A few of them are then fitted by the exact path: sums over all
triplets, weights by least squares, constants by scipy's ``least_squares`` with forward
differences.

    python benchmarks/triplets.py [--turns 5] [--fits 3]

Comes out: candidates per second for each size, the time to project, and the ratio of the two ways.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from importlib.resources import files
from pathlib import Path

import numpy as np
from common import copies, interleaved, machine
from numpy.typing import NDArray
from scipy.optimize import least_squares

from symreg.constants import Fitter
from symreg.cutoff import Cutoff
from symreg.expression import VARIABLES_OF, Expression, Term, parse
from symreg.kernels.judging import FITTED
from symreg.loss import LossSettings
from symreg.projection import build_design
from symreg.scoring import ExactPath, pack
from symreg.structures import Structures, read_structures
from symreg.structures.settings import DataSettings

Floats = NDArray[np.float64]

SIZES = (1, 3, 10)
CUTOFFS = tuple(Cutoff(kind="septic", r_cut=r, r_on=0.6 * r) for r in (6.0, 4.2))
R0, LOSS = 2.37, LossSettings()
PAIR, TRIPLETS = ("pair", ("Si", "Si")), ("three-body", ("Si", "Si", "Si"))
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
    found = []
    for k in range(count):
        terms = []
        for text in SHAPES[shape][k % len(SHAPES[shape])]:
            kind, species = TRIPLETS if "x1" in text else PAIR
            tree = parse(text, variable=VARIABLES_OF[kind])
            moved = [c * np.exp(rng.normal(0.0, 0.1)) for c in tree.constants]
            terms.append(Term(kind, species, tree.with_constants(moved)))
        found.append(terms)
    return found


class AllTriplets:
    """Fits by the exact path, without the projected design."""

    def __init__(self, data: Structures) -> None:
        self.data = data
        self.exact = ExactPath(data, CUTOFFS[0], R0, CUTOFFS[1])
        labels = self._rows(data.energy, data.forces, data.stress)
        self.there = np.isfinite(labels)
        self.target = labels[self.there]
        self.free_atoms = self._rows(
            data.n_atoms.astype(float), np.zeros_like(data.forces), np.zeros_like(data.stress)
        )[self.there]

    def _rows(self, energy: Floats, forces: Floats, stress: Floats) -> Floats:
        """Weighted energies per atom, forces and stresses in one row."""
        stress = np.where(self.data.pbc.all(axis=1, keepdims=True), stress, np.nan)
        parts = (
            (energy / self.data.n_atoms, LOSS.sigma_energy, self.data.energy),
            (forces, LOSS.sigma_forces, self.data.forces),
            (stress, LOSS.sigma_stress, self.data.stress),
        )
        scaled = [
            (values / (sigma * np.sqrt(np.isfinite(known).sum()))).ravel()
            for values, sigma, known in parts
        ]
        return np.concatenate(scaled)

    def fit(self, terms: list[Term]) -> float:
        """The lowest loss from the constants as they are."""
        sizes = [len(term.tree.constants) for term in terms]

        def residual(constants: Floats) -> Floats:
            columns, values = [self.free_atoms], list(constants)
            for term, size in zip(terms, sizes, strict=True):
                tree = term.tree.with_constants([values.pop(0) for _ in range(size)])
                one = Expression((term._replace(tree=tree),), (1.0,))
                found = self.exact.predict(one, {"Si": 0.0})
                columns.append(self._rows(found.energy, found.forces, found.stress)[self.there])
            matrix = np.array(columns).T
            best = np.linalg.lstsq(matrix, self.target, rcond=1e-12)[0]
            return np.asarray(matrix @ best - self.target)

        start = np.array([c for term in terms for c in term.tree.constants])
        return float(least_squares(residual, start, x_scale="jac", ftol=1e-4, max_nfev=12).cost)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--fits", type=int, default=3, help="fits by the exact path")
    options = parser.parse_args()
    print(machine())
    data, fitters = silicon(), {}
    for size in SIZES:
        more, start = copies(data, size), time.perf_counter()
        fitters[size] = Fitter(build_design(more, *CUTOFFS, r0=R0, loss=LOSS))
        took = time.perf_counter() - start
        print(f"x{size}: {len(more)} structures, projected in {took:.1f} s", flush=True)
    print(
        f"\n| candidates per second | {' | '.join(f'x{size}' for size in SIZES)} | all triplets |"
    )
    print("|---" * (2 + len(SIZES)) + "|")
    exact = AllTriplets(data)
    for shape in SHAPES:
        batch = pack(candidates(shape, 50), [PAIR, TRIPLETS])
        assert (fitters[1].fit(batch).outcomes == FITTED).mean() > 0.5
        actions = {f"x{size}": partial(fitter.fit, batch) for size, fitter in fitters.items()}
        seconds = interleaved(actions, options.turns)
        rates = [50 / float(np.median(seconds[f"x{size}"])) for size in SIZES]
        start = time.process_time()
        for terms in candidates(shape, options.fits):
            exact.fit(terms)
        slow = options.fits / (time.process_time() - start)
        cells = " | ".join(f"{rate:,.0f}" for rate in rates)
        print(
            f"| {shape} | {cells} | {slow:.3g}: {rates[0] / slow:,.0f} times slower |", flush=True
        )


if __name__ == "__main__":
    main()
