"""Faults that users met, each with the input that showed it."""

import json

import numpy as np
import pytest
from ase.build import bulk

from symreg import Potential, config, search
from symreg.runs import pipeline
from symreg.structures import DataSettings, read_structures
from symreg.structures.formats.extxyz import read_extxyz
from symreg.structures.writing import write_extxyz


@pytest.fixture
def argon():
    return Potential.from_formula({"Ar-Ar": "9.0*(r/3.4)^-12 - 9.0*(r/3.4)^-6"}, r_cut=7, r_lo=3)


@pytest.mark.parametrize("text", ["r/(r - 3)", "1/(r - 3.1415)^2 - exp(800*(r - 4))", "log(r - 2)"])
def test_formulas_with_a_pole_in_their_domain_are_refused(text):
    with pytest.raises(ValueError, match=r"no finite value|not finite"):
        Potential.from_formula({"Ar-Ar": text}, r_cut=6.0, r_lo=1.0)


def test_formulas_that_change_sign_are_no_poles(argon):
    assert argon.formula.r_cut == 7


@pytest.mark.parametrize("formulas", [None, "1.0*r^-6", {"Ar-Ar": None}, {("Ar", "Ar"): "1/r"}])
def test_formulas_by_hand_are_texts_by_texts(formulas):
    with pytest.raises(ValueError, match=r"keys|text"):
        Potential.from_formula(formulas, r_cut=6.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"units": {"energy": "kcal/mol", "length": "bohr"}}, "units are .*kcal/mol"),
        ({"covariance": [[-1.0]]}, "covariance"),
    ],
)
def test_a_file_in_other_units_is_refused(argon, tmp_path, change, said):
    path = tmp_path / "potential.json"
    path.write_text(json.dumps(argon.to_dict() | change))
    with pytest.raises(ValueError, match=said):
        Potential.load(path)


def test_an_export_leaves_files_of_others_alone(argon, tmp_path):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(FileExistsError, match=r"README.md that no export wrote"):
        argon.export_lammps(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(FileExistsError, match="is a run folder"):
        argon.export_lammps(tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"


def test_no_run_begins_where_no_folder_can_be(tmp_path):
    (tmp_path / "file").write_text("x")
    record = {"data": {"train": ["a.xyz"]}, "output": {"folder": str(tmp_path / "file" / "run")}}
    with pytest.raises(NotADirectoryError, match=r"choose another \[output\] folder"):
        search(config.from_dict(record, tmp_path))


def test_a_fit_needs_the_distance(tmp_path):
    settings = config.from_dict({"data": {"train": ["a.xyz"]}}, tmp_path)
    with pytest.raises(ValueError, match="does not depend on the distance; its name is r"):
        pipeline.fit("a*R^-6", settings)


def labelled(a, **info):
    atoms = bulk("Cu", "fcc", a=a, cubic=True)
    atoms.info = {"energy": -14.0 + 8 * (a - 3.6) ** 2, **info}
    atoms.arrays["forces"] = np.full((4, 3), 0.01)
    return atoms


def test_crystals_that_are_written_as_clusters_are_named(tmp_path):
    images = [labelled(a, stress=np.full(6, 0.01)) for a in np.linspace(3.5, 3.8, 6)]
    for atoms in images:
        atoms.pbc = False
    write_extxyz(tmp_path / "a.extxyz", images)
    _, report = read_structures(DataSettings(train=("a.extxyz",)), tmp_path)
    assert any("6 structures have a cell and a stress, but not" in w for w in report.warnings)


def test_units_that_frames_declare_are_told(tmp_path):
    images = [labelled(a) for a in np.linspace(3.5, 3.8, 6)]
    for atoms in images:
        atoms.info |= {"energy-unit": "kcal/mol", "force-unit": "kcal/mol/A"}
    write_extxyz(tmp_path / "a.extxyz", images)
    assert next(read_extxyz(tmp_path / "a.extxyz", "a")).info["energy-unit"] == "kcal/mol"
    _, report = read_structures(DataSettings(train=("a.extxyz",)), tmp_path)
    assert any("converted into eV" in note for note in report.notes)
