"""Energies, forces and stresses of three alloys by LAMMPS, to find their potentials again.

Every case has crystals of several compositions, species at random sites, compressed and stretched,
atoms displaced; dimers of every pair; and compact clusters. They are made here, the same each time.
The exact path, with the true formula, must agree with LAMMPS, or making them fails.

- ``kob_andersen``: Lennard-Jones with the unlike constants of W. Kob and H. C. Andersen, Phys. Rev.
  E 51, 4626 (1995), in units like those of Ni-P (2.2 Å, 0.4 eV), cut at 2.5 sigma of each pair, by
  ``lj/cut``;
- ``silicon_carbide``: the form of F. H. Stillinger and T. A. Weber, Phys. Rev. B 31, 5262 (1985),
  by ``sw``, with constants made up here: lengths of bonds like those in silicon, silicon carbide
  and diamond, one sigma, a and gamma for all, everything else by species;
- ``copper_nickel``: M. W. Finnis and J. E. Sinclair, Phil. Mag. A 50, 45 (1984): a square root of
  densities, by ``eam/fs``. Pairs and densities are exponentials as F. Cleri and V. Rosato, Phys.
  Rev. B 48, 22 (1993), have them for copper and nickel, faded by symreg's default cutoff function;
  what copper adds around nickel differs from what nickel adds around copper, made up here.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from numpy.typing import NDArray
from stillinger_weber_data import by_lammps, differences, displaced, write

from symreg import config
from symreg.fit.exact import ExactPath
from symreg.structures import from_atoms
from symreg.structures.distances import closest_distances
from symreg.terms import Expression, Term
from symreg.terms.cutoff import Cutoff

Floats = NDArray[np.float64]
Pair = tuple[str, str]
Parts = list[tuple[float, str, dict[str, float]]]
"""Weights in eV, texts and named constants of terms."""

SIDE = {"fcc": math.sqrt(2), "diamond": 4 / math.sqrt(3)}
"""Edges of cubes in distances of nearest neighbours."""
CRYSTALS, CLUSTERS, HELD_OUT = 32, 16, 12
"""Numbers of structures; those held out are crystals and clusters in turn."""
DIMERS = (0.85, 0.95, 1.05, 1.2, 1.4)
"""Distances of dimers, in usual ones of their pair."""
CLOSEST = 0.78
"""Smallest distance in crystals, in usual ones."""


@dataclass(frozen=True, kw_only=True)
class Alloy:
    """A potential to be found, and where it is looked for."""

    name: str
    species: tuple[str, str]
    """In order of the alphabet."""
    lattice: str
    """A key of ``SIDE``."""
    usual: Mapping[Pair, float]
    """Usual distances of neighbours in Å; those of unlike species in order of the alphabet."""
    terms: Mapping[str, Any]
    """The table of the run file: kinds of terms and cutoffs, nothing else of the form."""
    truth: Callable[[float], Parts]
    """The true terms, given r0 in Å."""
    style: str
    """Commands of LAMMPS."""
    files: Callable[[], dict[str, str]] = dict
    """What these read."""
    agreement: float = 1e-8
    """Largest difference to the exact path in eV, eV/Å and eV/Å^3; tables have one."""
    by_curves: bool = False
    """Whether it is found when curves of pairs agree, not forces."""

    @property
    def table(self) -> dict[str, Any]:
        """The ``[terms]`` table of the run file."""
        return {"library_seeds": False, **self.terms}

    @property
    def settings(self) -> config.TermSettings:
        """That table, read."""
        return config.from_dict({"data": {"train": ["-"]}, "terms": self.table}).terms

    def expression(self, r0: float) -> Expression:
        """The true formula in units of r0."""
        parts = self.truth(r0)
        terms = tuple(Term.read(text, values) for _, text, values in parts)
        return Expression(terms, tuple(weight for weight, _, _ in parts))

    def distance(self, one: str, other: str) -> float:
        """Usual distance of two neighbours in Å."""
        first, second = sorted((one, other))
        return self.usual[first, second]

    def make(self, folder: Path, seed: int = 0) -> tuple[Path, Path]:
        """Write the structures with their labels; files of training and of what is held out.

        Raises
        ------
        RuntimeError
            If LAMMPS and the exact path disagree.
        """
        rng = np.random.default_rng(seed)
        training = [_rounded(atoms) for atoms in self._images(rng)]
        closest = closest_distances(from_atoms(training), self.settings.r_cut)
        both = itertools.cycle((self._crystal, self._cluster))
        held_out = [_drawn(lambda m=m: m(rng), closest) for m in itertools.islice(both, HELD_OUT)]
        files = folder / f"{self.name}.extxyz", folder / f"{self.name}_held_out.extxyz"
        for file, images in zip(files, (training, held_out), strict=True):
            labels = by_lammps(images, self.species, self.style, self.files())
            structures = from_atoms(images)
            path = ExactPath(structures, self.settings.lengths(1.0))
            truth = path.predict(self.expression(1.0), dict.fromkeys(structures.species, 0.0))
            gaps = differences(labels, truth)
            if not max(gaps.values()) < self.agreement:
                raise RuntimeError(
                    f"{self.name}: LAMMPS and the exact path differ by {gaps} eV, eV/Å, eV/Å^3"
                )
            write(file, images, labels)
        return files

    def _images(self, rng: np.random.Generator) -> Iterator[Atoms]:
        yield from (self._crystal(rng) for _ in range(CRYSTALS))
        for pair, factor in itertools.product(self.usual, DIMERS):
            yield _free(pair, np.array([[0, 0, 0], [factor * self.usual[pair], 0, 0]]))
        yield from (self._cluster(rng) for _ in range(CLUSTERS))

    def _crystal(self, rng: np.random.Generator) -> Atoms:
        """Eight or sixteen atoms, species at random, without any two that are too close."""
        while True:
            atoms = bulk("X", self.lattice, a=1.0, cubic=True)
            atoms = atoms.repeat((16 // len(atoms) // int(rng.integers(1, 3)), 1, 1))
            part = rng.choice([0.0, 0.25, 0.5, 0.75, 1.0])
            count = round(part * len(atoms))
            first, second = self.species
            atoms.symbols = rng.permutation([first] * count + [second] * (len(atoms) - count))
            usual = np.mean([self.distance(*rng.choice(atoms.symbols, 2)) for _ in range(200)])
            scale = SIDE[self.lattice] * usual * rng.uniform(0.9, 1.15)
            # Lower triangular, as LAMMPS wants its cells.
            strain = np.eye(3) + np.tril(rng.uniform(-0.04, 0.04, size=(3, 3)))
            atoms.set_cell(scale * atoms.cell.array @ strain, scale_atoms=True)
            atoms = displaced(atoms, rng.uniform(0.01, 0.08) * usual, rng)
            found = closest_distances(from_atoms([atoms]), self.settings.r_cut)
            if all(r > CLOSEST * self.distance(*pair) for pair, r in found.items()):
                return _rounded(atoms)

    def _cluster(self, rng: np.random.Generator) -> Atoms:
        """Three to eight atoms, each 0.88 to 1.15 usual distances from its nearest neighbour."""
        symbols = [str(rng.choice(self.species)) for _ in range(rng.integers(3, 9))]
        places = np.zeros((1, 3))
        while len(places) < len(symbols):
            place = rng.uniform(-1.8, 1.8, size=3) * max(self.usual.values())
            usual = [self.distance(symbols[len(places)], one) for one in symbols[: len(places)]]
            if 0.88 < (np.linalg.norm(places - place, axis=1) / usual).min() < 1.15:
                places = np.vstack([places, place])
        return _free(symbols, places)


def _drawn(make: Callable[[], Atoms], closest: Mapping[Pair, float]) -> Atoms:
    """The first structure without a pair of species closer than in training."""
    for atoms in iter(make, None):
        found = closest_distances(from_atoms([atoms]), max(closest.values()) + 1.0)
        if all(r > closest[pair] for pair, r in found.items()):
            return _rounded(atoms)
    raise AssertionError("structures are drawn for ever")


def _free(symbols: Sequence[str], places: Floats) -> Atoms:
    width = np.ptp(places, axis=0).max() + 12.0
    return _rounded(
        Atoms(list(symbols), places - places.mean(axis=0) + width / 2, cell=[width] * 3)
    )


def _rounded(atoms: Atoms) -> Atoms:
    """Positions and cell to what a file holds."""
    atoms.set_cell(np.round(atoms.cell.array, 8))
    atoms.positions = np.round(atoms.positions, 8)
    return atoms


LENNARD_JONES = {("Ni", "Ni"): (0.4, 2.2), ("Ni", "P"): (0.6, 1.76), ("P", "P"): (0.2, 1.936)}
"""Depths in eV and sigma in Å: 1, 1.5, 0.5 and 1, 0.8, 0.88 in units of the first."""
CUT = 2.5
"""Cutoff radius in sigma."""


def lennard_jones(r0: float) -> Parts:
    """Twelfth and sixth powers."""
    parts: Parts = []
    for (one, other), (depth, sigma) in LENNARD_JONES.items():
        for power, sign in ((12, 4), (6, -4)):
            weight = sign * depth * (sigma / r0) ** power
            parts.append((weight, f"{one}-{other}: x^-{power}", {}))
    return parts


def _lj_cut() -> str:
    lines = [f"pair_style lj/cut {CUT * 2.2}", "pair_modify shift no"]
    types = {"Ni": 1, "P": 2}
    for (one, other), (depth, sigma) in LENNARD_JONES.items():
        lines.append(f"pair_coeff {types[one]} {types[other]} {depth} {sigma} {CUT * sigma!r}")
    return "\n".join(lines) + "\n"


SIGMA, REACH, GAMMA = 1.75, 1.8, 1.2
"""Of all species: sigma in Å, a and gamma."""
BONDS = {("C", "C"): (36.0, 0.22), ("C", "Si"): (30.0, 0.48), ("Si", "Si"): (24.0, 1.15)}
"""A times epsilon in eV, and B, by pair."""
ANGLES = {
    ("C", "C", "C"): (40.0, -0.4),
    ("C", "C", "Si"): (34.0, -0.4),
    ("C", "Si", "Si"): (30.0, -0.3),
    ("Si", "C", "C"): (45.0, -0.35),
    ("Si", "C", "Si"): (38.0, -1 / 3),
    ("Si", "Si", "Si"): (52.0, -1 / 3),
}
"""Lambda times epsilon in eV, and cos theta_0, by centre and neighbours."""


def stillinger_weber(r0: float) -> Parts:
    """What multiplies the exponentials, which are the cutoff functions."""
    parts: Parts = []
    for (one, other), (strength, repulsion) in BONDS.items():
        parts += [
            (strength * repulsion * (SIGMA / r0) ** 4, f"{one}-{other}: x^-4", {}),
            (-strength, f"{one}-{other}: 1", {}),
        ]
    for (centre, one, other), (strength, cosine) in ANGLES.items():
        key = f"{centre};{one}-{other}" if len({centre, one, other}) > 1 else "-".join([one] * 3)
        parts.append((strength, f"{key}: 1*1*(c + d)^2", {"d": -cosine}))
    return parts


def _sw_file() -> dict[str, str]:
    lines = []
    for centre, j, k in itertools.product(("C", "Si"), repeat=3):
        strength, repulsion = BONDS[min(centre, j), max(centre, j)]
        angle, cosine = ANGLES[centre, min(j, k), max(j, k)]
        values = (1.0, SIGMA, REACH, angle, GAMMA, cosine, strength, repulsion, 4, 0, 0)
        lines.append(f"{centre} {j} {k} {' '.join(map(repr, values))}\n")
    return {"SiC.sw": "".join(lines)}


FADE = Cutoff(kind="septic", r_cut=5.0, r_on=3.0)
METALS = {("Cu", "Cu"): 2.556, ("Cu", "Ni"): 2.52, ("Ni", "Ni"): 2.491}
"""Distances of neighbours in Å."""
REPULSIONS = {
    ("Cu", "Cu"): (0.0855, 10.96),
    ("Cu", "Ni"): (0.06, 13.5),
    ("Ni", "Ni"): (0.0376, 16.999),
}
"""A in eV and p, by pair; p and q as usual multiply r / distance - 1."""
DENSITIES = {
    ("Cu", "Cu"): (1.224, 2.278),
    ("Cu", "Ni"): (1.15, 1.9),
    ("Ni", "Cu"): (1.1, 1.45),
    ("Ni", "Ni"): (1.07, 1.189),
}
"""Xi in eV and q, by centre and neighbour."""
POINTS_R, POINTS_RHO, LARGEST_RHO = 10_000, 50_000, 100.0
"""Of the tables; density in eV^2."""


def finnis_sinclair(r0: float) -> Parts:
    """What the cutoff function multiplies; the first density of each centre has no factor."""
    parts: Parts = []
    for pair, (strength, p) in REPULSIONS.items():
        factor = {"a": -p * r0 / METALS[pair]}
        parts.append((2 * strength * math.exp(p), f"{'-'.join(pair)}: exp(a*x)", factor))
    for centre, other in (("Cu", "Ni"), ("Ni", "Cu")):
        (xi, q), (xi2, q2) = DENSITIES[centre, centre], DENSITIES[centre, other]
        own, cross = METALS[centre, centre], METALS["Cu", "Ni"]
        size, size2 = xi**2 * math.exp(2 * q), xi2**2 * math.exp(2 * q2)
        text = f"{centre}: sqrt(sum(exp(a*x)) + k*sum_{other}(exp(b*x)))"
        values = {"a": -2 * q * r0 / own, "b": -2 * q2 * r0 / cross, "k": size2 / size}
        parts.append((-math.sqrt(size), text, values))
    return parts


def _eam_file() -> dict[str, str]:
    """The tables: F, what each element adds around others, and r times the pair energy."""
    step, step_rho = FADE.r_cut / (POINTS_R - 1), LARGEST_RHO / (POINTS_RHO - 1)
    r, rho = step * np.arange(POINTS_R), step_rho * np.arange(POINTS_RHO)
    fade = FADE.value(r)
    lines = ["UNITS: metal", "Finnis-Sinclair, closed forms", "not for use", "2 Cu Ni"]
    lines.append(f"{POINTS_RHO} {step_rho!r} {POINTS_R} {step!r} {FADE.r_cut}")
    for symbol, number, mass in (("Cu", 29, 63.546), ("Ni", 28, 58.693)):
        lines += [f"{number} {mass} 0 fcc", _numbers(-np.sqrt(rho))]
        for centre in ("Cu", "Ni"):
            xi, q = DENSITIES[centre, symbol]
            usual = METALS[min(centre, symbol), max(centre, symbol)]
            lines.append(_numbers(xi**2 * np.exp(-2 * q * (r / usual - 1)) * fade))
    for pair in (("Cu", "Cu"), ("Cu", "Ni"), ("Ni", "Ni")):
        strength, p = REPULSIONS[pair]
        lines.append(_numbers(2 * strength * r * np.exp(-p * (r / METALS[pair] - 1)) * fade))
    return {"CuNi.eam.fs": "\n".join(lines) + "\n"}


def _numbers(values: Floats) -> str:
    return "\n".join(f"{value:.17g}" for value in values)


ALLOYS = {
    one.name: one
    for one in (
        Alloy(
            name="kob_andersen",
            species=("Ni", "P"),
            lattice="fcc",
            usual={pair: 2 ** (1 / 6) * sigma for pair, (_, sigma) in LENNARD_JONES.items()},
            terms={
                "cutoff": "none",
                "r_cut": CUT * 2.2,
                "cutoffs": {"-".join(p): CUT * sigma for p, (_, sigma) in LENNARD_JONES.items()},
            },
            truth=lennard_jones,
            style=_lj_cut(),
            by_curves=True,
        ),
        Alloy(
            name="silicon_carbide",
            species=("C", "Si"),
            lattice="diamond",
            usual={("C", "C"): 1.54, ("C", "Si"): 1.89, ("Si", "Si"): 2.35},
            terms={
                "three_body": "separable",
                "cutoff": "stillinger_weber",
                "r_cut": REACH * SIGMA,
                "r_cut_three_body": REACH * SIGMA,
                "stillinger_weber_s": SIGMA,
                "stillinger_weber_s_three_body": GAMMA * SIGMA,
            },
            truth=stillinger_weber,
            style="pair_style sw\npair_coeff * * SiC.sw C Si\n",
            files=_sw_file,
        ),
        Alloy(
            name="copper_nickel",
            species=("Cu", "Ni"),
            lattice="fcc",
            usual=METALS,
            terms={"many_body": True, "r_cut": FADE.r_cut, "r_on": FADE.r_on},
            truth=finnis_sinclair,
            style="pair_style eam/fs\npair_coeff * * CuNi.eam.fs Cu Ni\n",
            files=_eam_file,
            agreement=1e-5,
        ),
    )
}
"""All cases by name."""
