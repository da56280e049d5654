"""Build and label the silicon data of this folder with GPAW.

Crystals over a range of volumes, strained and rattled diamond, a vacancy, silicene, clusters. The
thermal displacements of 23 structures were drawn once and are read from the file; those that
``drawn_structures`` adds come from its seed. An interrupted computation goes on where it stopped::

    python benchmarks/dft_silicon.py --out FOLDER [--sample 15 | --convergence]
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import resources
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal
from plane_waves import DataSet, PlaneWaves, in_box, k_points, rattled, run, tagged

FILE = Path(str(resources.files("symreg") / "data" / "silicon" / "silicon.extxyz"))
SETTINGS = PlaneWaves(cutoff=350.0)
SPACING = 0.25
"""Largest distance of k-points in 1/Å, diamond and other structures with (nearly) a gap."""
METALLIC = 0.15
"""Those of simple metals."""
A = 5.47
"""Lattice constant of diamond in Å."""
ROOM = (9.0, 9.1, 9.2)
"""Vacuum around clusters in Å; three lengths, so that the box has no degenerate directions."""
EVEN = (0.93, 0.96, 0.99, 1.02, 1.05, 1.08)
STRAINS: dict[str, Sequence[Sequence[float]]] = {
    **{f"uni{e:+.3f}": np.diag([e, 0, 0]).tolist() for e in (-0.03, -0.015, 0.015, 0.03)},
    **{f"tet{e:+.3f}": np.diag([e, -e / 2, -e / 2]).tolist() for e in (-0.04, 0.04)},
    **{f"shear{e:+.3f}": [[0, e / 2, 0], [e / 2, 0, 0], [0, 0, 0]] for e in (-0.04, 0.02, 0.04)},
}


def diamond(s: float) -> Atoms:
    """Two atoms; ``s`` scales the lattice constant, here and below."""
    return bulk("Si", "diamond", a=A * s)


def hexagonal_diamond(s: float) -> Atoms:
    """Lonsdaleite with the bond lengths and angles of diamond."""
    a, c = A * s / np.sqrt(2), A * s * 2 / np.sqrt(3)
    thirds, heights = ([1 / 3, 2 / 3], [2 / 3, 1 / 3]), (1 / 16, 9 / 16, 15 / 16, 7 / 16)
    scaled = [[*thirds[k], z] for k, z in zip((0, 1, 1, 0), heights, strict=True)]
    return Atoms("Si4", cell=[a, a, c, 90, 90, 120], scaled_positions=scaled)


def beta_tin(s: float) -> Atoms:
    """Two atoms of the tetragonal phase of high pressure, c/a = 0.55."""
    a, c = 4.81 * s, 0.55 * 4.81 * s
    cell = np.array([[-a, a, c], [a, -a, c], [a, a, -c]]) / 2
    return Atoms("Si2", cell=cell, positions=[[0, 0, 0], [0, a / 2, c / 4]])


def bc8(s: float) -> Atoms:
    """Eight atoms of the metastable phase, Ia-3 with x = 0.1003."""
    cell = [6.66 * s] * 3 + [90] * 3
    return crystal(
        "Si", [[0.1003] * 3], spacegroup=206, cellpar=cell, primitive_cell=True, pbc=True
    )


def simple_hexagonal(s: float) -> Atoms:
    """One atom, c/a = 0.94."""
    return Atoms("Si", cell=[2.64 * s, 2.64 * s, 0.94 * 2.64 * s, 90, 90, 120])


def silicene(a: float, buckling: float) -> Atoms:
    """Two atoms of the layer, 12 Å from the next."""
    atoms = Atoms("Si2", cell=[a, a, 12.0, 90, 90, 120])
    atoms.positions = [[0, a / np.sqrt(3), 6], [a / 2, a / np.sqrt(12), 6 + buckling]]
    return atoms


def vacancy() -> Atoms:
    """Seven atoms: the cubic cell of diamond less one."""
    atoms = bulk("Si", "diamond", a=A, cubic=True)
    del atoms[3]
    return atoms


def named(scales: Iterable[float], digits: int = 3) -> dict[str, float]:
    """Name each scale by its decimal digits."""
    return {f"{s:.{digits}f}": float(s) for s in scales}


CURVES: dict[str, tuple[str, float | list[int], dict[str, float], Callable[[float], Atoms]]] = {
    "bc8_ev": ("bc8", SPACING, named((0.96, 1.0, 1.04), 2), bc8),
    "bcc_ev": ("bcc", METALLIC, named(EVEN), lambda s: bulk("Si", "bcc", a=3.09 * s)),
    "beta_tin_ev": ("bt", [14, 14, 14], named(np.linspace(0.94, 1.06, 7)), beta_tin),
    "diamond_ev": ("dia", SPACING, named(np.linspace(0.93, 1.08, 11)), diamond),
    "fcc_ev": ("fcc", METALLIC, named(EVEN), lambda s: bulk("Si", "fcc", a=3.87 * s)),
    "hex_diamond_ev": ("hexdia", SPACING, named(np.linspace(0.94, 1.06, 6)), hexagonal_diamond),
    "sc_ev": ("sc", METALLIC, named(EVEN), lambda s: bulk("Si", "sc", a=2.53 * s)),
    "simple_hex_ev": ("sh", METALLIC, named(np.linspace(0.94, 1.06, 5)), simple_hexagonal),
}
"""Group -> prefix of the names, spacing or grid of k-points, name -> scale, structure."""
TRIMERS = ((2.2, 80), (2.3, 120), (2.4, 60))
LAYERS = ((3.7, 0.45), (3.87, 0.0), (3.87, 0.45), (4.05, 0.0), (4.05, 0.4))
DIMERS = (1.9, 2.1, 2.3, 2.5, 2.8, 3.2, 3.7, 4.3)
FINER = ("cutoff 450", "cutoff 500", "denser 1.4")


def crystals() -> Iterator[Atoms]:
    """Yield the curves E(V), strained diamond and a vacancy."""
    for group, (prefix, spacing, scales, build) in CURVES.items():
        for text, scale in scales.items():
            atoms = build(scale)
            grid = k_points(atoms.cell, spacing) if isinstance(spacing, float) else spacing
            yield tagged(atoms, group, f"{prefix}_s{text}", grid)
    for name, strain in STRAINS.items():
        atoms = diamond(1.0)
        atoms.set_cell(atoms.cell @ (np.eye(3) + strain), scale_atoms=True)
        yield tagged(atoms, "elastic", f"el_{name}", k_points(atoms.cell, SPACING))
    yield tagged(vacancy(), "vacancy", "vac7_0", [5, 5, 5])


def clusters() -> Iterator[Atoms]:
    """Yield atom, dimers and trimers in boxes, and silicene."""
    yield tagged(in_box(np.zeros((1, 3)), "Si", ROOM), "isolated_atom", "atom", [1, 1, 1])
    for r in DIMERS:
        atoms = in_box(np.array([[0, 0, 0], [0, 0, r]]), "Si", ROOM)
        yield tagged(atoms, "dimer", f"dimer_{r}", [1, 1, 1])
    for r, angle in TRIMERS:
        turn = np.radians(angle)
        corners = r * np.array([[0, 0, 0], [1, 0, 0], [np.cos(turn), np.sin(turn), 0]])
        yield tagged(in_box(corners, "Si", ROOM), "trimer", f"trimer_{r}_{angle}", [1, 1, 1])
    for a, buckling in LAYERS:
        yield tagged(silicene(a, buckling), "silicene", f"silicene_a{a}_b{buckling}", [8, 8, 1])


def drawn_structures() -> Iterator[Atoms]:
    """Yield diamond rattled as at several temperatures, and rattled vacancies, from a seed."""
    rng = np.random.default_rng(0)
    for temperature in (300, 600, 1000, 1500, 2000):
        # A classical oscillator's amplitude is as the root of the temperature: 0.08 Å at 1000 K.
        amplitude = 0.08 * np.sqrt(temperature / 1000)
        atoms = rattled(bulk("Si", "diamond", a=A, cubic=True), rng, amplitude, strain=0.01)
        yield tagged(atoms, "rattled_diamond", f"rat_T{temperature}_4", [5, 5, 5])
    for number in (3, 4):
        atoms = rattled(vacancy(), rng, amplitude=0.06, strain=0.01)
        yield tagged(atoms, "vacancy", f"vac7_{number}", [5, 5, 5])


def structures() -> list[Atoms]:
    """Build all structures, in the order of the file, without labels."""
    built = [*crystals(), *clusters(), *drawn_structures()]
    found = {atoms.info["name"]: atoms for atoms in built}
    for atoms in ase.io.read(FILE, ":"):
        atoms.calc = None
        found.setdefault(atoms.info["name"], atoms)
    return [found[name] for name in sorted(found)]


DATA = DataSet(
    name="silicon",
    file=FILE,
    settings=SETTINGS,
    structures=structures,
    convergence={
        "dia_s1.005": (*FINER, "denser 2"),
        "dia_s0.930": FINER,
        "bt_s1.000": (*FINER, "denser 2"),
        "sc_s0.990": (*FINER, "denser 2"),
        "rat_T1000_1": FINER,
        "atom": ("cutoff 500",),
        "dimer_2.3": ("cutoff 500",),
        **dict.fromkeys(
            ("bcc_s0.990", "fcc_s0.990", "sh_s1.000", "hexdia_s1.012"), ("denser 1.4",)
        ),
        "silicene_a3.87_b0.45": ("denser 1.4",),
        "bc8_s1.00": ("denser 1.4",),
    },
)


def main(argv: Sequence[str] | None = None) -> int:
    """Label what is missing in the output folder and write its files."""
    return run(DATA, argv)


if __name__ == "__main__":
    sys.exit(main())
