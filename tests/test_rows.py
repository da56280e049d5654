import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from labelled_copper import (
    CUTOFF,
    EMBEDDED,
    FREE,
    GUPTA,
    PAIR,
    R0,
    THREE,
    labelled,
    labelled_copper,
)
from numpy.testing import assert_allclose

from symreg.fit.design import build_design
from symreg.fit.design.design import solve
from symreg.fit.errors import training_loss
from symreg.fit.exact import ExactPath
from symreg.fit.loss import LossSettings
from symreg.fit.programs.batch import pack
from symreg.fit.projected.fitter import AS_IT_IS, AS_IT_STANDS, POLISH, QUICK, Fitter
from symreg.fit.projected.judging import CANCELLING, DEPENDENT, FITTED, NOT_FINITE, TAIL
from symreg.fit.rows import DirectFitter, Labelled, all_rows, rows, screening_rows
from symreg.fit.sums import base
from symreg.language import combine
from symreg.structures import from_atoms
from symreg.terms import Expression, Key, Term, expression_of
from symreg.terms.lengths import Lengths

WEIGHTS = {"b": 2.0}
PRODUCT = (0.4, "Cu-Cu-Cu: exp(-2.0*x1)*exp(-2.0*x2)*(c + 0.4)^2")


def structures_of(expression, noise=0.0, three_body=False):
    return from_atoms(labelled_copper(expression, noise, THREE if three_body else None))


def fitter_of(structures, three_body=False, screen=False, **changed):
    cutoffs = CUTOFF, THREE if three_body else None
    design = build_design(
        structures,
        Lengths(*cutoffs, R0),
        loss=LossSettings(),
        group_weights=WEIGHTS,
        many_body=True,
        **changed,
    )
    lengths = Lengths(*cutoffs, R0)
    every = all_rows(structures, design, lengths)
    few = screening_rows(structures, design, lengths) if screen else None
    return DirectFitter(Fitter(design), every, every if few is None else few)


@pytest.fixture(scope="module")
def copper():
    return structures_of(expression_of(GUPTA), noise=0.02)


@pytest.fixture(scope="module")
def fitter(copper):
    return fitter_of(copper)


def exact_loss(structures, fitter, expression, three_body=False):
    path = ExactPath(structures, Lengths(CUTOFF, THREE if three_body else None, R0))
    e0 = dict(zip(["Cu"], fitter.e0(expression), strict=True))
    found = path.predict(expression, e0)
    return training_loss(structures, found, fitter.design.loss, fitter.design.group_weights)


def one(fitter, expression, settings=POLISH):
    return fitter.fit(pack([expression.terms], fitter.design.keys), settings)


# Predictions


@pytest.mark.parametrize(
    "parts",
    [
        GUPTA,
        ((900.0, "Cu-Cu: x^-9"), (-3.0, "Cu: log(1.0 + sum(x^-4)*sum(x^-6))")),
        (*GUPTA, (0.1, "Cu: sum(x^-8)/(2.0 + sum(x^-3) + sum(x^-5))")),
    ],
)
def test_loss_is_that_of_the_exact_path(copper, fitter, parts):
    expression = expression_of(parts)
    found = fitter.loss(expression)
    # The table of slopes is a cubic through points 6e-3 Å apart.
    assert found == pytest.approx(exact_loss(copper, fitter, expression), rel=1e-5)


BENT = (0.5, "Cu: log(1.1 + sum(exp(-2.0*x1)*exp(-2.0*x2)*(c + 0.4)^2)*sum(x^-3))")


def test_loss_with_sums_over_every_two_neighbours_is_that_of_the_exact_path(copper):
    fitter = fitter_of(copper, three_body=True)
    expression = expression_of([*GUPTA, BENT])
    exact = exact_loss(copper, fitter, expression, three_body=True)
    assert fitter.loss(expression) == pytest.approx(exact, rel=1e-5)


def test_sums_over_every_two_neighbours_need_a_cutoff(fitter):
    with pytest.raises(ValueError, match="need a cutoff_three_body"):
        one(fitter, expression_of([*GUPTA, BENT]), AS_IT_STANDS)


def test_terms_of_every_kind_are_weighed_together():
    parts = (*GUPTA, PRODUCT)
    structures = structures_of(expression_of(parts), three_body=True)
    fitter = fitter_of(structures, three_body=True)
    expression = fitter.weigh(expression_of([(1.0, text) for _, text in parts]))
    assert_allclose(expression.weights, [weight for weight, _ in parts], rtol=1e-4)
    exact = exact_loss(structures, fitter, expression, three_body=True)
    assert exact == pytest.approx(fitter.loss(expression), abs=1e-6)
    assert fitter.e0(expression) == pytest.approx(FREE["Cu"], abs=1e-4)


@pytest.mark.parametrize("parts", [GUPTA, (*GUPTA, PRODUCT), (*GUPTA, BENT)])
def test_slopes_by_constants_are_those_of_differences(copper, parts):
    fitter = fitter_of(copper, three_body=True)
    expression = expression_of(parts)
    columns = fitter.columns(expression)
    constants = [c for term in expression.terms for c in term.tree.constants]
    assert columns.shape[1] == len(parts) + len(constants)
    for k, value in enumerate(constants):
        ends = []
        for step in (-1e-4, 1e-4):
            moved = list(constants)
            moved[k] = value + step
            ends.append(fitter.residual(with_constants(expression, moved)))
        slope = (ends[1] - ends[0]) / 2e-4
        assert_allclose(columns[:, len(parts) + k], slope, atol=2e-4 * np.abs(slope).max())


def with_constants(expression, constants):
    rest = list(constants)
    terms = []
    for term in expression.terms:
        own, rest = rest[: len(term.tree.constants)], rest[len(term.tree.constants) :]
        terms.append(term.with_constants(own))
    return replace(expression, terms=tuple(terms))


def test_what_has_no_many_body_terms_stays_on_the_projected_design(fitter):
    expression = expression_of([(0.2, "Cu-Cu: x^-8")])
    assert fitter.loss(expression) == fitter.projected.loss(expression)
    assert_allclose(fitter.columns(expression), fitter.projected.columns(expression))


# Fits


def test_constants_that_made_the_data_are_found_again():
    structures = structures_of(expression_of(GUPTA))
    start = expression_of([(1.0, "Cu-Cu: exp(-7.0*x)"), (1.0, "Cu: sqrt(sum(exp(-4.0*x)))")])
    found, loss = fitter_of(structures).refit(start.terms)
    assert loss < 1e-8
    assert_allclose(found.weights, [2500.0, -19.0], rtol=1e-3)
    assert [t.tree.constants[0] for t in found.terms] == pytest.approx([-9.0, -5.0], rel=1e-4)


def test_a_fit_ends_where_the_loss_is_level(fitter):
    expression, loss = fitter.refit(expression_of(GUPTA).terms)
    assert loss == pytest.approx(fitter.loss(expression), rel=1e-12)
    gradient = fitter.columns(expression).T @ fitter.residual(expression)
    scale = np.linalg.norm(fitter.columns(expression), axis=0) * np.sqrt(2 * loss)
    assert np.abs(gradient / scale).max() < 1e-5


def test_a_batch_of_both_kinds_is_fitted_as_each_alone(fitter):
    every = [
        expression_of([(1.0, "Cu-Cu: x^-8.3")]),
        expression_of(GUPTA),
        expression_of([(1.0, "Cu-Cu: exp(-6.0*x)"), (1.0, "Cu-Cu: x^-4")]),
    ]
    together = fitter.fit(pack([e.terms for e in every], fitter.design.keys), POLISH)
    at = 0
    for k, expression in enumerate(every):
        alone = one(fitter, expression)
        n = len(expression.terms)
        assert together.losses[k] == pytest.approx(alone.losses[0], rel=1e-12)
        assert_allclose(together.weights[at : at + n], alone.weights)
        assert_allclose(together.fingerprints[k], alone.fingerprints[0])
        at += n


def test_a_many_body_term_is_fitted_as_if_beside_the_best_pair_function(fitter):
    free = fitter.beside_any_pairs()
    term = expression_of([(1.0, EMBEDDED)])
    loss = one(free, term).losses[0]
    rows_ = fitter.all.rows
    fitted = one(free, term).expression(term.terms)[0]
    column = fitter._columns(fitted)[:1].T
    problem = replace(fitter.problem, target=rows_.target, rest=0.0)
    n = fitter.design.n_pair_values
    lowest = solve(problem, np.hstack([rows_.free, rows_.matrix[:, :n], column]))[1]
    assert loss == pytest.approx(lowest, rel=1e-6)
    assert loss < one(fitter, expression_of(GUPTA)).losses[0]


def test_pair_terms_are_fitted_as_if_many_body_terms_followed(fitter):
    held, _ = fitter.refit(expression_of(GUPTA).terms)
    around = fitter.around(expression_of([(-19.0, EMBEDDED)]))
    pair = expression_of([(1.0, PAIR)])
    loss = around.fit(pack([pair.terms], fitter.design.keys)).losses[0]
    # The tangent of what is held stands for its constants: near them, that is as good.
    assert loss == pytest.approx(fitter.loss(held), rel=0.02)


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("log(sum(x^-6))", NOT_FINITE),
        ("1/sum(x^-6)", NOT_FINITE),
        ("sum(x^-6)/sum(x^-4)", NOT_FINITE),
        ("sqrt(sum(x - 1.3))", NOT_FINITE),
        ("sqrt(sum(1/(x - 1.3)))", NOT_FINITE),
        ("sum((x - 1.3)^-2)^2", TAIL),
        ("sqrt(sum(x^-6))", FITTED),
        ("sum(x^-6)^0.6", FITTED),
    ],
)
def test_what_is_not_finite_for_an_atom_alone_or_a_dimer_is_no_candidate(fitter, text, outcome):
    fits = one(fitter, expression_of([(1.0, "Cu-Cu: x^-9"), (1.0, f"Cu: {text}")]), AS_IT_STANDS)
    assert fits.outcomes[0] == outcome
    assert np.isfinite(fits.losses[0]) == (outcome == FITTED)


def test_a_form_that_someone_asked_for_may_divide_by_a_sum(copper):
    bound = fitter_of(copper.subset(copper.n_atoms > 1))
    asked = expression_of([(1.0, "Cu-Cu: x^-9"), (1.0, "Cu: 1/sum(x^-6)")])
    assert one(bound, asked, AS_IT_IS).outcomes[0] == FITTED
    assert one(bound, asked).outcomes[0] == NOT_FINITE


def test_terms_that_nearly_cancel_are_refused(fitter):
    parts = ((1.0, "Cu: sqrt(sum(x^-6))"), (1.0, "Cu: sqrt(sum(x^-6.001))"))
    fits = one(fitter, expression_of([(1.0, PAIR), *parts]), AS_IT_STANDS)
    assert fits.outcomes[0] == CANCELLING


def test_a_term_that_the_others_explain_gets_weight_zero(fitter):
    fits = one(fitter, expression_of([*GUPTA, (1.0, "Cu: 2*sqrt(sum(exp(-5.0*x)))")]), AS_IT_STANDS)
    assert fits.outcomes[0] == DEPENDENT
    assert fits.weights[2] == 0


def test_a_hopeless_candidate_is_given_up(fitter):
    (coded_terms,) = pack([expression_of(GUPTA).terms], fitter.design.keys)
    start = [
        [coded._replace(constants=(c,)) for coded, c in zip(coded_terms, (-3.0, -2.0), strict=True)]
    ]
    assert fitter.fit(start, POLISH, np.array([np.inf])).outcomes[0] == FITTED
    assert fitter.fit(start, POLISH, np.array([1e-9])).outcomes[0] == NOT_FINITE


def test_any_number_of_sums_is_fitted(fitter):
    copper = Key.of("Cu")
    tree = copper.parse("sum(x^-2)")
    for n in (3, 4, 5, 6, 7):
        tree = combine("mul", tree, copper.parse(f"sum(x^-{n})"))
        expression = Expression((Term.at(copper, tree),), (1.0,))
        assert len(expression.terms[0].sums) == n - 1
        assert one(fitter, expression).outcomes[0] == FITTED


# Rows


def test_structures_for_screening_stand_for_every_group(copper, monkeypatch):
    monkeypatch.setattr(rows, "MOST_ATOMS", 12)
    monkeypatch.setattr(rows, "MOST_PAIRS", 300)
    fitter = fitter_of(copper, screen=True)
    few, every = fitter.few.rows, fitter.all.rows
    assert few is not every
    assert len(few.chosen.owner) < len(every.chosen.owner)
    assert few.target.size < every.target.size
    # A fit to them is a fit to their labels: the sums of squares are weighted means again.
    loss = one(fitter, expression_of(GUPTA), QUICK).losses[0]
    assert 0.1 < loss / one(fitter, expression_of(GUPTA)).losses[0] < 10
    again = fitter_of(copper, screen=True)
    assert_allclose(again.few.rows.target, few.target, rtol=0)


def test_sparse_structures_with_stresses_are_screened(copper, monkeypatch):
    # They have fewer pairs in all than there is room for, so all of them count with all labels.
    monkeypatch.setattr(rows, "MOST_ATOMS", 12)
    monkeypatch.setattr(rows, "MOST_PAIRS", 10**6)
    few = fitter_of(copper, screen=True).few.rows
    order = rows.screening_order(copper, fitter_of(copper).design)
    chosen = order[: len(few.chosen.start) - 1]
    assert len(chosen) < len(order)
    assert len(few.volume) == len(chosen)
    assert np.isfinite(few.volume).sum() == copper.pbc[chosen].all(axis=1).sum() > 0


def test_labels_that_workers_cannot_hold_are_refused_with_advice(copper):
    design = fitter_of(copper).design
    lengths = design.within(Lengths(CUTOFF, None, R0))
    order = rows.screening_order(copper, design)
    each = rows.peak_size(copper, design, lengths, order) / 1e9
    assert "GB in each of 3 workers" in rows.check_memory(copper, design, lengths, 3.1 * each, 3)
    with pytest.raises(
        ValueError, match=r"max_memory allows .* train on some \d+ structures?, make"
    ):
        rows.check_memory(copper, design, lengths, 2.9 * each, 3)


@pytest.mark.slow
@pytest.mark.parametrize("three", [None, THREE], ids=["pairs", "triplets"])
def test_the_memory_of_rows_is_known_beforehand(three):
    images = [bulk("Cu", "fcc", a=a, cubic=True).repeat(2) for a in np.linspace(3.5, 3.8, 40)]
    structures = from_atoms(labelled(images, expression_of(GUPTA)))
    cutoff = replace(CUTOFF, r_cut=6.0)
    lengths = Lengths(cutoff, three, R0)
    design = build_design(structures, lengths, LossSettings(), many_body=True)
    _, projected = all_rows(structures, design, lengths), Fitter(design)  # compiles
    held = expression_of([(-19.0, BENT[1] if three else EMBEDDED)])
    tracemalloc.start()
    try:
        every = all_rows(structures, design, lengths)
        DirectFitter(projected, every, every).around(held)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    order = rows.screening_order(structures, design)
    assert len(order) == 40
    expected = rows.peak_size(structures, design, lengths, order)
    assert peak == pytest.approx(expected, rel=0.2)


def test_few_structures_are_not_screened(copper):
    fitter = fitter_of(copper, screen=True)
    assert fitter.few is fitter.all


def test_labels_that_are_absent_and_structures_that_do_not_count_are_left_out(copper):
    forces, stress = copper.forces.copy(), copper.stress.copy()
    forces[:4], stress[:] = np.nan, np.nan
    fewer = replace(copper, forces=forces, stress=stress)
    fitter = fitter_of(fewer)
    assert fitter.all.rows.target.size == len(copper) + 3 * (len(copper.kind) - 4)
    expression = expression_of(GUPTA)
    assert fitter.loss(expression) == pytest.approx(exact_loss(fewer, fitter, expression), rel=1e-5)


def test_energies_of_free_atoms_may_be_given(copper):
    fitter = fitter_of(copper, fixed_e0=FREE)
    expression, loss = fitter.refit(expression_of(GUPTA).terms)
    path = ExactPath(copper, Lengths(CUTOFF, None, R0))
    found = training_loss(copper, path.predict(expression, FREE), fitter.design.loss, WEIGHTS)
    assert loss == pytest.approx(found, rel=1e-5)
    assert fitter.e0(expression).size == 0
    assert loss >= fitter_of(copper).refit(expression.terms)[1]


def test_labels_survive_their_file(copper, tmp_path):
    kept = Labelled(copper, Lengths(CUTOFF, THREE, R0))
    kept.save(tmp_path / "labels.npz")
    again = Labelled.load(tmp_path / "labels.npz")
    assert again.lengths == kept.lengths
    for name in ("positions", "energy", "forces", "stress", "start", "split"):
        assert_allclose(getattr(again.structures, name), getattr(copper, name), rtol=0)
    assert again.structures.group == copper.group
    design = fitter_of(copper).design
    expression = expression_of(GUPTA)
    one_, two = (
        Labelled(s, Lengths(CUTOFF, None, R0)).fitter(design) for s in (copper, again.structures)
    )
    assert one_.loss(expression) == two.loss(expression)


@pytest.fixture
def alloy():
    """Labels of copper, of nickel and of both."""
    crystals = [
        bulk("CuNi", "cesiumchloride", a=2.9),
        *(bulk(name, a=3.6) for name in ("Cu", "Ni")),
    ]
    for seed, atoms in enumerate(crystals):
        atoms.rattle(0.05, seed=seed)
        stress, forces = np.full(6, 0.01 * seed), np.full((len(atoms), 3), 0.1)
        labels = {"energy": -3.0 - seed, "forces": forces, "stress": stress}
        atoms.calc = SinglePointCalculator(atoms, **labels)
    return from_atoms(crystals)


def test_rows_that_feel_no_pair_of_some_species_are_passed_over(alloy):
    system = fitter_of(alloy).all
    (coded_terms,) = pack([(Term.read("Ni-Ni: exp(-2.0*x)"),)], system.design.keys)
    part, felt = system._part(coded_terms[0].key)
    assert len(part) == felt.size < system.target.size
    constants = np.array(coded_terms[0].constants)
    columns, slopes = system.predictions(coded_terms, constants, True)
    values, changes = system._on_pairs(coded_terms[0], constants)
    whole = system.rows.matrix[:, system.design.place(coded_terms[0].key)]
    assert_allclose(columns[0], whole @ values, atol=1e-12)
    assert_allclose(slopes, changes @ whole.T, atol=1e-12)


def test_pairs_of_an_alloy_are_sought_once(alloy, monkeypatch):
    system, sought = fitter_of(alloy).all, []
    find = base.structure_pairs
    monkeypatch.setattr(base, "structure_pairs", lambda *a: (sought.append(a[1]), find(*a))[1])
    for near in ("Cu", "Ni"):
        system.rows.sums("pairs", ("Cu", near))
    assert sought == [0, 1, 2]


def test_weights_alone_ask_for_no_slopes_and_compute_predictions_once(fitter, monkeypatch):
    asked, system = [], fitter.all
    predictions = system.predictions

    def noted(coded_terms, constants, with_slopes, known=None):
        asked.append(with_slopes)
        return predictions(coded_terms, constants, with_slopes, known)

    monkeypatch.setattr(system, "predictions", noted)
    fitter.fit(pack([expression_of(GUPTA).terms], fitter.design.keys), AS_IT_STANDS)
    assert asked == [False]
