"""Run files: TOML in, checked settings out, and back."""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from symreg.config.proposals import term_proposals
from symreg.config.settings import Settings, SettingsError, toml_value
from symreg.files import one_line
from symreg.fit.loss import LossSettings
from symreg.structures.settings import LISTS
from symreg.structures.targets import TargetSettings, commented

TABLES: dict[str, type[Any]] = {
    name: table
    for name, table in get_type_hints(Settings).items()
    if name not in ("base", "targets")
}
"""Settings of each table of a run file, by its name."""
OF_STRUCTURES = {
    *(".xyz", ".extxyz", ".traj", ".cfg", ".json", ".npy", ".xml", ".out", ".db", ".vasp"),
    *("outcar", "poscar", "contcar"),
}
"""Ends of names, and names, of files of structures; all may be compressed."""


def load(path: str | Path, overrides: Mapping[str, str] | None = None) -> Settings:
    """Read a run file.

    Parameters
    ----------
    path
        The TOML file; its paths are relative to the folder it stands in.
    overrides
        Settings that take the place of the file's, as ``{"search.seed": "3"}``; the name of the
        table may be left out. Values are TOML, or plain text.

    Raises
    ------
    OSError
        If the file cannot be read.
    SettingsError
        If it is no TOML, or holds an unknown setting or a value that cannot be used.
    """
    path = Path(path)
    try:
        record = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        said = f"run file {path} does not exist; `symreg init FOLDER` writes one"
        raise FileNotFoundError(said) from None
    except IsADirectoryError:
        raise IsADirectoryError(
            f"{path} is a folder, not a run file; name the .toml file in it, or use "
            f"`symreg resume {path}` for a run that was interrupted"
        ) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        if _holds_structures(path):
            raise SettingsError(
                f"{path} holds structures, and a run file was expected: `symreg data {path}` says "
                f"what is in it, `symreg init {path}` writes a run file for it"
            ) from None
        text = isinstance(error, tomllib.TOMLDecodeError)
        why = f"valid TOML: {error}" if text else "UTF-8 text"
        raise SettingsError(f"run file {path} is not {why}") from None
    return from_dict(record, path.parent, overrides)


def _holds_structures(path: Path) -> bool:
    """Whether a file looks like one of structures: by its name, or by a number of atoms."""
    names = {suffix.lower() for suffix in path.suffixes} | {path.name.lower()}
    with path.open("rb") as stream:
        return bool(names & OF_STRUCTURES) or stream.readline(40).strip().isdigit()


def from_dict(
    record: Mapping[str, Any], base: str | Path = Path(), overrides: Mapping[str, str] | None = None
) -> Settings:
    """Check what a run file holds, tables of keys and values, and build the settings.

    Paths are relative to the folder ``base``; ``overrides`` are as in ``load``. A SettingsError if
    a setting is unknown or its value cannot be used.
    """
    changed = {
        name: dict(table) if isinstance(table, Mapping) else table for name, table in record.items()
    }
    targets = _entries(changed.pop("targets", []))
    for name, text in (overrides or {}).items():
        _override(changed, name, text)
    tables: dict[str, Any] = {name: dict(_table(name, table)) for name, table in changed.items()}
    data = tables.setdefault("data", {})
    for name in LISTS:
        if isinstance(data.get(name), str):
            data[name] = [data[name]]
    terms = tables.get("terms", {})
    if isinstance(terms.get("frozen"), str):
        terms["frozen"] = [terms["frozen"]]
    if not data.get("train"):
        raise SettingsError('[data] train is missing; name a file, as in train = ["my.extxyz"]')
    try:
        # Strict JSON, not Python objects: a list may fill a tuple, but "5" is no number.
        text = json.dumps({**tables, "targets": targets}, default=str)
        settings = TypeAdapter(Settings).validate_json(text, strict=True)
    except ValidationError as error:
        raise SettingsError(_messages(error)) from None
    return replace(settings, base=Path(base))


def _table(name: str, table: object) -> Mapping[str, Any]:
    """Refuse tables and keys that do not exist."""
    if name not in TABLES:
        if owners := _owners(name):
            raise SettingsError(
                f"'{name}' stands outside any table; it belongs below [{owners[0]}]"
            )
        near = difflib.get_close_matches(name, TABLES, n=1)
        hint = f"did you mean [{near[0]}]?" if near else f"there are {', '.join(TABLES)}"
        raise SettingsError(f"there is no table [{name}]; {hint}")
    if not isinstance(table, Mapping):
        raise SettingsError(f"'{name}' is a table; write [{name}] on a line of its own")
    for key in table:
        if key not in _keys(name):
            raise SettingsError(f"[{name}] has no setting '{key}'; {_hint(name, key)}")
    return table


def _entries(targets: object) -> list[Mapping[str, Any]]:
    """Refuse entries of ``[[targets]]`` that are none, and keys that are unknown or missing."""
    if not isinstance(targets, list) or not all(isinstance(one, Mapping) for one in targets):
        raise SettingsError("'targets' is a list of tables; write [[targets]] above each")
    known = {entry.name: entry.default is MISSING for entry in fields(TargetSettings)}
    for n, one in enumerate(targets):
        name = one.get("name", f"number {n + 1}")
        for key in one:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(known)}"
                raise SettingsError(f"[[targets]] {name}: there is no setting '{key}'; {hint}")
        if lacking := [key for key, needed in known.items() if needed and key not in one]:
            raise SettingsError(f"[[targets]] {name}: {lacking[0]} is missing")
    return targets


def _hint(table: str, key: str) -> str:
    if owners := _owners(key):
        return f"it belongs to [{owners[0]}]"
    near = [known for known in _keys(table) if known.startswith(key)]
    near = near or difflib.get_close_matches(key, _keys(table), n=1, cutoff=0.5)
    return f"did you mean '{near[0]}'?" if near else f"there are {', '.join(_keys(table))}"


def _keys(table: str) -> list[str]:
    return [entry.name for entry in fields(TABLES[table])]


def _owners(key: str) -> list[str]:
    """Tables that have a setting."""
    return [table for table in TABLES if key in _keys(table)]


def _override(record: dict[str, Any], name: str, text: str) -> None:
    """Set one value, found by ``table.key`` or by a key alone."""
    *tables, key = name.split(".")
    tables = tables or _owners(key)
    if not tables:
        every = [known for table in TABLES for known in _keys(table)]
        near = difflib.get_close_matches(key, every, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise SettingsError(f"there is no setting '{key}'{hint}")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    rivals = {"cutoff_onset": "r_on", "r_on": "cutoff_onset"}
    for part in tables:
        record = record.setdefault(part, {})
        if not isinstance(record, dict):
            raise SettingsError(f"'{name}' cannot be set: '{part}' is not a table")
    record.pop(rivals.get(key, key), None)
    record[key] = value


_KINDS = {
    "bool_type": "true or false",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "string_type": "a text in quotes",
    "tuple_type": "a list",
    "mapping_type": "a table",
    "dict_type": "a table",
}


def _messages(error: ValidationError) -> str:
    """One line for each setting that is wrong."""
    needed: dict[str, list[str]] = {}
    for entry in error.errors():
        if "error" in entry.get("ctx", {}):
            needed.setdefault(str(entry["ctx"]["error"]), [])
            continue
        table, key, *rest = *entry["loc"], ""
        if key in ("cutoffs", "templates") and len(rest) > 1:  # a table in a table
            table, key = f"terms.{key}", rest[0]
        kind = _KINDS.get(entry["type"], entry["msg"].removeprefix("Input should be "))
        shown = one_line(toml_value(entry["input"]), 60)
        where = f"[{table}] {key}"
        if table == "targets":
            where = f"[[targets]] number {int(key) + 1}: {rest[0]}"
        needed.setdefault(f"{where} is {shown}", []).append(kind)
    return "\n".join(
        f"{what}; it must be {' or '.join(dict.fromkeys(kinds))}" if kinds else what
        for what, kinds in needed.items()
    )


def to_dict(settings: Settings) -> dict[str, Any]:
    """Plain data, every default filled in; ``from_dict`` reads it back."""
    tables = {name: vars(getattr(settings, name)) for name in TABLES}
    found: dict[str, Any] = {
        name: {key: value for key, value in table.items() if value is not None}
        for name, table in tables.items()
    }
    if settings.targets:
        found["targets"] = [
            {key: value for key, value in vars(one).items() if value not in (None, "", ())}
            for one in settings.targets
        ]
    return found


def dumps(settings: Settings, folder: str | Path | None = None) -> str:
    """TOML text, every default filled in; paths become relative to the run ``folder``, if any."""
    record = to_dict(settings)
    if folder is not None:
        for name in ("train", "validation", "test"):
            record["data"][name] = [
                path
                if os.path.isabs(path) and not Path(path).is_relative_to(folder)
                else os.path.relpath(settings.base / path, folder)
                for path in record["data"][name]
            ]
        if seeds := record["search"]["seeds_from"]:
            record["search"]["seeds_from"] = os.path.relpath(settings.base / seeds, folder)
        frozen = [os.path.relpath(settings.base / name, folder) for name in settings.terms.frozen]
        record["terms"]["frozen"] = frozen
        record["output"]["folder"] = "."
        for one in record.get("targets", []):
            one["structures"] = [
                os.path.relpath(settings.base / described, folder)
                if isinstance(described, str) and not os.path.isabs(described)
                else described
                for described in one["structures"]
            ]
    lines: list[str] = []
    targets = record.pop("targets", [])
    for name, table in [*record.items(), *(("[targets]", one) for one in targets)]:
        lines += [f"[{name}]", *(f"{k} = {toml_value(value)}" for k, value in table.items()), ""]
    return "\n".join(lines)


_LIMITS = {
    "max_force": "eV/angstrom; structures with larger forces are left out; 0: none",
    "max_energy": "eV/atom above the lowest of like composition, likewise",
    "min_distance": "angstrom; structures with closer atoms, likewise",
}


_EXAMPLE = (
    {
        "name": "hcp_over_fcc",
        "kind": "energy_difference",
        "structures": ["phases.extxyz@hcp", "phases.extxyz@fcc"],
        "value": 7.0,
        "sigma": 2.0,
        "unit": "meV/atom",
        "source": "where the value is from",
    },
)
_KINDS_OF_TERMS = {
    "three_body": ("false", '"separable": also h(r_ij) h(r_ik) p(cos); "general": any function'),
    "many_body": ("false", "true: also functions of sums over neighbours, as metals need"),
}


def template(
    files: Sequence[str] | Mapping[str, Sequence[str]] = (),
    proposed: Mapping[str, tuple[float, str]] | None = None,
    species: Sequence[str] = (),
    targets: Sequence[dict[str, Any]] = (),
) -> str:
    """Text of a commented run file for data files in the same folder.

    Parameters
    ----------
    files
        Files to train with, or files by use: ``train``, ``validation``, ``test``.
    proposed
        Values of filters of ``[data]`` and of ``sigma_forces``, and their reasons.
    species
        Elements of the data; for several of them kinds of terms are proposed.
    targets
        Entries of ``[[targets]]`` that are proposed; they are commented out.

    Examples
    --------
    >>> from_dict(tomllib.loads(template(["argon.extxyz"]))).data.train
    ('argon.extxyz',)
    """
    use = files if isinstance(files, Mapping) else {"train": files}
    lists = {name: toml_value(list(use.get(name, ()))) for name in ("validation", "test")}
    train = toml_value(list(use["train"]) or ["my.extxyz"])
    limits = {name: (proposed or {}).get(name, (0.0, text)) for name, text in _LIMITS.items()}
    filters = "\n".join(
        f"{f'{name} = {value}':<30} # {reason}" for name, (value, reason) in limits.items()
    )
    kinds = "\n".join(
        f"{f'{name} = {value}':<30} # {reason}"
        for name, (value, reason) in (_KINDS_OF_TERMS | term_proposals(species)).items()
    )
    aims = "\n".join(commented(targets or _EXAMPLE, toml_value))
    sigma, why = (proposed or {}).get("sigma_forces", (LossSettings().sigma_forces, "eV/angstrom"))
    return f"""\
# A symreg run. Keys left out take the values shown here. Start it with `symreg run` and this file.
[data]
train = {train}  # files ASE reads, or globs, relative to this file
{f"validation = {lists['validation']}":<30} # files; when empty, a part of train is set aside:
split = "trajectory"           # whole runs; or "group" (whole groups), "block", "random"
validation_fraction = 0.2
# validation_groups = ["melt"] # groups that validate whole
refit = "all"                  # constants delivered: fitted to validation too; or "train"
{f"test = {lists['test']}":<30} # files used once, at the end
group_key = "group"            # info key that names a structure's group
{filters}
# leave_out = ["isolated_atom", "a.extxyz@3"] # groups, and single frames, that are not used
# keep = ["zero_labels"]       # used although all zero; "unconverged" likewise
# weights = {{ dimers = 2.0 }}   # weight of each group in the loss, 1 where absent
# energy_key = "REF_energy"    # keys of the labels; the usual names are found without
# forces_key = "REF_forces"
# stress_key = "REF_stress"

[terms]
{kinds}
r_cut = 6.0                    # angstrom
# r_cut_three_body = 4.2       # angstrom, with three_body; 0.7 r_cut unless given
cutoff = "septic"              # none, septic, cosine, poet, stillinger_weber
# cutoff_three_body = "septic" # that of the pairs unless given
cutoff_onset = 0.6             # fraction of each cutoff radius; or r_on in angstrom
r0 = "nearest"                 # or a length in angstrom
e0 = "fit"                     # or "isolated", or {{ Ar = 0.0 }} in eV
library_seeds = true           # start from known forms; false: find everything
# max_complexity = 60          # 60 for each pair of species, at most 200, unless given
# shared = "never"             # several species: own forms only; "always": one for all of a kind
# frozen = ["cu.json"]         # potential.json files whose terms and e0 stay; the rest evolves
# cutoffs = {{ "Hf-O" = 5.0 }}   # angstrom, of single pairs, or of triplets as in "O;Hf-Hf"
# templates = {{ "Cu" = "-A*sqrt(?)" }}   # shapes that keys keep; names are fitted, '?' varies
# max_constants = 6            # fitted numbers in a formula, weights of its terms included
# max_sums = 3                 # in one function of sums, with many_body

[loss]                         # errors that count as one
sigma_energy = 0.005           # eV/atom
{f"sigma_forces = {sigma:g}":<30} # {why}
sigma_stress = 0.005           # eV/angstrom^3; 0 leaves stresses out

[search]
mode = "evolution"             # "exhaustive": every form of one or two terms up to a complexity
# exhaustive_complexity = 14   # of pair forms in that mode; 14 takes a minute, 16 some minutes
# exhaustive_complexity_three_body = 18
# seeds_from = "other-run"     # start from the front of another run
population_size = 400          # per island
islands = 4                    # not tied to workers
generations_per_epoch = "auto" # by a count of work, for epochs of 5 to 30 s; or a number
seed = 0
minutes = 10.0                 # or epochs = 20, which one seed reproduces exactly; target = 0.5
# stagnation = 20              # stop after so many epochs without a better formula
workers = 2
# max_memory = 8.0             # GB that the projected data may take

[output]
folder = "run"                 # relative to this file

# Physics to meet beside the labels; any number of entries, each within sigma of its value.
{aims}"""
