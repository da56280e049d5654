"""The contract of kinds of sums: laws that each keeps, alone and in functions, with every cutoff.

A kind that is registered joins by itself; one is registered here to prove it.
"""

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from ase import Atoms
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from random_crystals import crystals, numbers, strained, stress_from
from squares import SQUARES

from symreg.fit.exact import ExactPath, Prediction
from symreg.fit.programs.batch import pack
from symreg.fit.sums.base import AllAddends, Selection, Variants
from symreg.formula import Formula, FormulaCalculator
from symreg.language.canonical import nested, tree_of
from symreg.structures import from_atoms
from symreg.structures.neighbours import structure_pairs
from symreg.terms import Key, Sum, Term, expression_of
from symreg.terms.cutoff import KINDS, Cutoff
from symreg.terms.kinds import kind_of, kinds, register, unregister
from symreg.terms.lengths import Lengths

R0, E0 = 2.5, -0.3
NEAR = 0.9  # where the domain begins, in Å
EDGES = (4.4, 3.9), (3.0, 2.8)  # radii and onsets of both cutoff functions, in Å
CRYSTALS = crystals(("Cu",) * 4)

FORMS = {
    ("x",): ("x^-6", "exp(-1.3*(x - 1)) - 0.2", "sqrt(x^2 + 0.3)*log(x + 1)"),
    ("x1", "x2", "c"): (
        "exp(1.2/(x1 + 0.9))*exp(1.2/(x2 + 0.9))*(c + 1/3)^2",
        "1*1*exp(0.7*c)",
        "exp(-(x1 + x2 + x1*c)^2)",
        "(x1 - 2*x2)^2*(c + 0.3)",
    ),
}
"""Functions to be summed, by their variables."""
AROUND = (
    "sqrt({} + sum(x^-6)^2)",
    "log(1.5 + sum(x^-3))*exp(-0.01*{})",
    "{}^2 - 0.3*sum(1)*{}",
)
"""Functions of sums; the braces hold the one that is tried."""


def forms_of(kind):
    if kind.variables in FORMS:
        return FORMS[kind.variables]
    inside = " + ".join(f"{0.5 + 0.3 * n}*{name}" for n, name in enumerate(kind.variables))
    return (f"exp(-{inside})",)


CASES = [
    (kind.over, inside, cutoff)
    for kind in (*kinds(), SQUARES)
    for inside in (False, True)
    for cutoff in KINDS
]
every_case = pytest.mark.parametrize(
    "case", CASES, ids=lambda c: f"{c[0]}-{'argument' if c[1] else 'alone'}-{c[2]}"
)
few = settings(max_examples=4)


@pytest.fixture(autouse=True, scope="module")
def squares():
    register(SQUARES)
    yield
    unregister(SQUARES.over)


@st.composite
def texts(draw, case):
    """Terms with their weights: one of the kind that is tried, and a pair term."""
    over, inside, _ = case
    kind = kind_of(over)
    form = draw(st.sampled_from(forms_of(kind)))
    species = "-".join(["Cu"] * (1 + kind.neighbours))
    tried = f"{'' if over in ('pairs', 'triplets') else over + ' '}{species}: {form}"
    if inside:
        around = draw(st.sampled_from(AROUND))
        tried = f"Cu: {around.replace('{}', f'{kind.name}({form})')}"
    return (0.7, tried), (-0.2, "Cu-Cu: x^-4")


@lru_cache
def formula_of(parts, cutoff):
    pair, three = (Cutoff(kind=cutoff, r_cut=r, r_on=on) for r, on in zip(*EDGES, strict=True))
    return Formula(
        expression_of(parts), R0, {"Cu": E0}, ("Cu",), pair, NEAR, cutoff_three_body=three
    )


def predict(formula, *images):
    path = ExactPath(from_atoms(images), formula.lengths)
    return path.predict(formula.expression, formula.e0)


def away_from_edges(atoms):
    """No distance where a cutoff function has a jump or a bend."""
    r = structure_pairs(from_atoms([atoms]), 0, 5.0).r
    edges = np.array([*EDGES[0], *EDGES[1], NEAR])
    assume(np.abs(r[:, None] - edges).min(initial=1) > 1e-3)


@every_case
@few
@given(data=st.data(), atoms=CRYSTALS)
def test_both_halves_agree(close, case, data, atoms):
    formula = formula_of(data.draw(texts(case)), case[2])
    delivered = atoms.copy()
    delivered.calc = FormulaCalculator(formula)
    stress = delivered.get_stress() if atoms.pbc.all() else np.full(6, np.nan)
    energy = np.array([delivered.get_potential_energy()])
    close(predict(formula, atoms), Prediction(energy, delivered.get_forces(), stress[None, :]))


@every_case
@few
@given(data=st.data(), atoms=CRYSTALS, coordinate=st.integers(0, 11))
def test_forces_are_the_slope_of_the_energy(case, data, atoms, coordinate):
    away_from_edges(atoms)
    formula = formula_of(data.draw(texts(case)), case[2])
    moved = [atoms.copy(), atoms.copy()]
    for copy, step in zip(moved, (1e-5, -1e-5), strict=True):
        copy.positions.ravel()[coordinate] += step
    found = predict(formula, atoms, *moved)
    forces, (up, down) = found.forces[:4], found.energy[1:]
    scale = 1 + np.abs(forces).max() + np.abs(up)
    assert -(up - down) / 2e-5 == pytest.approx(forces.ravel()[coordinate], abs=1e-6 * scale)
    np.testing.assert_allclose(forces.sum(axis=0), 0, atol=1e-10 * scale)


@every_case
@few
@given(data=st.data(), atoms=CRYSTALS)
def test_stress_is_the_slope_of_the_energy_with_strain(case, data, atoms):
    atoms.pbc = True
    away_from_edges(atoms)
    found = predict(formula_of(data.draw(texts(case)), case[2]), atoms, *strained(atoms))
    numeric = stress_from(found.energy[1:], atoms)
    scale = 1 + np.abs(found.stress[0]).max() + np.abs(found.energy[0]) / atoms.get_volume()
    np.testing.assert_allclose(found.stress[0], numeric, atol=1e-6 * scale)


@every_case
@few
@given(
    data=st.data(),
    atoms=CRYSTALS,
    order=st.permutations(range(4)),
    shift=st.tuples(numbers, numbers, numbers),
    angle=st.floats(0, 360),
)
def test_order_place_and_turn_do_not_matter(close, case, data, atoms, order, shift, angle):
    formula = formula_of(data.draw(texts(case)), case[2])
    if case[2] == "none":
        away_from_edges(atoms)
    other = atoms[list(order)]
    other.translate(np.multiply(shift, 10))
    other.wrap()  # along what repeats
    other.rotate(angle, (1, 2, 3), rotate_cell=True)
    turn = np.linalg.solve(atoms.cell.array, other.cell.array)
    still, found = predict(formula, atoms), predict(formula, other)
    tensor = still.stress[0][[[0, 5, 4], [5, 1, 3], [4, 3, 2]]]
    stress = (turn.T @ tensor @ turn).ravel()[[0, 4, 8, 5, 2, 1]]
    close(found, Prediction(still.energy, still.forces[list(order)] @ turn, stress[None, :]))


@pytest.mark.parametrize("over", ["triplets"])
@few
@given(text=st.sampled_from(FORMS["x1", "x2", "c"]), atoms=CRYSTALS)
def test_swapping_both_neighbours_changes_nothing(close, over, text, atoms):
    kind = kind_of(over)
    one, two = kind.variables[:2]
    swapped = text.replace(one, "first").replace(two, one).replace("first", two)
    for around in ("Cu-Cu-Cu: {}", "Cu: sqrt(sum({})^2 + 1)"):
        found = [
            predict(
                formula_of(((0.7, around.replace("{}", form)), (-0.2, "Cu-Cu: x^-4")), "septic"),
                atoms,
            )
            for form in (swapped, text)
        ]
        close(*found)


@few
@given(text=st.sampled_from(FORMS["x1", "x2", "c"]), atoms=CRYSTALS)
def test_reach_of_pairs_does_not_matter_to_triplets(close, text, atoms):
    expression = expression_of([(1.0, f"Cu-Cu-Cu: {text}")])
    three = Cutoff(kind="septic", r_cut=3.9, r_on=2.8)
    found = [
        ExactPath(from_atoms([atoms]), Lengths(replace(three, r_cut=r), three, R0)).predict(
            expression, {"Cu": E0}
        )
        for r in (3.0, 7.0)
    ]
    close(*found)


@every_case
@few
@given(data=st.data(), atoms=CRYSTALS, axis=st.integers(0, 2))
def test_doubling_the_cell_doubles_the_energy(close, case, data, atoms, axis):
    atoms.pbc = True
    if case[2] == "none":
        away_from_edges(atoms)
    repeat = [1, 1, 1]
    repeat[axis] = 2
    formula = formula_of(data.draw(texts(case)), case[2])
    once, twice = (predict(formula, image) for image in (atoms, atoms * repeat))
    close(twice, Prediction(2 * once.energy, np.tile(once.forces, (2, 1)), once.stress))


@every_case
@few
@given(data=st.data())
def test_atoms_beyond_the_cutoff_are_atoms_alone(case, data):
    formula = formula_of(data.draw(texts(case)), case[2])
    away = max(EDGES[0]) + 1e-3
    corners = np.array([[0, 0, 0], [1, 0, 0], [0.5, math.sqrt(0.75), 0]])
    apart, alone = predict(formula, Atoms("Cu3", away * corners)), predict(formula, Atoms("Cu"))
    assert apart.energy[0] == pytest.approx(3 * alone.energy[0], abs=1e-12)
    np.testing.assert_array_equal(apart.forces, 0)


@every_case
@few
@given(data=st.data())
def test_text_is_read_back(case, data):
    for _, text in data.draw(texts(case)):
        term = Term.read(text)
        assert Term.read(str(term)) == term
        assert str(Term.read(str(term))) == str(term)
        assert Term.at(term.key, term.tree) == term
        assert hash(Term.read(text)) == hash(term)
        canonical = nested(term.tree)
        assert nested(tree_of(canonical)) == canonical


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("over", [*(kind.over for kind in kinds()), SQUARES.over])
@few
@given(data=st.data(), atoms=CRYSTALS)
def test_canonical_forms_compute_the_same(close, over, inside, data, atoms):
    (weight, text), pair = data.draw(texts((over, inside, "septic")))
    for name in ("sum(", "squares("):  # factors are what canonical forms take out of sums
        text = text.replace(name, f"{name}2.5*")
    term = Term.read(text)
    canonical = Term.at(term.key, tree_of(nested(term.tree)))
    formula = formula_of(((weight, text), pair), "septic")
    expression = replace(formula.expression, terms=(canonical, Term.read(pair[1])))
    close(predict(formula, atoms), predict(replace(formula, expression=expression), atoms))


@pytest.mark.parametrize("over", [*(kind.over for kind in kinds()), SQUARES.over])
@few
@given(data=st.data(), atoms=st.lists(CRYSTALS, min_size=2, max_size=2))
def test_rows_of_labels_are_sums_over_all_addends(over, data, atoms):
    kind = kind_of(over)
    products = [form for form in forms_of(kind) if kind.neighbours == 1 or "*exp" in form]
    pair, three = (Cutoff(kind="septic", r_cut=r, r_on=on) for r, on in zip(*EDGES, strict=True))
    key = Key(over, ("Cu",) * (1 + kind.neighbours))
    one = Sum(*key, key.parse(data.draw(st.sampled_from(products))))
    structures = from_atoms(atoms)
    computing = kind.discoverer(Lengths(pair, three, R0, NEAR))
    chosen = Selection(structures, (0, 1), np.full(8, True), 2, 64)
    members = [0] * len(key.species)
    shape, constants = one.tree.shape, np.array([one.tree.constants])
    variants = Variants(shape, np.arange(constants.size), constants, np.empty(0))
    found = []
    for rows in (computing.rows(chosen, members), AllAddends(computing, chosen, members)):
        sums, state = rows.sums(variants)
        forces, virial = np.zeros((8, 3, 1)), np.zeros((2, 6, 1))
        rows.add_forces(state, np.cos(sums), forces, virial)
        found.append((sums, forces, virial))
    for fast, slow in zip(*found, strict=True):
        np.testing.assert_allclose(fast, slow, atol=1e-5 * (1 + np.abs(slow).max()))


def test_a_coded_term_of_every_kind_is_its_term():
    for kind in kinds():
        key = Key(kind.over, ("Cu",) * (1 + kind.neighbours))
        for form in forms_of(kind):
            term = Term.at(key, key.parse(form))
            ((coded,),) = pack([(term,)], [key])
            assert coded.shape == term.tree.shape
            assert coded.constants == term.tree.constants
