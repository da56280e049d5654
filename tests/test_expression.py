import ast
import json
import math
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest

import symreg.language
from symreg.language import Shape, Tree, combine, number_text, parse
from symreg.language.operators import CONST, INT, OPERATORS, PRODUCT, SUM, VARIABLE, WEIGHT_COST
from symreg.terms import Expression, Key, Sum, Term
from symreg.terms import expression_of as read

X = np.linspace(0.6, 2.4, 50)
AR = Key.of("Ar", "Ar")


def expression_of(*parts):
    return read([(weight, f"Ar-Ar: {text}") for weight, text in parts])


# Reading


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("x", X),
        ("7", 7 + 0 * X),
        ("2 + 3*x", 2 + 3 * X),
        ("8 - 3 - 2", 3 + 0 * X),
        ("8/4/2*x", X),
        ("2*x^2", 2 * X**2),
        ("x^-12", X**-12),
        ("-x^2", -(X**2)),
        ("(-x)^2", X**2),
        ("-2^2", -4 + 0 * X),
        ("2^3^2", 512 + 0 * X),
        ("x^-2^2", X**-4),
        ("x^-n^2", X**-9),
        ("x**3", X**3),
        ("x^2.5", X**2.5),
        ("x^(-1.5*x)", X ** (-1.5 * X)),
        ("3*-x", -3 * X),
        ("--x", X),
        ("exp(-x)*log(x + 1)/sqrt(x)", np.exp(-X) * np.log(X + 1) / np.sqrt(X)),
        (" 1e-3*x +\t.5 ", 1e-3 * X + 0.5),
        ("2.e1*x", 20 * X),
    ],
)
def test_formula_is_read_as_it_is_written(text, value):
    np.testing.assert_allclose(parse(text, {"n": 3.0})(X), value, rtol=1e-14)


def test_integer_is_a_literal_and_a_number_with_point_or_exponent_a_constant():
    assert parse("2*x^-12 + 3").constants == ()
    assert parse("2.0*x^-12.5 + 1e2").constants == (2.0, 12.5 * -1, 100.0)


def test_name_is_one_constant_wherever_it_stands():
    tree = parse("4*((sigma/x)^12 - (sigma/x)^6) + b", {"sigma": 1.1})
    assert tree.names == ("sigma", "b")
    assert tree.constants == (1.1, 1.0)
    assert tree.named == {"sigma": 1.1, "b": 1.0}
    np.testing.assert_allclose(tree(X), 4 * ((1.1 / X) ** 12 - (1.1 / X) ** 6) + 1)


def test_variable_may_have_another_name():
    np.testing.assert_allclose(parse("r^-6", variable="r")(X), X**-6)
    with pytest.raises(ValueError, match="the distance is called r here"):
        parse("x^-6", variable="r")
    with pytest.raises(ValueError, match="the distance is called x here"):
        parse("r^-6")


@pytest.mark.parametrize(
    ("text", "caret", "why"),
    [
        ("", 0, "expected a number, a name or '('"),
        ("   ", 0, "expected a number"),
        ("x +", 3, "expected a number, a name or '('"),
        ("x + * 2", 4, "expected a number, a name or '('"),
        ("x 2", 2, "expected an operator or the end"),
        ("2x", 1, "expected an operator or the end"),
        ("(x + 1", 6, "expected ')'"),
        ("x + 1)", 5, "expected an operator or the end"),
        ("x ^ ^ 2", 4, "expected a number"),
        ("exp x", 4, "expected '(' after exp"),
        ("1 + sin(x)", 4, "sin is no function; there are exp, log, sqrt"),
        ("x(2)", 1, "expected an operator or the end"),
        ("x % 2", 2, "unexpected character"),
        ("x; y", 1, "unexpected character"),
        ("x.real", 1, "unexpected character"),
        ("1.5.2", 3, "expected an operator or the end"),
        ("x + 'a'", 4, "unexpected character"),
        ("[x]", 0, "unexpected character"),
        ("x[0]", 1, "unexpected character"),
        ("1 < x", 2, "unexpected character"),
        ("x^65", 2, "exponents end at 64"),
        ("1 + x^-65", 6, "exponents end at 64"),
        ("x - 1e309", 4, "numbers end at 1.8e308"),
        ("1234567890123456", 0, "at most 15 digits"),
    ],
)
def test_what_is_no_formula_is_refused_with_its_place(text, caret, why):
    with pytest.raises(ValueError, match=re.escape(why)) as caught:
        parse(text)
    first, shown, mark = str(caught.value).split("\n")
    assert first.startswith("formula cannot be read: ")
    assert shown == f"  {text}"
    assert mark.index("^") - 2 == caret


@pytest.mark.parametrize("part", ["(", "exp(", "-", "-(", "x^", "x^-", "2*x^-(1 - "])
def test_endless_nesting_is_refused_before_python_gives_up(part):
    with pytest.raises(ValueError, match="more than 80 levels"):
        parse(1500 * part + "x")


@pytest.mark.parametrize(
    "text", ["+".join(500 * ["x"]), 10**6 * "x", "1." + 10**6 * "0", 10**6 * "("]
)
def test_formulas_without_end_are_refused_in_a_line(text):
    with pytest.raises(ValueError, match="it has more than") as caught:
        parse(text)
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize(
    "text",
    ["a*x^-6 + 9^9^9", "(9^64)^64", "(2*x)^(9^9)", "(1000001/1000000)^(9^9)", "(1/9)^(9^9)*x",
     "a*exp(999999999999999*log(2))", "sqrt(exp(exp(exp(9))) - 7)", "x^(9^9^9)", "2^-(9^9)"],
)  # fmt: skip
def test_integers_that_explode_are_refused_before_anything_computes_with_them(text):
    with pytest.raises(ValueError, match=r"numbers end at 1\.8e308"):
        parse(text)


def test_formula_may_nest_as_deep_as_any_that_is_searched():
    assert parse(70 * "(1 + " + "x" + 70 * ")").complexity == 141


@pytest.mark.parametrize(
    "text",
    ["__import__('os').getcwd()", "exec(x)", "().__class__", "x if x else 1", "lambda: 0", "x\0"],
)
def test_python_in_a_formula_is_refused(text):
    with pytest.raises(ValueError, match="formula cannot be read"):
        parse(text)


def test_reading_never_executes_text():
    folder = Path(symreg.language.__file__).parent
    for path in folder.glob("*.py"):
        names = {n.id for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Name)}
        assert not names & {"eval", "exec", "compile", "__import__", "getattr"}, path.name


# Writing


@pytest.mark.parametrize(
    "text",
    [
        "x^-12 - 2*x^-6",
        "4*((sigma/x)^12 - (sigma/x)^6)",
        "x - (1 - x)",
        "x/(2*x)",
        "(x + 1)^2",
        "(x^2)^3",
        "(-x)^2",
        "-(x^2)",
        "-x^2",
        "x^(-b*x)",
        "x^(y^2)",
        "x^-n",
        "x^2.5",
        "(-2)^2",
        "-(2^2)",
        "-(2.0)",
        "exp(-1.5*x)*(1 + x)",
        "sqrt(log(x + 2.0))",
        "1e-300*x",
    ],
)
def test_written_formula_reads_back_to_the_same_tree(text):
    tree = parse(text)
    assert parse(str(tree), tree.named) == tree


def test_formula_is_written_with_no_more_parentheses_than_needed():
    assert str(parse("((x)^(12)) - ((2)*(x))")) == "x^12 - 2*x"
    assert str(parse("(x*2)*3 + (4 - x)")) == "x*2*3 + (4 - x)"


def test_text_with_numbers_has_as_many_digits_as_asked_for():
    tree = parse("a*x^-12.3456789", {"a": 1 / 3})
    assert str(tree) == "a*x^-12.3456789"
    assert tree.text() == "0.3333333333333333*x^-12.3456789"
    assert tree.text(3) == "0.333*x^-12.3"


@pytest.mark.parametrize("value", [3.0, -1.0, 1e22, 1e-5, 123456789.0])
def test_constant_is_written_so_that_it_is_no_integer(value):
    for digits in (None, 3, 12):
        assert parse(number_text(value, digits)).constants


# Trees


def test_complexity_is_the_sum_of_the_costs_of_nodes():
    #         sub(mul(int, exp(neg(x))), powi(x))
    tree = parse("2*exp(-x) - x^-6")
    ops = ["sub", "mul", "int", "exp", "neg", "x", "powi", "x"]
    assert [node[0] for node in tree.shape.nodes()] == ops
    assert tree.complexity == 1 + 1 + 1 + 4 + 1 + 1 + 2 + 1


def test_operators_that_cost_more_in_dynamics_are_dearer():
    cost = {name: row.cost for name, row in OPERATORS.items()}
    assert cost["add"] == cost["mul"] < cost["div"] < cost["exp"] == cost["pow"]
    codes = [row.code for row in OPERATORS.values()] + [VARIABLE, CONST, INT, PRODUCT, SUM]
    assert len(set(codes)) == len(codes)


def test_other_constants_leave_the_tree_as_it_is():
    tree = parse("a*x^-2.5", {"a": 3.0})
    other = tree.with_constants([5, -1.5])
    assert other.constants == (5.0, -1.5)
    assert (other.shape, other.names) == (tree.shape, tree.names)
    assert tree.constants == (3.0, -2.5)


def test_tree_keeps_the_shape_of_its_points():
    for text in ("x^-2", "3", "2.5"):
        assert parse(text)(np.ones((2, 3))).shape == (2, 3)


def test_tree_outside_its_domain_is_not_a_number_and_does_not_warn():
    x = np.array([-1.0, 0.0, 1.0])
    assert np.isnan(parse("log(x)")(x)[0])
    assert np.isnan(parse("sqrt(x)")(x)[0])
    assert np.isnan(parse("x^2.0")(x)[0])  # a real power needs a positive base
    np.testing.assert_array_equal(parse("x^-1")(x), [-1, np.inf, 1])
    assert np.isnan(parse("0/x")(x)[1])


def test_combined_trees_share_names_and_nothing_else():
    one, two = parse("a*x + 2.0", {"a": 5.0}), parse("a*b + 2.0", {"a": 9.0, "b": 7.0})
    both = combine("sub", one, two)
    assert both.names == ("a", "", "b", "")
    assert both.constants == (5.0, 2.0, 7.0, 2.0)
    np.testing.assert_allclose(both(X), 5 * X + 2 - (5 * 7 + 2))


# Expressions


def test_lennard_jones_has_two_constants():
    found = expression_of((0.05, "x^-12"), (-0.05, "x^-6"))
    assert found.n_constants == 2  # integer exponents are not fitted
    assert found.complexity == 2 * (1 + 2 + WEIGHT_COST)
    assert expression_of((1.0, "x^-12.5"), (1.0, "x^-6")).n_constants == 3


def test_shared_constant_counts_once():
    assert expression_of((1.0, "exp(-2*a*(x - b)) - 2*exp(-a*(x - b))")).n_constants == 3


def test_total_is_the_weighted_sum_of_the_terms_of_a_pair():
    krypton = Term.read("Kr-Kr: x^-9")
    two = expression_of((2.0, "x^-12"), (-3.0, "exp(-1.5*x)"), (-0.5, "1"))
    all_terms = Expression((*two.terms, krypton), (*two.weights, 7.0))
    total = all_terms.total(AR)
    np.testing.assert_allclose(total(X), 2 * X**-12.0 - 3 * np.exp(-1.5 * X) - 0.5)
    assert total.text() == "2.0*x^-12 - 3.0*exp(-1.5*x) - 0.5"
    np.testing.assert_array_equal(all_terms.total(Key.of("Ar", "Kr"))(X), 0)


def test_text_names_species_where_there_are_several():
    assert expression_of((0.123456, "x^-12")).text(3) == "0.123*x^-12"
    two = read([(1.5, "Ar-Ar: x^-12"), (-2.0, "Ar-Kr: x")])
    assert two.text() == "Ar-Ar: 1.5*x^-12; Ar-Kr: -2.0*x"
    one = expression_of((1.5, "x^-12"))
    assert one.text(named=True) == "Ar-Ar: 1.5*x^-12"  # the data hold another pair
    assert two.keys() == [AR, Key.of("Ar", "Kr")]


def test_expression_comes_back_from_json_as_it_was():
    start = {"sigma": 1 / 3}
    terms = (
        Term.read("Ar-Ar: (sigma/x)^12 - 0.1*x", start),
        Term.read("Ar-Kr: x^-6.1"),
    )
    expression = Expression(terms, (1 / 7, -1e-30))
    record = json.loads(json.dumps(expression.to_dict()))
    assert Expression.from_dict(record) == expression


def test_sums_stay_apart_when_their_constants_meet():
    term = Term.read("Cu: sqrt(sum(exp(-a*x))) + sum(exp(-b*x))", {"a": 1.5, "b": 1.6})
    met = term.with_constants([1.5, 1.5])
    assert len(met.sums) == 2
    assert met.constants == (1.5, 1.5)
    assert met.with_constants([1.5, 1.6]) == term
    assert Term.read(str(met), {"a": 1.5, "b": 1.5}) == met


def test_equal_sums_without_constants_are_one():
    assert len(Term.read("Cu: sqrt(sum(x^-6)) + sum(x^-6)").sums) == 1


def test_threads_share_one_shape_of_a_kind():
    switch = sys.getswitchinterval()
    roots = [("powi", 2, ("mul", ("const", 0), ("add", ("int", n), ("x",)))) for n in range(400)]
    start = Barrier(4)

    def make():
        start.wait()
        return [Shape(root) for root in roots]

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            made = [future.result() for future in [threads.submit(make) for _ in range(4)]]
    finally:
        sys.setswitchinterval(switch)
    assert all(len({id(shape) for shape in same}) == 1 for same in zip(*made, strict=True))


def test_constant_tree_is_a_tree():
    tree = Tree(Shape(("const", 0)), (2.5,))
    assert tree.names == ("",)
    np.testing.assert_array_equal(tree(X), 2.5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Term((), parse("1")), "a term needs a sum"),
        (lambda: Term((PAIR,), Tree(Shape(("s3",)))), "holds s3, where one sum exists: s1"),
        (
            lambda: Term((PAIR, OTHER), Tree(Shape(("add", ("s1",), ("s3",))))),
            "holds s3, where 2 sums exist: s1, s2",
        ),
        (lambda: Term((PAIR, OTHER)), "several sums stand in a function"),
        (lambda: Sum("pairs", ("Ar",), parse("x")), "between 2 species, not 1: Ar"),
        (lambda: Sum("rings", ("Ar", "Ar"), parse("x")), "there is no kind of sum 'rings'"),
        (lambda: Sum("pairs", ("Ar", "Ar"), Tree(Shape(("c",)))), "of a function of x, not of c"),
        (lambda: parse("a*x").with_constants([1.0, 2.0]), "has 1 constants, but 2 values are"),
        (
            lambda: Expression.from_dict([{"term": "Ar-Ar: a*x", "weight": 1.0, "constants": NAN}]),
            "constants.a is nan; it must be a number from",
        ),
        (
            lambda: Expression.from_dict(
                [{"term": "Ar-Ar: a*x^b", "weight": 1.0, "constants": ONE_A}]
            ),
            "the term Ar-Ar: a.x.b has the constants a, b; values are given for a",
        ),
        (
            lambda: Expression.from_dict([{"term": "Ar-Ar: x", "weight": 1.0, "constants": ONE_A}]),
            "the term Ar-Ar: x has the constants none; values are given for a",
        ),
        (lambda: Term.read("Ar: sqrt(sum(x)) + s3"), "s3 is the name of a sum and no constant"),
        (lambda: Expression.from_dict([{"weight": 1.0}]), "has no key 'term'"),
        (lambda: Term.read("Ar-Ar: a*x", {"a": math.inf}), "constants must be finite numbers"),
        (lambda: expression_of((math.nan, "x")), "weight of the term .* must be a finite number"),
        (
            lambda: Term((OTHER, PAIR), Tree(Shape(("sub", ("s2",), ("s1",))))),
            "sums are numbered as they appear: .* begins with s2",
        ),
        (
            lambda: Term((PAIR, PAIR), Tree(Shape(("mul", ("s1",), ("s2",))))),
            "a sum without constants is given twice",
        ),
        (
            lambda: Term((Sum("triplets", ("O", "Si", "Hf"), parse("1")),), Tree(Shape(("s1",)))),
            "neighbours Si-Hf are not in order of the alphabet",
        ),
    ],
)
def test_what_is_no_term_is_refused_with_what_was_expected(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


PAIR, OTHER = (Sum("pairs", ("Ar", "Ar"), parse(text)) for text in ("x", "x^2"))
NAN, ONE_A = {"a": float("nan")}, {"a": 1.0}


@pytest.mark.parametrize("name", ["nan", "inf", "Infinity"])
def test_no_constant_has_the_name_of_a_number_that_is_not_finite(name):
    with pytest.raises(ValueError, match=f"{name} is no finite number, and no name of a constant"):
        parse(f"{name}*x")
