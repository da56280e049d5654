"""Random crystals for the tests of laws, and what is known of them when they are strained."""

import numpy as np
from ase import Atoms
from hypothesis import strategies as st

BOX = 6.0
STRAIN = 1e-6
BOUNDARIES = (True, True, False, (True, True, False))
numbers = st.floats(-1, 1).map(lambda value: round(value, 6))


@st.composite
def crystals(draw, symbols, boundaries=BOUNDARIES):
    # On a coarse grid, then rattled: never on top of each other.
    n = len(symbols)
    corners = draw(st.permutations(range(27)))[:n]
    grid = np.array([[corner // 9, corner // 3 % 3, corner % 3] for corner in corners])
    rattle = np.reshape(draw(st.lists(numbers, min_size=3 * n, max_size=3 * n)), (n, 3))
    strain = np.reshape(draw(st.lists(numbers, min_size=9, max_size=9)), (3, 3))
    cell = BOX * (np.eye(3) + 0.1 * strain)
    pbc = draw(st.sampled_from(boundaries))
    return Atoms(symbols, scaled_positions=(grid + 0.1 * rattle) / 3, cell=cell, pbc=pbc)


def strained(atoms):
    """Twelve copies, stretched and squeezed by each component in Voigt's order."""
    copies = []
    for a, b in [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]:
        for step in (STRAIN, -STRAIN):
            strain = np.eye(3)
            strain[a, b] += step / 2
            strain[b, a] += step / 2
            copies.append(atoms.copy())
            copies[-1].set_cell(atoms.cell.array @ strain, scale_atoms=True)
    return copies


def stress_from(energies, atoms):
    """Slope of the energies of the strained copies, shape (6,)."""
    stretched, squeezed = np.reshape(energies, (6, 2)).T
    return (stretched - squeezed) / (2 * STRAIN) / atoms.get_volume()
