import copy
import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones

import symreg
from symreg.config import TermSettings
from symreg.formula import Formula
from symreg.potential import Potential
from symreg.terms import Key, expression_of
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
    assert record["version"] == 3
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


def test_file_of_version_2_is_read(argon):
    record = argon.to_dict() | {"version": 2}
    assert "cutoffs" not in record
    assert Potential.from_dict(record) == argon


HAFNIA = {
    "Hf-Hf": "2.0*x^-8",
    "Hf-O": "0.7*(x^-8 - 2*x^-4)",
    "O-O": "0.5*x^-6",
    "O;Hf-O": "0.3*exp(-x1)*exp(-2.0*x2)*(c + 0.3)^2",
    "O;Hf-Hf": "0.4*exp(-x1 - x2*c)",
    "Hf": "-0.8*sqrt(0.1 + sum(x^-3) + sum_O(x^-4))",
    "O": "0.2*log(1 + sum_Hf_O(exp(-x1 - 2*x2)*c^2)^2)",
}


def hafnia(**changes):
    """Every kind of term of two elements, with lengths of single keys."""
    radii = {"O-Hf": 4.5, "O;O-Hf": 3.2}
    formula = Potential.from_formula(HAFNIA, r_cut=5.0, r0=2.0, r_lo=1.5, cutoffs=radii).formula
    assert {key: one.r_cut for key, one in formula.cutoffs.items()} == {"Hf-O": 4.5, "O;Hf-O": 3.2}
    own = {"Hf-O": Cutoff(kind="septic", r_cut=4.5), "O;Hf-O": Cutoff(kind="cosine", r_cut=3.2)}
    return replace(formula, cutoffs=own, r_lo_pairs={"Hf-O": 1.7, "Hf-Hf": 2.1}, **changes)


def test_terms_of_two_elements_and_their_lengths_are_read_back(tmp_path):
    potential = Potential(hafnia())
    potential.save(tmp_path / "potential.json")
    record = json.loads((tmp_path / "potential.json").read_text())
    assert record["cutoffs"]["O;Hf-O"]["kind"] == "cosine"
    assert record["information"]["only_walls"] == []
    again = Potential.load(tmp_path / "potential.json")
    assert again == potential
    assert again.formula.three_body_function("O", "O", "Hf").r_cut == 3.2
    assert again.formula.pair_function("O", "Hf").r_cut == 4.5
    assert [one.r_cut for one in again.formula.functions["Hf"].sums] == [5.0, 4.5]
    assert [clamp.r_lo for clamp in again.formula.sums[Key.of("O", "Hf", "O")].clamps] == [1.7, 1.5]


@pytest.mark.parametrize("name", ["O-Hf", "Hf;O-Hf", "Hf", "O-Hf-O"])
def test_a_cutoff_function_of_no_key_is_refused(name):
    own = {name: Cutoff(kind="septic", r_cut=4.5)}
    with pytest.raises(ValueError, match=f"lengths are given for '{name}'; write pairs in order"):
        replace(hafnia(), cutoffs=own)


def test_a_domain_that_begins_beyond_the_cutoff_of_its_key_is_refused():
    with pytest.raises(ValueError, match=r"r_lo of O-Hf is 3\.4 Å.*cutoff radius 3\.2 Å"):
        replace(hafnia(), r_lo_pairs={"Hf-O": 3.4})
    # A pair that begins farther out does not touch the others' lengths.
    far = hafnia(species=("Hf", "O"))
    assert replace(far, r_lo_pairs={"Hf-Hf": 3.3}).lengths.begin("O", "O") == 1.5


def test_a_pair_without_a_term_is_told():
    potential = Potential.from_formula({"Hf-Hf": "r^-8", "Hf-O": "r^-6"}, r_cut=5.0, r_lo=1.5)
    with pytest.warns(UserWarning, match=r"no term for O-O.*repulsive wall below 1\.5 Å"):
        calculator = potential.calculator()
    assert potential.to_dict()["information"]["only_walls"] == ["O-O"]
    for r, energy in ((1.6, 0.0), (0.15, 100.0)):
        atoms = Atoms("O2", [[0, 0, 0], [0, 0, r]])
        atoms.calc = calculator
        assert atoms.get_potential_energy() == pytest.approx(energy, rel=1e-3)


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
        (lambda record: record | {"version": 4}, "install a newer symreg"),
        (lambda record: record | {"version": "1"}, "version is '1'"),
        (lambda record: {k: v for k, v in record.items() if k != "r0"}, "has no entry 'r0'"),
        (
            lambda record: record | {"r0": None},
            "r0 is null; it must be a number from 0.001 to 1000 Å",
        ),
        (lambda record: record | {"e0": 3}, "e0 is 3; it must be an object with entries"),
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
            r"terms\[0\].weight is nan; it must be a number from -1e\+300",
        ),
        (
            lambda record: record | {"terms": [record["terms"][0] | {"term": "Ar-Ar: a²*x"}]},
            "formula cannot be read: unexpected character",
        ),
        (lambda record: record | {"covariance": [[1.0]]}, "the formula has 5 constants"),
        (lambda record: record | {"covariance": [[1.0], [1.0, 2.0]]}, "differ in length"),
        (lambda record: record | {"covariance": 3.0}, "covariance is 3; it must be a list"),
    ],
)
def test_broken_file_is_refused_with_its_name(argon, tmp_path, change, message):
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(change(argon.to_dict())))
    with pytest.raises(ValueError, match=message) as caught:
        Potential.load(path)
    assert "broken.json" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"species": ["x||(touch pwned);#"]},
            "species 'x\\|\\|\\(touch pwned\\);#' is no chemical",
        ),
        ({"species": ["Ar\nshell rm"]}, r"species 'Ar\\nshell rm' is no chemical element"),
        ({"species": [["Ar"]]}, r"species\[0\] is \['Ar'\]; it must be a text"),
        ({"e0": {"Ar": -0.1, "$(x)": 0.0}}, r"species '\$\(x\)' is no chemical element"),
        ({"e0": {"Ar": float("nan")}}, "e0.Ar is nan; it must be a number from -1e"),
        ({"e0": {"Ar": 10**400}}, r"e0.Ar is 10+\.\.\.; it must be"),
        ({"e0": {"Ar": True}}, "e0.Ar is true; it must be a number"),
        ({"r0": 10**400}, r"r0 is 1000.*; it must be a number from 0\.001 to 1000 Å"),
        ({"r0": 1e300}, r"r0 is 1e\+300; it must be a number from 0\.001 to 1000 Å"),
        ({"provenance": [1]}, "provenance is .1.; it must be an object"),
        ({"r_lo": "3"}, "r_lo is '3'; it must be a number from 0 to 100 Å"),
        ({"r_lo_pairs": {"Ar-Ar": 1e9}}, r"r_lo_pairs.Ar-Ar is 1e\+09; it must be"),
        ({"cutoff": {"kind": "none", "r_cut": 1e9}}, r"cutoff.r_cut is 1e\+09; it must"),
        ({"cutoff": {"kind": "none", "r_cut": 10**400}}, "cutoff.r_cut is 1000.*it must"),
    ],
)
def test_no_text_or_number_of_a_file_goes_unchecked(argon, tmp_path, change, message):
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(argon.to_dict() | change))
    with pytest.raises(ValueError, match=message) as caught:
        Potential.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"Ar-Ar: {'exp(' * 60}x{')' * 60}", "formula for Ar-Ar has no finite value, or a pole"),
        ("Ar-Ar: 1/(x - 1.3)", r"or a pole, near 4\.9\d* Å; it must be smooth from r_lo = 3"),
        ("Ar-Ar: log(2.0 - x)", r"no finite value, or a pole, near 7\.6"),
        ("Ar: sqrt(sum(1/(x - 1.3)))", "formula for Ar-Ar has no finite value, or a pole, near 4"),
        ("Ar-Ar-Ar: exp(-x1)*exp(-x2)*log(c + 0.5)", "three-body formula for Ar-Ar-Ar has no"),
        ("Ar-Ar-Ar: sqrt(1.7 - x1 - x2 + c)", "finite value at 3 Å, 3 Å and cosine -1"),
    ],
)
def test_a_file_whose_formula_has_a_pole_or_no_value_is_refused(argon, tmp_path, text, message):
    path = tmp_path / "bad.json"
    record = argon.to_dict()
    record["terms"] = [*record["terms"], {"term": text, "weight": 1.0}]
    path.write_text(json.dumps(record | {"cutoff_three_body": CUTOFF.to_dict()}))
    with pytest.raises(ValueError, match=message) as caught:
        Potential.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_species_of_old_files_are_elements_too():
    path = Path(__file__).parent / "golden" / "potential-1.json"
    record = json.loads(path.read_text())
    record["terms"][0]["species"] = ["Cu", "Cu;touch x"]
    with pytest.raises(ValueError, match="species 'Cu;touch x' is no chemical element"):
        Potential.from_dict(record)


@pytest.mark.parametrize("fixture", ["argon", "silicon"])
@pytest.mark.parametrize("used", [False, True])
def test_potentials_are_pickled_and_copied_used_or_not(fixture, used, request):
    potential = request.getfixturevalue(fixture)
    symbol = potential.formula.species[0]
    atoms = Atoms(f"{symbol}3", [[0, 0, 0], [0, 0, 3.2], [0, 3.1, 0]])
    atoms.calc = potential.calculator()
    energy = atoms.get_potential_energy() if used else None
    copies = [pickle.loads(pickle.dumps(potential)), copy.copy(potential), copy.deepcopy(potential)]
    for one in copies:
        assert one == potential
        atoms.calc = one.calculator()
        assert energy in (None, atoms.get_potential_energy())
    assert pickle.loads(pickle.dumps(atoms)).get_potential_energy() == atoms.get_potential_energy()


LENNARD_JONES = "4*0.0104*((3.4/r)^12 - (3.4/r)^6)"


@pytest.mark.parametrize(
    ("text", "r0"), [(LENNARD_JONES, None), ("4*0.0104*(x^-12 - x^-6)", 3.4)], ids=["r", "x"]
)
def test_a_formula_by_hand_is_what_ase_computes(text, r0):
    corners = 3.8 * np.argwhere(np.ones((2, 2, 2)))
    atoms = Atoms("Ar8", corners + np.random.default_rng(0).normal(scale=0.2, size=(8, 3)))
    # No two atoms are as far as the onset of the cutoff function, at 12 Å.
    atoms.calc = Potential.from_formula({"Ar-Ar": text}, r_cut=20.0, r0=r0).calculator()
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    atoms.calc = LennardJones(epsilon=0.0104, sigma=3.4, rc=1e4)
    assert energy == pytest.approx(atoms.get_potential_energy(), rel=1e-12)
    np.testing.assert_allclose(forces, atoms.get_forces(), atol=1e-14)


def test_formulas_by_hand_are_of_pairs_triplets_and_sums():
    formulas = {
        "Si-Si": "2.0/r^4 - 1.0/r^2",
        "Si;Si-Si": "r1*r2*(c + 0.5)^2",
        "Si": "-0.5*sqrt(sum(exp(-r)))",
    }
    potential = Potential.from_formula(formulas, r_cut=8.0, e0={"Si": -1.5}, cutoff="none")
    chain = Atoms("Si3", [[0, 0, 0], [2, 0, 0], [5, 0, 0]])  # its middle has c = -1
    chain.calc = potential.calculator()
    r = np.array([2.0, 3.0, 5.0])
    pairs = (2 / r**4 - 1 / r**2).sum()
    # 5 Å are within the cutoff radius of triplets, 5.6 Å: both ends have two neighbours, at c = 1.
    triplets = 2 * 3 * 0.5**2 + (2 * 5 + 3 * 5) * 1.5**2
    sums = np.sqrt([np.exp(-r[[0, 1]]).sum(), np.exp(-r[[0, 2]]).sum(), np.exp(-r[[1, 2]]).sum()])
    expected = pairs + triplets - 0.5 * sums.sum() - 4.5
    assert chain.get_potential_energy() == pytest.approx(expected, rel=1e-12)


def test_a_formula_by_hand_of_two_elements_is_saved(tmp_path):
    formulas = {"O-Hf": "14.0/r^8 - 3.0/r^4", "O-O": "10.0/r^8", "Hf-Hf": "12.0/r^8"}
    potential = Potential.from_formula(formulas, r_cut=6.0, e0={"O": -1.0})
    assert potential.formula.species == ("Hf", "O")
    assert potential.formula.e0 == {"Hf": 0.0, "O": -1.0}
    dimer = Atoms("OHf", [[0, 0, 0], [0, 0, 2.0]])
    dimer.calc = potential.calculator()
    assert dimer.get_potential_energy() == pytest.approx(14 / 256 - 3 / 16 - 1)
    potential.save(tmp_path / "p.json")
    assert Potential.load(tmp_path / "p.json") == potential


def test_formulas_by_hand_fade_as_a_run_file_has_it():
    terms = TermSettings(r_cut=7.0, three_body="general")
    formulas = {"Si-Si": "1.0/r", "Si;Si-Si": "c^2"}
    formula = Potential.from_formula(formulas, r_cut=7.0).formula
    assert formula.cutoff == terms.cutoff_function
    assert formula.cutoff_three_body == terms.cutoff_function_three_body
    pairs = Potential.from_formula({"Si-Si": "1.0/r"}, r_cut=7.0).formula
    assert pairs.cutoff_three_body is None


@pytest.mark.parametrize(
    ("formulas", "message"),
    [
        ({"Cu-Cu": "a/r"}, "the formula for Cu-Cu holds a; write constants as numbers"),
        ({"Cu-Cu": "1/x"}, "holds x; distances are in Å without r0: write r, r1, r2"),
        ({"Cu-Cu": "1/r)"}, r"Cu-Cu: formula cannot be read: expected an operator.*\n  1/r\)"),
        ({"Cu-Cu": "1/r", "Cu": "1/r"}, "distances of neighbours stand inside sum"),
        ({"Cu-Cu": "log(r - 2)"}, r"no finite value, or a pole, near 0\.5 Å; it must be smooth"),
        ({"Cu-Cu": "9^1e308"}, "no finite value, or a pole"),
        ({"Cu-Cu": f"{40 * 'exp('}r{40 * ')'}"}, "no finite value, or a pole"),
        ({"Cu-O": "1/r", "O-Cu": "2/r"}, "there are two formulas for Cu-O; write their sum"),
        ({"Qq-Cu": "1/r"}, "species 'Qq' is no chemical element"),
        ({"copper": "1/r"}, "'copper' names no species: write Hf-O, O;Hf-Hf or Cu"),
        ({"Cu;Cu-Cu": "c"}, "needs a pair term for Cu-Cu too"),
        ({}, "there is no formula"),
    ],
)
def test_what_is_no_formula_is_refused_with_its_key(formulas, message):
    with pytest.raises(ValueError, match=message):
        Potential.from_formula(formulas, r_cut=6.0)


def test_with_r0_distances_are_reduced():
    with pytest.raises(ValueError, match="holds r; distances are in r0: write x, x1, x2"):
        Potential.from_formula({"Cu-Cu": "1/r"}, r_cut=6.0, r0=2.5)
    with pytest.raises(ValueError, match="e0 names O; the formulas are of Cu"):
        Potential.from_formula({"Cu-Cu": "1/r"}, r_cut=6.0, e0={"O": 1.0})


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


BARE = {"Hf-O": "0.0*r", "O-O": "0.0*r", "Hf-Hf": "0.0*r"}
BENT_WATER = Atoms("OHfO", positions=[(0, 0, 0), (2, 0, 0), (0, 2.6, 0)])


def energy_of(**formulas):
    lengths = {"r_cut": 5.0, "r_lo": 1.5, "r_cut_three_body": 4.0}
    texts = BARE | {key.replace("_", ";"): text for key, text in formulas.items()}
    BENT_WATER.calc = Potential.from_formula(texts, **lengths).calculator()
    return BENT_WATER.get_potential_energy()


def test_distances_of_unlike_neighbours_are_in_the_order_of_the_key_as_written():
    first = energy_of(**{"O_Hf-O": "exp(-r1 - 0.2*r2)"})
    assert energy_of(**{"O_O-Hf": "exp(-r2 - 0.2*r1)"}) == first
    assert energy_of(**{"O_O-Hf": "exp(-r1 - 0.2*r2)"}) != first


@pytest.mark.parametrize(
    "rest", ["(exp(-r1)*exp(-r2)*(c + 0.3)^2)", "exp(-r1)*exp(-r2)*(c + 0.3)^2"]
)
def test_a_number_in_front_of_a_product_is_its_weight(rest):
    texts = BARE | {"O;Hf-Hf": f"-0.4*{rest}"}
    expression = Potential.from_formula(texts, r_cut=5.0, r_lo=1.5).formula.expression
    assert expression.weights[-1] == -0.4
    assert expression.terms[-1].tree.factors is not None


@pytest.mark.parametrize("key", ["Hf;O", "Hf;O;O", "O-Hf;Hf"])
def test_keys_that_lack_a_neighbour_are_refused(key):
    with pytest.raises(ValueError, match="write Hf-O, O;Hf-Hf or Cu"):
        Potential.from_formula({key: "r"}, r_cut=5.0)
