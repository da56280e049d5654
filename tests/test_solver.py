import math

import numpy as np
import pytest
from scipy.optimize import least_squares

from symreg.fit.programs.batch import pack
from symreg.fit.projected.fitter import POLISH, Fitter
from symreg.fit.projected.judging import FITTED
from symreg.fit.solve.linear import covariance
from symreg.fit.solve.solver import Columns, solve
from symreg.terms import Expression, Term

X = np.linspace(0.0, 3.0, 40)
NOISE = 0.01 * np.random.default_rng(0).normal(size=X.size)
TARGET = 2.0 * np.exp(-0.7 * X) - 0.5 * np.cos(2.3 * X) + 0.3 + NOISE
START = np.array([1.2, 2.0])


def columns_at(c):
    """A decay, an oscillation and one, shape (3, P)."""
    return np.array([np.exp(-c[0] * X), np.cos(c[1] * X), np.ones_like(X)])


def mixture(c, with_slopes=True):
    """The problem; slopes only where they may be asked for."""
    columns = columns_at(c)

    def slopes(weights):
        assert with_slopes
        return np.array([-weights[0] * X * columns[0], -weights[1] * X * np.sin(c[1] * X)])

    return Columns(columns, slopes, TARGET)


def by_scipy(bounds=(-np.inf, np.inf)):
    """Weights and constants by another program, and one that knows nothing of weights."""

    def gap(numbers):
        return numbers[:3] @ columns_at(numbers[3:]) - TARGET

    precise = {"xtol": 1e-15, "ftol": 1e-15, "gtol": 1e-15, "max_nfev": 2000}
    return least_squares(gap, [1.0, 1.0, 1.0, *np.clip(START, *bounds[-2:])], **precise)


def best_loss(c):
    weights = np.linalg.lstsq(columns_at(c).T, TARGET, rcond=None)[0]
    return 0.5 * float(np.sum((TARGET - weights @ columns_at(c)) ** 2))


def test_weights_and_constants_are_those_of_scipy():
    found, expected = solve(mixture, START), by_scipy()
    assert found.loss == pytest.approx(expected.cost, rel=1e-10)
    np.testing.assert_allclose([*found.weights, *found.constants], expected.x, rtol=1e-5)
    residual = TARGET - found.weights @ columns_at(found.constants)
    np.testing.assert_allclose(found.residual, residual, atol=1e-12)
    assert not found.is_dependent
    assert found.spare == -1


def test_what_nothing_can_reach_is_part_of_the_loss():
    plain, more = solve(mixture, START), solve(mixture, START, rest=0.4)
    assert more.loss == pytest.approx(plain.loss + 0.2, rel=1e-12)
    np.testing.assert_allclose(more.constants, plain.constants, rtol=1e-4)


def test_no_step_leaves_constants_where_they_start():
    found = solve(mixture, START, max_steps=0)
    np.testing.assert_array_equal(found.constants, START)
    assert found.loss == pytest.approx(best_loss(START), rel=1e-12)


def test_each_step_lowers_the_loss():
    losses = [solve(mixture, START, max_steps=steps).loss for steps in range(6)]
    assert (np.diff(losses) <= 0).all()
    assert losses[-1] < 0.1 * losses[0]


# Bounds


@pytest.mark.parametrize(
    ("low", "high"),
    [([0.9, -9.0], [9.0, 9.0]), ([-9.0, -9.0], [9.0, 2.1]), ([0.9, 1.0], [2.0, 2.1])],
)
def test_bounds_are_kept_and_the_rest_is_best_there(low, high):
    bounds = np.array([low, high])
    found = solve(mixture, START, bounds=bounds)
    assert (found.constants >= low).all()
    assert (found.constants <= high).all()
    at_bound = (found.constants == low) | (found.constants == high)
    assert at_bound.any()  # the lowest loss of all is outside
    for k in np.flatnonzero(~at_bound):
        for step in (-1e-3, 1e-3):
            assert best_loss(found.constants + step * np.eye(2)[k]) > found.loss


def test_start_outside_of_the_bounds_is_moved_to_them_first():
    bounds = np.array([[0.0, 1.5], [3.0, 3.0]])
    tried = []

    def watched(c, with_slopes):
        tried.append(c.copy())
        return mixture(c, with_slopes)

    found = solve(watched, np.array([-50.0, 80.0]), bounds=bounds, max_steps=0)
    np.testing.assert_array_equal(tried, [[0.0, 3.0]])
    np.testing.assert_array_equal(found.constants, [0.0, 3.0])
    assert found.loss == pytest.approx(best_loss(found.constants), rel=1e-9)


# Columns that say nothing, or nothing that is a number


def test_dependent_column_gets_no_weight_and_is_reported():
    def doubled(c, with_slopes):
        columns, slopes, target = mixture(c, with_slopes)
        return Columns(np.vstack([columns, -3.0 * columns[:2].sum(axis=0)]), slopes, target)

    found, once = solve(doubled, START), solve(mixture, START)
    assert found.is_dependent
    assert found.weights[3] == 0
    assert found.loss == pytest.approx(once.loss, rel=1e-9)
    np.testing.assert_allclose(found.weights[:3], once.weights, rtol=1e-5)


def test_column_that_hardly_lowers_the_loss_is_spare():
    rough = np.random.default_rng(1).normal(size=X.size)

    def with_spare(c, with_slopes):
        columns, slopes, target = mixture(c, with_slopes)
        left = np.linalg.lstsq(columns.T, rough, rcond=None)[0] @ columns
        gap = target - np.linalg.lstsq(columns.T, target, rcond=None)[0] @ columns
        useless = rough - left
        useless -= gap * (useless @ gap) / (gap @ gap)
        return Columns(np.vstack([useless, columns]), lambda w: slopes(w[1:]), target)

    assert solve(with_spare, START).spare == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_columns_that_are_not_finite_have_no_loss(bad):
    def broken(c, with_slopes):
        columns, slopes, target = mixture(c, with_slopes)
        columns[1, 7] = bad
        return Columns(columns, slopes, target)

    found = solve(broken, START)
    assert found.loss == math.inf
    np.testing.assert_array_equal(found.constants, START)
    np.testing.assert_array_equal(found.weights, 0)


def test_trials_that_are_not_finite_are_rejected():
    def walled(c, with_slopes):
        columns, slopes, target = mixture(c, with_slopes)
        return Columns(columns if c[0] > 0.9 else np.full_like(columns, np.nan), slopes, target)

    found = solve(walled, START)
    assert found.constants[0] > 0.9
    assert found.loss < best_loss(START)


def test_hopeless_fit_is_given_up():
    asked = []

    def hopeless(steps, loss):
        asked.append((steps, loss))
        return steps == 2

    found = solve(mixture, START, give_up=hopeless)
    assert found.loss == math.inf
    assert [steps for steps, _ in asked] == [0, 1, 2]
    losses = [loss for _, loss in asked]
    assert losses[0] == pytest.approx(best_loss(START), rel=1e-12)
    assert losses == sorted(losses, reverse=True)
    assert solve(mixture, START, give_up=lambda *_: False).loss == solve(mixture, START).loss


def test_problem_without_constants_or_columns_is_solved():
    columns = columns_at(START)
    found = solve(lambda *_: Columns(columns, None, TARGET), np.empty(0))
    expected = np.linalg.lstsq(columns.T, TARGET, rcond=None)[0]
    np.testing.assert_allclose(found.weights, expected, rtol=1e-10)
    nothing = solve(lambda *_: Columns(np.empty((0, X.size)), None, TARGET), np.empty(0))
    assert nothing.loss == pytest.approx(0.5 * TARGET @ TARGET)


# Covariance


def test_covariance_of_a_linear_problem_is_that_of_numpy():
    design = columns_at(START).T * [1.0, 1e6, 1e-6]
    weights, (squares,), _, _ = np.linalg.lstsq(design, TARGET, rcond=None)
    freedom = X.size - weights.size
    expected = squares / freedom * np.linalg.inv(design.T @ design)
    found = covariance(design, 0.5 * squares, freedom)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_array_equal(found, found.T)


def test_covariance_of_a_line_is_that_of_polyfit():
    design = np.array([X, np.ones_like(X)]).T
    (slope, shift), expected = np.polyfit(X, TARGET, 1, cov=True)
    gap = TARGET - slope * X - shift
    found = covariance(design, 0.5 * float(gap @ gap), X.size - 2)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("fault", ["dependent", "not finite", "no labels left"])
def test_numbers_that_are_not_determined_have_no_covariance(fault):
    design, freedom = columns_at(START).T, X.size - 3
    if fault == "dependent":
        design = np.hstack([design, design[:, :1]])
    elif fault == "not finite":
        design[3, 1] = np.inf
    else:
        freedom = 0
    assert np.isnan(covariance(design, 1.0, freedom)).all()


# Both users


@pytest.mark.parametrize(
    "texts",
    [
        ("x^-11.0", "x^-6.5"),
        ("exp(-9.0*x)", "x^-6.2", "1"),
        ("exp(-2*a*(x - b)) - 2*exp(-a*(x - b))",),
        ("x^-12", "x^-6"),
    ],
)
def test_compiled_and_python_driven_fits_agree(argon_design, texts):
    fitter = Fitter(argon_design)
    (key,) = argon_design.keys
    terms = [Term.at(key, key.parse(text, {"a": 6.0, "b": 1.1})) for text in texts]
    fits = fitter.fit(pack([terms], argon_design.keys), POLISH)
    assert fits.outcomes[0] == FITTED
    counts = [len(term.constants) for term in terms]

    def evaluate(constants, _):
        moved, rest = [], list(constants)
        for term, count in zip(terms, counts, strict=True):
            moved.append(term.with_constants(rest[:count]))
            rest = rest[count:]
        n = len(terms)
        both = fitter.columns(Expression(tuple(moved), (1.0,) * n)).T
        factor = np.repeat(np.arange(n), counts)
        return Columns(both[:n], lambda w: both[n:] * w[factor, None], fitter.problem.target)

    start = np.array([c for term in terms for c in term.constants])
    found = solve(
        evaluate, start, fitter.problem.rest, max_steps=POLISH.max_steps, tolerance=POLISH.tolerance
    )
    assert fits.losses[0] == pytest.approx(found.loss, rel=1e-9)
    # Near a minimum of the loss constants are certain to the root of what the loss is.
    np.testing.assert_allclose(fits.weights, found.weights, rtol=1e-7)
    np.testing.assert_allclose(fits.batch.constants, found.constants, rtol=1e-7)
    assert fits.spares[0] == found.spare


def test_candidate_outside_of_its_domain_keeps_its_constants(argon_design):
    (key,) = argon_design.keys
    fine, broken = (Term.at(key, key.parse(t)) for t in ("x^-11.5", "log(x - 9.5)*x^-3.25"))
    fits = Fitter(argon_design).fit(pack([[fine], [broken]], argon_design.keys))
    assert fits.losses[1] == math.inf
    assert fits.batch.constants[1:].tolist() == [9.5, -3.25]
