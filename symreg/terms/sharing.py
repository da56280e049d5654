"""Shared forms: which terms of several keys are one form, and which of its constants are one.

Terms of one kind and of one shape that belong to different keys share their form; so do what
functions of sums of different centres have around their sums, and what they sum. Constants of the
same place and value there are tied: one number, common to all keys, or to those of a centre, or of
one key alone, as values have it. Nothing else marks a form as shared.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from symreg.language.operators import COSTS, WEIGHT_COST
from symreg.language.text import Nested
from symreg.language.tree import Shape, Tree, mapped, nodes
from symreg.terms.kinds import FUNCTION
from symreg.terms.term import Key

_SUM, _WEIGHT = COSTS["sum"], 1
"""Costs of a sum over neighbours, and of each further value."""


class Sharing(NamedTuple):
    """Complexity of a formula when each of its shared forms counts once."""

    complexity: int
    """Costs of every form, one for each further value of its constants, and the same of weights."""
    n_constants: int
    """Fitted reals: weights, and constants of which those that are tied are one."""
    parameter: tuple[int, ...]
    """Which of the free constants each constant is, in the order of the terms; 0, 1, ... where none
    are tied."""

    @property
    def is_tied(self) -> bool:
        """Whether some constants are tied."""
        return len(set(self.parameter)) < len(self.parameter)


def may_share(keys: Collection[Key]) -> bool:
    """Whether a kind has several of these keys, so that their terms may share a form."""
    return len({key.over for key in keys}) < len(keys)


class Piece(NamedTuple):
    """A part of a term that can be shared: what stands alone, is summed, or is around sums."""

    role: tuple[str, str]
    """Kind of the term, and of the sum."""
    near: tuple[str, ...]
    """Species that a function of sums sums over; empty if they are those of the key."""
    shape: Shape
    used: tuple[int, ...]
    """Which constants of the term it holds."""
    cost: int
    """Without its weight."""


def sharing(terms: Iterable[tuple[Key, Shape, Sequence[float]]]) -> Sharing:
    """Count what terms share; they are given by key, shape and constants.

    >>> from symreg.language import parse
    >>> one, two, three = (parse(text) for text in ("exp(-3.0*x)", "exp(-3.0*x)", "exp(-2.0*x)"))
    >>> keys = Key.read("Hf-Hf"), Key.read("Hf-O"), Key.read("O-O")
    >>> trees = zip(keys, (one, two, three))
    >>> sharing((key, tree.shape, tree.constants) for key, tree in trees)
    Sharing(complexity=12, n_constants=5, parameter=(0, 0, 1))
    """
    terms = list(terms)
    by_kind: dict[str, Key] = {}
    alone = all(by_kind.setdefault(key.over, key) == key for key, _, _ in terms)
    if alone and not any(_is_mixed(shape) for key, shape, _ in terms if key.is_function):
        return _apart(terms)
    return _shared(terms)


def _is_mixed(function: Shape) -> bool:
    """Whether a function of sums sums over other species than its centre's."""
    return any(piece.near for piece in pieces(FUNCTION, function))


def _apart(terms: Sequence[tuple[Key, Shape, Sequence[float]]]) -> Sharing:
    """Of terms that cannot share anything: each kind has one key."""
    complexity = sum([shape.cost + WEIGHT_COST for _, shape, _ in terms])
    n = sum([shape.n_constants for _, shape, _ in terms])
    return Sharing(complexity, n + len(terms), tuple(range(n)))


class _Member(NamedTuple):
    """A piece of one of the terms."""

    first: int
    """Place of the term's first constant among all."""
    piece: Piece
    constants: tuple[float, ...]
    """Of the piece."""


_Form = list[dict[float, int]]
"""A shared form: for each of its constants the values met, with the numbers of these."""


def _shared(terms: Sequence[tuple[Key, Shape, Sequence[float]]]) -> Sharing:
    members: dict[tuple[object, ...], list[_Member]] = {}
    first = 0
    for key, shape, constants in terms:
        for piece in pieces(key.over, shape):
            owner: tuple[object, ...] = piece.role, piece.shape, key.species, piece.near
            own = tuple([constants[k] for k in piece.used])
            members.setdefault(owner, []).append(_Member(first, piece, own))
        first += shape.n_constants
    forms: dict[tuple[object, ...], list[_Form]] = {}
    parameter, known, complexity = [-1] * first, 0, 0
    for owner, own_members in members.items():
        every = forms.setdefault(owner[:2], [])
        for member, place in _placed(own_members, every):
            is_new = place == len(every)
            if is_new:
                every.append([{} for _ in member.constants])
                complexity += member.piece.cost
            if member.piece.role[0] == member.piece.role[1]:
                complexity += WEIGHT_COST if is_new else _WEIGHT
            for k, value, met in zip(
                member.piece.used, member.constants, every[place], strict=True
            ):
                if parameter[member.first + k] >= 0:
                    continue  # a named constant that stands in several pieces
                complexity += value not in met and not is_new
                parameter[member.first + k] = met.setdefault(value, known)
                known += met[value] == known
    order = {number: n for n, number in enumerate(dict.fromkeys(parameter))}
    return Sharing(complexity, len(terms) + known, tuple(order[p] for p in parameter))


def _placed(members: Sequence[_Member], forms: Sequence[_Form]) -> Iterator[tuple[_Member, int]]:
    """Pieces of one shape and key, each with the number of its form: the one of most equal values.

    The rest takes forms in order, then new ones.
    """
    if len(members) == 1 and len(forms) < 2:
        yield members[0], 0
        return
    equal = [
        (-sum(map(dict.__contains__, form, member.constants)), m, f)
        for m, member in enumerate(members)
        for f, form in enumerate(forms)
    ]
    left, free = dict(enumerate(members)), list(range(len(forms)))
    for score, m, f in sorted(equal):
        if score < 0 and m in left and f in free:
            free.remove(f)
            yield left.pop(m), f
    new = len(forms)
    for member in left.values():
        if free:
            yield member, free.pop(0)
        else:
            yield member, new
            new += 1


@lru_cache(maxsize=2**16)
def pieces(over: str, shape: Shape) -> tuple[Piece, ...]:
    """The parts of a term that can be shared: the whole, or a function and what it sums."""
    if over != FUNCTION:
        return (Piece((over, over), (), shape, tuple(range(shape.n_constants)), shape.cost),)
    inner: list[Piece] = []

    def split(node: Nested) -> Nested:
        if node[0] != "sum":
            return mapped(node, split)
        kind, _, *near = node[1]
        part, used = part_of(node[2])
        inner.append(Piece((FUNCTION, kind), tuple(near), part, used, _SUM + part.cost))
        return (f"s{len(inner)}",)

    outer, used = part_of(split(shape.root))
    cost = outer.cost - len(inner)  # a sum in it costs what the sum does
    return (Piece((FUNCTION, FUNCTION), (), outer, used, cost), *inner)


def part_of(root: Nested) -> tuple[Shape, tuple[int, ...]]:
    """A part of a tree as a shape of its own, and which constants of the tree it holds."""
    used = list(dict.fromkeys(node[1] for node in nodes(root) if node[0] == "const"))
    tree = Tree.of(root, [0.0] * (max(used, default=-1) + 1))
    return tree.shape, tuple(used)
