"""Crystals squeezed and stretched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.units import GPa
from scipy.optimize import minimize_scalar

from symreg.arrays import Floats
from symreg.checks.dimers import FLAT
from symreg.checks.report import Check
from symreg.formula import Formula, FormulaCalculator
from symreg.structures.prototypes import make

ATOMS_IN_CUBE = {"sc": 1, "bcc": 2, "fcc": 4, "diamond": 8}
CANDIDATES = {"fcc": np.sqrt(1 / 2), "bcc": np.sqrt(3 / 4), "diamond": np.sqrt(3 / 16)}
"""Crystals that are tried where none is known, and their nearest distances as parts of the side."""
_SIZES = 24
SCALES = np.linspace(0.4, 2.5, 106)
"""Volumes at which a crystal's minimum is looked for, as parts of its own."""
COMPRESSION = 0.6
"""Down to this part of the minimum's volume the energy has to rise."""


class EnergyVolume(NamedTuple):
    """A crystal under pressure."""

    volume: Floats
    """Å^3 per atom, shape (V,)."""
    energy: Floats
    """eV per atom, shape (V,)."""


def energy_volume(
    calculator: Calculator, atoms: Atoms, scales: Sequence[float] | Floats
) -> EnergyVolume:
    """Energies of a crystal scaled to volumes ``scales`` times its own."""
    volumes, energies = [], []
    for scale in scales:
        scaled = atoms.copy()
        scaled.set_cell(atoms.cell.array * scale ** (1 / 3), scale_atoms=True)
        scaled.calc = calculator
        volumes.append(scaled.get_volume() / len(atoms))
        energies.append(scaled.get_potential_energy() / len(atoms))
    return EnergyVolume(np.array(volumes), np.array(energies))


def crystal_check(formula: Formula, atoms: Atoms, knows_atoms: bool = True) -> Check:
    """Whether a crystal has an energy minimum, and its energy rises on compression to 0.6 of it.

    Its cohesive energy is not told where energies of free atoms are what fitted crystals alone.
    """
    name = f"energy of {atoms.get_chemical_formula()} against volume"
    calculator = FormulaCalculator(formula)
    try:
        curve = energy_volume(calculator, atoms, SCALES)
    except ValueError as error:
        return Check(name, False, str(error))
    best = int(curve.energy.argmin())
    # Atoms that only repel end beyond the cutoff, where the energy is flat.
    if best == 0 or not curve.energy[best] < curve.energy[-1] - FLAT:
        return Check(name, False, f"no minimum at {SCALES[0]:g} to {SCALES[-1]:g} of its volume")
    found = minimize_scalar(
        lambda scale: float(energy_volume(calculator, atoms, [scale]).energy[0]),
        bounds=(SCALES[best - 1], SCALES[best + 1]),
        method="bounded",
        options={"xatol": 1e-6},
    )
    scale, lowest = float(found.x), float(found.fun)
    squeezed = energy_volume(calculator, atoms, scale * np.linspace(COMPRESSION, 1.0, 41))
    rises = bool((np.diff(squeezed.energy[:-1]) < 0).all() and squeezed.energy[-2] > lowest)
    values = _equilibrium(formula, atoms, scale, lowest)
    if not (knows_atoms and np.isfinite(values["cohesive_energy"])):
        del values["cohesive_energy"]
    bound = "cohesive energy not known"
    if "cohesive_energy" in values:
        bound = f"{values['cohesive_energy']:.5g} eV/atom below free atoms"
    detail = (
        f"minimum at {values['volume']:.5g} Å^3/atom, {bound}, bulk modulus "
        f"{values['bulk_modulus'] / GPa:.4g} GPa"
    )
    if "lattice_constant" in values:
        detail += f", lattice constant {values['lattice_constant']:.5g} Å"
    if not rises:
        detail += f"; the energy does not rise all the way to {COMPRESSION:g} of that volume"
    return Check(name, rises, detail, values)


def _equilibrium(formula: Formula, atoms: Atoms, scale: float, lowest: float) -> dict[str, float]:
    """Properties at the minimum, which is ``lowest`` eV/atom at ``scale`` of the volume given."""
    volume = float(scale * atoms.get_volume() / len(atoms))
    step = 0.005
    scales = [scale * (1 - step), scale, scale * (1 + step)]
    below, at, above = energy_volume(FormulaCalculator(formula), atoms, scales).energy
    alone = {symbol: energy_alone(formula, symbol) for symbol in set(atoms.symbols)}
    free = sum(alone[symbol] for symbol in atoms.symbols) / len(atoms)
    values = {
        "volume": volume,
        "length_scale": scale ** (1 / 3),
        "cohesive_energy": free - lowest,
        "bulk_modulus": float((below - 2 * at + above) / (step**2 * volume)),
    }
    if (lattice := atoms.info.get("lattice")) in ATOMS_IN_CUBE:
        values["lattice_constant"] = float((ATOMS_IN_CUBE[lattice] * volume) ** (1 / 3))
    return values


def energy_alone(formula: Formula, symbol: str) -> float:
    """Energy of one atom in eV: e0, and what functions of sums are where all sums are zero.

    A ValueError if it is not finite.
    """
    lone = Atoms(symbol)
    lone.calc = FormulaCalculator(formula)
    return float(lone.get_potential_energy())


def lattice(formula: Formula) -> Atoms:
    """The lowest of a few cubic crystals, at the lowest of many sizes from ``r_lo`` on.

    A face-centred one, nearest distance r0, of a formula that cannot be computed or binds none.
    """
    calculator, symbol = FormulaCalculator(formula), formula.species[0]
    sizes = np.geomspace(formula.r_lo, formula.r_cut, _SIZES, endpoint=False)
    lowest, best = np.inf, make("fcc", symbol, float(formula.r0 / CANDIDATES["fcc"]))
    for name, nearest in CANDIDATES.items():
        every = [make(name, symbol, float(size / nearest)) for size in sizes]
        try:
            energies = [_per_atom(calculator, atoms) for atoms in every]
        except ValueError:
            return best
        at = int(np.argmin(energies))
        if at < _SIZES - 1 and energies[at] < lowest:
            lowest, best = energies[at], every[at]
    return best


def _per_atom(calculator: Calculator, atoms: Atoms) -> float:
    """Energy in eV/atom."""
    atoms.calc = calculator
    return float(atoms.get_potential_energy() / len(atoms))
