"""The registry of kinds of sums: what each sums over, and who computes it in either half.

A kind is known by its name, the ``over`` of a sum. What it takes to add one is a class for
discovery, a class for delivery, and one call of ``register``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pkgutil import resolve_name
from typing import Any

from symreg.language.canonical import NOT_LINEAR
from symreg.language.operators import FUNCTIONS

PAIRS, TRIPLETS = "pairs", "triplets"
"""Names of the kinds that come with symreg."""
VARIABLES = ("x", "x1", "x2", "c")
"""Variables of what is summed: one distance, or two and the cosine between them."""
FUNCTION = "function"
"""Stands for the kind of a function of sums: it is over nothing itself."""


@dataclass(frozen=True)
class Kind:
    """One kind of sum."""

    over: str
    """Its name."""
    variables: tuple[str, ...]
    """Variables of the function that is summed."""
    neighbours: int
    """Neighbours of the centre in each addend."""
    discovery: type[Any] | str
    """Class that computes it in fits, or ``module:class``; see ``symreg.fit.sums``."""
    delivery: type[Any] | str
    """Class that computes it in formulas, or ``module:class``; see ``symreg.formula.sums``."""
    function: str = ""
    """How functions of sums call it; by its name unless given."""
    directed: bool = False
    """Whether the centre is told from its neighbours where the sum stands alone."""
    linear: bool = True
    """Whether a factor of the function that is summed is one of the sum."""
    adjective: str = ""
    """How users call its terms, as in ``pair terms``; by its name unless given."""

    @property
    def name(self) -> str:
        """How functions of sums call it."""
        return self.function or self.over

    @property
    def is_pair(self) -> bool:
        """Whether it is over the neighbours alone, and carries the wall where it stands alone."""
        return self.over == PAIRS

    @cached_property
    def discoverer(self) -> type[Any]:
        """The class for discovery."""
        return _found(self.discovery)

    @cached_property
    def deliverer(self) -> type[Any]:
        """The class for delivery."""
        return _found(self.delivery)


def _found(place: type[Any] | str) -> type[Any]:
    found: type[Any] = resolve_name(place) if isinstance(place, str) else place
    return found


_KINDS: dict[str, Kind] = {}


def register(kind: Kind) -> None:
    """Make a kind known; a ``ValueError`` if its name is taken or no word, or variables unknown."""
    if kind.over in _KINDS:
        raise ValueError(f"there is a kind of sum '{kind.over}' already")
    for name in {kind.over, kind.name}:
        if not re.fullmatch("[a-z]+", name) or name in (*FUNCTIONS, FUNCTION):
            raise ValueError(f"a kind of sum is called '{name}'; it must be a new word of a to z")
    if unknown := set(kind.variables) - set(VARIABLES):
        raise ValueError(
            f"a sum over {kind.over} is of a function of {', '.join(sorted(unknown))}; variables "
            f"are {', '.join(VARIABLES)}"
        )
    if not kind.linear:
        NOT_LINEAR.add(kind.over)
    _KINDS[kind.over] = kind


def unregister(over: str) -> None:
    """Forget a kind of sum; see ``kind_of`` for those that are not known."""
    del _KINDS[kind_of(over).over]
    NOT_LINEAR.discard(over)


def kind_of(over: str) -> Kind:
    """The kind of a name; a ``ValueError`` if there is none."""
    if over not in _KINDS:
        raise ValueError(f"there is no kind of sum '{over}'; there are {', '.join(_KINDS)}")
    return _KINDS[over]


def adjective_of(over: str) -> str:
    """How users call terms of a kind, as in ``pair terms``; those of functions of sums too."""
    if over == FUNCTION:
        return "many-body"
    return kind_of(over).adjective or over


def kinds() -> tuple[Kind, ...]:
    """All kinds, as they were registered."""
    return tuple(_KINDS.values())


def summed(name: str, variables: set[str]) -> Kind:
    """The kind that functions of sums call by a name and variables; a ``ValueError`` if none."""
    called = [kind for kind in _KINDS.values() if kind.name == name]
    if not called:
        known = ", ".join(dict.fromkeys(kind.name for kind in _KINDS.values()))
        raise ValueError(f"{name} is neither a function nor a sum; sums are {known}")
    fitting = [kind for kind in called if variables <= set(kind.variables)]
    if not fitting:
        choices = " or ".join(", ".join(kind.variables) for kind in called)
        others = ", ".join(sorted(variables))
        raise ValueError(f"{name} is of a function of {choices}, not of {others}")
    return fitting[0]


_PAIR = "symreg.fit.sums.pairs:PairKind", "symreg.formula.sums.pairs:PairSum"
_TRIPLET = "symreg.fit.sums.triplets:TripletKind", "symreg.formula.sums.triplets:TripletSum"
register(Kind(PAIRS, ("x",), 1, *_PAIR, "sum", adjective="pair"))
register(Kind(TRIPLETS, VARIABLES[1:], 2, *_TRIPLET, "sum", directed=True, adjective="three-body"))
