"""From the individuals of a front to members: simplified, rescored, with intervals and files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from symreg import __version__
from symreg.checks import check
from symreg.fit.errors import errors, training_loss
from symreg.fit.solve.fitter import intervals
from symreg.formula import Formula
from symreg.formula.simplify import Domain, Rewriter, shorten, simplify
from symreg.potential import Potential
from symreg.runs import RunFolder, now
from symreg.runs.pipeline.preparation import Prepared
from symreg.searching.individuals import Individual, terms_from
from symreg.terms import Expression

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
    terms = terms_from(individual.genes, prepared.design.keys)
    return Contender(Expression(terms, individual.weights), individual.error)


def tidy(prepared: Prepared, individuals: Sequence[Individual]) -> list[Contender]:
    """Members of the front in canonical form with short constants, simplest first.

    Those without a term for some pair of species are left out, unless all are like that.
    Deterministic: nothing here has a time limit.
    """
    candidates = []
    for individual in individuals:
        expression = _shortened(prepared, contender_of(prepared, individual).expression)
        candidates.append(Contender(expression, prepared.error(expression)))
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
    slack = EXACT_SPREAD * prepared.spread
    simple = simplify(
        expression,
        refit=prepared.refit,
        error=prepared.error,
        domain=_domain(prepared),
        slack=slack,
        use_sympy=False,
    )
    short = shorten(simple, refit_linear=prepared.fitter.weigh, error=prepared.error, slack=slack)
    return short if prepared.is_physical(short) else simple


def _domain(prepared: Prepared) -> Domain:
    """Ranges of x of pairs and of triplets."""
    low = float(prepared.design.r_lo.min()) / prepared.r0
    reach = prepared.cutoff.r_cut / prepared.r0
    domain = {"pair": (low, reach), "many-body": (low, reach)}
    if prepared.cutoff_three_body is not None:
        domain["three-body"] = low, prepared.cutoff_three_body.r_cut / prepared.r0
    return domain


def deliver(
    prepared: Prepared, folder: RunFolder, individuals: Sequence[Individual]
) -> Iterator[str]:
    """Write the front and a folder for each member; yield what to tell the user.

    A member whose exact error is not what the projected design said, or that does not pass the
    gate, is left out.
    """
    folder.clear_potentials()
    records = []
    with Rewriter() as rewriter:
        for number, candidate in enumerate(tidy(prepared, individuals), 1):
            record = member_record(prepared, candidate.expression, candidate.error, number)
            difference = record["exact_difference"]
            if not difference <= allowed_difference(prepared, candidate.error):
                yield (
                    f"left out {record['expression']}: its error over all pairs differs by "
                    f"{difference:.2g} from that of the projected design"
                )
                continue
            if not prepared.is_physical(candidate.expression):
                yield f"left out {record['expression']}: its short constants break the gate"
                continue
            _write_member(prepared, folder, candidate, record, rewriter)
            records.append(record)
    folder.write_front(records)


def allowed_difference(prepared: Prepared, error: float) -> float:
    """How far the exact error may be from the projected one."""
    return max(EXACT_RELATIVE * error, EXACT_SPREAD * prepared.spread)


def quick_record(prepared: Prepared, candidate: Contender, number: int) -> dict[str, Any]:
    """What the projected design alone tells of a member, for a front that is still evolving."""
    expression, design = candidate.expression, prepared.design
    record = _description(prepared, candidate, number)
    if any(term.kind == "many-body" for term in expression.terms):
        found = errors(prepared.structures, prepared.exact.predict(expression, record["e0"]))
        by_split = {
            split: {quantity: {"rmse": groups["all"]["rmse"]} for quantity, groups in by.items()}
            for split, by in found.items()
        }
        return {**record, "errors": by_split}
    e0 = [record["e0"][name] for name in design.species] if design.n_e0 else []
    rmse = design.rmse(np.array(e0), prepared.fitter.coordinates(expression))
    by_split = {
        split: {quantity: {"rmse": groups["all"]} for quantity, groups in by.items()}
        for split, by in rmse.items()
    }
    return {**record, "errors": by_split}


def _description(prepared: Prepared, candidate: Contender, number: int) -> dict[str, Any]:
    expression = candidate.expression
    return {
        "number": number,
        "complexity": expression.complexity,
        "n_constants": expression.n_constants,
        "error": candidate.error,
        "expression": expression.text(8, named=len(prepared.design.keys) > 1),
        "terms": expression.to_dict(),
        "r0": prepared.r0,
        "e0": prepared.e0(expression),
    }


def member_record(
    prepared: Prepared, expression: Expression, error: float, number: int
) -> dict[str, Any]:
    """The record of a member: exact errors, and how certain its constants are."""
    record = _description(prepared, Contender(expression, error), number)
    prediction = prepared.exact.predict(expression, record["e0"])
    design = prepared.design
    exact = training_loss(prepared.structures, prediction, design.loss, design.group_weights)
    found = errors(prepared.structures, prediction)
    record["errors"] = {
        split: {
            **{quantity: groups["all"] for quantity, groups in by.items()},
            "groups": _by_group(by),
        }
        for split, by in found.items()
    }
    record["exact_difference"] = abs(design.error(exact) - error)
    record["constants"], record["correlation"] = _constants(prepared, expression)
    return record


def _by_group(by: dict[str, dict[str, dict[str, float]]]) -> dict[str, dict[str, Any]]:
    groups: dict[str, dict[str, Any]] = {}
    for quantity, found in by.items():
        for group, values in found.items():
            if group != "all":
                groups.setdefault(group, {})[quantity] = values
    return groups


def _constants(
    prepared: Prepared, expression: Expression
) -> tuple[list[dict[str, Any]], list[list[float]]]:
    """Names, values and intervals of all constants, and their correlations."""
    # Bootstrap samples weigh the projected design anew, and many-body terms are not in it.
    direct = any(term.kind == "many-body" for term in expression.terms)
    found = intervals(prepared.fitter, expression, () if direct else prepared.resampled)
    entries = []
    for k, (name, value) in enumerate(Potential(formula(prepared, expression)).constants.items()):
        entries.append(
            {
                "name": name,
                "value": value,
                "standard_error": float(found.standard_error[k]),
                "low": float(found.low[k]),
                "high": float(found.high[k]),
            }
        )
    return entries, found.correlation.tolist()


def formula(prepared: Prepared, expression: Expression) -> Formula:
    """The closed form of an expression fitted to the data."""
    pairs = ("-".join(species) for _, species in prepared.design.pair_keys)
    begins = dict(zip(pairs, map(float, prepared.design.r_lo), strict=True))
    return Formula(
        expression=expression,
        r0=prepared.r0,
        e0=prepared.e0(expression),
        species=prepared.structures.species,
        cutoff=prepared.cutoff,
        cutoff_three_body=prepared.cutoff_three_body,
        r_lo=min(begins.values()),
        r_lo_pairs=begins if len(begins) > 1 else {},
    )


def _write_member(
    prepared: Prepared,
    folder: RunFolder,
    candidate: Contender,
    record: dict[str, Any],
    rewriter: Rewriter,
) -> None:
    """Simplify with SymPy, check the physics, and write the potential of a member."""
    simpler = simplify(
        candidate.expression,
        refit=prepared.refit,
        error=prepared.error,
        domain=_domain(prepared),
        slack=EXACT_SPREAD * prepared.spread,
        rewriter=rewriter,
    )
    history = record
    if simpler != candidate.expression:
        # It has constants of its own, so errors and intervals of its own.
        own = member_record(prepared, simpler, prepared.error(simpler), record["number"])
        if own["exact_difference"] <= allowed_difference(prepared, own["error"]):
            history = own
        else:
            simpler = candidate.expression
    record["simplified"] = None if history is record else history["expression"]
    potential = Potential(formula(prepared, simpler), provenance(prepared, history))
    where = f"potentials/{record['number']}"
    folder.write_json(f"{where}/validation.json", check(potential.formula).to_dict())
    potential.save(folder.path / where / "potential.json")


def provenance(prepared: Prepared, record: dict[str, Any]) -> dict[str, Any]:
    """Where a formula comes from, for its own file and for those who use it."""
    return {
        "date": now()[:10],
        "contributor": f"symreg {__version__}",
        "citation": "see the data; formula found by symreg",
        "data": {
            "files": list(prepared.report.files),
            "hash": prepared.report.data_hash,
            "structures": dict(prepared.report.structures),
        },
        "seed": prepared.settings.search.seed,
        "training_error": record["error"],
        "floor": prepared.design.floor.error,
        "errors": {
            split: {name: value for name, value in by.items() if name != "groups"}
            for split, by in record["errors"].items()
        },
        "constants": record["constants"],
    }
