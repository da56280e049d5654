"""All that a kind of sum gives to formulas, whether it stands alone or in a function of sums.

Formula, calculator, SymPy, LaTeX and the C++ of the plugin ask this of each sum, and know of no
kinds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import sympy
from numpy.typing import NDArray

from symreg.formula.radial import Parts
from symreg.formula.simplify import tree_to_sympy
from symreg.language import Tree
from symreg.structures.neighbours import Pairs
from symreg.terms.cutoff import Cutoff
from symreg.terms.lengths import Lengths
from symreg.terms.wall import Clamp

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Surroundings:
    """Who is near whom in one structure."""

    pairs: Pairs
    """All pairs within the largest cutoff radius."""
    symbols: NDArray[np.str_]
    """Chemical symbols of its N atoms, shape (N,)."""
    _found: dict[tuple[Any, ...], Near] = field(default_factory=dict, repr=False)

    def near(self, r_cut: float, i: str, j: str, *, either: bool = False) -> Near:
        """Pairs i -> j of these species closer than ``r_cut`` (Å); also j -> i if ``either``."""
        key = r_cut, i, j, either
        if key not in self._found:
            self._found[key] = self._near(*key)
        return self._found[key]

    def _near(self, r_cut: float, i: str, j: str, either: bool) -> Near:
        pairs = self.pairs
        chosen = pairs.r < r_cut
        first, second = self.symbols == i, self.symbols == j
        if not (first.all() and second.all()):
            there = first[pairs.i] & second[pairs.j]
            chosen &= there | (second[pairs.i] & first[pairs.j]) if either else there
        at = np.flatnonzero(chosen)
        if at.size == len(pairs):
            return Near(at, pairs)
        return Near(at, Pairs(pairs.i[at], pairs.j[at], pairs.r[at], pairs.unit[at]))


class Near(NamedTuple):
    """Some of all pairs."""

    at: NDArray[np.int64]
    """Their places among all, shape (Q,)."""
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


class Again:
    """Addends that are computed anew each time, for there may be too many to be kept."""

    def __init__(self, compute: Callable[[], Iterator[Portion]]) -> None:
        """Take what computes them."""
        self.compute = compute

    def __iter__(self) -> Iterator[Portion]:
        """Compute them."""
        return self.compute()


class Cpp(NamedTuple):
    """C++ of one sum for the plugin."""

    functions: list[str]
    """Definitions of functions."""
    fill: list[str]
    """Statements that note in a neighbour what addends need to know of it."""
    add: list[str]
    """Statements that add one addend to ``energy``, and its derivatives to ``slope``."""
    slots: int = 0
    """Places that they take in a neighbour's array ``g``."""


class SumFunction(ABC):
    """Σ w f over the neighbours of an atom, of one kind of sum between given species.

    Alone it is an energy in eV; as argument of a function it has one part of weight 1.
    """

    over: ClassVar[str]
    """Name of the kind, as it is registered."""
    cutoff_name: ClassVar[str] = "cutoff"
    """Which of the formula's cutoff functions it fades by."""
    one_species: ClassVar[bool] = True
    """Whether it stands alone in formulas of one species only."""
    letter: ClassVar[str]
    """Greek letter of the function that stands alone."""
    meaning: ClassVar[str]
    """Its part in the energy, as files say it."""
    words: ClassVar[str]
    """Its part in the energy with ``letter``, as a README says it."""
    rests: ClassVar[str] = ""
    """Who sees neighbours at rest below the domain, as a README says it."""

    def __init__(self, parts: Parts, species: Sequence[str], lengths: Lengths) -> None:
        """Take functions with their weights (eV), and species: the centre, then neighbours."""
        self.parts = tuple(parts)
        """Trees with their weights."""
        self.species = tuple(species)
        """Chemical symbols."""
        self.r0 = lengths.r0
        """Length unit in Å."""
        cutoff = getattr(lengths, self.cutoff_name)
        assert isinstance(cutoff, Cutoff)
        self.cutoff = cutoff
        self.r_cut = cutoff.r_cut
        """Cutoff radius in Å."""
        self.r_lo = lengths.r_lo
        """Where the domain begins, in Å."""
        self.clamp = Clamp(lengths.r_lo)
        """The distance that it sees in Å, as argument of a function at least."""

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
    def latex(self, digits: int) -> list[str]:
        """Where it stands alone: what it is in eV, as lines of LaTeX."""

    @abstractmethod
    def latex_argument(self, symbol: str, digits: int) -> list[str]:
        """Where it is the argument ``symbol`` of a function."""

    @abstractmethod
    def addends(self, around: Surroundings, *, alone: bool) -> Iterable[Portion]:
        """All addends in a structure, to be gone through once or twice."""

    @abstractmethod
    def refuse_infinite(self, name: str) -> None:
        """Raise ``ValueError`` if it is not finite where atoms can be driven to.

        The message begins with ``name``, which holds a function of it, where it has no own.
        """

    def of_one_neighbour(self, r: Floats) -> Floats:
        """Addend of one neighbour at ``r`` (Å, shape (P,)), and its slope in 1/Å, shape (2, P).

        Distances below the domain come to rest.
        """
        return np.zeros((2, r.size))

    @abstractmethod
    def cpp(self, number: int, place: int, *, alone: bool) -> Cpp:
        """C++ for the plugin.

        Parameters
        ----------
        number
            Tells its functions from those of others.
        place
            Its first place in a neighbour's array ``g``.
        alone
            Whether it stands alone.
        """


class OfPairs(NamedTuple):
    """Addends that depend on one distance each."""

    near: Near
    values: Floats
    """Value and slope by the distance, shape (2, Q)."""

    def sums(self, n: int) -> Floats:
        """See ``Portion``."""
        return np.asarray(np.bincount(self.near.pairs.i, self.values[0], n), dtype=float)

    def add(self, weight: Floats | None, gradient: Floats) -> None:
        """See ``Portion``."""
        (at, pairs), slope = self.near, self.values[1]
        if weight is None:
            gradient[at] += slope[:, None] * pairs.unit
            return
        felt = slope != 0  # where all neighbours are at the cutoff F need not have a slope
        along = weight[pairs.i[felt]] * slope[felt]
        gradient[at[felt]] += along[:, None] * pairs.unit[felt]


def rounded(digits: int) -> Callable[[float], Any]:
    """How LaTeX writes numbers: SymPy's, to so many significant digits."""
    return lambda value: sympy.Float(f"{value:.{digits}g}", digits)


def latex(expression: Any) -> str:
    """SymPy's LaTeX as text."""
    return str(sympy.latex(expression))
