"""One joint least-squares problem over rows of labels, for candidates with functions of sums.

Terms of the projected design enter the rows through its coordinates; all others are computed there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from symreg.arrays import Floats, Integers
from symreg.fit.grid import TAIL_LENGTH
from symreg.fit.programs.batch import CodedTerm, encoded, parameters
from symreg.fit.programs.evaluation import differentiate
from symreg.fit.projected.fitter import FitSettings, Fitter
from symreg.fit.projected.judging import CANCELLING, DEPENDENT, FITTED, NOT_FINITE, TAIL
from symreg.fit.projected.problem import ON_TENSOR
from symreg.fit.projected.tensor import triplet_values
from symreg.fit.rows.rows import Rows
from symreg.fit.solve.linear import relative_tail, span
from symreg.fit.solve.solver import Columns, Solution, solve
from symreg.fit.sums.base import Variants
from symreg.fit.sums.pairs import TAIL_ALLOWED
from symreg.language import Shape
from symreg.language.text import Nested
from symreg.language.tree import mapped
from symreg.terms import Key
from symreg.terms.kinds import kind_of
from symreg.terms.sharing import part_of

STEP = 1e-6
"""A constant is moved by this part of itself, or of one, for a derivative."""
_MOST_REJECTIONS = 4
_SPARSE = 0.7
"""Rows that feel a key are picked out where they are at most this part of all."""
_RACE = 2
"""Steps after which a candidate above its bar is given up."""


class Part(NamedTuple):
    """A function with those constants of its term that it holds."""

    shape: Shape
    used: Integers
    """Which constants of the term it holds, shape (k,)."""


class Apart(NamedTuple):
    """A term on rows: a function F of sums."""

    outer: Part
    sums: tuple[tuple[Key, Part], ...]
    """Kind and species of each sum, the centre first, and what it sums."""


@lru_cache(maxsize=2**14)
def apart(shape: Shape, centre: str) -> Apart:
    """Take a function of sums apart; equal sums with the same constants are one."""
    found: dict[tuple[Nested, Nested], str] = {}

    def split(node: Nested) -> Nested:
        if node[0] == "sum":
            return (found.setdefault((node[1], node[2]), f"s{len(found) + 1}"),)
        return mapped(node, split)

    outer = _part(split(shape.root))
    sums = []
    for (over, _, *species), root in found:
        near = species or [centre] * kind_of(over).neighbours
        sums.append((Key(over, (centre, *near)), _part(root)))
    return Apart(outer, tuple(sums))


def _part(root: Nested) -> Part:
    shape, used = part_of(root)
    return Part(shape, np.array(used, dtype=np.int64))


class System:
    """The rows, and what of them is fitted beside every candidate.

    That is any smooth pair function too where ``pairs_are_free``; candidates then have none.
    """

    def __init__(self, rows: Rows, fitter: Fitter, pairs_are_free: bool) -> None:
        self.rows, self.grid, self.design = rows, fitter.grid, fitter.design
        self.pairs_are_free = pairs_are_free
        self._parts: dict[int, tuple[Floats, Integers | None]] = {}
        n = self.design.n_pair_values if pairs_are_free else 0
        self._beside = span(np.hstack([rows.free, rows.matrix[:, :n]]))
        self.target = self.beyond(rows.target)
        waves = np.sin(np.outer([1.3, 2.3], np.arange(1, self.target.size + 1)))
        self.waves = waves / (float(np.linalg.norm(self.target)) or 1.0)

    def beyond(self, rows: Floats) -> Floats:
        """Part of predictions (..., P) that the functions beside a candidate cannot reach."""
        return np.asarray(rows - (rows @ self._beside) @ self._beside.T)

    def predictions(
        self,
        coded_terms: Sequence[CodedTerm],
        constants: Floats,
        with_slopes: bool,
        known: Mapping[int, Floats] | None = None,
    ) -> tuple[Floats, Floats]:
        """Predictions of terms of weight 1, (n, P), and their changes with constants, (K, P).

        Those of some terms may be ``known``: then no changes of these are computed.
        """
        columns = np.empty((len(coded_terms), self.target.size))
        slopes = np.zeros((constants.size if with_slopes else 0, self.target.size))
        first = 0
        for t, coded in enumerate(coded_terms):
            own = slice(first, first + coded.shape.n_constants)
            first = own.stop
            if known and t in known:
                columns[t] = known[t]
            else:
                columns[t], slopes[own] = self._term(coded, constants[own], with_slopes)
        return columns, slopes

    def _term(
        self, coded: CodedTerm, constants: Floats, with_slopes: bool
    ) -> tuple[Floats, Floats]:
        moves = STEP * np.maximum(np.abs(constants), 1.0)
        steps = moves if with_slopes else np.empty(0)
        if coded.key >= len(self.design.grids):
            centre = self.design.keys[coded.key].centre
            return self._function(apart(coded.shape, centre), centre, constants, steps)
        part, reached = self._part(coded.key)
        if self.grid.slot[coded.key] >= 0:
            values, slopes = self._on_pairs(coded, constants)
        else:
            grid = self.design.grids[coded.key]
            moved = _moved(constants, steps)
            every = np.array([grid.coordinates(self._on_tensor(coded, c)[0]) for c in moved])
            values, slopes = every[0], (every[1:] - every[0]) / steps[:, None]
        if reached is None:
            return part @ values, slopes[: steps.size] @ part.T
        column, changes = np.zeros(self.target.size), np.zeros((steps.size, self.target.size))
        column[reached] = part @ values
        changes[:, reached] = slopes[: steps.size] @ part.T
        return column, changes

    def _part(self, key: int) -> tuple[Floats, Integers | None]:
        """The coordinates of one key on the rows, and which of these feel it where many do not.

        Labels of an alloy's elements know nothing of other pairs of species.
        """
        if key not in self._parts:
            part, reached = self.rows.matrix[:, self.design.place(key)], None
            if len(self.design.species) > 1:
                felt = np.flatnonzero(part.any(axis=1))
                if felt.size <= _SPARSE * len(part):
                    part, reached = part[felt], felt
            self._parts[key] = part, reached
        return self._parts[key]

    def _on_pairs(self, coded: CodedTerm, constants: Floats) -> tuple[Floats, Floats]:
        """Values on the nodes of pairs, and derivatives by constants."""
        x = self.grid.x[self.grid.slot[coded.key]][None, :]
        values, slopes = differentiate(*encoded(coded.shape), constants, x, True)
        return values, slopes

    def _on_tensor(self, coded: CodedTerm, constants: Floats) -> tuple[Floats, float]:
        """Values on the nodes of triplets, and their tail."""
        b, tail = ON_TENSOR - int(self.grid.slot[coded.key]), TAIL_LENGTH - 1
        values, worst = triplet_values(*encoded(coded.shape), constants, self.grid.tensors, b, tail)
        return values, worst

    def _function(
        self, term: Apart, centre: str, constants: Floats, steps: Floats
    ) -> tuple[Floats, Floats]:
        """Predictions of a function of sums, and their changes by differences."""
        moved = _moved(constants, steps)
        found = [
            (rows := self.rows.sums(*key), *rows.sums(Variants(*part, moved, steps)))
            for key, part in term.sums
        ]
        value, by_sum = _embedded(term, moved, np.array([sums for _, sums, _ in found]))
        if len(self.design.species) > 1:  # of all atoms that are no centres sums are zero
            others = ~self.rows.centres(centre)
            value[:, others], by_sum[:, :, others] = 0.0, 0.0
        pulls = [(rows, state, by_sum[a]) for a, (rows, _, state) in enumerate(found)]
        every = self.rows.predictions(value, pulls)
        return every[0], (every[1:] - every[0]) / steps[:, None]

    def fit(
        self,
        coded_terms: Sequence[CodedTerm],
        settings: FitSettings,
        bar: float = math.inf,
        moved: Sequence[bool] | None = None,
    ) -> tuple[int, Solution | None]:
        """Outcome of a candidate as in ``judging``, and its fit, if any; given up above ``bar``.

        Constants are held as for ``Fitter.fit``.
        """
        every = np.array([c for coded in coded_terms for c in coded.constants], dtype=float)
        free = np.arange(every.size)
        if self.design.may_share or moved is not None:
            free = parameters([coded_terms], self.design.keys, None if moved is None else [moved])
        places, first = np.unique(free, return_index=True)
        start = every[first[places >= 0]]
        counts = [coded.shape.n_constants for coded in coded_terms]
        owner = np.repeat(np.arange(len(counts)), counts)
        known: dict[int, Floats] = {}
        last: dict[bytes, Floats] = {}

        def evaluate(constants: Floats, with_slopes: bool) -> Columns:
            values = np.where(free < 0, every, constants[free] if start.size else every)
            columns, slopes = self.predictions(coded_terms, values, with_slopes, known)
            known.update({t: columns[t] for t in set(range(len(counts))) - set(owner[free >= 0])})
            last.clear()
            last[values.tobytes()] = beyond = self.beyond(columns)

            def turned(weights: Floats) -> Floats:
                of_all = self.beyond(slopes) * weights[owner][:, None]
                if start.size == free.size:
                    return of_all
                joined = np.zeros((start.size, of_all.shape[1]))
                np.add.at(joined, free[free >= 0], of_all[free >= 0])
                return joined

            return Columns(beyond, turned, self.target)

        with np.errstate(all="ignore"):
            found = solve(
                evaluate,
                start,
                max_steps=settings.max_steps,
                tolerance=settings.tolerance,
                give_up=lambda steps, loss: steps == _RACE and loss > bar,
                most_rejections=_MOST_REJECTIONS,
            )
            fitted = np.where(free < 0, every, found.constants[free] if start.size else every)
            found = replace(found, constants=fitted)
            if not math.isfinite(found.loss):
                return NOT_FINITE, None
            columns = last.get(fitted.tobytes())
            return self._judge(coded_terms, found, settings, columns), found

    def _judge(
        self,
        coded_terms: Sequence[CodedTerm],
        found: Solution,
        settings: FitSettings,
        columns: Floats | None,
    ) -> int:
        """Whether nodes resolve a fitted candidate, F is finite, and terms do not cancel.

        ``columns`` are those of the fit, if they are known.
        """
        first = 0
        for coded in coded_terms:
            constants = found.constants[first : first + coded.shape.n_constants]
            first += coded.shape.n_constants
            outcome = self._resolved(coded, constants, settings)
            if outcome != FITTED:
                return outcome
        fitted = DEPENDENT if found.is_dependent else FITTED
        if self.pairs_are_free:
            return fitted
        if columns is None:
            columns = self.beyond(self.predictions(coded_terms, found.constants, False)[0])
        parts = found.weights[:, None] * columns
        total = float(np.linalg.norm(parts.sum(axis=0)))
        largest = float(np.linalg.norm(parts, axis=1).max())
        return fitted if largest <= settings.most_cancellation * total else CANCELLING

    def _resolved(self, coded: CodedTerm, constants: Floats, settings: FitSettings) -> int:
        """Whether nodes resolve one term."""
        if coded.key >= len(self.design.grids):
            centre = self.design.keys[coded.key].centre
            return self._finite(apart(coded.shape, centre), constants, settings.finite_alone)
        if self.grid.slot[coded.key] < 0:
            tail, allowed = self._on_tensor(coded, constants)[1], self.grid.tensors.tail_allowed
        else:
            values, allowed = self._on_pairs(coded, constants)[0], TAIL_ALLOWED
            tail = relative_tail(self.grid.coefficients, values, TAIL_LENGTH)
        return FITTED if tail <= allowed else TAIL

    def _finite(self, term: Apart, constants: Floats, alone: bool) -> int:
        """Whether nodes resolve what is summed, and F is finite: in dimers, and maybe alone."""
        none, sums = np.empty(0), []
        moved = _moved(constants, none)
        for key, part in term.sums:
            rows, variants = self.rows.sums(*key), Variants(*part, moved, none)
            if not rows.resolved(variants):
                return TAIL
            sums.append((key, rows.dimers(variants)))
        for other in dict.fromkeys(name for key, _ in term.sums for name in key.species[1:]):
            met = [of_two * (key.species[1:] == (other,)) for key, of_two in sums]
            value, by_sum = _embedded(term, moved, np.array(met))
            value = value if alone else value[:, 1:]
            if not (np.isfinite(value).all() and np.isfinite(by_sum[..., 1:]).all()):
                return NOT_FINITE
        return FITTED


def _moved(constants: Floats, steps: Floats) -> Floats:
    """Constants as they are, then with each moved in turn, shape (1 + steps, K)."""
    return np.array([constants, *(constants + step for step in np.diag(steps))])


def _embedded(term: Apart, moved: Floats, sums: Floats) -> tuple[Floats, Floats]:
    """Values F (D, N) of D variants and derivatives by the sums (A, D, N), given these."""
    code, arg = encoded(term.outer.shape)
    value, by_sum = np.empty(sums.shape[1:]), np.empty(sums.shape)
    for d, constants in enumerate(moved):
        points = np.ascontiguousarray(sums[:, d])
        value[d], by_sum[:, d] = differentiate(code, arg, constants[term.outer.used], points, False)
    return value, by_sum
