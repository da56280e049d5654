"""Exhaustive search: all forms of at most two terms up to a complexity, each from several starts.

The front is exact over forms: none of the class that ``list_forms`` lists is left out. A form is as
good as the best of a fixed number of starts, each fitted by a limited number of Levenberg-Marquardt
steps; the best of each complexity are then fitted to the end. With several constants the best of
these starts need not be the best of all.

Families of functions are listed once, as far as ``families`` tells them apart: of terms without
constants up to complexity 11, one in 200 is another one still, by multiplying out or bringing
fractions together.
"""
