"""What a search writes after every epoch, and reads when it is resumed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symreg.config import Settings
from symreg.individuals import from_arrays, to_arrays
from symreg.islands import State
from symreg.runs import CHECKPOINT, RunFolder

FORMAT = 3


def origin(settings: Settings, data_hash: str) -> str:
    """SHA-256 of all that the errors in a checkpoint depend on: the data, and what weighs them."""
    terms = settings.terms
    e0 = terms.e0 if isinstance(terms.e0, str) else dict(terms.e0)
    cutoffs = [terms.cutoff_function, terms.cutoff_function_three_body]
    used = [data_hash, *(c.to_dict() for c in cutoffs if c is not None), terms.r0, e0]
    used += [asdict(settings.loss), dict(settings.data.weights), terms.many_body]
    return hashlib.sha256(json.dumps(used, sort_keys=True).encode()).hexdigest()


def write(folder: RunFolder, state: State, seconds: float, origin: str) -> None:
    """Replace the checkpoint in one step."""
    header = {
        "format": FORMAT,
        "epoch": state.epoch,
        "candidates": state.candidates,
        "islands": len(state.populations),
        "seconds": seconds,
        "origin": origin,
    }
    arrays: dict[str, NDArray[Any]] = {"header": np.array(json.dumps(header))}
    for number, population in enumerate(state.populations):
        arrays |= {f"island{number}_{name}": values for name, values in population.items()}
    for part, individuals in (("front", state.front), ("rejected", state.rejected)):
        arrays |= {f"{part}_{name}": values for name, values in to_arrays(individuals).items()}
    folder.write_arrays(CHECKPOINT, **arrays)


def read(folder: RunFolder, origin: str) -> tuple[State, float] | None:
    """The last state and the seconds it took; None when there is none yet.

    Raises
    ------
    ValueError
        If the checkpoint is damaged, of another version, or of other data or settings.
    """
    path = folder.path / CHECKPOINT
    if not path.exists():
        return None
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(str(arrays.pop("header")))
        version = header["format"]
        state = _state(header, arrays) if version == FORMAT else None
    except Exception as error:
        # In a damaged archive zipfile and numpy raise whatever they stumble upon.
        raise ValueError(f"{path} is damaged ({error}); remove it to begin anew") from None
    if state is None:
        raise ValueError(f"{path} has format {version}; this symreg reads {FORMAT}")
    if header["origin"] != origin:
        raise ValueError(
            f"{path} was made from other data or settings; the files of [data], or weights, "
            "[terms] or [loss], have changed"
        )
    return state, header["seconds"]


def _state(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> State:
    populations = [_part(arrays, f"island{n}_") for n in range(header["islands"])]
    for population in populations:
        from_arrays(population)  # now, not in the middle of an epoch
    front, rejected = (from_arrays(_part(arrays, f"{part}_")) for part in ("front", "rejected"))
    return State(header["epoch"], header["candidates"], tuple(populations), front, rejected)


def _part(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {n.removeprefix(prefix): v for n, v in arrays.items() if n.startswith(prefix)}
