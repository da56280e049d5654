"""Hand spoiled inputs to symreg, and count what comes of it.

    python tests/fuzzing/fuzz.py [--inputs 1000] [--first 0] [--kinds NAME ...] [--seconds 30]

Each kind of ``kinds.py`` gets that many inputs. An input ends well when symreg answers, or refuses
it in words; it ends badly as a traceback, a hang (more than --seconds), a crash of the process, an
energy that is no number, or a file outside the folder. An input is a function of its kind and
number alone: one that ends badly is tried again with --kinds NAME --first NUMBER --inputs 1.

Comes out: a table of outcomes, and each bad one; the exit code says whether there are any.
"""

from __future__ import annotations

import argparse
import json
import select
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, product
from pathlib import Path

GOOD = ("answer", "refused")
BAD = ("traceback", "failure", "hang", "crash", "outside")
START = 300.0
"""Seconds that the first try of a process may take more, for imports and compilation."""


@dataclass(frozen=True)
class Outcome:
    """How one input ended."""

    kind: str
    number: int
    said: str
    """One of ``GOOD`` or ``BAD``."""
    why: str


class Child:
    """A process that tries inputs; a new one where the last hung or died."""

    def __init__(self, folder: Path) -> None:
        self.first = True
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("child.py")), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, kind: str, number: int, seconds: float) -> tuple[str, str]:
        """Have one input tried."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{kind} {number}\n")
        self.process.stdin.flush()
        patience, self.first = seconds + START * self.first, False
        if not select.select([self.process.stdout], [], [], patience)[0]:
            return "hang", f"no answer after {seconds:g} s"
        line = self.process.stdout.readline()
        if not line:
            return "crash", f"the process ended with {self.process.wait()}"
        said, why = json.loads(line)
        return said, why

    def end(self) -> None:
        """Stop the process."""
        self.process.kill()
        self.process.communicate()


def outcomes(inputs: Iterable[tuple[str, int]], seconds: float) -> Iterator[Outcome]:
    """Try inputs, kinds and numbers, one after another."""
    child = None
    for kind, number in inputs:
        if child is None:
            folder = tempfile.TemporaryDirectory(prefix="fuzz-", ignore_cleanup_errors=True)
            child = Child(Path(folder.name))
        said, why = child.ask(kind, number, seconds)
        yield Outcome(kind, number, said, why)
        if said in ("hang", "crash"):
            child.end()
            child = None
            folder.cleanup()
    if child is not None:
        child.end()
        folder.cleanup()


def main() -> int:
    """Run the whole."""
    options = parsed()
    bad = 0
    print(f"| input | tried | {' | '.join((*GOOD, *BAD))} |\n|{'---|' * 9}")
    numbers = range(options.first, options.first + options.inputs)
    tried = outcomes(product(options.kinds, numbers), options.seconds)
    for kind, of_kind in groupby(tried, key=lambda outcome: outcome.kind):
        found = list(of_kind)
        counts = Counter(outcome.said for outcome in found)
        cells = [str(counts[said]) for said in (*GOOD, *BAD)]
        print(f"| {kind} | {len(found)} | {' | '.join(cells)} |", flush=True)
        for outcome in found:
            if outcome.said in BAD:
                bad += 1
                print(f"  {kind} {outcome.number}: {outcome.said}: {outcome.why}", flush=True)
    return int(bad > 0)


def parsed() -> argparse.Namespace:
    """Options of the command line."""
    from kinds import KINDS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=1000, help="of each kind")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--seconds", type=float, default=30.0, help="that an input may take")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
