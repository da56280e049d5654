"""Whatever happens to its processes, a search ends with the front of one that nothing disturbed."""

import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path

import cloudpickle
import pytest

import symreg
from symreg import config
from symreg.runs import open_run
from symreg.runs.pipeline.modes import island_settings
from symreg.searching.individuals import from_arrays
from symreg.searching.islands import Islands, State
from symreg.searching.tasks import Source
from symreg.workers import executors
from symreg.workers.executors import Crew, Engine, processes

pytestmark = pytest.mark.usefixtures("front_only")

# Worker processes cannot import this file.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def front_csv(folder):
    return (folder / "front.csv").read_bytes()


@pytest.fixture
def settings(search_settings, tmp_path):
    return search_settings(tmp_path / "run", workers=2)


def disturbed(flags, sign, work, *task):
    """Work, after sending a signal to this process if there is a flag left to take down."""
    for flag in sorted(Path(flags).glob("flag*")):
        try:
            flag.unlink()
        except FileNotFoundError:
            continue
        os.kill(os.getpid(), sign)
    (Path(flags) / f"pid{os.getpid()}").touch()
    return work(*task)


class Disturbed(Executor):
    """Sends a signal to workers, one for each flag in a folder."""

    def __init__(self, pool, flags, sign):
        self.pool, self.flags, self.sign = pool, flags, sign

    def submit(self, work, *task):
        return self.pool.submit(disturbed, str(self.flags), self.sign, work, *task)


@pytest.fixture
def engine(tmp_path):
    """Two processes, some of which get a signal from within."""

    def make(sign=signal.SIGKILL, flags=0):
        folder = tmp_path / "flags"
        folder.mkdir()
        for number in range(flags):
            (folder / f"flag{number}").touch()

        @contextmanager
        def start(_preload):
            with processes(2).start(tuple) as pool:
                yield Disturbed(pool, folder, sign)

        return Engine("2 processes", start)

    return make


@pytest.mark.parametrize("flags", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_workers_that_kill_themselves_are_replaced(argon_run, settings, engine, flags):
    told = []
    run = symreg.search(
        settings, executor=engine(flags=flags), on_progress=lambda p: told.append(p.message)
    )
    assert "a worker was lost; what it was computing is computed again" in told
    assert front_csv(run.folder) == front_csv(argon_run.folder)


@pytest.mark.slow
def test_a_worker_that_hangs_is_killed_and_replaced(argon_run, settings, engine, monkeypatch):
    monkeypatch.setattr(executors, "PATIENCE", 3)
    run = symreg.search(settings, executor=engine(signal.SIGSTOP, 1))
    assert front_csv(run.folder) == front_csv(argon_run.folder)


@pytest.mark.slow
def test_workers_killed_from_outside_are_replaced(argon_run, settings, engine, tmp_path):
    killed = []

    def kill_all():
        patience = time.monotonic() + 60
        while not killed and time.monotonic() < patience:
            for path in (tmp_path / "flags").glob("pid*"):
                os.kill(int(path.name[3:]), signal.SIGKILL)
                killed.append(path)

    made = engine()
    thread = threading.Thread(target=kill_all)
    thread.start()
    run = symreg.search(settings, executor=made)
    thread.join()
    assert killed
    assert front_csv(run.folder) == front_csv(argon_run.folder)


@pytest.mark.slow
def test_workers_that_are_lost_again_and_again_end_the_search(argon_run, settings, engine):
    with pytest.raises(OSError, match=r"lost again and again, .*set workers lower in .*run\.toml"):
        symreg.search(settings, executor=engine(flags=100))
    assert open_run(settings.folder).manifest["status"] == "running"
    run = symreg.resume(settings.folder)
    assert front_csv(run.folder) == front_csv(argon_run.folder)


# A candidate that crashes whatever process fits it


def poisoned(structure, work, *task):
    """Work in a process that dies as soon as it fits candidates of one structure."""
    from symreg.fit.projected.fitter import Fitter
    from symreg.searching.island import named

    fit = Fitter.fit

    def deadly(self, candidates, *words):
        if any(named(coded_terms) == structure for coded_terms in candidates):
            os.kill(os.getpid(), signal.SIGSEGV)
        return fit(self, candidates, *words)

    Fitter.fit = deadly
    return work(*task)


class Poisoned(Executor):
    """Processes that a structure kills."""

    def __init__(self, pool, structure):
        self.pool, self.structure = pool, structure

    def submit(self, work, *task):
        return self.pool.submit(poisoned, self.structure, work, *task)


@pytest.mark.slow
def test_a_candidate_that_crashes_its_worker_is_quarantined_and_named(
    argon_design, search_settings, tmp_path
):
    from symreg.searching.island import named

    settings = search_settings(tmp_path / "whole")
    islands = island_settings(settings)
    first = next(Islands(argon_design, islands).search())
    poison = next(i for i in from_arrays(first.populations[0]) if i.complexity > 8)
    expected = next(
        Islands(argon_design, islands).search(
            State(0, 0, (), [], quarantined=(named(poison.coded_terms),))
        )
    )
    argon_design.save(tmp_path / "design.npz")
    told = []
    for workers in (1, 2):

        @contextmanager
        def start(_preload, workers=workers):
            with processes(workers).start(tuple) as pool:
                yield Poisoned(pool, named(poison.coded_terms))

        with Crew(Engine("processes", start), told.append) as crew:
            source = Source(str(tmp_path / "design.npz"), "abc")
            found = next(Islands(argon_design, islands, (), crew, source).search())
        assert found.quarantined == (named(poison.coded_terms),)
        assert [i.coded_terms for i in found.front] == [i.coded_terms for i in expected.front]
        for one, two in zip(found.populations, expected.populations, strict=True):
            assert all(one[name].tobytes() == two[name].tobytes() for name in two)
    said = [line for line in told if line.startswith("quarantined ")]
    assert len(said) >= 2
    assert "whatever its constants, it crashes its worker" in said[0]
    assert not list(tmp_path.glob("suspect*"))


# The command, killed or left alone


@pytest.fixture
def run_file(settings, tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(config.dumps(settings), encoding="utf-8")
    return path


def children(pid):
    """Processes whose parent is this one."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(words[1]) == pid:
            found.append(int(path.parent.name))
    return found


def is_alive(pid):
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:1]
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize(
    "moment", ["read structures", "floor", "epoch 1,", "epoch 2,", "simplifying"]
)
def test_a_killed_command_leaves_no_workers_and_can_be_resumed(
    argon_run, settings, run_file, slow_command, moment
):
    process = subprocess.Popen(
        [sys.executable, "-c", slow_command, "run", str(run_file)],
        stdout=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if line.startswith(moment):
            break
    workers = children(process.pid)
    process.kill()
    process.wait()
    process.stdout.close()
    assert workers or not moment.startswith("epoch")
    patience = time.monotonic() + 20
    while any(map(is_alive, workers)) and time.monotonic() < patience:
        time.sleep(0.2)
    assert not any(map(is_alive, workers))
    assert symreg.resume(settings.folder).manifest["status"] == "finished"
    assert front_csv(settings.folder) == front_csv(argon_run.folder)


@pytest.mark.slow
def test_a_search_outlives_its_terminal_by_no_more_than_an_epoch(
    argon_run, settings, run_file, slow_command
):
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", slow_command, "run", str(run_file)])
    while not (settings.folder / "progress.json").exists():
        if select.select([terminal], [], [], 0.05)[0]:
            os.read(terminal, 10000)
    os.close(terminal)  # the system now sends SIGHUP
    os.waitpid(pid, 0)
    assert open_run(settings.folder).manifest["status"] == "interrupted"
    symreg.resume(settings.folder)
    assert front_csv(settings.folder) == front_csv(argon_run.folder)
