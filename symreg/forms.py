"""Known pair potentials as expressions: baselines of every run, and seeds of a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from symreg.expression import VARIABLES_OF, Term, parse


@dataclass(frozen=True)
class Form:
    """A known form; linear weights are left to the fit."""

    name: str
    terms: tuple[str, ...]
    """Formulas in x = r / r0, with starting values of their constants."""
    source: str
    is_seed: bool = True
    """Whether a search may start from it; not when constants are shared or it is too large."""
    triplets: tuple[str, ...] = ()
    """Formulas of its three-body terms in x1, x2 and c."""


def _damping(order: int) -> str:
    """Tang-Toennies damping function of b x in Horner's form."""
    inner = "1"
    for k in range(order, 0, -1):
        inner = f"(1 + b*x*{inner}/{k})"
    return f"(1 - exp(-b*x)*{inner})"


FORMS = (
    Form(
        "Lennard-Jones",
        ("x^-12", "x^-6"),
        "J. E. Lennard-Jones, Proc. Phys. Soc. 43, 461 (1931)",
    ),
    Form(
        "Mie",
        ("x^-12.5", "x^-6.5"),
        "G. Mie, Ann. Phys. 316, 657 (1903)",
    ),
    Form(
        "Morse",
        ("exp(-2*a*(x - b)) - 2*exp(-a*(x - b))",),
        "P. M. Morse, Phys. Rev. 34, 57 (1929)",
        is_seed=False,
    ),
    Form(
        "Buckingham",
        ("exp(-12.5*x)", "x^-6"),
        "R. A. Buckingham, Proc. R. Soc. A 168, 264 (1938)",
    ),
    Form(
        "Born-Mayer",
        ("exp(-12.5*x)",),
        "M. Born and J. E. Mayer, Z. Phys. 75, 1 (1932)",
    ),
    Form(
        "double exponential",
        ("exp(-12.5*x)", "exp(-6.5*x)"),
        "the Morse potential with two independent decay lengths",
    ),
    Form(
        "Tang-Toennies",
        (f"exp(-b*(x - 1)) - c*(x^-6*{_damping(6)} + d*x^-8*{_damping(8)})",),
        "K. T. Tang and J. P. Toennies, J. Chem. Phys. 80, 3726 (1984); C6 and C8 only",
        is_seed=False,
    ),
)
"""Pair potentials of the literature, simplest ideas first."""

_STARTS = {
    "Morse": {"a": 6.0, "b": 1.0},
    "Tang-Toennies": {"b": 14.0, "c": 1.5, "d": 0.3},
}


def terms_of_form(form: Form, keys: Sequence[tuple[str, tuple[str, ...]]]) -> tuple[Term, ...]:
    """The terms of a form for every pair of species, each with constants of its own."""
    start = _STARTS.get(form.name, {})
    return tuple(
        Term(kind, species, parse(text, start, VARIABLES_OF[kind]))
        for kind, species in keys
        for text in (form.terms if kind == "pair" else form.triplets)
    )
