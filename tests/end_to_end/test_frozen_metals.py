"""The commonest alloy job: two metals have potentials, the terms between them are looked for."""

import json

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator

from symreg import Potential, config
from symreg.formula import Formula
from symreg.runs.pipeline.commands import dry_run, validate
from symreg.runs.pipeline.searching import resume, search
from symreg.terms import expression_of
from symreg.terms.cutoff import Cutoff

COPPER = {"Cu-Cu": "7000.0*exp(-4.28*r)", "Cu": "-12.0*sqrt(sum(exp(-1.84*r)))"}
NICKEL = {"Ni-Ni": "12000.0*exp(-11.3*x)", "Ni": "-8.0*sqrt(sum(exp(-3.8*x)))"}
A, B = 210.0, 2.44
"""Of the cross term A exp(-B r) in eV and 1/Å."""


def alloy(copper, nickel):
    """Both and their cross term in one formula."""
    between = Formula(
        expression_of([(A, f"Cu-Ni: exp(-{B}*x)")]) + copper.expression + nickel.expression,
        r0=1.0,
        e0={**copper.e0, **nickel.e0},
        species=("Cu", "Ni"),
        cutoff=Cutoff(kind="septic", r_cut=5.0, r_on=3.0),
        r_lo=1.7,
        r_lo_pairs={"Cu-Cu": copper.r_lo, "Cu-Ni": 1.7, "Ni-Ni": nickel.r_lo},
        cutoffs={"Cu-Cu": copper.cutoff, "Ni-Ni": nickel.cutoff},
        r0s={"Ni-Ni": nickel.r0},
    )
    return Potential(between)


def crystal(rng, potential):
    """A rattled solid solution with labels."""
    atoms = bulk("Cu", a=3.5 + 0.3 * rng.random(), cubic=True) * (2, 2, 1)
    atoms.symbols[:] = rng.choice(("Cu", "Ni"), len(atoms))
    atoms.rattle(0.12, rng=rng)
    atoms.calc = potential.calculator()
    energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces, stress=stress)
    return atoms


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path, rng = tmp_path_factory.mktemp("metals"), np.random.default_rng(4)
    copper = Potential.from_formula(COPPER, r_cut=5.2, r_lo=1.9, e0={"Cu": -0.5})
    nickel = Potential.from_formula(NICKEL, r_cut=5.6, r0=2.45, r_lo=1.8, cutoff="cosine")
    copper.save(path / "cu.json")
    nickel.save(path / "ni.json")
    both = alloy(copper.formula, nickel.formula)
    ase.io.write(path / "alloy.extxyz", [crystal(rng, both) for _ in range(12)])
    return path


def settings(folder, name, workers=1, **terms):
    record = {
        "data": {"train": ["alloy.extxyz"], "split": "random"},
        "terms": {"r_cut": 5.0, "r0": 2.5, "frozen": ["cu.json", "ni.json"], **terms},
        "search": {
            "population_size": 60,
            "islands": 2,
            "epochs": 2,
            "generations_per_epoch": 8,
            "workers": workers,
        },
        "output": {"folder": name},
    }
    return config.from_dict(record, folder)


@pytest.fixture(scope="module")
def run(folder):
    return search(settings(folder, "pairs"))


def test_a_dry_run_tells_the_only_pair_that_is_left(folder):
    said = dry_run(settings(folder, "none"))
    assert "nodes for each of 1 pair of species" in said
    (line,) = [line for line in said.splitlines() if line.startswith("frozen ")]
    assert line.startswith("frozen      cu.json, ni.json leave of the labels energy 0.")
    assert line.endswith("; what evolves: Cu-Ni")


@pytest.mark.slow
def test_the_cross_term_is_found(run):
    member = run.best()
    assert list(map(str, member.record.terms.keys())) == ["Cu-Ni"]
    r = np.linspace(1.9, 2.9, 20)
    found = member.potential.formula.pair_function("Cu", "Ni").energy(r)
    assert found == pytest.approx(A * np.exp(-B * r), rel=1e-3)
    assert member.errors["train"]["forces"]["rmse"] < 1e-4
    assert member.expression.startswith("Cu-Ni: ")


@pytest.mark.slow
def test_the_frozen_terms_are_the_same_to_the_byte(folder, run):
    found = json.loads((run.best().folder / "potential.json").read_text(encoding="utf-8"))
    texts = {json.dumps(entry) for entry in found["terms"]}
    for name, symbol in (("cu.json", "Cu"), ("ni.json", "Ni")):
        own = json.loads((folder / name).read_text(encoding="utf-8"))
        assert {json.dumps(entry) for entry in own["terms"]} <= texts
        assert found["e0"][symbol] == own["e0"][symbol]
        pair = f"{symbol}-{symbol}"
        assert found["cutoffs"][pair] == own["cutoff"]
        assert found["r0s"][pair] == own["r0"]
        assert found["r_lo_pairs"][pair] == own["r_lo"]
        assert found["information"]["wall"][pair] == own["information"]["wall"][pair]
    assert found["provenance"]["frozen"] == ["cu.json", "ni.json"]


@pytest.mark.slow
@pytest.mark.lammps
def test_lammps_computes_the_whole_formula(run):
    parity = run.best().parity
    if parity["status"] != "run":
        pytest.skip(parity["status"])
    assert parity["forces_max"] < 1e-6
    assert parity["energy_per_atom_max"] < 1e-9


@pytest.mark.slow
def test_a_run_with_frozen_terms_goes_on_and_is_validated(run):
    before = run.best().errors["train"]["forces"]["rmse"]
    said = validate(run.folder, run.best().number)
    assert "RMSE train: " in said
    written = json.loads((run.best().folder / "validation.json").read_text(encoding="utf-8"))
    assert written["errors"]["train"]["forces"]["rmse"] == pytest.approx(before, abs=1e-9)
    longer = resume(run.folder, epochs=3)
    assert longer.best().error < 1e-3


@pytest.mark.slow
def test_many_body_terms_evolve_beside_frozen_ones(folder):
    found = search(settings(folder, "functions", workers=2, many_body=True))
    assert found.front
    assert found.best().error < 0.01
    own = {term.key for member in found.front for term in member.record.terms.terms}
    assert {str(key) for key in own} <= {"Cu-Ni", "Cu", "Ni"}
    rejected = (found.folder / "rejected.csv").read_text(encoding="utf-8")
    assert "dimer Cu-Cu" not in rejected
