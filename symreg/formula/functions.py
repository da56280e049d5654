"""Functions of sums over neighbours, such as the embedding energies of metals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import sympy

from symreg.arrays import Floats
from symreg.formula.radial import Number, Numbered
from symreg.formula.simplify import tree_to_sympy
from symreg.formula.sums.base import SumFunction, Surroundings, latex
from symreg.formula.sums.triplets import VARIABLES
from symreg.language import Tree
from symreg.terms import Sum, Term
from symreg.terms.kinds import kind_of
from symreg.terms.lengths import Lengths


class FunctionOfSums:
    """Σ w F(S_1, S_2, ...) of one atom; terms share the sums that they have in common."""

    meaning = (
        "sum over atoms of formula(sums), sum(f) = sum over neighbours of the atom's own species, "
        "sum_O(f) over those that are O, of f(x = r/r0) * cutoff(r)"
    )
    words = (
        "sum over atoms of F; sum(f) = sum over neighbours of the atom's own species, sum_O(f) "
        "over those that are O, of f(x) f_c(r)"
    )
    rests = "Sums over neighbours"

    def __init__(self, terms: Sequence[tuple[Term, float]], lengths: Lengths) -> None:
        """Take the terms of one centre with their weights in eV."""
        self.species = terms[0][0].key.centre  # chemical symbol of the centre
        self.arguments: list[Sum] = []  # all different sums
        self.terms: list[tuple[Tree, Mapping[str, int], float]] = []
        """Functions of s1, s2, ..., which of all sums these are, and the weight in eV."""
        for term, weight in terms:
            assert term.of is not None
            self.arguments += [one for one in term.sums if one not in self.arguments]
            places = {f"s{n}": self.arguments.index(one) for n, one in enumerate(term.sums, 1)}
            self.terms.append((term.of, places, weight))
        self.sums: list[SumFunction] = [
            kind_of(one.over).deliverer([(one.tree, 1.0)], one.species, lengths.at(one.species))
            for one in self.arguments
        ]
        self.r_cut = max(one.r_cut for one in self.sums)  # cutoff radius in Å
        own = [one for one in self.sums if one.species[1] == self.species]
        self.clamp = (own or self.sums)[0].clamp  # of neighbours of its own species, if it has some

    @property
    def summands(self) -> list[Tree]:
        """Functions that are summed over the neighbours, by sum."""
        return [one.tree for one in self.arguments]

    @property
    def neighbours(self) -> list[str]:
        """Species that it sums over."""
        return sorted({symbol for one in self.sums for symbol in one.species[1:]})

    def densities(self, r: Floats, neighbour: str = "") -> Floats:
        """Share of a neighbour at ``r`` in Å, shape (P,), in each sum, and its slope in 1/Å.

        Shape (sums, 2, P); zero for sums over every two neighbours, and over others than the
        ``neighbour``'s species, which is the centre's unless given. Distances below the domain come
        to rest.
        """
        assert self._is_finite
        return self._densities(r, neighbour or self.species)

    def _densities(self, r: Floats, neighbour: str) -> Floats:
        none, seen = np.zeros((2, r.size)), {neighbour}
        return np.stack(
            [one.of_one_neighbour(r) if {*one.species[1:]} == seen else none for one in self.sums]
        )

    def add(self, around: Surroundings, energies: Floats, gradient: Floats) -> None:
        """Add energies of atoms in eV, shape (N,), and gradients by pair vectors, shape (P, 3)."""
        assert self._is_finite
        addends = [one.addends(around, alone=False) for one in self.sums]
        sums = np.zeros((len(addends), energies.size))
        for total, parts in zip(sums, addends, strict=True):
            for part in parts:
                total += part.sums(energies.size)
        centres = around.symbols == self.species
        energy, *by_sum = self.energy(sums)
        energies[centres] += energy[centres]
        for change, parts in zip(by_sum, addends, strict=True):
            for part in parts:
                part.add(change, gradient)

    def energy(self, sums: Floats) -> Floats:
        """Energy of N atoms in eV and its derivatives by their sums, shape (1 + sums, N).

        ``sums`` has the shape (sums, N); those of an atom that is alone are zero.
        """
        return self.numbered(*sums)

    def _named(self, letter: str) -> list[Any]:
        return [sympy.Symbol(f"{letter}{n}") for n in range(1, len(self.sums) + 1)]

    def _total(self, number: Number, symbols: Sequence[Any]) -> Any:
        """Σ w F in these symbols, with numbers as ``number`` writes them."""
        total = sympy.Integer(0)
        for of, places, weight in self.terms:
            constants = [number(value) for value in of.constants]
            variables = {name: symbols[place] for name, place in places.items()}
            total += number(weight) * tree_to_sympy(of, variables, constants)
        return total

    @cached_property
    def numbered(self) -> Numbered:
        """Σ w F in S1, S2, ...; SymPy knows nothing about their signs."""
        symbols = self._named("S")
        return Numbered(lambda number: self._total(number, symbols), symbols)

    def sympy(self) -> tuple[Any, list[Any]]:
        """Σ w F in S1, S2, ..., in eV, and what these sum, in x = r/r0 or in x1, x2 and c."""
        variables = {"x": sympy.Symbol("x"), **VARIABLES}
        summands = [one.write(one.parts[0][0], variables) for one in self.sums]
        return self._total(sympy.Float, self._named("S")), summands

    def latex(self, number: Number) -> list[str]:
        """F in eV, and a line for each of its sums; ``number`` writes numbers."""
        symbols = self._named("S_")
        total = latex(self._total(number, symbols))
        arguments = ", ".join(map(str, symbols))
        lines = [rf"F_{{\mathrm{{{self.species}}}}}({arguments}) = {total}"]
        for symbol, one in zip(symbols, self.sums, strict=True):
            lines += one.latex_argument(str(symbol), number)
        return lines

    @cached_property
    def _is_finite(self) -> bool:
        """True if it has a value where atoms can be driven to, alone or near; else an error."""
        name = f"the many-body formula for {self.species} is not finite"
        for one in self.sums:
            one.refuse_infinite(name)
        if not np.isfinite(self.energy(np.zeros((len(self.sums), 1)))[0]).all():
            raise ValueError(f"{name} for an atom alone, whose sums over neighbours are zero")
        clamps = {one.species[1]: one.clamp for one in self.sums}
        for neighbour, clamp in clamps.items():
            near = self._densities(np.array([clamp.floor, clamp.r_lo]), neighbour)
            if not np.isfinite(self.energy(near[:, 0])[0]).all():
                raise ValueError(f"{name} for two atoms at {clamp.r_lo:g} Å or closer")
        return True
