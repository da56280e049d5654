"""Run folders: written by a search, read as a ``Run`` with its front."""

from symreg.runs.comparison import Comparison, in_words
from symreg.runs.folder import CHECKPOINT, PREVIOUS, RunFolder, machine, now
from symreg.runs.member import Member
from symreg.runs.results import Front, Run, open_run, recommended

__all__ = [
    "CHECKPOINT",
    "PREVIOUS",
    "Comparison",
    "Front",
    "Member",
    "Run",
    "RunFolder",
    "in_words",
    "machine",
    "now",
    "open_run",
    "recommended",
]
