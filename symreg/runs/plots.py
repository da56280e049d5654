"""Figures from results: matplotlib figures, free of any window or global state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import cycle
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from symreg.arrays import Floats
from symreg.records import UNITS

if TYPE_CHECKING:
    from symreg.formula import TripletSum

# Okabe and Ito's palette, told apart by colour-blind readers too.
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, GREY = "#CC79A7", "#56B4E9", "#666666"
_CYCLE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
_CURVES = (BLUE, GREEN, PURPLE, ORANGE, SKY, GREY)
_MARKS = ("o", "s", "^", "D", "v", "P")
WIDEST = 1.5
"""A known form is drawn up to this many times the complexity of the front."""
_WORDS = {"energy": "energy", "forces": "force component", "stress": "stress component"}
MOST_NAMES = 6
"""With more known forms than that their names stand beside the figure."""
ANGLES = np.linspace(0.0, 180.0, 361)
"""Where functions of the angle are drawn, in degrees."""


BINS, FOOT = 80, 0.15
"""Bins of the distances of the data below a curve, and the part of the frame that they fill."""


class Curve(NamedTuple):
    """A function to draw."""

    name: str
    energy: Callable[[Floats], Floats]
    """Energies in eV, shape (M,), from distances in Å or angles in degrees, shape (M,)."""


class Points(NamedTuple):
    """Reference energies of a dimer."""

    name: str
    r: Floats
    """Distances in Å, shape (M,)."""
    energy: Floats
    """Energies in eV, shape (M,)."""


def pareto(
    complexity: Sequence[int],
    error: Sequence[float],
    *,
    floors: Mapping[str, float] | None = None,
    recommended: int | None = None,
    baselines: Mapping[str, tuple[int, float]] | None = None,
) -> Figure:
    """Error against complexity, with the floors, the recommended member and known forms.

    ``floors`` are lowest training errors by what reaches them, ``recommended`` is an index, and
    ``baselines`` are complexity and error of known forms; far more complex ones are left out.
    """
    far = WIDEST * max(complexity, default=np.inf)
    near = {name: point for name, point in (baselines or {}).items() if point[0] <= far}
    beside = len(near) > MOST_NAMES
    figure, axes = _figure(7.6 if beside else 5.4, 3.8)
    axes.set_yscale("log")
    axes.step(complexity, error, where="post", color=BLUE, linewidth=1, alpha=0.5)
    axes.plot(complexity, error, "o", color=BLUE, markersize=5, label="Pareto front")
    if recommended is not None:
        chosen = (complexity[recommended], error[recommended])
        ring: dict[str, Any] = {"markerfacecolor": "none", "markeredgewidth": 1.6, "markersize": 11}
        axes.plot(*chosen, "o", color=VERMILION, label="recommended", **ring)
    for mark, (name, point) in zip(cycle("s^DvPX<>*hpd8"), near.items(), strict=False):
        axes.plot(*point, mark, color=GREY, markersize=5.5, label=name)
    for name, floor in (floors or {}).items():
        if floor > 0:
            axes.axhline(floor, color="black", linestyle="--", linewidth=1)
            _note(axes, f"floor: the best of {name}", floor)
    axes.set(xlabel="complexity", ylabel="training error (in units of σ)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(left=0)
    corner: dict[str, Any] = {"loc": "upper right"}
    if beside:
        corner = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "fontsize": 8}
    axes.legend(**corner)
    return figure


def parity(
    reference: Mapping[str, Floats], predicted: Mapping[str, Floats], *, quantity: str
) -> Figure:
    """Predicted against reference values of a quantity of ``UNITS``, a colour for each split.

    Values by the name of their split have any shape, and are NaN where there is no label.
    """
    word, unit = _WORDS[quantity], UNITS[quantity]
    figure, axes = _figure(4.2, 4.0)
    for k, name in enumerate(reference):
        x, y = np.ravel(reference[name]), np.ravel(predicted[name])
        known = np.isfinite(x) & np.isfinite(y)
        if not known.any():
            continue
        rmse = float(np.sqrt(np.mean((y[known] - x[known]) ** 2)))
        style: dict[str, Any] = {"markersize": 4, "alpha": 0.7, "markeredgewidth": 0}
        style |= {"rasterized": True, "label": f"{name}: RMSE {rmse:.2g} {unit}"}
        axes.plot(x[known], y[known], _MARKS[k % 6], color=_CYCLE[k % 6], **style)
    limits = (*axes.get_xlim(), *axes.get_ylim())
    low, high = min(limits), max(limits)
    axes.plot([low, high], [low, high], color="black", linewidth=0.8, zorder=0)
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    axes.set(xlabel=f"reference {word} ({unit})", ylabel=f"formula's {word} ({unit})")
    axes.legend(loc="upper left", handletextpad=0.3)
    return figure


def potential_curve(
    curves: Sequence[Curve],
    points: Sequence[Points] = (),
    *,
    r_range: tuple[float, float],
    unit: str = "meV",
    distances: Floats | None = None,
) -> Figure:
    """Pair functions over distances in Å, reference points on them, and their difference below.

    The difference is that of the first function from the points; ``unit`` is ``meV`` or ``eV``.
    The ``distances`` of the data in Å, shape (M,), stand as a histogram at the foot of the curves.
    """
    scale = {"meV": 1000.0, "eV": 1.0}[unit]
    r = np.linspace(*r_range, 600)
    figure = Figure(figsize=(5.4, 4.8 if points else 3.8), layout="constrained")
    ratios = [3, 1] if points else [1]
    grid: Any = figure.subplots(len(ratios), 1, sharex=True, squeeze=False, height_ratios=ratios)
    axes: Axes = grid[0, 0]
    for k, curve in enumerate(curves):
        line, width = ("--", 1.2) if k else ("-", 1.6)
        energy, colour = scale * curve.energy(r), _CURVES[k % 6]
        axes.plot(r, energy, line, color=colour, linewidth=width, label=curve.name)
    # The well is shown, and about as much of the repulsive side.
    energies = [*(curve.energy(r) for curve in curves), *(known.energy for known in points)]
    depth = scale * min(np.min(energy) for energy in energies)
    if depth < 0:
        axes.set_ylim(1.2 * depth, -1.6 * depth)
    if distances is not None and distances.size:
        _histogram(axes, distances, r_range)
    frame = (*r_range, axes.get_ylim()[1])
    for k, known in enumerate(points):
        _plot_points(grid[:, 0], k, known, curves[0], frame, scale)
    axes.set_ylabel(f"pair energy ({unit})")
    axes.legend(loc="upper right")
    if points:
        grid[1, 0].set_ylabel(f"formula −\nreference ({unit})")
    for one in grid[:, 0]:
        one.axhline(0.0, color="black", linewidth=0.6, zorder=0)
        _plain(one)
    grid[-1, 0].set_xlabel("distance r (Å)")
    grid[-1, 0].set_xlim(*r_range)
    return figure


def _histogram(axes: Axes, distances: Floats, r_range: tuple[float, float]) -> None:
    """Draw how often distances occur, in the lowest part of a frame."""
    counts, edges = np.histogram(distances, BINS, r_range)
    heights = FOOT * counts / max(counts.max(), 1)
    style: dict[str, Any] = {"color": SKY, "alpha": 0.5, "linewidth": 0, "zorder": 0}
    axes.fill_between(
        edges, 0.0, [*heights, heights[-1]], step="post", label="distances in the data",
        transform=axes.get_xaxis_transform(), **style,
    )  # fmt: skip


def three_body_factors(function: TripletSum) -> Figure:
    """Factors of the products w h1(x1) h2(x2) p(c): both h over distance, w p over angle.

    The radial factors have no unit and fade by the cutoff function; the angular ones are in eV.
    Neighbours of one species have one radial factor.
    """
    figure = Figure(figsize=(7.4, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    reach = (function.clamp.r_lo, function.r_cut)
    numbers = range(len(function.products))
    names = [f"product {n + 1}" if len(numbers) > 1 else "" for n in numbers]
    radial = [
        Curve(f"{name}{', ' if name else ''}to {symbol}" if function.is_unlike else name,
              partial(_radial, function, n, neighbour))
        for n, name in enumerate(names)
        for neighbour, symbol in enumerate(function.species[1 : 3 if function.is_unlike else 2])
    ]  # fmt: skip
    angular = [Curve(name, partial(_angular, function, n)) for n, name in enumerate(names)]
    _lines(left, radial, np.linspace(*reach, 600))
    left.set(xlabel="distance r (Å)", ylabel="radial factor h(r / r$_0$) f$_c$(r)", xlim=reach)
    _lines(right, angular, ANGLES)
    _over_angle(right, "angular factor w p(cos θ) (eV)")
    return figure


def _radial(function: TripletSum, n: int, neighbour: int, r: Floats) -> Floats:
    return np.asarray(function.radials_of(neighbour, r).products[n][0])


def _angular(function: TripletSum, n: int, angle: Floats) -> Floats:
    return np.asarray(function.products[n].angular(np.cos(np.radians(angle)))[0])


def triplet(function: TripletSum, r: float, name: str = "") -> Curve:
    """Energy of a centre and two neighbours, both ``r`` Å away, over the angle between them."""

    def energy(angle: Floats) -> Floats:
        distance = np.full(angle.shape, r)
        return np.asarray(function.derivatives(distance, distance, np.cos(np.radians(angle)))[0])

    return Curve(name or f"both neighbours at {r:.3g} Å", energy)


def triplet_curve(curves: Sequence[Curve]) -> Figure:
    """Three-body energies over the angle at the centre, as ``triplet`` gives them."""
    figure, axes = _figure(5.4, 3.8)
    _lines(axes, curves, ANGLES)
    _over_angle(axes, "three-body energy (eV)")
    return figure


def _lines(axes: Axes, curves: Sequence[Curve], where: Floats) -> None:
    for k, curve in enumerate(curves):
        axes.plot(where, curve.energy(where), color=_CURVES[k % 6], label=curve.name)
    axes.axhline(0.0, color="black", linewidth=0.6, zorder=0)
    _plain(axes)
    if any(curve.name for curve in curves):
        axes.legend()


def _over_angle(axes: Axes, quantity: str) -> None:
    axes.set(xlabel="angle θ (degrees)", ylabel=quantity, xlim=(0, 180))
    axes.set_xticks(range(0, 181, 30))


def _plot_points(
    panels: Sequence[Axes],
    k: int,
    known: Points,
    curve: Curve,
    frame: tuple[float, float, float],
    scale: float,
) -> None:
    """Draw a set of points above, and below it the difference of those that lie in the frame."""
    colour = ("black", VERMILION, GREY)[k % 3]
    style: dict[str, Any] = {"markersize": 4.5, "markerfacecolor": colour if k else "none"}
    style["color"], mark = colour, _MARKS[k % 6]
    panels[0].plot(known.r, scale * known.energy, mark, label=known.name, **style)
    low, high, top = frame
    seen = (known.r >= low) & (known.r <= high) & (scale * known.energy <= top)
    gap = scale * (curve.energy(known.r[seen]) - known.energy[seen])
    panels[1].plot(known.r[seen], gap, mark, **style)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    _plain(axes)
    return figure, axes


def _plain(axes: Axes) -> None:
    """Give a frame of two sides and a faint grid."""
    axes.grid(alpha=0.25, linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)


def _note(axes: Axes, text: str, height: float) -> None:
    """Write just below a horizontal line, at the left end."""
    place: dict[str, Any] = {"textcoords": "offset points", "xytext": (4, -4), "va": "top"}
    axes.annotate(text, (0, height), xycoords=axes.get_yaxis_transform(), fontsize=8, **place)
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, height / (high / height) ** 0.12), high)
