"""Commands that are about one run, and what they say of a word too many."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand


class OneRunCommand(TyperCommand):
    """Takes one run; a second word ends in a line with the option that may have been meant."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Let words too many reach ``invoke``, which has more to say of them."""
        super().__init__(*args, **options)
        self.allow_extra_args = True

    def invoke(self, ctx: Any) -> Any:
        """Run the command; a ValueError if there are words too many."""
        if not ctx.args:
            return super().invoke(ctx)
        first, name = ctx.args[0], ctx.info_name
        run = next(ctx.params[p.name] for p in self.params if p.param_type_name == "argument")
        what = "run file" if str(run).endswith(".toml") else "run folder"
        raise ValueError(f"{name} takes one {what}, and '{first}' is more{self._meant(run, first)}")

    def _meant(self, run: object, word: str) -> str:
        """Ask for the option whose value the word may be."""
        known = {option for p in self.params for option in p.opts}
        for option in ("--member", "--epochs") if word.isdecimal() else ("--to",):
            if option in known:
                return f"; did you mean `symreg {self.name} {run} {option} {word}`?"
        return ""
