"""Try inputs one after another, each in a folder of its own; a line of JSON for each outcome."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import sys
import traceback
import warnings
from pathlib import Path

MEMORY = 6 << 30
"""Bytes of address space that a try may take."""


def outcome_of(kind: str, number: int, root: Path) -> tuple[str, str]:
    """Outcome of one input, and what went wrong in words."""
    from kinds import KINDS, WrongEndError

    inside = root / "inside"
    inside.mkdir()
    os.chdir(inside)
    before = set(root.iterdir())
    try:
        data = KINDS[kind].spoil(random.Random(f"{kind} {number}"), inside)
        before |= {root / "finished"}
        said, why = KINDS[kind].use(data), ""
    except WrongEndError as failure:
        said, why = "failure", str(failure)
    except BaseException as error:
        places = traceback.extract_tb(error.__traceback__)
        at = f"{Path(places[-1].filename).name}:{places[-1].lineno}"
        said, why = "traceback", f"{type(error).__name__}: {error} ({at})"[:300]
    os.chdir(root)
    shutil.rmtree(inside)
    if outside := set(root.iterdir()) - before:
        return "outside", f"wrote {sorted(path.name for path in outside)}"
    return said, why


def main() -> None:
    """Try each ``kind number`` of the standard input in the folder that is named."""
    root = Path(sys.argv[1]).resolve()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for line in sys.stdin:
        kind, _, number = line.rpartition(" ")
        print(json.dumps(outcome_of(kind, int(number), root)), file=answers, flush=True)


if __name__ == "__main__":
    main()
