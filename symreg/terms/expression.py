"""Expressions: terms with their linear weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any

from symreg.language.text import ONE, number_text
from symreg.language.tree import Shape, Tree, combine
from symreg.terms.kinds import FUNCTION, adjective_of, kinds
from symreg.terms.sharing import Sharing, sharing
from symreg.terms.term import Key, Term
from symreg.typed import Range, typed

LARGEST = 1e300
"""Largest size of weights in eV, and of named constants."""
_OLD_KINDS = {adjective_of(over): over for over in (*(kind.over for kind in kinds()), FUNCTION)}
"""Names of kinds of terms in files of the first format."""


@dataclass(frozen=True)
class Expression:
    """A sum of terms with their linear weights in eV."""

    terms: tuple[Term, ...]
    weights: tuple[float, ...]
    """One per term, in eV."""

    def __post_init__(self) -> None:
        if len(self.terms) != len(self.weights):
            raise ValueError(f"{len(self.terms)} terms have {len(self.weights)} weights")

    @cached_property
    def sharing(self) -> Sharing:
        """Forms and constants that its terms share."""
        return sharing((term.key, term.tree.shape, term.constants) for term in self.terms)

    @property
    def complexity(self) -> int:
        """Costs of all nodes, and two for each weight; of a shared form as ``sharing`` has it."""
        return self.sharing.complexity

    @property
    def n_constants(self) -> int:
        """Fitted reals: weights and constants in the trees, those that are tied being one."""
        return self.sharing.n_constants

    @property
    def has_functions(self) -> bool:
        """Whether a term is a function of sums."""
        return any(term.of is not None for term in self.terms)

    def __add__(self, other: Expression) -> Expression:
        """The terms of this one, then those of another."""
        return Expression(self.terms + other.terms, self.weights + other.weights)

    def keys(self) -> list[Key]:
        """Keys that occur, in order of first appearance."""
        return list(dict.fromkeys(term.key for term in self.terms))

    def weighted(self) -> Iterator[tuple[Term, float]]:
        """Terms with their weights in eV."""
        return zip(self.terms, self.weights, strict=True)

    def of(self, key: Key) -> list[tuple[Term, float]]:
        """The terms of one key with their weights in eV."""
        return [(term, weight) for term, weight in self.weighted() if term.key == key]

    def total(self, key: Key) -> Tree:
        """The weighted sum of all terms of one key as a single tree, in eV."""
        total: Tree | None = None
        for term, weight in self.of(key):
            part = Tree(Shape(("const", 0)), (weight if total is None else abs(weight),))
            if term.tree.root != ONE:
                part = combine("mul", part, term.tree)
            operator = "sub" if weight < 0 else "add"
            total = part if total is None else combine(operator, total, part)
        return total or Tree(Shape(("int", 0)))

    def text(self, digits: int | None = 5, *, named: bool = False) -> str:
        """All terms as one line; species are named when there are several, or if ``named``."""
        parts = {
            key: self.total(key).text(digits) if key.is_pair else self.part_text(key, digits)
            for key in self.keys()
        }
        if len(parts) == 1 and not named:
            return next(iter(parts.values()))
        return "; ".join(f"{key}: {part}" for key, part in parts.items())

    def part_text(self, key: Key, digits: int | None) -> str:
        """The weighted sum of the terms of one key, as text."""
        text = ""
        for term, weight in self.of(key):
            function = term.tree.text(digits)
            is_sum = term.tree.root[0] in ("add", "sub", "neg")
            sign = (" - " if weight < 0 else " + ") if text else ("-" if weight < 0 else "")
            factor = "" if function == "1" else f"*({function})" if is_sum else f"*{function}"
            text += f"{sign}{number_text(abs(weight), digits)}{factor}"
        return text

    def to_dict(self) -> list[dict[str, Any]]:
        """Plain data for JSON; ``from_dict`` reads it back to an equal expression."""
        return [
            {"term": str(term), "weight": weight, "constants": term.tree.named}
            for term, weight in self.weighted()
        ]

    @staticmethod
    def from_dict(record: Sequence[Mapping[str, Any]]) -> Expression:
        """Undo ``to_dict``, also of the first format; a ``ValueError`` tells the wrong term."""
        return Expression.from_data(record)

    @staticmethod
    def from_data(record: Any, key: str = "terms") -> Expression:
        """Read what stands below a key of a file."""
        entries = typed(list[_Entry], record, key)
        terms = tuple(map(_term_from, entries))
        return Expression(terms, tuple(entry.weight for entry in entries))


NOTHING = Expression((), ())
"""No terms at all."""


@dataclass(frozen=True)
class _Entry:
    """A term as files have it."""

    weight: Annotated[float, Range(-LARGEST, LARGEST, "eV")]
    term: str = ""
    constants: Mapping[str, Annotated[float, Range(-LARGEST, LARGEST)]] = field(
        default_factory=dict
    )
    kind: str = ""
    """Of the first format, with the next two."""
    species: tuple[str, ...] = ()
    formula: str = ""


def _term_from(entry: _Entry) -> Term:
    values = entry.constants
    if entry.term:
        term = Term.read(entry.term, values)
    elif not entry.kind:
        raise ValueError("an entry of the terms has no key 'term'")
    elif entry.kind not in _OLD_KINDS:
        raise ValueError(f"'{entry.kind}' is no kind of term; there are {', '.join(_OLD_KINDS)}")
    else:
        key = Key(_OLD_KINDS[entry.kind], entry.species)
        term = Term.at(key, key.parse(entry.formula, values))
    named = {name for name in term.tree.names if name}
    if named != set(values):
        has, given = (", ".join(sorted(names)) or "none" for names in (named, values))
        raise ValueError(f"the term {term} has the constants {has}; values are given for {given}")
    return term


def expression_of(parts: Sequence[tuple[float, str]], **values: float) -> Expression:
    """An expression from weights in eV and texts of terms; named constants have these values.

    A ``ValueError`` refuses a text that is no term, and numbers that are not finite.

    Examples
    --------
    >>> expression_of([(2.0, "Ar-Ar: x^-12"), (-1.0, "Ar-Ar: x^-6")]).text()
    '2.0*x^-12 - 1.0*x^-6'
    """
    terms = tuple(Term.read(text, values) for _, text in parts)
    if bad := [text for weight, text in parts if not math.isfinite(weight)]:
        raise ValueError(f"the weight of the term {bad[0]} must be a finite number")
    return Expression(terms, tuple(float(weight) for weight, _ in parts))
