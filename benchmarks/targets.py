"""Formulas fitted to physics beside frames: phases, defects, surfaces, elastic constants.

    python benchmarks/targets.py [--cases silicon copper nickel molybdenum inp]
                                 [--minutes 10] [--seeds 1] [--without] [--data FOLDER]
                                 [--out FOLDER] [--set NAME=VALUE ...]

Cases, from the public data (--data, $SYMREG_SHARED_DATA or ../shared/data beside the checkout):

silicon     silicon_mlearn_train by trajectory; targets: energies of the phases of silicon_gpaw over
            diamond at the minima of their curves;
copper, nickel
            the sets of that name; targets: cohesion, vacancy, three surfaces, hcp over fcc, C11,
            C12, C44;
molybdenum  no targets: what the gate does;
inp         targets: lattice constant, bulk modulus and elastic constants of zincblende.

With --without each case is searched a second time without its targets. Comes out: of the
recommended member of each run the errors on frames, every target with the value asked for, and for
silicon what was not asked for: the defects, relaxed in 64 atoms.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk, fcc100, fcc110, fcc111
from ase.filters import FrechetCellFilter
from ase.io import read, write
from ase.optimize import FIRE
from common import machine, run_or_read, with_settings
from needs import data_file, shared_data

from symreg import config
from symreg.runs import Member, Run

CASES = ("silicon", "copper", "nickel", "molybdenum", "inp")
PHASES = ("hex_diamond", "bc8", "beta_tin", "simple_hex", "sc", "bcc", "fcc")
"""Curves of silicon_gpaw beside that of diamond."""
METALS: Mapping[str, dict[str, Any]] = {
    "copper": {
        "symbol": "Cu", "a": 3.63, "cohesion": 3.50, "vacancy": 1.07, "hcp": 7.0,
        "surfaces": (1.36, 1.51, 1.57), "elastic": (173, 133, 88),
        "source": "DFT column of Lysogorskiy et al., npj Comput. Mater. 7, 97 (2021)",
    },
    "nickel": {
        "symbol": "Ni", "a": 3.52, "cohesion": 4.8, "vacancy": 1.44, "hcp": 24.0,
        "surfaces": (1.92, 2.21, 2.29), "elastic": (276, 159, 132),
        "source": "spin-polarised PBE; surfaces Tran et al., Sci. Data 3, 160080 (2016)",
    },
}  # fmt: skip
"""Å, eV, eV, meV/atom, J/m2 of (111), (100), (110), GPa of C11, C12, C44."""
TERMS: Mapping[str, dict[str, Any]] = {
    "silicon": {"three_body": "separable", "r_cut": 6.0, "r_cut_three_body": 5.0},
    "copper": {"many_body": True, "r_cut": 6.0, "max_constants": 15},
    "nickel": {"many_body": True, "r_cut": 6.0, "max_constants": 15},
    "molybdenum": {"three_body": "separable", "r_cut": 6.0, "r_cut_three_body": 5.0},
    "inp": {"three_body": "separable", "r_cut": 6.5, "r_cut_three_body": 4.4},
}
TRAIN = {
    "silicon": "silicon_mlearn_train.extxyz", "copper": "copper_mlearn_train.extxyz",
    "nickel": "nickel_mlearn_train.extxyz", "molybdenum": "molybdenum_mlearn_train.extxyz",
    "inp": "inp_train.extxyz",
}  # fmt: skip
SPLITS = {"silicon": "trajectory", "copper": "block", "nickel": "block"}
ZINCBLENDE = {"a": 5.87, "bulk_modulus": 72.0, "elastic": (101, 56, 46)}
"""InP: Å and GPa."""


def target(name: str, kind: str, structures: Sequence[Any], value: float, unit: str, **more: Any):
    """One entry of ``[[targets]]``, with a twentieth of the value as sigma unless given."""
    record = {"name": name, "kind": kind, "structures": list(structures), "value": value}
    return {**record, "sigma": abs(value) / 20 or 1.0, "unit": unit, **more}


def silicon_targets(data: Path, folder: Path) -> Iterator[dict[str, Any]]:
    """Energies of phases over diamond, at the lowest frame of each curve."""
    images = read(data / "silicon_gpaw.extxyz", ":")
    lowest = {}
    for name in ("diamond", *PHASES):
        curve = [atoms for atoms in images if atoms.info["group"] == f"{name}_ev"]
        lowest[name] = min(curve, key=lambda atoms: atoms.get_potential_energy() / len(atoms))
    file = folder / "phases.extxyz"
    per_atom = {n: atoms.get_potential_energy() / len(atoms) for n, atoms in lowest.items()}
    write(file, [Atoms(atoms, info={"name": name}) for name, atoms in lowest.items()])
    for name in PHASES:
        value = per_atom[name] - per_atom["diamond"]
        pair = [f"{file}@{name}", f"{file}@diamond"]
        sigma = 0.003 if name == "hex_diamond" else 0.02
        more = {"sigma": sigma, "source": "PBE, silicon_gpaw"}
        yield target(name, "energy_difference", pair, value, "eV/atom", **more)


def metal_targets(metal: Mapping[str, Any], folder: Path) -> Iterator[dict[str, Any]]:
    """Cohesion, vacancy, surfaces, hcp over fcc and elastic constants of a face-centred metal."""
    symbol, a, source = metal["symbol"], metal["a"], {"source": metal["source"]}
    crystal = {"prototype": "fcc", "species": symbol, "a": a}
    hexagonal = {"prototype": "hcp", "species": symbol, "a": a / 2**0.5, "c": a / 2**0.5 * 1.633}
    whole = bulk(symbol, "fcc", a=a, cubic=True).repeat(3)
    missing = whole.copy()
    del missing[0]
    slabs = [
        make(symbol, (1, 1, n), a=a, vacuum=8.0)
        for make, n in ((fcc111, 9), (fcc100, 9), (fcc110, 13))
    ]
    names = ("missing", "slab111", "slab100", "slab110")
    file = folder / f"{symbol}.extxyz"
    for atoms, name in zip((missing, *slabs), names, strict=True):
        atoms.info, atoms.pbc = {"name": name}, True
    write(file, [missing, *slabs])
    yield target("a0", "lattice_constant", [crystal], a, "angstrom", sigma=0.01, bulk_modulus=140.0)
    yield target("cohesion", "cohesive_energy", [crystal], metal["cohesion"], "eV/atom", **source)
    vacancy = [f"{file}@missing", crystal]
    yield target("vacancy", "vacancy", vacancy, metal["vacancy"], "eV", **source)
    for name, value in zip(names[1:], metal["surfaces"], strict=True):
        yield target(name, "surface", [f"{file}@{name}", crystal], value, "J/m2", **source)
    close = {"sigma": 2.0, **source}
    yield target(
        "hcp", "energy_difference", [hexagonal, crystal], metal["hcp"], "meV/atom", **close
    )
    for name, value in zip(("C11", "C12", "C44"), metal["elastic"], strict=True):
        yield target(name, "elastic", [crystal], value, "GPa", component=name, **source)


def zincblende_targets() -> Iterator[dict[str, Any]]:
    """Lattice constant, bulk modulus and C11, C12 of InP; C44 needs relaxed atoms."""
    crystal = {"prototype": "zincblende", "species": ["In", "P"], "a": ZINCBLENDE["a"]}
    modulus = ZINCBLENDE["bulk_modulus"]
    yield target(
        "a0", "lattice_constant", [crystal], ZINCBLENDE["a"], "angstrom", sigma=0.01,
        bulk_modulus=modulus,
    )  # fmt: skip
    for name, value in (("B", modulus), *zip(("C11", "C12"), ZINCBLENDE["elastic"], strict=False)):
        yield target(name, "elastic", [crystal], value, "GPa", component=name)


def targets_of(case: str, data: Path, folder: Path) -> list[dict[str, Any]]:
    """The ``[[targets]]`` of a case; files that they need are written to the folder."""
    if case == "silicon":
        return list(silicon_targets(data, folder))
    if case in METALS:
        return list(metal_targets(METALS[case], folder))
    return list(zincblende_targets()) if case == "inp" else []


def settings_for(
    case: str, seed: int, aims: bool, options: argparse.Namespace, out: Path
) -> config.Settings:
    """The run file of one case and seed."""
    train = [str(data_file(options.data, TRAIN[case]))]
    way = "" if aims else "-without"
    record: dict[str, Any] = {
        "data": {"train": train, **({"split": SPLITS[case]} if case in SPLITS else {})},
        "terms": {**TERMS[case], **({"max_complexity": 70} if case == "silicon" else {})},
        "search": {"seed": seed, "minutes": options.minutes, "workers": 2},
        "output": {"folder": str(out / f"{case}{way}-{seed}")},
    }
    if aims and (wanted := targets_of(case, options.data, out)):
        record["targets"] = wanted
    return config.from_dict(record, overrides=options.changes)


def relaxed(atoms: Atoms, member: Member, cell: bool = False) -> float:
    """Energy in eV of the nearest minimum; a formula may have none, NaN then."""
    atoms = atoms.copy()
    atoms.calc = member.potential.calculator()
    FIRE(FrechetCellFilter(atoms) if cell else atoms, logfile=None).run(fmax=0.02, steps=300)
    energy = float(atoms.get_potential_energy())
    return energy if np.isfinite(energy) else float("nan")


def silicon_defects(member: Member) -> dict[str, float]:
    """Energies in eV of the vacancy and three interstitials, relaxed in a cube of 64 atoms."""
    unit = bulk("Si", "diamond", a=5.469, cubic=True)
    scaled = unit.copy()
    scaled.calc = member.potential.calculator()
    FIRE(FrechetCellFilter(scaled, hydrostatic_strain=True), logfile=None).run(0.005, 200)
    scaled.calc = None
    whole, a = scaled.repeat(2), float(scaled.cell[0, 0])
    energy = relaxed(whole, member) / len(whole)
    found = {}
    missing = whole.copy()
    del missing[0]
    found["vacancy"] = relaxed(missing, member) - 63 * energy
    for name, place in (("T", (0.5, 0.5, 0.5)), ("hexagonal", (0.625, 0.625, 0.625))):
        more = whole + Atoms("Si", [np.array(place) * a])
        found[name] = relaxed(more, member) - 65 * energy
    split = whole.copy()
    half = np.array([1.0, 1.0, 0.0]) * 0.8 / 2**0.5
    split.positions[0] += half
    split += Atoms("Si", [whole.positions[0] - half])
    found["dumbbell"] = relaxed(split, member) - 65 * energy
    return found


def lines(case: str, run: Run, wanted: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What the recommended member of a run is, and what it predicts."""
    member = run.best()
    yield f"complexity {member.complexity}, {member.n_constants} constants: {member.expression}"
    for split, by_quantity in member.errors.items():
        shown = [f"{q} {found.rmse:.4g}" for q, found in by_quantity.by_quantity().items()]
        yield f"{split}: " + ", ".join(shown)
    for one in wanted:
        found = member.targets[one["name"]]
        yield f"{one['name']}: {found:.4g} for {one['value']:.4g} {one['unit']}"
    if case == "silicon":
        for name, energy in silicon_defects(member).items():
            yield f"{name}: {energy:.3g} eV"


def main() -> None:
    """Run or read all cases and print what they give."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=[*CASES])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--without", action="store_true", help="search without targets as well")
    parser.add_argument("--data", type=Path, default=shared_data(), help="folder of the data")
    parser.add_argument("--out", type=Path, help="folder that keeps the runs")
    options = with_settings(parser)
    print(f"{machine()}; {options.minutes:g} minutes, 2 workers", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        out = (options.out or Path(scratch)).resolve()
        out.mkdir(parents=True, exist_ok=True)
        for case in options.cases:
            for seed in range(options.seeds):
                for aims in (True, False) if options.without else (True,):
                    run = run_or_read(settings_for(case, seed, aims, options, out))
                    wanted = targets_of(case, options.data, out) if aims else []
                    print(f"\n{case}{'' if aims else ' without targets'}, seed {seed}:")
                    print("\n".join(lines(case, run, wanted)), flush=True)


if __name__ == "__main__":
    main()
