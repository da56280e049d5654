"""An exhaustive search: all forms in chunks, here or on workers, that can stop and go on.

A chunk is three numbers. Whoever has the forms and the data can examine it, and what comes of it
depends on nothing else; so neither the number of workers nor an interruption changes the front.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from symreg.constants import Fitter
from symreg.enumeration.examine import Examined, Examiner, ExamineSettings, best_of
from symreg.enumeration.forms import Forms
from symreg.files import write_arrays
from symreg.gate import Gate
from symreg.individuals import Individual, Key, from_arrays, to_arrays
from symreg.projection import Design

Arrays = Mapping[str, NDArray[Any]]

CHUNK = 4000
"""Places of forms in a chunk: less than a second of work and some megabytes."""
_AHEAD = 4
"""Chunks that wait for each worker, so that none is idle."""


class Chunk(NamedTuple):
    """Some forms of one complexity; arguments of ``Examiner.examine``."""

    complexity: int
    start: int
    stop: int


@dataclass(frozen=True)
class Progress:
    """All that a search needs to go on."""

    chunks: int = 0
    """Chunks done, in order."""
    examined: int = 0
    """Forms in them."""
    best: tuple[Individual, ...] = ()
    """The best of each complexity, simplest first; as fitted, not yet polished."""

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Plain arrays, which ``from_arrays`` reads back to equal progress."""
        done = np.array([self.chunks, self.examined], dtype=np.int64)
        return {"done": done, **to_arrays(self.best)}

    @staticmethod
    def from_arrays(arrays: Arrays) -> Progress:
        """Undo ``to_arrays``."""
        chunks, examined = map(int, arrays["done"])
        return Progress(chunks, examined, tuple(from_arrays(arrays)))


def plan(forms: Forms, size: int = CHUNK) -> list[Chunk]:
    """All forms in chunks, simplest first."""
    return [
        Chunk(complexity, start, min(start + size, places))
        for complexity, places in forms.sizes.items()
        for start in range(0, places, size)
    ]


class Exhaustive:
    """A search through all forms.

    Parameters
    ----------
    forms
        What there is to fit; its keys are those of the design.
    fitter
        Fits candidates to the data.
    settings
        How well.
    gate
        Tests whether individuals are physical.
    executor
        Examines chunks elsewhere, ``workers`` at a time; made by ``processes``. None examines them
        here, one after another.
    """

    def __init__(
        self,
        forms: Forms,
        fitter: Fitter,
        settings: ExamineSettings | None = None,
        gate: Gate | None = None,
        executor: Executor | None = None,
        workers: int = 1,
    ) -> None:
        self.here = Examiner(forms, fitter, settings, gate)
        self.executor, self.workers = executor, workers
        self.chunks = plan(forms)

    @property
    def total(self) -> int:
        """Forms that there are."""
        return sum(self.here.forms.counts.values())

    def search(self, progress: Progress | None = None) -> Iterator[Progress]:
        """Yield the progress after every chunk, until all are done."""
        progress = progress or Progress()
        for examined in self._examined(progress):
            complexity = self.chunks[progress.chunks].complexity
            own = [i for i in progress.best if i.complexity == complexity]
            others = [i for i in progress.best if i.complexity != complexity]
            own = best_of([*own, *examined.best], self.here.settings.kept)
            done, count = progress.chunks + 1, progress.examined + examined.count
            progress = Progress(done, count, (*others, *own))
            self._best = progress.best
            yield progress

    def front(self, progress: Progress) -> list[Individual]:
        """The front of all forms examined so far, constants polished, simplest first."""
        return self.here.front(progress.best)

    def _examined(self, progress: Progress) -> Iterator[Examined]:
        """What came of all chunks that are left, in order."""
        self._best = progress.best
        left = self.chunks[progress.chunks :]
        if self.executor is None:
            for chunk in left:
                yield self.here.examine(*chunk, self._bar(chunk))
            return
        waiting: deque[Future[tuple[int, Arrays]]] = deque()
        for chunk in left:
            waiting.append(self.executor.submit(_work, chunk, self._bar(chunk)))
            if len(waiting) >= _AHEAD * self.workers:
                yield _received(waiting.popleft())
        while waiting:
            yield _received(waiting.popleft())

    def _bar(self, chunk: Chunk) -> float:
        """Error above which nothing in a chunk can be kept, by what is known so far."""
        errors = [i.error for i in self._best if i.complexity == chunk.complexity]
        return max(errors) if len(errors) >= self.here.settings.kept else np.inf


def _received(future: Future[tuple[int, Arrays]]) -> Examined:
    count, arrays = future.result()
    return Examined(count, from_arrays(arrays))


_examiner: Examiner | None = None


def _prepare(design: str, forms: str, settings: ExamineSettings) -> None:
    """Set up a worker: data and forms come from files, Ctrl-C is for the parent alone."""
    import signal

    global _examiner
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    loaded = Design.load(Path(design))
    _examiner = Examiner(load_forms(Path(forms), loaded.keys), Fitter(loaded), settings)


def _work(chunk: Chunk, bar: float) -> tuple[int, Arrays]:
    assert _examiner is not None
    found = _examiner.examine(*chunk, bar)
    return found.count, to_arrays(found.best)


def save_forms(path: Path, forms: Forms) -> None:
    """Write forms to an npz file, all of it or nothing."""
    write_arrays(path, forms.to_arrays())


def load_forms(path: Path, keys: Sequence[Key]) -> Forms:
    """Read what ``save_forms`` wrote; the keys are those of the listing."""
    with np.load(path, allow_pickle=False) as arrays:
        return Forms.from_arrays(keys, dict(arrays))


@contextmanager
def processes(
    workers: int, design: Path, forms: Path, settings: ExamineSettings
) -> Iterator[Executor]:
    """Worker processes, each with one thread, that read design and forms from files."""
    from loky import ProcessPoolExecutor

    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    given = (str(design), str(forms), settings)
    pool = ProcessPoolExecutor(workers, initializer=_prepare, initargs=given, env=one_thread)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, kill_workers=True)
