"""Labels and floor of a run in words, the floor as a record, and what each key brings to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from symreg.fit.design.blocks import gaps_at_floor
from symreg.fit.errors import label_sizes
from symreg.records import UNITS, SplitErrors
from symreg.runs.pipeline.preparation import Prepared, baselines
from symreg.runs.records import FloorRecord
from symreg.runs.trust import floor_doubts, rank_doubts, told
from symreg.structures.targets import MET
from symreg.terms import Key


def label_line(prepared: Prepared) -> str:
    """Root mean squares of the training labels in words, which errors are to be compared with."""
    sizes = _in_words(prepared.labels["train"])
    return f"{sizes}: root mean squares, of energies about one for each composition"


def frozen_lines(prepared: Prepared) -> list[str]:
    """Files of frozen terms, what they leave of the training labels, and what evolves; or none."""
    if prepared.rest is None:
        return []
    sizes = _in_words(label_sizes(prepared.rest)["train"])
    keys = ", ".join(map(str, prepared.design.keys))
    return [f"{', '.join(prepared.frozen.names)} leave of the labels {sizes}; what evolves: {keys}"]


def _in_words(sizes: SplitErrors) -> str:
    known = sizes.by_quantity().items()
    parts = [f"{q} {e.label_rms:.3g} {UNITS[q]}" for q, e in known if e.label_rms is not None]
    return ", ".join(parts)


def floor_lines(prepared: Prepared) -> list[str]:
    """The floor in words, and what general and separable three-body terms add if asked for."""
    design = prepared.design
    lines = [f"{design.pair_floor.error:.4g}: the lowest error of any smooth pair terms"]
    if grids := design.triplet_grids:
        radius = f"{max(grid.cutoff.r_cut for grid in grids):g} Å"
        forces = design.floor.rmse["train"].beside(prepared.labels["train"]).forces
        shown = "" if forces is None else f", training forces {told('forces', forces)}"
        if prepared.lowest_floor != design.floor.error:
            shown = f" ({design.floor.error_coarser:.2g} on a coarser grid: too few data to tell)"
        lines.append(f"{design.floor.error:.4g} with three-body terms up to {radius}{shown}")
        errors = ", ".join(f"{floor.error:.4g}" for floor in prepared.products)
        lines += [f"{errors} with one, two, three separable products"] * bool(errors)
    lines += _block_lines(prepared)
    lines += _target_lines(prepared)
    if design.many_body:
        lines.append("of many-body terms is not known: they may go below")
    return lines


def _target_lines(prepared: Prepared) -> list[str]:
    """Targets that smooth terms which fit labels and targets best do not meet; or that all are."""
    if prepared.targets is None:
        return []
    targets, gaps = prepared.targets, gaps_at_floor(prepared.design)
    missed = [
        f"{name} ({(value + gap * sigma) / factor:.4g} for {value / factor:.4g} {unit})"
        for name, value, gap, sigma, factor, unit in zip(
            targets.names, targets.value, gaps, targets.sigma, targets.factor, targets.units,
            strict=True,
        )
        if name and abs(gap) > MET
    ]  # fmt: skip
    if not missed:
        return ["all targets are within two sigmas at that floor"]
    of = " without functions of sums" if prepared.design.many_body else ""
    return [f"targets that smooth terms{of} do not meet beside the labels: {', '.join(missed)}"]


def _block_lines(prepared: Prepared) -> list[str]:
    """Part of each key in the floor in words, most first."""
    found = {Key.read(text): error for text, error in prepared.blocks.items()}
    pairs = sorted((k for k in found if k.is_pair), key=lambda k: -found[k])
    others = sorted((k for k in found if not k.is_pair), key=lambda k: found[k])
    lines = []
    for keys, words in ((pairs, "without one pair"), (others, "of pairs with one key of triplets")):
        if keys:
            shown = ", ".join(f"{key} {found[key]:.4g}" for key in keys)
            lines.append(f"{words}: {shown}")
    return lines


def floor_record(prepared: Prepared) -> FloorRecord:
    """The floors of the data and known forms fitted to them."""
    triplets = bool(prepared.design.triplet_grids)
    record = FloorRecord(
        **vars(prepared.design.floor),
        pair=prepared.design.pair_floor if triplets else None,
        products=prepared.products if triplets else None,
        blocks=prepared.blocks or None,
        baselines=baselines(prepared),
    )
    return replace(record, doubts=tuple(doubts(prepared, record)))


def doubts(prepared: Prepared, record: FloorRecord) -> Iterator[str]:
    """Say what is wrong with the floor."""
    design, lowest = prepared.design, record.lowest()
    if lowest.train is not None:
        lowest = lowest._replace(train=lowest.train.beside(prepared.labels["train"]))
    yield from floor_doubts(lowest, design.loss)
    columns = design.training.matrix[:, : design.n_pair_values]
    sizes = np.linalg.norm(columns, axis=0)
    rank = int(np.linalg.matrix_rank(columns / np.where(sizes > 0, sizes, 1.0)))
    yield from rank_doubts(rank, design.n_pair_values, design.n_labels)


def importance(prepared: Prepared) -> tuple[float, ...]:
    """How likely each key is given new forms, by what its block brings to the floor.

    For each kind they are 1 on average, half of it whatever is brought; none where all kinds have
    one key.
    """
    design, gains = prepared.design, dict[Key, float]()
    for text, error in prepared.blocks.items():
        key = Key.read(text)
        apart = error - design.pair_floor.error
        gains[key] = max(apart if key.is_pair else -apart, 0.0)
    found = []
    for key in design.keys:
        kind = [gains.get(other, 0.0) for other in design.keys if other.over == key.over]
        mean = sum(kind) / len(kind)
        found.append(0.5 + 0.5 * gains[key] / mean if mean > 0 and key in gains else 1.0)
    return tuple(found) if gains else ()
