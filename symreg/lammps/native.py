"""Recognising the formulas that LAMMPS has a style of its own for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import sympy

from symreg.formula import Formula, PairSum
from symreg.formula.radial import R
from symreg.lammps.route import Route, Way, lines_of, type_pairs

REAL = 1e-12
"""Relative difference below which two fitted numbers are the same number."""

Coefficients = Mapping[float, float]
"""A by n of powers A r^n, or B by k of exponentials B exp(k r)."""


def native_coefficients(formula: Formula) -> tuple[str, dict[tuple[str, str], tuple[float, ...]]]:
    """The native style whose form every pair has, and its coefficients per pair of species."""
    for pair in formula.species_pairs:
        if (cutoff := formula.pair_function(*pair).cutoff).sympy(R) != 1:
            raise ValueError(
                f"style 'native' needs cutoff = \"none\"; this formula has cutoff "
                f"\"{cutoff.kind}\", which no native LAMMPS style contains: use style 'table'"
            )
    parts = {pair: decompose(formula.pair_function(*pair)) for pair in formula.species_pairs}
    for style, match in _MATCH.items():
        found = {pair: match(*part) for pair, part in parts.items() if part is not None}
        coefficients = {pair: values for pair, values in found.items() if values is not None}
        if len(coefficients) == len(parts):
            return style, coefficients | dict.fromkeys(formula.unseen_pairs, _NOTHING[style])
    raise ValueError(
        f"none of {', '.join(_MATCH)} is the form {formula.expression.text()}; use style 'table'"
    )


def decompose(function: PairSum) -> tuple[Coefficients, Coefficients] | None:
    """A pair function as sum of A r^n and B exp(k r): ({n: A}, {k: B}), or None if it is none."""
    (r,) = function.expression.free_symbols or {sympy.Symbol("r", positive=True)}
    powers: dict[float, float] = {}
    rates: dict[float, float] = {}
    for term in sympy.Add.make_args(sympy.expand(function.expression)):
        coefficient, rest = term.as_independent(r, as_Add=False)
        base, exponent = rest.as_base_exp()
        if isinstance(rest, sympy.exp) and (rest.args[0] / r).is_number:
            _collect(rates, float(rest.args[0] / r), float(coefficient))
        elif rest == 1 or (base == r and exponent.is_number):
            _collect(powers, 0.0 if rest == 1 else float(exponent), float(coefficient))
        else:
            return None
    return powers, rates


def _collect(parts: dict[float, float], key: float, value: float) -> None:
    same = next((other for other in parts if math.isclose(other, key, rel_tol=REAL)), key)
    parts[same] = parts.get(same, 0.0) + value


def _mie(powers: Coefficients, rates: Coefficients) -> tuple[float, ...] | None:
    """Epsilon, sigma and both exponents of ``mie/cut``."""
    if rates or len(powers) != 2:
        return None
    (low, repulsion), (high, attraction) = sorted(powers.items())
    if not (repulsion > 0 > attraction and high < 0):
        return None
    n, m = -low, -high
    sigma = (-repulsion / attraction) ** (1 / (n - m))
    epsilon = repulsion / sigma**n * (n - m) / n * (m / n) ** (m / (n - m))
    return epsilon, sigma, n, m


def _lj(powers: Coefficients, rates: Coefficients) -> tuple[float, ...] | None:
    """Epsilon and sigma of ``lj/cut``."""
    mie = _mie(powers, rates)
    return mie[:2] if mie is not None and mie[2:] == (12.0, 6.0) else None


def _morse(powers: Coefficients, rates: Coefficients) -> tuple[float, ...] | None:
    """D0, alpha and r0 of ``morse``."""
    if powers or len(rates) != 2:
        return None
    (fast, repulsion), (slow, attraction) = sorted(rates.items())
    if not (repulsion > 0 > attraction and slow < 0 and math.isclose(fast, 2 * slow, rel_tol=REAL)):
        return None
    depth = attraction**2 / (4 * repulsion)
    return depth, -slow, math.log(-2 * repulsion / attraction) / -slow


def _buck(powers: Coefficients, rates: Coefficients) -> tuple[float, ...] | None:
    """A, rho and C of ``buck``."""
    born = _born(powers, rates)
    return (born[0], born[1], born[3]) if born is not None and born[4] == 0 else None


def _born(powers: Coefficients, rates: Coefficients) -> tuple[float, ...] | None:
    """A, rho, sigma = 0, C and D of ``born``."""
    if len(rates) != 1 or not set(powers) <= {-6.0, -8.0}:
        return None
    ((rate, size),) = rates.items()
    if rate >= 0:
        return None
    return size, -1 / rate, 0.0, -powers.get(-6.0, 0.0), powers.get(-8.0, 0.0)


_MATCH: dict[str, Callable[[Coefficients, Coefficients], tuple[float, ...] | None]] = {
    "lj/cut": _lj,
    "mie/cut": _mie,
    "morse": _morse,
    "buck": _buck,
    "born": _born,
}
"""Styles that are tried, in this order."""
_NOTHING: dict[str, tuple[float, ...]] = {
    "lj/cut": (0, 1),
    "mie/cut": (0, 1, 12, 6),
    "morse": (0, 1, 1),
    "buck": (0, 1, 0),
    "born": (0, 1, 0, 0, 0),
}
"""Coefficients of no interaction."""


class NativeWay(Way):
    """Pairs by a style of LAMMPS's own that is exactly the formula, without a wall."""

    style = "native"
    automatic = False
    closer = "Closer atoms feel LAMMPS's own form of the formula, not symreg's repulsive wall."

    def require(self, formula: Formula) -> None:
        """See ``Way``."""
        super().require(formula)
        native_coefficients(formula)

    def make(self, formula: Formula, first_line: str) -> Route:  # noqa: ARG002
        """See ``Way``."""
        style, coefficients = native_coefficients(formula)
        lines = [f"pair_style {style} {formula.r_cut!r}"]
        for i, j, a, b in type_pairs(formula):
            values = " ".join(f"{value:.16g}" for value in coefficients[min(a, b), max(a, b)])
            r_cut = formula.pair_function(a, b).r_cut
            own = f" {r_cut!r}" if r_cut != formula.r_cut else ""
            lines.append(f"pair_coeff {i} {j} {values}{own}")
        return Route(self.style, lines_of([*lines, "pair_modify shift no"]), {}, formula.r_lo)
