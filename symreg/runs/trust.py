"""Doubts about a run or a formula, in words: said aloud, wherever errors are shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from symreg.files import counted
from symreg.fit.loss import LossSettings
from symreg.records import ALL, UNITS, Errors, Record, SplitErrors, names_of

HIGH = 10.0
"""A training error above this many sigmas is doubtful, of the floor itself, too."""
GROSS = 0.3
"""An error above ``HIGH`` sigmas and this part of its labels makes a formula unfit for use."""
FAR, SEVERAL = 5.0, 3.0
"""The best formula is far above the floor beyond this ratio, and this many sigmas."""
CAUSES = (
    "units mixed, or other than eV, eV/Å and eV/Å³ (stresses in kbar or GPa); labels that are zero "
    "because they are missing; energies and forces that do not belong together; a few frames far "
    "from all others; cutoffs too short; terms that cannot describe these data"
)
NOTHING = {
    "energy": "one energy per composition",
    "forces": "zero forces",
    "stress": "zero stress",
}
"""Predictions whose RMSE is the ``label_rms`` of errors."""
FAULTS = {
    "meV/atom below": "another structure lies below the crystal of the data",
    "stretched": "a barrier between the crystal and free atoms",
    "squeezed": "the energy of a crystal falls when squeezed",
    "collapses": "a crystal or cluster collapses",
    "minimum": "a crystal has no minimum",
    "attracts": "a dimer attracts below r_lo",
    "pole": "a pole",
    "without bound": "a force without bound at the cutoff",
    "finite": "an energy that is not finite",
}
"""Words that tell reasons of the gate apart, the first that occurs, and what they stand for."""


def counted_faults(reasons: Iterable[str]) -> dict[str, int]:
    """How many formulas have which fault; of several the one that comes first in ``FAULTS``.

    >>> counted_faults(["hcp lies 3 meV/atom below fcc Cu", "the dimer has a pole near 2.1 Å"])
    {'another structure lies below the crystal of the data': 1, 'a pole': 1}
    """
    count: Counter[str] = Counter()
    for reason in reasons:
        count[next((what for word, what in FAULTS.items() if word in reason), reason)] += 1
    return dict(count.most_common())


@dataclass(frozen=True)
class Worse(Record):
    """Labels that a formula predicts worse than nothing would."""

    split: str
    group: str
    """``all`` for those of the whole split."""
    quantity: str
    rmse: float
    label_rms: float

    def __str__(self) -> str:
        """Where and by how much, as in ``train, group fcc: 0.4 eV/Å, labels 0.3``."""
        where = self.split if self.group == ALL else f"{self.split}, group {self.group}"
        return f"{where}: {told(self.quantity, Errors(self.rmse, label_rms=self.label_rms))}"

    @staticmethod
    def from_dict(record: Mapping[str, Any]) -> Worse:
        """Undo ``to_dict``."""
        return Worse(*(record[name] for name in names_of(Worse)))


class Verdict(NamedTuple):
    """How far a formula can be trusted."""

    unfit: str | None
    """Why it is not fit for use; None if nothing speaks against it."""
    worse: tuple[Worse, ...]
    """Where predicting nothing would be better."""


def verdict(errors: Mapping[str, SplitErrors], loss: LossSettings) -> Verdict:
    """Judge a formula by its errors in all splits and groups.

    It is unfit if it is worse than nothing on all that it was trained on, or on all forces of
    another split, or if an error is ``HIGH`` sigmas and a good part of its labels.
    """
    worse = tuple(
        Worse(split, group, quantity, found.rmse, found.label_rms)
        for split, group, quantity, found in _counted(errors, loss)
        if found.label_rms is not None and found.is_worse_than_none(loss.sigma(quantity))
    )
    reasons: dict[str, str] = {}
    for w in worse:
        if w.group == ALL and (w.split == "train" or w.quantity == "forces"):
            reasons.setdefault(w.quantity, f"worse than {NOTHING[w.quantity]} ({w})")
    for split, group, quantity, found in _counted(errors, loss):
        sigmas = found.rmse / loss.sigma(quantity)
        much = found.label_rms is None or found.rmse > GROSS * found.label_rms
        if group == ALL and sigmas > HIGH and much:
            gross = f"{quantity} wrong by {sigmas:.3g} sigmas ({split}: {told(quantity, found)})"
            reasons.setdefault(quantity, gross)
    return Verdict("; ".join(reasons.values()) or None, worse)


def _counted(
    errors: Mapping[str, SplitErrors], loss: LossSettings
) -> Iterator[tuple[str, str, str, Errors]]:
    """Split, group, quantity and errors of all labels that have a scale."""
    for split, every in errors.items():
        for group, part in {ALL: every, **(every.groups or {})}.items():
            for quantity, found in part.by_quantity().items():
                if loss.sigma(quantity):
                    yield split, group, quantity, found


def told(quantity: str, errors: Errors) -> str:
    """An error beside its labels, as in ``0.02 eV/Å, labels 1.5``."""
    labels = "" if errors.label_rms is None else f", labels {errors.label_rms:.3g}"
    return f"{errors.rmse:.4g} {UNITS[quantity]}{labels}"


def worse_in_words(worse: Sequence[Worse]) -> Iterator[str]:
    """For each quantity where a formula is worse than nothing."""
    for quantity, nothing in NOTHING.items():
        if found := [str(one) for one in worse if one.quantity == quantity]:
            yield f"{quantity} worse than {nothing} would be: {'; '.join(found)}"


class Lowest(NamedTuple):
    """The lowest training error that is known to be within reach."""

    name: str
    """Terms that reach it."""
    error: float
    train: SplitErrors | None
    """Its errors on the training data, where they are known."""


def floor_doubts(lowest: Lowest, loss: LossSettings) -> Iterator[str]:
    """Say that the best within reach is too high, or worse than nothing, with likely causes."""
    errors = {} if lowest.train is None else {"train": replace(lowest.train, groups=None)}
    worse = [f"worse than {NOTHING[w.quantity]}" for w in verdict(errors, loss).worse]
    high = [f"{lowest.error:.4g} sigmas"] if lowest.error > HIGH else []
    if not (high or worse):
        return
    quantities = lowest.train.by_quantity() if lowest.train else {}
    details = "; ".join(f"{q} {told(q, found)}" for q, found in quantities.items())
    shown = f" ({details})" if details else ""
    yield (
        f"the lowest error within reach, of {lowest.name}, is {', '.join(high + worse)}{shown}: no "
        f"formula of this run can be trusted before the cause is found. Likely: {CAUSES}"
    )


def rank_doubts(rank: int, n_values: int, n_labels: int) -> Iterator[str]:
    """Say that the training data leave pair functions open somewhere."""
    if rank < n_values:
        few = (
            f"{counted(n_labels, 'label is', 'labels are')} too few"
            if n_labels < n_values
            else "some distances are rare"
        )
        yield (
            f"the training data determine {rank} of the {n_values} values of pair functions on "
            f"their nodes ({few}): the floor is no bound there, and formulas are free. Add "
            "structures or forces, or shorten the cutoffs"
        )


def far_from_floor(error: float, floor: float) -> bool:
    """Whether the best formula found is so far above the floor that a better one should exist."""
    return error > max(FAR * floor, SEVERAL)
