import math
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symreg.expression.canonical import nested, tree_of
from symreg.individuals import Individual, cost, decode, encode, n_constants
from symreg.kernels.programs import MAX_CONSTANTS, MAX_NODES
from symreg.primitives import WEIGHT_COST
from symreg.variation import (
    HIGHEST_EXPONENT,
    LOWEST_EXPONENT,
    Radial,
    Variation,
    VariationSettings,
)

seeds = st.integers(0, 2**32 - 1)
KEYS = tuple(("pair", pair) for pair in (("Ar", "Ar"), ("Ar", "Kr"), ("Kr", "Kr")))
GRID = np.linspace(0.7, 1.7, 9)
SETTINGS = VariationSettings(max_complexity=25, max_terms=3)


def descendants(seed, generations=6, count=30):
    """Random genes and some generations of their children; constants as fits may leave them."""
    variation, rng = Variation(SETTINGS, KEYS[:2]), np.random.default_rng(seed)
    parents = variation.random(count, rng)
    yield from parents
    for _ in range(generations):
        chosen = [Individual(parents[k]) for k in rng.integers(len(parents), size=2 * count)]
        children = [genes for genes, _ in variation.vary(chosen, rng)]
        yield from children
        parents = children or parents


def nodes(tree):
    yield tree
    for operand in tree[1:]:
        if isinstance(operand, tuple):
            yield from nodes(operand)


@settings(max_examples=30)
@given(seeds)
def test_every_individual_respects_the_limits(seed):
    for genes in descendants(seed):
        assert 1 <= len(genes) <= SETTINGS.max_terms * 2
        assert {gene.key for gene in genes} <= {0, 1}
        total = sum(cost(gene.tree) + WEIGHT_COST for gene in genes)
        assert total <= SETTINGS.max_complexity
        assert all(n_constants(gene.tree) <= MAX_CONSTANTS for gene in genes)
        assert all(len(list(nodes(gene.tree))) <= MAX_NODES for gene in genes)


@settings(max_examples=30)
@given(seeds)
def test_exponents_stay_within_bounds_and_constants_finite(seed):
    for gene in chain.from_iterable(descendants(seed)):
        for node in nodes(gene.tree):
            if node[0] == "powi":
                assert LOWEST_EXPONENT <= node[1] <= HIGHEST_EXPONENT
            if node[0] == "const":
                assert math.isfinite(node[1])


@settings(max_examples=30)
@given(seeds)
def test_every_individual_is_canonical_and_has_no_term_twice(seed):
    for genes in descendants(seed):
        assert len(set(genes)) == len(genes)
        assert all(nested(tree_of(gene.tree)) == gene.tree for gene in genes)


@settings(max_examples=30)
@given(seeds)
def test_decoding_undoes_encoding(seed):
    candidates = list(descendants(seed, generations=2))
    assert decode(encode(candidates)) == candidates


@settings(max_examples=30)
@given(seeds)
def test_one_generator_state_gives_the_same_children(seed):
    assert list(descendants(seed, 2)) == list(descendants(seed, 2))


@settings(max_examples=30)
@given(seeds)
def test_deap_trees_keep_types_and_function(seed):
    variation = Variation(SETTINGS, KEYS[:1])
    for gene in chain.from_iterable(descendants(seed, generations=2)):
        tree = variation._deap(gene.tree)
        needed = [Radial]
        for node in tree:  # in prefix order each node fills the place that waits for it
            assert issubclass(node.ret, needed.pop())
            needed.extend(reversed(node.args if node.arity else []))
        assert not needed
        # Other integers than 1 turn into constants: equal, but from then on fitted.
        back = variation._canonical(tree)
        assert cost(back) <= cost(gene.tree)
        np.testing.assert_allclose(tree_of(back)(GRID), tree_of(gene.tree)(GRID), rtol=1e-9)


@pytest.mark.parametrize("n_keys", [1, 3])
def test_every_kind_and_species_is_drawn(n_keys):
    genes = Variation(SETTINGS, KEYS[:n_keys]).random(100, np.random.default_rng(0))
    assert {gene.key for g in genes for gene in g} == set(range(n_keys))
