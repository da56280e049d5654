import string

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from symreg.language import Tree, parse
from symreg.language.canonical import nested, terms_of, tree_of
from symreg.terms import Expression, Key, Term

X = np.linspace(0.55, 2.45, 60)
data = st.data()
words = st.text(string.ascii_letters + "_", min_size=1, max_size=4).filter(
    lambda word: word.lower() not in ("x", "r", "exp", "log", "sqrt", "tanh", "inf", "nan")
)


@settings(max_examples=300)
@given(data)
def test_text_of_a_tree_reads_back_to_the_tree(any_trees, data):
    tree = data.draw(any_trees)
    assert parse(str(tree)) == tree


@given(data)
def test_text_of_a_tree_with_names_reads_back_to_the_tree(any_trees, data):
    tree = data.draw(any_trees)
    count = len(tree.constants)
    names = data.draw(st.lists(words, min_size=count, max_size=count, unique=True))
    named = Tree(tree.shape, tree.constants, tuple(names))
    assert parse(str(named), named.named) == named


@settings(max_examples=200)
@given(data)
def test_text_for_readers_is_the_same_function(trees, data):
    tree = data.draw(trees)
    for digits in (None, 2):  # the constants of these trees have two digits
        np.testing.assert_array_equal(parse(tree.text(digits))(X), tree(X))


@settings(max_examples=200)
@given(st.text(string.printable, max_size=30) | st.text("x1.2+-*/^() exp", max_size=12))
def test_any_text_is_a_formula_or_refused_with_a_reason(text):
    tree, message = None, "formula cannot be read: "
    try:
        tree = parse(text)
    except ValueError as error:
        message = str(error)
    assert message.startswith("formula cannot be read: ")
    assert tree is None or parse(str(tree), tree.named) == tree


@settings(max_examples=200)
@given(data)
def test_canonical_form_is_its_own_canonical_form(trees, data):
    canonical = nested(data.draw(trees))
    again = nested(tree_of(canonical))
    assert repr(again) == repr(canonical)  # NaN, where constants fold to it, equals itself here


@settings(max_examples=200)
@given(data)
def test_text_of_a_canonical_form_can_be_read(any_trees, data):
    tree = tree_of(nested(data.draw(any_trees)))
    assume(np.isfinite(tree.constants).all())
    assert parse(str(tree)) == tree


@settings(max_examples=400)
@given(data)
def test_canonical_terms_with_weights_are_the_tree(trees, data):
    tree = data.draw(trees)
    terms = [tree_of(term) for term in terms_of(nested(tree))]
    rows = np.column_stack([np.zeros_like(X), *(term(X) for term in terms), tree(X)])
    # Where values are huge or tiny, least squares would see only the few largest points.
    rows = rows[np.isfinite(rows).all(axis=1) & (np.abs(rows[:, -1]) < 1e6)]
    *columns, value = rows.T
    scale = np.array([np.abs(column).max(initial=1e-300) or 1.0 for column in columns])
    basis = np.transpose(columns) / scale
    weights = np.linalg.lstsq(basis, value, rcond=1e-13)[0]
    # Terms may cancel: what is left is known to the rounding error of the largest.
    largest = max(np.abs(value).max(initial=0), np.abs(weights).max(initial=0))
    assert np.abs(basis @ weights - value).max(initial=0) <= 1e-8 * largest


@settings(max_examples=200)
@given(data)
def test_terms_hold_no_further_terms(trees, data):
    for term in terms_of(nested(data.draw(trees))):
        assert [repr(u) for u in terms_of(term)] == [repr(term)]


@given(data, st.lists(st.floats(-10, 10).filter(bool), min_size=3, max_size=3))
def test_expression_comes_back_from_plain_data(any_trees, data, weights):
    species = (("Ar", "Ar"), ("Ar", "Kr"), ("Ar", "Ar"))
    terms = tuple(Term.at(Key.of(*pair), data.draw(any_trees)) for pair in species)
    expression = Expression(terms, tuple(weights))
    assert Expression.from_dict(expression.to_dict()) == expression
    assert len(expression.keys()) == 2


@given(data, st.lists(st.floats(0.1, 10) | st.floats(-10, -0.1), min_size=3, max_size=3))
def test_total_is_the_weighted_sum_of_terms(trees, data, weights):
    argon = Key.of("Ar", "Ar")
    terms = tuple(Term.at(argon, data.draw(trees)) for _ in weights)
    total = Expression(terms, tuple(weights)).total(argon)
    with np.errstate(all="ignore"):
        parts = [weight * term.tree(X) for weight, term in zip(weights, terms, strict=True)]
        by_hand, size = sum(parts), sum(map(np.abs, parts))
    known = np.isfinite(size)
    assert (np.abs(total(X[known]) - by_hand[known]) <= 1e-12 * size[known]).all()
    assert parse(str(total)) == total
