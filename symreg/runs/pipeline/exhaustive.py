"""The exhaustive mode: every form up to a complexity is fitted, none is left to luck."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from symreg.config import Settings
from symreg.runs.pipeline.preparation import Prepared
from symreg.runs.pipeline.stopping import Tell
from symreg.searching.exhaustive import (
    Exhaustive,
    Forms,
    Tally,
    list_forms,
    load_forms,
    save_forms,
)
from symreg.searching.exhaustive.search import ROUND
from symreg.searching.islands import State
from symreg.searching.tasks import Source
from symreg.terms.kinds import TRIPLETS
from symreg.workers.executors import Crew, Preload

TERM_COMPLEXITY = 11
"""Largest complexity of a pair term, weight included; there are millions of larger ones."""
FEW = 1000
"""With fewer three-body forms than this the search says what it lacks."""


def forms_of(prepared: Prepared, file: Path) -> Forms:
    """All forms that a run file asks for, listed once and kept in a file for workers."""
    keys = prepared.design.keys
    search = prepared.settings.search
    pair_limit = limit = search.exhaustive_complexity
    if prepared.design.triplets is not None:
        limit = max(limit, search.exhaustive_complexity_three_body or limit + 4)
    try:
        forms = load_forms(file, keys)
        if (forms.limit, forms.pair_limit) == (limit, pair_limit):
            return forms
    except Exception:  # in a damaged archive zipfile and numpy raise whatever they stumble upon
        pass
    forms = list_forms(keys, limit, min(pair_limit, TERM_COMPLEXITY), pair_limit)
    save_forms(file, forms)
    return forms


@dataclass
class Exhaustion:
    """Every form up to a complexity is fitted, none is left to luck."""

    settings: Settings
    file: Path
    """Where the list of forms is kept for workers."""
    n_forms: int = 0
    """Number of forms to examine, known once the search has begun."""
    end: ClassVar[str] = "all are fitted"
    """Its end of itself, in words."""
    generations: ClassVar[int] = 0
    """Generations of an epoch: there are none."""
    counts_earlier: ClassVar[bool] = False
    """There is an end to be reached, and minutes are those since the search went on."""

    def plan(self) -> str:
        """Say up to which complexity forms are fitted."""
        return f"all forms up to complexity {self.settings.search.exhaustive_complexity}"

    def preload(self, source: Source) -> Preload:  # noqa: ARG002
        """Work of every worker before its first task: none."""
        return tuple

    def states(
        self, prepared: Prepared, crew: Crew | None, source: Source, state: State | None, tell: Tell
    ) -> Iterator[State]:
        """Yield the state after every round of chunks, until all forms are examined.

        Its population holds the best forms of each complexity, as first fitted.
        """
        forms, file = forms_of(prepared, self.file), str(self.file)
        self.n_forms = sum(forms.counts.values())
        tell(in_words(forms))
        fitter, gate = prepared.fitter, prepared.gate
        search = Exhaustive(forms, fitter, None, gate, crew=crew, source=source, file=file)
        for found in search.search(Tally.from_arrays(state.populations[0]) if state else None):
            epoch, front = -(-found.chunks // ROUND), search.front(found)
            yield State(epoch, found.examined, (found.to_arrays(),), front, improved=epoch)
        tell(f"all {self.n_forms:,} forms were fitted; the front is exact over them")


def in_words(forms: Forms) -> str:
    """How many forms there are, and of which kind."""
    total, largest = sum(forms.counts.values()), min(forms.pair_limit, TERM_COMPLEXITY)
    pairs = total - forms.with_triplets
    text = (
        f"{total:,} forms: {pairs:,} of one or two pair terms up to complexity "
        f"{forms.pair_limit}, each term up to {largest}"
    )
    if any(key.over == TRIPLETS for key in forms.keys):
        text += (
            f"; {forms.with_triplets:,} of a pair and a separable three-body term up to "
            f"{forms.limit}"
        )
        if forms.with_triplets < FEW:
            text += ": raise [search] exhaustive_complexity_three_body for more"
    return text
