"""Searches from data to delivered potentials: the one place that knows both halves."""

from symreg.pipeline.commands import demo, dry_run, export, validate
from symreg.pipeline.fitting import FitResult, fit
from symreg.pipeline.progress import Progress
from symreg.pipeline.searching import resume, search

__all__ = [
    "FitResult",
    "Progress",
    "demo",
    "dry_run",
    "export",
    "fit",
    "resume",
    "search",
    "validate",
]
