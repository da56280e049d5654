"""Limits of variation: settings, and bounds of exponents and constants."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

from symreg.fit.programs.batch import CodedTerm
from symreg.language import Shape
from symreg.language.operators import OPERATORS
from symreg.language.text import Nested
from symreg.language.tree import mapped, operands
from symreg.terms.kinds import adjective_of
from symreg.terms.templates import Template
from symreg.terms.term import sums_in

LOWEST_EXPONENT, HIGHEST_EXPONENT = -24, 8
"""Powers of powers may reach these; beyond them a power only patches one end of the range."""
LARGEST_CONSTANT = 1e4
"""Constants beyond it only undo each other; scales belong to the weights."""

FLATTEST = 1e-5
"""Scale of the operand below which a bounded function, as tanh(c*x), only stands for c*x."""
_BOUNDED = {name for name, row in OPERATORS.items() if row.growth == "bounded"}


@dataclass(frozen=True, kw_only=True)
class VariationSettings:
    """Limits and rates of variation."""

    max_complexity: int = 60
    max_terms: int = 6
    """For each kind and species."""
    max_nonlinear: int = 16
    """Nonlinear constants of an individual."""
    max_constants: int | None = None
    """Fitted reals of an individual, weights included; any number unless given."""
    crossover_rate: float = 0.35
    """Fraction of offspring that have two parents."""
    max_sums: int = 3
    """Sums in one function of sums."""
    general: bool = False
    """Whether three-body functions need not be separable."""
    shared: str = "auto"
    """Whether several keys have forms in common: ``auto``, ``never`` or ``always``."""
    templates: tuple[Template, ...] = ()
    """Shapes that terms of single keys keep."""
    importance: tuple[float, ...] = ()
    """How likely each key is given a new form, relative to others; alike unless given."""


def too_tight(
    settings: VariationSettings, exceeded: Sequence[Collection[str]], overs: Collection[str]
) -> str:
    """Words for limits within which there is hardly any formula; ``exceeded`` are those of many."""
    # The limit that alone kept most away is the one to change.
    limit, size = f"max_complexity is {settings.max_complexity}", "is as short as that"
    if exceeded.count({"max_constants"}) > exceeded.count({"max_complexity"}):
        limit, size = f"max_constants is {settings.max_constants}", "has as few constants"
    kinds = " and ".join(sorted(map(adjective_of, overs)))
    return f"[terms] {limit}: hardly any formula of {kinds} terms {size}; make it larger"


def is_sane(coded: CodedTerm) -> bool:
    """Whether constants are of sensible size and exponents within bounds."""
    fine, exponents = _exponents(coded.shape)
    for k in _slopes(coded.shape):
        if abs(coded.constants[k]) < FLATTEST:
            return False
    constants = coded.constants
    for value in constants:
        if not -LARGEST_CONSTANT <= value <= LARGEST_CONSTANT:
            return False
    for k in exponents:  # a loop costs half of what ``all`` does, here as above
        if not LOWEST_EXPONENT <= constants[k] <= HIGHEST_EXPONENT:
            return False
    return fine


@lru_cache(maxsize=2**16)
def _exponents(shape: Shape) -> tuple[bool, tuple[int, ...]]:
    """Whether integer exponents are within bounds, and which constants are exponents."""
    found = []
    for node in shape.nodes():
        if node[0] == "powi":
            within = LOWEST_EXPONENT <= node[1] <= HIGHEST_EXPONENT
            if not within or node[2][0] == "powi":
                return False, ()
        elif node[0] == "pow" and node[2][0] == "const":
            found.append(node[2][1])
    return True, tuple(found)


@lru_cache(maxsize=2**16)
def _slopes(shape: Shape) -> tuple[int, ...]:
    """Which constants scale the operand of a bounded function."""
    return tuple(
        factor[1]
        for node in shape.nodes()
        if node[0] in _BOUNDED and node[1][0] == "mul"
        for factor in node[1][1:]
        if factor[0] == "const"
    )


STEEPEST_EMBEDDING = 4
"""Largest size of a power of sums."""


def is_embedding(tree: Nested, most: int, overs: Collection[str]) -> bool:
    """Whether a function of so many sums, over some of ``overs``, is finite for an atom alone."""
    allowed = all(node[1][0] in overs for node in sums_in(tree))
    return allowed and 0 < n_sums(tree) <= most and math.isfinite(_alone(tree))


def n_sums(tree: Nested) -> int:
    """Sums in a function; those of one shape over neighbours of several species count as one."""
    heads: dict[Nested, Counter[Nested]] = {}
    for _, head, summand in sums_in(tree):
        heads.setdefault((head[0], _numbered(summand)), Counter())[head] += 1
    return sum(max(counts.values()) for counts in heads.values())


def _numbered(tree: Nested) -> Nested:
    """A form without the values of its constants."""
    return ("const", 0) if tree[0] == "const" else mapped(tree, _numbered)


def _alone(tree: Nested) -> float:
    """Value where all sums are zero; NaN where there is none, and for powers that are too steep."""
    op = tree[0]
    if op == "sum":
        return 0.0
    if op in ("const", "int"):
        return float(tree[1])
    parts = [_alone(u) for u in operands(tree)]
    if op == "powi":
        op, parts = "pow", [*parts, float(tree[1])]
    exponent = parts[1] if op == "pow" else 0.0
    if abs(exponent) > STEEPEST_EMBEDDING:
        return math.nan
    try:
        return float(OPERATORS[op].number(*parts))
    except (ValueError, ArithmeticError):
        return math.nan
