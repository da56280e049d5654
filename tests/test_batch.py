"""Candidates as flat arrays: the one place where trees are encoded, and what does not fit."""

import math

import numpy as np
import pytest

from symreg.fit.programs import batch as arrays
from symreg.fit.programs.batch import (
    MAX_CONSTANTS,
    MAX_NODES,
    ROWS,
    CodedTerm,
    decode,
    encode,
    encoded,
    fits,
    pack,
)
from symreg.fit.programs.evaluation import differentiate, evaluate
from symreg.fit.sums.pairs import PairKind
from symreg.language import Shape, Tree, text
from symreg.language.canonical import shaped
from symreg.language.operators import OPERATORS, REAL, Operator
from symreg.searching.variation import Variation, VariationSettings
from symreg.terms import Key, Term
from symreg.terms.kinds import Kind, register, unregister

PAIR, TRIPLET, FUNCTION = Key.of("O", "Si"), Key.of("Si", "O", "Si"), Key.of("Si")
KEYS = PAIR, TRIPLET, FUNCTION
TEXTS = (
    "O-Si: x",
    "O-Si: 2.5",
    "O-Si: 7",
    "O-Si: a*(x^-7 - exp(-2*x))/sqrt(x + 3) - log(a*x)^(0.3*x)",
    "O-Si: -x^64",
    "Si-O-Si: x1^-2*x2^-2*(c + b)^2",
    "Si-O-Si: 1*1*c",
    "Si-O-Si: exp(-a*x1)*(x2 + b*c) - 0.25",
    "Si: sqrt(sum(exp(-a*x)))",
    "Si: a*sum_O(x^-6)^0.5 - sum(x^-6)*sum_O(a*x)",
    "Si: log(1.5 + sum_O_Si(exp(-b*x1)*exp(-b*x2)*(c + 0.4)^2))/sum(1)",
    "Si: sum_O_O(x1*x2*c) + sum(x1*x2*c)^2",
)


def terms(*texts):
    return [Term.read(text, {"a": 1.25, "b": -0.5}) for text in texts]


# There and back


def test_candidates_are_packed_one_after_the_other():
    argon, mixed = Key.of("Ar", "Ar"), Key.of("Ar", "Kr")
    candidates = [["Ar-Kr: x^-6.5", "Ar-Ar: a*x - a"], [], ["Ar-Ar: 2"]]
    packed = pack(
        [[Term.read(t, {"a": 3.0}) for t in texts] for texts in candidates], [argon, mixed]
    )
    batch = encode(packed)
    assert batch.term_start.tolist() == [0, 2, 2, 3]
    assert batch.key.tolist() == [1, 0, 0]
    assert batch.node_start.tolist() == [0, 3, 8, 9]
    assert batch.constant_start.tolist() == [0, 1, 2, 2]
    assert batch.constants.tolist() == [-6.5, 3.0]
    # sub mul a x a: both a are the term's first constant
    assert batch.code[3:8].tolist() == [4, 5, 1, 0, 1]
    assert batch.arg[3:8].tolist() == [0, 0, 0, 0, 0]


@pytest.mark.parametrize("text", TEXTS)
def test_every_kind_of_tree_is_decoded(text):
    (coded_terms,) = pack([terms(text)], KEYS)
    ((again,),) = decode(encode([coded_terms]))
    assert again == coded_terms[0]
    assert again.shape is coded_terms[0].shape
    term = Term.at(KEYS[again.key], Tree(again.shape, again.constants))
    assert [one.species for one in term.sums] == [one.species for one in terms(text)[0].sums]
    assert term.tree.text() == terms(text)[0].tree.text()


def test_batches_are_decoded_with_the_constants_that_they_hold_now():
    candidates = pack([terms(*TEXTS[3:6]), [], terms(*TEXTS), terms(TEXTS[0])], KEYS)
    batch = encode(candidates)
    assert decode(batch) == candidates
    moved = decode(batch._replace(constants=batch.constants + 0.5))
    for coded_terms, old in zip(moved, candidates, strict=True):
        for coded, start in zip(coded_terms, old, strict=True):
            assert coded.shape is start.shape
            assert coded.constants == tuple(c + 0.5 for c in start.constants)
    assert decode(encode([])) == []


def test_one_candidate_is_a_batch_of_its_own():
    candidates = pack([terms(*TEXTS[3:6]), [], terms(*TEXTS[:4])], KEYS)
    batch = encode(candidates)
    for k, coded_terms in enumerate(candidates):
        alone, expected = batch.candidate(k), encode([coded_terms])
        for found, same in zip(alone, expected, strict=True):
            np.testing.assert_array_equal(found, same)


def test_variables_are_known_by_their_place_and_their_name():
    trees = {"x": 0, "x1": 0, "x2": 1, "c": 2, "s1": 0, "s7": 6}
    args = {name: int(encoded(Shape((name,))).arg[0]) for name in trees}
    assert {name: arg % ROWS for name, arg in args.items()} == trees
    assert len(set(args.values())) == len(args)
    for name, arg in args.items():
        alone = int(encoded(Shape((name,)), alone=True).arg[0])
        assert (alone % ROWS, alone // ROWS) == (0, arg // ROWS)


def test_term_of_another_key_is_refused_with_those_that_there_are():
    with pytest.raises(
        ValueError, match=r"no place for the term O-O: x; there is for O-Si, Si;O-Si"
    ):
        pack([terms("O-O: x")], KEYS)


@pytest.fixture
def squares():
    """Another kind of sum, as an extension registers it."""
    register(Kind("squares", ("x",), 1, PairKind, "nowhere:Squares"))
    yield
    unregister("squares")


def test_another_kind_of_sum_leaves_the_arrays_of_others_as_they_are(request):
    text = "Si: sum_O(x^-6) - sum(x1*x2*c)*sum_O_Si(x1*x2*1)"
    (coded_terms,) = pack([terms(text)], KEYS)
    before = encode([coded_terms])
    request.getfixturevalue("squares")
    encoded.cache_clear()
    for found, expected in zip(encode([coded_terms]), before, strict=True):
        np.testing.assert_array_equal(found, expected)
    arrays._decoded.cache_clear()
    assert decode(before) == [coded_terms]


@pytest.mark.usefixtures("squares")
def test_sums_of_another_kind_are_decoded():
    (coded_terms,) = pack([terms("Si: sqrt(squares_O(x^-6) + sum_O(x^-6) + squares(a*x))")], KEYS)
    assert decode(encode([coded_terms])) == [coded_terms]


# What does not fit


def chain(nodes):
    """A sum of so many nodes, an odd number."""
    root = ("x",)
    for _ in range(nodes // 2):
        root = ("add", root, ("x",))
    return Shape(root)


def sum_of_constants(count):
    root = ("const", 0)
    for k in range(1, count):
        root = ("add", ("const", k), root)
    return shaped(valued_by_number(root))[0]


def valued_by_number(node):
    """A form with a value for each constant, as variation has it."""
    if node[0] == "const":
        return "const", float(node[1])
    return (node[0], *map(valued_by_number, node[1:]))


def test_largest_shapes_fit_and_no_larger_ones():
    largest, most = chain(MAX_NODES - 1), sum_of_constants(MAX_CONSTANTS)
    for shape in (largest, most):
        assert fits(shape)
        assert (
            decode(encode([[CodedTerm(0, shape, (0.5,) * shape.n_constants)]]))[0][0].shape is shape
        )
    for shape in (chain(MAX_NODES + 1), sum_of_constants(MAX_CONSTANTS + 1)):
        assert not fits(shape)
        with pytest.raises(ValueError, match=f"at most {MAX_NODES} and {MAX_CONSTANTS} are possib"):
            encode([[CodedTerm(0, shape, (0.5,) * shape.n_constants)]])


def test_largest_shapes_are_computed():
    x, one = np.linspace(0.5, 2.0, 700)[None, :], np.empty(0)
    value, (slope,) = differentiate(*encoded(chain(MAX_NODES - 1)), one, x, False)
    np.testing.assert_allclose(value, MAX_NODES // 2 * x[0], rtol=1e-13)
    np.testing.assert_allclose(slope, MAX_NODES // 2)
    constants = np.arange(1.0, MAX_CONSTANTS + 1)
    shape = sum_of_constants(MAX_CONSTANTS)
    value, slopes = differentiate(*encoded(shape), constants, x, True)
    np.testing.assert_allclose(value, constants.sum())
    np.testing.assert_array_equal(slopes, np.ones((MAX_CONSTANTS, 700)))


def test_deepest_shapes_are_computed():
    # Both operands wait for each other: all leaves are on the stack before the first is used.
    root = ("x",)
    for _ in range(MAX_NODES // 2 - 1):
        root = ("sub", ("x",), root)
    shape, x = Shape(root), np.array([[0.3, 1.7]])
    assert fits(shape)
    leaves = MAX_NODES // 2
    expected = x[0] if leaves % 2 else 0 * x[0]
    np.testing.assert_allclose(evaluate(*encoded(shape), np.empty(0), x), expected, atol=1e-12)


def test_variation_makes_nothing_that_does_not_fit(monkeypatch):
    settings = VariationSettings(max_complexity=10**6, max_nonlinear=10**6, max_terms=10**6)
    variation = Variation(settings, [Key.of("Ar", "Ar")])
    fine, large = (
        CodedTerm(0, shape, ()) for shape in (chain(MAX_NODES - 1), chain(MAX_NODES + 1))
    )
    assert variation._is_allowed(fine)
    assert not variation._is_allowed(large)
    many = sum_of_constants(MAX_CONSTANTS + 1)
    assert not variation._is_allowed(CodedTerm(0, many, (0.5,) * many.n_constants))
    # The limit is one number: of smaller room, smaller trees.
    encoded.cache_clear()
    monkeypatch.setattr(arrays, "MAX_NODES", 9)
    rng = np.random.default_rng(0)
    for coded_terms in variation.random(300, rng):
        assert all(encoded(coded.shape).code.size <= 9 for coded in coded_terms)
    encoded.cache_clear()


# Operators that are written out


def with_operator(monkeypatch, definition, name="tanh", number=math.tanh):
    """Another row of the table, computed by what it is in other operators."""
    row = Operator(
        name, 99, 1, 4, np.tanh, number, "tanh", ("1 - f^2",), REAL, "bounded",
        definition=definition,
    )  # fmt: skip
    monkeypatch.setitem(OPERATORS, name, row)
    encoded.cache_clear()
    monkeypatch.setattr(arrays, "_NAMES", {**arrays._NAMES, 99: name})
    defined = arrays._defined()
    monkeypatch.setattr(arrays, "_DEFINED", {**arrays._DEFINED, **defined})
    longest = max(len(before) + len(after) for before, after in defined.values())
    monkeypatch.setattr(arrays, "_LONGEST", longest)


DEFINITIONS = "1 - 2/(exp(2*u) + 1)", "-(2/(1 + exp(2*u)) - 1)"


@pytest.fixture(autouse=True)
def forgotten():
    """No shape of one table is remembered with another."""
    yield
    encoded.cache_clear()
    arrays._decoded.cache_clear()


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_operator_with_a_definition_needs_no_compiled_code(monkeypatch, definition):
    with_operator(monkeypatch, definition)
    x = np.linspace(-2.0, 2.0, 9)[None, :]
    shape = Shape(("mul", ("const", 0), ("tanh", ("mul", ("const", 1), ("x",)))))
    constants = np.array([1.5, 0.7])
    value, slopes = differentiate(*encoded(shape), constants, x, True)
    tanh = np.tanh(0.7 * x[0])
    np.testing.assert_allclose(value, 1.5 * tanh, atol=1e-14)
    np.testing.assert_allclose(slopes, [tanh, 1.5 * x[0] * (1 - tanh**2)], atol=1e-14)


@pytest.mark.parametrize("definition", DEFINITIONS)
@pytest.mark.parametrize(
    "root",
    [
        ("tanh", ("x",)),
        ("tanh", ("tanh", ("sub", ("x",), ("const", 0)))),
        ("sub", ("tanh", ("const", 0)), ("neg", ("sub", ("int", 1), ("x",)))),
        ("product", ("tanh", ("x",)), ("powi", 2, ("tanh", ("c",)))),
        ("tanh", ("sum", ("pairs", "sum", "O"), ("tanh", ("x",)))),
    ],
)
def test_operator_with_a_definition_is_found_again(monkeypatch, definition, root):
    with_operator(monkeypatch, definition)
    shape = Shape(root)
    coded = CodedTerm(0, shape, (0.5,) * shape.n_constants)
    assert decode(encode([[coded]])) == [(coded,)]


def test_operators_that_are_written_out_count_with_all_their_nodes(monkeypatch):
    with_operator(monkeypatch, DEFINITIONS[0])
    root = ("x",)
    for n in range(1, MAX_NODES):
        root = ("tanh", root)
        nodes = 1 + 9 * n  # sub 1 div 2 add exp mul 2 u 1, without u
        assert fits(Shape(root)) == (nodes <= MAX_NODES)
        if nodes > MAX_NODES:
            break


@pytest.mark.parametrize(
    ("definition", "fault"),
    [
        ("u^3", "begin with an operator, but no integer power"),
        ("u", "begin with an operator"),
        ("1.5*u", "hold integers and no constants"),
        ("u*exp(u)", "hold u once"),
        ("1 + exp(2)", "hold u once"),
    ],
)
def test_definition_that_cannot_be_written_out_is_refused(monkeypatch, definition, fault):
    with pytest.raises(ValueError, match=f"the definition of tanh must {fault}.*: "):
        with_operator(monkeypatch, definition)


def test_definition_by_an_operator_that_is_defined_itself_is_refused(monkeypatch):
    with_operator(monkeypatch, DEFINITIONS[0])
    monkeypatch.setattr(text, "FUNCTIONS", (*text.FUNCTIONS, "tanh"))
    row = OPERATORS["tanh"]._replace(name="other", code=98, definition="2*tanh(u)")
    monkeypatch.setitem(OPERATORS, "other", row)
    with pytest.raises(ValueError, match="the definition of other must do without tanh"):
        arrays._defined()
