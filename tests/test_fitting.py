import ase.io
import numpy as np
import pytest
from ase import Atoms

import symreg
from symreg.runs import pipeline

LJ = "4*eps*((sigma/r)^12 - (sigma/r)^6)"


def morse(depth, steepness, minimum):
    """Energy in eV and slope in eV/Å at distances in Å."""

    def pair(r):
        fall = np.exp(-steepness * (r - minimum))
        return depth * fall * (fall - 2), -2 * depth * steepness * fall * (fall - 1)

    return pair


@pytest.fixture(scope="module")
def fitted(search_settings, tmp_path_factory):
    """Lennard-Jones fitted to the argon data, and the folder it might have written to."""
    folder = tmp_path_factory.mktemp("fit")
    return pipeline.fit(LJ, search_settings(folder / "run")), folder


@pytest.fixture
def dimers(synthetic, tmp_path):
    """Write dimers with the energies and forces of a pair function."""

    def write(pair, distances):
        images = [Atoms("Ar2", [[0, 0, 0], [0, 0, d]]) for d in distances]
        for atoms in images:
            synthetic.add_labels(atoms, {("Ar", "Ar"): pair})
        ase.io.write(tmp_path / "dimers.extxyz", images)
        return tmp_path / "dimers.extxyz"

    return write


def test_lennard_jones_is_recovered_in_angstrom_and_ev(fitted):
    result, _ = fitted
    # The labels have 8 decimals: their rounding is what limits the constants.
    assert result.constants == pytest.approx({"eps": 0.0104, "sigma": 3.4}, rel=1e-6)
    assert result.record["error"] < 1e-5
    assert result.record["r0"] == 1.0
    assert all(0 < error < 1e-6 for error in result.standard_errors.values())


def test_a_fitted_potential_carries_the_covariance_of_its_constants(fitted, tmp_path):
    result, _ = fitted
    result.potential.save(tmp_path / "potential.json")
    potential = symreg.Potential.load(tmp_path / "potential.json")
    assert list(potential.constants) == ["w1", "eps", "sigma"]
    matrix = potential.covariance
    assert matrix == pytest.approx(result.potential.covariance)
    assert np.all(matrix[0] == 0)  # the weight is 1 and not fitted
    assert np.sqrt(np.diag(matrix))[1:] == pytest.approx(list(result.standard_errors.values()))


def test_lennard_jones_is_recovered_in_units_of_r0(search_settings):
    result = pipeline.fit(LJ.replace("r", "x"), search_settings("nowhere"), variable="x")
    sigma = result.constants["sigma"] * result.record["r0"]
    assert sigma == pytest.approx(3.4, rel=1e-6)


def test_constants_written_as_numbers_are_fitted_and_integers_kept(search_settings):
    result = pipeline.fit("1.0*r^-12 - 1.0*r^-6", search_settings("nowhere"))
    expected = [4 * 0.0104 * 3.4**12, 4 * 0.0104 * 3.4**6]
    assert list(result.constants.values()) == pytest.approx(expected, rel=1e-6)


def test_morse_is_recovered_from_dimers(dimers, search_settings):
    path = dimers(morse(0.3, 1.4, 2.9), np.linspace(2.2, 6.0, 30))
    text = "d*(exp(-2*a*(r - b)) - 2*exp(-a*(r - b)))"
    result = pipeline.fit(text, search_settings("nowhere", path, **{"data.split": "random"}))
    assert result.constants == pytest.approx({"d": 0.3, "a": 1.4, "b": 2.9}, rel=1e-5)


def test_a_formula_without_constants_is_measured(search_settings):
    result = pipeline.fit("0*r", search_settings("nowhere"))
    assert result.constants == {}
    assert result.record["error"] > 1


@pytest.mark.parametrize(
    "text",
    [
        "a/(r - 4)",  # a pole amid the data
        "a*log(r - 4)",  # leaves its domain
        "a*sqrt(4 - r)",
    ],
)
def test_a_formula_with_a_pole_is_refused(search_settings, text):
    with pytest.raises(ValueError, match=r"leaves its domain, or has a pole, between 3.*and 6.5"):
        pipeline.fit(text, search_settings("nowhere"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("4*eps*(sigma/r", "formula cannot be read"),
        ("", "formula"),
        ("eps*sin(r)", "sin"),
        ("__import__('os')", "formula cannot be read"),
    ],
)
def test_a_formula_that_cannot_be_read_is_refused(search_settings, text, message):
    with pytest.raises(ValueError, match=message):
        pipeline.fit(text, search_settings("nowhere"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a/(r - r)", r"the formula has no finite real value: a/\(x - x\)"),
        ("1.0/0*r", r"the formula has no finite real value: 1\.0/0\*x"),
        ("a*r*log(0)", "the formula has no finite real value"),
        ("eps*r^-6 + 9^9^9", r"numbers end at 1\.8e308; integers exceed that in eps\*x"),
        ("(2.5*r)^(9^9)", "numbers end at"),
        ("a*((((2*r)^64)^64)^64)^64", "numbers end at"),
        ("a*exp(999999999999999*log(2*r))", "numbers end at"),
    ],
)
def test_a_formula_that_nothing_can_compute_is_refused_in_a_line(search_settings, text, message):
    with pytest.raises(ValueError, match=message) as caught:
        pipeline.fit(text, search_settings("nowhere"))
    assert "\n" not in str(caught.value)


def test_the_variable_is_r_or_x(search_settings):
    with pytest.raises(ValueError, match="the variable is 'q'; it must be r"):
        pipeline.fit("q^-6", search_settings("nowhere"), variable="q")


def test_the_text_of_a_fit_tells_constants_errors_and_floor(fitted):
    text = fitted[0].text()
    assert "eps = 0.0104 ±" in text
    assert "RMSE      train: energy" in text
    assert "eV/Å" in text
    assert "times the floor" in text
    assert "e0        Ar" in text


def test_the_potential_of_a_fit_computes_the_labels(fitted, argon_images):
    potential = fitted[0].potential
    for image in argon_images:
        atoms = image.copy()
        atoms.calc = potential.calculator()
        np.testing.assert_allclose(atoms.get_forces(), image.arrays["forces"], atol=1e-6)


def test_a_fit_writes_nothing(fitted):
    assert list(fitted[1].iterdir()) == []


def test_a_power_of_a_constant_that_turns_complex_is_no_traceback(search_settings):
    found = pipeline.fit("exp(1e-320/(sigma^sigma)) + r", search_settings("nowhere"))
    assert found.record.error > 0
