import shutil
from dataclasses import replace

import numpy as np
import pytest

from symreg.formula import Formula
from symreg.lammps import export
from symreg.lammps.eam import FORCE_ERROR, POINTS, Table, eam_file
from symreg.terms import expression_of
from symreg.terms.cutoff import Cutoff

needs_compiler = pytest.mark.skipif(shutil.which("c++") is None, reason="there is no C++ compiler")

PAIR = (0.1, "exp(-11.0*(x - 1))")
GUPTA = (-1.3, "sqrt(sum(exp(-4.6*(x - 1))))")
SMOOTH = (-0.5, "sum(exp(-4.6*(x - 1)))"), (0.01, "sum(exp(-4.6*(x - 1)))^2")
FADING = Cutoff(kind="stillinger_weber", r_cut=5.5, s=1.0)
"""It underflows before its cutoff radius, and with it what is summed."""
BENT = (0.3, "log(1 + sum(exp(-2.0*x1)*exp(-2.0*x2)*(c + 0.4)^2)*sum(x^-4))")
PRODUCT = (0.05, "exp(-2.0*x1)*exp(-2.0*x2)*(c + 0.2)")
RATIO = (0.2, "sum(x^-4)/(1 + sum(x^-3))")
MANY = (
    (0.1, "log(2 + sum(exp(-x1 - 2.0*x2)*(c + 0.1*x1)^2)^2)"),
    (0.2, "sum(x^-4)*sum(x^-3)/(1 + sum(x^-2)*sum(exp(-2.0*x1)*exp(-2.0*x2)*(c + 0.2)^2)^2)"),
)
"""Five sums, one of them over triplets that are no products."""
QUANTITIES = ("energy_per_atom_max", "forces_max", "virial_per_atom_max")


def formula_of(*parts, r_cut=5.5):
    keys = ["Cu" if "sum" in t else "Cu-Cu-Cu" if "x1" in t else "Cu-Cu" for _, t in parts]
    texts = [(weight, f"{key}: {text}") for key, (weight, text) in zip(keys, parts, strict=True)]
    expression = expression_of(texts)
    cutoff, three = (Cutoff(kind="septic", r_cut=r, r_on=0.6 * r) for r in (r_cut, 4.1))
    return Formula(expression, 2.55, {"Cu": -0.2}, ("Cu",), cutoff, 1.9, cutoff_three_body=three)


@pytest.mark.lammps
@needs_compiler
def test_plugin_computes_any_function_of_sums(tmp_path):
    parity = export(formula_of(PAIR, GUPTA, RATIO), tmp_path)
    assert (parity["status"], parity["style"]) == ("run", "plugin")
    assert list(parity["routes"]) == ["plugin"]
    for quantity in QUANTITIES:
        assert parity[quantity] < 1e-11
    record = parity["routes"]["plugin"]
    assert record["wall_forces_relative_max"] < 1e-12
    assert record["finite_difference_max"] < 1e-7
    assert record["two_ranks"]["forces_max"] < 1e-12
    assert {"dimers", "close dimers", "cluster 2", "lattice"} <= set(record["checks"])
    text = (tmp_path / "README.md").read_text()
    assert "F(Cu) += -1.3*(sqrt(sum(exp(-4.6*(x - 1)))))" in text
    assert "Sums over neighbours do not feel neighbours come closer than" in text


@pytest.mark.slow
@pytest.mark.lammps
@needs_compiler
@pytest.mark.parametrize("others", [(), (PRODUCT,)], ids=["alone", "with triplets"])
def test_plugin_computes_sums_over_every_two_neighbours(tmp_path, others):
    parity = export(formula_of(PAIR, GUPTA, BENT, *others), tmp_path)
    assert (parity["status"], parity["style"]) == ("run", "plugin")
    for quantity in QUANTITIES:
        assert parity[quantity] < 1e-11
    record = parity["routes"]["plugin"]
    assert record["finite_difference_max"] < 1e-7
    assert record["two_ranks"]["forces_max"] < 1e-12


@pytest.mark.lammps
@needs_compiler
@pytest.mark.slow
def test_plugin_computes_any_number_of_sums_of_any_form(tmp_path):
    parity = export(formula_of(PAIR, *MANY), tmp_path)
    assert (parity["status"], parity["style"]) == ("run", "plugin")
    for quantity in QUANTITIES:
        assert parity[quantity] < 1e-11
    assert parity["routes"]["plugin"]["finite_difference_max"] < 1e-7


@pytest.mark.lammps
def test_tables_compute_a_smooth_function_of_one_sum(tmp_path):
    parity = export(formula_of(PAIR, *SMOOTH), tmp_path)
    assert (parity["status"], parity["style"]) == ("run", "eam")
    assert parity["splines"]["within_promise"]
    for quantity in QUANTITIES:
        assert parity[quantity] < FORCE_ERROR
    text = (tmp_path / "README.md").read_text()
    assert "of two atoms alone" in text
    assert "and straight beyond" in text
    record = parity["routes"]["eam"]
    assert record["finite_difference_max"] < 1e-7
    assert record["two_ranks"]["forces_max"] < 1e-12
    assert next(iter(parity["routes"])) == "eam"


@pytest.mark.slow
@pytest.mark.lammps
@needs_compiler
def test_where_tables_are_poor_for_dimers_the_plugin_comes_first(tmp_path):
    formula = formula_of(PAIR, GUPTA)
    parity = export(formula, tmp_path)
    assert parity["style"] == "plugin"
    file, checks = eam_file(formula), parity["routes"]["eam"]["checks"]
    # A square root has no slope at zero, where a dimer's sum goes.
    assert file.force_error < FORCE_ERROR < file.dimer_error
    for name in ("rattled", "lattice"):
        assert checks[name]["forces_max"] < FORCE_ERROR
    assert FORCE_ERROR < checks["dimers"]["forces_max"] < file.dimer_error


def test_tables_of_a_root_of_a_sum_that_underflows_do_not_keep_the_promise():
    # The root has an infinite slope where the density has none: no warning either.
    for function in (GUPTA, (-1.0, "log(1 + sqrt(sum(exp(-4.6*(x - 1)))))")):
        formula = replace(formula_of(PAIR, function), cutoff=FADING)
        file = eam_file(formula)
        assert file.force_error < FORCE_ERROR
        assert 0.01 < file.dimer_error < 1.0
        assert not file.within_promise
    smooth = eam_file(replace(formula_of(PAIR, *SMOOTH), cutoff=FADING))
    assert smooth.within_promise


def test_an_error_that_is_not_known_is_not_within_the_promise():
    file = eam_file(formula_of(PAIR, *SMOOTH))
    for name in ("force_error", "dimer_error"):
        assert not replace(file, **{name: np.nan}).within_promise


@pytest.mark.lammps
@needs_compiler
@pytest.mark.slow
def test_the_plugin_computes_a_root_of_a_sum_that_underflows(tmp_path):
    parity = export(replace(formula_of(PAIR, GUPTA), cutoff=FADING), tmp_path)
    assert (parity["status"], parity["style"]) == ("run", "plugin")
    for quantity in QUANTITIES:
        assert parity[quantity] < 1e-11
    assert parity["routes"]["plugin"]["checks"]["dimers"]["forces_max"] < 1e-11
    assert "nan" not in (tmp_path / "README.md").read_text().lower()


def test_the_readme_names_what_is_no_number(tmp_path, monkeypatch):
    file = replace(eam_file(formula_of(PAIR, *SMOOTH)), dimer_error=np.nan)
    monkeypatch.setattr("symreg.lammps.eam.eam_file", lambda _: file)
    monkeypatch.setattr("symreg.lammps.folder.is_installed", lambda: False)
    export(formula_of(PAIR, *SMOOTH), tmp_path, style="eam", provenance={"training_error": np.nan})
    text = (tmp_path / "README.md").read_text()
    assert "of two atoms alone not finite eV/Å. This misses the promise" in text
    assert "Dimers of Cu-Cu miss it" in text
    assert "training_error: unknown" in text
    assert "nan" not in text.lower()


def test_the_tables_are_interpolated_as_by_cubics():
    x = np.linspace(0.0, 2.0, 201)
    table = Table(0.01, x**3 - x)
    inner = np.linspace(0.03, 1.96, 500)
    value, slope = table.derivatives(inner)
    np.testing.assert_allclose(value, inner**3 - inner, atol=1e-13)
    np.testing.assert_allclose(slope, 3 * inner**2 - 1, atol=1e-10)


def table_of(file):
    return file.densities["Cu", "Cu"]


def test_tables_are_as_long_as_the_promise_needs(monkeypatch):
    formula = formula_of(PAIR, *SMOOTH)
    file = eam_file(formula)
    assert table_of(file).values.size in POINTS
    assert file.force_error < FORCE_ERROR
    monkeypatch.setattr("symreg.lammps.eam.POINTS", (500, 1000))
    short = eam_file(formula)
    assert table_of(short).values.size == 1000
    assert short.force_error > FORCE_ERROR


def test_a_sum_of_negative_addends_is_turned_around():
    turned = (-0.5, "sum(-(exp(-4.6*(x - 1))))"), (0.01, "sum(-exp(-4.6*(x - 1)))^2")
    file = eam_file(formula_of(PAIR, (0.5, turned[0][1]), turned[1]))
    same = eam_file(formula_of(PAIR, *SMOOTH))
    np.testing.assert_allclose(table_of(file).values, table_of(same).values, atol=1e-12)
    np.testing.assert_allclose(
        file.embeddings["Cu"].values, same.embeddings["Cu"].values, atol=1e-9
    )


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((GUPTA, RATIO), "functions of one sum over neighbours; this formula has others"),
        (((1.0, "sum(x1*x2*c^2)^2"),), "functions of one sum over neighbours; this formula has"),
        (((1.0, "sum(x - 1.5)^2"),), "needs a sum over neighbours of one sign"),
        (((1.0, "log(5 - sum(exp(-4.6*(x - 1))))"),), "F is not finite for a sum of 5"),
    ],
)
def test_what_tables_cannot_say_is_refused_with_advice(parts, message, tmp_path):
    with pytest.raises(ValueError, match=rf"{message}.*use style 'plugin'"):
        export(formula_of(PAIR, *parts), tmp_path, style="eam")


@pytest.mark.parametrize("style", ["table", "lepton", "native", "meam", "sw"])
def test_styles_without_many_body_terms_are_refused(style, tmp_path):
    with pytest.raises(ValueError, match="use style 'eam' or 'plugin'"):
        export(formula_of(PAIR, GUPTA), tmp_path, style=style)


def test_eam_is_refused_for_pairs(tmp_path):
    with pytest.raises(ValueError, match="'eam' is for many-body terms, and this formula has none"):
        export(formula_of(PAIR), tmp_path, style="eam")
