"""Records of what was measured: typed inside the package, plain data in files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Self

from symreg.typed import typed, values_of

UNITS = {"energy": "eV/atom", "forces": "eV/Å", "stress": "eV/Å³"}
"""Quantities that have labels, and the units of their errors."""
UNCERTAIN = 1.5
"""A floor that falls by more than this factor from a coarser to a finer grid is not known."""


class Record(Mapping[str, Any]):
    """Base of dataclasses written as their fields; notebooks may read ``record["rmse"]``."""

    keeps_none: ClassVar[bool] = False
    """Whether a field that is None is written as null; else it is left out."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        named = {name: getattr(self, name) for name in names_of(type(self))}
        kept = {name: v for name, v in named.items() if self.keeps_none or v is not None}
        return {name: _plain(value) for name, value in kept.items()}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Undo ``to_dict``; a ``ValueError`` names the entry that is missing or of a wrong kind."""
        return cls.from_data(record, "")

    @classmethod
    def from_data(cls, record: Any, key: str) -> Self:
        """Read what stands below a key of a file."""
        return cls(**values_of(cls, record, key))

    def __getitem__(self, name: str) -> Any:
        return self.to_dict()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.to_dict())

    def __len__(self) -> int:
        return len(self.to_dict())


def names_of(kind: type[Any]) -> list[str]:
    """Names of the fields of a dataclass."""
    return [one.name for one in fields(kind)]


def _plain(value: Any) -> Any:
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if type(value) in (list, tuple):
        return [_plain(part) for part in value]
    return value


@dataclass(frozen=True)
class Errors(Record):
    """Errors of one quantity over all its labels, in the unit that ``UNITS`` gives."""

    rmse: float
    """Root mean squared error; of forces and stresses, over components."""
    mae: float | None = None
    """Mean absolute error; None where it was not computed."""
    n: int | None = None
    """Number of labels; None where they were not counted."""
    label_rms: float | None = None
    """Root mean square of the labels, which is the RMSE of zero forces and of zero stress; of
    energies their spread about one energy per composition of the split. None where it is not known:
    in older files, or of energies if no composition occurs twice."""

    def is_worse_than_none(self, sigma: float) -> bool:
        """Whether predicting nothing would be better, by more than a sigma in squares."""
        return self.label_rms is not None and self.rmse > math.hypot(self.label_rms, sigma)


@dataclass(frozen=True)
class SplitErrors(Record):
    """Errors in one split, or in one group of it; None where there are no labels."""

    energy: Errors | None = None
    """In eV/atom."""
    forces: Errors | None = None
    """In eV/Å."""
    stress: Errors | None = None
    """In eV/Å³."""
    groups: Mapping[str, SplitErrors] | None = None
    """By group of structures; None where they are not told apart."""

    def of(self, quantity: str) -> Errors | None:
        """Errors of a quantity of ``UNITS``; None where it has no labels, or no number."""
        found: Errors | None = getattr(self, quantity)
        return None if found is None or math.isnan(found.rmse) else found

    def rmse_alone(self) -> SplitErrors:
        """RMSE of all structures beside their labels, as the front of a search under way has it."""
        known = self.by_quantity().items()
        return SplitErrors(**{q: Errors(one.rmse, label_rms=one.label_rms) for q, one in known})

    def beside(self, labels: SplitErrors | None) -> SplitErrors:
        """The errors with the root mean squares of labels that other errors of them carry."""
        if labels is None:
            return self
        known = {
            quantity: replace(found, label_rms=getattr(other, "label_rms", None))
            for quantity, found in self.by_quantity().items()
            for other in [getattr(labels, quantity)]
        }
        theirs = labels.groups or {}
        groups = self.groups and {
            name: part.beside(theirs.get(name)) for name, part in self.groups.items()
        }
        return replace(self, **known, groups=groups)

    def by_quantity(self) -> dict[str, Errors]:
        """All errors that are known, groups apart."""
        found = {quantity: self.of(quantity) for quantity in UNITS}
        return {quantity: errors for quantity, errors in found.items() if errors is not None}


def labelled(splits: Iterable[SplitErrors]) -> dict[str, str]:
    """Quantities that have errors in some split, with their units."""
    every = list(splits)
    return {q: unit for q, unit in UNITS.items() if any(errors.of(q) for errors in every)}


ALL = "all"
"""Stands for all groups where errors are told by group."""


def by_split(found: Mapping[tuple[str, str, str], Errors]) -> dict[str, SplitErrors]:
    """Arrange errors by (split, quantity, group); the group ``ALL`` must be among them."""
    table: dict[str, dict[str, dict[str, Errors]]] = {}
    for (split, quantity, group), errors in found.items():
        table.setdefault(split, {}).setdefault(group, {})[quantity] = errors
    return {
        split: SplitErrors(
            **groups[ALL],
            groups={name: SplitErrors(**part) for name, part in groups.items() if name != ALL},
        )
        for split, groups in table.items()
    }


def rmse_table(errors: Mapping[str, SplitErrors]) -> dict[str, Any]:
    """RMSE by split, quantity and group, ``ALL`` among them, as files of floors have it."""
    table: dict[str, Any] = {}
    for split, every in errors.items():
        for group, part in sorted({ALL: every, **(every.groups or {})}.items()):
            for quantity, found in part.by_quantity().items():
                table.setdefault(split, {}).setdefault(quantity, {})[group] = found.rmse
    return table


_Table = Mapping[str, Mapping[str, float]]
"""RMSE by quantity and group."""


@dataclass(frozen=True)
class _Lowest(Record):
    error: float
    """Lowest error, as in tables; NaN where it is not known."""
    rmse: Mapping[str, SplitErrors] = field(default_factory=dict)
    """Errors of that solution by split, RMSE alone: a guide, not a bound."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**super().to_dict(), "rmse": rmse_table(self.rmse)}

    @classmethod
    def from_data(cls, record: Any, key: str) -> Self:
        """Read what stands below a key of a file, where errors are a table."""
        written = typed(dict[str, Any], record, key)
        name = f"{key}.rmse" if key else "rmse"
        table = typed(dict[str, _Table], written.get("rmse") or {}, name)
        for split, quantities in table.items():
            if quantities and not any(ALL in groups for groups in quantities.values()):
                raise ValueError(f"{name}.{split} has no errors of the group '{ALL}'")
        found = {
            (split, quantity, group): Errors(rmse)
            for split, quantities in table.items()
            for quantity in UNITS
            for group, rmse in quantities.get(quantity, {}).items()
        }
        return cls(**values_of(cls, {**written, "rmse": {}}, key) | {"rmse": by_split(found)})


@dataclass(frozen=True)
class Floor(_Lowest):
    """The best that any smooth term of the searched kinds can do on the training data."""

    error_coarser: float = math.nan
    """Lowest error with three quarters of the nodes: how far the grid has converged."""
    n_nodes: int | None = None
    """Nodes of each grid of pairs."""

    @property
    def is_uncertain(self) -> bool:
        """Whether it falls by more than ``UNCERTAIN`` from a coarser to a finer grid."""
        return self.error_coarser > UNCERTAIN * self.error


@dataclass(frozen=True)
class ProductFloor(_Lowest):
    """The best that smooth pair terms and a few separable products can do on the training data.

    Of several local minima the lowest is taken, so it is an upper bound.
    """

    products: int = 0
    """How many."""
