"""From settings to structures, the projected design and the exact path."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ase import Atoms
from threadpoolctl import threadpool_limits

from symreg.config import Settings
from symreg.fit.design import (
    Design,
    block_errors,
    build_design,
    load_or_build_design,
    product_floors,
)
from symreg.fit.design.cost import Tell
from symreg.fit.errors import label_sizes, training_loss
from symreg.fit.exact import ExactPath, Prediction
from symreg.fit.intervals import bootstrap
from symreg.fit.projected.fitter import AS_IT_IS, JOINT, POLISH, FitSettings, Fitter
from symreg.fit.rows import Labelled
from symreg.fit.rows.rows import check_memory
from symreg.records import ProductFloor, SplitErrors
from symreg.runs.pipeline.agreement import check_cutoffs, check_design, fixed_energies
from symreg.runs.pipeline.frozen import NONE, Frozen, check_elements, read_frozen
from symreg.runs.records import Baseline
from symreg.searching.gate import Gate
from symreg.searching.tasks import gate_of
from symreg.structures import SPLITS, DataReport, Structures, read_structures
from symreg.structures.neighbours import nearest_neighbour_mean
from symreg.structures.prototypes import make
from symreg.structures.targets import Targets, read_targets
from symreg.terms import Expression, Term
from symreg.terms.known import Form, known_forms, terms_of_form, untied
from symreg.terms.lengths import Lengths

MOST_RESAMPLED = 600
"""Columns of a design up to which formulas are fitted to bootstrap samples."""


class Met(NamedTuple):
    """What a formula predicts of targets."""

    values: dict[str, float]
    """By name, in the units of the run file."""
    rms: float
    """Root mean square of what they are off, in sigmas."""
    loss: float
    """Half the sum of the squares in sigmas of all rows."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """All that a search needs to know of its data."""

    settings: Settings
    structures: Structures
    report: DataReport
    lengths: Lengths
    """Of all keys; the domain of each pair begins as training has it."""
    fixed_e0: dict[str, float] | None
    """eV, maybe of some species; None when they are fitted."""
    design: Design
    frozen: Frozen = NONE
    """Terms that every formula has beside those that evolve."""
    rest: Structures | None = None
    """The structures with the labels that are fitted, less what frozen terms give, if any."""
    targets: Targets | None = None
    """Physics beside the labels, as a whole formula shall meet it."""

    @cached_property
    def fitter(self) -> Fitter:
        """Fits candidates to the training data; a ValueError if memory cannot hold their labels."""
        with threadpool_limits(1):  # as in workers: sums depend on the number of threads
            if not self.design.many_body:
                return Fitter(self.design)
            most = self.settings.search.max_memory
            check_memory(self.structures, self.design, self.lengths, most)
            return self.labelled.fitter(self.design)

    @cached_property
    def gate(self) -> Gate:
        """Tests candidates."""
        return gate_of(self.labelled, self.design)

    @cached_property
    def crystals(self) -> list[Atoms]:
        """Crystals that finished formulas are checked on: those of the data, as prototypes."""
        found = []
        for one in self.gate.assumed:
            atoms = make(one.name, one.species, 1.0)
            volume = one.atoms.get_volume() / len(one.atoms) * len(atoms) / atoms.get_volume()
            found.append(make(one.name, one.species, float(volume ** (1 / 3))))
        return found

    @property
    def knows_atoms(self) -> bool:
        """Whether energies of free atoms are given, or the data hold isolated atoms of them all."""
        given = self.fixed_e0 or {}
        found = self.report.isolated_atoms
        return all(s in given or found.get(s) is not None for s in self.structures.species)

    @property
    def labelled(self) -> Labelled:
        """The structures as many-body terms need them."""
        left = self.frozen.left(self.targets, self.lengths)
        return Labelled(self.structures, self.lengths, self.frozen.expression, self.rest, left)

    @cached_property
    def _cells(self) -> ExactPath:
        """Sums over all pairs and triplets of the cells of targets."""
        assert self.targets is not None
        return ExactPath(self.targets.structures, self.lengths)

    def meets(self, expression: Expression) -> Met | None:
        """What the whole formula predicts of the targets; None without targets."""
        if self.targets is None:
            return None
        whole = expression + self.frozen.expression
        energies = self._cells.predict(whole, self.e0(expression)).energy
        named = [bool(name) for name in self.targets.names]
        gaps = self.targets.gaps(energies)
        rms, loss = float(np.sqrt(np.mean(gaps[named] ** 2))), 0.5 * float(gaps @ gaps)
        return Met(self.targets.shown(energies), rms, loss)

    def data_error(self, expression: Expression) -> float:
        """Training error of the data alone, weights and constants as they are."""
        if self.targets is None:
            return self.error(expression)
        if expression.has_functions:
            loss = training_loss(
                self.structures,
                self.predict(expression),
                self.design.loss,
                self.design.group_weights,
            )
        else:
            e0 = self.fitter.e0(expression) if self.design.n_e0 else np.empty(0)
            loss = self.design.data_loss(e0, self.fitter.coordinates(expression))
        return self.design.error(loss)

    @property
    def lowest_floor(self) -> float:
        """The floor of all terms; that of products where the data are too few to tell it."""
        uncertain = self.products and self.design.floor.is_uncertain
        return self.products[-1].error if uncertain else self.design.floor.error

    @cached_property
    def resampled(self) -> list[Fitter]:
        """Fits candidates to bootstrap samples of the training data.

        Empty with too few blocks, and with so many columns that all members would take minutes.
        """
        return bootstrap(self.design) if self.design.columns <= MOST_RESAMPLED else []

    @cached_property
    def exact(self) -> ExactPath:
        """Sums over all pairs and triplets, with the walls of the finished formula."""
        return ExactPath(self.structures, self.lengths)

    @cached_property
    def products(self) -> tuple[ProductFloor, ...]:
        """The floors of one, two, ... separable products; none unless triplets have one key."""
        if len(self.design.triplet_grids) != 1:
            return ()
        with threadpool_limits(1):
            return product_floors(self.design)

    @cached_property
    def blocks(self) -> dict[str, float]:
        """Part of each key in the floor, see ``block_errors``."""
        with threadpool_limits(1):
            return block_errors(self.design)

    @cached_property
    def labels(self) -> dict[str, SplitErrors]:
        """Root mean squares of labels by split and group, beside which errors are told."""
        return label_sizes(self.structures)

    @property
    def forms(self) -> tuple[Form, ...]:
        """Known forms that can be fitted to these data."""
        cutoffs = [grid.cutoff.kind for grid in self.design.grids]
        return known_forms(self.design.keys, cutoffs, self.lengths.r0)

    @cached_property
    def known(self) -> list[tuple[Form, str, Expression, float]]:
        """Known forms with the names of their versions, their fits and losses."""
        return [(form, *fit) for form in self.forms for fit in fits_of(self, form)]

    @cached_property
    def spread(self) -> float:
        """Error, as in tables, of a formula that is zero everywhere: the spread of the labels."""
        problem = self.design.training
        return self.design.error(0.5 * (float(problem.target @ problem.target) + problem.rest))

    def e0(self, expression: Expression) -> dict[str, float]:
        """Energies of free atoms in eV: given, or those that fit best."""
        e0 = dict(zip(self.design.species, map(float, self.design.given_e0), strict=True))
        if self.design.n_e0:
            found = self.fitter.e0(expression)
            names = [self.design.species[k] for k in self.design.fitted_e0]
            e0 |= dict(zip(names, map(float, found), strict=True))
        return e0

    def predict(self, expression: Expression) -> Prediction:
        """Prediction of the whole formula, frozen terms included, over all pairs and triplets."""
        return self.exact.predict(expression + self.frozen.expression, self.e0(expression))

    def error(self, expression: Expression) -> float:
        """Training error, weights and constants as they are; inf for what the grid cannot tell."""
        loss = self.fitter.loss(expression)
        return self.design.error(loss) if np.isfinite(loss) else np.inf

    def with_validation(self) -> Prepared:
        """These data with what was set aside for validation among the training data."""
        split, validation = self.structures.split, SPLITS.index("validation")
        joined = np.where(split == validation, SPLITS.index("train"), split)
        structures = replace(self.structures, split=joined)
        rest = None if self.rest is None else replace(self.rest, split=joined)
        design = self.design.with_validation()
        return replace(self, structures=structures, design=design, rest=rest)

    def refit(self, expression: Expression, settings: FitSettings = POLISH) -> Expression | None:
        """The expression with all constants fitted; None when it is not valid or physical."""
        fitted, loss = self.fitter.refit(expression.terms, settings)
        return fitted if np.isfinite(loss) and self.is_physical(fitted) else None

    def is_physical(self, expression: Expression) -> bool:
        """Whether an expression passes the gate."""
        return not self.gate.broken(expression)


def _memory_of_labels(
    settings: Settings, structures: Structures, design: Design, lengths: Lengths
) -> str:
    search = settings.search
    workers = min(search.workers, search.most_workers or search.workers)
    return check_memory(structures, design, lengths, search.max_memory, workers)


def prepare(
    settings: Settings,
    design_file: Path | None = None,
    accept: Callable[[DataReport], object] = id,
    tell: Tell = lambda _: None,
    patience: float = math.inf,
) -> Prepared:
    """Read the structures and project them; ``design_file`` keeps the design.

    Called before anything is written, ``accept`` may refuse what was read with an error of its own.
    What projecting takes is told before it is done, and how far it is every ten seconds. A
    ValueError or OSError if the data cannot be used with these settings; a ``TooLongError`` if
    projecting them takes more than ``patience`` in minutes.
    """
    terms, frozen = settings.terms, read_frozen(settings)
    structures, report = read_structures(
        settings.data, settings.base, r_cut=terms.r_cut, functions=terms.n_functions
    )
    accept(report)
    check_elements(frozen, report.species)
    train = structures.subset(structures.split == SPLITS.index("train"))
    r0 = nearest_neighbour_mean(train) if isinstance(terms.r0, str) else float(terms.r0)
    fixed_e0 = fixed_energies(settings, report, frozen.e0)
    build = partial(load_or_build_design, design_file) if design_file else build_design
    check_cutoffs(train, common := terms.lengths(r0))
    lengths = frozen.lengths(common)
    targets = read_targets(settings.targets, settings.base, report.species)
    with threadpool_limits(1):
        rest = frozen.rest(structures, lengths)
        design = build(
            rest,
            lengths,
            loss=settings.loss,
            fixed_e0=fixed_e0,
            group_weights=settings.data.weights,
            many_body=bool(terms.many_body),
            described=frozen.described,
            targets=frozen.left(targets, lengths),
            max_memory=settings.search.max_memory,
            tell=tell,
            patience=patience,
        )
        check_design(settings, design)
        design.join(tell)
        if design.many_body:
            tell(_memory_of_labels(settings, structures, design, lengths))
        # Computed here and kept: workers have one thread too, and sums depend on their number.
        _ = design.training, design.floor
    return Prepared(
        settings,
        structures,
        report,
        design.within(lengths),
        fixed_e0,
        design,
        frozen,
        rest if frozen.formulas else None,
        targets,
    )


def baselines(prepared: Prepared) -> dict[str, Baseline]:
    """Known forms fitted to the data, by name; one that the grid cannot resolve is left out."""
    return {
        name: Baseline(
            complexity=expression.complexity,
            n_constants=expression.n_constants,
            error=prepared.design.error(loss),
            expression=expression.text(),
            terms=expression,
            source=form.source,
        )
        for form, name, expression, loss in prepared.known
        if np.isfinite(loss)
    }


def fits_of(prepared: Prepared, form: Form) -> Iterator[tuple[str, Expression, float]]:
    """Fits of a known form and their losses: with tied constants, from where others are untied."""
    expression, loss = best_fit(prepared, terms_of_form(form, prepared.design.keys))
    freer = list(untied(expression.terms))
    yield f"{form.name}, constants of all keys" if freer else form.name, expression, loss
    for words, terms in freer:
        found = prepared.fitter.refit(terms, _settings_for(prepared, terms))
        if not (np.isfinite(loss) and np.isfinite(found[1])):
            found = best_fit(prepared, terms)
        yield f"{form.name}, {words}", *found


STARTS = (1.0, 0.8, 1.25, 0.6, 1.6)
"""Factors by which the starting values of a known form are scaled, in turn."""


def best_fit(prepared: Prepared, terms: Sequence[Term]) -> tuple[Expression, float]:
    """The best of several fits of one form, and its loss; inf when none is valid.

    Of several elements functions of sums are fitted from all starts to the structures for
    screening, and from the best of them to all.
    """
    fitter, settings = prepared.fitter, _settings_for(prepared, terms)
    starts = [
        [term.with_constants([factor * c for c in term.constants]) for term in terms]
        for factor in STARTS
    ]
    if settings is not AS_IT_IS:
        few = replace(settings, on_all=False)
        expression, loss = _best([fitter.refit(start, few) for start in starts])
        if np.isfinite(loss):
            starts = [list(expression.terms)]
    return _best([fitter.refit(start, settings) for start in starts])


def _settings_for(prepared: Prepared, terms: Sequence[Term]) -> FitSettings:
    """How hard a known form is fitted; for functions of several elements a step takes long."""
    is_slow = len(prepared.fitter.design.species) > 1 and any(term.of is not None for term in terms)
    return replace(AS_IT_IS, max_steps=JOINT.max_steps, tolerance=1e-4) if is_slow else AS_IT_IS


def _best(fits: Sequence[tuple[Expression, float]]) -> tuple[Expression, float]:
    return min(fits, key=lambda fit: fit[1] if np.isfinite(fit[1]) else np.inf)
