"""The process that SymPy runs in: formulas come in as lines of JSON, rewritten ones go out."""

from __future__ import annotations

import json
import sys
from contextlib import suppress

from symreg.formula.simplify.rewriting import rewrite
from symreg.language import number_text, parse


def main() -> None:
    """Answer each line of standard input with one line per rewritten form, then ``null``."""
    _send([])  # imports are done
    for line in sys.stdin:
        form = [(float(weight), parse(text)) for weight, text in json.loads(line)]
        with suppress(Exception):  # SymPy fails in many ways; the caller keeps what came so far
            for other in rewrite(form):
                _send([[number_text(weight), tree.text()] for weight, tree in other])
        _send(None)


def _send(answer: list[list[str]] | None) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
