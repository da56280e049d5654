"""Energies, forces and stresses of one frame, wherever its file has put them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from symreg.structures.formats.units import Units, declared_units
from symreg.structures.settings import QUANTITIES

PREFIX = r"(?:(?:ref|reference|dft|qm|target|label)_)?"
SUFFIX = r"(?:_(?:ref|dft))?"
NAMES = {
    "energy": re.compile(
        rf"{PREFIX}(?:(?:free_|total_|potential_)?energy|e|e_?tot){SUFFIX}", re.IGNORECASE
    ),
    "forces": re.compile(rf"{PREFIX}(?:forces?|for){SUFFIX}", re.IGNORECASE),
    "stress": re.compile(rf"{PREFIX}(?:stress|virials?){SUFFIX}", re.IGNORECASE),
}
"""Usual names. Those that carry a model's name, such as ``MACE_energy``, are predictions."""
LIKELY_FORCES = re.compile(r"forc|frc|grad|^f$|^f_?xyz$|^d[eu]d[rx]", re.IGNORECASE)
"""Array keys that may be forces by another name, or a gradient: forces with the other sign."""
NOT_FORCES = re.compile(
    r"momenta|velo|vel|velocit(?:y|ies)|disp\w*|.*mag\w*|.*dipoles?|.*spins?|v|scaled_positions",
    re.IGNORECASE,
)
"""Array keys of three numbers per atom that are something else."""
AGREEMENT = {"energy": 1e-4, "forces": 1e-4, "stress": 1e-6}
"""Largest difference that rounding in a text file explains, eV, eV/Å, eV/Å³."""


@dataclass(frozen=True)
class FoundLabel:
    """A label that was found: where, under which name, and its value in our units."""

    place: str
    name: str
    value: NDArray[np.float64]


@dataclass(frozen=True)
class Labels:
    """Labels of a frame with n atoms, NaN where absent."""

    energy: float
    """Total energy in eV."""
    forces: NDArray[np.float64]
    """Forces in eV/Å, shape (n, 3)."""
    stress: NDArray[np.float64]
    """Stress in eV/Å³ as xx yy zz yz xz xy, shape (6,)."""
    keys: Mapping[str, str]
    """Key taken for each quantity that was found."""
    free_minus_energy: float
    """Free energy less energy in eV, where the frame has both; else 0."""


def frame_info(atoms: Atoms) -> dict[str, Any]:
    """Return ``atoms.info``, with what an ASE database hides a level down."""
    info = dict(atoms.info)
    hidden = {**info.pop("data", {})} if isinstance(info.get("data"), dict) else {}
    if isinstance(info.get("key_value_pairs"), dict):
        hidden |= info.pop("key_value_pairs")
    return hidden | info


def read_labels(atoms: Atoms, source: str, keys: Mapping[str, str]) -> Labels:
    """Find the labels of one frame.

    Parameters
    ----------
    atoms
        The frame, its calculator included.
    source
        What to call it in a message.
    keys
        Key to take for each quantity; the usual names where empty.

    Raises
    ------
    ValueError
        If two candidates disagree, or one is not finite or has the wrong shape.
    """
    places = _places(atoms, source)
    declared = declared_units(dict(places)["info"], source, len(atoms))
    taken: dict[str, NDArray[np.float64]] = {}
    names: dict[str, str] = {}
    gap = 0.0
    for quantity in QUANTITIES:
        if quantity == "stress" and not atoms.pbc.all():
            continue  # without a volume there is no stress
        found = list(_candidates(places, quantity, keys[quantity], atoms, declared, source))
        if quantity == "energy":
            found, gap = _prefer_free_energy(found)
        if found:
            _demand_agreement(found, quantity, source)
            taken[quantity], names[quantity] = found[0].value, found[0].name
    n = len(atoms)
    return Labels(
        energy=float(taken.get("energy", np.nan)),
        forces=taken.get("forces", np.full((n, 3), np.nan)),
        stress=taken.get("stress", np.full(6, np.nan)),
        keys=names,
        free_minus_energy=gap,
    )


def available_keys(atoms: Atoms) -> str:
    """List the keys that a frame has, for a message."""
    parts = [
        f"{place}: {', '.join(map(str, found))}" for place, found in _places(atoms, "") if found
    ]
    return "; ".join(parts) or "none"


def unused_vectors(atoms: Atoms) -> list[str]:
    """Return keys of arrays, three numbers per atom, that may be forces but are not taken as such.

    Those whose names speak of forces or gradients come first. What names another thing, such as
    momenta, is left out.

    Examples
    --------
    >>> atoms = Atoms("Ar")
    >>> atoms.arrays |= {"u": np.zeros((1, 3)), "gradient": np.ones((1, 3))}
    >>> unused_vectors(atoms)
    ['gradient', 'u']
    """
    results: Mapping[str, Any] = getattr(atoms.calc, "results", {}) or {}
    found = [
        str(key)
        for key, value in {**atoms.arrays, **results}.items()
        if np.shape(value) == (len(atoms), 3)
        and np.asarray(value).dtype.kind == "f"
        and key != "positions"
        and not NAMES["forces"].fullmatch(str(key))
        and not NOT_FORCES.fullmatch(str(key))
    ]
    return sorted(found, key=lambda key: not LIKELY_FORCES.search(key))


def _places(atoms: Atoms, source: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the three dictionaries in which a label may be."""
    results: Mapping[str, Any] = getattr(atoms.calc, "results", {}) or {}
    if results and source and atoms.calc.check_state(atoms):
        raise ValueError(
            f"{source}: the atoms were changed after their energy was computed; compute it again"
        )
    arrays = {k: v for k, v in atoms.arrays.items() if k not in ("numbers", "positions")}
    return [("calculator", results), ("info", frame_info(atoms)), ("arrays", arrays)]


def _candidates(
    places: list[tuple[str, Mapping[str, Any]]],
    quantity: str,
    key: str,
    atoms: Atoms,
    declared: Units,
    source: str,
) -> Iterator[FoundLabel]:
    """Yield each value that may be the label, in our units."""
    for place, found in places:
        if place == "arrays" and quantity != "forces" and len(atoms) > 1 and not key:
            continue  # energies and virials of single atoms are not those of the frame
        for name, value in found.items():
            wanted = name == key if key else NAMES[quantity].fullmatch(str(name))
            if not wanted or value is None or isinstance(value, bool):
                continue  # a word alone in a comment line is true, and no label
            what = f"{source}: the {quantity} under key '{name}'"
            numbers = CONVERT[quantity](value, atoms, what)
            if quantity == "stress" and "virial" in name.lower():
                volume = atoms.get_volume() * declared.factor("length", what) ** 3
                numbers = numbers * (-declared.factor("virial", what) / volume)
            else:
                numbers = numbers * declared.factor(quantity, what)
            yield FoundLabel(place, name, numbers)


def _prefer_free_energy(found: list[FoundLabel]) -> tuple[list[FoundLabel], float]:
    """Drop an energy beside its free energy, since forces are slopes of the free energy."""
    free = {c.name.lower(): c for c in found if "free_" in c.name.lower()}
    plain = {name.replace("free_", ""): c for name, c in free.items()}
    gaps = [float(plain[c.name.lower()].value - c.value) for c in found if c.name.lower() in plain]
    return [c for c in found if c.name.lower() not in plain], max(gaps, key=abs, default=0.0)


def _demand_agreement(found: list[FoundLabel], quantity: str, source: str) -> None:
    """Stop when two candidates for one label differ by more than rounding."""
    first = found[0]
    for other in found[1:]:
        gap = np.abs(first.value - other.value)
        if np.all(gap <= AGREEMENT[quantity] + 1e-6 * np.abs(first.value)):
            continue
        at = np.unravel_index(np.argmax(gap), gap.shape)
        shown = " but ".join(
            f"'{c.name}' ({c.place}) is {c.value[at]:.10g}" for c in (first, other)
        )
        where = f" at component {tuple(map(int, at))}" if at else ""
        cure = (
            f'choose one with [data] {quantity}_key = "{first.name}" or "{other.name}"'
            if first.name != other.name
            else "remove one of them"
        )
        raise ValueError(f"{source}: two values for {quantity} disagree{where}: {shown}; {cure}")


def _numbers(value: Any, what: str) -> NDArray[np.float64]:
    """Return finite numbers; a Fortran exponent, as in 1.0D+02, is read too."""
    try:
        if isinstance(value, str):
            value = [
                float(re.sub("[dD]", "e", word)) for word in re.split(r"[\s,]+", value.strip())
            ]
        numbers = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{what} is {value!r}, which is not a number") from None
    if not np.isfinite(numbers).all():
        at = int(np.flatnonzero(~np.isfinite(numbers))[0])
        raise ValueError(
            f"{what} has the value {numbers.flat[at]} (entry {at}); "
            "every label must be finite, so drop or repair this frame"
        )
    return numbers


def _energy(value: Any, _atoms: Atoms, what: str) -> NDArray[np.float64]:
    numbers = _numbers(value, what)
    if numbers.size != 1:
        raise ValueError(f"{what} has {numbers.size} numbers; a total energy is one")
    return numbers.reshape(())


def _forces(value: Any, atoms: Atoms, what: str) -> NDArray[np.float64]:
    numbers = _numbers(value, what)
    if numbers.shape != (len(atoms), 3):
        raise ValueError(
            f"{what} have shape {numbers.shape}; {len(atoms)} atoms need ({len(atoms)}, 3)"
        )
    return numbers


def _stress(value: Any, _atoms: Atoms, what: str) -> NDArray[np.float64]:
    numbers = _numbers(value, what)
    if numbers.size == 9:
        # Read by columns, and of two entries that differ by rounding the first, as ASE does: so
        # structures that it has read have the very stress that their file has here.
        full = numbers if numbers.ndim == 2 else numbers.reshape(3, 3).T
        alike = np.isclose(full, full.T, rtol=1e-9, atol=0.0)
        full = np.where(alike, full, 0.5 * (full + full.T))
        numbers = full[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    if numbers.shape != (6,):
        raise ValueError(f"{what} has {numbers.size} numbers; a stress has 6 or 9")
    return numbers


CONVERT: Mapping[str, Callable[[Any, Atoms, str], NDArray[np.float64]]] = {
    "energy": _energy,
    "forces": _forces,
    "stress": _stress,
}
