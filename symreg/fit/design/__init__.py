"""The projected design: a whole data set squeezed into a small triangular matrix.

A pair term enters every energy, force and stress linearly through its values on a fixed grid of
Chebyshev nodes. The matrix of that map is reduced structure by structure with a tall-skinny QR
decomposition, so that a candidate's error over all data costs a product with a small matrix,
whatever the number of structures.
"""

from symreg.fit.design.build import build_design, load_or_build_design
from symreg.fit.design.design import Design, Floor, Problem, triangle
from symreg.fit.design.grid import (
    TAIL_LENGTH,
    chebyshev_coefficients,
    chebyshev_nodes,
    relative_tail,
)
from symreg.fit.design.products import ProductFloor, product_floors
from symreg.fit.design.three_body import TripletGrid

__all__ = [
    "TAIL_LENGTH",
    "Design",
    "Floor",
    "Problem",
    "ProductFloor",
    "TripletGrid",
    "build_design",
    "chebyshev_coefficients",
    "chebyshev_nodes",
    "load_or_build_design",
    "product_floors",
    "relative_tail",
    "triangle",
]
