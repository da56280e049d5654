"""All that a kind of sum gives to formulas, whether it stands alone or in a function of sums.

Formula, calculator, SymPy, LaTeX and the C++ of the plugin ask this of each sum, and know of no
kinds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import sympy
from numpy.typing import NDArray

from symreg.arrays import Floats, Integers
from symreg.formula.radial import Number, Parts
from symreg.formula.simplify import tree_to_sympy
from symreg.language import Tree
from symreg.structures.neighbours import Pairs
from symreg.terms.cutoff import Cutoff
from symreg.terms.lengths import Lengths
from symreg.terms.wall import Clamp

_X, _X1, _X2 = sympy.symbols("x x_1 x_2", positive=True)
LATEX = {"x": _X, "x1": _X1, "x2": _X2, "c": sympy.Symbol("c")}
"""Variables in LaTeX."""


@dataclass(frozen=True, eq=False)
class Surroundings:
    """Who is near whom in one structure."""

    pairs: Pairs  # all pairs within the largest cutoff radius
    symbols: NDArray[np.str_]  # chemical symbols of its N atoms, shape (N,)
    _found: dict[tuple[Any, ...], Near] = field(default_factory=dict, repr=False)

    def near(self, r_cut: float, i: str, *j: str, either: bool = False) -> Near:
        """Pairs i -> j closer than ``r_cut`` (Å), of a species i and one or more species j.

        Also those j -> i if ``either``.
        """
        key = r_cut, i, j, either
        if key not in self._found:
            pairs, first, second = self.pairs, self.symbols == i, np.isin(self.symbols, j)
            chosen = pairs.r < r_cut
            if not (first.all() and second.all()):
                there = first[pairs.i] & second[pairs.j]
                chosen &= there | (second[pairs.i] & first[pairs.j]) if either else there
            at = np.flatnonzero(chosen)
            if at.size < len(pairs):
                pairs = Pairs(pairs.i[at], pairs.j[at], pairs.r[at], pairs.unit[at])
            self._found[key] = Near(at, pairs)
        return self._found[key]


class Near(NamedTuple):
    """Some of all pairs."""

    at: Integers  # their places among all, shape (Q,)
    pairs: Pairs


class Portion(Protocol):
    """Some of what is summed around the atoms of a structure."""

    def sums(self, n: int) -> Floats:
        """Their sums around each of ``n`` atoms, shape (n,)."""

    def add(self, weight: Floats | None, gradient: Floats) -> None:
        """Add their derivatives by all pair vectors to ``gradient``, shape (P, 3), in eV/Å.

        Each counts as its centre's ``weight``, shape (n,), tells; 1 where None is given. What does
        not change is not felt, whatever its weight.
        """


class Cpp(NamedTuple):
    """C++ of one sum for the plugin."""

    functions: list[str]
    fills: list[list[str]]  # for each neighbour: statements that note what addends need to know
    add: list[str]  # statements that add one addend to ``energy``, and its derivatives to ``slope``
    slots: int = 0  # places that they take in a neighbour's array ``g``


class SumFunction(ABC):
    """Σ w f over the neighbours of an atom, of one kind of sum between given species.

    Alone it is an energy in eV; as argument of a function it has one part of weight 1.
    """

    over: ClassVar[str]  # name of the kind, as it is registered
    cutoff_name: ClassVar[str] = "cutoff"  # of the formula's cutoff function that it fades by
    letter: ClassVar[str]  # of the function that stands alone, in Greek
    latex_letter: ClassVar[str]
    meaning: ClassVar[str]  # its part in the energy, as files say it
    words: ClassVar[str]  # the same with ``letter``, as a README says it
    rests: ClassVar[str] = ""  # who sees neighbours at rest below the domain, in a README

    def __init__(self, parts: Parts, species: Sequence[str], lengths: Lengths) -> None:
        """Take functions with their weights (eV), and species: the centre, then neighbours.

        ``r0`` is the length unit, ``r_lo`` where the domain begins, and ``clamps`` give the
        distance to each neighbour that it sees, as argument of a function at least; all in Å.
        """
        self.parts, self.species = tuple(parts), tuple(species)
        self.r0, self.r_lo, self.clamp = lengths.r0, lengths.r_lo, Clamp(lengths.r_lo)
        second = lengths.r_lo if lengths.r_lo_second is None else lengths.r_lo_second
        self.clamps = (self.clamp, Clamp(second))[: len(self.species) - 1]
        self.cutoff: Cutoff = getattr(lengths, self.cutoff_name)
        self.r_cut = self.cutoff.r_cut

    @staticmethod
    def write(
        tree: Tree, variables: Any | Mapping[str, Any], constants: Sequence[Any] | None = None
    ) -> Any:
        """A function that is summed, or a factor of one, as SymPy; see ``tree_to_sympy``."""
        return tree_to_sympy(tree, variables, constants)

    @property
    def name(self) -> str:
        """Its species, such as ``Si-Si``."""
        return "-".join(self.species)

    @abstractmethod
    def sympy(self) -> Any:
        """As SymPy without cutoff function, in r (Å), or in x1, x2 and c."""

    @abstractmethod
    def latex(self, number: Number) -> list[str]:
        """Where it stands alone: what it is in eV, as lines of LaTeX; ``number`` writes numbers."""

    @abstractmethod
    def latex_argument(self, symbol: str, number: Number) -> list[str]:
        """Where it is the argument ``symbol`` of a function."""

    @abstractmethod
    def addends(self, around: Surroundings, *, alone: bool) -> Iterable[Portion]:
        """All addends in a structure, to be gone through once or twice."""

    @abstractmethod
    def refuse_infinite(self, name: str) -> None:
        """Raise ``ValueError`` if it is not finite where atoms can be driven to; says ``name``."""

    def refuse_poles(self) -> None:  # noqa: B027 - a kind need not look
        """Raise ``ValueError`` if it is not finite all over its domain, or has a pole there."""

    def written(self, tree: Tree, number: Number) -> str:
        """One of its functions as LaTeX."""
        return latex(self.write(tree, LATEX, list(map(number, tree.constants))))

    def named(self, arguments: str, value: str) -> str:
        """LaTeX of the function that stands alone, of these arguments, being ``value``."""
        centre, *near = self.species
        apart = ";" if len(near) > 1 and set(near) != {centre} else ""
        name = f"{centre}{apart}{''.join(near)}"
        return rf"{self.latex_letter}_{{\mathrm{{{name}}}}}({arguments}) = {value}"

    def of_one_neighbour(self, r: Floats) -> Floats:
        """Addend of one neighbour at ``r`` (Å, shape (P,)), and its slope in 1/Å, shape (2, P).

        Distances below the domain come to rest.
        """
        return np.zeros((2, r.size))

    @abstractmethod
    def cpp(self, number: int, place: int, fade: str, *, alone: bool) -> Cpp:
        """C++ for the plugin; ``number`` tells its functions from those of others.

        ``place`` is its first place in a neighbour's array ``g``, ``fade`` the name of the C++
        function that is its cutoff function.
        """


class OfPairs(NamedTuple):
    """Addends that depend on one distance each, as a ``Portion``."""

    near: Near
    values: Floats  # value and slope by the distance, shape (2, Q)

    def sums(self, n: int) -> Floats:
        return np.asarray(np.bincount(self.near.pairs.i, self.values[0], n), dtype=float)

    def add(self, weight: Floats | None, gradient: Floats) -> None:
        (at, pairs), slope = self.near, self.values[1]
        if weight is None:
            gradient[at] += slope[:, None] * pairs.unit
            return
        felt = slope != 0  # where all neighbours are at the cutoff F need not have a slope
        along = weight[pairs.i[felt]] * slope[felt]
        gradient[at[felt]] += along[:, None] * pairs.unit[felt]


def refuse(values: Floats, message: str, *coordinates: Floats) -> None:
    """Raise ``ValueError`` with the first of the places at which a value is not finite."""
    broken = ~np.isfinite(values).all(axis=0)
    if broken.any():
        n = int(np.argmax(broken))
        raise ValueError(message.format(*(part[n] for part in coordinates)))


def rounded(digits: int) -> Callable[[float], Any]:
    """How LaTeX writes numbers: SymPy's, to so many significant digits."""
    return lambda value: sympy.Float(f"{value:.{digits}g}", digits)


def latex(expression: Any) -> str:
    """SymPy's LaTeX as text."""
    return str(sympy.latex(expression))
