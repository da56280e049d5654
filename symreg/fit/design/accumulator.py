"""Rows of structures, reduced as they come: the cells of a design."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from symreg.arrays import Floats
from symreg.fit.design.condensing import condensed
from symreg.fit.design.cost import Pace, Tell
from symreg.fit.design.design import Cell, Design
from symreg.fit.design.triangles import Triangle, decomposed
from symreg.fit.sums.base import Around
from symreg.structures import SPLITS, Structures
from symreg.structures.neighbours import closest_distances, structure_pairs
from symreg.structures.targets import Targets


class Accumulator:
    """Collects the rows of all structures, cell by cell.

    With ``turned`` the grids of the design are condensed already, and rows turned as they come.
    """

    def __init__(self, design: Design, turned: bool = False) -> None:
        self.design, self.turned = design, turned
        self.triangles: dict[Cell, Triangle] = {}
        self.reach = max(grid.cutoff.r_cut for grid in design.grids)

    def add(self, structures: Structures, s: int, bootstrap_block: int) -> None:
        """Add every label of one structure."""
        if not self.takes(structures, s):
            return
        split, kind = SPLITS[structures.split[s]], structures.kind[structures.atoms_of(s)]
        energy, forces, virial = self.rows(structures, s)
        n = kind.size
        if self.turned:
            energy = self.coordinates(energy[None, :])[0]
            forces, virial = self.coordinates(forces.reshape(3 * n, -1)), self.coordinates(virial)
        where = structures.group[s], split, bootstrap_block
        free_atoms = np.bincount(kind, minlength=len(self.design.species))
        target = structures.energy[s] - free_atoms @ self.design.given_e0
        row = np.concatenate([free_atoms[self.design.fitted_e0], energy, [target]]) / n
        self._keep(("energy", *where), row[None, :])
        labels = structures.forces[structures.atoms_of(s)].ravel()
        self._keep(("forces", *where), self._without_e0(forces.reshape(3 * n, -1), labels))
        if structures.pbc[s].all():
            volume = abs(np.linalg.det(structures.cell[s]))
            self._keep(("stress", *where), self._without_e0(virial / volume, structures.stress[s]))

    def takes(self, structures: Structures, s: int) -> bool:
        """Whether a structure is for training, or no closer than where the grids begin.

        Polynomials mean nothing below; the exact path tells the errors of the others.
        """
        if SPLITS[structures.split[s]] == "train":
            return True
        one = closest_distances(structures.taken(np.array([s])), self.reach)
        begins = {grid.key.species: grid.r_lo for grid in self.design.pair_grids}
        return all(d >= begins.get(pair, 0.0) for pair, d in one.items())

    def rows(self, structures: Structures, s: int) -> tuple[Floats, Floats, Floats]:
        """Contributions of columns to energy, forces (n, 3) and virial (6) of one structure."""
        pairs = structure_pairs(structures, s, self.reach)
        around = Around(pairs, structures.kind[structures.atoms_of(s)])
        parts = []
        for grid in self.design.grids:
            species = [self.design.species.index(name) for name in grid.key.species]
            try:
                parts.append(grid.contributions(around, species))
            except ValueError as error:
                raise ValueError(f"{structures.source[s]} has {error}") from None
        energy, forces, virial = (np.concatenate(p, axis=-1) for p in zip(*parts, strict=True))
        return energy, forces, virial

    def aims(self, targets: Targets) -> Floats:
        """Columns of ``rows`` for targets in sigmas, shape (T, C)."""
        cells = targets.structures
        energies = np.array([self.rows(cells, s)[0] for s in range(len(cells))])
        found: Floats = targets.functional @ energies / targets.sigma[:, None]
        return found

    def whole_aims(self, targets: Targets) -> Floats:
        """Rows of targets as ``Design`` has them."""
        columns = self.aims(targets)
        values = self.coordinates(columns) if self.turned else self.node_values(columns)
        free = targets.functional @ targets.free_atoms[:, self.design.fitted_e0]
        rest = targets.rest(self.design.given_e0)
        return np.hstack([free / targets.sigma[:, None], values, rest[:, None]])

    def coordinates(self, matrix: Floats) -> Floats:
        """Columns of coordinates from those of ``rows``, shape (R, C)."""
        nodes, ends = self.node_values(matrix), np.cumsum([grid.size for grid in self.design.grids])
        of_each = zip(self.design.grids, np.split(nodes, ends[:-1], axis=1), strict=True)
        return np.hstack([own @ grid.turn if grid.is_condensed else own for grid, own in of_each])

    def node_values(self, matrix: Floats, first: int = 0) -> Floats:
        """Columns of node values from those of ``rows``, which begin at ``first``; in place."""
        for grid in self.design.grids:
            place = slice(first, first + grid.size)
            matrix[:, place] = grid.to_node_values(matrix[:, place])
            first += grid.size
        return matrix

    def _without_e0(self, rows: Floats, labels: Floats) -> Floats:
        return np.hstack([np.zeros((len(rows), self.design.n_e0)), rows, labels[:, None]])

    def _keep(self, cell: Cell, rows: Floats) -> None:
        rows = rows[np.isfinite(rows[:, -1])]
        if len(rows):
            self.triangles.setdefault(cell, Triangle(self.design.columns)).add(rows)

    def finish(self, tell: Tell, targets: Targets | None = None) -> Design:
        """Turn columns of coefficients into columns of node values, and of what the data feel."""
        cells, counts = {}, {}
        aims = None if targets is None else self.whole_aims(targets)
        pace = Pace(tell, "reduced matrices", len(self.triangles))
        for cell in sorted(self.triangles):
            # Taken away as it is turned: with triplets all of them twice would be much.
            collected = self.triangles.pop(cell)
            matrix, counts[cell] = collected.reduce(), collected.count
            if not self.turned:
                matrix = self.node_values(matrix, self.design.n_e0)
            cells[cell] = decomposed(matrix)
            pace.step()
        design = replace(self.design, cells=cells, counts=counts, aims=aims)
        return design if self.turned else condensed(design, tell)
