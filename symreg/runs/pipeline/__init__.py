"""Searches from data to delivered potentials: the one place that knows both halves."""

from symreg.runs.pipeline.commands import demo, dry_run, export, validate
from symreg.runs.pipeline.fitting import FitResult, fit
from symreg.runs.pipeline.searching import resume, search
from symreg.runs.records import Progress

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
