"""The road from a fitted expression to the shortest equal one, and to short constants."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np

from symreg.arrays import Floats
from symreg.formula.simplify.rewriter import Rewriter
from symreg.language import Tree
from symreg.language.operators import LARGEST_EXPONENT
from symreg.language.text import Nested
from symreg.language.tree import operands
from symreg.terms import Expression, Key, Term
from symreg.terms.kinds import kind_of

Refit = Callable[[Expression], Expression | None]  # fits all numbers anew; None if that fails
Error = Callable[[Expression], float]  # training error of an expression as it stands
Domain = Mapping[int, tuple[float, float]]
"""Smallest and largest x = r / r0 of each kind of sum that stands alone, by its name."""

GROWTH = 1e-3  # part by which the error may grow for a simpler form
NEAR = 0.01  # how close to an integer, as a part of it, a constant may stand for that integer
LARGEST_SNAPPED = 12  # constants outside exponents are not taken for larger integers
EQUAL = 1e-9  # largest difference of two equal forms, as a part of the largest value
GRID, TRIPLET_GRID = 2001, 13
ROUNDS, DIGITS = 3, 15


@dataclass(frozen=True)
class _Judge:
    """Decides whether a simpler expression is still good enough."""

    refit: Refit
    error: Error
    limit: float
    most_constants: int  # a shorter form may not need more constants than the form that came in

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
    """Find a simpler expression that is equal on the domain, or fits the data as well, if any.

    Constants near integers become integers and negligible terms go, as long as the error after
    refitting grows by less than 0.1 %. In between SymPy looks for shorter forms of each total; one
    is taken if it equals the old form to 1e-9 of the largest value, evaluated without SymPy.

    Parameters
    ----------
    expression
        A fitted expression.
    refit, error, domain
        As their types say.
    slack
        What the error may grow by on top, in its own unit; for data that a formula fits exactly.
    time_limit, rewriter
        Seconds for SymPy at each form, or its process, to be shared by many calls.
    use_sympy
        False leaves SymPy out: then no time limit can change the result.
    """
    limit = error(expression) * (1 + GROWTH) + slack
    judge = _Judge(refit, error, limit, expression.n_constants)
    if not math.isfinite(limit):
        return expression
    best = expression
    with nullcontext(rewriter) if rewriter else Rewriter(time_limit) as running:
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

    ``refit_linear`` fits weights after each rounding of another constant; they are rounded last.
    ``slack`` is what the error may grow by on top.
    """
    start = error(expression)
    if not math.isfinite(start):
        return expression
    tied = expression.sharing.parameter
    numbers = list(dict.fromkeys(tied))
    steps = len(numbers) + len(expression.weights)
    # Each constant may use up its share only, or the first would leave nothing to the others.
    limits = [start + (GROWTH * start + slack) * (n + 1) / steps for n in range(steps)]
    for number, limit in zip(numbers, limits, strict=False):
        judge = _Judge(refit_linear, error, limit, expression.n_constants)
        every = [constant for term in expression.terms for constant in term.constants]
        for value in _roundings(every[tied.index(number)]):
            rounded = [value if tied[k] == number else old for k, old in enumerate(every)]
            candidate = _with_constants(expression, rounded)
            if candidate.n_constants < expression.n_constants:
                continue  # by chance it is that of another key, and would be tied to it
            shorter = judge.fitted(candidate)
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
        if key.is_function:  # they are never rewritten
            continue
        points = _points(key.over, domain)
        a, b = (_values(expression, key, points) for expression in (old, new))
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            return False
        if np.abs(a - b).max() > EQUAL * np.abs(a).max():
            return False
    return True


def _points(over: str, domain: Domain) -> tuple[Floats, ...]:
    """Arguments of a function of this kind all over its domain, one array for each variable."""
    variables, reach = kind_of(over).variables, domain[kind_of(over).neighbours]
    if len(variables) == 1:
        return (np.linspace(*reach, GRID),)
    ends = ((-1.0, 1.0) if name == "c" else reach for name in variables)
    grid = np.meshgrid(*(np.linspace(*end, TRIPLET_GRID) for end in ends))
    return tuple(part.ravel() for part in grid)


def _values(expression: Expression, key: Key, points: tuple[Floats, ...]) -> Floats:
    total = np.zeros_like(points[0])
    with np.errstate(all="ignore"):
        for term, weight in expression.of(key):
            total += weight * _value(term, points)
    return total


def _value(term: Term, points: tuple[Floats, ...]) -> Floats:
    return term.tree(*points, unlike=term.key.is_unlike)


def _roundings(value: float) -> Iterator[float]:
    """The value to one digit, two digits, ..., as long as that differs from it."""
    for digits in range(1, DIGITS + 1):
        rounded = float(f"{value:.{digits}g}")
        if rounded == value:
            return
        yield rounded


def _with_constants(expression: Expression, constants: Sequence[float]) -> Expression:
    left = iter(constants)
    terms = [term.with_constants([next(left) for _ in term.constants]) for term in expression.terms]
    return replace(expression, terms=tuple(terms))


def _snap(expression: Expression, judge: _Judge) -> Expression:
    """Replace constants near integers by these, one by one, as far as the error allows."""
    found = True
    while found:
        found = False
        for candidate in _snapped(expression):
            simpler = judge.fitted(candidate)
            if simpler is not None:
                expression, found = simpler, True
                break
    return expression


def _snapped(expression: Expression) -> Iterator[Expression]:
    """The expression with one nameless constant replaced by an integer, for each that is near one.

    Those that are tied are replaced together; what takes a shared form apart is left out.
    """
    tied = expression.sharing.parameter
    values = [
        (value if not name and math.isfinite(value) else math.nan)
        for term in expression.terms
        for name, value in zip(term.tree.names, term.constants, strict=True)
    ]
    for number in dict.fromkeys(tied):
        value = values[tied.index(number)]
        if math.isnan(value) or abs(value - round(value)) > NEAR * max(abs(round(value)), 1):
            continue
        terms, first = [], 0
        for term in expression.terms:
            own = [k for k in range(len(term.constants)) if tied[first + k] == number]
            terms.append(_with_integers(term, own, round(value)) if own else term)
            first += len(term.constants)
        if None not in terms:
            snapped = replace(expression, terms=tuple(filter(None, terms)))
            if snapped.complexity <= expression.complexity:
                yield snapped


def _with_integers(term: Term, places: Sequence[int], n: int) -> Term | None:
    """A term with an integer in place of some constants; None where none may stand there."""
    root: Nested | None = term.tree.root
    for k in places:
        root = root and _with_integer(root, ("const", k), n)
    return Term.at(term.key, term.tree.part(root)) if root else None


def _with_integer(node: Nested, constant: Nested, n: int) -> Nested | None:
    """A form with an integer in place of a constant; None where none may stand there."""
    if node == constant:
        return ("int", n) if abs(n) <= LARGEST_SNAPPED else None
    if node[0] == "pow" and node[2] == constant:
        if not 0 < abs(n) <= LARGEST_EXPONENT:
            return None
        return tuple(node[1]) if n == 1 else ("powi", n, node[1])
    if node[:2] == ("add", constant) and n == 0:  # canonical forms have the number of a sum first
        return tuple(node[2])
    changed = [_with_integer(operand, constant, n) for operand in operands(node)]
    return None if None in changed else (*node[: len(node) - len(changed)], *changed)


def _rewrite(
    expression: Expression, judge: _Judge, domain: Domain, rewriter: Rewriter
) -> Expression:
    """Take the shortest form of each total that SymPy finds and that proves equal."""
    for key in expression.keys():  # noqa: SIM118 - no mapping
        if not key.is_pair:  # factors of three-body terms are short, and canonical already
            continue
        form = [(weight, term.tree) for term, weight in expression.of(key)]
        candidates = [_replaced(expression, key, other) for other in rewriter.forms(form) if other]
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


def _replaced(expression: Expression, key: Key, form: list[tuple[float, Tree]]) -> Expression:
    """The expression with all terms of one key replaced, in their place."""
    new = [(Term.at(key, tree), weight) for weight, tree in form]
    parts: list[tuple[Term, float]] = []
    for term, weight in expression.weighted():
        if term.key == key:
            parts, new = [*parts, *new], []
        else:
            parts.append((term, weight))
    return Expression(*zip(*parts, strict=True))


def _drop(expression: Expression, judge: _Judge, domain: Domain) -> Expression:
    """Leave out terms, the smallest first, as far as the error allows; each pair keeps one."""
    sizes = [
        math.inf  # sums have no domain; tried last
        if term.key.is_function
        else abs(weight) * float(np.abs(_value(term, _points(term.key.over, domain))).max())
        for term, weight in expression.weighted()
    ]
    for t in sorted(range(len(sizes)), key=sizes.__getitem__):
        key = expression.terms[t].key
        alone = len(expression.of(key)) == 1
        if alone and (key.is_pair or len(sizes) == 1):
            continue
        kept = list(expression.weighted())
        del kept[t]
        fitted = judge.fitted(Expression(*zip(*kept, strict=True)))
        if fitted is not None:
            return _drop(fitted, judge, domain)
    return expression
