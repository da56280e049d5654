"""Candidates fitted per second on one core, whatever the size of the data, and against others.

Three mixes of pair candidates on rattled argon (32 atoms each, energies, forces and stresses):
random ones; the offspring of an evolved population; one to three terms with four constants. Each
is fitted with all weights and constants, on the data and on 10 and 100 copies of them, in turns.
"Evolution" is a whole epoch of an island: DEAP's operators, selection and bookkeeping included.

The candidates with four constants are then fitted on the smallest data set without the projected
design: over all pairs with symreg's compiled programs, and over all pairs with NumPy functions
compiled by DEAP (slopes by central differences); both eliminate the weights by least squares and
leave the constants to scipy's ``least_squares``.

    python benchmarks/candidates.py [--structures 75] [--sizes 1 10 100] [--turns 15]
                                    [--fits 5] [--candidates 1000]

Comes out: two Markdown tables, medians of the turns; the spread between the sizes is that of the
fastest turns, which other work on the machine disturbs least.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np
from common import (
    CUTOFF,
    R0,
    argon,
    copies,
    deap_function,
    interleaved,
    key,
    machine,
    spread,
    term,
)
from numpy.typing import NDArray
from scipy.optimize import least_squares

from symreg.fit.design import build_design
from symreg.fit.forces import add_pairs
from symreg.fit.loss import LossSettings
from symreg.fit.programs.batch import Batch, encode, encoded, pack
from symreg.fit.programs.evaluation import differentiate
from symreg.fit.projected.fitter import Fitter
from symreg.fit.projected.judging import FITTED
from symreg.searching.backfitting import Backfitting
from symreg.searching.individuals import to_arrays
from symreg.searching.island import EvolutionSettings, Island
from symreg.searching.islands import Arrays, IslandSettings, run_epoch
from symreg.searching.selection import tournament
from symreg.searching.variation import VariationSettings
from symreg.structures import Structures
from symreg.structures.neighbours import structure_pairs
from symreg.terms import Term
from symreg.terms.lengths import Lengths

Floats = NDArray[np.float64]
Terms = list[Term]

PAIR = key("pair", "Ar")
FOUR_CONSTANTS = (
    ("x^-11.5", "x^-6.4*exp(-1.2*x)", "exp(-3.1*x)"),
    ("exp(-12.5*x)", "x^-6.5", "x^-8.3*exp(-0.5*x)"),
    ("(x + 0.2)^-12.5", "exp(-2.0*x^2)*(x - 1.3)"),
    ("exp(-11.0*x)/(x + 0.3)", "x^-6.2/(1.5 + x^-3)"),
    ("exp(-2.1*x)*(1.4 + x^-5.2)/(x + 0.6)",),
)


def with_four_constants(count: int, rng: np.random.Generator) -> list[Terms]:
    """Candidates of known shapes with starting values spread by a fifth."""
    shapes = [FOUR_CONSTANTS[k % len(FOUR_CONSTANTS)] for k in range(count)]
    return [[spread(term("pair", "Ar", text), 0.2, rng) for text in texts] for texts in shapes]


def mixes(island: Island, count: int) -> tuple[dict[str, Batch], Arrays]:
    """The three mixes, and the evolved population that the second is bred from.

    ``count`` candidates have four constants, twice as many are random, four times offspring.
    """
    rng = np.random.default_rng(0)
    population = island.begin(rng)
    for generation in island.evolve(population, 10, rng):
        population = generation.population
    offspring = island.variation.vary(tournament(population, 4 * count, rng), rng)
    batches = {
        "random": encode(island.variation.random(2 * count, rng)),
        "offspring": encode([child.coded_terms for child in offspring]),
        "four constants": encode(pack(with_four_constants(count, rng), [PAIR])),
    }
    return batches, to_arrays(population)


def measure_sizes(structures: int, sizes: Sequence[int], count: int, turns: int) -> None:
    """Print the rates at all sizes of the data."""
    islands = {}
    for size in sizes:
        data = copies(argon(structures), size)
        start = time.perf_counter()
        design = build_design(data, Lengths(CUTOFF, None, R0), loss=LossSettings())
        took = time.perf_counter() - start
        print(f"x{size}: {len(data)} structures, {sum(design.counts.values())} labels; ", end="")
        print(f"projected in {took:.1f} s on {design.n_nodes} nodes", flush=True)
        islands[size] = Backfitting(Fitter(design), EvolutionSettings(), VariationSettings())
    batches, population = mixes(islands[sizes[0]].whole, count)
    one, counts = IslandSettings(islands=1), dict[str, int]()
    actions: dict[str, Callable[[], object]] = {}

    def evolve(size: int) -> None:
        _, counts[f"evolution x{size}"] = run_epoch(islands[size], one, 0, 1, population, None)

    for size, island in islands.items():
        for name, batch in batches.items():
            actions[f"{name} x{size}"] = lambda f=island.whole.fitter, b=batch: f.fit_arrays(b)
            counts[f"{name} x{size}"] = batch.term_start.size - 1
        actions[f"evolution x{size}"] = lambda s=size: evolve(s)
    seconds = interleaved(actions, turns)
    rates = {name: counts[name] / float(np.median(times)) for name, times in seconds.items()}
    best = {name: counts[name] / min(times) for name, times in seconds.items()}
    print(f"\n| candidates per second | {' | '.join(f'x{s}' for s in sizes)} | spread |")
    print("|---" * (2 + len(sizes)) + "|")
    for name in (*batches, "evolution"):
        row, fastest = ([r[f"{name} x{size}"] for size in sizes] for r in (rates, best))
        about = describe(batches[name]) if name in batches else "a whole epoch"
        cells = " | ".join(f"{rate:,.0f}" for rate in row)
        print(f"| {name}: {about} | {cells} | {max(fastest) / min(fastest) - 1:.0%} |")


def describe(batch: Batch) -> str:
    """Sizes of the candidates of a batch."""
    n = batch.term_start.size - 1
    sizes = batch.key.size / n, batch.code.size / n, batch.constants.size / n
    return "{:.1f} terms, {:.1f} nodes, {:.1f} constants".format(*sizes)


class AllPairs:
    """Fits on all pairs, without the projected design."""

    def __init__(self, data: Structures) -> None:
        loss = LossSettings()
        lists = [structure_pairs(data, s, CUTOFF.r_cut) for s in range(len(data))]
        self.i = np.concatenate([p.i + data.start[s] for s, p in enumerate(lists)])
        self.unit = np.concatenate([p.unit for p in lists])
        self.owner = np.repeat(np.arange(len(data)), data.n_atoms)
        self.r = np.concatenate([p.r for p in lists])
        self.fade, self.fade_slope = CUTOFF.value(self.r), CUTOFF.slope(self.r)
        self.data, self.volume = data, data.volume[:, None]
        sigmas = loss.sigma_energy, loss.sigma_forces, loss.sigma_stress
        sizes = len(data), data.forces.size, data.stress.size
        self.scale = [1 / (s * np.sqrt(n)) for s, n in zip(sigmas, sizes, strict=True)]
        energies = np.ones(len(data)) * self.scale[0]
        self.e0 = np.concatenate([energies, np.zeros(sizes[1] + sizes[2])])
        parts = data.energy / data.n_atoms, data.forces.ravel(), data.stress.ravel()
        self.target = np.concatenate([s * p for s, p in zip(self.scale, parts, strict=True)])

    def column(self, value: Floats, slope: Floats) -> Floats:
        """All weighted labels as one term predicts them from its values on the pairs."""
        phi = value * self.fade
        slope = slope / R0 * self.fade + value * self.fade_slope
        n, count = self.data.kind.size, len(self.data)
        energies, forces, virial = (np.zeros((*s, 1)) for s in ((count,), (n, 3), (count, 6)))
        value, slope = 0.5 * phi[:, None], slope[:, None]
        add_pairs(self.i, self.r, self.unit, self.owner, value, slope, energies, forces, virial)
        parts = (
            energies.ravel() / self.data.n_atoms,
            forces.ravel(),
            (virial[:, :, 0] / self.volume).ravel(),
        )
        return np.concatenate([s * p for s, p in zip(self.scale, parts, strict=True)])

    def fit(self, functions: Sequence[Callable[..., tuple[Floats, Floats]]], terms: Terms) -> float:
        """Loss after fitting weights and constants."""
        cuts = np.cumsum([len(term.constants) for term in terms])[:-1]
        x = self.r / R0

        def residual(constants: Floats) -> Floats:
            parts = np.split(constants, cuts)
            found = [self.column(*f(x, *part)) for f, part in zip(functions, parts, strict=True)]
            columns = np.array([self.e0, *found]).T
            if not np.isfinite(columns).all():
                return np.full(self.target.size, 1e3)
            size = np.linalg.norm(columns, axis=0)
            best = np.linalg.lstsq(columns / size, self.target, rcond=1e-12)[0]
            return (columns / size) @ best - self.target

        start = np.concatenate([term.constants for term in terms])
        with np.errstate(all="ignore"):
            # As many steps and as tight as the fit on the projected design.
            found = least_squares(residual, start, ftol=1e-4, xtol=1e-8, max_nfev=13, x_scale="jac")
        self.evaluations = found.nfev + found.njev * start.size
        return float(found.cost)


def compiled(term: Term) -> Callable[..., tuple[Floats, Floats]]:
    """Value and slope by symreg's compiled programs."""
    code, arg = encoded(term.tree.shape)

    def value_and_slope(x: Floats, *constants: float) -> tuple[Floats, Floats]:
        found = differentiate(code, arg, np.array(constants, dtype=float), x[None, :], False)
        return found[0], found[1][0]

    return value_and_slope


def by_deap(term: Term) -> Callable[..., tuple[Floats, Floats]]:
    """Value by DEAP and NumPy, slope by central differences."""
    function, h = deap_function(term.tree), 1e-5

    def value_and_slope(x: Floats, *constants: float) -> tuple[Floats, Floats]:
        slope = (function(x + h, *constants) - function(x - h, *constants)) / (2 * h)
        return function(x, *constants), slope

    return value_and_slope


def measure_routes(structures: int, fits: int) -> None:
    """Print what one fit costs with and without the projected design, candidate by candidate."""
    data = argon(structures)
    pairs = AllPairs(data)
    fitter = Fitter(build_design(data, Lengths(CUTOFF, None, R0), loss=LossSettings()))
    drawn = with_four_constants(4 * fits, np.random.default_rng(5))
    outcomes = fitter.fit(pack(drawn, [PAIR])).outcomes
    candidates = [
        terms for terms, outcome in zip(drawn, outcomes, strict=True) if outcome == FITTED
    ]
    candidates = candidates[:fits]
    routes: dict[str, list[float]] = {"projected": [], "all pairs": [], "DEAP": []}
    evaluations, losses = [], []
    for terms in candidates:
        batch = encode(pack([terms] * 200, [PAIR]))
        start = time.process_time()
        fitted = fitter.fit_arrays(batch)
        routes["projected"].append((time.process_time() - start) / 200)
        losses.append([fitted.losses[0]])
        for name, make in (("all pairs", compiled), ("DEAP", by_deap)):
            start = time.process_time()
            losses[-1].append(pairs.fit([make(term) for term in terms], terms))
            routes[name].append(time.process_time() - start)
        evaluations.append(pairs.evaluations)
    ratios = {
        name: np.array(times) / np.array(routes["projected"]) for name, times in routes.items()
    }
    print(f"\nFits of {fits} candidates with four constants, {pairs.r.size} pairs, ", end="")
    print(f"{np.median(evaluations):.0f} evaluations over all pairs each (median), of ", end="")
    each = np.median(np.array(routes["all pairs"]) / evaluations)
    print(f"{1e3 * each:.1f} ms with the compiled programs")
    print("losses projected, all pairs, DEAP: ", end="")
    print("; ".join(" ".join(f"{loss:.5g}" for loss in row) for row in losses))
    print("\n| route | milliseconds per fit, median | times the projected design |\n|---|---|---|")
    for name, times in routes.items():
        print(f"| {name} | {1e3 * np.median(times):.4g} | {np.median(ratios[name]):,.0f} |")


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--structures", type=int, default=75, help="in the smallest data set")
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[1, 10, 100], help="numbers of copies"
    )
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--fits", type=int, default=5, help="candidates fitted over all pairs")
    parser.add_argument("--candidates", type=int, default=1000, help="of four constants")
    options = parser.parse_args()
    print(machine())
    measure_sizes(options.structures, options.sizes, options.candidates, options.turns)
    measure_routes(options.structures, options.fits)


if __name__ == "__main__":
    main()
