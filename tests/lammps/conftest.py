import pytest

from symreg.formula import Formula
from symreg.lammps import export
from symreg.lammps.runtime import is_installed
from symreg.language import parse
from symreg.terms import Expression, Term
from symreg.terms.cutoff import Cutoff

SEPTIC = Cutoff(kind="septic", r_cut=8.5, r_on=5.1)


@pytest.fixture(autouse=True)
def _needs_lammps(request):
    if request.node.get_closest_marker("lammps") and not is_installed():
        pytest.skip("LAMMPS is not installed: install symreg[lammps]")


@pytest.fixture(scope="session")
def make_formula():
    def make(text, cutoff=SEPTIC, weight=0.0104, r_lo=3.0):
        terms = (Term("pair", ("Ar", "Ar"), parse(text)),)
        return Formula(Expression(terms, (weight,)), 3.82, {"Ar": -1.5}, ("Ar",), cutoff, r_lo)

    return make


@pytest.fixture(scope="session")
def argon(make_formula):
    return make_formula("x^-12 - 2*x^-6")


@pytest.fixture(scope="session")
def alloy():
    terms = (
        Term("pair", ("Ar", "Ar"), parse("x^-12 - 2*x^-6")),
        Term("pair", ("Ar", "Kr"), parse("x^-12.3 - 2.1*x^-6.2")),
        Term("pair", ("Kr", "Kr"), parse("exp(-12.0*(x - 1.05)) - 2*exp(-6.0*(x - 1.05))")),
    )
    expression = Expression(terms, (0.0104, 0.012, 0.0142))
    e0 = {"Ar": -1.5, "Kr": -2.5}
    return Formula(expression, 3.9, e0, ("Kr", "Ar"), SEPTIC, 3.1)


@pytest.fixture(scope="session")
def exported(argon, tmp_path_factory):
    """The argon folder and its parity record."""
    folder = tmp_path_factory.mktemp("export") / "lammps"
    provenance = {
        "date": "2025-07-22",
        "contributor": "the symreg authors",
        "citation": "none yet",
        "data": "argon.extxyz, 50 structures",
        "errors": {"forces": {"rmse": 0.00123456789}},
    }
    return folder, export(argon, folder, provenance=provenance)


TRIPLET = ("x1", "x2", "c")


@pytest.fixture(scope="session")
def make_silicon():
    def make(*three_body, weights=(1.3, 2.1, 0.7), kind="septic", pair="x^-4 - 2*x^-2", r_cut=3.8):
        terms = [Term("pair", ("Si", "Si"), parse(pair))]
        terms += [Term("three-body", ("Si",) * 3, parse(t, variable=TRIPLET)) for t in three_body]
        expression = Expression(tuple(terms), tuple(weights[: len(terms)]))
        far = Cutoff(kind="septic", r_cut=5.0, r_on=3.0)
        near = Cutoff(kind=kind, r_cut=r_cut, r_on=0.6 * r_cut, s=2.5)
        lengths = {"r0": 2.35, "r_lo": 1.9}
        return Formula(expression, e0={"Si": -0.5}, species=("Si",), cutoff=far,
                       cutoff_three_body=near, **lengths)  # fmt: skip

    return make


@pytest.fixture(scope="session")
def stillinger_weber():
    """Silicon of F. H. Stillinger and T. A. Weber, Phys. Rev. B 31, 5262 (1985)."""
    epsilon, sigma, a = 2.1683, 2.0951, 1.80
    terms = (
        Term("pair", ("Si", "Si"), parse("B*x^-4 - 1", {"B": 0.6022245584})),
        Term("three-body", ("Si",) * 3, parse("1*1*(c + third)^2", {"third": 1 / 3}, TRIPLET)),
    )
    expression = Expression(terms, (7.049556277 * epsilon, 21.0 * epsilon))
    cutoffs = [Cutoff(kind="stillinger_weber", r_cut=a * sigma, s=s) for s in (sigma, 1.2 * sigma)]
    return Formula(
        expression, sigma, {"Si": 0.0}, ("Si",), cutoffs[0], 1.7, cutoff_three_body=cutoffs[1]
    )
