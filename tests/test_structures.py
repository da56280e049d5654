import dataclasses

import ase.db
import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones

from symreg.structures import (
    DataSettings,
    Structures,
    data_hash,
    from_atoms,
    isolated_atoms,
    read_structures,
)

DIMER = """2
{comment} Properties=species:S:1:pos:R:3:forces:R:3 pbc="F F F"
Ar 0.0 0.0 0.0  0.0 0.0 0.1
Ar 0.0 0.0 3.8  0.0 0.0 -0.1
"""
CUBE = """1
Lattice="2 0 0 0 2 0 0 0 2" energy=-1.5 {comment} Properties=species:S:1:pos:R:3
Ar 0.0 0.0 0.0
"""


@pytest.fixture
def write(tmp_path):
    def write(*frames, name="a.extxyz"):
        (tmp_path / name).write_text("".join(frames))
        return tmp_path

    return write


def read(folder, *train, **settings):
    return read_structures(DataSettings(train=train or ("a.extxyz",), **settings), folder)


# Arrays


def test_structures_are_laid_one_after_the_other():
    salt = Atoms("NaCl", positions=[[0, 0, 0], [0, 0, 2.4]], info={"energy": -6.0})
    structures = from_atoms([Atoms("Cl", info={"energy": -1.0}), salt])
    assert structures.species == ("Cl", "Na")
    assert structures.start.tolist() == [0, 1, 3]
    assert structures.kind.tolist() == [0, 1, 0]
    assert structures.energy.tolist() == [-1.0, -6.0]
    assert np.isnan(structures.forces).all()
    assert structures.n_atoms.tolist() == [1, 2]
    assert structures.formula(1) == "ClNa"
    assert structures.source[1] == "structure 1"


def test_arrays_cannot_be_written_to_and_belong_to_nobody_else():
    atoms = Atoms("Ar")
    structures = from_atoms([atoms])
    for field in dataclasses.fields(Structures):
        value = getattr(structures, field.name)
        if isinstance(value, np.ndarray):
            assert not value.flags.writeable
    atoms.positions[0, 0] = 7.0
    assert structures.positions[0, 0] == 0.0


def test_subset_keeps_the_structures_asked_for_and_all_species():
    images = [Atoms("Ar", info={"energy": 1.0}), Atoms("Ne2", [[0, 0, 0], [0, 0, 3.0]])]
    part = from_atoms(images).subset([False, True])
    assert len(part) == 1
    assert part.species == ("Ar", "Ne")
    assert part.kind.tolist() == [1, 1]
    assert part.source == ("structure 1",)
    assert part.positions.shape == (2, 3)


def test_hash_sees_labels_but_not_file_names_and_knows_one_nan():
    images = [Atoms("Ar", info={"energy": x}) for x in (-1.0, -2.0)]
    structures = from_atoms(images)
    assert data_hash(structures) == data_hash(from_atoms(images, sources=["x", "y"]))
    changed = dataclasses.replace(structures, energy=structures.energy + 1e-9)
    assert data_hash(changed) != data_hash(structures)
    empty = dataclasses.replace(structures, energy=np.full(2, np.nan))
    assert data_hash(empty) == data_hash(dataclasses.replace(empty, energy=-empty.energy))


def test_hash_is_the_same_on_every_platform():
    expected = "8d83e18d8bbdba6ae13940d84c409fa0970be0356372ac9424a9db153293991b"
    assert data_hash(from_atoms([Atoms("Ar", info={"energy": -0.5})])) == expected


# Labels


@pytest.mark.parametrize(
    "key", ["energy", "free_energy", "REF_energy", "dft_energy", "Energy", "E", "total_energy"]
)
def test_energy_is_found_under_its_usual_names(write, key):
    structures, report = read(write(DIMER.format(comment=f"{key}=-0.25")))
    assert structures.energy.tolist() == [-0.25]
    assert report.files["a.extxyz"]["keys"]["energy"] == {key: 1}


@pytest.mark.parametrize("key", ["forces", "force", "REF_forces", "dft_forces"])
def test_forces_are_found_under_their_usual_names(write, key):
    frame = DIMER.format(comment="energy=1").replace("forces", key)
    structures, report = read(write(frame))
    np.testing.assert_array_equal(structures.forces[:, 2], [0.1, -0.1])
    assert report.files["a.extxyz"]["keys"]["forces"] == {key: 1}


@pytest.mark.parametrize(
    ("comment", "scale"),
    [
        ('stress="1 2 3 4 5 6"', 1.0),
        ('stress="1 6 5 6 2 4 5 4 3"', 1.0),
        ('REF_stress="1 2 3 4 5 6"', 1.0),
        ('dft_stress="1 6 5 6 2 4 5 4 3"', 1.0),
        ('virial="1 6 5 6 2 4 5 4 3"', -1 / 8),
        ('virial="1 2 3 4 5 6"', -1 / 8),
        ('REF_virials="1 6 5 6 2 4 5 4 3"', -1 / 8),
    ],
)
def test_stress_is_read_from_six_or_nine_numbers_or_a_virial(write, comment, scale):
    structures, _ = read(write(CUBE.format(comment=comment)))
    np.testing.assert_allclose(structures.stress[0], scale * np.arange(1, 7))


def test_stress_of_a_slab_is_left_out(write):
    structures, _ = read(write(CUBE.format(comment='stress="1 2 3 4 5 6" pbc="T T F"')))
    assert np.isnan(structures.stress).all()


def test_prediction_of_a_model_is_not_taken_for_a_label(write):
    structures, _ = read(write(DIMER.format(comment="REF_energy=-1 MACE_energy=-9")))
    assert structures.energy.tolist() == [-1.0]


def test_energies_that_disagree_stop_with_what_to_type(write):
    folder = write(DIMER.format(comment="energy=-1"), DIMER.format(comment="energy=-1 E=-2.5"))
    with pytest.raises(
        ValueError,
        match=r"a.extxyz frame 1: two values for energy disagree: 'energy' \(info\) is -1 "
        r"but 'E' \(info\) is -2.5; choose one with \[data\] energy_key = \"energy\" or \"E\"",
    ):
        read(folder)
    structures, _ = read(folder, energy_key="E", forces_key="forces")
    np.testing.assert_array_equal(structures.energy, [np.nan, -2.5])


def test_forces_that_disagree_stop():
    atoms = Atoms("Ar2", positions=[[0, 0, 0], [0, 0, 3.8]])
    atoms.arrays["forces"] = np.zeros((2, 3))
    atoms.arrays["dft_forces"] = np.array([[0, 0, 0], [0, 0, 0.5]])
    with pytest.raises(ValueError, match=r"disagree at component \(1, 2\): 'forces' .* is 0 but"):
        from_atoms([atoms])


def test_equal_candidates_need_no_choice(write):
    structures, _ = read(write(DIMER.format(comment="energy=-1.00000 REF_energy=-1.00001")))
    assert structures.energy.tolist() == [-1.0]


def test_free_energy_is_taken_since_forces_are_its_slopes(write):
    structures, report = read(write(DIMER.format(comment="energy=-1 free_energy=-1.25")))
    assert structures.energy.tolist() == [-1.25]
    assert "differ in 1 structure, by up to 0.25 eV: took the free energy" in report.notes[0]
    structures, _ = read(
        write(DIMER.format(comment="energy=-1 free_energy=-1.25")), energy_key="energy"
    )
    assert structures.energy.tolist() == [-1.0]


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_energy_that_is_not_finite_stops(write, value):
    folder = write(DIMER.format(comment="energy=1"), DIMER.format(comment=f"energy={value}"))
    with pytest.raises(
        ValueError, match=r"a.extxyz frame 1: the energy under key 'energy' has the"
    ):
        read(folder)


def test_force_that_is_not_finite_stops(write):
    with pytest.raises(ValueError, match=r"frame 0: the forces under key 'forces' has the .*nan"):
        read(write(DIMER.format(comment="energy=1").replace("-0.1", "nan")))


def test_forces_of_the_wrong_shape_stop(write):
    frame = DIMER.format(comment="energy=1").replace("forces:R:3", "forces:R:2:junk:R:1")
    with pytest.raises(ValueError, match=r"have shape \(2, 2\); 2 atoms need \(2, 3\)"):
        read(write(frame))


def test_stress_of_the_wrong_size_stops(write):
    with pytest.raises(ValueError, match="has 3 numbers; a stress has 6 or 9"):
        read(write(CUBE.format(comment='dft_stress="1 2 3"')))


def test_energy_that_is_a_word_stops(write):
    with pytest.raises(ValueError, match="key 'E' is 'unknown', which is not a number"):
        read(write(DIMER.format(comment="E=unknown")))


def test_fortran_exponents_are_read(write):
    structures, _ = read(write(CUBE.replace("-1.5", "-1.0D+02").format(comment="")))
    assert structures.energy.tolist() == [-100.0]
    assert from_atoms([Atoms("Ar", info={"E": "2.5d0"})]).energy.tolist() == [2.5]


def test_fortran_exponents_are_read_among_the_forces(write):
    structures, _ = read(
        write(DIMER.format(comment="energy=1").replace("-0.1", "-1.0D-01")),
    )
    np.testing.assert_array_equal(structures.forces[:, 2], [0.1, -0.1])


def test_labels_in_an_ase_database_are_found(tmp_path):
    with ase.db.connect(tmp_path / "a.db") as database:
        database.write(Atoms("Ar"), REF_energy=-1.5, group="gas")
    structures, _ = read(tmp_path, "a.db")
    assert structures.energy.tolist() == [-1.5]
    assert structures.group == ("gas",)


def test_energy_of_atoms_that_moved_since_is_refused():
    atoms = Atoms("Ar2", positions=[[0, 0, 0], [0, 0, 3.8]], calculator=LennardJones())
    atoms.get_potential_energy()
    atoms.positions[1, 2] = 4.0
    with pytest.raises(ValueError, match="structure 0: the atoms were changed after their energy"):
        from_atoms([atoms])


def test_frame_may_lack_its_energy_but_not_its_forces_too(write):
    bare = CUBE.format(comment="bandgap=3").replace("energy=-1.5 ", "")
    structures, report = read(write(DIMER.format(comment=""), DIMER.format(comment="energy=1")))
    np.testing.assert_array_equal(structures.energy, [np.nan, 1.0])
    lacking = "1 structure has no energy, the first a.extxyz frame 0"
    assert any(note.startswith(lacking) for note in report.notes)
    with pytest.raises(
        ValueError,
        match=r"frame 1 has neither .* it has info: bandgap; .* \[data\] energy_key = \"my_energy",
    ):
        read(write(DIMER.format(comment="energy=1"), bare))


def test_key_that_no_structure_has_stops_with_those_there_are(write):
    with pytest.raises(
        ValueError, match=r'energy_key is "U", which no .* info: energy; arrays: forces'
    ):
        read(write(DIMER.format(comment="energy=1")), energy_key="U")


# Files and geometry


def test_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file matches 'si\*.xyz' in .*\[data\] train"):
        read(tmp_path, "si*.xyz")


def test_globs_and_several_files_are_read_once_each(write):
    for name in ("b.extxyz", "a.extxyz"):
        folder = write(DIMER.format(comment="energy=1"), name=name)
    structures, _ = read(folder, "b.extxyz", "*.extxyz", validation_fraction=0)
    assert sorted(structures.source) == ["a.extxyz frame 0", "b.extxyz frame 0"]


def test_file_in_two_splits_stops(write):
    folder = write(DIMER.format(comment="energy=1"))
    with pytest.raises(ValueError, match=r"'a.extxyz' is in both \[data\] train and test"):
        read(folder, test=("*.extxyz",))


@pytest.mark.parametrize("content", ["", "junk", "3\nenergy=1\nAr 0 0 0\n"])
def test_file_that_holds_no_structures_stops(write, content):
    with pytest.raises(ValueError, match=r"^a.extxyz"):
        read(write(content))


@pytest.mark.parametrize("key", ["lattice", "cell", "Box"])
def test_cell_where_nobody_looks_stops_instead_of_giving_a_cluster(key):
    atoms = Atoms("Ar", info={key: np.eye(3), "energy": 1.0})
    with pytest.raises(ValueError, match=f"its cell under '{key}', where nobody .*'Lattice'"):
        from_atoms([atoms])


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (Atoms("Ar2", positions=[[0, 0, 0], [np.nan, 0, 0]]), r"position 1 is \[nan .* finite"),
        (Atoms("Ar2", positions=[[0, 0, 0], [2e4, 0, 0]]), "position 1 .* within 10000 Å"),
        (Atoms("Ar", cell=[1e5, 4, 4], pbc=True), "cell vector 0 is .* within 10000 Å"),
        (Atoms("Ar", cell=[[3, 0, 0], [6, 0, 0], [0, 0, 3]], pbc=True), "zero or parallel"),
        (Atoms("Ar", cell=np.ones((3, 3)), pbc=True), "zero or parallel"),
    ],
)
def test_geometry_that_cannot_be_meant_stops_with_the_frame(atoms, message):
    with pytest.raises(ValueError, match=f"^structure 0.*{message}"):
        from_atoms([atoms])


def test_periodic_structure_needs_its_cell_vectors():
    with pytest.raises(ValueError, match="structure 0 is periodic along 3 directions, but"):
        from_atoms([Atoms("Ar", cell=[3, 3, 0], pbc=True)])


def test_two_atoms_in_one_place_stop(write):
    with pytest.raises(
        ValueError, match=r"a.extxyz frame 0 has two atoms only 0.0001 Å apart; remove one"
    ):
        read(write(DIMER.format(comment="energy=1").replace("3.8", "0.0001")))


def test_structure_without_atoms_and_no_structures_stop():
    with pytest.raises(ValueError, match="structure 0 has no atoms"):
        from_atoms([Atoms()])
    with pytest.raises(ValueError, match="there are no structures"):
        from_atoms([])


def test_element_that_the_run_file_does_not_name_stops(write):
    frame = DIMER.format(comment="energy=1")
    folder = write(frame, frame.replace("Ar 0.0 0.0 3.8", "Kr 0.0 0.0 3.8"))
    with pytest.raises(ValueError, match=r"a.extxyz frame 1 contains Kr, .* species \(Ar\)"):
        read(folder, species=("Ar",))


def test_one_atom_crystal_is_not_an_isolated_atom():
    crystal = bulk("Ar", "fcc", a=5.26)
    boxed = Atoms("Ar", cell=[15, 15, 15], pbc=True)
    assert isolated_atoms(from_atoms([crystal, boxed, Atoms("Ar")])).tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train": ()}, r"\[data\] train is empty"),
        ({"train": "a.xyz"}, r"\[data\] train is a text"),
        ({"validation_fraction": 1.5}, r"\[data\] validation_fraction is 1.5; it must be"),
        ({"validation_fraction": float("nan")}, r"\[data\] validation_fraction is nan"),
        (
            {"split": "time"},
            r"\[data\] split is 'time'; it must be one of 'trajectory', 'group', 'block'",
        ),
        ({"weights": {"bulk": -1.0}}, r"\[data.weights\] bulk is -1; it must be from 0"),
    ],
)
def test_settings_that_cannot_run_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        DataSettings(**{"train": ("a.xyz",)} | settings)
