"""A search with three-body terms, from a file to potentials."""

import json
import math

import ase.io
import numpy as np
import pytest

import symreg
from symreg import files
from symreg.formula.simplify import Rewriter
from symreg.runs import RunFolder
from symreg.runs.pipeline import checkpoint, delivery
from symreg.runs.pipeline.preparation import prepare
from symreg.terms import Expression, Term
from symreg.terms.kinds import PAIRS, TRIPLETS

STILLINGER_WEBER = "exp(-3.5*(x1 - 1))*exp(-3.5*(x2 - 1))*(c + 0.3)^2"


class StoppedError(Exception):
    """An error that ends a search in these tests."""


@pytest.fixture(scope="module")
def silicon_file(calm_silicon_images, tmp_path_factory):
    """Stillinger-Weber-like labels with noise, in a file."""
    rng = np.random.default_rng(11)
    noisy = [atoms.copy() for atoms in calm_silicon_images]
    for atoms in noisy:
        atoms.info["energy"] += len(atoms) * rng.normal(0, 0.005)
        atoms.arrays["forces"] += rng.normal(0, 0.05, atoms.positions.shape)
    path = tmp_path_factory.mktemp("data") / "silicon.extxyz"
    ase.io.write(path, noisy)
    return path


@pytest.fixture(scope="module")
def silicon_settings(search_settings, silicon_file):
    def make(folder, **changes):
        terms = {"three_body": "separable", "r_cut": 5.0, "r_on": 3.0, "r_cut_three_body": 4.2}
        return search_settings(folder, silicon_file, **terms | {"epochs": 2} | changes)

    return make


def front_csv(run):
    return (run.folder / "front.csv").read_bytes()


def kinds_of(member):
    terms = Expression.from_dict(member.record["terms"]).terms
    return {term.key.over for term in terms}


@pytest.fixture(
    params=["separable", pytest.param("general", marks=pytest.mark.slow)],
)
def shape(request):
    return request.param


@pytest.mark.slow
@pytest.mark.usefixtures("front_only")
def test_a_search_goes_on_to_the_same_front_after_a_break(silicon_settings, tmp_path, shape):
    small = {"three_body": shape, "population_size": 30, "max_complexity": 26}
    whole = symreg.search(silicon_settings(tmp_path / "whole", **small))

    def stop(progress):
        if progress.epoch == 1 and not progress.message:
            raise StoppedError

    with pytest.raises(StoppedError):
        symreg.search(silicon_settings(tmp_path / "run", **small), on_progress=stop)
    assert front_csv(symreg.resume(tmp_path / "run")) == front_csv(whole)
    assert [row["epoch"] for row in files.read_rows(whole.folder / "generations.csv")] == ["1", "2"]
    assert any(kinds_of(member) == {PAIRS, TRIPLETS} for member in whole.front)
    for member in whole.front:
        assert member.error > whole.floor["error"]
        if kinds_of(member) == {PAIRS}:
            assert member.error >= whole.floor["pair"]["error"]
        terms = Expression.from_dict(member.record["terms"]).terms
        separable = {term.tree.factors is not None for term in terms if term.key.over != PAIRS}
        assert separable <= ({True} if shape == "separable" else {True, False})


def test_errors_of_another_cutoff_of_triplets_are_not_mixed_in(silicon_settings, tmp_path):
    def origin(**changes):
        settings = silicon_settings(tmp_path / "run", **changes)
        return checkpoint.Origin.of(settings, "hash of the data")

    before = origin()
    changes = {"r_cut_three_body": 4.0}, {"r_on_three_body": 2.0}, {"cutoff_three_body": "cosine"}
    for change in changes:
        assert f"[terms] {next(iter(change))} is" in origin(**change).difference(before)
    assert not origin(workers=4, epochs=70).difference(before)


def gaps(calculator, path, groups):
    """Root mean squared errors of a calculator over some structures, by quantity."""
    found = {"energy": [], "forces": [], "stress": []}
    for atoms in ase.io.read(path, ":"):
        if atoms.info["trajectory"] not in groups:
            continue
        labels, atoms.calc = atoms.calc.results, calculator
        found["energy"].append([(atoms.get_potential_energy() - labels["energy"]) / len(atoms)])
        found["forces"].append((atoms.get_forces() - labels["forces"]).ravel())
        if atoms.pbc.all():
            found["stress"].append(atoms.get_stress() - labels["stress"])
    return {name: math.sqrt(np.mean(np.concatenate(p) ** 2)) for name, p in found.items()}


def trajectories(prepared_structures, split):
    number = ("train", "validation").index(split)
    names = np.array(prepared_structures.trajectory)
    return set(names[prepared_structures.split == number])


def test_a_written_potential_computes_what_was_fitted(silicon_settings, silicon_file, tmp_path):
    prepared = prepare(silicon_settings(tmp_path / "run", r0=2.35))
    start = [
        Term.read(text) for text in ("Si-Si: x^-8", "Si-Si: x^-4", f"Si-Si-Si: {STILLINGER_WEBER}")
    ]
    expression, loss = prepared.fitter.refit(start)
    error = prepared.error(expression)
    assert error == pytest.approx(prepared.design.error(loss))
    record = delivery.member_record(prepared, expression, error, 1)
    assert delivery.agrees(prepared, record)
    folder = RunFolder(tmp_path / "run")
    with Rewriter() as rewriter:
        delivery._write_member(prepared, folder, record, rewriter)
    potential = symreg.Potential.load(folder.path / "potentials/1/potential.json")
    text = json.loads((folder.path / "potentials/1/potential.json").read_text(encoding="utf-8"))
    assert text["cutoff_three_body"] == prepared.lengths.cutoff_three_body.to_dict()
    assert text["cutoff_three_body"]["r_cut"] == 4.2
    written = potential.provenance["errors"]
    for split in ("train", "validation"):
        chosen = trajectories(prepared.structures, split)
        found = gaps(potential.calculator(), silicon_file, chosen)
        expected = {name: written[split][name]["rmse"] for name in found}
        assert found == pytest.approx(expected, rel=1e-5)
        assert expected == pytest.approx(
            {name: record.errors[split][name]["rmse"] for name in found}, rel=2e-3
        )
    assert record.errors["train"]["forces"]["rmse"] == pytest.approx(0.05, rel=0.2)
    bend, slope, angle = (potential.constants[name] for name in ("w3", "c1", "c2"))
    assert (bend, slope, angle) == pytest.approx((9.0, -3.525, 1 / 3), rel=0.05)


@pytest.mark.slow
def test_every_member_of_a_run_computes_its_errors(silicon_settings, silicon_file, tmp_path, shape):
    changes = {"three_body": shape, "max_complexity": 35, "refit": "train"}
    settings = silicon_settings(tmp_path / "run", **changes)
    run = symreg.search(settings)
    structures = prepare(settings).structures
    assert any(kinds_of(member) == {PAIRS, TRIPLETS} for member in run.front)
    rows = files.read_rows(run.folder / "front.csv")
    assert len(rows) == len(run.front)
    for row, member in zip(rows, run.front, strict=True):
        assert float(row["error"]) == pytest.approx(member.error)
    for member in run.front:
        written = member.potential.provenance  # what SymPy made simpler has constants of its own
        assert written["training_error"] == pytest.approx(member.error, rel=2e-3)
        for split in ("train", "validation"):
            chosen = trajectories(structures, split)
            found = gaps(member.potential.calculator(), silicon_file, chosen)
            expected = {name: written["errors"][split][name]["rmse"] for name in found}
            assert found == pytest.approx(expected, rel=1e-5)
    best = run.best()
    parity = json.loads((best.folder / "lammps" / "parity.json").read_text(encoding="utf-8"))
    if parity["status"] == "run":
        assert parity["forces_max"] < 1e-5
