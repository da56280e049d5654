import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones

from symreg.fit.exact import ExactPath
from symreg.fit.sums import triplets
from symreg.fit.sums.base import Around
from symreg.fit.sums.triplet_grid import TripletGrid
from symreg.language import parse
from symreg.language.text import TRIPLET
from symreg.structures import from_atoms
from symreg.structures.neighbours import structure_pairs
from symreg.terms import Expression, Key, Term, expression_of
from symreg.terms.cutoff import KINDS, Cutoff
from symreg.terms.lengths import Lengths

EPSILON, SIGMA = 0.0104, 3.4
LJ = expression_of([(4 * EPSILON, "Ar-Ar: x^-12"), (-4 * EPSILON, "Ar-Ar: x^-6")])


def predict(images, expression=LJ, cutoff=None, r0=SIGMA, e0=0.0):
    cutoff = cutoff or Cutoff(kind="poet", r_cut=8.0, r_on=6.0)
    return ExactPath(from_atoms(images), Lengths(cutoff, None, r0)).predict(expression, {"Ar": e0})


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
    formula = expression_of([(2 * 49302, "Ar-Ar: x^-12"), (-2 * 34.88, "Ar-Ar: x^-6")])
    found = predict(images, formula, Cutoff(kind="poet", r_cut=7.5, r_on=4.355), r0=1.0)
    labels = from_atoms(images)
    # Tabulated by its makers: 2e-5 eV/atom and 5e-4 eV/Å are their rounding.
    assert np.abs(found.energy - labels.energy).max() / 32 < 3e-5
    assert np.abs(found.forces - labels.forces).max() < 1e-3


def test_terms_act_between_their_own_species():
    trimer = Atoms("ArKrAr", [[0, 0, 0], [3, 0, 0], [0, 4, 0]])
    parts = (1.0, "Ar-Ar: x"), (10.0, "Ar-Kr: x^2"), (100.0, "Kr-Ar: 1")
    expression = expression_of(parts)
    path = ExactPath(from_atoms([trimer]), Lengths(Cutoff(kind="none", r_cut=9.0), None, 2.0))
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
    path = ExactPath(
        from_atoms([argon]), Lengths(Cutoff(kind="septic", r_cut=6.0, r_on=4.0), None, SIGMA)
    )
    first, second = path.predict(LJ, {"Ar": 0.0}), path.predict(LJ, {"Ar": 0.0})
    for name in ("energy", "forces", "stress"):
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_pair_term_and_its_slope_carry_the_cutoff_function(kind, argon):
    path = ExactPath(
        from_atoms([argon]), Lengths(Cutoff(kind=kind, r_cut=6.0, r_on=4.0), None, SIGMA)
    )
    r, h = np.array([3.0, 3.9, 4.1, 5.0, 5.9]), 1e-6
    parts = [(term.tree, weight) for term, weight in LJ.weighted()]
    value, slope = path.kind("pairs", ("Ar", "Ar")).walled(parts, r)
    x = r / SIGMA
    np.testing.assert_allclose(
        value, 4 * EPSILON * (x**-12.0 - x**-6.0) * path.lengths.cutoff.value(r), rtol=1e-12
    )
    above, below = (path.kind("pairs", ("Ar", "Ar")).walled(parts, r + s)[0] for s in (h, -h))
    np.testing.assert_allclose(slope, (above - below) / (2 * h), atol=1e-8)


def test_formula_outside_its_domain_is_not_a_number(argon):
    found = predict([argon, Atoms("Ar")], expression_of([(1.0, "Ar-Ar: sqrt(x - 1.5)")]))
    assert np.isnan(found.energy[0])
    assert found.energy[1] == 0


# Triplets

SILICON = ("Si", "Si", "Si")
FAR = Cutoff(kind="none", r_cut=9.0)
SWITCH = Cutoff(kind="septic", r_cut=4.0, r_on=2.6)


def triplet_sums(images, *texts, species=SILICON, cutoff=FAR, r0=1.0):
    key = "-".join(species)
    expression = expression_of([(1.0, f"{key}: {text}") for text in texts])
    structures = from_atoms(images)
    path = ExactPath(structures, Lengths(Cutoff(kind="none", r_cut=3.0), cutoff, r0))
    return path.predict(expression, dict.fromkeys(structures.species, 0))


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
    pair, three = Term.read("Si-Si: x^-4"), Term.read("Si-Si-Si: x1^-2*x2^-2*c")
    path = ExactPath(
        from_atoms([atoms]), Lengths(Cutoff(kind="septic", r_cut=3.0, r_on=2.0), SWITCH, 2.35)
    )
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
    alone = ExactPath(from_atoms([atoms]), Lengths(path.lengths.cutoff, None, 2.35))
    pairs_only = alone.predict(Expression((pair,), (2.0,)), {"Si": 0.0})
    np.testing.assert_allclose(one.forces, pairs_only.forces, atol=1e-14)


def test_chunks_do_not_change_the_sums(monkeypatch):
    atoms = bulk("Si", "diamond", a=5.4, cubic=True)
    atoms.rattle(0.2, seed=3)
    whole = triplet_sums([atoms], "x1^-2*x2^-2*c", cutoff=SWITCH)
    monkeypatch.setattr(triplets, "TOGETHER", 7)
    parts = triplet_sums([atoms], "x1^-2*x2^-2*c", cutoff=SWITCH)
    np.testing.assert_array_equal(parts.forces, whole.forces)


def test_three_body_terms_need_a_cutoff():
    with pytest.raises(ValueError, match="need a cutoff_three_body"):
        triplet_sums([RIGHT_ANGLE], "x1*x2*c", cutoff=None)


def test_exact_path_agrees_with_the_rows_of_the_projected_design():
    # psi is known by its values at the nodes, whose Lagrange polynomials are 3 x 3 x 3 products.
    atoms = bulk("Si", "diamond", a=5.4, cubic=True)
    atoms.rattle(0.25, seed=4)
    structures = from_atoms([atoms])
    grid = TripletGrid(Key.of(*SILICON), 1.8, SWITCH, n_radial=3, n_angular=3)
    pairs = structure_pairs(structures, 0, SWITCH.r_cut)
    rows = grid.contributions(Around(pairs, structures.kind), [0, 0, 0])
    energy, forces, virial = (
        grid.to_node_values(np.atleast_2d(part))
        for part in (rows[0], rows[1].reshape(24, -1), rows[2])
    )
    expression = expression_of(
        [
            (0.3, "Si-Si-Si: (x1 - 2.9)^2*(x2 - 2.9)^2*(c + 0.3)^2"),
            (-0.7, "Si-Si-Si: x1*c^2 - x2^2"),
            (1.1, "Si-Si-Si: (x1*x2)^2*c"),
        ]
    )
    values = sum(weight * grid.values(term.tree, 1.0) for term, weight in expression.weighted())
    found = ExactPath(structures, Lengths(SWITCH, SWITCH, 1.0)).predict(expression, {"Si": 0.0})
    assert found.energy[0] == pytest.approx(float((energy @ values)[0]), rel=1e-12)
    np.testing.assert_allclose(found.forces.ravel(), forces @ values, atol=1e-11)
    np.testing.assert_allclose(found.stress[0], virial @ values / atoms.get_volume(), atol=1e-12)


def test_atom_alone_where_a_root_has_no_slope_feels_nothing():
    images = [Atoms("Cu"), Atoms("Cu2", [[0, 0, 0], [0, 0, 6.5]])]
    cutoff, expression = Cutoff(kind="none", r_cut=6.0), expression_of([(0.0, "Cu: sqrt(sum(x))")])
    for weight in (0.0, 2.0):  # 0 times an infinite slope is no number, and no warning either
        weighted = Expression(expression.terms, (weight,))
        found = ExactPath(from_atoms(images), Lengths(cutoff, None, 1.0)).predict(
            weighted, {"Cu": -0.3}
        )
        np.testing.assert_array_equal(found.energy, [-0.3, -0.6])
        np.testing.assert_array_equal(found.forces, 0)
