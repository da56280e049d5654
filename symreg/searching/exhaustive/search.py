"""An exhaustive search: all forms in chunks, here or on workers, that can stop and go on.

A chunk is three numbers. Whoever has the forms and the data can examine it, and what comes of it
depends on nothing else; so neither the number of workers nor an interruption changes the front.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from symreg.files import write_arrays
from symreg.searching.exhaustive.examine import Examined, Examiner, ExamineSettings, best_of
from symreg.searching.exhaustive.forms import Forms
from symreg.searching.individuals import Arrays, Individual, from_arrays, to_arrays
from symreg.searching.selection import front
from symreg.searching.tasks import AnyCrew, Source, WorkersLostError, kept
from symreg.terms import Key

CHUNK = 1000
"""Places of forms in a chunk: a tenth of a second of work, more with triplets."""
ROUND = 64
"""Chunks that are examined before the next checkpoint."""


class Chunk(NamedTuple):
    """Some forms of one complexity; arguments of ``Examiner.examine``."""

    complexity: int
    start: int
    stop: int


@dataclass(frozen=True)
class Tally:
    """All that a search needs to go on."""

    chunks: int = 0
    """Chunks done, in order."""
    examined: int = 0
    """Forms in them."""
    best: tuple[Individual, ...] = ()
    """The best of each complexity, simplest first; as fitted, not yet polished."""
    of: int = 0
    """Tells the list of forms, and how they are fitted, from others."""

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Plain arrays, which ``from_arrays`` reads back to equal progress."""
        done = np.array([self.chunks, self.examined, self.of], dtype=np.int64)
        return {"done": done, **to_arrays(self.best)}

    @staticmethod
    def from_arrays(arrays: Arrays) -> Tally:
        """Undo ``to_arrays``."""
        chunks, examined, of = map(int, arrays["done"])
        return Tally(chunks, examined, tuple(from_arrays(arrays)), of)


def plan(forms: Forms, size: int) -> list[Chunk]:
    """All forms in chunks, simplest first."""
    return [
        Chunk(complexity, start, min(start + size, places))
        for complexity, places in forms.sizes.items()
        for start in range(0, places, size)
    ]


@dataclass(frozen=True)
class Files:
    """All that a worker needs to examine forms: the data and the forms are read from files."""

    source: Source
    forms: str
    """Path of the file that ``save_forms`` wrote."""
    keys: tuple[Key, ...]
    settings: ExamineSettings

    def examiner(self) -> Examiner:
        """Read them."""
        fitter, _ = self.source.load()
        return Examiner(load_forms(Path(self.forms), self.keys), fitter, self.settings)


@dataclass
class Exhaustive:
    """A search through all forms that an examiner has.

    With a crew chunks are examined elsewhere, on data and forms from files, else one after another.
    """

    here: Examiner
    crew: AnyCrew | None = None
    source: Source | None = None
    file: str = ""

    @cached_property
    def chunks(self) -> list[Chunk]:
        """All that there is to do."""
        return plan(self.here.forms, CHUNK)

    @cached_property
    def identity(self) -> int:
        """A number that changes with the forms, their chunks and how they are fitted."""
        found = hashlib.sha256(repr((self.here.settings, self.chunks)).encode())
        for name, array in sorted(self.here.forms.to_arrays().items()):
            found.update(name.encode() + np.ascontiguousarray(array).tobytes())
        return int.from_bytes(found.digest()[:7], "big")

    def search(self, progress: Tally | None = None) -> Iterator[Tally]:
        """Yield the progress after every ``ROUND`` of chunks, until all are done.

        Raises
        ------
        WorkersLostError, ValueError
            If no worker survives some chunk; if the progress is that through another list of forms.
        """
        progress = progress or Tally(of=self.identity)
        if progress.of != self.identity:
            raise ValueError(
                "the list of forms, or how they are fitted, is not what it was when the search "
                "began; go on with the version of symreg that began it, or begin another run"
            )
        while left := self.chunks[progress.chunks : progress.chunks + ROUND]:
            bars = [self._bar(chunk, progress.best) for chunk in left]
            best, count = list(progress.best), progress.examined
            for chunk, found in zip(left, self._examined(left, bars), strict=True):
                own = [i for i in best if i.complexity == chunk.complexity]
                others = [i for i in best if i.complexity != chunk.complexity]
                best = [*others, *best_of([*own, *found.best], self.here.settings.kept)]
                count += found.count
            done = progress.chunks + len(left)
            progress = replace(progress, chunks=done, examined=count, best=tuple(best))
            yield progress

    def front(self, progress: Tally) -> list[Individual]:
        """The front of all forms examined so far, constants polished, simplest first."""
        return front(self.here.polished(progress.best))

    def _examined(self, chunks: Sequence[Chunk], bars: Sequence[float]) -> list[Examined]:
        if self.crew is None:
            pairs = zip(chunks, bars, strict=True)
            return [self.here.examine(*chunk, bar) for chunk, bar in pairs]
        assert self.source is not None
        files = Files(self.source, self.file, self.here.forms.keys, self.here.settings)
        tasks = [(files, *task) for task in zip(chunks, bars, strict=True)]
        results = self.crew.run(work, tasks)
        for chunk, result in zip(chunks, results, strict=True):
            if result is None:
                raise WorkersLostError(
                    f"no worker survives the forms {chunk.start} to {chunk.stop} of complexity "
                    f"{chunk.complexity}, perhaps for want of memory"
                )
        return [Examined(count, from_arrays(arrays)) for count, arrays in results]

    def _bar(self, chunk: Chunk, best: Sequence[Individual]) -> float:
        """Error above which nothing in a chunk can be kept, by what is known so far."""
        errors = [i.error for i in best if i.complexity == chunk.complexity]
        return max(errors) if len(errors) >= self.here.settings.kept else np.inf


def work(files: Files, chunk: Chunk, bar: float) -> tuple[int, Arrays]:
    """Examine a chunk in a worker, on one thread: sums depend on the number of threads."""
    threadpool_limits(1)  # for good: other tasks of this process would have more again
    found = kept(Files.examiner, files).examine(*chunk, bar)
    return found.count, to_arrays(found.best)


_FORMAT = 2


def save_forms(path: Path, forms: Forms) -> None:
    """Write forms to an npz file, all of it or nothing."""
    write_arrays(path, {**forms.to_arrays(), "format": np.array(_FORMAT)})


def load_forms(path: Path, keys: Sequence[Key]) -> Forms:
    """Read what ``save_forms`` wrote, maybe a damaged file; the keys are those of the listing."""
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    found = int(arrays.pop("format", 1))
    if found != _FORMAT:
        raise ValueError(f"{path} has format {found}, not {_FORMAT}")
    return Forms.from_arrays(keys, arrays)
