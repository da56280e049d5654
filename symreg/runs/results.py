"""Reading a run folder: the run, its front and the members of the front."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from symreg import files
from symreg.runs.comparison import Comparison, compare
from symreg.runs.folder import FORMAT
from symreg.runs.member import Member
from symreg.runs.records import ANY_TERMS, Baseline, FloorRecord, MemberRecord, floor_name
from symreg.terms.kinds import TRIPLETS
from symreg.versions import versions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from symreg.config import Settings

KNEE = 1.5
"""A knee lies at least by this factor in error below the straight line through the ends."""


class Front(Sequence[Member]):
    """Members of a Pareto front, simplest first; draws itself in a notebook."""

    def __init__(
        self,
        members: Sequence[Member],
        floor: float | None = None,
        floors: Mapping[str, float] | None = None,
        baselines: Mapping[str, Baseline] | None = None,
    ) -> None:
        self._members = tuple(sorted(members, key=lambda member: member.complexity))
        self.floor = floor
        """The lowest training error that any smooth terms could reach."""
        self.floors = dict(floors or {})
        """Lowest training errors by what reaches them, as far as they are known."""
        self.baselines = dict(baselines or {})
        """Known forms fitted to the same data, by name."""

    @overload
    def __getitem__(self, index: int) -> Member: ...
    @overload
    def __getitem__(self, index: slice) -> Front: ...
    def __getitem__(self, index: int | slice) -> Member | Front:
        """Take a member, or a part of the front."""
        if isinstance(index, slice):
            return Front(self._members[index], self.floor, self.floors, self.baselines)
        return self._members[index]

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members)

    def __repr__(self) -> str:
        lines = [f"{m.complexity:4d}  {m.error:<10.4g}  {m.expression}" for m in self]
        return "\n".join(["complexity  error  expression", *lines])

    def _repr_html_(self) -> str:
        """Draw the front as a table and a figure."""
        chosen = recommended(self)
        head = ("complexity", "constants", "error", "formula, x = r/r0, eV")
        rows = [f"<tr>{''.join(f'<th>{title}</th>' for title in head)}</tr>"]
        for m in self:
            style = ' style="font-weight:bold"' if m is chosen else ""
            formula = f"<code>{escape(m.expression)}</code>"
            cells = (m.complexity, m.n_constants, f"{m.error:.4g}", formula)
            rows.append(f"<tr{style}>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
        for name, floor in self.floors.items():
            words = f"<td>floor</td><td>{floor:.4g}</td><td>{escape(name)}</td>"
            rows.append(f"<tr><td></td>{words}</tr>")
        stream = io.BytesIO()
        self.plot().savefig(stream, format="png", dpi=100)
        image = base64.b64encode(stream.getvalue()).decode("ascii")
        figure = f'<img alt="front" src="data:image/png;base64,{image}">'
        return f"<table>{''.join(rows)}</table>{figure}"

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

    def compare(self) -> list[Comparison]:
        """Every known form beside the best member that is no more complex."""
        return compare(self, self.baselines)


def recommended(front: Sequence[Member]) -> Member | None:
    """Choose the knee of the front: the member after which complexity buys little.

    With the logarithm of the error over complexity, the knee lies farthest below the straight
    line from the simplest member to the most accurate one (Satopaa et al., Proc. ICDCS Workshops,
    166, 2011). Where none lies below it by a factor of ``KNEE``, it is the most accurate one.
    Members that have no term for a pair of species that others describe are passed over.
    """
    if not front:
        return None
    described = [len(member.record.terms.keys()) for member in front]
    front = [m for m, n in zip(front, described, strict=True) if n == max(described)]
    first, last = front[0], front[-1]
    if last.error <= 0 or len(front) == 1:
        return last
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
        triplets = [term.tree for term in terms if term.key.over == TRIPLETS]
        name = ANY_TERMS
        if all(tree.factors for tree in triplets):
            name = floor_name(len(triplets))
        return (name, self.front.floors[name]) if name in self.front.floors else None

    @cached_property
    def settings(self) -> Settings:
        """The settings, read from ``run.toml``."""
        from symreg import config

        return config.load(self.folder / "run.toml")

    def best(self, complexity: int | None = None) -> Member:
        """Return the recommended member, or the most accurate one up to a complexity.

        Recommended is the knee of the front, see ``recommended``.

        Raises
        ------
        ValueError
            If the front is empty, or has no member that simple.
        """
        if not self.front:
            raise ValueError(f"{self.folder} has no front yet; `symreg resume {self.folder}`")
        if complexity is None:
            chosen = recommended(self.front)
            assert chosen is not None
            return chosen
        simple = [member for member in self.front if member.complexity <= complexity]
        if not simple:
            raise ValueError(
                f"no member has complexity {complexity} or less; "
                f"the simplest has {self.front[0].complexity}"
            )
        return min(simple, key=lambda member: member.error)

    def member(self, number: int) -> Member:
        """Return the member whose folder is ``potentials/<number>``.

        Raises
        ------
        ValueError
            If there is none.
        """
        found = {member.number: member for member in self.front}
        if number not in found:
            known = ", ".join(map(str, sorted(found))) or "none"
            raise ValueError(f"{self.folder} has no member {number}; there are {known}")
        return found[number]

    def _repr_html_(self) -> str:
        """Draw the run as its front."""
        return f"<p>{escape(str(self.folder))}</p>{self.front._repr_html_()}"


def open_run(folder: str | Path) -> Run:
    """Open a run folder, finished or not.

    Raises
    ------
    OSError
        If there is no run in the folder.
    ValueError
        If a newer version wrote it.

    Examples
    --------
    >>> open_run("nowhere")
    Traceback (most recent call last):
    FileNotFoundError: nowhere holds no run: there is no nowhere/manifest.json
    """
    folder = Path(folder)
    manifest = folder / "manifest.json"
    if not manifest.exists():
        raise FileNotFoundError(f"{folder} holds no run: there is no {manifest}")
    record = files.read_json(manifest)
    if record.get("format", FORMAT) > FORMAT:
        written = record.get("versions", {}).get("symreg", "a newer one")
        raise ValueError(
            f"{folder} was written by symreg {written} in a newer format; "
            f"this is {versions(['symreg'])['symreg']}: install the newer one"
        )
    data, floors, members = (
        files.read_json(path) if (path := folder / name).exists() else empty
        for name, empty in (("data.json", {}), ("floor.json", {}), ("front.json", []))
    )
    floor = FloorRecord.from_dict(floors)
    front = [_member(folder, entry) for entry in members]
    lowest = None if math.isnan(floor.error) else floor.error
    return Run(folder, record, data, floor, Front(front, lowest, floor.named(), floor.baselines))


def _member(folder: Path, entry: Mapping[str, Any]) -> Member:
    try:
        record = MemberRecord.from_dict(entry)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise OSError(f"{folder / 'front.json'} is damaged: {error!r}") from None
    return Member(record, folder / "potentials" / str(record.number))
