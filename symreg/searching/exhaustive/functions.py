"""Tables of functions of one variable by complexity, each family of functions once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations_with_replacement, product

from symreg.language.canonical import X, build, cost, n_constants
from symreg.language.operators import COSTS, FUNCTIONS, OPERATORS, REAL
from symreg.language.text import ONE, Nested
from symreg.searching.exhaustive.families import Families, Sum
from symreg.searching.variation.limits import HIGHEST_EXPONENT, LOWEST_EXPONENT
from symreg.searching.variation.types import DEGREES

_LEAST_AROUND = 2
"""Least complexity that an operator and its other operand add."""


@dataclass(frozen=True, kw_only=True)
class Grammar:
    """Operators and leaves of functions of one variable."""

    variable: Nested = X
    exponents: tuple[int, ...] = tuple(
        n for n in range(LOWEST_EXPONENT, HIGHEST_EXPONENT + 1) if n not in (0, 1)
    )
    """Integer exponents: all that variation reaches, by products of powers of its own."""
    functions: tuple[str, ...] = FUNCTIONS
    """Operators of one operand."""
    real_powers: bool = True
    """Whether exponents may be fitted."""


RADIAL = Grammar()
"""For functions of x: what variation makes."""
ANGULAR = Grammar(
    variable=("c",),
    exponents=tuple(sorted({*DEGREES, *(-n for n in DEGREES), -1})),
    functions=tuple(name for name in FUNCTIONS if OPERATORS[name].domain == REAL),
    real_powers=False,
)
"""For functions of the cosine: its exponents, and those of their inverses."""


def placeholder(n: int) -> Nested:
    """The constant number n of a form whose constants have no values yet.

    No two are equal, and no sum or product of a few is a number that rewriting treats apart.
    """
    return ("const", 1.1 + 0.0137 * n)


def numbered(u: Nested, first: int = 0) -> Nested:
    """The form with placeholders for its constants, in order of appearance."""
    if all(v == placeholder(k) for k, v in enumerate(_constants(u), first)):
        return u
    count = first

    def visit(v: Nested) -> Nested:
        nonlocal count
        if v[0] == "const":
            count += 1
            return placeholder(count - 1)
        return tuple([visit(w) if isinstance(w, tuple) else w for w in v])

    return visit(u)


def _constants(u: Nested) -> list[Nested]:
    """All constants, in order of appearance."""
    if u[0] == "const":
        return [u]
    return [c for v in u[1:] if isinstance(v, tuple) for c in _constants(v)]


class Functions:
    """All families of functions of one variable up to a complexity.

    Tables that are compared have their normal forms in common. ``sums`` tells whether sums are of
    use that are too large to be part of other functions.
    """

    def __init__(self, grammar: Grammar, families: Families, limit: int, sums: bool = True) -> None:
        self.grammar, self.families = grammar, families
        self._largest_sum = limit if sums else limit - _LEAST_AROUND
        self._allowed = {1, *grammar.exponents}
        self._seen: set[Sum] = set()
        self._sums_only: set[Sum] = set()
        self._levels: list[list[Nested]] = [[] for _ in range(limit + 1)]
        self._kept: list[list[tuple[Nested, Sum]]] = [[] for _ in range(limit + 1)]
        waiting: list[list[Nested]] = [[] for _ in range(limit + 1)]
        for level in range(1, limit + 1):
            self._fill(level, self._made(level, waiting))
            self._fill(level, waiting[level])
            waiting[level] = []

    def __getitem__(self, complexity: int) -> list[tuple[Nested, Sum]]:
        """Functions of one complexity, constants as placeholders, with their normal forms.

        A function that a sum is as well, of no higher complexity, is there in addition: as a term
        the sum would come apart, and its addends would no longer have one scale.
        """
        return self._kept[complexity]

    def _made(self, level: int, waiting: list[list[Nested]]) -> Iterator[Nested]:
        """Operators applied to smaller functions; rewriting may have made them more complex."""
        for u in self._raw(level):
            size = cost(u)
            if size == level:
                yield u
            elif level < size < len(waiting):
                waiting[size].append(u)

    def _fill(self, level: int, candidates: Iterable[Nested]) -> None:
        """Keep those that are no family seen before and have no needless constants."""
        for u in candidates:
            is_sum = u[0] in ("add", "sub")
            if (is_sum and level > self._largest_sum) or not self._is_allowed(u):
                continue
            form = numbered(u)
            family = self.families.of(form)
            if not family or self.families.fitted(family) < n_constants(form):
                continue
            if family not in self._seen:
                self._seen.add(family)
                self._levels[level].append(form)
                self._kept[level].append((form, family))
                if is_sum:
                    self._sums_only.add(family)
            elif not is_sum and family in self._sums_only:
                self._sums_only.remove(family)
                self._kept[level].append((form, family))

    def _is_allowed(self, u: Nested) -> bool:
        if u[0] == "powi" and (u[1] not in self._allowed or u[2][0] == "powi"):
            return False
        for v in u[1:]:  # a generator would take three times as long
            if isinstance(v, tuple) and len(v) > 1 and not self._is_allowed(v):
                return False
        return True

    def _raw(self, level: int) -> Iterator[Nested]:
        """Canonical forms of all operators on smaller functions, maybe of other complexity."""
        grammar, levels = self.grammar, self._levels
        if level == 1:
            yield from (grammar.variable, ONE, placeholder(0))
        for name in grammar.functions:
            for u in self._operands(level - COSTS[name]):
                yield build(name, u)
        for u in self._operands(level - COSTS["powi"]):
            yield from (build("powi", n, u) for n in grammar.exponents)
        if grammar.real_powers:
            for u in self._operands(level - COSTS["pow"] - 1):
                yield build("pow", u, placeholder(n_constants(u)))
        names = ("add", "sub", "mul", "div") if level <= self._largest_sum else ("mul", "div")
        for name in names:
            rest = level - COSTS[name]
            ordered = name in ("sub", "div")
            for size in range(1, rest if ordered else rest // 2 + 1):
                pairs: Iterable[tuple[Nested, ...]] = product(levels[size], levels[rest - size])
                if size == rest - size and not ordered:
                    pairs = combinations_with_replacement(levels[size], 2)
                for u, v in pairs:
                    yield build(name, u, numbered(v, n_constants(u)))

    def _operands(self, level: int) -> list[Nested]:
        return self._levels[level] if level > 0 else []
