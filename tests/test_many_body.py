import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc100
from ase.calculators.eam import EAM
from ase.calculators.singlepoint import SinglePointCalculator

from symreg.checks import check, dimer_curve
from symreg.fit.exact import ExactPath
from symreg.formula import Formula, FormulaCalculator
from symreg.language.canonical import build, nested, terms_of, tree_of
from symreg.language.text import ONE
from symreg.potential import Potential
from symreg.structures import from_atoms
from symreg.terms import Key, Term
from symreg.terms import expression_of as read
from symreg.terms.cutoff import Cutoff
from symreg.terms.lengths import Lengths

R0, R_LO = 2.55, 1.9
NUMBERS = ("product", ONE, ONE)
SEPTIC = Cutoff(kind="septic", r_cut=6.0, r_on=3.6)
GUPTA = (0.1, "exp(-11.0*(x - 1))"), (-1.3, "sqrt(sum(exp(-4.6*(x - 1))))")


def expression_of(*parts):
    """Weights with formulas, of pairs or of neighbour sums."""
    return read([(w, f"{'Cu' if 'sum' in text else 'Cu-Cu'}: {text}") for w, text in parts])


def formula_of(*parts, cutoff=SEPTIC, three=None):
    lengths = {"r0": R0, "r_lo": R_LO, "cutoff": cutoff, "cutoff_three_body": three}
    return Formula(expression_of(*parts), e0={"Cu": -0.2}, species=("Cu",), **lengths)


def computed(formula, atoms):
    atoms = atoms.copy()
    atoms.calc = FormulaCalculator(formula)
    return atoms


def test_published_sutton_chen_labels_are_reproduced(shared_data):
    # POET, Hernandez et al., npj Comput. Mater. 5, 112 (2019): constants of 4 and 5 digits.
    images = ase.io.read(shared_data / "sutton_chen_copper.extxyz", index="::40")
    cutoff = Cutoff(kind="poet", r_cut=5.0, r_on=3.0)
    structures = from_atoms(images)
    path, free = ExactPath(structures, Lengths(cutoff, None, 1.0)), {"Cu": 0.0}
    parts = [path.predict(expression_of((1.0, t)), free) for t in ("x^-9", "sqrt(sum(x^-6))")]
    columns = np.array([part.energy for part in parts]).T
    weights = np.linalg.lstsq(columns, structures.energy, rcond=None)[0]
    assert 0.5 * weights[0] == pytest.approx(644.52, abs=0.005)
    assert weights[1] ** 2 == pytest.approx(527.6, abs=0.05)
    assert np.abs(columns @ weights - structures.energy).max() < 32e-8
    forces = weights[0] * parts[0].forces + weights[1] * parts[1].forces
    np.testing.assert_allclose(forces, structures.forces, atol=3e-5)
    expression = expression_of((weights[0], "x^-9"), (weights[1], "sqrt(sum(x^-6))"))
    atoms = computed(Formula(expression, 1.0, free, ("Cu",), cutoff, 1.5), images[0])
    assert atoms.get_potential_energy() == pytest.approx(structures.energy[0], rel=1e-8)


def test_embedded_atoms_are_those_of_ase():
    formula = formula_of(*GUPTA)
    pair, many = formula.pair_function("Cu", "Cu"), formula.functions["Cu"]

    def embedding(order):
        return lambda rho: many.energy(np.atleast_1d(rho)[None, :])[order]

    def density(order):
        return lambda r: many.densities(np.atleast_1d(r))[0, order]

    ase_eam = EAM(
        elements=["Cu"],
        embedded_energy=np.array([embedding(0)]),
        electron_density=np.array([density(0)]),
        phi=np.array([[pair.energy]]),
        d_embedded_energy=np.array([embedding(1)]),
        d_electron_density=np.array([density(1)]),
        d_phi=np.array([[pair.slope]]),
        cutoff=6.0,
        form="alloy",
    )
    atoms = bulk("Cu", cubic=True).repeat(3)
    atoms.rattle(0.15, seed=2)
    ours = computed(formula, atoms)
    atoms.calc = ase_eam
    free = -0.2 * len(atoms)
    assert ours.get_potential_energy() - free == pytest.approx(atoms.get_potential_energy())
    np.testing.assert_allclose(ours.get_forces(), atoms.get_forces(), atol=1e-9)


def test_terms_share_the_sums_that_they_have_in_common():
    formula = formula_of(
        *GUPTA, (0.2, "sum(exp(-4.6*(x - 1)))/(1 + sum(x^-3))"), (0.1, "sum(x^-3)^2")
    )
    many = formula.functions["Cu"]
    assert [str(summand) for summand in many.summands] == ["exp(-4.6*(x - 1))", "x^-3"]
    sums = np.array([[4.0, 0.0], [9.0, 0.0]])
    energy, by_first, by_second = many.energy(sums)
    assert energy == pytest.approx([-1.3 * 2 + 0.2 * 4 / 10 + 0.1 * 81, 0.0])
    assert by_first[0] == pytest.approx(-1.3 / 4 + 0.2 / 10)
    assert by_second[0] == pytest.approx(-0.2 * 4 / 100 + 0.1 * 18)


def test_an_atom_alone_has_its_own_energy():
    atoms = computed(formula_of(*GUPTA), Atoms("Cu", cell=[20] * 3, pbc=True))
    assert atoms.get_potential_energy() == -0.2
    assert not atoms.get_forces().any()
    found = ExactPath(from_atoms([Atoms("Cu")]), Lengths(SEPTIC, None, R0)).predict(
        formula_of(*GUPTA).expression, {"Cu": -0.2}
    )
    assert found.energy == [-0.2]
    assert not found.forces.any()


def test_a_root_of_no_weight_leaves_an_atom_alone_at_rest():
    # The slope of the root is infinite there; 0 times infinity is not a number.
    structures = from_atoms([Atoms("Cu"), Atoms("Cu2", [[0, 0, 0], [0, 0, 2.5]])])
    expression = expression_of((0.0, "sqrt(sum(x^-6))"))
    found = ExactPath(structures, Lengths(SEPTIC, None, R0)).predict(expression, {"Cu": -0.2})
    np.testing.assert_array_equal(found.forces, 0.0)
    np.testing.assert_allclose(found.energy, [-0.2, -0.4])


def test_a_dimer_is_finite_from_the_wall_to_the_cutoff():
    formula = formula_of(*GUPTA)
    for r in [0.2, 1.0, 1.85, 1.9, 3.0, 5.999999, 6.0, 6.1]:
        dimer = computed(formula, Atoms("Cu2", [[0, 0, 0], [0, 0, r]]))
        assert np.isfinite(dimer.get_potential_energy())
        assert np.isfinite(dimer.get_forces()).all()
    assert computed(formula, Atoms("Cu2", [[0, 0, 0], [0, 0, 0.2]])).get_potential_energy() > 50


def test_sums_rest_below_the_domain():
    many = formula_of(*GUPTA).functions["Cu"]
    found = many.densities(np.array([0.1, 1.0, many.clamp.r_lo - many.clamp.width, 1.9, 2.0]))[0]
    assert found[0, 0] == found[0, 1] == pytest.approx(found[0, 2])
    assert not found[1, :2].any()
    slope = -4.6 / R0 * found[0, 3:]
    assert found[1, 3:] == pytest.approx(slope)


def test_slabs_one_atom_cells_and_mixed_periodicity_agree_with_the_exact_path():
    formula = formula_of(*GUPTA)
    slab = fcc100("Cu", (1, 1, 3), vacuum=8.0)
    slab.pbc = (True, True, False)
    for atoms in (slab, bulk("Cu"), Atoms("Cu", cell=[2.5, 30, 30], pbc=(True, False, False))):
        found = ExactPath(from_atoms([atoms]), Lengths(SEPTIC, None, R0)).predict(
            formula.expression, formula.e0
        )
        ours = computed(formula, atoms)
        assert ours.get_potential_energy() == pytest.approx(found.energy[0], rel=1e-12)
        np.testing.assert_allclose(ours.get_forces(), found.forces, atol=1e-12)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1.0", "holds a sum over neighbours, such as"),
        ("x + sum(x)", "distances of neighbours stand inside sum"),
        ("sum(sum(x))", "sum is no function"),
        ("sum(x) + mean(x)", "mean is neither a function nor a sum; sums are sum"),
        ("sum_Cu_Cu(x)", "names 2 neighbours; it has 1"),
    ],
)
def test_what_is_no_many_body_formula_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        Key.of("Cu").parse(text)


def test_sums_stand_in_no_other_formula():
    with pytest.raises(ValueError, match="sum is no function"):
        Key.of("Cu", "Cu").parse("sum(x)")


def test_a_product_of_numbers_in_a_sum_stays_one_over_every_two_neighbours():
    # Only its three factors tell it from a function of the distance.
    term = Term.at(Key.of("Cu"), tree_of(("sqrt", ("sum", ("triplets", "sum"), NUMBERS))))
    assert str(term) == "Cu: sqrt(sum(1*1*1))"
    assert Term.read(str(term)) == term
    assert [one.over for one in Term.read("Cu: sqrt(sum(1))").sums] == ["pairs"]
    assert [one.over for one in Term.read("Cu: sqrt(sum_O(1*1*1))").sums] == ["pairs"]


def test_the_scale_of_a_sum_moves_out():
    head = ("pairs", "sum")
    scaled = build("sum", head, build("mul", ("const", 4.0), ("x",)))
    assert scaled == ("mul", ("const", 4.0), ("sum", head, ("x",)))
    copper = Key.of("Cu")
    assert terms_of(nested(copper.parse("-2*sqrt(sum(4.0*x))"))) == [
        ("sqrt", ("sum", head, ("x",)))
    ]
    assert nested(copper.parse("sum(2.5)")) == ("mul", ("const", 2.5), ("sum", head, ("int", 1)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("log(sum(x))", "for an atom alone"),
        ("sum(x^2)/sum(x)", "for an atom alone"),
        ("sum(log(x - 0.9))", "not finite at 1.8"),
        ("log(0.5 - sum(x))", "for two atoms at 1.9 Å or closer"),
    ],
)
def test_a_form_without_a_value_where_atoms_go_is_refused(text, message):
    atoms = computed(formula_of((0.1, "x^-9"), (1.0, text)), bulk("Cu"))
    with pytest.raises(ValueError, match=message):
        atoms.get_potential_energy()


def test_many_body_terms_need_a_pair_term_of_all_that_they_sum_over():
    with pytest.raises(ValueError, match="needs a pair term for Cu-Cu"):
        formula_of(GUPTA[1])
    for text, pair in (("sum(x)", "Cu-Cu"), ("sum_Ni(x) + sum_Ni_Zn(x1*x2*c)", "Cu-Zn")):
        both = read([(1.0, "Cu-Ni: x^-9"), (1.0, f"Cu: {text}")])
        e0 = dict.fromkeys(("Cu", "Ni", "Zn"), 0.0)
        with pytest.raises(ValueError, match=f"terms of Cu needs a pair term for {pair} too"):
            Formula(both, 2.5, e0, tuple(e0), SEPTIC, 1.9, cutoff_three_body=SEPTIC)


def test_a_potential_is_written_and_read_back(tmp_path):
    potential = Potential(formula_of(*GUPTA))
    potential.save(tmp_path / "potential.json")
    again = Potential.load(tmp_path / "potential.json")
    assert again.formula == potential.formula
    assert again.constants == {"w1": 0.1, "w2": -1.3, "c1": -11.0, "c2": -4.6}
    assert "sum(f) = sum over neighbours" in potential.to_dict()["information"]["meaning"]


def test_sympy_and_latex_name_the_sums():
    potential = Potential(formula_of(*GUPTA))
    function, summands = potential.sympy()["Cu"]
    assert float(function.subs("S1", 4)) == pytest.approx(-2.6)
    assert float(summands[0].subs("x", 1)) == 1.0
    many, first, pair = potential.latex(3).split(" \\\\\n")
    assert many == r"F_{\mathrm{Cu}}(S_1) = - 1.3 \sqrt{S_{1}}"
    assert first == r"S_1 = \sum_j \left[ 99.4 e^{- 4.6 x} \right] f_c(r_j)"
    assert pair.startswith(r"\varphi_{\mathrm{CuCu}}(x) = ")


@pytest.mark.parametrize("other", [(), ((0.3, "sum(1)^2"),)], ids=["one sum", "a level one too"])
def test_the_curve_of_a_dimer_counts_both_atoms(other):
    formula = formula_of(*GUPTA, *other)
    curve = dimer_curve(formula, "Cu", "Cu", 200)
    for n in (5, 80, 150, 198):
        dimer = computed(formula, Atoms("Cu2", [[0, 0, 0], [0, 0, curve.r[n]]]))
        assert curve.energy[n] == pytest.approx(dimer.get_potential_energy() + 0.4, abs=1e-12)
        assert curve.force[n] == pytest.approx(dimer.get_forces()[1, 2], abs=1e-12)


@pytest.mark.parametrize(("kind", "fades"), [("septic", True), ("poet", False)])
def test_a_root_of_a_sum_makes_forces_jump_where_the_cutoff_bends(kind, fades):
    formula = formula_of(*GUPTA, cutoff=Cutoff(kind=kind, r_cut=6.0, r_on=3.6))
    (found,) = [c for c in check(formula).checks if c.name == "dimer Cu-Cu fades at the cutoff"]
    assert found.passed == fades, found.detail


def test_a_pair_part_that_does_not_fade_is_seen_beside_a_sum_that_does():
    fading = f"sqrt(sum((x - {6.0 / R0!r})^8))"
    formula = formula_of((5.0, "x^-2"), (-0.1, fading), cutoff=Cutoff(kind="none", r_cut=6.0))
    (found,) = [c for c in check(formula).checks if c.name == "dimer Cu-Cu fades at the cutoff"]
    assert not found.passed
    assert f"jumps by {5.0 * (R0 / 6.0) ** 2:.3g} eV" in found.detail


def test_triplets_that_do_not_change_a_sum_are_not_felt():
    # The cutoff function underflows at both bonds: the root has an infinite slope there.
    fading = Cutoff(kind="stillinger_weber", r_cut=4.0, s=1.0)
    bend = "sqrt(sum(exp(-x1)*exp(-x2)*(c + 0.3)^2))"
    expression = expression_of((1.0, "x^-9"), (-1.0, bend))
    atoms = Atoms("Cu3", [[0, 0, 0], [3.9995, 0, 0], [0, 3.9995, 0]])
    formula = Formula(expression, R0, {"Cu": 0.0}, ("Cu",), SEPTIC, R_LO, cutoff_three_body=fading)
    found = computed(formula, atoms).get_forces()
    atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=np.zeros((3, 3)))
    path = ExactPath(from_atoms([atoms]), Lengths(SEPTIC, fading, R0))
    exact = path.predict(expression, {"Cu": 0.0}).forces
    assert np.abs(found).max() > 1e-3
    np.testing.assert_allclose(exact, found, atol=1e-12)


def test_any_number_of_sums_of_any_form_is_computed():
    general = "exp(-x1 - 2.0*x2)*(c + 0.1*x1)^2"
    four = f"sum(x^-4)*sum(x^-3)/(1 + sum(x^-2)*sum({general})^2)"
    formula = formula_of(GUPTA[0], (0.7, four), three=SEPTIC)
    atoms = Atoms("Cu3", [[0, 0, 0], [2.2, 0, 0.1], [0.4, 2.5, 0]])
    sums = []
    for centre in range(3):
        vectors = np.delete(atoms.positions, centre, 0) - atoms.positions[centre]
        r = np.linalg.norm(vectors, axis=1)
        fade, x, c = SEPTIC.value(r), r / R0, vectors[:1] @ vectors[1] / r.prod()
        term = formula.expression.terms[1]
        parts = [(fade * one.tree(x)).sum() for one in term.sums[:3]]
        sums.append([*parts, fade.prod() * term.sums[3].tree(x[:1], x[1:], c)[0]])
    one, two, three, four = np.transpose(sums)
    expected = 0.7 * one * two / (1 + three * four**2)
    bare = computed(formula_of(GUPTA[0]), atoms).get_potential_energies()
    found = computed(formula, atoms)
    np.testing.assert_allclose(found.get_potential_energies() - bare, expected, rtol=1e-11)
    energies = []
    for step in (1e-5, -1e-5):
        moved = computed(formula, atoms)
        moved.positions[1, 0] += step
        energies.append(moved.get_potential_energy())
    assert found.get_forces()[1, 0] == pytest.approx((energies[1] - energies[0]) / 2e-5, abs=1e-7)
    assert "[q_4(x_1, x_2, c) + q_4(x_2, x_1, c)]" in formula.latex(3)


def test_a_formula_that_binds_small_clusters_too_deeply_fails_its_check():
    # A sum that only few neighbours make: three atoms gain by it, a crystal does not.
    lonely = (-9.0, "sum(exp(-9.0*(x - 1)))*exp(-sum(exp(-2.0*(x - 1))))")
    formula = formula_of(GUPTA[0], GUPTA[1], lonely)
    report = check(formula)
    broken = [found.name for found in report.checks if not found.passed]
    assert any("bound by no more than twice the crystal" in name for name in broken), broken
