"""Searches from data to delivered potentials: the one place that knows both halves."""

from symreg.runs.pipeline.commands import data, demo, dry_run, validate
from symreg.runs.pipeline.fitting import FitResult, fit
from symreg.runs.pipeline.searching import resume, search

__all__ = ["FitResult", "data", "demo", "dry_run", "fit", "resume", "search", "validate"]
