"""Executors for pure tasks: processes that are watched, and what to do when one is lost.

A pure task gives the same result wherever and however often it is run; so a worker that was killed,
crashed or hangs costs the time of its task, and nothing else.
"""

from __future__ import annotations

import fcntl
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MOST_LOSSES = 3
"""Times that a task is begun before it counts as one that its worker does not survive."""
BEAT = 1.0
"""Seconds between two signs of life of a worker process."""
PATIENCE = 60
"""Beats that a worker process may miss before it is killed."""
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)
"""Environment of a worker: one thread, for sums depend on the number of threads."""
Preload = Callable[[], object]
"""Calls that workers may make before their first task, so that it need not wait."""
Work = Callable[..., Any]
Task = tuple[Any, ...]
"""Arguments of a call."""
LOST = (BrokenExecutor, CancelledError)


@dataclass(frozen=True)
class Engine:
    """Where tasks are run."""

    name: str
    """As in ``2 processes``."""
    start: Callable[[Preload], AbstractContextManager[Executor]]
    """Starts the workers, and stops them at the end."""
    lost: tuple[type[BaseException], ...] = LOST
    """Error of a task whose worker was lost, and with it the executor."""
    replaced: tuple[type[BaseException], ...] = ()
    """Error of a task whose worker was lost, where the executor replaces it."""


def given(executor: Executor) -> Engine:
    """Any executor, which whoever made it will stop."""
    return Engine(type(executor).__name__, lambda _: nullcontext(executor))


def processes(workers: int) -> Engine:
    """Worker processes on this machine, one thread each."""
    return Engine(f"{workers} processes", lambda _: _processes(workers))


class Crew:
    """Runs pure tasks on an engine; starts it anew, and tells so, whenever a worker was lost."""

    def __init__(
        self, engine: Engine, tell: Callable[[str], object] = str, preload: Preload = tuple
    ) -> None:
        self.engine, self.tell, self.preload = engine, tell, preload
        self._stack = ExitStack()
        self._executor: Executor | None = None

    def __enter__(self) -> Crew:
        return self  # the first task starts the workers

    def __exit__(self, *error: object) -> None:
        self._stop()

    def run(self, work: Work, tasks: Sequence[Task], attempts: int = MOST_LOSSES) -> list[Any]:
        """Results in the order of the tasks; None for a task that no worker survives.

        Lost ones are run again, at last each by itself: then it is known whose fault it was.
        """
        results: dict[int, Any] = {}
        for _ in range(attempts - 1):
            left = [k for k in range(len(tasks)) if k not in results]
            if self._attempt(work, tasks, left, results):
                break
        for k in range(len(tasks)):
            if k not in results:
                self._attempt(work, tasks, [k], results)
        return [results.get(k) for k in range(len(tasks))]

    def _attempt(
        self, work: Work, tasks: Sequence[Task], left: Sequence[int], results: dict[int, Any]
    ) -> bool:
        """Run some of the tasks; whether no worker was lost."""
        if self._executor is None:
            self._executor = self._stack.enter_context(self.engine.start(self.preload))
        broken, futures = False, {}
        for k in left:
            try:
                futures[k] = self._executor.submit(work, *tasks[k])
            except self.engine.lost:
                broken = True
        for k, future in futures.items():
            try:
                results[k] = future.result()
            except self.engine.replaced:
                continue
            except self.engine.lost:
                broken = True
        if broken:
            self._stop()
        whole = all(k in results for k in left)
        if not whole:
            self.tell("a worker was lost; what it was computing is computed again")
        return whole

    def _stop(self) -> None:
        self._executor = None
        self._stack.close()


@contextmanager
def _processes(workers: int) -> Iterator[Executor]:
    from loky import ProcessPoolExecutor

    with tempfile.TemporaryDirectory(prefix="symreg-") as folder:
        pool = ProcessPoolExecutor(
            workers, initializer=_begin, initargs=(folder, os.getpid()), env=ONE_THREAD
        )
        over = threading.Event()
        watch = threading.Thread(target=_watch, args=(Path(folder), over), daemon=True)
        watch.start()
        try:
            yield pool
        finally:
            over.set()
            pool.shutdown(wait=True, kill_workers=True)
            watch.join()


def _begin(folder: str, parent: int) -> None:
    """Set up a worker process: signals are for the parent alone, and signs of life are given."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_beat, args=(Path(folder), parent), daemon=True).start()


def _beat(folder: Path, parent: int) -> None:
    """Count seconds into a file that stays locked; end with the parent, however that ended."""
    path = folder / str(os.getpid())
    with path.open("w", encoding="ascii") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        for count in range(10**9):
            if os.getppid() != parent:
                os._exit(1)
            with suppress(OSError):  # a full disk
                os.pwrite(stream.fileno(), str(count).encode("ascii"), 0)
            time.sleep(BEAT)


def _watch(folder: Path, over: threading.Event) -> None:
    """Kill worker processes without beats; seconds would tell nothing after a suspension."""
    last: dict[Path, str] = {}
    missed: dict[Path, int] = {}
    while not over.wait(BEAT):
        for path in folder.glob("[0-9]*"):
            with suppress(OSError):
                count = path.read_text(encoding="ascii")
                missed[path] = missed.get(path, 0) + 1 if count == last.get(path) else 0
                last[path] = count
                if missed[path] >= PATIENCE:
                    missed[path] = 0
                    _kill(path)


def _kill(path: Path) -> None:
    """Kill the process of a file, unless it has ended and its number may be another's now."""
    with path.open("r", encoding="ascii") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.kill(int(path.name), signal.SIGKILL)
        else:
            path.unlink(missing_ok=True)
