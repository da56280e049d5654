"""How many generations an epoch has where a run file leaves it to the data."""

from __future__ import annotations

from symreg.fit.rows.fitter import DirectFitter
from symreg.runs.pipeline.preparation import Prepared
from symreg.searching.backfitting import CHEAPER

EPOCH = 6e9
"""Work of an epoch of one island in units of about a nanosecond, two for each core of 2020."""
MOST = 100
"""Generations of an epoch at the most, or islands would hardly learn from each other."""
BREEDING = 80_000
"""Work of an individual of pair terms that is bred and fitted, whatever the data."""
TENSOR, DIRECT, ATOM, CLOSE = 8.5, 4e6, 65, 190
"""Work of a three-body value, a function of sums, there of a node of an atom, of a neighbour."""


def automatic_generations(prepared: Prepared) -> int:
    r"""Count the generations that fill an epoch of some ten seconds.

    .. math:: n = 6\cdot 10^9 / w, \quad w = P\,[(1 + 10 b)(8\cdot 10^4 + R V) + 8.5\,R T
        + d\,(4\cdot 10^6 + 65\,N M + 190\,C)], \quad 1 \le n \le 100

    Here P is the size of the population, R the rows of the projected design, M the nodes of a pair
    of species, V those of all pairs, since a term is a function of each, and T the points of the
    grid of triplets; b is 1 where there are others than pair terms, for around those pair terms are
    bred ten times as long, and d is 1 where there are functions of
    sums, whose screening meets N atoms and C neighbours within the cutoff of triplets. The factors
    were measured, and are constants: the number is the same on every machine.
    """
    design, population = prepared.design, prepared.settings.search.population_size
    rows, nodes, fitter = design.training.target.size, design.n_nodes, prepared.fitter
    values = design.n_pair_values
    has_others = design.many_body or bool(design.triplet_grids)
    work = (1.0 + CHEAPER * has_others) * (BREEDING + rows * values)
    work += TENSOR * fitter.grid.tensors.matrix.size
    if isinstance(fitter, DirectFitter):
        met, reach = fitter.few.rows.chosen, prepared.lengths.farthest(2)
        work += DIRECT + ATOM * nodes * int(met.start[-1])
        if reach is not None:
            work += CLOSE * len(met.joined(reach))
    return min(max(1, round(EPOCH / (population * work))), MOST)
