"""Demos, plans, checks and exports."""

from __future__ import annotations

import difflib
import math
from dataclasses import replace
from importlib.resources import files as resources
from pathlib import Path
from textwrap import fill

from symreg import config
from symreg.checks import check
from symreg.checks.report import PhysicsReport
from symreg.config import Settings
from symreg.files import counted
from symreg.fit.design.cost import TooLongError
from symreg.fit.errors import errors
from symreg.records import ALL
from symreg.runs import Member, Run, open_run
from symreg.runs.pipeline import seeds
from symreg.runs.pipeline.cautions import cautions
from symreg.runs.pipeline.delivery import write_validation
from symreg.runs.pipeline.floors import floor_lines, floor_record, frozen_lines, label_line
from symreg.runs.pipeline.modes import mode_of
from symreg.runs.pipeline.preparation import Prepared, prepare
from symreg.runs.pipeline.searching import search
from symreg.runs.pipeline.stopping import Tell, limits_in_words
from symreg.runs.progress import OnProgress
from symreg.runs.records import BOTH, TRAINING
from symreg.runs.trust import told, verdict, worse_in_words
from symreg.structures import DataReport, in_words, survey_structures
from symreg.structures import crystals as crystals_in


def demo(
    name: str = "argon", folder: str | Path | None = None, *, on_progress: OnProgress | None = None
) -> Run:
    """Search data that come with the package; a run of a minute or two.

    There is ``argon`` of pairs, ``silicon`` of pairs and triplets, and ``copper`` of pairs and
    neighbour sums. The run folder is ``argon-demo`` and the like unless given.
    """
    data = resources("symreg") / "data"
    names = sorted(entry.name for entry in data.iterdir() if (entry / "demo.toml").is_file())
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(names)}."
        raise ValueError(
            f"there is no demo '{name}'; {hint} A folder comes after the name: "
            f"`symreg demo {names[0]} FOLDER`"
        )
    settings = config.load(str(data / name / "demo.toml"))
    into = Path(folder or settings.output.folder).absolute()
    output = replace(settings.output, folder=str(into))
    return search(replace(settings, output=output), on_progress=on_progress)


def dry_run(settings: Settings, tell: Tell = lambda _: None, patience: float = math.inf) -> str:
    """Say what a search would do: data, floor, baselines and limits; nothing is written.

    What takes long tells how far it is. Where projecting the data takes more than ``patience`` in
    minutes, the plan says so instead of the floor and what needs it.
    """
    seeds.check(settings)
    said: list[str] = []
    reports: list[DataReport] = []

    def hear(message: str) -> None:
        said.append(message)
        tell(message)

    try:
        prepared = prepare(settings, accept=reports.append, tell=hear, patience=patience)
    except TooLongError as error:
        data = [f"{name:<11} {text}" for name, text in in_words(reports[0], settings.data)]
        how = "--floor beside --dry-run finds it all the same"
        lines = [*data, f"memory      {error}", f"floor       not looked for; {how}"]
        return "\n".join([*lines, *_limits(settings)])
    report, design = prepared.report, prepared.design
    told = list(in_words(report, settings.data))
    noticed = [line for line in told if line[0] in ("note", "warning")]
    lines = [
        *(f"{name:<11} {text}" for name, text in told if (name, text) not in noticed),
        f"distances   {design.r_lo.min():.4g} to {design.r_cut:.4g} Å, r0 = {design.r0:.5g} Å",
        f"design      {design.n_nodes} nodes for each of {counted(len(design.pair_keys), 'pair')} "
        "of species",
        f"labels      {label_line(prepared)}",
        *(f"frozen      {line}" for line in frozen_lines(prepared)),
        *(f"memory      {line}" for line in said if " GB" in line or " MB" in line),
        *(f"floor       {line}" for line in floor_lines(prepared)),
    ]
    floor = floor_record(prepared)
    for name, found in floor.baselines.items():
        lines.append(
            f"baseline    {name}: error {found.error:.4g}, {counted(found.n_constants, 'constant')}"
        )
    lines += [f"{name:<11} {text}" for name, text in noticed]
    warnings = *cautions(prepared), *(floor.doubts or ())
    lines += [f"warning     {text}" for text in warnings]
    return "\n".join([*lines, *_limits(settings)])


def _limits(settings: Settings) -> list[str]:
    """Last lines of a plan: how it searches, until when, and where to."""
    mode, limits = mode_of(settings), settings.search
    ends = " or ".join(filter(None, [*limits_in_words(limits), mode.end]))
    return [
        f"search      {mode.plan()}, {counted(limits.workers, 'worker')}, until {ends}",
        f"output      {settings.folder}",
    ]


def data(settings: Settings) -> str:
    """Say all that a run would notice of its data; they need not fit into memory.

    Raises
    ------
    ValueError, OSError
        If a file or label is unusable.
    """
    terms = settings.terms
    _, report = survey_structures(
        settings.data, settings.base, r_cut=terms.r_cut, functions=terms.n_functions
    )
    lines = (f"{name:<11} {text}" for name, text in in_words(report, settings.data))
    return "\n".join(fill(line, 100, subsequent_indent=" " * 12) for line in lines)


def validate(folder: str | Path, number: int | None = None) -> str:
    """Check every member of a run again: errors in all splits, dimers, walls and crystals.

    Or the one of that ``number`` alone. The results replace ``validation.json`` of each. A
    ValueError or OSError if there is no run or member, or the data cannot be read any more.
    """
    run = open_run(folder)
    if not run.front:
        raise ValueError(f"{folder} has no front yet; `symreg resume {folder}`")
    members = run.front if number is None else [run.member(number)]
    prepared = prepare(run.settings)
    crystals, lines = [*prepared.crystals, *crystals_in(prepared.structures)], []
    failed: dict[int, int] = {}
    for member in members:
        report = check(member.potential.formula, crystals, prepared.knows_atoms)
        lines += _validate_member(prepared, member, report)
        failed[member.number] = sum(not one.passed for one in report.checks)
    listed = ", ".join(f"{number} ({count})" for number, count in failed.items() if count)
    found = f"{counted(sum(failed.values()), 'check FAILS', 'checks FAIL')}, by member: {listed}"
    return "\n".join([*lines, found if listed else "all checks passed"])


def _validate_member(prepared: Prepared, member: Member, report: PhysicsReport) -> list[str]:
    """Compute the errors of a member again, write them with the checks, and tell both."""
    terms, e0 = member.potential.formula.expression, member.potential.formula.e0
    if member.refitted:  # to the structures whose errors are to be told
        terms = member.record.terms + prepared.frozen.expression
        e0 = member.record.e0 or e0
    found = errors(prepared.structures, prepared.exact.predict(terms, e0))
    judged = verdict(found, prepared.settings.loss)
    write_validation(member.folder / "validation.json", report, found, judged)
    lines = [f"member {member.number}: {member.expression}"]
    if member.refitted:
        lines.append(f"  RMSE of {TRAINING}; checks of {BOTH}")
    for split, by in found.items():
        for group, part in {ALL: by, **(by.groups or {})}.items():
            where = split if group == ALL else f"{split}, group {group}"
            parts = [f"{q} {told(q, one)}" for q, one in part.by_quantity().items()]
            lines.append(f"  RMSE {where}: {'; '.join(parts)}")
    if judged.unfit:
        lines.append(f"  NOT fit for use: {judged.unfit}")
    lines += [f"  {text}" for text in worse_in_words(judged.worse)]
    marks = {True: "ok  ", False: "FAIL"}
    return [*lines, *(f"  {marks[one.passed]} {one.name}: {one.detail}" for one in report.checks)]
