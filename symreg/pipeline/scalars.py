"""How a search goes, for TensorBoard; needs ``pip install "symreg[tensorboard]"``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from symreg.config import SettingsError

if TYPE_CHECKING:
    from symreg.pipeline.progress import Progress

FOLDER = "tensorboard"
"""Where in the run folder the events are."""


def check_installed() -> None:
    """See that the writer is there, before a search begins.

    Raises
    ------
    SettingsError
        If it is not.
    """
    try:
        import tensorboardX  # noqa: F401
    except ImportError:
        raise SettingsError(
            "[output] tensorboard is true, but tensorboardX is not installed: pip install "
            '"symreg[tensorboard]", or set it to false'
        ) from None


def write(folder: Path, progress: Progress) -> None:
    """Write the events of one epoch.

    A file of its own for each: one that was cut off costs its epoch alone, and a search that goes
    on from an earlier epoch replaces what came after it.
    """
    from tensorboardX import SummaryWriter

    where: dict[str, Any] = {
        "logdir": str(folder / FOLDER),
        "filename_suffix": f".{progress.epoch}",
        "purge_step": progress.epoch,
    }
    with SummaryWriter(**where) as writer:
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
