"""The projected design of a data set, its least-squares problem, its errors and its floor."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg

from symreg.arrays import Floats
from symreg.files import write_arrays
from symreg.fit.design.cost import Pace, Tell
from symreg.fit.design.triangles import reduced, triangle
from symreg.fit.loss import LossSettings
from symreg.fit.sums.node_grid import NodeGrid
from symreg.fit.sums.pair_grid import PairGrid
from symreg.fit.sums.triplet_grid import TripletGrid
from symreg.records import ALL, Errors, Floor, SplitErrors, by_split
from symreg.structures import QUANTITIES
from symreg.terms import Expression, Key
from symreg.terms.kinds import kind_of
from symreg.terms.lengths import Lengths
from symreg.terms.sharing import may_share

Cell = tuple[str, str, str, int]
"""Labels that one triangular matrix covers: quantity, group, split, bootstrap block."""

_FORMAT = 3
_SINGULAR = 1e-10
"""Singular values of the e0 columns below this part of the largest count as zero."""


@dataclass(frozen=True, eq=False)
class Design:
    """A data set as triangular matrices; columns are e0 of each species, coordinates, target.

    The coordinates are those of each grid in turn, C of them in all: node values of pairs, then
    those combinations of three-body node values that the data feel.
    """

    species: tuple[str, ...]
    """Chemical symbols."""
    grids: tuple[NodeGrid, ...]
    """A grid for each key of a sum that stands alone, pairs first."""
    r0: float
    """Unit of reduced distance in Å."""
    fixed_e0: Mapping[str, float] | None
    """Energies of free atoms in eV that are given, maybe of some species; None: all are fitted."""
    loss: LossSettings
    """Scales of the loss."""
    group_weights: Mapping[str, float]
    """Weight of each group; 1 where it is not named."""
    cells: Mapping[Cell, Floats]
    """Matrix R of each (quantity, group, split, bootstrap block), unweighted."""
    counts: Mapping[Cell, int]
    """Number of labels in each."""
    functions: tuple[Key, ...] = ()
    """Keys of functions of sums that formulas may hold; they are not projected."""
    floors: tuple[Floor, ...] | None = None
    """The floor of pair terms and of all terms, where they were found before."""
    aims: Floats | None = None
    """Rows of targets in sigmas, columns as of the cells, shape (T, n_e0 + C + 1); None: none."""

    @property
    def keys(self) -> tuple[Key, ...]:
        """Keys that terms can have: those of the grids, then functions of sums."""
        return (*(grid.key for grid in self.grids), *self.functions)

    @cached_property
    def may_share(self) -> bool:
        """Whether terms of several keys may share a form."""
        return may_share(self.keys)

    @property
    def many_body(self) -> bool:
        """Whether formulas may hold functions of sums."""
        return bool(self.functions)

    @cached_property
    def pair_grids(self) -> tuple[PairGrid, ...]:
        """Grids of pairs, B of them, of M nodes each."""
        return tuple(grid for grid in self.grids if isinstance(grid, PairGrid))

    @cached_property
    def triplet_grids(self) -> tuple[TripletGrid, ...]:
        """Grids of triplets; they come after those of pairs."""
        return tuple(grid for grid in self.grids if isinstance(grid, TripletGrid))

    @property
    def pair_keys(self) -> tuple[Key, ...]:
        """Keys of the grids of pairs."""
        return tuple(grid.key for grid in self.pair_grids)

    @property
    def r_lo(self) -> Floats:
        """Beginning of each grid of pairs in Å, shape (B,)."""
        return np.array([grid.r_lo for grid in self.pair_grids])

    @property
    def r_cut(self) -> float:
        """End of the longest grid of pairs in Å."""
        return max(grid.cutoff.r_cut for grid in self.pair_grids)

    @property
    def n_nodes(self) -> int:
        """Nodes of each grid of pairs, M."""
        return self.pair_grids[0].n_nodes

    def within(self, lengths: Lengths) -> Lengths:
        """Lengths with the domain of each pair of species as training has it."""
        begins = dict(zip(map(str, self.pair_keys), map(float, self.r_lo), strict=True))
        begins = {**lengths.r_lo_pairs, **begins}
        return replace(lengths, r_lo=min(begins.values()), r_lo_pairs=begins)

    def place(self, k: int) -> slice:
        """Which of the coordinates are those of the grid number k."""
        sizes = [grid.columns for grid in self.grids]
        return slice(sum(sizes[:k]), sum(sizes[: k + 1]))

    @property
    def fitted_e0(self) -> list[int]:
        """Which of the species have an atomic energy that is fitted, n_e0 of them."""
        known = self.fixed_e0 or {}
        return [k for k, name in enumerate(self.species) if name not in known]

    @property
    def given_e0(self) -> Floats:
        """Atomic energies of all species in eV, zero where they are fitted, shape (species,)."""
        known = self.fixed_e0 or {}
        return np.array([known.get(name, 0.0) for name in self.species])

    @property
    def n_e0(self) -> int:
        """Number of fitted atomic energies."""
        return len(self.fitted_e0)

    @property
    def n_pair_values(self) -> int:
        """Number of node values of pair functions, B M."""
        return len(self.pair_grids) * self.n_nodes

    @property
    def columns(self) -> int:
        """Columns of every matrix, the target included."""
        return self.n_e0 + sum(grid.columns for grid in self.grids) + 1

    @cached_property
    def nodes(self) -> Floats:
        """Node distances of pairs in Å, shape (B, M)."""
        return np.array([grid.distances for grid in self.pair_grids])

    @cached_property
    def quantities(self) -> tuple[str, ...]:
        """Quantities that have training labels and a scale."""
        return tuple(dict.fromkeys(cell[0] for cell in self._scales))

    @cached_property
    def _scales(self) -> dict[Cell, float]:
        """Factor of the rows of each training cell in the loss, quantity by quantity."""
        scales: dict[Cell, float] = {}
        for quantity in filter(self.loss.sigma, QUANTITIES):
            chosen = [c for c in self.cells if c[0] == quantity and c[2] == "train"]
            weight = {cell: float(self.group_weights.get(cell[1], 1.0)) for cell in chosen}
            total = sum(weight[cell] * self.counts[cell] for cell in chosen)
            sigma = self.loss.sigma(quantity)
            scales |= {c: np.sqrt(weight[c] / total) / sigma for c in chosen if weight[c] > 0}
        return scales

    @property
    def n_labels(self) -> int:
        """Number of training labels that the loss counts."""
        return sum(self.counts[cell] for cell in self._scales)

    def with_validation(self) -> Design:
        """The design whose training labels are those of training and validation together."""
        cells: dict[Cell, Floats] = {}
        counts: dict[Cell, int] = {}
        for (quantity, group, split, block), matrix in self.cells.items():
            cell = quantity, group, "train" if split == "validation" else split, block
            both = [cells[cell], matrix] if cell in cells else [matrix]
            cells[cell] = reduced(both)
            counts[cell] = counts.get(cell, 0) + self.counts[quantity, group, split, block]
        return replace(self, cells=cells, counts=counts, floors=None)

    @cached_property
    def block_triangles(self) -> list[Floats]:
        """Weighted training matrix of each bootstrap block, with no more rows than columns."""
        return self._block_triangles()

    def _block_triangles(self, tell: Tell = lambda _: None) -> list[Floats]:
        parts: dict[int, list[Cell]] = {}
        for cell in self._scales:
            parts.setdefault(cell[3], []).append(cell)
        found, pace = [], Pace(tell, "joined matrices of blocks", len(parts))
        for block in sorted(parts):
            found.append(reduced([self._scales[cell] * self.cells[cell] for cell in parts[block]]))
            pace.step()
        return found

    @cached_property
    def training(self) -> Problem:
        """The weighted least-squares problem of the training data."""
        return self._training()

    def _training(self, tell: Tell = lambda _: None) -> Problem:
        return self.problem_of(self.block_triangles, tell)

    def problem_of(self, blocks: Sequence[Floats], tell: Tell = lambda _: None) -> Problem:
        """The problem of some weighted blocks and of the targets."""
        aims = [] if self.aims is None else [self.aims]
        return Problem.of(triangle([*blocks, *aims], self.columns, tell), self.n_e0)

    def data_loss(self, e0: Floats, coordinates: Floats) -> float:
        """Loss of the training labels alone, of e0 in eV (n_e0,) and coordinates (C,)."""
        vector = np.concatenate([e0, coordinates, [-1.0]])
        gaps = [block @ vector for block in self.block_triangles]
        return 0.5 * sum(float(gap @ gap) for gap in gaps)

    def join(self, tell: Tell) -> None:
        """Find ``block_triangles`` and ``training`` now, and tell how far that is."""
        known = vars(self)  # where cached properties keep what they found
        if "training" not in known:
            known["block_triangles"] = self._block_triangles(tell)
            known["training"] = self._training(tell)

    @cached_property
    def floor(self) -> Floor:
        """The lowest training error that smooth functions on all grids could reach."""
        return self.floors[1] if self.floors else lowest_error(self, range(len(self.grids)))

    @cached_property
    def pair_floor(self) -> Floor:
        """The lowest training error of smooth pair functions alone."""
        return self.floors[0] if self.floors else lowest_error(self, range(len(self.pair_grids)))

    def coordinates(self, expression: Expression) -> Floats:
        """Coordinates of what an expression has on the grids, weights as they are, shape (C,)."""
        parts = []
        for grid in self.grids:
            values = np.zeros(grid.size)
            for term, weight in expression.of(grid.key):
                values += weight * grid.values(term.tree, self.r0)
            parts.append(grid.coordinates(values))
        return np.concatenate(parts)

    def error(self, loss: float) -> float:
        """Error in tables: root of twice the loss per quantity, in units of the sigmas."""
        return float(np.sqrt(2.0 * max(loss, 0.0) / len(self.quantities)))

    def loss_of(self, error: float) -> float:
        """The loss of an error as in tables."""
        return 0.5 * len(self.quantities) * error**2

    def rmse(self, e0: Floats, coordinates: Floats) -> dict[str, SplitErrors]:
        """Root mean squared errors by split and group of e0 in eV (n_e0,) and coordinates (C,)."""
        vector = np.concatenate([e0, coordinates, [-1.0]])
        sums: dict[tuple[str, str, str], Floats] = defaultdict(lambda: np.zeros(2))
        for cell, matrix in self.cells.items():
            quantity, group, split, _ = cell
            residual = matrix @ vector
            for name in {group, ALL}:
                sums[split, quantity, name] += residual @ residual, self.counts[cell]
        means = {label: total / count for label, (total, count) in sorted(sums.items())}
        return by_split({label: Errors(float(np.sqrt(mean))) for label, mean in means.items()})

    def save(self, path: Path, key: str = "") -> None:
        """Write to an npz file, all of it or nothing; ``key`` tells what it was made from."""
        header: dict[str, Any] = {
            "format": _FORMAT,
            "key": key,
            "species": self.species,
            "r0": self.r0,
            "fixed_e0": self.fixed_e0,
            "loss": asdict(self.loss),
            "group_weights": dict(self.group_weights),
            "cells": list(self.cells),
            "counts": [self.counts[cell] for cell in self.cells],
            "functions": list(map(str, self.functions)),
            "grids": [],
            "floors": [self.pair_floor.to_dict(), self.floor.to_dict()],
        }
        arrays = {f"cell{n}": matrix for n, matrix in enumerate(self.cells.values())}
        if self.aims is not None:
            arrays["aims"] = self.aims
        for n, grid in enumerate(self.grids):
            record, own = grid.to_arrays()
            header["grids"].append({"over": grid.key.over, **record})
            arrays |= {f"grid{n}_{name}": values for name, values in own.items()}
        write_arrays(path, {**arrays, "header": np.array(json.dumps(header))})

    @staticmethod
    def load(path: Path, key: str | None = None) -> Design:
        """Read what ``save`` wrote; a ``ValueError`` if the format or the key is another."""
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            header = json.loads(str(file["header"]))
            if header["format"] != _FORMAT:
                raise ValueError(f"{path} has format {header['format']}, not {_FORMAT}")
            if key is not None and header["key"] != key:
                raise ValueError(f"{path} was made from other data or settings")
            cells = [(str(q), str(g), str(s), int(b)) for q, g, s, b in header["cells"]]
            grids = []
            for n, record in enumerate(header["grids"]):
                mark = f"grid{n}_"
                own = {k.removeprefix(mark): file[k] for k in file.files if k.startswith(mark)}
                grid = kind_of(record["over"]).discoverer.grid_type
                grids.append(grid.from_arrays(record, own))
            return Design(
                species=tuple(header["species"]),
                grids=tuple(grids),
                r0=header["r0"],
                fixed_e0=header["fixed_e0"],
                loss=LossSettings(**header["loss"]),
                group_weights=header["group_weights"],
                cells={cell: file[f"cell{n}"] for n, cell in enumerate(cells)},
                counts=dict(zip(cells, header["counts"], strict=True)),
                functions=tuple(map(Key.read, header["functions"])),
                floors=tuple(map(Floor.from_dict, header["floors"])),
                aims=file["aims"] if "aims" in file.files else None,
            )


@dataclass(frozen=True, eq=False)
class Problem:
    """Weighted least squares without atomic energies: loss (|matrix v - target|^2 + rest) / 2."""

    matrix: Floats
    """Upper triangular, shape (C, C)."""
    target: Floats
    """Shape (C,)."""
    rest: float
    """Squared part of the labels that no coordinates reach."""
    e0_rows: Floats
    """The rows that determine the atomic energies, shape (rank, n_e0 + C + 1); the rank is below
    n_e0 where compositions leave a combination of them open."""

    @staticmethod
    def of(full: Floats, n_e0: int) -> Problem:
        """Split a triangular matrix with columns e0, node values, target."""
        upper, lower = full[:n_e0], full[n_e0:, n_e0:]
        turn, sizes, _ = np.linalg.svd(upper[:, :n_e0])
        rank = int(np.sum(sizes > _SINGULAR * sizes.max(initial=0.0)))
        if rank < n_e0:
            # Compositions that are all alike cannot tell the species' energies apart: what QR has
            # left in those rows belongs to the node values.
            upper = turn.T @ upper
            lower = triangle([lower, upper[rank:, n_e0:]], lower.shape[1])
            upper = upper[:rank]
        matrix, target = map(np.ascontiguousarray, (lower[:-1, :-1], lower[:-1, -1]))
        return Problem(matrix, target, float(lower[-1, -1] ** 2), upper)

    def e0(self, coordinates: Floats) -> Floats:
        """Atomic energies in eV that fit best beside the coordinates (C,); shape (n_e0,)."""
        n = self.e0_rows.shape[1] - coordinates.size - 1
        right = self.e0_rows[:, -1] - self.e0_rows[:, n:-1] @ coordinates
        return np.asarray(np.linalg.lstsq(self.e0_rows[:, :n], right, rcond=1e-10)[0])


def lowest_error(design: Design, chosen: Sequence[int]) -> Floor:
    """The floor of functions on some grids, by one solve, and by another on coarser grids."""
    problem = design.training
    columns = [problem.matrix[:, design.place(k)] for k in chosen]
    bases = [design.grids[k].basis(coarser=False) for k in chosen]
    fewer = [c @ design.grids[k].basis(coarser=True) for k, c in zip(chosen, columns, strict=True)]
    _, loss_coarser = solve(problem, np.hstack(fewer))
    solution, loss = solve(problem, np.hstack([c @ b for c, b in zip(columns, bases, strict=True)]))
    ends, coordinates = np.cumsum([b.shape[1] for b in bases]), np.zeros(problem.target.size)
    for k, basis, part in zip(chosen, bases, np.split(solution, ends[:-1]), strict=True):
        coordinates[design.place(k)] = basis @ part
    return Floor(
        error=design.error(loss),
        error_coarser=design.error(loss_coarser),
        rmse=design.rmse(problem.e0(coordinates), coordinates),
        n_nodes=design.n_nodes,
    )


def solve(problem: Problem, columns: Floats) -> tuple[Floats, float]:
    """Least squares with columns of any scale; solution and loss."""
    scale = np.linalg.norm(columns, axis=0)
    scale[scale == 0] = 1.0
    scaled, target = columns / scale, problem.target
    try:
        found = np.linalg.lstsq(scaled, target, rcond=1e-13)[0]
    except np.linalg.LinAlgError:
        # Divide and conquer fails on some matrices that nothing is wrong with.
        found = scipy.linalg.lstsq(scaled, target, cond=1e-13, lapack_driver="gelsy")[0]
    solution = found / scale
    gap = columns @ solution - problem.target
    return solution, 0.5 * (float(gap @ gap) + problem.rest)
