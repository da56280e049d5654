"""Units that a frame declares, such as ``energy-unit=hartree``, as factors into ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ase import units

HEADER = re.compile(
    r"(?P<of>energy|forces?|stress|virials?|lengths?|distances?|pos(?:itions?)?|cell|lattice)"
    r"[-_ ]?units?",
    re.IGNORECASE,
)
"""Keys that declare a unit."""
QUANTITY = {"e": "energy", "f": "forces", "s": "stress", "v": "virial"}
"""Quantity of a header by its first letter; all others declare a length."""
ENERGY = {
    "ev": 1.0,
    "electronvolt": 1.0,
    "mev": 1e-3,
    "hartree": units.Hartree,
    "ha": units.Hartree,
    "eh": units.Hartree,
    "au": units.Hartree,
    "rydberg": units.Rydberg,
    "ry": units.Rydberg,
    "kcal/mol": units.kcal / units.mol,
    "kj/mol": units.kJ / units.mol,
    "j": units.J,
}
LENGTH = {
    "angstrom": 1.0,
    "ang": 1.0,
    "a": 1.0,
    "å": 1.0,
    "bohr": units.Bohr,
    "au": units.Bohr,
    "a0": units.Bohr,
    "nm": units.nm,
    "pm": 1e-2,
}
PRESSURE = {
    "gpa": units.GPa,
    "mpa": 1e-3 * units.GPa,
    "kpa": 1e-6 * units.GPa,
    "pa": units.Pascal,
    "kbar": 1e3 * units.bar,
    "kb": 1e3 * units.bar,
    "bar": units.bar,
    "atm": 1.01325 * units.bar,
}
FAMILIAR = ("metal", "ev", "true")
"""Values of a bare ``units`` that are ours: LAMMPS's name of them, or no value at all."""
OURS = {"energy": "eV", "forces": "eV/Å", "stress": "eV/Å³", "virial": "eV", "length": "Å"}
"""Units of what is not declared."""


@dataclass(frozen=True)
class Units:
    """Units of one frame."""

    factors: Mapping[str, float]
    """Factor into our unit for each quantity of ``OURS`` that the frame declares."""
    declared: str
    """A header that declares another unit than ours, for messages; empty if none does."""

    def factor(self, quantity: str, what: str) -> float:
        """Return the factor of a label; ``what`` is its name in a message.

        Raises
        ------
        ValueError
            If the frame declares foreign units, but none for this label.
        """
        if quantity in self.factors:
            return self.factors[quantity]
        if self.declared and quantity != "length":
            header = "force" if quantity == "forces" else quantity
            raise ValueError(
                f"{what} has no unit, while the frame says {self.declared}; add "
                f"{header}-unit={OURS[quantity].replace('Å', 'A').replace('³', '^3')} or what it is"
            )
        return 1.0


def declared_units(info: Mapping[str, Any], source: str, n_atoms: int) -> Units:
    """Return the units that a frame of ``n_atoms`` atoms declares.

    Raises
    ------
    ValueError
        If a unit is unknown, or one is declared twice.
    """
    factors: dict[str, float] = {}
    foreign = ""
    for key, value in info.items():
        if str(key).lower() in ("unit", "units") and str(value).lower() not in FAMILIAR:
            raise ValueError(
                f"{source} says {key}={value}, which leaves open of what; write energy-unit=, "
                "force-unit=, stress-unit= and length-unit= instead"
            )
        if not (match := HEADER.fullmatch(str(key))):
            continue
        quantity = QUANTITY.get(match["of"][0].lower(), "length")
        factor = unit_factor(quantity, str(value), f"{source}: {key}", n_atoms)
        if factors.setdefault(quantity, factor) != factor:
            raise ValueError(f"{source} declares the unit of its {quantity} twice; remove {key}")
        if abs(factor - 1) > 1e-9:
            foreign = f"{key}={value}"
    return Units(factors, foreign)


def unit_factor(quantity: str, text: str, where: str, n_atoms: int = 1) -> float:
    """Return what one unit of a quantity is in ours.

    Parameters
    ----------
    quantity
        A key of ``OURS``.
    text
        The unit; case, spaces and the ways to write a product do not matter.
    where
        Start of the message.
    n_atoms
        Atoms of the frame, for energies per atom.

    Raises
    ------
    ValueError
        If the unit is unknown.

    Examples
    --------
    >>> round(unit_factor("forces", "Hartree/Bohr", "a.extxyz"), 3)
    51.422
    """
    word = text.lower().replace(" ", "").replace("**", "^").replace("a.u.", "au")
    word = word.replace("(", "").replace(")", "").replace("*", "/")
    word = re.sub(r"/(?:angstroms?|ang)\b", "/angstrom", word)
    try:
        return _factor(quantity, word, n_atoms)
    except KeyError:
        examples = {
            "energy": "eV, meV, hartree, Ry, kcal/mol, kJ/mol, each also with /atom",
            "forces": "eV/A, hartree/bohr, Ry/bohr, kcal/mol/A",
            "stress": "eV/A^3, GPa, kbar, bar, hartree/bohr^3",
            "virial": "eV, hartree, Ry, kcal/mol, kJ/mol",
            "length": "A, bohr, nm",
        }[quantity]
        raise ValueError(
            f"{where} is '{text}', which is not a known unit; write one of {examples}"
        ) from None


def _factor(quantity: str, word: str, n_atoms: int) -> float:
    """Look a unit up in the tables; ``KeyError`` if it is not there."""
    if quantity == "length":
        return LENGTH[word.removesuffix("s")]
    if quantity == "virial":
        return ENERGY[word]
    if quantity == "energy":
        per_atom = word.endswith("/atom")
        return ENERGY[word.removesuffix("/atom")] * (n_atoms if per_atom else 1)
    if quantity == "stress" and word in PRESSURE:
        return PRESSURE[word]
    power = 3 if quantity == "stress" else 1
    if word == "au":
        return ENERGY["au"] / LENGTH["au"] ** power
    energy, _, length = word.rpartition("/")
    if power == 3:
        length = re.sub(r"\^?3$|³$", "", length) if length[-1:] in ("3", "³") else "none"
    return float(ENERGY[energy] / LENGTH[length] ** power)
