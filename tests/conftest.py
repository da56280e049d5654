import math
import os
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run: a failure can be repeated, a pass does not depend on luck.
settings.register_profile("symreg", derandomize=True, deadline=None, database=None)
settings.load_profile("symreg")

CHECKOUT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    folder = Path(os.environ.get("SYMREG_SHARED_DATA", CHECKOUT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no public data at {folder}; set SYMREG_SHARED_DATA")
    return folder


def front_record(number, complexity, error, formula, constants=(), weight=0.01):
    """A member of a front as `front.json` holds it."""
    quantities = {
        "energy": {"rmse": error * 0.005, "mae": error * 0.004, "n": 40},
        "forces": {"rmse": error * 0.1, "mae": error * 0.08, "n": 480},
    }
    return {
        "number": number,
        "complexity": complexity,
        "n_constants": len(constants) + 1,
        "error": error,
        "expression": f"{weight}*({formula})",
        "errors": {
            split: {**quantities, "groups": {"dimers": quantities, "clusters": quantities}}
            for split in ("train", "validation", "test")
        },
        "terms": [
            {
                "kind": "pair",
                "species": ["Ar", "Ar"],
                "weight": weight,
                "formula": formula,
                "constants": {},
            }
        ],
        "r0": 3.8,
        "e0": {"Ar": 0.0},
        "constants": [
            {"name": "w1", "value": weight, "standard_error": 1e-4, "low": 0.009, "high": 0.011},
            *(
                {"name": f"c{k}", "value": c, "standard_error": None, "low": None, "high": None}
                for k, c in enumerate(constants, 1)
            ),
        ],
        "exact_difference": 1e-9,
        "simplified": True,
    }


@pytest.fixture
def small_run(tmp_path):
    """A finished run folder with a front of four members, and no potentials."""
    from symreg.config import DataSettings, OutputSettings, SearchSettings, Settings
    from symreg.runs import RunFolder

    settings = Settings(
        data=DataSettings(train=("argon.extxyz",)),
        search=SearchSettings(epochs=2),
        output=OutputSettings(folder="argon"),
        base=tmp_path,
    )
    folder = RunFolder.create(settings)
    folder.write_json(
        "data.json",
        {
            "files": {"argon.extxyz": {"setting": "train", "structures": 50}},
            "structures": {"train": 40, "validation": 10, "test": 0},
            "atoms": {"train": 160, "validation": 40, "test": 0},
            "groups": {"dimers": {"train": {"structures": 20, "atoms": 40}}},
            "labels": {"energy": 50, "forces": 50, "stress": 0},
            "species": ["Ar"],
            "closest": {"Ar-Ar": 2.9},
            "max_force": 3.1,
            "isolated_atoms": {"Ar": None},
            "notes": ["energies are under 'energy'"],
            "warnings": ["two structures are equal: <frames> 3 and 7"],
            "data_hash": "0" * 64,
        },
    )
    folder.write_json("floor.json", {"error": 0.08})
    folder.write_front(
        [
            front_record(3, 18, 0.09, "x^-12.6 - 1.9*x^-6.1", (12.6, 1.9, 6.1)),
            front_record(0, 5, 2.5, "x^-12"),
            front_record(1, 9, 0.4, "x^-12 - 2*x^-6"),
            front_record(2, 11, 0.1, "x^-12 - 1.9*x^-6", (1.9,)),
        ]
    )
    for generation in range(3):
        folder.append_row(
            "generations.csv", {"generation": generation, "error": 1 / (1 + generation)}
        )
    folder.finish()
    return folder.path


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="rewrite the files in golden/")


@pytest.fixture
def golden(request):
    """Compare a text with a stored file: words exactly, numbers to 1e-9."""

    def same(word: str, stored: str) -> bool:
        try:
            return math.isclose(float(word), float(stored), rel_tol=1e-9, abs_tol=1e-15)
        except ValueError:
            return word == stored

    def compare(text: str, name: str) -> None:
        path = CHECKOUT / "tests" / "golden" / name
        if request.config.getoption("--update-golden"):
            path.write_text(text)
        lines, stored = text.splitlines(), path.read_text().splitlines()
        assert len(lines) == len(stored), f"{name} has {len(stored)} lines, not {len(lines)}"
        for number, (line, old) in enumerate(zip(lines, stored, strict=True), 1):
            words, olds = line.split(), old.split()
            alike = len(words) == len(olds) and all(map(same, words, olds))
            assert alike, f"{name} line {number}: '{old}' is now '{line}'"

    return compare
