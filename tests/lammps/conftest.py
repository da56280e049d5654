import pytest

from symreg.cutoff import Cutoff
from symreg.expression import Expression, Term, parse
from symreg.formula import Formula
from symreg.lammps import export
from symreg.lammps.runtime import is_installed

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
