"""Functions of neighbour sums, such as the embedding energies of metals, derivatives by SymPy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import sympy
from numpy.typing import NDArray

from symreg.formula.radial import Function, Numbers, RadialFunction, compile_all, evaluate
from symreg.formula.simplify import tree_to_sympy
from symreg.formula.three_body import VARIABLES, ThreeBodyFunction
from symreg.language import Tree
from symreg.language.operators import SUMS
from symreg.terms import Expression, Term
from symreg.terms.cutoff import Cutoff
from symreg.terms.wall import Clamp


class Embedding(NamedTuple):
    """One term w F(S_1, ...)."""

    outer: Tree
    """F, with sums in the places of ``SUMS``."""
    places: tuple[int, ...]
    """Which of all sums stands in each place."""
    weight: float
    """In eV."""


class ManyBodyFunction:
    """Σ w F(S_1, S_2, ...) of one atom, where S is the sum of φ(r/r0) f_c(r) over its neighbours.

    A sum may be one of products h h p over every two neighbours instead, each with the cutoff
    function of three-body terms. Terms share the sums that they have in common.
    """

    def __init__(
        self,
        expression: Expression,
        species: str,
        r0: float,
        cutoff: Cutoff,
        r_lo: float,
        cutoff_three_body: Cutoff | None = None,
    ) -> None:
        """Take the many-body terms of one species; ``r0`` and ``r_lo`` in Å.

        Raises
        ------
        ValueError
            If a term holds no sum over neighbours.
        """
        self.species = species
        """Chemical symbol."""
        self.r0 = r0
        self.cutoff = cutoff
        self.clamp = Clamp(r_lo)
        self.r_cut = cutoff.r_cut
        """Cutoff radius in Å."""
        self.summands: list[Tree] = []
        """What is summed over the neighbours."""
        self.terms: list[Embedding] = []
        for term, weight in zip(expression.terms, expression.weights, strict=True):
            if (term.kind, term.species) == ("many-body", (species,)):
                self.terms.append(self._embedding(term.tree, weight))
        self.radial: dict[int, RadialFunction] = {}
        """Those that are functions of one distance, with the cutoff function, by their number."""
        self.bends: dict[int, ThreeBodyFunction] = {}
        """Those over every two neighbours."""
        for n, summand in enumerate(self.summands):
            if summand.factors is None:
                self.radial[n] = RadialFunction([(summand, 1.0)], r0, cutoff)
            elif cutoff_three_body is not None:
                three = (species, species, species)
                alone = Expression((Term("three-body", three, summand),), (1.0,))
                self.bends[n] = ThreeBodyFunction(alone, three, r0, cutoff_three_body, r_lo)

    def _embedding(self, tree: Tree, weight: float) -> Embedding:
        if tree.embedding is None:
            raise ValueError(f"the many-body term {tree} holds no sum over neighbours")
        outer, summands = tree.embedding
        self.summands += [summand for summand in summands if summand not in self.summands]
        return Embedding(outer, tuple(map(self.summands.index, summands)), weight)

    def densities(self, r: NDArray[np.float64]) -> NDArray[np.float64]:
        """What a neighbour at ``r`` in Å, shape (P,), adds to each sum, and its slope in 1/Å.

        Returns
        -------
        Shape (sums, 2, P); zero for sums over every two neighbours. Distances below the domain
        come to rest, as for triplets.
        """
        assert self._is_finite
        return self._densities(r)

    def _densities(self, r: NDArray[np.float64]) -> NDArray[np.float64]:
        effective, slope = self.clamp(r)
        inside = r < self.r_cut
        values = np.zeros((len(self.summands), 2, r.size))
        for n, function in self.radial.items():
            values[n][:, inside] = function.derivatives(effective[inside], 1)
        values[:, 1] *= slope
        return values

    def energy(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Energy of an atom in eV and its derivatives by the sums, shape (1 + sums, N).

        Parameters
        ----------
        sums
            Those of N atoms, shape (sums, N); zero for one that is alone.
        """
        return evaluate(self._function, *sums, *self.numbered[1].values)

    @property
    def symbols(self) -> list[Any]:
        """Neighbour sums in SymPy; it knows nothing about their signs."""
        return [sympy.Symbol(f"S{n}") for n in range(1, len(self.summands) + 1)]

    @cached_property
    def numbered(self) -> tuple[Any, Numbers]:
        """Σ w F as SymPy in ``symbols``, with symbols for its numbers."""
        numbers, total = Numbers(), sympy.Integer(0)
        for outer, places, weight in self.terms:
            factor = numbers.symbol(weight)
            constants = [numbers.symbol(value) for value in outer.constants]
            total += factor * tree_to_sympy(outer, self._variables(places), constants)
        return total, numbers

    def sympy(self) -> tuple[Any, list[Any]]:
        """Σ w F in S1, S2, ..., in eV, and what these sum, in x = r/r0 or in x1, x2 and c."""
        variables = {"x": sympy.Symbol("x"), **VARIABLES}
        total = sympy.Integer(0)
        for outer, places, weight in self.terms:
            total += sympy.Float(weight) * tree_to_sympy(outer, self._variables(places))
        return total, [tree_to_sympy(summand, variables) for summand in self.summands]

    def _variables(self, places: Sequence[int]) -> dict[str, Any]:
        return dict(zip(SUMS, (self.symbols[place] for place in places), strict=False))

    @cached_property
    def _function(self) -> Function:
        expression, numbers = self.numbered
        slopes = [sympy.diff(expression, symbol) for symbol in self.symbols]
        return compile_all([expression, *slopes], [*self.symbols, *numbers.symbols])

    @cached_property
    def _is_finite(self) -> bool:
        """Whether it has a value where atoms can be driven to: near each other, and alone.

        Raises
        ------
        ValueError
            If it has none.
        """
        name = f"the many-body formula for {self.species} is not finite"
        near = np.array([self.clamp.floor, self.clamp.r_lo])
        found = self._densities(near)
        if not np.isfinite(found).all():
            at = near[~np.isfinite(found).all(axis=(0, 1))][0]
            raise ValueError(f"{name} at {at:g} Å")
        if not np.isfinite(self.energy(np.zeros((len(self.summands), 1)))[0]).all():
            raise ValueError(f"{name} for an atom alone, whose sums over neighbours are zero")
        if not np.isfinite(self.energy(found[:, 0])[0]).all():
            raise ValueError(f"{name} for two atoms at {self.clamp.r_lo:g} Å or closer")
        return True
