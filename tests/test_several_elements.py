"""A run on several elements, up to its search: settings, what data lack, what each key brings."""

from dataclasses import replace
from types import SimpleNamespace

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from symreg import config
from symreg.fit.design import block_errors, build_design
from symreg.fit.loss import LossSettings
from symreg.runs.pipeline.cautions import cautions
from symreg.runs.pipeline.delivery import rewriting_domain
from symreg.runs.pipeline.floors import floor_lines, floor_record, importance
from symreg.runs.pipeline.frozen import NONE
from symreg.runs.pipeline.modes import island_settings
from symreg.runs.pipeline.preparation import best_fit, prepare
from symreg.terms import Expression, Key, Term
from symreg.terms.cutoff import Cutoff
from symreg.terms.lengths import Lengths


def salt(rng, n=2, far=False):
    """A rattled cell of rock salt, with any energies; or two atoms of each kind far apart."""
    side = 4.2 + 0.1 * rng.normal()
    atoms = Atoms("Mg4O4", cell=[side] * 3, pbc=True)
    places = [[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1] * 3]
    atoms.positions = 0.5 * side * np.array(places) + rng.normal(0, 0.08, (8, 3))
    if far:
        atoms = Atoms("MgO", [[0, 0, 0], [0, 0, 1.9 + 0.1 * n]])
    forces = rng.normal(0, 1.0, (len(atoms), 3))
    atoms.calc = SinglePointCalculator(
        atoms, energy=-3.0 * len(atoms) + rng.normal(), forces=forces - forces.mean(axis=0)
    )
    return atoms


@pytest.fixture(scope="module")
def salt_file(tmp_path_factory):
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("salt") / "salt.extxyz"
    ase.io.write(path, [salt(rng) for _ in range(12)])
    return path


@pytest.fixture(scope="module")
def dimers_file(tmp_path_factory):
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("dimers") / "dimers.extxyz"
    ase.io.write(path, [salt(rng, n, far=True) for n in range(12)])
    return path


def prepared(path, **terms):
    record = {"data": {"train": [str(path)], "split": "random"}, "terms": {"r_cut": 3.5, **terms}}
    return prepare(config.from_dict(record))


@pytest.fixture(scope="module")
def magnesia(salt_file):
    return prepared(salt_file, three_body="separable", r_cut_three_body=2.5)


# Settings.


def test_each_pair_of_species_has_room_for_a_formula():
    settings = config.from_dict({"data": {"train": ["a.extxyz"]}})
    assert [settings.terms.complexity_for(pairs) for pairs in (1, 3, 10)] == [60, 180, 200]
    limits = [island_settings(settings, 10, pairs).variation for pairs in (1, 3, 10)]
    assert [one.max_complexity for one in limits] == [60, 180, 200]
    assert [one.max_nonlinear for one in limits] == [16, 48, 52]
    given = config.from_dict({"data": {"train": ["a.extxyz"]}, "terms": {"max_complexity": 33}})
    assert given.terms.complexity_for(10) == 33


def test_single_keys_have_cutoffs_with_an_onset_in_proportion():
    record = {"three_body": "separable", "cutoffs": {"O-Hf": 5.0, "O;Hf-Hf": 4.0}}
    terms = config.from_dict({"data": {"train": ["a.extxyz"]}, "terms": record}).terms
    lengths = terms.lengths(2.0)
    assert lengths.cutoffs == {
        "Hf-O": Cutoff(kind="septic", r_cut=5.0, r_on=3.0),
        "O;Hf-Hf": Cutoff(kind="septic", r_cut=4.0, r_on=2.4),
    }
    assert lengths.at(("Hf", "O")).cutoff.r_cut == 5.0
    assert lengths.at(("O", "O")).cutoff.r_cut == 6.0


@pytest.mark.parametrize(
    ("cutoffs", "said"),
    [
        ({"HfO": 5.0}, "'HfO' names no species; write a pair as in Hf-O, or triplets"),
        ({"Hf": 5.0}, "'Hf' is no pair and no triplet; write a pair as in Hf-O"),
        ({"Hx-O": 5.0}, "species 'Hx' is no chemical element"),
        ({"Hf-O": 5.0, "O-Hf": 4.0}, "has both 'Hf-O' and 'O-Hf', which are one key"),
        ({"O;Hf-Hf": 4.0}, "'O;Hf-Hf' has no effect without three-body terms; set three_body ="),
        ({"Hf-O": -1.0}, r"\[terms.cutoffs\] Hf-O is -1; it must be from 0.1 to 100 Å"),
        ({"Hf-O": "far"}, r'\[terms.cutoffs\] Hf-O is "far"; it must be a number'),
        (5.0, "cutoffs is 5.0; it must be a table"),
    ],
)
def test_cutoffs_that_name_no_key_or_no_length_are_refused(cutoffs, said):
    with pytest.raises(config.SettingsError, match=said):
        config.from_dict({"data": {"train": ["a.extxyz"]}, "terms": {"cutoffs": cutoffs}})


def test_another_word_for_sharing_is_refused():
    with pytest.raises(config.SettingsError, match='shared is "yes"; it must be "auto", "never"'):
        config.from_dict({"data": {"train": ["a.extxyz"]}, "terms": {"shared": "yes"}})


def test_cutoffs_survive_a_run_file_and_an_override(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('[data]\ntrain = ["a.extxyz"]\n[terms.cutoffs]\n"Hf-O" = 5.0\n')
    settings = config.load(path, {"terms.cutoffs.O-O": "4.0"})
    assert settings.terms.cutoffs == {"Hf-O": 5.0, "O-O": 4.0}
    path.write_text(config.dumps(settings))
    assert config.load(path).terms == settings.terms


def test_kinds_of_terms_are_proposed_for_compounds_and_alloys_alone():
    def proposed(*species):
        return {name: value for name, (value, _) in config.term_proposals(species).items()}

    assert proposed("Hf", "O") == {"three_body": '"separable"'}
    assert proposed("Cu", "Ni") == {"many_body": "true"}
    assert proposed("Si") == proposed("Ar", "Kr") == {}
    assert "many_body = true" in config.template(["a.extxyz"], species=("Cu", "Ni"))


# What the data lack.


@pytest.mark.parametrize(
    ("cutoffs", "said"),
    [
        ({"Mg-Zr": 3.0}, r"\[terms.cutoffs\] Mg-Zr: the data hold no Zr; there are Mg, O"),
        ({"Mg-O": 1.2}, r"\[terms.cutoffs\] Mg-O = 1.2: of Mg and O in training they come within"),
    ],
)
def test_a_cutoff_of_a_pair_that_training_lacks_is_refused(salt_file, cutoffs, said):
    with pytest.raises(ValueError, match=said):
        prepared(salt_file, cutoffs=cutoffs)


def test_more_pairs_than_an_exhaustive_form_has_terms_are_refused(salt_file, dimers_file):
    record = {"terms": {"r_cut": 3.5}, "search": {"mode": "exhaustive"}}
    with pytest.raises(ValueError, match='Mg-Mg, Mg-O, O-O need one each: set mode = "evolution"'):
        prepare(config.from_dict({"data": {"train": [str(salt_file)]}, **record}))
    found = prepare(config.from_dict({"data": {"train": [str(dimers_file)]}, **record}))
    assert found.design.pair_keys == (Key.of("Mg", "O"),)


def test_a_cutoff_of_atoms_that_never_meet_is_refused(dimers_file):
    said = r"\[terms.cutoffs\] O-O = 3: of O and O in training none are within 3.5 Å"
    with pytest.raises(ValueError, match=said):
        prepared(dimers_file, cutoffs={"O-O": 3.0})


def test_pairs_that_never_meet_are_told_and_left_out(dimers_file):
    found = prepared(dimers_file, shared="always")
    assert found.design.pair_keys == (Key.of("Mg", "O"),)
    every = (*found.report.warnings, *cautions(found))
    (said,) = (text for text in every if "of each other in training" in text)  # once, not twice
    assert said.startswith("no atoms of Mg-Mg, O-O come within 3.5 Å of each other in training")
    assert "no shared one either" in said
    assert "but for a repulsive wall" in said


def test_pairs_that_never_meet_are_told_in_the_same_words_by_data_and_by_settings(dimers_file):
    found = prepared(dimers_file)
    no_word_yet = replace(found, report=replace(found.report, warnings=()))
    (said,) = (text for text in cautions(no_word_yet) if "of each other in training" in text)
    assert said in found.report.warnings


def argon_far(rng):
    """Krypton and argon whose atoms of argon are farther apart than those of each are near."""
    symbols, d = "KrArArKr", 3.0 + 0.15 * rng.random()
    places = [[0, 0, 0], [d, 0, 0], [-0.3 * d, 0.95 * d, 0], [0, 0, d]]
    atoms = Atoms(symbols, places)
    atoms.calc = SinglePointCalculator(atoms, energy=rng.normal(), forces=np.zeros((4, 3)))
    return atoms


@pytest.fixture(scope="module")
def far_file(tmp_path_factory):
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("far") / "far.extxyz"
    ase.io.write(path, [argon_far(rng) for _ in range(12)])
    return path


def test_triplets_need_pair_keys_of_the_centre_and_its_neighbours(far_file):
    found = prepared(far_file, r_cut=3.4, three_body="separable", r_cut_three_body=5.0)
    keys = set(map(str, found.design.keys))
    assert {"Ar-Kr", "Kr-Kr", "Kr;Ar-Ar", "Kr;Ar-Kr", "Ar;Kr-Kr"} <= keys
    assert not keys & {"Ar-Ar", "Ar;Ar-Kr", "Ar-Ar-Ar"}
    (said,) = (text for text in cautions(found) if "triplets" in text)
    assert said.startswith("Ar-Ar-Ar, Ar;Ar-Kr")
    assert "Kr;Ar-Ar" not in said


def test_data_without_triplets_that_may_have_terms_are_refused(dimers_file):
    with pytest.raises(
        ValueError, match=r"no atom has two neighbours within \[terms\] r_cut_three"
    ):
        prepared(dimers_file, three_body="separable", r_cut_three_body=3.0)


def test_one_composition_leaves_all_but_a_sum_of_free_energies_open(magnesia, two_elements):
    (said,) = (text for text in cautions(magnesia) if "free" in text)
    assert "tell the energies of free Mg, O as one sum, that of MgO, alone" in said
    design = build_design(two_elements, Lengths(SHORT, None, 3.8), LossSettings())
    several = SimpleNamespace(design=design, lengths=Lengths(SHORT, None, 3.8), frozen=NONE)
    assert cautions(several) == []


def test_a_compound_with_one_structure_is_warned_of(tmp_path):
    path = tmp_path / "one.extxyz"
    ase.io.write(path, [salt(np.random.default_rng(1))])
    found = prepared(path)
    said = " ".join((*cautions(found), *(floor_record(found).doubts or ())))
    assert "as one sum, that of MgO, alone" in said
    assert "the training data determine" in said


def test_rewrites_are_judged_up_to_the_largest_cutoff_of_their_kind(salt_file):
    own = {"Mg-O": 2.6, "O-O": 4.5, "O;Mg-Mg": 2.7}
    terms = {"three_body": "separable", "r_cut_three_body": 2.5}
    found = prepared(salt_file, cutoffs=own, **terms)
    assert found.design.r_cut == 4.5
    assert (found.lengths.farthest(1), found.lengths.farthest(2)) == (4.5, 2.7)
    domain, r0 = rewriting_domain(found.design), found.design.r0
    assert (domain[1][1], domain[2][1]) == (4.5 / r0, 2.7 / r0)


# What each key brings.

SHORT = Cutoff(kind="septic", r_cut=6.5, r_on=4.0)


def test_pairs_are_told_by_the_floor_without_them(two_elements):
    design = build_design(two_elements, Lengths(SHORT, None, 3.8), LossSettings())
    found = block_errors(design)
    assert list(found) == ["Ar-Ar", "Ar-Kr", "Kr-Kr"]
    assert all(error > design.pair_floor.error for error in found.values())


def test_triplets_are_told_by_the_floor_with_them_alone(magnesia):
    found = magnesia.blocks
    floors = magnesia.design.floor.error, magnesia.design.pair_floor.error
    triplets = {text: error for text, error in found.items() if ";" in text or text.count("-") > 1}
    assert set(triplets) == {"Mg;O-O", "O;Mg-Mg"}  # within 2.5 Å
    assert all(floors[0] <= error + 1e-6 for error in triplets.values())
    assert all(error <= floors[1] + 1e-6 for error in triplets.values())
    lines = floor_lines(magnesia)
    assert any(line.startswith("without one pair: ") for line in lines)
    assert any(line.startswith("of pairs with one key of triplets: ") for line in lines)
    assert floor_record(magnesia).blocks == found


def test_keys_that_bring_more_are_likelier_to_be_given_forms(magnesia):
    likely = dict(zip(magnesia.design.keys, importance(magnesia), strict=True))
    for over in ("pairs", "triplets"):
        values = [value for key, value in likely.items() if key.over == over]
        assert np.mean(values) == pytest.approx(1.0)
        assert min(values) >= 0.5
    triplets = [key for key in likely if key.over == "triplets"]
    best = min(triplets, key=lambda key: magnesia.blocks[str(key)])
    assert likely[best] == max(likely[key] for key in triplets)


def test_one_key_of_each_kind_brings_all(silicon_design):
    assert block_errors(silicon_design) == {}
    assert importance(SimpleNamespace(design=silicon_design, blocks={})) == ()


def test_known_densities_of_several_elements_are_fitted_to_few_structures_first():
    terms = [Term.read("Cu: sqrt(sum(exp(-5.0*x)))")]
    asked = []

    def refit(terms, settings):
        asked.append((settings.on_all, terms[0].constants))
        return Expression(tuple(terms), (1.0,)), abs(terms[0].constants[0] + 4.0)

    for species, expected in (("Cu", [True] * 5), ("Cu Ni", [False] * 5 + [True])):
        design = SimpleNamespace(species=species.split())
        fitter = SimpleNamespace(design=design, refit=refit)
        found, _ = best_fit(SimpleNamespace(fitter=fitter), terms)
        assert [on_all for on_all, _ in asked] == expected
        assert found.terms[0].constants == pytest.approx((-4.0,))
        asked.clear()
