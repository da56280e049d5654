import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from symreg.lammps.lepton import tree_to_lepton
from symreg.language import parse

numbers = st.floats(-1e3, 1e3, allow_subnormal=False).map(lambda c: f"({float(c)!r})")
leaves = st.one_of(st.just("x"), st.integers(0, 20).map(str), numbers)


def grow(parts):
    binary = st.builds("({}{}{})".format, parts, st.sampled_from("+-*/^"), parts)
    unary = st.builds("{}({})".format, st.sampled_from(["-", "exp", "log", "sqrt", "tanh"]), parts)
    power = st.builds("({})^{}".format, parts, st.integers(-12, 12))
    return st.one_of(binary, unary, power)


@given(text=st.recursive(leaves, grow, max_leaves=10))
def test_lepton_text_says_the_same_as_the_tree(text):
    # Lepton's grammar, as far as it is used, is a part of symreg's own.
    tree, x = parse(text), np.linspace(0.7, 2.2, 20)
    with np.errstate(all="ignore"):
        again = parse(tree_to_lepton(tree))(x)
    np.testing.assert_allclose(again, tree(x), rtol=1e-9)
