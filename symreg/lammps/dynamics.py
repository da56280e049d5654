"""A short run at constant energy: its settings, its input, and the drift found in it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from ase.data import atomic_masses, atomic_numbers
from ase.units import fs, kB

from symreg.formula import Formula, FormulaCalculator
from symreg.lammps.records import Drift
from symreg.lammps.specimens import crystal, typical_distance

EVERY = 10
"""Steps between two samples of the energy."""
SAMPLES = 100
"""Few, since the lepton style reads its string anew in every step."""
BLOCKS = 20
"""Blocks of samples whose means the drift is fitted to."""
SEED = 4711


class Dynamics(NamedTuple):
    """How the run at constant energy is done: the step in ps, the initial temperature in K."""

    timestep: float
    temperature: float


def choose_dynamics(formula: Formula) -> Dynamics:
    """A step of about 1/100 of the fastest vibration, and a temperature well below melting."""
    d = typical_distance(formula)
    functions = [formula.pair_function(*pair) for pair in formula.every_pair]
    # A close-packed crystal's fastest mode has omega^2 of about 8 u'' / m.
    stiffness = 8 * max(abs(float(function.curvature(np.array([d]))[0])) for function in functions)
    hottest = 1000.0
    if not formula.is_pairwise:
        stiffness, hottest = max(stiffness, _stiffness_of_crystal(formula, d)), 300.0
    depth = max(_depth(formula, *pair) for pair in formula.every_pair)
    mass = min(atomic_masses[atomic_numbers[symbol]] for symbol in formula.species)
    omega = np.sqrt(max(stiffness, 1e-2) / mass)  # 1 / ASE's unit of time
    step = 2 * np.pi / omega / 100 / (1000 * fs)
    temperature = np.clip(0.2 * depth / kB, 1.0, hottest)
    return Dynamics(float(f"{step:.1g}"), float(f"{temperature:.2g}"))


def _depth(formula: Formula, one: str, other: str) -> float:
    """How deep the function of a pair is between the beginning of its domain and its cutoff, eV."""
    own = formula.lengths.at((one, other))
    r = np.linspace(own.r_lo, own.cutoff.r_cut, 500)[:-1]
    return float(-formula.pair_function(one, other).energy(r).min())


def _stiffness_of_crystal(formula: Formula, d: float) -> float:
    """Twice what draws an atom of a crystal back to its place, in eV/Å^2: its fastest modes."""
    atoms = crystal(formula, d, 2, np.random.default_rng(SEED))
    atoms.calc = FormulaCalculator(formula)
    atoms.positions[0, 0] += 0.01
    return float(2 * abs(atoms.get_forces()[0, 0]) / 0.01)


def nve_input(dynamics: Dynamics) -> str:
    """LAMMPS commands that set up the run, after the structure and the potential."""
    return (
        f"velocity all create {dynamics.temperature:g} {SEED} mom yes rot no dist gaussian\n"
        "neigh_modify every 1 delay 0 check yes\n"
        f"timestep {dynamics.timestep:g}\n"
        "fix nve all nve\n"
    )


def drift(total_energies: list[float], atoms: int, dynamics: Dynamics) -> Drift:
    """Slope of the total energies in eV, the first before the first step."""
    energies = np.array(total_energies[1:]) * 1e3 / atoms
    block = energies.reshape(BLOCKS, -1).mean(axis=1)
    time = np.arange(BLOCKS) * EVERY * (energies.size // BLOCKS) * dynamics.timestep / 1e3
    centred = time - time.mean()
    slope = centred @ block / (centred @ centred)
    rest = block - block.mean() - slope * centred
    error = np.sqrt(rest @ rest / (BLOCKS - 2) / (centred @ centred))
    return Drift(float(slope), float(error))
