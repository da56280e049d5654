import math
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symreg.fit.programs.evaluation import MAX_CONSTANTS, MAX_NODES
from symreg.language import parse
from symreg.language.canonical import LEAVES, nested, tree_of
from symreg.language.operators import SUMS, WEIGHT_COST
from symreg.searching.individuals import Individual, cost, decode, encode, n_constants, terms_from
from symreg.searching.variation import (
    HIGHEST_EXPONENT,
    LOWEST_EXPONENT,
    Atomic,
    Radial,
    Separable,
    Triplet,
    Variation,
    VariationSettings,
)
from symreg.searching.variation.limits import summands
from symreg.terms import VARIABLES_OF, Expression

seeds = st.integers(0, 2**32 - 1)
KEYS = tuple(("pair", pair) for pair in (("Ar", "Ar"), ("Ar", "Kr"), ("Kr", "Kr")))
MIXED = (("pair", ("Si", "Si")), ("three-body", ("Si", "Si", "Si")))
EMBEDDED = (("pair", ("Cu", "Cu")), ("many-body", ("Cu",)))
EVERY = (EMBEDDED[0], ("three-body", ("Cu", "Cu", "Cu")), EMBEDDED[1])
GRID = np.linspace(0.7, 1.7, 9)
TRIPLETS = np.array(np.meshgrid(GRID[::2], GRID[::2], np.linspace(-1, 1, 5))).reshape(3, -1)
SETTINGS = VariationSettings(max_complexity=25, max_terms=3)
LARGER = replace(SETTINGS, max_complexity=40)
KINDS = {
    "pairs": (KEYS[:2], SETTINGS),
    "separable": (MIXED, LARGER),
    "general": (MIXED, replace(LARGER, general=True)),
    "many-body": (EMBEDDED, LARGER),
    "every kind": (EVERY, replace(LARGER, max_complexity=60)),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def descendants(seed, kind, generations=6, count=30):
    """Random genes and some generations of their children; constants as fits may leave them."""
    keys, settings = KINDS[kind]
    variation, rng = Variation(settings, keys), np.random.default_rng(seed)
    parents = variation.random(count, rng)
    yield from parents
    for _ in range(generations):
        chosen = [Individual(parents[k]) for k in rng.integers(len(parents), size=2 * count)]
        children = [child.genes for child in variation.vary(chosen, rng)]
        yield from children
        parents = children or parents


def nodes(tree):
    yield tree
    for operand in tree[1:]:
        if isinstance(operand, tuple):
            yield from nodes(operand)


@every_kind
@settings(max_examples=12)
@given(seed=seeds)
def test_every_individual_respects_the_limits(seed, kind):
    keys, limits = KINDS[kind]
    for genes in descendants(seed, kind):
        assert 1 <= len(genes) <= limits.max_terms * len(keys)
        assert {gene.key for gene in genes} <= set(range(len(keys)))
        total = sum(cost(gene.tree) + WEIGHT_COST for gene in genes)
        assert total <= limits.max_complexity
        assert sum(n_constants(gene.tree) for gene in genes) <= limits.max_nonlinear
        assert limits.max_nonlinear <= MAX_CONSTANTS
        assert all(len(list(nodes(gene.tree))) <= MAX_NODES for gene in genes)


@every_kind
@settings(max_examples=12)
@given(seed=seeds)
def test_exponents_stay_within_bounds_and_constants_finite(seed, kind):
    for gene in chain.from_iterable(descendants(seed, kind)):
        for node in nodes(gene.tree):
            if node[0] == "powi":
                assert LOWEST_EXPONENT <= node[1] <= HIGHEST_EXPONENT
            if node[0] == "const":
                assert math.isfinite(node[1])


@every_kind
@settings(max_examples=12)
@given(seed=seeds)
def test_every_individual_is_canonical_and_has_no_term_twice(seed, kind):
    for genes in descendants(seed, kind):
        assert len(set(genes)) == len(genes)
        assert all(nested(tree_of(gene.tree)) == gene.tree for gene in genes)


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


@every_kind
@settings(max_examples=12)
@given(seed=seeds)
def test_deap_trees_keep_types_and_function(seed, kind):
    keys, limits = KINDS[kind]
    variation = Variation(limits, keys)
    for gene in chain.from_iterable(descendants(seed, kind, generations=2)):
        tree = variation.trees.deap(gene.tree)
        needed = [root(gene, keys)]
        for node in tree:  # in prefix order each node fills the place that waits for it
            assert issubclass(node.ret, needed.pop())
            needed.extend(reversed(node.args if node.arity else []))
        assert not needed
        # Other integers than 1 turn into constants: equal, but from then on fitted.
        back = variation.trees.nested(tree)
        assert cost(back) <= cost(gene.tree)
        found, expected = (values(u, keys[gene.key][0]) for u in (back, gene.tree))
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12 * size_of(expected))


def values(form, kind):
    """A function at some points; that of neighbour sums for neighbours of a few distances."""
    tree = tree_of(form)
    if kind != "many-body":
        return tree(*((GRID,) if kind == "pair" else TRIPLETS))
    outer, parts = tree.embedding
    # Over two neighbours that are at one distance, at cosines of either sign.
    each = [part(GRID) if part.factors is None else part(GRID, GRID, GRID - 1.2) for part in parts]
    sums = [np.lib.stride_tricks.sliding_window_view(one, 3).sum(axis=1) for one in each]
    return outer._evaluate(dict(zip(SUMS, [*sums, sums[0], sums[0]], strict=False)))


def root(gene, keys):
    """Type that the root of a tree must have."""
    kind = keys[gene.key][0]
    if kind != "three-body":
        return Radial if kind == "pair" else Atomic
    return Separable if gene.tree[0] == "product" else Triplet


def size_of(values):
    return np.abs(values[np.isfinite(values)]).max(initial=0)


def without_sums(tree):
    """The function with a number in the place of every neighbour sum."""
    if tree[0] == "sum":
        return ("int", 1)
    return (tree[0], *(without_sums(u) if isinstance(u, tuple) else u for u in tree[1:]))


@settings(max_examples=12)
@given(seed=seeds)
def test_every_function_of_neighbour_sums_is_finite_for_an_atom_alone(seed):
    for key, tree in chain.from_iterable(descendants(seed, "many-body")):
        if key == 1:
            outer, _ = tree_of(tree).embedding
            assert np.isfinite(outer._evaluate({name: np.zeros(1) for name in SUMS})).all()


def variables(tree):
    return {node[0] for node in nodes(tree)} & set(LEAVES)


@every_kind
@settings(max_examples=12)
@given(seed=seeds)
def test_functions_have_the_variables_of_their_kind(seed, kind):
    keys, limits = KINDS[kind]
    for key, tree in chain.from_iterable(descendants(seed, kind)):
        operators = [node[0] for node in nodes(tree)]
        if keys[key][0] == "pair":
            assert variables(tree) <= {"x"}
            assert not {"product", "sum"} & set(operators)
        elif keys[key][0] == "many-body":
            assert 1 <= operators.count("sum") <= len(SUMS)
            assert tree[0] != "sum"  # that would be a pair function
            assert variables(without_sums(tree)) == set()
            for part in summands(tree):
                inner = [node[0] for node in nodes(part)]
                assert "sum" not in inner
                assert variables(part) <= ({"x", "c"} if part[0] == "product" else {"x"})
                assert part[0] == "product" or "product" not in inner
                assert part[0] != "product" or kind == "every kind"
        elif tree[0] == "product":
            radial, angular = tree[1:]
            assert variables(radial) <= {"x"}
            assert variables(angular) <= {"c"}
            assert operators.count("product") == 1
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
    genes = chain.from_iterable(variation.random(200, np.random.default_rng(0)))
    found = {tree[0] == "product" for key, tree in genes if key == 1}
    assert found == ({True, False} if general else {True})


@pytest.mark.parametrize("kind", ["separable", "general", "many-body", "every kind"])
@settings(max_examples=12)
@given(seed=seeds)
def test_text_of_a_function_reads_back_to_it(seed, kind):
    keys, _ = KINDS[kind]
    variable = VARIABLES_OF[keys[-1][0]]
    for key, nested_form in chain.from_iterable(descendants(seed, kind, generations=3)):
        if key == len(keys) - 1:
            tree = tree_of(nested_form)
            again = parse(str(tree), variable=variable)
            assert again == tree
            assert nested(again) == nested_form


@pytest.mark.parametrize("kind", ["separable", "general", "many-body", "every kind"])
@settings(max_examples=12)
@given(seed=seeds)
def test_expressions_with_other_terms_come_back_from_plain_data(seed, kind):
    for genes in descendants(seed, kind, generations=1):
        weights = np.linspace(-1, 2, len(genes))
        expression = Expression(terms_from(genes, KINDS[kind][0]), tuple(map(float, weights)))
        assert Expression.from_dict(expression.to_dict()) == expression
        assert sum(map(cost, (gene.tree for gene in genes))) == expression.complexity - 2 * len(
            genes
        )


@pytest.mark.parametrize(
    "keys",
    [KEYS[:1], KEYS, MIXED, EMBEDDED, EVERY],
    ids=["one pair", "pairs", "triplets", "sums", "all"],
)
def test_every_kind_and_species_is_drawn(keys):
    limits = LARGER if keys == EVERY else SETTINGS
    genes = Variation(limits, keys).random(100, np.random.default_rng(0))
    assert {gene.key for g in genes for gene in g} == set(range(len(keys)))
    if keys == EVERY:  # sums of both kinds
        parts = [u[0] == "product" for g in genes for k, t in g if k == 2 for u in summands(t)]
        assert {True, False} == set(parts)
    if len(keys) == 2:  # both kinds at once, but for terms that come to nothing or are too long
        both = sum({gene.key for gene in g} == {0, 1} for g in genes)
        assert both > (60 if keys == MIXED else 20)
