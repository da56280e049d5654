from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from symreg.fit.design import product_floors
from symreg.fit.design.products import _Products
from symreg.fit.solve.fitter import Fitter
from symreg.language import parse
from symreg.language.text import TRIPLET
from symreg.runs.pipeline.preparation import floor_lines
from symreg.terms import Expression, Term

PAIR = "6*x^-8 - 8*x^-4"
BEND = "exp(-3.5*(x1 - 1))*exp(-3.5*(x2 - 1))*(c + 1/3)^2"
TURN = "x1^-3*x2^-3*(c + c^3)"


def labelled(design, *triplets):
    """The design with labels that a formula makes."""
    terms = [Term("pair", ("Si", "Si"), parse(PAIR))]
    terms += [Term("three-body", ("Si",) * 3, parse(text, variable=TRIPLET)) for text in triplets]
    expression = Expression(tuple(terms), (1.0, 9.0, -2.0)[: len(terms)])
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
        parts = [by["all"] / loss.sigma(q) for q, by in floor.rmse["train"].items()]
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


def test_gradient_by_radial_factors_matches_finite_differences(silicon_design):
    products = _Products(silicon_design)
    start = np.random.default_rng(1).normal(size=(2, products.tensor.shape[0]))
    residual, jacobian, _ = products._project(start)
    step = 1e-5

    def loss(factors):
        return 0.5 * np.sum(products._project(factors)[0] ** 2)

    # Kaufman's Jacobian leaves out what is orthogonal to the residual: the gradient is exact.
    for k, slope in enumerate(jacobian.T @ residual):
        shift = np.zeros(start.size)
        shift[k] = step
        up, down = (loss(start + sign * shift.reshape(start.shape)) for sign in (1, -1))
        assert (up - down) / (2 * step) == pytest.approx(slope, rel=1e-5, abs=1e-6)


def test_floors_are_told_in_words(silicon_design, floors):
    lowest = silicon_design.floor.error
    prepared = SimpleNamespace(design=silicon_design, products=floors, lowest_floor=lowest)
    lines = floor_lines(prepared)
    one, two, three = (f"{floor.error:.4g}" for floor in floors)
    assert lines[-1] == f"{one}, {two}, {three} with one, two, three separable products"


def test_a_floor_that_falls_with_the_grid_is_said_to_be_unknown(silicon_design, floors):
    prepared = SimpleNamespace(
        design=silicon_design, products=floors, lowest_floor=floors[-1].error
    )
    assert "on a coarser grid: too few data to tell" in floor_lines(prepared)[1]
