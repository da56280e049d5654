"""The figures of a run, and the page that shows them."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from symreg.arrays import Floats, Integers
from symreg.files import write_bytes, write_text
from symreg.formula import FormulaCalculator
from symreg.language import Tree
from symreg.records import ALL, UNITS, Errors, SplitErrors, labelled
from symreg.runs import plots
from symreg.runs.results import in_words
from symreg.runs.trust import worse_in_words
from symreg.structures import SPLITS, Structures
from symreg.structures.distances import search
from symreg.terms import Expression

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from symreg.formula import Formula, TripletSum
    from symreg.runs import Member, Run

MOST = 200
"""Structures of each split that a parity plot computes."""
STRETCHED = (1.0, 1.2, 1.4)
"""Distances of neighbours at which triplets are drawn, as parts of r0."""
ELEMENTS = "forces by element"
Values = dict[str, Floats]
DIGITS = 8
CAPTIONS = {
    "front": "Every formula of the front, and the floors: the lowest training errors that smooth "
    "terms could reach on these data at these cutoffs.",
    "pair": "The pair function of the recommended formula with its cutoff; at the foot how often "
    "distances occur in the data, of at most 200 structures.",
    "factors": "The factors of the products in the three-body function: h with the cutoff "
    "function, and p times its weight.",
    "triplet": "The three-body energy of a centre with two neighbours at the same distance.",
    "parity": "The recommended formula against the reference; at most 200 structures a split.",
    "elements": "The same forces by element.",
}


class ErrorRow(NamedTuple):
    """Errors of one group, or of all structures, in one split."""

    split: str
    group: str
    cells: list[Errors | None]


class Line(NamedTuple):
    """One function of the formula."""

    name: str
    species: str
    arguments: str
    text: str


def write(run: Run, structures: Structures | None = None) -> Path:
    """Write ``report.html`` and ``plots/`` to the run folder; the path of the page.

    The run needs a front (else a ValueError), and is described more fully if its potentials are
    there; ``structures``, the data, are for parity plots and dimers.
    """
    member = run.best()
    images = {}
    for name, figure in _draw(run, member, structures).items():
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=150)
        write_bytes(run.folder / "plots" / f"{name}.png", stream.getvalue())
        images[name] = base64.b64encode(stream.getvalue()).decode("ascii")
    path = run.folder / "report.html"
    write_text(path, _template().render(_content(run, member), images=images, captions=CAPTIONS))
    return path


def _draw(run: Run, member: Member, structures: Structures | None) -> dict[str, Figure]:
    """Draw what can be drawn: the front always, the rest with potential and structures."""
    figures = {"front": run.front.plot()}
    if not (member.folder / "potential.json").exists():
        return figures
    formula = member.potential.formula
    for a, b in formula.species_pairs:
        figures[f"pair-{a}-{b}"] = _curve(formula, a, b, structures)
    for species in formula.species_triplets:
        figures |= _triplets(formula.three_body_function(*species))
    if structures is not None:
        for quantity, (reference, predicted) in _compare(formula, structures).items():
            name = "elements" if quantity == ELEMENTS else f"parity-{quantity}"
            unit_of = "forces" if quantity == ELEMENTS else quantity
            figures[name] = plots.parity(reference, predicted, quantity=unit_of)
    return figures


def _curve(formula: Formula, a: str, b: str, structures: Structures | None) -> Figure:
    """The pair function with the dimers of the data, if there are any."""
    function = formula.pair_function(a, b)
    points = _dimers(formula, a, b, structures) if structures is not None else []
    depth = -float(np.min(function.energy(np.linspace(function.r_lo, function.r_cut, 400))))
    return plots.potential_curve(
        [plots.Curve(f"formula, {a}-{b}", function.energy)],
        points,
        r_range=(function.r_lo, function.r_cut),
        unit="meV" if 1e-4 < depth < 0.1 else "eV",
        distances=None if structures is None else _distances(structures, a, b, function.r_cut),
    )


def _distances(structures: Structures, a: str, b: str, r_cut: float) -> Floats:
    """Distances in Å of a pair of species in at most ``MOST`` structures, each pair once."""
    found, wanted = [np.empty(0)], sorted((a, b))
    symbols = np.array(structures.species)
    last = len(structures) - 1
    for s in np.unique(np.linspace(0, last, min(MOST, last + 1)).astype(int)):
        i, j, d = search(structures, int(s), r_cut, "ijd", full=False)
        ends = np.sort(symbols[structures.kind[structures.atoms_of(int(s))]][np.stack([i, j])], 0)
        found.append(d[(ends[0] == wanted[0]) & (ends[1] == wanted[1])])
    return np.concatenate(found)


def _triplets(function: TripletSum) -> dict[str, Figure]:
    """The factors of the products, if there are any, and energies of isosceles triplets."""
    name, figures = "-".join(function.species), {}
    if function.products:
        figures[f"factors-{name}"] = plots.three_body_factors(function)
    lengths = [part * function.r0 for part in STRETCHED if part * function.r0 < function.r_cut]
    curves = [plots.triplet(function, r) for r in lengths]
    if curves:
        figures[f"triplet-{name}"] = plots.triplet_curve(curves)
    return figures


def _dimers(formula: Formula, a: str, b: str, structures: Structures) -> list[plots.Points]:
    """Energies of the isolated pairs of atoms among the structures, without e0."""
    found = []
    for s in np.flatnonzero((structures.n_atoms == 2) & ~structures.pbc.any(axis=1)):
        inside = structures.atoms_of(int(s))
        symbols = sorted(structures.species[k] for k in structures.kind[inside])
        if symbols == sorted((a, b)) and np.isfinite(structures.energy[s]):
            first, second = structures.positions[inside]
            alone = formula.e0[a] + formula.e0[b]
            found.append((float(np.linalg.norm(second - first)), structures.energy[s] - alone))
    if not found:
        return []
    r, energy = np.array(sorted(found)).T
    return [plots.Points("dimers of the data", r, energy)]


def _compare(formula: Formula, structures: Structures) -> Mapping[str, tuple[Values, Values]]:
    """Reference and predicted energies per atom and forces, by split; at most ``MOST`` of each.

    Of several elements also forces of all splits by element.
    """
    if not set(structures.species) <= set(formula.species):
        return {}
    pairs: dict[str, tuple[Values, Values]] = {"energy": ({}, {}), "forces": ({}, {})}
    kinds: list[Integers] = []
    calculator = FormulaCalculator(formula)
    for k, split in enumerate(SPLITS):
        chosen = np.flatnonzero(structures.split == k)
        if not chosen.size:
            continue
        chosen = chosen[np.unique(np.linspace(0, chosen.size - 1, MOST).astype(int))]
        images = [structures.to_atoms(int(s)) for s in chosen]
        for image in images:
            image.calc = calculator
        n_atoms = structures.n_atoms[chosen]
        pairs["energy"][0][split] = structures.energy[chosen] / n_atoms
        energies = [image.get_potential_energy() for image in images]
        pairs["energy"][1][split] = np.array(energies) / n_atoms
        inside = np.concatenate([np.arange(*structures.start[s : s + 2]) for s in chosen])
        pairs["forces"][0][split] = structures.forces[inside]
        pairs["forces"][1][split] = np.concatenate([image.get_forces() for image in images])
        kinds.append(structures.kind[inside])
    if len(structures.species) > 1:
        kind, (reference, predicted) = np.concatenate(kinds), pairs["forces"]
        both = [np.concatenate([*values.values()]) for values in (reference, predicted)]
        one, other = (
            {symbol: array[kind == k] for k, symbol in enumerate(structures.species)}
            for array in both
        )
        pairs[ELEMENTS] = one, other
    return {name: pair for name, pair in pairs.items() if _any_label(pair[0])}


def _any_label(values: Values) -> bool:
    return any(bool(np.isfinite(array).any()) for array in values.values())


def _template() -> Any:
    loader = PackageLoader("symreg.runs.report", "")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.filters |= {"number": number, "powers": powers, "validation_rmse": _validation_rmse}
    return environment.get_template("page.html")


def _content(run: Run, member: Member) -> dict[str, Any]:
    """Everything that the template names."""
    quantities = labelled(member.errors.values())
    path = member.folder / "potential.json"
    return {
        "run": run,
        "member": member,
        "doubts": run.doubts,
        "worse": list(worse_in_words(member.record.worse or ())),
        "labels": _label_rms(member, "validation"),
        "lines": list(formula_lines(member.record.terms)),
        "latex": member.potential.latex() if path.exists() else "",
        "unseen": ["-".join(pair) for pair in member.potential.formula.unseen_pairs]
        if path.exists()
        else [],
        "floor": run.floor_of(member),
        "known": in_words(run.front.compare()) if run.front.baselines else "",
        "cutoff_three_body": run.settings.terms.cutoff_function_three_body,
        "terms": run.settings.terms,
        "quantities": list(quantities.items()),
        "errors": list(_error_rows(member, list(quantities))),
        "checks": member.checks,
        "parity": member.parity,
        "run_file": (run.folder / "run.toml").read_text(encoding="utf-8"),
    }


def formula_lines(expression: Expression) -> Iterator[Line]:
    """Every function with the factors of its products, as text in eV."""
    keys = sorted(expression.keys(), key=lambda key: (key.is_function, key))
    for key in keys:
        index = str(key) if len(keys) > 1 else ""
        if key.is_function:
            yield Line("F", index, "sums over neighbours", expression.part_text(key, DIGITS))
            continue
        if len(key.species) == 2:
            yield Line("φ", index, "x", expression.total(key).text(DIGITS))
            continue
        terms = [(term.tree, weight) for term, weight in expression.of(key)]
        total, factors = "", []
        for n, (tree, weight) in enumerate(terms, 1):
            sign = ("+ ", "- ")[weight < 0] if n > 1 else ("", "-")[weight < 0]
            number = str(n) if len(terms) > 1 else ""
            names, lines = _factors(tree, number, key.is_unlike)
            total += f"{' ' if total else ''}{sign}{abs(weight):.{DIGITS}g} {names}"
            factors += lines
        yield Line("ψ", index, "x1, x2, c", total)
        yield from factors


def _factors(tree: Tree, number: str, unlike: bool) -> tuple[str, list[Line]]:
    """How a three-body term is written by names, and what the names stand for."""
    if tree.factors is None:
        mean = f"(q{number}(x1, x2, c) + q{number}(x2, x1, c))/2"
        names = f"q{number}(x1, x2, c)" if unlike else mean
        return names, [Line("q", number, "x1, x2, c", tree.text(DIGITS))]
    one, other, angular = (factor.text(DIGITS) for factor in tree.factors)
    radials = {"h": one} if one == other else {"g": one, "h": other}
    lines = [Line(name, number, "x", text) for name, text in radials.items()]
    first, second = min(radials), "h"
    return (
        f"{first}{number}(x1) {second}{number}(x2) p{number}(c)",
        [*lines, Line("p", number, "c", angular)],
    )


def _validation_rmse(errors: Mapping[str, SplitErrors], quantity: str) -> float | None:
    found = errors["validation"].of(quantity) if "validation" in errors else None
    return None if found is None else found.rmse


def _label_rms(member: Member, split: str) -> dict[str, float | None]:
    """Root mean squares of the labels of a split, which are the same for all members."""
    found = {q: member.errors[split].of(q) if split in member.errors else None for q in UNITS}
    return {quantity: None if e is None else e.label_rms for quantity, e in found.items()}


def _error_rows(member: Member, quantities: list[str]) -> Iterator[ErrorRow]:
    for split, errors in member.errors.items():
        for group, found in {ALL: errors, **(errors.groups or {})}.items():
            cells = [found.of(quantity) for quantity in quantities]
            if any(cells):
                yield ErrorRow(split, group, cells)


def number(value: float | None, digits: int = 4) -> str:
    """Write a number for a table; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}g}".replace("-", "−")


def powers(text: str) -> Markup:
    """Raise exponents and set a proper minus and powers of ten, safe for HTML.

    >>> powers("2e-05*x^-12 - exp(-3.5*x)")
    Markup('2 × 10<sup>−5</sup> x<sup>−12</sup> − exp(−3.5 x)')
    """
    safe = re.sub(r"(?<=[\d.])e\+?(-?)0*(\d+)", r" × 10^\1\2", str(escape(text)))
    safe = safe.replace("*", " ").replace("-", "−")
    safe = re.sub(r"\b([xhpq])(\d+)\b", r"\1<sub>\2</sub>", safe)
    return Markup(re.sub(r"\^(−?[\w.]+)", r"<sup>\1</sup>", safe))
