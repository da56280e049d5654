import numpy as np
import pytest

from symreg.fit.forces.pairs import add_pair_observables
from symreg.fit.programs.evaluation import (
    MAX_CONSTANTS,
    MAX_NODES,
    TOGETHER,
    evaluate,
    evaluate_values,
)
from symreg.fit.programs.packing import tree_arrays
from symreg.fit.solve.linear import least_gain, solve_weights
from symreg.language import parse


def run(text, x, values=None):
    """Value and slope of a formula by the compiled program."""
    tree = parse(text, values)
    code, arg = (np.array(part, dtype=np.int64) for part in tree_arrays(tree))
    return evaluate(code, arg, np.array(tree.constants), np.asarray(x, dtype=float))


def run_values(text, x):
    tree = parse(text)
    code, arg = (np.array(part, dtype=np.int64) for part in tree_arrays(tree))
    return evaluate_values(code, arg, np.array(tree.constants), np.asarray(x, dtype=float))


# Exponential and logarithm


def test_exponential_is_good_to_2_ulp_over_its_range():
    rng = np.random.default_rng(0)
    x = np.concatenate([np.linspace(-708, 709, 100_001), 1e-3 * rng.standard_normal(20_000)])
    np.testing.assert_array_max_ulp(run_values("exp(x)", x), np.exp(x), maxulp=2)


def test_logarithm_is_good_to_3_ulp_over_its_range():
    rng = np.random.default_rng(0)
    x = np.concatenate(
        [10.0 ** rng.uniform(-307, 308, 100_000), 1 + 1e-3 * rng.standard_normal(20_000)]
    )
    np.testing.assert_array_max_ulp(run_values("log(x)", x), np.log(x), maxulp=3)


def test_exponential_and_logarithm_are_exact_where_they_must_be():
    np.testing.assert_array_equal(run_values("exp(x)", [0.0, -0.0]), 1)
    np.testing.assert_array_equal(run_values("log(x)", [1.0]), 0)
    powers = 2.0 ** np.arange(-1000, 1000, 50)
    np.testing.assert_array_max_ulp(run_values("log(x)", powers), np.log(powers), maxulp=1)


def test_exponential_ends_in_zero_and_infinity():
    x = [-np.inf, -1e308, -745.0, -709.0, 710.0, 1e308, np.inf, np.nan]
    expected = [0, 0, 0, 0, np.inf, np.inf, np.inf, np.nan]
    np.testing.assert_array_equal(run_values("exp(x)", x), expected)


def test_logarithm_outside_its_domain_is_not_a_number():
    x = [-np.inf, -1.0, -1e-300, -0.0, 0.0, 5e-324, np.nan, np.inf]
    np.testing.assert_array_equal(run_values("log(x)", x), [np.nan] * 7 + [np.inf])


# Programs


@pytest.mark.parametrize("n", [-64, -13, -12, -6, -3, -2, -1, 0, 1, 2, 3, 5, 7, 12, 31, 64])
def test_integer_powers_and_their_slopes(n):
    x = np.array([-1.7, -0.6, 0.3, 0.99, 1.0, 2.5])
    value, slope = run(f"x^{n}", x)
    # Repeated squaring rounds at most twice per bit and once more for each factor.
    np.testing.assert_allclose(value, x ** float(n), rtol=5e-14)
    np.testing.assert_allclose(slope, n * x ** float(n - 1), rtol=5e-14)
    np.testing.assert_allclose(run_values(f"x^{n}", x), x ** float(n), rtol=5e-14)


def test_integer_power_of_zero():
    for n, value, slope in [(1, 0, 1), (2, 0, 0), (3, 0, 0)]:
        np.testing.assert_array_equal(np.ravel(run(f"x^{n}", [0.0])), [value, slope])
    assert not np.isfinite(run("x^-1", [0.0])).any()
    np.testing.assert_array_equal(run_values("x^0", [0.0, -2.0, np.nan]), 1)


@pytest.mark.parametrize(
    ("text", "outside"),
    [
        ("log(x - 1)", [0.5, 1.0]),
        ("sqrt(x - 1)", [0.5]),
        ("(x - 1)^2.0", [0.5]),
        ("(x - 1)^-1.5", [0.5, 1.0]),
        ("exp(log(x - 1))", [0.5]),
        ("0/(x - 1)", [1.0]),
        ("x + 0*sqrt(x - 1)", [0.5]),
        ("exp(1000*x)/exp(1000*x)", [1.5]),
    ],
)
def test_tree_that_leaves_its_domain_is_not_a_number(text, outside):
    value, slope = run(text, [*outside, 0.6 if "1000" in text else 2.0])
    assert np.isnan(value[:-1]).all()
    assert np.isfinite([value[-1], slope[-1]]).all()
    assert np.isnan(run_values(text, outside)).all()


def test_rows_outside_the_domain_do_not_touch_the_others():
    x = np.linspace(-1, 1, 2 * TOGETHER + 7)
    value, slope = run("log(x)*x^2.5", x)
    inside = x > 0
    for found in (value, slope):
        np.testing.assert_array_equal(np.isnan(found), ~inside)
    np.testing.assert_allclose(value[inside], np.log(x[inside]) * x[inside] ** 2.5, rtol=1e-13)


@pytest.mark.parametrize("rows", [0, 1, 2, TOGETHER - 1, TOGETHER, TOGETHER + 1, 2 * TOGETHER + 1])
def test_any_number_of_rows_gives_the_same_values(rows):
    text, x = "a*(x^-7 - exp(-2*x))/sqrt(x + 3)", np.linspace(0.7, 2.5, 2 * TOGETHER + 1)
    whole, part = run(text, x, {"a": 2.5}), run(text, x[:rows], {"a": 2.5})
    for all_rows, first_rows in zip(whole, part, strict=True):
        assert first_rows.shape == (rows,)
        # The end of a row may be rounded otherwise than its vectorised middle.
        np.testing.assert_allclose(first_rows, all_rows[:rows], rtol=1e-14)
    # Near its zero the difference of two numbers of size 0.1 is left with their rounding errors.
    np.testing.assert_allclose(whole[0], parse(text, {"a": 2.5})(x), rtol=1e-13, atol=1e-16)


@pytest.mark.parametrize(("text", "value"), [("2.5", 2.5), ("7", 7.0), ("2*(1.5 + 3)", 9.0)])
def test_constant_tree_has_no_slope(text, value):
    found, slope = run(text, np.ones(TOGETHER + 1))
    np.testing.assert_array_equal(found, value)
    np.testing.assert_array_equal(slope, 0)
    np.testing.assert_array_equal(run_values(text, np.ones(3)), value)


def test_bare_variable_is_its_own_value():
    value, slope = run("x", [3.0, -2.0])
    np.testing.assert_array_equal(value, [3, -2])
    np.testing.assert_array_equal(slope, 1)


def test_shared_constant_is_read_wherever_it_stands():
    x = np.linspace(0.8, 2, 9)
    value, slope = run("exp(-2*a*(x - b)) - 2*exp(-a*(x - b))", x, {"a": 3.0, "b": 1.1})
    e = np.exp(-3 * (x - 1.1))
    np.testing.assert_allclose(value, e * e - 2 * e, rtol=1e-12)
    np.testing.assert_allclose(slope, -6 * (e * e - e), rtol=1e-12, atol=1e-14)


def test_largest_tree_runs():
    n = (MAX_NODES - 2) // 2
    tree = "x" + n * " + x"
    value, slope = run(tree, [0.5])
    assert len(parse(tree).nodes) <= MAX_NODES
    assert value == pytest.approx(0.5 * (n + 1))
    assert slope == pytest.approx(n + 1)
    nested = "1 + x*(" * (MAX_NODES // 4 - 1) + "x" + ")" * (MAX_NODES // 4 - 1)
    np.testing.assert_allclose(run(nested, [0.5])[0], parse(nested)(np.array([0.5])))


@pytest.mark.parametrize(
    "text",
    ["x" + MAX_NODES * " + x", "x^-1.5" + MAX_CONSTANTS * " + x^-2.5"],
)
def test_tree_that_is_too_large_is_refused_with_the_sizes(text):
    tree = parse(text)
    with pytest.raises(ValueError, match=f"{MAX_NODES} and {MAX_CONSTANTS} are possible") as caught:
        tree_arrays(tree)
    found = f"has {len(tree.nodes)} operators and {len(tree.constants)} constants"
    assert found in str(caught.value)


# Linear algebra of weights


def solved(columns, target):
    n, p = columns.shape
    weights, residual = np.empty(n), np.empty(p)
    dependent = solve_weights(
        columns, target, np.empty((n, p)), np.empty((n, n)), weights, residual
    )
    return weights, residual, dependent


def test_weights_are_those_of_least_squares():
    rng = np.random.default_rng(0)
    columns, target = rng.standard_normal((4, 30)), rng.standard_normal(30)
    columns[1] = columns[0] + 1e-4 * columns[1]  # nearly dependent, still told apart
    weights, residual, dependent = solved(columns, target)
    expected = np.linalg.lstsq(columns.T, target, rcond=None)[0]
    np.testing.assert_allclose(weights, expected, rtol=1e-9)
    np.testing.assert_allclose(residual, target - weights @ columns, atol=1e-12)
    assert not dependent


def test_redundant_column_gets_no_weight():
    rng = np.random.default_rng(0)
    columns, target = rng.standard_normal((3, 30)), rng.standard_normal(30)
    columns[1] = -2 * columns[0]
    weights, residual, dependent = solved(columns, target)
    assert dependent
    assert weights[1] == 0
    expected = np.linalg.lstsq(columns[[0, 2]].T, target, rcond=None)[0]
    np.testing.assert_allclose(weights[[0, 2]], expected, rtol=1e-12)
    np.testing.assert_allclose(columns @ residual, 0, atol=1e-12)


def test_least_gain_is_how_the_residual_grows_without_a_column():
    rng = np.random.default_rng(0)
    columns, target = rng.standard_normal((4, 30)), rng.standard_normal(30)
    columns[3] = 3 * columns[0]
    weights, upper = np.empty(4), np.empty((4, 4))
    residual = np.empty(30)
    solve_weights(columns, target, np.empty((4, 30)), upper, weights, residual)
    growth = []
    for t in range(3):
        kept = columns[[k for k in range(3) if k != t]]
        left = target - np.linalg.lstsq(kept.T, target, rcond=None)[0] @ kept
        growth.append(left @ left - residual @ residual)
    found, gain = least_gain(upper, weights)
    assert found == np.argmin(growth)
    assert gain == pytest.approx(min(growth), rel=1e-9)


def test_column_of_zeros_is_redundant():
    columns = np.array([[0.0, 0.0], [3.0, 4.0]])
    weights, residual, dependent = solved(columns, np.array([6.0, 8.0]))
    assert dependent
    np.testing.assert_allclose(weights, [0, 2])
    np.testing.assert_allclose(residual, 0, atol=1e-14)


def test_column_that_is_not_finite_spoils_the_residual():
    for bad in (np.nan, np.inf):
        columns = np.array([[1.0, 2.0], [3.0, bad]])
        assert np.isnan(solved(columns, np.ones(2))[1]).all()


# Pairs


def test_pair_sums_of_a_dimer():
    #    0 ----- 2 Å -----> 1,  phi = 3 eV, dphi/dr = -5 eV/Å: they push each other away
    unit = np.array([[0.6, 0.0, 0.8], [-0.6, 0.0, -0.8]])
    energies, forces, virial = np.zeros(2), np.zeros((2, 3)), np.zeros((2, 6))
    i = np.array([0, 1])
    add_pair_observables(
        i, np.full(2, 2.0), unit, np.full(2, 3.0), np.full(2, -5.0), energies, forces, virial
    )
    np.testing.assert_allclose(energies, 1.5)
    np.testing.assert_allclose(forces, [[-3, 0, -4], [3, 0, 4]])
    # r dphi/dr u u, half at each atom, as xx yy zz yz xz xy
    np.testing.assert_allclose(virial.sum(0), -10 * np.array([0.36, 0, 0.64, 0, 0.48, 0]))
