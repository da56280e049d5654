"""The exhaustive mode: every form up to a complexity is fitted, none is left to luck."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from symreg.enumeration import Exhaustive, Forms, Progress, list_forms, load_forms, save_forms
from symreg.enumeration.search import ROUND
from symreg.executors import Crew
from symreg.individuals import Key
from symreg.islands import State
from symreg.pipeline.preparation import Prepared
from symreg.source import Source

TERM_COMPLEXITY = 11
"""Largest complexity of one term, weight included; there are millions of larger ones."""


def forms_of(prepared: Prepared, file: Path) -> Forms:
    """All forms that a run file asks for, listed once and kept in a file for workers."""
    keys: tuple[Key, ...] = prepared.design.keys
    limit = prepared.settings.search.exhaustive_complexity
    try:
        forms = load_forms(file, keys)
        if forms.limit == limit:
            return forms
    except Exception:  # in a damaged archive zipfile and numpy raise whatever they stumble upon
        pass
    forms = list_forms(keys, limit, min(limit, TERM_COMPLEXITY))
    save_forms(file, forms)
    return forms


def states(
    prepared: Prepared,
    forms: Forms,
    file: Path,
    crew: Crew | None,
    source: Source,
    state: State | None,
) -> Iterator[State]:
    """The state after every round of chunks, until all forms are examined.

    Its population holds the best forms of each complexity, as first fitted.
    """
    search = Exhaustive(
        forms, prepared.fitter, None, prepared.gate, crew=crew, source=source, file=str(file)
    )
    before = Progress.from_arrays(state.populations[0]) if state else None
    for progress in search.search(before):
        epoch = -(-progress.chunks // ROUND)
        front = search.front(progress)
        yield State(epoch, progress.examined, (progress.to_arrays(),), front, improved=epoch)


def in_words(forms: Forms) -> str:
    """How many forms there are, and of which kind."""
    kinds = " and ".join(dict.fromkeys(kind for kind, _ in forms.keys))
    least = min(forms.limit, TERM_COMPLEXITY)
    return (
        f"{sum(forms.counts.values()):,} forms of one or two {kinds} terms up to complexity "
        f"{forms.limit}, each term up to {least}"
    )
