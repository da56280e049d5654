"""Options that several commands have, and what they mean."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from symreg.workers.executors import Engine

RunFolderArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]
RunFileArgument = Annotated[Path, typer.Argument(metavar="RUN.toml", help="The run file.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Replace a setting, as in search.seed=3."),
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Move a run that lies there aside, once you name it.")
]
YesOption = Annotated[bool, typer.Option("--yes", help="With --overwrite: without being asked.")]
DaskLocal = Annotated[
    int | None, typer.Option(metavar="N", help="Use N workers of dask on this machine.")
]
DaskFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Use the workers of this scheduler of dask.")
]
DaskSlurm = Annotated[
    int | None, typer.Option(metavar="N", help="Use N workers, jobs that dask-jobqueue submits.")
]


def overrides(changes: list[str] | None) -> dict[str, str]:
    """Split ``key=value`` texts."""
    pairs = [change.partition("=") for change in changes or []]
    for key, sign, _ in pairs:
        if not (key.strip() and sign):
            raise ValueError(f"--set {key} has no value; write --set KEY=VALUE, as in seed=3")
    return {key.strip(): value.strip() for key, _, value in pairs}


def engine(local: int | None, file: Path | None, slurm: int | None) -> Engine | None:
    """The workers of dask that were asked for."""
    if sum(choice is not None for choice in (local, file, slurm)) > 1:
        raise ValueError("--dask-local, --dask-scheduler-file and --dask-slurm exclude each other")
    from symreg.workers import cluster

    if local is not None:
        return cluster.local(local)
    if slurm is not None:
        return cluster.slurm(slurm)
    return None if file is None else cluster.scheduler(file)
