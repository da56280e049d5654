"""Terms and expressions: trees with a kind, species and linear weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from symreg.language.operators import WEIGHT_COST
from symreg.language.text import NEIGHBOUR_SUM, TRIPLET, parse
from symreg.language.tree import Node, Tree, combine, number_text

VARIABLES_OF: dict[str, str | tuple[str, ...]] = {
    "pair": "x",
    "three-body": TRIPLET,
    "many-body": NEIGHBOUR_SUM,
}
"""Names of the variables of each kind of term."""


class Term(NamedTuple):
    """One additive contribution: what kind, between which species, and its function."""

    kind: str
    """``pair``, ``three-body`` or ``many-body``."""
    species: tuple[str, ...]
    """Chemical symbols: two for a pair, sorted; for triplets the centre, then the others sorted;
    for many-body terms the atom."""
    tree: Tree
    """Function of x = r / r0, of x1, x2 and the cosine c, or of sums over neighbours."""


@dataclass(frozen=True)
class Expression:
    """A sum of terms with their linear weights in eV."""

    terms: tuple[Term, ...]
    weights: tuple[float, ...]
    """One per term, in eV."""

    @cached_property
    def complexity(self) -> int:
        """Costs of all nodes, and two for each weight."""
        return sum(term.tree.complexity + WEIGHT_COST for term in self.terms)

    @property
    def n_constants(self) -> int:
        """Fitted reals: weights and constants in the trees."""
        return sum(len(term.tree.constants) + 1 for term in self.terms)

    def keys(self) -> list[tuple[str, tuple[str, ...]]]:
        """Kinds and species that occur, in order of first appearance."""
        return list(dict.fromkeys((term.kind, term.species) for term in self.terms))

    def total(self, kind: str, species: tuple[str, ...]) -> Tree:
        """The weighted sum of all terms of one kind and species as a single tree, in eV."""
        total: Tree | None = None
        for term, weight in zip(self.terms, self.weights, strict=True):
            if (term.kind, term.species) != (kind, species):
                continue
            size = weight if total is None else abs(weight)
            part = Tree((Node("const", 0),), (size,))
            if term.tree.nodes != (Node("int", 1),):
                part = combine("mul", part, term.tree)
            operator = "sub" if weight < 0 else "add"
            total = part if total is None else combine(operator, total, part)
        return total if total is not None else Tree((Node("int", 0),))

    def text(self, digits: int | None = 5, *, named: bool = False) -> str:
        """All terms as one line; species are named when there are several, or if ``named``."""
        keys = self.keys()
        parts = {
            key: self.total(*key).text(digits) if key[0] == "pair" else self.part_text(key, digits)
            for key in keys
        }
        if len(keys) == 1 and not named:
            return parts[keys[0]]
        return "; ".join(f"{'-'.join(key[1])}: {part}" for key, part in parts.items())

    def part_text(self, key: tuple[str, tuple[str, ...]], digits: int | None) -> str:
        """The weighted sum of the terms of one kind and species, as text."""
        text = ""
        for term, weight in zip(self.terms, self.weights, strict=True):
            if (term.kind, term.species) != key:
                continue
            function = term.tree.text(digits)
            is_sum = term.tree.nodes[0].op in ("add", "sub", "neg")
            sign = (" - " if weight < 0 else " + ") if text else ("-" if weight < 0 else "")
            factor = "" if function == "1" else f"*({function})" if is_sum else f"*{function}"
            text += f"{sign}{number_text(abs(weight), digits)}{factor}"
        return text

    def to_dict(self) -> list[dict[str, Any]]:
        """Plain data for JSON; ``from_dict`` reads it back to an equal expression."""
        return [
            {
                "kind": term.kind,
                "species": list(term.species),
                "weight": weight,
                "formula": str(term.tree),
                "constants": term.tree.named,
            }
            for term, weight in zip(self.terms, self.weights, strict=True)
        ]

    @staticmethod
    def from_dict(record: Sequence[Mapping[str, Any]]) -> Expression:
        """Undo ``to_dict``; formulas go through ``parse``."""
        terms = tuple(
            Term(
                str(entry["kind"]),
                tuple(entry["species"]),
                parse(entry["formula"], entry.get("constants", {}), VARIABLES_OF[entry["kind"]]),
            )
            for entry in record
        )
        return Expression(terms, tuple(float(entry["weight"]) for entry in record))
