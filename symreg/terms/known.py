"""Known potentials as expressions: baselines of every run, and seeds of a search."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from symreg.language import parse
from symreg.language.operators import PRODUCTS
from symreg.language.text import TRIPLET
from symreg.language.tree import nodes
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

    def of(self, key: Key) -> tuple[str, ...]:
        """Formulas of its terms of a key."""
        if key.is_function:
            return self.embedded
        return self.terms if key.is_pair else self.triplets if key.is_triplet else ()

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
    found = list(FORMS)
    if any(key.is_triplet for key in keys):
        found += [f for f in THREE_BODY_FORMS if not f.cutoff or set(cutoffs) == {f.cutoff}]
    if any(key.is_function for key in keys):
        found += [f for f in MANY_BODY_FORMS if not f.in_angstrom or r0 == 1.0]
    return tuple(found)


def terms_of_form(form: Form, keys: Sequence[Key]) -> tuple[Term, ...]:
    """The terms of a form for every key, with the same constants: they are tied.

    Functions of sums are over the neighbours of all species that pairs have: those of another than
    the centre's have a weight of their own, as in alloys of Gupta's and of Finnis and Sinclair's.
    """
    found = []
    for key in keys:
        for text in form.of(key):
            whole = _over_all(text, key.centre, keys) if key.is_function else text
            found.append(Term.at(key, key.parse(whole, form.start)))
    return tuple(found)


def untied(terms: Sequence[Term]) -> Iterator[tuple[str, tuple[Term, ...]]]:
    """Versions of a form whose terms have tied constants: with more of them, told in words.

    Those of the cosine are the own ones of each key, or all are. There are none where each kind has
    one key, or where there are no constants.
    """
    keys = {term.key for term in terms}
    if len({key.over for key in keys}) == len(keys) or not any(term.constants for term in terms):
        return
    by_angle = _apart(terms, _angular)
    if by_angle != terms:
        yield "angles of each key", by_angle
    yield "constants of each key", _apart(terms, lambda term: range(len(term.constants)))


_STEP = 0.01
"""Relative difference between the starting values of constants that are not tied."""


def _apart(terms: Sequence[Term], chosen: Callable[[Term], Iterable[int]]) -> tuple[Term, ...]:
    """Terms whose chosen constants differ from key to key, and so are not tied."""
    keys: dict[str, list[Key]] = {}
    found = []
    for term in terms:
        of_kind, constants = keys.setdefault(term.key.over, []), list(term.constants)
        if term.key not in of_kind:
            of_kind.append(term.key)
        for n in chosen(term):
            constants[n] *= 1.0 + _STEP * of_kind.index(term.key)
        found.append(term.with_constants(constants))
    return tuple(found)


def _angular(term: Term) -> set[int]:
    """Which constants stand in the angular factor of a product."""
    root = term.tree.root
    if not term.key.is_triplet or root[0] not in PRODUCTS:
        return set()
    return {node[1] for node in nodes(root[-1]) if node[0] == "const"}


def _over_all(text: str, centre: str, keys: Sequence[Key]) -> str:
    """A function of sums in which those over neighbours are over all species.

    >>> _over_all("sqrt(sum(x^-6))", "Ni", [Key.of("Cu", "Ni"), Key.of("Ni", "Ni")])
    'sqrt((sum(x^-6) + 1.03*sum_Cu(x^-6)))'
    """
    pairs = [set(key.species) for key in keys if key.is_pair]
    species = sorted(set().union(*pairs))
    others = [one for one in species if one != centre and {one, centre} in pairs]
    if not others:
        return text
    found, rest = "", text
    while (start := rest.find("sum(")) >= 0:
        end = _closing(rest, start + len("sum"))
        summand = rest[start + len("sum(") : end]
        sums = [f"sum({summand})"] * ({centre} in pairs)
        for other in others:
            number = 1 + species.index(centre) * len(species) + species.index(other)
            weight = f"{1.0 + _STEP * number:g}*" if sums else ""
            sums.append(f"{weight}sum_{other}({summand})")
        found += f"{rest[:start]}({' + '.join(sums)})"
        rest = rest[end + 1 :]
    return found + rest


def _closing(text: str, start: int) -> int:
    """Where the parenthesis closes that opens at a place."""
    depth = 0
    for place in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if depth == 0:
            return place
    raise ValueError(f"a parenthesis is left open in {text}")
