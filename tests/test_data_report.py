import json

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator

from symreg.structures import DataSettings, bootstrap_blocks, data_hash, from_atoms, read_structures
from symreg.structures.lint import lint
from symreg.structures.split import trajectory_name


def read(folder, *train, **settings):
    return read_structures(DataSettings(train=train or ("a.extxyz",), **settings), folder)


def argon_crystals(strains, *, rattle=0.0):
    calculator = LennardJones(epsilon=0.0104, sigma=3.4, rc=9.0, smooth=True)
    images = []
    for seed, strain in enumerate(strains):
        atoms = bulk("Ar", "fcc", a=5.26 * (1 + strain), cubic=True)
        atoms.rattle(rattle, seed=seed)
        atoms.calc = calculator
        labels = {
            "energy": atoms.get_potential_energy(),
            "forces": atoms.get_forces(),
            "stress": atoms.get_stress(),
        }
        atoms.calc = SinglePointCalculator(atoms, **labels)
        images.append(atoms)
    return images


# Groups and splits


def labelled(n, **info):
    return [Atoms("Ar", info={"energy": 0.0} | info) for _ in range(n)]


def written(tmp_path, images):
    ase.io.write(tmp_path / "a.extxyz", images)
    return tmp_path


def test_group_falls_back_on_config_type(tmp_path):
    images = labelled(1, group="a", config_type="b") + labelled(1, config_type="b") + labelled(1)
    structures, _ = read(written(tmp_path, images), validation_fraction=0)
    assert sorted(structures.group) == ["a", "all", "b"]


def test_group_key_and_weights_must_name_what_is_there(tmp_path):
    folder = written(tmp_path, labelled(1, group="gas"))
    with pytest.raises(ValueError, match=r"names the group 'liquid'; the groups are gas"):
        read(folder, weights={"liquid": 2.0})
    with pytest.raises(ValueError, match='group_key is "phase", which no structure has'):
        read(folder, group_key="phase")


@pytest.mark.parametrize(
    ("description", "name"),
    [
        ("Snapshot 3 of 20 of AIMD at 300 K", "AIMD at 300 K"),
        ("melt, frame 17", "melt,"),
        ("Si 2x2x2 cell, mode 0, strain -0.1", "Si 2x2x2 cell, mode 0, strain -0.1"),
    ],
)
def test_trajectory_is_the_description_without_its_snapshot(description, name):
    assert trajectory_name({"description": description, "config_type": "x"}) == name
    assert trajectory_name({"description": description, "trajectory": 4}) == "4"


def test_groups_that_are_left_out_are_as_if_not_there(tmp_path):
    folder = written(tmp_path, labelled(3, group="a") + labelled(2, group="b"))
    structures, report = read(folder, leave_out=("b",))
    assert set(structures.group) == {"a"}
    assert report.notes[0] == "left out 2 structures: b"
    with pytest.raises(ValueError, match="leave_out names the group 'c'; the groups are a, b"):
        read(folder, leave_out=("c",))
    with pytest.raises(ValueError, match="leaves no structures"):
        read(folder, leave_out=("a", "b"))


def test_whole_trajectories_validate_in_every_group(tmp_path):
    images = [
        atoms
        for group in ("solid", "liquid")
        for run in range(10)
        for atoms in labelled(5, group=group, trajectory=f"{group}{run}")
    ]
    structures, _ = read(written(tmp_path, images))
    for group in ("solid", "liquid"):
        here = np.array([g == group for g in structures.group])
        assert (structures.split[here] == 1).sum() == 10
    by_run = {}
    for run, split in zip(structures.trajectory, structures.split, strict=True):
        by_run.setdefault(run, set()).add(int(split))
    assert all(len(splits) == 1 for splits in by_run.values())


def test_trajectory_that_crosses_groups_stays_together(tmp_path):
    images = [*labelled(4, group="a", trajectory="1"), *labelled(4, group="b", trajectory="1")]
    images += labelled(2, group="b", trajectory="2")
    structures, _ = read(written(tmp_path, images))
    runs = {r: set() for r in structures.trajectory}
    for run, split in zip(structures.trajectory, structures.split, strict=True):
        runs[run].add(int(split))
    assert runs["2"] == {0}


def test_single_trajectory_validates_in_one_contiguous_block_and_says_so(tmp_path):
    structures, report = read(written(tmp_path, labelled(20, config_type="AIMD")))
    chosen = np.flatnonzero(structures.split == 1)
    assert chosen.tolist() == [8, 9, 10, 11]
    assert any("too few trajectories" in note and "'AIMD'" in note for note in report.notes)


def test_blocks_are_contiguous_and_spread(tmp_path):
    structures, _ = read(written(tmp_path, labelled(100)), split="block")
    chosen = np.flatnonzero(structures.split == 1)
    assert chosen.size == 20
    assert (np.diff(chosen) > 1).sum() == 1
    assert chosen.min() < 50 < chosen.max()


def test_random_split_is_the_same_each_time(tmp_path):
    folder = written(tmp_path, labelled(50))
    first, second = (read(folder, split="random")[0].split for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert (first == 1).sum() == 10


def test_validation_files_win_over_a_split(tmp_path):
    ase.io.write(tmp_path / "v.extxyz", labelled(3))
    structures, report = read(written(tmp_path, labelled(20)), validation=("v.extxyz",))
    assert structures.split.tolist() == [0] * 20 + [1] * 3
    assert report.structures == {"train": 20, "validation": 3, "test": 0}


def test_one_structure_is_kept_for_training(tmp_path):
    structures, report = read(written(tmp_path, labelled(1)))
    assert structures.split.tolist() == [0]
    assert any("too few structures (1)" in note for note in report.notes)


def test_bootstrap_blocks_keep_trajectories_together():
    images = [a for run in range(30) for a in labelled(2, trajectory=run)]
    blocks = bootstrap_blocks(from_atoms(images))
    assert blocks.tolist() == np.repeat(np.arange(30), 2).tolist()


def test_many_short_trajectories_share_bootstrap_blocks():
    # Each block is a matrix in memory and on disk: their number must not grow with the data.
    images = [a for run in range(250) for a in labelled(2, trajectory=run)]
    blocks = bootstrap_blocks(from_atoms(images), most=100).reshape(250, 2)
    assert (blocks[:, 0] == blocks[:, 1]).all()
    assert sorted(set(blocks[:, 0])) == list(range(100))
    assert (np.diff(blocks[:, 0]) >= 0).all()


def test_bootstrap_cuts_one_long_trajectory_into_contiguous_pieces():
    blocks = bootstrap_blocks(from_atoms(labelled(100)), n=20)
    assert blocks.tolist() == np.repeat(np.arange(20), 5).tolist()
    assert bootstrap_blocks(from_atoms(labelled(3)), n=20).tolist() == [0, 1, 2]


# The report


def test_report_counts_what_was_read_and_is_plain_json(tmp_path):
    images = argon_crystals([-0.01, 0.0, 0.01, 0.02, 0.03])
    structures, report = read(written(tmp_path, images))
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["structures"] == {"train": 4, "validation": 1, "test": 0}
    assert plain["atoms"] == {"train": 16, "validation": 4, "test": 0}
    assert plain["groups"]["all"]["train"] == {"structures": 4, "atoms": 16}
    assert plain["labels"] == {"energy": 5, "forces": 5, "stress": 5}
    assert plain["closest"]["Ar-Ar"] == pytest.approx(5.26 * 0.99 / 2**0.5)
    assert plain["data_hash"] == data_hash(structures)
    assert plain["warnings"] == []


STRAINS = [-0.04, -0.03, -0.02, -0.01, 0.01, 0.02, 0.03, 0.04]


@pytest.mark.parametrize(
    ("factor", "message"),
    [(-1602.1766, "kBar with the opposite sign"), (-1.0, "its sign is the opposite")],
)
def test_stress_that_does_not_fit_the_energies_is_warned_of(tmp_path, factor, message):
    images = argon_crystals(STRAINS)
    for atoms in images:
        atoms.calc.results["stress"] *= factor
    _, report = read(written(tmp_path, images))
    assert any("stress does not fit" in w and message in w for w in report.warnings)


@pytest.mark.parametrize(
    ("factor", "message"),
    [(-1.0, "its sign is the opposite one"), (1 / 51.422, "it looks like Ha/bohr")],
)
def test_forces_that_do_not_fit_the_energies_are_warned_of(tmp_path, factor, message):
    images = argon_crystals([0.0] * 12)
    for strength, atoms in enumerate(argon_crystals([0.0] * 12, rattle=0.2)):
        step = 0.06 * strength * (atoms.positions - images[0].positions)
        images[strength] = images[0].copy()
        images[strength].positions += step
        images[strength].calc = LennardJones(epsilon=0.0104, sigma=3.4, rc=9.0, smooth=True)
        images[strength].get_potential_energy()
    _, report = read(written(tmp_path, images))
    assert report.warnings == ()
    for atoms in images:
        atoms.calc = SinglePointCalculator(
            atoms, energy=atoms.get_potential_energy(), forces=factor * atoms.get_forces()
        )
    _, report = read(written(tmp_path, images))
    assert any("forces do not fit" in w and message in w for w in report.warnings)


def test_duplicates_outliers_and_huge_forces_are_warned_of(tmp_path):
    images = argon_crystals(STRAINS)
    images[3].calc.results["energy"] += 40.0
    images[5].calc.results["forces"][2, 0] = 250.0
    images.append(images[0].copy())
    images[-1].calc = images[0].calc
    _, report = read(written(tmp_path, images), validation_fraction=0)
    text = "\n".join(report.warnings)
    assert "1 structure occurs twice, such as a.extxyz frame 0 and a.extxyz frame 8" in text
    assert "the farthest, a.extxyz frame 3, by 9.997" in text
    assert "largest, 250 eV/Å, is in a.extxyz frame 5" in text


def test_duplicate_across_splits_is_warned_of(tmp_path):
    images = argon_crystals(STRAINS)
    ase.io.write(tmp_path / "v.extxyz", images[2])
    _, report = read(written(tmp_path, images), validation=("v.extxyz",))
    assert any(
        "occurs in two splits" in w and "(train and validation)" in w for w in report.warnings
    )


def test_public_data_read_without_warnings(shared_data):
    structures, report = read(
        shared_data, "lennard_jones_argon.extxyz", test=("silicon_gpaw.extxyz",)
    )
    assert structures.species == ("Ar",)
    assert report.structures == {"train": 60, "validation": 15, "test": 0}
    assert report.files["silicon_gpaw.extxyz"]["keys"]["energy"] == {"free_energy": 100}
    assert any("left out 100 structures" in n and "training lacks (Si)" in n for n in report.notes)
    (warning,) = report.warnings
    assert warning.startswith("no structures of [data] test")
    _, report = read(shared_data, "silicon_gpaw.extxyz")
    assert report.isolated_atoms == {"Si": pytest.approx(-0.8451, abs=1e-4)}
    assert any("stress compared with energies over" in note for note in report.notes)
    assert report.warnings == ()


def test_labels_agree_with_those_of_ase(shared_data):
    images = ase.io.read(shared_data / "silicon_mlearn_train.extxyz", index=":40")
    structures = from_atoms(images)
    for s, atoms in enumerate(images):
        assert structures.energy[s] == atoms.get_potential_energy()
        np.testing.assert_array_equal(structures.forces[structures.atoms_of(s)], atoms.get_forces())
        np.testing.assert_array_equal(structures.stress[s], atoms.get_stress())


def test_a_squeezed_dimer_is_no_outlier():
    distances = [2.6, *np.linspace(3.5, 6.0, 20)]
    images = [Atoms("Ar2", positions=[[0, 0, 0], [0, 0, d]]) for d in distances]
    for atoms, d in zip(images, distances, strict=True):
        energy = 0.01 * ((3.8 / d) ** 12 - 2 * (3.8 / d) ** 6)
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=np.zeros((2, 3)))
    _, found = lint(from_atoms(images))
    assert not any("far from" in warning for warning in found)
    images[-1].calc.results["energy"] = 10.0
    _, found = lint(from_atoms(images))
    assert any("far from" in warning for warning in found)
