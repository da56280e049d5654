import itertools

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from symreg.formula import Formula, FormulaCalculator
from symreg.terms import Expression, Key, Sum, Term, expression_of
from symreg.terms.cutoff import KINDS, Cutoff
from symreg.terms.wall import Clamp

R0, R_LO = 2.35, 1.9
NEAR = Cutoff(kind="septic", r_cut=3.8, r_on=2.6)
FAR = Cutoff(kind="septic", r_cut=5.0, r_on=3.0)
SEPARABLE = "exp(-1.3*(x1 - 1))*exp(-1.3*(x2 - 1))*(c + 0.3)^2"
ANGULAR = "1*1*(c^3 - 0.2*c)"
GENERAL = "exp(-x1 - 2.0*x2)*(c + 0.1*x1)^2"


def silicon(*three_body, pair="x^-4 - 2*x^-2", cutoff=NEAR, r_lo=R_LO, far=FAR):
    texts = [f"Si-Si: {pair}", *(f"Si-Si-Si: {text}" for text in three_body)]
    expression = expression_of(list(zip([1.3, 2.1, -0.7, 0.4], texts, strict=False)))
    return Formula(expression, R0, {"Si": -0.5}, ("Si",), far, r_lo, cutoff_three_body=cutoff)


def computed(formula, atoms):
    atoms = atoms.copy()
    atoms.calc = FormulaCalculator(formula)
    return atoms


def energy_by_loops(formula, atoms):
    """Trees evaluated by numpy, cutoff functions by `Cutoff`: nothing of SymPy."""
    total = 0.0
    shifts = [range(-2, 3) if periodic else (0,) for periodic in atoms.pbc]
    images = [np.array(n) @ atoms.cell.array for n in itertools.product(*shifts)]
    places = np.concatenate([atoms.positions + image for image in images])
    for centre in atoms.positions:
        vectors = places - centre
        r = np.linalg.norm(vectors, axis=1)
        keep = (r > 1e-9) & (r < formula.r_cut)
        vectors, r = vectors[keep], r[keep]
        for term, weight in formula.expression.weighted():
            if term.key == Key.of("Si", "Si"):
                total += 0.5 * weight * (term.tree(r / R0) * formula.cutoff.value(r)).sum()
                continue
            fade = formula.cutoff_three_body.value(r)
            for j, k in itertools.combinations(range(r.size), 2):
                c = np.array([vectors[j] @ vectors[k] / (r[j] * r[k])])
                psi = term.tree(r[j : j + 1] / R0, r[k : k + 1] / R0, c)
                total += weight * psi[0] * fade[j] * fade[k]
    return total + len(atoms) * formula.e0["Si"]


def test_right_angle_by_hand():
    #   2 (2.4 Å up)
    #   |
    #   0 ---- 1 (2.0 Å)        the other two angles have cosines 2/3.124 and 2.4/3.124
    formula = silicon("1*1*(c + 0.5)^2", cutoff=Cutoff(kind="none", r_cut=4.0))
    atoms = computed(formula, Atoms("Si3", [[0, 0, 0], [2.0, 0, 0], [0, 2.4, 0]]))
    long = np.hypot(2.0, 2.4)
    cosines = np.array([0.0, 2.0 / long, 2.4 / long])
    pairs = formula.pair_function("Si", "Si").energy(np.array([2.0, 2.4, long]))
    half = 0.5 * np.array([pairs[0] + pairs[1], pairs[0] + pairs[2], pairs[1] + pairs[2]])
    expected = -0.5 + half + 2.1 * (cosines + 0.5) ** 2
    np.testing.assert_allclose(atoms.get_potential_energies(), expected, rtol=1e-13)


def test_radial_factors_and_cutoff_functions_multiply():
    formula = silicon("x1^-2*x2^-2*c^2")
    r1, r2, c = np.array([2.1]), np.array([3.0]), np.array([-0.4])
    by_hand = 2.1 * (R0 / 2.1) ** 2 * (R0 / 3.0) ** 2 * 0.16 * NEAR.value(r2)
    found = formula.three_body_function("Si", "Si", "Si").derivatives(r1, r2, c)
    np.testing.assert_allclose(found[0], by_hand, rtol=1e-13)


@pytest.mark.parametrize("three_body", [[SEPARABLE], [GENERAL], [SEPARABLE, ANGULAR, GENERAL]])
def test_energy_is_that_of_plain_loops(three_body):
    rng = np.random.default_rng(1)
    crystal = bulk("Si", a=5.3, cubic=True)
    crystal.positions += rng.normal(scale=0.1, size=crystal.positions.shape)
    cluster = Atoms("Si4", [[0, 0, 0], [2.2, 0, 0.1], [-1.0, 2.1, 0], [0.3, 0.2, 2.6]])
    formula = silicon(*three_body)
    for atoms in (crystal, cluster):
        found = computed(formula, atoms).get_potential_energy()
        assert found == pytest.approx(energy_by_loops(formula, atoms), abs=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("three_body", [SEPARABLE, GENERAL])
def test_derivatives_match_finite_differences_in_all_pieces(kind, three_body):
    cutoff = Cutoff(kind=kind, r_cut=3.8, r_on=2.6)
    function = silicon(three_body, cutoff=cutoff).three_body_function("Si", "Si", "Si")
    r1 = np.array([1.0, 1.83, 1.87, 1.95, 2.4, 2.7, 3.7, 3.9])
    place = [r1, r1[::-1].copy() - 0.01, np.linspace(-0.9, 0.8, 8)]
    exact = function.derivatives(*place)
    h = 1e-5
    for n in range(3):
        above, below = (
            [part + sign * h * (m == n) for m, part in enumerate(place)] for sign in (1, -1)
        )
        numeric = (function.derivatives(*above)[0] - function.derivatives(*below)[0]) / (2 * h)
        np.testing.assert_allclose(exact[1 + n], numeric, rtol=1e-7, atol=1e-8)


def test_both_orders_of_neighbours_are_one():
    function = silicon(SEPARABLE, GENERAL).three_body_function("Si", "Si", "Si")
    r1, r2, c = np.array([2.0, 1.85]), np.array([3.1, 2.7]), np.array([0.3, -0.9])
    one, two = function.derivatives(r1, r2, c), function.derivatives(r2, r1, c)
    np.testing.assert_allclose(one, two[[0, 2, 1, 3]], rtol=1e-14)


def test_distances_come_to_rest_below_the_domain():
    clamp = Clamp(2.0)  # d = 0.1 Å: at rest from 1.9 Å inwards, at 1.95 Å
    r = np.array([2.5, 2.0, 1.9, 1.0, 0.0])
    np.testing.assert_allclose(clamp(r)[0], [2.5, 2.0, 1.95, 1.95, 1.95], rtol=1e-15)
    np.testing.assert_allclose(clamp(r)[1], [1, 1, 0, 0, 0], atol=1e-14)
    assert clamp.floor == 1.95
    h = 1e-6
    for edge in (2.0, 1.9):  # slope and curvature go on across both ends
        slopes = clamp(np.array([edge - 2 * h, edge - h, edge + h, edge + 2 * h]))[1]
        np.testing.assert_allclose(slopes, slopes.mean(), atol=1e-12)


def test_triplets_are_constant_at_short_distance():
    function = silicon(SEPARABLE, GENERAL).three_body_function("Si", "Si", "Si")
    r1, c = np.array([0.1, 1.0, 0.95 * R_LO]), np.full(3, -0.5)
    found = function.derivatives(r1, np.full(3, 2.3), c)
    np.testing.assert_allclose(found[0], found[0, 0], rtol=1e-14)
    np.testing.assert_allclose(found[1], 0, atol=1e-12)


@pytest.mark.parametrize("second", [[0, 0, 2.5], [0, 0, -2.5]])
def test_forces_of_atoms_in_one_line_are_finite_and_right(second):
    formula = silicon(SEPARABLE, GENERAL)
    places = np.array([[0.0, 0, 0], [0, 0, 2.1], second])
    places[2, 2] *= 1.9 if second[2] > 0 else 1.0
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    atoms = computed(formula, Atoms("Si3", places @ turn))
    forces = atoms.get_forces()
    for atom, axis in itertools.product(range(3), range(3)):
        energies = []
        for step in (1e-5, -1e-5):
            moved = computed(formula, atoms)
            moved.positions[atom, axis] += step
            energies.append(moved.get_potential_energy())
        slope = (energies[0] - energies[1]) / 2e-5
        assert forces[atom, axis] == pytest.approx(-slope, abs=1e-8)


def test_one_atom_cell_meets_its_own_images():
    formula = silicon(SEPARABLE, GENERAL)
    atoms = bulk("Si", "sc", a=2.4)
    large = computed(formula, atoms * (3, 3, 3))
    small = computed(formula, atoms)
    assert large.get_potential_energy() == pytest.approx(27 * small.get_potential_energy())
    np.testing.assert_allclose(large.get_stress(), small.get_stress(), atol=1e-13)
    np.testing.assert_allclose(small.get_forces(), 0, atol=1e-13)


def test_atoms_without_triplets_feel_pairs_only():
    dimer = Atoms("Si2", [[0, 0, 0], [0, 0, 2.2]], cell=[20, 20, 20], pbc=True)
    lone = Atoms("Si", cell=[20, 20, 20], pbc=True)
    for atoms in (dimer, lone):
        with_triplets, without = computed(silicon(SEPARABLE), atoms), computed(silicon(), atoms)
        assert with_triplets.get_potential_energy() == without.get_potential_energy()
        np.testing.assert_array_equal(with_triplets.get_forces(), without.get_forces())
        np.testing.assert_array_equal(with_triplets.get_stress(), without.get_stress())


def test_triplets_in_chunks_are_all_triplets(monkeypatch):
    from symreg.formula.sums import triplets as place
    from symreg.structures.neighbours import triplets

    atoms = bulk("Si", a=5.3, cubic=True)
    atoms.rattle(0.1, seed=1)
    whole = computed(silicon(SEPARABLE, GENERAL), atoms)
    forces = whole.get_forces()
    monkeypatch.setattr(place, "triplets", lambda pairs, n: triplets(pairs, n, most=7))
    chunks = computed(silicon(SEPARABLE, GENERAL), atoms)
    np.testing.assert_allclose(chunks.get_forces(), forces, atol=1e-12)


def test_larger_cutoff_is_that_of_the_formula():
    assert silicon(SEPARABLE).r_cut == 5.0
    wide = silicon(SEPARABLE, far=NEAR, cutoff=FAR)
    assert wide.r_cut == 5.0
    trimer = Atoms("Si3", [[0, 0, 0], [0, 0, 2.3], [4.0, 0, 0]])
    found = computed(wide, trimer).get_potential_energy()
    assert found == pytest.approx(energy_by_loops(wide, trimer), abs=1e-12)


@pytest.mark.parametrize(
    ("three_body", "place"),
    [
        ("log(x1 - 0.8)*log(x2 - 0.8)*c", r"at 1\.8525 Å"),
        ("x1*x2*sqrt(c + 1)", "at cosine -1"),
        ("x1*x2*(c - 1)^-1", "at cosine 1"),
        ("log(x1 + x2 - 1.6)*c", r"at 1\.8525 Å, 1\.8525 Å and cosine -1"),
        ("x1*x2*c/(2 - 2)", "no finite real value"),
    ],
)
def test_formula_that_is_not_finite_is_refused_with_the_place(three_body, place):
    atoms = computed(silicon(three_body), bulk("Si", a=5.4))
    with pytest.raises(ValueError, match=place):
        atoms.get_potential_energy()


def test_dictionary_round_trip_is_exact():
    for formula in (silicon(SEPARABLE, GENERAL), silicon()):
        assert Formula.from_dict(formula.to_dict()) == formula


def test_formula_written_before_three_body_terms_is_read():
    record = silicon(cutoff=None).to_dict()
    assert "cutoff_three_body" not in record
    assert Formula.from_dict(record).cutoff_three_body is None


def with_terms(*terms, species=("Si",)):
    expression = Expression(tuple(terms), (1.0,) * len(terms))
    e0 = dict.fromkeys(species, 0.0)
    return Formula(expression, R0, e0, species, FAR, R_LO, cutoff_three_body=NEAR)


def test_three_body_terms_that_cannot_be_computed_are_refused():
    def triplet(*species):
        return Term.read(f"{'-'.join(species)}: {SEPARABLE}")

    pair = Term.read("Si-Si: x^-4")
    with pytest.raises(ValueError, match="needs a pair term for Si-Si"):
        with_terms(triplet("Si", "Si", "Si"))
    with pytest.raises(ValueError, match="terms of Si;C-Si needs a pair term for C-Si too"):
        with_terms(pair, triplet("Si", "C", "Si"), species=("C", "Si"))
    with pytest.raises(ValueError, match="formula's species are Si"):
        with_terms(pair, triplet("Si", "C", "Si"))
    with pytest.raises(ValueError, match="triplets is between 3 species, not 2"):
        Sum("triplets", ("Si", "Si"), triplet("Si", "Si", "Si").tree)
    with pytest.raises(ValueError, match="needs cutoff_three_body"):
        silicon(SEPARABLE, cutoff=None)
    with pytest.raises(ValueError, match=r"between 0 and the cutoff radius 1\.5 Å"):
        silicon(SEPARABLE, cutoff=Cutoff(kind="none", r_cut=1.5))
    with pytest.raises(ValueError, match="no three-body term for Si-Si-Si; it has none"):
        silicon().three_body_function("Si", "Si", "Si")


def test_latex_shows_the_factors():
    assert silicon("x1^-2*x2^-2*(c + 0.5)^2").latex(3).splitlines()[1:] == [
        r"\psi_{\mathrm{SiSiSi}}(x_1, x_2, c) = 2.1 h(x_1) h(x_2) p(c) \\",
        r"h(x) = \frac{1}{x^{2}} \\",
        r"p(c) = \left(c + 0.5\right)^{2}",
    ]
    several = silicon(ANGULAR, "x1*c", SEPARABLE).latex(3)
    assert r"= 2.1 p_{1}(c) - 0.7 \tfrac{1}{2} [q_{2}(x_1, x_2, c) + q_{2}(x_2, x_1, c)]" in several
    assert "+ 0.4 h_{3}(x_1) h_{3}(x_2) p_{3}(c)" in several


def test_sympy_form_is_symmetric():
    psi = silicon("x1*c", "x1^-2*x2^-2*(c + 0.5)^2").three_body_function("Si", "Si", "Si").sympy()
    values = {"x1": 1.1, "x2": 0.9, "c": 0.2}
    swapped = values | {"x1": 0.9, "x2": 1.1}
    assert float(psi.subs(values)) == pytest.approx(2.1 * 0.2 - 0.7 * 0.49 / (1.1 * 0.9) ** 2)
    assert float(psi.subs(swapped)) == pytest.approx(float(psi.subs(values)))
