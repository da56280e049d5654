"""Floor, time and memory of projecting, and candidates per second, by the number of elements.

Face-centred cubic cells of 32 atoms, elements at random sites in equal parts, compressed and
stretched, atoms displaced. Labels are those of a Gupta-like potential whose constants depend on the
elements, so that neither pairs nor triplets fit them exactly. For each number of elements a process
of its own projects pairs alone, pairs and separable three-body terms, and pairs beside functions of
neighbour sums, and then evolves one island for an epoch, first individuals included.

    python benchmarks/species.py [--elements 1 2 3 4 6] [--structures 60] [--population 100]
                                 [--generations 3]

Comes out: a Markdown table of keys, columns of the design, the floor's error, seconds and MiB of
projecting (those before it taken off), and candidates per second of one core, the first generation
and compilation not counted.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import tempfile
from itertools import combinations_with_replacement, islice
from time import perf_counter, process_time

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.io import write
from common import machine
from memory import peak

import symreg
from symreg import config
from symreg.runs.pipeline.modes import island_settings
from symreg.runs.pipeline.preparation import prepare
from symreg.searching.islands import Islands

ELEMENTS = ("Cu", "Ni", "Pd", "Ag", "Pt", "Au")
KINDS = {
    "pairs": {},
    "and triplets": {"three_body": "separable", "r_cut_three_body": 4.0},
    "and functions": {"many_body": True},
}
LATTICE, R0, CUTOFF = 3.9, 2.76, 6.0
HEAD = "| elements | terms | keys | columns | floor | s | MiB | candidates/s |"


def law(species: tuple[str, ...]) -> symreg.Potential:
    """A potential of Gupta's form with constants that depend on the elements."""
    strength = {symbol: 1.0 + 0.15 * n for n, symbol in enumerate(ELEMENTS)}
    formulas = {}
    for a, b in combinations_with_replacement(species, 2):
        formulas[f"{a}-{b}"] = f"{0.2 * math.sqrt(strength[a] * strength[b])!r}*exp(-10.5*(x - 1))"
    for a in species:
        sums = [
            f"{strength[a] * strength[b]!r}*sum{'' if a == b else '_' + b}(exp(-5.0*(x - 1)))"
            for b in species
        ]
        formulas[a] = f"-1.3*sqrt({' + '.join(sums)})"
    return symreg.Potential.from_formula(formulas, r_cut=CUTOFF, r0=R0)


def structures_of(species: tuple[str, ...], count: int) -> list[Atoms]:
    """Cells of 32 atoms with energies, forces and stresses."""
    rng, images, potential = np.random.default_rng(0), [], law(species)
    for _ in range(count):
        atoms = bulk("Cu", "fcc", a=LATTICE * rng.uniform(0.95, 1.04), cubic=True).repeat(2)
        atoms.symbols = rng.permutation(np.resize(species, len(atoms)))
        atoms.positions += rng.normal(scale=0.1, size=atoms.positions.shape)
        atoms.calc = potential.calculator()
        results = {name: atoms.calc.get_property(name, atoms) for name in ("energy", "forces")}
        stress = atoms.get_stress()
        atoms.calc = None
        atoms.info |= {"energy": results["energy"], "stress": stress}
        atoms.arrays["forces"] = results["forces"]
        images.append(atoms)
    return images


def measure(count: int, kind: str, options: argparse.Namespace) -> None:
    """Project the data of so many elements, evolve one island, print a row."""
    species = ELEMENTS[:count]
    with tempfile.TemporaryDirectory() as folder:
        write(f"{folder}/data.extxyz", structures_of(species, options.structures))
        record = {
            "data": {"train": [f"{folder}/data.extxyz"], "split": "random"},
            "terms": {"r_cut": CUTOFF, **KINDS[kind]},
            "search": {
                "population_size": options.population,
                "generations_per_epoch": options.generations,
                "islands": 1,
            },
            "output": {"folder": f"{folder}/run"},
        }
        settings, before, began = config.from_dict(record), peak(), perf_counter()
        name = f"| {count} | {kind} "
        try:
            prepared = prepare(settings)
        except ValueError as error:
            print(f"{name}| refused: {error} | | | | | |", flush=True)
            return
        took, memory = perf_counter() - began, peak() - before
        design = prepared.design
        islands = Islands(
            design,
            island_settings(settings, options.generations, len(design.pair_keys)),
            fitter=prepared.fitter,
            gate=prepared.gate,
        )
        states = islands.search()
        first, start = next(states), process_time()
        second = next(islice(states, 1))
        rate = (second.candidates - first.candidates) / (process_time() - start)
        cells = (
            len(design.keys),
            design.columns,
            f"{design.floor.error:.3g}",
            f"{took:.1f}",
            f"{memory:,.0f}",
            f"{rate:,.0f}",
        )
        print(f"{name}| {' | '.join(map(str, cells))} |", flush=True)


def main() -> None:
    """Measure each case in a fresh process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--elements", type=int, nargs="+", default=[1, 2, 3, 4, 6])
    parser.add_argument("--kinds", nargs="+", choices=tuple(KINDS), default=[*KINDS])
    parser.add_argument("--structures", type=int, default=60)
    parser.add_argument("--population", type=int, default=100)
    parser.add_argument("--generations", type=int, default=3)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    cases = [(count, kind) for count in options.elements for kind in options.kinds]
    if options.here:
        measure(*cases[0], options)
        return
    print(f"{machine()}; {options.structures} structures of 32 atoms\n\n{HEAD}")
    print("|---" * (HEAD.count("|") - 1) + "|", flush=True)
    sizes = ("structures", "population", "generations")
    given = [text for name in sizes for text in (f"--{name}", str(getattr(options, name)))]
    for count, kind in cases:
        case = ["--here", "--elements", str(count), "--kinds", kind, *given]
        subprocess.run([sys.executable, __file__, *case], check=True)


if __name__ == "__main__":
    main()
