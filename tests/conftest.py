import math
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list
from hypothesis import settings
from threadpoolctl import threadpool_limits

# The same examples in every run: a failure can be repeated, a pass does not depend on luck.
settings.register_profile("symreg", derandomize=True, deadline=None, database=None)
settings.load_profile("symreg")

# Matrices are small here: threads of BLAS would only wait for each other, some 10 times longer.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # what is loaded later, and subprocesses
threadpool_limits(1)

# A shell that runs the tests in the background has Ctrl-C ignored, by all that they start too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def lines_of_any_length(monkeypatch):
    """As in a pipe; processes that run tests side by side may say how wide a terminal is."""
    monkeypatch.delenv("COLUMNS", raising=False)


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
                "term": f"Ar-Ar: {formula}",
                "weight": weight,
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
        "simplified": None,
    }


@pytest.fixture
def small_run(tmp_path):
    """A finished run folder with a front of four members, and no potentials."""
    from symreg import files
    from symreg.config import DataSettings, OutputSettings, SearchSettings, Settings
    from symreg.runs import RunFolder
    from symreg.runs.records import MemberRecord

    settings = Settings(
        data=DataSettings(train=("argon.extxyz",)),
        search=SearchSettings(epochs=2),
        output=OutputSettings(folder="argon"),
        base=tmp_path,
    )
    folder = RunFolder.create(settings)
    files.write_json(
        folder.path / "data.json",
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
    files.write_json(folder.path / "floor.json", {"error": 0.08})
    folder.write_front(
        [
            MemberRecord.from_dict(front_record(*member))
            for member in (
                (3, 18, 0.09, "x^-12.6 - 1.9*x^-6.1", (12.6, 1.9, 6.1)),
                (0, 5, 2.5, "x^-12"),
                (1, 9, 0.4, "x^-12 - 2*x^-6"),
                (2, 11, 0.1, "x^-12 - 1.9*x^-6", (1.9,)),
            )
        ]
    )
    for generation in range(3):
        row = {"generation": generation, "error": 1 / (1 + generation)}
        files.append_row(folder.path / "generations.csv", row)
    folder.finish()
    return folder.path


# Searches of seconds: synthetic argon, labelled here without any code of the package.

R_ON, R_CUT = 4.5, 6.5


def lennard_jones(epsilon, sigma):
    """Energy in eV and slope in eV/Å at distances in Å."""

    def pair(r):
        s6 = (sigma / r) ** 6
        return 4 * epsilon * (s6 * s6 - s6), -24 * epsilon * (2 * s6 * s6 - s6) / r

    return pair


def septic(r, r_on=R_ON, r_cut=R_CUT):
    t = np.clip((r - r_on) / (r_cut - r_on), 0, 1)
    slope = (-140 * t**3 + 420 * t**4 - 420 * t**5 + 140 * t**6) / (r_cut - r_on)
    return 1 - 35 * t**4 + 84 * t**5 - 70 * t**6 + 20 * t**7, slope


def add_labels(atoms, pairs):
    """Energy, forces and stress from pair functions by pair of symbols, with a septic switch."""
    i, j, r, vector = neighbor_list("ijdD", atoms, R_CUT)
    fade, fade_slope = septic(r)
    energy, slope = np.zeros(r.size), np.zeros(r.size)
    symbols = np.array(atoms.get_chemical_symbols())
    for (a, b), pair in pairs.items():
        here = (symbols[i] == a) & (symbols[j] == b) | (symbols[i] == b) & (symbols[j] == a)
        u, du = pair(r[here])
        energy[here], slope[here] = u * fade[here], du * fade[here] + u * fade_slope[here]
    forces = np.zeros((len(atoms), 3))
    np.add.at(forces, i, (slope / r)[:, None] * vector)
    atoms.info["energy"] = 0.5 * float(energy.sum())
    atoms.arrays["forces"] = forces
    if atoms.pbc.all():
        virial = 0.5 * np.einsum("p,pa,pb->ab", slope / r, vector, vector)
        atoms.info["stress"] = virial / atoms.get_volume()
    return atoms


@pytest.fixture(scope="session")
def synthetic():
    """The potential that the data of these tests are made with."""
    return SimpleNamespace(
        lennard_jones=lennard_jones, add_labels=add_labels, r_on=R_ON, r_cut=R_CUT
    )


@pytest.fixture(scope="session")
def argon_images():
    """Rattled crystals and dimers with Lennard-Jones labels: eps 0.0104 eV, sigma 3.4 Å."""
    rng = np.random.default_rng(0)
    images = []
    for side in np.linspace(4.9, 5.7, 8):
        crystal = bulk("Ar", "fcc", a=side, cubic=True)
        crystal.positions += rng.normal(0, 0.12, crystal.positions.shape)
        crystal.info["group"] = "bulk"
        images.append(crystal)
    images += [
        Atoms("Ar2", [[0, 0, 0], [0, 0, distance]], info={"group": "dimer"})
        for distance in np.linspace(3.2, 6.0, 10)
    ]
    return [add_labels(atoms, {("Ar", "Ar"): lennard_jones(0.0104, 3.4)}) for atoms in images]


@pytest.fixture(scope="session")
def argon_file(argon_images, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "argon.extxyz"
    ase.io.write(path, argon_images)
    return path


@pytest.fixture(scope="session")
def search_settings(argon_file):
    """Settings of a search of a second; keywords are settings that differ."""
    from symreg import config
    from symreg.config.settings import toml_value

    def make(folder, data=argon_file, **changes):
        record = {
            "data": {"train": [str(data)]},
            "terms": {"r_cut": R_CUT, "r_on": R_ON, "library_seeds": False, "max_complexity": 30},
            "search": {
                "population_size": 40,
                "islands": 2,
                "generations_per_epoch": 4,
                "epochs": 2,
                "workers": 1,
            },
            "output": {"folder": str(folder)},
        }
        return config.from_dict(record, overrides={k: toml_value(v) for k, v in changes.items()})

    return make


# The same with three-body terms, in the manner of Stillinger and Weber (1985).

SILICON = SimpleNamespace(
    pairs=(3.0, 5.0), triplets=(2.52, 4.2), a=2.35, repulsion=6.0, attraction=8.0, bend=9.0, k=1.5
)


def add_silicon_labels(atoms):
    """Energy, forces and stress of A (a/r)^8 - B (a/r)^4 and K h h (cos + 1/3)^2, in eV and Å."""
    i, j, r, vector = neighbor_list("ijdD", atoms, SILICON.pairs[1])
    fade, fade_slope = septic(r, *SILICON.pairs)
    four = (SILICON.a / r) ** 4
    u = SILICON.repulsion * four**2 - SILICON.attraction * four
    du = (-8 * SILICON.repulsion * four**2 + 4 * SILICON.attraction * four) / r
    energy = 0.5 * float(u @ fade)
    pull = (0.5 * (du * fade + u * fade_slope) / r)[:, None] * vector  # slope by each vector
    fade, fade_slope = septic(r, *SILICON.triplets)
    decay = np.exp(-SILICON.k * (r - SILICON.a))
    h, dh = decay * fade, decay * (fade_slope - SILICON.k * fade)
    for atom in range(len(atoms)):
        near = np.flatnonzero(i == atom)
        unit = vector[near] / r[near, None]
        bend = unit @ unit.T + 1 / 3
        np.fill_diagonal(bend, 0.0)
        energy += 0.5 * SILICON.bend * float(h[near] @ bend**2 @ h[near])
        along = SILICON.bend * dh[near] * (bend**2 @ h[near])
        turning = 2 * SILICON.bend * bend * np.outer(h[near] / r[near], h[near])
        across = turning @ unit - (turning * (unit @ unit.T)).sum(axis=1)[:, None] * unit
        pull[near] += along[:, None] * unit + across
    forces = np.zeros((len(atoms), 3))
    np.add.at(forces, i, pull)
    np.subtract.at(forces, j, pull)
    atoms.info["energy"], atoms.arrays["forces"] = energy, forces
    if atoms.pbc.all():
        atoms.info["stress"] = np.einsum("pa,pb->ab", vector, pull) / atoms.get_volume()
    return atoms


def make_silicon(rattle):
    """Crystals and clusters, atoms moved by ``rattle`` in Å, with Stillinger-Weber-like labels."""
    rng = np.random.default_rng(3)
    images = []
    for scale in np.linspace(0.94, 1.06, 9):
        crystal = bulk("Si", "diamond", a=5.43 * scale, cubic=True)
        images.append(crystal)
    for n in (3, 4, 5):
        cluster = bulk("Si", "diamond", a=5.43, cubic=True)[:n]
        cluster.pbc = False
        images.append(cluster)
    for n, atoms in enumerate(images):
        atoms.positions += rng.normal(0, rattle, atoms.positions.shape)
        add_silicon_labels(atoms)
        atoms.info |= {"group": "cluster" if len(atoms) < 8 else "bulk", "trajectory": f"run {n}"}
    return images


@pytest.fixture(scope="session")
def silicon_images():
    """Rattled silicon with large forces."""
    return make_silicon(0.12)


@pytest.fixture(scope="session")
def calm_silicon_images():
    """Rattled silicon with forces as in data for a potential."""
    return make_silicon(0.07)


@pytest.fixture(scope="session")
def silicon_like():
    """The potential that the data of silicon are made with."""
    return SILICON


@pytest.fixture(scope="session")
def silicon(silicon_images):
    """Noisy labels of silicon, some absent, in two groups and all splits."""
    from dataclasses import replace

    from symreg.structures import from_atoms

    rng = np.random.default_rng(5)
    exact = from_atoms(silicon_images)
    energy = exact.energy + exact.n_atoms * rng.normal(0, 0.01, len(exact))
    forces = exact.forces + rng.normal(0, 0.1, exact.forces.shape)
    stress = exact.stress + rng.normal(0, 2e-3, exact.stress.shape)
    energy[4], forces[exact.atoms_of(7)], stress[1] = np.nan, np.nan, np.nan
    split = np.zeros(len(exact), dtype=np.int64)
    split[[2, 10]], split[[5]] = 1, 2
    return replace(exact, energy=energy, forces=forces, stress=stress, split=split)


@pytest.fixture(scope="session")
def silicon_design(silicon):
    """These data, projected."""
    from symreg.fit.design import build_design
    from symreg.fit.loss import LossSettings
    from symreg.terms.cutoff import Cutoff
    from symreg.terms.lengths import Lengths

    cutoffs = [
        Cutoff(kind="septic", r_cut=r_cut, r_on=r_on)
        for r_on, r_cut in (SILICON.pairs, SILICON.triplets)
    ]
    return build_design(silicon, Lengths(*cutoffs, SILICON.a), loss=LossSettings())


@pytest.fixture(scope="session")
def argon_design(search_settings):
    """The argon data, projected."""
    from symreg.runs.pipeline.preparation import prepare

    return prepare(search_settings("nowhere")).design


@pytest.fixture(scope="session")
def argon_run(search_settings, tmp_path_factory):
    """A finished run with all that a search delivers; tests leave it as it is."""
    import symreg

    return symreg.search(search_settings(tmp_path_factory.mktemp("runs") / "argon"))


@pytest.fixture
def front_only(monkeypatch):
    """Searches that deliver their front, but neither potentials, LAMMPS files nor the page."""
    from symreg.runs.pipeline import delivery, searching

    monkeypatch.setattr(delivery, "_write_member", lambda *_: None)
    monkeypatch.setattr(searching._Search, "_publish", lambda *_: None)


@pytest.fixture(scope="session")
def slow_command():
    """The command as a script that rests after every epoch, and delivers the front alone."""
    return """
import time
from symreg.runs.pipeline import delivery, searching

record = searching._Search._record

def slowly(*words):
    record(*words)
    time.sleep(0.7)

searching._Search._record = slowly
searching._Search._publish = lambda *_: None
delivery._write_member = lambda *_: None

from symreg.cli import main
main()
"""


def _two_elements(rng):
    """Strained crystals, clusters, and cells of one atom with a cutoff beyond them."""
    for n in range(9):
        crystal = bulk("Ar", "fcc", a=5.4, cubic=True)
        crystal.symbols = ["ArArKrKr", "ArKrKrKr", "ArArArKr"][n % 3]
        crystal.set_cell((np.eye(3) + rng.normal(0, 0.03, (3, 3))) @ crystal.cell, True)
        crystal.positions += rng.normal(0, 0.12, crystal.positions.shape)
        yield "crystal", crystal
    for n in range(6):
        cluster = bulk("Kr", "fcc", a=5.5, cubic=True)
        cluster.symbols = ["Ar4", "ArAr2Kr", "ArKrKr2"][n % 3]
        cluster.set_cell(np.zeros((3, 3)))
        cluster.pbc = False
        cluster.positions += rng.normal(0, 0.15, cluster.positions.shape)
        yield "cluster", cluster
    for symbol, side in (("Ar", 3.5), ("Kr", 3.8), ("Ar", 3.9)):
        yield "cell", bulk(symbol, "sc", a=side)


@pytest.fixture(scope="session")
def two_elements():
    """Noisy labels of argon and krypton, some absent, in three groups and all splits."""
    from dataclasses import replace

    from symreg.structures import from_atoms

    rng = np.random.default_rng(3)
    pairs = {
        ("Ar", "Ar"): lennard_jones(0.0104, 3.4),
        ("Ar", "Kr"): lennard_jones(0.0121, 3.5),
        ("Kr", "Kr"): lennard_jones(0.0141, 3.65),
    }
    images = []
    for n, (group, atoms) in enumerate(_two_elements(rng)):
        add_labels(atoms, pairs)
        symbols = atoms.get_chemical_symbols()
        free = -0.3 * symbols.count("Ar") - 0.7 * symbols.count("Kr")
        atoms.info["energy"] += free + len(atoms) * rng.normal(0, 0.002)
        atoms.arrays["forces"] += rng.normal(0, 0.01, (len(atoms), 3))
        if "stress" in atoms.info:
            noise = rng.normal(0, 5e-4, (3, 3))
            atoms.info["stress"] += noise + noise.T
        atoms.info |= {"group": group, "trajectory": f"{group} {n}"}
        images.append(atoms)
    del images[0].info["stress"], images[1].arrays["forces"], images[9].info["energy"]
    structures = from_atoms(images)
    split = np.zeros(len(images), dtype=np.int64)
    split[[2, 10, 16]], split[[5, 11]] = 1, 2
    return replace(structures, split=split)


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
