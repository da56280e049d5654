"""The HTML page of a run: one file that holds its figures and needs no network."""

from symreg.runs.report.page import write

__all__ = ["write"]
