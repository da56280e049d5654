"""Run folders: written by a search, read as a ``Run`` with its front."""

from symreg.runs.folder import RunFolder
from symreg.runs.member import Member
from symreg.runs.results import Comparison, Front, Run, open_run, recommended

__all__ = ["Comparison", "Front", "Member", "Run", "RunFolder", "open_run", "recommended"]
