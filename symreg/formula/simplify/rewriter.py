"""SymPy at arm's length: in a process of its own that is ended when it takes too long."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from subprocess import DEVNULL, PIPE, Popen
from threading import Thread

from symreg.language import Tree, parse

COMMAND = (sys.executable, "-m", "symreg.formula.simplify.worker")
START_LIMIT = 60.0  # seconds that the process may take to start


class Rewriter:
    """Finds other ways to write a formula, within a time limit for each.

    One process serves many formulas. It is started when first needed, and ended with the ``with``
    block or when it exceeds the limit; what it found until then is kept.

    Examples
    --------
    >>> from symreg.language import parse
    >>> with Rewriter() as rewriter:
    ...     forms = rewriter.forms([(1.0, parse("(x^-6 - 0.5)*x^-6"))])
    >>> [(1.0, parse("x^-12")), (-0.5, parse("x^-6"))] in [sorted(f, reverse=True) for f in forms]
    True
    """

    def __init__(self, time_limit: float = 5.0, command: Sequence[str] = COMMAND) -> None:
        """Take the limit for one formula in seconds."""
        if not time_limit > 0:
            raise ValueError(f"the time limit is {time_limit:g} s; it must be greater than 0")
        self.time_limit = time_limit
        self.command = tuple(command)
        self._process: Popen[str] | None = None
        self._lines: Queue[str | None] = Queue()

    def __enter__(self) -> Rewriter:
        """Do nothing yet: the process starts with the first formula."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self.close()

    def close(self) -> None:
        """End the process if one is running."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for stream in filter(None, (self._process.stdin, self._process.stdout)):
            with suppress(OSError):  # what was not yet sent is lost
                stream.close()
        self._process = None

    def forms(self, form: Sequence[tuple[float, Tree]]) -> list[list[tuple[float, Tree]]]:
        """Other forms of a weighted sum of trees; none if the process fails or is too slow."""
        request = json.dumps([[weight, tree.text()] for weight, tree in form])
        found: list[list[tuple[float, Tree]]] = []
        try:
            process = self._started()
            assert process.stdin is not None
            process.stdin.write(request + "\n")
            process.stdin.flush()
            end = time.monotonic() + self.time_limit
            while (answer := self._answer(end)) is not None:
                found.append([(float(weight), parse(text)) for weight, text in answer])
        except (OSError, ValueError, TimeoutError):
            self.close()
        return found

    def _started(self) -> Popen[str]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
        self._process = Popen(
            self.command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            encoding="utf-8",
            env=environment,
            start_new_session=True,  # Ctrl-C is for this process alone, which ends that one
        )
        self._lines = Queue()
        Thread(target=_read, args=(self._process, self._lines), daemon=True).start()
        self._answer(time.monotonic() + START_LIMIT)
        return self._process

    def _answer(self, end: float) -> list[list[str]] | None:
        """One line of the process, as data; ``TimeoutError`` after ``end``."""
        try:
            line = self._lines.get(timeout=max(end - time.monotonic(), 0.0))
        except Empty as error:
            raise TimeoutError from error
        if line is None:
            raise OSError("the process has ended")
        answer: list[list[str]] | None = json.loads(line)
        return answer


def _read(process: Popen[str], lines: Queue[str | None]) -> None:
    # Reading in a thread is the one way to wait with a limit on every operating system.
    assert process.stdout is not None
    with suppress(ValueError):  # closed by `close`
        for line in process.stdout:
            lines.put(line)
    lines.put(None)
