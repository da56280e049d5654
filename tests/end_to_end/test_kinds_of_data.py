"""Searches over data of every kind that people have: to the front, and back through ASE."""

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

import symreg
from symreg import files
from symreg.formula.simplify import Rewriter
from symreg.runs.pipeline import delivery
from symreg.terms import Expression

pytestmark = pytest.mark.usefixtures("front_only")

WRITE_MEMBER = delivery._write_member
EPS = {("Ar", "Ar"): 0.0104, ("Ar", "Kr"): 0.0123, ("Kr", "Kr"): 0.0140}
SIGMA = {("Ar", "Ar"): 3.40, ("Ar", "Kr"): 3.52, ("Kr", "Kr"): 3.65}


def without(images, *names):
    """Structures without some of their labels."""
    copies = [atoms.copy() for atoms in images]
    for atoms in copies:
        for name in names:
            atoms.info.pop(name, None)
            atoms.arrays.pop(name, None)
    return copies


@pytest.fixture
def search(search_settings, tmp_path):
    """Search structures; keywords are settings."""

    def run(images, **changes):
        path = tmp_path / "data.extxyz"
        ase.io.write(path, images)
        return symreg.search(search_settings(tmp_path / "run", path, **changes))

    return run


@pytest.fixture(scope="module")
def mixtures(synthetic):
    """Dimers of every pair, and triangles and crystals of Ar2Kr, which alone fix no e0."""
    rng = np.random.default_rng(0)
    pairs = {pair: synthetic.lennard_jones(EPS[pair], SIGMA[pair]) for pair in EPS}
    corners = 3.8 * np.array([[0, 0, 0], [1, 0, 0], [0.5, 0.87, 0]])
    triangles = [
        Atoms("Ar2Kr", corners * rng.uniform(0.95, 1.2) + rng.uniform(-0.2, 0.2, (3, 3)))
        for _ in range(15)
    ]
    crystals = [bulk("Ar", "fcc", a=a, cubic=True).repeat((3, 1, 1)) for a in (5.2, 5.5, 5.8)]
    for crystal in crystals:
        crystal.symbols[::3] = "Kr"
        crystal.positions += rng.normal(0, 0.1, crystal.positions.shape)
    dimers = [Atoms(pair, [[0, 0, 0], [0, 0, d]]) for pair in EPS for d in np.linspace(3.3, 5.5, 8)]
    return [synthetic.add_labels(a, pairs) for a in (*triangles, *crystals, *dimers)]


def test_energies_alone_are_enough(argon_images, search):
    run = search(without(argon_images, "forces", "stress"))
    assert run.front[-1].errors["train"].keys() == {"energy", "groups"}
    row = files.read_rows(run.folder / "front.csv")[-1]
    assert float(row["energy_rmse_train"]) > 0
    assert row["forces_rmse_train"] == ""


def test_forces_alone_are_enough(argon_images, search):
    run = search(without(argon_images, "energy", "stress"))
    assert run.front[-1].errors["train"].keys() == {"forces", "groups"}
    assert run.front[-1].record["e0"] == {"Ar": 0.0}
    assert "18 structures have no energy" in run.data["notes"][0]


def test_stresses_count_unless_their_sigma_is_zero(argon_images, search, tmp_path):
    run = search(argon_images)
    assert run.front[-1].errors["train"]["stress"]["n"] > 0
    (tmp_path / "run").rename(tmp_path / "with")
    without_stress = search(argon_images, sigma_stress=0.0)
    assert without_stress.floor["error"] != run.floor["error"]
    # They are still measured, as a check of what was fitted without them.
    assert without_stress.front[-1].errors["train"]["stress"]["n"] > 0


def test_one_atom_cells_are_crystals(synthetic, search):
    lj = synthetic.lennard_jones(0.0104, 3.4)
    cells = [bulk("Ar", "fcc", a=a) for a in np.linspace(4.9, 5.9, 10)]
    cells += [bulk("Ar", "sc", a=a) for a in np.linspace(3.3, 4.0, 6)]
    run = search([synthetic.add_labels(a, {("Ar", "Ar"): lj}) for a in cells], epochs=3)
    told = "16 one-atom cells are crystals, not isolated atoms"
    assert any(note.startswith(told) for note in run.data["notes"])
    assert run.front[-1].error < 0.2


def test_two_species_get_functions_of_their_own(mixtures, search, tmp_path, monkeypatch):
    monkeypatch.setattr(delivery, "_write_member", WRITE_MEMBER)
    monkeypatch.setattr(Rewriter, "forms", lambda *_: [])
    monkeypatch.setattr("symreg.lammps.folder.is_installed", lambda: False)
    best = search(mixtures, library_seeds=True, max_complexity=60, epochs=1).front[-1]
    assert best.error < 1e-4
    terms = Expression.from_dict(best.record["terms"]).terms
    assert {term.key.species for term in terms} == set(EPS)
    for labelled in mixtures:
        atoms = labelled.copy()
        atoms.calc = best.potential.calculator()
        # Labels have 8 decimals; the largest error that counts as one is 0.1 eV/Å.
        np.testing.assert_allclose(atoms.get_forces(), labelled.arrays["forces"], atol=1e-5)
    best.potential.export_lammps(tmp_path / "lammps", style="table")
    table = (tmp_path / "lammps" / "Ar-Kr.table").read_text()
    assert all(f"\n{name}\n" in table for name in ("Ar_Ar", "Ar_Kr", "Kr_Kr"))


def test_compositions_that_are_all_alike_leave_no_member_out(mixtures, search):
    # Nothing tells e0 of argon and krypton apart; noise leaves something for the error to be.
    rng = np.random.default_rng(1)
    alike = [atoms.copy() for atoms in mixtures if len(atoms) > 2]
    for atoms in alike:
        atoms.info["energy"] += rng.normal(0, 0.002) * len(atoms)
    run = search(alike, epochs=4, max_complexity=50)
    assert len(run.front) > 1
    log = (run.folder / "log.txt").read_text(encoding="utf-8")
    assert "its error over all pairs" not in log
    assert "break the gate" not in log
    for member in run.front:
        assert member.record["exact_difference"] < 1e-8
        assert member.error >= run.floor["error"]
        assert member.record["e0"]["Ar"] == pytest.approx(2 * member.record["e0"]["Kr"])
