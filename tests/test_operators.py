"""Every row of the table of operators, in every language that it is written in."""

import math

import numpy as np
import pytest
import sympy

from symreg.fit.programs.batch import encoded
from symreg.fit.programs.evaluation import differentiate, evaluate
from symreg.formula.simplify import tree_to_sympy
from symreg.language import Shape, Tree, parse
from symreg.language.operators import (
    CONST,
    COSTS,
    FUNCTIONS,
    INT,
    NOT_NEGATIVE,
    NOT_ZERO,
    OPERATORS,
    POSITIVE,
    PRODUCT,
    REAL,
    SUM,
    VARIABLE,
)

ROWS = list(OPERATORS.values())
every_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
EXPONENTS = -3, -1, 2, 5
# Both operands inside of every domain, then on both sides of zero.
U, V = np.array([0.31, 0.8, 1.0, 1.7, 2.6]), np.array([1.3, 0.4, 2.2, 0.9, 1.1])
SIDES = np.array([-2.3, -0.7, 0.4, 1.9])
OUTSIDE = {REAL: [], POSITIVE: [-1.5, -0.2], NOT_NEGATIVE: [-1.5, -0.2], NOT_ZERO: [0.0]}
GROWTHS = {"linear", "power", "exponential", "logarithmic", "bounded"}
NAMES = "x1", "x2"


def roots(row):
    """The operator of variables x1 and x2: one tree, or one for each exponent."""
    operands = tuple((name,) for name in NAMES[: row.arity])
    if row.name == "powi":
        return [("powi", n, *operands) for n in EXPONENTS]
    return [(row.name, *operands)]


def points(row, inside=True):
    """Operands (arity, R): inside of its domain, or wherever it is real."""
    if not inside and row.domain in (REAL, NOT_ZERO):
        return np.array([SIDES, SIDES[::-1]])[: row.arity]
    return np.array([U, V])[: row.arity]


def exact(row, root, x):
    """Values and derivatives by SymPy, shapes (R,) and (arity, R)."""
    symbols = sympy.symbols(NAMES[: row.arity])
    formula = tree_to_sympy(Tree(Shape(root)), dict(zip(NAMES, symbols, strict=False)))
    parts = [formula, *(sympy.diff(formula, symbol) for symbol in symbols)]
    found = [
        [float(part.subs(dict(zip(symbols, map(sympy.Float, at), strict=True)))) for at in x.T]
        for part in parts
    ]
    return np.array(found[0]), np.array(found[1:])


# The row itself


@every_row
def test_row_is_complete(row):
    assert OPERATORS[row.name] is row
    assert row.arity in (1, 2)
    assert row.cost >= 1
    assert COSTS[row.name] == row.cost
    assert len(row.derivatives) == row.arity
    assert row.domain in OUTSIDE
    assert row.growth in GROWTHS
    assert not row.inverse or row.inverse in OPERATORS
    assert (row.name in FUNCTIONS) == (not row.symbol)


def test_every_number_of_arrays_means_one_thing():
    numbers = [*(row.code for row in ROWS), CONST, INT, VARIABLE, PRODUCT, SUM]
    assert len(set(numbers)) == len(numbers)


@every_row
def test_values_of_arrays_and_of_numbers_are_the_same(row):
    for root in roots(row):
        x = points(row)
        extra = (root[1],) if row.name == "powi" else ()
        with np.errstate(all="ignore"):
            values = row.numpy(*x, *(np.full(x.shape[1], float(n)) for n in extra))
        expected = [row.number(*at, *map(float, extra)) for at in x.T.tolist()]
        np.testing.assert_allclose(values, expected, rtol=1e-14)
        np.testing.assert_allclose(values, exact(row, root, x)[0], rtol=1e-13)


@every_row
def test_derivatives_are_those_of_sympy(row):
    u, v, f, n = sympy.symbols("u v f n")
    operands = (u, v)[: row.arity]
    for root in roots(row):
        nested = tree_to_sympy(Tree(Shape(root)), dict(zip(NAMES, operands, strict=False)))
        power = root[1] if row.name == "powi" else 0
        for text, operand in zip(row.derivatives, operands, strict=True):
            written = sympy.sympify(text.replace("^", "**"), {"u": u, "v": v, "f": f, "n": n})
            written = written.subs({f: nested, n: power})
            difference = sympy.diff(nested, operand) - written
            for at in points(row).T:
                numbers = dict(zip(operands, map(sympy.Float, at), strict=True))
                assert float(difference.subs(numbers)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("row", [row for row in ROWS if row.inverse], ids=lambda row: row.name)
def test_inverse_undoes_it(row):
    u, *rest = points(row)
    with np.errstate(all="ignore"):
        undone = OPERATORS[row.inverse].numpy(row.numpy(u, *rest), *rest)
    np.testing.assert_allclose(undone, u, rtol=1e-13)
    assert OPERATORS[row.inverse].inverse == row.name


@every_row
def test_growth_is_what_the_row_says(row):
    def steepness(u):
        """The power of u that it grows like near u, the other operand as it is."""
        rest = [0.7] * (row.arity - 1) + [3.0] * (row.name == "powi")
        return math.log2(abs(row.number(2 * u, *rest) / row.number(u, *rest)))

    here, far = steepness(10.0), steepness(150.0)
    assert {
        "linear": far == pytest.approx(1, abs=0.02),
        "power": far == pytest.approx(here, abs=0.02),
        "exponential": far > 10 * here,
        "logarithmic": 0 < far < 0.7 * here,
        "bounded": abs(far) < 0.02,
    }[row.growth]


# Compiled


@every_row
@pytest.mark.parametrize("inside", [True, False], ids=["inside", "both sides of zero"])
def test_compiled_values_and_derivatives_are_those_of_numpy_and_sympy(row, inside):
    x = points(row, inside)
    for root in roots(row):
        tree = Tree(Shape(root))
        value, slopes = differentiate(*encoded(tree.shape), np.empty(0), x, False)
        by_sympy, slopes_by_sympy = exact(row, root, x)
        np.testing.assert_allclose(value, tree.evaluate(dict(zip(NAMES, x, strict=False))), 1e-13)
        np.testing.assert_allclose(value, by_sympy, rtol=1e-13)
        np.testing.assert_allclose(slopes, slopes_by_sympy, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(
            evaluate(*encoded(tree.shape), np.empty(0), x), value, rtol=1e-14
        )


@every_row
def test_compiled_derivatives_by_constants_are_those_by_operands(row):
    x = points(row)
    for root in roots(row):
        shape = Shape((*root[: len(root) - row.arity], *(("const", k) for k in range(row.arity))))
        for at in x.T:
            one = np.zeros((1, 1))
            value, slopes = differentiate(*encoded(shape), np.ascontiguousarray(at), one, True)
            expected = exact(row, root, at[:, None])
            np.testing.assert_allclose(value, expected[0], rtol=1e-13)
            np.testing.assert_allclose(slopes, expected[1], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("row", [row for row in ROWS if OUTSIDE[row.domain]], ids=lambda r: r.name)
def test_outside_of_its_domain_it_is_no_number(row):
    for outside in OUTSIDE[row.domain]:
        x = np.array([[outside, U[0]], [outside, U[0]]])[: row.arity]
        for root in roots(row):
            tree = Tree(Shape(root))
            by_numpy = tree.evaluate(dict(zip(NAMES, x, strict=False)))
            value, slopes = differentiate(*encoded(tree.shape), np.empty(0), x, False)
            assert np.isfinite([value[1], *slopes[:, 1]]).all()
            for found in (value, evaluate(*encoded(tree.shape), np.empty(0), x), by_numpy):
                assert not np.isfinite(found[0])
                # Only a pole has a sign.
                assert np.isnan(found[0]) or row.domain == NOT_ZERO
        with pytest.raises((ArithmeticError, ValueError)):
            # A power of a negative number is real where the exponent is an integer.
            row.number(*[outside] * row.arity)


KNOWN = {row.code for row in ROWS} | {CONST, INT, VARIABLE}


@pytest.mark.parametrize("code", [*sorted(set(range(-1, 25)) - KNOWN), 99, 255])
def test_unknown_number_is_no_number_and_never_another_function(code):
    x = np.array([[0.7, 1.3], [0.5, 0.9]])
    for nodes, args in (([code, VARIABLE], [0, 0]), ([code, VARIABLE, VARIABLE], [0, 0, 1])):
        arrays = np.array(nodes), np.array(args), np.empty(0)
        assert np.isnan(evaluate(*arrays, x)).all()
        value, slopes = differentiate(*arrays, x, False)
        assert np.isnan(value).all()
        assert np.isnan(slopes[0]).all()
    one = np.array([code, CONST]), np.array([0, 0]), np.array([1.5])
    assert np.isnan(differentiate(*one, x, True)[1]).all()
    add = OPERATORS["add"].code
    inside = np.array([add, VARIABLE, code, VARIABLE]), np.array([0, 0, 0, 1]), np.empty(0)
    assert np.isnan(differentiate(*inside, x, False)[0]).all()


# Text


@every_row
def test_text_is_read_back(row):
    for root in roots(row):
        for nested in (root, (*root[:-1], ("add", ("x1",), ("int", 3))), ("mul", root, root)):
            tree = Tree(Shape(nested))
            assert parse(str(tree), variable=NAMES) == tree
        constants = (*root[: len(root) - row.arity], *(("const", k) for k in range(row.arity)))
        tree = Tree(Shape(constants), (1.25, -0.5)[: row.arity])
        again = parse(str(tree), variable=NAMES)
        x = {"x1": U, "x2": V}
        np.testing.assert_array_equal(again.evaluate(x), tree.evaluate(x))
