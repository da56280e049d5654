"""Formulas of two elements in LAMMPS: pairs, triplets of unlike neighbours, directed densities."""

import shutil
from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
from ase.spacegroup import crystal

from symreg.formula import Formula
from symreg.lammps import export
from symreg.lammps.eam import FORCE_ERROR, eam_file
from symreg.lammps.meam import layers_of as meam_layers
from symreg.lammps.meam import places
from symreg.lammps.roundtrip import MEASURE, reference
from symreg.lammps.routes import make_routes
from symreg.lammps.runtime import run
from symreg.lammps.specimens import data_file, make_specimens
from symreg.lammps.stillinger import layers_of as stillinger_layers
from symreg.structures.neighbours import find_pairs
from symreg.terms import expression_of
from symreg.terms.cutoff import Cutoff

BOTH_ORDERS = [("O", "Hf"), pytest.param(("Hf", "O"), marks=pytest.mark.slow)]
needs_compiler = pytest.mark.skipif(shutil.which("c++") is None, reason="there is no C++ compiler")

FAR, NEAR = (Cutoff(kind="septic", r_cut=r, r_on=0.6 * r) for r in (5.0, 3.8))
SHARP = Cutoff(kind="stillinger_weber", r_cut=3.8, s=2.0)
OWN = {
    "Hf-O": Cutoff(kind="septic", r_cut=4.5, r_on=3.0),
    "O;Hf-O": Cutoff(kind="septic", r_cut=3.5, r_on=2.0),
}
BEGINS = {"Hf-O": 1.7, "Hf-Hf": 1.9}
PAIRS = (
    (1.0, "Hf-Hf: x^-8 - 0.9*x^-4"),
    (0.7, "Hf-O: x^-8 - 2*x^-4"),
    (0.5, "O-O: x^-6 - 0.9*x^-3"),
)
UNLIKE = (0.3, "O;Hf-O: exp(-x1)*exp(-2.0*x2)*(c + 0.3)^2")
PRODUCTS = (
    UNLIKE,
    (0.2, "O;Hf-O: x1^-2*x2^-2*exp(c)"),
    (0.4, "O;Hf-Hf: exp(-x1)*exp(-x2)*(c + 0.2)^2"),
    (0.1, "Hf;O-O: x1^-3*x2^-3*c"),
    (0.1, "O-O-O: x1^-3*x2^-3*(c + 0.4)^2"),
)
ANGLES = (
    (0.3, "O;Hf-O: 1*1*(c + 0.3)^2"),
    (0.2, "O;Hf-O: 2*2*(c - 0.3)^2"),
    (0.4, "O;Hf-Hf: 1*1*(c + 0.2)^2"),
    (0.1, "Hf;O-O: 1*1*c^2"),
)
GENERAL = (0.3, "O;Hf-O: exp(-x1 - 2.0*x2)*(c + 0.1*x1)^2")
DIRECTED = (
    (-0.04, "Hf: (1 + 0.2*sum(x^-3) + 0.4*sum_O(x^-4))^2"),
    (0.2, "O: log(1 + sum_Hf(x^-6))"),
)
ALLOY = (
    (-0.04, "Hf: (1 + 0.2*sum(x^-3) + 0.4*sum_O(x^-4))^2"),
    (0.2, "O: log(1 + 0.25*sum_Hf(x^-3) + 0.5*sum(x^-4))"),
)
BENT = (
    (-0.8, "Hf: sqrt(0.1 + sum(x^-3) + sum_O(x^-4)) - 0.1*sum_O(x^-3)^2"),
    (0.2, "O: log(1 + sum_Hf(x^-3) + sum_Hf_O(exp(-x1 - 2*x2)*c^2)^2)"),
)
QUANTITIES = ("energy_per_atom_max", "forces_max", "virial_per_atom_max")


def formula_of(*parts, pairs=PAIRS, species=("O", "Hf"), three=NEAR, own=OWN, begins=BEGINS):
    e0 = dict.fromkeys(species, -1.0)
    expression = expression_of([*pairs, *parts])
    return Formula(expression, 2.0, e0, species, FAR, 1.5, begins, three, own)


STRONG_ANGLES = formula_of(
    *ANGLES,
    three=SHARP,
    own={"Hf-O": OWN["Hf-O"], "Hf;O-O": Cutoff(kind="stillinger_weber", r_cut=3.1, s=1.0)},
)


@pytest.mark.lammps
@needs_compiler
@pytest.mark.parametrize("species", BOTH_ORDERS, ids="-".join)
def test_plugin_computes_every_kind_of_term(species, tmp_path):
    parity = export(formula_of(*PRODUCTS, GENERAL, *BENT, species=species), tmp_path)
    assert (parity["status"], parity["style"]) == ("run", "plugin")
    assert all(parity[quantity] < 1e-11 for quantity in QUANTITIES)
    record = parity["routes"]["plugin"]
    assert record["wall_forces_relative_max"] < 1e-12
    assert record["finite_difference_max"] < 1e-7
    assert record["two_ranks"]["forces_max"] < 1e-12
    # Also where a simulation has no atom of one of its types.
    assert {"only Hf", "only O", "trimers", "close trimers", "dimers"} <= set(record["checks"])
    readme = (tmp_path / "README.md").read_text()
    for line in ("ψ(O;Hf-O) += ", ", x1 to Hf, x2 to O", "F(Hf) += ", "- that of O;Hf-O: ",
                 f"atom types: 1 = {species[0]}, 2 = {species[1]}"):  # fmt: skip
        assert line in readme


R0S = {"Hf-O": 1.8, "O;Hf-O": 2.2, "O;Hf-Hf": 2.1}


@pytest.mark.lammps
@needs_compiler
@pytest.mark.slow
def test_plugin_computes_keys_that_measure_distances_in_lengths_of_their_own(tmp_path):
    other = (0.3, "O;Hf-Hf: exp(-x1 - x2)*(c + 0.1*x1*x2)^2")
    formula = replace(formula_of(*PRODUCTS, GENERAL, other, *BENT), r0s=R0S)
    parity = export(formula, tmp_path, style="plugin")
    assert all(parity[quantity] < 1e-11 for quantity in QUANTITIES)
    assert "- that of O;Hf-O: 2.2 Å" in (tmp_path / "README.md").read_text()


@pytest.mark.lammps
@pytest.mark.parametrize(
    ("style", "most"), [pytest.param("lepton", 1e-11, marks=pytest.mark.slow), ("table", 5e-6)]
)
def test_pairs_have_lengths_of_their_own_in_every_route(style, most, tmp_path):
    formula = replace(formula_of(), r0s={"Hf-O": 1.8})
    parity = export(formula, tmp_path, style=style)
    assert all(parity["routes"][style][quantity] < most for quantity in QUANTITIES)


@pytest.mark.lammps
@pytest.mark.slow
def test_splines_compute_keys_that_measure_distances_in_lengths_of_their_own(tmp_path):
    formula = replace(formula_of(*PRODUCTS), r0s=R0S)
    parity = export(formula, tmp_path, style="meam")
    assert all(parity[quantity] < 5e-6 for quantity in QUANTITIES)


@pytest.mark.lammps
@pytest.mark.parametrize("species", BOTH_ORDERS, ids="-".join)
def test_splines_compute_products_of_unlike_neighbours(species, tmp_path):
    formula = formula_of(*PRODUCTS, species=species)
    parity = export(formula, tmp_path, style="meam")
    assert parity["splines"]["within_promise"]
    assert all(parity[quantity] < 5e-6 for quantity in QUANTITIES)
    assert parity["two_ranks"]["forces_max"] < 1e-12
    assert "takes exactly one type for each species" in (tmp_path / "README.md").read_text()
    # Five products: those of O with one factor for each species of neighbours share a file.
    assert len(list(tmp_path.glob("*.meam.spline"))) == len(meam_layers(formula)) == 4


def test_products_of_one_centre_share_a_file_where_their_factors_are_one():
    alike = [
        (0.3, "O;Hf-O: exp(-x1)*x2^-2*(c + 0.3)^2"),
        (0.4, "O;Hf-Hf: exp(-x1)*exp(-x2)*(c + 0.2)^2"),
        (0.1, "O-O-O: x1^-2*x2^-2*(c + 0.4)^2"),
        (0.1, "Hf;O-O: x1^-2*x2^-2*(c + 0.4)^2"),
    ]
    layers = meam_layers(formula_of(*alike, own={}))
    assert [layer.centre for layer in layers] == ["Hf", "O"]
    assert set(layers[1].angulars) == {("Hf", "O"), ("Hf", "Hf"), ("O", "O")}
    # Another cutoff, and it does not fit in.
    assert len(meam_layers(formula_of(*alike, own=OWN))) == 3


@pytest.mark.lammps
def test_lammps_own_stillinger_weber_computes_angles_of_several_species(tmp_path):
    parity = export(STRONG_ANGLES, tmp_path, style="sw")
    assert parity["status"] == "run"
    assert parity["forces_max"] < 1e-6
    checks = parity["routes"]["sw"]["checks"]
    assert {"rattled", "lattice", "dimers", "trimers", "only O"} <= set(checks)
    assert parity["two_ranks"]["forces_max"] < 1e-10
    assert len(list(tmp_path.glob("*.sw"))) == len(stillinger_layers(STRONG_ANGLES)) == 2


@pytest.mark.lammps
@pytest.mark.parametrize("species", BOTH_ORDERS, ids="-".join)
@pytest.mark.parametrize(
    ("parts", "begins", "style"),
    # Densities come to rest where the domain of each pair begins: only one for all is no direction.
    [
        pytest.param(ALLOY, {}, "eam.alloy", marks=pytest.mark.slow),
        pytest.param(ALLOY, BEGINS, "eam.fs", marks=pytest.mark.slow),
        (DIRECTED, BEGINS, "eam.fs"),
    ],
)
def test_tables_compute_functions_of_one_density(parts, begins, style, species, tmp_path):
    formula = formula_of(*parts, species=species, own={}, begins=begins)
    parity = export(formula, tmp_path, style="eam")
    assert (tmp_path / f"{'-'.join(species)}.{style}").exists()
    assert f"pair_style {style.replace('.', '/')}" in (tmp_path / "potential.mod").read_text()
    file = eam_file(formula)
    for quantity in QUANTITIES:
        assert parity[quantity] < max(file.force_error, file.dimer_error)
    assert parity["forces_max"] < 1e-5
    checks = parity["routes"]["eam"]["checks"]
    assert all(checks[name]["forces_max"] < 1e-6 for name in ("lattice", "cluster 1", "only Hf"))


UNLIKE_SIZES = {"Hf-Hf": 2.9, "Hf-O": 1.8, "O-O": 2.1}
DENSE = (
    (-2.0, "Hf: sqrt(0.001*sum(x^-6) + 0.01*sum_O(x^-6))"),
    (-1.0, "O: sqrt(0.01*sum_Hf(x^-6) + 0.002*sum(x^-6))"),
)


def fluorite(length):
    """HfO2 with an edge of 5.08 Å times ``length``."""
    sites, edge = [(0, 0, 0), (0.25, 0.25, 0.25)], 5.08 * length
    return crystal(["Hf", "O"], sites, spacegroup=225, cellpar=[*3 * [edge], *3 * [90]])


def test_densities_reach_compressed_crystals_of_atoms_of_unlike_sizes():
    formula = formula_of(*DENSE, own={}, begins=UNLIKE_SIZES)
    file, atoms = eam_file(formula), fluorite(0.88)
    pairs = find_pairs(atoms.positions, atoms.cell.array, atoms.pbc, file.r_cut)
    symbols = np.array(atoms.get_chemical_symbols())
    for centre in formula.species:
        of_centre = symbols[pairs.i] == centre
        near = {b: pairs.r[of_centre & (symbols[pairs.j] == b)] for b in formula.species}
        added = (file.densities[centre, b].derivatives(r)[0].sum() for b, r in near.items())
        rho = sum(added) / (symbols == centre).sum()
        embedding = file.embeddings[centre]
        assert rho < embedding.step * (embedding.values.size - 4)
    assert file.force_error < FORCE_ERROR


@pytest.mark.lammps
@pytest.mark.slow
def test_parity_notices_tables_that_end_before_atoms_of_unlike_sizes_are_dense(
    tmp_path, monkeypatch
):
    formula = formula_of(*DENSE, own={}, begins=UNLIKE_SIZES)
    whole = export(formula, tmp_path / "whole", style="eam")
    checks = whole["routes"]["eam"]["checks"]
    assert {"packed Hf", "packed O"} <= set(checks)
    assert all(checks[name]["forces_max"] < 1e-6 for name in ("packed Hf", "packed O"))
    compressed = dict.fromkeys(product(formula.species, repeat=2), 2.9)
    monkeypatch.setattr("symreg.lammps.eam._compressed", lambda _: compressed)
    short = export(formula, tmp_path / "short", style="eam")
    assert short["forces_max"] > 1e-3


def test_one_function_of_one_species_is_no_directed_density():
    assert eam_file(formula_of(ALLOY[0], own={})).style == "eam/alloy"


@pytest.mark.parametrize(
    "text",
    ["Hf: sqrt(1 + sum(x^-3)) + sum_O(x^-4)^2", "Hf: (1 + sum(x^-3))*(1 + sum_O(x^-4))"],
)
def test_what_is_no_function_of_one_density_is_refused(text):
    with pytest.raises(ValueError, match=r"one sum over neighbours.*use style 'plugin'"):
        make_routes(formula_of((1.0, text)), "eam", "")


@pytest.mark.parametrize(
    ("parts", "style", "message"),
    [
        ((GENERAL,), "meam", r"\(c \+ 0\.1\*x1\)\^2 is none: use style 'plugin'"),
        ((UNLIKE,), "sw", "style 'sw' is for three-body terms"),
        ((UNLIKE,), "eam", "style 'eam' is for many-body terms"),
        ((UNLIKE, *ALLOY), "eam", "this formula has others: use style 'plugin'"),
        ((UNLIKE,), "lepton", "computes pairs only.*use style 'meam' or 'plugin'"),
    ],
)
def test_routes_refuse_what_they_cannot_hold(parts, style, message):
    with pytest.raises(ValueError, match=message):
        make_routes(formula_of(*parts), style, "")


@pytest.mark.lammps
@pytest.mark.parametrize(
    ("style", "pairs", "cutoff", "own", "parts"),
    [
        pytest.param("auto", PAIRS[:2], FAR, OWN, (), marks=pytest.mark.slow),
        ("native", ((1.0, "Hf-Hf: x^-12 - x^-6"), (0.7, "Hf-O: x^-12 - 2*x^-6")),
         Cutoff(kind="none", r_cut=5.0), {"Hf-O": Cutoff(kind="none", r_cut=4.0)}, ()),
        pytest.param("eam", PAIRS[:2], FAR, {}, DIRECTED, marks=pytest.mark.slow),
        ("meam", PAIRS[:2], FAR, {}, ((0.4, "O;Hf-Hf: exp(-x1)*exp(-x2)*(c + 0.2)^2"),)),
        ("plugin", PAIRS[:2], FAR, {}, ((0.4, "O;Hf-Hf: exp(-x1 - x2*c)"),)),
    ],
    ids=["table and lepton", "native", "eam", "meam", "plugin"],
)  # fmt: skip
def test_pairs_without_a_term_meet_a_wall_in_every_route(
    style, pairs, cutoff, own, parts, tmp_path
):
    if style == "plugin" and shutil.which("c++") is None:
        pytest.skip("there is no C++ compiler")
    if style == "eam":
        parts = (parts[1],)
    formula = replace(formula_of(*parts, pairs=pairs, own=own), cutoff=cutoff)
    assert formula.unseen_pairs == [("O", "O")]
    parity = export(formula, tmp_path, style=style)
    assert parity["status"] == "run"
    for record in parity["routes"].values():
        assert record["forces_max"] < 1e-5
        assert record["checks"]["dimers"]["forces_max"] < 1e-5
    text = (tmp_path / "README.md").read_text()
    assert "no term for O-O: such atoms do not feel each other" in text


@pytest.mark.lammps
@needs_compiler
@pytest.mark.parametrize("style", ["plugin", "eam", "sw"])
def test_types_that_belong_to_other_styles_and_two_types_of_one_species(style):
    #  types: 1 = Hf, 2 = O, 3 = Hf again, 4 = not of the formula
    parts = {"eam": ALLOY, "sw": ANGLES}.get(style, PRODUCTS)
    formula = STRONG_ANGLES if style == "sw" else formula_of(*parts, species=("Hf", "O"), own={})
    formula = replace(formula, species=("Hf", "O"))
    (route,) = make_routes(formula, style, "UNITS: metal")
    atoms = next(s.atoms for s in make_specimens(formula, 1.9) if s.name == "cluster 1")
    text = data_file(atoms, ("Hf", "O", "Cu", "Zn"), "four types")
    for line in text.splitlines():  # every other Hf becomes type 3
        words = line.split()
        if len(words) == 5 and words[1] == "1" and int(words[0]) % 2:
            text = text.replace(line, " ".join([words[0], "3", *words[2:]]))
    lines, guard = [], route.commands.splitlines()[4:]
    for line in guard:
        line = line.replace("pair_style hybrid/overlay", "pair_style")
        if line.startswith("plugin"):
            lines.append(line)
        elif line.startswith("pair_style"):
            styles = line.removeprefix("pair_style ")
            lines.append(f"pair_style hybrid/overlay {styles} zero 5.0")
        elif line.startswith("pair_coeff * *"):
            words = line.split()
            own = [] if route.commands.count("hybrid/overlay") else [styles.split()[0]]
            lines.append(" ".join([*words[:3], *own, *words[3:-2], "Hf O Hf NULL"]))
        else:
            lines += _for_all_types(line)
    lines.append("pair_coeff * * zero")
    script = "units metal\natom_style atomic\natom_modify map array\nboundary f f f\n"
    script += "read_data data.four\n" + "\n".join(lines) + f"\n{MEASURE}run 0\n"
    (found,) = run([{"input": script}], {**route.files, "data.four": text})["results"]
    expected = reference(formula, atoms)
    np.testing.assert_allclose(found["forces"], expected.forces, atol=1e-6)
    assert found["energy"] == pytest.approx(expected.energies.sum(), abs=1e-6)


def _for_all_types(line):
    """A line of a table for types 1 and 2 = Hf and O, also for type 3 = Hf."""
    _, i, j, *rest = line.split()
    wanted = {("1", "1"): ["1 1", "1 3", "3 3"], ("1", "2"): ["1 2", "2 3"], ("2", "2"): ["2 2"]}
    return [f"pair_coeff {pair} {' '.join(rest)}" for pair in wanted[i, j]]


# Three elements: orders of pairs, triplets and densities in files.

THREE = (
    *PAIRS,
    (0.6, "Hf-Si: x^-7 - 1.1*x^-4"),
    (0.7, "O-Si: x^-8 - 1.7*x^-4"),
    (0.55, "Si-Si: x^-6 - 1.2*x^-3"),
)
OF_THREE = {
    "meam": (
        (0.3, "O;Hf-Si: exp(-x1)*x2^-2*(c + 0.3)^2"),
        (0.4, "O;Hf-Hf: exp(-x1)*exp(-x2)*(c + 0.2)^2"),
        (0.2, "O;O-Si: x1^-3*x2^-2*(c - 0.3)^2"),
        (0.1, "Si;Hf-O: x1^-3*x2^-2*c"),
        (0.2, "Hf;O-Si: x1^-3*x2^-1*c^2"),
        (0.1, "Hf;Si-Si: x1^-1*x2^-1*c"),
    ),
    "sw": (
        (0.3, "O;Hf-Si: 1*1*(c + 0.3)^2"),
        (0.2, "O;Hf-Hf: 1*1*(c + 0.2)^2"),
        (0.3, "Si;O-O: 1*1*c^2"),
        (0.1, "Hf;O-Si: 1*1*(c - 0.2)^2"),
    ),
    "eam": (
        (-0.04, "Hf: (1 + 0.2*sum(x^-3) + 0.4*sum_O(x^-4) + 0.1*sum_Si(x^-2))^2"),
        (0.2, "O: log(1 + sum_Hf(x^-6) + sum_Si(x^-5))"),
        (0.03, "Si: (1 + sum(x^-4) + 0.3*sum_Hf(x^-3))^2"),
    ),
}
OF_THREE["plugin"] = (
    *OF_THREE["meam"],
    *OF_THREE["eam"],
    (0.2, "Si: sqrt(1 + sum_Hf_O(exp(-x1 - 2*x2)*c^2)^2)"),
)
THREE_BEGIN = {"Hf-O": 1.7, "Hf-Hf": 1.9, "O-Si": 1.55}


@pytest.mark.lammps
@pytest.mark.parametrize("style", OF_THREE)
@pytest.mark.slow
def test_three_elements_in_no_order_of_the_alphabet(style, tmp_path):
    if style == "plugin" and shutil.which("c++") is None:
        pytest.skip("there is no C++ compiler")
    formula = formula_of(
        *OF_THREE[style], pairs=THREE, species=("Si", "O", "Hf"), own={}, begins=THREE_BEGIN,
        three=SHARP if style == "sw" else NEAR,
    )  # fmt: skip
    parity = export(formula, tmp_path, style=style)
    assert parity["status"] == "run"
    limit = 1e-11 if style == "plugin" else 1e-6
    assert all(parity[quantity] < limit for quantity in QUANTITIES)
    assert parity["two_ranks"]["forces_max"] < 1e-12


def test_lammps_takes_the_angular_factor_of_unlike_neighbours_for_that_of_others():
    # Of three types it looks for (2, 1) where (1, 3) stands: no file holds both where they differ.
    factors = [
        (0.3, "O;Hf-Si: x1^-2*x2^-2*(c + 0.3)^2"),
        (0.4, "O;Hf-O: x1^-2*x2^-2*(c + 0.2)^2"),
        (0.4, "O;O-Si: x1^-2*x2^-2*(c + 0.1)^2"),
    ]
    lengths = {"own": {}, "begins": {}}
    two = formula_of(*factors[1:2], **lengths)
    assert len(meam_layers(two)) == 1
    for species in permutations(("Hf", "O", "Si")):
        three = formula_of(*factors, pairs=THREE, species=species, **lengths)
        layers = meam_layers(three)
        assert len(layers) > 1
        for layer in layers:
            assert places(species, [*layer.radials], [*layer.angulars]) is not None
