import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator

from symreg.cutoff import Cutoff
from symreg.loss import LossSettings
from symreg.neighbours import structure_pairs
from symreg.projection import build_design, three_body_floor
from symreg.projection.rows import add_triplet_rows
from symreg.structures import from_atoms

CUTOFF = Cutoff(kind="septic", r_cut=4.2, r_on=2.6)


def stillinger_weber_like(atoms):
    """Energy of a pair term and K (cos theta + 1/3)^2 exp exp, both with CUTOFF, in eV."""
    structures = from_atoms([atoms])
    pairs = structure_pairs(structures, 0, CUTOFF.r_cut)
    fade = CUTOFF.value(pairs.r)
    energy = 0.5 * np.sum((6.0 * (2.35 / pairs.r) ** 8 - 8.0 * (2.35 / pairs.r) ** 4) * fade)
    h = np.exp(-1.5 * (pairs.r - 2.35)) * fade
    for i in range(len(atoms)):
        near = np.flatnonzero(pairs.i == i)
        cosine = pairs.unit[near] @ pairs.unit[near].T
        product = np.outer(h[near], h[near]) * (cosine + 1 / 3) ** 2
        energy += 9.0 * np.triu(product, 1).sum()
    return energy


def labelled(atoms, energy_of=stillinger_weber_like):
    """The structure with energy, and forces and stress by central differences."""
    step, forces, stress = 1e-4, np.zeros((len(atoms), 3)), np.zeros((3, 3))
    for n, x in np.ndindex(len(atoms), 3):
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[n, x] += sign * step
            forces[n, x] -= sign * energy_of(moved) / (2 * step)
    for a, b in np.ndindex(3, 3):
        for sign in (1, -1):
            strained = atoms.copy()
            strain = np.eye(3)
            strain[a, b] += 0.5 * sign * step
            strain[b, a] += 0.5 * sign * step
            strained.set_cell(atoms.cell @ strain, scale_atoms=True)
            stress[a, b] += sign * energy_of(strained) / (2 * step * atoms.get_volume())
    labels = {"energy": energy_of(atoms), "forces": forces}
    voigt = stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    atoms.calc = SinglePointCalculator(atoms, **labels, stress=voigt)
    return atoms


@pytest.fixture(scope="module")
def silicon_like():
    rng = np.random.default_rng(3)
    images = []
    for scale in np.linspace(0.94, 1.06, 12):
        atoms = bulk("Si", "diamond", a=5.43 * scale, cubic=True)
        atoms.rattle(0.18, rng=rng)
        images.append(labelled(atoms))
    return from_atoms(images)


def test_three_body_terms_close_the_gap_that_pairs_leave(silicon_like, monkeypatch):
    # Fewer polynomials, 212 columns with those of pairs, than the 372 labels.
    monkeypatch.setattr("symreg.projection.three_body.N_RADIAL", 8)
    monkeypatch.setattr("symreg.projection.three_body.N_ANGULAR", 5)
    design = build_design(silicon_like, CUTOFF, r0=2.35, loss=LossSettings())
    floor = three_body_floor(silicon_like, design, CUTOFF, CUTOFF)
    assert design.floor.error > 1.0
    assert floor.error < 2e-3 * design.floor.error
    assert floor.error <= floor.error_coarser < design.floor.error
    assert floor.rmse["train"]["forces"]["all"] < 1e-3


def test_forces_and_virial_of_every_basis_function_are_derivatives_of_its_energy():
    rng = np.random.default_rng(0)
    atoms = Atoms("Si4", positions=rng.uniform(0, 3.0, (4, 3)) + 3 * np.eye(4, 3), pbc=False)

    def rows(positions):
        structures = from_atoms([Atoms("Si4", positions=positions)])
        pairs = structure_pairs(structures, 0, 9.0)
        start = np.searchsorted(pairs.i, np.arange(5))
        powers = np.arange(3)
        radial = pairs.r[:, None] ** powers
        slope = powers * pairs.r[:, None] ** np.maximum(powers - 1, 0)
        sums = np.zeros(24), np.zeros((4, 3, 24)), np.zeros((6, 24))
        add_triplet_rows(start, pairs.j, pairs.r, pairs.unit, radial, slope, 4, *sums)
        return sums

    energy, forces, virial = rows(atoms.positions)
    step = 1e-5
    for n, x in np.ndindex(4, 3):
        shift = np.zeros((4, 3))
        shift[n, x] = step
        up, down = rows(atoms.positions + shift)[0], rows(atoms.positions - shift)[0]
        scale = np.abs(forces).max(axis=(0, 1)) + 1
        np.testing.assert_allclose(
            (down - up) / (2 * step) / scale, forces[n, x] / scale, atol=1e-6
        )
    for c, (a, b) in enumerate([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]):
        strain = np.zeros((3, 3))
        strain[a, b] += 0.5 * step
        strain[b, a] += 0.5 * step
        up = rows(atoms.positions @ (np.eye(3) + strain))[0]
        down = rows(atoms.positions @ (np.eye(3) - strain))[0]
        scale = np.abs(virial).max(axis=0) + 1
        np.testing.assert_allclose((up - down) / (2 * step) / scale, virial[c] / scale, atol=1e-6)
    assert np.abs(energy).min() > 0


def test_collinear_triplets_have_finite_rows():
    structures = from_atoms([Atoms("Si3", positions=[[0, 0, 0], [0, 0, 2.3], [0, 0, 4.6]])])
    pairs = structure_pairs(structures, 0, 5.0)
    start = np.searchsorted(pairs.i, np.arange(4))
    radial = np.ones((len(pairs), 2))
    sums = np.zeros(9), np.zeros((3, 3, 9)), np.zeros((6, 9))
    add_triplet_rows(start, pairs.j, pairs.r, pairs.unit, radial, 0 * radial, 3, *sums)
    assert all(np.isfinite(part).all() for part in sums)
    # cos theta is 1 seen from both ends and -1 from the middle: T_0 + T_0 + T_0, T_1 + T_1 - T_1
    np.testing.assert_allclose(sums[0][:3], [3, 1, 3])


def test_dimers_have_no_triplets():
    dimers = [Atoms("Si2", positions=[[0, 0, 0], [0, 0, d]]) for d in np.linspace(2.2, 4.0, 30)]
    for atoms in dimers:
        atoms.calc = SinglePointCalculator(atoms, energy=atoms.get_distance(0, 1))
    structures = from_atoms(dimers)
    design = build_design(structures, CUTOFF, r0=2.35, loss=LossSettings())
    with pytest.raises(ValueError, match="no atom has two neighbours"):
        three_body_floor(structures, design, CUTOFF, CUTOFF)


def test_two_elements_are_refused():
    atoms = Atoms("SiGe", positions=[[0, 0, 0], [0, 0, 2.4]])
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0)
    structures = from_atoms([atoms])
    design = build_design(structures, CUTOFF, r0=2.35, loss=LossSettings())
    with pytest.raises(ValueError, match="one element only"):
        three_body_floor(structures, design, CUTOFF, CUTOFF)


def test_too_many_neighbours_are_refused_with_advice(silicon_like, monkeypatch):
    monkeypatch.setattr("symreg.projection.three_body.MOST_NEIGHBOURS", 3)
    design = build_design(silicon_like, CUTOFF, r0=2.35, loss=LossSettings())
    with pytest.raises(ValueError, match="at most 3"):
        three_body_floor(silicon_like, design, CUTOFF, CUTOFF)
