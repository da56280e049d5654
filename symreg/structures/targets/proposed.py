"""Targets that data hold themselves: phases at rest, and atoms alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from symreg.structures.facts import Facts

AT_REST = 0.02
"""Largest force in eV/Å on an atom of a crystal that counts as a phase at rest."""
LARGEST = 16
"""Atoms of a cell that counts as that of a phase."""
MOST = 8
"""Phases that are proposed."""
_FRAME = re.compile(r"(.+) frame (\d+)")


def proposed_targets(facts: Facts) -> list[dict[str, Any]]:
    """Entries of ``[[targets]]``: phases over the lowest one, cohesion where an atom is alone.

    Phases are the lowest small crystals at rest of groups of one composition, the commonest.
    """
    phases = _phases(facts)
    if not phases:
        return []
    lowest = min(phases, key=lambda s: float(facts.per_atom[s]))
    others = sorted((s for s in phases if s != lowest), key=lambda s: float(facts.per_atom[s]))
    found = [_over(facts, s, lowest) for s in others[:MOST]]
    alone = {facts.species[int(facts.counts[s].argmax())]: s for s in np.flatnonzero(facts.lone)}
    atoms = [
        alone.get(name) for name, n in zip(facts.species, facts.counts[lowest], strict=True) if n
    ]
    if all(s is not None for s in atoms):
        free = sum(
            int(facts.counts[lowest][facts.species.index(name)]) * float(facts.energy[s])
            for name, s in alone.items()
        )
        value = (free - float(facts.energy[lowest])) / int(facts.n_atoms[lowest])
        found.append(
            _entry("cohesion", "cohesive_energy", [_frame(facts, lowest)], value, sigma=0.05)
        )
    return [one for one in found if all(one["structures"])]


def _phases(facts: Facts) -> list[int]:
    small = np.isfinite(facts.volume) & (facts.n_atoms <= LARGEST) & ~facts.lone
    rest = small & (np.nan_to_num(facts.force, nan=np.inf) < AT_REST) & np.isfinite(facts.energy)
    if not rest.any():
        return []
    numbers, counts = np.unique(facts.composition[rest], return_counts=True)
    rest &= facts.composition == numbers[counts.argmax()]
    best: dict[str, int] = {}
    for s in np.flatnonzero(rest).tolist():
        name = facts.group[s]
        if name not in best or facts.per_atom[s] < facts.per_atom[best[name]]:
            best[name] = s
    return list(best.values())


def _over(facts: Facts, s: int, lowest: int) -> dict[str, Any]:
    name = re.sub(r"[^A-Za-z0-9_.+-]+", "_", facts.group[s]) or f"phase_{s}"
    value = float(facts.per_atom[s] - facts.per_atom[lowest])
    frames = [_frame(facts, s), _frame(facts, lowest)]
    return _entry(name, "energy_difference", frames, value, sigma=0.02 if value > 0.05 else 0.003)


def _frame(facts: Facts, s: int) -> str:
    """``FILE@INDEX`` of a structure; empty where its source is no such thing."""
    match = _FRAME.fullmatch(facts.source[s])
    return f"{match[1]}@{match[2]}" if match else ""


def _entry(
    name: str, kind: str, structures: Sequence[str], value: float, sigma: float
) -> dict[str, Any]:
    return {
        "name": name, "kind": kind, "structures": list(structures), "value": round(value, 4),
        "sigma": sigma, "unit": "eV/atom", "source": "the data",
    }  # fmt: skip


def commented(targets: Sequence[dict[str, Any]], shown: Any) -> Iterator[str]:
    """Lines of a run file that hold targets, commented out; ``shown`` writes a value as TOML."""
    for one in targets:
        yield "# [[targets]]"
        yield from (f"# {key} = {shown(value)}" for key, value in one.items())
        yield ""
