"""The proof that LAMMPS computes what was fitted: the same structures through both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms

from symreg.arrays import Floats
from symreg.formula import Formula, FormulaCalculator
from symreg.lammps.dynamics import EVERY, SAMPLES, choose_dynamics, drift, nve_input
from symreg.lammps.records import Differences, Drift, Ranks, RouteParity
from symreg.lammps.route import Route
from symreg.lammps.runtime import LammpsError, run
from symreg.lammps.specimens import Specimen, data_file

MEASURE = """\
compute atom_energy all pe/atom
compute energy_sum all reduce sum c_atom_energy
thermo_style custom step pe etotal vol pxx pyy pzz pyz pxz pxy c_energy_sum
"""
STEP = 2e-3
"""Displacement in Å for finite differences; of fourth order, so truncation is about 1e-12."""
MOVED = 4
"""Atoms that are displaced."""
SECONDS = 300.0
"""Time limit: a minute is much on an idle machine."""


class Reference(NamedTuple):
    """Energies, forces and virial of one structure by the formula, e0 left out."""

    energies: Floats
    """Energy of each atom in eV, shape (N,)."""
    forces: Floats
    """In eV/Å, shape (N, 3)."""
    virial: Floats
    """Stress times volume in eV, Voigt xx yy zz yz xz xy, shape (6,)."""


def reference(formula: Formula, atoms: Atoms) -> Reference:
    """Energies, forces and virial through the formula's ASE calculator."""
    atoms = atoms.copy()
    atoms.calc = FormulaCalculator(formula)
    free = np.array([formula.e0[symbol] for symbol in atoms.get_chemical_symbols()])
    return Reference(
        energies=atoms.get_potential_energies() - free,
        forces=atoms.get_forces(),
        virial=atoms.get_stress() * atoms.get_volume(),
    )


def round_trip(
    formula: Formula, routes: list[Route], specimens: list[Specimen]
) -> tuple[str, dict[str, RouteParity]]:
    """Compare every route with the formula: LAMMPS's version, and a record for each style."""
    jobs = [(route, s) for route in routes for s in specimens if _is_within(formula, route, s)]
    files: dict[str, str | bytes] = {
        s.file: data_file(s.atoms, formula.species, s.name) for s in specimens
    }
    for route in routes:
        files |= route.files
    answer = run([_task(formula, *job) for job in jobs], files, seconds=SECONDS)
    expected = {s.name: reference(formula, s.atoms) for s in specimens}
    found: dict[str, dict[str, Any]] = {route.style: {} for route in routes}
    for (route, specimen), result in zip(jobs, answer["results"], strict=True):
        found[route.style][specimen.name] = result
    records = {r.style: compare(formula, r, found[r.style], expected) for r in routes}
    return answer["version"], records


def _is_within(formula: Formula, route: Route, specimen: Specimen) -> bool:
    """Whether no two atoms are closer than the route allows."""
    distances = specimen.atoms.get_all_distances(mic=specimen.periodic)
    there = np.triu_indices(len(distances), 1)
    least: float | Floats = route.r_min
    if route.r_min >= formula.r_lo:
        symbols = specimen.atoms.get_chemical_symbols()
        least = np.maximum(route.r_min, formula.begins(symbols)[there])
    return bool((distances[there] > least).all())


def _task(formula: Formula, route: Route, specimen: Specimen) -> dict[str, Any]:
    boundary = "p p p" if specimen.periodic else "f f f"
    script = (
        "units metal\natom_style atomic\natom_modify map array\n"
        f"boundary {boundary}\nread_data {specimen.file}\n{route.commands}{MEASURE}"
    )
    task: dict[str, Any] = {"input": script + "run 0\n"}
    if specimen.name == "cluster 1":
        moves = [(atom, axis) for atom in range(MOVED) for axis in range(3)]
        task["differences"] = {"step": STEP, "moves": moves}
    if specimen.name == "rattled":
        nve = nve_input(choose_dynamics(formula))
        task["dynamics"] = {"script": nve, "every": EVERY, "samples": SAMPLES}
    return task


def compare(
    formula: Formula, route: Route, results: Mapping[str, Any], expected: Mapping[str, Reference]
) -> RouteParity:
    """Compare what LAMMPS found (see ``runtime.run``) with the formula, by structure."""
    if any(result["digest"] != route.digest for result in results.values()):
        raise LammpsError(f"it ran another pair style than that of route '{route.style}'")
    checks = {
        name: _differences(result, expected[name], route.shares_energies)
        for name, result in results.items()
        if not name.startswith("wall")
    }
    largest: dict[str, Any] = {
        one.name: float(np.max([getattr(check, one.name) for check in checks.values()]))
        for one in fields(Differences)
    }
    found: dict[str, Any] = {}
    relative = []
    for name in sorted(set(results) - set(checks)):
        forces = expected[name].forces
        size = np.linalg.norm(forces, axis=1, keepdims=True)
        relative.append(np.abs((np.array(results[name]["forces"]) - forces) / size).max())
    if relative:
        found["wall_forces_relative_max"] = float(max(relative))
    for name, result in results.items():
        if "differences" in result:
            numeric = np.reshape(result["differences"], (-1, 3))
            own = np.array(result["forces"])[:MOVED]
            found["finite_difference_max"] = float(np.abs(numeric - own).max())
        if "dynamics_error" in result:
            found["nve"] = Drift(error=result["dynamics_error"])
        if "total_energies" in result:
            atoms = len(expected[name].forces)
            found["nve"] = drift(result["total_energies"], atoms, choose_dynamics(formula))
    return RouteParity(**largest, checks=checks, **found)


def _differences(result: Mapping[str, Any], expected: Reference, shares: bool) -> Differences:
    n = len(expected.energies)
    each = np.abs(np.array(result["energies"]) - expected.energies).max()
    total = abs(result["energy"] - expected.energies.sum()) / n
    forces, virial = np.array(result["forces"]), np.array(result["virial"])
    return Differences(
        energy_per_atom_max=float(total if shares else np.maximum(each, total)),
        forces_max=float(np.abs(forces - expected.forces).max()),
        virial_per_atom_max=float(np.abs(virial - expected.virial).max()) / n,
    )


def compare_ranks(scripts: Mapping[str, str], files: Mapping[str, str | bytes]) -> dict[str, Ranks]:
    """Each script with one and with two MPI processes: the largest differences by its name."""
    tasks = [{"input": script} for script in scripts.values()]
    try:
        one, two = (run(tasks, files, ranks=n, seconds=60) for n in (1, 2))
    except LammpsError as error:
        return {name: Ranks(f"not run: {error}") for name in scripts}
    if two["ranks"] != 2:
        problem = f"not run: mpiexec started {two['ranks']} rank"
        return {name: Ranks(problem) for name in scripts}
    found = {}
    for name, a, b in zip(scripts, one["results"], two["results"], strict=True):
        forces = np.abs(np.subtract(a["forces"], b["forces"])).max()
        energy = abs(a["energy"] - b["energy"]) / len(a["forces"])
        found[name] = Ranks("run", float(forces), energy)
    return found
