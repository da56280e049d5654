"""Many-body terms fitted to labels themselves, since no projection holds what is not linear."""

from symreg.direct.fitter import DirectFitter
from symreg.direct.labelled import Labelled
from symreg.direct.rows import Rows, all_rows, screening_rows

__all__ = ["DirectFitter", "Labelled", "Rows", "all_rows", "screening_rows"]
