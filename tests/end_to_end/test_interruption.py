"""A search that is stopped, however that happens, goes on to the front it would have had."""

import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import contextmanager

import pytest
from typer.testing import CliRunner

import symreg
from symreg import config, files
from symreg.blocks import Blocks
from symreg.cli.commands import app
from symreg.constants import Fitter
from symreg.islands import run_epoch
from symreg.runs import RunFolder, open_run

pytestmark = pytest.mark.usefixtures("front_only")

EPOCHS = 5


class StoppedError(Exception):
    """What ends a search in these tests."""


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
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


def test_a_signal_during_delivery_lets_it_finish(argon_run, settings):
    def on_progress(progress):
        if progress.message.startswith("simplifying"):
            signal.raise_signal(signal.SIGINT)

    assert symreg.search(settings, on_progress=on_progress).manifest["status"] == "finished"
    assert front_csv(settings.folder) == front_csv(argon_run.folder)


# The command, as a shell or a queue of jobs stops it

COMMAND = """
import time
from symreg.pipeline import delivery, searching

record = searching._Search._record

def slowly(*words):
    record(*words)
    time.sleep(0.7)

searching._Search._record = slowly
searching._Search._publish = lambda *_: None
delivery._write_member = lambda *_: None

from symreg.cli import main
main()
"""


@pytest.mark.parametrize(
    ("number", "workers"),
    [(signal.SIGINT, 2), pytest.param(signal.SIGTERM, 1, marks=pytest.mark.slow)],
)
def test_the_command_saves_prints_and_can_be_resumed(search_settings, tmp_path, number, workers):
    settings = search_settings(tmp_path / "run", workers=workers, epochs=EPOCHS)
    run_file = tmp_path / "run.toml"
    run_file.write_text(config.dumps(settings), encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "run", str(run_file)],
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
    assert f"stopped before its end; continue it with `symreg resume {settings.folder}`" in output
    assert open_run(settings.folder).manifest["status"] == "interrupted"
    assert len(files.read_rows(settings.folder / "generations.csv")) < EPOCHS

    alone = config.dumps(open_run(settings.folder).settings).replace("workers = 2", "workers = 1")
    (settings.folder / "run.toml").write_text(alone, encoding="utf-8")
    resumed = CliRunner().invoke(app, ["resume", str(settings.folder)])
    assert resumed.exit_code == 0
    assert "stopped before its end" not in resumed.output
    whole = symreg.search(search_settings(tmp_path / "whole", epochs=EPOCHS))
    assert front_csv(settings.folder) == front_csv(whole.folder)


# Workers that are lost


class FailingExecutor(Executor):
    """Runs epochs here, but is broken as often as it is told to be."""

    def __init__(self, island, losses):
        self.island = island
        self.losses = losses

    def submit(self, _work, *task):
        future = Future()
        if self.losses:
            self.losses.pop()
            future.set_exception(BrokenExecutor("a worker process was terminated"))
        else:
            future.set_result(run_epoch(self.island, *task))
        return future


@pytest.fixture
def lose_workers(monkeypatch, argon_design):
    """Let this many workers be lost in the first epoch."""

    def lose(count):
        losses = [None] * count

        @contextmanager
        def processes(_workers, _path, settings):
            island = Blocks(Fitter(argon_design), settings.evolution, settings.variation)
            yield FailingExecutor(island, losses)

        monkeypatch.setattr("symreg.pipeline.searching.processes", processes)

    return lose


def test_an_epoch_that_lost_its_worker_is_run_again(
    argon_run, search_settings, lose_workers, tmp_path
):
    lose_workers(1)
    told = []
    settings = search_settings(tmp_path / "run", workers=2)
    run = symreg.search(settings, on_progress=lambda p: told.append(p.message))
    assert "a worker process was lost; its epoch is run again" in told
    assert front_csv(run.folder) == front_csv(argon_run.folder)


def test_workers_that_are_lost_again_and_again_end_the_search(
    argon_run, search_settings, lose_workers, tmp_path
):
    lose_workers(100)
    with pytest.raises(OSError, match="lost 3 times in one epoch, perhaps for want of memory"):
        symreg.search(search_settings(tmp_path / "run", workers=2))
    lose_workers(0)
    run = symreg.resume(tmp_path / "run")
    assert front_csv(run.folder) == front_csv(argon_run.folder)


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
    ("old", "new"), [("sigma_forces = 0.1", "sigma_forces = 0.2"), ("r_cut = 6.5", "r_cut = 6.4")]
)
def test_errors_of_another_loss_or_cutoff_are_not_mixed_in(interrupted, old, new):
    text = (interrupted / "run.toml").read_text(encoding="utf-8")
    assert old in text
    (interrupted / "run.toml").write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ValueError, match="made from other data or settings"):
        symreg.resume(interrupted)


def test_more_islands_than_the_run_began_with_are_refused(interrupted):
    text = (interrupted / "run.toml").read_text(encoding="utf-8")
    (interrupted / "run.toml").write_text(
        text.replace("islands = 2", "islands = 3"), encoding="utf-8"
    )
    with pytest.raises(ValueError, match="islands is 3, but the run has 2; set it back in"):
        symreg.resume(interrupted)
