"""Records of a run, plain data in ``front.json``, ``floor.json`` and ``progress.json`` alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, NamedTuple, Self

from symreg.arrays import Floats
from symreg.files import counted, plain
from symreg.records import Floor, ProductFloor, Record, SplitErrors
from symreg.runs.trust import Lowest, Worse
from symreg.terms import Expression
from symreg.typed import Range, typed

Count = Annotated[int, Range(0, 10**15)]
TrainingError = Annotated[float, Range(0.0, 1e300)]
"""The root of the mean squared error in units of the sigmas."""
ANY_TERMS = "any smooth pair and three-body terms"
"""Terms that reach the lowest floor of runs with three-body terms."""

NEEDED = ("epoch", "seconds")
"""Keys that every ``progress.json`` has."""
TRAINING, BOTH = "constants fitted to training", "constants fitted to training and validation"
"""Labels of potentials, in their provenance."""


@dataclass(frozen=True)
class FittedConstant(Record):
    """A fitted number, and how well the data determine it; weights are in eV."""

    keeps_none: ClassVar[bool] = True

    name: str
    """As in ``Potential.constants``."""
    value: float
    standard_error: float | None
    """From the covariance at the optimum; None where the data do not determine it."""
    low: float | None
    """2.5th percentile over bootstrap samples; None where there are too few."""
    high: float | None
    """97.5th percentile."""


@dataclass(frozen=True, eq=False, kw_only=True)
class MemberRecord(Record):
    """All that is known of a member of a front: an entry of ``front.json``.

    Of a search under way only the fields up to ``errors`` are known.
    """

    number: Count
    """Name of its folder in ``potentials/``."""
    complexity: Count
    n_constants: Count
    error: TrainingError
    expression: str
    """The formula in x = r / r0, in eV."""
    terms: Expression = field(repr=False)
    """Terms and weights with all their digits."""
    r0: float | None = None
    """Å; None in records of unknown origin."""
    e0: Mapping[str, float] | None = None
    """Energies of free atoms in eV, by species."""
    errors: Mapping[str, SplitErrors]
    """By split."""
    exact_difference: float | None = None
    """Difference of the errors by the projected design and over all pairs."""
    constants: tuple[FittedConstant, ...] | None = None
    """The W weights, then the K constants inside trees."""
    correlation: Floats | None = field(default=None, repr=False)
    """Of ``constants``, shape (W + K, W + K); NaN where the data do not determine them."""
    covariance: Floats | None = field(default=None, repr=False)
    """Of ``constants``, in their units, shape (W + K, W + K); it stands in ``potential.json``."""
    targets: Mapping[str, float] | None = None
    """Predictions of targets by name, in the units of the run file; None without targets."""
    targets_rms: float | None = None
    """Root mean square of what they are off, in sigmas."""
    simplified: str | None = None
    """The formula that SymPy found to be simpler, if it did; its potential is the one written."""
    unfit: str | None = None
    """Why it is not fit for use; None if nothing speaks against it."""
    near_ground_state: str | None = None
    """Structures that lie a little below the crystal of the data; None if there are none."""
    worse: tuple[Worse, ...] | None = None
    """Where predicting nothing would be better; None in older files."""

    def __eq__(self, other: object) -> bool:
        """Whether all that files have of two members is the same."""
        if not isinstance(other, MemberRecord):
            return NotImplemented
        return bool(plain(self.to_dict()) == plain(other.to_dict()))

    @property
    def is_delivered(self) -> bool:
        """Whether the search has ended, so that the member has exact errors and a potential."""
        return self.exact_difference is not None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``front.json``."""
        record = super().to_dict()
        record.pop("covariance", None)
        return {**record, "simplified": self.simplified} if self.is_delivered else record


@dataclass(frozen=True)
class Baseline(Record):
    """A known form fitted to the data of a run."""

    complexity: Count
    n_constants: Count
    error: TrainingError
    expression: str
    """The formula in x = r / r0, in eV."""
    terms: Expression
    """Terms and weights with all their digits."""
    source: str = ""
    """Where the form was published."""


@dataclass(frozen=True)
class FloorRecord(Floor):
    """The floor of all terms, what else bounds them, and known forms: ``floor.json``."""

    pair: Floor | None = None
    """The floor of pair terms, where there are others too."""
    products: tuple[ProductFloor, ...] | None = None
    """Floors of one, two, ... separable products; None without three-body terms."""
    blocks: Mapping[str, TrainingError] | None = None
    """Part of each key, where a kind has several: the lowest error of all pair functions but
    that of a pair, and of all pair functions and those of one key of triplets."""
    baselines: Mapping[str, Baseline] = field(default_factory=dict)
    """Known forms fitted to these data, by name."""
    doubts: tuple[str, ...] | None = None
    """Why no formula of these data can be trusted, as far as the floor tells; None in older
    files."""

    def named(self) -> dict[str, float]:
        """Lowest training errors by what reaches them; one that a finer grid lowers is left out."""
        if math.isnan(self.error):
            return {}
        found = {floor_name(0): (self.pair or self).error}
        found |= {floor_name(one.products): one.error for one in self.products or ()}
        if self.pair is not None and not self.is_uncertain:
            found[ANY_TERMS] = self.error
        return found

    def lowest(self) -> Lowest:
        """The lowest training error of smooth terms or of a known form."""
        by_name: dict[str, Floor | ProductFloor]
        by_name = {floor_name(0): self.pair or self, ANY_TERMS: self}
        by_name |= {floor_name(one.products): one for one in self.products or ()}
        found = [
            Lowest(name, error, by_name[name].rmse.get("train"))
            for name, error in self.named().items()
        ]
        found += [Lowest(name, one.error, None) for name, one in self.baselines.items()]
        return min(found, key=lambda one: one.error)

    @classmethod
    def from_data(cls, record: Any, key: str) -> Self:
        """Read a file; an empty record is that of a run that has not begun."""
        return super().from_data({"error": None, **typed(dict[str, Any], record, key)}, key)


def floor_name(products: int) -> str:
    """Words for pair terms and a number of separable products."""
    if not products:
        return "any smooth pair term"
    return f"smooth pair terms and {counted(products, 'product')}"


class FrontLine(NamedTuple):
    """A member of a front that is still evolving."""

    complexity: int
    error: float
    expression: str
    """The formula in x = r / r0, in eV."""


@dataclass(frozen=True)
class Progress(Record):
    """How far a search is: ``progress.json``, and what ``on_progress`` is called with."""

    keeps_none: ClassVar[bool] = True

    epoch: int = 0
    generation: int = 0
    seconds: float = 0.0
    seconds_left: float | None = None
    """Until the limits of time or epochs, at this speed."""
    candidates: int = 0
    candidates_per_second: float = 0.0
    forms: int = 0
    """Number of forms that the exhaustive mode examines; 0 for an evolution."""
    workers: str = ""
    """Who computes, as in ``2 processes``."""
    diversity: float = 0.0
    """Distinct structures of formulas over individuals, of all islands together."""
    operators: Mapping[str, float] = field(default_factory=dict)
    """Part of what each operator made lately that was a gain."""
    lowest_error: float | None = None
    """Of all that was found; members of the front are those that are worth their complexity."""
    floor_error: float | None = None
    doubts: tuple[str, ...] = ()
    """Why no formula of these data can be trusted, as far as the floor tells."""
    front: list[FrontLine] = field(default_factory=list)
    """Simplest first."""
    message: str = ""
