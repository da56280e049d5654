"""Templates: shapes of keys that a search keeps, with holes that it fills."""

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator

import symreg
from symreg import config
from symreg.formula import Formula
from symreg.runs.pipeline.preparation import prepare
from symreg.searching.individuals import Individual
from symreg.searching.variation import Variation, VariationSettings
from symreg.terms import Key, expression_of
from symreg.terms.cutoff import Cutoff
from symreg.terms.templates import Template, matches

CU, CU_CU = Key.of("Cu"), Key.of("Cu", "Cu")
TEXTS = {"Cu": "-A*sqrt(?)", "Cu-Cu": "A*exp(-b*x) + ?"}


def templates(**texts):
    return tuple(Template.read(name, text) for name, text in (texts or TEXTS).items())


def forms(variation, coded_terms, key):
    return [c.shape.root for c in coded_terms if variation.keys[c.key] == key]


def variation_of(*found):
    return Variation(VariationSettings(templates=found), (CU_CU, CU))


@pytest.mark.parametrize(
    ("cu", "pair"),
    [
        ("-A*sqrt(?)", "A*exp(-b*x) + ?"),
        ("A*sqrt(sum(?))", "A*exp(-b*x)"),
        ("A*(sum(exp(-q*x)) + ?)^0.5", "x^-6*?"),
    ],
)
def test_random_individuals_and_offspring_keep_the_shapes(cu, pair):
    found = templates(**{"Cu": cu, "Cu-Cu": pair})
    variation, rng = variation_of(*found), np.random.default_rng(0)
    parents = [Individual(one, 1.0) for one in variation.random(100, rng)]
    offspring = [c.coded_terms for _ in range(3) for c in variation.vary(parents, rng)]
    assert len(offspring) > 75
    for coded_terms in [*(parent.coded_terms for parent in parents), *offspring]:
        for one in found:
            assert one.is_kept(forms(variation, coded_terms, one.key))
    assert len({str(coded_terms) for coded_terms in offspring}) > 50


def test_a_shape_is_told_from_others():
    (one,) = templates(Cu="A*sqrt(sum(exp(-b*x)) + ?)")
    read = lambda text: CU.parse(text).root  # noqa: E731
    assert one.is_kept([read("sqrt(sum(x^-4) + sum(exp(-2.5*x)))")])
    assert not one.is_kept([read("sqrt(sum(exp(-2.5*x)))")])
    assert not one.is_kept([read("sqrt(sum(x^-4) + sum(exp(-2.5*x)))"), read("sum(x)^2")])
    assert not matches(read("sum(x^-4)"), read("sum_Ni(x^-4)"))


GUPTA = [
    (7000.0, "Cu-Cu: exp(-10.7*x)"),
    (-12.0, "Cu: sqrt(sum(exp(-4.6*x)))"),
    (9000.0, "Cu-Ni: exp(-11.0*x)"),
    (9000.0, "Ni-Ni: exp(-11.0*x)"),
]


def write(path, species):
    """Rattled cells of copper, or of copper and nickel, with the labels of a formula."""
    rng, cutoff = np.random.default_rng(0), Cutoff(kind="septic", r_cut=5.0, r_on=3.0)
    terms = GUPTA if len(species) > 1 else GUPTA[:2]
    e0 = dict.fromkeys(species, 0.0)
    formula = Formula(expression_of(terms), 2.5, e0, species, cutoff, 1.7)
    images = []
    for _ in range(8):
        atoms = bulk("Cu", a=3.5 + 0.3 * rng.random(), cubic=True)
        atoms.symbols[: len(species) - 1] = "Ni"
        atoms.rattle(0.15, rng=rng)
        atoms.calc = symreg.Potential(formula).calculator()
        found = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
        atoms.calc = SinglePointCalculator(atoms, **found)
        images.append(atoms)
    ase.io.write(path, images)


@pytest.mark.slow
@pytest.mark.parametrize("species", [("Cu",), ("Cu", "Ni")])
def test_every_member_of_a_front_keeps_the_shapes(species, tmp_path):
    write(tmp_path / "a.extxyz", species)
    terms = {"templates": TEXTS, "many_body": True, "r_cut": 5.0}
    run = symreg.search(run_file(tmp_path / "a.extxyz", tmp_path / "run", **terms))
    assert len(run.front) > 1
    for member in run.front:
        for one in templates():
            of_key = member.record.terms.of(one.key)
            assert one.is_kept([term.tree.root for term, _ in of_key]), member


def test_a_template_of_a_key_that_training_lacks_is_refused(tmp_path):
    write(tmp_path / "a.extxyz", ("Cu",))
    terms = {"templates": {"Cu-Ni": "A*exp(-b*x)"}, "r_cut": 5.0}
    with pytest.raises(ValueError, match=r"\[terms.templates\] Cu-Ni: no terms of it evolve"):
        prepare(run_file(tmp_path / "a.extxyz", tmp_path / "run", **terms))


def run_file(data, folder, **terms):
    search = {"epochs": 1, "generations_per_epoch": 3, "population_size": 30, "islands": 1}
    return config.from_dict(
        {
            "data": {"train": [str(data)]},
            "terms": terms,
            "search": {**search, "workers": 1},
            "output": {"folder": str(folder)},
        }
    )


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ({"templates": {"Cuu": "?"}}, "'Cuu' names no species"),
        ({"templates": {"Cu-Cu": "? + x*?"}}, "it has several holes"),
        ({"templates": {"Cu-Cu": "x^?"}}, "its hole is in an exponent"),
        ({"templates": {"Cu-Cu": "sqrt(x - ?)"}}, "its hole is subtracted"),
        ({"templates": {"Cu-Cu": "exp(-_*x) + ?"}}, "'_' is no name"),
        ({"templates": {"Cu-Cu": "A?"}}, "stands beside a name"),
        ({"templates": {"Cu-Cu": "2a + ?"}}, "expected an operator"),
        ({"templates": {"Cu": "A*sqrt(?)"}}, "has no effect while many_body is false"),
        ({"templates": {"Cu-Ni": "?", "Ni-Cu": "?"}}, "two names are one key"),
        ({"templates": {"Cu-Cu": "A*exp(-b*x)"}, "max_complexity": 3}, "templates alone have"),
        ({"templates": {"Cu-Cu": "?"}, "shared": "always"}, "shapes of their own"),
        ({"templates": {"Cu": "sum(x^-6) + ?"}, "many_body": True}, "is a pair term"),
    ],
)
def test_templates_that_no_formula_can_have_are_refused_in_one_line(terms, said, tmp_path):
    with pytest.raises(config.SettingsError, match=said) as refusal:
        run_file("a.extxyz", tmp_path, **terms)
    assert str(refusal.value).startswith("[terms] ")
    assert "\n" not in str(refusal.value)
