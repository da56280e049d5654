import numpy as np
import pytest

from symreg.fit.grid import chebyshev_coefficients
from symreg.fit.programs.batch import encoded
from symreg.fit.programs.evaluation import registers
from symreg.fit.projected.fitter import Fitter
from symreg.fit.projected.tensor import (
    INPUTS,
    factors,
    fill_values,
    is_separable,
    of_key,
    tensor_tail,
    triplet_columns,
)
from symreg.language import parse
from symreg.language.text import TRIPLET

START = {"a": 2.1, "b": 0.4, "n": -2.3}
SEPARABLE = {
    "exp(-a*(x1 - 1))*exp(-a*(x2 - 1))*(c + b)^2": "exp(-a*(x1 + x2 - 2))*(c + b)^2",
    "x1^-3*x2^-3*exp(b*c)": "(x1*x2)^-3*exp(b*c)",
    "x1^n*x2^n*(1 - c)^3": "(x1*x2)^n*(1 - c)^3",
    "(x1 - a)*(x2 - a)*c": "x1*x2*c - a*(x1 + x2)*c + a*a*c",
    "1*1*(c + b)": "c + b",
    "log(x1)*log(x2)*1": "log(x1)*log(x2)",
}
LEANING = "exp(-a*x1)*(x2 + b*c)", "x1^n", "sqrt(x1^2 + x2^2 - 1.9*x1*x2*c)", "a*x2*c^2 - b*x1"


@pytest.fixture(scope="module")
def tensor(silicon_design):
    return Fitter(silicon_design).grid.tensors


def tree_of(text):
    return parse(text, START, TRIPLET)


def arrays(tree):
    return *encoded(tree.shape), np.array(tree.constants)


def column(text, tensor, **changes):
    tree = parse(text, {**START, **changes}, TRIPLET)
    found, slopes = triplet_columns(*arrays(tree), tensor, 0)
    return found, dict(zip(tree.names, slopes, strict=True))


def filled(tree, tensor):
    code, arg, constants = arrays(tree)
    # Rows that the points do not fill: what is left of the ones before must not count.
    scratch = registers(INPUTS + constants.size + code.size, constants.size, 19)
    found = factors(tensor, scratch)
    fill_values(code, arg, constants, of_key.py_func(tensor, 0), found)
    return code, found


def tail(text, tensor, length=2):
    code, found = filled(tree_of(text), tensor)
    return tensor_tail(code, of_key.py_func(tensor, 0), found, length)


# Values and columns


@pytest.mark.parametrize("text", [*SEPARABLE, *SEPARABLE.values(), *LEANING])
def test_values_are_those_of_numpy(tensor, text):
    tree = tree_of(text)
    code, found = filled(tree, tensor)
    assert is_separable(code) == (tree.factors is not None) == (text in SEPARABLE)
    expected = tree(*tensor.points.T)
    np.testing.assert_allclose(found.values, expected, atol=1e-13 * np.abs(expected).max())


@pytest.mark.parametrize("text", [*SEPARABLE, *LEANING])
def test_column_is_the_product_of_the_matrix_and_the_values(tensor, text):
    angular, rows = tensor.c.size, tensor.matrix.shape[1]
    matrix = tensor.matrix.reshape(angular, -1, rows).transpose(1, 0, 2).reshape(-1, rows)
    assert len(matrix) == tensor.points.shape[0] == 78 * angular
    expected = tree_of(text)(*tensor.points.T) @ matrix
    found, _ = column(text, tensor)
    np.testing.assert_allclose(found, expected, atol=1e-11 * np.abs(expected).max())


@pytest.mark.parametrize("text", SEPARABLE)
def test_separable_functions_may_be_written_as_general_ones(tensor, text):
    found, slopes = column(text, tensor)
    expected, expected_slopes = column(SEPARABLE[text], tensor)
    np.testing.assert_allclose(found, expected, atol=1e-11 * np.abs(expected).max())
    assert set(slopes) == set(expected_slopes)
    for name, slope in slopes.items():
        same = expected_slopes[name]
        np.testing.assert_allclose(slope, same, atol=1e-11 * np.abs(same).max())


@pytest.mark.parametrize("text", [*SEPARABLE, *LEANING])
def test_derivatives_by_constants_are_finite_differences(tensor, text):
    _, slopes = column(text, tensor)
    for name, slope in slopes.items():
        step = 1e-5
        if not name:
            continue
        up, down = (column(text, tensor, **{name: START[name] + s * step})[0] for s in (1, -1))
        numeric = (up - down) / (2 * step)
        np.testing.assert_allclose(slope, numeric, atol=1e-7 * np.abs(numeric).max())
        assert np.abs(numeric).max() > 0


@pytest.mark.parametrize("text", LEANING)
def test_names_of_the_neighbours_may_be_swapped(tensor, text):
    swapped = text.replace("x1", "y").replace("x2", "x1").replace("y", "x2")
    found, expected = column(text, tensor)[0], column(swapped, tensor)[0]
    np.testing.assert_allclose(found, expected, atol=1e-12 * np.abs(expected).max())


def test_functions_outside_their_domain_are_not_numbers(tensor):
    for text in ("log(x1 - 1.0)*log(x2 - 1.0)*c", "x1*x2*log(c)", "log(x1 - x2)"):
        assert np.isnan(column(text, tensor)[0]).any()
    assert not np.isfinite(column("exp(800.0*x1)*exp(800.0*x2)*c", tensor)[0]).all()


# Tails


def tail_by_numpy(tree, tensor, length):
    x, c = tensor.x[0, 0], tensor.c
    if tree.factors is not None:
        radial, _, angular = tree.factors
        grids = [(radial(x), chebyshev_coefficients(x.size))]
        grids += [(angular(c), chebyshev_coefficients(c.size))]
        sizes = [np.abs(matrix @ values) for values, matrix in grids]
        return max(size[-length:].max() / size.max() for size in sizes)
    values = tree(*np.meshgrid(x, x, c, indexing="ij"))
    by_distance = np.abs(np.einsum("ka,abc->kbc", chebyshev_coefficients(x.size), values))
    by_cosine = np.abs(values @ chebyshev_coefficients(c.size).T)
    last = max(by_distance[-length:].max(), by_cosine[..., -length:].max())
    return last / max(by_distance.max(), by_cosine.max())


@pytest.mark.parametrize("text", [*SEPARABLE, *LEANING, "x1*x2/c", "1/(x1*x2*c + 2)"])
@pytest.mark.parametrize("length", [1, 3])
def test_tail_is_that_of_numpy(tensor, text, length):
    expected = tail_by_numpy(tree_of(text), tensor, length)
    assert tail(text, tensor, length) == pytest.approx(expected, rel=1e-6, abs=1e-14)


@pytest.mark.parametrize(
    "text", ["(c + 1/3)^2*exp(-3.5*(x1 + x2))", "x1^-1*x2^-1*(c + 1/3)^2", "exp(-x1)*exp(-x2)*c"]
)
def test_smooth_functions_have_no_tail(tensor, text):
    assert tail(text, tensor) < 1e-5


POLES = "1/{}", "exp(-200*({} - 0.1)^2)", "sqrt(({} - 0.15)^2)", "1/(({} - 0.1)^2 + 1e-4)"


@pytest.mark.parametrize("pole", POLES)
def test_tail_shows_what_the_cosines_cannot_follow(tensor, pole):
    wild = pole.format("c")
    for text in (f"x1^-2*x2^-2*({wild})", f"x1 + x2 + {wild}", f"exp(-x1 - x2)*({wild})"):
        _, found = filled(tree_of(text), tensor)
        assert np.isfinite(found.values).all()  # the nodes alone tell nothing
        assert tail(text, tensor) > 1e-3


@pytest.mark.parametrize("pole", POLES)
def test_tail_shows_what_the_distances_cannot_follow(tensor, pole):
    one, two = (pole.format(f"({x} - 1.1)") for x in ("x1", "x2"))
    for text in (f"({one})*({two})*(c + 1/3)^2", f"c + {one}", f"({one})*x2*c"):
        _, found = filled(tree_of(text), tensor)
        assert np.isfinite(found.values).all()
        assert tail(text, tensor) > 1e-3


def test_function_that_is_zero_has_the_worst_tail(tensor):
    for text in ("0*0*c", "x1 - x1"):
        assert not tail(text, tensor) <= 1e300


def test_tree_of_one_product_is_separable():
    assert is_separable(arrays(tree_of("x1*x2*c"))[0])
    assert not is_separable(arrays(tree_of("x1 + x2"))[0])
    assert not is_separable(np.empty(0, dtype=np.int64))
