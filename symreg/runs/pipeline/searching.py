"""A search from start to end: epochs, checkpoints, stopping, delivery."""

from __future__ import annotations

import errno
import math
from collections.abc import Generator, Mapping
from concurrent.futures import Executor
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from time import monotonic, time
from typing import Any

from threadpoolctl import threadpool_limits

from symreg import config, files
from symreg.config import Settings
from symreg.runs import Run, RunFolder, open_run
from symreg.runs.pipeline import checkpoint, seeds
from symreg.runs.pipeline.cautions import cautions
from symreg.runs.pipeline.delivery import deliver
from symreg.runs.pipeline.floors import floor_lines, floor_record, frozen_lines, label_line
from symreg.runs.pipeline.given import Data, Given
from symreg.runs.pipeline.history import History, check_tensorboard, tensorboard
from symreg.runs.pipeline.modes import mode_of
from symreg.runs.pipeline.preparation import Prepared, prepare
from symreg.runs.pipeline.stopping import Stop, limit_reached, refuse_limits
from symreg.runs.progress import OnProgress, default_progress, ignore
from symreg.runs.records import Progress
from symreg.searching.islands import State
from symreg.searching.tasks import Source, WorkersLostError, labels_beside
from symreg.structures import DataReport, in_words
from symreg.workers.executors import Crew, Engine, given, processes


def search(
    settings: Settings | Mapping[str, Any] | str | Path,
    *,
    train: Data | None = None,
    validation: Data | None = None,
    test: Data | None = None,
    on_progress: OnProgress | None = None,
    executor: Executor | Engine | None = None,
) -> Run:
    """Search for formulas; the finished run.

    Ctrl-C, SIGTERM, the stop button of a notebook, a terminal that closes and ``symreg stop`` end
    the search after the epoch under way; the front is then delivered as usual, and ``resume``
    continues.

    Parameters
    ----------
    settings
        Settings, the path of a run file, or a dictionary of tables as a run file has them.
    train, validation, test
        Lists of ``ase.Atoms``, or files, in place of those that the settings name. Labels are in
        calculator, ``info`` or ``arrays``, as in files. The run folder keeps the structures, as
        ``train.extxyz`` and so on.
    on_progress
        Called with what happens; by default a notebook shows it, and nothing is told elsewhere.
    executor
        Computes the epochs of the islands: any ``concurrent.futures.Executor`` whose workers see
        the run folder; by default as many processes as ``[search] workers``. The result is the
        same.

    Raises
    ------
    ValueError, TypeError, OSError
        If the settings or the data cannot be used, or the run folder cannot be written.
    """
    given_here = Given(settings, {"train": train, "validation": validation, "test": test})
    settings = given_here.settings
    if settings.output.tensorboard:
        check_tensorboard()
    seeds.check(settings)
    folder = RunFolder.check(settings)
    given_here.check(folder)
    with folder.held(), threadpool_limits(1):  # with more threads sums would not be reproducible
        RunFolder.create(settings)
        started = _Search(settings, folder, on_progress or default_progress(), executor)
        try:
            with given_here.kept(folder):
                prepared = started.prepare()
        except (ValueError, OSError, KeyboardInterrupt):
            folder.discard()
            raise
        return started.run(prepared)


def resume(
    folder: str | Path,
    *,
    epochs: int | None = None,
    minutes: float | None = None,
    on_progress: OnProgress | None = None,
    executor: Executor | Engine | None = None,
) -> Run:
    """Continue an interrupted run to the end that it would have had; a finished one is returned.

    Parameters
    ----------
    folder
        The run folder.
    epochs, minutes
        Other limits in place of those of ``[search]``, counted from the beginning of the run; with
        them a finished run goes on too. The front is that of a run which had these epochs at once.
    on_progress, executor
        As for ``search``.

    Raises
    ------
    ValueError, OSError
        If there is no run, its data, settings or checkpoint are not what they were, or it has
        come to these limits already.
    """
    run, longer = open_run(folder), epochs is not None or minutes is not None
    settings, finished = run.settings, run.manifest.get("status") == "finished"
    if longer:
        settings = _with_limits(run, epochs, minutes)
    elif finished:
        return run
    if settings.output.tensorboard:
        check_tensorboard()
    held = RunFolder(Path(folder))
    with held.held(), threadpool_limits(1):
        tell = on_progress or default_progress()
        continued = _Search(settings, held, tell, executor, goes_further=longer)
        prepared = continued.prepare()
        if longer:
            files.write_text(held.path / "run.toml", config.dumps(settings, held.path))
        return continued.run(prepared)


def _with_limits(run: Run, epochs: int | None, minutes: float | None) -> Settings:
    """The settings of a run with other limits, if it can go on."""
    if run.settings.search.mode == "exhaustive" and run.manifest.get("status") == "finished":
        raise ValueError(
            f"{run.folder} has fitted every form; raise [search] exhaustive_complexity in a new run"
        )
    limits = replace(run.settings.search, epochs=epochs, minutes=minutes)
    return replace(run.settings, search=limits)


class _Search:
    """One search in its run folder."""

    def __init__(
        self,
        settings: Settings,
        folder: RunFolder,
        on_progress: OnProgress,
        executor: Executor | Engine | None = None,
        goes_further: bool = False,
    ) -> None:
        self.settings = settings
        self.folder = folder
        self.goes_further = goes_further  # than it was to go: from a checkpoint, and past it
        self.on_progress = on_progress
        self.engine = given(executor) if isinstance(executor, Executor) else executor
        self.mode = mode_of(settings, folder.checkpoint)
        wanted = settings.search.workers
        workers = min(wanted, settings.search.most_workers or wanted)
        if self.engine is None and workers > 1:
            self.engine = processes(workers)
        self.progress = Progress(workers=self.engine.name if self.engine else "1 process")
        self.design_file = folder.checkpoint / "design.npz"
        self.before: tuple[State | None, float] = (None, 0.0)
        self.stop = Stop(folder)
        self.history = History(folder, self.mode)
        self.scalars: OnProgress = ignore
        self.has_begun = False

    def run(self, prepared: Prepared) -> Run:
        """Search and deliver."""
        state, spent = self.before
        self.has_begun = True
        with self.stop.by_signals(self._tell, self._fall_silent), ExitStack() as stack:
            stack.enter_context(threadpool_limits(1))  # again: of libraries loaded since, too
            if self.settings.output.tensorboard:
                first = state.epoch + 1 if state else 1
                self.scalars = stack.enter_context(tensorboard(self.folder.path, first))
            state, finished = self._search(prepared, state, spent)
            self.stop.when = "once the front is written"
            self._tell("simplifying the front and checking every formula over all pairs")
            for message in deliver(prepared, self.folder, state.front):
                self._tell(message)
            self._publish(prepared)
        self.folder.finish("finished" if finished else "interrupted")
        return open_run(self.folder.path)

    def _fall_silent(self) -> None:
        self.on_progress = ignore

    def _show(self, progress: Progress) -> None:
        """Hand on what happens, until the terminal that shows it is gone; then end the search."""
        try:
            self.on_progress(progress)
        except KeyboardInterrupt:
            if self.stop.is_asked() or not self.has_begun:  # twice, or there is no front yet
                raise
            self.stop.ask()
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):
                raise
            self._fall_silent()
            self.stop.ask()

    def _tell(self, message: str) -> None:
        self.folder.log(message)
        self._show(replace(self.progress, message=message))

    def prepare(self) -> Prepared:
        """Read and project the data; write what is known of them."""
        said: list[str] = []

        def hear(message: str) -> None:
            said.append(message)
            self._show(replace(self.progress, message=message))

        prepared = prepare(self.settings, self.design_file, self._accept, hear)
        report, state = prepared.report, self.before[0]
        if state is not None:
            checkpoint.check_keys(self.folder, state, prepared.design.keys)
        self.folder.clear_history(state.epoch if state else 0)
        for message in said:
            self.folder.log(message)
        assumed = [str(one) for one in prepared.gate.assumed]
        record = {**report.to_dict(), "ground_states": assumed}
        files.write_json(self.folder.path / "data.json", record)
        self.folder.note_start(report.data_hash, self.settings.search.minutes is None)
        counts = ", ".join(f"{n} {split}" for split, n in report.structures.items() if n)
        self._tell(f"read structures: {counts}; r0 = {prepared.lengths.r0:.5g} Å")
        for name, text in in_words(report, self.settings.data):
            if name != "structures":
                self._tell(f"{name}: {text}")
        self._tell(f"gate: {prepared.gate.in_words()}")
        for warning in cautions(prepared):
            self._tell(f"warning: {warning}")
        floor = floor_record(prepared)
        files.write_json(self.folder.path / "floor.json", floor.to_dict())
        lowest = prepared.lowest_floor
        doubts = floor.doubts or ()
        self.progress = replace(self.progress, floor_error=lowest, doubts=doubts)
        self._tell(f"labels {label_line(prepared)}")
        for line in frozen_lines(prepared):
            self._tell(f"frozen {line}")
        for line in floor_lines(prepared):
            self._tell(f"floor {line}")
        for doubt in doubts:
            self._tell(f"warning: {doubt}")
        self.mode.make_ready(prepared, self._tell)
        return prepared

    def _accept(self, report: DataReport) -> None:
        """Take up the checkpoint, if there is one and these are the data of the run."""
        self.origin = checkpoint.Origin.of(self.settings, report.data_hash)
        found = checkpoint.read(self.folder, self.origin)
        if found is None:
            if (
                self.goes_further
                and open_run(self.folder.path).manifest.get("status") == "finished"
            ):
                raise ValueError(f"{self.folder.path} holds no checkpoint that it could go on from")
            return
        self.before = state, seconds = found[:2]
        counted = seconds if self.mode.counts_earlier else 0.0
        refuse_limits(self.settings.search, state, counted, self.goes_further)
        self._tell(found[2] or f"going on from epoch {state.epoch}")

    def _search(self, prepared: Prepared, state: State | None, spent: float) -> tuple[State, bool]:
        """Run epochs until a limit or a request to stop; whether nothing is left to ``resume``."""
        began, limits = monotonic(), self.settings.search
        counted = spent if self.mode.counts_earlier else 0.0
        left = math.inf if limits.minutes is None else 60.0 * limits.minutes - counted
        if state is not None and limit_reached(limits, state, counted):
            return state, True
        with closing(self._states(prepared, state, time() + left)) as states:
            for state in states:
                passed = monotonic() - began
                self._record(prepared, state, passed + spent)
                if limit := limit_reached(limits, state, passed + counted):
                    self._tell(f"the search ends: {limit}")
                    return state, state.candidates >= self.mode.n_forms
                if self.stop.is_asked():
                    return state, False
        assert state is not None  # there is at least one form
        return state, True

    def _states(
        self, prepared: Prepared, state: State | None, deadline: float
    ) -> Generator[State, None, None]:
        """The state after every epoch, for ever, or until there is nothing more to examine."""
        prepared.labelled.save(labels_beside(self.design_file))
        source = Source(str(self.design_file.resolve()), self.origin.token)
        with ExitStack() as stack:
            crew = None
            if self.engine is not None:
                preload = self.mode.preload(prepared, source)
                crew = stack.enter_context(Crew(self.engine, self._tell, preload))
            try:
                found = self.mode.states(prepared, crew, source, state, self._tell, deadline)
                yield from found
            except WorkersLostError as error:
                raise OSError(
                    f"{error}; set workers lower in {self.folder.path / 'run.toml'} and resume"
                ) from None

    def _record(self, prepared: Prepared, state: State, seconds: float) -> None:
        """Write what an epoch has found, and tell the caller."""
        before, origin = self.progress, self.origin
        self.progress = self.history.record(prepared, state, before, seconds, origin)
        self.scalars(self.progress)
        self._show(self.progress)

    def _publish(self, prepared: Prepared) -> None:
        """LAMMPS files of the recommended member, and the page of the run."""
        from symreg.runs import report

        run = open_run(self.folder.path)
        if not run.front:
            rejected = self.folder.path / "rejected.csv"
            why = f"; {rejected} says what the gate kept away"
            self._tell(f"no candidate was valid: widen [terms] r_cut or check the data{why}")
            return
        best = run.best()
        self._tell(f"writing LAMMPS files of member {best.number} and running LAMMPS on them")
        try:
            best.potential.export_lammps(best.folder / "lammps")
        except ValueError as error:
            self._tell(f"no LAMMPS files: {error}")
        report.write(run, prepared.structures)
        for doubt in run.doubts:
            self.folder.log(f"warning: {doubt}")
