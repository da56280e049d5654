"""Types of trees and their primitive set, in DEAP's terms."""

from __future__ import annotations

import math
import operator
import zlib
from typing import Any

from deap import gp

from symreg.language.canonical import LEAVES, Nested, X
from symreg.searching.randomness import random


class _StableType(type):
    """Types whose hash does not depend on their address.

    DEAP's crossover draws from a set of types; by address its order, and so the result for a
    given seed, would differ from process to process.
    """

    def __hash__(cls) -> int:
        return zlib.crc32(cls.__name__.encode())


class Radial(metaclass=_StableType):
    """A function of a reduced distance."""


class Angular(metaclass=_StableType):
    """A function of the cosine."""


class Triplet(metaclass=_StableType):
    """A function of both reduced distances and the cosine."""


class Separable(metaclass=_StableType):
    """A product of one radial factor for both neighbours and an angular factor."""


class Atomic(metaclass=_StableType):
    """A function of neighbour sums."""


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
"""Exponents of functions of neighbour sums."""

SUFFIX: dict[Any, str] = {Radial: "", Angular: "_c", Triplet: "_t", Atomic: "_a"}
"""How the names of the primitives of each type end."""
BEND = "sum_bend"
"""Name of the sum over every two neighbours; for expressions both are sums."""
EXPONENT: dict[Any, type] = {Radial: Integer, Angular: Degree, Triplet: Integer, Atomic: Power}
"""Type of the integer exponents of each type."""
VARIABLES: dict[Any, tuple[str, ...]] = {
    Radial: ("x",),
    Angular: ("c",),
    Triplet: ("x1", "x2", "c_t"),
}
"""Names of the leaves of each type; what follows the underscore only keeps names apart."""


def random_constant() -> float:
    """A new constant of either sign, mostly between 1 and 5 in size."""
    return float(random.choice((-1.0, 1.0))) * math.exp(random.gauss(0.7, 0.8))


def primitive_set() -> gp.PrimitiveSetTyped:
    """The production primitive set: typed operators, variables, constants and exponents."""
    variables = [(name, kind) for kind, names in VARIABLES.items() for name in names]
    pset = gp.PrimitiveSetTyped("symreg", [kind for _, kind in variables], Separable)
    pset.renameArguments(**{f"ARG{n}": name for n, (name, _) in enumerate(variables)})
    for kind, suffix in SUFFIX.items():
        for name in ("add", "sub", "mul", "div"):
            pset.addPrimitive(operator.add, [kind, kind], kind, name=name + suffix)
        pset.addPrimitive(operator.neg, [kind], kind, name="exp" + suffix)
        pset.addPrimitive(operator.pow, [EXPONENT[kind], kind], kind, name="powi" + suffix)
        pset.addTerminal(1, kind, name="one" + suffix)
    for kind in (Radial, Atomic):
        for name in ("log", "sqrt"):
            pset.addPrimitive(operator.neg, [kind], kind, name=name + SUFFIX[kind])
        pset.addPrimitive(operator.pow, [kind, Constant], kind, name="pow" + SUFFIX[kind])
    pset.addPrimitive(operator.mul, [Radial, Angular], Separable, name="product")
    pset.addPrimitive(operator.neg, [Radial], Atomic, name="sum_a")
    pset.addPrimitive(operator.neg, [Separable], Atomic, name=BEND)
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
    stack = [tree]
    while stack:
        node = stack.pop()
        if node[0] == "sum":
            return Atomic
        if node[0] in LEAVES and node != X:
            found = Triplet
        stack += [operand for operand in node[1:] if isinstance(operand, tuple)]
    return found
