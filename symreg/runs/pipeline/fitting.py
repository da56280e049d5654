"""Fitting the constants of one text formula: Lennard-Jones, or one's own."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import sympy
from threadpoolctl import threadpool_limits

from symreg.arrays import Floats
from symreg.config import Settings
from symreg.fit.intervals import covariance_of
from symreg.fit.programs.batch import encoded
from symreg.fit.programs.evaluation import differentiate
from symreg.fit.solve.solver import Columns, solve
from symreg.formula.simplify import tree_to_sympy
from symreg.language import Tree, parse
from symreg.potential import Potential
from symreg.records import ALL
from symreg.runs.pipeline.delivery import (
    agrees,
    formula,
    member_record,
    potential_of,
)
from symreg.runs.pipeline.floors import doubts
from symreg.runs.pipeline.preparation import Prepared, prepare
from symreg.runs.pipeline.provenance import measured
from symreg.runs.records import TRAINING, FloorRecord, MemberRecord
from symreg.runs.trust import told, worse_in_words
from symreg.terms import Expression, Term

STARTS = 40
"""Starting points: the values given, and random multiples of them."""


@dataclass(frozen=True, eq=False)
class FitResult:
    """A formula with fitted constants."""

    formula: str
    """As it was given."""
    potential: Potential
    constants: dict[str, float]
    standard_errors: dict[str, float]
    record: MemberRecord
    """Errors and the rest, as of members of a front."""
    floor: float
    """The lowest training error of any smooth pair term."""
    doubts: tuple[str, ...] = ()
    """Why no formula of these data can be trusted."""

    def text(self) -> str:
        """Describe the fit in a few lines."""
        formula = self.potential.formula
        described = ", ".join(
            f"{key} = {value}" if isinstance(value, str) else f"{key} = {value:g} Å"
            for key, value in formula.cutoff.to_dict().items()
        )
        lines = [f"formula   {self.formula}", f"times     the cutoff function: {described}"]
        for name, value in self.constants.items():
            spread = self.standard_errors[name]
            known = f"± {spread:.1g}" if np.isfinite(spread) else "(not determined by the data)"
            lines.append(f"          {name} = {value:.8g} {known}")
        for split, errors in self.record.errors.items():
            for group, part in {ALL: errors, **(errors.groups or {})}.items():
                parts = [
                    f"{name} {told(name, found)} (MAE {found.mae:.4g})"
                    for name, found in part.by_quantity().items()
                ]
                where = split if group == ALL else f"{split}, group {group}"
                lines.append(f"RMSE      {where}: {'; '.join(parts)}")
        error = self.record.error
        ratio = error / self.floor if self.floor else np.inf
        lines.append(f"floor     training error {error:.4g} is {ratio:.3g} times the floor")
        e0 = ", ".join(f"{name} {value:.6g} eV" for name, value in formula.e0.items())
        lines.append(f"e0        {e0}")
        lines += [f"worse     {text}" for text in worse_in_words(self.record.worse or ())]
        lines += [f"WARNING   {doubt}" for doubt in self.doubts]
        if self.record.unfit:
            lines.append(f"WARNING   the formula is not fit for use: {self.record.unfit}")
        return "\n".join(lines)


def fit(text: str, settings: Settings, *, variable: str = "r") -> FitResult:
    """Fit all constants of a formula in eV: its names, and its numbers that have a point.

    The ``variable`` is ``r`` for distances in Å, ``x`` for r / r0. A ValueError if the formula
    cannot be read, or cannot be fitted to the data.
    """
    if variable not in ("r", "x"):
        raise ValueError(f"the variable is '{variable}'; it must be r (Å) or x (r / r0)")
    tree = parse(text, variable=variable)
    if not tree.variables:
        raise ValueError(f"'{text}' does not depend on the distance; its name is {variable}")
    if variable == "r":
        settings = replace(settings, terms=replace(settings.terms, r0=1.0))
    # The matrices are small: threads would wait for each other, and sums depend on their number.
    with threadpool_limits(1):
        return _fit(text, tree, prepare(settings))


def _fit(text: str, tree: Tree, prepared: Prepared) -> FitResult:
    keys = prepared.design.keys
    if len(keys) != 1:
        pairs = ", ".join(map(str, keys))
        raise ValueError(
            f"one formula describes one pair of species; the data hold {pairs}: search formulas "
            "for all of them with `symreg run`, or write them by their keys in Python, "
            "symreg.Potential.from_formula"
        )
    fitted = _fit_constants(prepared, tree)
    expression = Expression((Term.at(keys[0], fitted),), (1.0,))
    with np.errstate(all="ignore"):
        error = prepared.error(expression)
    record = member_record(prepared, expression, error, 0) if np.isfinite(error) else None
    if record is None or not agrees(prepared, record):
        raise ValueError(
            f"'{text}' leaves its domain, or has a pole, between {prepared.design.r_lo.min():.3g} "
            f"and {prepared.lengths.cutoff.r_cut:.3g} Å; change the starting values or the form"
        )
    names = [name or f"c{k}" for k, name in enumerate(fitted.names, 1)]
    # The weight is 1, and no constant: what it would be is in the formula.
    covariance = covariance_of(prepared.fitter, expression, weights_fitted=False)
    spread = np.sqrt(np.diag(covariance)[1:])
    history = {"fit": TRAINING, **measured(record)}
    return FitResult(
        formula=text,
        potential=potential_of(formula(prepared, expression), expression, history, covariance),
        constants=dict(zip(names, fitted.constants, strict=True)),
        standard_errors=dict(zip(names, map(float, spread), strict=True)),
        record=record,
        floor=prepared.design.floor.error,
        doubts=tuple(doubts(prepared, FloorRecord(**vars(prepared.design.floor)))),
    )


class _Split:
    """A formula as f0 + sum of c * g over the constants c in which it is linear."""

    def __init__(self, tree: Tree) -> None:
        x = sympy.Symbol("x", positive=True)
        symbols = sympy.symbols(f"c:{len(tree.constants)}", real=True)
        whole = tree_to_sympy(tree, x, symbols)
        self.linear: list[int] = []
        for k, c in enumerate(symbols):
            slope = sympy.diff(whole, c)
            if not {c, *(symbols[n] for n in self.linear)} & slope.free_symbols:
                self.linear.append(k)
        self.others = [k for k in range(len(symbols)) if k not in self.linear]
        rest = whole.subs({symbols[k]: 0 for k in self.linear})
        slopes = [sympy.diff(whole, symbols[k]) for k in self.linear]
        arguments = [x, *(symbols[k] for k in self.others)]
        self._parts = [sympy.lambdify(arguments, part, "numpy") for part in (rest, *slopes)]

    def values(self, x: Floats, others: Floats) -> tuple[Floats, Floats]:
        """f0 on the points ``x``, shape (M,), and every g, shape (linear, M)."""
        with np.errstate(all="ignore"):
            found = [np.broadcast_to(part(x, *others), x.shape) for part in self._parts]
        return np.array(found[0], dtype=float), np.array(found[1:], dtype=float).reshape(-1, x.size)


def _fit_constants(prepared: Prepared, tree: Tree) -> Tree:
    """Best of several fits; constants in which the formula is linear are weights to the solver."""
    if not tree.constants:
        return tree
    split, problem = _Split(tree), prepared.design.training
    x = prepared.design.nodes[0] / prepared.lengths.r0
    code, arg = encoded(tree.shape)

    def joined(others: Floats, linear: Floats) -> Floats:
        constants = np.empty(len(tree.constants))
        constants[split.others], constants[split.linear] = others, linear
        return constants

    def evaluate(others: Floats, with_slopes: bool) -> Columns:  # noqa: ARG001
        rest, parts = split.values(x, others)

        def slopes(linear: Floats) -> Floats:
            _, by = differentiate(code, arg, joined(others, linear), x[None, :], True)
            return np.asarray(by[split.others] @ problem.matrix.T)

        return Columns(parts @ problem.matrix.T, slopes, problem.target - problem.matrix @ rest)

    given = np.array([tree.constants[k] for k in split.others])
    rng = np.random.default_rng(0)
    fits = []
    for start in range(STARTS if given.size else 1):
        factors = np.exp(rng.normal(0.0, 0.8, given.size)) if start else np.ones(given.size)
        with np.errstate(all="ignore"):  # a start that overflows is judged by its loss
            fits.append(solve(evaluate, given * factors, problem.rest, max_steps=200))
    best = min(fits, key=lambda fit: fit.loss)
    return tree.with_constants(joined(best.constants, best.weights).tolist())
