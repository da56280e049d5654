"""The two modes of a search, and the one place that tells them apart."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from symreg.config import Settings
from symreg.files import counted
from symreg.runs.pipeline import seeds
from symreg.runs.pipeline.floors import importance
from symreg.runs.pipeline.pace import automatic_generations
from symreg.runs.pipeline.preparation import Prepared
from symreg.runs.pipeline.stopping import Tell
from symreg.searching.exhaustive.examine import Examiner
from symreg.searching.exhaustive.forms import Forms
from symreg.searching.exhaustive.listing import list_forms
from symreg.searching.exhaustive.search import ROUND, Exhaustive, Tally, load_forms, save_forms
from symreg.searching.island import EvolutionSettings
from symreg.searching.islands import Islands, IslandSettings, State, backfitting_from
from symreg.searching.tasks import Source, kept
from symreg.searching.variation import VariationSettings
from symreg.workers.executors import Crew, Preload

TERM_COMPLEXITY = 11
"""Largest complexity of a pair term, weight included; there are millions of larger ones."""
FEW = 1000
"""With fewer three-body forms than this the search says what it lacks."""


@dataclass(frozen=True)
class Evolution:
    """Islands evolve, for ever."""

    settings: Settings
    end: ClassVar[str] = ""
    """Its end of itself, in words."""
    n_forms: ClassVar[int] = 0
    """Number of forms to examine; there is no end of them."""
    counts_earlier: ClassVar[bool] = True
    """Whether minutes before an interruption count for the limit of time."""

    def plan(self) -> str:
        """Say how many islands of which size there are."""
        limits = self.settings.search
        return f"{counted(limits.islands, 'island')} of {limits.population_size}"

    def generations(self, prepared: Prepared) -> int:
        """Generations of an epoch."""
        given = self.settings.search.generations_per_epoch
        return automatic_generations(prepared) if isinstance(given, str) else given

    def make_ready(self, prepared: Prepared, tell: Tell) -> None:
        """Do what takes time before the search can be asked to stop: nothing."""

    def preload(self, prepared: Prepared, source: Source) -> Preload:
        """Work of every worker before its first task: it reads the design."""
        return partial(kept, backfitting_from, source, self._islands(prepared))

    def _islands(self, prepared: Prepared) -> IslandSettings:
        """Settings of its islands."""
        return island_settings(
            self.settings,
            self.generations(prepared),
            len(prepared.design.pair_keys),
            importance(prepared),
        )

    def states(
        self,
        prepared: Prepared,
        crew: Crew | None,
        source: Source,
        state: State | None,
        tell: Tell,  # noqa: ARG002
        deadline: float = math.inf,
    ) -> Iterator[State]:
        """Yield the state after every epoch; without one to go on from, begin with known forms.

        An epoch ends after the generation under way at the deadline, in seconds of ``time.time()``.
        """
        beginning = []
        if state is None:
            beginning = [*seeds.of_known_forms(prepared), *seeds.of_another_run(prepared)]
        settings = self._islands(prepared)
        fitter, gate = prepared.fitter, prepared.gate
        islands = Islands(
            prepared.design, settings, beginning, crew, source, fitter, gate, deadline
        )
        return islands.search(state)


MOST_NONLINEAR = 16, 52
"""Largest number of nonlinear constants for each pair of species, and for all of them."""


def island_settings(
    settings: Settings, generations: int = 10, pairs: int = 1, likely: tuple[float, ...] = ()
) -> IslandSettings:
    """Settings of islands, evolution and variation that a run file holds.

    Epochs have so many ``generations`` where the file leaves their number to the data, which hold
    so many ``pairs`` of species; ``likely`` is how likely each key is given new forms.
    """
    search, given = settings.search, settings.search.generations_per_epoch
    return IslandSettings(
        islands=search.islands,
        generations_per_epoch=generations if isinstance(given, str) else given,
        seed=search.seed,
        evolution=EvolutionSettings(population_size=search.population_size),
        variation=VariationSettings(
            max_complexity=settings.terms.complexity_for(pairs),
            max_nonlinear=min(MOST_NONLINEAR[0] * pairs, MOST_NONLINEAR[1]),
            max_constants=settings.terms.max_constants,
            max_sums=settings.terms.max_sums,
            general=settings.terms.three_body == "general",
            shared=settings.terms.shared,
            importance=likely,
            templates=settings.terms.term_templates,
        ),
    )


def forms_of(prepared: Prepared, file: Path) -> Forms:
    """All forms that a run file asks for, listed once and kept in a file for workers."""
    keys, search = prepared.design.keys, prepared.settings.search
    pair_limit = limit = search.exhaustive_complexity
    if prepared.design.triplet_grids:
        limit = max(limit, search.exhaustive_complexity_three_body or limit + 4)
    try:
        forms = load_forms(file, keys)
        if (forms.limit, forms.pair_limit) == (limit, pair_limit):
            return forms
    except Exception:  # in a damaged archive zipfile and numpy raise whatever they stumble upon
        pass
    forms = list_forms(keys, limit, min(pair_limit, TERM_COMPLEXITY), pair_limit)
    save_forms(file, forms)
    return forms


@dataclass
class Exhaustion:
    """Every form up to a complexity is fitted, none is left to luck."""

    settings: Settings
    file: Path
    """Where the list of forms is kept for workers."""
    n_forms: int = 0
    """Number of forms to examine, known once the search has begun."""
    end: ClassVar[str] = "all are fitted"
    counts_earlier: ClassVar[bool] = False

    def plan(self) -> str:
        """Say up to which complexity forms are fitted."""
        return f"all forms up to complexity {self.settings.search.exhaustive_complexity}"

    def generations(self, prepared: Prepared) -> int:  # noqa: ARG002
        """Generations of an epoch: there are none."""
        return 0

    def make_ready(self, prepared: Prepared, tell: Tell) -> None:
        """List all forms, here where the first Ctrl-C still stops at once."""
        tell("listing all forms")
        forms_of(prepared, self.file)

    def preload(self, prepared: Prepared, source: Source) -> Preload:  # noqa: ARG002
        """Work of every worker before its first task: none."""
        return tuple

    def states(
        self,
        prepared: Prepared,
        crew: Crew | None,
        source: Source,
        state: State | None,
        tell: Tell,
        deadline: float = math.inf,  # noqa: ARG002
    ) -> Iterator[State]:
        """Yield the state after every round of chunks, until all forms are examined.

        Its population holds the best forms of each complexity, as first fitted.
        """
        forms, file = forms_of(prepared, self.file), str(self.file)
        self.n_forms = sum(forms.counts.values())
        tell(in_words(forms))
        examiner = Examiner(forms, prepared.fitter)
        search = Exhaustive(examiner, crew, source, file)
        for found in search.search(Tally.from_arrays(state.populations[0]) if state else None):
            epoch, front = -(-found.chunks // ROUND), search.front(found)
            yield State(epoch, found.examined, (found.to_arrays(),), front, improved=epoch)
        tell(f"all {self.n_forms:,} forms were fitted; the front is exact over them")


def in_words(forms: Forms) -> str:
    """How many forms there are, and of which kind."""
    total, largest = sum(forms.counts.values()), min(forms.pair_limit, TERM_COMPLEXITY)
    pairs = total - forms.with_triplets
    text = (
        f"{total:,} forms: {pairs:,} of one or two pair terms up to complexity "
        f"{forms.pair_limit}, each term up to {largest}"
    )
    if any(key.is_triplet for key in forms.keys):
        text += f"; {forms.with_triplets:,} of a pair and a separable three-body term up to "
        text += f"{forms.limit}"
        if forms.with_triplets < FEW:
            text += ": raise [search] exhaustive_complexity_three_body for more"
    return text


Mode = Evolution | Exhaustion
"""How formulas are looked for: what is computed, said, and when it is done."""


def mode_of(settings: Settings, checkpoint: Path = Path()) -> Mode:
    """The mode that a run file asks for; ``checkpoint`` is the folder of the search's state."""
    if settings.search.mode == "exhaustive":
        return Exhaustion(settings, (checkpoint / "forms.npz").resolve())
    return Evolution(settings)
