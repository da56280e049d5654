"""Fewer columns: those combinations of node values that the data feel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from symreg.arrays import Floats
from symreg.fit.design.cost import Pace, Tell
from symreg.fit.design.design import Design
from symreg.fit.design.triangles import Triangle, decomposed
from symreg.fit.sums.node_grid import NodeGrid
from symreg.structures import Structures

LARGEST_AT_ONCE = 2500
"""Columns up to which all node values are projected together before any are left out."""
FELT = 0.3
"""Part of node values of triplets that the data feel, about, as long as it is not known."""


def condensed(design: Design, tell: Tell = lambda _: None) -> Design:
    """The design with those combinations of node values that the data feel."""
    if not any(grid.is_condensed for grid in design.grids):
        return design
    n = design.n_e0
    grids, turns = zip(*(_felt(design, k) for k in range(len(design.grids))), strict=True)

    def turned(matrix: Floats) -> Floats:
        parts = [matrix[:, n:-1][:, design.place(k)] @ turn for k, turn in enumerate(turns)]
        return np.hstack([matrix[:, :n], *parts, matrix[:, -1:]])

    cells, pace = {}, Pace(tell, "condensed matrices", len(design.cells))
    for cell, matrix in design.cells.items():
        cells[cell] = decomposed(turned(matrix))
        pace.step()
    floors = design.pair_floor, design.floor  # those of all combinations
    aims = None if design.aims is None else turned(design.aims)
    return replace(design, grids=grids, cells=cells, floors=floors, aims=aims)


def _felt(design: Design, k: int) -> tuple[NodeGrid, Floats]:
    """The grid number k with what the data feel of it, and the map to that."""
    grid, n = design.grids[k], design.n_e0
    if not grid.is_condensed:
        return grid, np.eye(grid.size)
    rows = Triangle(grid.size)
    for cell, matrix in design.cells.items():
        if sigma := design.loss.sigma(cell[0]):
            values = matrix[:, n:-1][:, design.place(k)]
            rows.add(values / (sigma * np.sqrt(design.counts[cell])))
    if design.aims is not None:
        rows.add(design.aims[:, n:-1][:, design.place(k)])
    return grid.felt(rows.reduce())


def condensed_by_key(
    design: Design,
    structures: Structures,
    chosen: Sequence[int],
    rows: Callable[[Structures, int], Iterable[Floats]],
    tell: Tell,
    aims: Floats | None = None,
) -> Design:
    """A design without labels whose grids hold what the data feel of each key alone.

    The ``chosen`` structures are gone through, with a triangular matrix of K columns for each key
    instead of one for all keys together, which would take the square of their number. ``rows``
    gives columns of all grids for energy (C,), forces (n, 3, C) and virial (6, C) of a structure;
    ``aims`` are such columns of targets in sigmas, shape (T, C).
    Floors are then of these combinations, which smooth functions are within: a little higher.
    """
    ends = np.cumsum([grid.size for grid in design.grids])
    found = {k: Triangle(grid.size) for k, grid in enumerate(design.grids) if grid.is_condensed}
    loss, pace = design.loss, Pace(tell, "structures gone through", len(chosen))
    where = [(structures.group[s], int(structures.split[s])) for s in chosen]
    alike, atoms = Counter(where), Counter[tuple[str, int]]()
    for s, own in zip(chosen, where, strict=True):
        atoms[own] += int(structures.n_atoms[s])
    for s, own in zip(chosen, where, strict=True):
        energy, forces, virial = rows(structures, s)
        n, one = int(structures.n_atoms[s]), np.sqrt(alike[own])
        scaled = [(energy[None, :] / n, loss.sigma_energy * one)]
        scaled += [(forces.reshape(3 * n, -1), loss.sigma_forces * np.sqrt(atoms[own]))]
        if structures.pbc[s].all():
            scaled += [(virial / structures.volume[s], loss.sigma_stress * one)]
        both = np.vstack([part / size for part, size in scaled if size])
        for k, triangle in found.items():
            triangle.add(both[:, ends[k] - design.grids[k].size : ends[k]].copy())
        pace.step()
    if aims is not None:
        for k, triangle in found.items():
            triangle.add(aims[:, ends[k] - design.grids[k].size : ends[k]])
    grids = list(design.grids)
    for k, triangle in found.items():
        grids[k], _ = grids[k].felt(grids[k].to_node_values(triangle.reduce()))
    return replace(design, grids=tuple(grids))
