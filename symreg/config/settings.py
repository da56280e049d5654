"""Settings of a run, a frozen dataclass for each table of the run file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from symreg.fit.loss import LossSettings
from symreg.structures.settings import DataSettings
from symreg.terms.cutoff import Cutoff
from symreg.terms.kinds import FUNCTION, PAIRS, TRIPLETS, adjective_of

SMALLEST, SMALLEST_OTHERS = 3, 20
"""Least ``max_complexity``: of one pair term, and of some choice of pair and other terms."""
MOST_SUMS = 9
"""Largest ``max_sums``."""


class SettingsError(ValueError):
    """A run file or a setting that cannot be used, in the user's own names."""


def toml_value(value: object) -> str:
    """Write one value as TOML; JSON's texts are TOML's too."""
    if isinstance(value, Mapping):
        inner = ", ".join(f"{toml_value(str(k))} = {toml_value(v)}" for k, v in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, str) or not isinstance(value, Sequence):
        return json.dumps(value, ensure_ascii=False)
    return f"[{', '.join(toml_value(entry) for entry in value)}]"


def _require(settings: object, name: str, fits: bool, needed: str) -> None:
    """Refuse the value of a setting, named as in ``[terms] r_cut``, that does not fit."""
    if not fits:
        value = getattr(settings, name.partition(" ")[2])
        shown = f"{value:g}" if isinstance(value, float) else toml_value(value)
        raise SettingsError(f"{name} is {shown}; it must be {needed}")


def _positive(value: float) -> bool:
    return math.isfinite(value) and value > 0


@dataclass(frozen=True, kw_only=True)
class TermSettings:
    """Terms that a formula may be made of. Read from the ``[terms]`` table."""

    pair: bool = True
    """Pair terms phi(r / r0)."""
    three_body: bool | str = False
    """Three-body terms psi(r_ij / r0, r_ik / r0, cos): ``separable``, ``general`` or false."""
    many_body: bool = False
    """Many-body terms F(S_1, ...), each S the sum of a function of r / r0 over neighbours."""
    r_cut: float = 6.0
    """Cutoff radius in Å."""
    r_cut_three_body: float | None = None
    """Cutoff radius of three-body terms in Å; 0.7 times ``r_cut`` unless given."""
    cutoff: str = "septic"
    """Cutoff function, one of ``symreg.terms.cutoff.KINDS``."""
    cutoff_three_body: str | None = None
    """Cutoff function of three-body terms; that of the pair terms unless given."""
    cutoff_onset: float | None = None
    """Onset of the switch as a fraction of ``r_cut``, 0.6 unless ``r_on`` is given."""
    r_on: float | None = None
    """Onset of the switch in Å, instead of ``cutoff_onset``."""
    r_on_three_body: float | None = None
    """Onset for three-body terms in Å; the same fraction as for pairs unless given."""
    stillinger_weber_s: float = 1.0
    """Length in the exponent of the ``stillinger_weber`` cutoff in Å."""
    stillinger_weber_s_three_body: float | None = None
    """That length for three-body terms in Å; the one of pair terms unless given."""
    r0: str | float = "nearest"
    """Length that makes distances dimensionless in Å, or ``nearest``: the mean nearest distance."""
    e0: str | Mapping[str, float] = "fit"
    """Energy of an atom alone: ``fit``, ``isolated`` (single-atom structures), or eV by element."""
    library_seeds: bool = True
    """Put known forms into the first population."""
    max_complexity: int = 60
    """Largest complexity of a formula."""
    max_constants: int | None = None
    """Most fitted constants of a formula, its weights included; any number if not given."""
    max_sums: int = 3
    """Most sums in one function of sums."""

    def __post_init__(self) -> None:
        """Reject settings that cannot run, before any structure is read."""
        if self.three_body is True:
            object.__setattr__(self, "three_body", "separable")
        known = self.three_body is False or self.three_body in ("separable", "general")
        _require(self, "[terms] three_body", known, '"separable", "general" or false')
        self._check_three_body_settings()
        if not self.pair:
            raise SettingsError(
                "[terms] pair is false; every formula needs pair terms, which keep atoms apart: "
                "set pair = true"
            )
        _require(self, "[terms] r_cut", _positive(self.r_cut), "a length in Å above 0")
        if self.cutoff_onset is not None and self.r_on is not None:
            raise SettingsError("[terms] has both cutoff_onset and r_on; remove one of them")
        if self.cutoff_onset is None and self.r_on is None:
            object.__setattr__(self, "cutoff_onset", 0.6)
        needed = "a fraction of r_cut, from 0 up to but not including 1"
        fits = self.cutoff_onset is None or 0 <= self.cutoff_onset < 1
        _require(self, "[terms] cutoff_onset", fits, needed)
        fits = self.r0 == "nearest" or (not isinstance(self.r0, str) and _positive(self.r0))
        _require(self, "[terms] r0", fits, '"nearest" or a length in Å above 0')
        if isinstance(self.e0, str):
            fits = self.e0 in ("fit", "isolated")
        else:
            fits = bool(self.e0) and all(map(math.isfinite, self.e0.values()))
        _require(self, "[terms] e0", fits, '"fit", "isolated" or a table such as { Ar = 0.0 }')
        least = SMALLEST_OTHERS if self.three_body or self.many_body else SMALLEST
        needed = f"at least {least}, or there is nothing to search"
        _require(self, "[terms] max_complexity", self.max_complexity >= least, needed)
        within = 1 <= self.max_sums <= MOST_SUMS
        _require(self, "[terms] max_sums", within, f"between 1 and {MOST_SUMS}")
        if self.max_constants is not None:
            overs = [PAIRS, *[TRIPLETS] * bool(self.three_body), *[FUNCTION] * self.many_body]
            kinds = " and ".join(map(adjective_of, overs))
            needed = f"at least {len(overs)}: {kinds} terms have a weight each"
            _require(self, "[terms] max_constants", self.max_constants >= len(overs), needed)
        try:
            _ = self.cutoff_function, self.cutoff_function_three_body
        except ValueError as error:
            raise SettingsError(f"[terms] {error}") from None

    def _check_three_body_settings(self) -> None:
        """Refuse settings of three-body terms where there are none."""
        for name in ("r_cut", "cutoff", "r_on", "stillinger_weber_s"):
            if self.three_body is False and getattr(self, f"{name}_three_body") is not None:
                raise SettingsError(
                    f"[terms] {name}_three_body has no effect without three-body terms; "
                    'set three_body = "separable", or leave it out'
                )
        fits = self.r_cut_three_body is None or _positive(self.r_cut_three_body)
        _require(self, "[terms] r_cut_three_body", fits, "a length in Å above 0")

    def n_functions(self, species: int) -> int:
        """Functions of distances, triplets and sums that so many elements need."""
        pairs = species * (species + 1) // 2
        return pairs + species * pairs * bool(self.three_body) + species * self.many_body

    @property
    def cutoff_function(self) -> Cutoff:
        """The cutoff function with its radii."""
        onset = self.r_on if self.r_on is not None else (self.cutoff_onset or 0.0) * self.r_cut
        return Cutoff(kind=self.cutoff, r_cut=self.r_cut, r_on=onset, s=self.stillinger_weber_s)

    @property
    def cutoff_function_three_body(self) -> Cutoff | None:
        """The cutoff function of three-body terms; None when there are none."""
        if self.three_body is False:
            return None
        pair, s = self.cutoff_function, self.stillinger_weber_s_three_body
        radius = 0.7 * self.r_cut if self.r_cut_three_body is None else self.r_cut_three_body
        onset = pair.r_on / pair.r_cut * radius
        return Cutoff(
            kind=self.cutoff_three_body or self.cutoff,
            r_cut=radius,
            r_on=onset if self.r_on_three_body is None else self.r_on_three_body,
            s=pair.s if s is None else s,
        )


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """How long and how wide to search. Read from the ``[search]`` table."""

    mode: str = "evolution"
    """``evolution``, or ``exhaustive``: every form up to a complexity, with no randomness."""
    exhaustive_complexity: int = 14
    """Largest complexity of the forms of pair terms that the exhaustive mode lists."""
    exhaustive_complexity_three_body: int | None = None
    """Largest complexity of forms with a three-body term; 4 more than of pairs unless given."""
    seeds_from: str = ""
    """A run folder whose front is put into the first populations of an evolution."""
    population_size: int = 400
    """Individuals of an island kept from one generation to the next."""
    islands: int = 4
    """Populations that evolve apart; not tied to the number of workers."""
    generations_per_epoch: int | str = "auto"
    """Generations between migrations and checkpoints; ``auto``: as many as take about 5 to 30 s on
    two cores of today, by a count of rows, nodes, sums and individuals, never by a clock."""
    seed: int = 0
    """Seed of all random numbers."""
    minutes: float | None = None
    """Stop after this time, in the midst of an epoch too; 10 unless ``minutes`` or ``epochs`` is
    given, or all forms are."""
    epochs: int | None = None
    """Stop after this many epochs; the only limit that one seed reproduces everywhere."""
    target: float | None = None
    """Stop when the lowest training error is no higher than this."""
    stagnation: int | None = None
    """Stop after this many epochs in which no error of the front fell by more than 1 %."""
    workers: int = 2
    """Processes to use; results do not depend on it."""

    def __post_init__(self) -> None:
        """Reject settings that cannot run, before any structure is read."""
        known = self.mode in ("evolution", "exhaustive")
        _require(self, "[search] mode", known, '"evolution" or "exhaustive"')
        complexities = ("exhaustive_complexity", "exhaustive_complexity_three_body")
        numbers = ("islands", "epochs", "stagnation", "workers")
        least = {"population_size": 4, "seed": 0, **dict.fromkeys(complexities, SMALLEST)}
        for name, low in (least | dict.fromkeys(numbers, 1)).items():
            value = getattr(self, name)
            _require(self, f"[search] {name}", value is None or value >= low, f"at least {low}")
        length = self.generations_per_epoch
        fits = length == "auto" if isinstance(length, str) else length >= 1
        _require(self, "[search] generations_per_epoch", fits, '"auto" or at least 1')
        for name in ("minutes", "target"):
            value = getattr(self, name)
            _require(self, f"[search] {name}", value is None or _positive(value), "above 0")
        if self.mode == "exhaustive":
            for name in ("epochs", "stagnation", "seeds_from"):
                if getattr(self, name):
                    raise SettingsError(f"[search] {name} has no effect in the exhaustive mode")
        elif self.minutes is None and self.epochs is None:
            object.__setattr__(self, "minutes", 10.0)

    @property
    def most_workers(self) -> int | None:
        """Workers that find something to do, one for an island; None: any number, for forms."""
        return None if self.mode == "exhaustive" else self.islands


@dataclass(frozen=True, kw_only=True)
class OutputSettings:
    """Where results go. Read from the ``[output]`` table."""

    folder: str = "run"
    """Run folder, relative to the run file."""
    tensorboard: bool = False
    """Write how the search goes for TensorBoard too, into ``tensorboard/`` of the run folder."""

    def __post_init__(self) -> None:
        """Reject an empty name."""
        _require(self, "[output] folder", bool(self.folder.strip()), "the name of a folder")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything a run file says.

    Examples
    --------
    >>> from symreg.structures.settings import DataSettings
    >>> settings = Settings(data=DataSettings(train=("argon.extxyz",)))
    >>> settings.terms.cutoff_function.r_on, settings.search.minutes
    (3.5999999999999996, 10.0)
    """

    data: DataSettings
    terms: TermSettings = field(default_factory=TermSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    search: SearchSettings = field(default_factory=SearchSettings)
    output: OutputSettings = field(default_factory=OutputSettings)
    base: Path = Path()
    """Folder that paths are relative to: where the run file stands."""

    def __post_init__(self) -> None:
        """Reject terms that the exhaustive mode does not list."""
        if self.search.mode != "exhaustive":
            return
        refusals = [("many_body", True, "false"), ("three_body", "general", '"separable"')]
        for name, refused, instead in refusals:
            if getattr(self.terms, name) == refused:
                raise SettingsError(
                    f"[terms] {name} is {toml_value(refused)}; the exhaustive mode lists pair and "
                    f"separable three-body terms only: set {name} = {instead}"
                )
        if self.terms.max_constants is not None:
            raise SettingsError("[terms] max_constants has no effect in the exhaustive mode")

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.base / self.output.folder
