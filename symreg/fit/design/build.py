"""Building the projected design from structures, and keeping it on disk."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import numpy as np

from symreg.arrays import Integers
from symreg.fit.design.accumulator import Accumulator
from symreg.fit.design.condensing import FELT, LARGEST_AT_ONCE, condensed_by_key
from symreg.fit.design.cost import Outline, Pace, Tell, check_neighbours
from symreg.fit.design.design import Design
from symreg.fit.loss import LossSettings
from symreg.fit.sums.base import Around
from symreg.fit.sums.node_grid import NodeGrid
from symreg.fit.sums.triplet_grid import NO_TRIPLETS
from symreg.structures import SPLITS, Structures, bootstrap_blocks, data_hash
from symreg.structures.neighbours import (
    NEIGHBOUR_REACH,
    Pairs,
    closest_distances,
    structure_pairs,
)
from symreg.structures.targets import Targets
from symreg.terms import Key
from symreg.terms.kinds import kinds
from symreg.terms.lengths import Lengths

MARGIN = 0.95
"""The grid begins at this fraction of the closest distance."""
NO_LABELS = "no training structure has a label that the loss counts; see [loss]"


def _lowest_distances(
    structures: Structures, lengths: Lengths, targets: Targets | None
) -> dict[tuple[str, str], float]:
    """Where the grid of each pair of species begins in Å; only those in reach.

    By training and by cells of targets.
    """
    train = structures.subset(structures.split == SPLITS.index("train"))
    if not len(train):
        raise ValueError(NO_LABELS)
    both = [train] if targets is None else [train, targets.structures]
    closest: dict[tuple[str, str], float] = {}
    for part in both:
        for pair, r in closest_distances(part, max(lengths.reach, NEIGHBOUR_REACH)).items():
            closest[pair] = min(r, closest.get(pair, r))
    every = combinations_with_replacement(structures.species, 2)
    r_cut = {pair: lengths.at(pair).cutoff.r_cut for pair in every}
    present = [pair for pair, radius in r_cut.items() if closest.get(pair, np.inf) < radius]
    if not present:
        shortest = min(closest.values(), default=np.inf)
        raise ValueError(
            f"[terms] r_cut is {lengths.cutoff.r_cut:g} Å, but the closest atoms are "
            f"{shortest:.4g} Å apart, so there are no pairs; make r_cut larger"
        )
    return {pair: round(MARGIN * closest[pair], 6) for pair in present}


def arms(key: Key) -> list[tuple[str, ...]]:
    """Pairs of the centre of a key and each of its neighbours.

    >>> arms(Key.of("O", "Hf", "O"))
    [('Hf', 'O'), ('O', 'O')]
    """
    return [Key.of(key.centre, near).species for near in key.species[1:]]


def is_within(species: Iterable[str], described: Sequence[Collection[str]]) -> bool:
    """Whether some species are all among one of the sets that are ``described`` elsewhere."""
    return any(set(species) <= set(one) for one in described)


def build_design(
    structures: Structures,
    lengths: Lengths,
    loss: LossSettings,
    fixed_e0: Mapping[str, float] | None = None,
    group_weights: Mapping[str, float] | None = None,
    many_body: bool = False,
    n_nodes: int | None = None,
    max_memory: float = math.inf,
    tell: Tell = lambda _: None,
    patience: float = math.inf,
    described: Sequence[Collection[str]] = (),
    targets: Targets | None = None,
) -> Design:
    """Project structures of training, and those of other splits that lie inside its distances.

    They go one at a time; ``loss`` to ``group_weights`` are as of ``Design``.

    With ``many_body`` formulas may hold many-body terms; the design itself is of the others. Each
    pair of species has ``n_nodes``, by default what r^-12 needs. What it takes is told before it is
    computed, and how far it is every ten seconds. There are no keys within sets of species that are
    ``described`` by other terms; where their pairs begin ``lengths`` tell. Rows of ``targets``
    stand beside the labels.

    Raises
    ------
    ValueError
        If that would take more than ``max_memory`` in GB, no two atoms are closer than the cutoff,
        no training labels are left, there are no triplets, or far too many of them.
    TooLongError
        If it would take more than ``patience`` in minutes.
    """
    check_neighbours(structures, lengths.reach, max_memory)
    grids = _grids(structures, lengths, n_nodes, described, targets)
    design = Design(
        species=structures.species,
        grids=grids,
        r0=lengths.r0,
        fixed_e0=None if fixed_e0 is None else dict(fixed_e0),
        loss=loss,
        group_weights=dict(group_weights or {}),
        cells={},
        counts={},
        functions=_functions(structures.species, grids) if many_body else (),
    )
    # Every block has a matrix of its own until all is projected; with triplets these are large.
    blocks = bootstrap_blocks(structures, most=20 if design.triplet_grids else 100)
    if many := design.columns > LARGEST_AT_ONCE:
        blocks = np.zeros_like(blocks)  # no fits to bootstrap samples of so many columns
        _outline(design, structures, blocks, FELT).check(max_memory, patience)
        design = _condensed_first(design, structures, targets, tell)
    tell(_outline(design, structures, blocks).check(max_memory, patience))
    accumulator, pace = Accumulator(design, many), Pace(tell, "projected structures", len(blocks))
    for s, block in enumerate(blocks):
        accumulator.add(structures, s, int(block))
        pace.step()
    finished = accumulator.finish(tell, targets)
    if not finished.quantities:
        raise ValueError(NO_LABELS)
    return finished


def _condensed_first(
    design: Design, structures: Structures, targets: Targets | None, tell: Tell
) -> Design:
    """The design, still without labels, with what these feel of each key alone."""
    accumulator = Accumulator(design)
    taken = [s for s in range(len(structures)) if accumulator.takes(structures, s)]
    aims = None if targets is None else accumulator.aims(targets)
    return condensed_by_key(design, structures, taken, accumulator.rows, tell, aims)


def _outline(
    design: Design, structures: Structures, blocks: Integers, felt: float = 1.0
) -> Outline:
    """Sizes of the design, with a part that the data feel of the node values of triplets."""
    columns = {
        grid.key: round(grid.columns * (felt if grid.is_condensed else 1.0))
        for grid in design.grids
    }
    return Outline(structures, blocks, columns, design.n_e0 + 1)


def _functions(species: Sequence[str], grids: Sequence[NodeGrid]) -> tuple[Key, ...]:
    """Keys of functions of sums: of centres that some pair with a grid has."""
    met = {name for grid in grids for name in grid.key.species}
    return tuple(Key.of(name) for name in species if name in met)


def _grids(
    structures: Structures,
    lengths: Lengths,
    n_nodes: int | None,
    described: Sequence[Collection[str]] = (),
    targets: Targets | None = None,
) -> tuple[NodeGrid, ...]:
    """A grid for each key of a sum that stands alone and is projected, pairs first.

    Keys are those of pairs and of triplets that training shows within their cutoffs. Triplets need
    the pairs of their centre and its neighbours, which keep these apart.
    """
    shown = _lowest_distances(structures, lengths, targets)
    lowest = {pair: low for pair, low in shown.items() if not is_within(pair, described)}
    if not lowest:
        raise ValueError(
            "[terms] frozen leaves nothing to evolve: its files describe all pairs of elements "
            f"that training shows within the cutoff, {', '.join(map('-'.join, shown))}; name "
            "fewer files, or add structures of the other pairs"
        )
    begins = _named(shown)
    for name, given in lengths.r_lo_pairs.items():  # other terms may begin farther out
        begins[name] = max(given, begins.get(name, given))
    within = replace(lengths, r_lo=min(lowest.values()), r_lo_pairs=begins)
    keys = [Key.of(*pair) for pair in lowest]
    if lengths.cutoff_three_body is not None:
        found = _triplet_keys(structures, within)
        known = [
            key for key in found if all(_is_told(pair, shown, described) for pair in arms(key))
        ]
        if not known:
            lost = f"; {', '.join(map(str, found))} need pairs within r_cut too" if found else ""
            raise ValueError(NO_TRIPLETS + lost)
        keys += [key for key in known if not is_within(key.species, described)]
    types = dict.fromkeys(kind.discoverer.grid_type for kind in kinds())
    return tuple(grid for each in types if each for grid in each.every(keys, within, n_nodes))


def _is_told(
    pair: tuple[str, ...],
    shown: Collection[tuple[str, ...]],
    described: Sequence[Collection[str]],
) -> bool:
    """Whether formulas have a term of a pair: a new one, or one that is ``described``."""
    return pair in shown or is_within(pair, described)


def _named(lowest: Mapping[tuple[str, str], float]) -> dict[str, float]:
    return {"-".join(pair): low for pair, low in lowest.items()}


def _triplet_keys(structures: Structures, lengths: Lengths) -> list[Key]:
    """Keys of triplets of which training has some, or of the one element."""
    near = lengths.cutoff_three_body
    assert near is not None
    if not lengths.r_lo < max(cutoff.r_cut for cutoff in (near, *lengths.cutoffs.values())):
        raise ValueError(
            f"[terms] r_cut_three_body is {near.r_cut:g} Å, but the closest atoms are "
            f"{lengths.r_lo / MARGIN:.4g} Å apart, so there are no triplets; make it larger"
        )
    species = structures.species
    if len(species) == 1:
        return [Key.of(*3 * species)]
    every = [
        Key.of(centre, *pair)
        for centre in species
        for pair in combinations_with_replacement(species, 2)
    ]
    shown = _shown(structures, lengths, every)
    return [key for key, there in zip(every, shown, strict=True) if there]


def _shown(structures: Structures, lengths: Lengths, keys: Sequence[Key]) -> list[bool]:
    """Whether training has triplets of each key within its cutoff."""
    reach = [lengths.at(key.species).cutoff_three_body for key in keys]
    members = [[structures.species.index(name) for name in key.species] for key in keys]
    found = [False] * len(keys)
    for s in np.flatnonzero(structures.split == SPLITS.index("train")).tolist():
        kind = structures.kind[structures.atoms_of(s)]
        if all(f for f, own in zip(found, members, strict=True) if set(own) <= set(kind.tolist())):
            continue
        around = Around(structure_pairs(structures, s, max(c.r_cut for c in reach if c)), kind)
        for k, (own, cutoff) in enumerate(zip(members, reach, strict=True)):
            if cutoff and not found[k]:
                found[k] = _has_triplet(around.centred(own, cutoff.r_cut), kind, own)
    return found


def _has_triplet(pairs: Pairs, kind: Integers, species: Sequence[int]) -> bool:
    """Whether some centre has two neighbours, of both kinds if these are two."""
    one, two = (np.bincount(pairs.i[kind[pairs.j] == s], minlength=kind.size) for s in species[1:])
    return bool((one > 1).any() if species[1] == species[2] else ((one > 0) & (two > 0)).any())


def load_or_build_design(
    path: Path,
    structures: Structures,
    lengths: Lengths,
    loss: LossSettings,
    fixed_e0: Mapping[str, float] | None = None,
    group_weights: Mapping[str, float] | None = None,
    many_body: bool = False,
    described: Sequence[Collection[str]] = (),
    targets: Targets | None = None,
    **watched: Any,
) -> Design:
    """``build_design``, kept in a file: built anew if that is damaged or of other settings.

    ``max_memory``, ``tell`` and ``patience`` are ``watched`` where it is built.
    """
    others = many_body, [sorted(one) for one in described]
    settings = [lengths.to_dict(), asdict(loss), fixed_e0, dict(group_weights or {}), *others]
    text = data_hash(structures) + json.dumps(settings, sort_keys=True)
    text += "" if targets is None else targets.digest
    key = hashlib.sha256(text.encode()).hexdigest()
    with suppress(Exception):  # in a damaged archive zipfile and numpy raise whatever they meet
        return Design.load(path, key)
    design = build_design(
        structures,
        lengths,
        loss,
        fixed_e0,
        group_weights,
        many_body,
        described=described,
        targets=targets,
        **watched,
    )
    design.join(watched.get("tell", lambda _: None))  # the floors are saved too
    design.save(path, key)
    return design
