from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
from coded import coded_of, form_of

from symreg.fit.programs.batch import decode, encode, encoded
from symreg.fit.programs.evaluation import differentiate
from symreg.fit.projected.fitter import QUICK, Fitter
from symreg.language import parse
from symreg.language.canonical import X, build, cost, nested, shaped, terms_of, tree_of, valued
from symreg.language.operators import OPERATORS, WEIGHT_COST
from symreg.language.text import ONE
from symreg.language.tree import nodes
from symreg.searching.exhaustive.examine import Examiner, ExamineSettings, best_of
from symreg.searching.exhaustive.families import Families
from symreg.searching.exhaustive.forms import Forms
from symreg.searching.exhaustive.functions import ANGULAR, RADIAL, Grammar, numbered
from symreg.searching.exhaustive.listing import Listing, list_forms
from symreg.searching.exhaustive.search import Exhaustive, Tally, load_forms, plan, save_forms
from symreg.searching.exhaustive.starts import EXPONENT, RATE, SCALE, SHIFT, Starts, places
from symreg.searching.individuals import (
    Individual,
    complexity,
    from_arrays,
    structure,
    terms_from,
    to_arrays,
)
from symreg.searching.selection import front
from symreg.searching.tasks import Source
from symreg.searching.variation import Variation, VariationSettings
from symreg.terms import Expression, Key
from symreg.terms.kinds import PAIRS, TRIPLETS
from symreg.workers.executors import Crew, processes

PAIR = Key.of("Ar", "Ar")
SILICON = (Key.of("Si", "Si"), Key.of("Si", "Si", "Si"))
TINY = Grammar(exponents=(-2, 2), functions=("exp",), real_powers=False)


def coded_forms(forms, complexity, start=0, stop=None):
    """Forms as coded terms, constants 1."""
    found = forms.terms(complexity, start, stop)
    there = found.pieces >= 0
    term = np.repeat(np.arange(found.key.size), there.sum(axis=1))
    return decode(forms.pieces.batch(found.pieces[there], term, found.key, found.term_start)[0])


def family_of(listing, coded):
    """A value that two terms share if they can be the same functions."""
    tree = valued(coded.shape, coded.constants)
    factors = tree[1:] if tree[0] == "product" else (tree,)
    families = listing.families
    return coded.key, tuple(families.scaled(families.of(numbered(u))) for u in factors)


@pytest.fixture(scope="module")
def listing():
    return Listing([PAIR], 10, 10, RADIAL, ANGULAR)


@pytest.fixture(scope="module")
def forms(listing):
    return listing.forms()


def form(text, variable="x"):
    """Canonical form of a formula as the table would hold it."""
    return numbered(nested(parse(text, variable=variable)))


SAME = {
    "order of addends": ("exp(x) + x^2", "x^2 + exp(x)"),
    "order of factors": ("x^2*log(x + 1)", "log(x + 1)*x^2"),
    "grouping of addends": ("(x + exp(x)) + x^2", "x + (exp(x) + x^2)"),
    "grouping of factors": ("x*(log(x)*exp(x))", "(x*log(x))*exp(x)"),
    "powers of one base": ("x^-6*x^2.5", "x^1.5"),
    "a fitted scale of either sign": ("x^2 - 2.0*x", "x^2 + 3.0*x"),
    "a scale within a power": ("(2.0*x)^3", "2.0*x^3"),
    "a shift within an exponential": ("1 + exp(x + 2.0)", "1 + 2.0*exp(x)"),
    "a scale within a logarithm": ("x + log(2.0*x)", "(x + log(x)) + 2.0"),
    "a power within a logarithm": ("log(x^3)", "3*log(x)"),
    "an exponential of a logarithm": ("exp(2.0*log(x))", "x^2.0"),
    "a product of powers": ("(x*log(x))^2", "x^2*log(x)^2"),
    "a quotient": ("x^2/(x + 1)", "x^2*(x + 1)^-1"),
    "a root of a product": ("sqrt(x*log(x))", "sqrt(x)*sqrt(log(x))"),
    "a product of a sum": ("x*(x + 1)", "x^2 + x"),
    "a sum of equal addends": ("x + (x + 1)", "1 + 2*x"),
}
SAME_SCALED = {
    "the addend of which the scale is fitted": ("(1 + 2.0*x)^-3", "(2.0 + x)^-3"),
    "the sign of a sum": ("(x - x^2)^3", "(x^2 - x)^3"),
    "a number within a root": ("sqrt(2*x)", "sqrt(x)"),
    "a shift within an exponential": ("exp(1 + x^2)", "exp(x^2)"),
}
DIFFERENT = (
    ("x^-6", "x^-7"),
    ("x^2.0", "x^2"),
    ("exp(x)", "exp(2.0*x)"),
    ("x + 1", "x + 2.0"),
    ("exp(x - x^2)", "exp(x^2 - x)"),
    ("(1 + x)^2", "(1 - x)^2"),
    ("exp(2.0*x) + exp(3.0*x)", "2.0*exp(2.0*x)"),
    ("(x + 1.5)*(x + 2.5)", "(x + 1.5)^2"),
)


@pytest.mark.parametrize("name", SAME)
def test_rewritten_functions_are_one_family(name):
    families = Families()
    one, two = (families.of(form(text)) for text in SAME[name])
    assert one == two


@pytest.mark.parametrize("name", SAME_SCALED)
def test_functions_that_differ_by_a_scale_are_one_family_of_terms(name):
    families = Families()
    one, two = (form(text) for text in SAME_SCALED[name])
    assert families.of(one) != families.of(two)
    assert families.scaled(families.of(one)) == families.scaled(families.of(two))


@pytest.mark.parametrize("texts", DIFFERENT)
def test_different_functions_are_different_families(texts):
    families = Families()
    one, two = (families.scaled(families.of(form(text))) for text in texts)
    assert one != two


def test_needless_constants_are_not_counted():
    families = Families()
    for text, fitted in (("2.0*(x + 3.0)*4.0", 2), ("exp(2.0 + 3.0*(x + 1.5))", 2), ("x^2.0", 1)):
        assert families.fitted(families.of(form(text))) == fitted


def raw_trees(grammar, limit):
    """All trees of a grammar up to a cost, by cost, with no regard to what they are."""
    levels = {1: [X, ONE, ("const", 1.0)]}
    costs = {name: OPERATORS[name].cost for name in OPERATORS}
    for level in range(2, limit + 1):
        found = [
            (name, u) for name in grammar.functions for u in levels.get(level - costs[name], [])
        ]
        inner = levels.get(level - costs["powi"], [])
        found += [("powi", n, u) for n in grammar.exponents for u in inner]
        for name in ("add", "sub", "mul", "div"):
            for size in range(1, level - costs[name]):
                pairs = product(levels[size], levels.get(level - costs[name] - size, []))
                found += [(name, u, v) for u, v in pairs]
        levels[level] = found
    return [u for level in levels.values() for u in level]


def canonical(u):
    """Rebuild a tree with constants of its own."""
    return nested(tree_of(numbered(u)))


def test_all_terms_of_a_tiny_grammar_are_those_of_all_its_trees():
    limit = 7
    listing = Listing([PAIR], limit + 2, limit + 2, TINY, ANGULAR)
    forms = listing.forms()
    single = {
        family_of(listing, coded_terms[0])
        for c in range(limit + 3)
        for coded_terms in coded_forms(forms, c)
        if len(coded_terms) == 1
    }
    found, sums = set(), set()
    for tree in raw_trees(TINY, limit):
        for u in terms_of(canonical(tree)):
            while [u] != (again := terms_of(u)) and len(again) == 1:
                (u,) = again
            within = all(node[1] in (1, -2, 2) for node in nodes(u) if node[0] == "powi")
            if len(again) == 1 and within and cost(u) <= limit:
                family = family_of(listing, coded_of(0, u))
                ((tied, addends),) = family[1]
                (found if tied or len(addends) == 1 else sums).add(family)
    assert found <= single
    # What is left out is a sum of two terms; what more there is has more than two.
    assert single - found <= sums
    assert len(single) > 60


def test_counts_at_low_complexity_are_those_by_hand(forms):
    # 3: x and 1; 5: 31 powers and sqrt(x); 6: 1 with x.
    assert [forms.counts[c] for c in range(3, 7)] == [2, 0, 32, 1]
    assert {str(tree_of(form_of(g))) for (g,) in coded_forms(forms, 3)} == {"x", "1"}
    (one,) = coded_forms(forms, 6)
    assert {str(tree_of(form_of(g))) for g in one} == {"x", "1"}
    # 8: each of 5 with x and with 1; alone a fitted power of x and others of four nodes.
    assert forms.counts[8] == 64 + sum(
        len(coded_terms) == 1 for coded_terms in coded_forms(forms, 8)
    )


def test_every_form_has_the_complexity_that_it_is_listed_under(forms):
    for c in range(11):
        for coded_terms in coded_forms(forms, c):
            assert complexity(coded_terms) == c
            assert 1 <= len(coded_terms) <= 2


def test_no_form_is_simpler_once_its_constants_are_fitted_and_it_is_rewritten(forms):
    rng = np.random.default_rng(0)
    for coded in (
        coded for c in range(11) for coded_terms in coded_forms(forms, c) for coded in coded_terms
    ):
        tree = tree_of(form_of(coded))
        fitted = tree.with_constants(rng.uniform(0.2, 3.0, len(tree.constants)))
        assert cost(nested(fitted)) == coded.shape.cost, str(fitted)


def test_no_structure_is_listed_twice(forms):
    every = [structure(coded_terms) for c in range(11) for coded_terms in coded_forms(forms, c)]
    assert len(every) == len(set(every)) == sum(forms.counts.values())
    assert len({frozenset(shape) for shape in every if len(set(shape)) == 2}) == sum(
        len(set(shape)) == 2 for shape in every
    )


def test_no_two_terms_without_constants_are_equal_but_for_a_scale(forms):
    known = {}
    sides = np.geomspace(0.6, 0.95, 9), np.geomspace(1.07, 3.0, 9)
    for coded_terms in (
        coded_terms
        for c in range(11)
        for coded_terms in coded_forms(forms, c)
        if len(coded_terms) == 1
    ):
        tree = tree_of(form_of(coded_terms[0]))
        if tree.constants:
            continue
        values = [tree(x) for x in sides]
        logs = [np.log(np.abs(v)) for v in values if np.isfinite(v).all() and v.all()]
        if logs:
            key = tuple(round(float(n), 6) for log in logs for n in log[1:] - log[0])
            # sqrt(x/(x + 1)) and sqrt(1 - 1/(x + 1)) are the first fractions that are not joined.
            assert key not in known, f"{tree} is {known[key]}"
            known[key] = str(tree)
    assert len(known) > 1800


@pytest.mark.slow
def test_no_form_has_needless_constants(forms):
    # The derivatives by weights and constants are independent for some of their values.
    rng, x = np.random.default_rng(0), np.geomspace(0.6, 3.0, 40)
    nowhere = 0
    for coded_terms in (coded_terms for c in range(10) for coded_terms in coded_forms(forms, c)):
        trees = [tree_of(form_of(coded)) for coded in coded_terms]
        ratios = [r for _ in range(10) if (r := independence(trees, x, rng)) is not None]
        nowhere += not ratios
        assert not ratios or max(ratios) > 1e-12, [str(tree) for tree in trees]
    assert nowhere < 1200  # of 6195, such as log(1 - x): not defined on the whole range


def independence(trees, x, rng):
    """Smallest relative singular value of all derivatives; None outside of the domain."""
    columns = []
    for tree in trees:
        constants = rng.uniform(0.3, 2.5, len(tree.constants))
        code, arg = encoded(tree.shape)
        values, slopes = differentiate(code, arg, constants, x[None, :], True)
        columns += [values, *slopes]
    found = np.array(columns)
    if not np.isfinite(found).all() or np.abs(found).max() > 1e60 or not found.any(axis=1).all():
        return None
    sizes = np.linalg.svd(found / np.linalg.norm(found, axis=1, keepdims=True), compute_uv=False)
    return sizes[-1] / sizes[0]


def test_terms_that_share_a_function_are_not_added(forms):
    texts = {
        tuple(sorted(str(tree_of(form_of(g))) for g in coded_terms))
        for coded_terms in coded_forms(forms, 10)
    }
    assert ("x^-12", "x^-6") in texts
    assert ("x^-6", "x^-6") not in texts
    # x*(c + x) is x^2 and x, each with a weight; as one term it is simpler, beside x it is not.
    assert "x*(1.0 + x)" in {str(tree_of(form_of(g))) for (g,) in coded_forms(forms, 7)}
    assert ("x", "x*(1.0 + x)") not in texts
    assert ("1", "x*(1.0 + x)") in texts


def test_one_function_may_stand_twice_with_constants_of_its_own():
    forms = list_forms([PAIR], 16, 8)
    shapes = [structure(coded_terms) for coded_terms in coded_forms(forms, 16)]
    real, _ = shaped(("pow", X, ("const", 1.0)))
    assert ((0, real), (0, real)) in shapes


def reduced(coded):
    """The one term that a coded comes down to; None if there are more."""
    trees = [form_of(coded)]
    for _ in range(3):
        trees = [v for u in trees for v in terms_of(u)]
    return coded_of(coded.key, trees[0]) if len(trees) == 1 else None


@pytest.mark.parametrize("key", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_every_term_that_variation_makes_is_listed(key):
    largest = (10, 10)[key]
    limit = largest if key == 0 else largest + 3
    listing = Listing(SILICON, limit, limit if key == 0 else largest, RADIAL, ANGULAR)
    forms, known = listing.forms(), {}
    for c in range(limit + 1):
        for coded_terms in coded_forms(forms, c):
            for coded in coded_terms:
                known.setdefault(family_of(listing, coded), coded.shape.cost + WEIGHT_COST)
    allowed = {*RADIAL.exponents} if key == 0 else {*RADIAL.exponents, *ANGULAR.exponents}
    limits = VariationSettings(max_complexity=12, max_terms=2)
    variation = Variation(limits, SILICON, overs=((PAIRS, TRIPLETS)[key],))
    found = 0
    for coded_terms in variation.random(2000, np.random.default_rng(0)):
        for coded in filter(None, map(reduced, coded_terms)):
            size = coded.shape.cost + WEIGHT_COST
            if (
                size > largest
                or not {n[1] for n in nodes(form_of(coded)) if n[0] == "powi"} <= allowed
            ):
                continue
            family = family_of(listing, coded)
            if any(not tied and len(addends) > 1 for tied, addends in family[1][: 1 - key]):
                continue  # a sum of terms
            if key == 1 and form_of(coded)[2] not in (ONE,) and outside_angular(form_of(coded)[2]):
                continue
            assert known.get(family, 99) <= size, str(tree_of(form_of(coded)))
            found += 1
    assert found > 1000


def outside_angular(u):
    return any(node[0] == "powi" and node[1] not in ANGULAR.exponents for node in nodes(u))


def test_forms_are_at_random_access(forms):
    whole = coded_forms(forms, 10)
    ends = [0, 1, 7, 250, 251, forms.sizes[10]]
    parts = [coded_forms(forms, 10, low, high) for low, high in pairwise(ends)]
    assert [coded_terms for part in parts for coded_terms in part] == whole
    assert coded_forms(forms, 10, 5, 5) == []
    assert len(whole) == forms.counts[10] < forms.sizes[10]


def test_listing_is_the_same_again(forms):
    again = list_forms([PAIR], 10)
    assert again.counts == forms.counts
    assert coded_forms(again, 9) == coded_forms(forms, 9)


def test_arrays_read_back_to_the_same_forms():
    forms = list_forms(SILICON, 13, 10)
    arrays = forms.to_arrays()
    assert all(isinstance(array, np.ndarray) for array in arrays.values())
    again = Forms.from_arrays(SILICON, arrays)
    assert again.sizes == forms.sizes
    assert coded_forms(again, 13) == coded_forms(forms, 13)


def test_a_file_of_another_format_is_not_taken_for_forms(forms, tmp_path):
    path = tmp_path / "forms.npz"
    save_forms(path, forms)
    assert coded_forms(load_forms(path, forms.keys), 9) == coded_forms(forms, 9)
    np.savez(path, **forms.to_arrays())  # as it was before formats were numbered
    with pytest.raises(ValueError, match="has format 1, not 2"):
        load_forms(path, forms.keys)


def test_limit_of_one_term_holds_for_each(forms):
    longer = list_forms([PAIR], 14, 8)
    assert all(longer.counts[c] == forms.counts[c] for c in range(9))
    every = coded_forms(longer, 14)
    assert all(
        coded.shape.cost + WEIGHT_COST <= 8 for coded_terms in every for coded in coded_terms
    )
    # Terms of complexity 5 are too short for 14, so that both are of 6 to 8: 7 and 7 alone.
    sevens = sum(len(coded_terms) == 1 for coded_terms in coded_forms(longer, 7))
    assert 0.9 * sevens * (sevens + 1) / 2 < len(every) <= sevens * (sevens + 1) / 2


def test_every_form_has_a_pair_term_and_at_most_one_of_triplets():
    forms = list_forms(SILICON, 15, 12, radial=TINY)
    keys = {
        tuple(coded.key for coded in coded_terms)
        for c in range(16)
        for coded_terms in coded_forms(forms, c)
    }
    assert keys == {(0,), (0, 0), (0, 1)}
    texts = {
        tuple(str(tree_of(form_of(coded))) for coded in coded_terms if coded.key == 1)
        for coded_terms in coded_forms(forms, 15)
    }
    assert ("1*1*(1.0 + c)^2",) in texts  # of Stillinger and Weber


def test_terms_of_all_species_are_listed():
    keys = [Key.of("Ar", "Ar"), Key.of("Ar", "Kr")]
    forms = list_forms(keys, 8)
    # 8: those of each key alone, and one of 3 beside one of 5 of the other key.
    one = list_forms(keys[:1], 8)
    assert forms.counts[8] == 2 * one.counts[8] + 2 * 64
    assert {tuple(g.key for g in coded_terms) for coded_terms in coded_forms(forms, 8)} >= {
        (0, 0),
        (0, 1),
        (1, 1),
    }


def test_forms_need_a_pair_term_and_room_for_it():
    with pytest.raises(ValueError, match="forms without pair terms are not enumerated"):
        list_forms([SILICON[1]], 12)
    with pytest.raises(ValueError, match="largest complexity is 2; a pair term has 3"):
        list_forms([PAIR], 2)


def test_constants_are_told_apart_by_where_they_stand():
    numbers = {}

    def where(tree):
        return places(tree, lambda u: numbers.setdefault(u, len(numbers)))

    assert where(form("(x + 2.0)^-3")) == [SHIFT]
    assert where(form("x^2.5")) == [EXPONENT]
    assert where(form("exp(2.0*(x^2 - 3.0))")) == [RATE, SHIFT + 2]
    assert where(form("exp(x - x^2)*(3.0 - x)")) == [SHIFT + 1]
    assert where(form("x^-6 + 2.0*log(x)")) == [SCALE]
    assert numbers == {X: 0, ("powi", 2, X): 1}


def test_shifts_start_with_a_zero_mostly_outside_of_the_range():
    inverse = encode([[coded_of(0, ("powi", -2, X))], [coded_of(0, ("log", X))]])
    starts = Starts(64, (0.5, 2.0), inverse.code, inverse.arg, inverse.node_start)
    number, start = np.zeros(64, dtype=np.int64), np.arange(64)
    for sign in (0, 1):
        shifts = starts.values(np.full(64, SHIFT + sign), number, start)
        zeros = shifts if sign else -shifts  # of c - x^-2 and c + x^-2, which is 0.25 to 4
        assert (zeros < 0.25).mean() == pytest.approx(0.75, abs=0.03)
        assert (zeros > 4.0).mean() == pytest.approx(0.2, abs=0.03)
        assert (zeros[zeros < 0] >= -4.0).all()
    logarithm = -starts.values(np.full(64, SHIFT + 2), number, start)
    assert (np.abs(logarithm) < np.log(2)).mean() == pytest.approx(0.05, abs=0.03)


def test_starts_of_all_constants_and_places_differ():
    none = np.empty(0, dtype=np.int64)
    starts = Starts(32, (0.5, 2.0), none, none, np.zeros(1, dtype=np.int64))
    number, start = np.zeros(32, dtype=np.int64), np.arange(32)
    for place, low, high in ((SCALE, -5, 5), (RATE, -14, 1.5), (EXPONENT, -14, 2.5)):
        one, two = (starts.values(np.full(32, place), number + k, start) for k in (0, 1))
        assert len(set(one)) == 32
        assert low <= one.min() < one.max() <= high
        assert not (one == two).all()


# ---------------------------------------------------------------------------- fitting


@pytest.fixture(scope="module")
def argon(argon_design, forms):
    return Examiner(forms, Fitter(argon_design))


def same(one, two):
    first, second = to_arrays(one), to_arrays(two)
    return all(first[name].tobytes() == second[name].tobytes() for name in first)


def test_batches_are_those_of_the_encoded_terms(argon):
    terms = argon.forms.terms(10)
    batch, _, owner = argon.candidates(terms)
    coded_terms = coded_forms(argon.forms, 10)
    expected = encode([coded_terms[k] for k in owner])
    for name in ("code", "arg", "node_start", "constant_start", "key", "term_start"):
        np.testing.assert_array_equal(getattr(batch, name), getattr(expected, name))
    nonlinear = [sum(g.shape.n_constants for g in form) for form in coded_terms]
    starts = [n * argon.settings.starts or 1 for n in nonlinear]
    assert np.bincount(owner).tolist() == starts
    first = np.flatnonzero(owner == nonlinear.index(2))
    values = [tuple(batch.candidate(k).constants) for k in first]
    assert len(set(values)) == len(values)


def test_what_is_found_does_not_depend_on_the_chunks(argon):
    whole = argon.examine(9)
    for size in (1000, 137):
        parts = [argon.examine(9, low, low + size) for low in range(0, argon.forms.sizes[9], size)]
        best = best_of((i for part in reversed(parts) for i in part.best), argon.settings.kept)
        assert sum(part.count for part in parts) == whole.count == argon.forms.counts[9]
        assert same(best, whole.best)


def test_a_bar_leaves_out_only_what_is_above_it(argon):
    whole = argon.examine(10).best
    bar = whole[3].error
    assert same(argon.examine(10, bar=bar).best, whole[:4])
    assert argon.examine(10, bar=0.5 * whole[0].error).best == []


def test_the_best_are_in_order_and_no_more_than_asked_for(argon):
    settings = ExamineSettings(kept=5)
    best = Examiner(argon.forms, argon.fitter, settings).examine(9).best
    assert len(best) == 5
    assert [i.error for i in best] == sorted(i.error for i in best)
    assert same(best, argon.examine(9).best[:5])


def test_every_form_is_as_good_as_a_search_would_fit_it(argon):
    # Started from what was found, the fit of a search finds nothing better.
    best = argon.examine(9).best
    fits = argon.fitter.fit([i.coded_terms for i in best], QUICK)
    for individual, loss in zip(best, fits.losses, strict=True):
        assert argon.fitter.design.error(loss) == pytest.approx(individual.error, rel=1e-2)


def test_lennard_jones_is_the_best_of_its_complexity(argon):
    best = [i for c in range(11) for i in argon.examine(c).best]
    best = front(argon.polished(best))
    assert [i.complexity for i in best] == sorted({i.complexity for i in best})
    assert {str(tree_of(form_of(coded))) for coded in best[-1].coded_terms} == {"x^-12", "x^-6"}
    assert best[-1].complexity == 10
    assert best[-1].error < 1e-6 < 1e-3 < best[-2].error


def test_lennard_jones_is_found_in_tabulated_data(shared_data):
    from symreg import config
    from symreg.runs.pipeline.preparation import prepare

    terms = {"r_cut": 7.5, "r_on": 4.355, "cutoff": "poet"}
    data = {"train": [str(shared_data / "lennard_jones_argon.extxyz")]}
    prepared = prepare(config.from_dict({"data": data, "terms": terms}))
    forms = list_forms(prepared.design.keys, 10)
    examiner = Examiner(forms, Fitter(prepared.design))
    last = front(examiner.polished([i for c in range(11) for i in examiner.examine(c).best]))[-1]
    expression = Expression(terms_from(last.coded_terms, prepared.design.keys), last.weights)
    weight = {str(t.tree): w for t, w in zip(expression.terms, expression.weights, strict=True)}
    assert set(weight) == {"x^-12", "x^-6"}
    sigma = prepared.lengths.r0 * (-weight["x^-12"] / weight["x^-6"]) ** (1 / 6)
    assert sigma == pytest.approx(3.350, rel=1e-3)


def test_results_come_back_from_arrays(argon):
    best = argon.examine(8).best
    assert same(from_arrays(to_arrays(best)), best)


def test_a_plan_holds_every_place_once(forms):
    chunks = plan(forms, 500)
    assert all(chunk.stop - chunk.start <= 500 for chunk in chunks)
    for c, size in forms.sizes.items():
        places = [k for chunk in chunks if chunk.complexity == c for k in range(*chunk[1:])]
        assert places == list(range(size))
    assert [chunk.complexity for chunk in chunks] == sorted(chunk.complexity for chunk in chunks)


@pytest.fixture
def exhaustive(argon):
    search = Exhaustive(Examiner(argon.forms, argon.fitter, argon.settings))
    search.chunks = plan(argon.forms, 20)
    return search


def test_a_search_counts_all_forms_and_keeps_the_best_of_each_complexity(argon, exhaustive):
    *_, last = exhaustive.search()
    assert last.examined == sum(argon.forms.counts.values())
    assert last.chunks == len(exhaustive.chunks)
    assert same(last.best, [i for c in range(11) for i in argon.examine(c).best])
    assert same(exhaustive.front(last), front(argon.polished(last.best)))


def test_an_interrupted_search_goes_on_to_the_same_end(exhaustive):
    states = list(exhaustive.search())
    half = Tally.from_arrays(states[len(states) // 2].to_arrays())
    assert half.examined == states[len(states) // 2].examined < states[-1].examined
    *_, last = exhaustive.search(half)
    assert last.examined == states[-1].examined
    assert same(last.best, states[-1].best)
    assert list(exhaustive.search(last)) == []


@pytest.mark.slow
def test_workers_find_the_same(argon_design, argon, exhaustive, tmp_path):
    *_, here = exhaustive.search()
    design, forms = tmp_path / "design.npz", tmp_path / "forms.npz"
    argon_design.save(design)
    save_forms(forms, argon.forms)
    assert coded_forms(load_forms(forms, argon.forms.keys), 10) == coded_forms(argon.forms, 10)
    with Crew(processes(2)) as crew:
        files = {"source": Source(str(design), "abc"), "file": str(forms)}
        elsewhere = Exhaustive(
            Examiner(argon.forms, argon.fitter, argon.settings), crew=crew, **files
        )
        elsewhere.chunks = exhaustive.chunks
        *_, there = elsewhere.search()
    assert there.examined == here.examined
    assert same(there.best, here.best)


def test_progress_through_another_list_is_refused(argon, exhaustive):
    first = next(exhaustive.search())
    other = Exhaustive(Examiner(argon.forms, argon.fitter, argon.settings))
    assert other.chunks != exhaustive.chunks
    with pytest.raises(ValueError, match="is not what it was when the search began"):
        next(other.search(first))
    starts = replace(argon.settings, starts=argon.settings.starts + 1)
    assert Exhaustive(Examiner(argon.forms, argon.fitter, starts)).identity != other.identity
    again = Exhaustive(Examiner(argon.forms, argon.fitter, argon.settings))
    assert again.identity == other.identity


def test_forms_with_triplets_may_be_more_complex_than_those_of_pairs_alone():
    every = list_forms(SILICON, 15, 8)
    fewer = list_forms(SILICON, 15, 8, pair_limit=9)
    assert 0 < fewer.with_triplets == every.with_triplets
    assert sum(fewer.counts.values()) < sum(every.counts.values())
    for c in range(10):
        assert fewer.counts[c] == every.counts[c]
    for c in range(10, 16):
        forms = coded_forms(fewer, c)
        assert all(any(form_of(coded)[0] == "product" for coded in form) for form in forms)
    assert Forms.from_arrays(SILICON, fewer.to_arrays()).counts == fewer.counts


def test_no_forms_are_no_result(argon):
    assert argon.examine(4).count == 0
    assert argon.polished([]) == []
    assert best_of([], 3) == []


def test_the_best_of_equal_errors_do_not_depend_on_the_order():
    trees = [build("powi", -n, X) for n in range(2, 8)]
    equal = [Individual((coded_of(0, tree),), error=1.0) for tree in trees]
    assert [i.coded_terms for i in best_of(equal, 3)] == [
        i.coded_terms for i in best_of(equal[::-1], 3)
    ]


@pytest.mark.parametrize("name", ["starts", "kept"])
def test_settings_that_find_nothing_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} is 0; it must be at least 1"):
        ExamineSettings(**{name: 0})


def test_separable_forms_of_silicon_beat_pairs_alone(silicon_design):
    limit = 13
    forms = list_forms(silicon_design.keys, limit, 10)
    examiner = Examiner(forms, Fitter(silicon_design), ExamineSettings(starts=2))
    found = examiner.examine(limit).best
    assert found[0].complexity == limit
    assert any(form_of(coded)[0] == "product" for coded in found[0].coded_terms)
    pairs = list_forms(silicon_design.keys[:1], limit, 10)
    alone = Examiner(pairs, Fitter(silicon_design), ExamineSettings(starts=2)).examine(limit).best
    assert not alone or found[0].error < alone[0].error
