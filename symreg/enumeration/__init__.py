"""Exhaustive search: all forms up to a complexity, each fitted from several starts.

The front is exact over the forms: none of the class that ``Forms`` lists is left out. Each form is
as good as the best of its starts, which for forms with several constants need not be the best of
all; the number of starts is a setting.
"""

from symreg.enumeration.examine import Examined, Examiner, ExamineSettings, best_of
from symreg.enumeration.forms import Forms, Terms
from symreg.enumeration.functions import ANGULAR, RADIAL, Grammar
from symreg.enumeration.listing import list_forms
from symreg.enumeration.search import (
    CHUNK,
    Chunk,
    Exhaustive,
    Progress,
    load_forms,
    plan,
    processes,
    save_forms,
)

__all__ = [
    "ANGULAR",
    "CHUNK",
    "RADIAL",
    "Chunk",
    "ExamineSettings",
    "Examined",
    "Examiner",
    "Exhaustive",
    "Forms",
    "Grammar",
    "Progress",
    "Terms",
    "best_of",
    "list_forms",
    "load_forms",
    "plan",
    "processes",
    "save_forms",
]
