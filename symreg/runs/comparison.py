"""Whether what a run has found is better than known forms fitted to the same data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from symreg.runs.member import Member
from symreg.runs.records import Baseline

MATTERS = 0.01
"""Relative difference of two errors below which neither formula is better."""


@dataclass(frozen=True, repr=False)
class Comparison:
    """A known form beside the best found formula that is no more complex."""

    name: str
    complexity: int
    error: float
    """Training error of the known form, its constants fitted."""
    member: Member | None
    """None where every found formula is more complex."""

    @property
    def outcome(self) -> str:
        """Standing of the known form: ``beaten``, ``matched`` or ``not beaten``."""
        if self.member is None or self.member.error > (1 + MATTERS) * self.error:
            return "not beaten"
        return "beaten" if self.member.error < (1 - MATTERS) * self.error else "matched"

    def __repr__(self) -> str:
        return f"<{self.outcome}: {self}>"

    def __str__(self) -> str:
        """Name and errors, as in ``Morse (error 0.836 at complexity 26; member 9 has 0.0375)``."""
        found = "nothing found is as simple"
        if self.member is not None:
            found = f"member {self.member.number} has {self.member.error:.3g}"
        return f"{self.name} (error {self.error:.3g} at complexity {self.complexity}; {found})"


def compare(members: Sequence[Member], baselines: Mapping[str, Baseline]) -> list[Comparison]:
    """Compare known forms with a front; the best come first."""
    found = []
    for name, known in baselines.items():
        simple = [m for m in members if m.complexity <= known.complexity]
        best = min(simple, key=lambda m: m.error, default=None)
        found.append(Comparison(name, known.complexity, known.error, best))
    return sorted(found, key=lambda comparison: comparison.error)


def in_words(comparisons: Sequence[Comparison]) -> str:
    """One sentence: which known forms are beaten at equal complexity, and which are not."""
    if not comparisons:
        return "none could be fitted to these data"
    by = {
        outcome: [c for c in comparisons if c.outcome == outcome]
        for outcome in ("beaten", "matched", "not beaten")
    }
    parts = []
    for outcome, some in by.items():
        if some:
            named = map(str, some[:1] if outcome == "beaten" else some)
            best = "the best of them " if outcome == "beaten" and len(some) > 1 else ""
            parts.append(f"{len(some)} {outcome}, {best}{', '.join(named)}")
    return f"of {len(comparisons)}, at equal complexity, {'; '.join(parts)}"
