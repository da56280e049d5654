"""Whether settings agree with the data that they are for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from symreg.config import Settings
from symreg.fit.design import Design
from symreg.structures import DataReport, Structures
from symreg.structures.neighbours import closest_distances
from symreg.terms import Key
from symreg.terms.lengths import Lengths

MOST_LISTED = 2
"""Terms of a form in the exhaustive mode."""


def check_design(settings: Settings, design: Design) -> None:
    """Refuse cutoffs of keys that there are not, and to list forms that leave pairs without one."""
    for text in settings.terms.cutoff_functions:
        if Key.read(text) not in design.keys:
            raise ValueError(
                f"[terms.cutoffs] {text}: no training structure has such atoms within that "
                "distance, so there are no terms of theirs; leave it out, or make it larger"
            )
    for template in settings.terms.term_templates:
        if template.key not in design.keys:
            there = ", ".join(map(str, design.keys))
            raise ValueError(
                f"[terms.templates] {template.key}: no terms of it evolve, since training "
                "lacks such atoms within the cutoff or [terms] frozen describes them; there are "
                f"{there}"
            )
    pairs = [str(key) for key in design.pair_keys]
    if settings.search.mode == "exhaustive" and len(pairs) > MOST_LISTED:
        raise ValueError(
            f'[search] mode is "exhaustive", whose forms have at most {MOST_LISTED} terms, but '
            f'{", ".join(pairs)} need one each: set mode = "evolution", or name potentials of the '
            "elements in [terms] frozen, so that fewer pairs are left"
        )


def check_cutoffs(train: Structures, lengths: Lengths) -> None:
    """Refuse cutoffs of pairs and triplets that training lacks, before it is projected."""
    found = closest_distances(train, lengths.reach) if lengths.cutoffs else {}
    closest = {Key.of(*pair): distance for pair, distance in found.items()}
    for text, cutoff in lengths.cutoffs.items():
        centre, *near = Key.read(text).species
        for symbol in (centre, *near):
            if symbol not in train.species:
                raise ValueError(
                    f"[terms.cutoffs] {text}: the data hold no {symbol}; there are "
                    f"{', '.join(train.species)}"
                )
        for other in near:
            shortest = closest.get(Key.of(centre, other), np.inf)
            if not shortest < cutoff.r_cut:
                where = (
                    f"they come within {shortest:.4g} Å"
                    if np.isfinite(shortest)
                    else f"none are within {lengths.reach:g} Å"
                )
                raise ValueError(
                    f"[terms.cutoffs] {text} = {cutoff.r_cut:g}: of {centre} and {other} in "
                    f"training {where}; make it larger, or leave it out"
                )


def fixed_energies(
    settings: Settings, report: DataReport, frozen: Mapping[str, float]
) -> dict[str, float] | None:
    """Energies of free atoms in eV that are not fitted; those of frozen terms come first."""
    choice = settings.terms.e0
    if choice == "fit":
        return dict(frozen) or None
    known = {**(report.isolated_atoms if isinstance(choice, str) else choice), **frozen}
    for name in report.species:
        if known.get(name) is None and isinstance(choice, str):
            raise ValueError(
                f'[terms] e0 is "isolated", but the data hold no isolated atom of {name}; '
                f'add one, or set e0 = "fit" or e0 = {{ {name} = ... }}'
            )
        if known.get(name) is None:
            raise ValueError(f"[terms] e0 has no value for {name}, which the data contain")
    return {name: float(known[name] or 0.0) for name in report.species}
