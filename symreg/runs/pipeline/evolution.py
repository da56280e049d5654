"""The evolutionary mode: islands evolve until a limit ends the search."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from symreg.config import Settings
from symreg.runs.pipeline import seeds
from symreg.runs.pipeline.preparation import Prepared
from symreg.runs.pipeline.stopping import Tell
from symreg.searching.island import EvolutionSettings
from symreg.searching.islands import Islands, IslandSettings, State, backfitting_from
from symreg.searching.tasks import Source, kept
from symreg.searching.variation import VariationSettings
from symreg.workers.executors import Crew, Preload


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
        return f"{limits.islands} islands of {limits.population_size}"

    @property
    def generations(self) -> int:
        """Generations of an epoch."""
        return self.settings.search.generations_per_epoch

    def preload(self, source: Source) -> Preload:
        """Work of every worker before its first task: it reads the design."""
        return partial(kept, backfitting_from, source, island_settings(self.settings))

    def states(
        self,
        prepared: Prepared,
        crew: Crew | None,
        source: Source,
        state: State | None,
        tell: Tell,  # noqa: ARG002
    ) -> Iterator[State]:
        """Yield the state after every epoch; without one to go on from, begin with known forms."""
        beginning = []
        if state is None:
            beginning = [*seeds.of_known_forms(prepared), *seeds.of_another_run(prepared)]
        islands = Islands(
            prepared.design,
            island_settings(self.settings),
            beginning,
            crew,
            source,
            prepared.fitter,
            prepared.gate,
        )
        return islands.search(state)


def island_settings(settings: Settings) -> IslandSettings:
    """Settings of islands, evolution and variation that a run file holds."""
    search = settings.search
    return IslandSettings(
        islands=search.islands,
        generations_per_epoch=search.generations_per_epoch,
        seed=search.seed,
        evolution=EvolutionSettings(population_size=search.population_size),
        variation=VariationSettings(
            max_complexity=settings.terms.max_complexity,
            max_constants=settings.terms.max_constants,
            max_sums=settings.terms.max_sums,
            general=settings.terms.three_body == "general",
        ),
    )
