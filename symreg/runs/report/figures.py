"""The figures of a run, written to ``plots/``."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from symreg.formula import FormulaCalculator
from symreg.runs import plots
from symreg.structures import SPLITS, Structures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from symreg.formula import Formula, TripletSum
    from symreg.runs import Member, Run

MOST = 200
"""Structures of each split that a parity plot computes."""
STRETCHED = (1.0, 1.2, 1.4)
"""Distances of neighbours at which triplets are drawn, as parts of r0."""
Values = dict[str, NDArray[np.float64]]


def draw(run: Run, member: Member, structures: Structures | None) -> dict[str, Figure]:
    """Draw what can be drawn: the front always, the rest with potential and structures."""
    figures = {"front": run.front.plot()}
    if not (member.folder / "potential.json").exists():
        return figures
    formula = member.potential.formula
    for a, b in formula.species_pairs:
        figures[f"pair-{a}-{b}"] = _curve(formula, a, b, structures)
    for species in formula.species_triplets:
        figures |= _triplets(formula.three_body_function(*species))
    if structures is not None:
        for quantity, (reference, predicted) in _compare(formula, structures).items():
            figures[f"parity-{quantity}"] = plots.parity(reference, predicted, quantity=quantity)
    return figures


def _curve(formula: Formula, a: str, b: str, structures: Structures | None) -> Figure:
    """The pair function with the dimers of the data, if there are any."""
    function = formula.pair_function(a, b)
    points = _dimers(formula, a, b, structures) if structures is not None else []
    depth = -float(np.min(function.energy(np.linspace(function.r_lo, formula.r_cut, 400))))
    return plots.potential_curve(
        [plots.Curve(f"formula, {a}-{b}", function.energy)],
        points,
        r_range=(function.r_lo, formula.r_cut),
        unit="meV" if 1e-4 < depth < 0.1 else "eV",
    )


def _triplets(function: TripletSum) -> dict[str, Figure]:
    """The factors of the products, if there are any, and energies of isosceles triplets."""
    name, figures = "-".join(function.species), {}
    if function.products:
        figures[f"factors-{name}"] = plots.three_body_factors(function)
    lengths = [part * function.r0 for part in STRETCHED if part * function.r0 < function.r_cut]
    curves = [plots.triplet(function, r) for r in lengths]
    if curves:
        figures[f"triplet-{name}"] = plots.triplet_curve(curves)
    return figures


def _dimers(formula: Formula, a: str, b: str, structures: Structures) -> list[plots.Points]:
    """Energies of the isolated pairs of atoms among the structures, without e0."""
    found = []
    for s in np.flatnonzero((structures.n_atoms == 2) & ~structures.pbc.any(axis=1)):
        inside = structures.atoms_of(int(s))
        symbols = sorted(structures.species[k] for k in structures.kind[inside])
        if symbols == sorted((a, b)) and np.isfinite(structures.energy[s]):
            first, second = structures.positions[inside]
            alone = formula.e0[a] + formula.e0[b]
            found.append((float(np.linalg.norm(second - first)), structures.energy[s] - alone))
    if not found:
        return []
    r, energy = np.array(sorted(found)).T
    return [plots.Points("dimers of the data", r, energy)]


def _compare(formula: Formula, structures: Structures) -> Mapping[str, tuple[Values, Values]]:
    """Reference and predicted energies per atom and forces, by split; at most ``MOST`` of each."""
    described = {tuple(sorted(pair)) for pair in formula.species_pairs}
    if described != set(combinations_with_replacement(sorted(structures.species), 2)):
        return {}
    pairs: dict[str, tuple[Values, Values]] = {"energy": ({}, {}), "forces": ({}, {})}
    calculator = FormulaCalculator(formula)
    for k, split in enumerate(SPLITS):
        chosen = np.flatnonzero(structures.split == k)
        if not chosen.size:
            continue
        chosen = chosen[np.unique(np.linspace(0, chosen.size - 1, MOST).astype(int))]
        images = [structures.to_atoms(int(s)) for s in chosen]
        for image in images:
            image.calc = calculator
        n_atoms = structures.n_atoms[chosen]
        pairs["energy"][0][split] = structures.energy[chosen] / n_atoms
        energies = [image.get_potential_energy() for image in images]
        pairs["energy"][1][split] = np.array(energies) / n_atoms
        inside = np.concatenate([np.arange(*structures.start[s : s + 2]) for s in chosen])
        pairs["forces"][0][split] = structures.forces[inside]
        pairs["forces"][1][split] = np.concatenate([image.get_forces() for image in images])
    return {name: pair for name, pair in pairs.items() if _any_label(pair[0])}


def _any_label(values: Values) -> bool:
    return any(bool(np.isfinite(array).any()) for array in values.values())
