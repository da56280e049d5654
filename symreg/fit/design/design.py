"""The projected design of a data set, its least-squares problem, its errors and its floor."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from symreg.files import write_arrays
from symreg.fit.design.grid import chebyshev_coefficients, chebyshev_nodes
from symreg.fit.design.three_body import TripletGrid
from symreg.fit.loss import LossSettings
from symreg.structures import QUANTITIES

Floats = NDArray[np.float64]
Key = tuple[str, tuple[str, ...]]
"""Kind and species of a term."""
Cell = tuple[str, str, str, int]
"""What one triangular matrix covers: quantity, group, split, bootstrap block."""

_FORMAT = 2
_SINGULAR = 1e-10
"""Singular values of the e0 columns below this part of the largest count as zero."""


def triangle(matrices: Sequence[Floats], columns: int) -> Floats:
    """Square upper triangular matrix R with R^T R equal to the sum of the M^T M."""
    stacked = np.vstack([np.zeros((columns, columns)), *matrices])
    return np.asarray(np.linalg.qr(stacked, mode="r"))


@dataclass(frozen=True, eq=False)
class Design:
    """A data set as triangular matrices; columns are e0 of each species, coordinates, target.

    The coordinates are the M node values of each of B pairs of species, then those combinations of
    three-body node values that the data feel; C of them in all.
    """

    species: tuple[str, ...]
    """Chemical symbols."""
    pair_keys: tuple[Key, ...]
    """Kind and species of each block of pairs, B of them."""
    r_lo: Floats
    """Beginning of the grid of each block in Å, shape (B,)."""
    r_cut: float
    """End of every grid of pairs in Å."""
    r0: float
    """Unit of reduced distance in Å."""
    n_nodes: int
    """Nodes per pair of species, M."""
    fixed_e0: Mapping[str, float] | None
    """Energies of free atoms in eV when given; None when they are fitted."""
    loss: LossSettings
    """Scales of the loss."""
    group_weights: Mapping[str, float]
    """Weight of each group; 1 where it is not named."""
    cells: Mapping[Cell, Floats]
    """Matrix R of each (quantity, group, split, bootstrap block), unweighted."""
    counts: Mapping[Cell, int]
    """Number of labels in each."""

    triplets: TripletGrid | None = None
    """Grid of the three-body terms of the one element, if there are any."""
    many_body: bool = False
    """Whether formulas may hold functions of neighbour sums, of the one element."""
    floors: tuple[Floor, ...] | None = None
    """The floor of pair terms and of all terms, where they were found before."""

    @property
    def keys(self) -> tuple[Key, ...]:
        """Kinds and species that terms can have: pairs, then triplets, then many-body terms."""
        keys = self.pair_keys
        if self.triplets is not None:
            keys = (*keys, ("three-body", 3 * self.species))
        return (*keys, ("many-body", self.species)) if self.many_body else keys

    @property
    def n_e0(self) -> int:
        """Number of fitted atomic energies."""
        return 0 if self.fixed_e0 is not None else len(self.species)

    @property
    def n_pair_values(self) -> int:
        """Number of node values of pair functions, B M."""
        return len(self.pair_keys) * self.n_nodes

    @property
    def columns(self) -> int:
        """Columns of every matrix, the target included."""
        of_triplets = 0 if self.triplets is None else self.triplets.columns
        return self.n_e0 + self.n_pair_values + of_triplets + 1

    @cached_property
    def nodes(self) -> Floats:
        """Node distances of pairs in Å, shape (B, M)."""
        return np.array([chebyshev_nodes(self.n_nodes, low, self.r_cut) for low in self.r_lo])

    @cached_property
    def quantities(self) -> tuple[str, ...]:
        """Quantities that have training labels and a scale."""
        return tuple(q for q in QUANTITIES if self._scales(q))

    def _scales(self, quantity: str) -> dict[Cell, float]:
        """Factor of the rows of each training cell in the loss."""
        sigma = self.loss.sigma(quantity)
        chosen = [c for c in self.cells if c[0] == quantity and c[2] == "train"] if sigma else []
        weight = {cell: float(self.group_weights.get(cell[1], 1.0)) for cell in chosen}
        total = sum(weight[cell] * self.counts[cell] for cell in chosen)
        return {c: np.sqrt(weight[c] / total) / sigma for c in chosen if weight[c] > 0}

    @property
    def n_labels(self) -> int:
        """Number of training labels that the loss counts."""
        return sum(self.counts[cell] for q in self.quantities for cell in self._scales(q))

    @cached_property
    def block_triangles(self) -> list[Floats]:
        """Weighted training matrix of each bootstrap block."""
        parts: dict[int, list[Floats]] = {}
        for quantity in self.quantities:
            for cell, scale in self._scales(quantity).items():
                parts.setdefault(cell[3], []).append(scale * self.cells[cell])
        return [triangle(parts[block], self.columns) for block in sorted(parts)]

    @cached_property
    def training(self) -> Problem:
        """The weighted least-squares problem of the training data."""
        return Problem.of(triangle(self.block_triangles, self.columns), self.n_e0)

    @cached_property
    def floor(self) -> Floor:
        """The lowest training error that smooth terms of all these kinds could reach."""
        return self.floors[1] if self.floors else lowest_error(self)

    @cached_property
    def pair_floor(self) -> Floor:
        """The same for pair terms alone."""
        return self.floors[0] if self.floors else lowest_error(self, with_triplets=False)

    def coordinates(self, pairs: Floats, triplets: Floats | None = None) -> Floats:
        """Coordinates of functions, shape (C,).

        Parameters
        ----------
        pairs
            Pair functions without f_c on the nodes in eV, shape (B, M).
        triplets
            The three-body function likewise, shape (K,); None when it is zero.
        """
        if self.triplets is None:
            return pairs.ravel()
        values = np.zeros(self.triplets.size) if triplets is None else triplets
        return np.concatenate([pairs.ravel(), self.triplets.coordinates(values)])

    def error(self, loss: float) -> float:
        """Error in tables: root of twice the loss per quantity, in units of the sigmas."""
        return float(np.sqrt(2.0 * max(loss, 0.0) / len(self.quantities)))

    def loss_of(self, error: float) -> float:
        """The loss of an error as in tables."""
        return 0.5 * len(self.quantities) * error**2

    def rmse(self, e0: Floats, coordinates: Floats) -> dict[str, dict[str, dict[str, float]]]:
        """Root mean squared errors, by split, quantity and group ("all" for all groups).

        Parameters
        ----------
        e0
            Fitted energies of free atoms in eV, shape (n_e0,).
        coordinates
            Of all terms, shape (C,).
        """
        vector = np.concatenate([e0, coordinates, [-1.0]])
        squares: dict[tuple[str, str, str], list[tuple[float, int]]] = {}
        for (quantity, group, split, block), matrix in self.cells.items():
            residual = matrix @ vector
            entry = (float(residual @ residual), self.counts[quantity, group, split, block])
            for name in {group, "all"}:
                squares.setdefault((split, quantity, name), []).append(entry)
        result: dict[str, dict[str, dict[str, float]]] = {}
        for (split, quantity, name), entries in sorted(squares.items()):
            total, count = (sum(column) for column in zip(*entries, strict=True))
            by_quantity = result.setdefault(split, {}).setdefault(quantity, {})
            by_quantity[name] = float(np.sqrt(total / count))
        return result

    def save(self, path: Path, key: str = "") -> None:
        """Write to an npz file, all of it or nothing; ``key`` tells what it was made from.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        header: dict[str, Any] = {
            "format": _FORMAT,
            "key": key,
            "species": self.species,
            "keys": self.pair_keys,
            "r_cut": self.r_cut,
            "r0": self.r0,
            "n_nodes": self.n_nodes,
            "fixed_e0": self.fixed_e0,
            "loss": asdict(self.loss),
            "group_weights": dict(self.group_weights),
            "cells": list(self.cells),
            "counts": [self.counts[cell] for cell in self.cells],
            "many_body": self.many_body,
        }
        arrays = {f"cell{n}": matrix for n, matrix in enumerate(self.cells.values())}
        if self.triplets is not None and self.triplets.basis is not None:
            grid = self.triplets
            names = "r_lo", "r_cut", "n_radial", "n_angular"
            header["triplets"] = {name: getattr(grid, name) for name in names}
            header["floors"] = [asdict(self.pair_floor), asdict(self.floor)]
            arrays["triplet_basis"] = self.triplets.basis
        arrays |= {"header": np.array(json.dumps(header)), "r_lo": self.r_lo}
        write_arrays(path, arrays)

    @staticmethod
    def load(path: Path, key: str | None = None) -> Design:
        """Read what ``save`` wrote.

        Raises
        ------
        ValueError, OSError
            If the file is damaged, of another format, or not made from ``key``.
        """
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            header = json.loads(str(file["header"]))
            if header["format"] != _FORMAT:
                raise ValueError(f"{path} has format {header['format']}, not {_FORMAT}")
            if key is not None and header["key"] != key:
                raise ValueError(f"{path} was made from other data or settings")
            cells = [(str(q), str(g), str(s), int(b)) for q, g, s, b in header["cells"]]
            grid = header.get("triplets")
            return Design(
                species=tuple(header["species"]),
                pair_keys=tuple((kind, tuple(pair)) for kind, pair in header["keys"]),
                r_lo=file["r_lo"],
                r_cut=header["r_cut"],
                r0=header["r0"],
                n_nodes=header["n_nodes"],
                fixed_e0=header["fixed_e0"],
                loss=LossSettings(**header["loss"]),
                group_weights=header["group_weights"],
                cells={cell: file[f"cell{n}"] for n, cell in enumerate(cells)},
                counts=dict(zip(cells, header["counts"], strict=True)),
                many_body=header["many_body"],
                triplets=TripletGrid(**grid, basis=file["triplet_basis"]) if grid else None,
                floors=tuple(Floor(**floor) for floor in header["floors"]) if grid else None,
            )


@dataclass(frozen=True, eq=False)
class Problem:
    """Weighted least squares with the atomic energies eliminated.

    For coordinates v the loss is (|matrix v - target|^2 + rest) / 2.
    """

    matrix: Floats
    """Upper triangular, shape (C, C)."""
    target: Floats
    """Shape (C,)."""
    rest: float
    """Squared part of the labels that no coordinates reach."""
    e0_rows: Floats
    """The rows that determine the atomic energies, shape (rank, n_e0 + C + 1).

    The rank is below n_e0 where compositions leave a combination of them open.
    """

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
        return Problem(
            np.ascontiguousarray(lower[:-1, :-1]),
            np.ascontiguousarray(lower[:-1, -1]),
            float(lower[-1, -1] ** 2),
            upper,
        )

    def e0(self, coordinates: Floats) -> Floats:
        """Atomic energies in eV that fit best beside the coordinates (C,); shape (n_e0,)."""
        n = self.e0_rows.shape[1] - coordinates.size - 1
        right = self.e0_rows[:, -1] - self.e0_rows[:, n:-1] @ coordinates
        return np.asarray(np.linalg.lstsq(self.e0_rows[:, :n], right, rcond=1e-10)[0])


@dataclass(frozen=True)
class Floor:
    """The best that any smooth term of the searched kinds can do on the training data."""

    error: float
    """Lowest error, as in tables."""
    error_coarser: float
    """The same with three quarters of the nodes: how far the grid has converged."""
    rmse: Mapping[str, Any]
    """Errors of that solution by split, quantity and group: a guide, not a bound."""
    n_nodes: int
    """Nodes per block."""


def lowest_error(design: Design, with_triplets: bool = True) -> Floor:
    """The floor by one solve in Chebyshev coefficients, and by another with fewer of them."""
    problem = design.training
    n_pairs, m = design.n_pair_values, design.n_nodes
    polynomials = np.kron(np.eye(len(design.pair_keys)), np.linalg.inv(chebyshev_coefficients(m)))
    degree = np.tile(np.arange(m), len(design.pair_keys))
    pairs = problem.matrix[:, :n_pairs] @ polynomials
    triplets = coarser = np.empty((problem.target.size, 0))
    if with_triplets and design.triplets is not None:
        triplets = problem.matrix[:, n_pairs:]
        coarser = triplets @ design.triplets.coordinates(design.triplets.lower_degrees)
    _, loss_coarser = solve(problem, np.hstack([pairs[:, degree < 3 * m // 4], coarser]))
    solution, loss = solve(problem, np.hstack([pairs, triplets]))
    coordinates = np.zeros(problem.target.size)
    coordinates[:n_pairs] = polynomials @ solution[:n_pairs]
    coordinates[n_pairs : n_pairs + triplets.shape[1]] = solution[n_pairs:]
    return Floor(
        error=design.error(loss),
        error_coarser=design.error(loss_coarser),
        rmse=design.rmse(problem.e0(coordinates), coordinates),
        n_nodes=m,
    )


def solve(problem: Problem, columns: Floats) -> tuple[Floats, float]:
    """Least squares with columns of any scale; solution and loss."""
    scale = np.linalg.norm(columns, axis=0)
    scale[scale == 0] = 1.0
    try:
        found = np.linalg.lstsq(columns / scale, problem.target, rcond=1e-13)[0]
    except np.linalg.LinAlgError:
        # Divide and conquer fails on some matrices that nothing is wrong with.
        found = scipy.linalg.lstsq(
            columns / scale, problem.target, cond=1e-13, lapack_driver="gelsy"
        )[0]
    solution = found / scale
    gap = columns @ solution - problem.target
    return solution, 0.5 * (float(gap @ gap) + problem.rest)
