"""Training sets kept as JSON: one FitSNAP configuration a file, or a list as of mlearn."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.units import bar
from numpy.typing import NDArray

from symreg.files import one_line, parse_json
from symreg.structures.formats.units import unit_factor

STYLES = {
    "electronvolt": "eV",
    "electronvoltperangstrom": "eV/A",
    "kb": "kbar",
    "hartreeperbohr": "hartree/bohr",
}
"""Units of FitSNAP by names of its own; others are called as everywhere."""
MLEARN_ORDER = (0, 1, 2, 5, 4, 3)
"""Places of xx yy zz yz xz xy in a stress of mlearn, which goes xx yy zz xy xz yz."""


def is_json_set(text: str) -> bool:
    """Tell whether the beginning of a file is that of a set which this module reads."""
    return '"Dataset"' in text or ('"outputs"' in text and '"structure"' in text)


def read_json_set(path: Path, name: str) -> list[Atoms]:
    """Read all structures of a FitSNAP or mlearn file.

    FitSNAP's styles are converted; its groups are folders. Stresses of both are pressures, so
    their sign is turned; those of mlearn are in kbar, as VASP prints them.

    Of mlearn this was verified in its molybdenum set: three frames as published, converted here,
    are those of a set whose stresses agree with dE/dV over 65 pairs of structures, and cells
    sheared along yz and xz alone have the sixth and the fifth number, so that the order is not
    that of VASP, which mlearn's own writer of MTP files takes it for. Of FitSNAP its reader of
    VASP was looked at: it copies what VASP prints and calls it ``kB``. Its sets as published, and
    ``bar`` where no style is given, were not compared with energies.

    Raises
    ------
    ValueError
        If the file is not JSON, or an entry is missing or of the wrong shape.
    """
    text = path.read_text(encoding="utf-8")
    if not text.lstrip().startswith(("{", "[")):
        text = text.partition("\n")[2]  # FitSNAP allows one line of comment
    try:
        content = parse_json(text)
    except ValueError as error:
        raise ValueError(f"{name} is not JSON ({one_line(error)}); write the file again") from None
    if isinstance(content, dict):
        dataset = content.get("Dataset")
        entries = dataset.get("Data") if isinstance(dataset, dict) else None
    else:
        dataset, entries = None, content
    if not isinstance(entries, list):
        raise ValueError(f'{name} has no list of "Data" in its "Dataset"; write the file again')
    return [_named(entry, dataset, path, f"{name} frame {k}") for k, entry in enumerate(entries)]


def _named(entry: Any, dataset: Mapping[str, Any] | None, path: Path, where: str) -> Atoms:
    """Turn one entry into an ASE structure, or say in which frame that failed."""
    try:
        return _mlearn(entry) if dataset is None else _fitsnap(dataset, entry, path, where)
    except KeyError as error:
        raise ValueError(f"{where}: {error} is missing or unknown; complete or drop it") from None
    except (AttributeError, TypeError, IndexError, ValueError, OverflowError) as error:
        if str(error).startswith(where):
            raise
        raise ValueError(f"{where} is not as it should be ({error}); drop it") from None


def _fitsnap(dataset: Mapping[str, Any], entry: Mapping[str, Any], path: Path, where: str) -> Atoms:
    """Turn one configuration of FitSNAP into an ASE structure."""

    def scale(key: str, quantity: str, ours: str) -> float:
        style = str(dataset.get(f"{key}Style", entry.get(f"{key}Style", ours)))
        unit = STYLES.get(style.lower(), style)
        return unit_factor(quantity, unit, f"{where}: {key}Style", len(entry["AtomTypes"]))

    length = scale("Lattice", "length", "angstrom")
    atoms = Atoms(
        entry["AtomTypes"],
        positions=np.array(entry["Positions"], dtype=float) * scale("Positions", "length", "A"),
        cell=np.array(entry["Lattice"], dtype=float) * length,
        pbc=True,
        info={"group": path.parent.name},
    )
    if entry.get("Energy") is not None:
        atoms.info["energy"] = float(entry["Energy"]) * scale("Energy", "energy", "eV")
    if entry.get("Forces") is not None:
        forces = np.array(entry["Forces"], dtype=float) * scale("Forces", "forces", "eV/A")
        atoms.new_array("forces", forces)
    if entry.get("Stress") is not None:
        atoms.info["stress"] = -_numbers(entry["Stress"]) * scale("Stress", "stress", "bar")
    return atoms


def _mlearn(entry: Mapping[str, Any]) -> Atoms:
    """Turn one entry of an mlearn list into an ASE structure."""
    structure, outputs = entry["structure"], entry["outputs"]
    sites = structure["sites"]
    atoms = Atoms(
        [site["species"][0]["element"] for site in sites],
        positions=[site["xyz"] for site in sites],
        cell=structure["lattice"]["matrix"],
        pbc=True,
        info={k: entry[k] for k in ("group", "description", "tag") if entry.get(k)},
    )
    if outputs.get("energy") is not None:
        atoms.info["energy"] = float(outputs["energy"])
    if outputs.get("forces") is not None:
        atoms.new_array("forces", _numbers(outputs["forces"]))
    if outputs.get("virial_stress") is not None:
        pressure = _numbers(outputs["virial_stress"])
        atoms.info["stress"] = -1e3 * bar * pressure[list(MLEARN_ORDER)]
    return atoms


def _numbers(value: Any) -> NDArray[np.float64]:
    """Return an array, also of one that the library monty has wrapped."""
    return np.array(value["data"] if isinstance(value, dict) else value, dtype=np.float64)
