from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from symreg.fit.design import product_floors
from symreg.fit.design.products import _Products
from symreg.fit.projected.fitter import Fitter
from symreg.records import SplitErrors
from symreg.runs.pipeline.floors import floor_lines
from symreg.terms import expression_of

PAIR = "6*x^-8 - 8*x^-4"
BEND = "exp(-3.5*(x1 - 1))*exp(-3.5*(x2 - 1))*(c + 1/3)^2"
TURN = "x1^-3*x2^-3*(c + c^3)"


def labelled(design, *triplets):
    """The design with labels that a formula makes."""
    texts = f"Si-Si: {PAIR}", *(f"Si-Si-Si: {text}" for text in triplets)
    expression = expression_of(list(zip((1.0, 9.0, -2.0), texts, strict=False)))
    numbers = np.concatenate([np.zeros(design.n_e0), Fitter(design).coordinates(expression)])
    cells = {
        cell: np.column_stack([matrix[:, :-1], matrix[:, :-1] @ numbers])
        for cell, matrix in design.cells.items()
    }
    return replace(design, cells=cells, floors=None)


@pytest.fixture(scope="module")
def floors(silicon_design):
    return product_floors(silicon_design)


def test_errors_fall_from_product_to_product_towards_the_floor_of_all(silicon_design, floors):
    errors = [floor.error for floor in floors]
    assert [floor.products for floor in floors] == [1, 2, 3]
    assert silicon_design.pair_floor.error > errors[0]
    assert np.all(np.diff(errors) < 0)
    assert errors[-1] > silicon_design.floor.error


def test_component_errors_are_those_of_the_same_solution(silicon_design, floors):
    loss = silicon_design.loss
    for floor in floors:
        assert set(floor.rmse) == {"train", "validation", "test"}
        parts = [by.rmse / loss.sigma(q) for q, by in floor.rmse["train"].by_quantity().items()]
        assert floor.error == pytest.approx(np.sqrt(np.mean(np.square(parts))), rel=1e-9)


def test_floors_are_the_same_each_time(silicon_design, floors):
    assert product_floors(silicon_design, most=2) == floors[:2]


def test_one_product_describes_what_one_product_made(silicon_design):
    design = labelled(silicon_design, BEND)
    (one,) = product_floors(design, most=1)
    assert one.error < 1e-4 * design.pair_floor.error


def test_two_products_describe_what_one_cannot(silicon_design):
    design = labelled(silicon_design, BEND, TURN)
    one, two = product_floors(design, most=2)
    assert one.error > 0.01 * design.pair_floor.error
    assert two.error < 0.01 * one.error


def test_labels_of_pairs_need_no_products(silicon_design):
    design = labelled(silicon_design)
    assert all(floor.error < 1e-6 for floor in product_floors(design, most=2))


def test_slopes_by_radial_factors_are_those_of_differences(silicon_design):
    products, rng = _Products(silicon_design), np.random.default_rng(1)
    start = rng.normal(size=(2, products.tensor.shape[0]))
    columns, slopes, _ = products._columns(start)
    weights, step = rng.normal(size=len(columns)), 1e-6
    found = slopes(weights)
    assert found.shape == (start.size, columns.shape[1])
    scale = np.abs(found).max()
    for k in range(start.size):
        shift = step * np.eye(start.size)[k].reshape(start.shape)
        up, down = (weights @ products._columns(start + s * shift).columns for s in (1, -1))
        np.testing.assert_allclose((up - down) / (2 * step), found[k], atol=1e-6 * scale)


def test_gradient_by_radial_factors_matches_finite_differences(silicon_design):
    products = _Products(silicon_design)
    start = np.random.default_rng(1).normal(size=(2, products.tensor.shape[0]))

    def projected(factors):
        columns, slopes, target = products._columns(factors)
        weights = np.linalg.lstsq(columns.T, target, rcond=None)[0]
        return slopes(weights), target - weights @ columns

    # The gradient with best weights is that with fixed ones: the residual feels no weight.
    slopes, residual = projected(start)
    step = 1e-5
    for k, slope in enumerate(-slopes @ residual):
        shift = step * np.eye(start.size)[k].reshape(start.shape)
        up, down = (0.5 * np.sum(projected(start + s * shift)[1] ** 2) for s in (1, -1))
        assert (up - down) / (2 * step) == pytest.approx(slope, rel=1e-5, abs=1e-6)


def test_floors_are_told_in_words(silicon_design, floors):
    lowest = silicon_design.floor.error
    prepared = SimpleNamespace(
        design=silicon_design,
        products=floors,
        lowest_floor=lowest,
        labels={"train": SplitErrors()},
        blocks={},
        targets=None,
    )
    lines = floor_lines(prepared)
    one, two, three = (f"{floor.error:.4g}" for floor in floors)
    assert lines[-1] == f"{one}, {two}, {three} with one, two, three separable products"


def test_a_floor_that_falls_with_the_grid_is_said_to_be_unknown(silicon_design, floors):
    prepared = SimpleNamespace(
        design=silicon_design,
        products=floors,
        lowest_floor=floors[-1].error,
        labels={"train": SplitErrors()},
        blocks={},
        targets=None,
    )
    assert "on a coarser grid: too few data to tell" in floor_lines(prepared)[1]
