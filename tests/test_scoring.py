from dataclasses import replace

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones

from symreg.fit.design.rows import add_triplet_rows
from symreg.fit.errors import errors, training_loss
from symreg.fit.exact import ExactPath, Prediction
from symreg.fit.loss import LossSettings
from symreg.fit.programs.packing import pack
from symreg.language import parse
from symreg.language.text import TRIPLET
from symreg.structures import from_atoms
from symreg.structures.neighbours import structure_pairs
from symreg.terms import Expression, Term
from symreg.terms.cutoff import KINDS, Cutoff

EPSILON, SIGMA = 0.0104, 3.4
LOSS = LossSettings(sigma_energy=0.01, sigma_forces=0.2, sigma_stress=0.5)


def expression_of(*parts, species=("Ar", "Ar")):
    terms = tuple(Term("pair", species, parse(text)) for _, text in parts)
    return Expression(terms, tuple(float(weight) for weight, _ in parts))


LJ = expression_of((4 * EPSILON, "x^-12"), (-4 * EPSILON, "x^-6"))


def predict(images, expression=LJ, cutoff=None, r0=SIGMA, e0=0.0):
    cutoff = cutoff or Cutoff(kind="poet", r_cut=8.0, r_on=6.0)
    return ExactPath(from_atoms(images), cutoff, r0).predict(expression, {"Ar": e0})


@pytest.fixture
def argon():
    atoms = bulk("Ar", "fcc", a=5.3, cubic=True)
    atoms.rattle(0.15, seed=1)
    return atoms


# The exact path


def test_stretched_dimer_pulls_together():
    #    0 ---------- 4.2 Å ----------> 1        minimum at 2^(1/6) 3.4 = 3.82 Å
    found = predict([Atoms("Ar2", [[0, 0, 0], [0, 0, 4.2]])], e0=-0.5)
    s6 = (SIGMA / 4.2) ** 6
    energy, slope = 4 * EPSILON * (s6**2 - s6), -24 * EPSILON * (2 * s6**2 - s6) / 4.2
    np.testing.assert_allclose(found.energy, [energy - 1.0], rtol=1e-13)
    np.testing.assert_allclose(found.forces, [[0, 0, slope], [0, 0, -slope]], rtol=1e-13)
    assert slope > 0
    assert np.isnan(found.stress).all()  # a cluster has no volume


@pytest.mark.parametrize("images", [1, 2])
def test_lennard_jones_matches_ase(argon, images):
    atoms = argon * (images, 1, 1)
    atoms.calc = LennardJones(epsilon=EPSILON, sigma=SIGMA, rc=8.0, ro=6.0, smooth=True)
    found = predict([atoms])
    assert found.energy[0] == pytest.approx(atoms.get_potential_energy(), rel=1e-12)
    np.testing.assert_allclose(found.forces, atoms.get_forces(), atol=1e-13)
    np.testing.assert_allclose(found.stress[0], atoms.get_stress(), atol=1e-15)


def test_plain_truncation_matches_ase(argon):
    argon.calc = LennardJones(epsilon=EPSILON, sigma=SIGMA, rc=8.0, smooth=False)
    found = predict([argon], cutoff=Cutoff(kind="none", r_cut=8.0))
    np.testing.assert_allclose(found.forces, argon.get_forces(), atol=1e-13)
    np.testing.assert_allclose(found.stress[0], argon.get_stress(), atol=1e-15)


def test_argon_of_the_public_data_is_the_potential_of_its_makers(shared_data):
    # E_i = sum_j [49302 r^-12 - 34.88 r^-6] f(r); every pair counts twice in that sum.
    images = ase.io.read(shared_data / "lennard_jones_argon.extxyz", index="::15")
    formula = expression_of((2 * 49302, "x^-12"), (-2 * 34.88, "x^-6"))
    found = predict(images, formula, Cutoff(kind="poet", r_cut=7.5, r_on=4.355), r0=1.0)
    labels = from_atoms(images)
    # Tabulated by its makers: 2e-5 eV/atom and 5e-4 eV/Å are their rounding.
    assert np.abs(found.energy - labels.energy).max() / 32 < 3e-5
    assert np.abs(found.forces - labels.forces).max() < 1e-3


def test_terms_act_between_their_own_species():
    trimer = Atoms("ArKrAr", [[0, 0, 0], [3, 0, 0], [0, 4, 0]])
    expression = Expression(
        (
            Term("pair", ("Ar", "Ar"), parse("x")),
            Term("pair", ("Ar", "Kr"), parse("x^2")),
            Term("pair", ("Ar", "Kr"), parse("1")),
        ),
        (1.0, 10.0, 100.0),
    )
    path = ExactPath(from_atoms([trimer]), Cutoff(kind="none", r_cut=9.0), 2.0)
    found = path.predict(expression, {"Ar": -1.0, "Kr": -3.0})
    # x = r / 2: Ar-Ar at 4 Å, Ar-Kr at 3 and 5 Å
    assert found.energy[0] == pytest.approx(-5 + 2.0 + 10 * (1.5**2 + 2.5**2) + 200)
    np.testing.assert_allclose(found.forces.sum(0), 0, atol=1e-12)


def test_atom_feels_no_force_from_its_own_images():
    found = predict([bulk("Ar", "fcc", a=5.0)], e0=0.1)
    np.testing.assert_allclose(found.forces, 0, atol=1e-14)
    assert found.stress[0, 0] < 0  # compressed argon expands
    np.testing.assert_allclose(found.stress[0, 3:], 0, atol=1e-16)


def test_structures_without_pairs_keep_their_free_atoms():
    found = predict([Atoms("Ar"), Atoms("Ar2", [[0, 0, 0], [0, 0, 20]])], e0=-0.25)
    np.testing.assert_array_equal(found.energy, [-0.25, -0.5])
    np.testing.assert_array_equal(found.forces, 0)


def test_second_call_gives_the_same_bits(argon):
    path = ExactPath(from_atoms([argon]), Cutoff(kind="septic", r_cut=6.0, r_on=4.0), SIGMA)
    first, second = path.predict(LJ, {"Ar": 0.0}), path.predict(LJ, {"Ar": 0.0})
    for name in ("energy", "forces", "stress"):
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_pair_term_and_its_slope_carry_the_cutoff_function(kind, argon):
    path = ExactPath(from_atoms([argon]), Cutoff(kind=kind, r_cut=6.0, r_on=4.0), SIGMA)
    r, h = np.array([3.0, 3.9, 4.1, 5.0, 5.9]), 1e-6
    value, slope = path.pair_term(LJ, ("pair", ("Ar", "Ar")), r)
    x = r / SIGMA
    np.testing.assert_allclose(
        value, 4 * EPSILON * (x**-12.0 - x**-6.0) * path.cutoff.value(r), rtol=1e-12
    )
    above, below = (path.pair_term(LJ, ("pair", ("Ar", "Ar")), r + s)[0] for s in (h, -h))
    np.testing.assert_allclose(slope, (above - below) / (2 * h), atol=1e-8)


def test_formula_outside_its_domain_is_not_a_number(argon):
    found = predict([argon, Atoms("Ar")], expression_of((1.0, "sqrt(x - 1.5)")))
    assert np.isnan(found.energy[0])
    assert found.energy[1] == 0


# Triplets

SILICON = ("Si", "Si", "Si")
FAR = Cutoff(kind="none", r_cut=9.0)
SWITCH = Cutoff(kind="septic", r_cut=4.0, r_on=2.6)


def triplet_sums(images, *texts, species=SILICON, cutoff=FAR, r0=1.0):
    terms = tuple(Term("three-body", species, parse(text, variable=TRIPLET)) for text in texts)
    structures = from_atoms(images)
    path = ExactPath(structures, Cutoff(kind="none", r_cut=3.0), r0, cutoff)
    return path.predict(
        Expression(terms, (1.0,) * len(terms)), dict.fromkeys(structures.species, 0)
    )


RIGHT_ANGLE = Atoms("Si3", [[0, 0, 0], [3, 0, 0], [0, 4, 0]])
#  2
#  | \    r_01 = 3, r_02 = 4, r_12 = 5 Å; cosines 0 at atom 0, 3/5 at 1, 4/5 at 2
#  0--1


@pytest.mark.parametrize(
    ("text", "energy"),
    [
        ("x1*x2*c", 15 * 3 / 5 + 20 * 4 / 5),
        ("x1^2*x2^2*1", 12**2 + 15**2 + 20**2),
        ("1*1*(c + 1)", 1 + 8 / 5 + 9 / 5),
        ("x1", 3.5 + 4 + 4.5),  # the mean over both orders
        ("x1*c", 4 * 3 / 5 + 4.5 * 4 / 5),
        ("2", 6),
    ],
)
def test_energy_of_a_trimer_is_that_of_a_calculation_by_hand(text, energy):
    assert triplet_sums([RIGHT_ANGLE], text).energy[0] == pytest.approx(energy, rel=1e-13)


def test_forces_on_a_trimer_are_those_of_a_calculation_by_hand():
    # Only atom 0 sees two neighbours within 4.5 Å: E = r_01 r_02 cos = r_01 . r_02 = 0.
    found = triplet_sums([RIGHT_ANGLE], "x1*x2*c", cutoff=Cutoff(kind="none", r_cut=4.5))
    assert found.energy[0] == pytest.approx(0, abs=1e-15)
    np.testing.assert_allclose(found.forces, [[3, 4, 0], [0, -4, 0], [-3, 0, 0]], atol=1e-14)


def test_reduced_distances_and_both_cutoff_functions_enter():
    cutoff = Cutoff(kind="septic", r_cut=4.5, r_on=2.5)
    found = triplet_sums([RIGHT_ANGLE], "x1^2*x2^2*1", cutoff=cutoff, r0=2.0)
    expected = 1.5**2 * 2**2 * np.prod(cutoff.value(np.array([3.0, 4.0])))
    assert found.energy[0] == pytest.approx(expected, rel=1e-13)


def test_one_separable_function_written_in_two_ways_is_one():
    atoms = bulk("Si", "diamond", a=5.4, cubic=True)
    atoms.rattle(0.2, seed=1)
    factors, general = "exp(-x1)*exp(-x2)*(c + 0.3)^2", "(c + 0.3)^2*exp(-x1 - x2)"
    assert parse(factors, variable=TRIPLET).factors
    assert not parse(general, variable=TRIPLET).factors
    one, other = (triplet_sums([atoms], text, cutoff=SWITCH) for text in (factors, general))
    assert one.energy[0] == pytest.approx(other.energy[0], rel=1e-13)
    np.testing.assert_allclose(one.forces, other.forces, atol=1e-12)
    np.testing.assert_allclose(one.stress, other.stress, atol=1e-13)


@pytest.mark.parametrize("text", ["x1^2*x2^2*(c + 1/3)^2", "(x1 + x2)*exp(c)"])
def test_forces_on_collinear_triplets_are_the_slope_of_the_energy(text):
    # Not along an axis: the cosines of the directions then miss 1 and -1 by rounding.
    chain = Atoms("Si3", np.outer([0, 2.3, 5.0], [0.6, 0.48, 0.64]))
    images = [chain]
    for n, x in np.ndindex(3, 3):
        for step in (1e-5, -1e-5):
            images.append(chain.copy())
            images[-1].positions[n, x] += step
    found = triplet_sums(images, text, r0=2.0)
    numeric = -np.diff(found.energy[1:].reshape(9, 2)[:, ::-1])[:, 0] / 2e-5
    np.testing.assert_allclose(found.forces[:3].ravel(), numeric, atol=1e-7)
    across = np.cross(found.forces[:3], [0.6, 0.48, 0.64])
    np.testing.assert_allclose(across, 0, atol=1e-13)


def test_images_of_one_atom_make_triplets():
    # Simple cubic, 2 Å, 6 neighbours: cos = -1 in 3 triplets, 0 in 12.
    atoms = Atoms("Si", cell=np.full(3, 2.0), pbc=True)
    found = triplet_sums([atoms], "x1*x2*(1 - c)", cutoff=Cutoff(kind="none", r_cut=2.5))
    assert found.energy[0] == pytest.approx(4 * (3 * 2 + 12))
    np.testing.assert_allclose(found.forces, 0, atol=1e-13)
    # E is 18 times the square of the lattice constant: V stress = a dE/da / 3
    np.testing.assert_allclose(found.stress[0, :3], 2 * 18 * 2.0**2 / 3 / 2.0**3)


def test_structures_without_triplets_have_no_three_body_energy():
    dimer = Atoms("Si2", [[0, 0, 0], [0, 0, 2.3]])
    chain = Atoms("Si3", [[0, 0, 0], [0, 0, 8.0], [0, 0, 16.0]])  # the middle sees both
    found = triplet_sums([dimer, Atoms("Si"), chain], "x1*x2*1")
    np.testing.assert_allclose(found.energy, [0, 0, 64])
    np.testing.assert_array_equal(found.forces[:3], 0)


def test_three_body_terms_act_around_their_own_centre():
    water = Atoms("OH2", [[0, 0, 0], [3, 0, 0], [0, 4, 0]])
    energies = {
        species: triplet_sums([water], "x1*x2*1", species=species).energy[0]
        for species in (("O", "H", "H"), ("H", "H", "O"), ("H", "H", "H"), ("O", "H", "O"))
    }
    assert list(energies.values()) == pytest.approx([12, 15 + 20, 0, 0])


def test_pair_terms_and_triplets_add_up():
    atoms = bulk("Si", "diamond", a=5.4, cubic=True)
    atoms.rattle(0.2, seed=2)
    pair = Term("pair", SILICON[:2], parse("x^-4"))
    three = Term("three-body", SILICON, parse("x1^-2*x2^-2*c", variable=TRIPLET))
    path = ExactPath(from_atoms([atoms]), Cutoff(kind="septic", r_cut=3.0, r_on=2.0), 2.35, SWITCH)
    both, one, other = (
        path.predict(Expression(terms, weights), {"Si": 0.0})
        for terms, weights in (
            ((pair, three), (2.0, -3.0)),
            ((pair,), (2.0,)),
            ((three,), (-3.0,)),
        )
    )
    np.testing.assert_allclose(both.energy, one.energy + other.energy, rtol=1e-14)
    np.testing.assert_allclose(both.forces, one.forces + other.forces, atol=1e-13)
    np.testing.assert_allclose(both.stress, one.stress + other.stress, atol=1e-14)
    alone = ExactPath(from_atoms([atoms]), path.cutoff, 2.35)
    pairs_only = alone.predict(Expression((pair,), (2.0,)), {"Si": 0.0})
    np.testing.assert_allclose(one.forces, pairs_only.forces, atol=1e-14)


def test_chunks_do_not_change_the_sums(monkeypatch):
    atoms = bulk("Si", "diamond", a=5.4, cubic=True)
    atoms.rattle(0.2, seed=3)
    whole = triplet_sums([atoms], "x1^-2*x2^-2*c", cutoff=SWITCH)
    monkeypatch.setattr("symreg.fit.exact._TRIPLETS_TOGETHER", 7)
    parts = triplet_sums([atoms], "x1^-2*x2^-2*c", cutoff=SWITCH)
    np.testing.assert_array_equal(parts.forces, whole.forces)


def test_three_body_terms_need_a_cutoff():
    with pytest.raises(ValueError, match="need a cutoff_three_body"):
        triplet_sums([RIGHT_ANGLE], "x1*x2*c", cutoff=None)


def test_exact_path_agrees_with_the_rows_of_the_projected_design():
    # psi = sum of d_abc T_a(s1) T_b(s2) T_c(cos), symmetric in a and b, s = (r - 2.9) / 1.1
    atoms = bulk("Si", "diamond", a=5.4, cubic=True)
    atoms.rattle(0.25, seed=4)
    structures = from_atoms([atoms])
    pairs = structure_pairs(structures, 0, SWITCH.r_cut)
    s = (pairs.r - 2.9) / 1.1
    fade, fade_slope = SWITCH.value(pairs.r)[:, None], SWITCH.slope(pairs.r)[:, None]
    value = np.stack([np.ones_like(s), s, 2 * s**2 - 1], axis=1)
    slope = np.stack([np.zeros_like(s), np.ones_like(s), 4 * s], axis=1) / 1.1
    sums = np.zeros(18), np.zeros((8, 3, 18)), np.zeros((6, 18))
    radial, radial_slope = value * fade, slope * fade + value * fade_slope
    start = np.searchsorted(pairs.i, np.arange(9))
    add_triplet_rows(start, pairs.j, pairs.r, pairs.unit, radial, radial_slope, 3, *sums)
    weights = np.random.default_rng(5).normal(size=18)

    one, two = (["1", f"({x})", f"(2*({x})^2 - 1)"] for x in ("(x1 - 2.9)/1.1", "(x2 - 2.9)/1.1"))
    angular = ["1", "c", "(2*c^2 - 1)"]
    texts, factors = [], []
    for a in range(3):
        for b in range(a, 3):
            texts += [f"{one[a]}*{two[b]}*{p}" for p in angular]
            factors += 3 * [1.0 if a == b else 2.0]  # both orders against their mean
    terms = tuple(Term("three-body", SILICON, parse(text, variable=TRIPLET)) for text in texts)
    expression = Expression(terms, tuple(weights * factors))
    found = ExactPath(structures, SWITCH, 1.0, SWITCH).predict(expression, {"Si": 0.0})
    assert found.energy[0] == pytest.approx(sums[0] @ weights, rel=1e-12)
    np.testing.assert_allclose(found.forces, sums[1] @ weights, atol=1e-11)
    np.testing.assert_allclose(found.stress[0], sums[2] @ weights / atoms.get_volume(), atol=1e-12)


# Losses and errors


def labelled(**labels):
    """Two structures whose labels are zero: a crystal of 2 atoms, and a dimer."""
    crystal = Atoms("Ar2", [[0, 0, 0], [0, 0, 3]], cell=[4, 4, 6], pbc=True)
    dimer = Atoms("Ar2", [[0, 0, 0], [0, 0, 3]])
    for atoms, group in ((crystal, "a"), (dimer, "b")):
        atoms.info.update(energy=0.0, stress=np.zeros(6), group=group)
        atoms.arrays["forces"] = np.zeros((2, 3))
    return replace(from_atoms([crystal, dimer]), **labels)


FOUND = Prediction(
    energy=np.array([0.04, -0.02]),
    forces=np.array([[0.3, 0, 0], [-0.3, 0, 0], [0, 0.6, 0], [0, 0, 0]]),
    stress=np.array([[1.0, 0, 0, 0, 0, -2.0], [np.nan] * 6]),
)


def test_errors_are_those_of_a_calculation_by_hand():
    found = errors(labelled(), FOUND)["train"]
    # energies 0.02 and -0.01 eV/atom
    assert found["energy"]["all"] == pytest.approx(
        {"rmse": np.sqrt((4e-4 + 1e-4) / 2), "mae": 0.015, "n": 2}
    )
    assert found["energy"]["b"] == pytest.approx({"rmse": 0.01, "mae": 0.01, "n": 1})
    assert found["forces"]["all"] == pytest.approx(
        {"rmse": np.sqrt((2 * 0.09 + 0.36) / 12), "mae": 1.2 / 12, "n": 12}
    )
    assert found["forces"]["a"] == pytest.approx({"rmse": np.sqrt(0.18 / 6), "mae": 0.1, "n": 6})
    # the dimer has a stress label, but no stress
    assert found["stress"]["all"] == pytest.approx({"rmse": np.sqrt(5 / 6), "mae": 0.5, "n": 6})
    assert "b" not in found["stress"]


def test_errors_are_kept_apart_by_split():
    found = errors(labelled(split=np.array([0, 2])), FOUND)
    assert set(found) == {"train", "test"}
    assert found["test"]["energy"]["all"]["rmse"] == pytest.approx(0.01)
    assert set(found["test"]) == {"energy", "forces"}


def test_absent_labels_do_not_count():
    found = errors(labelled(energy=np.array([np.nan, 0.0])), FOUND)["train"]
    assert found["energy"]["all"]["n"] == 1
    data = labelled(energy=np.full(2, np.nan))
    assert "energy" not in errors(data, FOUND)["train"]


def test_loss_is_that_of_a_calculation_by_hand():
    energy = (4e-4 + 1e-4) / 2 / 0.01**2
    forces = (2 * 0.09 + 0.36) / 12 / 0.2**2
    stress = 5 / 6 / 0.5**2
    assert training_loss(labelled(), FOUND, LOSS, {}) == pytest.approx(
        0.5 * (energy + forces + stress)
    )


def test_group_weights_weigh_the_means_of_each_quantity():
    # weights 3 and 1: energies (3 * 4e-4 + 1e-4) / 4, forces (3 * 0.18 + 0.36) / (3 * 6 + 6)
    expected = 1.3e-3 / 4 / 0.01**2 + 0.9 / 24 / 0.2**2 + 5 / 6 / 0.5**2
    found = training_loss(labelled(), FOUND, LOSS, {"a": 3.0, "somebody else": 7.0})
    assert found == pytest.approx(0.5 * expected)
    only = training_loss(labelled(), FOUND, LOSS, {"a": 0.0})
    assert only == pytest.approx(0.5 * (1e-4 / 0.01**2 + 0.06 / 0.2**2))


def test_loss_leaves_out_validation_and_quantities_without_a_scale():
    data = labelled(split=np.array([1, 0]))
    no_stress = LossSettings(sigma_energy=0.01, sigma_forces=0.2, sigma_stress=0.0)
    expected = 0.5 * (1e-4 / 0.01**2 + 0.06 / 0.2**2)
    assert training_loss(data, FOUND, LOSS, {}) == pytest.approx(expected)
    assert training_loss(labelled(), FOUND, no_stress, {}) == pytest.approx(
        training_loss(labelled(), FOUND, LOSS, {}) - 0.5 * 5 / 6 / 0.5**2
    )


@pytest.mark.parametrize("name", ["energy", "forces", "stress"])
def test_prediction_that_is_not_a_number_is_no_absent_label(name):
    wrong = np.array(getattr(FOUND, name))
    wrong[0] = np.nan
    spoilt = replace(FOUND, **{name: wrong})
    assert np.isnan(training_loss(labelled(), spoilt, LOSS, {}))
    found = errors(labelled(), spoilt)["train"][name]["all"]
    assert np.isnan(found["rmse"])
    assert found["n"] == errors(labelled(), FOUND)["train"][name]["all"]["n"]


def test_structures_without_a_group_do_not_stand_for_all():
    named, unnamed = errors(labelled(group=("a", "all")), FOUND), errors(labelled(), FOUND)
    for quantity in ("energy", "forces"):
        assert named["train"][quantity]["all"] == unnamed["train"][quantity]["all"]


# Candidates as arrays


def test_candidates_are_packed_one_after_the_other():
    keys = (("pair", ("Ar", "Ar")), ("pair", ("Ar", "Kr")))
    batch = pack(
        [
            [Term(*keys[1], parse("x^-6.5")), Term(*keys[0], parse("a*x - a", {"a": 3.0}))],
            [],
            [Term(*keys[0], parse("2"))],
        ],
        keys,
    )
    assert batch.term_start.tolist() == [0, 2, 2, 3]
    assert batch.key.tolist() == [1, 0, 0]
    assert batch.node_start.tolist() == [0, 3, 8, 9]
    assert batch.constant_start.tolist() == [0, 1, 2, 2]
    assert batch.constants.tolist() == [-6.5, 3.0]
    # sub mul a x a: both a are the term's first constant
    assert batch.code[3:8].tolist() == [4, 5, 1, 0, 1]
    assert batch.arg[3:8].tolist() == [0, 0, 0, 0, 0]
