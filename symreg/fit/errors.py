"""Loss and errors of a prediction, without the projected design."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from symreg.arrays import Floats, Integers
from symreg.fit.exact import Prediction
from symreg.fit.loss import LossSettings
from symreg.records import ALL, Errors, SplitErrors, by_split
from symreg.structures import SPLITS, Structures


def _gaps(data: Structures, found: Prediction) -> Iterator[tuple[str, Floats, Integers]]:
    """Quantity, predicted minus reference value, and structure of every label.

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
        yield quantity, value[there] - label[there], owner[there]


def training_loss(
    data: Structures, found: Prediction, settings: LossSettings, group_weights: Mapping[str, float]
) -> float:
    """The loss of a prediction over all training labels; NaN where the prediction is."""
    weight = np.array([group_weights.get(group, 1.0) for group in data.group])
    weight[data.split != SPLITS.index("train")] = 0.0
    total = 0.0
    for quantity, gap, owner in _gaps(data, found):
        sigma, counted = settings.sigma(quantity), weight[owner] > 0
        if sigma and counted.any():
            shares = weight[owner][counted]
            total += 0.5 * float(shares @ gap[counted] ** 2) / float(shares.sum()) / sigma**2
    return total


def errors(data: Structures, found: Prediction) -> dict[str, SplitErrors]:
    """RMSE, MAE and number of labels by split, of all structures and of each group."""
    groups = np.array(data.group)
    result = {}
    for quantity, gap, owner in _gaps(data, found):
        for number, split in enumerate(SPLITS):
            here = data.split[owner] == number
            # Structures that name no group are in one called "all", beside those that do.
            for group in (ALL, *sorted(set(groups[owner[here]]) - {ALL})):
                part = gap[here & (groups[owner] == group)] if group != ALL else gap[here]
                if part.size:
                    rmse, mae = np.sqrt(np.mean(part**2)), np.mean(np.abs(part))
                    result[split, quantity, str(group)] = Errors(float(rmse), float(mae), part.size)
    return by_split(result)
