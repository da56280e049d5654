"""Types of trees and their primitive set, in DEAP's terms, made from the table of operators."""

from __future__ import annotations

import math
import operator
import zlib
from typing import Any

from deap import gp

from symreg.language.canonical import X
from symreg.language.operators import FUNCTIONS, OPERATORS, REAL
from symreg.language.text import Nested
from symreg.language.tree import nodes
from symreg.searching.randomness import random
from symreg.terms.kinds import Kind, kinds


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


class Radial(metaclass=_StableType):
    """A function of a reduced distance."""


class Angular(metaclass=_StableType):
    """A function of the cosine."""


class Triplet(metaclass=_StableType):
    """A function of both reduced distances and the cosine."""


class Separable(metaclass=_StableType):
    """A product of one radial factor for both neighbours and an angular factor."""


class Atomic(metaclass=_StableType):
    """A function of sums."""


class Constant(Radial, Angular, Triplet, Atomic):
    """A real number that is fitted."""


class Integer(metaclass=_StableType):
    """An integer exponent."""


class Degree(metaclass=_StableType):
    """A small positive exponent."""


class Power(metaclass=_StableType):
    """A small exponent of either sign."""


EXPONENTS = tuple(n for n in range(-14, 9) if n not in (0, 1))
"""Integer exponents of the primitive set."""
DEGREES = (2, 3, 4, 5, 6)
"""Exponents of functions of the cosine."""
POWERS = (-3, -2, -1, 2, 3)
"""Exponents of functions of sums."""

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
_ARITHMETIC = ("add", "sub", "mul", "div")


def functions_of(kind: type) -> tuple[str, ...]:
    """Functions that are defined wherever an argument of this type may be."""
    everywhere = kind in (Radial, Atomic)
    return tuple(name for name in FUNCTIONS if everywhere or OPERATORS[name].domain == REAL)


def type_of_summand(kind: Kind) -> type:
    """Type of what a kind of sum sums: a function of a distance, or a product."""
    return Radial if len(kind.variables) == 1 else Separable


def random_constant() -> float:
    """A new constant of either sign, mostly between 1 and 5 in size."""
    return float(random.choice((-1.0, 1.0))) * math.exp(random.gauss(0.7, 0.8))


def primitive_set() -> gp.PrimitiveSetTyped:
    """The primitive set: typed operators, sums, variables, constants and exponents."""
    variables = [(name, kind) for kind, names in VARIABLES.items() for name in names]
    pset = gp.PrimitiveSetTyped("symreg", [kind for _, kind in variables], Separable)
    pset.renameArguments(**{f"ARG{n}": name for n, (name, _) in enumerate(variables)})
    for kind, suffix in SUFFIX.items():
        for name in _ARITHMETIC:
            pset.addPrimitive(operator.add, [kind, kind], kind, name=name + suffix)
        for name in functions_of(kind):
            pset.addPrimitive(operator.neg, [kind], kind, name=name + suffix)
        pset.addPrimitive(operator.pow, [EXPONENT[kind], kind], kind, name="powi" + suffix)
        pset.addTerminal(1, kind, name="one" + suffix)
    for kind in (Radial, Atomic):
        pset.addPrimitive(operator.pow, [kind, Constant], kind, name="pow" + SUFFIX[kind])
    pset.addPrimitive(operator.mul, [Radial, Angular], Separable, name="product")
    for over in kinds():
        name = SUMMED + over.over
        pset.addPrimitive(operator.neg, [type_of_summand(over)], Atomic, name=name)
    for kind, exponents in ((Integer, EXPONENTS), (Degree, DEGREES), (Power, POWERS)):
        for n in exponents:
            pset.addTerminal(n, kind)
    pset.addEphemeralConstant("constant", random_constant, Constant)
    return pset


def root_of(tree: Nested) -> type:
    """Type of a whole tree; a number alone counts as radial."""
    if tree[0] == "product":
        return Separable
    found: type = Radial
    for node in nodes(tree):
        if node[0] == "sum":
            return Atomic
        if len(node) == 1 and node != X:
            found = Triplet
    return found
