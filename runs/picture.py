"""Draw the picture of the README from a finished run: `python runs/picture.py runs/argon`."""

import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
from ase.io import read
from matplotlib.figure import Figure
from matplotlib.image import imread

import symreg
from symreg.runs import plots

DATA = files("symreg") / "data" / "argon"


def dimers(name: tuple[str, str]) -> plots.Points:
    """The dimer energies in a file of the argon data."""
    images = read(str(DATA / f"{name[1]}.extxyz"), ":")
    pairs = [(atoms.get_distance(0, 1), atoms.get_potential_energy()) for atoms in images]
    return plots.Points(name[0], *np.array(sorted(pairs)).T)


def draw(folder: Path, picture: Path) -> None:
    """Put the front and the recommended pair function side by side."""
    run = symreg.open_run(folder)
    function = run.best().potential.formula.pair_function("Ar", "Ar")
    points = [dimers(("DFT (PBE0-D3)", "argon")), dimers(("CCSD(T)", "argon_ccsdt"))]
    curve = plots.potential_curve(
        [plots.Curve("formula, fitted to DFT", function.energy)], points, r_range=(3.0, 8.0)
    )
    both = Figure(figsize=(11, 4.4), layout="constrained")
    for axes, figure in zip(both.subplots(1, 2), (run.front.plot(), curve), strict=True):
        part = picture.with_suffix(".part.png")
        figure.savefig(part, dpi=200)
        axes.imshow(imread(part), interpolation="antialiased")
        axes.set_axis_off()
        part.unlink()
    both.savefig(picture, dpi=150)


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(__file__).with_name("argon.png"))
