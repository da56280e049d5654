"""Many-body terms fitted to labels themselves, since no projection holds what is not linear."""

from symreg.fit.rows.fitter import DirectFitter
from symreg.fit.rows.labelled import Labelled
from symreg.fit.rows.rows import Rows, all_rows, screening_rows

__all__ = ["DirectFitter", "Labelled", "Rows", "all_rows", "screening_rows"]
