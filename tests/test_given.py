"""Searches on structures given in Python."""

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

import symreg
from symreg import config
from symreg.config import DataSettings
from symreg.runs.pipeline.given import Given
from symreg.runs.pipeline.preparation import prepare
from symreg.structures import data_hash, from_atoms, read_structures
from symreg.structures.writing import write_extxyz

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ase")


@pytest.fixture
def tables(search_settings, tmp_path):
    """Tables of a run file without data."""
    tables = config.to_dict(search_settings(tmp_path / "run"))
    return {**tables, "data": {}}


def files_of(folder):
    return {path.name for path in folder.iterdir()}


# Writing and reading


def awkward():
    """Structures with labels in all places, and info of all kinds."""
    rng = np.random.default_rng(1)
    crystal = bulk("Ar", "fcc", a=5.3, cubic=True)
    crystal.positions += rng.normal(0, 0.1, crystal.positions.shape)
    crystal.info |= {"group": "3", "note": 'a "quoted" \\ text', "none": None, "step": 7, "T": "T"}
    crystal.info |= {"table": rng.normal(size=(2, 4)), "vector": rng.normal(size=3), 5: "five"}
    crystal.info |= {"nested": {"a": 1}, "two\nlines": 1, "flag": True, "words": "1 2 3"}
    results = {
        "energy": float(rng.normal()),
        "forces": rng.normal(size=(4, 3)),
        "stress": rng.normal(size=6),
    }
    crystal.calc = SinglePointCalculator(crystal, **results)
    dimer = Atoms("ArKr", [[0, 0, 0], [0, 0, 3.7 + 1e-13]])
    dimer.info |= {"REF_energy": np.float64(-0.1) / 3, "config_type": "all of them"}
    dimer.arrays |= {"REF_forces": rng.normal(size=(2, 3)), "name": np.array(["a", "b c"])}
    slab = bulk("Kr", "fcc", a=5.6, cubic=True)
    slab.pbc = [True, True, False]
    slab.info |= {"energy": 1.0, "trajectory": "run=2", "virial": np.eye(3)}
    slab.arrays["tags"] = np.arange(4)
    return [crystal, dimer, slab]


def test_structures_come_back_from_a_file_with_every_digit(tmp_path):
    images = awkward()
    write_extxyz(tmp_path / "all.extxyz", images)
    read, _ = read_structures(
        DataSettings(train=("all.extxyz",), validation_fraction=0.0), tmp_path
    )
    order = [int(source.split()[-1]) for source in read.source]
    assert sorted(order) == [0, 1, 2]
    given = from_atoms([images[k] for k in order])
    assert data_hash(read) == data_hash(given)
    assert [read.group[order.index(k)] for k in range(3)] == ["3", "all of them", "all"]
    assert read.trajectory[order.index(2)] == "run=2"
    assert ase.io.read(tmp_path / "all.extxyz", ":")[0].info["note"] == images[0].info["note"]


# Searching


@pytest.mark.usefixtures("front_only")
def test_structures_in_memory_give_the_hash_and_the_front_of_their_file(
    argon_run, argon_file, tables, tmp_path
):
    images = ase.io.read(argon_file, ":")  # labels in calculators
    run = symreg.search(tables, train=images)
    assert run.manifest["data_hash"] == argon_run.manifest["data_hash"]
    assert (run.folder / "front.csv").read_bytes() == (argon_run.folder / "front.csv").read_bytes()
    kept = run.folder / "train.extxyz"
    assert len(ase.io.read(kept, ":")) == len(images)
    assert run.settings.data.train == ("train.extxyz",)
    moved = symreg.open_run(run.folder.rename(tmp_path / "elsewhere"))
    assert prepare(moved.settings).report.data_hash == run.manifest["data_hash"]


@pytest.mark.usefixtures("front_only")
def test_an_interrupted_search_of_structures_in_memory_is_resumed(
    argon_run, argon_file, tables, tmp_path
):
    def stop(progress):
        if progress.epoch == 1 and not progress.message:
            raise KeyboardInterrupt

    settings = config.from_dict({**tables, "data": {"train": "anything.xyz"}})
    run = symreg.search(settings, train=ase.io.read(argon_file, ":"), on_progress=stop)
    assert run.manifest["status"] == "interrupted"
    assert len(run.front) > 0
    moved = run.folder.rename(tmp_path / "elsewhere")
    again = symreg.resume(moved)
    assert again.manifest["status"] == "finished"
    assert (moved / "front.csv").read_bytes() == (argon_run.folder / "front.csv").read_bytes()


@pytest.mark.usefixtures("front_only")
def test_every_split_may_be_given_as_structures_or_files(tables, argon_images, argon_file):
    tables["data"] = {"train": argon_images[:6] + argon_images[8:14], "weights": {"dimer": 2.0}}
    run = symreg.search(tables, validation=argon_images[6:8], test=argon_images[14:])
    assert run.data["structures"] == {"train": 12, "validation": 2, "test": 4}
    names = {"train.extxyz", "validation.extxyz", "test.extxyz"}
    assert names <= files_of(run.folder)
    assert run.settings.data.weights == {"dimer": 2.0}
    tables["output"] = {"folder": f"{run.folder}-2"}
    other = symreg.search({**tables, "data": {}}, train=argon_file)
    assert sum(other.data["structures"].values()) == len(argon_images)
    assert "train.extxyz" not in files_of(other.folder)


def test_structures_that_cannot_be_used_are_named(tables, argon_images, tmp_path):
    unlabelled = argon_images[0].copy()
    unlabelled.info.clear()
    del unlabelled.arrays["forces"]
    unlabelled.calc = EMT()
    cases = [
        ([argon_images[0], unlabelled], ValueError, r"train\[1\] has neither an energy nor forces"),
        ([argon_images[0], 3], TypeError, r"train\[1\] is of type int; train must be a list of"),
        (argon_images[0].positions.tolist(), TypeError, r"train\[0\] is of type list; train must"),
        (3, TypeError, r"train\[0\] is of type int; train must be a list of ase.Atoms"),
        ([], ValueError, r"train holds no structures"),
    ]
    for given, error, message in cases:
        with pytest.raises(error, match=message):
            symreg.search(tables, train=given)
    with pytest.raises(ValueError, match=r"\[data\] train is missing"):
        symreg.search(tables)
    with pytest.raises(ValueError, match="there is no table"):
        symreg.search({"dato": {}}, train=argon_images)
    with pytest.raises(TypeError, match="settings are of type int; they must be the path of a run"):
        symreg.search(3, train=argon_images)
    assert not (tmp_path / "run").exists()


def test_a_search_that_cannot_begin_leaves_no_structures_behind(tables, argon_images, tmp_path):
    tables["terms"]["r_cut"], tables["terms"]["r_on"] = 0.5, 0.3
    with pytest.raises(ValueError, match="make r_cut larger"):
        symreg.search(tables, train=argon_images)
    assert not (tmp_path / "run").exists()


def test_a_file_of_the_user_is_never_taken_for_structures_of_a_run(tables, argon_images, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "train.extxyz").write_text("mine")
    with pytest.raises(FileExistsError, match="exists, and is not of a run; choose another"):
        symreg.search(tables, train=argon_images)
    assert (tmp_path / "run" / "train.extxyz").read_text() == "mine"


@pytest.mark.parametrize("split", ["train", "validation"])
def test_an_empty_list_of_structures_is_refused_with_what_to_type(split):
    settings = {"data": {"train": ["a.extxyz"]}}
    with pytest.raises(ValueError, match=rf"{split} holds no structures; .*{split}=ase.io.read"):
        Given(settings, {split: []})
