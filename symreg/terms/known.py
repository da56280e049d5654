"""Known potentials as expressions: baselines of every run, and seeds of a search."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from symreg.language import parse
from symreg.language.text import TRIPLET
from symreg.terms.kinds import FUNCTION, PAIRS, TRIPLETS
from symreg.terms.term import Key, Term


@dataclass(frozen=True)
class Form:
    """A known form; linear weights are left to the fit."""

    name: str
    terms: tuple[str, ...]
    """Formulas in x = r / r0, with starting values of their constants."""
    source: str
    triplets: tuple[str, ...] = ()
    """Formulas of its three-body terms in x1, x2 and c, the cosine of the angle."""
    cutoff: str = ""
    """The cutoff function that makes it what its name says; any if empty."""
    embedded: tuple[str, ...] = ()
    """Formulas of its many-body terms, in sums over neighbours."""
    in_angstrom: bool = False
    """Whether it has a length inside an exponent, so that x must be the distance in Å."""
    start: Mapping[str, float] = field(default_factory=dict, hash=False)
    """Starting values of its named constants, which several places share."""

    @property
    def is_seed(self) -> bool:
        """Whether a search may start from it: not with shared constants, or lengths of its own."""
        return not self.start and not self.in_angstrom

    @property
    def is_separable(self) -> bool:
        """Whether all of its three-body terms, if any, are products h(x1) h(x2) p(c)."""
        return all(parse(text, variable=TRIPLET).factors is not None for text in self.triplets)


def _damping(order: int) -> str:
    """Tang-Toennies damping function of b x in Horner's form."""
    inner = "1"
    for k in range(order, 0, -1):
        inner = f"(1 + b*x*{inner}/{k})"
    return f"(1 - exp(-b*x)*{inner})"


FORMS = (
    Form(
        "Lennard-Jones", ("x^-12", "x^-6"), "J. E. Lennard-Jones, Proc. Phys. Soc. 43, 461 (1931)"
    ),
    Form("Mie", ("x^-12.5", "x^-6.5"), "G. Mie, Ann. Phys. 316, 657 (1903)"),
    Form(
        "Morse",
        ("exp(-2*a*(x - b)) - 2*exp(-a*(x - b))",),
        "P. M. Morse, Phys. Rev. 34, 57 (1929)",
        start={"a": 6.0, "b": 1.0},
    ),
    Form(
        "Buckingham", ("exp(-12.5*x)", "x^-6"), "R. A. Buckingham, Proc. R. Soc. A 168, 264 (1938)"
    ),
    Form("Born-Mayer", ("exp(-12.5*x)",), "M. Born and J. E. Mayer, Z. Phys. 75, 1 (1932)"),
    Form(
        "double exponential",
        ("exp(-12.5*x)", "exp(-6.5*x)"),
        "the Morse potential with two independent decay lengths",
    ),
    Form(
        "Tang-Toennies",
        (f"exp(-b*(x - 1)) - c*(x^-6*{_damping(6)} + d*x^-8*{_damping(8)})",),
        "K. T. Tang and J. P. Toennies, J. Chem. Phys. 80, 3726 (1984); C6 and C8 only",
        start={"b": 14.0, "c": 1.5, "d": 0.3},
    ),
)
"""Pair potentials of the literature, simplest ideas first."""

_FLEXIBLE = ("exp(-4.0*x)", "x^-4", "x^-2")

THREE_BODY_FORMS = (
    Form(
        "Stillinger-Weber",
        ("x^-4.0", "1"),
        "F. H. Stillinger and T. A. Weber, Phys. Rev. B 31, 5262 (1985)",
        triplets=("1*1*(0.3333 + c)^2",),
        cutoff="stillinger_weber",
    ),
    Form(
        "Stillinger-Weber-like",
        _FLEXIBLE,
        "F. H. Stillinger and T. A. Weber, Phys. Rev. B 31, 5262 (1985); their angular function "
        "with exponentials for any cutoff function, and a freer pair function",
        triplets=("exp(-3.0*x1)*exp(-3.0*x2)*(0.3333 + c)^2",),
    ),
    Form(
        "Tersoff-like",
        _FLEXIBLE,
        "J. Tersoff, Phys. Rev. B 37, 6991 (1988); his angular function, but no bond order",
        triplets=("exp(-3.0*x1)*exp(-3.0*x2)*(1 - 2.8/(3.0 + (0.2 + c)^2))",),
    ),
    Form(
        "Behler-Parrinello G2 and G5",
        ("exp(-4.0*x^2)", "exp(-2.0*x^2)"),
        "J. Behler, J. Chem. Phys. 134, 074106 (2011)",
        triplets=(
            "exp(-1.6*x1^2)*exp(-1.6*x2^2)*(1 + c)",
            "exp(-1.6*x1^2)*exp(-1.6*x2^2)*(1 + c)^2",
        ),
    ),
    Form(
        "Behler-Parrinello G2 and G4",
        ("exp(-4.0*x^2)", "exp(-1.0*x^2)"),
        "J. Behler and M. Parrinello, Phys. Rev. Lett. 98, 146401 (2007); no cutoff function for "
        "the distance between both neighbours",
        triplets=(
            "exp(-0.5*(x1^2 + x2^2 - x1*x2*c))*(1 + c)",
            "exp(-0.5*(x1^2 + x2^2 - x1*x2*c))*(1 + c)^2",
        ),
    ),
    Form(
        "moment tensors",
        _FLEXIBLE,
        "A. V. Shapeev, Multiscale Model. Simul. 14, 1153 (2016); products of two tensors of rank "
        "1 and of rank 2, with exponentials for their radial functions",
        triplets=("exp(-3.0*x1)*exp(-3.0*x2)*c", "exp(-3.0*x1)*exp(-3.0*x2)*c^2"),
    ),
)
"""Potentials with three-body terms."""

_POET = "A. Hernandez et al., npj Comput. Mater. 5, 112 (2019)"

MANY_BODY_FORMS = (
    Form(
        "Gupta",
        ("exp(-11.0*x)",),
        "R. P. Gupta, Phys. Rev. B 23, 6265 (1981); F. Cleri and V. Rosato, Phys. Rev. B 48, 22 "
        "(1993)",
        embedded=("sqrt(sum(exp(-4.6*x)))",),
    ),
    Form(
        "Sutton-Chen",
        ("x^-9.5",),
        "A. P. Sutton and J. Chen, Phil. Mag. Lett. 61, 139 (1990); real exponents",
        embedded=("sqrt(sum(x^-6.5))",),
    ),
    Form(
        "Finnis-Sinclair-like",
        ("(x - c)^2*(1 + p*x + q*x^2)",),
        "M. W. Finnis and J. E. Sinclair, Phil. Mag. A 50, 45 (1984); polynomials that end by the "
        "cutoff function, not each by itself",
        embedded=("sqrt(sum((x - 1.9)^2))",),
        start={"c": 1.6, "p": -1.0, "q": 0.3},
    ),
    Form(
        "Johnson-like EAM",
        ("exp(-8.0*x)",),
        "R. A. Johnson, Phys. Rev. B 37, 3924 (1988); two powers of one exponential density",
        embedded=("sum(exp(-b*x))^m - c*sum(exp(-b*x))^n",),
        start={"b": 5.0, "m": 0.5, "n": 1.2, "c": 0.1},
    ),
    Form(
        "POET GP1",
        ("x^(10.21 - 5.47*x) - 0.21^x",),
        _POET,
        embedded=("1/sum(0.33^x)",),
        in_angstrom=True,
    ),
    Form(
        "POET GP3",
        ("x^(3.98 - 3.93*x)",),
        _POET,
        embedded=("1/sum(1)", "sum(x^(11.73 - 2.93*x))/sum(1)"),
        in_angstrom=True,
    ),
)
"""Potentials with functions of neighbour sums. GP2 is GP3 and a constant energy of each atom."""


def known_forms(
    keys: Collection[Key], cutoffs: Collection[str] = (), r0: float = 0.0
) -> tuple[Form, ...]:
    """Forms that terms of these keys, with these cutoff functions and ``r0`` in Å, can express."""
    there = {key.over for key in keys}
    found = list(FORMS)
    if TRIPLETS in there:
        found += [f for f in THREE_BODY_FORMS if not f.cutoff or set(cutoffs) == {f.cutoff}]
    if FUNCTION in there:
        found += [f for f in MANY_BODY_FORMS if not f.in_angstrom or r0 == 1.0]
    return tuple(found)


def terms_of_form(form: Form, keys: Sequence[Key]) -> tuple[Term, ...]:
    """The terms of a form for every pair of species, each with constants of its own."""
    texts = {PAIRS: form.terms, TRIPLETS: form.triplets, FUNCTION: form.embedded}
    return tuple(
        Term.at(key, key.parse(text, form.start))
        for key in keys
        for text in texts.get(key.over, ())
    )
