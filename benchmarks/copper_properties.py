"""Properties of copper that no formula was fitted to, beside DFT.

    python benchmarks/copper_properties.py --runs FOLDER [--data FOLDER]

FOLDER holds the runs of ``copper_front.py --case poet --out FOLDER``, whose structures are bulk at
300 and 1400 K. The DFT values are those of the package's own copper data (another code and other
pseudopotentials than POET's labels); every formula labels the very same structures: E(V) of fcc,
strained fcc, a vacancy in eight atoms and slabs as cut out, so that what small cells and missing
relaxation do is in both. Energies between phases are at the best volume of each. Gupta is refitted
to the same data, GP1 to GP3 are POET's as published.

Comes out: a table, a row for each.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import dft_copper as compute
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from common import machine
from copper_front import POET, PUBLISHED, joint_front, published, settings_for
from needs import shared_data
from plane_waves import equation_of_state, read_file

import symreg
from symreg.fit.exact import ExactPath
from symreg.runs import Member
from symreg.runs.pipeline.preparation import best_fit, prepare
from symreg.structures import from_atoms
from symreg.terms.known import terms_of_form
from symreg.terms.lengths import Lengths

PHASES = ("bcc", "hcp")


def relabelled(
    images: Mapping[str, Atoms], path: ExactPath, expression: object
) -> dict[str, Atoms]:
    """Structures with the labels of an expression; energies are of bonds alone."""
    structures = path.structures
    with np.errstate(all="ignore"):
        found = path.predict(expression, {"Cu": 0.0})
    result = {}
    for s, (name, atoms) in enumerate(images.items()):
        copy = atoms.copy()
        labels = {"energy": found.energy[s], "forces": found.forces[structures.atoms_of(s)]}
        copy.calc = SinglePointCalculator(copy, **labels, stress=found.stress[s])
        result[name] = copy
    return result


def properties(images: Mapping[str, Atoms]) -> dict[str, float]:
    """Properties of copper by labels of the structures."""
    curves: dict[str, list[Atoms]] = {}
    for atoms in images.values():
        if atoms.info["group"].endswith("_ev") and atoms.info["group"] != "sc_ev":
            curves.setdefault(atoms.info["group"].removesuffix("_ev"), []).append(atoms)
    # The dense end would need a higher order.
    fits = {name: equation_of_state(near(found)) for name, found in curves.items()}
    fcc = fits["fcc"]
    found = {
        "a, Å": np.cbrt(4 * fcc["volume_cubic_angstrom_per_atom"]),
        "B, GPa": fcc["bulk_modulus_GPa"],
    }
    found |= compute.elastic_constants(images)
    found |= compute.defect_energies(images)
    for name in PHASES:
        gap = fits[name]["energy_eV_per_atom"] - fcc["energy_eV_per_atom"]
        found[f"{name} - fcc, meV/atom"] = 1000 * gap
    return found


def near(images: list[Atoms]) -> list[Atoms]:
    """Structures of a curve within a fifth of the usual volume."""
    return [atoms for atoms in images if 9.6 < atoms.get_volume() / len(atoms) < 14.5]


def members(runs: Path) -> dict[str, Member]:
    """The most accurate member of all runs, and the most accurate with four constants."""
    every = [m for folder in sorted(runs.glob("seed*")) for m in symreg.open_run(folder).front]
    if not every:
        sys.exit(f"no runs in {runs}: copper_front.py --case poet --out {runs} makes them")
    few = joint_front([m for m in every if m.n_constants <= 4])
    found = [joint_front(every)[-1], *few[-1:]]
    return {f"symreg, {m.n_constants} constants": m for m in found}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--data", type=Path, default=shared_data(), help="folder of the data")
    options = parser.parse_args()
    print(machine())
    images = read_file(compute.FILE)
    structures = from_atoms(list(images.values()))
    rows = {"DFT": properties(images)}
    for name, member in members(options.runs).items():
        formula = member.potential.formula
        print(f"{name}: {formula.expression.text()}")
        path = ExactPath(structures, Lengths(formula.cutoff, None, formula.r0, formula.r_lo))
        rows[name] = properties(relabelled(images, path, formula.expression))
    prepared = prepare(settings_for("poet", options.data, POET))
    gupta = next(form for form in prepared.forms if form.name == "Gupta")
    expression, _ = best_fit(prepared, terms_of_form(gupta, prepared.design.keys))
    path = ExactPath(structures, Lengths(prepared.lengths.cutoff, None, prepared.lengths.r0))
    rows["Gupta, refitted"] = properties(relabelled(images, path, expression))
    path = ExactPath(structures, Lengths(prepared.lengths.cutoff, None, 1.0))
    for name in PUBLISHED:
        rows[name] = properties(relabelled(images, path, published(name)))
    names = list(rows["DFT"])
    print(f"\n| | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    for name, found in rows.items():
        print(f"| {name} | {' | '.join(f'{found[key]:.4g}' for key in names)} |")


if __name__ == "__main__":
    main()
