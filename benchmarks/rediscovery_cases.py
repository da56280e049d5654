"""Potentials to be found again, and the data that they label.

Every case has structures of its own, made here and the same each time: crystals compressed and
stretched to several densities with displaced atoms, dimers and compact clusters. The labels are
energies and forces by the exact path. Noise is normal, of 1 % of the standard deviation of the
labels (energies per atom, and components of forces).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import stillinger_weber_data as silicon
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from common import Part, expression_of
from needs import data_file, shared_data
from rediscovery_matching import Addend, normal

from symreg import config
from symreg.fit.exact import ExactPath
from symreg.structures import from_atoms
from symreg.structures.neighbours import nearest_neighbour_mean
from symreg.terms import Expression, Term
from symreg.terms.cutoff import Cutoff
from symreg.terms.lengths import Lengths

NOISE = 0.01
"""Part of the standard deviation of the labels."""
Refit = Callable[[Sequence[Term]], tuple[Expression, float]]
Parts = list[Part]
"""Of every term; formulas in x = r / r0."""


@dataclass(frozen=True)
class Case:
    """A potential to be found, and where it is looked for."""

    name: str
    parts: Callable[[float], Parts]
    """The true terms, given r0 in Å."""
    images: Callable[[], list[Atoms]] | None
    """Its structures; None where others have published them with labels."""
    terms: dict[str, Any]
    """The table of the run file: kinds of terms and cutoffs, nothing else of the form."""
    tuned: bool = False
    """Whether settings were chosen on this case."""
    others: Sequence[Callable[[float], Parts]] = field(default=())
    """Other ways to write the same."""

    @property
    def table(self) -> dict[str, Any]:
        """The ``[terms]`` table of the run file."""
        return {"library_seeds": False, **self.terms}

    def truth(self, r0: float, parts: Callable[[float], Parts] | None = None) -> Expression:
        """The true formula in units of r0."""
        return expression_of(self.element, (parts or self.parts)(r0))

    @property
    def published(self) -> bool:
        """Whether others made the labels."""
        return self.images is None

    @property
    def element(self) -> str:
        """The element of all structures."""
        return "Ar" if self.images is None else str(self.images()[0].symbols[0])

    def write(self, folder: Path, noisy: bool) -> Path:
        """Write structures with energies and forces; the noise is the same each time."""
        if self.images is None:
            return data_file(shared_data(), "lennard_jones_argon.extxyz")
        images, file = self.images(), folder / f"{self.name}.extxyz"
        bare = from_atoms(images)
        terms = config.from_dict({"data": {"train": ["-"]}, "terms": self.table}).terms
        r0 = nearest_neighbour_mean(bare)
        path = ExactPath(bare, Lengths(terms.cutoff_function, terms.cutoff_function_three_body, r0))
        found = path.predict(self.truth(r0), dict.fromkeys(bare.species, 0.0))
        sizes, rng = bare.n_atoms, np.random.default_rng(1)
        size = NOISE if noisy else 0.0
        energy = found.energy / sizes
        energy = energy + size * energy.std() * rng.normal(size=energy.shape)
        forces = found.forces + size * found.forces.std() * rng.normal(size=found.forces.shape)
        labelled = []
        for k, image in enumerate(images):
            atoms = image.copy()
            labels = {"energy": energy[k] * sizes[k], "forces": forces[bare.atoms_of(k)]}
            atoms.calc = SinglePointCalculator(atoms, **labels)
            labelled.append(atoms)
        ase.io.write(file, labelled, format="extxyz")
        return file

    def references(self, r0: float, refit: Refit | None = None) -> list[list[Addend]]:
        """The true form in every way to write it, constants fitted where there is ``refit``."""
        found = [self.truth(r0, parts) for parts in (self.parts, *self.others)]
        return [normal(refit(one.terms)[0] if refit else one) for one in found]


def crystals_and_clusters(element: str, nearest: float) -> list[Atoms]:
    """Face-centred cubic crystals, dimers and clusters; ``nearest`` in Å is the usual distance."""
    rng = np.random.default_rng(0)
    images = []
    for k, scale in enumerate(np.linspace(0.88, 1.25, 20)):
        atoms = bulk(element, "fcc", a=scale * nearest * math.sqrt(2), cubic=True)
        atoms.positions += rng.normal(scale=(0.02, 0.05, 0.08)[k % 3] * nearest, size=(4, 3))
        images.append(atoms)
    places = [np.array([[0, 0, 0], [r, 0, 0]]) for r in np.linspace(0.82, 1.6, 8)]
    places += [_compact(size, rng) for size in (3, 4, 5, 6, 7, 8, 4, 5, 6, 7)]
    return _rounded([*images, *(_free(element, nearest * place) for place in places)])


def silicon_structures() -> list[Atoms]:
    """Diamond with displaced atoms, strained diamond, and clusters."""
    rng = np.random.default_rng(0)
    groups = (silicon.rattled, silicon.strained, silicon.clusters)
    return _rounded([atoms for group in groups for atoms in group(rng)])


def _free(element: str, positions: Any) -> Atoms:
    return Atoms([element] * len(positions), positions)


def _compact(n: int, rng: np.random.Generator) -> Any:
    """Random positions, each 0.85 to 1.15 from its nearest neighbour."""
    places = np.zeros((1, 3))
    while len(places) < n:
        place = rng.uniform(-1.8, 1.8, size=3)
        if 0.85 < np.linalg.norm(places - place, axis=1).min() < 1.15:
            places = np.vstack([places, place])
    return places


def _rounded(images: list[Atoms]) -> list[Atoms]:
    """Positions and cells to what a file holds."""
    for atoms in images:
        atoms.set_cell(np.round(atoms.cell.array, 8))
        atoms.positions = np.round(atoms.positions, 8)
    return images


def mie(epsilon: float, sigma: float, steep: float, flat: float, r0: float) -> Parts:
    """Mie's potential, G. Mie, Ann. Phys. 316, 657 (1903)."""
    factor = steep / (steep - flat) * (steep / flat) ** (flat / (steep - flat)) * epsilon
    parts: Parts = []
    for sign, power in ((1, steep), (-1, flat)):
        text, numbers = (
            (f"x^-{power:g}", {}) if float(power).is_integer() else ("x^n", {"n": -power})
        )
        parts.append(("pair", text, numbers, sign * factor * (sigma / r0) ** power))
    return parts


def morse(depth: float, alpha: float, r_e: float, r0: float) -> Parts:
    """Morse's potential, P. M. Morse, Phys. Rev. 34, 57 (1929)."""
    return [
        ("pair", "exp(a*x)", {"a": -2 * alpha * r0}, depth * math.exp(2 * alpha * r_e)),
        ("pair", "exp(a*x)", {"a": -alpha * r0}, -2 * depth * math.exp(alpha * r_e)),
    ]


EXP_SIX = 0.01062, 14.0, 3.866
"""Depth in eV, steepness and minimum in Å of argon: E. A. Mason and W. E. Rice, J. Chem. Phys. 22,
843 (1954)."""


def buckingham(r0: float) -> Parts:
    """Exponential and sixth power, R. A. Buckingham, Proc. R. Soc. A 168, 264 (1938)."""
    depth, alpha, r_m = EXP_SIX
    scale = depth / (1 - 6 / alpha)
    return [
        ("pair", "exp(a*x)", {"a": -alpha / r_m * r0}, scale * 6 / alpha * math.exp(alpha)),
        ("pair", "x^-6", {}, -scale * (r_m / r0) ** 6),
    ]


def becke_johnson(r0: float, written: str = "1/(d + x^6)") -> Parts:
    """That form with the dispersion damped as A. D. Becke and E. R. Johnson do, at 2.8 Å.

    J. Chem. Phys. 123, 154101 (2005).
    """
    steep, (_, _, _, attraction) = buckingham(r0)
    return [steep, ("pair", written, {"d": (2.8 / r0) ** 6}, attraction)]


def gaussian_well(r0: float) -> Parts:
    """Exponential repulsion and a well of Gaussian shape, 0.9 Å wide at 3.9 Å."""
    width, place = 0.9 / r0, 3.9 / r0
    exponent = {"a": -0.5 / width**2, "b": -place}
    return [
        ("pair", "exp(a*x)", {"a": -3.6 * r0}, 9000.0),
        ("pair", "exp(a*(b + x)^2)", exponent, -0.012),
    ]


def _multiplied_out(r0: float) -> Parts:
    steep, (kind, _, numbers, weight) = gaussian_well(r0)
    a, b = numbers["a"], numbers["b"]
    factor = {"a": a, "b": 2 * a * b}
    return [steep, (kind, "exp(a*x^2 + b*x)", factor, weight * math.exp(a * b**2))]


def sutton_chen(r0: float) -> Parts:
    """Copper, A. P. Sutton and J. Chen, Phil. Mag. Lett. 61, 139 (1990)."""
    epsilon, c, a = 0.012382, 39.432, 3.61
    return [
        ("pair", "x^-9", {}, epsilon * (a / r0) ** 9),
        ("many-body", "sqrt(sum(x^-6))", {}, -epsilon * c * (a / r0) ** 3),
    ]


def gupta(r0: float) -> Parts:
    """Copper, F. Cleri and V. Rosato, Phys. Rev. B 48, 22 (1993)."""
    return _bands(r0, 1.224, 2.278, "sqrt(sum(exp(b*x)))", {}, 0.5)


def two_thirds(r0: float) -> Parts:
    """That idea with the power 2/3 of the bonds' sum instead of its root."""
    return _bands(r0, 0.808, 1.71, "sum(exp(b*x))^m", {"m": 2 / 3}, 2 / 3)


def log_embedding(r0: float) -> Parts:
    """Embedding by a logarithm, which saturates as bonds do, in a density of exponentials."""
    d = 2.556
    numbers = {"b": -3.0 * r0 / d, "c": 0.5 * math.exp(3.0)}
    return [
        ("pair", "exp(a*x)", {"a": -9.0 * r0 / d}, 0.26 * math.exp(9.0)),
        ("many-body", "log(1 + c*sum(exp(b*x)))", numbers, -2.4),
    ]


def _unscaled(r0: float) -> Parts:
    """That form but for a constant energy of every atom, which is fitted in any case."""
    repulsion, (kind, _, numbers, weight) = log_embedding(r0)
    text = "log(c + sum(exp(b*x)))"
    return [repulsion, (kind, text, {**numbers, "c": 1 / numbers["c"]}, weight)]


def _bands(
    r0: float, xi: float, q: float, text: str, numbers: dict[str, float], power: float
) -> Parts:
    a, p, d = 0.0855, 10.960, 2.556
    return [
        ("pair", "exp(a*x)", {"a": -p * r0 / d}, 2 * a * math.exp(p)),
        ("many-body", text, {"b": -2 * q * r0 / d, **numbers}, -xi * math.exp(2 * q * power)),
    ]


def stillinger_weber(r0: float) -> Parts:
    """Silicon, F. H. Stillinger and T. A. Weber, Phys. Rev. B 31, 5262 (1985)."""
    scale = silicon.PAIR * silicon.EPSILON
    three = "1*1*(c + d)^2"
    return [
        ("pair", "x^-4", {}, scale * silicon.REPULSION * (silicon.SIGMA / r0) ** 4),
        ("pair", "1", {}, -scale),
        ("three-body", three, {"d": 1 / 3}, silicon.TRIPLETS * silicon.EPSILON),
    ]


def septic(r0: float) -> Parts:
    """That form times symreg's default cutoff function, so that its envelopes are to be found."""
    reach = silicon.REACH * silicon.SIGMA / r0
    steep, flat, (kind, _, angle, strength) = stillinger_weber(r0)
    near = {"s": silicon.SIGMA / r0, "a": -reach}
    wide = {**near, "s": silicon.GAMMA * silicon.SIGMA / r0}
    fade = "exp(s/({} + a))"
    legs = "*".join(fade.format(x) for x in ("x1", "x2"))
    return [
        ("pair", f"x^-4*{fade.format('x')}", near, steep[3]),
        ("pair", fade.format("x"), near, flat[3]),
        (kind, f"{legs}*(c + d)^2", {**wide, **angle}, strength),
    ]


def _pairs(r_cut: float) -> dict[str, Any]:
    return {"cutoff": "septic", "r_cut": r_cut}


def _envelopes(pair: Cutoff, three: Cutoff) -> dict[str, Any]:
    return {
        "three_body": "separable",
        "cutoff": pair.kind,
        "r_cut": pair.r_cut,
        "r_cut_three_body": three.r_cut,
        **({} if pair.kind == "septic" else _ranges(pair.s, three.s)),
    }


def _ranges(pair: float, three: float) -> dict[str, Any]:
    return {"stillinger_weber_s": pair, "stillinger_weber_s_three_body": three}


ARGON, COPPER = (partial(crystals_and_clusters, *e) for e in (("Ar", 3.8), ("Cu", 2.556)))
METAL = {"many_body": True, **_pairs(5.0)}
CASES = {
    case.name: case
    for case in (
        Case("lennard_jones", partial(mie, 0.0104, 3.405, 12, 6), ARGON, _pairs(7.5), tuned=True),
        # As T. Lafitte et al., J. Chem. Phys. 139, 154504 (2013), have methane.
        Case("mie", partial(mie, 0.013215, 3.7412, 12.65, 6), ARGON, _pairs(7.5)),
        # Copper of L. A. Girifalco and V. G. Weizer, Phys. Rev. 114, 687 (1959).
        Case("morse", partial(morse, 0.3429, 1.3588, 2.866), COPPER, _pairs(6.0), tuned=True),
        Case("buckingham", buckingham, ARGON, _pairs(7.5)),
        Case(
            "becke_johnson",
            becke_johnson,
            ARGON,
            _pairs(7.5),
            tuned=True,
            others=tuple(
                partial(becke_johnson, written=text)
                for text in ("x^-6/(1 + d*x^-6)", "(d + x^6)^-1")
            ),
        ),
        Case(
            "gaussian_well",
            gaussian_well,
            ARGON,
            _pairs(7.5),
            tuned=True,
            others=(_multiplied_out,),
        ),
        Case("gupta", gupta, COPPER, METAL, tuned=True),
        Case("sutton_chen", sutton_chen, COPPER, METAL),
        Case("log_embedding", log_embedding, COPPER, METAL, tuned=True, others=(_unscaled,)),
        Case("two_thirds", two_thirds, COPPER, METAL),
        Case("stillinger_weber_septic", septic, silicon_structures, _envelopes(*silicon.SEPTIC)),
        Case(
            "stillinger_weber", stillinger_weber, silicon_structures, _envelopes(*silicon.PUBLISHED)
        ),
        Case(
            "published_argon",
            partial(mie, 0.012340, 3.350, 12, 6),
            None,
            {"cutoff": "poet", "r_cut": 7.5, "r_on": 4.355},
        ),
    )
}
"""All cases; the library of known forms has none of ``becke_johnson``, ``gaussian_well``,
``log_embedding`` and ``two_thirds``."""
