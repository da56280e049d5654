import json

import pytest

from symreg.runs import pipeline


@pytest.mark.slow
def test_demo_finds_a_formula_that_known_forms_do_not_match_and_lammps_computes(tmp_path):
    run = pipeline.demo("argon", tmp_path / "demo")
    best = run.best()
    known = run.floor["baselines"]
    simple = [form["error"] for form in known.values() if form["complexity"] <= best.complexity]
    assert best.error < 0.2 * min(simple)
    assert run.floor["error"] < best.error < 1.0
    assert best.errors["validation"]["energy"]["rmse"] < 5e-5
    assert best.errors["test"]["energy"]["rmse"] < 3e-3
    assert all(member.record["exact_difference"] < 1e-3 * member.error for member in run.front)
    assert (run.folder / "report.html").exists()
    parity = json.loads((best.folder / "lammps" / "parity.json").read_text(encoding="utf-8"))
    if parity["status"] == "run":
        assert parity["forces_max"] < 1e-6
        assert parity["energy_per_atom_max"] < 1e-6


@pytest.mark.slow
def test_demo_of_silicon_beats_known_three_body_forms_and_lammps_computes_it(tmp_path):
    run = pipeline.demo("silicon", tmp_path / "demo")
    best, known = run.best(), run.floor["baselines"]
    assert best.error < 0.7 * known["Stillinger-Weber-like"]["error"]
    assert run.front[-1].error < 0.7 * min(form["error"] for form in known.values())
    groups = run.front[-1].errors["validation"]["groups"]
    for group in ("diamond_ev", "elastic", "rattled_diamond"):
        assert groups[group]["energy"]["rmse"] < 0.01  # eV/atom
    assert all(member.record["exact_difference"] < 1e-3 * member.error for member in run.front)
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "ψ<sub>Si-Si-Si</sub>" in page
    parity = json.loads((best.folder / "lammps" / "parity.json").read_text(encoding="utf-8"))
    if parity["status"] == "run":
        assert parity["forces_max"] < 5e-6  # the promise for splines
