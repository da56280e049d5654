"""Warnings of what settings and data cannot promise."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import combinations_with_replacement

import numpy as np

from symreg.fit.design import Design
from symreg.fit.design.build import is_within
from symreg.runs.pipeline.preparation import Prepared
from symreg.structures.lint import never_meet
from symreg.terms import Key


def cautions(prepared: Prepared) -> list[str]:
    """Warnings of what these settings cannot promise."""
    found, kind, edge = [], prepared.lengths.cutoff.kind, f"{prepared.lengths.cutoff.r_cut:g} Å"
    if kind == "none":
        found.append(f'cutoff = "none" truncates the formula: energies and forces jump at {edge}')
    if prepared.design.many_body and kind in ("poet", "cosine"):
        found.append(
            f'cutoff = "{kind}" has one continuous derivative: a root of a sum makes forces jump '
            f"at {edge}; septic does not"
        )
    found += _unknown_energies(prepared.design)
    found += _strangers(prepared)
    if missing := triplets_without(prepared.design, prepared.frozen.described):
        found.append(
            f"{', '.join(missing)}: no terms stand for these triplets, as training never shows "
            "them within the cutoffs of triplets and of the pairs at their centre"
        )
    return found


def _strangers(prepared: Prepared) -> list[str]:
    """Warn of pairs that never meet within their cutoffs, if reading the data has not done so."""
    pairs = strangers_in(prepared.design, prepared.frozen.described)
    if not pairs:
        return []
    own = prepared.settings.terms.cutoffs
    within = "their cutoffs" if own else f"{prepared.lengths.cutoff.r_cut:g} Å"
    said = never_meet(pairs, within)
    is_known = any(text.startswith(said.what) for text in prepared.report.warnings)
    return [] if is_known else [said.text]


def strangers_in(design: Design, described: Sequence[Collection[str]] = ()) -> list[str]:
    """Pairs of species of the data that have no key, as they never meet within the cutoff.

    Those within sets of species that other terms have ``described`` are none.
    """
    every = (Key.of(*pair) for pair in combinations_with_replacement(design.species, 2))
    unknown = (key for key in every if not is_within(key.species, described))
    return [str(key) for key in unknown if key not in design.pair_keys]


def triplets_without(design: Design, described: Sequence[Collection[str]] = ()) -> list[str]:
    """Triplets of species of the data that have no key, where others have one.

    Those within sets of species that other terms have ``described`` are left out.
    """
    known = {grid.key for grid in design.triplet_grids}
    if not known:
        return []
    near = list(combinations_with_replacement(design.species, 2))
    every = [Key.of(centre, *pair) for centre in design.species for pair in near]
    return [str(k) for k in every if k not in known and not is_within(k.species, described)]


def _unknown_energies(design: Design) -> list[str]:
    """Warn where compositions leave energies of free atoms open."""
    rows = design.training.e0_rows
    if not 0 < len(rows) < design.n_e0:  # with no row at all there are no energies
        return []
    fitted = [design.species[k] for k in design.fitted_e0]
    species, known = ", ".join(fitted), f"in {len(rows)} combinations alone"
    if len(rows) == 1:
        share = rows[0, : design.n_e0] / np.abs(rows[0, : design.n_e0]).min()
        one = zip(fitted, np.abs(share), strict=True)
        names = (f"{s}{'' if abs(n - 1) < 1e-6 else f'{n:.3g}'}" for s, n in one)
        known = f"as one sum, that of {''.join(names)}, alone"
    return [
        f"the compositions in training tell the energies of free {species} {known}: e0 of each is "
        "the least that fits, energies of other compositions and cohesive energies mean nothing. "
        'Add structures of other compositions, or isolated atoms and set e0 = "isolated"'
    ]
