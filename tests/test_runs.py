import copy
import errno
import json
import math
import os
import pickle
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from ase.build import bulk
from typer.testing import CliRunner

import symreg
from symreg import config, files
from symreg.cli.commands import app
from symreg.cli.summary import summary
from symreg.runs import RunFolder, open_run, recommended
from symreg.terms import Expression


def test_a_run_opens_with_its_front_simplest_first(small_run):
    run = symreg.open_run(small_run)
    assert [member.complexity for member in run.front] == [5, 9, 11, 18]
    assert run.manifest["status"] == "finished"
    assert run.manifest["versions"]["numpy"] == np.__version__
    assert run.settings.search.epochs == 2
    assert run.floor["error"] == run.front.floor == 0.08
    assert run.front[1].errors["validation"]["forces"]["rmse"] == pytest.approx(0.04)


def test_the_recommended_member_is_the_knee_of_the_front(small_run):
    # The line falls from ln 2.5 at 5 to ln 0.09 at 18, by 0.256 a unit. Below it lie 9 nodes
    # (error 0.4) by 0.81, and 11 nodes (0.1) by 1.68.
    run = open_run(small_run)
    assert run.best().complexity == 11
    assert recommended(run.front[2:]).complexity == 18
    assert recommended([]) is None


def test_a_member_that_leaves_a_pair_of_species_out_is_not_recommended(small_run):
    records = files.read_json(small_run / "front.json")
    assert open_run(small_run).best().number == 2
    for record in records[1:]:
        if record["number"] != 2:
            record["terms"].append({**record["terms"][0], "term": "Ar-Kr: x^-6"})
    files.write_json(small_run / "front.json", records)
    assert open_run(small_run).best().number in {
        r["number"] for r in records if len(r["terms"]) > 1
    }


def test_best_up_to_a_complexity_is_the_most_accurate_there(small_run):
    run = open_run(small_run)
    assert run.best(complexity=30).complexity == 18
    assert run.best(complexity=10).complexity == 9
    with pytest.raises(ValueError, match="no member has complexity 4 or less; the simplest has 5"):
        run.best(complexity=4)


def test_members_are_found_by_the_name_of_their_folder(small_run):
    run = open_run(small_run)
    assert run.member(3).complexity == 18
    with pytest.raises(ValueError, match="has no member 7; there are 0, 1, 2, 3"):
        run.member(7)


def test_front_csv_has_the_promised_columns_and_row_per_member(small_run):
    header, *rows = (small_run / "front.csv").read_text(encoding="utf-8").splitlines()
    assert {
        "complexity",
        "n_constants",
        "error",
        "energy_rmse_train",
        "forces_rmse_train",
        "energy_rmse_validation",
        "forces_rmse_validation",
        "expression",
    } <= set(header.split(","))
    assert len(rows) == 4
    assert rows[0].startswith("5,1,2.5,0.0125,0.25,,")


def test_a_missing_potential_says_why(small_run):
    with pytest.raises(OSError, match="the run ended before it wrote its potentials"):
        _ = open_run(small_run).best().potential


def test_a_front_draws_itself_in_a_notebook(small_run):
    run = open_run(small_run)
    page = run._repr_html_()
    assert page.count("<tr") == 6
    assert '<tr style="font-weight:bold"><td>11</td>' in page
    assert "<td>floor</td><td>0.08</td>" in page


def test_parts_of_a_front_are_fronts(small_run):
    front = open_run(small_run).front[:2]
    assert [member.complexity for member in front] == [5, 9]
    assert front.floor == 0.08
    assert repr(front).splitlines()[1].split()[:2] == ["5", "2.5"]


@pytest.mark.parametrize(("coarser", "n_floors"), [(0.075, 4), (2.0, 3)])
def test_a_run_with_triplets_has_a_floor_for_every_kind_of_terms(small_run, coarser, n_floors):
    products = [{"products": 1, "error": 0.09}, {"products": 2, "error": 0.08}]
    record = {"error": 0.07, "error_coarser": coarser, "pair": {"error": 0.2}, "products": products}
    files.write_json(small_run / "floor.json", record)
    run = open_run(small_run)
    assert list(run.front.floors.values()) == [0.2, 0.09, 0.08, 0.07][:n_floors]
    assert run.floor_of(run.best()) == ("any smooth pair term", 0.2)
    for formula, floor in [("1*1*c", 0.09), ("exp(x1 + x2 + c)", 0.07)]:
        bend = {"term": f"triplets Si-Si-Si: {formula}", "weight": 1.0, "constants": {}}
        terms = Expression.from_dict([*run.best().record["terms"], bend])
        member = replace(run.best(), record=replace(run.best().record, terms=terms))
        found = run.floor_of(member)
        assert found is None if floor not in run.front.floors.values() else found[1] == floor


def test_a_finished_run_is_never_overwritten(small_run):
    settings = open_run(small_run).settings
    before = (small_run / "front.csv").read_bytes()
    with pytest.raises(FileExistsError, match=r"holds a finished run; see `symreg show .*argon`"):
        RunFolder.create(settings)
    assert (small_run / "front.csv").read_bytes() == before


def test_an_unfinished_run_is_resumed_not_overwritten(small_run):
    RunFolder(small_run).update_manifest(status="running")
    with pytest.raises(
        FileExistsError, match="holds an unfinished run; continue it with `symreg r"
    ):
        RunFolder.create(open_run(small_run).settings)


def test_a_run_that_found_nothing_may_be_started_again(small_run):
    (small_run / "front.csv").unlink()
    RunFolder.create(open_run(small_run).settings)


def test_the_run_file_of_a_user_is_not_overwritten(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('[data]\ntrain = ["a"]\n[output]\nfolder = "."\n', encoding="utf-8")
    with pytest.raises(FileExistsError, match=r"holds a run\.toml but no run"):
        RunFolder.create(config.load(path))


def test_other_files_of_a_user_are_not_overwritten(tmp_path):
    (tmp_path / "data.json").write_text("mine", encoding="utf-8")
    settings = config.from_dict({"data": {"train": "a"}, "output": {"folder": str(tmp_path)}})
    with pytest.raises(FileExistsError, match=r"holds a data\.json but no run"):
        RunFolder.create(settings)
    assert [path.name for path in tmp_path.iterdir()] == ["data.json"]


def test_a_folder_without_a_run_is_an_os_error(tmp_path):
    with pytest.raises(OSError, match="holds no run: there is no"):
        open_run(tmp_path)


def test_a_damaged_file_is_named(small_run):
    (small_run / "front.json").write_text('[{"number": 1,', encoding="utf-8")
    with pytest.raises(OSError, match=r"front\.json is damaged"):
        open_run(small_run)


@pytest.mark.parametrize("name", ["floor.json", "manifest.json", "progress.json"])
@pytest.mark.parametrize("text", ["", "{", "{}", "[]", "null", '{"epoch": []}'])
def test_a_damaged_file_of_a_run_is_told_of_where_the_run_is_shown(small_run, name, text):
    (small_run / name).write_text(text, encoding="utf-8")
    shown = CliRunner().invoke(app, ["show", str(small_run)])
    assert f"{small_run / name} is damaged: " in shown.stderr
    assert len(shown.stderr.splitlines()) == 1
    assert shown.exit_code == (0 if name == "progress.json" else 1)


def test_a_truncated_last_line_is_left_out_and_then_replaced(small_run):
    path = small_run / "generations.csv"
    path.write_bytes(path.read_bytes()[:-4])
    assert [row["generation"] for row in files.read_rows(path)] == ["0", "1"]
    files.append_row(small_run / "generations.csv", {"generation": 2, "error": 0.3})
    assert [row["generation"] for row in files.read_rows(path)] == ["0", "1", "2"]
    assert files.read_rows(path)[2]["error"] == "0.3"


def test_a_front_without_members_has_the_header_of_the_others(small_run):
    path = small_run / "front.csv"
    header = path.read_text(encoding="utf-8").splitlines()[0].split(",")
    RunFolder(small_run).write_front([])
    expected = ",".join(name for name in header if not name.endswith("_test"))
    assert path.read_text(encoding="utf-8") == f"{expected}\n"
    assert files.read_rows(path) == []


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "state.json"
    files.write_json(path, {"epoch": 1})

    def full(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"cannot write .*state\.json: No space left on device"):
        files.write_json(path, {"epoch": 2})
    assert json.loads(path.read_text(encoding="utf-8")) == {"epoch": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]


def test_json_holds_numpy_values_and_no_nan(tmp_path):
    record = {"a": np.arange(2), "b": np.float64("nan"), "c": np.int64(3), "d": (1.0, np.inf)}
    files.write_json(tmp_path / "a.json", record)
    assert files.read_json(tmp_path / "a.json") == {
        "a": [0, 1],
        "b": None,
        "c": 3,
        "d": [1.0, None],
    }


def test_arrays_are_read_back_without_pickle(tmp_path):
    files.write_arrays(tmp_path / "state.npz", {"a": np.arange(3), "b": np.eye(2)})
    with np.load(tmp_path / "state.npz", allow_pickle=False) as stored:
        assert sorted(stored) == ["a", "b"]
        np.testing.assert_array_equal(stored["b"], np.eye(2))


def test_log_lines_carry_the_time(tmp_path):
    RunFolder(tmp_path).log("epoch 1")
    assert (tmp_path / "log.txt").read_text(encoding="utf-8").endswith("+00:00 epoch 1\n")


# Files of the version before


OLD_TERMS = [
    {
        "kind": "pair",
        "species": ["Ar", "Ar"],
        "weight": 0.25,
        "formula": "x^-12 - exp(-b*x)",
        "constants": {"b": 1.5},
    },
    {
        "kind": "three-body",
        "species": ["Ar", "Ar", "Ar"],
        "weight": -2.0,
        "formula": "exp(-x1)*exp(-x2)*(c + 0.5)^2",
        "constants": {},
    },
    {
        "kind": "many-body",
        "species": ["Ar", "Ar"],
        "weight": -0.5,
        "formula": "sqrt(sum(exp(-2.5*x)))",
        "constants": {},
    },
]


@pytest.fixture
def old_run(small_run):
    """A run folder whose files have terms in three keys: kind, species and formula."""
    errors = {"forces": {"rmse": 0.1, "mae": 0.08, "n": 12}, "energy": {"rmse": None}}
    member = {
        "number": 1,
        "complexity": 40,
        "n_constants": 7,
        "error": 0.5,
        "expression": "as it was written",
        "terms": OLD_TERMS,
        "r0": 3.8,
        "e0": {"Ar": -0.01},
        "errors": {"train": {**errors, "groups": {"dimers": errors}}},
        "exact_difference": 1e-9,
        "constants": [
            {"name": "w1", "value": 0.25, "standard_error": None, "low": 0.2, "high": 0.3}
        ],
        "correlation": [[None]],
        "simplified": None,
    }
    known = {
        "complexity": 9,
        "n_constants": 2,
        "error": 0.9,
        "expression": "x^-12",
        "terms": OLD_TERMS[:1],
        "source": "a paper",
    }
    floor = {
        "error": 0.3,
        "error_coarser": 0.31,
        "rmse": {"train": {"forces": {"all": 0.06, "dimers": 0.05}}},
        "n_nodes": 32,
    }
    products = [{"products": 1, "error": 0.35, "rmse": floor["rmse"]}]
    record = {**floor, "pair": floor, "products": products, "baselines": {"Morse": known}}
    files.write_json(small_run / "front.json", [member])
    files.write_json(small_run / "floor.json", record)
    return small_run


def test_a_run_of_the_version_before_opens(old_run):
    run = open_run(old_run)
    member = run.best()
    assert [str(term) for term in member.record.terms.terms] == [
        "Ar-Ar: x^-12 - exp(-b*x)",
        "Ar-Ar-Ar: exp(-x1)*exp(-x2)*(c + 0.5)^2",
        "Ar: sqrt(sum(exp(-2.5*x)))",
    ]
    assert member.record.terms.weights == (0.25, -2.0, -0.5)
    assert member.errors["train"]["forces"]["rmse"] == member.errors["train"].forces.rmse == 0.1
    assert member.errors["train"]["groups"]["dimers"]["forces"]["n"] == 12
    assert member.errors["train"].of("energy") is None
    assert member.constants[0]["standard_error"] is None
    assert run.front.baselines["Morse"].error == run.floor["baselines"]["Morse"]["error"] == 0.9
    assert list(run.front.floors.values()) == [0.3, 0.35, 0.3]
    assert "as it was written" in summary(run)


def test_records_are_in_files_what_they_were(old_run):
    front, floor = (files.read_json(old_run / f"{name}.json") for name in ("front", "floor"))
    run = open_run(old_run)
    RunFolder(old_run).write_front([member.record for member in run.front])
    files.write_json(old_run / "floor.json", run.floor.to_dict())
    for record in (front[0], floor["baselines"]["Morse"]):
        record["terms"] = Expression.from_dict(record["terms"]).to_dict()
    assert files.read_json(old_run / "front.json") == front
    assert files.read_json(old_run / "floor.json") == floor


def test_a_record_that_lacks_an_entry_is_named(old_run):
    front = files.read_json(old_run / "front.json")
    del front[0]["complexity"]
    files.write_json(old_run / "front.json", front)
    with pytest.raises(OSError, match=r"front\.json is damaged: .*complexity"):
        open_run(old_run)


# Copies and tables


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize(
    "way", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))]
)
def test_runs_and_fronts_are_copied_and_pickled_used_or_not(argon_run, used, way):
    run = open_run(argon_run.folder)
    if used:
        run._repr_html_()
        for member in run.front:
            calculator = member.potential.calculator()
            crystal = bulk("Ar", "fcc", a=5.4)
            crystal.calc = calculator
            crystal.get_potential_energy()
            member.potential.sympy(), member.potential.latex()
        assert run.settings.search.epochs == 2
    again = way(run)
    assert again == run
    assert again.best().potential == run.best().potential
    front = way(run.front)
    assert front == run.front
    assert repr(front) == repr(run.front)
    assert front.floors == run.front.floors
    assert [str(c) for c in front.compare()] == [str(c) for c in run.front.compare()]
    assert way(run.front[1]) == run.front[1] != run.front[0]
    assert way(run.front[1:]) == run.front[1:] != run.front


def test_a_front_becomes_a_table_of_pandas_with_the_columns_of_front_csv(argon_run):
    pandas = pytest.importorskip("pandas")
    table, file = argon_run.front.to_pandas(), pandas.read_csv(argon_run.folder / "front.csv")
    pandas.testing.assert_frame_equal(table, file, check_dtype=False, rtol=1e-9)
    assert table["stress_mae_validation"].dtype == float


def test_without_pandas_a_front_says_what_to_install(small_run, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        open_run(small_run).front.to_pandas()


def test_a_front_is_tabulated_as_its_file_is(small_run):
    table = []
    fake = SimpleNamespace(DataFrame=lambda rows, columns: table.append((rows, columns)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "pandas", fake)
        open_run(small_run).front.to_pandas()
    ((rows, columns),) = table
    lines = files.read_rows(small_run / "front.csv")
    assert columns == list(lines[0])
    for row, line in zip(rows, lines, strict=True):
        assert row["expression"] == line["expression"]
        assert row["error"] == float(line["error"])
        assert math.isnan(row["stress_rmse_train"])
        assert line["stress_rmse_train"] == ""
