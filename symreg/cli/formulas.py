"""The command that takes a formula, which may begin with a minus sign."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperCommand

_NEGATIVE = re.compile(r"-\s*[\d.(]|-[^-].*[*/^(]")
"""A minus sign and what no option has: a number or a bracket at once, or an operator later."""


class FormulaCommand(TyperCommand):
    """Its arguments may be formulas such as ``-1.0*x^-6``, which are no options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line; a blank before a formula keeps it from being an option."""
        end = args.index("--") if "--" in args else len(args)
        known = [f" {word}" if _NEGATIVE.match(word) else word for word in args[:end]]
        return super().parse_args(ctx, known + args[end:])
