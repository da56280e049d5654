"""The projected design: a whole data set squeezed into a small triangular matrix.

A pair term enters every energy, force and stress linearly through its values on a fixed grid of
Chebyshev nodes. The matrix of that map is reduced structure by structure with a tall-skinny QR
decomposition, so that a candidate's error over all data costs a product with a small matrix,
whatever the number of structures.
"""

from symreg.fit.design.build import build_design, load_or_build_design
from symreg.fit.design.design import Design, Problem, triangle
from symreg.fit.design.products import product_floors

__all__ = [
    "Design",
    "Problem",
    "build_design",
    "load_or_build_design",
    "product_floors",
    "triangle",
]
