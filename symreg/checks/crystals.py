"""Crystals squeezed and stretched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.units import GPa
from scipy.optimize import minimize_scalar

from symreg.arrays import Floats
from symreg.checks.dimers import FLAT, dimer_curve
from symreg.checks.report import Check
from symreg.formula import Formula, FormulaCalculator

ATOMS_IN_CUBE = {"fcc": 4, "diamond": 8}
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


def crystal_check(formula: Formula, atoms: Atoms) -> Check:
    """Whether a crystal has an energy minimum, and its energy rises on compression to 0.6 of it."""
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
    detail = (
        f"minimum at {values['volume']:.5g} Å^3/atom, {values['cohesive_energy']:.5g} eV/atom "
        f"below free atoms, bulk modulus {values['bulk_modulus'] / GPa:.4g} GPa"
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
    free = sum(formula.e0[symbol] for symbol in atoms.get_chemical_symbols()) / len(atoms)
    values = {
        "volume": volume,
        "length_scale": scale ** (1 / 3),
        "cohesive_energy": free - lowest,
        "bulk_modulus": float((below - 2 * at + above) / (step**2 * volume)),
    }
    if (lattice := atoms.info.get("lattice")) is not None:
        values["lattice_constant"] = float((ATOMS_IN_CUBE[lattice] * volume) ** (1 / 3))
    return values


def lattice(formula: Formula) -> Atoms:
    """A cubic crystal, neighbours as far apart as in the dimer; diamond if there are triplets."""
    curve = dimer_curve(formula, *formula.species_pairs[0])
    inner = curve.r >= formula.r_lo
    distance = float(curve.r[inner][curve.energy[inner].argmin()])
    lattice = "diamond" if formula.species_triplets else "fcc"
    side = distance * (4 / np.sqrt(3) if formula.species_triplets else np.sqrt(2))
    atoms = bulk(formula.species[0], lattice, a=side)
    atoms.info["lattice"] = lattice
    return atoms
