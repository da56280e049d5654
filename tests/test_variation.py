import math
import os
import random
import subprocess
import sys
import zlib
from functools import partial, reduce

import numpy as np
import pytest
from coded import coded_of, form_of, over_pairs, over_triplets
from deap import gp

from symreg.fit.programs.batch import MAX_NODES
from symreg.language.canonical import X, build, cost, tree_of
from symreg.language.text import ONE
from symreg.searching.individuals import Individual, n_fitted
from symreg.searching.variation import Variation, VariationSettings
from symreg.searching.variation.kin import Draft
from symreg.searching.variation.limits import is_sane
from symreg.searching.variation.parts import radial_parts
from symreg.searching.variation.rates import MUTATIONS
from symreg.searching.variation.types import (
    DEGREES,
    EXPONENTS,
    Angular,
    Constant,
    Degree,
    Integer,
    Radial,
    Separable,
    Triplet,
    primitive_set,
)
from symreg.terms import Expression, Key, Term
from symreg.terms.kinds import PAIRS, TRIPLETS
from symreg.terms.term import FUNCTION

X6, X12 = ("powi", -6, X), ("powi", -12, X)
MORSE = ("exp", ("mul", ("const", -3.5), X))
KEYS = (Key.of("Ar", "Ar"),)
MIXED = (*KEYS, Key.of("Ar", "Ar", "Ar"))
C = ("c",)
EMBEDDED = (Key.of("Cu", "Cu"), Key.of("Cu"))
ROOT_OF_SUM = ("sqrt", over_pairs(X6))
PAIR, ROOT = coded_of(0, ("powi", -9, X)), coded_of(1, ROOT_OF_SUM)
SW = ("product", MORSE, ("powi", 2, ("add", ("const", 1 / 3), C)))
GENERAL = ("mul", ("powi", -3, ("x1",)), ("exp", ("mul", ("const", -0.4), ("add", ("x2",), C))))


@pytest.fixture(scope="module")
def variation():
    return Variation(VariationSettings(), KEYS)


def order(coded):
    return coded.key, coded.shape.text, coded.constants


def only(monkeypatch, name, keys=KEYS):
    """Let one mutation happen and nothing else."""
    monkeypatch.setattr("symreg.searching.variation.operators.MUTATIONS", ((name, 1.0),))
    return Variation(VariationSettings(crossover_rate=0.0), keys)


def children(variation, *parents, pairs=40, seed=1):
    individuals = [Individual(coded_terms) for coded_terms in parents] * (2 * pairs // len(parents))
    return [child.coded_terms for child in variation.vary(individuals, np.random.default_rng(seed))]


HISTORY = """
import sys
import numpy as np
from symreg.searching.individuals import Individual
from symreg.searching.variation import Variation, VariationSettings
from symreg.terms import Key

other = Key.of("Ar", "Kr") if sys.argv[1] == "pairs" else Key.of("Ar", "Ar", "Ar")
settings = VariationSettings(general=sys.argv[1] == "general")
variation, rng = Variation(settings, [Key.of("Ar", "Ar"), other]), np.random.default_rng(3)
coded_terms = variation.random(60, rng)
for _ in range(4):
    chosen = [Individual(coded_terms[k]) for k in rng.integers(len(coded_terms), size=120)]
    coded_terms = [child.coded_terms for child in variation.vary(chosen, rng)]
print(coded_terms)
"""


@pytest.mark.parametrize(
    "others",
    ["separable", *(pytest.param(o, marks=pytest.mark.slow) for o in ("general", "pairs"))],
)
def test_a_fresh_process_with_other_hashes_makes_the_same_children(others):
    found = [
        subprocess.run(
            [sys.executable, "-c", HISTORY, others],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert found[0] == found[1]
    assert len(found[0]) > 1000


def test_types_have_hashes_that_do_not_depend_on_addresses():
    found = [hash(kind) for kind in (Radial, Constant, Integer)]
    assert found == [2675356108, 840742798, 2511508119]
    kinds = Angular, Triplet, Separable, Degree
    assert [hash(kind) for kind in kinds] == [zlib.crc32(k.__name__.encode()) for k in kinds]


def test_the_state_of_the_global_stream_does_not_matter(variation):
    random.seed(1)
    first = variation.random(20, np.random.default_rng(5))
    random.seed(2)
    assert variation.random(20, np.random.default_rng(5)) == first
    assert variation.random(20, np.random.default_rng(6)) != first


def test_the_primitive_set_is_typed():
    pset = primitive_set()
    assert pset.mapping["powi"].args == [Integer, Radial]
    assert pset.mapping["pow"].args == [Radial, Constant]
    assert [t.value for t in pset.terminals[Integer]] == list(EXPONENTS)
    assert not {0, 1} & set(EXPONENTS)
    assert pset.mapping["product"].args == [Radial, Angular]
    assert pset.mapping["product"].ret is pset.ret is Separable
    assert pset.mapping["powi_c"].args == [Degree, Angular]
    assert [t.value for t in pset.terminals[Degree]] == list(DEGREES)
    assert min(DEGREES) > 1
    # A constant may stand in functions of every kind; no function of one kind may in another.
    kinds = Radial, Angular, Triplet, Separable
    assert all(issubclass(Constant, kind) for kind in kinds[:3])
    for one in kinds:
        assert [issubclass(one, other) for other in kinds] == [one is other for other in kinds]


def test_rates_of_mutations_sum_to_one():
    assert sum(rate for _, rate in MUTATIONS) == pytest.approx(1.0)


def test_a_constant_mutation_keeps_the_form_and_the_sign(monkeypatch):
    made = children(only(monkeypatch, "constant"), (coded_of(0, MORSE),))
    trees = [form_of(coded) for (coded,) in made]
    values = [tree[1][1][1] for tree in trees]
    assert all(value < 0 for value in values)
    assert len(set(values)) > 30
    assert all(tree[0] == "exp" and tree[1][2] == X for tree in trees)


def test_an_exponent_mutation_shifts_a_power_or_gives_x_one(monkeypatch):
    variation = only(monkeypatch, "exponent")
    exponents = {form_of(coded)[1] for (coded,) in children(variation, (coded_of(0, X6),))}
    assert exponents <= {-9, -8, -7, -6, -5, -4, -3}
    assert len(exponents) > 4
    assert {form_of(coded)[0] for (coded,) in children(variation, (coded_of(0, X),))} == {"powi"}


def test_a_drop_leaves_at_least_one_term(monkeypatch):
    variation = only(monkeypatch, "drop")
    pair = (coded_of(0, X12), coded_of(0, X6))
    assert {len(coded_terms) for coded_terms in children(variation, pair)} == {1}
    assert all(children(variation, (coded_of(0, X12),)))


def test_an_added_term_leaves_the_others(monkeypatch):
    made = children(only(monkeypatch, "add"), (coded_of(0, X12),))
    assert all(coded_of(0, X12) in coded_terms for coded_terms in made)
    assert max(map(len, made)) > 1


POWER = ("powi", -14, ("add", ("const", 2.0), X))


def test_a_high_power_of_a_sum_becomes_its_exponential_limit(monkeypatch):
    made = set(children(only(monkeypatch, "limit"), (coded_of(0, POWER),)))
    assert made == {(coded_of(0, ("exp", ("mul", ("const", -7.0), X))),)}
    x = np.linspace(0.9, 1.1, 5)
    power, limit = (tree_of(tree)(x) for tree in (POWER, ("exp", ("mul", ("const", -4.67), X))))
    np.testing.assert_allclose(power / power[2], limit / limit[2], rtol=0.01)


@pytest.mark.parametrize("name", [name for name, _ in MUTATIONS])
def test_every_mutation_makes_something_new(monkeypatch, name):
    parent = (
        coded_of(0, X12),
        coded_of(0, ("mul", MORSE, X6)),
        coded_of(0, ONE),
        coded_of(0, POWER),
    )
    assert set(children(only(monkeypatch, name), parent)) - {parent}


@pytest.mark.parametrize("name", [name for name, _ in MUTATIONS])
def test_every_mutation_of_three_body_terms_makes_something_new(monkeypatch, name):
    steep = coded_of(1, ("product", POWER, C))
    parent = (coded_of(0, X12), coded_of(1, SW), coded_of(1, GENERAL), steep)
    variation = only(monkeypatch, name, MIXED)
    made = set(children(variation, parent, pairs=120)) - {tuple(sorted(parent, key=order))}
    key = 0 if name == "borrow" else 1  # a borrowed radial factor makes pair terms above all
    parts = {tuple(coded for coded in coded_terms if coded.key == key) for coded_terms in made}
    kept = tuple(coded for coded in sorted(parent, key=order) if coded.key == key)
    assert len(parts - {kept}) > (name != "limit")


def test_a_constant_mutation_changes_radial_and_angular_factors(monkeypatch):
    parent = coded_of(0, X12), coded_of(1, SW)
    made = children(only(monkeypatch, "constant", MIXED), parent, pairs=100)
    trees = {form_of(coded) for coded_terms in made for coded in coded_terms if coded.key == 1}
    assert len({tree[1] for tree in trees}) > 30
    assert len({tree[2] for tree in trees}) > 30
    assert {tree[0] for tree in trees} == {"product"}


def test_exponents_of_angular_functions_stay_small_and_positive(monkeypatch):
    parent = coded_of(0, X12), coded_of(1, ("product", X6, ("powi", 4, C)))
    made = children(only(monkeypatch, "exponent", MIXED), parent)
    angular = {
        form_of(coded)[2] for coded_terms in made for coded in coded_terms if coded.key == 1
    } - {C}
    assert {part[0] for part in angular} == {"powi"}
    assert {4} < {part[1] for part in angular} <= set(DEGREES)


def test_a_constant_three_body_function_can_be_varied_on():
    # A number has no variable; taken for radial it would become a function of x.
    variation = Variation(VariationSettings(general=True), MIXED)
    coded_terms = variation._tidy([coded_of(0, X12), Draft(1, ("const", 2.5))])
    assert coded_terms == (coded_of(0, X12), coded_of(1, ("product", ONE, ONE)))
    made = {
        form_of(g) for found in children(variation, coded_terms, pairs=200) for g in found if g.key
    }
    assert ("product", ONE, ONE) in made
    for tree in made:
        Expression((Term.at(MIXED[1], tree_of(tree)),), (1.0,)).text()
        assert MIXED[1].parse(str(tree_of(tree))) == tree_of(tree)


def test_a_separable_parent_has_separable_children():
    variation = Variation(VariationSettings(crossover_rate=0.5), MIXED)
    other = coded_of(1, ("product", X, ("exp", ("mul", ("const", 0.3), C))))
    made = children(
        variation, (coded_of(0, X12), coded_of(1, SW)), (coded_of(0, X6), other), pairs=300
    )
    found = {form_of(coded) for coded_terms in made for coded in coded_terms if coded.key == 1}
    assert len(found) > 30
    assert {tree[0] for tree in found} == {"product"}
    assert any(tree[1] == X and tree[2] == SW[2] for tree in found)  # factors are exchanged


def test_individuals_have_terms_of_the_kinds_asked_for():
    alone = Variation(VariationSettings(), MIXED, overs=(TRIPLETS,))
    rng = np.random.default_rng(0)
    individuals = [Individual(coded_terms) for coded_terms in alone.random(50, rng)]
    made = [child.coded_terms for child in alone.vary(individuals, rng)]
    assert len(made) > 10
    assert {g.key for coded_terms in made for g in coded_terms} == {1}
    assert alone.is_whole((coded_of(1, SW),))
    assert not alone.is_whole(())
    assert not Variation(VariationSettings(), MIXED).is_whole((coded_of(1, SW),))


def test_pair_terms_borrow_radial_functions(monkeypatch):
    monkeypatch.setattr("symreg.searching.variation.operators.MUTATIONS", (("borrow", 1.0),))
    settings = VariationSettings(crossover_rate=0.0)
    lender = Variation(settings, MIXED, overs=(PAIRS,), loans=(MORSE,))
    made = children(lender, (coded_of(0, X6), coded_of(0, X12)))
    envelope = {build("mul", tree, MORSE) for tree in (X6, X12)}
    found = {frozenset(form_of(coded) for coded in coded_terms) for coded_terms in made}
    assert frozenset((X6, X12, MORSE)) in found  # one more
    assert {frozenset((X6, build("mul", X12, MORSE))), frozenset(envelope)} <= found
    mixed = children(Variation(settings, MIXED), (coded_of(0, X6), coded_of(1, SW)))
    assert {form_of(coded_terms[-1])[1] for coded_terms in mixed} == {MORSE, X6}


def test_too_many_constants_are_not_born():
    few = Variation(VariationSettings(max_nonlinear=1), MIXED)
    assert few._tidy([coded_of(0, MORSE)])
    assert not few._tidy([coded_of(0, MORSE), coded_of(1, SW)])


def test_crossover_mixes_the_terms_of_two_parents():
    variation = Variation(VariationSettings(crossover_rate=1.0), KEYS)
    made = children(variation, (coded_of(0, X12),), (coded_of(0, MORSE),))
    assert (coded_of(0, MORSE),) in made
    assert tuple(sorted((coded_of(0, X12), coded_of(0, MORSE)), key=order)) in made


def test_a_child_is_as_old_as_its_oldest_parent():
    variation = Variation(VariationSettings(crossover_rate=1.0), KEYS)
    parents = [Individual((coded_of(0, X12),), born=3), Individual((coded_of(0, X6),), born=8)]
    made = variation.vary(parents * 5, np.random.default_rng(0))
    assert {child.born for child in made} == {3}


def test_children_beyond_a_limit_are_not_born():
    variation = Variation(VariationSettings(max_complexity=5), KEYS)
    made = children(variation, (coded_of(0, X12),), (coded_of(0, X6),))
    assert all(len(coded_terms) == 1 for coded_terms in made)


def test_limits_that_leave_no_individual_are_refused():
    # It went on for ever.
    variation = Variation(VariationSettings(max_complexity=7), MIXED, overs=(TRIPLETS,))
    with pytest.raises(ValueError, match="max_complexity is 7: hardly any formula of three-body"):
        variation.random(2, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("complexity", "constants", "named"),
    [(60, 1, "max_constants is 1: hardly any formula of pair and three-body terms has as few"),
     (7, 30, "max_complexity is 7: hardly any formula of pair and three-body terms is as short")],
)  # fmt: skip
def test_the_limit_that_leaves_no_individual_is_named(complexity, constants, named, monkeypatch):
    monkeypatch.setattr("symreg.searching.variation.operators.MOST_TRIES", 10)
    limits = VariationSettings(max_complexity=complexity, max_constants=constants)
    with pytest.raises(ValueError, match=named):
        Variation(limits, MIXED).random(20, np.random.default_rng(0))


def test_the_fewest_constants_that_a_run_file_allows_leave_individuals():
    keys = [Key.of(*["Si"] * n) for n in (2, 3, 1)]
    limits = VariationSettings(max_complexity=30, max_constants=len(keys))
    made = Variation(limits, keys).random(20, np.random.default_rng(0))
    assert max(n_fitted(coded_terms) for coded_terms in made) == 3


def test_a_tree_that_compiled_code_has_no_room_for_is_not_born():
    variation = Variation(VariationSettings(max_complexity=10 * MAX_NODES), KEYS)
    tree = X
    while cost(tree) <= MAX_NODES:
        tree = ("mul", tree, ("add", X, tree))
    assert not variation._tidy([Draft(0, tree)])


def test_constants_that_are_not_finite_are_not_born(variation):
    for value in (math.nan, math.inf):
        assert not variation._tidy([Draft(0, ("exp", ("mul", ("const", value), X)))])


def test_a_power_of_a_power_is_not_born(variation):
    assert not variation._tidy([Draft(0, ("powi", -8, ("powi", -9, X)))])
    assert not variation._tidy([Draft(0, ("powi", -25, X))])


def test_an_exponent_out_of_the_set_survives_the_way_through_deap(variation):
    tree = variation.trees.deap(("powi", -24, X), Radial)
    assert isinstance(tree, gp.PrimitiveTree)
    assert variation.trees.nested(tree) == ("powi", -24, X)


# Functions of neighbour sums


def tidy(*coded_terms, overs=None):
    return Variation(VariationSettings(), EMBEDDED, overs=overs)._tidy(coded_terms)


def test_a_bare_neighbour_sum_is_a_pair_function():
    assert tidy(PAIR, Draft(1, over_pairs(X12))) == tuple(
        sorted((PAIR, coded_of(0, X12)), key=order)
    )
    linear = build("add", ("mul", ("const", 2.0), over_pairs(X12)), ROOT_OF_SUM)
    assert set(tidy(PAIR, Draft(1, linear))) == {PAIR, coded_of(0, X12), ROOT}


def test_beside_free_pair_functions_a_bare_sum_is_nothing():
    assert tidy(ROOT, Draft(1, over_pairs(X12)), overs=(FUNCTION,)) == (ROOT,)
    assert tidy(Draft(1, over_pairs(X12)), overs=(FUNCTION,)) == ()


@pytest.mark.parametrize(
    "tree",
    [
        ("log", over_pairs(X6)),
        ("powi", -1, over_pairs(X6)),
        ("div", over_pairs(X6), over_pairs(X12)),
        ("pow", over_pairs(X6), ("const", -0.5)),
        ("pow", over_pairs(X6), ("const", 7.5)),
        build(
            "mul",
            over_pairs(X),
            build("mul", ROOT_OF_SUM, ("exp", ("mul", over_pairs(X6), over_pairs(X12)))),
        ),
    ],
    ids=["log", "inverse", "ratio", "negative power", "steep power", "four sums"],
)
def test_what_has_no_value_for_an_atom_alone_or_too_many_sums_is_not_bred(tree):
    assert tidy(PAIR, Draft(1, tree)) == ()


SUMS = [over_pairs(("powi", -n, X)) for n in (3, 5, 7, 8)]


@pytest.mark.parametrize("most", [1, 2, 4])
def test_functions_hold_no_more_sums_than_allowed(most):
    limited = Variation(VariationSettings(max_sums=most), EMBEDDED)
    for count in (1, 2, 3, 4):
        tree = ("sqrt", reduce(partial(build, "add"), SUMS[:count]))
        assert bool(limited._tidy([PAIR, Draft(1, tree)])) == (count <= most)
    drawn = limited.random(600, np.random.default_rng(0))
    made = [*drawn, *children(limited, *drawn, pairs=150)]
    shapes = [coded.shape for coded_terms in made for coded in coded_terms if coded.key == 1]
    counts = {sum(node[0] == "sum" for node in shape.nodes()) for shape in shapes}
    assert counts == set(range(1, max(counts) + 1))
    assert min(most, 3) <= max(counts) <= most


def test_fitted_constants_may_be_limited_weights_included():
    limited = Variation(VariationSettings(max_constants=3), EMBEDDED)
    assert limited._tidy([PAIR, ROOT]) != ()
    assert limited._tidy([PAIR, ROOT, coded_of(0, MORSE)]) == ()
    for coded_terms in limited.random(50, np.random.default_rng(0)):
        assert n_fitted(coded_terms) <= 3


@pytest.mark.parametrize("name", ["factor", "borrow", "point", "subtree", "insert", "exponent"])
def test_mutations_keep_functions_of_neighbour_sums_what_they_are(monkeypatch, name):
    variation = only(monkeypatch, name, EMBEDDED)
    for coded_terms in children(variation, (PAIR, ROOT)):
        for coded in coded_terms:
            assert bool(radial_parts(form_of(coded))) == (coded.key == 1)


def test_a_factor_is_replaced_inside_or_around_a_sum(monkeypatch):
    found = [
        next(form_of(coded) for coded in coded_terms if coded.key == 1)
        for coded_terms in children(only(monkeypatch, "factor", EMBEDDED), (PAIR, ROOT))
        if {coded.key for coded in coded_terms} == {0, 1}
    ]
    inside = [tree for tree in found if tree[0] == "sqrt" and tree != ROOT_OF_SUM]
    around = [tree for tree in found if radial_parts(tree) == [X6] and tree[0] != "sqrt"]
    assert inside
    assert around


def test_pairs_borrow_what_is_summed(monkeypatch):
    borrowed = [
        form_of(coded)
        for coded_terms in children(
            only(monkeypatch, "borrow", EMBEDDED), (coded_of(0, MORSE), ROOT)
        )
        for coded in coded_terms
        if coded.key == 0
    ]
    assert X6 in borrowed
    assert build("mul", MORSE, X6) in borrowed


BEND = over_triplets(("product", X6, ("powi", 2, ("add", ("const", 0.3), C))))
WITH_TRIPLETS = (EMBEDDED[0], Key.of("Cu", "Cu", "Cu"), EMBEDDED[1])


def test_sums_over_every_two_neighbours_need_three_body_terms():
    bent = ("sqrt", BEND)
    assert tidy(PAIR, Draft(1, bent)) == ()
    allowed = Variation(VariationSettings(), WITH_TRIPLETS)
    assert coded_of(2, bent) in allowed._tidy([PAIR, Draft(2, bent)])


def test_a_bare_sum_over_every_two_neighbours_is_a_three_body_function():
    variation = Variation(VariationSettings(), WITH_TRIPLETS)
    assert set(variation._tidy([PAIR, Draft(2, BEND)])) == {PAIR, coded_of(1, BEND[2])}


def test_what_scales_a_product_scales_its_sum():
    scaled = ("product", ("mul", ("const", 3.0), X6), ("mul", ("const", -2.0), C))
    head = ("triplets", "sum")
    bare = over_triplets(("product", X6, C))
    assert build("sum", head, scaled) == ("mul", ("const", -18.0), bare)


@pytest.mark.parametrize(("slope", "sane"), [(1e-6, False), (-1e-6, False), (0.5, True)])
def test_a_step_so_flat_that_it_is_a_line_is_refused(slope, sane):
    tree = build("tanh", build("mul", ("const", slope), X))
    assert is_sane(coded_of(0, build("add", X, tree))) == sane
