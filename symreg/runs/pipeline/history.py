"""The files that a search writes after every epoch: its history, checkpoint and front so far."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from symreg import files
from symreg.config import SettingsError
from symreg.runs import RunFolder
from symreg.runs.pipeline import checkpoint
from symreg.runs.pipeline.delivery import Contender, contender_of, pareto, quick_record
from symreg.runs.pipeline.modes import Mode
from symreg.runs.pipeline.preparation import Prepared
from symreg.runs.pipeline.stopping import seconds_left
from symreg.runs.records import FrontLine, MemberRecord, Progress
from symreg.searching.individuals import from_arrays, structure
from symreg.searching.islands import State
from symreg.searching.variation import OPERATORS
from symreg.terms import Expression
from symreg.versions import install


class History:
    """Writes what a search has found, epoch after epoch."""

    def __init__(self, folder: RunFolder, mode: Mode) -> None:
        self.folder = folder
        self.mode = mode
        self.records: dict[Expression, MemberRecord] = {}
        """Members of the last front: errors over all pairs are computed once for each."""

    def record(
        self,
        prepared: Prepared,
        state: State,
        before: Progress,
        seconds: float,
        origin: checkpoint.Origin,
    ) -> Progress:
        """Write history, checkpoint, front and progress after an epoch; return the progress."""
        candidates = pareto([contender_of(prepared, individual) for individual in state.front])
        named = len(prepared.design.keys) > 1
        front = [
            FrontLine(c.expression.complexity, c.error, c.expression.text(named=named))
            for c in candidates
        ]
        generations = self.mode.generations(prepared)
        progress = replace(self._progress(state, before, seconds, generations), front=front)
        # Before its checkpoint a line is dropped on resuming; after it a line could be lost.
        row = {
            "epoch": progress.epoch,
            "generation": progress.generation,
            "seconds": round(progress.seconds, 3),
            "candidates": progress.candidates,
            "lowest_error": progress.lowest_error,
            "front_size": len(progress.front),
            "diversity": round(progress.diversity, 4),
        }
        files.append_row(self.folder.path / "generations.csv", row)
        checkpoint.write(self.folder, state, seconds, origin)
        self.write_rejected(prepared, state)
        self.folder.write_front(self._members(prepared, candidates))
        files.write_json(self.folder.path / "progress.json", progress.to_dict())
        return progress

    def _progress(
        self, state: State, before: Progress, seconds: float, generations: int
    ) -> Progress:
        forms, limits = self.mode.n_forms, self.mode.settings.search
        rate = (state.candidates - before.candidates) / max(seconds - before.seconds, 1e-9)
        remaining = (forms - state.candidates) / max(rate, 1e-9) if forms else None
        return replace(
            before,
            epoch=state.epoch,
            generation=state.epoch * generations,
            seconds=seconds,
            seconds_left=seconds_left(limits, state, seconds, remaining),
            candidates=state.candidates,
            candidates_per_second=rate,
            forms=forms,
            diversity=diversity(state),
            operators=gains(state),
            lowest_error=min((i.error for i in state.front), default=None),
        )

    def _members(self, prepared: Prepared, candidates: list[Contender]) -> list[MemberRecord]:
        """Records of the front so far."""
        known, self.records = self.records, {}
        for c in candidates:
            self.records[c.expression] = known.get(c.expression) or quick_record(prepared, c, 0)
        return [replace(r, number=number) for number, r in enumerate(self.records.values(), 1)]

    def write_rejected(self, prepared: Prepared, state: State) -> None:
        """Write what the gate keeps from the front, and why, to ``rejected.csv``."""
        rows, columns = [], ("complexity", "error", "expression", "reasons")
        for individual in sorted(state.rejected, key=lambda i: (i.complexity, i.error)):
            expression = contender_of(prepared, individual).expression
            reasons = "; ".join(prepared.gate.broken(expression))
            cells = (individual.complexity, individual.error, expression.text(named=True), reasons)
            rows.append(dict(zip(columns, cells, strict=True)))
        files.write_rows(self.folder.path / "rejected.csv", rows, columns)


def gains(state: State) -> dict[str, float]:
    """Part of what each operator made lately that was a gain, on all islands."""
    credits = [p["credit"] for p in state.populations if "credit" in p]
    if not credits:
        return {}
    tried, won = np.sum(credits, axis=0).T
    return dict(zip(OPERATORS, (won / np.maximum(tried, 1.0)).round(5).tolist(), strict=True))


def diversity(state: State) -> float:
    """Distinct structures of formulas over individuals, of all islands together."""
    individuals = [i for population in state.populations for i in from_arrays(population)]
    return len({structure(i.coded_terms) for i in individuals}) / max(len(individuals), 1)


def check_tensorboard() -> None:
    """See that TensorBoard's writer is installed; a SettingsError if it is not."""
    try:
        import tensorboardX  # noqa: F401
    except ImportError:
        raise SettingsError(
            "[output] tensorboard is true, but tensorboardX is not installed: "
            f"{install('tensorboard')}, or set it to false"
        ) from None


@contextmanager
def tensorboard(folder: Path, first: int) -> Iterator[Callable[[Progress], None]]:
    """Call what this gives with the progress of each epoch from the ``first`` to come on.

    What an interrupted search wrote from there on is replaced.
    """
    from tensorboardX import SummaryWriter

    logdir = str(folder / "tensorboard")
    with closing(SummaryWriter(logdir=logdir, purge_step=first)) as writer:
        yield partial(_write_scalars, writer)


def _write_scalars(writer: Any, progress: Progress) -> None:
    """Write the values of one epoch, and its front as a table."""
    values = {
        "candidates": progress.candidates,
        "candidates per second": progress.candidates_per_second,
        "diversity": progress.diversity,
        **{f"gains/{name}": share for name, share in progress.operators.items()},
    }
    if progress.front:
        values["lowest error"] = progress.front[-1][1]
        values["front size"] = len(progress.front)
    for name, value in values.items():
        writer.add_scalar(name, value, progress.epoch)
    rows = [f"| {c} | {error:.4g} | `{text}` |" for c, error, text in progress.front]
    table = "\n".join(["| complexity | error | formula |", "|---|---|---|", *rows])
    writer.add_text("front", table, progress.epoch)
    writer.flush()
