"""Nodes on which the functions of one key are known to the projected design."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from symreg.arrays import Floats
from symreg.fit.sums.base import Around
from symreg.language.tree import Tree
from symreg.terms.cutoff import Cutoff
from symreg.terms.lengths import Lengths
from symreg.terms.term import Key


@dataclass(frozen=True, eq=False)
class NodeGrid(ABC):
    """Nodes on which a function of one key is known, and what its K values there predict.

    All labels are linear in these values; a design may keep fewer combinations of them, its
    coordinates of this key.
    """

    key: Key
    r_lo: float
    """Beginning of the grid of each distance in Å; it ends at the cutoff."""
    cutoff: Cutoff
    is_condensed: ClassVar[bool] = False
    """Whether a design keeps only what the data feel of it, see ``felt``."""

    @classmethod
    @abstractmethod
    def every(
        cls, keys: Collection[Key], lengths: Lengths, n_nodes: int | None = None
    ) -> list[NodeGrid]:
        """The grids of those keys that are of this kind, in order.

        Pairs may be told their number of nodes.
        """

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of node values, K."""

    @property
    def columns(self) -> int:
        """Coordinates that a design has of them."""
        return self.size

    @abstractmethod
    def contributions(self, around: Around, species: Sequence[int]) -> tuple[Floats, ...]:
        """Energy (K,), forces (n, 3, K) and virial (6, K) of one structure by columns.

        Columns may be those of other functions than the nodes'; ``to_node_values`` changes that.
        """

    def to_node_values(self, matrix: Floats) -> Floats:
        """Columns of node values from columns of ``contributions``, shape (R, K)."""
        return matrix

    def felt(self, rows: Floats) -> tuple[NodeGrid, Floats]:
        """The grid with fewer coordinates, and the map to them from node values (K, columns).

        ``rows`` are weighted ones of all labels, or their triangular matrix, shape (R, K).
        """
        return self, np.eye(rows.shape[1])

    @property
    def turn(self) -> Floats:
        """The map from columns of node values to coordinates, shape (K, columns)."""
        return np.eye(self.size)

    def coordinates(self, values: Floats) -> Floats:
        """Coordinates of node values, shape (columns,)."""
        return values

    @abstractmethod
    def basis(self, coarser: bool) -> Floats:
        """Coordinates of smooth functions that span all, or a coarser space, (columns, n)."""

    @property
    def smooth(self) -> Floats:
        """Node values of functions whose combinations have coefficients of like size if smooth."""
        return np.eye(self.size)

    @abstractmethod
    def values(self, tree: Tree, r0: float) -> Floats:
        """Values of a function on the nodes, shape (K,)."""

    def to_arrays(self) -> tuple[dict[str, Any], dict[str, Floats]]:
        """Plain data and arrays, from which ``from_arrays`` makes an equal grid."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values |= {"key": str(self.key), "cutoff": self.cutoff.to_dict()}
        arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
        return {name: value for name, value in values.items() if name not in arrays}, arrays

    @classmethod
    def from_arrays(cls, record: Mapping[str, Any], arrays: Mapping[str, Floats]) -> NodeGrid:
        """Undo ``to_arrays``."""
        own = {f.name: record[f.name] for f in fields(cls) if f.name in record}
        key, cutoff = Key.read(record["key"]), Cutoff.from_dict(record["cutoff"])
        return cls(**{**own, "key": key, "cutoff": cutoff, **arrays})
