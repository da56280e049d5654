from dataclasses import replace

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from symreg import files
from symreg.formula import Formula
from symreg.potential import Potential
from symreg.runs import RunFolder, open_run, report
from symreg.runs.report.page import _distances, formula_lines, number, powers
from symreg.structures import DataSettings, read_structures
from symreg.terms import Expression, Term, expression_of
from symreg.terms.cutoff import Cutoff


@pytest.fixture
def full_run(small_run):
    """The small run with the potential of its recommended member, its checks and LAMMPS."""
    folder = RunFolder(small_run)
    run = open_run(small_run)
    formula = Formula(
        expression=run.best().record.terms,
        r0=3.8,
        e0={"Ar": 0.0},
        species=("Ar",),
        cutoff=Cutoff(kind="septic", r_cut=6.0, r_on=3.6),
        r_lo=3.0,
    )
    (folder.path / "potentials/2").mkdir(parents=True)
    Potential(formula).save(folder.path / "potentials/2/potential.json")
    check = {"name": "dimer Ar-Ar repels", "passed": False, "detail": "<not> at 2 Å", "values": {}}
    validation = {"passed": False, "checks": [check]}
    files.write_json(folder.path / "potentials/2/validation.json", validation)
    parity = {"lammps_version": 1, "style": "table", "energy_per_atom_max": 1e-9}
    parity |= {"forces_max": 2e-9, "virial_per_atom_max": 3e-9}
    files.write_json(folder.path / "potentials/2/lammps/parity.json", parity)
    return open_run(small_run)


@pytest.fixture
def structures(tmp_path):
    """Four dimers and a crystal, as a file and read back."""
    images = [Atoms("Ar2", [[0, 0, 0], [r, 0, 0]]) for r in (3.2, 3.6, 4.0, 5.0)]
    images.append(Atoms("Ar", cell=np.full((3, 3), 2.7) - 2.7 * np.eye(3), pbc=True))
    for k, atoms in enumerate(images):
        labels = {"energy": 0.01 * k, "forces": np.zeros((len(atoms), 3))}
        atoms.calc = SinglePointCalculator(atoms, **labels)
    ase.io.write(tmp_path / "a.extxyz", images)
    settings = DataSettings(train=("a.extxyz",), validation_fraction=0.0)
    return read_structures(settings, tmp_path)[0]


def test_a_page_needs_no_more_than_a_front(small_run):
    path = report.write(open_run(small_run))
    page = path.read_text(encoding="utf-8")
    assert path == small_run / "report.html"
    assert "φ(x) = 0.01 (x<sup>−12</sup> − 1.9 x<sup>−6</sup>)" in page
    assert "1.25 times the floor of 0.08" in page
    assert "two structures are equal: &lt;frames&gt; 3 and 7" in page
    assert page.count('class="chosen"') == 1
    assert page.count("data:image/png;base64,") == 1
    assert "Physics checks" not in page


def test_a_full_page_shows_curve_parity_checks_and_lammps(full_run, structures):
    page = report.write(full_run, structures).read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 4
    assert sorted(path.name for path in (full_run.folder / "plots").iterdir()) == [
        "front.png",
        "pair-Ar-Ar.png",
        "parity-energy.png",
        "parity-forces.png",
    ]
    assert '<td class="text fail">FAILED</td>' in page
    assert "&lt;not&gt; at 2 Å" in page
    assert "2e−09 eV/Å" in page


def test_each_pair_of_species_has_its_own_distances(structures):
    found = _distances(structures, "Ar", "Ar", 3.7)
    assert np.sort(found)[:2] == pytest.approx([3.2, 3.6])
    assert found.max() < 3.7
    assert not _distances(structures, "Ar", "Kr", 3.7).size


def test_a_page_writes_and_draws_the_factors_of_three_body_terms(full_run):
    best = full_run.best()
    bend = Term.read("Ar-Ar-Ar: exp(-x1)*exp(-x2)*(c + 0.5)^2")
    old = best.potential.formula
    expression = Expression((*old.expression.terms, bend), (*old.expression.weights, -2.0))
    formula = replace(old, expression=expression, cutoff_three_body=old.cutoff)
    Potential(formula).save(best.folder / "potential.json")
    records = [member.record for member in full_run.front]
    records[2] = replace(records[2], terms=expression)
    RunFolder(full_run.folder).write_front(records)
    run_file = full_run.folder / "run.toml"
    text = run_file.read_text(encoding="utf-8").replace("three_body = false", "three_body = true")
    run_file.write_text(text, encoding="utf-8")
    page = report.write(open_run(full_run.folder)).read_text(encoding="utf-8")
    arguments = "(x<sub>1</sub>, x<sub>2</sub>, c)"
    assert f"ψ<sub>Ar-Ar-Ar</sub>{arguments} = −2 h(x<sub>1</sub>) h(x<sub>2</sub>) p(c)" in page
    assert "h(x) = exp(−x)" in page
    assert "p(c) = (c + 0.5)<sup>2</sup>" in page
    assert r"p(c) = \left(c + 0.5\right)^{2}" in page
    assert "septic, 4.2 Å, for each of both distances" in page
    for name in ("factors", "triplet"):
        assert (full_run.folder / "plots" / f"{name}-Ar-Ar-Ar.png").exists()


def test_terms_that_are_no_products_are_written_as_means():
    expression = expression_of([(1.5, "Si-Si-Si: x1*c"), (-2.0, "Si-Si-Si: 1*1*c")])
    lines = list(formula_lines(expression))
    assert [(line.name, line.species, line.text) for line in lines] == [
        ("ψ", "", "1.5 (q1(x1, x2, c) + q1(x2, x1, c))/2 - 2 h2(x1) h2(x2) p2(c)"),
        ("q", "1", "x1*c"),
        ("h", "2", "1"),
        ("p", "2", "c"),
    ]


def test_unlike_neighbours_have_factors_of_their_own():
    texts = ["exp(-x1)*x2^-2*c", "x1*c", "x1^-2*x2^-2*c"]
    expression = expression_of([(1.5, f"O;Hf-O: {text}") for text in texts])
    lines = list(formula_lines(expression))
    assert [(line.name, line.species, line.text) for line in lines] == [
        ("ψ", "", "1.5 g1(x1) h1(x2) p1(c) + 1.5 q2(x1, x2, c) + 1.5 h3(x1) h3(x2) p3(c)"),
        ("g", "1", "exp(-x)"), ("h", "1", "x^-2"), ("p", "1", "c"),
        ("q", "2", "x1*c"),
        ("h", "3", "x^-2"), ("p", "3", "c"),
    ]  # fmt: skip


def test_a_page_shows_forces_by_element_and_pairs_without_a_term(full_run, tmp_path):
    path = full_run.folder / "potentials/2/potential.json"
    formula = Potential.load(path).formula
    two = replace(formula, species=("Ar", "Kr"), e0={"Ar": 0.0, "Kr": 0.0})
    Potential(two).save(path)
    images = [Atoms("ArKr", [[0, 0, 0], [0, 0, r]]) for r in (3.2, 4.0)]
    for atoms in images:
        atoms.calc = SinglePointCalculator(atoms, energy=0.1, forces=0.1 * np.eye(3)[:2])
    ase.io.write(tmp_path / "two.extxyz", images)
    settings = DataSettings(train=("two.extxyz",), validation_fraction=0.0)
    page = report.write(open_run(full_run.folder), read_structures(settings, tmp_path)[0])
    assert (full_run.folder / "plots/elements.png").exists()
    text = page.read_text(encoding="utf-8")
    assert "no term for Ar-Kr, Kr-Kr: such atoms are never near each other" in text


def test_a_page_reaches_for_nothing_outside_itself(full_run):
    page = report.write(full_run).read_text(encoding="utf-8")
    assert "http" not in page
    assert "src=" in page
    assert all(part.startswith("data:") for part in page.split('src="')[1:])


def test_errors_stand_by_split_group_and_quantity(small_run):
    page = report.write(open_run(small_run)).read_text(encoding="utf-8")
    assert page.count('<td class="text">dimers</td>') == 3
    assert "energy RMSE (eV/atom)" in page
    assert "stress RMSE" not in page


def test_an_empty_front_is_refused(small_run):
    RunFolder(small_run).write_front([])
    with pytest.raises(ValueError, match="has no front yet"):
        report.write(open_run(small_run))


def test_numbers_and_powers_are_set_as_in_print():
    assert number(-1.23456e-7, 3) == "−1.23e−07"
    assert number(None) == "–"
    assert powers("x^-11.7*<b>") == "x<sup>−11.7</sup> &lt;b&gt;"
    assert powers("1.8e+08*exp(x)") == "1.8 × 10<sup>8</sup> exp(x)"
