"""Lennard-Jones is found from data alone: no known form among the first candidates."""

import pytest

import symreg
from symreg.terms import Expression

pytestmark = pytest.mark.usefixtures("front_only")


def lennard_jones_of(run):
    """Well depth in eV and diameter in Å of the member that is Lennard-Jones, with its number."""
    for member in run.front:
        expression = Expression.from_dict(member.record["terms"])
        weights = dict(
            zip((str(t.tree) for t in expression.terms), expression.weights, strict=True)
        )
        if set(weights) == {"x^-12", "x^-6"}:
            repulsion, attraction = weights["x^-12"], -weights["x^-6"]
            sigma = (repulsion / attraction) ** (1 / 6) * member.record["r0"]
            return attraction**2 / (4 * repulsion), sigma, member
    pytest.fail(f"no member is Lennard-Jones:\n{run.front}")


@pytest.mark.parametrize("seed", [0, 1])
def test_lennard_jones_is_found_in_exact_data(search_settings, tmp_path, seed):
    settings = search_settings(tmp_path / "run", epochs=4, population_size=80, seed=seed)
    run = symreg.search(settings)
    epsilon, sigma, member = lennard_jones_of(run)
    # Constants are shortened until the error changes: that leaves about 7 digits.
    assert epsilon == pytest.approx(0.0104, rel=1e-5)
    assert sigma == pytest.approx(3.4, rel=1e-5)
    assert member.number == run.best().number
    assert member.complexity == 10
    assert member.n_constants == 2


@pytest.mark.parametrize("seed", [0, 1])
def test_argon_of_others_is_recovered_to_a_tenth_of_a_percent(
    shared_data, search_settings, tmp_path, seed
):
    # Hernandez et al., npj Comput. Mater. 5, 112 (2019); tabulated, so not exact.
    settings = search_settings(
        tmp_path / "run",
        shared_data / "lennard_jones_argon.extxyz",
        cutoff="poet",
        r_on=4.355,
        r_cut=7.5,
        epochs=5,
        population_size=100,
        generations_per_epoch=8,
        seed=seed,
    )
    run = symreg.search(settings)
    epsilon, sigma, member = lennard_jones_of(run)
    assert epsilon == pytest.approx(0.012340, rel=1e-3)
    assert sigma == pytest.approx(3.350, rel=1e-3)
    assert member.errors["validation"]["energy"]["rmse"] < 2e-5  # eV/atom, the tables' own error
    assert member.errors["validation"]["forces"]["rmse"] < 5e-4  # eV/Å
