"""Where a formula comes from, for its own file and for those who use it."""

from __future__ import annotations

from typing import Any

from symreg import __version__
from symreg.runs.folder import now
from symreg.runs.pipeline.preparation import Prepared
from symreg.runs.records import BOTH, TRAINING, MemberRecord


def measured(record: MemberRecord) -> dict[str, Any]:
    """Errors of a formula for its own file, and why it is not fit for use, if so."""
    known: dict[str, Any] = {"errors_of": TRAINING, "training_error": record.error}
    if record.unfit:
        known["unfit"] = record.unfit
    return {**known, "errors": {split: by.to_dict() for split, by in record.errors.items()}}


def provenance(
    prepared: Prepared, record: MemberRecord, refitted: MemberRecord | None = None
) -> dict[str, Any]:
    """Where a formula comes from, for its own file and for those who use it.

    Errors are those of the record; constants, if they are ``refitted`` to more data, the new ones.
    """
    kept = record if refitted is None else refitted
    return {
        "date": now()[:10],
        "contributor": f"symreg {__version__}",
        "citation": "see the data; formula found by symreg",
        "data": {
            "files": list(prepared.report.files),
            "hash": prepared.report.data_hash,
            "structures": dict(prepared.report.structures),
        },
        **({"frozen": prepared.frozen.names} if prepared.frozen.formulas else {}),
        "seed": prepared.settings.search.seed,
        "floor": prepared.design.floor.error,
        "fit": TRAINING if refitted is None else BOTH,
        **measured(record),
        "constants": [constant.to_dict() for constant in kept.constants or ()],
    }
