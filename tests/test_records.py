import math

import numpy as np
import pytest

from symreg import files
from symreg.records import Errors, Floor, SplitErrors, by_split, rmse_table
from symreg.runs import RunFolder, open_run
from symreg.runs.records import FrontLine, Progress

TABLE = {
    ("train", "energy", "all"): Errors(0.1, 0.08, 3),
    ("train", "energy", "bulk"): Errors(0.2, 0.1, 1),
    ("train", "forces", "all"): Errors(math.nan, math.nan, 9),
}


def test_errors_are_read_by_split_group_and_quantity():
    train = by_split(TABLE)["train"]
    assert train.energy.n == train["energy"]["n"] == 3
    assert train.groups["bulk"].energy == Errors(0.2, 0.1, 1)
    assert train.of("forces") is None  # no number
    assert train.of("stress") is None  # no labels
    assert "stress" not in train
    assert list(train.by_quantity()) == ["energy"]


def test_errors_survive_a_file_and_nan_is_null_there(tmp_path):
    train = by_split(TABLE)["train"]
    files.write_json(tmp_path / "a.json", train.to_dict())
    record = files.read_json(tmp_path / "a.json")
    assert record["forces"]["rmse"] is None
    again = SplitErrors.from_dict(record)
    assert math.isnan(again.forces.rmse)
    assert again.groups == train.groups


def test_a_floor_is_written_as_a_table_of_rmse():
    floor = Floor(0.3, by_split({key: TABLE[key] for key in list(TABLE)[:2]}), 0.31, 32)
    record = floor.to_dict()
    assert record["rmse"] == {"train": {"energy": {"all": 0.1, "bulk": 0.2}}}
    assert Floor.from_dict(record).rmse["train"].groups["bulk"].energy == Errors(0.2)
    assert rmse_table(Floor.from_dict(record).rmse) == record["rmse"]


def test_progress_survives_a_file(tmp_path):
    progress = Progress(epoch=2, front=[FrontLine(5, 0.1, "x")], operators={"graft": 0.5})
    files.write_json(tmp_path / "progress.json", progress.to_dict())
    record = files.read_json(tmp_path / "progress.json")
    assert record["front"] == [[5, 0.1, "x"]]
    assert record["seconds_left"] is None
    assert Progress.from_dict(record) == progress
    assert Progress.from_dict({"what a later version tells": 1}) == Progress()


def test_records_of_members_are_written_as_they_were_read(small_run):
    before = (small_run / "front.json").read_text(encoding="utf-8")
    members = open_run(small_run).front
    RunFolder(small_run).write_front([member.record for member in members])
    assert (small_run / "front.json").read_text(encoding="utf-8") == before
    assert all("covariance" not in member.record for member in members)


def test_potentials_of_a_run_carry_the_covariance_of_their_constants(argon_run):
    for member in argon_run.front:
        potential = member.potential
        assert potential.covariance.shape == (potential.n_constants,) * 2
        listed = [entry["standard_error"] for entry in potential.provenance["constants"]]
        expected = np.array(listed, dtype=float)
        assert np.sqrt(np.diag(potential.covariance)) == pytest.approx(expected, nan_ok=True)
