"""Loss and errors of a prediction, without the projected design."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from symreg.arrays import Floats, Integers
from symreg.fit.exact import Prediction
from symreg.fit.loss import LossSettings
from symreg.records import ALL, Errors, SplitErrors, by_split
from symreg.structures import SPLITS, Structures


def _gaps(data: Structures, found: Prediction) -> Iterator[tuple[str, Floats, Floats, Integers]]:
    """Quantity, predicted minus reference value, reference, and structure of every label.

    Which labels there are is the data's to say: a prediction that is NaN must not pass for a
    label that is absent.
    """
    every = np.arange(len(data))
    n = data.n_atoms
    stress = np.where(data.pbc.all(axis=1, keepdims=True), data.stress, np.nan)
    for quantity, label, value, owner in (
        ("energy", data.energy / n, found.energy / n, every),
        ("forces", data.forces.ravel(), found.forces.ravel(), np.repeat(every, 3 * n)),
        ("stress", stress.ravel(), found.stress.ravel(), np.repeat(every, 6)),
    ):
        there = np.isfinite(label)
        yield quantity, value[there] - label[there], label[there], owner[there]


def training_loss(
    data: Structures, found: Prediction, settings: LossSettings, group_weights: Mapping[str, float]
) -> float:
    """The loss of a prediction over all training labels; NaN where the prediction is."""
    weight = np.array([group_weights.get(group, 1.0) for group in data.group])
    weight[data.split != SPLITS.index("train")] = 0.0
    total = 0.0
    for quantity, gap, _, owner in _gaps(data, found):
        sigma, counted = settings.sigma(quantity), weight[owner] > 0
        if sigma and counted.any():
            shares = weight[owner][counted]
            total += 0.5 * float(shares @ gap[counted] ** 2) / float(shares.sum()) / sigma**2
    return total


def errors(data: Structures, found: Prediction) -> dict[str, SplitErrors]:
    """RMSE, MAE, number and size of labels by split, of all structures and of each group."""
    groups, compositions = np.array(data.group), _compositions(data)
    result = {}
    for quantity, gap, label, owner in _gaps(data, found):
        for number, split in enumerate(SPLITS):
            here = np.flatnonzero(data.split[owner] == number)
            size = label[here]
            if quantity == "energy":
                size = _about_means(size, compositions[owner[here]])
            # Structures that name no group are in one called "all", beside those that do.
            for group in (ALL, *sorted(set(groups[owner[here]]) - {ALL})):
                chosen = (groups[owner[here]] == group) | (group == ALL)
                part = gap[here][chosen]
                if part.size:
                    result[split, quantity, str(group)] = Errors(
                        rmse=_root_mean_square(part),
                        mae=float(np.mean(np.abs(part))),
                        n=part.size,
                        label_rms=_size_of_known(size[chosen]),
                    )
    return by_split(result)


def label_sizes(data: Structures) -> dict[str, SplitErrors]:
    """Root mean squares of labels by split and group: ``label_rms`` of errors of zeros."""
    nothing = Prediction(*(np.zeros_like(x) for x in (data.energy, data.forces, data.stress)))
    return errors(data, nothing)


def _compositions(data: Structures) -> Integers:
    """Number of the composition of each structure, shape (S,): CuO and Cu2O2 have the same."""
    owner = np.repeat(np.arange(len(data)), data.n_atoms)
    counts = np.zeros((len(data), len(data.species)), dtype=np.int64)
    np.add.at(counts, (owner, data.kind), 1)
    counts //= np.gcd.reduce(counts, axis=1, keepdims=True)
    return np.unique(counts, axis=0, return_inverse=True)[1].ravel()


def _about_means(energy: Floats, composition: Integers) -> Floats:
    """Energies less the mean of their composition, shape (S,); NaN where it occurs only once."""
    _, which, count = np.unique(composition, return_inverse=True, return_counts=True)
    means = np.bincount(which, energy, minlength=count.size) / count
    return np.where(count[which] > 1, energy - means[which], np.nan)


def _size_of_known(label: Floats) -> float | None:
    known = label[np.isfinite(label)]
    return _root_mean_square(known) if known.size else None


def _root_mean_square(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2)))
