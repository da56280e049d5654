"""The road from a fitted expression to the shortest equal one, and to short constants."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from symreg.formula.simplify.rewriter import Rewriter
from symreg.language import Node, Tree, end_of
from symreg.terms import Expression, Term

Refit = Callable[[Expression], Expression | None]
"""Fits constants and weights anew; None when that fails."""
Error = Callable[[Expression], float]
"""Training error of an expression as it stands."""

Domain = Mapping[str, tuple[float, float]]
"""Smallest and largest x = r / r0 of each kind of term."""

GROWTH = 1e-3
"""Part by which the error may grow for a simpler form."""
NEAR = 0.01
"""A constant this close to an integer, as a part of it, may stand for that integer."""
LARGEST_SNAPPED = 12
"""Constants outside exponents are not taken for larger integers."""
EQUAL = 1e-9
"""Largest difference of two equal forms, as a part of the largest value."""
GRID, TRIPLET_GRID = 2001, 13
ROUNDS = 3
DIGITS = 15


@dataclass(frozen=True)
class _Judge:
    """Decides whether a simpler expression is still good enough."""

    refit: Refit
    error: Error
    limit: float
    most_constants: int
    """A shorter form may not need more constants than the form that came in."""

    def fitted(self, expression: Expression) -> Expression | None:
        """The expression with fitted constants, or None if its error exceeds the limit."""
        fitted = self.refit(expression)
        return fitted if fitted is not None and self.error(fitted) <= self.limit else None


def simplify(
    expression: Expression,
    *,
    refit: Refit,
    error: Error,
    domain: Domain,
    slack: float = 0.0,
    time_limit: float = 5.0,
    rewriter: Rewriter | None = None,
    use_sympy: bool = True,
) -> Expression:
    """Find a simpler expression that is equal on the domain, or fits the data as well.

    Constants near integers become integers and negligible terms go, as long as the error after
    refitting grows by less than 0.1 %. In between SymPy looks for shorter forms of each total; one
    is taken if it equals the old form to 1e-9 of the largest value, evaluated without SymPy.

    Parameters
    ----------
    expression
        A fitted expression.
    refit
        Fits all constants and weights of an expression.
    error
        Training error of an expression; weights and constants as they are.
    domain
        Smallest and largest x = r / r0 of pairs, and of triplets where there are any.
    slack
        What the error may grow by on top, in its own unit; for data that a formula fits exactly.
    time_limit
        Seconds for SymPy at each form; ignored if ``rewriter`` is given.
    rewriter
        SymPy's process, to be shared by many calls.
    use_sympy
        False leaves SymPy out: then no time limit can change the result.

    Returns
    -------
    The simpler expression, refitted; the given one where there is none.
    """
    limit = error(expression) * (1 + GROWTH) + slack
    judge = _Judge(refit, error, limit, expression.n_constants)
    if not math.isfinite(limit):
        return expression
    best = expression
    with nullcontext(rewriter) if rewriter is not None else Rewriter(time_limit) as running:
        for _ in range(ROUNDS):
            before = best
            best = _snap(best, judge)
            best = _rewrite(best, judge, domain, running) if use_sympy else best
            best = _drop(best, judge, domain)
            if best == before:
                break
    return best


def shorten(
    expression: Expression, *, refit_linear: Refit, error: Error, slack: float = 0.0
) -> Expression:
    """Round all constants to the fewest digits that change the error by less than 0.1 %.

    Weights are refitted after each rounding of another constant, by ``refit_linear``, and rounded
    last. ``slack`` is what the error may grow by on top.
    """
    start = error(expression)
    if not math.isfinite(start):
        return expression
    numbers = [(t, k) for t, term in enumerate(expression.terms) for k in _indices(term.tree)]
    steps = len(numbers) + len(expression.weights)
    # Each constant may use up its share only, or the first would leave nothing to the others.
    limits = [start + (GROWTH * start + slack) * (n + 1) / steps for n in range(steps)]
    for (t, k), limit in zip(numbers, limits, strict=False):
        judge = _Judge(refit_linear, error, limit, expression.n_constants)
        for value in _roundings(expression.terms[t].tree.constants[k]):
            shorter = judge.fitted(_with_constant(expression, t, k, value))
            if shorter is not None:
                expression = shorter
                break
    for t, limit in enumerate(limits[len(numbers) :]):
        for value in _roundings(expression.weights[t]):
            weights = (*expression.weights[:t], value, *expression.weights[t + 1 :])
            if error(replace(expression, weights=weights)) <= limit:
                expression = replace(expression, weights=weights)
                break
    return expression


def equal(old: Expression, new: Expression, domain: Domain) -> bool:
    """Whether two expressions agree to 1e-9 of the largest value on a dense grid."""
    if set(old.keys()) != set(new.keys()):
        return False
    for key in old.keys():  # noqa: SIM118 - no mapping
        if key[0] == "many-body":  # they are never rewritten
            continue
        points = _points(key[0], domain)
        a, b = (_values(expression, key, points) for expression in (old, new))
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            return False
        if np.abs(a - b).max() > EQUAL * np.abs(a).max():
            return False
    return True


def _points(kind: str, domain: Domain) -> tuple[NDArray[np.float64], ...]:
    """Arguments of a function of this kind all over its domain."""
    if kind == "pair":
        return (np.linspace(*domain[kind], GRID),)
    x = np.linspace(*domain[kind], TRIPLET_GRID)
    one, two, cosine = np.meshgrid(x, x, np.linspace(-1.0, 1.0, TRIPLET_GRID))
    return one.ravel(), two.ravel(), cosine.ravel()


def _values(
    expression: Expression,
    key: tuple[str, tuple[str, ...]],
    points: tuple[NDArray[np.float64], ...],
) -> NDArray[np.float64]:
    total = np.zeros_like(points[0])
    with np.errstate(all="ignore"):
        for term, weight in zip(expression.terms, expression.weights, strict=True):
            if (term.kind, term.species) == key:
                total += weight * term.tree(*points)
    return total


def _indices(tree: Tree) -> range:
    return range(len(tree.constants))


def _roundings(value: float) -> Iterator[float]:
    """The value to one digit, two digits, ..., as long as that differs from it."""
    for digits in range(1, DIGITS + 1):
        rounded = float(f"{value:.{digits}g}")
        if rounded == value:
            return
        yield rounded


def _with_tree(expression: Expression, t: int, tree: Tree) -> Expression:
    terms = list(expression.terms)
    terms[t] = terms[t]._replace(tree=tree)
    return replace(expression, terms=tuple(terms))


def _with_constant(expression: Expression, t: int, k: int, value: float) -> Expression:
    constants = list(expression.terms[t].tree.constants)
    constants[k] = value
    return _with_tree(expression, t, expression.terms[t].tree.with_constants(constants))


def _snap(expression: Expression, judge: _Judge) -> Expression:
    """Replace constants near integers by these, one by one, as far as the error allows."""
    found = True
    while found:
        found = False
        for t, term in enumerate(expression.terms):
            for tree in _snapped(term.tree):
                simpler = judge.fitted(_with_tree(expression, t, tree))
                if simpler is not None:
                    expression, found = simpler, True
                    break
    return expression


def _snapped(tree: Tree) -> Iterator[Tree]:
    """The tree with one nameless constant replaced by an integer, for each that is near one."""
    for position, node in enumerate(tree.nodes):
        if node.op != "const" or tree.names[node.arg]:
            continue
        value = tree.constants[node.arg]
        if not math.isfinite(value):
            continue
        integer = round(value)
        if abs(value - integer) > NEAR * max(abs(integer), 1):
            continue
        base = _base_of(tree, position)
        if integer == 0 and position and tree.nodes[position - 1].op == "add":
            # Canonical forms have the number of a sum first.
            yield tree.with_nodes((*tree.nodes[: position - 1], *tree.nodes[position + 1 :]))
        elif base is None and abs(integer) <= LARGEST_SNAPPED:
            nodes = (*tree.nodes[:position], Node("int", integer), *tree.nodes[position + 1 :])
            yield tree.with_nodes(nodes)
        elif base is not None and 0 < abs(integer) <= 64:
            power = () if integer == 1 else (Node("powi", integer),)
            start = base.start - 1
            nodes = (*tree.nodes[:start], *power, *tree.nodes[base.start : base.stop])
            yield tree.with_nodes((*nodes, *tree.nodes[position + 1 :]))


def _base_of(tree: Tree, position: int) -> range | None:
    """Where the base stands of the power whose whole exponent is the node at ``position``."""
    for start in range(position):
        if tree.nodes[start].op == "pow" and end_of(tree.nodes, start + 1) == position:
            return range(start + 1, position)
    return None


def _rewrite(
    expression: Expression, judge: _Judge, domain: Domain, rewriter: Rewriter
) -> Expression:
    """Take the shortest form of each total that SymPy finds and that proves equal."""
    for kind, species in expression.keys():  # noqa: SIM118 - no mapping
        if kind != "pair":  # factors of three-body terms are short, and canonical already
            continue
        form = [
            (weight, term.tree)
            for term, weight in zip(expression.terms, expression.weights, strict=True)
            if (term.kind, term.species) == (kind, species)
        ]
        candidates = [
            _replaced(expression, kind, species, other) for other in rewriter.forms(form) if other
        ]
        candidates = [c for c in candidates if c.n_constants <= judge.most_constants]
        for candidate in sorted(candidates, key=_size):
            if _size(candidate) >= _size(expression):
                break
            if equal(expression, candidate, domain):
                expression = judge.fitted(candidate) or candidate
                break
    return expression


def _size(expression: Expression) -> tuple[int, int]:
    return expression.complexity, expression.n_constants


def _replaced(
    expression: Expression, kind: str, species: tuple[str, ...], form: list[tuple[float, Tree]]
) -> Expression:
    """The expression with all terms of one kind and species replaced, in their place."""
    new = [(Term(kind, species, tree), weight) for weight, tree in form]
    parts: list[tuple[Term, float]] = []
    for term, weight in zip(expression.terms, expression.weights, strict=True):
        if (term.kind, term.species) == (kind, species):
            parts, new = [*parts, *new], []
        else:
            parts.append((term, weight))
    return Expression(tuple(term for term, _ in parts), tuple(weight for _, weight in parts))


def _drop(expression: Expression, judge: _Judge, domain: Domain) -> Expression:
    """Leave out terms, the smallest first, as far as the error allows; each pair keeps one."""
    sizes = [
        math.inf  # sums have no domain; tried last
        if term.kind == "many-body"
        else abs(weight) * float(np.abs(term.tree(*_points(term.kind, domain))).max())
        for term, weight in zip(expression.terms, expression.weights, strict=True)
    ]
    for t in sorted(range(len(sizes)), key=sizes.__getitem__):
        term = expression.terms[t]
        alone = sum(other[:2] == term[:2] for other in expression.terms) == 1
        if alone and (term.kind == "pair" or len(sizes) == 1):
            continue
        fewer = Expression(
            (*expression.terms[:t], *expression.terms[t + 1 :]),
            (*expression.weights[:t], *expression.weights[t + 1 :]),
        )
        fitted = judge.fitted(fewer)
        if fitted is not None:
            return _drop(fitted, judge, domain)
    return expression
