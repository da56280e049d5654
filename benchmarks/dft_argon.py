"""Compute the argon data of this folder: DFT curve, DFT clusters, CCSD(T) reference curve.

Needs the extra ``dft`` (PySCF and pyscf-dispersion). Every number is an interaction energy
relative to isolated atoms, counterpoise-corrected in the basis of the whole cluster (S. F. Boys
and F. Bernardi, Mol. Phys. 19, 553 (1970)). A finished point is one line of ``<part>.jsonl``, so
an interrupted computation goes on where it stopped::

    python benchmarks/dft_argon.py --out FOLDER --part dimer
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ase.io
import ase.units
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from dft_argon_summary import ACCEPTED, Array, Point, curve_summary, non_additivity
from needs import packages

DFT: dict[str, Any] = {
    "method": "PBE0-D3(BJ)-ATM",
    "functional": "pbe0",
    "dispersion": "d3bjatm",
    "basis": "aug-cc-pvtz",
    "density_fitting_basis": "aug-cc-pvqz-jkfit",
    "grid": [250, 302],
    "grid_of_clusters": [150, 590],
    "grid_note": "radial, angular points of atoms and ghosts; NWChem pruning; response in forces",
    "conv_tol": 1e-11,
    "conv_tol_grad": 1e-6,
    "counterpoise": "every atom in the basis, fitting basis and grid of the whole cluster",
}
CCSDT: dict[str, Any] = {
    "method": "CCSD(T) + MP2/CBS",
    "basis": ["aug-cc-pvtz", "aug-cc-pvqz"],
    "bond_functions": {"s": [0.9, 0.3, 0.1], "p": [0.9, 0.3, 0.1], "d": [0.6, 0.2], "f": [0.3]},
    "bond_functions_note": "even-tempered, uncontracted, at the midpoint, present in the monomers",
    "assembly": "HF (larger basis) + MP2 (n^-3 from both bases) + CCSD(T) - MP2 (smaller basis)",
    "frozen_core": "1s 2s 2p",
    "scf_conv_tol": 1e-11,
    "ccsd_conv_tol": 1e-9,
    "ccsd_conv_tol_normt": 1e-6,
    "counterpoise": "the atom in the basis of both atoms and of the bond functions",
}
QUICK_DFT = DFT | {"basis": "aug-cc-pvdz", "grid": [40, 110], "grid_of_clusters": [40, 110]}
QUICK_CCSDT = CCSDT | {"basis": ["cc-pvdz", "cc-pvtz"]}
DFT_DISTANCES = np.concatenate(
    [
        np.arange(28, 32) / 10,
        np.arange(320, 420, 5) / 100,
        np.arange(42, 54) / 10,
        np.arange(54, 70, 2) / 10,
        np.arange(70, 101, 5) / 10,
    ]
)
CCSDT_DISTANCES = np.concatenate(
    [
        [2.8, 3.0, 3.2, 3.4, 3.5, 3.6, 3.7, 3.75, 3.8],
        [3.9, 4.0, 4.2, 4.5, 5.0, 5.5, 6.5, 8.0, 10.0],
    ]
)
QUICK_DISTANCES = np.array([3.6, 3.7, 3.8, 3.9, 4.1])
GRADIENT_UNIT = ase.units.Hartree / ase.units.Bohr


def energy_and_gradient(positions: Array, real: Sequence[int], dft: Mapping[str, Any]) -> Point:
    """Energy (Hartree) and gradient (Hartree/Bohr) of some atoms in the basis of all of them.

    Parameters
    ----------
    positions
        Å, shape (N, 3).
    real
        The atoms that are there; the others lend their basis functions and grid only.
    dft
        Functional, basis, grid and thresholds.
    """
    from pyscf import dft as pyscf_dft
    from pyscf import gto

    names = ["Ar" if i in real else "Ghost-Ar" for i in range(len(positions))]
    atoms = list(zip(names, positions.tolist(), strict=True))
    molecule = gto.M(atom=atoms, basis=dft["basis"], verbose=0)
    field = pyscf_dft.RKS(molecule, xc=dft["functional"])
    field = field.density_fit(auxbasis=dft["density_fitting_basis"])
    field.grids.atom_grid = tuple(dft["grid"])
    # Radius adjustment would move the cell borders between an atom and a ghost.
    field.grids.radii_adjust = None
    field.conv_tol, field.conv_tol_grad = dft["conv_tol"], dft["conv_tol_grad"]
    # Dispersion belongs to the cluster: a lone atom has none, and ghosts have no C6.
    field.disp = dft["dispersion"] if len(real) > 1 else False
    energy = field.kernel()
    if not field.converged:
        raise RuntimeError(f"SCF of {names} did not converge at positions {positions.tolist()}")
    slope = field.nuc_grad_method()
    slope.grid_response = True
    return {"energy": float(energy), "gradient": np.asarray(slope.kernel())}


def symmetry(positions: Array, i: int, j: int) -> tuple[tuple[int, ...], Array] | None:
    """Find the permutation and the rotation or reflection that take atom i to atom j.

    Returns
    -------
    Where each atom goes, and the matrix R, shape (3, 3), with ``positions[to] = positions @ R.T``
    about the centre; ``None`` when no symmetry of the cluster does it.
    """
    centred = positions - positions.mean(axis=0)
    for to in itertools.permutations(range(len(positions))):
        if to[i] != j:
            continue
        left, _, right = np.linalg.svd(centred[list(to)].T @ centred)
        rotation: Array = left @ right
        if np.abs(centred[list(to)] - centred @ rotation.T).max() < 1e-9:
            return to, rotation
    return None


def monomer(
    positions: Array, i: int, finished: Mapping[int, Point], dft: Mapping[str, Any]
) -> Point:
    """Atom i in the basis of the cluster; from a finished equivalent atom where there is one."""
    for k, known in finished.items():
        found = symmetry(positions, k, i)
        if found is not None:
            to, rotation = found
            gradient = np.empty_like(positions)
            gradient[list(to)] = known["gradient"] @ rotation.T
            return {"energy": known["energy"], "gradient": gradient}
    return energy_and_gradient(positions, [i], dft)


def interaction(positions: Array, dft: Mapping[str, Any] = DFT) -> tuple[float, Array]:
    """Counterpoise-corrected interaction energy in eV and forces in eV/Å, shape (N, 3)."""
    cluster = energy_and_gradient(positions, range(len(positions)), dft)
    monomers: dict[int, Point] = {}
    for i in range(len(positions)):
        monomers[i] = monomer(positions, i, monomers, dft)
    energy = cluster["energy"] - sum(m["energy"] for m in monomers.values())
    gradient = cluster["gradient"] - sum(m["gradient"] for m in monomers.values())
    return energy * ase.units.Hartree, -gradient * GRADIENT_UNIT


def wavefunction_energies(
    r: float, basis: str, both: bool, triples: bool, ccsdt: Mapping[str, Any]
) -> dict[str, float]:
    """Hartree-Fock, MP2 and, with ``triples``, CCSD(T) correlation energies in Hartree.

    Of Ar2, or of one Ar in the basis of both (``both`` false), at a distance of ``r`` Å.
    """
    from pyscf import cc, gto, mp, scf

    bond = [
        ["spdf".index(letter), [exponent, 1.0]]
        for letter, exponents in ccsdt["bond_functions"].items()
        for exponent in exponents
    ]
    molecule = gto.M(
        atom=[("Ar", (0, 0, 0)), ("Ar" if both else "Ghost-Ar", (0, 0, r)), ("X", (0, 0, r / 2))],
        basis={"default": basis, "X": bond},
        verbose=0,
    )
    field = scf.RHF(molecule)
    field.conv_tol = ccsdt["scf_conv_tol"]
    field.kernel()
    core = 10 if both else 5
    if not triples:
        return {"hf": float(field.e_tot), "mp2": float(mp.MP2(field, frozen=core).kernel()[0])}
    cluster = cc.CCSD(field, frozen=core)
    cluster.conv_tol = ccsdt["ccsd_conv_tol"]
    cluster.conv_tol_normt = ccsdt["ccsd_conv_tol_normt"]
    integrals = cluster.ao2mo()
    cluster.kernel(eris=integrals)
    if not (field.converged and cluster.converged):
        raise RuntimeError(f"CCSD of Ar2 in {basis} at {r:g} Å did not converge")
    correlation = float(cluster.e_corr + cluster.ccsd_t(eris=integrals))
    return {"hf": float(field.e_tot), "mp2": float(cluster.emp2), "ccsdt": correlation}


def ccsdt_point(r: float, ccsdt: Mapping[str, Any] = CCSDT) -> Point:
    """Counterpoise-corrected CCSD(T) interaction energy of Ar2 and its parts, in eV."""
    parts: list[dict[str, float]] = []
    for basis, triples in zip(ccsdt["basis"], (True, False), strict=True):
        dimer, atom = (
            wavefunction_energies(r, basis, both, triples, ccsdt) for both in (True, False)
        )
        parts.append({key: (dimer[key] - 2 * atom[key]) * ase.units.Hartree for key in dimer})
    small, large = parts
    n, m = (("dtq".index(basis[-2]) + 2) ** 3 for basis in ccsdt["basis"])
    mp2_limit = (m * large["mp2"] - n * small["mp2"]) / (m - n)
    energy = large["hf"] + mp2_limit + small["ccsdt"] - small["mp2"]
    return {"energy": energy, "parts": dict(zip(ccsdt["basis"], parts, strict=True))}


def cluster_geometries() -> dict[str, tuple[str, Array]]:
    """Name -> (group, positions in Å): compressed, relaxed, stretched and random clusters."""
    triangle = np.array([[0, 0, 0], [1, 0, 0], [0.5, np.sqrt(0.75), 0]])
    tetrahedron = np.array([[0, 0, 0], [1, 1, 0], [1, 0, 1], [0, 1, 1]]) / np.sqrt(2)
    square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.0]])
    apexes = triangle.mean(axis=0) + np.outer([1, -1], [0, 0, np.sqrt(2 / 3)])
    bipyramid = np.vstack([triangle, apexes])
    octahedron = np.vstack([np.eye(3), -np.eye(3)]) / np.sqrt(2)
    shapes: dict[str, tuple[str, Array]] = {}
    for name, group, shape, sides in (
        ("equilateral", "trimer", triangle, (3.2, 3.5, 3.8, 4.3)),
        ("linear", "trimer", np.outer([-1, 0, 1], [0, 0, 1.0]), (3.4, 3.8)),
        ("tetrahedron", "cluster", tetrahedron, (3.4, 3.8, 4.2)),
        ("square", "cluster", square, (3.6,)),
        ("bipyramid", "cluster", bipyramid, (3.8,)),
        ("octahedron", "cluster", octahedron, (3.7,)),
    ):
        for side in sides:
            shapes[f"{name} {side}"] = (group, shape * side)
    for base, height in ((3.4, 3.6), (4.6, 2.9)):
        corners = np.array([[-base / 2, 0, 0], [base / 2, 0, 0], [0, height, 0]])
        shapes[f"isosceles {base} {height}"] = ("trimer", corners)
    rng = np.random.default_rng(0)
    for name, group, shape in (
        ("random trimer", "trimer", 3.7 * triangle),
        ("random tetrahedron", "cluster", 3.7 * tetrahedron),
    ):
        shapes[name] = (group, shape + rng.normal(scale=0.2, size=shape.shape))
    return dict(sorted(shapes.items(), key=lambda item: len(item[1][1])))


def read_points(path: Path) -> dict[str, Point]:
    """Name -> finished point."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {point["name"]: point for point in map(json.loads, lines)}


def run_points(
    path: Path, tasks: Mapping[str, Callable[[], Point]], say: Callable[[str], object]
) -> None:
    """Compute the tasks that ``path`` lacks and append each as one JSON line."""
    done = read_points(path)
    for name, task in tasks.items():
        if name in done:
            continue
        start = time.perf_counter()
        point: Point = {"name": name} | task()
        point["wall_s"] = round(time.perf_counter() - start, 1)
        with path.open("a") as file:
            file.write(json.dumps(point) + "\n")
        say(f"{name}: {point['energy'] * 1000:.4f} meV, {point['wall_s']} s")


def dft_task(group: str, positions: Array, dft: Mapping[str, Any]) -> Point:
    """One labelled structure of the DFT data."""
    energy, forces = interaction(positions, dft)
    point = {"group": group, "positions": positions.tolist(), "energy": energy}
    return point | {"forces": forces.tolist()}


def tasks_of(part: str, quick: bool) -> dict[str, Callable[[], Point]]:
    """Name -> computation of each point of a part; ``quick`` takes a few in small bases."""
    dft, ccsdt = (QUICK_DFT, QUICK_CCSDT) if quick else (DFT, CCSDT)
    if part == "ccsdt":
        distances = QUICK_DISTANCES if quick else CCSDT_DISTANCES
        return {f"dimer {r:.2f}": partial(ccsdt_point, float(r), ccsdt) for r in distances}
    if part == "dimer":
        distances = QUICK_DISTANCES if quick else DFT_DISTANCES
        shapes = {f"dimer {r:.2f}": ("dimer", np.outer([0, 1], [0, 0, r])) for r in distances}
    else:
        # Many directions need more angular points, one distance after the other more shells.
        dft = dft | {"grid": dft["grid_of_clusters"]}
        shapes = dict(list(cluster_geometries().items())[: 1 if quick else None])
    return {
        name: partial(dft_task, group, positions, dft)
        for name, (group, positions) in shapes.items()
    }


def to_atoms(point: Point) -> Atoms:
    """One finished point as ASE atoms with energy in eV and, where computed, forces in eV/Å."""
    name = point["name"]
    if name.startswith("dimer"):
        r = float(name.split()[1])
        positions = point.get("positions", [[0, 0, 0], [0, 0, r]])
        info: dict[str, Any] = {"group": "dimer", "name": name, "distance": r}
    else:
        positions, info = point["positions"], {"group": point["group"], "name": name}
    atoms = Atoms(f"Ar{len(positions)}", positions=positions)
    atoms.info.update(info, trajectory=name)
    labels = {key: point[key] for key in ("energy", "forces") if key in point}
    atoms.calc = SinglePointCalculator(
        atoms, **{key: np.array(value)[()] for key, value in labels.items()}
    )
    return atoms


def assemble(folder: Path, points: Mapping[str, Sequence[Point]], settings: Point) -> None:
    """Write the extended XYZ files and record.json of the parts that have points."""
    files = {"dimer": "argon", "clusters": "argon_clusters", "ccsdt": "argon_ccsdt"}
    record: Point = {"accepted": ACCEPTED, **settings, "parts": {}}
    for part, found in points.items():
        if not found:
            continue
        ase.io.write(folder / f"{files[part]}.extxyz", [to_atoms(point) for point in found])
        row: Point = {"file": f"{files[part]}.extxyz", "structures": len(found)}
        row["wall_s"] = round(sum(point["wall_s"] for point in found), 1)
        if part != "clusters":
            row |= curve_summary(part, found)
        elif points["dimer"]:
            row["beyond_pairs"] = non_additivity(found, points["dimer"])
        record["parts"][part] = row
    (folder / "record.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def settings_of(options: argparse.Namespace) -> Point:
    """Everything that decides the numbers: methods, versions, machine, command line."""
    names = ("pyscf", "pyscf-dispersion", "numpy", "scipy", "ase")
    return {
        "dft": QUICK_DFT if options.quick else DFT,
        "ccsdt": QUICK_CCSDT if options.quick else CCSDT,
        "versions": {"python": platform.python_version()} | {name: version(name) for name in names},
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "command": "python benchmarks/dft_argon.py --out FOLDER"
        + (" --quick" if options.quick else ""),
        "units": "eV, Å; energies relative to isolated atoms",
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Compute what is missing in the output folder and write its files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for points and files")
    parser.add_argument("--part", choices=("dimer", "ccsdt", "clusters", "all"), default="all")
    parser.add_argument("--quick", action="store_true", help="a few points in small bases")
    options = parser.parse_args(argv)
    packages("pyscf", "pyscf.dispersion", extra="dft")
    options.out.mkdir(parents=True, exist_ok=True)
    points: dict[str, list[Point]] = {}
    for part in ("dimer", "ccsdt", "clusters"):
        tasks = tasks_of(part, options.quick)
        path = options.out / f"{part}.jsonl"
        if options.part in (part, "all"):
            run_points(path, tasks, lambda text: print(text, flush=True))
        done = read_points(path)
        points[part] = [done[name] for name in tasks if name in done]
    assemble(options.out, points, settings_of(options))
    print(options.out / "record.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
