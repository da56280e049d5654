"""Functions of sums over neighbours, such as the embedding energies of metals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import sympy

from symreg.formula.radial import Function, Numbers, compile_all, evaluate
from symreg.formula.simplify import tree_to_sympy
from symreg.formula.sums.base import Floats, SumFunction, Surroundings, latex, rounded
from symreg.formula.sums.triplets import VARIABLES
from symreg.language import Tree
from symreg.terms import Sum, Term
from symreg.terms.kinds import kind_of
from symreg.terms.lengths import Lengths
from symreg.terms.wall import Clamp


class Outer(NamedTuple):
    """One term w F(S_1, ...)."""

    of: Tree
    """F, in s1, s2, ..."""
    places: Mapping[str, int]
    """Which of all sums each of these stands for."""
    weight: float
    """In eV."""


class FunctionOfSums:
    """Σ w F(S_1, S_2, ...) of one atom; terms share the sums that they have in common."""

    one_species = True
    meaning = (
        "sum over atoms of formula(sums), sum(f) = sum over neighbours of f(x = r/r0) * cutoff(r)"
    )
    words = "sum over atoms of F; sum(f) = sum over neighbours of f(x) f_c(r)"
    rests = "Sums over neighbours"

    def __init__(self, terms: Sequence[tuple[Term, float]], lengths: Lengths) -> None:
        """Take the terms of one centre with their weights in eV."""
        self.species = terms[0][0].key.centre
        """Chemical symbol of the centre."""
        self.clamp = Clamp(lengths.r_lo)
        self.arguments: list[Sum] = []
        """All different sums."""
        self.terms: list[Outer] = []
        for term, weight in terms:
            assert term.of is not None
            self.arguments += [one for one in term.sums if one not in self.arguments]
            places = {f"s{n}": self.arguments.index(one) for n, one in enumerate(term.sums, 1)}
            self.terms.append(Outer(term.of, places, weight))
        self.sums: list[SumFunction] = [
            kind_of(one.over).deliverer([(one.tree, 1.0)], one.species, lengths)
            for one in self.arguments
        ]
        """Computes them."""
        self.r_cut = max(one.r_cut for one in self.sums)
        """Cutoff radius in Å."""

    @property
    def summands(self) -> list[Tree]:
        """Functions that are summed over the neighbours, by sum."""
        return [one.tree for one in self.arguments]

    def densities(self, r: Floats) -> Floats:
        """All that a neighbour at ``r`` in Å, shape (P,), adds to each sum, and its slope in 1/Å.

        Returns
        -------
        Shape (sums, 2, P); zero for sums over every two neighbours. Distances below the domain
        come to rest, as for triplets.
        """
        assert self._is_finite
        return self._densities(r)

    def _densities(self, r: Floats) -> Floats:
        return np.stack([one.of_one_neighbour(r) for one in self.sums])

    def add(self, around: Surroundings, energies: Floats, gradient: Floats) -> None:
        """Add energies of atoms in eV, shape (N,), and gradients by pair vectors, shape (P, 3)."""
        assert self._is_finite
        addends = [one.addends(around, alone=False) for one in self.sums]
        sums = np.zeros((len(addends), energies.size))
        for n, parts in enumerate(addends):
            for part in parts:
                sums[n] += part.sums(energies.size)
        energy, *by_sum = self.energy(sums)
        energies += energy
        for change, parts in zip(by_sum, addends, strict=True):
            for part in parts:
                part.add(change, gradient)

    def energy(self, sums: Floats) -> Floats:
        """Energy of an atom in eV and its derivatives by the sums, shape (1 + sums, N).

        Parameters
        ----------
        sums
            Those of N atoms, shape (sums, N); zero for one that is alone.
        """
        return evaluate(self._function, *sums, *self.numbered[1].values)

    @property
    def symbols(self) -> list[Any]:
        """Sums in SymPy; it knows nothing about their signs."""
        return self._named("S")

    def _named(self, letter: str) -> list[Any]:
        return [sympy.Symbol(f"{letter}{n}") for n in range(1, len(self.sums) + 1)]

    def _total(self, number: Any, symbols: Sequence[Any]) -> Any:
        """Σ w F in these symbols, with numbers as ``number`` writes them."""
        total = sympy.Integer(0)
        for of, places, weight in self.terms:
            constants = [number(value) for value in of.constants]
            variables = {name: symbols[place] for name, place in places.items()}
            total += number(weight) * tree_to_sympy(of, variables, constants)
        return total

    @cached_property
    def numbered(self) -> tuple[Any, Numbers]:
        """Σ w F as SymPy in ``symbols``, with symbols for its numbers."""
        numbers = Numbers()
        return self._total(numbers.symbol, self.symbols), numbers

    def sympy(self) -> tuple[Any, list[Any]]:
        """Σ w F in S1, S2, ..., in eV, and what these sum, in x = r/r0 or in x1, x2 and c."""
        variables = {"x": sympy.Symbol("x"), **VARIABLES}
        written = zip(self.sums, self.summands, strict=True)
        return self._total(sympy.Float, self.symbols), [s.write(u, variables) for s, u in written]

    def latex(self, digits: int) -> list[str]:
        """F in eV, and a line for each of its sums."""
        symbols = self._named("S_")
        total = latex(self._total(rounded(digits), symbols))
        arguments = ", ".join(map(str, symbols))
        lines = [rf"F_{{\mathrm{{{self.species}}}}}({arguments}) = {total}"]
        for symbol, one in zip(symbols, self.sums, strict=True):
            lines += one.latex_argument(str(symbol), digits)
        return lines

    @cached_property
    def slopes(self) -> list[Any]:
        """Derivatives of ``numbered`` by the sums."""
        return [sympy.diff(self.numbered[0], symbol) for symbol in self.symbols]

    @cached_property
    def _function(self) -> Function:
        expression, numbers = self.numbered
        return compile_all([expression, *self.slopes], [*self.symbols, *numbers.symbols])

    @cached_property
    def _is_finite(self) -> bool:
        """Whether it has a value where atoms can be driven to: near each other, and alone.

        Raises
        ------
        ValueError
            If it has none.
        """
        name = f"the many-body formula for {self.species} is not finite"
        for one in self.sums:
            one.refuse_infinite(name)
        if not np.isfinite(self.energy(np.zeros((len(self.sums), 1)))[0]).all():
            raise ValueError(f"{name} for an atom alone, whose sums over neighbours are zero")
        near = self._densities(np.array([self.clamp.floor, self.clamp.r_lo]))
        if not np.isfinite(self.energy(near[:, 0])[0]).all():
            raise ValueError(f"{name} for two atoms at {self.clamp.r_lo:g} Å or closer")
        return True
