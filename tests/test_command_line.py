"""What one meets in a terminal: widths, minus signs, folders that hold a run already."""

import io
import json
import os
import pty
import re
import subprocess
import sys

import pytest
from rich.console import Console
from typer.testing import CliRunner

from symreg import files
from symreg.cli.commands import app
from symreg.cli.lines import folded
from symreg.cli.live import in_lines, table
from symreg.runs import RunFolder
from symreg.runs.records import FrontLine, Progress

LONG = "0.0123456*exp(-4.56789*x)*(x^-12 - 1.98765*x^-6) - 0.00123456*x^-4 + sqrt(sum(x^-3.21))"
COMMAND = [sys.executable, "-c", "from symreg.cli import main; main()"]


def command(*words, **options):
    result = CliRunner().invoke(app, [str(word) for word in words], **options)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture
def progress():
    return Progress(
        epoch=12,
        generation=120,
        seconds=1234.5,
        candidates=1234567,
        candidates_per_second=8123.4,
        floor_error=0.00081,
        lowest_error=1.2345e-07,
        diversity=0.5,
        operators={"point": 0.01},
        front=[FrontLine(5, 2.5, "0.01*x^-12"), FrontLine(109, 1.2345e-07, LONG)],
    )


@pytest.mark.parametrize("width", [60, 80, 100])
def test_the_live_table_keeps_complexity_error_and_formula(progress, width):
    stream = io.StringIO()
    Console(file=stream, width=width).print(table(progress))
    lines = [line.rstrip() for line in stream.getvalue().splitlines()]
    assert all(len(line) <= width for line in lines)
    (last,) = [line for line in lines if " 109 " in line]
    assert re.match(r" +109 +1\.235e-07  0\.0123456\*exp\(-4\.5", last)
    assert [line.split()[:2] for line in lines if line.endswith("x^-12")] == [["5", "2.5"]]
    assert [line.split()[:2] for line in lines if "best of" in line] == [["floor", "0.00081"]]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_no_number_is_broken_over_lines(width):
    text = f"*      2         11         2       0.1  {LONG}\nconstants w1 = 1.5e-05 ± 2e-07"
    lines = folded(text, width).split("\n")
    numbers = re.compile(r"\d[\d.]*(?:e-?\d+)?")
    assert numbers.findall(" ".join(lines)) == numbers.findall(text)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert max(map(len, lines)) <= width


def test_what_is_piped_stays_in_one_line(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert folded(LONG * 5) == LONG * 5


@pytest.mark.parametrize("columns", ["60", "80"])
def test_show_fits_into_its_terminal(small_run, columns):
    output = command("show", small_run, env={"COLUMNS": columns}).output
    long = [line for line in output.splitlines() if len(line) > int(columns)]
    assert all(str(small_run) in line for line in long)  # a path is left whole


def test_watch_once_prints_the_whole_state_into_a_pipe(small_run, progress):
    files.write_json(small_run / "progress.json", progress.to_dict())
    RunFolder(small_run).log("simplifying")
    output = command("watch", small_run, "--once").output
    assert output.startswith(in_lines(progress))
    for text in (LONG, "0.01*x^-12", "floor    0.00081", "8,123/s", "gains: point", "simplifying"):
        assert text in output
    assert output.splitlines()[-1].startswith("finished; see it with")


@pytest.mark.parametrize("name", ["show", "export", "validate"])
def test_a_member_and_a_complexity_are_chosen_alike(small_run, name):
    options = command(name, "--help", env={"COLUMNS": "100"}).output
    assert "--member" in options
    assert "--complexity" in options
    both = command(name, small_run, "--member", 1, "--complexity", 10)
    assert both.exit_code == 1
    assert "--member and --complexity exclude each other" in both.output
    assert "has no member 9" in command(name, small_run, "--member", 9).output
    assert (
        "no member has complexity 1 or less" in command(name, small_run, "--complexity", 1).output
    )


def test_show_takes_a_member_by_its_number(small_run):
    assert "formula   0.01*(x^-12 - 2*x^-6)" in command("show", small_run, "--member", 1).output


@pytest.mark.parametrize("formula", ["-1.0*x^-6", "-eps*(r/2.0)^-6", "-(1.0*r^-6)", "-.5*r^-6"])
def test_a_formula_may_begin_with_a_minus_sign(monkeypatch, formula):
    called = []

    def fit(text, settings, variable):
        called.append((text, settings.data.train, settings.terms.r_cut, variable))
        raise ValueError("enough")

    from symreg.runs import pipeline

    monkeypatch.setattr(pipeline, "fit", fit)
    for words in (
        (formula, "a.extxyz", "--r-cut", 8),
        ("--r-cut", 8, formula, "a.extxyz"),
        ("--r-cut", 8, "--", formula, "a.extxyz"),
    ):
        assert command("fit", *words).output == "symreg: enough\n"
    assert called == [(formula, ("a.extxyz",), 8.0, "r")] * 3


@pytest.mark.parametrize("option", ["--r-cot", "-r", "-x", "-r8"])
def test_an_unknown_option_of_fit_is_named(option):
    result = command("fit", "1.0*r^-6", "a.extxyz", option, "8")
    assert result.exit_code == 2
    assert "No such option" in result.output


# Room for a new run


@pytest.fixture
def run_file(small_run):
    """A run file beside a finished run, whose data cannot be read."""
    path = small_run.parent / "again.toml"
    path.write_text(f'[data]\ntrain = "none.xyz"\n[output]\nfolder = "{small_run.name}"\n')
    return path


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_overwriting_without_a_terminal_needs_a_yes(run_file, small_run):
    before = contents(small_run)
    refused = command("run", run_file, "--overwrite")
    assert refused.exit_code == 1
    assert "there is no terminal: give --yes too" in refused.output
    assert contents(small_run) == before


def test_a_run_is_back_in_its_place_when_the_next_cannot_begin(run_file, small_run):
    before = contents(small_run)
    failed = command("run", run_file, "--overwrite", "--yes")
    assert failed.exit_code == 1
    assert "none.xyz" in failed.output
    assert contents(small_run) == before
    assert not small_run.with_name(f"{small_run.name}-1").exists()


def test_a_run_is_moved_aside_and_never_removed(run_file, small_run, argon_file, monkeypatch):
    from symreg.runs import open_run, pipeline

    def search(settings, **_):
        settings.folder.mkdir()
        moved = small_run.with_name(f"{small_run.name}-1")
        return open_run(moved)

    monkeypatch.setattr(pipeline, "search", search)
    run_file.write_text(run_file.read_text().replace("none.xyz", str(argon_file)))
    before = contents(small_run)
    done = command("run", run_file, "--overwrite", "--yes")
    assert done.exit_code == 0, done.output
    assert contents(small_run.with_name(f"{small_run.name}-1")) == before


def test_what_is_no_run_is_never_moved(run_file, small_run):
    (small_run / "manifest.json").write_text(json.dumps({"versions": {"other": "1"}}))
    refused = command("run", run_file, "--overwrite", "--yes")
    assert "holds no run of symreg" in refused.output
    (small_run / "manifest.json").unlink()
    before = contents(small_run)
    assert "but no run" in command("run", run_file, "--overwrite", "--yes").output
    assert contents(small_run) == before


def test_a_run_that_holds_what_the_next_needs_stays(run_file, small_run):
    inside = small_run / "again.toml"
    inside.write_text(run_file.read_text().replace(f'"{small_run.name}"', '"."'))
    refused = command("run", inside, "--overwrite", "--yes")
    assert "again.toml, which is in use" in refused.output
    assert inside.exists()


def test_a_run_that_is_being_searched_stays(run_file, small_run):
    with RunFolder(small_run).held():
        refused = command("run", run_file, "--overwrite", "--yes")
    assert "is being searched by" in refused.output


@pytest.mark.parametrize(("typed", "said"), [("argon", "none.xyz"), ("yes", "is not 'argon'")])
def test_a_terminal_has_the_name_of_the_folder_typed(run_file, small_run, typed, said):
    master, slave = pty.openpty()
    before = contents(small_run)
    with subprocess.Popen(
        [*COMMAND, "run", str(run_file), "--overwrite"],
        stdin=slave,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        os.write(master, f"{typed}\n".encode())
        output, _ = process.communicate(timeout=60)
    os.close(slave)
    os.close(master)
    assert "type argon to move it aside" in output
    assert said in output
    assert contents(small_run) == before
