"""Cost of the LAMMPS routes of formulas of two elements, beside the native styles of their kind.

    python benchmarks/alloys_cost.py [--repeat 6] [--steps 20] [--turns 7]

The formulas are the laws of ``alloys_data.py``: Stillinger-Weber silicon carbide in zincblende, and
Finnis-Sinclair copper-nickel in a crystal of every other atom, at 300 K. Against them stand the
``sw`` and ``eam/fs`` of LAMMPS with the same constants, and ``snap`` with 30 bispectrum components
(twojmax 6) of two elements within 4.9 Å, whose cost does not depend on its coefficients. All of a
crystal take turns in one process, on one core; the median of the turns is printed.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from alloys_data import ALLOYS, METALS, SIGMA, Alloy
from common import cost_options, formula_routes, lammps_table, machine

from symreg.formula import Formula
from symreg.potential import Potential

CRYSTALS = {
    "silicon_carbide": {
        "lattice": "diamond 4.6",
        "basis": "".join(f" basis {n} 2" for n in range(5, 9)),
        "mass": 20.05,
    },
    "copper_nickel": {"lattice": "fcc 3.57", "basis": " basis 3 2 basis 4 2", "mass": 61.1},
}
CLOSEST = {"silicon_carbide": 1.4, "copper_nickel": 1.8}
"""Where the formulas' domains begin in Å."""
SNAP_FILES = {
    "two.snapcoeff": "2 31\n" + "".join(f"{x} 0.5 1.0\n" + "1e-6\n" * 31 for x in ("A", "B")),
    "two.snapparam": "rcutfac 4.9\ntwojmax 6\n",
}
SNAP = "pair_style snap\npair_coeff * * two.snapcoeff two.snapparam A B\n"


def potential_of(alloy: Alloy) -> Potential:
    """The law of an alloy as a formula."""
    r0 = {"silicon_carbide": SIGMA, "copper_nickel": METALS["Cu", "Cu"]}[alloy.name]
    lengths = alloy.settings.lengths(r0)
    formula = Formula(
        alloy.expression(r0),
        r0,
        dict.fromkeys(alloy.species, 0.0),
        alloy.species,
        lengths.cutoff,
        CLOSEST[alloy.name],
        cutoff_three_body=lengths.cutoff_three_body,
        cutoffs=lengths.cutoffs,
    )
    return Potential(formula, {})


def routes(alloy: Alloy) -> dict[str, str]:
    """Commands of every route, with their files in the current folder."""
    for name, text in {**alloy.files(), **SNAP_FILES}.items():
        Path(name).write_text(text)
    native = alloy.style.split()[1]
    return {native: alloy.style, **formula_routes(potential_of(alloy)), "snap": SNAP}


def main() -> None:
    """Measure and print."""
    options = cost_options(__doc__, steps=20, repeat=6, potential=False)
    print(f"{machine()}\n")
    for name, crystal in CRYSTALS.items():
        setup = {**crystal, "types": 2, "kelvin": 600, "timestep": 0.001, "first": 20}
        print(f"{name}:\n\n{lammps_table(setup, partial(routes, ALLOYS[name]), options)}\n")


if __name__ == "__main__":
    main()
