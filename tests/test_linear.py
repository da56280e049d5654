import numpy as np
import pytest

from symreg.fit.solve.linear import least_gain, solve_weights


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
