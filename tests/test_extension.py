import math

import numpy as np
import pytest
from coded import over_pairs

from symreg.language.canonical import n_constants, nested, tree_of
from symreg.language.tree import operands
from symreg.searching.randomness import random
from symreg.searching.variation.extension import extend
from symreg.terms import Key

X = np.linspace(0.9, 1.6, 9)
PAIR, TRIPLET, SUMS = Key.of("Cu", "Cu"), Key.of("Cu", "Cu", "Cu"), Key.of("Cu")
ROOT = ("sqrt", over_pairs(("exp", ("mul", ("const", -3.0), ("x",)))))
ANGLE = nested(TRIPLET.parse("x1^-4*x2^-4*(c + 0.3)^2"))


def extended(tree, key, count=300):
    with random.seeded(np.random.default_rng(0)):
        return [extend(tree, key) for _ in range(count)]


@pytest.mark.parametrize("text", ["x^-6", "exp(-3.0*x)", "x^-1*exp(-2.0*x)", "(x + 0.5)^-3"])
def test_a_child_has_one_constant_more_and_is_near_its_parent(text):
    tree = nested(PAIR.parse(text))
    children = extended(tree, PAIR)
    assert {n_constants(child) - n_constants(tree) for child in children} <= {0, 1, 2}
    grown = [child for child in children if n_constants(child) > n_constants(tree)]
    assert len(grown) > 100
    off = []
    for child in grown:
        parent, values = tree_of(tree)(X), tree_of(child)(X)
        shape = np.column_stack([parent, np.ones(9)])  # weights and a constant are fitted
        best = shape @ np.linalg.lstsq(shape, values, rcond=None)[0]
        off.append(np.abs(values - best).max() / np.ptp(values))
    assert np.median(off) < 0.05


def test_powers_are_softened_freed_faded_and_shifted():
    texts = {
        str(tree_of(child).with_constants([9.0] * n_constants(child)))
        for child in extended(nested(PAIR.parse("x^-6")), PAIR, 1000)
    }
    assert texts >= {
        "(9.0 + x^6)^-1",
        "(9.0 + x^2)^-3",
        "(9.0 + x)^-6",
        "x^9.0",
        "x^-6*exp(9.0*x)",
        "x^-6*x^9.0",
    }


def test_exponentials_bend():
    bent = ("exp", ("add", ("mul", ("const", -3.0), ("x",)), "bend"))
    children = extended(nested(PAIR.parse("exp(-3.0*x)")), PAIR)
    found = [c for c in children if c[0] == "exp" and c[1][:2] == bent[1][:2]]
    assert any(c[1][2][0] == "mul" and c[1][2][2] == ("powi", 2, ("x",)) for c in found)


def test_sums_and_what_they_sum_are_extended():
    children = extended(ROOT, SUMS)
    assert any(child[0] == "sqrt" and child[1][0] == "add" for child in children)
    assert any(child[0] == "sqrt" and child[1][0] == "sum" for child in children)
    with_distance = [c for c in children if "x" in str(c)]
    assert all(_x_only_below_sums(child) for child in with_distance)


def _x_only_below_sums(tree):
    if tree[0] == "sum":
        return True
    return tree != ("x",) and all(map(_x_only_below_sums, operands(tree)))


def test_angular_functions_stay_functions_of_the_cosine():
    for child in extended(ANGLE, TRIPLET):
        assert child[0] == "product"
        assert "'x'" not in str(child[2])
        assert "'c'" not in str(child[1])


def test_where_there_is_no_function_nothing_is_extended():
    assert extend(("int", 1), PAIR) == ("int", 1)


def test_constants_begin_small():
    children = extended(("x",), PAIR, 400)
    shifts = [abs(child[1][1]) for child in children if child[0] == "add"]
    assert 0.03 < math.exp(np.mean(np.log(shifts))) < 0.08
