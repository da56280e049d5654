"""Kinds of input that people hand to symreg, and what symreg does with each.

A kind makes seeds once, spoils one of them for each number, and uses the outcome in a folder of its
own. ``use`` returns "answer" or "refused"; whatever else happens is a failure of symreg.
"""

from __future__ import annotations

import io
import json
import math
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from unittest.mock import patch

import mutations
import numpy as np
from ase import Atoms
from typer.testing import CliRunner

import symreg
from symreg.cli.commands import app
from symreg.formula import Formula
from symreg.lammps.runtime import LammpsError
from symreg.terms import expression_of
from symreg.terms.cutoff import Cutoff

FRAME = """2
Lattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3:forces:R:3 energy=-0.0{k} pbc="T T T"
Ar 0.0 0.0 0.0  0.0 0.0 0.{k}
Ar 0.0 0.1 3.{k}  0.0 0.0 -0.{k}
"""
RUN = """
[data]
train = ["data.extxyz"]
[terms]
r_cut = 6.5
[search]
population_size = 20
islands = 1
epochs = 1
generations_per_epoch = 2
workers = 1
"""


class WrongEndError(Exception):
    """An outcome that must not be: no answer, and no refusal in words."""


@dataclass(frozen=True)
class Kind:
    """One kind of input."""

    spoil: Callable[[random.Random, Path], bytes]
    use: Callable[[bytes], str]
    """What symreg does with it, in the working folder."""


def command(*words: str) -> str:
    """Run a command of symreg's: its answer, or its refusal."""
    result = CliRunner().invoke(app, list(words))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    if result.exit_code == 0:
        return "answer"
    if result.exit_code == 1 and "\nsymreg: " not in f"\n{result.stderr}":
        raise WrongEndError(f"exit 1 without a word: {result.output[:200]}")
    return refusal(result.stderr)


def refusal(text: str) -> str:
    """Check that a refusal says something, in few words."""
    if not text.strip() or "Traceback" in text or len(text) > 3000:
        raise WrongEndError(f"no way to refuse: {text[:300]!r}")
    return "refused"


def refusing(use: Callable[[], None]) -> str:
    """Call symreg from Python, where it refuses by ``ValueError`` or ``OSError``."""
    try:
        use()
    except (ValueError, OSError) as error:
        return refusal(str(error))
    return "answer"


def frames(count: int = 8) -> bytes:
    """Small good data."""
    return "".join(FRAME.format(k=k + 1) for k in range(count)).encode()


def potentials() -> list[bytes]:
    """One file for each kind of sum, and one with two elements."""
    cutoff, shorter = (
        Cutoff(kind="septic", r_cut=6.5, r_on=5.0),
        Cutoff(kind="septic", r_cut=4.5, r_on=3.5),
    )
    pair = "Ar-Ar: x^-12 - x^-6"
    cases = [
        ([pair], ("Ar",)),
        ([pair, "Ar-Ar-Ar: exp(-2.5*x1)*exp(-2.5*x2)*(c + 0.5)^2"], ("Ar",)),
        ([pair, "Ar: sqrt(sum(exp(-2.5*x)))"], ("Ar",)),
        ([pair, "Ar-Kr: exp(-3.5*x)", "Kr-Kr: x^-9"], ("Ar", "Kr")),
    ]
    made = []
    for texts, species in cases:
        expression = expression_of([(0.5, text) for text in texts])
        e0 = dict.fromkeys(species, -0.1)
        formula = Formula(expression, 3.8, e0, species, cutoff, 3.0, {}, shorter)
        made.append(json.dumps(symreg.Potential(formula, {"seed": 1}).to_dict()).encode())
    return made


@cache
def finished() -> Path:
    """A finished run, searched once beside the working folder; its files are seeds."""
    folder = Path.cwd().parent / "finished"
    folder.mkdir()
    (folder / "data.extxyz").write_bytes(frames())
    (folder / "run.toml").write_text(RUN)
    if (said := command("run", str(folder / "run.toml"))) != "answer":
        raise AssertionError(f"the run that seeds come from was {said}")
    return next(path.parent for path in folder.rglob("front.json"))


def read_data(data: bytes) -> str:
    """Read a file of structures and say what is in it."""
    Path("data.extxyz").write_bytes(data)
    Path("run.toml").write_bytes(RUN.encode())
    return command("run", "run.toml", "--dry-run")


def read_settings(data: bytes) -> str:
    """Read a run file, and plan its search; the data are few."""
    Path("data.extxyz").write_bytes(frames())
    Path("run.toml").write_bytes(data)
    return command("run", "run.toml", "--dry-run")


@contextmanager
def lammps_for(data: bytes, one_in: int = 0) -> Iterator[None]:
    """Let exports build and run in LAMMPS for one input in some, or never: that takes seconds."""
    if one_in and len(data) % one_in == 0:
        yield
        return
    with (
        patch("symreg.lammps.folder.is_installed", return_value=False),
        patch("symreg.lammps.plugin.build_plugin", side_effect=LammpsError("not tried")),
    ):
        yield


def compute(data: bytes) -> str:
    """Load a potential, compute a dimer with it, and write the files that need no compiler."""
    Path("potential.json").write_bytes(data)

    def use() -> None:
        potential = symreg.Potential.load("potential.json")
        species = potential.formula.species[0]
        dimer = Atoms([species] * 2, [(0, 0, 0), (0, 0, 1.1 * potential.formula.r0)])
        dimer.calc = potential.calculator()
        if not math.isfinite(dimer.get_potential_energy()):
            raise WrongEndError("the energy of a dimer is no number")
        with lammps_for(data, one_in=10):
            potential.export_lammps("lammps")

    return refusing(use)


GOLDEN = Path(__file__).parents[1] / "golden" / "formats"


def other_format(rng: random.Random, _: Path) -> bytes:
    """A spoiled file of another program, below a line with its name."""
    path = rng.choice(sorted(file for file in GOLDEN.rglob("*") if file.is_file()))
    seed = path.read_bytes()
    if path.suffix == ".json" and rng.random() < 0.6:
        comment = b"" if seed[:1] in (b"{", b"[") else seed[: seed.index(b"\n") + 1]
        data = comment + mutations.json_spoiled(seed.removeprefix(comment), rng)
    else:
        change = mutations.number_replaced if rng.random() < 0.4 else mutations.spoiled
        data = change(seed, rng)
    return path.relative_to(GOLDEN).as_posix().encode() + b"\n" + data


def read_format(data: bytes) -> str:
    """Read a file of another program, and say what is in it."""
    name, _, content = data.partition(b"\n")
    path = Path(name.decode())
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    Path("run.toml").write_text(RUN.replace("data.extxyz", path.as_posix()))
    return command("run", "run.toml", "--dry-run")


def by_hand(rng: random.Random, _: Path) -> bytes:
    """Arguments of ``from_formula`` as JSON, one or two of them spoiled."""
    formulas = dict(rng.choice(mutations.HAND))
    options: dict[str, object] = {"r_cut": 6.5}
    for _ in range(rng.randint(1, 2)):
        action, key = rng.random(), rng.choice(sorted(formulas))
        if action < 0.4:
            formulas[key] = mutations.formula_changed(formulas[key], rng)
        elif action < 0.55:
            formulas[rng.choice(mutations.KEYS)] = (
                formulas.pop(key) if rng.random() < 0.5 else "2.0*r^-9"
            )
        elif action < 0.7:
            spoiled = mutations.spoiled(formulas[key].encode(), rng, mutations.PARTS)
            made = mutations.formula(rng, ("r", "r1", "r2", "c", "s1"))
            formulas[key] = made if rng.random() < 0.4 else spoiled.decode(errors="replace")
        elif action < 0.9:
            names = ("r_cut", "r_lo", "r0", "cutoff_onset", "stillinger_weber_s")
            number = rng.choice((rng.choice(mutations.NUMBERS[:10]), "0.6", "1.5", "3.0", "20.0"))
            options[rng.choice((*names, "r_cut_three_body"))] = float(number)
        else:
            options["e0"] = {rng.choice(mutations.KEYS): float(rng.choice(mutations.NUMBERS[:10]))}
    return json.dumps({"formulas": formulas, **options}).encode()


def make_by_hand(data: bytes) -> str:
    """Make a potential of formulas, save it, and compute with it."""

    def use() -> None:
        options = json.loads(data)
        symreg.Potential.from_formula(options.pop("formulas"), **options).save("made.json")

    said = refusing(use)
    return said if said == "refused" else compute(Path("made.json").read_bytes())


def named_export(rng: random.Random, _: Path) -> bytes:
    """A potential with a history of odd texts, and a folder of an odd name."""
    record = json.loads(rng.choice(potentials()))
    words = (
        "citation",
        "contributor",
        "date",
        "data",
        "errors",
        "seed",
        rng.choice(mutations.TEXTS),
    )
    for word in rng.sample(words, rng.randint(1, 4)):
        text = rng.choice(mutations.TEXTS)
        record["provenance"][word] = rng.choice((text, [text], {text: text}, 1, None))
    return json.dumps({"folder": rng.choice(mutations.NAMES), "potential": record}).encode()


def export_named(data: bytes) -> str:
    """Write LAMMPS files; no text of the history may begin a line that LAMMPS or a shell reads."""
    record = json.loads(data)
    Path("potential.json").write_text(json.dumps(record["potential"]))

    def use() -> None:
        folder = Path(record["folder"])
        with lammps_for(data):
            symreg.Potential.load("potential.json").export_lammps(folder)
        for path in folder.iterdir():
            lines = path.read_text(errors="replace").splitlines()
            if path.suffix != ".md" and any(line.startswith(("shell", "int x")) for line in lines):
                raise WrongEndError(f"a text of the history stands alone in {path.name}")

    return refusing(use)


def open_folder(name: str) -> Callable[[bytes], str]:
    """Show a finished run of which one file is spoiled, and its best member."""

    def use(data: bytes) -> str:
        shutil.copytree(finished(), "run")
        for path in Path("run").glob(name):
            path.write_bytes(data)
        said = command("watch", "run", "--once")
        said = command("show", "run") if said == "answer" else said

        def look() -> None:
            run = symreg.open_run("run")
            repr(run.front)
            if run.front:
                run.best()

        return said if said == "refused" else refusing(look)

    return use


def go_on(data: bytes) -> str:
    """Resume a run from a spoiled checkpoint."""
    shutil.copytree(finished(), "run")
    shutil.copy(finished().parent / "data.extxyz", "data.extxyz")
    settings, manifest = Path("run/run.toml"), Path("run/manifest.json")
    settings.write_text(settings.read_text().replace("epochs = 1", "epochs = 2"))
    manifest.write_text(manifest.read_text().replace('"finished"', '"interrupted"'))
    for name in ("state.npz", "previous.npz"):
        (Path("run") / "checkpoint" / name).write_bytes(data)
    with lammps_for(data):
        return command("resume", "run")


def fit(data: bytes) -> str:
    """Fit a formula as it is typed."""
    Path("data.extxyz").write_bytes(frames())
    text = data.decode(errors="replace").replace("\0", "?")
    return command("fit", "--r-cut", "6.5", "--", text, "data.extxyz")


def some_formula(rng: random.Random, _: Path) -> bytes:
    """A formula by a grammar or a known one, in half of the cases spoiled."""
    made = mutations.formula(rng, ("r", "r", "eps", "sigma"))
    text = (made if rng.random() < 0.6 else rng.choice(mutations.FORMULAS)).encode()
    return mutations.spoiled(text, rng, mutations.PARTS) if rng.random() < 0.5 else text


def _text(seeds: Callable[[], Sequence[bytes]]) -> Callable[[random.Random, Path], bytes]:
    def spoil(rng: random.Random, _: Path) -> bytes:
        seed = rng.choice(seeds())
        change = mutations.number_replaced if rng.random() < 0.3 else mutations.spoiled
        return change(seed, rng)

    return spoil


def _json(seeds: Callable[[], Sequence[bytes]]) -> Callable[[random.Random, Path], bytes]:
    def spoil(rng: random.Random, _: Path) -> bytes:
        change = mutations.json_spoiled if rng.random() < 0.8 else mutations.spoiled
        return change(rng.choice(seeds()), rng)

    return spoil


def _whole_run_file() -> bytes:
    """A run file with every key, which finds its data."""
    text = (finished() / "run.toml").read_text()
    return text.replace('"../data', '"data').replace('folder = "."', 'folder = "run"').encode()


def _run_file(rng: random.Random, _: Path) -> bytes:
    """A run file in which values are those of others, or strange; or one with spoiled bytes."""
    seed = RUN.encode() if rng.random() < 0.2 else _whole_run_file()
    return (mutations.spoiled if rng.random() < 0.2 else mutations.toml_spoiled)(seed, rng)


def _checkpoint(rng: random.Random, _: Path) -> bytes:
    """A checkpoint whose bytes, or whose numbers, are spoiled."""
    path = finished() / "checkpoint" / "state.npz"
    if rng.random() < 0.5:
        return mutations.spoiled(path.read_bytes(), rng)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    name = rng.choice(sorted(arrays))
    values = arrays[name]
    if values.dtype.kind == "U":
        arrays[name] = np.array(mutations.json_spoiled(str(values).encode(), rng).decode())
    elif values.size and rng.random() < 0.7:
        number = rng.choice((-1, 0, 2**31, 10**6, 0.5))
        values.flat[rng.randrange(values.size)] = number
    else:
        arrays[name] = values[: values.shape[0] // 2] if values.ndim else values
    made = io.BytesIO()
    np.savez(made, **arrays)
    return made.getvalue()


RECORDS = ("front.json", "floor.json", "manifest.json", "progress.json", "data.json")
MEMBER = "potentials/*/validation.json"
PARITY = "potentials/*/lammps/parity.json"


def _of_members(pattern: str) -> Callable[[random.Random, Path], bytes]:
    return _json(lambda: [path.read_bytes() for path in sorted(finished().glob(pattern))])


KINDS = {
    "structures": Kind(_text(lambda: [frames()]), read_data),
    "run files": Kind(_run_file, read_settings),
    "potentials": Kind(_json(cache(potentials)), compute),
    "formulas": Kind(some_formula, fit),
    "checkpoints": Kind(_checkpoint, go_on),
    "formats": Kind(other_format, read_format),
    "formulas by hand": Kind(by_hand, make_by_hand),
    "names": Kind(named_export, export_named),
    "checks": Kind(_of_members(MEMBER), open_folder(MEMBER)),
    "parity": Kind(_of_members(PARITY), open_folder(PARITY)),
    **{
        name: Kind(_json(lambda name=name: [(finished() / name).read_bytes()]), open_folder(name))
        for name in RECORDS
    },
}
