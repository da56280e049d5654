"""Potentials that stay as they are beside terms that evolve: labels, lengths, files, refusals."""

import json
from dataclasses import replace

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator

from symreg import Potential, config
from symreg.fit.projected.fitter import AS_IT_IS
from symreg.formula import Formula
from symreg.runs.pipeline.cautions import cautions
from symreg.runs.pipeline.checkpoint import Origin
from symreg.runs.pipeline.delivery import agrees, formula, member_record, potential_of
from symreg.runs.pipeline.preparation import prepare
from symreg.searching.gate import Gate
from symreg.searching.variation import Variation, VariationSettings
from symreg.terms import Expression, Term, expression_of
from symreg.terms.cutoff import Cutoff
from symreg.terms.term import sums_in

CU = ("Cu-Cu: exp(-10.7*x)", "Cu: sqrt(sum(exp(-4.6*x)))")
NI = ("Ni-Ni: exp(-11.3*x)", "Ni: sqrt(sum(exp(-3.8*x)))")
CROSS = (210.0, "Cu-Ni: exp(-6.0*x)")


def metal(texts, weights, symbol, r0, r_cut, r_lo, kind="septic"):
    """A formula of one metal with lengths of its own."""
    cutoff = Cutoff(kind=kind, r_cut=r_cut, r_on=0.6 * r_cut * (kind == "septic"))
    expression = expression_of(list(zip(weights, texts, strict=True)))
    return Formula(expression, r0, {symbol: -0.1 * r_cut}, (symbol,), cutoff, r_lo)


COPPER = metal(CU, (7000.0, -12.0), "Cu", 2.5, 5.2, 1.9)
NICKEL = metal(NI, (12000.0, -8.0), "Ni", 2.45, 5.6, 1.8, kind="cosine")


def whole(cross=CROSS):
    """Copper, nickel and their cross term in one formula."""
    expression = expression_of([cross]) + COPPER.expression + NICKEL.expression
    cutoff = Cutoff(kind="septic", r_cut=5.0, r_on=3.0)
    return Formula(
        expression, 1.0 * 2.5, {"Cu": COPPER.e0["Cu"], "Ni": NICKEL.e0["Ni"]}, ("Cu", "Ni"),
        cutoff, 1.7, r_lo_pairs={"Cu-Cu": 1.9, "Cu-Ni": 1.7, "Ni-Ni": 1.8},
        cutoffs={"Cu-Cu": COPPER.cutoff, "Ni-Ni": NICKEL.cutoff},
        r0s={"Ni-Ni": 2.45},
    )  # fmt: skip


def labelled(rng, formula, perfect=False):
    """A rattled cell of both metals, or the crystal Cu3Ni, with the labels of a formula."""
    atoms = bulk("Cu", a=3.5 + 0.3 * rng.random(), cubic=True)
    atoms.symbols[0] = "Ni"
    if not perfect:
        atoms = atoms * (2, 2, 1)
        atoms.symbols[:] = rng.choice(("Cu", "Ni"), len(atoms))
        atoms.rattle(0.12, rng=rng)
    atoms.calc = Potential(formula).calculator()
    found = {
        "energy": atoms.get_potential_energy(),
        "forces": atoms.get_forces(),
        "stress": atoms.get_stress(),
    }
    atoms.calc = SinglePointCalculator(atoms, **found)
    return atoms


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path, rng = tmp_path_factory.mktemp("alloy"), np.random.default_rng(1)
    ase.io.write(path / "alloy.extxyz", [labelled(rng, whole(), n == 0) for n in range(13)])
    Potential(COPPER).save(path / "cu.json")
    Potential(NICKEL).save(path / "ni.json")
    return path


def settings(folder, frozen=("cu.json", "ni.json"), train="alloy.extxyz", search=None, **terms):
    record = {
        "data": {"train": [train], "split": "random"},
        "terms": {"r_cut": 5.0, "r0": 2.5, "frozen": list(frozen), **terms},
        "search": search or {},
    }
    return config.from_dict(record, folder)


@pytest.fixture(scope="module")
def prepared(folder):
    return prepare(settings(folder))


@pytest.fixture(scope="module")
def many_body(folder):
    return prepare(settings(folder, many_body=True))


# Lengths of single keys.


def test_a_key_measures_distances_in_a_length_of_its_own():
    one, other = whole(), NICKEL
    r = np.linspace(1.5, 5.5, 50)
    theirs = one.pair_function("Ni", "Ni")
    assert np.array_equal(theirs.energy(r), other.pair_function("Ni", "Ni").energy(r))
    assert Formula.from_dict(json.loads(json.dumps(one.to_dict()))) == one
    assert "r0s" not in COPPER.to_dict()
    assert one.latex().endswith(r"r_0(\mathrm{Ni-Ni}) = 2.45\,\mathrm{\AA}")


def test_both_halves_compute_what_keys_with_lengths_of_their_own_give(prepared):
    data, closed = prepared.structures, whole()
    given = prepared.exact.predict(closed.expression, closed.e0)
    for s in range(3):
        atoms = data.to_atoms(s)
        atoms.calc = Potential(closed).calculator()
        assert given.energy[s] == pytest.approx(data.energy[s], abs=1e-7)
        assert given.energy[s] == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
        assert given.forces[data.atoms_of(s)] == pytest.approx(atoms.get_forces(), abs=1e-8)


def test_a_length_of_no_key_is_refused():
    with pytest.raises(ValueError, match="lengths are given for 'Ni-Cu'"):
        replace(whole(), r0s={"Ni-Cu": 2.0})


# What is left to evolve.


def test_only_keys_beyond_the_elements_of_each_file_evolve(prepared, many_body):
    assert list(map(str, prepared.design.keys)) == ["Cu-Ni"]
    assert sorted(map(str, many_body.design.keys)) == ["Cu", "Cu-Ni", "Ni"]
    assert prepared.fixed_e0 == {"Cu": COPPER.e0["Cu"], "Ni": NICKEL.e0["Ni"]}
    assert not any("Cu-Cu" in text for text in cautions(prepared))


def test_new_functions_of_a_centre_are_over_the_other_species(many_body):
    keys, drawn = many_body.design.keys, np.random.default_rng(3)
    variation, other = Variation(VariationSettings(), keys), {"Cu": "Ni", "Ni": "Cu"}
    found = [term for coded in variation.random(60, drawn) for term in coded]
    heads = [
        (keys[term.key].centre, node[1])
        for term in found
        if keys[term.key].is_function
        for node in sums_in(term.shape.root)
    ]
    assert heads
    assert all(head[2:] == (other[centre],) for centre, head in heads)


def test_the_rest_of_the_labels_is_that_of_the_cross_term(prepared):
    weight, text = CROSS
    expression = Expression((Term.read(text),), (weight,))
    assert prepared.error(expression) < 1e-6
    record = member_record(prepared, expression, prepared.error(expression), 1)
    assert agrees(prepared, record)
    assert record.errors["train"].forces.rmse < 1e-7
    assert record.errors["train"].forces.label_rms == prepared.labels["train"].forces.label_rms
    assert (record.complexity, record.n_constants) == (expression.complexity, 2)


def test_labels_that_many_body_terms_are_fitted_to_are_the_rest_too(many_body, tmp_path):
    weight, text = CROSS
    extra = "Ni: sum_Cu(exp(-5.0*x))^2"
    expression = Expression((Term.read(text), Term.read(extra)), (weight, 0.0))
    assert many_body.fitter.loss(expression) < 1e-12
    many_body.labelled.save(tmp_path / "labels.npz")
    again = type(many_body.labelled).load(tmp_path / "labels.npz")
    assert np.array_equal(again.fitted.forces, many_body.rest.forces)
    assert np.array_equal(again.structures.forces, many_body.structures.forces)
    assert again.frozen == many_body.frozen.expression


def test_e0_of_an_element_without_a_file_is_fitted(folder):
    with_copper = prepare(settings(folder, ["cu.json"]))
    keys = with_copper.design.keys
    assert list(map(str, keys)) == ["Cu-Ni", "Ni-Ni"]
    texts = ((210.0, "Cu-Ni: exp(-6.0*x)"), (1.0, "Ni-Ni: exp(-8*x)"))
    fitted, _ = with_copper.fitter.refit(expression_of(texts).terms, AS_IT_IS)
    e0 = with_copper.e0(fitted)
    assert e0["Cu"] == COPPER.e0["Cu"]
    assert e0["Ni"] != NICKEL.e0["Ni"]
    record = member_record(with_copper, fitted, with_copper.error(fitted), 1)
    assert agrees(with_copper, record)


@pytest.mark.slow
def test_triplets_of_both_see_the_lengths_of_the_frozen_pair(folder):
    mixed = prepare(settings(folder, three_body="separable", r_cut_three_body=3.4))
    triplets = {str(key) for key in mixed.design.keys if len(key.species) == 3}
    assert triplets == {"Cu;Cu-Ni", "Cu;Ni-Ni", "Ni;Cu-Cu", "Ni;Cu-Ni"}
    texts = [CROSS, (0.3, "Cu;Cu-Ni: exp(-x1)*exp(-x2)*c"), (0.2, "Ni;Cu-Ni: x1^-2*x2^-2*1")]
    expression = expression_of(texts)
    record = member_record(mixed, expression, mixed.error(expression), 1)
    assert agrees(mixed, record)


@pytest.mark.slow
def test_triplets_rest_where_atoms_are_closer_than_the_domain_of_a_frozen_pair(folder, tmp_path):
    far = replace(COPPER, r_lo=2.4)
    Potential(far).save(tmp_path / "cu.json")
    Potential(NICKEL).save(tmp_path / "ni.json")
    train = str(folder / "alloy.extxyz")
    terms = {"three_body": "separable", "r_cut_three_body": 3.4}
    mixed = prepare(settings(tmp_path, train=train, **terms))
    texts = [CROSS, (0.3, "Cu;Cu-Ni: exp(-x1)*exp(-x2)*c")]
    expression = expression_of(texts)
    assert agrees(mixed, member_record(mixed, expression, mixed.error(expression), 1))


# The gate.


def test_the_gate_judges_new_terms_beside_the_frozen_ones(many_body):
    gate, (weight, text) = many_body.gate, CROSS
    assert [curve.name for curve in gate.dimers] == ["dimer Cu-Ni"]
    assert not gate.broken(expression_of([(weight, text)]))
    assert gate.broken(expression_of([(-weight, text)]))
    without = Gate(many_body.structures, many_body.lengths)
    assert without.broken(expression_of([(weight, text)]))


def test_the_gate_keeps_the_energy_of_atoms_whose_e0_is_frozen(many_body):
    shifted = expression_of([CROSS, (0.1, "Cu: exp(-sum_Ni(exp(-2.0*x)))")])
    assert many_body.gate.broken(shifted) == [
        "an atom of Cu alone has another energy than e0 of [terms] frozen"
    ]


# What is delivered.


def test_frozen_terms_stand_in_the_potential_as_in_their_files(prepared):
    fitted, _ = prepared.fitter.refit(expression_of([(1.0, "Cu-Ni: exp(-5.0*x)")]).terms)
    record = member_record(prepared, fitted, prepared.error(fitted), 1)
    assert [one.name for one in record.constants] == ["w1", "c1"]
    potential = potential_of(formula(prepared, fitted), fitted, {}, record.covariance)
    terms = potential.to_dict()["terms"]
    assert terms[1:] == COPPER.to_dict()["terms"] + NICKEL.to_dict()["terms"]
    names = list(potential.constants)
    spread = dict(zip(names, np.diag(potential.covariance), strict=True))
    assert {name for name in names if spread[name]} <= {"w1", "c1"}
    assert Potential.from_dict(json.loads(json.dumps(potential.to_dict()))) == potential
    for a, old in (("Cu", COPPER), ("Ni", NICKEL)):
        r = np.linspace(1.2, 5.8, 60)
        new = potential.formula.pair_function(a, a)
        assert np.array_equal(new.energy(r), old.pair_function(a, a).energy(r))
        crystal = bulk(a, a=3.6) * (2, 1, 1)
        energies = []
        for one in (potential.formula, old):
            atoms = crystal.copy()
            atoms.calc = Potential(one).calculator()
            energies.append(atoms.get_potential_energy())
        assert energies[0] == pytest.approx(energies[1], abs=1e-12)


def test_tied_constants_of_new_terms_stand_before_those_of_frozen_ones(folder):
    with_copper = prepare(settings(folder, ["cu.json"]))
    tied = expression_of([(200.0, "Cu-Ni: exp(-6.1*x)"), (500.0, "Ni-Ni: exp(-6.1*x)")])
    record = member_record(with_copper, tied, with_copper.error(tied), 1)
    assert [one.name for one in record.constants] == ["w1", "w2", "c1"]
    potential = potential_of(formula(with_copper, tied), tied, {}, record.covariance)
    names = list(potential.constants)
    assert names == ["w1", "w2", "w3", "w4", "c1", "c2", "c3"]
    places = [names.index(name) for name in ("w1", "w2", "c1")]
    assert np.array_equal(potential.covariance[np.ix_(places, places)], record.covariance)
    assert potential.constants["c2"] == -10.7


# Refusals.


@pytest.fixture
def files(folder, tmp_path):
    """Files that contradict others, beside those of the alloy."""
    for name in ("alloy.extxyz", "cu.json", "ni.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    gold = replace(
        COPPER,
        species=("Au",),
        e0={"Au": 0.0},
        expression=expression_of([(9.0, "Au-Au: x^-9")]),
    )
    Potential(gold).save(tmp_path / "au.json")
    Potential(replace(COPPER, r0=2.6)).save(tmp_path / "cu2.json")
    Potential(replace(COPPER, e0={"Cu": 1.0})).save(tmp_path / "cu3.json")
    Potential(whole()).save(tmp_path / "both.json")
    (tmp_path / "no.json").write_text("{}")
    return tmp_path


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ({"frozen": ["cu.json", "cu2.json"]}, "cu.json and cu2.json differ in Cu-Cu; name one"),
        ({"frozen": ["cu.json", "cu3.json"]}, "cu.json and cu3.json differ in e0 of Cu"),
        ({"frozen": ["au.json"]}, "au.json describes Au, which the data lack; there are Cu, Ni"),
        ({"frozen": ["no.json"]}, "no.json: this is no potential"),
        ({"frozen": ["gone.json"]}, "gone.json does not exist; name a potential.json"),
        ({"frozen": ["both.json"]}, "frozen leaves nothing to evolve"),
        ({"cutoffs": {"Cu-Cu": 4.0}}, r"\[terms.cutoffs\] Cu-Cu: cu.json of \[terms\] frozen"),
        ({"e0": {"Cu": 1.0, "Ni": 0.0}}, "e0 of Cu is 1 eV, but -0.52 eV in cu.json"),
    ],
)
def test_what_contradicts_a_frozen_file_is_refused(files, terms, said):
    with pytest.raises((ValueError, OSError), match=said):
        prepare(settings(files, **terms))


def test_a_frozen_potential_without_a_value_for_some_data_is_refused(files):
    record = Potential(COPPER).to_dict()
    record["terms"].append({"term": "Cu: log(sum(x) - 1.0e3)", "weight": 1.0})
    (files / "cu.json").write_text(json.dumps(record))
    with pytest.raises(
        ValueError, match=r"cu\.json, ni\.json give no finite energy and forces for"
    ):
        prepare(settings(files))


def test_files_that_agree_on_what_both_describe_are_one(files):
    """Both hold copper alike; the other file holds the whole alloy of which nothing is left."""
    with pytest.raises(ValueError, match="leaves nothing to evolve"):
        prepare(settings(files, ["cu.json", "both.json"]))


def test_energies_of_other_elements_may_be_given_beside_a_file(folder):
    found = prepare(settings(folder, ["cu.json"], e0={"Ni": -0.3}))
    assert found.fixed_e0 == {"Cu": COPPER.e0["Cu"], "Ni": -0.3}


def test_one_file_may_stand_without_a_list():
    record = {"data": {"train": ["a.extxyz"]}, "terms": {"frozen": "cu.json"}}
    assert config.from_dict(record).terms.frozen == ("cu.json",)


def test_a_run_file_in_its_folder_names_the_files_where_they_are(folder):
    text = config.dumps(settings(folder), folder / "run")
    assert f'frozen = ["{"../cu.json"}", "../ni.json"]' in text


def test_a_run_does_not_go_on_with_other_frozen_terms(files):
    chosen = settings(files)
    before = Origin.of(chosen, "hash")
    (files / "cu2.json").replace(files / "cu.json")
    after = Origin.of(chosen, "hash")
    assert "[terms] frozen is" in after.difference(before)
    assert after.token != before.token


def test_frozen_elements_leave_the_exhaustive_mode_their_cross_pair(folder):
    with pytest.raises(ValueError, match=r"potentials of the elements in \[terms\] frozen"):
        prepare(settings(folder, frozen=(), search={"mode": "exhaustive"}))
    found = prepare(settings(folder, search={"mode": "exhaustive"}))
    assert [str(key) for key in found.design.pair_keys] == ["Cu-Ni"]
