"""Formulas for compounds and alloys: errors on groups of structures that training never saw.

    python benchmarks/compounds.py [--sets hafnia mose2 nbmotaw inp] [--minutes 10] [--seeds 1]
                                   [--rarest] [--data FOLDER] [--out FOLDER] [--set NAME=VALUE ...]

Data: hafnia_train, mose2_train (its molecular dynamics alone), nbmotaw_train and inp_train, in
--data, $SYMREG_SHARED_DATA or ../shared/data beside the checkout. Whole groups are kept for
validation, a fifth of the structures; with --rarest the smallest group alone, and InP's defects aP
and s_aP in any case. ``sigma_forces`` is what ``symreg init`` proposes for the training
forces. The runs are those of ``symreg run``, 2 workers, one after another; a run that --out holds
already is read, not repeated.

Comes out: for each set the floors, and of the members with the lowest errors in training and in
validation the constants, and root mean squared errors beside those of the labels.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ase.io import read
from common import machine, run_or_read, with_settings
from needs import data_file, shared_data

from symreg import config
from symreg.runs import Member
from symreg.structures import loss_proposals, survey_structures

DYNAMICS = (
    *("MoSe2_AIMD", "Line_Vacancy_AIMD", "Mo_Vacancy_AIMD", "Mo2c_Vacancy_AIMD"),
    "MoZZ_Surface_AIMD",
)
TERMS: dict[str, dict[str, Any]] = {
    "hafnia": {"three_body": "separable", "r_cut": 6.0, "r_cut_three_body": 3.8},
    "mose2": {"three_body": "separable", "r_cut": 6.5, "r_cut_three_body": 4.0},
    "nbmotaw": {"three_body": False, "many_body": True, "r_cut": 6.0},
    "inp": {"three_body": "separable", "r_cut": 6.5, "r_cut_three_body": 4.4},
}
"""Kinds of terms and cutoff radii in Å of each set."""
DEFECTS = ["aP", "s_aP"]
"""Groups of InP that are validation in any case."""
MOST_CONSTANTS = 40


def data_of(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """The ``[data]`` table of a set."""
    file = data_file(options.data, f"{name}_train.extxyz")
    groups = [str(atoms.info["group"]) for atoms in read(file, ":")]
    kept = [group for group in groups if name != "mose2" or group in DYNAMICS]
    found: dict[str, Any] = {"train": [str(file)], "split": "group"}
    if left := sorted(set(groups) - set(kept)):
        found["leave_out"] = left
    if name == "inp":
        return {**found, "validation_groups": DEFECTS}
    if options.rarest:
        return {**found, "validation_groups": [min(sorted(set(kept)), key=kept.count)]}
    return found


def settings_for(name: str, seed: int, options: argparse.Namespace, out: Path) -> config.Settings:
    """The run file of one set and seed."""
    way, data = "rarest" if options.rarest else "groups", data_of(name, options)
    facts, _ = survey_structures(config.DataSettings(**data), out)
    usual = config.LossSettings().sigma_forces
    record = {
        "data": data,
        "loss": {setting: value for setting, value, _ in loss_proposals(facts, usual)},
        "terms": {**TERMS[name], "max_constants": MOST_CONSTANTS},
        "search": {"seed": seed, "minutes": options.minutes, "workers": 2},
        "output": {"folder": str(out / f"{name}-{way}-{seed}")},
    }
    return config.from_dict(record, overrides=options.changes)


def cells(member: Member) -> Iterable[str]:
    """Sizes and errors of a member: training and validation, each beside its labels."""
    yield from (str(member.complexity), str(member.n_constants))
    for split in ("train", "validation"):
        for quantity, unit in (("energy", 1e3), ("forces", 1.0)):
            error = member.errors[split][quantity]
            yield f"{unit * error['rmse']:.3g} ({unit * error['label_rms']:.3g})"


def of_validation(member: Member) -> float:
    """Squares of validation errors, in units of the default sigmas."""
    errors = member.errors["validation"]
    return (errors["energy"]["rmse"] / 0.005) ** 2 + (errors["forces"]["rmse"] / 0.1) ** 2


def main() -> None:
    """Run or read all sets and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", choices=tuple(TERMS), default=[*TERMS])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rarest", action="store_true", help="validate on the smallest group")
    parser.add_argument("--data", type=Path, default=shared_data(), help="folder of the data")
    parser.add_argument("--out", type=Path, help="folder that keeps the runs")
    options = with_settings(parser)
    print(f"{machine()}; {options.minutes:g} minutes, 2 workers; errors beside those of labels\n")
    print("| set | chosen by | complexity | constants | train meV/atom | eV/Å | ", end="")
    print("validation meV/atom | eV/Å |\n|---|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        out = (options.out or Path(scratch)).resolve()
        for name in options.sets:
            for seed in range(options.seeds):
                run = run_or_read(settings_for(name, seed, options, out))
                chosen = {
                    "training": min(run.front, key=lambda member: member.error),
                    "validation": min(run.front, key=of_validation),
                    "recommended": run.best(),
                }
                for by, member in chosen.items():
                    print(f"| {name} {seed} | {by} | {' | '.join(cells(member))} |", flush=True)


if __name__ == "__main__":
    main()
