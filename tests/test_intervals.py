from dataclasses import replace

import numpy as np
import pytest
from argon_fits import CUTOFF, EPSILON, LOSS, R0, SIGMA, numbers, residual, terms, with_numbers
from ase import Atoms

from symreg.fit.design import build_design
from symreg.fit.intervals import bootstrap, covariance_of, intervals
from symreg.fit.projected.fitter import Fitter
from symreg.structures import from_atoms
from symreg.terms import Expression, Term
from symreg.terms.lengths import Lengths

STILLINGER_WEBER = "exp(-a*(x1 - 1))*exp(-a*(x2 - 1))*(c + b)^2"


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


def numeric_covariance(fitter, expression, labels):
    at = numbers(expression)
    columns = []
    for k, value in enumerate(at):
        step = 1e-6 * max(1.0, abs(value)) * np.eye(at.size)[k]
        up, down = (residual(fitter, with_numbers(expression, at + s * step)) for s in (1, -1))
        columns.append((up - down) / (2 * step[k]))
    jacobian = np.transpose(columns)
    variance = 2 * fitter.loss(expression) / (labels - at.size - fitter.design.n_e0)
    return variance * np.linalg.inv(jacobian.T @ jacobian)


def test_covariance_is_that_of_a_numerical_jacobian(mixture, two_elements):
    start = tuple(
        Term.at(key, key.parse(text))
        for n, key in enumerate(mixture.design.keys)  # other values, or they were one constant
        for text in ("x^-12", f"x^-6.{4 + n}")
    )
    found, _ = mixture.refit(start)
    train = two_elements.subset(two_elements.split == 0)
    labels = sum(np.isfinite(getattr(train, name)).sum() for name in ("energy", "forces", "stress"))
    expected = numeric_covariance(mixture, found, labels)
    result = intervals(mixture, found)
    np.testing.assert_allclose(result.standard_error, np.sqrt(np.diag(expected)), rtol=1e-3)
    spread = np.sqrt(np.diag(expected))
    np.testing.assert_allclose(result.correlation, expected / np.outer(spread, spread), atol=1e-3)
    np.testing.assert_allclose(np.diag(result.correlation), 1)


def test_labels_that_the_loss_leaves_out_say_nothing_about_constants(two_elements):
    def errors_of(structures, **settings):
        fitter = Fitter(build_design(structures, Lengths(CUTOFF, None, R0), n_nodes=36, **settings))
        start = tuple(Term.at(key, key.parse("x^-12")) for key in fitter.design.keys)
        return intervals(fitter, fitter.refit(start)[0]).standard_error

    no_stress = replace(LOSS, sigma_stress=0.0)
    absent = replace(two_elements, stress=np.full_like(two_elements.stress, np.nan))
    expected = errors_of(absent, loss=no_stress)
    np.testing.assert_allclose(errors_of(two_elements, loss=no_stress), expected, rtol=1e-9)
    weightless = {"cluster": 0.0}
    only = two_elements.subset([group != "cluster" for group in two_elements.group])
    np.testing.assert_allclose(
        errors_of(two_elements, loss=LOSS, group_weights=weightless),
        errors_of(only, loss=LOSS),
        rtol=1e-4,
    )


@pytest.fixture(scope="module")
def noisy_dimers():
    """Lennard-Jones dimers with noisy energies, each a run of its own."""
    rng = np.random.default_rng(1)
    images = []
    for n, distance in enumerate(np.linspace(3.2, 6.0, 60)):
        s6 = (SIGMA / distance) ** 6
        energy = 4 * EPSILON * (s6**2 - s6) * CUTOFF.value(np.array(distance))
        atoms = Atoms("Ar2", [[0, 0, 0], [0, 0, distance]])
        atoms.info.update(energy=float(energy + rng.normal(0, 5e-4)), trajectory=f"run {n}")
        images.append(atoms)
    return from_atoms(images)


def test_intervals_cover_the_truth(noisy_dimers):
    fitter = Fitter(
        build_design(noisy_dimers, Lengths(CUTOFF, None, R0), loss=LOSS, fixed_e0={"Ar": 0.0})
    )
    found, _ = fitter.refit(terms("x^-12", "x^-6"))
    truth = 4 * EPSILON * np.array([(SIGMA / R0) ** 12, -((SIGMA / R0) ** 6)])
    result = intervals(fitter, found, bootstrap(fitter.design))
    assert result.samples == 100
    assert (result.low < truth).all()
    assert (truth < result.high).all()
    assert (result.low < found.weights).all()
    assert (np.abs(found.weights - truth) < 3 * result.standard_error).all()
    # With independent noise the two kinds of error bars say the same.
    width = (result.high - result.low) / (2 * 1.96)
    assert (width / result.standard_error < 1.6).all()
    assert (width / result.standard_error > 0.6).all()


def test_bootstrap_is_the_same_each_time(noisy_dimers):
    design = build_design(noisy_dimers, Lengths(CUTOFF, None, R0), loss=LOSS)
    one, two = bootstrap(design, 3), bootstrap(design, 3)
    assert len(one) == 3
    for first, second in zip(one, two, strict=True):
        assert first.problem.matrix.tobytes() == second.problem.matrix.tobytes()
    assert one[0].problem.rest != one[1].problem.rest


def test_bootstrap_draws_as_many_samples_as_memory_holds(noisy_dimers):
    design = build_design(noisy_dimers, Lengths(CUTOFF, None, R0), loss=LOSS)
    one = bootstrap(design, 1)[0]
    each = (one.problem.matrix.nbytes + one.grid.matrix_t.nbytes) / 1e9
    few = bootstrap(design, max_memory=25.9 * each)
    assert 20 <= len(few) <= 25
    np.testing.assert_array_equal(few[0].problem.matrix, one.problem.matrix)
    assert bootstrap(design, max_memory=19 * each) == []
    found, _ = Fitter(design).refit(terms("x^-12", "x^-6"))
    assert intervals(Fitter(design), found, few).samples == len(few)


def test_few_runs_give_no_percentiles(argon_images):
    # One trajectory of four structures is cut into four blocks.
    design = build_design(from_atoms(argon_images[:4]), Lengths(CUTOFF, None, R0), loss=LOSS)
    assert len(design.block_triangles) == 4
    assert bootstrap(design) == []
    fitter = Fitter(design)
    found, _ = fitter.refit(terms("x^-12", "x^-6.2"))
    result = intervals(fitter, found, bootstrap(design))
    assert np.isfinite(result.standard_error).all()
    assert np.isnan([result.low, result.high]).all()
    assert result.samples == 0


def test_constants_that_the_data_cannot_tell_apart_have_no_error_bar(argon):
    found, _ = argon.refit(terms("exp(-a*x + b)", "x^-6"))
    result = intervals(argon, found)
    assert np.isnan(result.standard_error).all()


def test_as_many_constants_as_labels_leave_no_error_bar(noisy_dimers):
    two = noisy_dimers.subset(np.arange(len(noisy_dimers)) < 2)
    fitter = Fitter(build_design(two, Lengths(CUTOFF, None, R0), loss=LOSS, fixed_e0={"Ar": 0.0}))
    found, _ = fitter.refit(terms("x^-12", "x^-6"))
    assert np.isnan(covariance_of(fitter, found)).all()
    one = Expression(found.terms[:1], found.weights[:1])
    assert np.isfinite(covariance_of(fitter, one)).all()


def test_constants_of_triplets_have_intervals(silicon_design, silicon_like):
    texts = "Si-Si: x^-8", "Si-Si: x^-4", f"Si-Si-Si: {STILLINGER_WEBER}"
    start = [Term.read(text, {"a": 2.7, "b": 0.6}) for text in texts]
    fitter = Fitter(silicon_design)
    found, _ = fitter.refit(start)
    result = intervals(fitter, found, bootstrap(silicon_design, 20))
    assert result.samples == 20
    truth = [silicon_like.bend, silicon_like.k * 2.35, 1 / 3]
    place = [2, 3, 4]
    assert (np.abs(numbers(found)[place] - truth) < 4 * result.standard_error[place]).all()
    assert (result.standard_error > 0).all()
    assert (result.low <= result.high).all()
    assert (result.low < numbers(found)).all()
    assert (numbers(found) < result.high).all()
