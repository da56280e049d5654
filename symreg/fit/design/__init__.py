"""The projected design: a whole data set squeezed into a small triangular matrix.

A pair term enters every energy, force and stress linearly through its values on Chebyshev nodes.
The matrix of that map is reduced structure by structure by tall-skinny QR decompositions: then a
candidate's error over all data costs a product with a small matrix, however many structures.
"""

from symreg.fit.design.blocks import block_errors
from symreg.fit.design.build import build_design, load_or_build_design
from symreg.fit.design.design import Design, Problem
from symreg.fit.design.products import product_floors
from symreg.fit.design.triangles import triangle

__all__ = [
    "Design",
    "Problem",
    "block_errors",
    "build_design",
    "load_or_build_design",
    "product_floors",
    "triangle",
]
