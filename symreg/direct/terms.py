"""Many-body terms of a batch, taken apart: the function, what each of its sums sums, constants."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from symreg.kernels.embedding import embed
from symreg.kernels.interpreter import ARITY
from symreg.kernels.programs import differentiate
from symreg.primitives import PRIMITIVES, SUMS

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_SUM, _CONST = PRIMITIVES["sum"].code, PRIMITIVES["const"].code
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
        end, missing = place + 1, 1
        while missing:
            missing += int(ARITY[nodes[end][0]]) - 1
            end += 1
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


def _part(nodes: list[tuple[int, int]]) -> Part:
    used = list(dict.fromkeys(arg for code, arg in nodes if code == _CONST))
    args = [used.index(arg) if code == _CONST else arg for code, arg in nodes]
    codes = [code for code, _ in nodes]
    return Part(*(np.array(column, dtype=np.int64) for column in (codes, args, used)))


class Variants(NamedTuple):
    """Values of D variants of a term with A sums on M nodes and N atoms."""

    nodes: Floats
    """What is summed on the nodes, shape (A, D, M)."""
    value: Floats
    """F of every atom, shape (D, N)."""
    by_sum: Floats
    """Its derivatives by the sums, shape (A, D, N)."""


def variants(
    term: Embedding, constants: Floats, steps: Floats, x: Floats, sums: Floats
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
    """
    count = 1 + steps.size
    nodes = np.empty((len(term.summands), count, x.size))
    for at, part in zip(nodes, term.summands, strict=True):
        value, slopes = differentiate(part.code, part.arg, constants[part.used], x, False)
        at[:] = value
        if steps.size:
            for k, slope in zip(part.used, slopes, strict=True):
                at[1 + k] += steps[k] * slope
    moved = np.repeat(constants[None, term.outer.used], count, axis=0)
    if steps.size:
        for place, k in enumerate(term.outer.used):
            moved[1 + k, place] += steps[k]
    densities = (nodes.reshape(-1, x.size) @ sums.T).reshape(*nodes.shape[:2], -1)
    value, by_sum = embed(term.outer.code, term.outer.arg, moved, densities)
    return Variants(nodes, value, by_sum)
