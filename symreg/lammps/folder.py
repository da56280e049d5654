"""The exported folder: files to run LAMMPS with, and what was measured."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from symreg.files import read_json, write_bytes, write_json, write_text
from symreg.formula import Formula
from symreg.lammps.dynamics import EVERY, SAMPLES, choose_dynamics, nve_input
from symreg.lammps.readme import readme_text
from symreg.lammps.records import Parity
from symreg.lammps.roundtrip import MEASURE, compare_ranks, reference, round_trip
from symreg.lammps.route import Route, quoted
from symreg.lammps.routes import make_routes
from symreg.lammps.runtime import INSTALL, LammpsError, is_installed
from symreg.lammps.specimens import Specimen, data_file, make_specimens, type_names
from symreg.lammps.worker import VIRIAL

SETUP = "units metal\natom_style atomic\natom_modify map array\nboundary p p p\n"
OWN = re.compile(
    r"potential(-\w+)?\.mod|build\.sh|pair_symreg_[a-z-]+_[0-9a-f]{12}\.(cpp|so)"
    r"|[A-Z][a-z]?(-[A-Z][a-z]?)*(-\d+|-domain)?\.(table|sw|meam\.spline|eam\.(alloy|fs)|units\.metal)"
)
"""Names of files that one style writes and another does not."""
BAR = 1602176.5
"""LAMMPS's factor between eV/Å^3 and bar in ``units metal``."""
STRESS = " ".join(f"$(-vol*{name}/{BAR}:%.12f)" for name in VIRIAL)
CHECK = f"""\
# Computes data.check. reference.json has what the formula gives: energy_without_e0 and virial
# (stress * volume, xx yy zz yz xz xy) in eV, forces in eV/angstrom.
{SETUP}read_data data.check
include potential.mod
{MEASURE}run 0
print "energy_without_e0 $(pe:%.12f)"
print "virial {STRESS}"
write_dump all custom forces.check id type fx fy fz modify sort id format float %.12f
print "forces: see forces.check"
"""


def export(
    formula: Formula,
    folder: str | Path,
    *,
    style: str = "auto",
    provenance: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write a folder with all that LAMMPS needs, run LAMMPS on it, and tell the differences.

    Parameters
    ----------
    formula
        The potential. LAMMPS's energies do not contain its e0.
    folder
        Where the files go; made if absent. Files of the same names are replaced.
    style
        For pairs ``table``; ``lepton``; ``native`` (only with cutoff "none" and a form that LAMMPS
        has). With three-body terms ``meam`` (products: a table and splines); ``sw`` (terms of
        Stillinger and Weber's form). With many-body terms ``eam`` (functions of one sum over
        neighbours). ``plugin``, generated C++, for all of them. ``auto``: a table or splines where
        possible, and the exact routes beside it.
    provenance
        For ``README.md`` and the table's first line: ``date``, ``contributor``, ``citation``,
        ``data``, ``errors`` and whatever else is known.

    Returns
    -------
    The content of ``parity.json``; see ``symreg.lammps.records.Parity``.

    Raises
    ------
    ValueError
        If the style is unknown or cannot express the formula.
    OSError
        If a file cannot be written; files that were there before are left whole.
    """
    provenance = provenance or {}
    folder = Path(folder)
    _check_folder(folder)
    routes = make_routes(formula, style, first_line(provenance))
    starts = [route.r_min for route in routes if route.r_min < formula.r_lo]
    specimens = make_specimens(formula, max(starts, default=formula.r_lo))
    files = folder_files(formula, routes, specimens[0])
    for name, content in files.items():
        data = content.encode("utf-8") if isinstance(content, str) else content
        write_bytes(folder / name, data)
    _remove_stale(folder, files)
    parity = measure_parity(formula, routes, specimens, files)
    write_text(folder / "README.md", readme_text(formula, routes, parity, provenance))
    record = parity.to_dict() | {"files": sorted(files)}
    write_json(folder / "parity.json", record)
    return record


def _check_folder(folder: Path) -> None:
    """Refuse a run folder, and one whose README.md or potential.json no export wrote."""
    if (folder / "manifest.json").exists():
        raise FileExistsError(f"{folder} is a run folder; choose another folder for LAMMPS files")
    if not folder.is_dir() or (folder / "parity.json").exists():
        return
    foreign = sorted(p.name for p in folder.iterdir() if p.name in ("README.md", "potential.json"))
    if foreign:
        raise FileExistsError(
            f"{folder} holds a {foreign[0]} that no export wrote; choose another folder"
        )


def _remove_stale(folder: Path, files: Collection[str]) -> None:
    """Remove what an earlier export wrote, says its record, and this one does not."""
    try:
        record = read_json(folder / "parity.json")
    except OSError:
        return
    earlier = record.get("files") if isinstance(record, dict) else None
    for name in earlier if isinstance(earlier, list) else ():
        if isinstance(name, str) and OWN.fullmatch(name) and name not in files:
            (folder / name).unlink(missing_ok=True)


def measure_parity(
    formula: Formula,
    routes: list[Route],
    specimens: list[Specimen],
    files: Mapping[str, str | bytes],
) -> Parity:
    """Run LAMMPS if it is there, on all routes that are ready; ``files`` are all of the folder."""
    best, table = routes[0], next((route.table for route in routes if route.table), None)
    plugin = next((route.plugin for route in routes if route.plugin), None)
    parity = Parity("run", best.style, table=table, splines=best.splines, plugin=plugin)
    ready = [route for route in routes if route.plugin in (None, "built")]
    if not ready:
        return replace(parity, status=f"not run: plugin {plugin}")
    if not is_installed():
        return replace(parity, status=INSTALL)
    try:
        version, found = round_trip(formula, ready, specimens)
    except LammpsError as error:
        return replace(parity, status=f"failed: {error}")
    scripts = {
        route.style: CHECK.replace("potential.mod", module_name(route, route is best))
        for route in ready
    }
    ranks = compare_ranks(scripts, files)
    found = {style: replace(one, two_ranks=ranks[style]) for style, one in found.items()}
    return replace(parity, lammps_version=version, routes=found)


def module_name(route: Route, is_first: bool) -> str:
    """Name of the file to include for a route."""
    return "potential.mod" if is_first else f"potential-{route.style}.mod"


def first_line(provenance: Mapping[str, Any]) -> str:
    """The line that LAMMPS wants potential files to begin with."""
    words = {
        "DATE": provenance.get("date", "unknown"),
        "UNITS": "metal",
        "CONTRIBUTOR": provenance.get("contributor", "unknown"),
        "CITATION": provenance.get("citation", "unknown"),
    }
    return " ".join(f"{key}: {quoted(value)}" for key, value in words.items())


def folder_files(formula: Formula, routes: list[Route], check: Specimen) -> dict[str, str | bytes]:
    """Name and content of every file but the README and the parity record."""
    files: dict[str, str | bytes] = {
        "in.check": CHECK,
        "in.nve": nve_script(formula),
        "data.check": data_file(check.atoms, formula.species, "rattled crystal"),
        "reference.json": reference_text(formula, check),
    }
    for route in routes:
        title = "-".join(formula.species)
        head = (
            f"# {title} by pair_style {route.style}; include once there is a box.\n"
            f"# Needs 'units metal' (eV, angstrom), atom types {type_names(formula.species)}.\n"
        )
        files[module_name(route, route is routes[0])] = head + route.commands
        files |= route.files
    return files


def nve_script(formula: Formula) -> str:
    """A run at constant energy, to be copied and changed."""
    dynamics = choose_dynamics(formula)
    return (
        "# Constant energy: the last column must not drift.\n"
        f"{SETUP}read_data data.check\ninclude potential.mod\n{nve_input(dynamics)}"
        f"thermo {SAMPLES}\nthermo_style custom step temp pe etotal\n"
        f"thermo_modify format float %.10g\nrun {EVERY * SAMPLES}\n"
    )


def reference_text(formula: Formula, check: Specimen) -> str:
    """The formula's energies, forces and virial of ``data.check``, as JSON."""
    expected = reference(formula, check.atoms)
    energy = float(expected.energies.sum())
    e0 = sum(formula.e0[symbol] for symbol in check.atoms.get_chemical_symbols())
    record = {
        "units": "eV, eV/angstrom; virial = stress * volume in eV, tension positive",
        "energy": energy + e0,
        "e0": e0,
        "energy_without_e0": energy,
        "virial_order": ["xx", "yy", "zz", "yz", "xz", "xy"],
        "virial": expected.virial.tolist(),
        "forces": expected.forces.tolist(),
    }
    return json.dumps(record, indent=1) + "\n"
