"""Formulas that an evolution starts from: known forms, the front of another run."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from symreg.config import Settings, TermSettings
from symreg.fit.programs.batch import CodedTerm
from symreg.runs import open_run
from symreg.runs.pipeline.preparation import Prepared
from symreg.searching.individuals import coded_terms_of, complexity, n_fitted
from symreg.searching.variation.limits import n_sums
from symreg.terms import Key


def check(settings: Settings) -> None:
    """See that the run whose front a run file names is there and has one; else a ValueError."""
    if not settings.search.seeds_from:
        return
    try:
        run = open_run(settings.base / settings.search.seeds_from)
    except FileNotFoundError as error:
        said = f"[search] seeds_from, a folder relative to the run file: {error}"
        raise ValueError(said) from None
    if not run.front:
        raise ValueError(f"[search] seeds_from: {run.folder} has no front")


def of_another_run(prepared: Prepared) -> list[tuple[CodedTerm, ...]]:
    """The front of another run that a run file names."""
    settings = prepared.settings
    if not settings.search.seeds_from:
        return []
    run = open_run(settings.base / settings.search.seeds_from)
    found = []
    for member in run.front:
        if not math.isclose(member.record.r0 or math.nan, prepared.lengths.r0, rel_tol=1e-9):
            raise ValueError(
                f"[search] seeds_from: the formulas of {run.folder} are in r/r0 with r0 = "
                f"{member.record.r0:.8g} Å, those of this run with "
                f"{prepared.lengths.r0:.8g} Å; set [terms] r0 = {member.record.r0!r}"
            )
        coded_terms = coded_terms_of(member.record.terms.terms, prepared.design.keys)
        if coded_terms and is_within(settings.terms, coded_terms, prepared.design.keys):
            found.append(coded_terms)
    return found


def is_within(
    terms: TermSettings, coded_terms: Sequence[CodedTerm], keys: Sequence[Key] = ()
) -> bool:
    """Whether a formula keeps to the limits of a run file; ``keys`` are those of the design."""
    pairs = max(sum(key.is_pair for key in keys), 1)
    few = terms.max_constants is None or n_fitted(coded_terms, keys) <= terms.max_constants
    sums = max((n_sums(coded.shape.root) for coded in coded_terms), default=0)
    short = complexity(coded_terms, keys) <= terms.complexity_for(pairs)
    return few and sums <= terms.max_sums and short


def of_known_forms(prepared: Prepared) -> list[tuple[CodedTerm, ...]]:
    """Known forms that a search may start from, with fitted constants."""
    if not prepared.settings.terms.library_seeds:
        return []
    found, general = [], prepared.settings.terms.three_body == "general"
    keys = prepared.design.keys
    for form, _, expression, loss in prepared.known:
        if form.is_seed and (general or form.is_separable):
            coded_terms = coded_terms_of(expression.terms, keys)
            if np.isfinite(loss) and is_within(prepared.settings.terms, coded_terms, keys):
                found.append(coded_terms)
    return found
