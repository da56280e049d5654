from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms

from symreg.fit.errors import errors, label_sizes, training_loss
from symreg.fit.exact import Prediction
from symreg.fit.loss import LossSettings
from symreg.records import Errors
from symreg.structures import from_atoms

LOSS = LossSettings(sigma_energy=0.01, sigma_forces=0.2, sigma_stress=0.5)


def labelled(**labels):
    """Two structures whose labels are zero: a crystal of 2 atoms, and a dimer."""
    crystal = Atoms("Ar2", [[0, 0, 0], [0, 0, 3]], cell=[4, 4, 6], pbc=True)
    dimer = Atoms("Ar2", [[0, 0, 0], [0, 0, 3]])
    for atoms, group in ((crystal, "a"), (dimer, "b")):
        atoms.info.update(energy=0.0, stress=np.zeros(6), group=group)
        atoms.arrays["forces"] = np.zeros((2, 3))
    return replace(from_atoms([crystal, dimer]), **labels)


FOUND = Prediction(
    energy=np.array([0.04, -0.02]),
    forces=np.array([[0.3, 0, 0], [-0.3, 0, 0], [0, 0.6, 0], [0, 0, 0]]),
    stress=np.array([[1.0, 0, 0, 0, 0, -2.0], [np.nan] * 6]),
)


def test_errors_are_those_of_a_calculation_by_hand():
    found = errors(labelled(), FOUND)["train"]
    # energies 0.02 and -0.01 eV/atom
    assert dict(found.energy) == pytest.approx(
        {"rmse": np.sqrt((4e-4 + 1e-4) / 2), "mae": 0.015, "n": 2, "label_rms": 0.0}
    )
    assert dict(found.groups["b"].energy) == pytest.approx(
        {"rmse": 0.01, "mae": 0.01, "n": 1, "label_rms": 0.0}
    )
    assert dict(found.forces) == pytest.approx(
        {"rmse": np.sqrt((2 * 0.09 + 0.36) / 12), "mae": 1.2 / 12, "n": 12, "label_rms": 0.0}
    )
    assert dict(found.groups["a"].forces) == pytest.approx(
        {"rmse": np.sqrt(0.18 / 6), "mae": 0.1, "n": 6, "label_rms": 0.0}
    )
    # the dimer has a stress label, but no stress
    assert dict(found.stress) == pytest.approx(
        {"rmse": np.sqrt(5 / 6), "mae": 0.5, "n": 6, "label_rms": 0.0}
    )
    assert found.groups["b"].stress is None


def test_errors_are_kept_apart_by_split():
    found = errors(labelled(split=np.array([0, 2])), FOUND)
    assert set(found) == {"train", "test"}
    assert found["test"].energy.rmse == pytest.approx(0.01)
    assert set(found["test"].by_quantity()) == {"energy", "forces"}


def test_absent_labels_do_not_count():
    found = errors(labelled(energy=np.array([np.nan, 0.0])), FOUND)["train"]
    assert found.energy.n == 1
    data = labelled(energy=np.full(2, np.nan))
    assert errors(data, FOUND)["train"].energy is None


def test_loss_is_that_of_a_calculation_by_hand():
    energy = (4e-4 + 1e-4) / 2 / 0.01**2
    forces = (2 * 0.09 + 0.36) / 12 / 0.2**2
    stress = 5 / 6 / 0.5**2
    assert training_loss(labelled(), FOUND, LOSS, {}) == pytest.approx(
        0.5 * (energy + forces + stress)
    )


def test_group_weights_weigh_the_means_of_each_quantity():
    # weights 3 and 1: energies (3 * 4e-4 + 1e-4) / 4, forces (3 * 0.18 + 0.36) / (3 * 6 + 6)
    expected = 1.3e-3 / 4 / 0.01**2 + 0.9 / 24 / 0.2**2 + 5 / 6 / 0.5**2
    found = training_loss(labelled(), FOUND, LOSS, {"a": 3.0, "somebody else": 7.0})
    assert found == pytest.approx(0.5 * expected)
    only = training_loss(labelled(), FOUND, LOSS, {"a": 0.0})
    assert only == pytest.approx(0.5 * (1e-4 / 0.01**2 + 0.06 / 0.2**2))


def test_loss_leaves_out_validation_and_quantities_without_a_scale():
    data = labelled(split=np.array([1, 0]))
    no_stress = LossSettings(sigma_energy=0.01, sigma_forces=0.2, sigma_stress=0.0)
    expected = 0.5 * (1e-4 / 0.01**2 + 0.06 / 0.2**2)
    assert training_loss(data, FOUND, LOSS, {}) == pytest.approx(expected)
    assert training_loss(labelled(), FOUND, no_stress, {}) == pytest.approx(
        training_loss(labelled(), FOUND, LOSS, {}) - 0.5 * 5 / 6 / 0.5**2
    )


@pytest.mark.parametrize("name", ["energy", "forces", "stress"])
def test_prediction_that_is_not_a_number_is_no_absent_label(name):
    wrong = np.array(getattr(FOUND, name))
    wrong[0] = np.nan
    spoilt = replace(FOUND, **{name: wrong})
    assert np.isnan(training_loss(labelled(), spoilt, LOSS, {}))
    found = getattr(errors(labelled(), spoilt)["train"], name)
    assert np.isnan(found.rmse)
    assert found.n == getattr(errors(labelled(), FOUND)["train"], name).n


def test_structures_without_a_group_do_not_stand_for_all():
    named, unnamed = errors(labelled(group=("a", "all")), FOUND), errors(labelled(), FOUND)
    assert named["train"].by_quantity() == unnamed["train"].by_quantity()


def test_errors_stand_beside_the_root_mean_square_of_their_labels():
    #         E per atom: 1 and 3 of Ar2 and Ar (one composition), 7 of ArKr alone in its own
    pair = [[0, 0, 0], [0, 0, 3]]
    atoms = [Atoms("Ar2", pair), Atoms("Ar"), Atoms("ArKr", pair)]
    for one, energy, group in zip(atoms, (2.0, 3.0, 14.0), "aab", strict=True):
        one.info.update(energy=energy, group=group)
        one.arrays["forces"] = np.tile([0.0, 3.0, -4.0], (len(one), 1))
    found = label_sizes(from_atoms(atoms))["train"]
    assert found.energy.label_rms == pytest.approx(1.0)  # about 2 eV/atom
    assert found.groups["b"].energy.label_rms is None  # one energy has no spread
    assert found.forces.label_rms == pytest.approx(np.sqrt(25 / 3))
    assert found.groups["a"].forces.label_rms == pytest.approx(np.sqrt(25 / 3))
    assert found.stress is None


def test_groups_are_measured_about_the_energies_of_the_whole_split():
    images = [Atoms("Ar") for _ in range(4)]
    for one, energy, group in zip(images, (1.0, 1.0, 3.0, 3.0), "aabb", strict=True):
        one.info.update(energy=energy, group=group)
        one.arrays["forces"] = np.zeros((1, 3))
    found = label_sizes(from_atoms(images))["train"]
    assert found.groups["a"].energy.label_rms == pytest.approx(1.0)
    assert found.energy.label_rms == pytest.approx(1.0)


def test_an_error_is_worse_than_none_only_above_its_labels_and_a_sigma():
    assert Errors(0.3, label_rms=0.2).is_worse_than_none(0.1)
    assert not Errors(0.21, label_rms=0.2).is_worse_than_none(0.1)
    assert not Errors(0.3, label_rms=0.4).is_worse_than_none(0.1)
    assert not Errors(0.05, label_rms=0.0).is_worse_than_none(0.1)  # forces of perfect crystals
    assert Errors(0.3, label_rms=0.0).is_worse_than_none(0.1)  # labels that are missing
    assert not Errors(9.9).is_worse_than_none(0.1)  # of an older file
