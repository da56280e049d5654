"""LAMMPS files that cannot be misread, and that nothing from outside breaks out of."""

import json
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms

from symreg.lammps import export, folder
from symreg.lammps.lepton import tree_to_lepton
from symreg.lammps.plugin import build_plugin, plugin_of
from symreg.lammps.roundtrip import MEASURE, reference
from symreg.lammps.routes import make_routes
from symreg.lammps.runtime import LammpsError, run
from symreg.lammps.specimens import data_file, make_specimens
from symreg.language import parse
from symreg.potential import Potential

needs_compiler = pytest.mark.skipif(shutil.which("c++") is None, reason="there is no C++ compiler")
needs_lmp = pytest.mark.skipif(shutil.which("lmp") is None, reason="there is no lmp command")
PAIR, EMBEDDED = "exp(-11.0*(x - 1))", "0.01*sum(exp(-4.6*(x - 1)))^2"


@pytest.fixture
def unmeasured(monkeypatch):
    """Exports without LAMMPS and compiler."""

    def missing(*_):
        raise LammpsError("there is no compiler")

    monkeypatch.setattr(folder, "is_installed", lambda: False)
    monkeypatch.setattr("symreg.lammps.plugin.build_plugin", missing)


@pytest.fixture(scope="module")
def formulas(argon, alloy, make_silicon):
    """A formula for each route, by its style."""
    copper = Potential.from_formula({"Cu-Cu": PAIR, "Cu": EMBEDDED}, r_cut=5.5, r0=2.55, r_lo=1.9)
    weber = make_silicon("1*1*(c + 0.3)^2", kind="stillinger_weber")
    plain = Potential.from_formula({"Ar-Ar": "9e4/r^12 - 60.0/r^6"}, r_cut=8.0, cutoff="none")
    return {"table": alloy, "lepton": argon, "native": plain.formula, "meam": weber, "sw": weber,
            "eam": copper.formula, "plugin": weber}  # fmt: skip


STYLES = ("table", "lepton", "native", "meam", "sw", "eam", "plugin")


@pytest.mark.lammps
@needs_lmp
@needs_compiler
@pytest.mark.parametrize("style", STYLES)
def test_every_route_stops_lammps_in_other_units(formulas, style, tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "is_installed", lambda: False)
    export(formulas[style], tmp_path, style=style)
    script = (tmp_path / "in.check").read_text()
    for units in ("metal", "real", "lj"):
        (tmp_path / "in.units").write_text(script.replace("units metal", f"units {units}"))
        command = ["lmp", "-in", "in.units", "-log", "none"]
        process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        stopped = f"requires metal units but {units} units are in use" in process.stdout
        assert (process.returncode != 0) == stopped == (units != "metal")


@pytest.mark.lammps
@needs_compiler
def test_two_plugins_of_one_element_in_one_process_are_two_styles(make_formula):
    dimer = Atoms("Ar2", [[5, 5, 5], [8.8, 5, 5]], cell=[30] * 3, pbc=True)
    formulas = [make_formula("x^-12 - 2*x^-6", weight=weight) for weight in (0.01, 1.0)]
    files, tasks = {"data.dimer": data_file(dimer, ("Ar",), "dimer")}, []
    for formula in formulas:
        (route,) = make_routes(formula, "plugin", "")
        files |= route.files
        setup = "units metal\natom_modify map array\nread_data data.dimer\n"
        tasks.append({"input": f"{setup}{route.commands}{MEASURE}run 0\n"})
    results = run(tasks, files)["results"]
    found = [result["energy"] for result in results]
    assert found == pytest.approx([reference(f, dimer).energies.sum() for f in formulas])
    assert results[0]["digest"] != results[1]["digest"]


@pytest.mark.lammps
@needs_compiler
def test_parity_fails_where_another_style_ran(make_formula, tmp_path, monkeypatch):
    one, other = (make_formula("x^-12 - 2*x^-6", weight=weight) for weight in (0.01, 0.02))
    plugin, false = plugin_of(one), plugin_of(other)
    # The other formula under the name of the first.
    source = false.files()[false.source].replace(false.digest, plugin.digest)
    library = build_plugin({**false.files(), false.source: source}, false.library)
    monkeypatch.setattr("symreg.lammps.plugin.build_plugin", lambda *_: library)
    parity = export(one, tmp_path, style="plugin")
    assert parity["status"] == "failed: it ran another pair style than that of route 'plugin'"
    assert parity["forces_max"] is None


def test_energies_of_free_atoms_do_not_change_the_name_of_a_plugin(argon):
    same = plugin_of(replace(argon, e0={"Ar": 3.0}))
    assert same.style == plugin_of(argon).style
    assert re.fullmatch(r"symreg/ar/[0-9a-f]{12}", same.style)


def test_the_script_that_builds_is_the_same_for_all_formulas(argon, alloy):
    assert plugin_of(argon).files()["build.sh"] == plugin_of(alloy).files()["build.sh"]


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("style", ["table", "eam", "plugin"])
def test_provenance_does_not_break_out_of_its_line(formulas, style, tmp_path):
    bad = "a\nshell touch x\r\n\u2028pair_style zero\x00 UNITS: real &"
    constants = [{"name": bad, "value": 1.0}]
    words = dict.fromkeys(("date", "contributor", "citation", "data"), bad)
    export(
        formulas[style],
        tmp_path,
        style=style,
        provenance={**words, bad: bad, "constants": constants},
    )
    for file in tmp_path.iterdir():
        lines = re.split("[\r\n\u2028\x00]", file.read_text())
        assert not [line for line in lines if line.startswith(("shell", "pair_style zero"))]
        assert not any("UNITS: real" in line for line in lines)


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("constants", [3, [3], [{"name": "w1"}], [{"name": "w1", "value": "1"}]])
def test_constants_of_a_file_that_are_no_table_are_told_as_they_stand(argon, tmp_path, constants):
    export(argon, tmp_path, style="lepton", provenance={"constants": constants})
    text = (tmp_path / "README.md").read_text()
    assert f"- constants: {constants}" in text
    assert "| name |" not in text


@pytest.mark.lammps
def test_the_table_of_sw_begins_at_the_domain_and_closer_atoms_stop_lammps(formulas, tmp_path):
    formula = formulas["sw"]
    parity = export(formula, tmp_path, style="sw")
    assert parity["table"]["r_min"] == formula.r_lo == 1.9
    assert parity["forces_max"] < 1e-6
    text = (tmp_path / "README.md").read_text()
    assert "The table begins at 1.9 Å; closer atoms stop LAMMPS." in text
    assert "wall" not in text
    assert "do not feel" not in text
    files = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    for distance in (1.91, 1.89):
        atoms = Atoms(
            "Si3", [[5, 5, 5], [5 + distance, 5, 5], [5, 7.5, 5]], cell=[30] * 3, pbc=True
        )
        files["data.check"] = data_file(atoms, ("Si",), "trimer").encode()
        task = {"input": "include in.check\n"}
        if distance > formula.r_lo:
            (result,) = run([task], files)["results"]
            np.testing.assert_allclose(
                result["forces"], reference(formula, atoms).forces, atol=1e-6
            )
        else:
            with pytest.raises(LammpsError, match="Pair distance < table inner cutoff"):
                run([task], files)


@pytest.mark.parametrize("style", STYLES)
def test_structures_to_compare_on_cross_the_beginning_of_the_domain(formulas, style):
    formula = formulas[style]
    names = {"close cluster", "wall cluster"}
    (cluster,) = (s.atoms for s in make_specimens(formula, 0.2) if s.name in names)
    distances = cluster.get_all_distances()[np.triu_indices(5, 1)]
    assert (distances < formula.r_lo).sum() > 2
    assert ((distances > formula.r_lo) & (distances < 1.1 * formula.r_lo)).sum() > 1


@pytest.mark.lammps
@needs_compiler
@pytest.mark.parametrize("style", ["table", "lepton", "meam", "eam", "plugin"])
def test_lammps_is_the_formula_on_both_sides_of_the_domain(formulas, style, tmp_path):
    parity = export(formulas[style], tmp_path, style=style)
    record = parity["routes"][style]
    assert {"close dimers", "wall"} & set(record["checks"])
    assert record["checks"].get("close cluster", {"forces_max": 0.0})["forces_max"] < 5e-6
    assert record["wall_forces_relative_max"] < 1e-4


@pytest.mark.usefixtures("unmeasured")
def test_files_of_another_style_are_removed_and_those_of_others_are_not(formulas, tmp_path):
    (tmp_path / "Ar.table").write_text("mine")
    (tmp_path / "notes.txt").write_text("mine")
    for style in ("meam", "plugin", "sw"):
        export(formulas[style], tmp_path, style=style)
    names = {file.name for file in tmp_path.iterdir()}
    assert names == {
        "Ar.table", "notes.txt", "README.md", "parity.json", "potential.mod", "in.check", "in.nve",
        "data.check", "reference.json", "Si.units.metal", "Si-domain.table", "Si-1.sw",
    }  # fmt: skip
    assert (tmp_path / "Ar.table").read_text() == "mine"


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("files", [["../Ar.table", "notes.txt"], "notes.txt", [1, None], None])
def test_a_record_that_names_other_files_removes_none(argon, tmp_path, files):
    place = tmp_path / "lammps"
    place.mkdir()
    others = [tmp_path / "Ar.table", place / "notes.txt"]
    for file in others:
        file.write_text("mine")
    (place / "parity.json").write_text(json.dumps({"files": files}))
    export(argon, place, style="lepton")
    assert all(file.read_text() == "mine" for file in others)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_no_number_of_a_lepton_string_is_a_name(value):
    with pytest.raises(ValueError, match="which is not finite"):
        tree_to_lepton(parse("2.0*x").with_constants([value]))
