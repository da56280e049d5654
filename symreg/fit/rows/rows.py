"""Labels of structures as rows, with all that makes them predictions of a formula.

The projected design squeezes the labels for functions that enter linearly. Functions of neighbour
sums do not, so for them the labels stay: all of them, or those of a few structures for screening.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from symreg.fit.design import Design, chebyshev_coefficients
from symreg.fit.design.build import Accumulator
from symreg.fit.forces.embedding import (
    Bonds,
    Neighbours,
    add_bends,
    add_pulls,
    add_sum_rows,
    neighbours,
)
from symreg.fit.rows.terms import Near, Variants
from symreg.structures import QUANTITIES, SPLITS, Structures
from symreg.structures.neighbours import Pairs, structure_pairs
from symreg.terms.cutoff import Cutoff

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

TABLE = 512
"""Points of the table in which pairs look up the slopes of what is summed."""
LARGEST = 4 * 2**30
"""Bytes that labels and pairs may take in a worker at the worst moment."""
_COUNTED = 10
MOST_ATOMS, MOST_PAIRS = 4_000, 12_000
"""Atoms with energies and pairs with forces in the structures for screening, about."""


@dataclass(frozen=True, eq=False)
class Rows:
    """P weighted labels of S structures with N atoms.

    Half the square of predictions minus labels is the loss.
    """

    matrix: Floats
    """From coordinates of the design to predictions, shape (P, C)."""
    free: Floats
    """Predictions of the energies of free atoms that are fitted, shape (P, n_e0)."""
    target: Floats
    """Labels, shape (P,)."""
    kept: Integers
    """Which of all labels are there: S energies, 3 N forces, then 6 S' stresses; shape (P,)."""
    scale: Floats
    """What a unit of each counts, shape (P,)."""
    start: Integers
    """Where the atoms of each structure begin, shape (S + 1,)."""
    sums: Floats
    """From node values of what is summed to the sums of every atom, shape (N, M)."""
    dimers: Floats
    """The same for an atom alone, then for dimers as far apart as the nodes, shape (1 + M, M)."""
    pairs: Neighbours
    """Those of the atoms that have forces here."""
    structure: Integers
    """Structure of each atom, shape (N,)."""
    volume: Floats
    """Volumes in Å³ of the structures that have stresses here, the first S', shape (S',)."""
    near: Near | None
    """Pairs within the reach of triplets, where sums may be over every two neighbours."""
    table: Floats
    """From node values to slopes with f_c at the points of a table, shape (TABLE, M)."""

    def predictions(self, found: Variants) -> Floats:
        """Weighted predictions of D variants of a function of neighbour sums, shape (D, P)."""
        variants = len(found.value)
        energy = np.add.reduceat(found.value, self.start[:-1], axis=1) / np.diff(self.start)
        forces = np.zeros((variants, self.structure.size, 3))
        virial = np.zeros((variants, self.volume.size, 6))
        slopes = found.nodes @ self.table.T
        add_pulls(self.pairs, self.structure, slopes, found.by_sum, forces, virial)
        for (a, d), bend in found.bends.items():
            assert self.near is not None
            by_sum = found.by_sum[a, d]
            add_bends(self.near.bonds, bend, self.structure, by_sum, forces[d], virial[d])
        virial /= self.volume[:, None]
        parts = [part.reshape(variants, -1) for part in (energy, forces, virial)]
        return np.concatenate(parts, axis=1)[:, self.kept] * self.scale


@dataclass(frozen=True, eq=False)
class _Portions:
    """What every structure gives, before it is weighed."""

    labels: dict[str, list[Floats]]
    predicted: dict[str, list[Floats]]
    """From coordinates, row by row, by quantity as the labels are."""
    sums: list[Floats]
    pairs: list[Pairs]
    """Those of the atoms whose forces count."""
    close: list[Pairs]
    """Those within the reach of triplets."""
    wanted: list[NDArray[np.bool_]]
    """Atoms whose forces count."""
    volume: Floats
    """Of the structures with stresses; NaN where they have none."""


def build_rows(
    structures: Structures,
    design: Design,
    cutoff: Cutoff,
    cutoff_three_body: Cutoff | None,
    chosen: Sequence[int],
    with_stresses: int,
    every: int = 1,
) -> Rows:
    """Rows of the structures ``chosen``, some of them with all labels.

    Parameters
    ----------
    structures, design
        The data, of one element, and their design, whose weights and coordinates are used.
    cutoff, cutoff_three_body
        Its cutoff functions.
    chosen
        Indices of training structures.
    with_stresses
        Of so many of these, the first, all labels count.
    every
        Of the others the energies, and the forces on one atom in so many.
    """
    accumulator = Accumulator(_unreduced(design), cutoff, cutoff_three_body)
    three = cutoff_three_body
    found = _portions(structures, design, accumulator, three, chosen, with_stresses, every)
    sizes = structures.n_atoms[chosen]
    start = np.concatenate([[0], np.cumsum(sizes)])
    weights = np.array([design.group_weights.get(structures.group[s], 1.0) for s in chosen])
    counts = np.ones_like(sizes), 3 * sizes, np.full(with_stresses, 6)
    target = [np.concatenate([*found.labels[name], np.empty(0)]) for name in QUANTITIES]
    scales = [
        _scales(design.loss.sigma(name), part, np.repeat(weights[: of_each.size], of_each))
        for name, part, of_each in zip(QUANTITIES, target, counts, strict=True)
    ]
    scale, has_stresses = np.concatenate(scales), bool(scales[-1].any())
    kept = np.flatnonzero(scale > 0)
    matrix = np.concatenate([part for name in QUANTITIES for part in found.predicted[name]])
    low, step = float(design.r_lo[0]), (design.r_cut - float(design.r_lo[0])) / (TABLE - 1)
    stressed = np.arange(start[-1]) < has_stresses * start[with_stresses]
    felt = np.concatenate(found.wanted) | stressed
    return Rows(
        matrix=matrix[kept] * scale[kept, None],
        free=np.outer((kept < len(chosen)) * scale[kept], np.ones(design.n_e0)),
        target=np.concatenate(target)[kept] * scale[kept],
        kept=kept,
        scale=scale[kept],
        start=start,
        sums=np.concatenate(found.sums),
        dimers=np.vstack([np.zeros(design.n_nodes), np.diag(cutoff.value(design.nodes[0]))]),
        pairs=neighbours(*_joined(found.pairs, start), low, step, TABLE),
        near=_near(_joined(found.close, start), felt, three, design.r0),
        structure=np.repeat(np.arange(len(chosen)), sizes),
        volume=found.volume if has_stresses else np.empty(0),
        table=_slopes(design, cutoff),
    )


def _portions(
    structures: Structures,
    design: Design,
    accumulator: Accumulator,
    cutoff_three_body: Cutoff | None,
    chosen: Sequence[int],
    with_stresses: int,
    every: int,
) -> _Portions:
    """Labels, predictions and neighbours of each structure; arguments as of ``build_rows``."""
    cutoff, low, first = accumulator.cutoff, float(design.r_lo[0]), 0
    labels: dict[str, list[Floats]] = {name: [] for name in QUANTITIES}
    predicted: dict[str, list[Floats]] = {name: [] for name in QUANTITIES}
    found = _Portions(labels, predicted, [], [], [], [], np.empty(with_stresses))
    for k, s in enumerate(chosen):
        n, atoms = int(structures.n_atoms[s]), structures.atoms_of(s)
        energy, on_atoms, virial = accumulator.rows(structures, s, structures.kind[atoms])
        pairs = structure_pairs(structures, s, cutoff.r_cut)
        sums = np.zeros((n, design.n_nodes))
        add_sum_rows(pairs.i, pairs.r, cutoff.value(pairs.r), low, design.r_cut, sums)
        found.sums.append(sums @ chebyshev_coefficients(design.n_nodes))
        counts = np.arange(first, first + n) % (1 if k < with_stresses else every) == 0
        first += n
        found.wanted.append(counts)
        found.pairs.append(pairs.subset(counts[pairs.i]))
        found.close.append(structure_pairs(structures, s, triplet_reach(cutoff_three_body)))
        labels["energy"].append(np.array([_bound(structures, design, s) / n]))
        labels["forces"].append(np.where(counts[:, None], structures.forces[atoms], np.nan).ravel())
        predicted["energy"].append(_coordinates(design, accumulator, energy[None, :] / n))
        predicted["forces"].append(_coordinates(design, accumulator, on_atoms.reshape(3 * n, -1)))
        if k < with_stresses:
            volume = structures.volume[s] if structures.pbc[s].all() else np.nan
            found.volume[k] = volume
            labels["stress"].append(np.where(np.isnan(volume), np.nan, structures.stress[s]))
            predicted["stress"].append(_coordinates(design, accumulator, virial / volume))
    return found


def _joined(parts: Sequence[Pairs], start: Integers) -> tuple[Integers, Integers, Floats, Floats]:
    """Where the pairs of each atom begin, neighbours, distances and directions."""
    shift = np.repeat(start[:-1], [len(part) for part in parts])
    i, j, r, unit = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("i", "j", "r", "unit")
    )
    return np.searchsorted(i + shift, np.arange(start[-1] + 1)), j + shift, r, unit


def triplet_reach(cutoff: Cutoff | None) -> float:
    """Radius of triplets in Å; hardly anything where there are none."""
    return 1e-3 if cutoff is None else cutoff.r_cut


def _near(
    pairs: tuple[Integers, Integers, Floats, Floats],
    wanted: NDArray[np.bool_],
    cutoff: Cutoff | None,
    r0: float,
) -> Near | None:
    """Pairs within the reach of triplets; ``wanted`` are the atoms whose forces count."""
    if cutoff is None:
        return None
    start, j, r, unit = pairs
    centre = np.repeat(np.arange(start.size - 1), np.diff(start))
    active = wanted | (np.bincount(centre, wanted[j], wanted.size) > 0)
    fade = cutoff.value(r), cutoff.slope(r) * r0
    return Near(Bonds(start, j, r, unit, active), r / r0, *fade, r0)


def _unreduced(design: Design) -> Design:
    """The design as it is while rows are collected: with all node values of triplets."""
    if design.triplets is None:
        return design
    return replace(design, triplets=replace(design.triplets, basis=None))


def _coordinates(design: Design, accumulator: Accumulator, rows: Floats) -> Floats:
    """Columns of coordinates from columns of polynomials, shape (R, C)."""
    n, m = design.n_pair_values, design.n_nodes
    coefficients = chebyshev_coefficients(m)
    blocks = [rows[:, b : b + m] @ coefficients for b in range(0, n, m)]
    if design.triplets is not None and accumulator.triplet_rows is not None:
        nodes = accumulator.triplet_rows.to_node_values(rows[:, n:])
        blocks.append(nodes @ design.triplets.turn)
    return np.hstack(blocks)


def _bound(structures: Structures, design: Design, s: int) -> float:
    """Energy in eV of a structure, less that of free atoms where it is given."""
    energy = float(structures.energy[s])
    if design.fixed_e0 is None:
        return energy
    known = np.array([design.fixed_e0[name] for name in design.species])
    return energy - float(known[structures.kind[structures.atoms_of(s)]].sum())


def _scales(sigma: float, labels: Floats, weights: Floats) -> Floats:
    """What a unit of each label counts; zero where there is none."""
    there = np.isfinite(labels) & (weights > 0)
    if not sigma or not there.any():
        return np.zeros(labels.size)
    weights = np.where(there, weights, 0.0)
    return np.asarray(np.sqrt(weights / weights.sum()) / sigma)


def _slopes(design: Design, cutoff: Cutoff) -> Floats:
    """From node values to slopes with f_c in 1/Å at the points of the table."""
    low, high, m = float(design.r_lo[0]), design.r_cut, design.n_nodes
    r = np.linspace(low, high, TABLE)
    s, coefficients = 2.0 * (r - low) / (high - low) - 1.0, chebyshev_coefficients(m)
    value = chebyshev.chebvander(s, m - 1) @ coefficients
    change = chebyshev.chebval(s, chebyshev.chebder(coefficients, axis=0)).T * 2.0 / (high - low)
    # At the cutoff itself f_c is that of the inside, or a truncated one would end a point early.
    inside = np.minimum(r, np.nextafter(high, 0.0))
    return np.asarray(
        change * cutoff.value(inside)[:, None] + value * cutoff.slope(inside)[:, None]
    )


def screening_order(structures: Structures, design: Design) -> list[int]:
    """Training structures that count, such that the first few stand for all groups."""
    rng = np.random.default_rng(0)
    members: dict[str, list[int]] = {}
    for s in np.flatnonzero(structures.split == SPLITS.index("train")).tolist():
        if design.group_weights.get(structures.group[s], 1.0) > 0:
            members.setdefault(structures.group[s], []).append(s)
    places = []
    for group in sorted(members):
        n = len(members[group])
        places += [((k + 0.5) / n, members[group][p]) for k, p in enumerate(rng.permutation(n))]
    return [s for _, s in sorted(places)]


def all_rows(
    structures: Structures, design: Design, cutoff: Cutoff, cutoff_three_body: Cutoff | None = None
) -> Rows:
    """Rows of all training structures that count.

    Raises
    ------
    ValueError
        If they would take too much memory.
    """
    order = screening_order(structures, design)
    _check_size(structures, design, cutoff, cutoff_three_body, order)
    order = sorted(order)
    return build_rows(structures, design, cutoff, cutoff_three_body, order, len(order))


def _check_size(
    structures: Structures,
    design: Design,
    cutoff: Cutoff,
    cutoff_three_body: Cutoff | None,
    order: Sequence[int],
) -> None:
    """Refuse what no worker could hold."""
    size = peak_size(structures, design, cutoff, cutoff_three_body, order)
    if size > LARGEST:
        fewer = int(len(order) * LARGEST / size)
        raise ValueError(
            f"many-body terms keep the labels of all training structures in the memory of every "
            f"worker, here {size / 2**30:.3g} GiB of at most {LARGEST / 2**30:g}: train on some "
            f"{fewer} structures, make [terms] r_cut smaller, or set many_body = false"
        )


def peak_size(
    structures: Structures,
    design: Design,
    cutoff: Cutoff,
    cutoff_three_body: Cutoff | None,
    order: Sequence[int],
) -> float:
    """Bytes of the rows of some structures at the worst moment; neighbours are counted in a few.

    That is while the portions of all structures are joined, or later while terms are held and the
    rest is projected. What pairs take was measured with ``tracemalloc``.
    """
    few, atoms = order[:_COUNTED], int(structures.n_atoms[order].sum())
    of_all = atoms / int(structures.n_atoms[few].sum())
    pairs, close = (
        of_all * sum(len(structure_pairs(structures, s, radius)) for s in few)
        for radius in (cutoff.r_cut, triplet_reach(cutoff_three_body))
    )
    labels = 3 * atoms + 7 * len(order)
    row, values = 8 * labels * design.columns, 8 * design.n_nodes
    joined = 3 * row + 2 * atoms * values + 180 * pairs + 80 * close
    held = 5 * row + (atoms + labels) * values + 72 * pairs + 62 * close
    return max(joined, held)


def screening_rows(
    structures: Structures, design: Design, cutoff: Cutoff, cutoff_three_body: Cutoff | None = None
) -> Rows | None:
    """Rows of a few structures that stand for all; None where there are hardly more of them."""
    order = screening_order(structures, design)
    atoms = np.cumsum(structures.n_atoms[order])
    chosen = int(np.searchsorted(atoms, MOST_ATOMS)) + 1
    counts = [len(structure_pairs(structures, s, cutoff.r_cut)) for s in order[:chosen]]
    if atoms[-1] < 2 * MOST_ATOMS and sum(counts) < 2 * MOST_PAIRS:
        return None
    stresses = bool(design.loss.sigma("stress")) and np.isfinite(structures.stress[order]).any()
    with_stresses = int(np.searchsorted(np.cumsum(counts), MOST_PAIRS / 2)) + 1 if stresses else 0
    with_stresses = min(with_stresses, len(counts))
    left = MOST_PAIRS - sum(counts[:with_stresses])
    every = max(1, math.ceil(sum(counts[with_stresses:]) / max(left, MOST_PAIRS / 4)))
    return build_rows(
        structures, design, cutoff, cutoff_three_body, order[:chosen], with_stresses, every
    )
