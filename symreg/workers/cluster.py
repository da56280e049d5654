"""Clusters: the workers of dask, on this machine, behind a scheduler, or as jobs of SLURM.

Needs the extra ``dask``. Workers read the data from the run folder, so all of them must see it;
what travels are populations as flat arrays.
"""

from __future__ import annotations

import asyncio
import shlex
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from symreg import files
from symreg.files import counted
from symreg.versions import install
from symreg.workers.executors import LOST, ONE_THREAD, Engine, Preload

ANSWER = 25.0
"""Seconds in which a scheduler must answer."""
JOB_MEMORY = "2GB"
"""Of a worker that is a job of SLURM, unless the configuration of dask-jobqueue says otherwise."""
ARRIVAL = 600.0
"""Seconds in which a first worker must arrive."""


def local(workers: int) -> Engine:
    """Workers of dask on this machine, a process each."""
    _check_workers("--dask-local", workers)

    def cluster() -> Any:
        from distributed import LocalCluster

        one = {"threads_per_worker": 1, "processes": True, "memory_limit": 0, "env": ONE_THREAD}
        return LocalCluster(n_workers=workers, dashboard_address=None, **one)

    return _engine(f"dask, {counted(workers, 'local worker')}", cluster)


def slurm(workers: int) -> Engine:
    """Workers of dask as jobs of SLURM, submitted by dask-jobqueue as its configuration says."""
    _check_workers("--dask-slurm", workers)

    def cluster() -> Any:
        import dask
        from dask_jobqueue.slurm import SLURMCluster

        made = SLURMCluster(
            cores=1,
            processes=1,
            scheduler_options={"dashboard": False, "dashboard_address": ":0"},
            memory=dask.config.get("jobqueue.slurm.memory", None) or JOB_MEMORY,
            job_script_prologue=[f"export {name}={value}" for name, value in ONE_THREAD.items()],
        )
        made.scale(jobs=workers)
        return made

    return _engine(f"dask, {workers} jobs of SLURM", cluster)


def _check_workers(option: str, workers: int) -> None:
    if workers < 1:
        raise ValueError(f"{option} is {workers}; it must be at least 1")


def scheduler(file: Path) -> Engine:
    """The workers of a scheduler that ``dask scheduler --scheduler-file`` started."""
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
        raise ValueError(f"dask is not installed: {install('dask')}") from None
    return Engine(
        name,
        lambda preload: _connected(cluster, file, preload),
        lost=(*LOST, CommClosedError),
        replaced=(KilledWorker,),
    )


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
        "distributed.worker.profile.enabled": False,  # it looks at the workers all the time
    }
    with dask.config.set(quiet):
        if file is not None:
            _ask(file)
        made = cluster()
        try:
            with Client(made, scheduler_file=file, set_as_default=False) as client:
                yield _executor(client, _plugin(preload, ours=made is not None))
        finally:
            if made is not None:
                made.close()


def _ask(file: Path) -> None:
    """Have a scheduler say who it is: a client would wait for its answer for ever."""
    from distributed.core import rpc

    try:
        address = files.read_json(file)["address"]
    except (OSError, KeyError, TypeError):
        raise OSError(
            f"{file} is no file of a scheduler, which `dask scheduler --scheduler-file` writes"
        ) from None

    async def answer() -> None:
        async with asyncio.timeout(ANSWER), rpc(address) as there:
            await there.identity()

    try:
        with ThreadPoolExecutor(1) as thread:  # in a notebook this one has a loop already
            thread.submit(asyncio.run, answer()).result()
    except Exception:  # whatever else may be at that address answers as it likes
        raise OSError(
            f"the scheduler of {file} does not answer within {ANSWER:g} s; start it again with "
            f"`dask scheduler --scheduler-file {file}`, and go on with `symreg resume`"
        ) from None


def _executor(client: Any, plugin: Any) -> Executor:
    """The executor of a client, once a worker is there and has done what a plugin says."""
    try:
        client.wait_for_workers(1, timeout=ARRIVAL)
    except TimeoutError:
        raise OSError(
            f"no worker came to {client.scheduler.address} in {ARRIVAL:g} s; start some with "
            "`dask worker --nthreads 1 --scheduler-file FILE`"
        ) from None
    client.register_plugin(plugin)
    executor: Executor = client.get_executor(pure=False)
    return executor


def _plugin(preload: Preload, ours: bool) -> Any:
    """Has every worker, also one that comes later, read the data before its first task."""
    from distributed import WorkerPlugin

    class Preparation(WorkerPlugin):
        name = "symreg"

        def setup(self, worker: Any) -> None:
            if ours:  # Ctrl-C in the terminal is for the search alone
                with suppress(ValueError):
                    signal.signal(signal.SIGINT, signal.SIG_IGN)
            worker.executors["default"].submit(preload).result()

    return Preparation()


_JOB = """\
#!/bin/bash
#SBATCH --job-name={name}
#SBATCH --ntasks={tasks}
#SBATCH --cpus-per-task=1
#SBATCH --time={time}
#SBATCH --signal=B:TERM@300
{settings}
run={run_folder}
scheduler="$PWD/scheduler-$SLURM_JOB_ID.json"
dask scheduler --scheduler-file "$scheduler" --no-dashboard --port 0 &
while [ ! -s "$scheduler" ]; do sleep 1; done
srun --ntasks={workers} --overlap dask worker --scheduler-file "$scheduler" --nthreads 1 \
--no-dashboard --memory-limit 0 --death-timeout 60 &
if [ -e "$run/manifest.json" ]; then
    symreg resume "$run" --dask-scheduler-file "$scheduler" &
else
    symreg run {run_file} --dask-scheduler-file "$scheduler" &
fi
search=$!
trap 'kill -TERM $search' TERM
wait $search || wait $search || status=$?
rm -f "$scheduler"
kill %1 %2 2>/dev/null || true
exit ${{status:-0}}
"""
"""A job of SLURM; its first wait ends with the signal, the second with the search."""


def slurm_script(
    run_file: Path,
    run_folder: Path,
    workers: int,
    most: int | None = None,
    hours: float = 4.0,
    partition: str = "",
    account: str = "",
) -> str:
    """Text of a job of SLURM that searches with as many workers as tasks, within one allocation.

    Five minutes before its end SLURM tells the search to stop; submitted again, the job goes on.
    A ``ValueError`` if there is no time, or there are no workers or more than ``most`` islands.
    """
    if not hours > 0:
        raise ValueError(f"--hours is {hours:g}; it must be above 0")
    _check_workers("--workers", workers)
    if most is not None and workers > most:
        raise ValueError(
            f"--workers is {workers}, but [search] islands is {most}: each "
            "island is computed by one worker; have at least as many islands as workers"
        )
    minutes = max(round(60 * hours), 10)
    place = {"partition": partition, "account": account}
    chosen = [f"#SBATCH --{name}={value}" for name, value in place.items() if value]
    exports = [f"export {name}={value}" for name, value in ONE_THREAD.items()]
    return _JOB.format(
        name=shlex.quote("symreg-" + run_file.stem),
        tasks=workers + 1,
        workers=workers,
        time=f"{minutes // 60:02d}:{minutes % 60:02d}:00",
        settings="\n".join([*chosen, "set -eu", *exports]),
        run_folder=shlex.quote(str(run_folder.absolute())),
        run_file=shlex.quote(str(run_file.absolute())),
    )
