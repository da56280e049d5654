"""Many-body terms of a batch, taken apart: the function, what each of its sums sums, constants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from symreg.fit.forces.embedding import Bend, Bonds, bend_sums, embed
from symreg.fit.programs.evaluation import differentiate, evaluate
from symreg.fit.programs.interpreter import ARITY
from symreg.language.operators import PRIMITIVES, SUMS

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_SUM, _CONST = PRIMITIVES["sum"].code, PRIMITIVES["const"].code
_PRODUCT = PRIMITIVES["product"].code
_PLACES = [PRIMITIVES[name].code for name in SUMS]


class Part(NamedTuple):
    """A tree with those constants of its term that it holds."""

    code: Integers
    arg: Integers
    """As compiled code reads them."""
    used: Integers
    """Which constants of the term it holds, shape (k,)."""


class Embedding(NamedTuple):
    """A function of neighbour sums and what they sum."""

    outer: Part
    summands: tuple[Part, ...]


def embedding(code: Integers, arg: Integers) -> Embedding | None:
    """Take a many-body term apart; None where it has no sum, or more different ones than places."""
    summands: list[tuple[tuple[int, int], ...]] = []
    outer: list[tuple[int, int]] = []
    nodes = list(zip(code.tolist(), arg.tolist(), strict=True))
    place = 0
    while place < len(nodes):
        if nodes[place][0] != _SUM:
            outer.append(nodes[place])
            place += 1
            continue
        end = _end(nodes, place + 1)
        summand = tuple(nodes[place + 1 : end])
        if summand not in summands:
            summands.append(summand)
        if len(summands) > len(SUMS):
            return None
        outer.append((_PLACES[summands.index(summand)], 0))
        place = end
    if not summands:
        return None
    return Embedding(_part(outer), tuple(_part(list(summand)) for summand in summands))


def _end(nodes: Sequence[tuple[int, int]], start: int) -> int:
    """One past the last node of the subtree that begins at ``start``."""
    missing = 1
    while missing:
        missing += int(ARITY[nodes[start][0]]) - 1
        start += 1
    return start


def _part(nodes: list[tuple[int, int]]) -> Part:
    used = list(dict.fromkeys(arg for code, arg in nodes if code == _CONST))
    args = [used.index(arg) if code == _CONST else arg for code, arg in nodes]
    codes = [code for code, _ in nodes]
    return Part(*(np.array(column, dtype=np.int64) for column in (codes, args, used)))


COSINES = np.linspace(-1.0, 1.0, 129)
"""Where functions of the cosine are tabulated."""


class Near(NamedTuple):
    """Pairs within the reach of triplets, with their cutoff function."""

    bonds: Bonds
    x: Floats
    """Reduced distances, shape (P,)."""
    fade: Floats
    """f_c, shape (P,)."""
    fade_slope: Floats
    """Its derivative by x, shape (P,)."""
    r0: float
    """Å."""

    def bend(self, part: Part, constants: Floats) -> Bend:
        """What a product sums, for the constants of its term."""
        radial, angular = _factors(part)
        h, h_slope = evaluate(radial.code, radial.arg, constants[radial.used], self.x)
        p, p_slope = evaluate(angular.code, angular.arg, constants[angular.used], COSINES)
        slope = (h_slope * self.fade + h * self.fade_slope) / self.r0
        return Bend(h * self.fade, slope, p, p_slope)


def is_bend(part: Part) -> bool:
    """Whether a summand is a product over every two neighbours."""
    return bool(part.code[0] == _PRODUCT)


def _factors(part: Part) -> tuple[Part, Part]:
    """The radial and the angular factor of a product."""
    nodes = [
        (code, int(part.used[arg]) if code == _CONST else arg)
        for code, arg in zip(part.code.tolist(), part.arg.tolist(), strict=True)
    ]
    middle = _end(nodes, 1)
    return _part(nodes[1:middle]), _part(nodes[middle:])


class Variants(NamedTuple):
    """Values of D variants of a term with A sums on M nodes and N atoms."""

    nodes: Floats
    """What is summed on the nodes, shape (A, D, M); zero for sums over every two neighbours."""
    value: Floats
    """F of every atom, shape (D, N)."""
    by_sum: Floats
    """Its derivatives by the sums, shape (A, D, N)."""
    bends: dict[tuple[int, int], Bend]
    """What is summed over every two neighbours, by sum and variant."""


def variants(
    term: Embedding,
    constants: Floats,
    steps: Floats,
    x: Floats,
    sums: Floats,
    near: Near | None = None,
) -> Variants:
    """The term, and as many variants as ``steps``: each with one constant moved by its step.

    Parameters
    ----------
    term, constants
        The term and its constants, shape (K,).
    steps
        By how much each constant is moved, shape (K,) or none at all.
    x
        Reduced distances of the nodes, shape (M,).
    sums
        From node values to the sums of every atom, shape (N, M).
    near
        Their neighbours within the reach of triplets; without it sums over every two are zero.
    """
    count = 1 + steps.size
    moved = np.repeat(constants[None, :], count, axis=0)
    if steps.size:
        moved[1:] += np.diag(steps)
    nodes = np.zeros((len(term.summands), count, x.size))
    densities = np.empty((len(term.summands), count, len(sums)))
    bends: dict[tuple[int, int], Bend] = {}
    for a, part in enumerate(term.summands):
        if is_bend(part):
            _bend_variants(a, part, moved, near, densities[a], bends)
            continue
        value, slopes = differentiate(part.code, part.arg, constants[part.used], x, False)
        nodes[a] = value
        if steps.size:
            for k, slope in zip(part.used, slopes, strict=True):
                nodes[a, 1 + k] += steps[k] * slope
        densities[a] = nodes[a] @ sums.T
    value, by_sum = embed(term.outer.code, term.outer.arg, moved[:, term.outer.used], densities)
    return Variants(nodes, value, by_sum, bends)


def _bend_variants(
    a: int,
    part: Part,
    moved: Floats,
    near: Near | None,
    densities: Floats,
    bends: dict[tuple[int, int], Bend],
) -> None:
    """Fill sums over every two neighbours (D, N), and what they sum."""
    if near is None:
        densities[:] = 0.0
        return
    for d in range(len(moved)):
        if d and d - 1 not in part.used:
            bends[a, d], densities[d] = bends[a, 0], densities[0]
            continue
        bends[a, d] = near.bend(part, moved[d])
        bend_sums(near.bonds, bends[a, d], densities[d])
