"""The exhaustive mode: every form up to a complexity is fitted, none is left to luck."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from symreg.runs.pipeline.preparation import Prepared
from symreg.searching.exhaustive import (
    Exhaustive,
    Forms,
    Tally,
    list_forms,
    load_forms,
    save_forms,
)
from symreg.searching.exhaustive.search import ROUND
from symreg.searching.individuals import Key
from symreg.searching.islands import State
from symreg.searching.tasks import AnyCrew, Source

TERM_COMPLEXITY = 11
"""Largest complexity of a pair term, weight included; there are millions of larger ones."""
FEW = 1000
"""With fewer three-body forms than this the search says what it lacks."""


def forms_of(prepared: Prepared, file: Path) -> Forms:
    """All forms that a run file asks for, listed once and kept in a file for workers."""
    keys: tuple[Key, ...] = prepared.design.keys
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


def states(
    prepared: Prepared,
    forms: Forms,
    file: Path,
    crew: AnyCrew | None,
    source: Source,
    state: State | None,
) -> Iterator[State]:
    """The state after every round of chunks, until all forms are examined.

    Its population holds the best forms of each complexity, as first fitted.
    """
    search = Exhaustive(
        forms, prepared.fitter, None, prepared.gate, crew=crew, source=source, file=str(file)
    )
    before = Tally.from_arrays(state.populations[0]) if state else None
    for progress in search.search(before):
        epoch = -(-progress.chunks // ROUND)
        front = search.front(progress)
        yield State(epoch, progress.examined, (progress.to_arrays(),), front, improved=epoch)


def in_words(forms: Forms) -> str:
    """How many forms there are, and of which kind."""
    total, largest = sum(forms.counts.values()), min(forms.pair_limit, TERM_COMPLEXITY)
    pairs = total - forms.with_triplets
    text = (
        f"{total:,} forms: {pairs:,} of one or two pair terms up to complexity "
        f"{forms.pair_limit}, each term up to {largest}"
    )
    if any(kind == "three-body" for kind, _ in forms.keys):
        text += (
            f"; {forms.with_triplets:,} of a pair and a separable three-body term up to "
            f"{forms.limit}"
        )
        if forms.with_triplets < FEW:
            text += ": raise [search] exhaustive_complexity_three_body for more"
    return text
