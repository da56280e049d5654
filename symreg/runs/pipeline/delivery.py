"""From the individuals of a front to members: simplified, rescored, with intervals and files."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from symreg import files
from symreg.arrays import Floats
from symreg.checks import check
from symreg.checks.report import PhysicsReport
from symreg.fit.design import Design
from symreg.fit.errors import errors, training_loss
from symreg.fit.intervals import MOST_MEMORY, SAMPLES, intervals, most_samples
from symreg.fit.projected.fitter import JOINT
from symreg.formula import Formula
from symreg.formula.simplify import Rewriter, shorten, simplify
from symreg.potential import Potential
from symreg.records import SplitErrors
from symreg.runs.folder import RunFolder
from symreg.runs.pipeline.preparation import Prepared
from symreg.runs.pipeline.provenance import provenance
from symreg.runs.records import TRAINING, FittedConstant, MemberRecord
from symreg.runs.trust import Verdict, verdict
from symreg.searching.individuals import Individual, terms_from
from symreg.terms import Expression
from symreg.terms.templates import are_kept

PROMISING = 1.5
"""A simpler formula is fitted if weights alone bring its error within this factor."""
GAIN = 0.99
"""A member stays on the front if its error is below this part of the next simpler one's."""
EXACT_RELATIVE, EXACT_SPREAD = 1e-3, 1e-6
"""The projected error may differ from the exact one by this part of it, or of the spread."""


@dataclass(frozen=True)
class Contender:
    """An expression that may become a member."""

    expression: Expression
    error: float


def contender_of(prepared: Prepared, individual: Individual) -> Contender:
    """The expression of an individual, as it was fitted."""
    terms = terms_from(individual.coded_terms, prepared.design.keys)
    return Contender(Expression(terms, individual.weights), individual.error)


def tidy(prepared: Prepared, individuals: Sequence[Individual]) -> list[Contender]:
    """Members of the front in canonical form with short constants, simplest first.

    Those without a term for some pair of species are left out, unless all are like that.
    Deterministic: nothing here has a time limit.
    """
    found = [contender_of(prepared, individual).expression for individual in individuals]
    short = [_shortened(prepared, expression) for expression in found]
    candidates = [Contender(expression, prepared.error(expression)) for expression in short]
    every = set(prepared.design.pair_keys)
    complete = [c for c in candidates if every <= set(c.expression.keys())]
    return pareto(complete or candidates)


def pareto(candidates: Sequence[Contender]) -> list[Contender]:
    """Candidates that are worth their complexity, simplest first."""
    best: list[Contender] = []
    for candidate in sorted(candidates, key=lambda c: (c.expression.complexity, c.error)):
        if math.isfinite(candidate.error) and (not best or candidate.error < GAIN * best[-1].error):
            best.append(candidate)
    return best


def _shortened(prepared: Prepared, expression: Expression) -> Expression:
    simple = _simplified(prepared, expression, use_sympy=False)
    templates = prepared.settings.terms.term_templates
    simple = simple if are_kept(templates, simple) else expression
    short = _short(prepared, simple)
    fine = prepared.is_physical(short) and are_kept(templates, short)
    return short if fine else simple


def _short(prepared: Prepared, expression: Expression) -> Expression:
    fitter, slack = prepared.fitter, _slack(prepared)
    return shorten(expression, refit_linear=fitter.weigh, error=prepared.error, slack=slack)


def _simplified(prepared: Prepared, expression: Expression, **how: Any) -> Expression:
    domain = rewriting_domain(prepared.design)
    refit, error, slack = prepared.refit, prepared.error, _slack(prepared)
    if prepared.design.may_share:
        refit = partial(_promising, prepared, PROMISING * error(expression))
    return simplify(expression, refit=refit, error=error, domain=domain, slack=slack, **how)


def rewriting_domain(design: Design) -> dict[int, tuple[float, float]]:
    """Smallest and largest reduced distance over all keys, by the neighbours that a sum is over."""
    low, far = float(design.r_lo.min()), dict.fromkeys((1, 2), design.r_cut)
    if near := [grid.cutoff.r_cut for grid in design.triplet_grids]:
        far[2] = max(near)
    return {near: (low / design.r0, r_cut / design.r0) for near, r_cut in far.items()}


def _promising(prepared: Prepared, bar: float, expression: Expression) -> Expression | None:
    """The expression fitted; None where its error is above a bar with new weights alone.

    With many keys a fit of all constants takes long, and most of what is tried is far worse.
    """
    if not prepared.error(prepared.fitter.weigh(expression)) <= bar:
        return None
    return prepared.refit(expression, JOINT)


def _slack(prepared: Prepared) -> float:
    """Difference of errors that does not count."""
    return EXACT_SPREAD * prepared.spread


def deliver(
    prepared: Prepared, folder: RunFolder, individuals: Sequence[Individual]
) -> Iterator[str]:
    """Write the front and a folder for each member; yield what to tell the user.

    Left out is a member whose exact error is not what the projected design said, and one that does
    not pass the gate, unless none does, or all forms were examined: then it is not fit for use.
    """
    if (folder.path / "potentials").exists():  # of an earlier front, beside other formulas
        shutil.rmtree(folder.path / "potentials")
    records: list[MemberRecord] = []
    refits = Refits(prepared)
    yield from _few_samples(prepared)
    with Rewriter() as rewriter:
        contenders = tidy(prepared, individuals)
        faults = [prepared.gate.broken(one.expression) for one in contenders]
        forgiving = _is_forgiving(prepared) and (_is_exact(prepared) or all(faults))
        for number, (candidate, broken) in enumerate(zip(contenders, faults, strict=True), 1):
            record = member_record(prepared, candidate.expression, candidate.error, number)
            if not agrees(prepared, record):
                yield (
                    f"left out {record.expression}: its error over all pairs differs by "
                    f"{record.exact_difference:.2g} from that of the projected design"
                )
                continue
            if broken and not forgiving:
                yield f"left out {record.expression}: its short constants break the gate"
                continue
            if broken:
                reasons = [record.unfit] if record.unfit else []
                record = replace(record, unfit="; ".join([*reasons, *broken]))
            simplified = _write_member(prepared, folder, record, rewriter, refits)
            records.append(replace(record, simplified=simplified))
    folder.write_front(records)
    if refits.failed:
        yield (
            f"of member {', '.join(map(str, refits.failed))} {TRAINING} alone are delivered: those "
            "fitted to validation too break the gate, cannot be computed on the projected design, "
            "or need more memory than [search] max_memory allows"
        )


def _is_forgiving(prepared: Prepared) -> bool:
    """Whether members that break the gate may be delivered, marked: F of sums may be anything."""
    return not prepared.design.many_body


def _is_exact(prepared: Prepared) -> bool:
    """Whether the front is that of all forms."""
    return prepared.settings.search.mode == "exhaustive"


def _few_samples(prepared: Prepared) -> Iterator[str]:
    """Say so where memory holds fewer bootstrap samples than are drawn otherwise."""
    if (drawn := most_samples(prepared.design)) < SAMPLES:
        told = f"are from {drawn} bootstrap samples" if drawn else "are unknown"
        yield (
            f"intervals of constants {told}: {SAMPLES} bootstrap samples of "
            f"{prepared.design.columns:,} columns take more than {MOST_MEMORY:g} GB"
        )


class Refits:
    """Constants of members fitted to training and validation together, where that is wanted."""

    def __init__(self, prepared: Prepared) -> None:
        wanted = prepared.settings.data.refit == "all" and prepared.report.structures["validation"]
        self.joined = prepared.with_validation() if wanted else None
        self.failed: list[int] = []
        """Members whose constants stay those of the training data."""

    def record(self, record: MemberRecord) -> MemberRecord | None:
        """The member with such constants, short ones; None if not wanted, or if they fail."""
        if self.joined is None:
            return None
        try:
            fitted = self.joined.refit(record.terms)
        except ValueError:  # with validation too there are more labels than memory can hold
            fitted = None
        if fitted is not None:
            short = _short(self.joined, fitted)
            chosen = short if self.joined.is_physical(short) else fitted
            error = self.joined.error(chosen)
            found = member_record(self.joined, chosen, error, record.number)
            if agrees(self.joined, found):
                return found
        self.failed.append(record.number)
        return None


def agrees(prepared: Prepared, record: MemberRecord) -> bool:
    """Whether the exact error of a member is what the projected design said."""
    allowed = max(EXACT_RELATIVE * record.error, _slack(prepared))
    return record.exact_difference is not None and record.exact_difference <= allowed


def quick_record(prepared: Prepared, candidate: Contender, number: int) -> MemberRecord:
    """The record of a member of a front that is still evolving, by the projected design alone."""
    record, expression = _description(prepared, candidate, number), candidate.expression
    if expression.has_functions:  # which the projected design does not hold
        found = errors(prepared.structures, prepared.predict(expression))
    else:
        e0 = prepared.fitter.e0(expression) if prepared.design.n_e0 else np.empty(0)
        every = prepared.design.rmse(e0, prepared.fitter.coordinates(expression))
        found = {split: by.beside(prepared.labels[split]) for split, by in every.items()}
    found.pop("test", None)
    judged = verdict(found, prepared.settings.loss)._asdict()
    return replace(record, errors={s: by.rmse_alone() for s, by in found.items()}, **judged)


def _description(prepared: Prepared, candidate: Contender, number: int) -> MemberRecord:
    """The record of a member without its errors."""
    expression, many = candidate.expression, len(prepared.design.keys) > 1
    met = prepared.meets(expression)
    return MemberRecord(
        targets=met and met.values,
        targets_rms=met and met.rms,
        number=number,
        complexity=expression.complexity,
        n_constants=expression.n_constants,
        error=candidate.error if met is None else prepared.data_error(expression),
        expression=expression.text(8, named=len(prepared.structures.species) > 1 or many),
        terms=expression,
        r0=prepared.lengths.r0,
        e0=prepared.e0(expression),
        errors={},
        near_ground_state="; ".join(prepared.gate.verdict(expression).near) or None,
    )


def member_record(
    prepared: Prepared, expression: Expression, error: float, number: int
) -> MemberRecord:
    """The record of a member: exact errors, and how certain its constants are."""
    record, design = _description(prepared, Contender(expression, error), number), prepared.design
    prediction = prepared.predict(expression)
    exact = training_loss(prepared.structures, prediction, design.loss, design.group_weights)
    met = prepared.meets(expression)
    # Bootstrap samples weigh the projected design anew, and many-body terms are not in it.
    resampled = () if expression.has_functions else prepared.resampled
    found = intervals(prepared.fitter, expression, resampled)
    named = own_constants(Potential(formula(prepared, expression)), expression)
    found_errors = errors(prepared.structures, prediction)
    spreads = map(_known, (found.standard_error, found.low, found.high))
    return replace(
        record,
        errors=found_errors,
        **verdict(found_errors, design.loss)._asdict(),
        exact_difference=abs(design.error(exact + (met.loss if met else 0.0)) - error),
        constants=tuple(map(FittedConstant, named, named.values(), *spreads)),
        correlation=found.correlation,
        covariance=found.covariance,
    )


def _known(values: Floats) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values.tolist()]


def own_constants(potential: Potential, expression: Expression) -> dict[str, float]:
    """Those constants of a potential that are of the terms that were fitted, which come first."""
    found, weights = potential.constants, len(potential.formula.expression.weights)
    n, constants = len(expression.weights), len(set(expression.sharing.parameter))
    names = list(found)
    return {name: found[name] for name in names[:n] + names[weights : weights + constants]}


def potential_of(
    closed: Formula,
    expression: Expression,
    history: Mapping[str, Any],
    covariance: Floats | None,
) -> Potential:
    """The potential of a formula with the covariance of what was fitted; frozen terms have none."""
    potential = Potential(closed, history)
    if covariance is None or len(covariance) == potential.n_constants:
        return replace(potential, covariance=covariance)
    names, own = list(potential.constants), own_constants(potential, expression)
    places = [names.index(name) for name in own]
    whole = np.zeros((len(names), len(names)))
    whole[np.ix_(places, places)] = covariance
    return replace(potential, covariance=whole)


def formula(
    prepared: Prepared, expression: Expression, e0: Mapping[str, float] | None = None
) -> Formula:
    """The closed form of an expression; energies of free atoms in eV fit best unless given.

    Frozen terms stand behind those of the expression.
    """
    lengths, frozen = prepared.lengths, prepared.frozen
    return Formula(
        expression=expression + frozen.expression,
        r0=lengths.r0,
        e0=prepared.e0(expression) if e0 is None else e0,
        species=prepared.structures.species,
        cutoff=lengths.cutoff,
        cutoff_three_body=lengths.cutoff_three_body or frozen.cutoff_three_body,
        r_lo=lengths.r_lo,
        r_lo_pairs=lengths.r_lo_pairs if len(lengths.r_lo_pairs) > 1 else {},
        cutoffs=lengths.cutoffs,
        r0s=lengths.r0s,
    )


def _write_member(
    prepared: Prepared,
    folder: RunFolder,
    record: MemberRecord,
    rewriter: Rewriter | None,
    refits: Refits | None = None,
) -> str | None:
    """Simplify with SymPy, fit to all data, check, write the potential; the formula, if simpler."""
    simpler = _simplified(prepared, record.terms, rewriter=rewriter)
    written = record
    if simpler != record.terms:
        # It has constants of its own, so errors and intervals of its own.
        own = member_record(prepared, simpler, prepared.error(simpler), record.number)
        written = own if agrees(prepared, own) else record
    refitted = None if refits is None else refits.record(written)
    history, given = provenance(prepared, written, refitted), refitted or written
    closed = formula(prepared, given.terms, given.e0)
    where = f"potentials/{record.number}"
    judged, checked = (
        Verdict(written.unfit, written.worse or ()),
        check(closed, prepared.crystals, prepared.knows_atoms),
    )
    write_validation(folder.path / f"{where}/validation.json", checked, written.errors, judged)
    potential = potential_of(closed, given.terms, history, given.covariance)
    potential.save(folder.path / where / "potential.json")
    return None if written is record else written.expression


def write_validation(
    path: Path, report: PhysicsReport, found: Mapping[str, SplitErrors], judged: Verdict
) -> None:
    """Write checks, errors beside their labels, and where predicting nothing would be better."""
    known = {"errors": {split: by.to_dict() for split, by in found.items()}}
    judgement = {"unfit": judged.unfit, "worse": [one.to_dict() for one in judged.worse]}
    files.write_json(path, {**report.to_dict(), **known, **judgement})
