"""The projected design of a data set, its least-squares problem, its errors and its floor."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symreg.files import write_arrays
from symreg.loss import LossSettings
from symreg.projection.grid import chebyshev_coefficients, chebyshev_nodes
from symreg.structures import QUANTITIES

Floats = NDArray[np.float64]
Cell = tuple[str, str, str, int]
"""What one triangular matrix covers: quantity, group, split, bootstrap block."""

_FORMAT = 1
_SINGULAR = 1e-10
"""Singular values of the e0 columns below this part of the largest count as zero."""


def triangle(matrices: Sequence[Floats], columns: int) -> Floats:
    """Square upper triangular matrix R with R^T R equal to the sum of the M^T M."""
    stacked = np.vstack([np.zeros((columns, columns)), *matrices])
    return np.asarray(np.linalg.qr(stacked, mode="r"))


@dataclass(frozen=True, eq=False)
class Design:
    """A data set as triangular matrices; columns are e0 of each species, node values, target.

    The columns of node values are grouped in blocks of M, one block for each pair of species.
    """

    species: tuple[str, ...]
    """Chemical symbols."""
    keys: tuple[tuple[str, tuple[str, ...]], ...]
    """Kind and species of each block, B of them."""
    r_lo: Floats
    """Beginning of the grid of each block in Å, shape (B,)."""
    r_cut: float
    """End of every grid in Å."""
    r0: float
    """Unit of reduced distance in Å."""
    n_nodes: int
    """Nodes per block, M."""
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

    n_three_body: int = 0
    """Columns of three-body coefficients behind the node values; for the floor only."""

    @property
    def n_e0(self) -> int:
        """Number of fitted atomic energies."""
        return 0 if self.fixed_e0 is not None else len(self.species)

    @property
    def columns(self) -> int:
        """Columns of every matrix, the target included."""
        return self.n_e0 + len(self.keys) * self.n_nodes + self.n_three_body + 1

    @cached_property
    def nodes(self) -> Floats:
        """Node distances in Å, shape (B, M)."""
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
        """The lowest training error that any smooth pair terms could reach."""
        return _floor(self)

    def error(self, loss: float) -> float:
        """Error in tables: root of twice the loss per quantity, in units of the sigmas."""
        return float(np.sqrt(2.0 * max(loss, 0.0) / len(self.quantities)))

    def rmse(self, e0: Floats, values: Floats) -> dict[str, dict[str, dict[str, float]]]:
        """Root mean squared errors, by split, quantity and group ("all" for all groups).

        Parameters
        ----------
        e0
            Fitted energies of free atoms in eV, shape (n_e0,).
        values
            The pair functions without f_c on the nodes in eV, shape (B, M).
        """
        vector = np.concatenate([e0, values.ravel(), [-1.0]])
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
        header = {
            "format": _FORMAT,
            "key": key,
            "species": self.species,
            "keys": self.keys,
            "r_cut": self.r_cut,
            "r0": self.r0,
            "n_nodes": self.n_nodes,
            "fixed_e0": self.fixed_e0,
            "loss": asdict(self.loss),
            "group_weights": dict(self.group_weights),
            "cells": list(self.cells),
            "counts": [self.counts[cell] for cell in self.cells],
        }
        cells = {f"cell{n}": matrix for n, matrix in enumerate(self.cells.values())}
        header_text = np.array(json.dumps(header))
        write_arrays(path, {"header": header_text, "r_lo": self.r_lo, **cells})

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
            return Design(
                species=tuple(header["species"]),
                keys=tuple((kind, tuple(pair)) for kind, pair in header["keys"]),
                r_lo=file["r_lo"],
                r_cut=header["r_cut"],
                r0=header["r0"],
                n_nodes=header["n_nodes"],
                fixed_e0=header["fixed_e0"],
                loss=LossSettings(**header["loss"]),
                group_weights=header["group_weights"],
                cells={cell: file[f"cell{n}"] for n, cell in enumerate(cells)},
                counts=dict(zip(cells, header["counts"], strict=True)),
            )


@dataclass(frozen=True, eq=False)
class Problem:
    """Weighted least squares with the atomic energies eliminated.

    For node values v the loss is (|matrix v - target|^2 + rest) / 2.
    """

    matrix: Floats
    """Upper triangular, shape (B M, B M)."""
    target: Floats
    """Shape (B M,)."""
    rest: float
    """Squared part of the labels that no node values reach."""
    e0_rows: Floats
    """The rows that determine the atomic energies, shape (rank, n_e0 + B M + 1).

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

    def e0(self, values: Floats) -> Floats:
        """Atomic energies in eV that fit best beside the node values (B, M); shape (n_e0,)."""
        n = self.e0_rows.shape[1] - values.size - 1
        right = self.e0_rows[:, -1] - self.e0_rows[:, n:-1] @ values.ravel()
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


def _floor(design: Design) -> Floor:
    problem = design.training
    coefficients = chebyshev_coefficients(design.n_nodes)
    blocks = np.kron(np.eye(len(design.keys)), np.linalg.inv(coefficients))
    basis = problem.matrix @ blocks
    scale = np.linalg.norm(basis, axis=0)
    scale[scale == 0] = 1.0

    def solve(kept: NDArray[np.bool_]) -> tuple[Floats, float]:
        solution, *_ = np.linalg.lstsq(basis[:, kept] / scale[kept], problem.target, rcond=1e-13)
        all_of_them = np.zeros(kept.size)
        all_of_them[kept] = solution / scale[kept]
        gap = basis @ all_of_them - problem.target
        return all_of_them, 0.5 * (float(gap @ gap) + problem.rest)

    degree = np.tile(np.arange(design.n_nodes), len(design.keys))
    _, coarser = solve(degree < 3 * design.n_nodes // 4)
    solution, loss = solve(degree >= 0)
    values = (blocks @ solution).reshape(len(design.keys), -1)
    return Floor(
        error=design.error(loss),
        error_coarser=design.error(coarser),
        rmse=design.rmse(problem.e0(values), values),
        n_nodes=design.n_nodes,
    )
