"""The commands. Whatever is slow to import is imported by the command that needs it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from symreg import __version__
from symreg.cli.choosing import ComplexityOption, MemberOption, chosen
from symreg.cli.formulas import FormulaCommand
from symreg.cli.lines import folded
from symreg.cli.one_run import OneRunCommand
from symreg.cli.options import (
    DaskFile,
    DaskLocal,
    DaskSlurm,
    OverwriteOption,
    RunFileArgument,
    RunFolderArgument,
    SetOption,
    YesOption,
    engine,
    overrides,
)

if TYPE_CHECKING:
    from symreg.runs import Run


PATIENCE = 1.0
"""Minutes that a dry run may project."""


class _Commands(TyperGroup):
    """Mistakes end in one line, not a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; print what a user can put right and exit with 1."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except KeyboardInterrupt:
            typer.echo("symreg: stopped; what a search had reached is in its folder", err=True)
            raise typer.Exit(130) from None
        except (ValueError, OSError) as error:
            typer.echo(f"symreg: {error}", err=True)
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Interatomic potentials as formulas, from DFT energies and forces.",
)


def main() -> None:
    """Run the command line; an output that knows no Å shows a question mark instead.

    SIGTERM and a terminal that closes end it as Ctrl-C does, so that nothing is left behind.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    app()


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"symreg {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def demo(
    name: Annotated[
        str, typer.Argument(help="argon: pairs; silicon: and triplets; copper: and neighbour sums.")
    ] = "argon",
    folder: Annotated[
        Path | None, typer.Argument(help="Where to put the run; argon-demo and the like if absent.")
    ] = None,
    overwrite: OverwriteOption = False,
    yes: YesOption = False,
) -> None:
    """Find a formula for argon, silicon or copper, from DFT to LAMMPS, in a minute or two."""
    from symreg.runs import pipeline

    with _room(folder or Path(f"{name}-demo"), [], overwrite, yes):
        _show_search(partial(pipeline.demo, name, folder))


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="The folder with your data.")] = Path(),
) -> None:
    """Write a commented run file for the structures in a folder."""
    from symreg.cli.beginning import begin

    for line in begin(folder):
        typer.echo(line)


@app.command()
def data(
    files: Annotated[list[str], typer.Argument(help="Files of structures, or one run file.")],
    changes: SetOption = None,
) -> None:
    """Say what is in files of structures, and what a fit to them would stumble over."""
    from pathlib import PurePath

    from symreg import config
    from symreg.structures.proposals import use_of

    if len(files) == 1 and files[0].endswith(".toml"):
        settings = config.load(files[0], overrides(changes))
    else:
        by_use: dict[str, list[str]] = {}
        for name in files:
            by_use.setdefault(use_of(PurePath(PurePath(name).name)), []).append(name)
        record = {"data": by_use if "train" in by_use else {"train": files}}
        settings = config.from_dict(record, overrides=overrides(changes))
    from symreg.runs import pipeline

    typer.echo(pipeline.data(settings))


@app.command(cls=OneRunCommand)
def run(
    run_file: RunFileArgument,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read the data, print the plan, search nothing.")
    ] = False,
    floor: Annotated[
        bool, typer.Option("--floor", help="With --dry-run: find the floor, however long it takes.")
    ] = False,
    changes: SetOption = None,
    overwrite: OverwriteOption = False,
    yes: YesOption = False,
    dask_local: DaskLocal = None,
    dask_scheduler_file: DaskFile = None,
    dask_slurm: DaskSlurm = None,
) -> None:
    """Search for formulas as a run file says."""
    from symreg import config

    settings = config.load(run_file, overrides(changes))
    # The slow imports come after the mistakes that can be found without them.
    from symreg.runs import pipeline

    if dry_run:
        patience = float("inf") if floor else PATIENCE
        tell = partial(typer.echo, err=True)
        typer.echo(pipeline.dry_run(settings, tell=tell, patience=patience))
        return
    workers = engine(dask_local, dask_scheduler_file, dask_slurm)
    data, seeds = settings.data, settings.search.seeds_from
    names = [*data.train, *data.validation, *data.test, *filter(None, [seeds])]
    names += settings.terms.frozen
    needed = [run_file, *(settings.base / name for name in names)]
    with _room(settings.folder, needed, overwrite, yes):
        _show_search(partial(pipeline.search, settings, executor=workers))


def _room(
    folder: Path, needed: list[Path], overwrite: bool, yes: bool
) -> AbstractContextManager[None]:
    """Move a run aside, if that is asked for."""
    if not overwrite:
        return nullcontext()
    from symreg.cli.overwriting import room_for

    return room_for(folder, needed, yes=yes)


@app.command(cls=OneRunCommand)
def resume(
    folder: RunFolderArgument,
    epochs: Annotated[
        int | None, typer.Option(metavar="N", help="Go on to N epochs in all, also if finished.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(metavar="M", help="Or to M minutes in all.")
    ] = None,
    dask_local: DaskLocal = None,
    dask_scheduler_file: DaskFile = None,
    dask_slurm: DaskSlurm = None,
) -> None:
    """Continue a run that was interrupted, to the same end; or a finished one, further."""
    from symreg.cli.advice import going_further
    from symreg.runs import pipeline

    workers = engine(dask_local, dask_scheduler_file, dask_slurm)
    further = "" if epochs or minutes else going_further(folder)
    _show_search(partial(pipeline.resume, folder, epochs=epochs, minutes=minutes, executor=workers))
    if further:
        typer.echo(folded(further))


def _show_search(search: Callable[..., Run]) -> None:
    """Show a search as it goes, and what it found."""
    from symreg.cli.live import progress
    from symreg.cli.summary import summary

    with progress() as report:
        finished = search(on_progress=report)
    typer.echo(folded(summary(finished)))


@app.command(cls=OneRunCommand)
def stop(folder: RunFolderArgument) -> None:
    """End a search that runs elsewhere, after its epoch; it delivers its front."""
    from symreg.runs import RunFolder, open_run

    open_run(folder)
    owner = RunFolder(folder).ask_to_stop()
    typer.echo(f"asked {owner} to stop; it delivers its front after the epoch under way")


@app.command(cls=OneRunCommand)
def watch(
    folder: RunFolderArgument,
    once: Annotated[bool, typer.Option("--once", help="Print how it stands, and end.")] = False,
) -> None:
    """Follow a search that runs elsewhere, until it ends; Ctrl-C ends the watching alone."""
    from symreg.cli.live import follow, in_lines, progress

    if once:
        end = follow(
            folder, lambda now: typer.echo(folded(now.message or in_lines(now))), once=True
        )
    else:
        with progress() as report:
            end = follow(folder, report)
    typer.echo(folded(end))


@app.command(cls=OneRunCommand)
def show(
    folder: RunFolderArgument, member: MemberOption = None, complexity: ComplexityOption = None
) -> None:
    """Print the front of a run and its recommended formula, or another."""
    from symreg.cli.advice import about_progress
    from symreg.cli.summary import summary
    from symreg.runs import open_run

    found = open_run(folder)
    typer.echo(folded(summary(found, chosen(found, member, complexity) if found.front else None)))
    if damaged := about_progress(folder):
        typer.echo(f"warning: {damaged}", err=True)


@app.command(cls=FormulaCommand)
def fit(
    formula: Annotated[str, typer.Argument(help="As in 'eps*((s/r)^12 - (s/r)^6)'.")],
    data: Annotated[list[str], typer.Argument(help="Files of structures.")],
    variable: Annotated[
        str, typer.Option(help="Name of the distance: r in angstrom, or x = r/r0.")
    ] = "r",
    r_cut: Annotated[float, typer.Option(help="Cutoff radius in angstrom.")] = 6.0,
    cutoff: Annotated[
        str, typer.Option(help="none, septic, cosine, poet or stillinger_weber.")
    ] = "septic",
    to: Annotated[
        Path | None,
        typer.Option(help="Folder for potential.json, and LAMMPS files of every style in its own."),
    ] = None,
    changes: SetOption = None,
) -> None:
    """Fit the constants of one formula: names, and numbers that have a point."""
    from symreg import config

    record = {"data": {"train": data}, "terms": {"r_cut": r_cut, "cutoff": cutoff}}
    settings = config.from_dict(record, overrides=overrides(changes))
    from symreg.runs import pipeline

    found = pipeline.fit(formula.strip(), settings, variable=variable)
    typer.echo(folded(found.text()))
    if to is not None:
        from symreg.cli.every_style import export_every_style

        found.potential.save(to / "potential.json")
        for line in export_every_style(found.potential, to):
            typer.echo(folded(line))
        typer.echo(f"files: {to}")


@app.command(cls=OneRunCommand)
def validate(
    folder: RunFolderArgument, member: MemberOption = None, complexity: ComplexityOption = None
) -> None:
    """Repeat the physics checks of a run's formulas, or of one of them."""
    from symreg.runs import open_run, pipeline

    alone = None
    if member is not None or complexity is not None:
        alone = chosen(open_run(folder), member, complexity).number
    typer.echo(folded(pipeline.validate(folder, alone)))


@app.command(cls=OneRunCommand)
def export(
    folder: RunFolderArgument,
    member: MemberOption = None,
    complexity: ComplexityOption = None,
    style: Annotated[
        str,
        typer.Option(
            help="auto; of pairs table, lepton, native; with triplets meam, sw; with sums over "
            "neighbours eam; of all plugin."
        ),
    ] = "auto",
    to: Annotated[
        Path | None, typer.Option(help="Folder for the files; the member's own if left out.")
    ] = None,
) -> None:
    """Write LAMMPS files for a formula and compare LAMMPS with it."""
    from symreg.cli.summary import parity_text
    from symreg.runs import open_run

    exported = chosen(open_run(folder), member, complexity)
    target = to or exported.folder / "lammps"
    typer.echo(folded(parity_text(exported.potential.export_lammps(target, style=style))))
    typer.echo(f"LAMMPS files: {target}")


@app.command("slurm-script")
def slurm_script(
    run_file: RunFileArgument,
    workers: Annotated[
        int | None, typer.Option(help="Worker processes; one for each island if left out.")
    ] = None,
    hours: Annotated[float, typer.Option(help="Longest time of the job.")] = 4.0,
    partition: Annotated[str, typer.Option(help="Partition of the cluster.")] = "",
    account: Annotated[str, typer.Option(help="Account to charge.")] = "",
) -> None:
    """Print a job for SLURM that searches on many nodes, and goes on when submitted again."""
    from symreg import config
    from symreg.workers import cluster

    settings = config.load(run_file)
    most, islands = settings.search.most_workers, settings.search.islands
    count = islands if workers is None else workers
    job = cluster.slurm_script(run_file, settings.folder, count, most, hours, partition, account)
    typer.echo(job, nl=False)


@app.command()
def doctor() -> None:
    """Check that everything symreg needs works here."""
    from symreg.cli.doctor import examine

    findings = examine()
    for finding in findings:
        typer.echo(f"{finding.mark:<5} {finding.name:<20} {finding.detail}")
    if any(finding.mark == "FAIL" for finding in findings):
        raise typer.Exit(1)
