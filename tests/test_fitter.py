from dataclasses import replace
from itertools import pairwise

import ase.io
import numpy as np
import pytest
from argon_fits import (
    AR,
    CUTOFF,
    EPSILON,
    LOSS,
    R0,
    SIGMA,
    START,
    numbers,
    residual,
    terms,
    with_numbers,
)
from scipy.optimize import least_squares

from symreg.fit.design import build_design
from symreg.fit.loss import LossSettings
from symreg.fit.programs.batch import encode, pack
from symreg.fit.projected.fitter import POLISH, QUICK, FitSettings, Fitter
from symreg.fit.projected.judging import CANCELLING, DEPENDENT, FITTED, NOT_FINITE, TAIL
from symreg.structures import from_atoms
from symreg.terms import Expression, Key, Term
from symreg.terms.cutoff import Cutoff
from symreg.terms.known import FORMS, terms_of_form
from symreg.terms.lengths import Lengths


def fitted_by_scipy(fitter, start, errors=residual):
    """All numbers of these terms by another program, and one that knows nothing of weights."""
    guess = fitter.weigh(Expression(start, (1.0,) * len(start)))
    return least_squares(
        lambda values: errors(fitter, with_numbers(guess, values)),
        numbers(guess),
        x_scale="jac",
        xtol=1e-15,
        ftol=1e-15,
        gtol=1e-15,
        max_nfev=2000,
    )


@pytest.fixture(scope="module")
def argon(argon_images):
    """Lennard-Jones labels without noise."""
    return Fitter(
        build_design(
            from_atoms(argon_images), Lengths(CUTOFF, None, R0), loss=LOSS, fixed_e0={"Ar": 0.0}
        )
    )


@pytest.fixture(scope="module")
def mixture(two_elements):
    """Noisy labels of two elements."""
    return Fitter(build_design(two_elements, Lengths(CUTOFF, None, R0), loss=LOSS))


# The fit


@pytest.mark.parametrize(
    "form", [f for f in FORMS if f.name != "Tang-Toennies"], ids=lambda f: f.name
)
def test_fit_is_that_of_scipy_over_all_constants(argon, form):
    start = terms_of_form(form, [AR])
    found, loss = argon.refit(start)
    by_scipy = fitted_by_scipy(argon, start)
    # Where the form is that of the labels nothing is left but the rounding of their sums.
    assert loss == pytest.approx(by_scipy.cost + 0.5 * argon.problem.rest, rel=1e-8, abs=1e-12)
    np.testing.assert_allclose(numbers(found), by_scipy.x, rtol=2e-4)


def test_fit_of_two_elements_is_that_of_scipy(mixture):
    keys = mixture.design.keys
    texts = [(f"x^-1{n}.5", "x^-6") for n, _ in enumerate(keys)]  # else constants were tied
    pairs = zip(keys, texts, strict=True)
    start = tuple(Term.at(key, key.parse(text)) for key, own in pairs for text in own)
    found, loss = mixture.refit(start)
    by_scipy = fitted_by_scipy(mixture, start)
    assert loss == pytest.approx(by_scipy.cost + 0.5 * mixture.problem.rest, rel=1e-9)
    np.testing.assert_allclose(numbers(found), by_scipy.x, rtol=1e-4)


def test_known_constants_are_recovered(argon):
    found, loss = argon.refit(terms("x^-12.5", "x^-6.5"))
    w12, w6, n12, n6 = numbers(found)
    assert [-n12, -n6] == pytest.approx([12, 6], rel=1e-8)
    assert w12 == pytest.approx(4 * EPSILON * (SIGMA / R0) ** 12, rel=1e-8)
    assert w6 == pytest.approx(-4 * EPSILON * (SIGMA / R0) ** 6, rel=1e-8)
    assert argon.design.error(loss) < 1e-8


def test_shared_name_is_one_constant_of_the_fit(argon):
    found, _ = argon.refit(terms("(s/x)^12 - (s/x)^6"))
    assert found.terms[0].tree.names == ("s",)
    assert numbers(found) == pytest.approx([4 * EPSILON, SIGMA / R0], rel=1e-8)


def test_lennard_jones_of_the_public_argon(shared_data):
    # Made with eps = 0.012340 eV and sigma = 3.350 Å; tabulated, so known to 0.1 %.
    structures = from_atoms(ase.io.read(shared_data / "lennard_jones_argon.extxyz", index=":"))
    cutoff = Cutoff(kind="poet", r_cut=7.5, r_on=4.355)
    fitter = Fitter(build_design(structures, Lengths(cutoff, None, R0), loss=LossSettings()))
    found, loss = fitter.refit(terms("x^-12", "x^-6"))
    w12, w6 = found.weights
    assert w6**2 / (4 * w12) == pytest.approx(0.012340, rel=1e-3)
    assert R0 * (-w12 / w6) ** (1 / 6) == pytest.approx(3.350, rel=1e-3)
    assert fitter.design.error(loss) < 0.01
    assert found.n_constants == 2


def test_fit_never_ends_above_its_start(mixture):
    start = terms("exp(-9.0*x)", "x^-7.5")
    weighed = mixture.weigh(Expression(start, (1.0, 1.0)))
    losses = [mixture.loss(weighed)]
    harder = FitSettings(max_steps=0), FitSettings(max_steps=1), QUICK, POLISH
    losses += [mixture.refit(start, settings)[1] for settings in harder]
    assert losses[1] == pytest.approx(losses[0], rel=1e-9)
    assert (np.diff(losses[1:]) <= 0).all()


def test_start_far_away_ends_finite(argon):
    for start in ("exp(-90.0*x)", "x^-40.5", "exp(-0.01*x)", "1/(1 + exp(7.0*(x - 1.5)))"):
        found, loss = argon.refit(terms(start, "x^-6"))
        assert np.isfinite(loss)
        assert np.isfinite(numbers(found)).all()


# Batches

CANDIDATES = (
    ("x^-12", "x^-6"),
    ("exp(-11.0*x)", "x^-6.2", "1"),
    ("exp(-2*a*(x - b)) - 2*exp(-a*(x - b))",),
    ("log(x - 1.0)",),
    ("1/(x - 1.2)", "x^-6"),
    ("x^-6", "x^-12.3", "x^-6"),
    ("exp(800.0*x)",),
    ("(a + b)*x^-6", "x^-9.5"),
    ("3.5",),
    ("x^-12.5", "x^-6.5"),
)
OUTCOMES = [FITTED, FITTED, FITTED, NOT_FINITE, TAIL, DEPENDENT, NOT_FINITE, FITTED, FITTED, FITTED]


def result(fitter, candidates):
    """Loss, outcome, fingerprint, weights and constants of each candidate."""
    return rows_of(fitter.fit(pack([terms(*texts) for texts in candidates], fitter.design.keys)))


def rows_of(fits):
    starts, constants = fits.batch.term_start, fits.batch.constant_start
    rows = []
    for k, (first, last) in enumerate(pairwise(starts)):
        row = [fits.losses[k], float(fits.outcomes[k])]
        if np.isfinite(fits.losses[k]):
            row += [*fits.fingerprints[k], *fits.weights[first:last]]
            row += [*fits.batch.constants[constants[first] : constants[last]]]
        rows.append(np.array(row))
    return rows


def test_each_candidate_has_an_outcome(argon):
    found = result(argon, CANDIDATES)
    assert [int(row[1]) for row in found] == OUTCOMES
    for row in found:
        assert np.isfinite(row[0]) == (row[1] in (FITTED, DEPENDENT))
        assert row[0] > 0


def test_fit_does_not_depend_on_its_neighbours_in_the_batch(argon):
    together = result(argon, CANDIDATES)
    order = [7, 0, 9, 3, 5, 1, 8, 2, 6, 4]
    turned = result(argon, [CANDIDATES[k] for k in order])
    for place, k in enumerate(order):
        assert turned[place].tobytes() == together[k].tobytes()
        assert result(argon, [CANDIDATES[k]])[0].tobytes() == together[k].tobytes()


def test_batch_keeps_the_starting_values(argon):
    batch = encode(pack([terms("x^-12.5", "x^-6.5")], [AR]))
    fits = argon.fit_arrays(batch)
    assert batch.constants.tolist() == [-12.5, -6.5]
    assert fits.batch.constants.tolist() != [-12.5, -6.5]


def test_fitted_candidates_have_their_shapes_and_fitted_constants(argon):
    candidates = pack([terms("x^-12.5", "x^-6"), (), terms("exp(-a*x)/(x + b)")], [AR])
    fits = argon.fit(candidates)
    fitted, found = fits.coded_terms(candidates), fits.batch.constants.tolist()
    assert [c for coded_terms in fitted for coded in coded_terms for c in coded.constants] == found
    for coded_terms, old in zip(fitted, candidates, strict=True):
        assert [coded.key for coded in coded_terms] == [coded.key for coded in old]
        assert all(
            coded.shape is start.shape for coded, start in zip(coded_terms, old, strict=True)
        )
    assert found != [
        c for coded_terms in candidates for coded in coded_terms for c in coded.constants
    ]


def test_batch_may_be_empty(argon):
    fits = argon.fit(pack([], [AR]))
    assert fits.losses.size == fits.weights.size == 0


def test_candidate_without_terms_is_the_label_spread(argon):
    fits = argon.fit(pack([[]], [AR]))
    total = argon.problem.target @ argon.problem.target + argon.problem.rest
    assert fits.losses[0] == pytest.approx(0.5 * total)


def test_redundant_terms_get_no_weight(argon):
    twice, loss = argon.refit(terms("x^-12", "3*x^-12", "x^-6"))
    once, expected = argon.refit(terms("x^-12", "x^-6"))
    assert twice.weights[1] == 0
    assert loss == pytest.approx(expected)
    assert twice.weights[::2] == pytest.approx(once.weights)


def test_terms_of_different_pairs_are_not_redundant(mixture):
    same = [Term.at(key, key.parse("x^-6")) for key in mixture.design.keys]
    fits = mixture.fit(pack([same], mixture.design.keys))
    assert fits.outcomes.tolist() == [FITTED]
    assert (fits.weights != 0).all()


def test_candidates_of_equal_residual_have_equal_fingerprints(argon):
    one, same, other = result(
        argon, [("x^-12", "x^-6"), ("x^-6*3", "2*x^-12 - x^-6"), ("x^-12", "x^-7")]
    )
    np.testing.assert_allclose(one[2:4], same[2:4], atol=1e-9)
    assert np.abs(one[2:4] - other[2:4]).max() > 1e-6


def test_fit_with_a_pole_is_no_good_fit_however_well_it_looks_on_the_nodes(argon):
    found, loss = argon.refit(terms("1/(x - 1.2)", "x^-12", "x^-6"))
    assert loss == np.inf
    assert argon.loss(found) < np.inf  # which is what its node values alone would say


# Given constants


def test_loss_and_residual_are_those_of_numpy(mixture):
    start = tuple(
        Term.at(key, key.parse("a*x^-6.5 - exp(-b*x)", START)) for key in mixture.design.keys
    )
    expression = Expression(start, (0.01, -0.02, 0.03))
    gap = residual(mixture, expression)
    np.testing.assert_allclose(mixture.residual(expression), gap, atol=1e-9 * np.abs(gap).max())
    assert mixture.loss(expression) == pytest.approx(0.5 * (gap @ gap + mixture.problem.rest))


def test_columns_are_the_derivatives_of_the_predictions(mixture):
    keys = mixture.design.keys
    start = tuple(Term.at(key, key.parse("x^-6.5 - exp(-b*x)", {"b": 2.0})) for key in keys[:2])
    expression = Expression(start, (0.01, -0.02))
    columns, at = mixture.columns(expression), numbers(expression)
    assert columns.shape == (mixture.problem.target.size, 2 + 4)
    for k, value in enumerate(at):
        h = 1e-6 * max(1.0, abs(value))
        up, down = (
            residual(mixture, with_numbers(expression, at + s * h * np.eye(6)[k])) for s in (1, -1)
        )
        numeric = (up - down) / (2 * h)
        np.testing.assert_allclose(columns[:, k], numeric, atol=1e-6 * np.abs(numeric).max())


def test_best_weights_are_those_of_least_squares(argon):
    rough = Expression(terms("x^-11.0", "x^-6"), (1.0, 1.0))
    weighed = argon.weigh(rough)
    columns = argon.columns(rough)[:, :2]
    expected = np.linalg.lstsq(columns, argon.problem.target, rcond=None)[0]
    assert weighed.weights == pytest.approx(expected)
    assert weighed.terms == rough.terms


def test_nothing_is_weighed_where_a_term_is_not_a_number(argon):
    wrong = Expression(terms("log(x - 1.0)", "x^-6"), (1.0, 1.0))
    assert argon.weigh(wrong) == wrong


@pytest.mark.parametrize(("exponent", "outcome"), [("12.0", FITTED), ("6.001", CANCELLING)])
def test_terms_that_nearly_cancel_are_no_candidate(argon, exponent, outcome):
    # The difference of two powers of nearly one exponent is a derivative in disguise.
    batch = pack([terms("x^-6", f"x^-{exponent}")], [AR])
    fits = argon.fit(batch, FitSettings(max_steps=0))
    assert fits.outcomes[0] == outcome
    assert np.isfinite(fits.losses[0]) == (outcome == FITTED)


@pytest.mark.parametrize("before", ["x^-11.0", "exp(-5.0*x)", "x^-6"])
def test_fit_without_a_finite_jacobian_does_not_depend_on_the_candidate_before(argon, before):
    texts = ("sqrt(exp(-9.0*x^6))",)
    alone = result(argon, [texts])[0]
    assert result(argon, [(before,), texts])[1].tobytes() == alone.tobytes()


# Three-body terms

SI2, SI3 = Key.of("Si", "Si"), Key.of("Si", "Si", "Si")
FAR, NEAR = Cutoff(kind="septic", r_cut=5.0, r_on=3.0), Cutoff(kind="septic", r_cut=4.2, r_on=2.52)
STILLINGER_WEBER = "exp(-a*(x1 - 1))*exp(-a*(x2 - 1))*(c + b)^2"


def silicon_terms(*texts, **start):
    """Terms of pairs in x and of triplets in x1, x2 and c; no function has a c in its name."""
    keys = [SI3 if "x1" in text or "c" in text else SI2 for text in texts]
    return tuple(
        Term.at(key, key.parse(text, start)) for key, text in zip(keys, texts, strict=True)
    )


@pytest.fixture(scope="module")
def exact_silicon(silicon_images):
    """Stillinger-Weber-like labels without noise."""
    design = build_design(
        from_atoms(silicon_images), Lengths(FAR, NEAR, 2.35), loss=LOSS, fixed_e0={"Si": 0.0}
    )
    return Fitter(design)


@pytest.fixture(scope="module")
def silicon_fitter(silicon_design):
    """Noisy labels."""
    return Fitter(silicon_design)


def numpy_residual(fitter, expression):
    """Weighted errors from node values by numpy."""
    problem = fitter.problem
    return problem.matrix @ fitter.coordinates(expression) - problem.target


@pytest.mark.parametrize(
    "text",
    [
        STILLINGER_WEBER,
        "exp(-a*(x1 + x2 - 2))*(c + b)^2",
        "exp(-a*(x1 - 1))*exp(-a*(x2 - 1))*(c^2 + 2*b*c + b^2)",
    ],
    ids=["separable", "general", "other angular factor"],
)
def test_stillinger_weber_is_recovered_from_other_constants(exact_silicon, silicon_like, text):
    start = silicon_terms("x^-7.2", "x^-4.4", text, a=2.7, b=0.6)
    found, loss = exact_silicon.refit(start)
    weights = silicon_like.repulsion, -silicon_like.attraction, silicon_like.bend
    constants = -8, -4, silicon_like.k * silicon_like.a, 1 / 3
    # Labels move by 1e-4 of their spread when what the data hardly feel is left out.
    assert numbers(found) == pytest.approx([*weights, *constants], rel=2e-4)
    spread = 0.5 * float(exact_silicon.problem.target @ exact_silicon.problem.target)
    assert exact_silicon.design.error(loss) < 1e-3 * exact_silicon.design.error(spread)
    assert exact_silicon.fit(pack([start], exact_silicon.design.keys)).outcomes[0] == FITTED


@pytest.mark.parametrize(
    "texts",
    [
        ("x^-8.0", "x^-4.0", STILLINGER_WEBER),
        ("x^-8", "x^-4", "x1^-2.0*x2^-2.0*(c + b)^2", "1*1*c"),
        ("x^-8", "x^-4.0", "exp(-a*(x1 + x2))*(c + b)^2", "x1*x2*c"),
        ("x^-8.0", "x^-4.0", "exp(-a*x1 - 3*x2)*(c + b)^2"),
    ],
    ids=["Stillinger-Weber", "two separable", "general and separable", "leaning"],
)
def test_three_body_fit_is_that_of_scipy_over_all_constants(silicon_fitter, texts):
    start = silicon_terms(*texts, a=3.2, b=0.4)
    found, loss = silicon_fitter.refit(start)
    by_scipy = fitted_by_scipy(silicon_fitter, start, numpy_residual)
    assert np.isfinite(loss)
    assert loss == pytest.approx(by_scipy.cost + 0.5 * silicon_fitter.problem.rest, rel=1e-8)
    np.testing.assert_allclose(numbers(found), by_scipy.x, rtol=1e-3)


TRIPLET_CANDIDATES = (
    (STILLINGER_WEBER, "x^-8"),
    ("exp(-a*(x1 + x2))*(c + b)^2", "x^-8.1"),
    ("x1*x2*c", "2*x1*x2*c", "x^-4"),
    ("x1^2*x2^2*c", "(x1*x2)^2*c", "x1*x2*c^2"),
    ("x1*x2*c^2", "x1*x2*(1 - c^2)", "x1*x2*1"),
    ("log(x1 - 1.0)*log(x2 - 1.0)*c", "x^-4"),
    ("x1*x2*log(c)", "x^-4"),
    ("log(x1 - x2)*c",),
    ("exp(800.0*x1)*exp(800.0*x2)*c",),
    ("x1*x2*exp(900.0*c)", "x^-4"),
    ("x1*x2/c", "x^-8"),
    ("x1*x2*exp(-200*(c - 0.1)^2)",),
    ("1/(x1 + x2 - 2.2)",),
    ("1/(x - 1.2)", "x1*x2*c"),
    ("x1*x2*(c + 1/3)^2", "1"),
    ("x^-8",),
)
TRIPLET_OUTCOMES = [
    FITTED, FITTED, DEPENDENT, DEPENDENT, DEPENDENT, NOT_FINITE, NOT_FINITE, NOT_FINITE,
    NOT_FINITE, NOT_FINITE, TAIL, TAIL, TAIL, TAIL, FITTED, FITTED,
]  # fmt: skip


def silicon_result(fitter, candidates):
    """Loss, outcome, fingerprint, weights and constants of each candidate."""
    packed = [silicon_terms(*texts, a=2.7, b=0.6) for texts in candidates]
    return rows_of(fitter.fit(pack(packed, fitter.design.keys)))


def test_each_candidate_with_triplets_has_an_outcome(silicon_fitter):
    found = silicon_result(silicon_fitter, TRIPLET_CANDIDATES)
    assert [int(row[1]) for row in found] == TRIPLET_OUTCOMES
    for row in found:
        assert np.isfinite(row[0]) == (row[1] in (FITTED, DEPENDENT))


def test_fit_with_triplets_does_not_depend_on_its_neighbours_in_the_batch(silicon_fitter):
    together = silicon_result(silicon_fitter, TRIPLET_CANDIDATES)
    order = np.random.default_rng(0).permutation(len(TRIPLET_CANDIDATES))
    turned = silicon_result(silicon_fitter, [TRIPLET_CANDIDATES[k] for k in order])
    for place, k in enumerate(order):
        assert turned[place].tobytes() == together[k].tobytes()
        alone = silicon_result(silicon_fitter, [TRIPLET_CANDIDATES[k]])[0]
        assert alone.tobytes() == together[k].tobytes()


def test_redundant_three_body_terms_get_no_weight(silicon_fitter):
    twice, loss = silicon_fitter.refit(silicon_terms("x^-8", "x1*x2*c", "x1*x2*c*2", "x^-4"))
    once, expected = silicon_fitter.refit(silicon_terms("x^-8", "x1*x2*c", "x^-4"))
    assert twice.weights[2] == 0
    assert loss == pytest.approx(expected)
    assert twice.weights[:2] == pytest.approx(once.weights[:2])
    # The same function, once as a product and once as it is.
    mixed, _ = silicon_fitter.refit(silicon_terms("x1^2*x2^2*c", "(x1*x2)^2*c", "x^-8"))
    assert mixed.weights[1] == 0


@pytest.mark.parametrize(("exponent", "outcome"), [("-1.0", FITTED), ("-2.001", CANCELLING)])
def test_three_body_terms_that_nearly_cancel_are_no_candidate(silicon_fitter, exponent, outcome):
    texts = "x1^-2*x2^-2*(c + 1/3)^2", f"x1^{exponent}*x2^{exponent}*(c + 1/3)^2", "x^-8"
    batch = pack([silicon_terms(*texts)], silicon_fitter.design.keys)
    fits = silicon_fitter.fit(batch, FitSettings(max_steps=0))
    assert fits.outcomes[0] == outcome
    assert np.isfinite(fits.losses[0]) == (outcome == FITTED)
    generous = replace(POLISH, max_steps=0, most_cancellation=np.inf)
    assert silicon_fitter.fit(batch, generous).outcomes[0] == FITTED


def test_columns_with_triplets_are_the_derivatives_of_the_predictions(silicon_fitter):
    texts = "a*x^-6.5", STILLINGER_WEBER, "exp(-a*x1)*(x2 + b*c)"
    expression = Expression(silicon_terms(*texts, a=2.7, b=0.6), (0.5, 9.0, -0.3))
    columns, at = silicon_fitter.columns(expression), numbers(expression)
    gap = numpy_residual(silicon_fitter, expression)
    np.testing.assert_allclose(
        silicon_fitter.residual(expression), gap, atol=1e-9 * np.abs(gap).max()
    )
    assert columns.shape == (silicon_fitter.problem.target.size, 3 + 2 + 2 + 2)
    for k, value in enumerate(at):
        step = 1e-6 * max(1.0, abs(value)) * np.eye(at.size)[k]
        up, down = (
            numpy_residual(silicon_fitter, with_numbers(expression, at + s * step)) for s in (1, -1)
        )
        numeric = (up - down) / (2 * step[k])
        np.testing.assert_allclose(columns[:, k], numeric, atol=1e-6 * np.abs(numeric).max())


def test_grid_of_pairs_may_be_coarser_than_that_of_triplets(silicon):
    design = build_design(silicon, Lengths(FAR, NEAR, 2.35), loss=LOSS, n_nodes=8)
    fitter = Fitter(design)
    texts = "x", STILLINGER_WEBER, "exp(-a*(x1 + x2))*(c + 0.8)"
    batch = pack([silicon_terms(*texts, a=3.2, b=0.4)], design.keys)
    fits = fitter.fit(batch, FitSettings(max_steps=0))
    assert fits.outcomes[0] == FITTED
    made = Expression(silicon_terms(*texts, a=3.2, b=0.4), (1.0, 1.0, 1.0))
    assert fits.losses[0] == pytest.approx(fitter.loss(fitter.weigh(made)), rel=1e-9)
