"""The exhaustive mode: an exact front, the same by whomever and however often interrupted."""

import signal
import time
from dataclasses import replace

import pytest

import symreg
from symreg import files
from symreg.config import SettingsError
from symreg.runs import open_run
from symreg.terms import Expression

pytestmark = pytest.mark.usefixtures("front_only")


def front_csv(folder):
    return (folder / "front.csv").read_bytes()


class StoppedError(Exception):
    """An error that ends a search in these tests."""


@pytest.fixture(scope="module", autouse=True)
def small_rounds():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("symreg.searching.exhaustive.search.CHUNK", 500)
        patch.setattr("symreg.searching.exhaustive.search.ROUND", 4)
        patch.setattr("symreg.runs.pipeline.modes.ROUND", 4)
        yield


@pytest.fixture(scope="module")
def exhaustive(search_settings):
    """Settings for all 8,000 forms up to complexity 10, in some rounds."""

    def make(folder, **changes):
        plain = search_settings(folder)
        mode = {"mode": "exhaustive", "exhaustive_complexity": 10, "epochs": None}
        return replace(plain, search=replace(plain.search, **{**mode, **changes}))

    return make


@pytest.fixture
def settings(exhaustive, tmp_path):
    return lambda **changes: exhaustive(tmp_path / "run", **changes)


@pytest.fixture(scope="module")
def whole(exhaustive, tmp_path_factory):
    told = []
    settings = exhaustive(tmp_path_factory.mktemp("runs") / "whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("symreg.runs.pipeline.delivery._write_member", lambda *_: None)
        patch.setattr("symreg.runs.pipeline.searching._Search._publish", lambda *_: None)
        return symreg.search(settings, on_progress=told.append), told


def test_lennard_jones_is_the_best_of_all_forms_as_simple(whole):
    run, told = whole
    best = run.front[-1]
    assert best.complexity == 10
    terms = Expression.from_dict(best.record["terms"]).terms
    assert {str(term.tree) for term in terms} == {"x^-12", "x^-6"}
    count = told[-1].forms
    assert told[-1].candidates == count > 5000
    assert any(f"all {count:,} forms were fitted" in now.message for now in told)
    said = f"{count:,} forms: {count:,} of one or two pair terms up to complexity 10"
    assert any(said in now.message for now in told)
    assert run.manifest["status"] == "finished"


def test_time_left_falls_to_nothing(whole):
    _, told = whole
    left = [now.seconds_left for now in told if now.epoch and not now.message]
    assert len(left) > 2
    assert left[-1] == 0.0
    assert all(seconds > 0 for seconds in left[:-1])


@pytest.mark.slow
def test_two_processes_find_the_same(whole, settings):
    run = symreg.search(settings(workers=2))
    assert front_csv(run.folder) == front_csv(whole[0].folder)


def test_a_search_that_broke_off_goes_on(whole, settings):
    def on_progress(progress):
        if progress.epoch == 2 and not progress.message:
            raise StoppedError

    with pytest.raises(StoppedError):
        symreg.search(settings(), on_progress=on_progress)
    seen = []
    run = symreg.resume(settings().folder, on_progress=seen.append)
    assert next(now.epoch for now in seen if now.epoch) == 3
    assert front_csv(run.folder) == front_csv(whole[0].folder)
    epochs = [row["epoch"] for row in files.read_rows(run.folder / "generations.csv")]
    assert epochs == [str(n) for n in range(1, len(epochs) + 1)]


def test_time_that_is_up_leaves_a_search_to_be_resumed(whole, settings):
    run = symreg.search(settings(minutes=1e-4))
    assert run.manifest["status"] == "interrupted"
    path = run.folder / "run.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("minutes = 0.0001", "minutes = 60.0"), encoding="utf-8")
    assert front_csv(symreg.resume(run.folder).folder) == front_csv(whole[0].folder)


def test_a_damaged_list_of_forms_is_made_again(whole, settings):
    run = symreg.search(settings(minutes=1e-4))
    (run.folder / "checkpoint" / "forms.npz").write_bytes(b"forms")
    path = run.folder / "run.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("minutes = 0.0001", "minutes = 60.0"), encoding="utf-8")
    assert front_csv(symreg.resume(run.folder).folder) == front_csv(whole[0].folder)


def test_its_front_seeds_an_evolution(whole, search_settings, tmp_path):
    options = {"seeds_from": str(whole[0].folder), "generations_per_epoch": 1, "epochs": 1}
    run = symreg.search(search_settings(tmp_path / "evolved", **options))
    physical = [member for member in whole[0].front if not member.unfit]
    assert physical
    for member in physical:  # the exact front has others too, marked; an evolution has none
        assert any(
            m.complexity <= member.complexity and m.error <= 1.001 * member.error + 1e-7
            for m in run.front
        )


def test_seeds_of_another_unit_of_length_are_refused(whole, search_settings, tmp_path):
    settings = search_settings(tmp_path / "other", seeds_from=str(whole[0].folder), r0=3.0)
    with pytest.raises(ValueError, match=r"with r0 = .* set \[terms\] r0 = "):
        symreg.search(settings)


def test_seeds_from_where_no_run_is_are_refused(search_settings, tmp_path):
    settings = search_settings(tmp_path / "other", seeds_from=str(tmp_path / "nowhere"))
    with pytest.raises(
        ValueError, match=r"seeds_from, a folder relative to the run file: .*nowhere holds no run"
    ):
        symreg.search(settings)
    assert not settings.folder.exists()


def test_the_folder_of_seeds_is_found_from_the_run_folder_too(whole, search_settings, tmp_path):
    settings = search_settings(
        tmp_path / "evolved", seeds_from=str(whole[0].folder), generations_per_epoch=1, epochs=1
    )
    run = symreg.search(settings)
    again = open_run(run.folder).settings
    assert (again.base / again.search.seeds_from).resolve() == whole[0].folder.resolve()


def test_too_few_constants_for_seeds_leave_them_out(whole, search_settings, tmp_path):
    options = {"seeds_from": str(whole[0].folder), "generations_per_epoch": 1, "epochs": 1}
    run = symreg.search(search_settings(tmp_path / "evolved", max_constants=1, **options))
    assert all(member.n_constants == 1 for member in run.front)


def test_terms_that_are_not_listed_are_refused(settings):
    made = settings()
    with pytest.raises(SettingsError, match="lists pair and separable three-body terms only"):
        replace(made, terms=replace(made.terms, many_body=True))


def test_the_first_ctrl_c_ends_the_listing_of_forms(settings, monkeypatch):
    def slow(*_):
        signal.raise_signal(signal.SIGINT)
        time.sleep(60)
        raise AssertionError("the listing went on")

    monkeypatch.setattr("symreg.runs.pipeline.modes.list_forms", slow)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        symreg.search(settings())
    assert time.monotonic() - began < 30
    assert not settings().folder.exists()  # nothing was reached, and nothing is left
