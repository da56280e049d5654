"""Clusters: the workers of dask, on this machine, behind a scheduler, or as jobs of SLURM.

Needs ``pip install "symreg[dask]"``. Workers read the data from the run folder, so all of them must
see it; what travels are populations as flat arrays.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from symreg import config, files
from symreg.executors import LOST, ONE_THREAD, Engine, Preload
from symreg.runs import versions

ANSWER = 25.0
"""Seconds in which a scheduler must answer."""
ARRIVAL = 600.0
"""Seconds in which a first worker must arrive."""
SAME = ("symreg", "numpy", "scipy", "numba", "llvmlite", "deap", "dask", "distributed")
"""Packages that, like Python, must have the same version everywhere."""


def local(workers: int) -> Engine:
    """Workers of dask on this machine, a process each."""
    if workers < 1:
        raise ValueError(f"--dask-local is {workers}; it must be at least 1")

    def cluster() -> Any:
        from distributed import LocalCluster

        return LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            memory_limit=0,
            env=ONE_THREAD,
        )

    return _engine(f"dask, {workers} local workers", cluster)


def slurm(workers: int) -> Engine:
    """Workers of dask as jobs of SLURM, submitted by dask-jobqueue as its configuration says."""
    if workers < 1:
        raise ValueError(f"--dask-slurm is {workers}; it must be at least 1")

    def cluster() -> Any:
        from dask_jobqueue.slurm import SLURMCluster

        made = SLURMCluster(
            cores=1,
            processes=1,
            job_script_prologue=[f"export {name}={value}" for name, value in ONE_THREAD.items()],
        )
        made.scale(jobs=workers)
        return made

    return _engine(f"dask, {workers} jobs of SLURM", cluster)


def scheduler(file: Path) -> Engine:
    """The workers of a scheduler that was started with ``dask scheduler --scheduler-file``.

    Raises
    ------
    OSError
        If the file does not exist.
    """
    if not file.is_file():
        raise FileNotFoundError(
            f"scheduler file {file} does not exist; `dask scheduler --scheduler-file {file}` "
            "writes it when it starts"
        )
    return _engine(f"dask at {file}", lambda: None, file)


def _engine(name: str, cluster: Callable[[], Any], file: Path | None = None) -> Engine:
    try:
        from distributed.comm.core import CommClosedError
        from distributed.scheduler import KilledWorker
    except ImportError:
        raise ValueError('dask is not installed: pip install "symreg[dask]"') from None
    lost = (*LOST, KilledWorker, CommClosedError)
    return Engine(name, lambda preload: _connected(cluster, file, preload), lost)


@contextmanager
def _connected(
    cluster: Callable[[], Any], file: Path | None, preload: Preload
) -> Iterator[Executor]:
    """An executor of a client, once the scheduler and a worker are there."""
    import dask
    from distributed import Client

    quiet = {
        "distributed.scheduler.allowed-failures": 0,
        "distributed.scheduler.worker-ttl": "60s",
        "distributed.comm.timeouts.connect": f"{ANSWER}s",
        "distributed.admin.log-format": "%(message)s",
        "distributed.logging.distributed": "critical",
    }
    with dask.config.set(quiet):
        if file is not None:
            _ask(file)
        made = cluster()
        try:
            with Client(made, scheduler_file=file, set_as_default=False) as client:
                yield _executor(client, preload)
        finally:
            if made is not None:
                made.close()


def _ask(file: Path) -> None:
    """Have a scheduler say who it is: a client would wait for its answer for ever.

    Raises
    ------
    OSError
        If it does not answer.
    """
    from distributed.core import rpc

    async def identity() -> None:
        async with rpc(files.read_json(file)["address"]) as there:
            await there.identity()

    async def answer() -> None:
        await asyncio.wait_for(identity(), ANSWER)

    try:
        with ThreadPoolExecutor(1) as thread:  # in a notebook this one has a loop already
            thread.submit(asyncio.run, answer()).result()
    except (OSError, TimeoutError, KeyError, TypeError):
        raise OSError(
            f"the scheduler of {file} does not answer within {ANSWER:g} s; start it again with "
            f"`dask scheduler --scheduler-file {file}`, and go on with `symreg resume`"
        ) from None


def _executor(client: Any, preload: Preload) -> Executor:
    """The executor of a client whose workers have loaded the data and have our versions."""
    try:
        client.wait_for_workers(1, timeout=ARRIVAL)
    except TimeoutError:
        raise OSError(
            f"no worker came to {client.scheduler.address} in {ARRIVAL:g} s; start some with "
            "`dask worker --nthreads 1 --scheduler-file FILE`"
        ) from None
    client.register_plugin(_plugin(preload))
    executor: Executor = client.get_executor(pure=False)
    return executor


def _plugin(preload: Preload) -> Any:
    """Has every worker, also one that comes later, compare versions and read the data."""
    from distributed import WorkerPlugin

    wanted = versions(SAME)

    class Preparation(WorkerPlugin):
        name = "symreg"

        def setup(self, worker: Any) -> None:
            compare(wanted, worker.address)
            worker.executors["default"].submit(preload).result()

    return Preparation()


def compare(wanted: dict[str, str], where: str) -> None:
    """Compare versions of packages with those that are wanted.

    Raises
    ------
    ValueError
        If one differs: the same seed would not give the same front.
    """
    for package, version in wanted.items():
        found = versions(SAME).get(package, "missing")
        if found != version:
            raise ValueError(
                f"worker {where} has {package} {found}, where the search has {version}; "
                "install the same versions everywhere"
            )


def slurm_script(
    run_file: Path,
    workers: int | None = None,
    hours: float = 4.0,
    partition: str = "",
    account: str = "",
) -> str:
    """Text of a job of SLURM that searches with as many workers as tasks, within one allocation.

    Five minutes before the job's end SLURM tells the search to stop; submitted again, the job goes
    on.
    """
    if not hours > 0:
        raise ValueError(f"--hours is {hours:g}; it must be above 0")
    settings = config.load(run_file)
    workers = settings.search.islands if workers is None else workers
    if workers < 1:
        raise ValueError(f"--workers is {workers}; it must be at least 1")
    if settings.search.mode == "evolution" and workers > settings.search.islands:
        raise ValueError(
            f"--workers is {workers}, but [search] islands is {settings.search.islands}: each "
            "island is computed by one worker; have at least as many islands as workers"
        )
    folder = shlex.quote(str(settings.folder.absolute()))
    minutes = max(round(60 * hours), 10)
    lines = [
        "#!/bin/bash",
        f"#SBATCH --job-name={shlex.quote('symreg-' + run_file.stem)}",
        f"#SBATCH --ntasks={workers + 1}",
        "#SBATCH --cpus-per-task=1",
        f"#SBATCH --time={minutes // 60:02d}:{minutes % 60:02d}:00",
        "#SBATCH --signal=B:TERM@300",
        *([f"#SBATCH --partition={partition}"] if partition else []),
        *([f"#SBATCH --account={account}"] if account else []),
        "set -eu",
        *(f"export {name}={value}" for name, value in ONE_THREAD.items()),
        f"run={folder}",
        'scheduler="$PWD/scheduler-$SLURM_JOB_ID.json"',
        'dask scheduler --scheduler-file "$scheduler" --no-dashboard --port 0 &',
        'while [ ! -s "$scheduler" ]; do sleep 1; done',
        f'srun --ntasks={workers} --overlap dask worker --scheduler-file "$scheduler" '
        "--nthreads 1 --no-dashboard --memory-limit 0 --death-timeout 60 &",
        'if [ -e "$run/manifest.json" ]; then',
        '    symreg resume "$run" --dask-scheduler-file "$scheduler" &',
        "else",
        f"    symreg run {shlex.quote(str(run_file.absolute()))} "
        '--dask-scheduler-file "$scheduler" &',
        "fi",
        "search=$!",
        "trap 'kill -TERM $search' TERM",
        # The first wait ends with the signal, the second with the search.
        "wait $search || wait $search || status=$?",
        'rm -f "$scheduler"',
        "kill %1 %2 2>/dev/null || true",
        "exit ${status:-0}",
    ]
    return "\n".join(lines) + "\n"
