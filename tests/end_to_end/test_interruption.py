"""A search that is stopped, however that happens, goes on to the front it would have had."""

import errno
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from typer.testing import CliRunner

import symreg
from symreg import config, files
from symreg.cli.commands import app
from symreg.runs import RunFolder, open_run
from symreg.runs.pipeline import checkpoint

pytestmark = pytest.mark.usefixtures("front_only")

EPOCHS = 5


class StoppedError(Exception):
    """An error that ends a search in these tests."""


def stop_when(wanted):
    """Raise as soon as a progress is what a test waits for."""

    def on_progress(progress):
        if wanted(progress):
            raise StoppedError

    return on_progress


def front_csv(folder):
    return (folder / "front.csv").read_bytes()


@pytest.fixture
def settings(search_settings, tmp_path):
    return search_settings(tmp_path / "run")


@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        (lambda p: p.message.startswith("read structures"), "running"),
        (lambda p: p.epoch == 1 and not p.message, "running"),
        (lambda p: p.message.startswith("simplifying"), "running"),
    ],
    ids=["before the first epoch", "after an epoch", "during delivery"],
)
def test_a_search_that_broke_off_goes_on_to_the_same_front(argon_run, settings, wanted, status):
    with pytest.raises(StoppedError):
        symreg.search(settings, on_progress=stop_when(wanted))
    assert open_run(settings.folder).manifest["status"] == status
    run = symreg.resume(settings.folder)
    assert run.manifest["status"] == "finished"
    assert front_csv(run.folder) == front_csv(argon_run.folder)
    rows = files.read_rows(run.folder / "generations.csv")
    assert [row["epoch"] for row in rows] == ["1", "2"]


@pytest.mark.parametrize("error", [StoppedError, KeyboardInterrupt])
def test_a_search_that_broke_off_before_its_first_epoch_may_begin_anew(argon_run, settings, error):
    def on_progress(progress):
        if progress.message.startswith("floor"):
            raise error

    with pytest.raises(error):
        symreg.search(settings, on_progress=on_progress)
    assert front_csv(symreg.search(settings).folder) == front_csv(argon_run.folder)


def test_data_named_relative_to_the_run_file_are_found_again(argon_file, argon_run, tmp_path):
    shutil.copy(argon_file, tmp_path)
    text = config.dumps(argon_run.settings).replace(str(argon_file), argon_file.name)
    text = text.replace('folder = "."', 'folder = "deep/run"')
    (tmp_path / "argon.toml").write_text(text, encoding="utf-8")
    with pytest.raises(StoppedError):
        symreg.search(
            tmp_path / "argon.toml", on_progress=stop_when(lambda p: p.message[:5] == "simpl")
        )
    run = symreg.resume(tmp_path / "deep" / "run")
    assert front_csv(run.folder) == front_csv(argon_run.folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_search_after_the_epoch(argon_run, settings, number):
    before = signal.getsignal(number)

    def on_progress(progress):
        if progress.epoch == 1 and not progress.message:
            signal.raise_signal(number)

    run = symreg.search(settings, on_progress=on_progress)
    assert run.manifest["status"] == "interrupted"
    assert len(files.read_rows(run.folder / "generations.csv")) == 1
    assert len(run.front) > 0
    assert signal.getsignal(number) is before
    again = symreg.resume(run.folder)
    assert again.manifest["status"] == "finished"
    assert front_csv(run.folder) == front_csv(argon_run.folder)


def test_a_signal_in_the_midst_of_a_print_ends_the_search_all_the_same(argon_run, settings):
    def on_progress(progress):
        if progress.message.startswith("stopping"):
            raise RuntimeError("reentrant call inside <_io.BufferedWriter name='<stdout>'>")
        if progress.epoch == 1 and not progress.message:
            signal.raise_signal(signal.SIGINT)

    assert symreg.search(settings, on_progress=on_progress).manifest["status"] == "interrupted"
    symreg.resume(settings.folder)
    assert front_csv(settings.folder) == front_csv(argon_run.folder)


def test_a_second_ctrl_c_interrupts_at_once(argon_run, settings):
    def on_progress(progress):
        if progress.epoch == 1 and not progress.message:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        symreg.search(settings, on_progress=on_progress)
    symreg.resume(settings.folder)
    assert front_csv(settings.folder) == front_csv(argon_run.folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_delivery_at_once(argon_run, settings, number):
    told = []

    def on_progress(progress):
        told.append(progress.message)
        if progress.message.startswith("simplifying"):
            signal.raise_signal(number)
            signal.raise_signal(number)

    with pytest.raises(KeyboardInterrupt):
        symreg.search(settings, on_progress=on_progress)
    assert told[-1].startswith("stopping once the front is written; Ctrl-C again stops at once")
    symreg.resume(settings.folder)
    assert front_csv(settings.folder) == front_csv(argon_run.folder)


def test_a_signal_during_delivery_lets_it_finish(argon_run, settings):
    def on_progress(progress):
        if progress.message.startswith("simplifying"):
            signal.raise_signal(signal.SIGINT)

    assert symreg.search(settings, on_progress=on_progress).manifest["status"] == "finished"
    assert front_csv(settings.folder) == front_csv(argon_run.folder)


# The command, as a shell or a queue of jobs stops it


@pytest.mark.parametrize(
    ("number", "workers"),
    [(signal.SIGINT, 2), pytest.param(signal.SIGTERM, 1, marks=pytest.mark.slow)],
)
def test_the_command_saves_prints_and_can_be_resumed(
    search_settings, slow_command, tmp_path, number, workers
):
    settings = search_settings(tmp_path / "run", workers=workers, epochs=EPOCHS)
    run_file = tmp_path / "run.toml"
    run_file.write_text(config.dumps(settings), encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-c", slow_command, "run", str(run_file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for line in process.stdout:
        if line.startswith("epoch 1,"):
            break
    # Ctrl-C in a terminal reaches workers as well; a queue signals the command alone.
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    assert "formula, x = r/r0, eV" in output
    said = f"stopped before its end; continue it with `symreg resume {settings.folder}`"
    assert said in " ".join(output.split())  # lines are folded
    assert open_run(settings.folder).manifest["status"] == "interrupted"
    assert len(files.read_rows(settings.folder / "generations.csv")) < EPOCHS

    alone = config.dumps(open_run(settings.folder).settings).replace("workers = 2", "workers = 1")
    (settings.folder / "run.toml").write_text(alone, encoding="utf-8")
    resumed = CliRunner().invoke(app, ["resume", str(settings.folder)])
    assert resumed.exit_code == 0
    assert "stopped before its end" not in resumed.output
    whole = symreg.search(search_settings(tmp_path / "whole", epochs=EPOCHS))
    assert front_csv(settings.folder) == front_csv(whole.folder)


READING = """
import symreg.structures.files as files
from symreg.cli.commands import main

read = files.read_extxyz

def told(*args):
    for n, atoms in enumerate(read(*args)):
        if n == 100:
            print("reading", flush=True)
        yield atoms

files.read_extxyz = told
main()
"""


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    "command", [("data",), ("fit", "eps*((s/r)^12 - (s/r)^6)")], ids=["data", "fit"]
)
def test_reading_of_many_structures_stops_at_a_signal_in_one_line(
    argon_file, tmp_path, number, command
):
    many = tmp_path / "many.extxyz"
    many.write_text(argon_file.read_text(encoding="utf-8") * 3000, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-c", READING, *command, str(many)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout.readline() == "reading\n"
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == "symreg: stopped; what a search had reached is in its folder\n"


# What a resumed run has beside its front


@pytest.fixture
def interrupted(argon_run, tmp_path):
    """A run that was delivered after two of three epochs."""
    folder = shutil.copytree(argon_run.folder, tmp_path / "run")
    text = (folder / "run.toml").read_text(encoding="utf-8")
    (folder / "run.toml").write_text(text.replace("epochs = 2", "epochs = 3"), encoding="utf-8")
    RunFolder(folder).finish("interrupted")
    return folder


def test_no_potential_of_an_earlier_front_stands_for_a_new_member(interrupted):
    _ = open_run(interrupted).front[0].potential
    with pytest.raises(StoppedError):
        symreg.resume(interrupted, on_progress=stop_when(lambda p: p.epoch == 3))
    with pytest.raises(OSError, match="the run ended before it wrote its potentials"):
        _ = open_run(interrupted).front[0].potential


def test_files_of_an_earlier_front_are_removed(interrupted):
    assert list(interrupted.glob("potentials/*/lammps"))
    symreg.resume(interrupted)
    assert not list(interrupted.glob("potentials/*"))  # these tests deliver the front alone


def test_a_run_without_its_checkpoint_begins_its_history_anew(interrupted):
    (interrupted / "checkpoint" / "state.npz").unlink()
    rows = files.read_rows(symreg.resume(interrupted).folder / "generations.csv")
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("sigma_forces = 0.1", "sigma_forces = 0.2", "[loss] sigma_forces is 0.2, but the run was"),
        ("r_cut = 6.5", "r_cut = 6.4", "[terms] r_cut is 6.4, but the run was searched with 6.5"),
        ("islands = 2", "islands = 3", "[search] islands is 3, but the run was searched with 2"),
        ("seed = 0", "seed = 1", "[search] seed is 1, but the run was searched with 0"),
        (
            "[loss]",
            "max_constants = 4\n[loss]",
            "max_constants is 4, but the run was searched with not",
        ),
    ],
)
def test_a_resume_names_the_setting_that_differs(interrupted, old, new, said):
    text = (interrupted / "run.toml").read_text(encoding="utf-8")
    assert old in text
    (interrupted / "run.toml").write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(said)):
        symreg.resume(interrupted)


def test_a_resumed_run_may_deliver_other_constants(interrupted):
    text = (interrupted / "run.toml").read_text(encoding="utf-8")
    assert 'refit = "all"' in text
    changed = text.replace('refit = "all"', 'refit = "train"')
    (interrupted / "run.toml").write_text(changed, encoding="utf-8")
    assert symreg.resume(interrupted).settings.data.refit == "train"


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_the_checkpoint_before_is_used_when_the_last_is_not_whole(argon_run, settings, damage):
    with pytest.raises(StoppedError):
        symreg.search(settings, on_progress=stop_when(lambda p: p.message[:5] == "simpl"))
    path = settings.folder / "checkpoint" / "state.npz"
    whole = path.read_bytes()
    path.unlink()
    if damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    told = []
    run = symreg.resume(settings.folder, on_progress=lambda p: told.append(p.message))
    (said,) = [line for line in told if "going on from the one before, epoch 1" in line]
    assert str(path) in said
    assert front_csv(run.folder) == front_csv(argon_run.folder)
    rows = files.read_rows(run.folder / "generations.csv")
    assert [row["epoch"] for row in rows] == ["1", "2"]


def test_a_damaged_checkpoint_never_takes_the_place_of_a_good_one(argon_run, settings, monkeypatch):
    with pytest.raises(StoppedError):
        symreg.search(settings, on_progress=stop_when(lambda p: p.message[:5] == "simpl"))
    path = settings.folder / "checkpoint" / "state.npz"
    path.write_bytes(path.read_bytes()[:1000])

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_arrays", full)
        with pytest.raises(OSError, match="No space left"):
            symreg.resume(settings.folder)
    assert front_csv(symreg.resume(settings.folder).folder) == front_csv(argon_run.folder)


def test_a_break_between_history_and_checkpoint_leaves_every_epoch_in_the_history(
    argon_run, settings, monkeypatch
):
    def broken(*_):
        raise StoppedError

    with monkeypatch.context() as patch:
        patch.setattr("symreg.runs.pipeline.checkpoint.write", broken)
        with pytest.raises(StoppedError):
            symreg.search(settings)
    run = symreg.resume(settings.folder)
    assert [row["epoch"] for row in files.read_rows(run.folder / "generations.csv")] == ["1", "2"]
    assert front_csv(run.folder) == front_csv(argon_run.folder)


def test_fewer_epochs_than_are_done_are_refused(interrupted):
    text = (interrupted / "run.toml").read_text(encoding="utf-8")
    fewer = text.replace("epochs = 3", "epochs = 1")
    (interrupted / "run.toml").write_text(fewer, encoding="utf-8")
    with pytest.raises(ValueError, match="epochs is 1, but the run has done 2 already"):
        symreg.resume(interrupted)


def test_a_finished_run_goes_on_as_a_longer_one_would_have(argon_run, search_settings, tmp_path):
    settings = search_settings(tmp_path / "run", epochs=1)
    symreg.search(settings)
    said = CliRunner().invoke(app, ["resume", str(settings.folder)], env={"COLUMNS": "200"}).output
    assert "the run is finished, after 1 epoch" in said
    assert f"`symreg resume {settings.folder} --epochs 2`" in said
    shown = CliRunner().invoke(app, ["resume", str(settings.folder), "--epochs", "2"])
    assert shown.exit_code == 0, shown.output
    assert front_csv(settings.folder) == front_csv(argon_run.folder)
    run = open_run(settings.folder)
    assert (run.settings.search.epochs, run.manifest["status"]) == (2, "finished")
    assert run.manifest["reproducible_by_seed"] is True
    rows = files.read_rows(run.folder / "generations.csv")
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert front_csv(symreg.resume(run.folder).folder) == front_csv(argon_run.folder)


def test_an_interrupted_run_may_be_sent_further_too(argon_run, search_settings, tmp_path):
    settings = search_settings(tmp_path / "run", epochs=9)
    with pytest.raises(StoppedError):
        symreg.search(settings, on_progress=stop_when(lambda p: p.epoch == 1 and not p.message))
    symreg.resume(settings.folder, epochs=2)
    assert front_csv(settings.folder) == front_csv(argon_run.folder)


def test_a_finished_run_is_left_alone_where_it_cannot_go_on(argon_run, tmp_path):
    folder = shutil.copytree(argon_run.folder, tmp_path / "run")
    text = (folder / "run.toml").read_text(encoding="utf-8")
    moved = text.replace(argon_run.settings.data.train[0], str(argon_run.settings.base / "x"))
    assert moved != text
    data = (argon_run.settings.base / argon_run.settings.data.train[0]).resolve()
    (folder / "run.toml").write_text(
        text.replace(argon_run.settings.data.train[0], str(data)), encoding="utf-8"
    )
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != "lock"}
    for limits, said in [
        ({"epochs": 1}, "epochs is 1, but the run has done 2 already"),
        ({"epochs": 2}, "the run has done 2 epochs in .* minutes, and ends by 2 epochs"),
        ({"minutes": 1e-6}, "and ends by 1e-06 minutes; limits are counted from its beginning"),
        ({"minutes": -1.0}, "minutes is -1; it must be from"),
    ]:
        with pytest.raises(ValueError, match=said):
            symreg.resume(folder, **limits)
    shutil.move(folder / "checkpoint" / "state.npz", tmp_path)
    (folder / "checkpoint" / "previous.npz").unlink()
    with pytest.raises(ValueError, match="holds no checkpoint that it could go on from"):
        symreg.resume(folder, epochs=3)
    for path in before.keys() - {folder / "checkpoint" / f"{n}.npz" for n in ("state", "previous")}:
        assert path.read_bytes() == before[path], path


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_minutes_are_kept_in_the_midst_of_an_epoch(search_settings, tmp_path, workers):
    settings = search_settings(tmp_path / "run", generations_per_epoch=10**4, workers=workers)
    limits = replace(settings.search, epochs=None, minutes=0.02)
    began = time.monotonic()
    run = symreg.search(replace(settings, search=limits))
    assert time.monotonic() - began < 60
    assert len(run.front) > 0
    assert run.manifest["status"] == "finished"
    assert run.manifest["reproducible_by_seed"] is False
    spent = files.read_json(run.folder / "progress.json")["seconds"] / 60
    further = symreg.resume(run.folder, minutes=spent + 0.02)
    assert files.read_json(run.folder / "progress.json")["epoch"] == 2
    assert further.manifest["reproducible_by_seed"] is False


def test_show_advises_no_resume_where_the_checkpoint_is_refused(interrupted):
    path = interrupted / "run.toml"
    text = path.read_text(encoding="utf-8")

    def shown():
        return CliRunner().invoke(app, ["show", str(interrupted)], env={"COLUMNS": "200"}).output

    assert f"continue it with `symreg resume {interrupted}`" in shown()
    path.write_text(text.replace("population_size = 40", "population_size = 41"), encoding="utf-8")
    said = shown()
    assert "`symreg resume" not in said
    assert "it cannot be continued: " in said
    assert "population_size is 41, but the run was searched with 40" in " ".join(said.split())


def test_a_refused_checkpoint_leaves_every_file_as_it_was(interrupted):
    path = interrupted / "run.toml"
    text = path.read_text(encoding="utf-8").replace("r_cut = 6.5", "r_cut = 6.4")
    path.write_text(text, encoding="utf-8")
    before = {p: p.read_bytes() for p in interrupted.rglob("*") if p.is_file() and p.name != "lock"}
    with pytest.raises(ValueError, match="r_cut is"):
        symreg.resume(interrupted)
    assert {p: p.read_bytes() for p in before} == before


def test_a_run_of_a_newer_version_is_refused(interrupted):
    manifest = files.read_json(interrupted / "manifest.json")
    manifest["format"] += 1
    manifest["versions"]["symreg"] = "9.0"
    files.write_json(interrupted / "manifest.json", manifest)
    with pytest.raises(ValueError, match=r"was written by symreg 9\.0 in a newer format"):
        symreg.resume(interrupted)


def test_a_checkpoint_of_a_newer_version_is_refused(interrupted, monkeypatch):
    monkeypatch.setattr("symreg.runs.pipeline.checkpoint.FORMAT", checkpoint.FORMAT - 1)
    with pytest.raises(ValueError, match=r"in format 6; this is symreg .*: install the newer one"):
        symreg.resume(interrupted)


def test_a_checkpoint_of_an_older_version_is_refused(interrupted, monkeypatch):
    # Arrays of formulas meant something else in it.
    monkeypatch.setattr("symreg.runs.pipeline.checkpoint.FORMAT", checkpoint.FORMAT + 1)
    with pytest.raises(ValueError, match=r"in format 6; this .*: finish it where it began"):
        symreg.resume(interrupted)


# Limits, and requests from elsewhere


def test_a_search_that_finds_nothing_better_ends(search_settings, tmp_path):
    settings = search_settings(tmp_path / "run", epochs=60, stagnation=2, max_complexity=5)
    run = symreg.search(settings)
    rows = files.read_rows(run.folder / "generations.csv")
    assert 2 < len(rows) < 60
    assert len({row["lowest_error"] for row in rows[-3:]}) == 1
    assert run.manifest["status"] == "finished"
    log = (run.folder / "log.txt").read_text(encoding="utf-8")
    assert "the search ends: no error of the front fell in 2 epochs" in log


def test_another_terminal_can_stop_a_search(argon_run, settings):
    def on_progress(progress):
        if progress.epoch == 1 and not progress.message:
            result = CliRunner().invoke(app, ["stop", str(settings.folder)])
            assert result.exit_code == 0
            assert f"process {os.getpid()} on" in result.output

    run = symreg.search(settings, on_progress=on_progress)
    assert run.manifest["status"] == "interrupted"
    assert [row["epoch"] for row in files.read_rows(run.folder / "generations.csv")] == ["1"]
    assert front_csv(symreg.resume(run.folder).folder) == front_csv(argon_run.folder)


def test_nothing_is_to_be_stopped_where_nobody_searches(argon_run):
    result = CliRunner().invoke(app, ["stop", str(argon_run.folder)])
    assert result.exit_code == 1
    assert "nobody searches in" in result.output


def test_two_searches_in_one_folder_are_refused(argon_run, settings):
    refused = []

    def on_progress(progress):
        if progress.epoch == 1 and not progress.message:
            for again in (symreg.resume, lambda _: symreg.search(settings)):
                with pytest.raises(OSError, match=r"process|unfinished run") as caught:
                    again(settings.folder)
                refused.append(str(caught.value))

    run = symreg.search(settings, on_progress=on_progress)
    assert f"is being searched by process {os.getpid()} on " in refused[0]
    assert len(refused) == 2
    assert front_csv(run.folder) == front_csv(argon_run.folder)


def test_a_second_search_leaves_the_settings_of_the_first_alone(settings):
    def on_progress(progress):
        if progress.message.startswith("read structures"):
            text = (settings.folder / "run.toml").read_text(encoding="utf-8")
            other = replace(settings, search=replace(settings.search, seed=5))
            with pytest.raises(OSError, match="is being searched by process"):
                symreg.search(other)
            assert (settings.folder / "run.toml").read_text(encoding="utf-8") == text

    symreg.search(settings, on_progress=on_progress)


def test_a_folder_is_free_after_a_search_even_for_its_children(argon_run, settings):
    """A process that is forked during a search inherits what locks its folder."""
    children = []

    def on_progress(progress):
        if progress.epoch == 1 and not progress.message:
            children.append(os.fork())
            if not children[-1]:
                time.sleep(600)
            raise StoppedError

    with pytest.raises(StoppedError):
        symreg.search(settings, on_progress=on_progress)
    try:
        assert not RunFolder(settings.folder).owner()
        run = symreg.resume(settings.folder)
    finally:
        os.kill(children[0], signal.SIGKILL)
        os.waitpid(children[0], 0)
    assert front_csv(run.folder) == front_csv(argon_run.folder)


def test_whoever_looks_for_an_instant_does_not_keep_a_search_away(settings):
    folder = RunFolder.create(settings)
    with folder.held():
        pass
    with (settings.folder / "checkpoint" / "lock").open() as stream:
        fcntl.flock(stream, fcntl.LOCK_SH)
        timer = threading.Timer(0.1, lambda: fcntl.flock(stream, fcntl.LOCK_UN))
        timer.start()
        with folder.held():
            assert folder.owner()
        timer.join()


def test_drafts_of_a_killed_process_are_removed(settings):
    folder = RunFolder.create(settings)
    draft = settings.folder / "checkpoint" / ".state.npz.123.tmp"
    draft.parent.mkdir()
    draft.touch()
    with folder.held():
        assert not draft.exists()


def test_a_search_whose_terminal_is_gone_stops_silently(argon_run, settings):
    shown = []

    def on_progress(progress):
        shown.append(progress)
        if progress.epoch == 1:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    run = symreg.search(settings, on_progress=on_progress)
    assert shown[-1].epoch == 1
    assert run.manifest["status"] == "interrupted"
    assert front_csv(symreg.resume(run.folder).folder) == front_csv(argon_run.folder)


def test_an_error_of_the_caller_is_not_taken_for_a_closed_terminal(settings):
    def on_progress(_progress):
        raise FileNotFoundError(errno.ENOENT, "No such file")

    with pytest.raises(FileNotFoundError):
        symreg.search(settings, on_progress=on_progress)


def test_a_disk_that_fills_up_in_between_costs_one_epoch(argon_run, settings, monkeypatch):
    move, names = os.replace, []

    def fail(source, target):
        names.append(os.path.basename(target))
        if names.count("state.npz") == 2 and names[-1] == "state.npz":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        move(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(OSError, match=r"cannot write .*state\.npz: No space left on device"):
            symreg.search(settings)
    told = []
    run = symreg.resume(settings.folder, on_progress=lambda p: told.append(p.message))
    assert any(
        line.endswith("state.npz is missing; going on from the one before, epoch 1")
        for line in told
    )
    assert front_csv(run.folder) == front_csv(argon_run.folder)


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 4])
@pytest.mark.slow
def test_a_search_by_processes_goes_on_in_threads(argon_run, search_settings, tmp_path, workers):
    with pytest.raises(StoppedError):
        symreg.search(
            search_settings(tmp_path / "run", workers=2), on_progress=stop_when(lambda p: p.epoch)
        )
    with ThreadPoolExecutor(workers) as threads:
        run = symreg.resume(tmp_path / "run", executor=threads)
    assert [row["epoch"] for row in files.read_rows(run.folder / "generations.csv")] == ["1", "2"]
    assert front_csv(run.folder) == front_csv(argon_run.folder)


NOTEBOOK = """
import symreg
from symreg import config
from symreg.runs.pipeline import delivery, searching

searching._Search._publish = lambda *_: None
delivery._write_member = lambda *_: None
run = symreg.search({path!r}, on_progress=lambda p: print("epoch", p.epoch, flush=True))
print("front of", len(run.front), run.manifest["status"])
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_search_in_a_notebook_can_be_interrupted_and_keeps_its_front(search_settings, tmp_path):
    manager = pytest.importorskip("jupyter_client.manager")
    settings = search_settings(tmp_path / "run", workers=2, epochs=2000)
    (tmp_path / "run.toml").write_text(config.dumps(settings), encoding="utf-8")
    kernel, client = manager.start_new_kernel()
    try:
        shown, asked = "", False

        def see(message):
            nonlocal shown, asked
            shown += message["content"].get("text", "")
            if "epoch 1" in shown and not asked:
                asked = True
                kernel.interrupt_kernel()

        client.execute_interactive(
            NOTEBOOK.format(path=str(tmp_path / "run.toml")), output_hook=see, timeout=120
        )
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)
    assert shown.splitlines()[-1].startswith("front of ")
    assert shown.splitlines()[-1].endswith("interrupted")
    assert len(open_run(settings.folder).front) > 0


CELL = """
import ase.io
import symreg
run = symreg.search({tables}, train=ase.io.read({data!r}, ":"))
print("front of", len(run.front), run.manifest["status"])
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_notebook_shows_one_table_and_its_stop_button_gives_the_front(
    search_settings, argon_file, tmp_path
):
    manager = pytest.importorskip("jupyter_client.manager")
    tables = config.to_dict(search_settings(tmp_path / "run", workers=2, epochs=2000))
    kernel, client = manager.start_new_kernel()
    displays, shown, last = [], [], ""

    def see(message):
        nonlocal last
        kind, content = message["msg_type"], message["content"]
        if kind == "display_data":
            displays.append(content["transient"]["display_id"])
        elif kind == "update_display_data":
            assert content["transient"]["display_id"] == displays[0]
            if "epoch 1," in content["data"]["text/plain"] and not any(
                "epoch 1," in s for s in shown
            ):
                kernel.interrupt_kernel()
            shown.append(content["data"]["text/plain"] + content["data"]["text/html"])
        last = content.get("text", last)

    try:
        cell = CELL.format(tables={**tables, "data": {}}, data=str(argon_file))
        client.execute_interactive(cell, output_hook=see, timeout=120)
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)
    assert len(displays) == 1
    assert "<table>" in shown[-1]
    assert "stopping after this epoch" in shown[-1]
    assert last.startswith("front of ")
    assert last.strip().endswith("interrupted")
    assert (tmp_path / "run" / "report.html").exists()


def test_a_run_goes_on_from_the_seeds_that_it_began_with(argon_run, search_settings, tmp_path):
    """Islands that begin anew are seeded again; the other run may be another by then, or gone."""
    other = shutil.copytree(argon_run.folder, tmp_path / "other")
    options = {"seeds_from": str(other), "islands": 2, "epochs": 5}
    whole = symreg.search(search_settings(tmp_path / "whole", **options))
    with pytest.raises(StoppedError):
        symreg.search(
            search_settings(tmp_path / "run", **options), on_progress=stop_when(lambda p: p.epoch)
        )
    shutil.rmtree(other)
    assert front_csv(symreg.resume(tmp_path / "run").folder) == front_csv(whole.folder)


def test_an_executor_that_outlives_a_run_serves_the_next_in_the_same_folder(
    argon_run, search_settings, tmp_path
):
    with ThreadPoolExecutor(1) as threads:
        symreg.search(search_settings(tmp_path / "run", r_cut=6.0), executor=threads)
        shutil.rmtree(tmp_path / "run")
        run = symreg.search(search_settings(tmp_path / "run"), executor=threads)
    assert front_csv(run.folder) == front_csv(argon_run.folder)
