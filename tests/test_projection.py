from dataclasses import fields, replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from symreg.fit.design import Design, Problem, build_design, load_or_build_design, triangle
from symreg.fit.design.design import solve
from symreg.fit.errors import errors, training_loss
from symreg.fit.exact import ExactPath
from symreg.fit.grid import (
    NODE_COUNTS,
    RESOLVED,
    TAIL_LENGTH,
    chebyshev_coefficients,
    chebyshev_nodes,
    choose_node_count,
    relative_tail,
)
from symreg.fit.loss import LossSettings
from symreg.fit.solve.linear import relative_tail as compiled_tail
from symreg.language import parse
from symreg.records import rmse_table
from symreg.structures import from_atoms
from symreg.terms import Expression, Key, Term
from symreg.terms.cutoff import Cutoff
from symreg.terms.lengths import Lengths

R0 = 3.6
CUTOFF = Cutoff(kind="septic", r_cut=6.5, r_on=4.5)
LOSS = LossSettings(sigma_energy=0.002, sigma_forces=0.02, sigma_stress=1e-3)
FREE = {"Ar": -0.31, "Kr": -0.69}
PAIRS = Key.of("Ar", "Ar"), Key.of("Ar", "Kr"), Key.of("Kr", "Kr")
NOTHING_LEFT_OUT = {"loss": LOSS}


def design_of(structures, cutoff=CUTOFF, r0=R0, **settings):
    return build_design(structures, Lengths(cutoff, None, r0), **{**NOTHING_LEFT_OUT, **settings})


def expression_of(*parts, pairs=PAIRS):
    terms = tuple(Term.at(key, key.parse(text)) for key in pairs for _, text in parts)
    return Expression(terms, tuple(float(weight) for weight, _ in parts) * len(pairs))


SMOOTH = {
    "Lennard-Jones": expression_of((0.02, "x^-12"), (-0.05, "x^-6")),
    "Morse": expression_of((0.01, "exp(-12.2*(x - 1.1))"), (-0.02, "exp(-6.1*(x - 1.1))")),
    "polynomial": expression_of((0.3, "x^3"), (-0.7, "1")),
    "one pair only": expression_of((0.02, "log(x)"), pairs=PAIRS[1:2]),
}


def coordinates_of(design, expression):
    """Node values by numpy."""
    values = np.zeros((len(design.keys), design.n_nodes))
    for term, weight in expression.weighted():
        k = design.keys.index(term.key)
        values[k] += weight * term.tree(design.nodes[k] / design.r0)
    return values.ravel()


def projected(design, expression):
    """Loss and atomic energies by the projected design."""
    coordinates, problem = coordinates_of(design, expression), design.training
    gap = problem.matrix @ coordinates - problem.target
    e0 = problem.e0(coordinates) if design.n_e0 else np.array(list(design.fixed_e0.values()))
    return 0.5 * (gap @ gap + problem.rest), dict(zip(design.species, e0, strict=True))


def predicted(structures, design, expression, cutoff=CUTOFF):
    _, e0 = projected(design, expression)
    return ExactPath(structures, Lengths(cutoff, None, design.r0)).predict(expression, e0)


@pytest.fixture(scope="module")
def design(two_elements):
    return design_of(two_elements)


# Chebyshev grids


def test_nodes_rise_from_end_to_end():
    nodes = chebyshev_nodes(8, 2.0, 6.0)
    assert (np.diff(nodes) > 0).all()
    np.testing.assert_allclose(nodes + nodes[::-1], 8.0)
    np.testing.assert_allclose(nodes[0], 4 - 2 * np.cos(np.pi / 16))


def test_coefficients_of_a_chebyshev_polynomial_are_a_one():
    s = chebyshev_nodes(8, -1.0, 1.0)
    polynomials = np.cos(np.outer(np.arange(8), np.arccos(s)))
    np.testing.assert_allclose(chebyshev_coefficients(8) @ polynomials.T, np.eye(8), atol=1e-14)


def test_interpolation_is_exact_below_the_number_of_nodes():
    nodes, r = chebyshev_nodes(10, 2.0, 6.0), np.linspace(2, 6, 50)
    coefficients = chebyshev_coefficients(10) @ (nodes**9 - 3 * nodes**4)
    found = np.polynomial.chebyshev.chebval((r - 4) / 2, coefficients)
    np.testing.assert_allclose(found, r**9 - 3 * r**4, rtol=1e-11)


@pytest.mark.parametrize("text", ["x^-12", "exp(-15.0*x)", "sqrt(x)", "x^2.5*log(x)"])
def test_smooth_functions_have_no_tail(text):
    nodes = chebyshev_nodes(40, 0.75, 1.9)
    assert relative_tail(parse(text)(nodes)) < 1e-8


@pytest.mark.parametrize("text", ["1/(x - 1.2)", "sqrt((x - 1.2)^2)", "log((x - 1.2)^2)", "x^64"])
def test_tail_shows_what_the_grid_cannot_follow(text):
    values = parse(text)(
        chebyshev_nodes(40, 0.75, 1.9) if "64" not in text else np.linspace(0, 1, 9)
    )
    assert np.isfinite(values).all()  # the nodes alone tell nothing
    assert relative_tail(values) > 1e-6


def test_compiled_tail_is_the_same():
    values = parse("1/(x - 1.21)")(chebyshev_nodes(32, 0.75, 1.9))
    found = compiled_tail(chebyshev_coefficients(32), values, TAIL_LENGTH)
    assert found == pytest.approx(relative_tail(values), rel=1e-10)


def test_node_count_is_the_smallest_that_resolves_a_steep_core():
    counts = [choose_node_count(low, 6.0) for low in (3.5, 2.5, 2.0, 1.5, 1.0)]
    assert counts == sorted(counts)
    assert counts[0] == NODE_COUNTS[0]
    for low, count in zip((3.5, 2.5, 2.0, 1.5, 1.0), counts, strict=True):
        tails = {n: relative_tail((chebyshev_nodes(n, low, 6.0) / low) ** -12) for n in NODE_COUNTS}
        assert tails[count] < RESOLVED
        assert all(tails[n] >= RESOLVED for n in NODE_COUNTS if n < count)
    assert choose_node_count(0.01, 6.0) == NODE_COUNTS[-1]


# The design against the exact path


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"fixed_e0": FREE},
        {"group_weights": {"cluster": 5.0, "cell": 0.1}},
        {"group_weights": {"crystal": 0.0}},
        {"loss": replace(LOSS, sigma_stress=0.0), "n_nodes": 48},
    ],
    ids=["fitted e0", "fixed e0", "weights", "a group without weight", "without stress"],
)
def test_loss_is_that_of_the_exact_path(two_elements, settings):
    design = design_of(two_elements, **settings)
    for expression in SMOOTH.values():
        found = predicted(two_elements, design, expression)
        exact = training_loss(two_elements, found, design.loss, design.group_weights)
        assert projected(design, expression)[0] == pytest.approx(exact, rel=1e-8)


@pytest.mark.parametrize("quantity", ["energy", "forces", "stress"])
def test_each_quantity_alone_agrees_with_the_exact_path(two_elements, quantity):
    absent = {
        name: np.full_like(getattr(two_elements, name), np.nan)
        for name in ("energy", "forces", "stress")
        if name != quantity
    }
    labels = replace(two_elements, **absent)
    design = design_of(labels, fixed_e0=FREE)
    assert design.quantities == (quantity,)
    loss, _ = projected(design, SMOOTH["Morse"])
    found = predicted(labels, design, SMOOTH["Morse"])
    assert loss == pytest.approx(training_loss(labels, found, LOSS, {}), rel=1e-8)


@pytest.mark.parametrize("kind", ["none", "cosine", "poet", "stillinger_weber"])
def test_every_cutoff_function_agrees_with_the_exact_path(two_elements, kind):
    cutoff = replace(CUTOFF, kind=kind)
    design = design_of(two_elements, cutoff)
    found = predicted(two_elements, design, SMOOTH["Lennard-Jones"], cutoff)
    loss, _ = projected(design, SMOOTH["Lennard-Jones"])
    assert loss == pytest.approx(training_loss(two_elements, found, LOSS, {}), rel=1e-8)


@pytest.mark.parametrize("fixed_e0", [None, FREE], ids=["fitted e0", "fixed e0"])
def test_component_errors_are_those_of_the_exact_path(two_elements, fixed_e0):
    design, expression = design_of(two_elements, fixed_e0=fixed_e0), SMOOTH["Morse"]
    coordinates = coordinates_of(design, expression)
    e0 = np.empty(0) if fixed_e0 else design.training.e0(coordinates)
    found = rmse_table(design.rmse(e0, coordinates))
    exact = rmse_table(errors(two_elements, predicted(two_elements, design, expression)))
    assert set(found) == {"train", "validation", "test"}
    for split, by_quantity in exact.items():
        for quantity, expected in by_quantity.items():
            assert found[split][quantity] == pytest.approx(expected, rel=1e-6)


def test_atomic_energies_are_the_best_for_the_pair_terms(two_elements, design):
    expression = SMOOTH["Lennard-Jones"]
    loss, e0 = projected(design, expression)
    path = ExactPath(two_elements, Lengths(CUTOFF, None, R0))
    for name in e0:
        for step in (-1e-3, 1e-3):
            moved = path.predict(expression, {**e0, name: e0[name] + step})
            assert training_loss(two_elements, moved, LOSS, {}) > loss


def test_one_cell_of_one_atom_and_its_images():
    atoms = bulk("Ar", "sc", a=3.7)  # the cutoff reaches beyond its images
    atoms.info.update(energy=-0.1, stress=1e-3 * np.arange(6.0))
    structures = from_atoms([atoms])
    design = design_of(structures)
    expression = expression_of((0.02, "x^-12"), (-0.05, "x^-6"), pairs=PAIRS[:1])
    loss, _ = projected(design, expression)
    found = predicted(structures, design, expression)
    assert loss == pytest.approx(training_loss(structures, found, LOSS, {}), rel=1e-8)
    assert design.keys == PAIRS[:1]


def test_composition_that_is_always_the_same_leaves_atomic_energies_open():
    rng = np.random.default_rng(0)
    images = []
    for n in range(4):
        atoms = bulk("ArKr", "rocksalt", a=6.4 + 0.1 * n)
        atoms.positions += rng.normal(0, 0.1, (2, 3))
        atoms.info["energy"] = -1.0 + 0.01 * n
        atoms.arrays["forces"] = rng.normal(0, 0.02, (2, 3))
        images.append(atoms)
    structures = from_atoms(images)
    design = design_of(structures)
    loss, e0 = projected(design, SMOOTH["Lennard-Jones"])
    found = predicted(structures, design, SMOOTH["Lennard-Jones"])
    assert loss == pytest.approx(training_loss(structures, found, LOSS, {}), rel=1e-8)
    assert np.isfinite(list(e0.values())).all()


def test_forces_alone_leave_atomic_energies_at_nothing(two_elements):
    labels = replace(two_elements, energy=np.full(len(two_elements), np.nan))
    _, e0 = projected(design_of(labels), SMOOTH["Lennard-Jones"])
    assert list(e0.values()) == [0, 0]


def test_elements_that_meet_only_far_apart_have_a_grid_of_their_own():
    # Searches for the closest atoms end at 9 Å; the cutoff does not.
    images = [
        Atoms("ArKr", [[0, 0, 0], [0, 0, 9.5]], info={"energy": 1e-3}),
        Atoms("Ar2", [[0, 0, 0], [0, 0, 4.0]], info={"energy": -1e-2}),
    ]
    cutoff = Cutoff(kind="none", r_cut=11.0)
    structures = from_atoms(images)
    design = design_of(structures, cutoff, fixed_e0=FREE)
    assert design.keys == PAIRS[:2]
    expression = expression_of((0.02, "x^-3"), pairs=PAIRS[:2])
    loss, _ = projected(design, expression)
    found = predicted(structures, design, expression, cutoff)
    assert loss == pytest.approx(training_loss(structures, found, LOSS, {}), rel=1e-6)


# Weights and rows


def test_weight_of_a_group_is_as_many_copies_of_it():
    rng = np.random.default_rng(7)
    images = {}
    for group in ("few", "many"):
        images[group] = []
        for distance in rng.uniform(3.2, 6, 5):
            atoms = Atoms("Ar2", [[0, 0, 0], [0, 0, distance]])
            atoms.info.update(energy=rng.normal(-0.6, 0.01), group=group)
            atoms.arrays["forces"] = rng.normal(0, 0.1, (2, 3))
            images[group].append(atoms)
    weighted = from_atoms(images["many"] + images["few"])
    copied = from_atoms(3 * images["many"] + images["few"])
    one = triangle(design_of(weighted, group_weights={"many": 3.0}).block_triangles, 34)
    other = triangle(design_of(copied).block_triangles, 34)
    np.testing.assert_allclose(one.T @ one, other.T @ other, rtol=1e-9, atol=1e-6)


def test_group_without_weight_is_as_good_as_absent(two_elements):
    kept = np.array([group != "cluster" for group in two_elements.group])
    without = design_of(two_elements.subset(kept), n_nodes=40)
    weightless = design_of(two_elements, group_weights={"cluster": 0.0}, n_nodes=40)
    np.testing.assert_allclose(without.r_lo, weightless.r_lo, rtol=0.1)
    expression = SMOOTH["Morse"]
    assert projected(without, expression)[0] == pytest.approx(
        projected(weightless, expression)[0], rel=1e-7
    )


def test_triangle_of_parts_is_the_triangle_of_the_whole():
    rows = np.random.default_rng(0).standard_normal((40, 6))
    whole = np.linalg.qr(rows, mode="r")
    found = triangle([rows[:3], rows[3:17], rows[17:]], 6)
    np.testing.assert_allclose(np.abs(found), np.abs(whole), rtol=1e-12)
    assert triangle([rows[:2]], 6).shape == (6, 6)
    np.testing.assert_allclose(found.T @ found, rows.T @ rows, rtol=1e-12)


def test_rows_that_come_in_small_portions_give_the_same_problem(two_elements, design, monkeypatch):
    monkeypatch.setattr("symreg.fit.design.triangles.BUFFERED_ROWS", 5)
    other = design_of(two_elements)
    assert other.counts == design.counts
    for cell, matrix in design.cells.items():
        gram = matrix.T @ matrix
        scale = np.abs(gram).max()
        np.testing.assert_allclose(
            other.cells[cell].T @ other.cells[cell], gram, atol=1e-11 * scale
        )
    for expression in SMOOTH.values():
        one, two = projected(design, expression)[0], projected(other, expression)[0]
        assert one == pytest.approx(two, rel=1e-9)


def test_counts_are_those_of_labels(two_elements, design):
    train = two_elements.split == 0
    counted = {
        quantity: sum(n for cell, n in design.counts.items() if cell[0] == quantity)
        for quantity in ("energy", "forces", "stress")
    }
    assert counted["energy"] == np.isfinite(two_elements.energy).sum()
    assert counted["forces"] == np.isfinite(two_elements.forces).sum()
    assert counted["stress"] == np.isfinite(two_elements.stress).sum()
    energies = sum(n for c, n in design.counts.items() if c[0] == "energy" and c[2] == "train")
    assert energies == np.isfinite(two_elements.energy[train]).sum()


def test_error_is_per_quantity_in_units_of_the_sigmas(design):
    assert design.error(0.5 * 3 * 4.0) == pytest.approx(2.0)
    assert design.error(-1e-20) == 0


def test_blocks_together_are_the_training_problem(design):
    whole = triangle(design.block_triangles, design.columns)
    parts = sum(block.T @ block for block in design.block_triangles)
    np.testing.assert_allclose(whole.T @ whole, parts, rtol=1e-10, atol=1e-10 * parts.max())
    assert len(design.block_triangles) == 13  # each of the training runs is one


# The floor


@pytest.mark.parametrize("form", SMOOTH)
def test_floor_is_below_every_form(design, form):
    loss, _ = projected(design, SMOOTH[form])
    assert design.floor.error <= design.error(loss) * (1 + 1e-9)


def test_floor_falls_as_nodes_are_raised(two_elements):
    floors = [design_of(two_elements, n_nodes=n).floor for n in (8, 12, 16, 24)]
    found = [floor.error for floor in floors]
    assert (np.diff(found) <= 1e-12).all()
    assert all(floor.error <= floor.error_coarser + 1e-12 for floor in floors)
    assert [floor.n_nodes for floor in floors] == [8, 12, 16, 24]
    # three quarters of 16 nodes span what 12 do
    assert floors[2].error_coarser == pytest.approx(floors[1].error, rel=1e-6)


def test_floor_of_a_known_pair_potential_is_nothing(two_elements):
    truth = SMOOTH["Lennard-Jones"]
    path = ExactPath(two_elements, Lengths(CUTOFF, None, R0))
    found = path.predict(truth, FREE)
    labels = replace(two_elements, energy=found.energy, forces=found.forces, stress=found.stress)
    assert design_of(labels).floor.error < 1e-5
    assert design_of(labels, fixed_e0=FREE).floor.error < 1e-5
    wrong = design_of(labels, fixed_e0={"Ar": -0.2, "Kr": -0.2})
    assert wrong.floor.error > 1


def test_floor_tells_the_errors_of_its_solution(design):
    train = design.floor.rmse["train"]
    shares = [
        train.energy.rmse / LOSS.sigma_energy,
        train.forces.rmse / LOSS.sigma_forces,
        train.stress.rmse / LOSS.sigma_stress,
    ]
    assert design.floor.error == pytest.approx(np.sqrt(np.mean(np.square(shares))), rel=1e-6)


# Refusals


def test_cutoff_below_the_closest_atoms_is_refused_with_advice(two_elements):
    with pytest.raises(ValueError, match=r"r_cut is 2 Å, but the closest atoms are 3\.\d+ Å apart"):
        design_of(two_elements, Cutoff(kind="none", r_cut=2.0))


def test_lone_atoms_have_no_pairs():
    with pytest.raises(ValueError, match="there are no pairs; make r_cut larger"):
        design_of(from_atoms([Atoms("Ar", info={"energy": 0.0})]))


def test_data_without_training_labels_are_refused(two_elements):
    validation = replace(two_elements, split=np.ones(len(two_elements), dtype=np.int64))
    with pytest.raises(ValueError, match="no training structure has a label that the loss counts"):
        design_of(validation)
    weightless = dict.fromkeys(("crystal", "cluster", "cell"), 0.0)
    with pytest.raises(ValueError, match="no training structure has a label that the loss counts"):
        design_of(two_elements, group_weights=weightless)


# On disk


def same(one, other):
    for field in fields(Design):
        first, second = getattr(one, field.name), getattr(other, field.name)
        if field.name == "cells":
            assert list(first) == list(second)
            assert all(first[cell].tobytes() == second[cell].tobytes() for cell in first)
        elif field.name == "grids":
            for grid, twin in zip(first, second, strict=True):
                (record, own), (same_record, same_own) = grid.to_arrays(), twin.to_arrays()
                assert (type(grid), record, own.keys()) == (
                    type(twin),
                    same_record,
                    same_own.keys(),
                )
                assert all(own[name].tobytes() == same_own[name].tobytes() for name in own)
        elif field.name == "floors":  # known where it was read back, else found when asked for
            assert (one.floor, one.pair_floor) == (other.floor, other.pair_floor)
        else:
            assert first == second, field.name
    assert one.training.matrix.tobytes() == other.training.matrix.tobytes()
    return True


@pytest.mark.parametrize("fixed_e0", [None, FREE], ids=["fitted e0", "fixed e0"])
def test_saved_design_is_read_back_bit_for_bit(two_elements, tmp_path, fixed_e0):
    design = design_of(two_elements, fixed_e0=fixed_e0, group_weights={"cell": 1 / 3})
    design.save(tmp_path / "design.npz")
    assert same(Design.load(tmp_path / "design.npz"), design)


@pytest.fixture
def kept(two_elements, tmp_path, monkeypatch):
    """A function that keeps the design in a file and says whether it had to build it."""
    from symreg.fit.design import build

    built = []

    def counted(*arguments, **settings):
        built.append(1)
        return build_design(*arguments, **settings)

    monkeypatch.setattr(build, "build_design", counted)

    few = two_elements.subset(np.arange(len(two_elements)) < 5)

    def load(structures=few, cutoff=CUTOFF, r0=R0, **settings):
        before, path = len(built), tmp_path / "new" / "design.npz"
        options = {**NOTHING_LEFT_OUT, **settings}
        found = load_or_build_design(path, structures, Lengths(cutoff, None, r0), **options)
        return found, len(built) > before

    load.structures = few
    load.path = tmp_path / "new" / "design.npz"
    return load


def test_design_is_built_once(kept):
    first, built = kept()
    assert built
    second, built = kept()
    assert not built
    assert same(first, second)
    assert same(first, design_of(kept.structures))
    assert [path.name for path in kept.path.parent.iterdir()] == ["design.npz"]


def test_other_data_or_settings_build_it_anew(kept):
    kept()
    for change in (
        {"structures": kept.structures.subset([True, True, True, True, False])},
        {"cutoff": replace(CUTOFF, r_on=4.0)},
        {"r0": 3.5},
        {"loss": replace(LOSS, sigma_forces=0.03)},
        {"fixed_e0": FREE},
        {"group_weights": {"cell": 2.0}},
    ):
        assert kept(**change)[1], change
        assert not kept(**change)[1]


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda _: b"PK\x03\x04 and no more",
        lambda _: b"this is text",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: data[:3000] + bytes([data[3000] ^ 1]) + data[3001:],
    ],
    ids=["empty", "stub", "text", "half", "last byte", "one bit"],
)
def test_damaged_file_is_built_anew(kept, damage):
    design, _ = kept()
    kept.path.write_bytes(damage(kept.path.read_bytes()))
    again, built = kept()
    assert built
    assert same(again, design)
    assert not kept()[1]


def test_a_decomposition_that_does_not_converge_is_done_in_another_way(monkeypatch):
    rng = np.random.default_rng(0)
    matrix, target = np.triu(rng.normal(size=(6, 6))), rng.normal(size=6)
    problem = Problem(matrix, target, 0.5, np.empty((0, 7)))
    columns = matrix @ rng.normal(size=(6, 3)) * [1.0, 1e8, 1e-8]
    expected = solve(problem, columns)

    def fails(*_, **__):
        raise np.linalg.LinAlgError("SVD did not converge in Linear Least Squares")

    monkeypatch.setattr(np.linalg, "lstsq", fails)
    found = solve(problem, columns)
    np.testing.assert_allclose(found[0], expected[0])
    assert found[1] == pytest.approx(expected[1])


def test_file_of_another_format_is_built_anew(kept, monkeypatch):
    kept()
    monkeypatch.setattr("symreg.fit.design.design._FORMAT", 4)
    with pytest.raises(ValueError, match="format 3, not 4"):
        Design.load(kept.path)
    assert kept()[1]


def test_file_that_cannot_be_written_is_an_error_of_its_own(two_elements, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        load_or_build_design(
            tmp_path / "file" / "design.npz", two_elements, Lengths(CUTOFF, None, R0), LOSS
        )
