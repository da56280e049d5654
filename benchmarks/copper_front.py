"""Formulas for copper against POET's, and against the classical forms refitted, on the same data.

    python benchmarks/copper_front.py [--case poet|mlearn] [--seeds 5] [--minutes 15]
                                      [--data FOLDER] [--out FOLDER] [--plot FILE]
                                      [--set NAME=VALUE ...]

poet: copper_dft_train.extxyz and copper_dft_validation.extxyz, 75 structures each of the DFT data
of Hernandez et al., npj Comput. Mater. 5, 112 (2019); at most six fitted constants, weights
included. mlearn: copper_mlearn_train.extxyz of Zuo et al., J. Phys. Chem. A 124, 731 (2020);
contiguous blocks of every group are held out; any number of constants. Files are in --data,
$SYMREG_SHARED_DATA or ../shared/data beside the checkout. The runs are those of ``symreg run``, 2
workers, one after another, from no known form; a run that --out holds already is read, not
repeated.

Comes out: errors on the validation structures of published and refitted forms, cut off as POET's
are (3 to 5 Å), and of every member of the fronts that stands on their joint front; with --plot a
picture of both.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase.units import GPa
from common import expression_of, machine, with_settings
from needs import data_file, shared_data

import symreg
from symreg import config
from symreg.fit.errors import errors
from symreg.runs import Member
from symreg.runs.pipeline.preparation import Prepared, best_fit, prepare
from symreg.terms import Expression
from symreg.terms.known import terms_of_form

SIGMAS = {"sigma_energy": 0.0044, "sigma_forces": 0.063, "sigma_stress": 0.0017}
"""MAE of 3.5 meV/atom, 0.05 eV/Å and 0.22 GPa, as RMSE: what is to be reached counts as one."""
POET = {"cutoff": "poet", "r_cut": 5.0, "r_on": 3.0}
SEARCHED = {
    "poet": {"r_cut": 6.0, "max_constants": 6, "max_complexity": 45},
    "mlearn": {"r_cut": 6.5, "max_complexity": 60},
}
NAMES = {"poet": "dft", "mlearn": "mlearn"}
FORMS = ("Lennard-Jones", "Morse", "Sutton-Chen", "Gupta", "POET GP1", "POET GP3")
PUBLISHED = {
    "GP1, published": (
        5,
        {
            "pair": {"x^(10.21 - 5.47*x) - 0.21^x": 2.0},
            "many-body": {"1/sum(0.33^x)": 0.97},
        },
    ),
    "GP2, published": (
        8,
        {
            "pair": {"x^(3.98 - 3.94*x)": 14.66},
            "many-body": {"(27.32 - sum(11.13 + 0.03*x^(11.74 - 2.93*x)))/sum(1)": 1.0},
        },
    ),
    "GP3, published": (
        7,
        {
            "pair": {"x^(3.98 - 3.93*x)": 15.02},
            "many-body": {"(28.01 - 0.03*sum(x^(11.73 - 2.93*x)))/sum(1)": 1.0},
        },
    ),
}
"""Constants, and formulas in r / Å with weights in eV; a pair counts once here, twice there."""
Row = tuple[str, int, int | None, dict[str, float]]
"""Name, constants, complexity and validation errors."""


def settings_for(
    case: str,
    data: Path,
    terms: Mapping[str, Any],
    changes: Mapping[str, str] | None = None,
    **search: Any,
) -> config.Settings:
    """The run file of one seed, or of the forms it is compared with."""
    files: dict[str, Any] = {"split": "block"} if case == "mlearn" else {}
    for split in ("train",) if case == "mlearn" else ("train", "validation"):
        files[split] = [str(data_file(data, f"copper_{NAMES[case]}_{split}.extxyz"))]
    folder = search.pop("folder", "unused")
    record = {
        "data": files,
        "terms": {"many_body": True, "library_seeds": False, **terms},
        "loss": SIGMAS,
        "search": {"population_size": 200, "generations_per_epoch": 5, "workers": 2, **search},
        "output": {"folder": str(folder)},
    }
    return config.from_dict(record, overrides=changes)


def figures(found: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Validation errors in meV/atom, eV/Å and GPa: MAE and RMSE of each quantity."""
    units = {"energy": 1e3, "forces": 1.0, "stress": 1.0 / GPa}
    return {
        f"{quantity} {kind}": found["validation"][quantity][kind] * unit
        for quantity, unit in units.items()
        if quantity in found["validation"]
        for kind in ("mae", "rmse")
    }


def validated(prepared: Prepared, expression: Expression) -> dict[str, float]:
    """That of an expression; the energy of a free atom is the one that fits best."""
    found = errors(prepared.structures, prepared.exact.predict(expression, prepared.e0(expression)))
    return figures(found)


def published(name: str) -> Expression:
    """One of POET's formulas, distances in Å."""
    parts = [
        (kind, text, {}, weight)
        for kind, texts in PUBLISHED[name][1].items()
        for text, weight in texts.items()
    ]
    return expression_of("Cu", parts)


def known(case: str, data: Path) -> list[Row]:
    """Published and refitted forms with POET's cutoff function."""
    prepared = prepare(settings_for(case, data, {**POET, "r0": 1.0}))
    reduced = prepare(settings_for(case, data, POET))
    rows: list[Row] = []
    for name, (count, _) in PUBLISHED.items():
        expression = published(name)
        rows.append((name, count, expression.complexity, validated(prepared, expression)))
    for form in prepared.forms:
        if form.name in FORMS:
            here = prepared if form.in_angstrom else reduced
            expression, _ = best_fit(here, terms_of_form(form, here.design.keys))
            found = validated(here, expression)
            name = f"{form.name}, refitted"
            rows.append((name, expression.n_constants, expression.complexity, found))
    return rows


def joint_front(members: list[Member]) -> list[Member]:
    """Members that no other beats in training error and complexity."""
    best: list[Member] = []
    for member in sorted(members, key=lambda m: (m.complexity, m.error)):
        if not best or member.error < 0.99 * best[-1].error:
            best.append(member)
    return best


def table(rows: list[Row]) -> str:
    """Markdown."""
    names = list(rows[0][3])
    head = f"| formula | constants | complexity | {' | '.join(names)} |"
    lines = [head, "|---|" + "---|" * (len(names) + 2)]
    for name, count, complexity, found in rows:
        cells = " | ".join(f"{found[key]:.3g}" for key in names)
        lines.append(f"| {name} | {count} | {complexity} | {cells} |")
    return "\n".join(lines)


def plot(path: Path, rows: list[Row], front: list[Member]) -> None:
    """Errors against the number of constants: fronts as a line, known forms as points."""
    from matplotlib.figure import Figure

    quantities = {"energy mae": "energies, meV/atom", "forces mae": "forces, eV/Å"}
    if "stress mae" in rows[0][3]:
        quantities["stress mae"] = "stresses, GPa"
    figure = Figure(figsize=(4 * len(quantities) + 2, 3.6), layout="constrained")
    panels = figure.subplots(1, len(quantities))
    for axes, (key, label) in zip(panels, quantities.items(), strict=True):
        points = [(m.complexity, figures(m.errors)[key]) for m in front]
        axes.plot(*zip(*points, strict=True), "o-", ms=4, label="symreg, joint front")
        for name, _, complexity, found in rows:
            mark = "s" if "published" in name else "^"
            axes.plot(complexity, found[key], mark, ms=6, label=name)
        axes.set(xlabel="complexity", ylabel=f"validation MAE of {label}", yscale="log")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Run or read the runs, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", choices=tuple(SEARCHED), default="poet")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--data", type=Path, default=shared_data(), help="folder of the data")
    parser.add_argument("--out", type=Path, help="folder that keeps the runs")
    parser.add_argument("--plot", type=Path, help="file for a picture")
    options = with_settings(parser)
    print(machine(), flush=True)
    rows = known(options.case, options.data)
    print(table(rows), flush=True)
    members: list[Member] = []
    with tempfile.TemporaryDirectory() as scratch:
        out = (options.out or Path(scratch)).resolve()
        for seed in range(options.seeds):
            folder = out / f"seed{seed}"
            settings = settings_for(
                options.case,
                options.data,
                SEARCHED[options.case],
                options.changes,
                seed=seed,
                minutes=options.minutes,
                folder=folder,
            )
            kept = (folder / "front.csv").exists()
            run = symreg.resume(folder) if kept else symreg.search(settings)
            best = run.front[-1]
            print(
                f"seed {seed}: {len(run.front)} members; best {best.n_constants} constants,",
                end=" ",
            )
            print(", ".join(f"{k} {v:.3g}" for k, v in figures(best.errors).items()), flush=True)
            members += run.front
    front = joint_front(members)
    print(f"\njoint front of {options.seeds} runs of {options.minutes:g} minutes, 2 workers\n")
    print(table([(m.expression, m.n_constants, m.complexity, figures(m.errors)) for m in front]))
    constants = np.array([m.n_constants for m in front])
    print(f"\nat most {constants.max()} constants")
    if options.plot:
        plot(options.plot, rows, front)


if __name__ == "__main__":
    main()
