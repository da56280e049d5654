"""What an evolution starts from: known forms, the front of another run."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from symreg.config import Settings, TermSettings
from symreg.runs import open_run
from symreg.runs.pipeline.preparation import Prepared, best_fit
from symreg.searching.individuals import Gene, complexity, genes_of, n_fitted
from symreg.terms import Expression
from symreg.terms.known import terms_of_form


def check(settings: Settings) -> None:
    """See that the run is there whose front a run file names.

    Raises
    ------
    ValueError
        If it is not, or has no front.
    """
    name = settings.search.seeds_from
    if not name:
        return
    try:
        run = open_run(settings.base / name)
    except FileNotFoundError as error:
        raise ValueError(
            f"[search] seeds_from, a folder relative to the run file: {error}"
        ) from None
    if not run.front:
        raise ValueError(f"[search] seeds_from: {run.folder} has no front")


def of_another_run(prepared: Prepared) -> list[tuple[Gene, ...]]:
    """The front of another run that a run file names."""
    settings = prepared.settings
    if not settings.search.seeds_from:
        return []
    run = open_run(settings.base / settings.search.seeds_from)
    found = []
    for member in run.front:
        if not math.isclose(member.record["r0"], prepared.r0, rel_tol=1e-9):
            raise ValueError(
                f"[search] seeds_from: the formulas of {run.folder} are in r/r0 with r0 = "
                f"{member.record['r0']:.8g} Å, those of this run with {prepared.r0:.8g} Å; set "
                f"[terms] r0 = {member.record['r0']!r}"
            )
        expression = Expression.from_dict(member.record["terms"])
        if genes := genes_of(expression.terms, prepared.design.keys):
            found.append(genes)
    return [genes for genes in found if is_within(settings.terms, genes)]


def is_within(terms: TermSettings, genes: Sequence[Gene]) -> bool:
    """Whether a formula keeps to the limits of a run file."""
    most = terms.max_constants
    few = most is None or n_fitted(genes) <= most
    return few and complexity(genes) <= terms.max_complexity


def of_known_forms(prepared: Prepared) -> list[tuple[Gene, ...]]:
    """Known forms that a search may start from, with fitted constants."""
    if not prepared.settings.terms.library_seeds:
        return []
    found, general = [], prepared.settings.terms.three_body == "general"
    for form in prepared.forms:
        if form.is_seed and (general or form.is_separable):
            expression, loss = best_fit(prepared, terms_of_form(form, prepared.design.keys))
            genes = genes_of(expression.terms, prepared.design.keys)
            if np.isfinite(loss) and is_within(prepared.settings.terms, genes):
                found.append(genes)
    return found
