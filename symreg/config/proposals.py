"""Kinds of terms that ``symreg init`` proposes for the elements of data."""

from __future__ import annotations

from collections.abc import Sequence

NOBLE = frozenset(("He", "Ne", "Ar", "Kr", "Xe", "Rn"))
NO_METALS = NOBLE | frozenset(
    "H B C N O F Si P S Cl Ge As Se Br Sb Te I At".split()  # noqa: SIM905 - read more easily
)
"""Elements whose bonds have angles, or that have none."""


def term_proposals(species: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Values of settings of ``[terms]`` as TOML, and reasons, for data of several elements.

    >>> term_proposals(["Hf", "O"])["three_body"][0], term_proposals(["Cu"])
    ('"separable"', {})
    """
    if len(species) < 2 or NOBLE.issuperset(species):
        return {}
    names = ", ".join(species)
    if not NO_METALS.intersection(species):
        reason = f"{names}: metals are held by functions of densities; false: pairs alone"
        return {"many_body": ("true", reason)}
    triplets = len(species) * len(species) * (len(species) + 1) // 2
    reason = f"{names}: their bonds have angles, of up to {triplets} kinds; false: pairs alone"
    return {"three_body": ('"separable"', reason)}
