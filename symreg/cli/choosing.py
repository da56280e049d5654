"""Which formula of a run a command is about: the same two options everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from symreg.runs import Member, Run

MemberOption = Annotated[
    int | None, typer.Option(metavar="N", help="The formula with this number in the front.")
]
ComplexityOption = Annotated[
    int | None, typer.Option(metavar="N", help="The best formula up to this complexity.")
]


def chosen(run: Run, member: int | None, complexity: int | None) -> Member:
    """The member of a number, the best up to a complexity, or else the recommended one."""
    if member is not None and complexity is not None:
        raise ValueError("--member and --complexity exclude each other; give one of them")
    return run.best(complexity) if member is None else run.member(member)
