"""Summary of the argon data: well depth and minimum of each curve, and what pairs miss."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicHermiteSpline, CubicSpline

Array = NDArray[np.float64]
Point = dict[str, Any]

ACCEPTED: dict[str, Any] = {
    "well_depth_meV": 12.318,
    "minimum_angstrom": 3.762,
    "source": "K. Patkowski and K. Szalewicz, J. Chem. Phys. 133, 094304 (2010): 99.351 cm^-1",
}


def minimum(distances: Array, energies: Array) -> dict[str, float]:
    """Well depth in meV and minimum in Å of a spline through a curve, beside the accepted ones."""
    spline = CubicSpline(distances, energies)
    roots = spline.derivative().roots(extrapolate=False)
    r = float(roots[np.argmin(spline(roots))])
    depth = float(-1000 * spline(r))
    accepted_depth, accepted_r = ACCEPTED["well_depth_meV"], ACCEPTED["minimum_angstrom"]
    return {
        "well_depth_meV": round(depth, 4),
        "minimum_angstrom": round(r, 4),
        "well_depth_error_percent": round(100 * (depth / accepted_depth - 1), 2),
        "minimum_error_angstrom": round(r - accepted_r, 4),
    }


def curve_summary(part: str, points: Sequence[Point]) -> Point:
    """Minimum of a dimer curve and, for CCSD(T), of each basis with the parts in meV."""
    r = np.array([float(point["name"].split()[1]) for point in points])
    summary: Point = {"result": minimum(r, np.array([point["energy"] for point in points]))}
    if part == "ccsdt":
        basis = next(iter(points[0]["parts"]))
        small = [point["parts"][basis] for point in points]
        plain = np.array([part["hf"] + part["ccsdt"] for part in small])
        summary["result_without_extrapolation"] = minimum(r, plain)
        summary["parts_meV"] = {
            point["name"]: {
                basis: {key: round(1000 * value, 5) for key, value in part.items()}
                for basis, part in point["parts"].items()
            }
            for point in points
        }
    return summary


def non_additivity(clusters: Sequence[Point], dimers: Sequence[Point]) -> dict[str, Point]:
    """Errors of the DFT dimer curve, summed over pairs, misses in each cluster: meV and meV/Å."""
    r = np.array([float(point["name"].split()[1]) for point in dimers])
    energies = np.array([point["energy"] for point in dimers])
    slopes = -np.array([point["forces"][1][2] for point in dimers])
    curve = CubicHermiteSpline(r, energies, slopes)
    rows: dict[str, Point] = {}
    for point in clusters:
        positions = np.array(point["positions"])
        pair_energy, pair_forces = 0.0, np.zeros_like(positions)
        for i, j in itertools.combinations(range(len(positions)), 2):
            bond = positions[j] - positions[i]
            length = np.linalg.norm(bond)
            pair_energy += float(curve(length))
            pull = curve(length, 1) * bond / length
            pair_forces[i] += pull
            pair_forces[j] -= pull
        rest = np.array(point["forces"]) - pair_forces
        rows[point["name"]] = {
            "atoms": len(positions),
            "energy_meV": round(1000 * point["energy"], 4),
            "beyond_pairs_meV": round(1000 * (point["energy"] - pair_energy), 4),
            "forces_rms_meV_per_angstrom": round(1000 * float(np.sqrt(np.mean(rest**2))), 4),
        }
    return rows
