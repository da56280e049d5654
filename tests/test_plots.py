import numpy as np
import pytest

from symreg.formula import Formula
from symreg.runs import open_run, plots
from symreg.terms import expression_of
from symreg.terms.cutoff import Cutoff


def lennard_jones(epsilon, sigma):
    return lambda r: 4 * epsilon * ((sigma / r) ** 12 - (sigma / r) ** 6)


R = np.array([2.5, 3.2, 3.5, 3.8, 4.5, 6.0, 8.0])


def png(figure, path):
    figure.savefig(path / "figure.png")
    return (path / "figure.png").stat().st_size


def test_a_front_is_drawn_with_floor_choice_and_known_forms(tmp_path):
    figure = plots.pareto(
        [5, 9, 11],
        [2.5, 0.4, 0.1],
        floors={"any smooth pair term": 0.08},
        recommended=2,
        baselines={"Morse": (14, 0.5), "far": (99, 1.0)},
    )
    (axes,) = figure.axes
    assert axes.get_yscale() == "log"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "Pareto front",
        "recommended",
        "Morse",
    ]
    assert "floor" in axes.texts[0].get_text()
    assert axes.get_ylim()[0] < 0.08
    assert png(figure, tmp_path) > 1000


def test_a_run_draws_its_own_front(small_run, tmp_path):
    figure = open_run(small_run).front.plot()
    ring = figure.axes[0].lines[-2]
    assert ring.get_xdata() == [11]
    assert png(figure, tmp_path) > 1000


def test_every_floor_is_drawn_with_what_reaches_it():
    floors = {"any smooth pair term": 1.5, "smooth pair terms and 1 product": 0.2}
    (axes,) = plots.pareto([5, 9], [2.5, 0.4], floors=floors).axes
    assert [text.get_text() for text in axes.texts] == [f"floor: the best of {n}" for n in floors]
    assert axes.get_ylim()[0] < 0.2
    assert axes.get_ylim()[1] > 2.5


def test_an_empty_front_is_an_empty_figure(tmp_path):
    assert png(plots.pareto([], [], floors={"pairs": 0.1}), tmp_path) > 1000


def test_parity_states_the_error_and_leaves_missing_labels_out(tmp_path):
    reference = {"train": np.array([0.0, 1.0, np.nan]), "test": np.full(2, np.nan)}
    predicted = {"train": np.array([0.1, 0.9, 5.0]), "test": np.zeros(2)}
    figure = plots.parity(reference, predicted, quantity="energy")
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "train: RMSE 0.1 eV/atom"
    ]
    assert axes.get_xlim() == axes.get_ylim()
    assert png(figure, tmp_path) > 1000


@pytest.mark.parametrize(("unit", "scale"), [("meV", 1000.0), ("eV", 1.0)])
def test_a_curve_stands_above_its_difference_from_each_reference(tmp_path, unit, scale):
    curve = plots.Curve("formula", lennard_jones(0.0104, 3.4))
    known = plots.Points("CCSD(T)", R, lennard_jones(0.0124, 3.4)(R))
    figure = plots.potential_curve([curve], [known], r_range=(3.0, 8.5), unit=unit)
    upper, lower = figure.axes
    assert upper.get_ylim()[0] == pytest.approx(-1.2 * 0.0124 * scale, rel=1e-2)
    gap = lower.lines[0].get_ydata()
    # 2.5 Å lies outside of the range, 3.2 Å above the frame of the well.
    np.testing.assert_allclose(gap, -scale * lennard_jones(0.002, 3.4)(R[2:]), atol=1e-9)
    assert png(figure, tmp_path) > 1000


def test_a_curve_alone_has_one_panel():
    curve = plots.Curve("formula", lambda r: 1 / r)
    assert len(plots.potential_curve([curve], r_range=(2.0, 5.0)).axes) == 1


def silicon(*triplets):
    texts = ["Si-Si: x^-4", *(f"Si-Si-Si: {text}" for text in triplets)]
    cutoff = Cutoff(kind="septic", r_cut=4.2, r_on=3.0)
    formula = Formula(
        expression=expression_of(list(zip((1.0, 3.0, -2.0), texts, strict=False))),
        r0=2.0,
        e0={"Si": 0.0},
        species=("Si",),
        cutoff=cutoff,
        r_lo=1.8,
        cutoff_three_body=cutoff,
    )
    return formula.three_body_function("Si", "Si", "Si")


def test_factors_of_products_are_drawn_over_distance_and_angle(tmp_path):
    function = silicon("x1^-2*x2^-2*(c + 1/3)^2", "exp(-x1)*exp(-x2)*c")
    figure = plots.three_body_factors(function)
    left, right = figure.axes
    r, h = left.lines[0].get_data()
    assert (r[0], r[-1], h[-1]) == (1.8, 4.2, 0.0)
    inside = r < 3.0
    np.testing.assert_allclose(h[inside], (r[inside] / 2.0) ** -2)
    angle, p = right.lines[1].get_data()
    np.testing.assert_allclose(p, -2.0 * np.cos(np.radians(angle)), atol=1e-12)
    names = [text.get_text() for text in right.get_legend().get_texts()]
    assert names == ["product 1", "product 2"]
    assert png(figure, tmp_path) > 1000


@pytest.mark.parametrize("text", ["x1^-2*x2^-2*(c + 1/3)^2", "x1^-2*x2^-2*(c + 1/3)^2 + 0*x1"])
def test_a_triplet_is_drawn_over_its_angle(text, tmp_path):
    curve = plots.triplet(silicon(text), 2.5)
    figure = plots.triplet_curve([curve])
    angle, energy = figure.axes[0].lines[0].get_data()
    assert curve.name == "both neighbours at 2.5 Å"
    expected = 3.0 * 1.25**-4 * (np.cos(np.radians(angle)) + 1 / 3) ** 2
    np.testing.assert_allclose(energy, expected, atol=1e-12)
    assert png(figure, tmp_path) > 1000


def test_distances_of_the_data_stand_at_the_foot_of_a_curve():
    curve = plots.Curve("formula", lambda r: 1 / r)
    distances = np.array([2.5, 2.5, 4.0])
    figure = plots.potential_curve([curve], r_range=(2.0, 5.0), distances=distances)
    (axes,) = figure.axes
    assert "distances in the data" in axes.get_legend_handles_labels()[1]
    (foot,) = axes.collections
    x, height = foot.get_paths()[0].vertices.T
    assert height.max() == pytest.approx(plots.FOOT)
    assert x[height == height.max()] == pytest.approx(2.5, abs=3.0 / plots.BINS)
    bare = plots.potential_curve([curve], r_range=(2.0, 5.0), distances=np.empty(0))
    assert not bare.axes[0].collections
