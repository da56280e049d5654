from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from symreg.fit.design import Design, build_design, load_or_build_design, triangles
from symreg.fit.design import build as building
from symreg.fit.errors import errors, training_loss
from symreg.fit.exact import ExactPath
from symreg.fit.loss import LossSettings
from symreg.fit.programs.batch import decode
from symreg.fit.projected.fitter import Fitter
from symreg.fit.projected.judging import FITTED, TAIL
from symreg.fit.sums import triplet_grid
from symreg.fit.sums.triplet_grid import TripletGrid, _add_triplet_rows
from symreg.records import rmse_table
from symreg.searching.individuals import terms_from
from symreg.searching.variation import Variation, VariationSettings
from symreg.structures import Structures, from_atoms
from symreg.structures.neighbours import structure_pairs
from symreg.terms import Expression, Key, expression_of
from symreg.terms.cutoff import Cutoff
from symreg.terms.lengths import Lengths

R0 = 2.35
PAIRS = Cutoff(kind="septic", r_cut=5.0, r_on=3.0)
TRIPLETS = Cutoff(kind="septic", r_cut=4.2, r_on=2.52)
LOSS = LossSettings()
FREE = {"Si": -0.8}
SI2, SI3 = Key.of("Si", "Si"), Key.of("Si", "Si", "Si")


def design_of(structures, cutoff=PAIRS, cutoff_three_body=TRIPLETS, **settings):
    r0 = settings.pop("r0", R0)
    return build_design(
        structures, Lengths(cutoff, cutoff_three_body, r0), **{"loss": LOSS} | settings
    )


PAIR = (6.0, "Si-Si: x^-8"), (-8.0, "Si-Si: x^-4")
SMOOTH = {
    "Stillinger-Weber": [
        *PAIR,
        (9.0, "Si-Si-Si: exp(-3.5*(x1 - 1))*exp(-3.5*(x2 - 1))*(c + 1/3)^2"),
    ],
    "products": [
        *PAIR,
        (-2.0, "Si-Si-Si: x1^-3*x2^-3*c"),
        (0.5, "Si-Si-Si: (x1 - 1.5)*(x2 - 1.5)*exp(0.7*c)"),
    ],
    "general": [
        (0.4, "Si-Si: x"),
        (0.3, "Si-Si-Si: exp(-(x1 + x2 + x1*x2*c/4))"),
        (0.1, "Si-Si-Si: x1*c^3"),
    ],
    "one neighbour leads": [*PAIR, (3.0, "Si-Si-Si: x1^-2*(c + x2)"), (-1.0, "Si-Si-Si: x2^3")],
    "triplets alone": [(1.5, "Si-Si-Si: (x1 - 0.3*x2)^2*(c - 0.2)^2")],
}
SMOOTH = {name: expression_of(parts) for name, parts in SMOOTH.items()}


def projected(design, expression):
    """Loss and atomic energies by the projected design."""
    fitter, problem = Fitter(design), design.training
    coordinates = fitter.coordinates(expression)
    gap = problem.matrix @ coordinates - problem.target
    e0 = problem.e0(coordinates) if design.n_e0 else np.array(list(design.fixed_e0.values()))
    return 0.5 * (gap @ gap + problem.rest), dict(zip(design.species, e0, strict=True))


def predicted(structures, design, expression, cutoffs=(PAIRS, TRIPLETS)):
    _, e0 = projected(design, expression)
    return ExactPath(structures, Lengths(cutoffs[0], cutoffs[1], R0)).predict(expression, e0)


@pytest.fixture
def coarse(monkeypatch):
    """Grids of few nodes: a design takes a tenth of a second."""
    monkeypatch.setattr(triplet_grid, "NODES", (7, 6))


# The design against the exact path


@pytest.mark.parametrize("form", SMOOTH)
def test_loss_is_that_of_the_exact_path(silicon, silicon_design, form):
    expression = SMOOTH[form]
    found = predicted(silicon, silicon_design, expression)
    exact = training_loss(silicon, found, LOSS, {})
    assert projected(silicon_design, expression)[0] == pytest.approx(exact, rel=1e-5)
    assert Fitter(silicon_design).loss(expression) == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize("form", ["products", "general"])
def test_component_errors_are_those_of_the_exact_path(silicon, silicon_design, form):
    expression = SMOOTH[form]
    coordinates = Fitter(silicon_design).coordinates(expression)
    e0 = silicon_design.training.e0(coordinates)
    found = rmse_table(silicon_design.rmse(e0, coordinates))
    exact = rmse_table(errors(silicon, predicted(silicon, silicon_design, expression)))
    assert set(found) == {"train", "validation", "test"}
    for split, by_quantity in exact.items():
        assert set(found[split]) == {"energy", "forces", "stress"}
        for quantity, expected in by_quantity.items():
            assert found[split][quantity] == pytest.approx(expected, rel=1e-5)


def test_fixed_energies_weights_and_other_cutoffs_agree_with_the_exact_path(silicon):
    cutoffs = (
        Cutoff(kind="stillinger_weber", r_cut=4.0, s=1.1),
        Cutoff(kind="cosine", r_cut=4.5, r_on=2.0),  # reaches beyond the pairs
    )
    weights = {"bulk": 0.3, "cluster": 2.0}
    design = design_of(silicon, *cutoffs, fixed_e0=FREE, group_weights=weights)
    expression = SMOOTH["Stillinger-Weber"]
    found = predicted(silicon, design, expression, cutoffs)
    exact = training_loss(silicon, found, LOSS, weights)
    assert projected(design, expression)[0] == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize("general", [False, True], ids=["separable", "general"])
def test_what_the_certificate_lets_pass_is_what_the_exact_path_computes(
    silicon, silicon_design, general
):
    fitter, keys = Fitter(silicon_design), silicon_design.keys
    variation = Variation(VariationSettings(general=general), keys)
    fits = fitter.fit(variation.random(60, np.random.default_rng(0)))
    starts, passed = fits.batch.term_start, 0
    for k, coded_terms in enumerate(decode(fits.batch)):
        if fits.outcomes[k] == FITTED:
            weights = fits.weights[starts[k] : starts[k + 1]]
            expression = Expression(terms_from(coded_terms, keys), tuple(map(float, weights)))
            found = predicted(silicon, silicon_design, expression)
            exact = training_loss(silicon, found, LOSS, {})
            assert fits.losses[k] == pytest.approx(exact, rel=2e-3)  # 0.1 % of the error
            passed += 1
    assert passed > 20
    assert (fits.outcomes == TAIL).any()


def test_pair_terms_know_nothing_of_the_triplets(silicon, silicon_design):
    expression = expression_of(PAIR)
    loss, e0 = projected(silicon_design, expression)
    without = build_design(silicon, Lengths(PAIRS, None, R0), loss=LOSS)
    assert not without.triplet_grids
    assert without.keys == silicon_design.pair_keys == silicon_design.keys[:1]
    again, same = projected(without, expression)
    assert loss == pytest.approx(again, rel=1e-9)
    assert e0 == pytest.approx(same)


def test_keys_are_those_of_pairs_then_that_of_triplets(silicon_design):
    assert silicon_design.keys == (SI2, SI3)


# The floor


def test_floor_is_below_every_form_and_the_floor_of_pairs(silicon, silicon_design):
    design = silicon_design
    assert design.floor.error < 0.1 * design.pair_floor.error
    for expression in SMOOTH.values():
        best, _ = Fitter(design).refit(expression.terms)
        loss, _ = projected(design, best)
        assert design.floor.error <= design.error(loss)
        exact = training_loss(silicon, predicted(silicon, design, best), LOSS, {})
        assert design.floor.error <= design.error(exact) * (1 + 1e-6)


@pytest.mark.usefixtures("coarse")
def test_floor_falls_as_nodes_are_raised(silicon, monkeypatch):
    found = []
    for n_radial, n_angular in ((4, 4), (5, 4), (6, 5)):
        monkeypatch.setattr(triplet_grid, "NODES", (n_radial, n_angular))
        design = design_of(silicon)
        found.append(design.floor.error)
        assert design.floor.error < design.floor.error_coarser < design.pair_floor.error
    assert found == sorted(found, reverse=True)


def test_floor_of_pairs_is_that_without_triplets(silicon, silicon_design):
    without = build_design(silicon, Lengths(PAIRS, None, R0), loss=LOSS)
    assert without.floor.error == without.pair_floor.error
    assert silicon_design.pair_floor.error == pytest.approx(without.floor.error, rel=1e-9)
    assert silicon_design.pair_floor.rmse["train"].forces.rmse == pytest.approx(
        without.floor.rmse["train"].forces.rmse, rel=1e-6
    )


def test_floor_tells_the_errors_of_its_solution(silicon_design):
    for floor in (silicon_design.floor, silicon_design.pair_floor):
        train = floor.rmse["train"]
        shares = [train.of(q).rmse / LOSS.sigma(q) for q in ("energy", "forces", "stress")]
        assert floor.error == pytest.approx(np.sqrt(np.mean(np.square(shares))), rel=1e-4)


@pytest.mark.usefixtures("coarse")
def test_three_body_terms_close_the_gap_that_pairs_leave(silicon_images):
    # More labels than the 168 + 32 columns.
    structures = from_atoms(silicon_images)
    design = design_of(structures)
    assert design.n_labels > 300
    assert design.pair_floor.error > 1.0
    assert design.floor.error < 2e-3 * design.pair_floor.error
    assert design.floor.error <= design.floor.error_coarser < design.pair_floor.error
    assert design.floor.rmse["train"].forces.rmse < 1e-3


# What is felt


def test_combinations_that_move_no_label_are_left_out(silicon_design):
    (grid,) = silicon_design.triplet_grids
    assert grid.combinations.shape == (grid.size, grid.columns)
    assert grid.columns < silicon_design.n_labels < grid.size == 780
    assert silicon_design.training.matrix.shape == (32 + grid.columns,) * 2


def test_many_columns_are_condensed_key_by_key_before_they_are_joined(
    silicon, silicon_design, monkeypatch
):
    monkeypatch.setattr(building, "LARGEST_AT_ONCE", 100)
    design = design_of(silicon)
    (grid,), (known,) = design.triplet_grids, silicon_design.triplet_grids
    assert known.columns <= grid.columns < 0.3 * grid.size
    assert {cell[3] for cell in design.cells} == {0}
    assert len(silicon_design.block_triangles) > len(design.block_triangles) == 1
    for expression in SMOOTH.values():
        exact = training_loss(silicon, predicted(silicon, design, expression), LOSS, {})
        assert projected(design, expression)[0] == pytest.approx(exact, rel=1e-5)
        coordinates = Fitter(design).coordinates(expression)
        found = rmse_table(design.rmse(design.training.e0(coordinates), coordinates))
        known_errors = rmse_table(errors(silicon, predicted(silicon, design, expression)))
        for split, by_quantity in known_errors.items():
            for quantity, expected in by_quantity.items():
                assert found[split][quantity] == pytest.approx(expected, rel=5e-4)


@pytest.mark.usefixtures("coarse")
def test_floors_of_columns_condensed_key_by_key_are_of_what_is_left(silicon, monkeypatch):
    whole = design_of(silicon)
    monkeypatch.setattr(building, "LARGEST_AT_ONCE", 50)
    by_key = design_of(silicon)
    left = replace(whole, floors=None).floor.error
    assert whole.floor.error < by_key.floor.error
    assert by_key.floor.error == pytest.approx(left, rel=0.1)
    assert by_key.pair_floor.error == pytest.approx(whole.pair_floor.error, rel=1e-9)


def test_points_and_polynomials_of_the_grid_belong_together():
    grid = TripletGrid(SI3, 2.0, Cutoff(kind="none", r_cut=4.0), n_radial=4, n_angular=3)
    first, second, cosine = grid.points
    assert first.size == grid.size == 30
    assert (first <= second).all()
    values, degrees = grid.polynomials
    for column, (a, b, c) in enumerate(degrees.T):
        s, t = first - 3.0, second - 3.0
        one, two = ((np.cos(n * np.arccos(s)), np.cos(n * np.arccos(t))) for n in (a, b))
        expected = (one[0] * two[1] + two[0] * one[1]) * np.cos(c * np.arccos(cosine))
        np.testing.assert_allclose(values[:, column], expected, atol=1e-13)
    assert np.linalg.matrix_rank(values) == grid.size


@pytest.mark.usefixtures("coarse")
def test_order_of_the_structures_does_not_matter(silicon):
    expression = SMOOTH["products"]
    loss, e0 = projected(design_of(silicon), expression)
    order = np.random.default_rng(1).permutation(len(silicon))
    turned = design_of(reordered(silicon, order))
    again, same = projected(turned, expression)
    assert again == pytest.approx(loss, rel=1e-6)
    assert same == pytest.approx(e0, rel=1e-6)
    assert turned.floor.error == pytest.approx(design_of(silicon).floor.error, rel=1e-6)


def reordered(structures, order):
    parts = [structures.subset(np.arange(len(structures)) == s) for s in order]

    def joined(name):
        return np.concatenate([getattr(part, name) for part in parts])

    arrays = ("kind", "positions", "cell", "pbc", "energy", "forces", "stress", "split")
    texts = ("group", "trajectory", "source")
    return Structures(
        species=structures.species,
        start=np.concatenate([[0], np.cumsum([part.start[-1] for part in parts])]),
        **{name: joined(name) for name in arrays},
        **{name: tuple(text for part in parts for text in getattr(part, name)) for name in texts},
    )


@pytest.mark.usefixtures("coarse")
def test_memory_is_that_of_one_structure_and_a_few_triangles(silicon, monkeypatch):
    monkeypatch.setattr(triangles, "BUFFERED_ROWS", 100)
    monkeypatch.setattr(building, "bootstrap_blocks", lambda s, **_: np.zeros(len(s), int))
    most = []
    add = triangles.Triangle.add

    def watched(self, rows):
        add(self, rows)
        most.append(len(self.matrix) + sum(map(len, self.waiting)))

    monkeypatch.setattr(triangles.Triangle, "add", watched)
    peaks = []
    for copies in (4, 16):
        many = reordered(silicon, list(range(9)) * copies)
        columns = design_of(many).n_pair_values + 28 * 6
        peaks.append(max(most))
        # A triangle, what waits for its reduction, and the rows of one structure.
        assert peaks[-1] <= columns + 2 + 100 + 24
    assert peaks[0] == peaks[1]


# Refusals


def dimers(elements="Si2"):
    images = [Atoms(elements, positions=[[0, 0, 0], [0, 0, d]]) for d in np.linspace(2.2, 4.0, 30)]
    for atoms in images:
        atoms.calc = SinglePointCalculator(atoms, energy=atoms.get_distance(0, 1))
    return from_atoms(images)


def test_dimers_have_no_triplets():
    with pytest.raises(
        ValueError, match=r"no atom has two neighbours within \[terms\] r_cut_three"
    ):
        design_of(dimers())


def test_radius_below_the_closest_atoms_is_refused_with_advice(silicon):
    with pytest.raises(ValueError, match=r"r_cut_three_body is 1\.5 Å, but the closest atoms are"):
        design_of(silicon, cutoff_three_body=Cutoff(kind="none", r_cut=1.5))


def test_too_many_neighbours_are_refused_with_advice(silicon, monkeypatch):
    monkeypatch.setattr("symreg.fit.sums.triplet_grid.MOST_NEIGHBOURS", 10)
    with pytest.raises(
        ValueError, match=r"more than 10; try r_cut_three_body = (\d\.\d)"
    ) as caught:
        design_of(silicon)
    advised = float(str(caught.value).split()[-1])
    assert 2.5 < advised < TRIPLETS.r_cut
    assert design_of(silicon, cutoff_three_body=Cutoff(kind="none", r_cut=advised)).triplet_grids


# On disk


def test_saved_design_is_read_back_bit_for_bit(silicon_design, tmp_path):
    silicon_design.save(tmp_path / "design.npz")
    again = Design.load(tmp_path / "design.npz")
    assert again.keys == silicon_design.keys
    assert (again.floor, again.pair_floor) == (silicon_design.floor, silicon_design.pair_floor)
    (one,), (other,) = again.triplet_grids, silicon_design.triplet_grids
    assert (one.r_lo, one.cutoff, one.size) == (other.r_lo, other.cutoff, other.size)
    assert one.combinations.tobytes() == other.combinations.tobytes()
    for name in ("matrix", "target", "e0_rows"):
        found, expected = (getattr(d.training, name) for d in (again, silicon_design))
        assert found.tobytes() == expected.tobytes()
    first, second = (Fitter(design).grid.tensors for design in (again, silicon_design))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_another_cutoff_of_triplets_builds_the_design_anew(silicon, tmp_path):
    few, path = silicon.subset(np.arange(len(silicon)) > 7), tmp_path / "design.npz"
    radii = []
    for cutoff in (TRIPLETS, TRIPLETS, replace(TRIPLETS, r_cut=4.0), None, TRIPLETS):
        design = load_or_build_design(path, few, Lengths(PAIRS, cutoff, R0), loss=LOSS)
        radii.append([grid.cutoff.r_cut for grid in design.triplet_grids])
    assert radii == [[4.2], [4.2], [4.0], [], [4.2]]


# Rows


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
        none = np.zeros(len(pairs), dtype=bool)
        sums = np.zeros(24), np.zeros((4, 3, 24)), np.zeros((6, 24))
        _add_triplet_rows(start, pairs.j, pairs.r, pairs.unit, radial, slope, none, False, 4, *sums)
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
    none = np.zeros(len(pairs), dtype=bool)
    sums = np.zeros(9), np.zeros((3, 3, 9)), np.zeros((6, 9))
    _add_triplet_rows(
        start, pairs.j, pairs.r, pairs.unit, radial, 0 * radial, none, False, 3, *sums
    )
    assert all(np.isfinite(part).all() for part in sums)
    # cos theta is 1 seen from both ends and -1 from the middle: T_0 + T_0 + T_0, T_1 + T_1 - T_1
    np.testing.assert_allclose(sums[0][:3], [3, 1, 3])
