"""A search from start to end: epochs, checkpoints, stopping, delivery."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic
from types import FrameType

import numpy as np
from threadpoolctl import threadpool_limits

from symreg import config
from symreg.config import Settings
from symreg.evolution import EvolutionSettings
from symreg.forms import terms_of_form
from symreg.individuals import Gene, genes_of
from symreg.islands import Islands, IslandSettings, State, labels_beside, processes
from symreg.pipeline import checkpoint
from symreg.pipeline.delivery import candidate_of, deliver, pareto, quick_record
from symreg.pipeline.preparation import (
    Prepared,
    baselines,
    best_fit,
    cautions,
    floor_lines,
    prepare,
)
from symreg.runs import Run, RunFolder, open_run
from symreg.variation import VariationSettings

OnProgress = Callable[["Progress"], None]
MOST_LOSSES = 3
"""Times that an epoch is begun before lost workers end the search."""


@dataclass(frozen=True)
class Progress:
    """How far a search is."""

    epoch: int = 0
    generation: int = 0
    seconds: float = 0.0
    candidates: int = 0
    candidates_per_second: float = 0.0
    floor_error: float | None = None
    front: list[tuple[int, float, str]] = field(default_factory=list)
    """Complexity, error and formula, simplest first."""
    message: str = ""


def search(settings: Settings | str | Path, *, on_progress: OnProgress | None = None) -> Run:
    """Search for formulas.

    Ctrl-C and SIGTERM end the search after the epoch under way; the front is then delivered as
    usual, and ``resume`` continues.

    Parameters
    ----------
    settings
        Settings, or the path of a run file.
    on_progress
        Called with what happens; by default nothing is told.

    Returns
    -------
    The finished run.

    Raises
    ------
    ValueError, OSError
        If the settings or the data cannot be used, or the run folder cannot be written.
    """
    if not isinstance(settings, Settings):
        settings = config.load(settings)
    folder = RunFolder.create(settings)
    started = _Search(settings, folder, on_progress or _ignore)
    try:
        prepared = started.prepare()
    except (ValueError, OSError, KeyboardInterrupt):
        folder.discard()
        raise
    return started.run(prepared)


def resume(folder: str | Path, *, on_progress: OnProgress | None = None) -> Run:
    """Continue an interrupted run to the end that it would have had; a finished one is returned.

    Raises
    ------
    ValueError, OSError
        If there is no run, or its data or checkpoint are not what they were.
    """
    run = open_run(folder)
    if run.manifest.get("status") == "finished":
        return run
    continued = _Search(run.settings, RunFolder(Path(folder)), on_progress or _ignore)
    return continued.run(continued.prepare())


def _ignore(progress: Progress) -> None:
    """Tell nobody."""


class _Search:
    """One search in its run folder."""

    def __init__(self, settings: Settings, folder: RunFolder, on_progress: OnProgress) -> None:
        self.settings = settings
        self.folder = folder
        self.on_progress = on_progress
        self.progress = Progress()
        self.design_file = folder.checkpoint / "design.npz"
        self.before: tuple[State | None, float] = (None, 0.0)
        self.origin = ""

    def run(self, prepared: Prepared) -> Run:
        """Search and deliver, on one BLAS thread: with more, sums would not be reproducible."""
        state, spent = self.before
        with _stop_signals(self._tell) as stopped, threadpool_limits(1):
            state, finished = self._search(prepared, state, spent, stopped)
            self._tell("simplifying the front and checking every formula over all pairs")
            for message in deliver(prepared, self.folder, state.front):
                self._tell(message)
            self._publish(prepared)
        self.folder.finish("finished" if finished else "interrupted")
        return open_run(self.folder.path)

    def _tell(self, message: str) -> None:
        self.folder.log(message)
        self.on_progress(Progress(**{**asdict(self.progress), "message": message}))

    def prepare(self) -> Prepared:
        """Read and project the data; write what is known of them."""
        prepared = prepare(self.settings, self.design_file)
        report, design = prepared.report, prepared.design
        # Before anything is written: the data may not be those of the run any more.
        self.origin = checkpoint.origin(self.settings, report.data_hash)
        self.before = checkpoint.read(self.folder, self.origin) or self.before
        self._check_islands()
        if self.before[0] is None:
            self.folder.clear_history()
        self.folder.write_json("data.json", report.to_dict())
        self.folder.update_manifest(data_hash=report.data_hash, status="running")
        counts = ", ".join(f"{n} {split}" for split, n in report.structures.items() if n)
        self._tell(f"read structures: {counts}; r0 = {prepared.r0:.5g} Å")
        for warning in (*report.warnings, *cautions(prepared)):
            self._tell(f"warning: {warning}")
        floor = asdict(design.floor)
        if design.triplets is not None:
            floor["pair"] = asdict(design.pair_floor)
            floor["products"] = [asdict(one) for one in prepared.products]
        known = baselines(prepared)
        self.folder.write_json("floor.json", {**floor, "baselines": known})
        self.progress = Progress(floor_error=prepared.lowest_floor)
        for line in floor_lines(prepared):
            self._tell(f"floor {line}")
        return prepared

    def _check_islands(self) -> None:
        state, wanted = self.before[0], self.settings.search.islands
        if state is not None and len(state.populations) != wanted:
            raise ValueError(
                f"[search] islands is {wanted}, but the run has {len(state.populations)}; "
                f"set it back in {self.folder.path / 'run.toml'}"
            )

    def _search(
        self, prepared: Prepared, state: State | None, spent: float, stopped: threading.Event
    ) -> tuple[State, bool]:
        """Run epochs until a limit or a signal; whether it was a limit."""
        began = monotonic() - spent
        if state is not None and self._is_over(state, spent):
            return state, True
        with closing(self._states(prepared, state)) as states:
            for state in states:
                seconds = monotonic() - began
                self._record(prepared, state, seconds)
                if self._is_over(state, seconds):
                    return state, True
                if stopped.is_set():
                    return state, False
        raise AssertionError("islands search for ever")

    def _states(self, prepared: Prepared, state: State | None) -> Generator[State, None, None]:
        """The state after every epoch, for ever; an epoch that lost a worker is run again."""
        settings = island_settings(self.settings)
        if prepared.design.many_body:
            prepared.labelled.save(labels_beside(self.design_file))
        workers = min(self.settings.search.workers, settings.islands)
        losses = 0
        while losses < MOST_LOSSES:
            with ExitStack() as stack:
                executor = None
                if workers > 1:
                    executor = stack.enter_context(processes(workers, self.design_file, settings))
                islands = Islands(
                    prepared.design,
                    settings,
                    _seeds(prepared),
                    executor,
                    prepared.fitter,
                    prepared.gate,
                )
                try:
                    for reached in islands.search(state):
                        state, losses = reached, 0
                        yield reached
                except BrokenExecutor:
                    losses += 1
                    self._tell("a worker process was lost; its epoch is run again")
        raise OSError(
            f"worker processes were lost {losses} times in one epoch, perhaps for want of memory; "
            f"set workers lower in {self.folder.path / 'run.toml'} and resume"
        )

    def _is_over(self, state: State, seconds: float) -> bool:
        limits = self.settings.search
        if limits.epochs is not None and state.epoch >= limits.epochs:
            return True
        if limits.target is not None and state.front and state.front[-1].error <= limits.target:
            return True
        return limits.minutes is not None and seconds >= 60.0 * limits.minutes

    def _record(self, prepared: Prepared, state: State, seconds: float) -> None:
        """Checkpoint, history, front so far, and a word to the caller."""
        checkpoint.write(self.folder, state, seconds, self.origin)
        candidates = pareto([candidate_of(prepared, individual) for individual in state.front])
        generation = state.epoch * self.settings.search.generations_per_epoch
        rate = (state.candidates - self.progress.candidates) / max(
            seconds - self.progress.seconds, 1e-9
        )
        self.folder.append_row(
            "generations.csv",
            {
                "epoch": state.epoch,
                "generation": generation,
                "seconds": round(seconds, 3),
                "candidates": state.candidates,
                "lowest_error": min((i.error for i in state.front), default=None),
                "front_size": len(candidates),
            },
        )
        self._record_rejected(prepared, state)
        numbered, several = enumerate(candidates, 1), len(prepared.design.keys) > 1
        self.folder.write_front([quick_record(prepared, c, number) for number, c in numbered])
        self.progress = Progress(
            epoch=state.epoch,
            generation=generation,
            seconds=seconds,
            candidates=state.candidates,
            candidates_per_second=rate,
            floor_error=prepared.lowest_floor,
            front=[
                (c.expression.complexity, c.error, c.expression.text(named=several))
                for c in candidates
            ],
        )
        self.on_progress(self.progress)

    def _record_rejected(self, prepared: Prepared, state: State) -> None:
        """What the gate keeps from the front, and why."""
        if prepared.gate is None:
            return
        rows = []
        for individual in state.rejected:
            expression = candidate_of(prepared, individual).expression
            rows.append(
                {
                    "complexity": individual.complexity,
                    "error": individual.error,
                    "expression": expression.text(named=True),
                    "reasons": "; ".join(prepared.gate.broken(expression)),
                }
            )
        columns = ("complexity", "error", "expression", "reasons")
        self.folder.write_rows("rejected.csv", rows, columns)

    def _publish(self, prepared: Prepared) -> None:
        """LAMMPS files of the recommended member, and the page of the run."""
        from symreg import report

        run = open_run(self.folder.path)
        if not run.front:
            rejected = self.folder.path / "rejected.csv"
            why = f"; {rejected} says what the gate kept away" if prepared.gate else ""
            self._tell(f"no candidate was valid: widen [terms] r_cut or check the data{why}")
            return
        best = run.best()
        self._tell(f"writing LAMMPS files of member {best.number} and running LAMMPS on them")
        try:
            best.potential.export_lammps(best.folder / "lammps")
        except ValueError as error:
            self._tell(f"no LAMMPS files: {error}")
        report.write(run, prepared.structures)


def island_settings(settings: Settings) -> IslandSettings:
    """What a run file says of islands, evolution and variation."""
    search = settings.search
    return IslandSettings(
        islands=search.islands,
        generations_per_epoch=search.generations_per_epoch,
        seed=search.seed,
        evolution=EvolutionSettings(population_size=search.population_size),
        variation=VariationSettings(
            max_complexity=settings.terms.max_complexity,
            max_fitted=settings.terms.max_constants,
            general=settings.terms.three_body == "general",
        ),
    )


def _seeds(prepared: Prepared) -> list[tuple[Gene, ...]]:
    """Known forms that a search may start from, with fitted constants."""
    if not prepared.settings.terms.library_seeds:
        return []
    found, general = [], prepared.settings.terms.three_body == "general"
    for form in prepared.forms:
        if form.is_seed and (general or form.is_separable):
            expression, loss = best_fit(prepared, terms_of_form(form, prepared.design.keys))
            fits = expression.complexity <= prepared.settings.terms.max_complexity
            most = prepared.settings.terms.max_constants
            fits = fits and (most is None or expression.n_constants <= most)
            if fits and np.isfinite(loss):
                found.append(genes_of(expression.terms, prepared.design.keys))
    return found


@contextmanager
def _stop_signals(tell: Callable[[str], None]) -> Iterator[threading.Event]:
    """Note the first Ctrl-C or SIGTERM; a second Ctrl-C interrupts at once."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        stopped.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        # A signal may come in the midst of another print, where Python allows none.
        with suppress(RuntimeError):
            tell("stopping after this epoch; Ctrl-C again stops at once, at the last checkpoint")

    for number in before:
        signal.signal(number, note)
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
