"""The benchmark of success rates: what it takes for the true form, and what it does not."""

from dataclasses import replace

import pytest

from symreg.terms import Term, expression_of

R0 = 2.5


@pytest.fixture(scope="module")
def cases():
    from rediscovery_cases import CASES

    return CASES


def is_found(case, expression, noisy=False):
    from rediscovery_matching import agree, normal

    return any(agree(normal(expression), true, noisy) for true in case.references(R0))


def pairs(*parts):
    return expression_of([(weight, f"Cu-Cu: {text}") for weight, text in parts])


def scaled(expression, factor):
    """The expression with all constants in its trees scaled."""
    terms = tuple(
        term.with_constants([factor * c for c in term.constants]) for term in expression.terms
    )
    return replace(expression, terms=terms)


def test_every_true_form_is_recognised_however_it_is_written(cases):
    for case in cases.values():
        for parts in (case.parts, *case.others):
            assert is_found(case, case.truth(R0, parts)), case.name


def test_constants_must_be_within_a_thousandth_or_with_noise_within_a_quarter(cases):
    for case in cases.values():
        truth = case.truth(R0)
        if any(term.constants for term in truth.terms):
            assert is_found(case, scaled(truth, 1.00001)), case.name
            assert not is_found(case, scaled(truth, 1.01)), case.name
            assert not is_found(case, scaled(truth, 2.0), noisy=True), case.name
        assert not is_found(case, replace(truth, weights=[1.01 * w for w in truth.weights]))


def test_a_product_is_multiplied_out(cases):
    first, second = cases["morse"].truth(R0).terms
    weights = cases["morse"].truth(R0).weights
    a = second.constants[0]
    assert first.constants[0] == pytest.approx(2 * a)
    ratio = -weights[1] / weights[0]
    product = pairs((weights[0], f"exp({a!r}*x)*(exp({a!r}*x) - {ratio!r})"))
    assert is_found(cases["morse"], product)


def test_another_exponent_a_further_term_or_a_missing_one_is_another_form(cases):
    truth = cases["lennard_jones"].truth(R0)
    steep, flat = truth.weights
    assert is_found(cases["lennard_jones"], pairs((flat, "x^-6"), (steep, "x^-12")))
    for wrong in (
        pairs((steep, "x^-13"), (flat, "x^-6")),
        pairs((steep, "x^-12.0001"), (flat, "x^-6")),
        pairs((steep, "x^-12"), (flat, "x^-6"), (1e-9, "x")),
        pairs((steep, "x^-12")),
    ):
        assert not is_found(cases["lennard_jones"], wrong, noisy=True)


def test_scales_inside_of_sums_do_not_matter(cases):
    truth = cases["sutton_chen"].truth(R0)
    written = replace(
        truth,
        terms=(truth.terms[0], Term.read("Cu: sqrt(4*sum(x^-6))")),
        weights=(truth.weights[0], 0.5 * truth.weights[1]),
    )
    assert is_found(cases["sutton_chen"], written)


def test_both_halves_have_hard_and_easy_cases_and_share_none(cases):
    tuned = {c.name for c in cases.values() if c.tuned}
    assert len(tuned) == 6
    assert not tuned & {c.name for c in cases.values() if c.published}


def test_wilson_interval_of_ten_of_ten():
    from rediscovery import wilson

    assert wilson(10, 10) == pytest.approx((0.722, 1.0), abs=1e-3)
    assert wilson(5, 10) == pytest.approx((0.237, 0.763), abs=1e-3)


def test_quantiles_count_misses_as_later_than_all():
    from rediscovery import quantile

    assert quantile([3.0, None, 1.0, 2.0], 0.5) == "2.0"
    assert quantile([3.0, None, 1.0, 2.0], 0.9) == "-"
