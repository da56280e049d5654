"""Filling the template of the page."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from symreg.files import write_bytes, write_text
from symreg.language import Tree
from symreg.records import ALL, UNITS, Errors, SplitErrors
from symreg.runs import in_words
from symreg.runs.report.figures import draw
from symreg.terms import Expression

if TYPE_CHECKING:
    from pathlib import Path

    from symreg.runs import Member, Run
    from symreg.structures import Structures

DIGITS = 8
CAPTIONS = {
    "front": "Every formula of the front, and the floors: the lowest training errors that smooth "
    "terms could reach on these data at these cutoffs.",
    "pair": "The pair function of the recommended formula with its cutoff.",
    "factors": "The factors of the products in the three-body function: h with the cutoff "
    "function, and p times its weight.",
    "triplet": "The three-body energy of a centre with two neighbours at the same distance.",
    "parity": "The recommended formula against the reference; at most 200 structures a split.",
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
    """Write ``report.html`` and ``plots/`` to the run folder.

    Parameters
    ----------
    run
        The run; it needs a front, and is described more fully if its potentials are there.
    structures
        The data, for parity plots and dimers.

    Returns
    -------
    The path of the page.

    Raises
    ------
    ValueError
        If the front is empty.
    """
    member = run.best()
    images = {}
    for name, figure in draw(run, member, structures).items():
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=150)
        write_bytes(run.folder / "plots" / f"{name}.png", stream.getvalue())
        images[name] = base64.b64encode(stream.getvalue()).decode("ascii")
    path = run.folder / "report.html"
    write_text(path, _template().render(_content(run, member), images=images, captions=CAPTIONS))
    return path


def _template() -> Any:
    environment = Environment(
        loader=PackageLoader("symreg.runs.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "powers": powers, "validation_rmse": _validation_rmse}
    return environment.get_template("page.html")


def _content(run: Run, member: Member) -> dict[str, Any]:
    """Everything that the template names."""
    quantities = [
        (quantity, unit)
        for quantity, unit in UNITS.items()
        if any(split.of(quantity) for split in member.errors.values())
    ]
    return {
        "run": run,
        "member": member,
        "lines": list(formula_lines(member.record.terms)),
        "latex": _latex(member),
        "floor": run.floor_of(member),
        "known": in_words(run.front.compare()) if run.front.baselines else "",
        "cutoff_three_body": run.settings.terms.cutoff_function_three_body,
        "terms": run.settings.terms,
        "quantities": quantities,
        "errors": list(_error_rows(member, [quantity for quantity, _ in quantities])),
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
            names, lines = _factors(tree, number)
            total += f"{' ' if total else ''}{sign}{abs(weight):.{DIGITS}g} {names}"
            factors += lines
        yield Line("ψ", index, "x1, x2, c", total)
        yield from factors


def _factors(tree: Tree, number: str) -> tuple[str, list[Line]]:
    """How a three-body term is written by names, and what the names stand for."""
    if tree.factors is None:
        names = f"(q{number}(x1, x2, c) + q{number}(x2, x1, c))/2"
        return names, [Line("q", number, "x1, x2, c", tree.text(DIGITS))]
    radial, angular = (factor.text(DIGITS) for factor in tree.factors)
    return f"h{number}(x1) h{number}(x2) p{number}(c)", [
        Line("h", number, "x", radial),
        Line("p", number, "c", angular),
    ]


def _validation_rmse(errors: Mapping[str, SplitErrors], quantity: str) -> float | None:
    found = errors["validation"].of(quantity) if "validation" in errors else None
    return None if found is None else found.rmse


def _latex(member: Member) -> str:
    """The formula for a paper; empty while there is no potential."""
    path = member.folder / "potential.json"
    return member.potential.latex() if path.exists() else ""


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
