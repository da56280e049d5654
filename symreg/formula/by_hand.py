"""Formulas written by hand, in eV, of distances in Å or of reduced ones."""

from __future__ import annotations

import re
from collections.abc import Mapping

from symreg.formula.closed_form import Formula
from symreg.terms import Expression, Key, Term
from symreg.terms.cutoff import Cutoff
from symreg.terms.kinds import kind_of

REDUCED = {"r": "x", "r1": "x1", "r2": "x2"}
"""Names of distances in Å, and of those over r0."""


def by_hand(
    formulas: Mapping[str, str],
    *,
    cutoff: Cutoff,
    cutoff_three_body: Cutoff,
    r_lo: float,
    r0: float | None = None,
    e0: Mapping[str, float] | None = None,
    cutoffs: Mapping[str, Cutoff] | None = None,
) -> Formula:
    """A formula from texts by their keys; see ``symreg.Potential.from_formula``."""
    terms: dict[Key, Term] = {}
    if not isinstance(formulas, Mapping):
        raise ValueError('formulas are given by their keys, as in {"Cu-Cu": "2.0*exp(-r)"}')
    for name, text in formulas.items():
        if not (isinstance(name, str) and isinstance(text, str)):
            raise ValueError(f"{name!r}: {text!r} is no text of a formula by the text of its key")
        key = Key.read(name)
        if key in terms:
            raise ValueError(f"there are two formulas for {key}; write their sum")
        terms[key] = _term(key, text, in_angstrom=r0 is None)
    if not terms:
        raise ValueError('there is no formula; give one such as {"Cu-Cu": "2.0*exp(-r) - 3.0/r^6"}')
    sums = [one for term in terms.values() for one in term.sums]
    species = tuple(sorted({symbol for one in sums for symbol in one.species}))
    energies = dict.fromkeys(species, 0.0) | dict(e0 or {})
    if others := sorted(set(energies) - set(species)):
        raise ValueError(f"e0 names {', '.join(others)}; the formulas are of {', '.join(species)}")
    two = any(kind_of(one.over).neighbours == 2 for one in sums)
    formula = Formula(
        Expression(tuple(terms.values()), (1.0,) * len(terms)),
        1.0 if r0 is None else r0,
        energies,
        species,
        cutoff,
        r_lo,
        cutoff_three_body=cutoff_three_body if two else None,
        cutoffs=cutoffs or {},
    )
    formula.refuse_poles()  # first: derivatives of what overflows can take for ever
    for pair in formula.species_pairs:
        _ = formula.pair_function(*pair).wall  # is refused where the formula has no slope
    return formula


def _term(key: Key, text: str, in_angstrom: bool) -> Term:
    wrong = set(REDUCED.values() if in_angstrom else REDUCED)
    if found := sorted(wrong & set(re.findall(r"[A-Za-z_]\w*", text))):
        lengths = "Å without r0: write r, r1, r2" if in_angstrom else "r0: write x, x1, x2"
        raise ValueError(f"the formula for {key} holds {found[0]}; distances are in {lengths}")
    reduced = re.sub(r"\b(r|r1|r2)\b", lambda name: REDUCED[name[0]], text)
    try:
        tree = key.parse(reduced)
    except ValueError as error:
        raise ValueError(f"{key}: {error}".replace(reduced, text)) from None
    if names := [name for name in tree.names if name]:
        raise ValueError(f"the formula for {key} holds {names[0]}; write constants as numbers")
    return Term.at(key, tree)
