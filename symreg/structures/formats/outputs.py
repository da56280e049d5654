"""Outputs of DFT programs, and which of their frames are not converged."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from symreg.structures.formats.converged import FLAG
from symreg.structures.formats.deepmd import atoms_of_arrays
from symreg.versions import install

OPTIONS: Mapping[str, Mapping[str, Any]] = {"aims-output": {"non_convergence_ok": True}}
"""Options that ASE's readers of outputs need."""


def add_free_energy(images: Sequence[Atoms]) -> None:
    """Give frames of a GPAW text the free energy, which ASE reads but leaves out of the labels."""
    for atoms in images:
        parts = getattr(atoms.calc, "energy_contributions", None) or {}
        if "free energy" in parts and atoms.calc.name == "gpaw":
            atoms.calc.results["free_energy"] = parts["free energy"]


def mark_unconverged(images: Sequence[Atoms], kind: str, path: Path) -> None:
    """Note in ``info`` of each frame of an output whether its SCF converged.

    Where frames and cycles cannot be matched, one cycle that failed marks all frames.
    """
    if kind not in CYCLES:
        return
    converged = CYCLES[kind](path.read_text(encoding="utf-8", errors="replace"))
    if len(converged) != len(images):
        converged = [all(converged)] * len(images)
    for atoms, flag in zip(images, converged, strict=True):
        if not flag:
            atoms.info[FLAG] = False


def _outcar(text: str) -> list[bool]:
    """VASP: electronic steps of each ionic step that end before EDIFF is reached."""
    nelm = re.search(r"\bNELM\s*=\s*(\d+)", text)
    most = int(nelm[1]) if nelm else 10**9
    found = []
    for step in text.split("FREE ENERGIE OF THE ION-ELECTRON SYSTEM")[:-1]:
        count = max(map(int, re.findall(r"Iteration\s+\d+\(\s*(\d+)\)", step)), default=0)
        reached = "EDIFF is reached" in step
        found.append(reached or ("EDIFF was not reached" not in step and count < most))
    return found


def _vasprun(text: str) -> list[bool]:
    """VASP: as many electronic steps as are allowed; it does not say if the last one sufficed."""
    nelm = re.findall(r'name="NELM"\s*>\s*(\d+)', text)
    most = int(nelm[-1]) if nelm else 10**9
    return [step.count("<scstep") < most for step in text.split("<calculation")[1:]]


def _espresso(text: str) -> list[bool]:
    """Quantum ESPRESSO: it says so after each cycle."""
    said = re.findall(r"convergence (has been|NOT) achieved", text)
    return [word != "NOT" for word in said]


def _aims(text: str) -> list[bool]:
    """FHI-aims: it says so; a restarted mixer goes on with the same cycle."""
    cycles = text.split("Begin self-consistency loop:")[1:]
    return [
        "Self-consistency cycle converged" in cycle
        for cycle in cycles
        if "not yet converged - restarting" not in cycle
    ]


def _gpaw(text: str) -> list[bool]:
    """GPAW: it says so below the positions of each frame."""
    steps = re.split(r"^positions:\s*$", text, flags=re.IGNORECASE | re.MULTILINE)[1:]
    return ["did not converge" not in step.lower() for step in steps]


CYCLES: Mapping[str, Callable[[str], list[bool]]] = {
    "vasp-out": _outcar,
    "vasp-xml": _vasprun,
    "espresso-out": _espresso,
    "aims-output": _aims,
    "gpaw-out": _gpaw,
}
"""For each kind of output: whether each of its self-consistency cycles converged."""


def read_with_dpdata(path: Path, kind: str, name: str) -> list[Atoms]:
    """Read what ASE does not, through the optional library dpdata.

    Raises
    ------
    ValueError
        If dpdata is missing or cannot read the file; the message says what to install.
    """
    if find_spec("dpdata") is None:
        raise ValueError(
            f"{name} is of a kind, {kind}, that dpdata reads: {install('formats')}, or convert the "
            "file to extended XYZ"
        )
    import dpdata

    if "SCF run NOT converged" in path.read_text(encoding="utf-8", errors="replace"):
        # The reader of dpdata takes such a step for a good one, or finds none.
        raise ValueError(f"{name}: a self-consistency cycle did not converge; leave the file out")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _structures(dpdata.LabeledSystem(str(path), fmt=kind).data)
    except Exception as error:
        # dpdata's readers raise whatever they stumble upon.
        raise ValueError(
            f"{name}: dpdata cannot read it as {kind} ({type(error).__name__}: {error}); convert "
            "it to extended XYZ"
        ) from error


def _structures(data: Mapping[str, Any]) -> list[Atoms]:
    """Turn arrays of dpdata into ASE structures."""
    symbols = [data["atom_names"][t] for t in data["atom_types"]]
    plural = {"energy": "energies", "force": "forces", "virial": "virials"}
    return [
        atoms_of_arrays(
            symbols,
            np.asarray(data["coords"][k]),
            None if data.get("nopbc") else np.asarray(data["cells"][k]),
            {key: np.asarray(data[many][k]) for key, many in plural.items() if many in data},
        )
        for k in range(len(data["coords"]))
    ]
