"""Label structures with GPAW, and measure how far the labels are repeatable and converged.

Plane waves, PBE, Fermi-Dirac smearing. Needs GPAW and its PAW data sets (extra ``gpaw``). Every
label is one line of a ``.jsonl`` file, so an interrupted computation goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ase.io
import ase.units
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from dft_argon import read_points, run_points
from needs import packages
from numpy.typing import NDArray

Array = NDArray[np.float64]
Point = dict[str, Any]

METHOD: dict[str, Any] = {
    "code": "GPAW, plane waves",
    "functional": "PBE",
    "energy": "free energy, whose slopes the forces are; eV, the PAW reference atoms at 0",
    "k_points": "Gamma-centred grid, in info as kpts",
    "smearing": "Fermi-Dirac",
    "smearing_of_isolated_atom_eV": 0.01,
    "spin": "isolated atom (Hund), dimer, trimer polarised; initially 1 Bohr magneton an atom",
    "stress": "where the grid has more than one point in all directions",
    "scf": "thresholds of GPAW: 5e-4 eV and 1e-4 electrons per valence electron",
}


@dataclass(frozen=True, kw_only=True)
class PlaneWaves:
    """Settings that decide a label besides the structure and its grid of k-points."""

    cutoff: float
    """Kinetic energy of the plane waves in eV."""
    smearing: float = 0.1
    """Width of the Fermi-Dirac distribution in eV."""
    denser: float = 1.0
    """Factor on the k-points in each direction that has more than one."""


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """A data set of this package: its file, what is in it, and how it is labelled."""

    name: str
    """Also of its folder and file."""
    file: Path
    """The extended XYZ file that is shipped."""
    settings: PlaneWaves
    structures: Callable[[], list[Atoms]]
    """Build all structures; ``info`` has name, group, trajectory and kpts."""
    convergence: Mapping[str, Sequence[str]]
    """For each structure to test: what to refine, such as ``cutoff 500``."""


def k_points(cell: Array, spacing: float) -> list[int]:
    """Smallest grid whose points are at most ``spacing`` 1/Å apart (with 2π)."""
    reciprocal = 2 * np.pi * np.linalg.norm(np.linalg.inv(cell), axis=0)
    return [int(n) for n in np.ceil(reciprocal / spacing - 1e-9)]


def tagged(atoms: Atoms, group: str, name: str, kpts: Sequence[int]) -> Atoms:
    """Give a structure the ``info`` of a data set; single structures are their own trajectory."""
    atoms.info = {"group": group, "name": name, "trajectory": name, "kpts": np.array(kpts)}
    atoms.pbc = True
    return atoms


def in_box(positions: Array, symbol: str, room: Sequence[float]) -> Atoms:
    """Put a cluster of one element in the middle of a box with ``room`` in Å around it."""
    atoms = Atoms(f"{symbol}{len(positions)}", positions=positions)
    atoms.set_cell(np.ptp(atoms.positions, axis=0) + np.array(room))
    atoms.positions += np.array(room) / 2 - atoms.positions.min(axis=0)
    return atoms


def rattled(crystal: Atoms, rng: np.random.Generator, amplitude: float, strain: float) -> Atoms:
    """Strain a crystal at random (symmetric, relative) and displace each atom (normal, Å)."""
    tensor = rng.normal(scale=strain, size=(3, 3))
    atoms: Atoms = crystal.copy()
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.5 * (tensor + tensor.T)), scale_atoms=True)
    atoms.positions += rng.normal(scale=amplitude, size=(len(atoms), 3))
    return atoms


def label(atoms: Atoms, settings: PlaneWaves) -> Point:
    """Energy in eV, forces in eV/Å, and stress in eV/Å³ (xx yy zz yz xz xy) where periodic."""
    from gpaw import GPAW, PW, FermiDirac

    grid = np.array(atoms.info["kpts"])
    cluster, lone = bool((grid == 1).all()), len(atoms) == 1
    work = Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=True)
    if cluster and not lone:
        work.set_initial_magnetic_moments(np.ones(len(work)))
    width = METHOD["smearing_of_isolated_atom_eV"] if cluster and lone else settings.smearing
    work.calc = GPAW(
        mode=PW(settings.cutoff),
        xc=METHOD["functional"],
        kpts={"size": np.where(grid > 1, np.ceil(settings.denser * grid), 1).astype(int).tolist()}
        | {"gamma": True},
        occupations=FermiDirac(width),
        spinpol=cluster,
        hund=cluster and lone,
        txt=None,
    )
    point: Point = {"energy": float(work.get_potential_energy(force_consistent=True))}
    point["forces"] = work.get_forces().tolist()
    if (grid > 1).all():
        point["stress"] = work.get_stress().tolist()
    if cluster:
        point["total_magmom"] = round(float(work.calc.get_magnetic_moment()), 3)
    return point


def refined(settings: PlaneWaves, test: str) -> PlaneWaves:
    """Return the settings of a test of convergence, from its name: a setting and its value."""
    name, value = test.split()
    return replace(settings, **{name: float(value)})


def labelled(atoms: Atoms, point: Point) -> Atoms:
    """Return a structure with its labels, as it stands in the file."""
    result: Atoms = atoms.copy()
    if point.get("total_magmom", 0):
        result.info["total_magmom"] = point["total_magmom"]
    labels = {key: np.array(point[key]) for key in ("forces", "stress") if key in point}
    energies = {"energy": point["energy"], "free_energy": point["energy"]}
    result.calc = SinglePointCalculator(result, **energies, **labels)
    return result


def differences(atoms: Atoms, point: Point) -> dict[str, float]:
    """How far a label is from the one that a structure carries: meV/atom, eV/Å, eV/Å³."""
    energy = 1000 * (point["energy"] - atoms.get_potential_energy()) / len(atoms)
    found = {"energy_meV_per_atom": energy}
    gap = np.abs(np.array(point["forces"]) - atoms.get_forces())
    found["forces_eV_per_angstrom"] = gap.max()
    if "stress" in point:
        gap = np.abs(np.array(point["stress"]) - atoms.get_stress())
        found["stress_eV_per_cubic_angstrom"] = gap.max()
    return {key: float(f"{round(value, 9):.3g}") for key, value in found.items()}


def sample(images: Sequence[Atoms], n: int) -> list[Atoms]:
    """Take ``n`` structures: the middle one of every group, then others of every group in turn."""
    groups: dict[str, list[Atoms]] = {}
    for atoms in images:
        groups.setdefault(atoms.info["group"], []).append(atoms)
    rounds = [
        (abs(i - len(members) // 2), g, i)
        for g, members in enumerate(groups.values())
        for i in range(len(members))
    ]
    members = list(groups.values())
    return [members[g][i] for _, g, i in sorted(rounds)[:n]]


def equation_of_state(images: Sequence[Atoms]) -> dict[str, float]:
    """Minimum of a Birch-Murnaghan curve of fourth order through energies and pressures.

    The curve is a polynomial in V^(-2/3): F. Birch, Phys. Rev. 71, 809 (1947).

    Returns
    -------
    Energy in eV/atom and volume in Å³/atom at the minimum, bulk modulus in GPa.
    """
    volume = np.array([atoms.get_volume() / len(atoms) for atoms in images])
    energy = np.array([atoms.get_potential_energy() / len(atoms) for atoms in images])
    slope = np.array([atoms.get_stress()[:3].mean() for atoms in images])
    x = (volume / volume.mean()) ** (-2 / 3)
    powers = np.vander(x, 5, increasing=True)
    # V dE/dV of x^n is -2/3 n x^n.
    rows = np.vstack([powers, -2 / 3 * np.arange(5) * powers])
    fitted = np.linalg.lstsq(rows, np.concatenate([energy, volume * slope]), rcond=None)[0]
    curve = np.polynomial.Polynomial(fitted)
    roots = curve.deriv().roots()
    real = roots[np.abs(roots.imag) < 1e-9].real
    at = real[(real > x.min()) & (real < x.max()) & (curve.deriv(2)(real) > 0)][0]
    minimum = volume.mean() * at**-1.5
    modulus = curve.deriv(2)(at) * (2 / 3 * at) ** 2 / minimum / ase.units.GPa
    return {
        "energy_eV_per_atom": round(float(curve(at)), 4),
        "volume_cubic_angstrom_per_atom": round(float(minimum), 3),
        "bulk_modulus_GPa": round(float(modulus), 1),
    }


def read_file(path: Path) -> dict[str, Atoms]:
    """Name -> labelled structure of a file that may not exist yet."""
    images = ase.io.read(path, ":") if path.exists() else []
    return {atoms.info["name"]: atoms for atoms in images}


def record(data: DataSet, known: Mapping[str, Atoms], folder: Path) -> Point:
    """Settings, versions, repeatability, convergence and equations of state for record.json."""
    again = read_points(folder / "labels.jsonl")
    rows = {name: differences(known[name], again[name]) for name in known if name in again}
    curves: dict[str, list[Atoms]] = {}
    for atoms in known.values():
        if atoms.info["group"].endswith("_ev"):
            curves.setdefault(atoms.info["group"], []).append(atoms)
    tests: dict[str, Point] = {}
    for point in read_points(folder / "convergence.jsonl").values():
        name, test = point["name"].split(": ")
        if name in known:
            tests.setdefault(name, {})[test] = differences(known[name], point)
    names = ("gpaw", "gpaw-data", "numpy", "scipy", "ase")
    return {
        "method": METHOD
        | {"cutoff_eV": data.settings.cutoff, "smearing_eV": data.settings.smearing},
        "versions": {"python": platform.python_version()} | {name: version(name) for name in names},
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "command": f"python benchmarks/dft_{data.name}.py --out FOLDER",
        "units": "eV, Å; stress in eV/Å³ as ASE has it: tension positive",
        "file": data.file.name,
        "structures": len(known),
        "wall_s": round(sum(point["wall_s"] for point in again.values()), 1),
        "equations_of_state": {g: equation_of_state(images) for g, images in curves.items()},
        "reproduction": {"structures": len(rows), "largest": largest(rows.values()), "all": rows},
        "convergence": tests,
    }


def largest(rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Largest magnitude of each difference."""
    found: dict[str, float] = {}
    for row in rows:
        for key, value in row.items():
            found[key] = max(found.get(key, 0.0), abs(value))
    return found


def run(data: DataSet, argv: Sequence[str] | None = None) -> int:
    """Label what is missing in the output folder; write its file and record.json."""
    parser = argparse.ArgumentParser(description=f"Label the structures of {data.file.name}")
    parser.add_argument("--out", type=Path, required=True, help="folder for labels and files")
    parser.add_argument("--sample", type=int, help="only so many, spread over the kinds")
    parser.add_argument("--convergence", action="store_true", help="test some: finer settings")
    options = parser.parse_args(argv)
    packages("gpaw", extra="gpaw")
    options.out.mkdir(parents=True, exist_ok=True)
    images = {atoms.info["name"]: atoms for atoms in data.structures()}
    known = read_file(data.file)
    if options.convergence:
        tasks = {
            f"{name}: {test}": partial(label, images[name], refined(data.settings, test))
            for name, tests in data.convergence.items()
            for test in tests
        }
    else:
        chosen = sample(list(images.values()), options.sample or len(images))
        tasks = {a.info["name"]: partial(label, a, data.settings) for a in chosen}
    part = "convergence" if options.convergence else "labels"
    run_points(options.out / f"{part}.jsonl", tasks, lambda text: print(text, flush=True))
    done = read_points(options.out / "labels.jsonl")
    written = [labelled(images[name], done[name]) for name in images if name in done]
    if written:
        ase.io.write(options.out / data.file.name, written)
    report = json.dumps(record(data, known, options.out), indent=1, ensure_ascii=False)
    (options.out / "record.json").write_text(report + "\n")
    print(options.out / "record.json")
    return 0
