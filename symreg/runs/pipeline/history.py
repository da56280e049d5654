"""The files that a search writes after every epoch: its history, checkpoint and front so far."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

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
        progress = replace(self._progress(state, before, seconds), front=front)
        # Before its checkpoint a line is dropped on resuming; after it a line could be lost.
        self.folder.append_row("generations.csv", _row(progress))
        checkpoint.write(self.folder, state, seconds, origin)
        self.write_rejected(prepared, state)
        self.folder.write_front(self._members(prepared, candidates))
        self.folder.write_json("progress.json", progress.to_dict())
        return progress

    def _progress(self, state: State, before: Progress, seconds: float) -> Progress:
        forms, limits = self.mode.n_forms, self.mode.settings.search
        rate = (state.candidates - before.candidates) / max(seconds - before.seconds, 1e-9)
        remaining = (forms - state.candidates) / max(rate, 1e-9) if forms else None
        return replace(
            before,
            epoch=state.epoch,
            generation=state.epoch * self.mode.generations,
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
        known = self.records
        self.records = {
            c.expression: known.get(c.expression) or quick_record(prepared, c, 0)
            for c in candidates
        }
        return [replace(r, number=number) for number, r in enumerate(self.records.values(), 1)]

    def write_rejected(self, prepared: Prepared, state: State) -> None:
        """Write what the gate keeps from the front, and why, to ``rejected.csv``."""
        if prepared.gate is None:
            return
        rows = []
        for individual in state.rejected:
            expression = contender_of(prepared, individual).expression
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


def _row(progress: Progress) -> dict[str, object]:
    """A line of ``generations.csv``."""
    return {
        "epoch": progress.epoch,
        "generation": progress.generation,
        "seconds": round(progress.seconds, 3),
        "candidates": progress.candidates,
        "lowest_error": progress.lowest_error,
        "front_size": len(progress.front),
        "diversity": round(progress.diversity, 4),
    }


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
