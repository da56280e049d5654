"""What is said of data that are not as they should be, and what is left out; made with EMT."""

import gzip
from dataclasses import replace

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from typer.testing import CliRunner

from symreg import config
from symreg.cli.commands import app
from symreg.runs.pipeline import search
from symreg.structures import (
    DataSettings,
    data_hash,
    data_in,
    in_words,
    loss_proposals,
    proposals,
    read_structures,
    survey_structures,
)


def labelled(atoms, **changed):
    atoms = atoms.copy()
    atoms.calc = EMT()
    labels = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
    if atoms.pbc.all():
        labels["stress"] = atoms.get_stress()
    labels |= changed
    atoms.calc = SinglePointCalculator(atoms, **labels)
    return atoms


def copper(n, *, rattle=0.08, start=0, strain=0.02):
    images = []
    for seed in range(start, start + n):
        random = np.random.default_rng(seed)
        atoms = bulk("Cu", cubic=True, a=3.61 * (1 + random.uniform(-strain, strain)))
        atoms.rattle(rattle, seed=seed)
        images.append(labelled(atoms))
    return images


def dynamics(n):
    """Small steps from one structure to the next."""
    atoms = bulk("Cu", cubic=True, a=3.61) * (2, 1, 1)
    random = np.random.default_rng(0)
    images = []
    for _ in range(n):
        atoms.positions += random.normal(0, 0.03, (len(atoms), 3))
        images.append(labelled(atoms))
    return images


def squeezed(distance):
    """A crystal with two atoms far too close."""
    atoms = bulk("Cu", cubic=True, a=3.61) * (2, 2, 1)
    atoms.positions[1] = atoms.positions[0] + [distance, 0, 0]
    return labelled(atoms)


def scaled(atoms, **factors):
    results = dict(atoms.calc.results)
    for name, factor in factors.items():
        results[name] = results[name] * factor
    atoms = atoms.copy()
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def shifted(atoms, per_atom):
    return changed(atoms, energy=atoms.calc.results["energy"] + per_atom * len(atoms))


def changed(atoms, **labels):
    results = atoms.calc.results | labels
    atoms = atoms.copy()
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


@pytest.fixture
def written(tmp_path):
    def written(images, name="a.extxyz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        ase.io.write(tmp_path / name, images)
        return tmp_path

    return written


def read(folder, *train, **settings):
    return read_structures(DataSettings(train=train or ("a.extxyz",), **settings), folder)


def said(report, *parts):
    return any(all(part in text for part in parts) for text in (*report.notes, *report.warnings))


# Good data


def test_good_data_are_read_without_a_warning(written):
    _, report = read(written([*copper(12), *dynamics(8)]))
    assert report.warnings == ()


@pytest.mark.parametrize(
    "name",
    [
        *("copper_dft_train", "copper_mlearn_train", "hafnia_gpaw", "hafnia_train", "inp_train"),
        *("lennard_jones_argon", "molybdenum_mlearn_train", "mos2_gpaw", "mose2_train"),
        *("nbmotaw_train", "nickel_mlearn_train", "silicon_gpaw", "silicon_mlearn_train"),
        "sutton_chen_copper",
    ],
)
def test_public_data_raise_no_false_alarm(shared_data, name):
    settings = DataSettings(train=(f"{name}.extxyz",))
    facts, report = survey_structures(settings, shared_data)
    assert report.warnings == ()
    assert list(proposals(facts)) == []


def test_true_oddities_of_public_data_are_said(shared_data):
    _, report = read(shared_data, "mose2_train.extxyz")
    assert said(report, "do not sum to zero", "0.049 eV/Å per atom")
    _, report = read(shared_data, "inp_train.extxyz")
    assert said(report, "forces of group 'aP' are 0.598 eV/Å")


# Units


@pytest.mark.parametrize(("unit", "size"), [("Ha", 27.2114), ("kcal/mol", 1 / 23.0605)])
def test_energies_of_another_unit_than_forces_are_named(written, unit, size):
    images = [scaled(atoms, energy=1 / size) for atoms in dynamics(16)]
    _, report = read(written(images))
    assert said(report, "forces do not fit", f"the energies look like {unit}")


def test_energies_per_atom_beside_forces_are_named(written):
    _, report = read(written([scaled(atoms, energy=1 / 8) for atoms in dynamics(16)]))
    assert said(report, "forces do not fit", "eV/atom instead of the total")


@pytest.mark.parametrize(
    ("factor", "message"),
    [
        (-1.0, "opposite sign of those of similar ones"),
        (1 / 51.422, "they look like Ha/bohr"),
        (1 / 25.711, "they look like Ry/bohr"),
        (23.0605, "they look like kcal/mol/Å"),
    ],
)
def test_forces_of_another_unit_or_sign_in_a_part_are_named(written, factor, message):
    images = copper(20)
    for k in (3, 8, 11, 15, 19):
        images[k] = scaled(images[k], forces=factor)
    _, report = read(written(images))
    assert said(report, "forces of 5 of 20 structures compared", message, "a.extxyz frame 3, a")


def test_forces_of_a_wrong_sign_in_one_group_are_named_with_it(written):
    images = copper(20)
    for k, atoms in enumerate(images):
        atoms.info["group"] = "old" if k < 8 else "new"
    images[:8] = [scaled(atoms, forces=-1.0) for atoms in images[:8]]
    for atoms in images[:8]:
        atoms.info["group"] = "old"
    _, report = read(written(images))
    assert said(report, "forces of 8 of 20 structures compared (of 'old')")


def test_forces_of_cold_beside_hot_structures_are_of_one_unit(written):
    _, report = read(written([*copper(12, rattle=0.3), *copper(12, rattle=0.01, start=20)]))
    assert not said(report, "structures compared")


def test_lengths_in_bohr_are_named(written):
    images = []
    for atoms in copper(8):
        far = atoms.copy()
        far.set_cell(atoms.cell * 1.8897, scale_atoms=True)
        far.calc = SinglePointCalculator(far, **atoms.calc.results)
        images.append(far)
    _, report = read(written(images))
    assert said(report, "no atoms of 8 structures", "look like bohr", 'length-unit="bohr"')


@pytest.mark.parametrize(
    ("sign", "message"), [(-1.0, "like a virial in eV; "), (1.0, "with the opposite sign")]
)
def test_a_virial_under_stress_is_named_by_the_work_that_it_does(written, sign, message):
    images = []
    for strain in np.linspace(-0.04, 0.04, 9):
        atoms = labelled(bulk("Cu", cubic=True, a=3.61 * (1 + strain)))
        images.append(scaled(atoms, stress=sign * atoms.get_volume()))
    _, report = read(written(images))
    assert said(report, "stress does not fit the energies", "it looks like a virial in eV", message)
    assert said(report, "key virial" if sign < 0 else "divide it by the volume")


def test_stresses_in_gpa_are_no_virials_though_a_volume_is_near(written):
    images = []
    for strain in np.linspace(-0.04, 0.04, 9):
        atoms = labelled(bulk("Cu", cubic=True, a=3.61 * (1 + strain)) * (3, 1, 1))
        images.append(scaled(atoms, stress=160.21766))
    _, report = read(written(images))
    assert said(report, "stress does not fit the energies", "it looks like GPa")


def test_stresses_that_grow_with_the_cell_are_virials(written):
    images = [
        scaled(atoms, stress=1e3 * atoms.get_volume() * np.sign(atoms.calc.results["stress"].sum()))
        for n in (1, 2, 3, 4)
        for atoms in [labelled(bulk("Cu", cubic=True, a=3.4) * (n, 1, 1))]
    ]
    _, report = read(written(images))
    assert said(report, "stresses reach", "virials in eV (they grow with the cell)")


def test_half_of_the_energies_in_hartree_are_named(written):
    images = [shifted(atoms, -3.5) for atoms in copper(14)]
    images[::2] = [scaled(atoms, energy=1 / 27.2114) for atoms in images[::2]]
    _, report = read(written(images))
    assert said(report, "two clusters, 7 near -3.4", "the smaller ones look like Ha")


def test_energies_of_two_calculations_are_named(written):
    images = [shifted(atoms, -300.0 * (k % 3 == 0)) for k, atoms in enumerate(copper(15))]
    _, report = read(written(images))
    assert said(report, "two clusters, 5 near -29", "two calculations")


def test_gas_beside_solid_is_no_second_cluster(written):
    pairs = [Atoms("Cu2", [[0, 0, 0], [0, 0, d]]) for d in np.linspace(2.0, 5.0, 10)]
    solids = [shifted(atoms, -3.5) for atoms in copper(10)]
    _, report = read(written([*solids, *map(labelled, pairs)]))
    assert not said(report, "two clusters")


def test_energies_per_atom_in_cells_of_several_sizes_are_named(written):
    images = []
    for seed, size in enumerate([1, 1, 1, 2, 2, 2, 3, 3]):
        atoms = bulk("Cu", cubic=True) * (size, 1, 1)
        atoms.rattle(0.03, seed=seed)
        images.append(labelled(atoms))
    _, report = read(written([shifted(atoms, -3.5) for atoms in images]))
    assert not said(report, "energies per atom")
    images = [scaled(shifted(atoms, -3.5), energy=1 / len(atoms)) for atoms in images]
    _, report = read(written(images))
    assert said(report, "in cells of 4, 8, 12 atoms", "look like energies per atom")


def test_stresses_in_kbar_are_beyond_what_solids_bear(written):
    images = [scaled(atoms, stress=-1602.1766) for atoms in copper(10, rattle=0.2)]
    _, report = read(written(images))
    assert said(report, "no solid bears", "kBar or GPa")


# Labels beside pair functions


def reordered(images, order):
    return [changed(atoms, forces=order(atoms.calc.results["forces"])) for atoms in images]


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (lambda forces: forces[::-1], "in the reversed order of the atoms"),
        (lambda forces: np.roll(forces, 1, axis=0), "one atom further down the list"),
        (lambda forces: np.roll(forces, -1, axis=0), "one atom further up the list"),
    ],
)
@pytest.mark.parametrize("images", [copper(12), dynamics(12)], ids=["rattled", "trajectory"])
def test_forces_in_another_order_than_atoms_are_named(written, images, order, message):
    _, report = read(written(reordered(images, order)))
    assert said(report, "forces do not go with the positions", message)
    assert not said(report, "forces do not fit the energies: ")


@pytest.mark.parametrize(("shift", "message"), [(1, "one frame before"), (-1, "one frame after")])
@pytest.mark.parametrize("images", [copper(16), dynamics(16)], ids=["rattled", "trajectory"])
def test_energies_that_are_off_by_a_frame_are_named(written, images, shift, message):
    energies = np.roll([atoms.calc.results["energy"] for atoms in images], -shift)
    moved = [changed(a, energy=float(e)) for a, e in zip(images, energies, strict=True)]
    _, report = read(written(moved))
    assert said(report, "energies do not go with their structures", message)


def test_one_energy_for_all_structures_is_named(written):
    _, report = read(written([changed(atoms, energy=-14.0) for atoms in dynamics(8)]))
    assert said(report, "energies of 8 of 8 structures with forces are one number, such as -14 eV")
    crystals = [labelled(bulk("Cu", cubic=True)) for _ in range(6)]
    assert not said(read(written(crystals))[1], "one number")


def test_energies_per_atom_of_cells_of_one_size_are_named_without_a_trajectory(written):
    images = [scaled(shifted(atoms, -3.5), energy=1 / 4) for atoms in copper(16)]
    _, report = read(written(images))
    assert said(report, "pair functions that follow the forces of 16", "eV/atom instead of the")


def test_energies_of_another_unit_are_named_without_a_trajectory(written):
    _, report = read(written([scaled(atoms, energy=1 / 27.2114) for atoms in copper(16)]))
    assert said(report, "foretell 27.", "the energies look like Ha, or the forces look like kcal")


@pytest.mark.parametrize("offset", [0.5, 0.8])
def test_half_of_the_energies_off_by_less_than_an_electronvolt_are_named(written, offset):
    images = copper(20)
    images[1::2] = [shifted(atoms, offset) for atoms in images[1::2]]
    _, report = read(written(images))
    assert said(report, "energies of 10 of 20 like structures are", "eV/atom off those of the oth")


def test_energies_that_jump_in_a_trajectory_are_named(written):
    images = dynamics(20)
    images[10:] = [shifted(atoms, 0.6) for atoms in images[10:]]
    _, report = read(written(images))
    assert said(report, "from a.extxyz frame 9 to a.extxyz frame 10", "by 0.6 eV/atom more")


def test_steep_repulsions_are_no_jumps(written):
    near = [labelled(Atoms("Cu2", [[0, 0, 0], [0, 0, d]])) for d in np.linspace(0.4, 1.4, 8)]
    far = [labelled(Atoms("Cu2", [[0, 0, 0], [0, 0, d]])) for d in np.linspace(2.2, 2.8, 24)]
    _, report = read(written([*far, *near]))
    assert not said(report, "than forces account for")


def test_two_phases_are_no_two_calculations(written):
    phases = [bulk("Cu", cubic=True, a=3.61) * (2, 1, 1), bulk("Cu", "bcc", a=2.87).repeat(2)]
    images = []
    for k in range(24):
        atoms = phases[k % 2].copy()
        atoms.rattle(0.06, seed=k)
        images.append(shifted(labelled(atoms), 0.5 * (k % 2)))
    _, report = read(written(images))
    assert not said(report, "off those of the others")


@pytest.mark.parametrize(
    ("factor", "message"), [(-1.0, "its sign is the opposite one"), (1602.2, "it looks like kBar")]
)
def test_stresses_of_rattled_cells_of_one_volume_are_compared_with_forces(written, factor, message):
    _, report = read(written([scaled(atoms, stress=factor) for atoms in dynamics(20)]))
    assert said(report, "stress does not fit the forces: it is", message)


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ({"energy": 23.0605, "forces": 23.0605}, "look like kcal/mol/Å or"),
        ({"energy": 1 / 27.2114, "forces": 1 / 51.422}, "look like Ha/bohr"),
    ],
)
def test_all_labels_in_another_unit_are_named_by_how_firmly_atoms_are_bound(
    written, factors, message
):
    _, report = read(written([scaled(atoms, **factors) for atoms in dynamics(16)]))
    assert said(report, "forces draw atoms back to their places", message, "and the energies")


@pytest.mark.parametrize(("force", "warned"), [(0.2, True), (0.02, False)])
def test_forces_that_sum_to_as_much_as_errors_may_be_are_warned_of(written, force, warned):
    images = copper(10)
    images[3] = changed(images[3], forces=images[3].calc.results["forces"] + [0, 0, force])
    _, report = read(written(images))
    told = report.warnings if warned else report.notes
    assert any("the forces of 1 structure do not sum to zero" in text for text in told)


# Labels


def test_forces_under_an_unknown_key_are_named(written):
    images = copper(6)
    for atoms in images:
        atoms.new_array("gradient", -atoms.calc.results.pop("forces"))
    _, report = read(written(images))
    assert said(report, "arrays of vectors: 'gradient'", 'forces_key = "gradient"')


@pytest.mark.parametrize("quantity", ["forces", "stress"])
def test_labels_that_are_all_zero_are_left_out_unless_kept(written, quantity):
    images = copper(10)
    images[3:6] = [scaled(atoms, **{quantity: 0.0}) for atoms in images[3:6]]
    folder = written(images)
    structures, report = read(folder)
    assert report.labels[quantity] == 7
    assert report.labels["energy"] == 10
    assert said(report, "of 3 structures are zero to the last digit, a.extxyz@3", "left out")
    assert len(structures) == 10
    _, report = read(folder, keep=("zero_labels",))
    assert report.labels[quantity] == 10
    assert said(report, "are used, as [data] keep says")


def test_forces_that_symmetry_makes_zero_are_used(written):
    crystals = [labelled(bulk("Cu", cubic=True, a=a)) for a in np.linspace(3.5, 3.7, 8)]
    crystals = [changed(atoms, forces=np.zeros((4, 3))) for atoms in crystals]
    _, report = read(written(crystals))
    assert report.labels["forces"] == 8
    assert report.warnings == ()


def test_forces_of_atoms_out_of_reach_are_zero_and_used(written):
    pairs = [Atoms("Cu2", [[0, 0, 0], [0, 0, d]]) for d in (2.2, 2.6, 3.0, 5.2, 5.8)]
    images = [labelled(atoms) for atoms in pairs]
    images[3:] = [changed(atoms, forces=np.zeros((2, 3))) for atoms in images[3:]]
    assert read(written(images))[1].labels["forces"] == 5


def test_several_energies_of_zero_are_placeholders_and_one_is_not(written):
    images = copper(8)
    images[2] = changed(images[2], energy=0.0)
    assert read(written(images))[1].labels["energy"] == 8
    images[5] = changed(images[5], energy=0.0)
    assert read(written(images))[1].labels["energy"] == 6


def test_unconverged_structures_are_left_out_unless_kept(written):
    images = copper(6)
    for k, atoms in enumerate(images):
        atoms.info["converged"] = k != 4
    folder = written(images)
    structures, report = read(folder)
    assert "a.extxyz frame 4" not in structures.source
    assert said(report, "left out 1 structure that did not converge: a.extxyz@4")
    assert len(read(folder, keep=("unconverged",))[0]) == 6


# Filters


def test_filters_leave_out_what_is_beyond_them_and_name_it(written):
    images = [*copper(10), squeezed(0.5)]
    folder = written(images)
    for limit in ({"max_force": 30.0}, {"min_distance": 1.5}, {"max_energy": 2.0}):
        structures, report = read(folder, **limit)
        assert len(structures) == 10
        assert said(report, f"left out 1 structure by [data] {next(iter(limit))}", "a.extxyz@10")
        assert report.left_out == {next(iter(limit)): (1, "a.extxyz@10")}
        assert report.warnings == ()
    _, report = read(folder)
    assert said(report, "forces beyond 20 eV/Å", "max_force = 20")
    assert said(report, "atoms overlap in 1 structure", "0.5 Å apart", "min_distance = ")


def test_single_frames_are_left_out_by_number(written):
    folder = written(copper(6))
    structures, report = read(folder, leave_out=("a.extxyz@2", "a.extxyz@5"))
    assert sorted(structures.source) == [f"a.extxyz frame {n}" for n in (0, 1, 3, 4)]
    assert report.notes[0] == "left out 2 structures: a.extxyz@2, a.extxyz@5"
    with pytest.raises(ValueError, match=r"names the frame 'a.extxyz@6'; .* a.extxyz \(0 to 5\)"):
        read(folder, leave_out=("a.extxyz@6",))


def test_single_frames_are_found_from_the_run_folder_too(written):
    folder = written(copper(3), "sub/a.extxyz")
    written(copper(3, start=9), "a.extxyz")
    (folder / "run").mkdir()
    for entry, left in (("sub/a.extxyz@2", "sub"), ("a.extxyz@1", None)):
        settings = {"validation_fraction": 0, "leave_out": (entry,)}
        structures, _ = read(folder, "a.extxyz", "sub/a.extxyz", **settings)
        assert len(structures) == 5
        if left:
            again, _ = read(folder / "run", "../a.extxyz", "../sub/a.extxyz", **settings)
            np.testing.assert_array_equal(again.positions, structures.positions)
    with pytest.raises(ValueError, match="end like that; write more of the path"):
        read(folder / "run", "../a.extxyz", "../sub/a.extxyz", leave_out=("a.extxyz@1",))


def test_a_frame_that_cannot_be_used_may_be_left_out(written):
    folder = written(copper(4))
    path = folder / "a.extxyz"
    lines = path.read_text().splitlines()
    lines[7] = lines[7].replace("energy=", "energy=nan dropped=")
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=r"frame 1: the energy .* must be finite"):
        read(folder)
    assert len(read(folder, leave_out=("a.extxyz@1",))[0]) == 3


def test_filters_that_leave_nothing_stop(written):
    with pytest.raises(ValueError, match=r"no training structures remain: left out 4 .* max_force"):
        read(written(copper(4)), max_force=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_force": -1.0}, r"\[data\] max_force is -1; it must be from 0"),
        ({"min_distance": float("nan")}, r"\[data\] min_distance is nan"),
        ({"keep": ("zeros",)}, r"keep names 'zeros'; it may name 'zero_labels', 'unconverged'"),
    ],
)
def test_filters_that_mean_nothing_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        DataSettings(train=("a.xyz",), **settings)


# Elements and neighbours


def test_elements_that_never_meet_are_named(written):
    images = []
    for seed in range(8):
        atoms = bulk("Cu", cubic=True) * (2, 2, 2)
        atoms.symbols[0] = "Al"
        atoms.rattle(0.05, seed=seed)
        images.append(labelled(atoms))
    _, report = read(written(images))
    assert said(report, "no atoms of Al-Al come within 6 Å", "r_cut above 7.2")


def test_test_structures_with_unknown_elements_are_left_out_and_named(written):
    folder = written(copper(6))
    silver = [labelled(bulk("Ag", cubic=True, a=a)) for a in (4.0, 4.1)]
    written([*silver, *copper(1, start=50)], "t.extxyz")
    structures, report = read(folder, test=("t.extxyz",))
    assert structures.species == ("Cu",)
    assert report.structures["test"] == 1
    assert said(report, "left out 2 structures", "training lacks (Ag)", "t.extxyz@0")


def test_few_labels_are_said(written):
    images = copper(6)
    for atoms in images:
        del atoms.calc.results["forces"], atoms.calc.results["stress"]
    _, report = read(written(images))
    assert said(report, "training has 5 labels, and one function is asked for")


# Splits


def test_the_training_set_alone_says_how_close_atoms_come(written):
    folder = written(copper(8))
    written([squeezed(0.9)], "t.extxyz")
    _, report = read(folder, test=("t.extxyz",))
    assert report.closest["Cu-Cu"] > 1.8
    assert said(report, "1 structure of test with atoms closer than any in training", "0.9 Å")
    assert report.warnings == ()


@pytest.mark.parametrize("kind", ["trajectory", "block", "random", "group"])
def test_extreme_structures_stay_in_training(written, kind):
    images = copper(20)
    images.insert(10, squeezed(0.9))
    for k, atoms in enumerate(images):
        atoms.info |= {"group": f"g{k // 7}", "trajectory": str(k // 3)}
    structures, report = read(written(images), split=kind)
    split = dict(zip(structures.source, structures.split, strict=True))
    assert split["a.extxyz frame 10"] == 0
    volumes = [atoms.get_volume() / len(atoms) for atoms in images if len(atoms) == 4]
    train = structures.volume[structures.split == 0] / structures.n_atoms[structures.split == 0]
    assert train.min() == pytest.approx(min(volumes))
    assert train.max() == pytest.approx(max(volumes))
    assert report.structures["validation"] > 0 or kind == "group"


def test_whole_groups_are_held_out_and_named(written):
    images = copper(20)
    for k, atoms in enumerate(images):
        atoms.info["group"] = f"g{k // 4}"
    structures, report = read(written(images), split="group", validation_fraction=0.4)
    held = {g for g, s in zip(structures.group, structures.split, strict=True) if s == 1}
    kept = {g for g, s in zip(structures.group, structures.split, strict=True) if s == 0}
    assert held
    assert not held & kept
    assert said(report, "validation takes", "whole groups")
    assert said(report, f"no structure of '{min(held)}'", "is in training")
    structures, _ = read(written(images), validation_groups=("g3",))
    held = {g for g, s in zip(structures.group, structures.split, strict=True) if s == 1}
    assert held == {"g3"}
    with pytest.raises(ValueError, match="validation_groups names the group 'g9'"):
        read(written(images), validation_groups=("g9",))
    every = tuple(f"g{k}" for k in range(5))
    with pytest.raises(ValueError, match="validation_groups leaves training without Cu"):
        read(written(images), validation_groups=every)


@pytest.mark.parametrize("kind", ["random", "block"])
def test_isolated_atoms_stay_in_training(written, kind):
    images = copper(8)
    images.insert(4, labelled(Atoms("Cu")))
    for fraction in (0.2, 0.5, 0.8):
        _, report = read(written(images), split=kind, validation_fraction=fraction)
        assert report.isolated_atoms == {"Cu": pytest.approx(3.51)}


def test_the_order_of_files_and_frames_changes_nothing(written):
    images = [*dynamics(20), *copper(10)]
    folder = written(images[:15])
    written(images[15:], "b.extxyz")
    straight, _ = read(folder, "a.extxyz", "b.extxyz")
    shuffled = [images[k] for k in np.random.default_rng(1).permutation(15)]
    written(shuffled)
    turned, _ = read(folder, "b.extxyz", "a.extxyz")
    assert data_hash(turned) == data_hash(straight)
    np.testing.assert_array_equal(turned.split, straight.split)


def test_a_shuffled_trajectory_is_put_in_order(written):
    images = dynamics(30)
    mixed = np.random.default_rng(3).permutation(30)
    structures, _ = read(written([images[k] for k in mixed]), validation_fraction=0)
    order = mixed[[int(source.split()[-1]) for source in structures.source]]
    assert np.abs(np.diff(order)).mean() < 3  # 10 in the file


# Any number of structures


def test_a_survey_says_what_a_run_says(written, monkeypatch):
    monkeypatch.setattr("symreg.structures.files.PORTION", 4000)
    folder = written([*copper(12), squeezed(0.5)])
    settings = DataSettings(train=("a.extxyz",))
    structures, read_report = read_structures(settings, folder)
    facts, report = survey_structures(settings, folder)
    assert len(structures) == len(facts) == 13
    assert structures.species == facts.species
    assert replace(report, data_hash="", notes=()) == replace(read_report, data_hash="", notes=())
    assert sorted(facts.source) == sorted(structures.source)


def test_portions_hold_the_frames_of_the_file(written, monkeypatch):
    folder = written(copper(9))
    with gzip.open(folder / "z.extxyz.gz", "wb") as stream:
        stream.write((folder / "a.extxyz").read_bytes())
    whole, _ = read(folder)
    monkeypatch.setattr("symreg.structures.files.PORTION", 1000)
    cut, _ = read(folder)
    packed, _ = read(folder, "z.extxyz.gz")
    np.testing.assert_array_equal(cut.positions, whole.positions)
    assert cut.source == whole.source
    np.testing.assert_array_equal(packed.energy, whole.energy)


# Words, and what `init` writes


def test_words_name_keys_units_and_e0(written):
    settings = DataSettings(train=("a.extxyz",))
    _, report = read_structures(settings, written([*copper(8), labelled(Atoms("Cu"))]))
    words = dict(in_words(report, settings))
    assert words["structures"].startswith("7 train, 2 validation")
    assert "forces from 'forces' (a usual name)" in words["file"]
    assert "eV/Å³ with tension positive" in words["units"]
    assert 'Cu 3.51 eV; [terms] e0 = "isolated"' in words["e0"]


def test_files_are_taken_as_what_they_are_called(tmp_path):
    for name in ("cu_train.xyz", "valid.extxyz", "more/test/b.xyz.gz", "more/c.xyz", ".d/e.xyz"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "run").mkdir()
    for name in ("run/manifest.json", "run/a.xyz"):
        (tmp_path / name).touch()
    assert data_in(tmp_path) == {
        "train": ["cu_train.xyz", "more/c.xyz"],
        "validation": ["valid.extxyz"],
        "test": ["more/test/b.xyz.gz"],
    }


def test_filters_are_proposed_where_few_structures_rule(written, tmp_path):
    folder = written([*copper(20), squeezed(0.5)])
    facts, _ = survey_structures(DataSettings(train=("a.extxyz",)), folder)
    proposed = {name: (value, reason) for name, value, reason in proposals(facts)}
    assert proposed["max_force"][0] == 20.0
    assert "1 structure above it" in proposed["max_force"][1]
    path = tmp_path / "run.toml"
    path.write_text(config.template(data_in(folder), proposed), encoding="utf-8")
    assert config.load(path).data.max_force == 20.0
    assert "# 1 structure above it" in path.read_text(encoding="utf-8")
    facts, _ = survey_structures(DataSettings(train=("a.extxyz",)), written(copper(20)))
    assert list(proposals(facts)) == []


def test_data_are_told_of_on_the_command_line(written):
    folder = written([*copper(8), squeezed(0.5)])
    words = ["data", str(folder / "a.extxyz"), "--set", "max_force=30"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0
    assert result.output.startswith("structures  6 train, 2 validation; 8 with energy")
    assert "left out 1 structure by [data] max_force = 30 eV/Å" in " ".join(result.output.split())


def test_init_proposes_filters_and_uses_names(written):
    folder = written([*copper(20), squeezed(0.5)])
    written(copper(3, start=40), "test.extxyz")
    result = CliRunner().invoke(app, ["init", str(folder)])
    assert "with a.extxyz; test.extxyz for the test\n" in result.output
    assert "proposed max_force = 20: 1 structure above it" in result.output
    settings = config.load(folder / "run.toml").data
    assert (settings.train, settings.test) == (("a.extxyz",), ("test.extxyz",))
    assert settings.max_force == 20.0


@pytest.mark.slow
def test_the_order_of_files_and_frames_changes_no_front(written, tmp_path):
    images = copper(24)
    fronts = []
    for turn, order in enumerate([np.arange(12), np.random.default_rng(2).permutation(12)]):
        written([images[k] for k in order], f"{turn}/a.extxyz")
        written([images[12 + k] for k in order], f"{turn}/b.extxyz")
        files = ["a.extxyz", "b.extxyz"][:: 1 - 2 * turn]
        record = {
            "data": {"train": files, "group_key": "group"},
            "terms": {"r_cut": 4.0, "max_complexity": 12},
            "search": {"epochs": 1, "population_size": 20, "islands": 1, "workers": 1},
        }
        run = search(config.from_dict(record, tmp_path / str(turn)))
        fronts.append([(m.expression, m.error) for m in run.front])
    assert fronts[0] == fronts[1]


@pytest.mark.slow
def test_errors_of_test_structures_outside_are_those_of_the_finished_formula(written):
    folder = written(copper(12))
    far = squeezed(1.2)
    written([far], "t.extxyz")
    record = {
        "data": {"train": ["a.extxyz"], "test": ["t.extxyz"], "refit": "train"},
        "terms": {"r_cut": 4.0, "max_complexity": 12},
        "search": {"epochs": 1, "population_size": 20, "islands": 1, "workers": 1},
    }
    best = search(config.from_dict(record, folder)).best()
    assert best.potential.formula.r_lo > 1.7
    atoms = far.copy()
    atoms.calc = best.potential.calculator()
    gap = abs(atoms.get_potential_energy() - far.get_potential_energy()) / len(far)
    # The wall of the exact path joins derivatives that are differences.
    assert best.errors["test"].energy.rmse == pytest.approx(gap, rel=1e-3)


def test_a_validation_file_of_which_nothing_remains_stops(written):
    written([shaken(atoms) for atoms in copper(3)], "valid.extxyz")
    folder = written(copper(8))
    with pytest.raises(ValueError, match=r"no structures of \[data\] validation .* max_force = 50"):
        read(folder, validation=("valid.extxyz",), max_force=50.0)


def test_a_test_file_of_which_nothing_remains_is_warned_of(written):
    written([shaken(atoms) for atoms in copper(3)], "test.extxyz")
    _, report = read(written(copper(8)), test=("test.extxyz",), max_force=50.0)
    assert any(text.startswith("no structures of [data] test") for text in report.warnings)


def shaken(atoms):
    return scaled(atoms, forces=1e4)


def test_atoms_that_are_crystals_without_their_cell_are_no_isolated_ones(written):
    alone = Atoms("Cu", [[0, 0, 0]])
    volumes = [changed(labelled(alone), energy=e) for e in (-3.7, -3.4, -3.6)]
    images = [shifted(atoms, -3.5) for atoms in copper(8)]
    _, report = read(written([*images, *volumes]))
    assert any("isolated atoms of Cu have energies from -3.7 to -3.4" in x for x in report.warnings)
    assert "[terms] e0" not in dict(in_words(report, DataSettings(train=("a.extxyz",))))["e0"]


def test_a_single_atom_as_low_as_the_crystal_is_no_isolated_one(written):
    images = [shifted(atoms, -3.5) for atoms in copper(8)]
    low = changed(labelled(Atoms("Cu", [[0, 0, 0]])), energy=-3.4)
    _, report = read(written([*images, low]))
    assert any("look like crystals written as clusters" in text for text in report.warnings)
    _, report = read(written([*images, changed(low, energy=-0.2)]))
    assert not said(report, "isolated atoms of Cu")


def test_init_and_data_propose_one_limit_of_forces(written):
    facts, report = survey_structures(
        DataSettings(train=("a.extxyz",)), written([*copper(9), squeezed(0.5)])
    )
    (limit,) = [p.value for p in proposals(facts) if p.setting == "max_force"]
    assert any(f"[data] max_force = {limit:g} leaves them out" in x for x in report.warnings)


def test_a_scale_of_forces_is_proposed_where_those_of_training_are_small(written, tmp_path):
    folder = written(copper(20, rattle=0.002, strain=0.0))
    facts, _ = survey_structures(DataSettings(train=("a.extxyz",)), folder)
    ((name, value, reason),) = loss_proposals(facts, 0.1)
    training = facts.split == 0
    rms = np.sqrt(facts.squares[training].sum() / (3 * facts.n_atoms[training].sum()))
    assert name == "sigma_forces"
    assert value == pytest.approx(rms / 4, rel=0.4)
    assert f"{rms:.2g}" in reason
    path = tmp_path / "run.toml"
    text = config.template(data_in(folder), {name: (value, reason)})
    path.write_text(text, encoding="utf-8")
    assert config.load(path).loss.sigma_forces == value
    assert list(loss_proposals(facts, value)) == []


def test_the_usual_scale_of_forces_stays_where_forces_are_not_small_or_absent(written):
    facts, _ = survey_structures(DataSettings(train=("a.extxyz",)), written(copper(20)))
    assert list(loss_proposals(facts, 0.1)) == []
    (calm,) = [replace(facts, force=np.full(len(facts), np.nan))]
    assert list(loss_proposals(calm, 0.1)) == []
