"""Fitting the constants of one text formula: Lennard-Jones, or one's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sympy
from numpy.typing import NDArray
from scipy.optimize import least_squares
from threadpoolctl import threadpool_limits

from symreg.config import Settings
from symreg.fit.solve.fitter import covariance_of
from symreg.formula.simplify import tree_to_sympy
from symreg.language import Tree, parse
from symreg.potential import Potential
from symreg.runs.pipeline.delivery import allowed_difference, formula, member_record
from symreg.runs.pipeline.preparation import Prepared, prepare
from symreg.terms import Expression, Term

Floats = NDArray[np.float64]

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
    record: dict[str, Any]
    """Errors by split and quantity, as in ``front.json``."""
    floor: float
    """The lowest training error of any smooth pair term."""

    def text(self) -> str:
        """Describe the fit in a few lines."""
        cutoff = self.potential.formula.cutoff.to_dict()
        described = ", ".join(
            f"{key} = {value}" if isinstance(value, str) else f"{key} = {value:g} Å"
            for key, value in cutoff.items()
        )
        lines = [
            f"formula   {self.formula}",
            f"times     the cutoff function: {described}",
        ]
        for name, value in self.constants.items():
            spread = self.standard_errors[name]
            known = f"± {spread:.1g}" if np.isfinite(spread) else "(not determined by the data)"
            lines.append(f"          {name} = {value:.8g} {known}")
        units = {"energy": "eV/atom", "forces": "eV/Å", "stress": "eV/Å³"}
        for split, found in self.record["errors"].items():
            parts = [
                f"{name} {found[name]['rmse']:.4g} {unit} (MAE {found[name]['mae']:.4g})"
                for name, unit in units.items()
                if name in found
            ]
            lines.append(f"RMSE      {split}: {', '.join(parts)}")
        ratio = self.record["error"] / self.floor if self.floor else np.inf
        lines.append(
            f"floor     training error {self.record['error']:.4g} is {ratio:.3g} times the floor"
        )
        e0 = ", ".join(f"{name} {value:.6g} eV" for name, value in self.record["e0"].items())
        return "\n".join([*lines, f"e0        {e0}"])


def fit(text: str, settings: Settings, *, variable: str = "r") -> FitResult:
    """Fit all constants of a formula: its names, and its numbers that have a point.

    Parameters
    ----------
    text
        The formula, in eV.
    settings
        Data, cutoff and loss.
    variable
        ``r`` for distances in Å, ``x`` for r / r0.

    Raises
    ------
    ValueError
        If the formula cannot be read, or cannot be fitted to the data.
    """
    if variable not in ("r", "x"):
        raise ValueError(f"the variable is '{variable}'; it must be r (Å) or x (r / r0)")
    tree = parse(text, variable=variable)
    # The matrices are small: threads would wait for each other, and sums depend on their number.
    with threadpool_limits(1):
        return _fit(text, tree, prepare(settings if variable == "x" else _in_angstrom(settings)))


def _fit(text: str, tree: Tree, prepared: Prepared) -> FitResult:
    keys = prepared.design.keys
    if len(keys) != 1:
        pairs = ", ".join("-".join(species) for _, species in keys)
        raise ValueError(f"one formula describes one pair of species; the data hold {pairs}")
    fitted = _fit_constants(prepared, tree)
    expression = Expression((Term(*keys[0], fitted),), (1.0,))
    with np.errstate(all="ignore"):
        error = prepared.error(expression)
    record = member_record(prepared, expression, error, 0) if np.isfinite(error) else {}
    if not record or not record["exact_difference"] <= allowed_difference(prepared, error):
        raise ValueError(
            f"'{text}' leaves its domain, or has a pole, between {prepared.design.r_lo.min():.3g} "
            f"and {prepared.cutoff.r_cut:.3g} Å; change the starting values or the form"
        )
    names = [name or f"c{k}" for k, name in enumerate(fitted.names, 1)]
    spread = np.sqrt(np.diag(_covariance(prepared, expression)))
    return FitResult(
        formula=text,
        potential=Potential(formula(prepared, expression), {"training_error": error}),
        constants=dict(zip(names, fitted.constants, strict=True)),
        standard_errors=dict(zip(names, map(float, spread), strict=True)),
        record=record,
        floor=prepared.design.floor.error,
    )


def _in_angstrom(settings: Settings) -> Settings:
    return replace(settings, terms=replace(settings.terms, r0=1.0))


def _covariance(prepared: Prepared, expression: Expression) -> Floats:
    columns = prepared.fitter.columns(expression)[:, 1:]
    if not columns.shape[1]:
        return np.zeros((0, 0))
    return covariance_of(prepared.fitter, prepared.fitter.loss(expression), columns)


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

    def values(self, x: Floats, others: Sequence[float]) -> tuple[Floats, Floats]:
        """f0 on the points ``x``, shape (M,), and every g, shape (linear, M)."""
        with np.errstate(all="ignore"):
            found = [np.broadcast_to(part(x, *others), x.shape) for part in self._parts]
        return np.array(found[0], dtype=float), np.array(found[1:], dtype=float).reshape(-1, x.size)


def _fit_constants(prepared: Prepared, tree: Tree) -> Tree:
    """Best of several fits; constants in which the formula is linear are solved, not searched."""
    if not tree.constants:
        return tree
    split = _Split(tree)
    problem = prepared.design.training
    x = prepared.design.nodes[0] / prepared.r0

    def solve(others: Floats) -> tuple[Floats, Floats]:
        rest, slopes = split.values(x, list(others))
        right = problem.target - problem.matrix @ rest
        columns = problem.matrix @ slopes.T
        if not (np.isfinite(right).all() and np.isfinite(columns).all()):
            return np.full(len(split.linear), np.nan), np.full(right.size, 1e6 * prepared.spread)
        scale = np.linalg.norm(columns, axis=0)
        scale[scale == 0] = 1.0
        best = np.linalg.lstsq(columns / scale, right, rcond=1e-13)[0] / scale
        return best, columns @ best - right

    def residual(others: Floats) -> Floats:
        return solve(others)[1]

    given = np.array([tree.constants[k] for k in split.others])
    rng = np.random.default_rng(0)
    best: tuple[float, Floats] = (np.inf, given)
    for start in range(STARTS if given.size else 1):
        factors = np.exp(rng.normal(0.0, 0.8, given.size)) if start else np.ones(given.size)
        if not given.size:
            best = (0.0, given)
            break
        with np.errstate(all="ignore"):  # a start that overflows is judged by its cost
            found = least_squares(residual, given * factors, x_scale="jac", max_nfev=200)
        if np.isfinite(found.cost) and found.cost < best[0]:
            best = (float(found.cost), found.x)
    constants = np.array(tree.constants)
    constants[split.others] = best[1]
    constants[split.linear] = solve(best[1])[0]
    return tree.with_constants(constants.tolist())
