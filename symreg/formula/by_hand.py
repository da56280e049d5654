"""Formulas written by hand, in eV, of distances in Å or of reduced ones."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from symreg.formula.closed_form import Formula
from symreg.language.tree import Tree
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
    weights: dict[Key, float] = {}
    if not isinstance(formulas, Mapping):
        raise ValueError('formulas are given by their keys, as in {"Cu-Cu": "2.0*exp(-r)"}')
    for name, text in formulas.items():
        if not (isinstance(name, str) and isinstance(text, str)):
            raise ValueError(f"{name!r}: {text!r}: key and formula are texts, in quotes")
        key = Key.read(name)
        if key in terms:
            raise ValueError(f"there are two formulas for {key}; write their sum")
        terms[key], weights[key] = _term(key, _in_order(key, name, text), in_angstrom=r0 is None)
    if not terms:
        raise ValueError('there is no formula; give one such as {"Cu-Cu": "2.0*exp(-r) - 3.0/r^6"}')
    sums = [one for term in terms.values() for one in term.sums]
    species = tuple(sorted({symbol for one in sums for symbol in one.species}))
    energies = dict.fromkeys(species, 0.0) | dict(e0 or {})
    if others := sorted(set(energies) - set(species)):
        raise ValueError(f"e0 names {', '.join(others)}; the formulas are of {', '.join(species)}")
    two = any(kind_of(one.over).neighbours == 2 for one in sums)
    formula = Formula(
        Expression(tuple(terms.values()), tuple(weights.values())),
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


def _in_order(key: Key, name: str, text: str) -> str:
    """The formula with the distance to the first neighbour of the key as its first.

    >>> _in_order(Key.read("O;O-Hf"), "O;O-Hf", "exp(-r1)*r2")
    'exp(-r2)*r1'
    """
    written = re.split("[-;]", name.split()[-1])[1:]
    if not key.is_unlike or tuple(written) == key.species[1:]:
        return text
    return re.sub(r"\b([rx])([12])\b", lambda found: f"{found[1]}{3 - int(found[2])}", text)


_FACTOR = re.compile(r"\s*([-+]?\d+\.?\d*(?:[eE][-+]?\d+)?)\s*\*\s*(.+)", re.DOTALL)


def _weighed(key: Key, tree: Tree, text: str) -> tuple[Tree, float]:
    """A product apart from a number in front of it, which is its weight."""
    match = _FACTOR.fullmatch(text)
    if key.is_triplet and tree.factors is None and match:
        weight, rest = float(match[1]), key.parse(match[2])
        points = np.random.default_rng(0).uniform(0.7, 1.9, (3, 5))
        with np.errstate(all="ignore"):
            both = tree(*points), weight * rest(*points)
        if rest.factors is not None and np.allclose(*both, rtol=1e-12):
            return rest, weight
    return tree, 1.0


def _term(key: Key, text: str, in_angstrom: bool) -> tuple[Term, float]:
    """A term and its weight in eV."""
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
    tree, weight = _weighed(key, tree, reduced)
    return Term.at(key, tree), weight
