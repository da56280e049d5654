"""The first run file of a folder, with what is proposed for its data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from symreg.config import LossSettings, template, term_proposals
from symreg.files import write_text
from symreg.structures import (
    DataSettings,
    data_in,
    loss_proposals,
    proposals,
    survey_structures,
)
from symreg.structures.targets import proposed_targets

_FOR = {"train": "", "validation": " for validation", "test": " for the test"}
"""Words for the files of each use."""


def begin(folder: Path) -> Iterator[str]:
    """Write ``run.toml`` for the structures in a folder; yield what to tell the user.

    Raises
    ------
    FileExistsError, FileNotFoundError
        If there is a run file already, or no such folder.
    """
    path = folder / "run.toml"
    if path.exists():
        raise FileExistsError(f"{path} exists; it was left as it is")
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder")
    found = data_in(folder)
    lines, proposed, species = list[str](), dict[str, tuple[float, str]](), tuple[str, ...]()
    targets = list[dict[str, Any]]()
    if found["train"]:
        try:
            train, validation, test = (tuple(found[use]) for use in _FOR)
            settings = DataSettings(train=train, validation=validation, test=test)
            facts, report = survey_structures(settings, folder)
            species = tuple(report.species)
            targets = proposed_targets(facts)
            usual = LossSettings().sigma_forces
            every = (*proposals(facts), *loss_proposals(facts, usual))
            proposed = {name: (value, why) for name, value, why in every}
        except (ValueError, OSError) as error:
            lines.append(f"no run can begin yet: {error}")
    write_text(path, template(found, proposed, species, targets))
    shown = "; ".join(f"{', '.join(found[use])}{_FOR[use]}" for use in _FOR if found[use])
    named = f"with {shown}" if shown else "; no data files found, so name them in it"
    yield f"wrote {path} {named}".replace(" ;", ";")
    yield f"then: symreg run {path}"
    yield from lines
    yield from (f"proposed {name} = {value:g}: {why}" for name, (value, why) in proposed.items())
    if targets:
        names = ", ".join(one["name"] for one in targets)
        yield f"proposed targets, commented out: {names}"
    for name, (text, why) in term_proposals(species).items():
        yield f"proposed {name} = {text}: {why}"
