import pytest

from symreg.formula import Formula
from symreg.lammps import export
from symreg.lammps.runtime import is_installed
from symreg.terms import expression_of
from symreg.terms.cutoff import Cutoff

SEPTIC = Cutoff(kind="septic", r_cut=8.5, r_on=5.1)


@pytest.fixture(autouse=True)
def _needs_lammps(request):
    if request.node.get_closest_marker("lammps") and not is_installed():
        pytest.skip("LAMMPS is not installed: install symreg-potentials[lammps]")


@pytest.fixture(scope="session")
def make_formula():
    def make(text, cutoff=SEPTIC, weight=0.0104, r_lo=3.0):
        expression = expression_of([(weight, f"Ar-Ar: {text}")])
        return Formula(expression, 3.82, {"Ar": -1.5}, ("Ar",), cutoff, r_lo)

    return make


@pytest.fixture(scope="session")
def argon(make_formula):
    return make_formula("x^-12 - 2*x^-6")


@pytest.fixture(scope="session")
def alloy():
    parts = [
        (0.0104, "Ar-Ar: x^-12 - 2*x^-6"),
        (0.012, "Ar-Kr: x^-12.3 - 2.1*x^-6.2"),
        (0.0142, "Kr-Kr: exp(-12.0*(x - 1.05)) - 2*exp(-6.0*(x - 1.05))"),
    ]
    expression = expression_of(parts)
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
        "errors": {"train": {"forces": {"rmse": 0.00123456789}}},
    }
    return folder, export(argon, folder, provenance=provenance)


@pytest.fixture(scope="session")
def make_silicon():
    def make(*three_body, weights=(1.3, 2.1, 0.7), kind="septic", pair="x^-4 - 2*x^-2", r_cut=3.8):
        texts = [f"Si-Si: {pair}", *(f"Si-Si-Si: {text}" for text in three_body)]
        expression = expression_of(list(zip(weights, texts, strict=False)))
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
    parts = [
        (7.049556277 * epsilon, "Si-Si: B*x^-4 - 1"),
        (21.0 * epsilon, "Si-Si-Si: 1*1*(c + third)^2"),
    ]
    expression = expression_of(parts, B=0.6022245584, third=1 / 3)
    cutoffs = [Cutoff(kind="stillinger_weber", r_cut=a * sigma, s=s) for s in (sigma, 1.2 * sigma)]
    return Formula(
        expression, sigma, {"Si": 0.0}, ("Si",), cutoffs[0], 1.7, cutoff_three_body=cutoffs[1]
    )
