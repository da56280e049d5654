"""Listing terms: functions of one variable made into pair terms and factors of three-body terms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from symreg.language.canonical import cost, n_constants, terms_of
from symreg.language.operators import COSTS, WEIGHT_COST
from symreg.language.text import ONE, Nested
from symreg.searching.exhaustive.families import Families, Mono, Sum
from symreg.searching.exhaustive.forms import Forms, Group
from symreg.searching.exhaustive.functions import ANGULAR, RADIAL, Functions, Grammar, numbered
from symreg.searching.exhaustive.pieces import Pieces
from symreg.searching.tasks import no_search_for_cycles
from symreg.terms import Key

_PRODUCT = COSTS["product"]
LEAST_TERM = WEIGHT_COST + 1
"""Complexity of the simplest pair term."""


@no_search_for_cycles()
def list_forms(
    keys: Sequence[Key],
    limit: int,
    term_limit: int | None = None,
    pair_limit: int | None = None,
    radial: Grammar = RADIAL,
    angular: Grammar = ANGULAR,
) -> Forms:
    """All forms of one pair term and at most one other term, up to a complexity.

    Parameters
    ----------
    keys
        Kinds and species of terms; many-body terms are left out.
    limit, pair_limit
        Largest complexity of a form, and of one of pair terms alone; those with three-body terms
        are fewer.
    term_limit
        Largest complexity of a pair term, weight included; by default as of a form. There are
        some 20 to 50 times as many terms for every 2 that it is raised, and all are listed before
        any is fitted: 11 takes seconds, 13 minutes and gigabytes.
    radial, angular
        What functions of the distance and the cosine are made of.

    Raises
    ------
    ValueError
        If there are no pair terms, or not enough complexity for one.

    Examples
    --------
    >>> forms = list_forms([Key.of("Ar", "Ar")], 10)
    >>> forms.counts[5], forms.counts[10]
    (32, 988)
    """
    term_limit = limit if term_limit is None else min(term_limit, limit)
    if not any(key.is_pair for key in keys):
        raise ValueError("forms without pair terms are not enumerated: they keep nothing apart")
    if term_limit < LEAST_TERM:
        raise ValueError(f"the largest complexity is {term_limit}; a pair term has {LEAST_TERM}")
    return Listing(keys, limit, term_limit, radial, angular).forms(pair_limit)


class Listing:
    """All single terms up to a complexity; parameters as of ``list_forms``."""

    def __init__(
        self, keys: Sequence[Key], limit: int, term_limit: int, radial: Grammar, angular: Grammar
    ) -> None:
        self.keys, self.limit, self.term_limit = tuple(keys), limit, term_limit
        self.families, self._spans, self._trees = Families(), list[list[Mono]](), list[Nested]()
        self.groups = self._make_groups(radial, angular)

    def forms(self, pair_limit: int | None = None) -> Forms:
        """The forms that the terms make."""
        numbers: dict[Mono, int] = {}
        spans = [[numbers.setdefault(m, len(numbers)) for m in span] for span in self._spans]
        start = np.concatenate([[0], np.cumsum([len(span) for span in spans])]).astype(np.int64)
        flat = np.array([n for span in spans for n in span], dtype=np.int64)
        most = self.limit if pair_limit is None else pair_limit
        pieces = Pieces.of(self._trees)
        return Forms(self.keys, self.limit, most, pieces, self.groups, flat, start)

    def _make_groups(self, radial: Grammar, angular: Grammar) -> list[Group]:
        """Single terms, simplest first; fills the list of pieces."""
        pair_keys = [k for k, key in enumerate(self.keys) if key.is_pair]
        triplet_keys = [k for k, key in enumerate(self.keys) if key.is_triplet]
        largest = self.limit - LEAST_TERM
        most = largest - WEIGHT_COST - _PRODUCT - 1
        deepest = max(self.term_limit - WEIGHT_COST, most if triplet_keys else 0)
        functions = Functions(radial, self.families, deepest, sums=False)
        groups = []
        for level, (first, count) in self._add(self._pair_terms(functions)).items():
            groups += [Group(k, level + WEIGHT_COST, first, count) for k in pair_keys]
        if not triplet_keys or most < 1:
            return groups
        cosines = Functions(angular, self.families, most)
        factors = [self._add(self._factors(table, most)) for table in (functions, cosines)]
        for level, (first, count) in factors[0].items():
            for other, (second, others) in factors[1].items():
                size = level + other + _PRODUCT + WEIGHT_COST
                if size <= largest:
                    groups += [Group(k, size, first, count, second, others) for k in triplet_keys]
        return sorted(groups, key=lambda group: group.complexity)

    def _add(self, levels: Iterator[tuple[int, list[Nested]]]) -> dict[int, tuple[int, int]]:
        """Make pieces of functions; the first and how many of each complexity."""
        found = {}
        for level, trees in levels:
            found[level] = len(self._trees) + 1, len(trees)
            self._trees += trees
        return {level: span for level, span in found.items() if span[1]}

    def _pair_terms(self, functions: Functions) -> Iterator[tuple[int, list[Nested]]]:
        """Functions that are one term, by complexity."""
        seen: set[object] = set()
        cheapest: dict[Mono, int] = {}
        for level in range(1, self.term_limit - WEIGHT_COST + 1):
            found = []
            for u, addends in functions[level]:
                split = terms_of(u)
                if len(split) != 1 or cost(split[0]) != level:
                    continue
                monos = self._new_family(split[0], u, addends, seen)
                if monos is None:
                    continue
                costs = [cheapest.get(mono, self.limit) + WEIGHT_COST for mono in monos]
                if len(monos) == 2 and sum(costs) <= level + WEIGHT_COST:
                    continue  # a sum of two simpler terms
                if len(monos) == 1:
                    cheapest.setdefault(monos[0], level)
                found.append(numbered(split[0]))
                self._spans.append([m for m in monos if not self.families.fitted(((m, 1.0),))])
            yield level, found

    def _factors(self, functions: Functions, limit: int) -> Iterator[tuple[int, list[Nested]]]:
        """Functions whose scale is free, by complexity."""
        seen: set[object] = set()
        for level in range(1, limit + 1):
            found = []
            for u, addends in functions[level]:
                ((_, factor, _),) = terms_of(("product", u, ONE)) or ((0, ONE, 0),)
                same = cost(factor) == level
                if same and self._new_family(factor, u, addends, seen) is not None:
                    found.append(numbered(factor))
            yield level, found

    def _new_family(
        self, term: Nested, u: Nested, addends: Sum, seen: set[object]
    ) -> list[Mono] | None:
        """Terms that a function of free scale is the sum of; None where it is nothing new.

        ``addends`` is the normal form of ``u``, of which rewriting made the term.
        """
        family = self.families.scaled(addends if term == u else self.families.of(numbered(term)))
        tied, addends = family
        if family in seen or self.families.fitted(addends) + tied < n_constants(term) + 1:
            return None
        seen.add(family)
        return [] if tied else [mono for mono, _ in addends]
