import numpy as np
import pytest
from hypothesis import strategies as st

from symreg.language.canonical import tree_of
from symreg.language.tree import check_integers

X = st.just(("x",))
# One decimal and no zero: rounding errors stay small enough to tell them from wrong ones.
CONSTANTS = st.integers(1, 40).flatmap(lambda n: st.sampled_from([n / 10, -n / 10]))
INTEGERS = st.integers(-4, 4).filter(bool)
EXPONENTS = st.integers(-6, 6)
BINARY = st.sampled_from(["add", "sub", "mul", "div"])
UNARY = st.sampled_from(["neg", "exp", "log", "sqrt", "tanh"])


def nested_trees(constants, integers, exponents):
    """Trees as nested tuples, up to some dozen nodes."""
    leaves = st.one_of(
        X, X, st.tuples(st.just("const"), constants), st.tuples(st.just("int"), integers)
    )
    return st.recursive(
        leaves,
        lambda parts: st.one_of(
            st.tuples(BINARY, parts, parts),
            st.tuples(UNARY, parts),
            # Text knows no real power with an integer literal: that is an integer power.
            st.tuples(st.just("pow"), parts, parts.filter(lambda u: u[0] != "int")),
            st.tuples(st.just("powi"), exponents, parts),
        ),
        max_leaves=8,
    )


def is_readable(tree):
    """Whether powers of integers stay below 1.8e308."""
    try:
        check_integers(tree)
    except ValueError:
        return False
    return True


@pytest.fixture(scope="session")
def trees():
    """Random trees with numbers that a formula of physics could hold."""
    return nested_trees(CONSTANTS, INTEGERS, EXPONENTS).map(tree_of).filter(is_readable)


@pytest.fixture(scope="session")
def any_trees():
    """Random trees with any numbers that text can hold."""
    constants = st.floats(allow_nan=False, allow_infinity=False)
    integers = st.integers(1 - 10**15, 10**15 - 1)
    return nested_trees(constants, integers, st.integers(-64, 64)).map(tree_of).filter(is_readable)


@pytest.fixture(scope="session")
def close():
    """Assert that predictions are equal but for rounding; NaN stresses are equal."""

    def check(one, two):
        for name in ("energy", "forces", "stress"):
            expected = getattr(two, name)
            scale = 1 + np.abs(expected[np.isfinite(expected)]).max(initial=0)
            np.testing.assert_allclose(getattr(one, name), expected, rtol=0, atol=1e-10 * scale)

    return check
