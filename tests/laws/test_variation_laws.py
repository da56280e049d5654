import math
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
from coded import form_of
from hypothesis import given, settings
from hypothesis import strategies as st

from symreg.fit.programs.batch import MAX_CONSTANTS, MAX_NODES, decode, encode
from symreg.language.canonical import cost, nested, tree_of
from symreg.language.operators import PRODUCTS
from symreg.language.tree import mapped, nodes
from symreg.searching.individuals import Individual, terms_from
from symreg.searching.variation import Variation, VariationSettings
from symreg.searching.variation.limits import HIGHEST_EXPONENT, LOWEST_EXPONENT, n_sums
from symreg.searching.variation.types import Atomic, Radial, Separable, Triplet
from symreg.terms import Expression, Key, Term
from symreg.terms.kinds import PAIRS, TRIPLETS
from symreg.terms.term import sums_in

seeds = st.integers(0, 2**32 - 1)
KEYS = (Key.of("Ar", "Ar"), Key.of("Ar", "Kr"), Key.of("Kr", "Kr"))
MIXED = (Key.of("Si", "Si"), Key.of("Si", "Si", "Si"))
EMBEDDED = (Key.of("Cu", "Cu"), Key.of("Cu"))
EVERY = (EMBEDDED[0], Key.of("Cu", "Cu", "Cu"), EMBEDDED[1])
ALLOY = (*map(Key.read, ("Cu-Cu", "Cu-Ni", "Ni-Ni", "Cu", "Ni")),)
COMPOUND = (*map(Key.read, ("Hf-Hf", "Hf-O", "O-O", "Hf;O-O", "O;Hf-Hf", "O;Hf-O")),)
GRID = np.linspace(0.7, 1.7, 9)
POINTS = np.array(np.meshgrid(GRID[::2], GRID[::2], np.linspace(-1, 1, 5))).reshape(3, -1)
SETTINGS = VariationSettings(max_complexity=25, max_terms=3)
LARGER = replace(SETTINGS, max_complexity=40)
KINDS = {
    "pairs": (KEYS[:2], SETTINGS),
    "separable": (MIXED, LARGER),
    "general": (MIXED, replace(LARGER, general=True)),
    "many-body": (EMBEDDED, LARGER),
    "alloy": (ALLOY, replace(LARGER, max_complexity=80, max_nonlinear=16)),
    "compound": (COMPOUND, replace(LARGER, max_complexity=80)),
    "every kind": (EVERY, replace(LARGER, max_complexity=60)),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def descendants(seed, kind, generations=6, count=30):
    """Random individuals and some generations of children; constants as fits may leave them."""
    keys, settings = KINDS[kind]
    variation, rng = Variation(settings, keys), np.random.default_rng(seed)
    parents = variation.random(count, rng)
    yield from parents
    for _ in range(generations):
        chosen = [Individual(parents[k]) for k in rng.integers(len(parents), size=2 * count)]
        children = [child.coded_terms for child in variation.vary(chosen, rng)]
        yield from children
        parents = children or parents


@every_kind
@settings(max_examples=12)
@given(seed=seeds)
def test_every_individual_respects_the_limits(seed, kind):
    keys, limits = KINDS[kind]
    for coded_terms in descendants(seed, kind):
        assert 1 <= len(coded_terms) <= limits.max_terms * len(keys)
        assert {coded.key for coded in coded_terms} <= set(range(len(keys)))
        expression = Expression(terms_from(coded_terms, keys), (1.0,) * len(coded_terms))
        assert expression.complexity <= limits.max_complexity
        assert expression.n_constants - len(coded_terms) <= limits.max_nonlinear
        assert limits.max_nonlinear <= MAX_CONSTANTS
        assert all(len(list(coded.shape.nodes())) <= MAX_NODES for coded in coded_terms)


@every_kind
@settings(max_examples=12)
@given(seed=seeds)
def test_exponents_stay_within_bounds_and_constants_finite(seed, kind):
    for coded in chain.from_iterable(descendants(seed, kind)):
        for node in nodes(form_of(coded)):
            if node[0] == "powi":
                assert LOWEST_EXPONENT <= node[1] <= HIGHEST_EXPONENT
            if node[0] == "const":
                assert math.isfinite(node[1])


@every_kind
@settings(max_examples=12)
@given(seed=seeds)
def test_every_individual_is_canonical_and_has_no_term_twice(seed, kind):
    for coded_terms in descendants(seed, kind):
        assert len(set(coded_terms)) == len(coded_terms)
        assert all(nested(tree_of(form_of(coded))) == form_of(coded) for coded in coded_terms)


@every_kind
@settings(max_examples=12)
@given(seed=seeds)
def test_decoding_undoes_encoding(seed, kind):
    candidates = list(descendants(seed, kind, generations=2))
    assert decode(encode(candidates)) == candidates


@every_kind
@settings(max_examples=12)
@given(seed=seeds)
def test_one_generator_state_gives_the_same_children(seed, kind):
    assert list(descendants(seed, kind, 2)) == list(descendants(seed, kind, 2))


def alike(one, two):
    return one is two or (one.ret is two.ret and one.value == two.value)


@every_kind
@settings(max_examples=12)
@given(seed=seeds)
def test_deap_trees_keep_types_and_function(seed, kind):
    keys, limits = KINDS[kind]
    variation = Variation(limits, keys)
    for coded in chain.from_iterable(descendants(seed, kind, generations=2)):
        form = form_of(coded)
        needed = [root(form, keys[coded.key])]
        tree = variation.trees.deap(form, needed[0])
        remembered = variation.trees.coded(coded, needed[0])
        assert all(map(alike, tree, remembered))
        for node in tree:  # in prefix order each node fills the place that waits for it
            assert issubclass(node.ret, needed.pop())
            needed.extend(reversed(node.args if node.arity else []))
        assert not needed
        # Other integers than 1 turn into constants: equal, but from then on fitted.
        back = variation.trees.nested(tree)
        assert cost(back) <= cost(form)
        found, expected = (values(u, keys[coded.key]) for u in (back, form))
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12 * size_of(expected))


def values(form, key):
    """A function at some points; that of sums for neighbours of a few distances."""
    tree = tree_of(form)
    if not key.is_function:
        return tree(*((GRID,) if key.over == PAIRS else POINTS))
    term = Term.at(key, tree)
    # Over two neighbours that are at one distance, at cosines of either sign.
    each = [s.tree(GRID) if s.over == PAIRS else s.tree(GRID, GRID, GRID - 1.2) for s in term.sums]
    sums = [np.lib.stride_tricks.sliding_window_view(one, 3).sum(axis=1) for one in each]
    return of_sums(term, sums)


def of_sums(term, sums):
    """A function of sums, given these."""
    if term.of is None:
        return sums[0]
    return term.of.evaluate({f"s{n}": one for n, one in enumerate(sums, 1)})


def root(form, key):
    """Type that the root of a tree must have."""
    if key.over != TRIPLETS:
        return Atomic if key.is_function else Radial
    return Separable if form[0] in PRODUCTS else Triplet


def size_of(values):
    return np.abs(values[np.isfinite(values)]).max(initial=0)


def without_sums(tree):
    """The function with a number in the place of every neighbour sum."""
    if tree[0] == "sum":
        return ("int", 1)
    return mapped(tree, without_sums)


@settings(max_examples=12)
@given(seed=seeds)
def test_every_function_of_neighbour_sums_is_finite_for_an_atom_alone(seed):
    for coded in chain.from_iterable(descendants(seed, "many-body")):
        if coded.key == 1:
            (term,) = terms_from([coded], EMBEDDED)
            assert np.isfinite(of_sums(term, np.zeros((len(term.sums), 1)))).all()


def variables(tree):
    return {node[0] for node in nodes(tree)} & {"x", "x1", "x2", "c"}


@every_kind
@settings(max_examples=12)
@given(seed=seeds)
def test_functions_have_the_variables_of_their_kind(seed, kind):
    keys, limits = KINDS[kind]
    for coded in chain.from_iterable(descendants(seed, kind)):
        tree, key = form_of(coded), keys[coded.key]
        operators = [node[0] for node in nodes(tree)]
        if key.over == PAIRS:
            assert variables(tree) <= {"x"}
            assert not {"product", "sum"} & set(operators)
        elif key.is_function:
            assert 1 <= n_sums(tree) <= limits.max_sums
            assert tree[0] != "sum"  # that would be a pair function
            assert variables(without_sums(tree)) == set()
            for _, _, part in sums_in(tree):
                inner = [node[0] for node in nodes(part)]
                assert "sum" not in inner
                assert variables(part) <= ({"x", "c"} if part[0] == "product" else {"x"})
                assert part[0] == "product" or "product" not in inner
                assert part[0] != "product" or kind == "every kind"
        elif tree[0] in PRODUCTS:
            *radial, angular = tree[1:]
            assert all(variables(factor) <= {"x"} for factor in radial)
            assert variables(angular) <= {"c"}
            assert sum(map(operators.count, PRODUCTS)) == 1
            assert tree[0] == "product" or (key.is_unlike and radial[0] != radial[1])
            angles = [node for node in nodes(angular) if node[0] in ("powi", "pow", "log", "sqrt")]
            # The cosine is negative half of the time: no function that needs more than 0.
            assert all(node[0] == "powi" for node in angles)
        else:
            assert limits.general
            assert variables(tree) <= {"x1", "x2", "c"}
            assert "product" not in operators


@pytest.mark.parametrize("general", [False, True])
def test_general_functions_are_made_when_asked_for(general):
    variation = Variation(replace(LARGER, general=general), MIXED)
    coded_terms = chain.from_iterable(variation.random(200, np.random.default_rng(0)))
    found = {form_of(coded)[0] == "product" for coded in coded_terms if coded.key == 1}
    assert found == ({True, False} if general else {True})


@pytest.mark.parametrize("kind", ["separable", "general", "many-body", "every kind"])
@settings(max_examples=12)
@given(seed=seeds)
def test_text_of_a_function_reads_back_to_it(seed, kind):
    keys, _ = KINDS[kind]
    for coded in chain.from_iterable(descendants(seed, kind, generations=3)):
        if coded.key == len(keys) - 1:
            (term,) = terms_from([coded], keys)
            again = Term.read(str(term))
            assert again == term
            assert nested(again.tree) == form_of(coded)


@pytest.mark.parametrize("kind", ["separable", "general", "many-body", "every kind"])
@settings(max_examples=12)
@given(seed=seeds)
def test_expressions_with_other_terms_come_back_from_plain_data(seed, kind):
    for coded_terms in descendants(seed, kind, generations=1):
        weights = np.linspace(-1, 2, len(coded_terms))
        expression = Expression(terms_from(coded_terms, KINDS[kind][0]), tuple(map(float, weights)))
        assert Expression.from_dict(expression.to_dict()) == expression
        assert sum(
            cost(form_of(coded)) for coded in coded_terms
        ) == expression.complexity - 2 * len(coded_terms)


@pytest.mark.parametrize(
    "keys",
    [KEYS[:1], KEYS, MIXED, EMBEDDED, EVERY],
    ids=["one pair", "pairs", "triplets", "sums", "all"],
)
def test_every_kind_and_species_is_drawn(keys):
    limits = LARGER if keys == EVERY else SETTINGS
    coded_terms = Variation(limits, keys).random(100, np.random.default_rng(0))
    assert {coded.key for g in coded_terms for coded in g} == set(range(len(keys)))
    if keys == EVERY:  # sums of both kinds
        trees = [form_of(coded) for g in coded_terms for coded in g if coded.key == 2]
        parts = [u[0] == "product" for tree in trees for _, _, u in sums_in(tree)]
        assert {True, False} == set(parts)
    if len(keys) == 2:  # both kinds at once, but for terms that come to nothing or are too long
        both = sum({coded.key for coded in g} == {0, 1} for g in coded_terms)
        assert both > (60 if keys == MIXED else 20)
