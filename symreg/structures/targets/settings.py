"""Settings of an entry of ``[[targets]]``, its kinds and their units."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from ase import units

GPA = units.GPa
"""eV/Å³."""
_PER_AREA = MappingProxyType({"J/m2": units.J / units.m**2, "meV/A2": 1e-3})
_PER_ATOM = MappingProxyType({"eV/atom": 1.0, "meV/atom": 1e-3})
_ENERGY = MappingProxyType({"eV": 1.0, "meV": 1e-3})
_PRESSURE = MappingProxyType({"GPa": GPA})
COMPONENTS = ("B", "Cprime", *(f"C{i}{j}" for i in range(1, 7) for j in range(i, 7)))
"""Elastic constants, Voigt's indices; ``Cprime`` is (C11 - C12) / 2."""


class Kind(NamedTuple):
    """One kind of target."""

    structures: tuple[str, ...]
    """What its structures are, in order; empty: any number."""
    units: Mapping[str, float]
    """Units that a value may be given in, in eV and Å."""


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "energy_difference": Kind(("A", "B"), _PER_ATOM),
        "combination": Kind((), _ENERGY),
        "cohesive_energy": Kind(("bulk",), _PER_ATOM),
        "vacancy": Kind(("defect", "bulk"), _ENERGY),
        "surface": Kind(("slab", "bulk"), _PER_AREA),
        "adsorption": Kind(("both", "surface", "adsorbate"), _ENERGY),
        "elastic": Kind(("reference",), _PRESSURE),
        "pressure": Kind(("cell",), _PRESSURE),
        "lattice_constant": Kind(("cell",), {"angstrom": 1.0}),
    }
)
"""Kinds of targets by name."""
Described = Mapping[str, str | float | tuple[str, ...]]
"""A crystal, as in ``{ prototype = "fcc", species = "Cu", a = 3.61 }``."""


@dataclass(frozen=True, kw_only=True)
class TargetSettings:
    """A number that a formula shall predict. Read from an entry of ``[[targets]]``.

    A ``ValueError`` if a part of it is missing or does not fit the kind.
    """

    name: str
    """Its name; the column of the front is ``target_NAME``."""
    kind: str
    """One of ``KINDS``."""
    structures: tuple[str | Described, ...]
    """``FILE@INDEX``, ``FILE@NAME`` or known crystals, in the order of the kind."""
    value: float
    """What the formula shall predict, in ``unit``."""
    sigma: float
    """How far off counts as much as one sigma of the labels, in ``unit``."""
    unit: str
    """Unit of value and sigma."""
    source: str = ""
    """Where the value is from."""
    component: str = ""
    """Which elastic constant; one of ``COMPONENTS``."""
    coefficients: tuple[float, ...] = ()
    """Of the energies of a combination."""
    bulk_modulus: float | None = field(default=None)
    """Of a lattice constant, in GPa."""

    def __post_init__(self) -> None:
        """Refuse what cannot be a target."""
        if not re.fullmatch(r"[A-Za-z0-9_.+-]+", self.name):
            raise ValueError(
                f"[[targets]] name is {self.name!r}; it must be of letters, digits, _ . + or -"
            )
        self._one_of("kind", self.kind, KINDS)
        kind = KINDS[self.kind]
        self._one_of("unit", self.unit, kind.units)
        if not math.isfinite(self.value):
            raise self.error(f"value is {self.value}; it must be a finite number")
        if not (0 < self.sigma < math.inf):
            raise self.error(f"sigma is {self.sigma:g}; it must be above 0")
        if kind.structures and len(self.structures) != len(kind.structures):
            wanted = f"{len(kind.structures)}: {', '.join(kind.structures)}"
            raise self.error(
                f"there are {len(self.structures)} structures; {self.kind} takes {wanted}"
            )
        if not self.structures:
            raise self.error("structures is empty; name at least one")
        self._check_own()

    def _check_own(self) -> None:
        """Refuse settings that the kind needs and lacks, or that have no effect."""
        if self.kind == "elastic":
            self._one_of("component", self.component, COMPONENTS)
        if self.kind == "combination" and len(self.coefficients) != len(self.structures):
            raise self.error(
                f"there are {len(self.coefficients)} coefficients for {len(self.structures)} "
                "structures; give one for each"
            )
        if self.kind == "lattice_constant" and not (self.bulk_modulus or 0.0) > 0:
            raise self.error("bulk_modulus in GPa is missing; it turns a pressure into a length")
        owners = {"component": "elastic", "coefficients": "combination"}
        owners["bulk_modulus"] = "lattice_constant"
        for name, owner in owners.items():
            if getattr(self, name) and self.kind != owner:
                raise self.error(f'{name} has no effect; it belongs to kind = "{owner}"')

    def _one_of(self, name: str, value: str, known: Mapping[str, object] | tuple[str, ...]) -> None:
        if value in known:
            return
        near = difflib.get_close_matches(value, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
        of_kind = f" of kind {self.kind}" if name in ("unit", "component") else ""
        raise self.error(f"{name}{of_kind} is {value!r}; {hint}")

    def error(self, text: str) -> ValueError:
        """A ``ValueError`` that names the target."""
        return ValueError(f"[[targets]] {self.name}: {text}")

    @property
    def factor(self) -> float:
        """Its unit in eV and Å."""
        return KINDS[self.kind].units[self.unit]
