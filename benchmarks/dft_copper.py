"""Build and label the copper data of this folder with GPAW.

Crystals over a range of volumes, strained and rattled fcc, a vacancy, slabs, dimers. All structures
are built here. An interrupted computation goes on where it stopped::

    python benchmarks/dft_copper.py --out FOLDER [--sample 11 | --convergence]
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path

import ase.units
import numpy as np
from ase import Atoms
from ase.build import bulk, make_supercell
from plane_waves import DataSet, PlaneWaves, in_box, rattled, run, tagged

FILE = Path(str(resources.files("symreg") / "data" / "copper" / "copper.extxyz"))
SETTINGS = PlaneWaves(cutoff=600.0)
A = 3.64
"""Lattice constant of fcc in Å."""
ROOM = (10.0, 10.1, 10.2)
"""Vacuum around atom and dimers in Å; three lengths, so that no directions are degenerate."""
VACUUM = 10.0
"""From the last layer of a slab to the first of the next in Å."""
LAYERS = (4, 5)
DIMERS = (1.8, 2.0, 2.2, 2.5, 3.0, 3.6, 4.5)
STRAINS: dict[str, Sequence[Sequence[float]]] = {
    **{f"uni{e:+.3f}": np.diag([e, 0, 0]).tolist() for e in (-0.03, -0.015, 0.015, 0.03)},
    **{f"tet{e:+.3f}": np.diag([e, -e / 2, -e / 2]).tolist() for e in (-0.04, -0.02, 0.02, 0.04)},
    # A shear and its opposite are mirror images.
    **{f"shear{e:+.3f}": [[0, e / 2, 0], [e / 2, 0, 0], [0, 0, 0]] for e in (0.02, 0.04)},
}
TEMPERATURES = {300: 2, 700: 2, 1000: 3, 1350: 3}
"""Temperature in K -> number of rattled cells."""
EXPANSION = 1.7e-5
"""Linear thermal expansion of copper in 1/K."""


def fcc(volume: float) -> Atoms:
    """One atom; ``volume`` is relative to that of fcc with lattice constant ``A``, here and below.

    Examples
    --------
    >>> print(f"{fcc(1.0).get_volume():.3f}")
    12.057
    """
    return bulk("Cu", "fcc", a=A * np.cbrt(volume))


def bcc(volume: float) -> Atoms:
    """One atom."""
    return bulk("Cu", "bcc", a=A * np.cbrt(volume / 2))


def hcp(volume: float) -> Atoms:
    """Two atoms, c/a of close-packed spheres."""
    a = A * np.cbrt(volume) / np.sqrt(2)
    return bulk("Cu", "hcp", a=a, c=a * np.sqrt(8 / 3))


def sc(volume: float) -> Atoms:
    """One atom."""
    return bulk("Cu", "sc", a=A * np.cbrt(volume / 4))


def vacancy() -> Atoms:
    """Seven atoms: eight primitive cells of fcc less one atom."""
    atoms: Atoms = make_supercell(fcc(1.0), 2 * np.eye(3))
    del atoms[0]
    return atoms


def slab(face: str, layers: int) -> Atoms:
    """Layers of one atom each, as cut from fcc: the faces ``100`` and ``111``."""
    side = A / np.sqrt(2)
    if face == "100":
        angle, height, shift = 90, A / 2, (side / 2, side / 2)
    else:
        angle, height, shift = 60, A / np.sqrt(3), (side / 2, side / np.sqrt(12))
    atoms = Atoms(
        f"Cu{layers}", cell=[side, side, (layers - 1) * height + VACUUM, 90, 90, angle], pbc=True
    )
    atoms.positions = [[n * shift[0], n * shift[1], n * height] for n in range(layers)]
    atoms.positions[:, 2] += VACUUM / 2
    atoms.wrap()
    return atoms


CURVES: dict[str, tuple[list[int], Sequence[float], Callable[[float], Atoms]]] = {
    "fcc_ev": ([18, 18, 18], (0.6, 0.67, 0.75, 0.83, 0.9, 0.95, 1.0, 1.07, 1.15), fcc),
    "bcc_ev": ([18, 18, 18], (0.7, 0.85, 0.95, 1.02, 1.1), bcc),
    "hcp_ev": ([17, 17, 9], (0.7, 0.85, 0.95, 1.02, 1.1), hcp),
    "sc_ev": ([18, 18, 18], (0.9, 1.05, 1.2, 1.35), sc),
}
"""Group -> grid of k-points, the same along a curve; relative volumes; structure."""


def crystals() -> Iterator[Atoms]:
    """Yield the curves E(V), strained fcc and a vacancy."""
    for group, (grid, volumes, build) in CURVES.items():
        for volume in volumes:
            yield tagged(build(volume), group, f"{group.removesuffix('_ev')}_v{volume:.2f}", grid)
    for name, strain in STRAINS.items():
        atoms = fcc(1.0)
        atoms.set_cell(atoms.cell @ (np.eye(3) + strain), scale_atoms=True)
        yield tagged(atoms, "elastic", f"el_{name}", CURVES["fcc_ev"][0])
    yield tagged(vacancy(), "vacancy", "vac7_0", [6, 6, 6])


def surfaces_and_clusters() -> Iterator[Atoms]:
    """Yield slabs, and atom and dimers in boxes."""
    for face in ("100", "111"):
        for layers in LAYERS:
            yield tagged(slab(face, layers), "slab", f"slab{face}_{layers}", [14, 14, 1])
    yield tagged(in_box(np.zeros((1, 3)), "Cu", ROOM), "isolated_atom", "atom", [1, 1, 1])
    for r in DIMERS:
        atoms = in_box(np.array([[0, 0, 0], [0, 0, r]]), "Cu", ROOM)
        yield tagged(atoms, "dimer", f"dimer_{r}", [1, 1, 1])


def drawn_structures() -> Iterator[Atoms]:
    """Yield fcc rattled as at several temperatures, and rattled vacancies, from a seed."""
    rng = np.random.default_rng(0)
    for temperature, count in TEMPERATURES.items():
        # A classical oscillator's amplitude is as the root of the temperature: 0.1 Å at 1000 K.
        amplitude = 0.1 * np.sqrt(temperature / 1000)
        crystal = bulk("Cu", "fcc", a=A * (1 + EXPANSION * temperature), cubic=True)
        for number in range(count):
            atoms = rattled(crystal, rng, amplitude, strain=0.01)
            yield tagged(atoms, "rattled_fcc", f"rat_T{temperature}_{number}", [7, 7, 7])
    for number in (1, 2):
        atoms = rattled(vacancy(), rng, amplitude=0.06, strain=0.01)
        yield tagged(atoms, "vacancy", f"vac7_{number}", [6, 6, 6])


def structures() -> list[Atoms]:
    """Build all structures, in the order of the file, without labels."""
    built = [*crystals(), *surfaces_and_clusters(), *drawn_structures()]
    return sorted(built, key=lambda atoms: str(atoms.info["name"]))


def elastic_constants(images: Mapping[str, Atoms]) -> dict[str, float]:
    """Elastic constants of fcc in GPa at the lattice constant ``A``, from the stresses.

    ``images`` has the labelled structures under their names. The stresses under uniaxial strain
    are taken as parabolas in it, those under shear as odd: a e + b e³. Tetragonal strain gives
    C11 - C12 a second time.
    """

    def slope(kind: str, component: int, powers: Sequence[int]) -> float:
        names = [name for name in STRAINS if name.startswith(kind)]
        strain = np.array([float(name.removeprefix(kind)) for name in names])
        stress = [images[f"el_{name}"].get_stress()[component] for name in names]
        rows = strain[:, None] ** np.array(powers)
        return float((np.linalg.lstsq(rows, stress)[0] @ (np.array(powers) == 1)) / ase.units.GPa)

    # Components of stress: xx yy zz yz xz xy.
    found = {
        "C11": slope("uni", 0, (0, 1, 2)),
        "C12": slope("uni", 1, (0, 1, 2)),
        "C44": slope("shear", 5, (1, 3)),
        "C11-C12": slope("tet", 0, (0, 1, 2)),
    }
    return {name: round(value, 1) for name, value in found.items()}


def defect_energies(images: Mapping[str, Atoms]) -> dict[str, float]:
    """Unrelaxed formation energy of the vacancy in eV and surface energies in J/m².

    ``images`` has the labelled structures under their names. The bulk is fcc with 18 x 18 x 18
    k-points, where the vacancy has what is 12 x 12 x 12, the slabs 14 x 14 of them.
    """
    bulk_energy = images["fcc_v1.00"].get_potential_energy()
    found = {"vacancy_eV": images["vac7_0"].get_potential_energy() - 7 * bulk_energy}
    for face in ("100", "111"):
        for layers in LAYERS:
            atoms = images[f"slab{face}_{layers}"]
            excess = atoms.get_potential_energy() - layers * bulk_energy
            # eV/Å² in J/m²; there are two surfaces.
            area = atoms.get_volume() / atoms.cell.array[2, 2]
            scale = ase.units.m**2 / ase.units.J
            found[f"surface_{face}_{layers}_layers"] = scale * excess / (2 * area)
    return {name: round(float(value), 2) for name, value in found.items()}


DATA = DataSet(
    name="copper",
    file=FILE,
    settings=SETTINGS,
    structures=structures,
    convergence={
        "fcc_v1.00": ("cutoff 400", "cutoff 800", "cutoff 1000", "denser 1.4"),
        "fcc_v0.60": ("cutoff 800",),
        "atom": ("cutoff 800",),
        "slab111_4": ("denser 1.4",),
        "el_shear+0.020": ("denser 1.4",),
        "rat_T1000_2": ("denser 1.14",),
    },
)


def main(argv: Sequence[str] | None = None) -> int:
    """Label what is missing in the output folder and write its files."""
    return run(DATA, argv)


if __name__ == "__main__":
    sys.exit(main())
