"""From settings to structures, the projected design and the exact path."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from symreg.config import Settings
from symreg.fit.design import Design, build_design, load_or_build_design, product_floors
from symreg.fit.design.cost import Tell
from symreg.fit.errors import label_sizes
from symreg.fit.exact import ExactPath
from symreg.fit.intervals import bootstrap
from symreg.fit.projected.fitter import AS_IT_IS, Fitter
from symreg.fit.rows import Labelled
from symreg.fit.rows.rows import check_memory
from symreg.records import UNITS, ProductFloor, SplitErrors
from symreg.runs.records import Baseline, FloorRecord
from symreg.runs.trust import floor_doubts, rank_doubts, told
from symreg.searching.gate import Gate
from symreg.searching.tasks import gate_of
from symreg.structures import SPLITS, DataReport, Structures, read_structures
from symreg.structures.neighbours import nearest_neighbour_mean
from symreg.terms import Expression, Term
from symreg.terms.known import Form, known_forms, terms_of_form
from symreg.terms.lengths import Lengths


@dataclass(frozen=True, eq=False)
class Prepared:
    """All that a search needs to know of its data."""

    settings: Settings
    structures: Structures
    report: DataReport
    lengths: Lengths
    """Of all keys; the domain of each pair begins as training has it."""
    fixed_e0: dict[str, float] | None
    """eV; None when they are fitted."""
    design: Design

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
    def gate(self) -> Gate | None:
        """Tests candidates, where there may be many-body terms."""
        return gate_of(self.labelled, self.design) if self.design.many_body else None

    @property
    def labelled(self) -> Labelled:
        """The structures as many-body terms need them."""
        return Labelled(self.structures, self.lengths)

    @property
    def lowest_floor(self) -> float:
        """The floor of all terms; that of products where the data are too few to tell it."""
        uncertain = self.products and self.design.floor.is_uncertain
        return self.products[-1].error if uncertain else self.design.floor.error

    @cached_property
    def resampled(self) -> list[Fitter]:
        """Fits candidates to bootstrap samples of the training data; empty with too few blocks."""
        return bootstrap(self.design)

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
    def labels(self) -> dict[str, SplitErrors]:
        """Root mean squares of labels by split and group, beside which errors are told."""
        return label_sizes(self.structures)

    @property
    def forms(self) -> tuple[Form, ...]:
        """Known forms that can be fitted to these data."""
        cutoffs = [cutoff.kind for cutoff in self.lengths.every_cutoff]
        return known_forms(self.design.keys, cutoffs, self.lengths.r0)

    @cached_property
    def spread(self) -> float:
        """Error, as in tables, of a formula that is zero everywhere: the spread of the labels."""
        problem = self.design.training
        return self.design.error(0.5 * (float(problem.target @ problem.target) + problem.rest))

    def e0(self, expression: Expression) -> dict[str, float]:
        """Energies of free atoms in eV: given, or those that fit best."""
        if self.fixed_e0 is not None:
            return self.fixed_e0
        found = self.fitter.e0(expression)
        return dict(zip(self.design.species, map(float, found), strict=True))

    def error(self, expression: Expression) -> float:
        """Training error, weights and constants as they are; inf for what the grid cannot tell."""
        loss = self.fitter.loss(expression)
        return self.design.error(loss) if np.isfinite(loss) else np.inf

    def with_validation(self) -> Prepared:
        """The same data with what was set aside for validation among the training data."""
        split, validation = self.structures.split, SPLITS.index("validation")
        joined = np.where(split == validation, SPLITS.index("train"), split)
        structures = replace(self.structures, split=joined)
        return replace(self, structures=structures, design=self.design.with_validation())

    def refit(self, expression: Expression) -> Expression | None:
        """The expression with all constants fitted; None when it is not valid or physical."""
        fitted, loss = self.fitter.refit(expression.terms)
        return fitted if np.isfinite(loss) and self.is_physical(fitted) else None

    def is_physical(self, expression: Expression) -> bool:
        """Whether an expression passes the gate, where there is one."""
        return self.gate is None or not self.gate.broken(expression)


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
    terms = settings.terms
    structures, report = read_structures(
        settings.data, settings.base, r_cut=terms.r_cut, functions=terms.n_functions
    )
    accept(report)
    train = structures.subset(structures.split == SPLITS.index("train"))
    r0 = nearest_neighbour_mean(train) if isinstance(terms.r0, str) else float(terms.r0)
    fixed_e0 = _fixed_e0(settings, report)
    build = build_design if design_file is None else partial(load_or_build_design, design_file)
    lengths = Lengths(terms.cutoff_function, terms.cutoff_function_three_body, r0)
    with threadpool_limits(1):
        design = build(
            structures,
            lengths,
            loss=settings.loss,
            fixed_e0=fixed_e0,
            group_weights=settings.data.weights,
            many_body=bool(terms.many_body),
            max_memory=settings.search.max_memory,
            tell=tell,
            patience=patience,
        )
        design.join(tell)
        if design.many_body:
            search = settings.search
            workers = min(search.workers, search.most_workers or search.workers)
            tell(check_memory(structures, design, lengths, search.max_memory, workers))
        # Computed here and kept: workers have one thread too, and sums depend on their number.
        _ = design.training, design.floor
    return Prepared(settings, structures, report, design.within(lengths), fixed_e0, design)


def _fixed_e0(settings: Settings, report: DataReport) -> dict[str, float] | None:
    choice = settings.terms.e0
    if choice == "fit":
        return None
    known = report.isolated_atoms if isinstance(choice, str) else choice
    for name in report.species:
        if known.get(name) is None and isinstance(choice, str):
            raise ValueError(
                f'[terms] e0 is "isolated", but the data hold no isolated atom of {name}; '
                f'add one, or set e0 = "fit" or e0 = {{ {name} = ... }}'
            )
        if known.get(name) is None:
            raise ValueError(f"[terms] e0 has no value for {name}, which the data contain")
    return {name: float(known[name] or 0.0) for name in report.species}


def cautions(prepared: Prepared) -> list[str]:
    """Warnings of what these settings cannot promise."""
    found, kind, edge = [], prepared.lengths.cutoff.kind, f"{prepared.lengths.cutoff.r_cut:g} Å"
    if kind == "none":
        found.append(f'cutoff = "none" truncates the formula: energies and forces jump at {edge}')
    if prepared.design.many_body and kind in ("poet", "cosine"):
        found.append(
            f'cutoff = "{kind}" has one continuous derivative: a root of a sum makes forces jump '
            f"at {edge}; septic does not"
        )
    return found


def floor_lines(prepared: Prepared) -> list[str]:
    """The floor in words, and what general and separable three-body terms add if asked for."""
    design = prepared.design
    lines = [f"{design.pair_floor.error:.4g}: the lowest error of any smooth pair terms"]
    if grids := design.triplet_grids:
        radius = f"{max(grid.cutoff.r_cut for grid in grids):g} Å"
        forces = design.floor.rmse["train"].beside(prepared.labels["train"]).forces
        shown = "" if forces is None else f", training forces {told('forces', forces)}"
        if prepared.lowest_floor != design.floor.error:
            shown = f" ({design.floor.error_coarser:.2g} on a coarser grid: too few data to tell)"
        lines.append(f"{design.floor.error:.4g} with three-body terms up to {radius}{shown}")
        errors = ", ".join(f"{floor.error:.4g}" for floor in prepared.products)
        lines += [f"{errors} with one, two, three separable products"] * bool(errors)
    if design.many_body:
        lines.append("of many-body terms is not known: they may go below")
    return lines


def floor_record(prepared: Prepared) -> FloorRecord:
    """The floors of the data and known forms fitted to them."""
    triplets = bool(prepared.design.triplet_grids)
    record = FloorRecord(
        **vars(prepared.design.floor),
        pair=prepared.design.pair_floor if triplets else None,
        products=prepared.products if triplets else None,
        baselines=baselines(prepared),
    )
    return replace(record, doubts=tuple(doubts(prepared, record)))


def doubts(prepared: Prepared, record: FloorRecord) -> Iterator[str]:
    """Say what is wrong with the floor."""
    design, lowest = prepared.design, record.lowest()
    if lowest.train is not None:
        lowest = lowest._replace(train=lowest.train.beside(prepared.labels["train"]))
    yield from floor_doubts(lowest, design.loss)
    columns = design.training.matrix[:, : design.n_pair_values]
    sizes = np.linalg.norm(columns, axis=0)
    rank = int(np.linalg.matrix_rank(columns / np.where(sizes > 0, sizes, 1.0)))
    yield from rank_doubts(rank, design.n_pair_values, design.n_labels)


def label_line(prepared: Prepared) -> str:
    """Root mean squares of the training labels in words, which errors are to be compared with."""
    known = prepared.labels["train"].by_quantity().items()
    parts = [f"{q} {e.label_rms:.3g} {UNITS[q]}" for q, e in known if e.label_rms is not None]
    return f"{', '.join(parts)}: root mean squares, of energies about one for each composition"


def baselines(prepared: Prepared) -> dict[str, Baseline]:
    """Known forms fitted to the data, by name; one that the grid cannot resolve is left out."""
    found = {}
    for form in prepared.forms:
        expression, loss = best_fit(prepared, terms_of_form(form, prepared.design.keys))
        if np.isfinite(loss):
            found[form.name] = Baseline(
                complexity=expression.complexity,
                n_constants=expression.n_constants,
                error=prepared.design.error(loss),
                expression=expression.text(),
                terms=expression,
                source=form.source,
            )
    return found


STARTS = (1.0, 0.8, 1.25, 0.6, 1.6)
"""Factors by which the starting values of a known form are scaled, in turn."""


def best_fit(prepared: Prepared, terms: Sequence[Term]) -> tuple[Expression, float]:
    """The best of several fits of one form, and its loss; inf when none is valid."""
    fits = []
    for factor in STARTS:
        scaled = [term.with_constants([factor * c for c in term.constants]) for term in terms]
        fits.append(prepared.fitter.refit(scaled, AS_IT_IS))
    return min(fits, key=lambda fit: fit[1] if np.isfinite(fit[1]) else np.inf)
