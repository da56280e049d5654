"""The floor of pair and three-body terms together: what any such formula could reach.

The three-body function is general, psi(r_ij, r_ik, cos theta_jik), symmetric in j and k: products
of Chebyshev polynomials of both distances and of the cosine, times both cutoff functions.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from symreg.cutoff import Cutoff
from symreg.neighbours import structure_pairs
from symreg.projection.build import Accumulator
from symreg.projection.design import Design, Floor
from symreg.projection.rows import add_triplet_rows
from symreg.structures import Structures

Floats = NDArray[np.float64]

N_RADIAL, N_ANGULAR = 12, 10
"""Polynomials of each distance and of the cosine."""
MOST_NEIGHBOURS = 200
"""Beyond it triplets are too many to be worth their time."""
_SINGULAR = 1e-10
"""Singular values below this part of the largest count as zero."""


class _JointAccumulator(Accumulator):
    """Collects rows whose columns are pair polynomials, then three-body polynomials."""

    def __init__(self, design: Design, cutoff: Cutoff, cutoff_three_body: Cutoff) -> None:
        super().__init__(design, cutoff)
        self.cutoff_three_body = cutoff_three_body
        self.r_lo = float(design.r_lo.min())

    def rows(
        self, structures: Structures, s: int, kind: NDArray[np.int64]
    ) -> tuple[Floats, Floats, Floats]:
        """What each column contributes to energy, forces and virial of one structure."""
        pair_energy, pair_forces, pair_virial = super().rows(structures, s, kind)
        n, size = kind.size, self.design.n_three_body
        energy, forces, virial = np.zeros(size), np.zeros((n, 3, size)), np.zeros((6, size))
        pairs = structure_pairs(structures, s, self.cutoff_three_body.r_cut)
        start = np.searchsorted(pairs.i, np.arange(n + 1))
        most = int(np.diff(start).max(initial=0))
        if most > MOST_NEIGHBOURS:
            raise ValueError(
                f"{structures.source[s]} has an atom with {most} neighbours within "
                f"[terms] r_cut_three_body = {self.cutoff_three_body.r_cut:g} Å; "
                f"choose a radius with at most {MOST_NEIGHBOURS}"
            )
        radial, slope = self._radial(pairs.r)
        add_triplet_rows(
            start, pairs.j, pairs.r, pairs.unit, radial, slope, N_ANGULAR, energy, forces, virial
        )
        return (
            np.concatenate([pair_energy.ravel(), energy]),
            np.concatenate([pair_forces.reshape(n, 3, -1), forces], axis=2),
            np.concatenate([pair_virial.reshape(6, -1), virial], axis=1),
        )

    def _radial(self, r: Floats) -> tuple[Floats, Floats]:
        """Chebyshev polynomials times f_c and their derivatives in 1/Å, shape (P, N_RADIAL)."""
        scale = 2.0 / (self.cutoff_three_body.r_cut - self.r_lo)
        s = (r - self.r_lo) * scale - 1.0
        value = chebyshev.chebvander(s, N_RADIAL - 1)
        derivative = chebyshev.chebval(s, chebyshev.chebder(np.eye(N_RADIAL), axis=0)).T * scale
        fade = self.cutoff_three_body.value(r)[:, None]
        fade_slope = self.cutoff_three_body.slope(r)[:, None]
        return value * fade, derivative * fade + value * fade_slope


def three_body_floor(
    structures: Structures, design: Design, cutoff: Cutoff, cutoff_three_body: Cutoff
) -> Floor:
    """The lowest training error of any smooth pair and three-body terms together.

    Parameters
    ----------
    structures
        The data of one element.
    design
        The projected design of the pair terms.
    cutoff, cutoff_three_body
        Cutoff functions of both kinds of terms.

    Raises
    ------
    ValueError
        If there are several elements, no triplets, or too many neighbours.
    """
    if len(structures.species) > 1:
        raise ValueError(
            "the floor with three-body terms is known for one element only; the data hold "
            f"{', '.join(structures.species)}; leave out [terms] r_cut_three_body"
        )
    size = N_RADIAL * (N_RADIAL + 1) // 2 * N_ANGULAR
    joint = replace(design, n_three_body=size, cells={}, counts={})
    collected = _JointAccumulator(joint, cutoff, cutoff_three_body)
    for s in range(len(structures)):
        collected.add(structures, s, bootstrap_block=0)
    return _solve(collected.finish())


def _solve(joint: Design) -> Floor:
    problem = joint.training
    scale = np.linalg.norm(problem.matrix, axis=0)
    scale[scale == 0] = 1.0
    if not problem.matrix[:, -joint.n_three_body :].any():
        raise ValueError(
            "no atom has two neighbours within [terms] r_cut_three_body, so there are no "
            "triplets; make it larger, or leave it out"
        )

    def best(kept: NDArray[np.bool_]) -> tuple[Floats, float]:
        columns = problem.matrix[:, kept] / scale[kept]
        found = np.zeros(kept.size)
        found[kept] = np.linalg.lstsq(columns, problem.target, rcond=_SINGULAR)[0] / scale[kept]
        gap = problem.matrix @ found - problem.target
        return found, 0.5 * (float(gap @ gap) + problem.rest)

    every = np.ones(problem.target.size, dtype=bool)
    coarse = every.copy()
    coarse[-joint.n_three_body :] = _lower_degrees()
    _, loss_coarser = best(coarse)
    values, loss = best(every)
    return Floor(
        error=joint.error(loss),
        error_coarser=joint.error(loss_coarser),
        rmse=joint.rmse(problem.e0(values), values),
        n_nodes=joint.n_nodes,
    )


def _lower_degrees() -> NDArray[np.bool_]:
    """Three-body columns with three quarters of the degrees in every coordinate."""
    radial = np.arange(N_RADIAL) < 3 * N_RADIAL // 4
    angular = np.arange(N_ANGULAR) < 3 * N_ANGULAR // 4
    first, second = np.triu_indices(N_RADIAL)
    return np.repeat(radial[first] & radial[second], N_ANGULAR) & np.tile(angular, first.size)
