import json

import numpy as np
import pytest

from symreg.terms.cutoff import FADES, KINDS, Cutoff

R_CUT, R_ON = 7.5, 4.355
CONTINUOUS = {"none": 0, "cosine": 1, "poet": 1, "septic": 3}
"""Number of continuous derivatives at the cutoff; a plain truncation is not even continuous."""
SWITCHED = [name for name, fade in FADES.items() if fade.has_onset]


def cutoff(kind, **radii):
    return Cutoff(kind=kind, **{"r_cut": R_CUT, "r_on": R_ON, "s": 1.3, **radii})


@pytest.mark.parametrize("kind", KINDS)
def test_weight_is_one_at_contact_and_zero_from_the_cutoff_on(kind):
    r = np.array([0.0, R_CUT, R_CUT + 1e-9, 100.0])
    contact = np.exp(-1.3 / R_CUT) if kind == "stillinger_weber" else 1.0
    np.testing.assert_allclose(cutoff(kind).value(r), [contact, 0, 0, 0], atol=1e-15)
    np.testing.assert_allclose(cutoff(kind).slope(r)[1:], 0, atol=1e-15)


@pytest.mark.parametrize("kind", KINDS)
def test_weight_falls_and_stays_between_0_and_1(kind):
    r = np.linspace(0, R_CUT + 1, 2000)
    value = cutoff(kind).value(r)
    assert value.min() >= 0
    assert value.max() <= 1
    assert (np.diff(value) <= 1e-15).all()
    assert (cutoff(kind).slope(r) <= 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_slope_is_that_of_the_weight(kind):
    function, h = cutoff(kind), 1e-5
    r = np.concatenate([np.linspace(0.1, R_CUT - 0.01, 200), [R_CUT + 1]])
    numeric = (function.value(r + h) - function.value(r - h)) / (2 * h)
    np.testing.assert_allclose(function.slope(r), numeric, atol=1e-9)


@pytest.mark.parametrize("kind", ["cosine", "poet", "septic"])
def test_derivatives_vanish_at_the_cutoff_up_to_their_order(kind):
    # A function whose first n derivatives vanish at r_cut falls there as (r_cut - r)^(n + 1).
    gaps = np.array([1e-2, 1e-3])
    wide, narrow = cutoff(kind).value(R_CUT - gaps)
    order = np.log10(wide / narrow)
    assert order == pytest.approx(CONTINUOUS[kind] + 1, abs=0.05)


@pytest.mark.parametrize("kind", SWITCHED)
def test_derivatives_vanish_at_the_onset_up_to_their_order(kind):
    wide, narrow = 1 - cutoff(kind).value(R_ON + np.array([1e-2, 1e-3]))
    assert np.log10(wide / narrow) == pytest.approx(CONTINUOUS[kind] + 1, abs=0.05)
    np.testing.assert_allclose(cutoff(kind).value(np.linspace(0, R_ON, 20)), 1, rtol=1e-15)
    np.testing.assert_array_equal(cutoff(kind).slope(np.linspace(0, R_ON, 20)), 0)


def test_septic_is_the_polynomial_with_its_middle_at_one_half():
    t = np.array([0.0, 0.25, 0.5, 1.0])
    value = Cutoff(kind="septic", r_cut=5.0, r_on=3.0).value(3 + 2 * t)
    np.testing.assert_allclose(value, 1 - 35 * t**4 + 84 * t**5 - 70 * t**6 + 20 * t**7)
    assert value[2] == 0.5


def test_poet_switch_is_the_one_of_its_makers():
    # f(r) = (ro^2 - r^2)^2 (ro^2 + 2 r^2 - 3 ri^2) / (ro^2 - ri^2)^3, ri = 4.355, ro = 7.5 Å
    r = np.array([4.4, 5.0, 6.0, 7.0, 7.4])
    expected = (7.5**2 - r**2) ** 2 * (7.5**2 + 2 * r**2 - 3 * 4.355**2) / (7.5**2 - 4.355**2) ** 3
    np.testing.assert_allclose(cutoff("poet").value(r), expected, rtol=1e-14)


def test_cosine_is_half_at_half_the_cutoff():
    np.testing.assert_allclose(cutoff("cosine").value(np.array([R_CUT / 2])), 0.5)


def test_stillinger_weber_vanishes_faster_than_any_power():
    function = cutoff("stillinger_weber")
    np.testing.assert_allclose(function.value(np.array([R_CUT - 1.3])), np.exp(-1))
    gap = np.array([0.02, 1e-3, 1e-300, 0.0])  # exp(-1.3 / gap) ends below the smallest number
    with np.errstate(all="raise", under="ignore"):
        value, slope = function.value(R_CUT - gap), function.slope(R_CUT - gap)
    assert value[0] < gap[0] ** 12
    np.testing.assert_array_equal(value[1:], 0)
    np.testing.assert_array_equal(slope[1:], 0)


@pytest.mark.parametrize("kind", KINDS)
def test_any_shape_of_distances_will_do(kind):
    r = np.linspace(1, 9, 12)
    for shaped in (r.reshape(3, 4), r[0], float(r[0])):
        assert cutoff(kind).value(shaped).shape == np.shape(shaped)
        assert cutoff(kind).slope(shaped).shape == np.shape(shaped)
    flat = cutoff(kind).value(r)
    np.testing.assert_array_equal(cutoff(kind).value(r.reshape(3, 4)).ravel(), flat)


@pytest.mark.parametrize("kind", KINDS)
def test_cutoff_comes_back_from_plain_data_as_the_same_function(kind):
    record = json.loads(json.dumps(cutoff(kind).to_dict()))
    assert ("r_on" in record) == (kind in ("septic", "poet"))
    assert ("s" in record) == (kind == "stillinger_weber")
    r = np.linspace(0, 9, 50)
    np.testing.assert_array_equal(Cutoff.from_dict(record).value(r), cutoff(kind).value(r))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "cubic"}, "cutoff is 'cubic'; it must be one of none, septic, cosine, poet"),
        ({"kind": "none", "r_cut": 0.0}, "cutoff radius is 0 Å; it must be greater than 0"),
        ({"kind": "none", "r_cut": np.nan}, "cutoff radius is nan Å"),
        ({"kind": "septic", "r_on": 7.5}, "onset radius is 7.5 Å; it must lie between 0 and"),
        ({"kind": "poet", "r_on": -1.0}, "onset radius is -1 Å"),
        ({"kind": "stillinger_weber", "s": 0.0}, "stillinger_weber_s is 0 Å"),
    ],
)
def test_settings_that_make_no_function_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        cutoff(**settings)


def test_onset_is_no_matter_where_there_is_none():
    assert Cutoff(kind="cosine", r_cut=3.0, r_on=9.0).value(np.array([1.0])) > 0


@pytest.mark.parametrize("r_cut", [1e3, np.inf, np.nan, 0.0, -1.0])
def test_a_radius_within_which_nobody_can_list_neighbours_is_refused(r_cut):
    with pytest.raises(ValueError, match="it must be greater than 0, and at most 100 Å"):
        Cutoff(kind="none", r_cut=r_cut)
