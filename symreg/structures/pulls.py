"""Forces beside those of pair functions, one structure at a time: parts of other units or sign.

A function of the distance for each pair of elements, linear between knots, is fitted to the
directions of all forces. Crude as it is, what it leaves of the slope of one structure's forces on
its own is nearly one number for all structures of a calculation: where some have another, by a
ratio of units or by the sign, they are of another kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from numpy.typing import NDArray

from symreg.structures.data import Structures
from symreg.structures.distances import search

KNOTS = 10
"""Knots of each function."""
FIRST, LAST = 0.5, 2.5
"""Distances over the sum of covalent radii of the first knot, and from which on it is zero."""
REACH = 7.0
"""Å beyond which pairs are not looked at."""
MOST_PAIRS = 10
"""Pairs of elements in a structure with functions of their own; with more all share one."""
FEWEST_ATOMS = 4
"""Atoms with which forces have directions that can be wrong."""
MOST_BYTES, MOST = 4_000_000, 400
"""Memory, and structures, that are kept of one portion of the data."""
FEWEST_SIZES = 6
"""Different sizes of force components below which symmetry leaves hardly anything to compare."""
LIKE = 0.7
"""Cosine between forces and those of pair functions from which on their slope means something."""
FEWEST_LIKE, FEWEST_ODD = 8, 3
"""Structures that make a comparison, and a part of them."""
BAND = 0.6
"""Logarithm of the slopes that count as one: a factor of 1.8."""
MOSTLY, ALIKE = 0.8, 1.2
"""Part of the largest number of members, and multiple of the smallest remainder, of ratios that
explain as much; the first of them is taken."""
FAILS, FITS, CLEARLY = 0.3, 0.25, 2.5
"""Part of the squares that a fit to different units leaves, and one to like ones; least ratio."""
WEAK = 1e-4
"""Root mean square of forces in eV/Å below which a structure tells nothing."""
STEEP = 4.0
"""Decay of a repulsion in the unit of distance, which decides on signs in the first round."""
STEADY = 3.0
"""Root mean square of forces over its median up to which structures count by their forces."""
RIDGE = 1e-5
"""Part of the diagonal that is added to it, for functions that forces hardly determine."""
ROUNDS = 8
"""Rounds of the fit of directions."""

ORDERS: Mapping[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "in the reversed order of the atoms": lambda forces: forces[::-1],
    "one atom further down the list": lambda forces: np.roll(forces, -1, axis=0),
    "one atom further up the list": lambda forces: np.roll(forces, 1, axis=0),
}
"""Orders that forces are met in by mistake, and how to undo them."""

Key = tuple[str, str]


class Pull(NamedTuple):
    """Forces of one structure of n atoms beside M slopes of pair functions at their knots."""

    keys: tuple[Key, ...]
    """Pairs of elements with a function, M = ``KNOTS`` times as many."""
    matrix: NDArray[np.float32]
    """Products of the forces of all knots with each other, shape (M, M)."""
    moment: NDArray[np.float32]
    """Products of these with the forces in eV/Å, shape (M,)."""
    squares: float
    """Sum of the squares of the forces in (eV/Å)²."""
    others: NDArray[np.float32]
    """As ``moment``, with the forces in each of ``ORDERS`` of the atoms, shape (3, M)."""
    energies: NDArray[np.float32]
    """Energy in eV of pairs whose functions have these slopes, shape (M,)."""
    virials: NDArray[np.float32]
    """Stress times volume of such pairs in eV, Voigt xx yy zz yz xz xy, shape (6, M)."""
    stiffness: NDArray[np.float32]
    """What draws an atom back to its place in eV/Å², mean over atoms and axes, shape (M,)."""


class Slopes(NamedTuple):
    """Forces of K structures over those of one set of pair functions."""

    structures: NDArray[np.int64]
    """Which they are, shape (K,)."""
    cosine: NDArray[np.float64]
    """Cosine between forces and those of the functions, shape (K,)."""
    slope: NDArray[np.float64]
    """Slope of the ones on the others, up to a common factor, shape (K,)."""


def pulls_of(structures: Structures) -> tuple[Pull | None, ...]:
    """Return the pull of a sample of the structures, and None for all others, length S."""
    found: list[Pull | None] = [None] * len(structures)
    known = np.isfinite(np.add.reduceat(structures.forces.sum(axis=1), structures.start[:-1]))
    able = np.flatnonzero(known & (structures.n_atoms >= FEWEST_ATOMS))
    for s in np.random.default_rng(0).permutation(able)[:MOST].tolist():
        forces = np.abs(structures.forces[structures.atoms_of(s)])
        if np.unique(np.round(forces / max(forces.max(), 1e-30), 2)).size < FEWEST_SIZES:
            continue
        found[s] = _pull(structures, s)
        used = sum(pull.matrix.nbytes for pull in found if pull is not None)
        if used > MOST_BYTES:
            break
    return tuple(found)


def _pull(structures: Structures, s: int) -> Pull | None:
    """Sum up the pulls of all pairs of a structure; None where none are in reach."""
    kind = structures.kind[structures.atoms_of(s)]
    names = [structures.species[k] for k in kind]
    radius = np.array([covalent_radii[atomic_numbers[name]] for name in names])
    reach = min(2 * LAST * float(radius.max()), REACH)
    i, j, d, vector = search(structures, s, reach, "ijdD", full=True)
    if not d.size or d.min() <= 0:
        return None
    ends = np.sort(np.stack([kind[i], kind[j]]), axis=0)
    number = ends[0] * len(structures.species) + ends[1]
    present, number = np.unique(number, return_inverse=True)
    keys = [divmod(int(p), len(structures.species)) for p in present]
    named = tuple((structures.species[a], structures.species[b]) for a, b in keys)
    if len(keys) > MOST_PAIRS:
        number, named = np.zeros_like(number), (("", ""),)
    unit = (radius[i] + radius[j]) * (LAST - FIRST) / KNOTS
    place = np.maximum(d / unit - FIRST * KNOTS / (LAST - FIRST), 0.0)
    away = -vector / d[:, None]
    forces = structures.forces[structures.atoms_of(s)]
    rows = _rows(i, away, number, place, (len(named), kind.size))
    end = np.minimum(reach / unit - FIRST * KNOTS / (LAST - FIRST), float(KNOTS))
    return Pull(
        named,
        (rows @ rows.T).astype(np.float32),
        (rows @ forces.ravel()).astype(np.float32),
        float((forces**2).sum()),
        np.stack([rows @ order(forces).ravel() for order in ORDERS.values()]).astype(np.float32),
        *_works(away, d, number, (place, end, unit), (len(named), kind.size)),
    )


def _works(
    away: NDArray[np.float64],
    d: NDArray[np.float64],
    number: NDArray[np.int64],
    scale: tuple[NDArray[np.float64], ...],
    sizes: tuple[int, int],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Energies, virials and stiffness of each function's knots; pairs are there in both directions.

    ``scale`` has the places of all pairs in units of knots, where their functions end, and the unit
    in Å.
    """
    place, end, unit = scale
    functions, atoms = sizes
    found = np.zeros((8, functions, KNOTS))
    for knot in range(KNOTS):
        # The integral of a triangle of unit height from the place of the pair to the end.
        energy = 0.5 * unit * (_ramp(end - knot) - _ramp(place - knot))
        found[0, :, knot] = np.bincount(number, energy, functions)
    voigt = away[:, [0, 1, 2, 1, 0, 0]] * away[:, [0, 1, 2, 2, 2, 1]] * (-0.5 * d)[:, None]
    below = np.floor(place).astype(np.int64)
    for at, height, slope in ((below, 1 - place + below, -1.0), (below + 1, place - below, 1.0)):
        near = (at < KNOTS) & (height > 0)
        cell, size = number[near] * KNOTS + at[near], functions * KNOTS
        stiff = -(slope / unit[near] + 2 * height[near] / d[near]) / (3 * atoms)
        for n, values in enumerate((*(voigt[near].T * height[near]), stiff), 1):
            found[n] += np.bincount(cell, values, size).reshape(functions, KNOTS)
    energies, *virials, stiffness = found.reshape(8, -1).astype(np.float32)
    return energies, np.stack(virials), stiffness


def _ramp(t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Integral up to ``t`` of a triangle from -1 over 0, where it is one, to 1."""
    t = np.clip(t, -1.0, 1.0)
    area: NDArray[np.float64] = np.where(t < 0, 0.5 * (1 + t) ** 2, 1 - 0.5 * (1 - t) ** 2)
    return area


def _rows(
    i: NDArray[np.int64],
    away: NDArray[np.float64],
    number: NDArray[np.int64],
    place: NDArray[np.float64],
    sizes: tuple[int, int],
) -> NDArray[np.float64]:
    """Forces on all atoms of each function's knots, shape (functions * KNOTS, 3 * atoms)."""
    functions, atoms = sizes
    rows = np.zeros((functions * KNOTS, atoms, 3))
    below = np.floor(place).astype(np.int64)
    for knot, weight in ((below, 1 - place + below), (below + 1, place - below)):
        near = knot < KNOTS
        cell = (number[near] * KNOTS + knot[near]) * atoms + i[near]
        for axis in range(3):
            pull = weight[near] * away[near, axis]
            rows[:, :, axis] += np.bincount(cell, pull, functions * KNOTS * atoms).reshape(
                -1, atoms
            )
    return rows.reshape(functions * KNOTS, 3 * atoms)


def slopes_of(pulls: Sequence[Pull | None], n_atoms: NDArray[np.int64]) -> Slopes:
    """Fit pair functions to the directions of all forces, and compare each structure with them.

    A direction may be the opposite one, so that both signs are met; no unit enters.
    """
    chosen = np.array(
        [
            s
            for s, pull in enumerate(pulls)
            if pull is not None and pull.squares > 3 * n_atoms[s] * WEAK**2
        ],
        dtype=np.int64,
    )
    used = [pull for s in chosen if (pull := pulls[s]) is not None]
    first = _first(used)
    size = np.sqrt([pull.squares for pull in used])
    weight: NDArray[np.float64] = np.array(
        [1 / np.sqrt(max(float(np.trace(p.matrix)), 1e-30)) for p in used]
    )
    wall = np.exp(-STEEP * np.linspace(FIRST, LAST, KNOTS, endpoint=False))
    cosine = np.array([float(np.tile(wall, len(pull.keys)) @ pull.moment) for pull in used])
    length = np.ones(len(used))
    along = np.ones(len(used))
    for _ in range(ROUNDS if used else 0):
        turned = np.where(cosine < 0, -weight, weight) / size
        values = _solved(used, first, weight, turned)
        length, along = _foretold(used, first, values)
        cosine, weight = along / (length * size), 1 / length
    return Slopes(chosen, cosine, along / length**2)


def _first(pulls: Sequence[Pull]) -> dict[Key, int]:
    """Where the values of each function begin."""
    keys = dict.fromkeys(key for pull in pulls for key in pull.keys)
    return {key: KNOTS * number for number, key in enumerate(keys)}


def _columns(pull: Pull, first: Mapping[Key, int]) -> NDArray[np.int64]:
    """Places of the values of a structure's functions, shape (M,)."""
    return np.concatenate([first[key] + np.arange(KNOTS) for key in pull.keys])


def _foretold(
    pulls: Sequence[Pull], first: Mapping[Key, int], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Length of the forces of pair functions, and their products with the labels, shape (K,)."""
    own = [values[_columns(pull, first)] for pull in pulls]
    squares = [float(v @ pull.matrix @ v) for v, pull in zip(own, pulls, strict=True)]
    along = np.array([float(v @ pull.moment) for v, pull in zip(own, pulls, strict=True)])
    length: NDArray[np.float64] = np.asarray(np.sqrt(np.maximum(squares, 1e-30)), dtype=np.float64)
    return length, along


def _solved(
    pulls: Sequence[Pull],
    first: Mapping[Key, int],
    weight: NDArray[np.float64],
    turned: NDArray[np.float64],
    ridge: float = RIDGE,
) -> NDArray[np.float64]:
    """Solve for the values of all functions at their knots."""
    size = KNOTS * len(first)
    matrix, moment = np.zeros((size, size)), np.zeros(size)
    for pull, w, t in zip(pulls, weight, turned, strict=True):
        columns = _columns(pull, first)
        matrix[np.ix_(columns, columns)] += w**2 * pull.matrix
        moment[columns] += t * pull.moment
    matrix[np.diag_indices(size)] *= 1 + ridge
    matrix[np.diag_indices(size)] += 1e-9
    values: NDArray[np.float64] = np.asarray(np.linalg.solve(matrix, moment), dtype=np.float64)
    return values


class Fit(NamedTuple):
    """Pair functions fitted to the forces of K structures, their sizes and all."""

    values: list[NDArray[np.float64]]
    """Of each structure's functions at their knots in eV/Å, length K."""
    part: float
    """Of the squares of forces that they explain."""


def explained(pulls: Sequence[Pull], n_atoms: NDArray[np.int64], ridge: float = RIDGE) -> Fit:
    """Fit pair functions to forces; structures of weak ones count as what they are.

    ``n_atoms`` are those of these structures, shape (K,).
    """
    size = np.sqrt([pull.squares for pull in pulls])
    rms = size / np.sqrt(n_atoms)
    weight = 1 / (np.sqrt(n_atoms) * np.maximum(rms, STEADY * float(np.median(rms))))
    first = _first(pulls)
    values = _solved(pulls, first, weight, weight**2, ridge)
    length, along = _foretold(pulls, first, values)
    left = float(((weight * length) ** 2 - 2 * weight**2 * along).sum())
    part = -left / float(((weight * size) ** 2).sum())
    return Fit([values[_columns(pull, first)] for pull in pulls], part)


class Part(NamedTuple):
    """Structures whose forces are ``ratio`` times as large as those of the rest."""

    ratio: float
    members: NDArray[np.int64]
    rest: NDArray[np.int64]
    compared: int
    """Structures that were looked at."""


def odd_part(
    pulls: Sequence[Pull | None], n_atoms: NDArray[np.int64], ratios: Sequence[float]
) -> Part | None:
    """Find a part of the structures whose forces are some multiple of those of the others.

    Slopes alone do not tell: functions that only hot structures feel have a size of their own. So
    pair functions are fitted to both parts at once, as they are and with the ratio taken out; only
    where the one fails and the other does not is there such a part.

    Parameters
    ----------
    pulls, n_atoms
        Of all structures, length S and shape (S,).
    ratios
        Multiples that are looked for, the likelier ones first.
    """
    slopes = slopes_of(pulls, n_atoms)
    like = np.abs(slopes.cosine) > LIKE
    if np.count_nonzero(like) < FEWEST_LIKE:
        return None
    size, sign = np.log(np.maximum(np.abs(slopes.slope), 1e-300)), np.sign(slopes.cosine)
    usual = _densest(size[like])
    side = 1.0 if np.count_nonzero(sign[like] > 0) >= np.count_nonzero(sign[like] < 0) else -1.0
    rest = like & (np.abs(size - usual) < BAND) & (sign == side)
    found: list[tuple[float, Part]] = []
    for ratio in ratios:
        near = np.abs(size - usual - np.log(abs(ratio))) < BAND
        odd = like & near & (sign == side * np.sign(ratio))
        if FEWEST_ODD <= np.count_nonzero(odd) <= np.count_nonzero(rest):
            members = slopes.structures[odd], slopes.structures[rest]
            part = Part(ratio, *members, len(slopes.structures))
            before, after = _left(pulls, part, 1.0), _left(pulls, part, ratio)
            if before > FAILS and after < FITS and before > CLEARLY * after:
                found.append((after, part))
    most = max((part.members.size for _, part in found), default=0)
    able = [(after, part) for after, part in found if part.members.size > MOSTLY * most]
    least = min((after for after, _ in able), default=0.0)
    return next((part for after, part in able if after <= ALIKE * least), None)


def _densest(values: NDArray[np.float64]) -> float:
    """Return the middle of the narrowest half of the values."""
    ordered, half = np.sort(values), values.size // 2
    k = int(np.argmin(ordered[half:] - ordered[: values.size - half]))
    return float(np.median(ordered[k : k + half + 1]))


def _left(pulls: Sequence[Pull | None], part: Part, ratio: float) -> float:
    """Square of what pair functions leave of forces, those of the part divided by ``ratio``.

    Relative to the forces of each structure; both parts count as much.
    """
    used: list[Pull] = []
    weights: list[NDArray[np.float64]] = []
    for members, scale in ((part.members, 1 / ratio), (part.rest, 1.0)):
        own = [pull for s in members if (pull := pulls[s]) is not None]
        size = np.sqrt([pull.squares for pull in own]) * abs(scale)
        used += own
        weight = 1 / (size * np.sqrt(2 * len(own)))
        weights.append(np.stack([weight, scale * weight**2]))
    weight, target = np.concatenate(weights, axis=1)
    first = _first(used)
    length, along = _foretold(used, first, _solved(used, first, weight, target))
    return float(1 + ((weight * length) ** 2 - 2 * target * along).sum())
