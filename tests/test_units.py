import numpy as np
import pytest
from ase import Atoms
from ase.units import Bohr, GPa, Hartree, Rydberg, kcal, mol

from symreg.structures import from_atoms
from symreg.structures.formats.units import unit_factor


def crystal(**info):
    atoms = Atoms("Ar2", positions=[[0, 0, 0], [0, 0, 3]], cell=[6, 6, 6], pbc=True)
    atoms.info |= info
    atoms.new_array("forces", np.array([[0, 0, 1.0], [0, 0, -1.0]]))
    return atoms


@pytest.mark.parametrize(
    ("quantity", "text", "factor"),
    [
        ("energy", "Hartree", Hartree),
        ("energy", "a.u.", Hartree),
        ("energy", "Ry", Rydberg),
        ("energy", "kcal/mol", kcal / mol),
        ("energy", "eV/atom", 2.0),
        ("energy", "meV", 1e-3),
        ("forces", "kcal/mol/angstrom", kcal / mol),
        ("forces", "kcal/(mol*Ang)", kcal / mol),
        ("forces", "Ha/Bohr", Hartree / Bohr),
        ("forces", "a.u.", Hartree / Bohr),
        ("forces", "eV / Å", 1.0),
        ("stress", "GPa", GPa),
        ("stress", "kBar", 0.1 * GPa),
        ("stress", "kB", 0.1 * GPa),
        ("stress", "bar", 1e-4 * GPa),
        ("stress", "eV/Angstrom**3", 1.0),
        ("stress", "eV/A^3", 1.0),
        ("stress", "hartree/bohr^3", Hartree / Bohr**3),
        ("virial", "kcal/mol", kcal / mol),
        ("length", "bohr", Bohr),
        ("length", "Angstroms", 1.0),
        ("length", "nm", 10.0),
    ],
)
def test_units_of_the_field_are_known(quantity, text, factor):
    assert unit_factor(quantity, text, "a", n_atoms=2) == pytest.approx(factor, rel=1e-12)


@pytest.mark.parametrize(
    ("quantity", "text"),
    [
        ("energy", "furlong"),
        ("energy", "eV/A"),
        ("forces", "eV"),
        ("forces", "eV/A^2"),
        ("stress", "eV/A"),
        ("stress", "eV"),
        ("virial", "GPa"),
        ("length", "eV"),
        ("length", ""),
    ],
)
def test_units_that_are_unknown_or_of_another_quantity_are_refused(quantity, text):
    with pytest.raises(ValueError, match="which is not a known unit; write one of"):
        unit_factor(quantity, text, "a.xyz frame 3: some-unit")


@pytest.mark.parametrize("key", ["energy-unit", "energy_unit", "Energy_Units", "ENERGY-UNIT"])
def test_declared_units_are_converted(key):
    units = {key: "hartree", "force-unit": "kcal/mol/angstrom", "stress-unit": "kbar"}
    stress = np.arange(1.0, 7.0)
    structures = from_atoms([crystal(energy=-2.0, stress=stress, **units)])
    np.testing.assert_allclose(structures.energy, [-2 * Hartree])
    np.testing.assert_allclose(structures.forces[0], [0, 0, kcal / mol])
    np.testing.assert_allclose(structures.stress[0], 0.1 * GPa * stress)


def test_lengths_are_converted_with_the_volume_that_a_virial_needs():
    units = {"length-unit": "bohr", "force-unit": "hartree/bohr", "energy-unit": "hartree"}
    virial = np.arange(1.0, 7.0)
    units["virial-unit"] = "hartree"
    structures = from_atoms([crystal(energy=-2.0, virial=virial, **units)])
    np.testing.assert_allclose(structures.positions[1], [0, 0, 3 * Bohr])
    np.testing.assert_allclose(structures.cell[0], 6 * Bohr * np.eye(3))
    np.testing.assert_allclose(structures.forces[0], [0, 0, Hartree / Bohr])
    np.testing.assert_allclose(structures.stress[0], -virial * Hartree / (6 * Bohr) ** 3)


def test_our_own_units_may_be_declared():
    plain = from_atoms([crystal(energy=-2.0)])
    said = from_atoms([crystal(energy=-2.0, **{"energy-unit": "eV", "length-unit": "Angstrom"})])
    np.testing.assert_array_equal(said.energy, plain.energy)
    np.testing.assert_array_equal(said.positions, plain.positions)


def test_label_without_a_unit_beside_foreign_ones_is_refused():
    with pytest.raises(
        ValueError,
        match=r"structure 0: the forces under key 'forces' has no unit, while the frame says "
        r"energy-unit=hartree; add force-unit=eV/A or what it is",
    ):
        from_atoms([crystal(energy=-2.0, **{"energy-unit": "hartree"})])


def test_unit_that_is_unknown_stops_with_key_and_frame():
    with pytest.raises(ValueError, match=r"^structure 0: force_unit is 'pound', which is not a"):
        from_atoms([crystal(energy=-2.0, force_unit="pound")])


def test_unit_that_is_declared_twice_stops():
    units = {"energy-unit": "eV", "energy_unit": "Ry", "force-unit": "eV/A"}
    with pytest.raises(ValueError, match="declares the unit of its energy twice; remove energy_u"):
        from_atoms([crystal(energy=-2.0, **units)])


@pytest.mark.parametrize("value", ["real", "kcal/mol", "atomic"])
def test_units_of_nothing_in_particular_are_refused_unless_they_are_ours(value):
    assert from_atoms([crystal(energy=-2.0, units="metal", unit=True)]).energy == -2
    with pytest.raises(ValueError, match=f"says Units={value}, .* write energy-unit=, force-unit="):
        from_atoms([crystal(energy=-2.0, Units=value)])
