"""Peak memory of building the projected design for 100,000 atoms.

    python benchmarks/memory.py [--atoms 100000]

Two data sets of rattled face-centred cubic argon with a cutoff of 8.5 Å (about 65 neighbours):
1000 structures of 100 atoms, and one of 100,000 atoms (``--atoms`` of each set). Each is built in
a process of its own; the figures are the largest resident size of that process, and the part of it
that was there before the design was built (imports, compiled code, the structures themselves).
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from time import perf_counter

import numpy as np
from threadpoolctl import threadpool_limits

MIB = 1024.0


def structures_of(count: int, atoms: int):
    """``count`` structures, of about so many atoms in all where it is one, or of 100 atoms each."""
    from ase.build import bulk
    from ase.calculators.singlepoint import SinglePointCalculator

    from symreg.structures import from_atoms

    rng = np.random.default_rng(0)
    edge = max(1, int(np.cbrt(atoms / 4)))
    repeat = (5, 5, 1) if count > 1 else (edge, edge, round(atoms / 4 / edge**2))
    images = []
    for _ in range(count):
        image = bulk("Ar", "fcc", a=5.3, cubic=True).repeat(repeat)
        image.positions += rng.normal(scale=0.1, size=image.positions.shape)
        forces = rng.normal(size=image.positions.shape)
        image.calc = SinglePointCalculator(image, energy=-0.08 * len(image), forces=forces)
        images.append(image)
    return from_atoms(images)


def peak() -> float:
    """Largest resident size so far in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB


def build(count: int, atoms: int) -> None:
    """Build one design and print its figures."""
    from symreg.fit.design import build_design
    from symreg.fit.loss import LossSettings
    from symreg.terms.cutoff import Cutoff
    from symreg.terms.lengths import Lengths

    threadpool_limits(1)
    cutoff = Cutoff(kind="septic", r_cut=8.5, r_on=5.1)
    build_design(
        structures_of(2, 200), Lengths(cutoff, None, 3.75), loss=LossSettings()
    )  # compiles
    structures = structures_of(count, atoms)
    before, began = peak(), perf_counter()
    build_design(structures, Lengths(cutoff, None, 3.75), loss=LossSettings())
    total = int(structures.n_atoms.sum())
    print(
        f"{len(structures):5d} structures, {total:,} atoms: peak {peak():,.0f} MiB, "
        f"{before:,.0f} MiB of it before; {perf_counter() - began:.1f} s"
    )


def main() -> None:
    """Run both cases in fresh processes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, help="build only this many structures, here")
    parser.add_argument("--atoms", type=int, default=100_000, help="of each data set")
    options = parser.parse_args()
    if options.count:
        build(options.count, options.atoms)
        return
    from common import machine  # not above: it would be counted

    print(machine(), flush=True)
    for count in (max(2, options.atoms // 100), 1):
        size = ["--count", str(count), "--atoms", str(options.atoms)]
        subprocess.run([sys.executable, __file__, *size], check=True)


if __name__ == "__main__":
    main()
