"""Candidates as flat arrays, as compiled code reads them: the one place where trees are encoded.

Operators that have a definition in others are written out, so they need no compiled code of their
own; the mark that they leave in ``arg`` lets ``decode`` find them again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, chain, pairwise
from typing import NamedTuple

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from symreg.arrays import Floats, Integers
from symreg.language import Shape, parse
from symreg.language.operators import (
    CONST,
    INT,
    OPERATORS,
    PRODUCT,
    PRODUCTS,
    SUM,
    UNLIKE,
    VARIABLE,
    Operator,
)
from symreg.language.text import Nested
from symreg.language.tree import nodes as nodes_of
from symreg.language.tree import operands
from symreg.terms import Key, Term
from symreg.terms.kinds import kinds
from symreg.terms.sharing import sharing

MAX_NODES = 256
"""Most nodes of one tree, operators with a definition written out."""
MAX_CONSTANTS = 16
"""Most constants of one tree."""
ROWS = 256
"""More than a function has variables."""
_REMEMBERED = 2**16
_BASE = 128
"""More than there are elements, or kinds of sums: both are digits of a number in this base."""


class CodedTerm(NamedTuple):
    """One term of a candidate: its key among those of a design, its shape and its constants."""

    key: int
    shape: Shape
    constants: tuple[float, ...]


class Batch(NamedTuple):
    """Candidates as flat arrays: I candidates, T terms, N nodes, K constants in all."""

    code: Integers
    """Operator of each node, prefix order, tree after tree, shape (N,)."""
    arg: Integers
    """Constant, integer or exponent of each node; for a variable its place among those of its
    function, and ``ROWS`` times the number of its name; shape (N,)."""
    node_start: Integers
    """Where the nodes of each term begin, shape (T+1,)."""
    constants: Floats
    """Constants of all terms, shape (K,)."""
    constant_start: Integers
    """Where the constants of each term begin, shape (T+1,)."""
    key: Integers
    """Key of each term, by its place among those of the design, shape (T,)."""
    term_start: Integers
    """Where the terms of each candidate begin, shape (I+1,)."""

    def candidate(self, k: int) -> Batch:
        """One candidate as a batch of its own; the arrays are views."""
        first, last = self.term_start[k : k + 2]
        nodes, starts = self.node_start[first : last + 1], self.constant_start[first : last + 1]
        span, own = slice(nodes[0], nodes[-1]), slice(starts[0], starts[-1])
        code, arg, constants = self.code[span], self.arg[span], self.constants[own]
        key, end = self.key[first:last], np.array([0, last - first])
        return Batch(code, arg, nodes - nodes[0], constants, starts - starts[0], key, end)


class Encoded(NamedTuple):
    """A tree as arrays; shape (nodes,)."""

    code: Integers
    arg: Integers


@lru_cache(maxsize=_REMEMBERED)
def encoded(shape: Shape, alone: bool = False) -> Encoded:
    """A shape as arrays; ``alone`` is for a function of one variable, whatever its name.

    Raises
    ------
    ValueError
        If it is larger than compiled code has room for.
    """
    nodes = list(_encoded(shape.root))
    if alone:
        nodes = [(code, arg - arg % ROWS if code == VARIABLE else arg) for code, arg in nodes]
    if len(nodes) > MAX_NODES or shape.n_constants > MAX_CONSTANTS:
        raise ValueError(
            f"a formula has {len(nodes)} operators and {shape.n_constants} constants; "
            f"at most {MAX_NODES} and {MAX_CONSTANTS} are possible"
        )
    code, arg = zip(*nodes, strict=True)
    return Encoded(np.array(code, dtype=np.int64), np.array(arg, dtype=np.int64))


def fits(shape: Shape) -> bool:
    """Whether compiled code has room for a shape."""
    if shape.cost <= MAX_NODES // _LONGEST and shape.n_constants <= MAX_CONSTANTS:
        return True  # no node costs less than 1
    try:
        encoded(shape)
    except ValueError:
        return False
    return True


def _encoded(u: Nested) -> Iterable[tuple[int, int]]:
    """Codes and arguments of all nodes in prefix order."""
    op = u[0]
    if op in _PLACES:
        yield VARIABLE, _PLACES[op] + ROWS * _NUMBERS[op]
    elif op in ("const", "int"):
        yield (CONST if op == "const" else INT), u[1]
    elif op in PRODUCTS:
        yield PRODUCTS[op], 0
        for radial in u[1:-1]:
            yield from _encoded(radial)
        # The cosine is the one variable of an angular factor.
        yield from ((code, arg - arg % ROWS * (code == VARIABLE)) for code, arg in _encoded(u[-1]))
    elif op == "sum":
        yield SUM, _head_number(u[1])
        yield from _encoded(u[2])
    elif op in _DEFINED:
        before, after = _DEFINED[op]
        yield from before
        yield from _encoded(u[1])
        yield from after
    else:
        yield OPERATORS[op].code, u[1] if op == "powi" else 0
        for operand in operands(u):
            yield from _encoded(operand)


_VARIABLES = ("x", "x1", "x2", "c", *(f"s{n}" for n in range(1, 100)))
_NUMBERS = {name: n for n, name in enumerate(_VARIABLES)}
_PLACES = {"x": 0, "x1": 0, "x2": 1, "c": 2, **{f"s{n}": n - 1 for n in range(1, 100)}}
"""Where a variable stands among those of its function."""


def _head_number(head: Nested) -> int:
    """Number of the head of a sum, which means the same in every process."""
    over, _, *species = head
    number = 0
    for symbol in species:
        number = number * _BASE + atomic_numbers[symbol]
    return number * _BASE + [kind.over for kind in kinds()].index(over)


def _head(number: int) -> Nested:
    """Undo ``_head_number``."""
    number, over = divmod(number, _BASE)
    species: list[str] = []
    while number:
        number, z = divmod(number, _BASE)
        species.insert(0, chemical_symbols[z])
    kind = kinds()[over]
    return kind.over, kind.name, *species


def _defined() -> dict[str, tuple[list[tuple[int, int]], list[tuple[int, int]]]]:
    """Nodes before and after the operand of operators with a definition; the first is marked."""
    found = {}
    for row in OPERATORS.values():
        if not row.definition:
            continue
        root = parse(row.definition, variable="u").root
        _check_definition(row, root)
        nodes = list(_encoded(root))
        (place,) = [k for k, node in enumerate(nodes) if node[0] == VARIABLE]
        first = nodes[0][0], row.code
        found[row.name] = [first, *nodes[1:place]], nodes[place + 1 :]
    return found


def _check_definition(row: Operator, root: Nested) -> None:
    """Refuse what cannot be written out, or not be told from what else is written."""
    used = [node[0] for node in nodes_of(root)]
    others = sorted({op for op in used if op in OPERATORS and OPERATORS[op].definition})
    faults = {
        "hold u once": used.count("x") != 1,
        "hold integers and no constants": "const" in used,
        "begin with an operator, but no integer power": used[0] in ("x", "int", "powi"),
        f"do without {', '.join(others)}": bool(others),
    }
    for fault, there in faults.items():
        if there:
            raise ValueError(f"the definition of {row.name} must {fault}: {row.definition}")


_DEFINED: dict[str, tuple[list[tuple[int, int]], list[tuple[int, int]]]] = {}
_DEFINED = _defined()
_LONGEST = max([1, *(len(before) + len(after) for before, after in _DEFINED.values())])
_NAMES = {row.code: row.name for row in OPERATORS.values()}


def encode(candidates: Sequence[Sequence[CodedTerm]]) -> Batch:
    """Flat arrays of many candidates; raises as ``encoded`` does."""
    every = [coded for coded_terms in candidates for coded in coded_terms]
    trees, constants = [encoded(shape) for _, shape, _ in every], [c for _, _, c in every]
    none = [np.empty(0, dtype=np.int64)]
    return Batch(
        np.concatenate([tree.code for tree in trees] or none),
        np.concatenate([tree.arg for tree in trees] or none),
        _starts(tree.code.size for tree in trees),
        np.array([*chain.from_iterable(constants)], dtype=float),
        _starts(map(len, constants)),
        np.array([key for key, _, _ in every], dtype=np.int64),
        _starts(map(len, candidates)),
    )


def _starts(sizes: Iterable[int]) -> Integers:
    """Where parts of these sizes begin, one after another, and where the last ends."""
    return np.array([0, *accumulate(sizes)], dtype=np.int64)


def decode(batch: Batch) -> list[tuple[CodedTerm, ...]]:
    """Undo ``encode``, with the constants that the batch holds now."""
    constants = batch.constants.tolist()
    nodes, firsts = batch.node_start.tolist(), batch.constant_start.tolist()
    coded_terms = []
    for t, key in enumerate(batch.key.tolist()):
        code, arg = (part[nodes[t] : nodes[t + 1]].tobytes() for part in (batch.code, batch.arg))
        own = tuple(constants[firsts[t] : firsts[t + 1]])
        coded_terms.append(CodedTerm(key, _decoded(code, arg), own))
    return [tuple(coded_terms[low:high]) for low, high in pairwise(batch.term_start.tolist())]


@lru_cache(maxsize=_REMEMBERED)
def _decoded(code: bytes, arg: bytes) -> Shape:
    codes, args = (np.frombuffer(part, dtype=np.int64).tolist() for part in (code, arg))
    return Shape(_read(iter(zip(codes, args, strict=True))))


def _read(nodes: Iterator[tuple[int, int]]) -> Nested:
    """The nested form that comes next."""
    code, arg = next(nodes)
    if code == VARIABLE:
        return (_VARIABLES[arg // ROWS],)
    if code in (CONST, INT):
        return ("const" if code == CONST else "int"), arg
    if code == PRODUCT:
        return "product", _read(nodes), _read(nodes)
    if code == UNLIKE:
        return "unlike", _read(nodes), _read(nodes), _read(nodes)
    if code == SUM:
        return "sum", _head(arg), _read(nodes)
    name = _NAMES[code]
    if name == "powi":
        return name, arg, _read(nodes)
    if arg:  # an operator that was written out
        before, after = _DEFINED[_NAMES[arg]]
        for _ in before[1:]:
            next(nodes)
        inner = _read(nodes)
        for _ in after:
            next(nodes)
        return _NAMES[arg], inner
    return (name, *(_read(nodes) for _ in range(OPERATORS[name].arity)))


def pack(candidates: Sequence[Sequence[Term]], keys: Sequence[Key]) -> list[tuple[CodedTerm, ...]]:
    """Terms as coded terms; ``keys`` are those of the design.

    Raises
    ------
    ValueError
        If a term is of another key.
    """
    index = {key: k for k, key in enumerate(keys)}
    found = []
    for terms in candidates:
        for term in terms:
            if term.key not in index:
                known = ", ".join(map(str, keys))
                raise ValueError(f"there is no place for the term {term}; there is for {known}")
        coded = (CodedTerm(index[term.key], term.tree.shape, term.constants) for term in terms)
        found.append(tuple(coded))
    return found


def untied(batch: Batch) -> Integers:
    """The place of each constant among those of its candidate, shape (K,)."""
    starts = batch.constant_start[batch.term_start]
    return np.arange(batch.constants.size) - np.repeat(starts[:-1], np.diff(starts))


def parameters(
    candidates: Sequence[Sequence[CodedTerm]],
    keys: Sequence[Key],
    moved: Sequence[Sequence[bool]] | None = None,
) -> Integers:
    """Which of the free constants of its candidate each constant is, (K,); see ``sharing``.

    Where it is told which terms of each candidate are ``moved``, constants that none of those holds
    are held: -1.
    """
    found: list[int] = []
    for k, coded_terms in enumerate(candidates):
        own = sharing((keys[key], shape, own) for key, shape, own in coded_terms).parameter
        found += own if moved is None else _free(own, coded_terms, moved[k])
    return np.array(found, dtype=np.int64)


def _free(
    parameter: Sequence[int], coded_terms: Sequence[CodedTerm], moved: Sequence[bool]
) -> list[int]:
    """Numbers of the free constants anew, where only those of some terms are free."""
    counts = [coded.shape.n_constants for coded in coded_terms]
    at = [flag for flag, count in zip(moved, counts, strict=True) for _ in range(count)]
    free = dict.fromkeys(number for number, flag in zip(parameter, at, strict=True) if flag)
    shown = (number for number in dict.fromkeys(parameter) if number in free)
    order = {number: n for n, number in enumerate(shown)}
    return [order.get(number, -1) for number in parameter]
