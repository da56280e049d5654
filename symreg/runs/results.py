"""Reading a run folder: the run, its front, the members, and how known forms compare."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from symreg import files
from symreg.records import UNITS
from symreg.runs.folder import FORMAT, front_table
from symreg.runs.member import Member
from symreg.runs.records import (
    ANY_TERMS,
    FloorRecord,
    MemberRecord,
    floor_name,
)
from symreg.runs.trust import counted_faults, far_from_floor
from symreg.typed import read_typed, read_with
from symreg.versions import versions

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from symreg.config import Settings
    from symreg.fit.loss import LossSettings

MATTERS = 0.01
"""Relative difference of two errors below which neither formula is better."""
ABOUT = 1.05
"""Losses within this factor of the lowest are about as low."""
KNEE = 1.5
"""A knee lies at least by this factor in error below the straight line through the ends."""


@dataclass(frozen=True)
class _Manifest:
    """The part of ``manifest.json`` that decides how a run is read."""

    format: int = FORMAT
    status: str = ""
    versions: Mapping[str, str | None] = field(default_factory=dict)


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


class Front(Sequence[Member]):
    """Members of a Pareto front, simplest first; draws itself in a notebook."""

    def __init__(self, members: Sequence[Member], known: FloorRecord | None = None) -> None:
        self._members = tuple(sorted(members, key=lambda member: member.complexity))
        self._known = FloorRecord(math.nan) if known is None else known
        self.floor = None if math.isnan(self._known.error) else self._known.error
        """The lowest training error that any smooth terms could reach."""
        self.floors = self._known.named()
        """Lowest training errors by what reaches them, as far as they are known."""
        self.baselines = dict(self._known.baselines)
        """Known forms fitted to the same data, by name."""

    @overload
    def __getitem__(self, index: int) -> Member: ...
    @overload
    def __getitem__(self, index: slice) -> Front: ...
    def __getitem__(self, index: int | slice) -> Member | Front:
        """Take a member, or a part of the front."""
        if isinstance(index, slice):
            return Front(self._members[index], self._known)
        return self._members[index]

    def __len__(self) -> int:
        return len(self._members)

    def __eq__(self, other: object) -> bool:
        """Whether members, floors and known forms are the same."""
        if not isinstance(other, Front):
            return NotImplemented
        known = files.plain(self._known.to_dict()), files.plain(other._known.to_dict())
        return self._members == other._members and known[0] == known[1]

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        lines = [f"{m.complexity:4d}  {m.error:<10.4g}  {m.expression}" for m in self]
        return "\n".join(["complexity  error  expression", *lines])

    def _repr_html_(self) -> str:
        """Draw the front as a table and a figure."""
        chosen = recommended(self)
        head = ("complexity", "constants", "error", "formula, x = r/r0, eV")
        doubts = "".join(f"<p><b>{escape(doubt)}</b></p>" for doubt in self._known.doubts or ())
        rows = [f"<tr>{''.join(f'<th>{title}</th>' for title in head)}</tr>"]
        for m in self:
            style = ' style="font-weight:bold"' if m is chosen else ""
            formula = f"<code>{escape(m.expression)}</code>"
            if m.unfit:
                formula += f"<br>not fit for use: {escape(m.unfit)}"
            if m.record.near_ground_state:
                formula += f"<br>{escape(m.record.near_ground_state)}"
            cells = (m.complexity, m.n_constants, f"{m.error:.4g}", formula)
            rows.append(f"<tr{style}>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
        for name, floor in self.floors.items():
            words = f"<td>floor</td><td>{floor:.4g}</td><td>{escape(name)}</td>"
            rows.append(f"<tr><td></td>{words}</tr>")
        stream = io.BytesIO()
        self.plot().savefig(stream, format="png", dpi=100)
        image = base64.b64encode(stream.getvalue()).decode("ascii")
        figure = f'<img alt="front" src="data:image/png;base64,{image}">'
        return f"{doubts}<table>{''.join(rows)}</table>{figure}"

    def plot(self) -> Figure:
        """Draw error against complexity, with floors, known forms and the recommended member."""
        from symreg.runs import plots

        chosen = recommended(self)
        return plots.pareto(
            [m.complexity for m in self],
            [m.error for m in self],
            floors=self.floors,
            recommended=None if chosen is None else self._members.index(chosen),
            baselines={n: (b.complexity, b.error) for n, b in self.baselines.items()},
        )

    def to_pandas(self) -> DataFrame:
        """Give the front as a ``pandas.DataFrame``, with the columns of ``front.csv``.

        An ImportError, which says what to install, if there is no pandas.
        """
        try:
            from pandas import DataFrame
        except ImportError:
            raise ImportError(
                "Front.to_pandas needs pandas, which is not installed: `pip install pandas`; "
                "without it, front.csv in the run folder holds the same"
            ) from None
        columns, rows = front_table([member.record for member in self])
        known = [{k: math.nan if v is None else v for k, v in row.items()} for row in rows]
        return DataFrame(known, columns=columns)

    def compare(self) -> list[Comparison]:
        """Every known form beside the best member no more complex; the most accurate come first."""
        found = []
        for name, known in self.baselines.items():
            simple = [m for m in self if m.complexity <= known.complexity]
            best = min(simple, key=lambda m: m.error, default=None)
            found.append(Comparison(name, known.complexity, known.error, best))
        return sorted(found, key=lambda comparison: comparison.error)


def in_words(comparisons: Sequence[Comparison]) -> str:
    """One sentence: which known forms are beaten at equal complexity, and which are not."""
    if not comparisons:
        return "none could be fitted to these data"
    parts = []
    for outcome in ("beaten", "matched", "not beaten"):
        some = [str(c) for c in comparisons if c.outcome == outcome]
        if outcome == "beaten" and len(some) > 1:
            parts.append(f"{len(some)} beaten, the best of them {some[0]}")
        elif some:
            parts.append(f"{len(some)} {outcome}, {', '.join(some)}")
    return f"of {len(comparisons)}, at equal complexity, {'; '.join(parts)}"


def recommended(front: Sequence[Member]) -> Member | None:
    """Choose the knee of the front: the member after which complexity buys little.

    With the logarithm of the error over complexity, the knee lies farthest below the straight
    line from the simplest member to the most accurate one (Satopaa et al., Proc. ICDCS Workshops,
    166, 2011). Where none lies below it by a factor of ``KNEE``, it is the most accurate one.
    Members that have no term for a pair of species that others describe are passed over, and so
    are those that are not fit for use, and those with another structure a little below the crystal
    of the data, if there are others.
    """
    if not front:
        return None
    described = [len(member.record.terms.keys()) for member in front]
    front = [m for m, n in zip(front, described, strict=True) if n == max(described)]
    chosen = _knee(front)
    fit = [m for m in front if not m.unfit] or front
    sound = [m for m in fit if not m.record.near_ground_state] or fit
    return chosen if chosen in sound else _knee(sound)


def held_out(member: Member, loss: LossSettings) -> float:
    """Loss of validation, in training where nothing is set aside, and of targets."""
    errors = member.errors.get("validation") or member.errors.get("train")
    sizes = [
        error.rmse / loss.sigma(quantity)
        for quantity in UNITS
        if errors and (error := errors.of(quantity)) and loss.sigma(quantity)
    ]
    data = 0.5 * sum(size**2 for size in sizes)
    return data + 0.5 * len(member.targets) * (member.targets_rms or 0.0) ** 2


def _knee(front: Sequence[Member]) -> Member:
    first, last = front[0], front[-1]
    if min(m.error for m in front) <= 0 or first.complexity == last.complexity:
        return min(front, key=lambda m: m.error)
    slope = math.log(last.error / first.error) / (last.complexity - first.complexity)

    def below_line(member: Member) -> float:
        line = math.log(first.error) + slope * (member.complexity - first.complexity)
        return line - math.log(member.error)

    knee = max(front[1:-1], key=below_line, default=last)
    return knee if below_line(knee) > math.log(KNEE) else last


@dataclass(frozen=True)
class Run:
    """A run that was searched: what was asked, what was found, how far it is from the floor."""

    folder: Path
    manifest: Mapping[str, Any] = field(repr=False)
    """Status, seed, versions, machine and data hash."""
    data: Mapping[str, Any] = field(repr=False)
    """The data that were read: files, keys, groups, warnings."""
    floor: FloorRecord = field(repr=False)
    """Lowest training errors of any smooth terms, and known forms."""
    front: Front
    """Members, simplest first."""

    def floor_of(self, member: Member) -> tuple[str, float] | None:
        """Name the kind of terms that a member has, and the lowest training error of such terms.

        None with many-body terms, whose lowest error nobody knows.
        """
        terms = member.record.terms.terms
        if any(term.of is not None for term in terms):
            return None
        triplets = [term.tree for term in terms if term.key.is_triplet]
        name = ANY_TERMS
        if all(tree.factors for tree in triplets):
            name = floor_name(len(triplets))
        return (name, self.front.floors[name]) if name in self.front.floors else None

    @property
    def doubts(self) -> list[str]:
        """Why its formulas should not be trusted: the floor, how far they are from it, errors."""
        found = list(self.floor.doubts or ())
        if not self.front:
            return found
        best = min(self.front, key=lambda member: member.error)
        of = self.floor_of(best)
        if of is not None and far_from_floor(best.error, of[1]):
            found.append(
                f"the most accurate formula has {best.error / of[1]:.3g} times the floor of "
                f"{of[0]}: search longer, or raise [terms] max_complexity"
            )
        chosen = self.best()
        if chosen.unfit:
            found.append(f"member {chosen.number} is not fit for use: {chosen.unfit}")
        return found

    @cached_property
    def rejected(self) -> dict[str, int]:
        """How many formulas the gate kept from the front, by what is wrong with them."""
        path = self.folder / "rejected.csv"
        rows = files.read_rows(path) if path.exists() else []
        return counted_faults(row["reasons"] for row in rows)

    @property
    def ground_states(self) -> list[str]:
        """Crystals that the gate takes for ground states, as the data have them."""
        return list(self.data.get("ground_states") or ())

    @cached_property
    def settings(self) -> Settings:
        """The settings, read from ``run.toml``."""
        from symreg import config

        return config.load(self.folder / "run.toml")

    def best(self, complexity: int | None = None, *, targets: bool = True) -> Member:
        """Return the recommended member, the knee of the front, or the best up to a complexity.

        In a run with targets it is that with the lowest loss of validation and of the targets
        together, the simplest within a twentieth of it; ``targets=False`` leaves them out of
        account. Its ``unfit`` says why, if no member is fit for use.
        A ValueError if the front is empty, or has no member that simple.
        """
        chosen = recommended(self.front)
        if chosen is None:
            raise ValueError(f"{self.folder} has no front yet; `symreg resume {self.folder}`")
        aims = targets and any(member.targets for member in self.front)
        if complexity is None and not aims:
            return chosen
        most = math.inf if complexity is None else complexity
        simple = [member for member in self.front if member.complexity <= most]
        if not simple:
            raise ValueError(
                f"no member has complexity {complexity} or less; "
                f"the simplest has {self.front[0].complexity}"
            )
        if not aims:
            return min(simple, key=lambda member: member.error)
        fit = [member for member in simple if not member.unfit] or simple
        fit = [member for member in fit if not member.record.near_ground_state] or fit
        losses = [held_out(member, self.settings.loss) for member in fit]
        return next(m for m, own in zip(fit, losses, strict=True) if own <= ABOUT * min(losses))

    def member(self, number: int) -> Member:
        """Return the member whose folder is ``potentials/<number>``; a ValueError if none is."""
        found = {member.number: member for member in self.front}
        if number not in found:
            known = ", ".join(map(str, sorted(found))) or "none"
            raise ValueError(f"{self.folder} has no member {number}; there are {known}")
        return found[number]

    def _repr_html_(self) -> str:
        """Draw the run as its front."""
        return f"<p>{escape(str(self.folder))}</p>{self.front._repr_html_()}"


def open_run(folder: str | Path) -> Run:
    """Open a run folder, finished or not; a ValueError if a newer version wrote it.

    An OSError names a file that is damaged.

    >>> open_run("nowhere")
    Traceback (most recent call last):
    FileNotFoundError: nowhere holds no run: there is no nowhere/manifest.json
    """
    folder = Path(folder)
    manifest = folder / "manifest.json"
    if not manifest.exists():
        raise FileNotFoundError(f"{folder} holds no run: there is no {manifest}")
    record = read_with(manifest, dict[str, Any], "status")
    known = read_typed(manifest, _Manifest)
    if known.format > FORMAT:
        written = known.versions.get("symreg", "a newer one")
        raise ValueError(
            f"{folder} was written by symreg {written} in a newer format; "
            f"this is {versions(['symreg'])['symreg']}: install the newer one"
        )
    floor = read_with(folder / "floor.json", FloorRecord, "error")
    records = read_typed(folder / "front.json", list[MemberRecord], [])
    members = [Member(one, folder / "potentials" / str(one.number)) for one in records]
    data = read_with(folder / "data.json", dict[str, Any], "files")
    return Run(folder, record, data, floor, Front(members, floor))
