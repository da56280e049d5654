"""Error against complexity of formulas with three-body terms for silicon, over several seeds.

    python benchmarks/silicon_front.py [--seeds 5] [--minutes 10] [--r-cut-three-body 5.0]
                                       [--data FOLDER] [--out FOLDER] [--set NAME=VALUE ...]

Data: silicon_mlearn_train.extxyz, in --data, $SYMREG_SHARED_DATA or ../shared/data beside the
checkout: DFT (PBE) of materialsvirtuallab/mlearn, Zuo et al., J. Phys. Chem. A 124, 731 (2020). A
fifth of the trajectories is kept for validation. The runs are those of ``symreg run``, 2 workers,
one after another; a run that --out holds already is read, not repeated.

Comes out: the floors, and for each complexity the error, as a ratio to the floor and as validation
RMSE of energies and forces, of the best member up to it: mean and worst over the seeds.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from common import machine, with_settings
from needs import data_file, shared_data

import symreg
from symreg import config
from symreg.runs import Member, Run

COMPLEXITIES = (15, 20, 25, 30, 35, 40, 45, 50, 55, 60)


def settings_for(options: argparse.Namespace, out: Path, seed: int) -> config.Settings:
    """The run file of one seed."""
    file = data_file(options.data, "silicon_mlearn_train.extxyz")
    record = {
        "data": {"train": [str(file)], "split": "trajectory"},
        "terms": {
            "three_body": "separable",
            "r_cut": 6.0,
            "r_cut_three_body": options.r_cut_three_body,
            "max_complexity": 60,
        },
        "search": {"seed": seed, "minutes": options.minutes, "workers": 2},
        "output": {"folder": str(out / f"seed{seed}")},
    }
    return config.from_dict(record, overrides=options.changes)


def run_or_read(settings: config.Settings) -> Run:
    """The finished run in the output folder."""
    if (settings.folder / "front.csv").exists():
        return symreg.resume(settings.folder)
    return symreg.search(settings)


def best(run: Run, complexity: int) -> Member | None:
    """The member of lowest training error up to a complexity."""
    fitting = [member for member in run.front if member.complexity <= complexity]
    return min(fitting, key=lambda member: member.error, default=None)


def row(runs: list[Run], complexity: int, floor: float) -> str:
    """One line of the table."""
    members = [member for run in runs if (member := best(run, complexity))]
    if not members:
        return f"| {complexity} | | | |"
    figures = [np.array([m.error / floor for m in members])]
    for quantity, unit in (("energy", 1e3), ("forces", 1.0)):
        found = [m.errors["validation"][quantity]["rmse"] * unit for m in members]
        figures.append(np.array(found))
    cells = [f"{f.mean():.3g} / {f.max():.3g}" for f in figures]
    return f"| {complexity} | {' | '.join(cells)} |"


def main() -> None:
    """Run or read all seeds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--r-cut-three-body", type=float, default=5.0)
    parser.add_argument("--data", type=Path, default=shared_data(), help="folder of the data")
    parser.add_argument("--out", type=Path, help="folder that keeps the runs")
    options = with_settings(parser)
    with tempfile.TemporaryDirectory() as scratch:
        out = (options.out or Path(scratch)).resolve()
        runs = []
        for seed in range(options.seeds):
            runs.append(run_or_read(settings_for(options, out, seed)))
            last = runs[-1].front[-1]
            print(f"seed {seed}: {last.complexity} {last.error:.4g} {last.expression}", flush=True)
        floor = runs[0].floor["error"]
        print(f"{machine()}; {options.minutes:g} minutes, 2 workers; floor {floor:.4g}\n")
        print("| complexity up to | error / floor | energies, meV/atom | forces, eV/Å |")
        print("|---|---|---|---|")
        for complexity in COMPLEXITIES:
            print(row(runs, complexity, floor))


if __name__ == "__main__":
    main()
