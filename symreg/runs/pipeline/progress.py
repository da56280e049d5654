"""How far a search is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from symreg.searching.individuals import from_arrays, structure
from symreg.searching.islands import State
from symreg.searching.variation import OPERATORS

OnProgress = Callable[["Progress"], None]


@dataclass(frozen=True)
class Progress:
    """How far a search is."""

    epoch: int = 0
    generation: int = 0
    seconds: float = 0.0
    seconds_left: float | None = None
    """Until the limits of time or epochs, at this speed."""
    candidates: int = 0
    candidates_per_second: float = 0.0
    forms: int = 0
    """All that the exhaustive mode examines; 0 for an evolution."""
    workers: str = ""
    """Who computes, as in ``2 processes``."""
    diversity: float = 0.0
    """Distinct structures of formulas over individuals, of all islands together."""
    operators: Mapping[str, float] = field(default_factory=dict)
    """Part of what each operator made lately that was a gain."""
    lowest_error: float | None = None
    """Of all that was found; members of the front are those that are worth their complexity."""
    floor_error: float | None = None
    front: list[tuple[int, float, str]] = field(default_factory=list)
    """Complexity, error and formula, simplest first."""
    message: str = ""


def gains(state: State) -> dict[str, float]:
    """Part of what each operator made lately that was a gain, on all islands."""
    credits = [p["credit"] for p in state.populations if "credit" in p]
    if not credits:
        return {}
    tried, won = np.sum(credits, axis=0).T
    return dict(zip(OPERATORS, (won / np.maximum(tried, 1.0)).round(5).tolist(), strict=True))


def diversity(state: State) -> float:
    """Distinct structures of formulas over individuals, of all islands together."""
    individuals = [i for population in state.populations for i in from_arrays(population)]
    return len({structure(i.genes) for i in individuals}) / max(len(individuals), 1)
