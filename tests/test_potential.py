import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

import symreg
from symreg.formula import Formula
from symreg.potential import Potential
from symreg.terms import expression_of
from symreg.terms.cutoff import Cutoff

CUTOFF = Cutoff(kind="septic", r_cut=8.5, r_on=6.0)


def make(*parts, provenance=None):
    texts = [(weight, f"{'-'.join(species)}: {text}") for weight, species, text in parts]
    expression = expression_of(texts)
    species = tuple(sorted({symbol for _, pair, _ in parts for symbol in pair}))
    formula = Formula(expression, 3.8, dict.fromkeys(species, -0.1), species, CUTOFF, 3.0)
    return Potential(formula, provenance or {})


@pytest.fixture
def argon():
    pair = ("Ar", "Ar")
    return make(
        (0.1 / 3, pair, "x^-11.7"),
        (-0.04, pair, "exp(-2.25*x)*log(x + 1.5)"),
        provenance={"seed": 7, "data_hash": "ab12", "errors": {"train": {"energy": 0.001}}},
    )


def test_loading_gives_back_what_was_saved(argon, tmp_path):
    argon.save(tmp_path / "potential.json")
    loaded = Potential.load(tmp_path / "potential.json")
    assert loaded == argon
    assert [path.name for path in tmp_path.iterdir()] == ["potential.json"]


def test_loaded_potential_computes_the_same_bits(argon, tmp_path):
    argon.save(tmp_path / "potential.json")
    dimer = Atoms("Ar2", positions=[[0, 0, 0], [0, 0, 3.9]])
    energies = []
    for potential in (argon, symreg.Potential.load(str(tmp_path / "potential.json"))):
        dimer.calc = potential.calculator()
        energies.append(dimer.get_potential_energy())
    assert energies[0] == energies[1]


def test_file_can_be_read_by_people(argon, tmp_path):
    argon.save(tmp_path / "potential.json")
    record = json.loads((tmp_path / "potential.json").read_text())
    assert record["format"] == "symreg-potential"
    assert record["version"] == 2
    assert record["terms"][0]["term"] == "Ar-Ar: x^-11.7"
    assert record["covariance"] is None
    assert record["information"]["domain"] == [3.0, 8.5]
    assert record["information"]["formula"].startswith("0.033333333*x^-11.7 - 0.04*")
    assert "exp(" in record["information"]["wall"]["Ar-Ar"]
    assert record["provenance"]["seed"] == 7


def test_provenance_may_hold_numpy_and_missing_numbers(tmp_path):
    provenance = {"rmse": np.float32(0.5), "grid": np.arange(2), "test": float("nan"), 3: None}
    make((1.0, ("Ar", "Ar"), "x^-9"), provenance=provenance).save(tmp_path / "p.json")
    kept = Potential.load(tmp_path / "p.json").provenance
    assert kept == {"rmse": 0.5, "grid": [0, 1], "test": None, "3": None}


def test_constants_have_stable_names(argon):
    assert argon.constants == {"w1": 0.1 / 3, "w2": -0.04, "c1": -11.7, "c2": -2.25, "c3": 1.5}
    assert argon.n_constants == argon.formula.expression.n_constants == 5


def test_named_constants_keep_their_names():
    pair = ("Ar", "Ar")
    potential = make((0.1, pair, "(sigma/x)^12 - sigma"), (0.2, pair, "exp(-c1*sigma*x/2.5)"))
    assert potential.constants == {
        "w1": 0.1,
        "w2": 0.2,
        "sigma": 1.0,
        "c1": 1.0,
        "sigma_2": 1.0,
        "c1_2": 2.5,
    }
    assert potential.n_constants == potential.formula.expression.n_constants


def test_latex_and_sympy_show_the_formula(argon):
    assert r"\varphi_{\mathrm{ArAr}}(x)" in argon.latex()
    assert argon._repr_latex_().startswith("$")
    by_sympy = float(argon.sympy().subs("r", 5.0))
    x = 5.0 / 3.8
    assert by_sympy == pytest.approx(
        0.1 / 3 * x**-11.7 - 0.04 * np.exp(-2.25 * x) * np.log(x + 1.5)
    )


def test_sympy_of_several_pairs_is_a_dictionary():
    potential = make((0.1, ("Ar", "Ar"), "x^-12"), (0.2, ("Ar", "Kr"), "x^-9"))
    assert list(potential.sympy()) == ["Ar-Ar", "Ar-Kr"]


@pytest.fixture
def silicon():
    parts = [
        (1.5, "Si-Si: x^-4.5 - 2*x^-2"),
        (2.5, "Si-Si-Si: x1^-k*x2^-k*(c + 0.3)^2"),
        (0.1, "Si-Si-Si: exp(-x1 - 2.0*x2)*c"),
    ]
    near = Cutoff(kind="septic", r_cut=4.0, r_on=2.5)
    expression = expression_of(parts, k=2.5)
    return Potential(
        Formula(expression, 2.35, {"Si": -0.1}, ("Si",), CUTOFF, 1.9, cutoff_three_body=near)
    )


def test_three_body_terms_are_saved_and_shown(silicon, tmp_path):
    silicon.save(tmp_path / "potential.json")
    assert Potential.load(tmp_path / "potential.json") == silicon
    assert silicon.constants == {
        "w1": 1.5, "w2": 2.5, "w3": 0.1, "c1": -4.5, "k": 2.5, "c2": 0.3, "c3": 2.0,
    }  # fmt: skip
    assert silicon.n_constants == silicon.formula.expression.n_constants
    assert list(silicon.sympy()) == ["Si-Si", "Si-Si-Si"]
    assert r"\psi_{\mathrm{SiSiSi}}" in silicon._repr_latex_()
    information = silicon.to_dict()["information"]
    assert "sum over triplets" in information["meaning"]
    assert information["formula"].startswith("Si-Si: 1.5*(")


def test_a_file_of_the_first_format_is_read():
    potential = Potential.load(Path(__file__).parent / "golden" / "potential-1.json")
    assert potential.covariance is None
    assert potential.constants == {
        "w1": 0.1, "w2": 0.05, "w3": -0.02, "w4": -1.3, "w5": 0.3, "sigma": 1.1, "c1": -2.5,
        "c2": 0.3, "c3": 2.0, "c4": -4.6, "c5": -2.0, "c6": 0.4,
    }  # fmt: skip
    copper = bulk("Cu", cubic=True)
    copper.rattle(0.1, seed=1)
    copper.calc = potential.calculator()
    # What the version that wrote the file computed.
    assert copper.get_potential_energy() == pytest.approx(-8.954441726821505, rel=1e-13)
    assert str(potential.formula.expression.terms[3]) == "Cu: sqrt(sum(exp(-4.6*(x - 1))))"


def test_covariance_is_saved_with_the_constants(argon, tmp_path):
    matrix = np.diag([1e-6, 1e-6, 0.01, 0.02, np.nan])
    matrix[0, 1] = matrix[1, 0] = 1 / 3
    potential = Potential(argon.formula, argon.provenance, matrix)
    potential.save(tmp_path / "potential.json")
    loaded = Potential.load(tmp_path / "potential.json")
    np.testing.assert_array_equal(loaded.covariance, matrix)
    assert loaded == potential != argon
    assert json.loads((tmp_path / "potential.json").read_text())["covariance"][4][4] is None


def test_covariance_is_one_of_all_constants(argon):
    with pytest.raises(ValueError, match=r"shape \(2, 2\); the formula has 5 constants.*\(5, 5\)"):
        Potential(argon.formula, {}, np.eye(2))


def test_missing_file_is_an_oserror(tmp_path):
    with pytest.raises(OSError, match=r"nothing\.json"):
        Potential.load(tmp_path / "nothing.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _: [], "this is no potential"),
        (lambda record: record | {"format": "other"}, "this is no potential"),
        (lambda record: record | {"version": 3}, "install a newer symreg"),
        (lambda record: record | {"version": "1"}, "version is '1'"),
        (lambda record: {k: v for k, v in record.items() if k != "r0"}, "key 'r0' is missing"),
        (lambda record: record | {"r0": None}, "wrong type"),
        (lambda record: record | {"e0": 3}, "wrong type"),
        (lambda record: record | {"r_lo": 20.0}, "r_lo is 20 Å"),
        (
            lambda record: (
                record | {"terms": [record["terms"][0] | {"term": "Ar-Ar: __import__(x)"}]}
            ),
            "formula cannot be read",
        ),
        (
            lambda record: record | {"terms": [record["terms"][0] | {"term": "Ar: sqrt(x)"}]},
            "distances of neighbours stand inside sum",
        ),
        (
            lambda record: record | {"terms": [record["terms"][0] | {"term": "Ar: 2.5"}]},
            "holds a sum over neighbours",
        ),
        (
            lambda record: record | {"terms": [record["terms"][0] | {"term": "rings Ar-Ar: x"}]},
            "there is no kind of sum 'rings'; there are pairs, triplets",
        ),
        (
            lambda record: record | {"terms": [record["terms"][0] | {"term": "triplets Ar-Ar: c"}]},
            "a sum over triplets is between 3 species, not 2: Ar-Ar",
        ),
        (
            lambda record: record | {"terms": [record["terms"][0] | {"weight": float("nan")}]},
            "constants and weight of the term Ar-Ar: x\\^-11.7 must be finite numbers",
        ),
        (lambda record: record | {"covariance": [[1.0]]}, "the formula has 5 constants"),
        (lambda record: record | {"covariance": [[1.0], [1.0, 2.0]]}, "differ in length"),
        (lambda record: record | {"covariance": 3.0}, "wrong type"),
    ],
)
def test_broken_file_is_refused_with_its_name(argon, tmp_path, change, message):
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(change(argon.to_dict())))
    with pytest.raises(ValueError, match=message) as caught:
        Potential.load(path)
    assert "broken.json" in str(caught.value)


def test_text_that_is_not_json_is_refused(tmp_path):
    (tmp_path / "p.json").write_text("pair_style lj/cut")
    with pytest.raises(ValueError, match="is no JSON file"):
        Potential.load(tmp_path / "p.json")


def test_failed_save_leaves_the_old_file(argon, tmp_path):
    argon.save(tmp_path / "potential.json")
    broken = make((1.0, ("Ar", "Ar"), "log(x - 9)"))  # not finite where its domain begins
    with pytest.raises(ValueError, match="not finite"):
        broken.save(tmp_path / "potential.json")
    assert Potential.load(tmp_path / "potential.json") == argon


def test_export_hands_formula_and_provenance_to_lammps(argon, tmp_path, monkeypatch):
    lammps = pytest.importorskip("symreg.lammps")
    seen = {}

    def export(formula, folder, **settings):
        seen.update(formula=formula, folder=folder, **settings)
        return {"forces_max": 0.0}

    monkeypatch.setattr(lammps, "export", export)
    assert argon.export_lammps(str(tmp_path), style="table") == {"forces_max": 0.0}
    assert seen["formula"] == argon.formula
    assert seen["style"] == "table"
    assert seen["provenance"] == argon.provenance
