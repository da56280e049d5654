"""README and docs: their blocks run, their links lead somewhere, nothing is left out."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

import pytest

from symreg import config
from symreg.language.operators import COSTS

CHECKOUT = Path(__file__).resolve().parents[1]
DOCS = CHECKOUT / "docs"
README = CHECKOUT / "README.md"
PAGES = [README, *sorted(DOCS.glob("*.md"))]

LANGUAGES = {"sh", "python", "toml", "text", "{toctree}", "{eval-rst}", "{include}"}
SET_UP = 2  # blocks of the README that `.ci/run` takes as its first steps
NOT_RUN = {
    ("searching.md", "it needs a search under way"),  # test_interruption.py has one
    ("searching.md", "it needs a cluster"),  # test_clusters.py makes one
    ("contributing.md", "it installs"),
    ("contributing.md", "it builds this site"),  # `.ci/run` does
}
QUICK = {
    "minutes = 10.0 ": "epochs = 1",
    "population_size = 400": "population_size = 40",
    "islands = 4": "islands = 1",
    'generations_per_epoch = "auto"': "generations_per_epoch = 5",
    "max_complexity = 60": "max_complexity = 15",
}
"""Replacements that make the run file that `symreg init` writes one of seconds."""
SHIM = f"""\
#!{sys.executable}
import sys
from pathlib import Path
from symreg.cli import main

if __name__ == "__main__":
    try:
        main()
    finally:
        if sys.argv[1] == "init":
            path = Path("run.toml")
            text = path.read_text(encoding="utf-8")
            for setting, quick in {QUICK!r}.items():
                assert setting in text, setting
                text = text.replace(setting, quick + "  # was ")
            path.write_text(text, encoding="utf-8")
"""


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    text: str
    line: int
    excuse: str
    """Why it is not run; empty for most."""


def blocks_of(page):
    pattern = re.compile(
        r"(?:<!-- not run: (?P<excuse>.+?) -->\n)?^```(?P<language>\S*).*?\n(?P<text>.*?)^```$",
        re.MULTILINE | re.DOTALL,
    )
    text = page.read_text(encoding="utf-8")
    return [
        Block(m["language"], m["text"], text.count("\n", 0, m.start("text")), m["excuse"] or "")
        for m in pattern.finditer(text)
    ]


SET_UP_BLOCKS = [b.text for b in blocks_of(README) if b.language == "sh"][:SET_UP]


def runnable(page):
    return [
        block
        for block in blocks_of(page)
        if block.language in ("sh", "python")
        and not block.excuse
        and block.text not in SET_UP_BLOCKS
    ]


def generated():
    """The module that makes the tables of the site; it needs no Sphinx."""
    spec = importlib.util.spec_from_file_location("generated", DOCS / "generated.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def slugs(page):
    """Anchors of a page's headings, as hosts of repositories and the site make them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    found = set()
    for heading in re.findall(r"^#+ (.+)$", text, flags=re.M):
        kept = re.sub(r"[^\w\- ]", "", heading.lower())
        found.add(kept.strip().replace(" ", "-"))
    return found


def name_of(page):
    return page.relative_to(CHECKOUT).as_posix()


def test_readme_is_short():
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 160


def test_readme_begins_with_the_two_set_up_commands():
    first, second = SET_UP_BLOCKS
    assert first.count("\n") == second.count("\n") == 1  # .ci/run takes one line each
    assert "pip install" in first
    assert first.endswith("symreg demo\n")
    assert "pip install" in second
    assert second.endswith("-m pytest\n")


@pytest.mark.parametrize("page", [*PAGES, CHECKOUT / "benchmarks" / "README.md"], ids=name_of)
def test_every_relative_link_leads_somewhere(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.is_relative_to(CHECKOUT), f"{name_of(page)} links to {target}, outside"
        assert file.is_file(), f"{name_of(page)} links to {target}, which does not exist"
        if anchor:
            assert anchor in slugs(file), f"{name_of(page)} links to {target}: no such heading"


def test_readme_links_to_every_page_of_the_site():
    text = README.read_text(encoding="utf-8")
    pages = {page.name for page in DOCS.glob("*.md")} - {"index.md", "benchmarks.md"}
    assert {name for name in pages if f"(docs/{name})" in text} == pages


def test_every_setting_is_documented():
    text = generated().settings_markdown()
    tables = generated().tables_of_settings()
    assert list(tables) == ["data", "terms", "loss", "search", "output"]
    for name, settings in tables.items():
        assert f"## `[{name}]`" in text
        for field in fields(settings):
            assert re.search(rf"^\| `{field.name}` \| .+ \| \S.+ \|$", text, flags=re.M), field.name


def test_every_operator_is_in_the_table_of_costs():
    text = generated().operators_markdown()
    for name, cost in COSTS.items():
        assert re.search(rf"^\| `{name}` \| \S.* \| {cost} \|$", text, flags=re.M), name


def test_generated_tables_stand_in_one_page_each():
    every = "".join(page.read_text(encoding="utf-8") for page in DOCS.glob("*.md"))
    for marker, text in generated().PIECES.items():
        assert every.count(marker) == 1
        assert text().strip()


def test_blocks_that_do_not_run_are_few_and_named():
    found = {(page.name, b.excuse) for page in PAGES for b in blocks_of(page) if b.excuse}
    assert found == NOT_RUN
    for page in PAGES:
        fences = re.findall(r"^```", page.read_text(encoding="utf-8"), flags=re.M)
        blocks = blocks_of(page)
        assert len(fences) == 2 * len(blocks)
        assert {block.language for block in blocks} <= LANGUAGES
        for block in blocks:
            assert block.language != "text" or "symreg run" not in block.text


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_run_file_is_valid(page):
    for block in blocks_of(page):
        if block.language == "toml":
            record = tomllib.loads(block.text)
            config.from_dict({"data": {"train": ["my.extxyz"]}, **record})


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Environment variables with a `symreg` whose searches take seconds."""
    folder = tmp_path_factory.mktemp("commands")
    shim = folder / "symreg"
    shim.write_text(SHIM, encoding="utf-8")
    shim.chmod(0o755)
    path = os.pathsep.join([str(folder), os.environ["PATH"]])
    # The package that is tested here is the one that the commands use.
    package = os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")]))
    return os.environ | {"PATH": path, "PYTHONPATH": package, "COLUMNS": "100"}


def bash(text, folder, environment):
    command = ["bash", "-euo", "pipefail", "-c", text]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="module")
def finished(tmp_path_factory, environment):
    """A folder with data and a finished run of one epoch, as pages after the first hour have it."""
    folder = tmp_path_factory.mktemp("finished")
    shutil.copy(CHECKOUT / "symreg" / "data" / "argon" / "argon.extxyz", folder / "my.extxyz")
    bash("symreg init . && symreg run run.toml", folder, environment)
    return folder


ADDING = DOCS / "adding.md"
EXAMPLES = re.split(r"^## ", ADDING.read_text(encoding="utf-8"), flags=re.M)[1:]


@pytest.mark.slow
@pytest.mark.lammps
@pytest.mark.parametrize("section", EXAMPLES, ids=lambda text: text.partition("\n")[0])
def test_what_is_added_works_with_nothing_else_touched(section, environment, tmp_path):
    shutil.copytree(
        CHECKOUT / "symreg", tmp_path / "symreg", ignore=shutil.ignore_patterns("__pycache__")
    )
    pattern = r"(?:<!-- (?:in|into) (\S+)(?: (before|after): (.+?))? -->\n)?```\w+\n(.*?)^```$"
    script = []
    for file, side, line, text in re.findall(pattern, section, flags=re.M | re.S):
        if not file:
            script.append(text)
            continue
        path = tmp_path / file
        if not side:  # it stands there
            assert text in path.read_text(encoding="utf-8")
            continue
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        (place,) = [n for n, found in enumerate(lines) if found.strip().startswith(line)]
        lines.insert(place + (side == "after"), text)
        path.write_text("".join(lines), encoding="utf-8")
    (tmp_path / "example.py").write_text("".join(script), encoding="utf-8")
    command = [sys.executable, "example.py"]
    there = environment | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=there, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.lammps
@pytest.mark.parametrize(
    "page", [page for page in PAGES if runnable(page) and page != ADDING], ids=name_of
)
def test_blocks_run_in_order(page, finished, environment, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(finished / "my.extxyz", "my.extxyz")
    if not any("symreg init" in block.text for block in runnable(page)):
        shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    names = {"__name__": "page"}
    for block in runnable(page):
        if block.language == "sh":
            bash(block.text, tmp_path, environment)
        else:
            exec(compile(block.text, f"{page}:{block.line}", "exec"), names)
