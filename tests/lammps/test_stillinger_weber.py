import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from symreg.fit.exact import ExactPath
from symreg.lammps.roundtrip import MEASURE
from symreg.lammps.runtime import run
from symreg.lammps.specimens import SHEAR, data_file
from symreg.structures import from_atoms
from symreg.terms import expression_of
from symreg.terms.cutoff import Cutoff
from symreg.terms.lengths import Lengths

# F. H. Stillinger and T. A. Weber, Phys. Rev. B 31, 5262 (1985)
EPSILON, SIGMA = 2.1683, 2.0951
PARAMETERS = f"Si Si Si {EPSILON} {SIGMA} 1.8 21 1.2 {-1 / 3!r} 7.049556277 0.6022245584 4 0 0\n"
TERMS = (
    (7.049556277 * 0.6022245584 * EPSILON, "Si-Si: x^-4"),
    (-7.049556277 * EPSILON, "Si-Si: 1"),
    (21 * EPSILON, "Si-Si-Si: 1*1*(c + 1/3)^2"),
)


def by_lammps(images):
    tasks, files = [], {"Si.sw": PARAMETERS}
    for n, atoms in enumerate(images):
        files[f"data.{n}"] = data_file(atoms, ("Si",), "silicon")
        boundary = "p p p" if atoms.pbc.all() else "f f f"
        setup = f"units metal\natom_modify map array\nboundary {boundary}\nread_data data.{n}\n"
        style = "pair_style sw\npair_coeff * * Si.sw Si\n"
        tasks.append({"input": f"{setup}{style}{MEASURE}run 0\n"})
    return run(tasks, files)["results"]


@pytest.mark.lammps
def test_exact_path_computes_stillinger_weber_silicon_as_lammps_does():
    rng = np.random.default_rng(0)
    crystal = bulk("Si", "diamond", a=5.4, cubic=True)
    crystal.set_cell(crystal.cell.array @ SHEAR, scale_atoms=True)
    crystal.positions += rng.normal(scale=0.15, size=(8, 3))
    corners = 2.4 * np.argwhere(np.ones((2, 2, 2))) + rng.uniform(5, 5.4, size=(8, 3))
    cluster = Atoms("Si8", positions=corners, cell=[14.0] * 3)
    images = [crystal, cluster]
    pair, three_body = (
        Cutoff(kind="stillinger_weber", r_cut=1.8 * SIGMA, s=s) for s in (SIGMA, 1.2 * SIGMA)
    )
    path = ExactPath(from_atoms(images), Lengths(pair, three_body, SIGMA))
    found = path.predict(expression_of(TERMS), {"Si": 0.0})
    results = by_lammps(images)
    np.testing.assert_allclose(found.energy, [r["energy"] for r in results], atol=1e-11)
    forces = np.concatenate([r["forces"] for r in results])
    assert np.abs(forces).max() > 1
    np.testing.assert_allclose(found.forces, forces, atol=1e-11)
    stress = np.divide(results[0]["virial"], crystal.get_volume())
    np.testing.assert_allclose(found.stress[0], stress, atol=1e-13)
