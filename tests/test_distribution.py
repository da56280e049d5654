"""The package is installed under a name of its own: ``symreg`` in the registries is another's."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from symreg.versions import DISTRIBUTION, install

CHECKOUT = Path(__file__).resolve().parents[1]


def tracked():
    """Text files of the checkout, or of an unpacked source distribution."""
    found = subprocess.run(["git", "ls-files"], cwd=CHECKOUT, capture_output=True, text=True)
    names = found.stdout.splitlines()
    paths = [CHECKOUT / n for n in names] if names else CHECKOUT.rglob("*")
    kinds = {".py", ".md", ".toml", ".yml", ".yaml", ".cff", ".ipynb", ".json"}
    for path in paths:
        if path.suffix in kinds and path.is_file() and ".venv" not in path.parts:
            yield path


STRANGER = re.compile(r"\bsymreg\[|pip install(?: -\S+)* [\"']?symreg(?![-\w])")


def test_no_text_installs_the_other_project():
    me = "test_distribution.py"
    wrong = [p.name for p in tracked() if p.name != me and STRANGER.search(p.read_text("utf-8"))]
    assert wrong == []


@pytest.mark.parametrize("text", ["pip install symreg", 'pip install -U "symreg[dask]"'])
def test_texts_that_install_the_other_project_would_be_found(text):
    assert STRANGER.search(text)
    assert not STRANGER.search(text.replace("symreg", DISTRIBUTION))


def test_the_name_is_that_of_the_project():
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["name"] == DISTRIBUTION
    extra = next(iter(project["optional-dependencies"]))
    assert install(extra) == f'pip install "{DISTRIBUTION}[{extra}]"'
