"""Targets: functionals of energies, what they refuse, and that searches meet them."""

import csv
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, fcc111
from ase.io import write

import symreg
from symreg import config
from symreg.cli.beginning import begin
from symreg.cli.summary import summary
from symreg.config import SettingsError
from symreg.runs.pipeline.delivery import member_record
from symreg.runs.pipeline.floors import floor_lines
from symreg.runs.pipeline.preparation import prepare
from symreg.structures.prototypes import make
from symreg.structures.targets import Targets, TargetSettings, read_targets
from symreg.terms import expression_of

A = 3.61
FCC = {"prototype": "fcc", "species": "Cu", "a": A}
HCP = {"prototype": "hcp", "species": "Cu", "a": A / 2**0.5}
LAW = symreg.Potential.from_formula(
    {"Cu-Cu": "0.2*exp(-10.5*(x - 1))", "Cu": "-1.3*sqrt(sum(exp(-5.0*(x - 1))))"},
    r_cut=5.5,
    r0=2.556,
    e0={"Cu": -0.7},
)


def target(kind="energy_difference", structures=(HCP, FCC), **changes):
    given = {"name": "it", "value": 0.007, "sigma": 0.002, "unit": "eV/atom", "kind": kind}
    return TargetSettings(**{**given, "structures": tuple(structures), **changes})


def energies(targets, potential=LAW):
    found = []
    for s in range(len(targets.structures)):
        atoms = targets.structures.to_atoms(s)
        atoms.calc = potential.calculator()
        found.append(atoms.get_potential_energy())
    return np.array(found)


def predicted(*settings, base=Path(), species=("Cu",)):
    targets = read_targets(settings, base, species)
    return targets.shown(energies(targets))


def of_law(atoms):
    atoms.calc = LAW.calculator()
    return atoms


# What each kind is.


def test_energies_are_compared_per_atom():
    hcp, fcc = (of_law(make(d["prototype"], "Cu", d["a"])) for d in (HCP, FCC))
    gap = hcp.get_potential_energy() / 2 - fcc.get_potential_energy()
    assert predicted(target())["it"] == pytest.approx(gap, abs=1e-12)
    assert predicted(target(unit="meV/atom"))["it"] == pytest.approx(1e3 * gap, abs=1e-9)


def test_cohesion_is_that_of_atoms_alone_whatever_e0_is():
    fcc = of_law(make("fcc", "Cu", A))
    own = -0.7 - fcc.get_potential_energy()
    assert predicted(target("cohesive_energy", [FCC]))["it"] == pytest.approx(own, abs=1e-12)


def test_vacancies_surfaces_and_combinations_are_read_from_files(tmp_path):
    whole = bulk("Cu", "fcc", a=A, cubic=True).repeat(2)
    missing = whole.copy()
    del missing[0]
    slab = fcc111("Cu", (1, 1, 5), a=A, vacuum=7.0)
    slab.pbc = True
    for atoms, name in ((whole, "whole"), (missing, "missing"), (slab, "slab")):
        atoms.info = {"name": name}
    write(tmp_path / "cells.extxyz", [whole, missing, slab])
    files = [f"cells.extxyz@{name}" for name in ("missing", "whole")]
    one, more, less = (of_law(atoms).get_potential_energy() for atoms in (whole, missing, slab))
    area = np.linalg.norm(np.cross(slab.cell[0], slab.cell[1]))
    found = predicted(
        target("vacancy", files, unit="eV", name="v"),
        target("surface", ["cells.extxyz@2", FCC], unit="J/m2", name="s"),
        target("combination", files, unit="eV", coefficients=(2.0, -1.0), name="c"),
        base=tmp_path,
    )
    assert found["v"] == pytest.approx(more - 31 / 32 * one, abs=1e-9)
    tension = (less - 5 * of_law(make("fcc", "Cu", A)).get_potential_energy()) / (2 * area)
    assert found["s"] == pytest.approx(tension / (units.J / units.m**2), abs=1e-9)
    assert found["c"] == pytest.approx(2 * more - one, abs=1e-9)


@pytest.mark.parametrize("component", ["C11", "C12", "C44", "B", "Cprime", "C55"])
def test_elastic_constants_are_those_of_stresses(component):
    # At zero pressure, found by bisection, second differences of energies are slopes of stresses.
    low, high = 3.4, 3.9
    for _ in range(40):
        a = 0.5 * (low + high)
        pressed = of_law(make("fcc", "Cu", a)).get_stress()[:3].mean() < 0
        low, high = (a, high) if pressed else (low, a)
    slopes = {}
    for axis, strain in (
        ("1", np.diag([1.0, 0, 0])),
        ("4", np.eye(3)[[0, 2, 1]] - np.diag([1, 0, 0])),
    ):
        stresses = []
        for sign in (1, -1):
            atoms = make("fcc", "Cu", a)
            size = 1e-4 * sign * (0.5 if axis == "4" else 1.0)
            atoms.set_cell(atoms.cell.array @ (np.eye(3) + size * strain), scale_atoms=True)
            stresses.append(of_law(atoms).get_stress())
        slopes[axis] = (stresses[0] - stresses[1]) / 2e-4 / units.GPa
    c11, c12, c44 = slopes["1"][0], slopes["1"][1], slopes["4"][3]
    known = {"C11": c11, "C12": c12, "C44": c44, "C55": c44}
    known |= {"B": (c11 + 2 * c12) / 3, "Cprime": (c11 - c12) / 2}
    cell = {**FCC, "a": a}
    found = predicted(target("elastic", [cell], component=component, unit="GPa"))
    assert found == {"it": pytest.approx(known[component], rel=2e-3, abs=0.3)}


def test_pressures_and_lattice_constants_are_first_differences():
    pressure = -of_law(make("fcc", "Cu", A)).get_stress()[:3].mean()
    found = predicted(
        target("pressure", [FCC], unit="GPa", name="p"),
        target("lattice_constant", [FCC], unit="angstrom", value=A, bulk_modulus=140, name="a"),
    )
    assert found["p"] == pytest.approx(pressure / units.GPa, rel=1e-2)
    assert found["a"] == pytest.approx(A * (1 + found["p"] / (3 * 140)), abs=1e-9)


def test_rows_survive_being_written(tmp_path):
    targets = read_targets([target(), target("cohesive_energy", [FCC], name="c")], tmp_path, ["Cu"])
    again = Targets.from_arrays(*targets.to_arrays())
    assert again.digest == targets.digest
    assert again.shown(energies(targets)) == targets.shown(energies(targets))


# What is refused.


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "energy_diff"}, "kind is 'energy_diff'; did you mean 'energy_difference'?"),
        ({"unit": "GPa"}, "unit of kind energy_difference is 'GPa'; there are eV/atom"),
        ({"sigma": 0.0}, "sigma is 0; it must be above 0"),
        ({"value": float("nan")}, "value is nan"),
        ({"structures": [FCC]}, "there are 1 structures; energy_difference takes 2: A, B"),
        ({"component": "C11"}, 'component has no effect; it belongs to kind = "elastic"'),
        ({"name": "a b"}, "must be of letters"),
        (
            {"kind": "elastic", "unit": "GPa", "structures": [FCC]},
            "component of kind elastic is ''",
        ),
        (
            {"kind": "combination", "unit": "eV", "structures": [FCC]},
            "there are 0 coefficients for 1 structures",
        ),
        (
            {"kind": "lattice_constant", "unit": "angstrom", "structures": [FCC]},
            "bulk_modulus in GPa is missing",
        ),
    ],
)
def test_settings_that_do_not_fit_are_named(changes, message):
    with pytest.raises(ValueError, match=r"\[\[targets\]\]") as caught:
        target(**changes)
    assert message in str(caught.value)


DIAMOND = {"prototype": "diamond", "species": "Cu", "a": 5.4}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"structures": ["none.xyz@0", FCC]}, "none.xyz does not exist"),
        ({"structures": ["cells.xyz", FCC]}, "names no frame; write FILE@INDEX or FILE@NAME"),
        ({"structures": ["cells.xyz@7", FCC]}, "has no frame 7: it has 2 frames"),
        ({"structures": [{**FCC, "species": "Ni"}, FCC]}, "has Ni; the data hold Cu"),
        ({"structures": [{**FCC, "prototype": "fc"}, FCC]}, "must have one of the prototypes"),
        ({"structures": [{**FCC, "b": 2.0}, FCC]}, "a structure has no 'b'"),
        (
            {"kind": "pressure", "unit": "GPa", "structures": ["cells.xyz@0"]},
            "is not periodic; pressure takes a crystal",
        ),
        (
            {"kind": "elastic", "unit": "GPa", "structures": [DIAMOND], "component": "C44"},
            "lets atoms move",
        ),
        (
            {"kind": "elastic", "unit": "GPa", "structures": ["cells.xyz@1"], "component": "C11"},
            "its reference is not at rest in the file",
        ),
    ],
)
def test_structures_that_do_not_fit_are_named(changes, message, tmp_path):
    from ase.calculators.singlepoint import SinglePointCalculator

    pressed = bulk("Cu", "fcc", a=3.4)
    pressed.calc = SinglePointCalculator(pressed, energy=0.0, stress=[-0.1, -0.1, -0.1, 0, 0, 0])
    write(tmp_path / "cells.xyz", [Atoms("Cu"), pressed], format="extxyz")
    with pytest.raises(ValueError, match=r"\[\[targets\]\] it: ") as caught:
        read_targets([target(**changes)], tmp_path, ["Cu"])
    assert message in str(caught.value)


def test_strains_that_leave_atoms_at_rest_are_allowed():
    rows = read_targets(
        [
            target("elastic", [DIAMOND], unit="GPa", component=c, name=c)
            for c in ("C11", "C12", "B")
        ],
        Path(),
        ["Cu"],
    )
    assert [name for name in rows.names if name] == ["C11", "C12", "B"]


def test_targets_that_contradict_each_other_are_refused():
    both = [target(), target(name="other", value=0.3)]
    with pytest.raises(ValueError, match="it and other ask for the same with values"):
        read_targets(both, Path(), ["Cu"])
    with pytest.raises(ValueError, match="it is there twice"):
        read_targets([target(), target()], Path(), ["Cu"])


def test_unknown_and_missing_settings_of_an_entry_are_named():
    record = {"data": {"train": ["a"]}, "targets": [{"name": "it", "sigmas": 1}]}
    with pytest.raises(SettingsError, match=r"it: .*'sigmas'; did you mean 'sigma'"):
        config.from_dict(record)
    record["targets"][0].pop("sigmas")
    with pytest.raises(SettingsError, match=r"\[\[targets\]\] it: kind is missing"):
        config.from_dict(record)


# In a search.


def copper(folder, tight=1.0, count=12, **terms):
    """A run file for rattled copper with labels of the law, and targets that it meets."""
    rng = np.random.default_rng(0)
    images = []
    for _ in range(count):
        atoms = bulk("Cu", "fcc", a=A * rng.uniform(0.97, 1.03), cubic=True)
        atoms.positions += rng.normal(scale=0.08, size=atoms.positions.shape)
        of_law(atoms).get_forces()
        images.append(atoms)
    write(folder / "copper.extxyz", images)
    asked = predicted(
        target(), target("cohesive_energy", [FCC], name="c"),
        *(target("elastic", [FCC], unit="GPa", component=c, name=c) for c in ("C12", "C44")),
    )  # fmt: skip
    targets = [
        {"name": "it", "kind": "energy_difference", "structures": [HCP, FCC], "unit": "eV/atom"},
        {"name": "c", "kind": "cohesive_energy", "structures": [FCC], "unit": "eV/atom"},
    ]
    elastic = {"kind": "elastic", "structures": [FCC], "unit": "GPa"}
    targets += [{"name": name, "component": name, **elastic} for name in ("C12", "C44")]
    for one in targets:
        one |= {
            "value": asked[one["name"]],
            "sigma": max(abs(asked[one["name"]]) / 50, 1e-4) / tight,
        }
    record = {
        "data": {"train": ["copper.extxyz"], "split": "random", "refit": "train"},
        "terms": {"r_cut": 5.5, "r0": 2.556, **terms},
        "search": {"epochs": 1, "generations_per_epoch": 2, "population_size": 30, "islands": 1},
        "targets": targets,
        "output": {"folder": "run"},
    }
    return config.from_dict(record, folder)


TRUE = [(0.2, "Cu-Cu: exp(-10.5*(x - 1))"), (-1.3, "Cu: sqrt(sum(exp(-5.0*(x - 1))))")]
FORMS = {
    "pairs": ({}, [(0.3, "Cu-Cu: x^-9"), (-0.5, "Cu-Cu: x^-5")]),
    "triplets": (
        {"three_body": "separable", "r_cut_three_body": 4.5},
        [(0.3, "Cu-Cu: x^-9"), (0.1, "Cu-Cu-Cu: exp(-x1)*exp(-x2)*(c + 0.2)^2")],
    ),
    "functions": ({"many_body": True}, TRUE),
}


@pytest.mark.parametrize("kind", FORMS)
def test_rows_of_targets_are_what_the_exact_path_predicts(kind, tmp_path):
    terms, parts = FORMS[kind]
    prepared = prepare(copper(tmp_path, **terms))
    expression = expression_of(parts)
    met = prepared.meets(expression)
    gaps = prepared.targets.gaps(
        prepared._cells.predict(expression, prepared.e0(expression)).energy
    )
    whole = prepared.design.loss_of(prepared.error(expression))
    data = prepared.design.loss_of(prepared.data_error(expression))
    assert whole - data == pytest.approx(0.5 * float(gaps @ gaps), rel=1e-3, abs=1e-6 * whole)
    assert set(met.values) == {"it", "c", "C12", "C44"}
    if kind == "functions":
        assert met.rms < 1e-6
        assert prepared.data_error(expression) < 1e-4


def test_constants_follow_the_targets(tmp_path):
    settings = copper(tmp_path, tight=5.0)
    aimed = prepare(settings)
    blind = prepare(config.from_dict({**config.to_dict(settings), "targets": []}, tmp_path))
    terms = expression_of(FORMS["pairs"][1]).terms
    rms = [aimed.meets(one.fitter.refit(terms)[0]).rms for one in (blind, aimed)]
    assert rms[1] < rms[0]
    assert aimed.data_error(aimed.fitter.refit(terms)[0]) > blind.error(
        blind.fitter.refit(terms)[0]
    )


@pytest.fixture(scope="module")
def aimed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("aimed")
    return symreg.search(copper(folder))


@pytest.mark.slow
def test_a_run_shows_what_each_member_predicts(aimed):
    with (aimed.folder / "front.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    member = min(aimed.front, key=lambda m: m.targets_rms)
    row = next(r for r in rows if int(r["complexity"]) == member.complexity)
    assert float(row["targets_rms"]) == pytest.approx(member.targets_rms)
    targets = read_targets(aimed.settings.targets, aimed.settings.base, ["Cu"])
    own = targets.shown(energies(targets, member.potential))
    for name, value in member.targets.items():
        assert float(row[f"target_{name}"]) == pytest.approx(value)
        assert own[name] == pytest.approx(value, rel=1e-4, abs=1e-4)


@pytest.mark.slow
def test_the_best_member_is_chosen_by_validation_and_targets(aimed):
    chosen, plain = aimed.best(), aimed.best(targets=False)
    assert chosen.targets_rms <= plain.targets_rms or chosen.error <= plain.error
    few = aimed.best(complexity=chosen.complexity)
    assert few == chosen


def test_the_floor_says_which_targets_no_smooth_terms_meet(tmp_path):
    lines = floor_lines(prepare(copper(tmp_path)))
    (said,) = (line for line in lines if "targets" in line)
    assert said.startswith("targets that smooth terms do not meet beside the labels: ")
    assert re.search(r"C44 \([\d.]+ for [\d.]+ GPa\)", said)


@pytest.mark.slow
def test_show_prints_targets_beside_what_was_asked(aimed):
    text = summary(aimed)
    (line,) = (line for line in text.splitlines() if line.startswith("targets"))
    assert re.match(r"targets   it [\d.e-]+ \([\d.]+ ± [\d.e-]+ eV/atom\), c ", line)


@pytest.mark.parametrize("kind", FORMS)
def test_exact_errors_are_compared_with_targets_and_notice_what_the_fit_got_wrong(kind, tmp_path):
    terms, parts = FORMS[kind]
    prepared, expression = prepare(copper(tmp_path, **terms)), expression_of(parts)
    error = prepared.error(expression)
    record = member_record(prepared, expression, error, 1)
    assert record.exact_difference < 1e-4 * error
    assert record.error == pytest.approx(prepared.data_error(expression))
    assert member_record(prepared, expression, 1.1 * error, 1).exact_difference > 0.09 * error


# What `init` proposes.


def test_init_proposes_phases_and_cohesion_that_the_data_hold(tmp_path):
    images = []
    for name, group in (("fcc", "fcc_ev"), ("hcp", "hcp ev"), ("bcc", "bcc_ev")):
        atoms = make(name, "Cu", {"fcc": 3.6, "hcp": 2.55, "bcc": 2.87}[name])
        of_law(atoms).get_forces()
        atoms.info = {"group": group}
        images.append(atoms)
    alone = Atoms("Cu", cell=[20.0] * 3)
    of_law(alone).get_forces()
    alone.info = {"group": "atom"}
    write(tmp_path / "phases.extxyz", [*images, alone])
    assert any(line.startswith("proposed targets, commented out: ") for line in begin(tmp_path))
    text = (tmp_path / "run.toml").read_text()
    start = text.index("# [[targets]]")
    record = tomllib.loads(text[:start] + text[start:].replace("\n# ", "\n")[2:])
    settings = config.from_dict(record, tmp_path)
    names = {one.name for one in settings.targets}
    assert len(names) == 3
    assert {"bcc_ev", "cohesion"} < names
    targets = read_targets(settings.targets, tmp_path, ["Cu"])
    shown = targets.shown(energies(targets))
    for one in settings.targets:
        assert shown[one.name] == pytest.approx(one.value, abs=1e-3)
