"""The ``symreg`` command: parse, call one function, print where the results are."""

from symreg.cli.commands import main

__all__ = ["main"]
