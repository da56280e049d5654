import numpy as np
import pytest

from symreg.fit.programs.batch import MAX_CONSTANTS, MAX_NODES, encoded
from symreg.fit.programs.evaluation import TOGETHER, differentiate, evaluate
from symreg.language import parse


def run(text, x, values=None):
    """Value and slope of a formula by the compiled program."""
    tree, x = parse(text, values), np.asarray(x, dtype=float)
    value, slopes = differentiate(*encoded(tree.shape), np.array(tree.constants), x[None, :], False)
    return value, slopes[0]


def run_values(text, x):
    tree, x = parse(text), np.asarray(x, dtype=float)
    return evaluate(*encoded(tree.shape), np.array(tree.constants), x[None, :])


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


def test_what_saturates_has_no_slope_where_an_exponential_overflows():
    value, slope = run("1 - 2/(exp(2*x) + 1)", [-800.0, 0.0, 355.0, 800.0])
    np.testing.assert_array_equal(value, [-1.0, 0.0, 1.0, 1.0])
    np.testing.assert_allclose(slope, [0.0, 1.0, 0.0, 0.0], atol=1e-300)
    value, slope = run("1/(1 + exp(1e89*x))", [-2.0, 2.0])
    np.testing.assert_array_equal(value, [1.0, 0.0])
    np.testing.assert_array_equal(slope, 0.0)
    value, slope = run("exp(x)", [800.0])
    assert np.isinf(value)


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
    assert sum(1 for _ in parse(tree).shape.nodes()) <= MAX_NODES
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
        encoded(tree.shape)
    nodes = sum(1 for _ in tree.shape.nodes())
    found = f"has {nodes} operators and {len(tree.constants)} constants"
    assert found in str(caught.value)
