"""All forms of one or two terms up to a complexity, in a fixed order, at random access.

A form is a list of terms whose constants are placeholders. Single terms are kept as arrays; forms
of two terms are only counted, and made from their place in the order when they are asked for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import combinations_with_replacement, pairwise
from typing import NamedTuple

import numpy as np

from symreg.arrays import Integers
from symreg.searching.exhaustive.pieces import Pieces
from symreg.searching.individuals import Arrays
from symreg.terms import Key


class Group(NamedTuple):
    """Terms of one key and complexity; three-body terms also of one for each factor."""

    key: int
    complexity: int
    """Of each term, with its weight."""
    first: int
    """Piece of the first pair function, or radial factor."""
    n_functions: int
    """How many pieces follow each other from there."""
    angular: int = 0
    """Piece of the first angular factor; 0 for pair terms."""
    n_angular: int = 1
    """How many pieces follow each other from there."""

    @property
    def size(self) -> int:
        """Number of terms."""
        return self.n_functions * self.n_angular


class _Segment(NamedTuple):
    """Forms with terms from one group, or two."""

    groups: tuple[Group, ...]
    size: int
    excluded: Integers
    """Places of forms that a simpler one has all functions of, ascending."""


class Terms(NamedTuple):
    """Forms as pieces: F forms of T terms in all."""

    place: Integers
    """Place of each form among those of its complexity, shape (F,)."""
    term_start: Integers
    """Where the terms of each form begin, shape (F+1,)."""
    key: Integers
    """Key of each term, shape (T,)."""
    pieces: Integers
    """Pieces of each term, -1 where it has fewer, shape (T, 3)."""


class Forms:
    """All forms of at most two terms, up to a complexity; ``list_forms`` makes them.

    Every form has a pair term: it keeps atoms apart. The other may be a pair term too, the same one
    with constants of its own, or a separable three-body term.

    Parameters
    ----------
    keys, limit, pair_limit
        As for ``list_forms``.
    pieces
        Pair functions, then radial and angular factors.
    groups
        Single terms, simplest first.
    spans, span_start
        For each pair function, numbers of the functions without constants that it is a sum of,
        each of any weight, and where they begin.
    """

    def __init__(
        self,
        keys: Sequence[Key],
        limit: int,
        pair_limit: int,
        pieces: Pieces,
        groups: Sequence[Group],
        spans: Integers,
        span_start: Integers,
    ) -> None:
        self.keys, self.pieces, self.groups = tuple(keys), pieces, tuple(groups)
        self.limit, self.pair_limit = limit, pair_limit
        self._spans, self._span_start = spans, span_start
        self._segments = {c: list(self._make_segments(c)) for c in range(limit + 1)}

    @cached_property
    def sizes(self) -> dict[int, int]:
        """Places in the order of each complexity; ``terms`` takes ranges of these."""
        return {c: sum(s.size for s in segments) for c, segments in self._segments.items()}

    @cached_property
    def counts(self) -> dict[int, int]:
        """Forms of each complexity: places but for those of redundant forms."""
        return {
            c: self.sizes[c] - sum(s.excluded.size for s in segments)
            for c, segments in self._segments.items()
        }

    @cached_property
    def with_triplets(self) -> int:
        """How many forms have a three-body term."""
        segments = [s for every in self._segments.values() for s in every]
        return sum(s.size for s in segments if any(group.angular for group in s.groups))

    def terms(self, complexity: int, start: int = 0, stop: int | None = None) -> Terms:
        """The forms at places ``start`` to ``stop`` of a complexity."""
        none, first = np.empty(0, dtype=np.int64), 0
        parts = [(none, none, none, np.empty((0, 3), dtype=np.int64))]
        stop = self.sizes[complexity] if stop is None else stop
        for segment in self._segments[complexity]:
            low, high = max(start - first, 0), min(stop - first, segment.size)
            if low < high:
                parts.append(_terms_of(segment, low, high, first))
            first += segment.size
        place, sizes, key, pieces = (np.concatenate(part) for part in zip(*parts, strict=True))
        return Terms(place, np.append(0, np.cumsum(sizes)), key, pieces)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Plain arrays, from which ``from_arrays`` makes equal forms much faster than a listing."""
        return {
            "groups": np.array(self.groups, dtype=np.int64).reshape(-1, len(Group._fields)),
            "limits": np.array([self.limit, self.pair_limit]),
            "spans": self._spans,
            "span_start": self._span_start,
            **self.pieces._asdict(),
        }

    @staticmethod
    def from_arrays(keys: Sequence[Key], arrays: Arrays) -> Forms:
        """Undo ``to_arrays``; the keys are those of the listing."""
        groups = [Group(*map(int, row)) for row in arrays["groups"]]
        pieces = Pieces(**{name: arrays[name] for name in Pieces._fields})
        limit, pair_limit = map(int, arrays["limits"])
        spans = arrays["spans"], arrays["span_start"]
        return Forms(keys, limit, pair_limit, pieces, groups, *spans)

    def _make_segments(self, complexity: int) -> Iterator[_Segment]:
        none = np.empty(0, dtype=np.int64)
        for group in self.groups:
            if group.complexity == complexity <= self.pair_limit and not group.angular:
                yield _Segment((group,), group.size, none)
        smaller = [g for g in self.groups if g.complexity < complexity]
        for one, two in combinations_with_replacement(smaller, 2):
            triplets = sum(g.angular > 0 for g in (one, two))
            most = (self.pair_limit, self.limit, 0)[triplets]
            if one.complexity + two.complexity == complexity <= most:
                size = one.size * (one.size + 1) // 2 if one == two else one.size * two.size
                yield _Segment((one, two), size, self._redundant(one, two))

    def _redundant(self, one: Group, two: Group) -> Integers:
        """Places of pairs of terms that share an addend without constants."""
        if one.key != two.key:
            return np.empty(0, dtype=np.int64)
        sharing: dict[int, list[int]] = defaultdict(list)
        for b, part in self._parts(two):
            sharing[part].append(b)
        pairs = [(a, b) for a, part in self._parts(one) for b in sharing.get(part, ())]
        if one == two:
            places = {b * (b + 1) // 2 + a for a, b in pairs if a <= b}
        else:
            places = {a * two.n_functions + b for a, b in pairs}
        return np.array(sorted(places), dtype=np.int64)

    def _parts(self, group: Group) -> Iterator[tuple[int, int]]:
        """Terms of a group, by number, and the functions that they are sums of."""
        if not group.angular:
            starts = self._span_start[group.first - 1 : group.first + group.n_functions]
            for n, (low, high) in enumerate(pairwise(starts.tolist())):
                for part in self._spans[low:high].tolist():
                    yield n, part


def _terms_of(
    segment: _Segment, low: int, high: int, first: int
) -> tuple[Integers, Integers, Integers, Integers]:
    """Places, numbers of terms, keys and pieces of some forms of a segment."""
    place = np.arange(low, high)
    place = place[~np.isin(place, segment.excluded)]
    groups = segment.groups
    if len(groups) == 1:
        chosen = [place]
    elif groups[0] == groups[1]:
        larger = ((np.sqrt(8.0 * place + 1) - 1) / 2).astype(np.int64)
        larger -= larger * (larger + 1) // 2 > place
        larger += (larger + 1) * (larger + 2) // 2 <= place
        chosen = [place - larger * (larger + 1) // 2, larger]
    else:
        chosen = list(np.divmod(place, groups[1].size))
    pieces = np.stack([_pieces_of(g, n) for g, n in zip(groups, chosen, strict=True)], axis=1)
    key = np.tile([g.key for g in groups], place.size)
    return first + place, np.full(place.size, len(groups)), key, pieces.reshape(-1, 3)


def _pieces_of(group: Group, number: Integers) -> Integers:
    """Pieces of the terms of a group with these numbers, shape (n, 3)."""
    missing = np.full_like(number, -1)
    if not group.angular:
        return np.stack([group.first + number, missing, missing], axis=1)
    radial, angular = np.divmod(number, group.n_angular)
    return np.stack([missing + 1, group.first + radial, group.angular + angular], axis=1)
