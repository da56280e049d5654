"""Labels of structures as rows, with all that makes them predictions of a formula.

The projected design squeezes the labels for functions that enter linearly. Functions of sums do
not, so for them the labels stay: all of them, or those of a few structures for screening.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from symreg.arrays import Booleans, Floats, Integers
from symreg.files import counted
from symreg.fit.design import Design
from symreg.fit.design.accumulator import Accumulator
from symreg.fit.design.cost import GB
from symreg.fit.sums.base import Selection, SumRows
from symreg.structures import QUANTITIES, SPLITS, Structures
from symreg.structures.data import join_structures
from symreg.structures.neighbours import structure_pairs
from symreg.structures.targets import Targets
from symreg.terms.kinds import kind_of
from symreg.terms.lengths import Lengths

_COUNTED = 10
MOST_ATOMS, MOST_PAIRS = 4_000, 12_000
"""Atoms with energies and pairs with forces in the structures for screening, about."""


@dataclass(frozen=True, eq=False)
class Rows:
    """P weighted labels of S structures with N atoms; the loss is half the square of the gaps."""

    matrix: Floats
    """From coordinates of the design to predictions, shape (P, C)."""
    free: Floats
    """Predictions of the energies of free atoms that are fitted, shape (P, n_e0)."""
    target: Floats
    """Labels, shape (P,)."""
    kept: Integers
    """Which of all labels are there: S energies, 3 N forces, then 6 S' stresses; shape (P,)."""
    scale: Floats
    """Weight of a unit of each, shape (P,)."""
    chosen: Selection
    """The structures."""
    volume: Floats
    """Volumes in Å³ of the structures that have stresses here, the first S', shape (S',)."""
    lengths: Lengths
    """Cutoff functions and the unit of distance."""
    functional: Floats = field(default_factory=lambda: np.empty((0, 0)))
    """Targets in sigmas from energies per atom of the last cells; the last rows are theirs."""
    _sums: dict[tuple[str, tuple[str, ...]], SumRows] = field(default_factory=dict)

    def sums(self, over: str, species: tuple[str, ...]) -> SumRows:
        """A kind of sum on these rows, of a centre and its neighbours; prepared when first used."""
        if (over, species) not in self._sums:
            kind = kind_of(over).discoverer(self.lengths.at(species))
            members = [self.chosen.structures.species.index(name) for name in species]
            self._sums[over, species] = kind.rows(self.chosen, members)
        return self._sums[over, species]

    def centres(self, species: str) -> Booleans:
        """Which atoms are of an element, shape (N,)."""
        return np.asarray(self.chosen.kind == self.chosen.structures.species.index(species))

    def predictions(self, value: Floats, pulls: Sequence[tuple[SumRows, object, Floats]]) -> Floats:
        """Weighted predictions of D variants of a function F of sums, shape (D, P).

        Given are F of every atom, shape (D, N), and for each sum its rows, its state, and dF/dS of
        every atom, shape (D, N).
        """
        (variants, n), start = value.shape, self.chosen.start
        energy = np.add.reduceat(value, start[:-1], axis=1) / np.diff(start)
        forces, virial = np.zeros((n, 3, variants)), np.zeros((self.volume.size, 6, variants))
        for rows, state, by_sum in pulls:
            rows.add_forces(state, by_sum, forces, virial)
        virial /= self.volume[:, None, None]
        parts = [energy, forces.reshape(-1, variants).T, virial.reshape(-1, variants).T]
        found = np.concatenate(parts, axis=1)[:, self.kept] * self.scale
        if not self.functional.size:
            return found
        aims = energy[:, energy.shape[1] - self.functional.shape[1] :] @ self.functional.T
        return np.concatenate([found, aims], axis=1)


def build_rows(
    structures: Structures,
    design: Design,
    lengths: Lengths,
    chosen: Sequence[int],
    with_stresses: int,
    every: int = 1,
    targets: Targets | None = None,
) -> Rows:
    """Rows of training structures by their indices, with the weights and coordinates of a design.

    Of the first so many ``with_stresses`` all labels count, of the others the energies, and the
    forces on one atom of ``every`` so many. Rows of ``targets`` come last.
    """
    if targets is not None:
        count = len(targets.structures)
        chosen = [*chosen, *range(len(structures), len(structures) + count)]
        structures = join_structures([structures, targets.structures])
    sizes = structures.n_atoms[list(chosen)]
    full = np.repeat(np.arange(len(chosen)) < with_stresses, sizes)
    wanted = full | (np.arange(sizes.sum()) % every == 0)
    if targets is not None:
        wanted[sizes[: len(chosen) - count].sum() :] = False
    selection = Selection(structures, chosen, wanted, with_stresses, design.n_nodes)
    target, predicted, volume = _portions(design, selection)
    weights = np.array([design.group_weights.get(structures.group[s], 1.0) for s in chosen])
    counts = np.ones_like(sizes), 3 * sizes, np.full(with_stresses, 6)
    scales = [
        _scales(design.loss.sigma(name), part, np.repeat(weights[: of_each.size], of_each))
        for name, part, of_each in zip(QUANTITIES, target, counts, strict=True)
    ]
    if not scales[-1].any():
        selection, volume = replace(selection, stressed=0), np.empty(0)
    scale = np.concatenate(scales)
    kept = np.flatnonzero(scale > 0)
    matrix = np.concatenate([part for parts in predicted for part in parts])
    free = _free(selection, design)
    rows = [array[kept] * scale[kept, None] for array in (matrix, free)]
    labels, functional = np.concatenate(target)[kept] * scale[kept], np.empty((0, 0))
    if targets is not None:
        own = slice(len(chosen) - count, len(chosen))
        functional = targets.functional * sizes[own] / targets.sigma[:, None]
        rows = [
            np.vstack([part, functional @ array[own]])
            for part, array in zip(rows, (matrix, free), strict=True)
        ]
        labels = np.concatenate([labels, targets.rest(design.given_e0)])
    return Rows(
        matrix=rows[0],
        free=rows[1],
        target=labels,
        kept=kept,
        scale=scale[kept],
        chosen=selection,
        volume=volume,
        lengths=design.within(lengths),
        functional=functional,
    )


def _free(selection: Selection, design: Design) -> Floats:
    """Predictions of L labels from fitted energies of free atoms: shares of elements, (L, n_e0)."""
    counts = np.zeros((len(selection.chosen), len(design.species)))
    np.add.at(counts, (selection.owner, selection.kind), 1.0)
    others = 3 * selection.kind.size + 6 * selection.stressed
    shares = (counts / np.diff(selection.start)[:, None])[:, design.fitted_e0]
    return np.vstack([shares, np.zeros((others, design.n_e0))])


def _portions(
    design: Design, selection: Selection
) -> tuple[list[Floats], list[list[Floats]], Floats]:
    """Labels by quantity, their predictions row by row from coordinates, and volumes (S',).

    Labels that do not count are NaN, volumes of what is not fully periodic too.
    """
    accumulator, first = Accumulator(design), 0
    free = design.given_e0
    labels: list[list[Floats]] = [[np.empty(0)] for _ in QUANTITIES]
    predicted: list[list[Floats]] = [[] for _ in QUANTITIES]
    structures, volumes = selection.structures, np.empty(selection.stressed)
    for k, s in enumerate(selection.chosen):
        n, atoms = int(structures.n_atoms[s]), structures.atoms_of(s)
        energy, on_atoms, virial = accumulator.rows(structures, s)
        counts, first = selection.wanted[first : first + n], first + n
        labels[0].append((structures.energy[[s]] - free[structures.kind[atoms]].sum()) / n)
        labels[1].append(np.where(counts[:, None], structures.forces[atoms], np.nan).ravel())
        predicted[0].append(accumulator.coordinates(energy[None, :] / n))
        predicted[1].append(accumulator.coordinates(on_atoms.reshape(3 * n, -1)))
        if k < selection.stressed:
            volumes[k] = structures.volume[s] if structures.pbc[s].all() else np.nan
            labels[2].append(np.where(np.isnan(volumes[k]), np.nan, structures.stress[s]))
            predicted[2].append(accumulator.coordinates(virial / volumes[k]))
    return [np.concatenate(parts) for parts in labels], predicted, volumes


def _scales(sigma: float, labels: Floats, weights: Floats) -> Floats:
    """Weight of a unit of each label; zero where there is none."""
    there = np.isfinite(labels) & (weights > 0)
    if not sigma or not there.any():
        return np.zeros(labels.size)
    weights = np.where(there, weights, 0.0)
    return np.asarray(np.sqrt(weights / weights.sum()) / sigma)


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
    structures: Structures, design: Design, lengths: Lengths, targets: Targets | None = None
) -> Rows:
    """Rows of all training structures that count, and of the targets."""
    order = screening_order(structures, design)
    return build_rows(structures, design, lengths, sorted(order), len(order), targets=targets)


def check_memory(
    structures: Structures, design: Design, lengths: Lengths, most: float, workers: int = 1
) -> str:
    """Words for what the labels of many-body terms take in all workers.

    Raises
    ------
    ValueError
        If that is above ``most`` GB; with ways out.
    """
    order = screening_order(structures, design)
    each = peak_size(structures, design, lengths, order) / GB
    words = f"labels of many-body terms take {each:.2g} GB in each of {counted(workers, 'worker')}"
    if workers * each <= most:
        return words
    fewer = int(len(order) * most / (workers * each))
    raise ValueError(
        f"{words}; [search] max_memory allows {most:g} GB: raise it, take fewer workers, train on "
        f"some {counted(fewer, 'structure')}, make [terms] r_cut smaller, or set many_body = false"
    )


def peak_size(
    structures: Structures, design: Design, lengths: Lengths, order: Sequence[int]
) -> float:
    """Bytes of the rows of some structures at the worst moment; neighbours are counted in a few.

    That is while the portions of all structures are joined, while sums over pairs or over every two
    neighbours are prepared, or later while terms are held and the rest is projected. What pairs
    take was measured with ``tracemalloc``.
    """
    few, atoms = order[:_COUNTED], int(structures.n_atoms[order].sum())
    of_all = atoms / int(structures.n_atoms[few].sum())
    pairs, close = (
        of_all * sum(len(structure_pairs(structures, s, r_cut)) for s in few if r_cut)
        for r_cut in map(lengths.farthest, (1, 2))
    )
    labels = 3 * atoms + 7 * len(order)
    row, values = 8 * labels * design.columns, 8 * design.n_nodes
    prepared = row + 2 * atoms * values + 137 * pairs + 64 * close
    bent = row + atoms * values + 80 * pairs + 121 * close
    held = 5 * row + atoms * values + 80 * pairs + 64 * close
    return max(4 * row, prepared, bent, held)


def screening_rows(
    structures: Structures, design: Design, lengths: Lengths, targets: Targets | None = None
) -> Rows | None:
    """Rows of a few structures that stand for all; None where there are hardly more of them."""
    order = screening_order(structures, design)
    atoms = np.cumsum(structures.n_atoms[order])
    chosen = int(np.searchsorted(atoms, MOST_ATOMS)) + 1
    r_cut = lengths.farthest(1) or 0.0
    counts = [len(structure_pairs(structures, s, r_cut)) for s in order[:chosen]]
    if atoms[-1] < 2 * MOST_ATOMS and sum(counts) < 2 * MOST_PAIRS:
        return None
    stresses = bool(design.loss.sigma("stress")) and np.isfinite(structures.stress[order]).any()
    room = int(np.searchsorted(np.cumsum(counts), MOST_PAIRS / 2)) + 1
    with_stresses = min(room, len(counts)) if stresses else 0
    left = MOST_PAIRS - sum(counts[:with_stresses])
    every = max(1, math.ceil(sum(counts[with_stresses:]) / max(left, MOST_PAIRS / 4)))
    few = order[:chosen]
    return build_rows(structures, design, lengths, few, with_stresses, every, targets)
