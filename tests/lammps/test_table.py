import numpy as np
import pytest

from symreg.lammps.table import (
    FORCE_ERROR,
    LARGEST,
    R_MIN,
    predicted_error,
    start_of_table,
    table_route,
    tables_of,
    tabulate,
)
from symreg.terms.cutoff import Cutoff


def test_pair_table_of_argon(argon, golden):
    table = tabulate(argon.pair_function("Ar", "Ar"), "Ar_Ar", 20, R_MIN)
    golden(table.text(), "argon.table")


def test_table_begins_with_the_line_that_lammps_checks(argon):
    route = table_route(argon, "DATE: 2025-07-22 UNITS: metal")
    lines = route.files["Ar.table"].splitlines()
    assert lines[0] == "# DATE: 2025-07-22 UNITS: metal"
    assert lines[2] == "Ar_Ar"
    assert lines[3].startswith("N 5000 RSQ 0.2 8.5 FPRIME ")
    assert lines[4] == ""  # LAMMPS skips one line here, whatever it holds
    assert len(lines) == 5 + 5000


@pytest.mark.parametrize("kind", ["septic", "cosine", "poet", "stillinger_weber", "none"])
def test_points_are_chosen_to_keep_the_promise(make_formula, kind):
    cutoff = Cutoff(kind=kind, r_cut=8.5, r_on=5.1)
    formula = make_formula("x^-12 - 2*x^-6", cutoff)
    function, (_, record) = formula.pair_function("Ar", "Ar"), tables_of(formula)
    assert record.predicted_forces_error < FORCE_ERROR
    shorter = tabulate(function, "Ar_Ar", record.points // 5, R_MIN)
    assert predicted_error(function, shorter)[1] > FORCE_ERROR


def test_interpolation_goes_through_the_points(argon):
    table = tabulate(argon.pair_function("Ar", "Ar"), "Ar_Ar", 50, R_MIN)
    energy, force = table.interpolate(table.r)
    np.testing.assert_allclose(energy, table.energy, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(force, table.force, rtol=1e-12, atol=1e-15)


def test_truncated_function_keeps_its_value_at_the_cutoff(make_formula):
    function = make_formula("x^-6", Cutoff(kind="none", r_cut=8.5)).pair_function("Ar", "Ar")
    table = tabulate(function, "Ar_Ar", 50, R_MIN)
    assert table.energy[-1] == pytest.approx(0.0104 * (8.5 / 3.82) ** -6)


def test_function_without_a_value_makes_no_table(make_formula):
    function = make_formula("sqrt(1.2 - x)").pair_function("Ar", "Ar")  # until 4.58 Å
    with pytest.raises(ValueError, match=r"for Ar_Ar is not finite at 4\.59"):
        tabulate(function, "Ar_Ar", 1000, R_MIN)


def test_table_of_a_steep_wall_stays_finite(make_formula):
    function = make_formula("exp(-50.0*(x - 1))", r_lo=3.8, weight=1e3).pair_function("Ar", "Ar")
    r_min = start_of_table([function])
    table = tabulate(function, "Ar_Ar", 1000, r_min)
    assert R_MIN < r_min < 3.8
    assert np.abs(table.force).max() < LARGEST
