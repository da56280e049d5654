import numpy as np
import sympy
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from symreg.fit.programs.batch import encoded
from symreg.fit.programs.evaluation import differentiate, evaluate
from symreg.formula.simplify import tree_to_sympy

X = np.linspace(0.5511, 2.4523, 40)
data = st.data()


def run(tree, x=X):
    """Values and slopes, and values by the program that makes no slopes, shape (R,)."""
    arguments = *encoded(tree.shape), np.array(tree.constants), x[None, :]
    value, slopes = differentiate(*arguments, False)
    return value, slopes[0], evaluate(*arguments)


def constant_slopes(tree, x=X):
    """Derivatives by the constants, shape (K, R)."""
    code, arg = encoded(tree.shape)
    return differentiate(code, arg, np.array(tree.constants), x[None, :], True)[1]


def by_sympy(tree, x=X):
    """Slope and derivatives by the constants, shape (1 + K, R); None where SymPy sees a pole."""
    # Symbols that SymPy knows nothing about: it must not simplify on grounds that rounding lacks.
    variable = sympy.Symbol("x")
    symbols = [sympy.Symbol(f"c{k}") for k in range(len(tree.constants))]
    try:
        formula = tree_to_sympy(tree, variable, symbols)
    except ValueError:
        return None
    arguments = [variable, *symbols]
    slopes = [sympy.diff(formula, symbol) for symbol in arguments]
    function = sympy.lambdify(arguments, slopes, modules="numpy", cse=True)
    with np.errstate(all="ignore"):
        found = function(x, *np.array(tree.constants))  # whose division by zero is no error
    return np.array([np.broadcast_to(slope, x.shape) for slope in found])


def parts(tree, x=X):
    """Values of every part of a tree, shape (nodes, R)."""
    return np.array([tree.part(node)(x) for node in tree.shape.nodes()])


def tame(tree, x=X):
    """Where every part is neither huge nor tiny, so that rounding errors stay small."""
    size = np.abs(parts(tree, x))
    return ((size > 1e-2) & (size < 1e3)).all(axis=0)


@settings(max_examples=300)
@given(data)
def test_programs_give_the_values_of_numpy(trees, data):
    tree = data.draw(trees)
    value, _, alone = run(tree)
    chosen = tame(tree)
    np.testing.assert_allclose(value[chosen], tree(X)[chosen], rtol=1e-9)
    np.testing.assert_allclose(alone[chosen], tree(X)[chosen], rtol=1e-9)


@settings(max_examples=300)
@given(data)
def test_programs_tell_where_a_tree_leaves_its_domain(trees, data):
    tree = data.draw(trees)
    value, _, alone = run(tree)
    outside = np.isnan(tree(X))
    assert not np.isfinite(value[outside]).any()
    assert not np.isfinite(alone[outside]).any()


@settings(max_examples=60)
@given(data)
def test_slopes_are_those_of_sympy(trees, data):
    tree = data.draw(trees.filter(lambda tree: tree.constants))
    chosen = tame(tree)
    expected = by_sympy(tree)
    assume(chosen.any() and expected is not None)
    expected = expected[:, chosen]
    found = np.array([run(tree)[1], *constant_slopes(tree)])[:, chosen]
    # Each is a sum of products of parts; it may cancel down from the largest of them.
    scale = 1e-9 * (1 + np.abs(expected).max(axis=1, keepdims=True))
    assert (np.abs(found - expected) <= scale + 1e-8 * np.abs(expected)).all()


@settings(max_examples=60)
@given(data)
def test_slopes_are_finite_differences(trees, data):
    tree = data.draw(trees.filter(lambda tree: tree.constants))
    x, h = X[tame(tree)], 1e-5
    moved = [(tree(x + h), tree(x - h))]
    for step in h * np.eye(len(tree.constants)):
        up, down = np.array(tree.constants) + step, np.array(tree.constants) - step
        moved.append((tree.with_constants(up)(x), tree.with_constants(down)(x)))
    numeric = np.array([up - down for up, down in moved]) / (2 * h)
    found = np.array([run(tree, x)[1], *constant_slopes(tree, x)])
    # Parts are above 0.01 and steps a thousandth of that, so errors are near a millionth.
    scale = 1 + np.abs(found).max(axis=1, initial=0)
    assert (np.abs(found - numeric).max(axis=1, initial=0) <= 1e-4 * scale).all()


@given(data, st.permutations(range(X.size)))
def test_every_row_is_computed_alone(trees, data, order):
    tree = data.draw(trees)
    order = list(order)
    for whole, turned in zip(run(tree), run(tree, X[order]), strict=True):
        np.testing.assert_allclose(turned, whole[order], rtol=1e-9, atol=1e-300)
