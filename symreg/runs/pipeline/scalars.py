"""How a search goes, for TensorBoard; needs ``pip install "symreg[tensorboard]"``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from symreg.config import SettingsError

if TYPE_CHECKING:
    from symreg.runs.records import Progress

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


class Scalars:
    """Writes events for TensorBoard; a context that closes their file.

    Parameters
    ----------
    folder
        The run folder.
    first
        The first epoch to come: what an interrupted search wrote from there on is replaced.
    """

    def __init__(self, folder: Path, first: int) -> None:
        from tensorboardX import SummaryWriter

        self.writer = SummaryWriter(logdir=str(folder / FOLDER), purge_step=first)

    def __enter__(self) -> Scalars:
        """Nothing to prepare."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the file."""
        self.writer.close()

    def write(self, progress: Progress) -> None:
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
            self.writer.add_scalar(name, value, progress.epoch)
        rows = [f"| {c} | {error:.4g} | `{text}` |" for c, error, text in progress.front]
        table = "\n".join(["| complexity | error | formula |", "|---|---|---|", *rows])
        self.writer.add_text("front", table, progress.epoch)
        self.writer.flush()
