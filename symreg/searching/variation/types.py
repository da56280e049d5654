"""Types of trees and their primitive set, in DEAP's terms, made from the table of operators."""

from __future__ import annotations

import math
import operator
import zlib
from collections.abc import Sequence
from typing import Any

from deap import gp

from symreg.language.operators import FUNCTIONS, OPERATORS, REAL
from symreg.language.text import Nested
from symreg.searching.randomness import random
from symreg.terms.kinds import kind_of, kinds
from symreg.terms.term import Key


class _StableType(type):
    """Types whose hash does not depend on their address.

    DEAP's crossover draws from a set of types; by address its order, and so the result for a
    given seed, would differ from process to process.
    """

    def __init__(cls, name: str, *arguments: Any) -> None:
        super().__init__(name, *arguments)
        cls._hash = zlib.crc32(name.encode())

    def __hash__(cls) -> int:
        return cls._hash


Radial = _StableType("Radial", (), {})
"""A function of a reduced distance."""
Angular = _StableType("Angular", (), {})
"""A function of the cosine."""
Triplet = _StableType("Triplet", (), {})
"""A function of both reduced distances and the cosine."""
Separable = _StableType("Separable", (), {})
"""A product of one radial factor for both neighbours and an angular factor."""
Atomic = _StableType("Atomic", (), {})
"""A function of sums."""
Constant = _StableType("Constant", (Radial, Angular, Triplet, Atomic), {})
"""A real number that is fitted."""
Integer = _StableType("Integer", (), {})
"""An integer exponent."""
Degree = _StableType("Degree", (), {})
"""A small positive exponent."""
Power = _StableType("Power", (), {})
"""A small exponent of either sign."""

EXPONENTS = tuple(n for n in range(-14, 9) if n not in (0, 1))
"""Integer exponents of the primitive set."""
DEGREES = (2, 3, 4, 5, 6)
"""Exponents of functions of the cosine."""
POWERS = (-3, -2, -1, 2, 3)
"""Exponents of functions of sums."""


def root_of(key: Key) -> type:
    """Type of the trees of a key that are no products."""
    return Atomic if key.is_function else Triplet if key.is_triplet else Radial


SUFFIX: dict[Any, str] = {Radial: "", Angular: "_c", Triplet: "_t", Atomic: "_a"}
"""How the names of the primitives of each type end."""
SUMMED = "sum_"
"""How the names of sums begin; what they are over follows."""
EXPONENT: dict[Any, type] = {Radial: Integer, Angular: Degree, Triplet: Integer, Atomic: Power}
"""Type of the integer exponents of each type."""
VARIABLES: dict[Any, tuple[str, ...]] = {
    Radial: ("x",),
    Angular: ("c",),
    Triplet: ("x1", "x2", "c_t"),
}
"""Names of the leaves of each type; what follows the underscore only keeps names apart."""


def functions_of(kind: type) -> tuple[str, ...]:
    """Functions that are defined wherever an argument of this type may be."""
    everywhere = kind in (Radial, Atomic)
    return tuple(name for name in FUNCTIONS if everywhere or OPERATORS[name].domain == REAL)


def random_constant() -> float:
    """A new constant of either sign, mostly between 1 and 5 in size."""
    return float(random.choice((-1.0, 1.0))) * math.exp(random.gauss(0.7, 0.8))


def name_of_sum(head: Nested) -> str:
    """Name of the primitive of a sum with such a head."""
    over, _, *species = head
    return SUMMED + "_".join((over, *species))


def primitive_set(heads: Sequence[Nested] = (), unlike: bool = False) -> gp.PrimitiveSetTyped:
    """The primitive set: typed operators, sums, variables, constants and exponents.

    There are sums over neighbours of the centre's species, and those of ``heads`` of others; with
    ``unlike`` products of a radial factor for each neighbour.
    """
    variables = [(name, kind) for kind, names in VARIABLES.items() for name in names]
    pset = gp.PrimitiveSetTyped("symreg", [kind for _, kind in variables], Separable)
    pset.renameArguments(**{f"ARG{n}": name for n, (name, _) in enumerate(variables)})
    for kind, suffix in SUFFIX.items():
        for name in ("add", "sub", "mul", "div"):
            pset.addPrimitive(operator.add, [kind, kind], kind, name=name + suffix)
        for name in functions_of(kind):
            pset.addPrimitive(operator.neg, [kind], kind, name=name + suffix)
        pset.addPrimitive(operator.pow, [EXPONENT[kind], kind], kind, name="powi" + suffix)
        pset.addTerminal(1, kind, name="one" + suffix)
    for kind in (Radial, Atomic):
        pset.addPrimitive(operator.pow, [kind, Constant], kind, name="pow" + SUFFIX[kind])
    pset.addPrimitive(operator.mul, [Radial, Angular], Separable, name="product")
    if unlike:
        pset.addPrimitive(operator.mul, [Radial, Radial, Angular], Separable, name="unlike")
    for head in (*((kind.over, kind.name) for kind in kinds()), *heads):
        summand = Radial if len(kind_of(head[0]).variables) == 1 else Separable
        pset.addPrimitive(operator.neg, [summand], Atomic, name=name_of_sum(head))
    for kind, exponents in ((Integer, EXPONENTS), (Degree, DEGREES), (Power, POWERS)):
        for n in exponents:
            pset.addTerminal(n, kind)
    pset.addEphemeralConstant("constant", random_constant, Constant)
    return pset
