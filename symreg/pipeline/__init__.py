"""Searches from data to delivered potentials: the one place that knows both halves."""

from symreg.pipeline.commands import demo, dry_run, export, validate
from symreg.pipeline.fitting import FitResult, fit
from symreg.pipeline.searching import Progress, resume, search

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
