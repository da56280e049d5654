import math

import numpy as np
import pytest

from symreg.language import parse
from symreg.language.canonical import nested, terms_of, tree_of


def canonical(text):
    return tree_of(nested(parse(text, {"a": 2.5, "b": 0.5}))).text()


def terms(text):
    return [tree_of(term).text() for term in terms_of(nested(parse(text)))]


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2.0*(3.0*x)", "6.0*x"),
        ("2.0*x*3.0", "6.0*x"),
        ("1.5 + 2*3", "7.5"),
        ("exp(0.0) - sqrt(4.0)", "-1.0"),
        ("x*x*x", "x^3"),
        ("x^2*x^-5", "x^-3"),
        ("x/x^3", "x^-2"),
        ("x^3/x^3", "1"),
        ("1/(1/x)", "x"),
        ("(x^2)^3", "x^6"),
        ("(x^-1)^-1", "x"),
        ("x^0", "1"),
        ("(x + 1.0)^2*(x + 1.0)^-5", "(x + 1.0)^-3"),
        ("(x^2.5)^2", "x^5.0"),
        ("(x^2)^1.5", "x^3.0"),
        ("(x^1.5)^2.0", "x^3.0"),
        ("exp(2.0*x)^3", "exp(6.0*x)"),
        ("exp(x)^1.5", "exp(1.5*x)"),
        ("exp(x)*exp(x^2)", "exp(x + x^2)"),
        ("x/exp(x)", "x*exp(-1.0*x)"),
        ("log(exp(x + 2.0))", "x + 2.0"),
        ("exp(log(x))", "x"),
        ("exp(0.5*log(x))^2", "x"),
        ("-x", "-1.0*x"),
        ("x - 2.5", "x - 2.5"),
        ("x + x", "2*x"),
        ("x - x", "0.0"),
        ("x/4.0", "0.25*x"),
        ("a*x + b*x", "2.5*x + 0.5*x"),
        ("log(x)/log(x)", "1"),
    ],
)
def test_equal_functions_get_one_form(text, same):
    assert canonical(text) == same
    assert canonical(same) == same


def test_constants_that_leave_their_domain_fold_to_nan():
    for text in ("log(-1.0)", "sqrt(-2.0)", "1/0.0", "(-2.0)^0.5", "exp(1000.0)"):
        kind, value = nested(parse(text))
        assert kind == "const"
        assert math.isnan(value)
    assert terms("x + log(-1.0)") == ["x"]


def test_integer_powers_stay_within_what_text_can_hold():
    assert canonical("(x^8)^8") == "x^64"
    for text in ("x^40*x^40", "(x^40)^2", "1/x^40/x^40"):
        tree = tree_of(nested(parse(text)))
        np.testing.assert_allclose(tree(np.array([1.1])), parse(text)(np.array([1.1])))
        assert parse(str(tree)) == tree


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("x^-12 - 2*x^-6", ["x^-12", "x^-6"]),
        ("4.0*x - 2.0", ["1", "x"]),
        ("0.0 + x", ["x"]),
        ("3.0*(x^-2 - 5*exp(-1.5*x))", ["x^-2", "exp(-1.5*x)"]),
        ("exp(2.0 + 3.0*x)", ["exp(3.0*x)"]),
        ("exp(2.0 - 3.0*x)", ["exp(-3.0*x)"]),
        ("(2.0*x + 0.0*x)*x^2", ["(2.0*x + 0.0*x)*x^2"]),
        ("(5.0*x)^-6", ["x^-6"]),
        ("(5.0*x)^-6.5", ["x^-6.5"]),
        ("sqrt(5.0*log(x))", ["sqrt(log(x))"]),
        ("3.0*exp(x)/(2.0*log(x))", ["exp(x)/log(x)"]),
        ("3.0/(x + 1.5)", ["(x + 1.5)^-1"]),
        ("(2.0*log(x))*exp(1.0 + x^2)", ["log(x)*exp(x^2)"]),
    ],
)
def test_terms_leave_factors_to_the_linear_weights(text, parts):
    assert terms(text) == parts


@pytest.mark.parametrize("text", ["(2.0*x)^(3.0*x)", "(2.0*x)^x", "sqrt(-5.0*x)", "(-5.0*x)^-6.5"])
def test_factors_that_are_no_linear_weight_stay(text):
    (term,) = terms(text)
    assert parse(term).shape == tree_of(nested(parse(text))).shape


def test_shared_name_becomes_independent_constants():
    tree = tree_of(nested(parse("exp(-2*a*x) + exp(-a*x)", {"a": 3.0})))
    assert tree.constants == (-6.0, -3.0)
