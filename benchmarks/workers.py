"""Gain of workers: speed-up from one to two, overhead of dask, memory.

    python benchmarks/workers.py [--epochs 5] [--generations 60]
    python benchmarks/workers.py --minutes 60

Data: the argon that comes with symreg; 4 islands of 400. Every epoch of one search is run here, by
two processes and by two local workers of dask, one after another, from the same state; all give the
same state, or the script ends with an error. Each goes first equally often. The first epoch, in
which workers start and read the data, is not counted. With two processes on two cores that are
free, the speed-up can be 2 less what the parent does alone (joining fronts, polishing).

With --minutes a search by two processes goes on for so long; every minute the script prints the
memory of the search and of its workers, and at the end how it grew after the first tenth.

Comes out: a table of seconds for an epoch; or lines of memory.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from time import perf_counter

import numpy as np
from common import machine, two_processes
from needs import packages
from threadpoolctl import threadpool_limits

import symreg
from symreg import config
from symreg.files import counted
from symreg.runs.pipeline.modes import island_settings
from symreg.runs.pipeline.preparation import Prepared, prepare
from symreg.searching.islands import Islands, IslandSettings, State, backfitting_from
from symreg.searching.tasks import Source, kept
from symreg.workers import cluster
from symreg.workers.executors import Crew, processes

DATA = Path(symreg.__file__).parent / "data" / "argon"


def prepared_argon(generations: int) -> tuple[Prepared, IslandSettings]:
    """The data of the demo, and its search with longer epochs."""
    settings = config.load(DATA / "demo.toml", {"generations_per_epoch": str(generations)})
    return prepare(settings), island_settings(settings)


def signature(state: State) -> list[bytes]:
    """Results that must be equal whoever computed them."""
    return [p[name].tobytes() for p in state.populations for name in sorted(p)]


def compare(epochs: int, generations: int) -> None:
    """Print seconds for an epoch by each engine."""
    prepared, settings = prepared_argon(generations)
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        source = Source(f"{folder}/design.npz", "")
        prepared.design.save(Path(source.path))

        def preload() -> object:
            return kept(backfitting_from, source, settings)

        with (
            Crew(processes(2), preload=preload) as two,
            Crew(cluster.local(2), preload=preload) as dask,
        ):
            engines = {"here, one process": None, "two processes": two, "dask, two workers": dask}
            islands = {
                name: Islands(prepared.design, settings, (), crew, source, prepared.fitter)
                for name, crew in engines.items()
            }
            seconds: dict[str, list[float]] = {name: [] for name in engines}
            state = None
            for epoch in range(epochs + 1):
                reached = {}
                turn = epoch % len(islands)
                for name in [*islands][turn:] + [*islands][:turn]:
                    began = perf_counter()
                    (reached[name],) = islice(islands[name].search(state), 1)
                    if epoch:
                        seconds[name].append(perf_counter() - began)
                assert len({tuple(signature(found)) for found in reached.values()}) == 1
                state = reached["here, one process"]
    report(seconds)


def report(seconds: dict[str, list[float]]) -> None:
    """Print the table; ratios are medians of those of single epochs."""
    one, two = (np.array(seconds[name]) for name in ("here, one process", "two processes"))
    dask = np.array(seconds["dask, two workers"])
    print("| engine | seconds for an epoch | |")
    print("|---|---|---|")
    print(f"| here, one process | {np.median(one):.2f} | |")
    print(f"| two processes | {np.median(two):.2f} | {np.median(one / two):.2f} times as fast |")
    print(f"| dask, two workers | {np.median(dask):.2f} | {np.median(dask / two) - 1:+.1%} |")
    print("front, populations and credit the same to the last bit in every epoch")


def memory(pid: int) -> float:
    """Resident memory of a process in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def children() -> list[int]:
    """Processes that this one has started, and that compute."""
    text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    return [pid for pid in map(int, text.split()) if memory(pid) > 100]


def watch_memory(minutes: float) -> None:
    """Print memory as a long search goes on."""
    prepared, settings = prepared_argon(10)
    rows: list[Sequence[float]] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        threadpool_limits(1),
        two_processes(prepared, Path(folder)) as workers,
    ):
        began = perf_counter()
        for state in Islands(prepared.design, settings, (), *workers).search():
            passed = (perf_counter() - began) / 60
            if not rows or passed >= rows[-1][0] + minutes / 60 or passed >= minutes:
                rows.append((passed, memory(os.getpid()), *sorted(map(memory, children()))))
                shown = ", ".join(f"{size:.1f}" for size in rows[-1][1:])
                print(
                    f"{passed:5.1f} min, {counted(state.epoch, 'epoch')}: {shown} MiB", flush=True
                )
            if passed >= minutes:
                break
    settled = np.array([row for row in rows if row[0] >= minutes / 10])
    growth = np.polyfit(settled[:, 0], settled[:, 1:], 1)[0] * 60
    print(f"growth: {', '.join(f'{one:+.1f}' for one in growth)} MiB an hour (search, workers)")


def main() -> None:
    """Compare engines, or watch memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--generations", type=int, default=60)
    parser.add_argument("--minutes", type=float, help="watch memory for so long instead")
    options = parser.parse_args()
    if not options.minutes:
        packages("dask", "distributed", extra="dask")
    print(machine())
    if options.minutes:
        watch_memory(options.minutes)
    else:
        compare(options.epochs, options.generations)


if __name__ == "__main__":
    main()
