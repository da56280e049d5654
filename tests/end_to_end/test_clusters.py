"""Clusters find the same front; what goes wrong with them is said, and nothing is lost."""

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial

import pytest
from typer.testing import CliRunner

import symreg
from symreg import config
from symreg.cli.commands import app
from symreg.runs import open_run
from symreg.searching.tasks import Source, versions_here
from symreg.workers import cluster

pytest.importorskip("distributed", reason='needs pip install "symreg-potentials[dask]"')
pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("front_only"),
    # Dask closes sockets and loops when it pleases.
    pytest.mark.filterwarnings("default::ResourceWarning", "default::DeprecationWarning"),
    pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning"),
]


OTHER = tuple((name, "0.1" if name == "numpy" else number) for name, number in versions_here())


def front_csv(folder):
    return (folder / "front.csv").read_bytes()


@pytest.fixture
def settings(search_settings, tmp_path):
    return search_settings(tmp_path / "run")


@pytest.fixture
def dask(tmp_path):
    """Start commands of dask; they end with the test."""
    started = []

    def start(*words):
        command = [sys.executable, "-m", "dask", *map(str, words)]
        with (tmp_path / f"dask{len(started)}.log").open("w") as log:
            started.append(
                subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
            )
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def scheduler(dask, tmp_path):
    """A scheduler with two workers; its file, and how to start both."""
    file = tmp_path / "scheduler.json"

    def start():
        file.unlink(missing_ok=True)
        found = dask("scheduler", "--scheduler-file", file, "--port", 0, "--no-dashboard")
        while not file.exists():
            time.sleep(0.1)
        dask(
            *("worker", "--scheduler-file", file, "--nworkers", 2, "--nthreads", 1),
            *("--no-dashboard", "--memory-limit", 0),
        )
        return found

    return file, start


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_of_dask_find_the_same_front(argon_run, settings, workers):
    run = symreg.search(settings, executor=cluster.local(workers))
    assert front_csv(run.folder) == front_csv(argon_run.folder)


def test_workers_of_a_scheduler_find_the_same_front(argon_run, settings, scheduler, tmp_path):
    file, start = scheduler
    start()
    (tmp_path / "run.toml").write_text(config.dumps(settings), encoding="utf-8")
    result = CliRunner().invoke(
        app, ["run", str(tmp_path / "run.toml"), "--dask-scheduler-file", str(file)]
    )
    assert result.exit_code == 0, result.output
    assert front_csv(settings.folder) == front_csv(argon_run.folder)


def test_a_search_that_lost_its_scheduler_is_resumed_with_another(argon_run, settings, scheduler):
    file, start = scheduler
    first = start()

    def on_progress(progress):
        if progress.epoch == 1 and not progress.message:
            os.killpg(first.pid, signal.SIGKILL)

    with pytest.raises(OSError, match="does not answer within"):
        symreg.search(settings, executor=cluster.scheduler(file), on_progress=on_progress)
    assert open_run(settings.folder).manifest["status"] == "running"
    start()
    symreg.resume(settings.folder, executor=cluster.scheduler(file))
    assert front_csv(settings.folder) == front_csv(argon_run.folder)


def test_a_lost_worker_of_dask_is_replaced(argon_run, settings):
    engine = cluster.local(2)
    inner, clients = engine.start, []

    def start(preload):
        made = inner(preload)

        class Seen:
            def __enter__(self):
                executor = made.__enter__()
                clients.append(executor._client)
                return executor

            def __exit__(self, *error):
                return made.__exit__(*error)

        return Seen()

    def on_progress(progress):
        if progress.epoch == 1 and not progress.message:
            pids = clients[0].run(os.getpid)
            os.kill(next(iter(pids.values())), signal.SIGKILL)

    run = symreg.search(settings, executor=replace(engine, start=start), on_progress=on_progress)
    assert front_csv(run.folder) == front_csv(argon_run.folder)


def test_a_scheduler_that_does_not_answer_is_named_within_half_a_minute(settings, tmp_path):
    with socket.socket() as silent:  # accepts connections, says nothing
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        file = tmp_path / "scheduler.json"
        port = silent.getsockname()[1]
        file.write_text(f'{{"address": "tcp://127.0.0.1:{port}", "type": "Scheduler"}}')
        began = time.monotonic()
        with pytest.raises(OSError, match=r"scheduler of .*scheduler\.json does not answer within"):
            symreg.search(settings, executor=cluster.scheduler(file))
        assert time.monotonic() - began < 60  # the message comes after 25 s; imports take time too


def test_a_scheduler_without_workers_is_named(settings, monkeypatch, dask, tmp_path):
    file = tmp_path / "scheduler.json"
    dask("scheduler", "--scheduler-file", file, "--port", 0, "--no-dashboard")
    while not file.exists():
        time.sleep(0.1)
    monkeypatch.setattr(cluster, "ARRIVAL", 1.0)
    with pytest.raises(OSError, match=r"no worker came to tcp://.* start some with `dask worker"):
        symreg.search(settings, executor=cluster.scheduler(file))


def test_workers_of_another_version_end_the_search(settings, monkeypatch):
    monkeypatch.setattr("symreg.runs.pipeline.searching.Source", partial(Source, versions=OTHER))
    with pytest.raises(ValueError, match=r"has numpy .*, where the search has 0\.1; install the"):
        symreg.search(settings, executor=cluster.local(1))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--dask-local", "0"], "--dask-local is 0; it must be at least 1"),
        (["--dask-slurm", "-1"], "--dask-slurm is -1; it must be at least 1"),
        (["--dask-local", "1", "--dask-slurm", "1"], "exclude each other"),
        (["--dask-scheduler-file", "nowhere.json"], "scheduler file nowhere.json does not exist"),
    ],
)
def test_what_cannot_be_a_cluster_is_refused(settings, tmp_path, words, said):
    (tmp_path / "run.toml").write_text(config.dumps(settings), encoding="utf-8")
    result = CliRunner().invoke(app, ["run", str(tmp_path / "run.toml"), *words])
    assert result.exit_code == 1
    assert said in result.output
    assert not settings.folder.exists()


# SLURM, whose commands are imitated: they run in the background what they are given

SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do case $1 in --ntasks=*) n=${1#*=};; esac; shift; done
for ((k = 0; k < n; k++)); do "$@" & done
wait
"""
SBATCH = """#!/bin/bash
for script; do :; done
copy=$(mktemp)
cp "$script" "$copy"  # as SLURM does: whoever submits a script may remove it then
bash "$copy" >/dev/null 2>&1 &
echo "Submitted batch job $!"
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    kill = "#!/bin/bash\nkill $1 2>/dev/null || true\n"
    for name, text in (("srun", SRUN), ("sbatch", SBATCH), ("scancel", kill)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    here = os.path.dirname(sys.executable)
    monkeypatch.setenv("PATH", f"{folder}:{here}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "7")


@pytest.mark.usefixtures("slurm")
def test_the_script_for_slurm_searches_and_goes_on(argon_run, settings, tmp_path):
    (tmp_path / "run.toml").write_text(config.dumps(settings), encoding="utf-8")
    words = ["slurm-script", str(tmp_path / "run.toml"), "--workers", "2", "--hours", "1.5"]
    result = CliRunner().invoke(app, [*words, "--partition", "short", "--account", "me"])
    assert result.exit_code == 0
    for line in ("--ntasks=3", "--time=01:30:00", "--partition=short", "--account=me"):
        assert f"#SBATCH {line}\n" in result.output
    (tmp_path / "job.sh").write_text(result.output)
    done = subprocess.run(
        ["bash", "job.sh"], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "formula, x = r/r0, eV" in done.stdout
    assert not list(tmp_path.glob("scheduler-*"))
    header = front_csv(settings.folder).split(b"\n")[0]
    assert header == front_csv(argon_run.folder).split(b"\n")[0]
    assert front_csv(settings.folder) == front_csv(argon_run.folder)


@pytest.mark.parametrize(
    ("words", "said"), [("--workers=0", "--workers"), ("--hours=0", "--hours")]
)
def test_a_job_for_nobody_is_refused(settings, tmp_path, words, said):
    (tmp_path / "run.toml").write_text(config.dumps(settings), encoding="utf-8")
    result = CliRunner().invoke(app, ["slurm-script", str(tmp_path / "run.toml"), words])
    assert result.exit_code == 1
    assert f"{said} is 0; it must be" in result.output


def test_more_workers_than_islands_would_be_idle(settings, tmp_path):
    (tmp_path / "run.toml").write_text(config.dumps(settings), encoding="utf-8")
    result = CliRunner().invoke(app, ["slurm-script", str(tmp_path / "run.toml"), "--workers=3"])
    assert result.exit_code == 1
    assert "--workers is 3, but [search] islands is 2" in result.output


@pytest.mark.usefixtures("slurm")
def test_jobs_that_dask_submits_find_the_same_front(argon_run, settings, tmp_path, monkeypatch):
    import dask

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cluster, "ARRIVAL", 100.0)
    with dask.config.set({"jobqueue.slurm.memory": "1GB", "jobqueue.slurm.interface": "lo"}):
        run = symreg.search(settings, executor=cluster.slurm(2))
    assert front_csv(run.folder) == front_csv(argon_run.folder)
