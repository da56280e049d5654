"""Settings of a run, a frozen dataclass for each table of the run file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from symreg.fit.loss import LossSettings
from symreg.structures.settings import DataSettings
from symreg.structures.targets import TargetSettings
from symreg.terms.cutoff import LARGEST, Cutoff, Length
from symreg.terms.kinds import FUNCTION, adjective_of, kinds
from symreg.terms.lengths import E0, R0, Lengths
from symreg.terms.templates import Template
from symreg.terms.term import Key
from symreg.typed import Range, check_ranges

SMALLEST, SMALLEST_OTHERS = 3, 20
"""Least ``max_complexity``: of one pair term, and of some choice of pair and other terms."""
COMPLEXITY_OF_A_PAIR, LARGEST_DEFAULT = 60, 200
"""``max_complexity`` unless it is given: for each pair of species, and for all of them."""
SHARED = ("auto", "never", "always")
"""Whether keys of several species may have forms in common."""
MOST_INDIVIDUALS = 2_000_000
"""Individuals on all islands together; each takes a kilobyte or so."""
Radius = Annotated[float, Range(0.1, LARGEST, "Å")]
Complexity = Annotated[int, Range(SMALLEST, 1000)]
Epochs = Annotated[int, Range(1, 10**9)]


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


@dataclass(frozen=True, kw_only=True)
class TermSettings:
    """Terms that a formula may be made of. Read from the ``[terms]`` table."""

    pair: bool = True
    """Pair terms phi(r / r0)."""
    three_body: bool | str = False
    """Three-body terms psi(r_ij / r0, r_ik / r0, cos): ``separable``, ``general`` or false."""
    many_body: bool = False
    """Many-body terms F(S_1, ...), each S the sum of a function of r / r0 over neighbours."""
    r_cut: Radius = 6.0
    """Cutoff radius in Å."""
    r_cut_three_body: Radius | None = None
    """Cutoff radius of three-body terms in Å; 0.7 times ``r_cut`` unless given."""
    cutoff: str = "septic"
    """Cutoff function, one of ``symreg.terms.cutoff.KINDS``."""
    cutoff_three_body: str | None = None
    """Cutoff function of three-body terms; that of the pair terms unless given."""
    cutoff_onset: Annotated[float, Range(0.0, 1.0, below=True)] | None = None
    """Onset of the switch as a fraction of ``r_cut``, 0.6 unless ``r_on`` is given."""
    r_on: Length | None = None
    """Onset of the switch in Å, instead of ``cutoff_onset``."""
    r_on_three_body: Length | None = None
    """Onset for three-body terms in Å; the same fraction as for pairs unless given."""
    stillinger_weber_s: Annotated[float, Range(1e-3, LARGEST, "Å")] = 1.0
    """Length in the exponent of the ``stillinger_weber`` cutoff in Å."""
    stillinger_weber_s_three_body: Annotated[float, Range(1e-3, LARGEST, "Å")] | None = None
    """That length for three-body terms in Å; the one of pair terms unless given."""
    r0: str | R0 = "nearest"
    """Length that makes distances dimensionless in Å, or ``nearest``: the mean nearest distance."""
    e0: str | Mapping[str, E0] = "fit"
    """Energy of an atom alone: ``fit``, ``isolated`` (single-atom structures), or eV by element."""
    frozen: tuple[str, ...] = ()
    """Files ``potential.json`` whose terms and e0 stay as they are, relative to the run file: what
    they describe is subtracted from the labels, and only keys beyond their elements evolve."""
    library_seeds: bool = True
    """Put known forms into the first population."""
    cutoffs: Mapping[str, Radius] = field(default_factory=dict)
    """Cutoff radii of single keys in Å, as of ``Hf-O`` or ``O;Hf-Hf``; the onset is in proportion,
    the cutoff function that of all pairs or triplets."""
    shared: str = "auto"
    """Forms of several species: ``auto`` (own and shared ones), ``never`` (own ones: no operator
    copies a form or ties its constants), ``always`` (one form for all keys of a kind)."""
    templates: Mapping[str, str] = field(default_factory=dict)
    """Shapes that the terms of single keys keep, as ``"Cu-Cu" = "A*exp(-b*x) + ?"``: names are
    fitted, and only what is in place of ``?`` varies."""
    max_complexity: Complexity | None = None
    """Largest complexity of a formula; 60 for each pair of species, at most 200, unless given."""
    max_constants: Annotated[int, Range(1, 1000)] | None = None
    """Most fitted constants of a formula, its weights included; any number if not given."""
    max_sums: Annotated[int, Range(1, 9)] = 3
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
        check_ranges(self, "terms", SettingsError)
        if self.cutoff_onset is not None and self.r_on is not None:
            raise SettingsError("[terms] has both cutoff_onset and r_on; remove one of them")
        if self.cutoff_onset is None and self.r_on is None:
            object.__setattr__(self, "cutoff_onset", 0.6)
        fits = self.r0 == "nearest" or not isinstance(self.r0, str)
        _require(self, "[terms] r0", fits, '"nearest" or a length in Å')
        fits = self.e0 in ("fit", "isolated") if isinstance(self.e0, str) else bool(self.e0)
        _require(self, "[terms] e0", fits, '"fit", "isolated" or a table such as { Ar = 0.0 }')
        _require(self, "[terms] shared", self.shared in SHARED, '"auto", "never" or "always"')
        self._check_limits()
        try:
            _ = self.cutoff_function, self.cutoff_function_three_body, self.cutoff_functions
            self._check_templates()
        except ValueError as error:
            raise SettingsError(f"[terms] {error}") from None

    def _check_limits(self) -> None:
        """Refuse limits within which there is no formula."""
        if self.max_complexity is not None:
            least = SMALLEST_OTHERS if self.three_body or self.many_body else SMALLEST
            needed = f"at least {least}, or there is nothing to search"
            _require(self, "[terms] max_complexity", self.max_complexity >= least, needed)
        if self.max_constants is not None:
            most = 2 if self.three_body else 1
            named = [kind.adjective for kind in kinds() if kind.neighbours <= most]
            named += [adjective_of(FUNCTION)] * self.many_body
            needed = f"at least {len(named)}: {' and '.join(named)} terms have a weight each"
            _require(self, "[terms] max_constants", self.max_constants >= len(named), needed)

    def _check_templates(self) -> None:
        """Refuse templates that no formula can have; a ``ValueError``."""
        found = self.term_templates
        if len({one.key for one in found}) < len(found):
            raise ValueError("templates: two names are one key; remove one of them")
        for one in found:
            for is_kind, setting in (
                (one.key.is_triplet, "three_body"),
                (one.key.is_function, "many_body"),
            ):
                if is_kind and not getattr(self, setting):
                    raise ValueError(
                        f"templates: {one.key} has no effect while {setting} is false; set it, or "
                        "leave the template out"
                    )
        if found and self.shared == "always":
            raise ValueError('templates give keys shapes of their own; set shared = "auto"')
        least = sum(one.complexity for one in found)
        if self.max_complexity is not None and least > self.max_complexity:
            raise ValueError(
                f"max_complexity is {self.max_complexity}, but the templates alone have {least}; "
                "make it larger"
            )

    @property
    def term_templates(self) -> tuple[Template, ...]:
        """Shapes that terms of single keys keep."""
        return tuple(Template.read(name, text) for name, text in self.templates.items())

    def _check_three_body_settings(self) -> None:
        """Refuse settings of three-body terms where there are none."""
        for name in ("r_cut", "cutoff", "r_on", "stillinger_weber_s"):
            if self.three_body is False and getattr(self, f"{name}_three_body") is not None:
                raise SettingsError(
                    f"[terms] {name}_three_body has no effect without three-body terms; "
                    'set three_body = "separable", or leave it out'
                )

    def n_functions(self, species: int) -> int:
        """Functions of distances, triplets and sums that so many elements need."""
        pairs = species * (species + 1) // 2
        return pairs + species * pairs * bool(self.three_body) + species * self.many_body

    def complexity_for(self, pairs: int) -> int:
        """Largest complexity of a formula of so many pairs of species.

        >>> TermSettings().complexity_for(1), TermSettings().complexity_for(10)
        (60, 200)
        """
        if self.max_complexity is not None:
            return self.max_complexity
        return min(COMPLEXITY_OF_A_PAIR * pairs, LARGEST_DEFAULT)

    def lengths(self, r0: float) -> Lengths:
        """Cutoff functions of all keys, with the unit of distance in Å."""
        common = self.cutoff_function, self.cutoff_function_three_body
        return Lengths(*common, r0, cutoffs=self.cutoff_functions)

    @property
    def cutoff_functions(self) -> dict[str, Cutoff]:
        """Cutoff functions of single keys, by their names in order."""
        found: dict[str, Cutoff] = {}
        names: dict[str, str] = {}
        for text, radius in self.cutoffs.items():
            key = self._key_with_cutoff(text)
            if (before := names.setdefault(str(key), text)) != text:
                raise ValueError(f"cutoffs has both '{before}' and '{text}', which are one key")
            is_pair = key.is_pair
            common = self.cutoff_function if is_pair else self.cutoff_function_three_body
            if common is None:
                raise ValueError(
                    f"cutoffs: '{text}' has no effect without three-body terms; "
                    'set three_body = "separable", or leave it out'
                )
            onset = common.r_on / common.r_cut * radius
            found[str(key)] = replace(common, r_cut=radius, r_on=onset)
        return found

    def _key_with_cutoff(self, text: str) -> Key:
        """The key of pairs or triplets that ``[terms.cutoffs]`` names."""
        expected = "write a pair as in Hf-O, or triplets, their centre first, as in O;Hf-Hf"
        try:
            key = Key.read(text)
        except ValueError as error:
            raise ValueError(f"cutoffs: {str(error).partition(': write')[0]}; {expected}") from None
        if not (key.is_pair or key.is_triplet):
            raise ValueError(f"cutoffs: '{text}' is no pair and no triplet; {expected}")
        return key

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
    exhaustive_complexity: Annotated[int, Range(SMALLEST, 22)] = 14
    """Largest complexity of the forms of pair terms that the exhaustive mode lists."""
    exhaustive_complexity_three_body: Annotated[int, Range(SMALLEST, 26)] | None = None
    """Largest complexity of forms with a three-body term; 4 more than of pairs unless given."""
    seeds_from: str = ""
    """A run folder whose front is put into the first populations of an evolution."""
    population_size: Annotated[int, Range(4, 100_000)] = 400
    """Individuals of an island kept from one generation to the next."""
    islands: Annotated[int, Range(1, 10_000)] = 4
    """Populations that evolve apart; not tied to the number of workers."""
    generations_per_epoch: Annotated[int, Range(1, 10_000)] | str = "auto"
    """Generations between migrations and checkpoints; ``auto``: as many as take about 5 to 30 s on
    two cores of today, by a count of rows, nodes, sums and individuals, never by a clock."""
    seed: Annotated[int, Range(0, 10**18)] = 0
    """Seed of all random numbers."""
    minutes: Annotated[float, Range(1e-6, 1e6)] | None = None
    """Stop after this time, in the midst of an epoch too; 10 unless ``minutes`` or ``epochs`` is
    given, or all forms are."""
    epochs: Epochs | None = None
    """Stop after this many epochs; the only limit that one seed reproduces everywhere."""
    target: Annotated[float, Range(1e-12, 1e12)] | None = None
    """Stop when the lowest training error is no higher than this."""
    stagnation: Epochs | None = None
    """Stop after this many epochs in which no error of the front fell by more than 1 %."""
    workers: Annotated[int, Range(1, 1024)] = 2
    """Processes to use; results do not depend on it."""
    max_memory: Annotated[float, Range(0.01, 1e5, "GB")] = 8.0
    """Most memory in GB that the projected data may take; it is estimated before they are read."""

    def __post_init__(self) -> None:
        """Reject settings that cannot run, before any structure is read."""
        known = self.mode in ("evolution", "exhaustive")
        _require(self, "[search] mode", known, '"evolution" or "exhaustive"')
        length = self.generations_per_epoch
        fits = length == "auto" or not isinstance(length, str)
        _require(self, "[search] generations_per_epoch", fits, '"auto" or at least 1')
        check_ranges(self, "search", SettingsError)
        most = MOST_INDIVIDUALS // self.population_size
        needed = f"at most {most:,} with population_size = {self.population_size}"
        _require(self, "[search] islands", self.islands <= most, needed)
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
    targets: tuple[TargetSettings, ...] = ()
    """Physics beside the labels, the entries of ``[[targets]]``."""
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
        for name in ("max_constants", "templates"):
            if getattr(self.terms, name):
                raise SettingsError(f"[terms] {name} has no effect in the exhaustive mode")

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.base / self.output.folder
