"""What the pages take from the package itself, so that it cannot go stale.

A page says where a table stands with a comment such as ``<!-- table: operators -->``; the sections
of all settings stand where ``<!-- settings -->`` is.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import TYPE_CHECKING, Any, get_type_hints

from symreg.config import Settings, toml_value
from symreg.language.operators import COSTS, WEIGHT_COST
from symreg.terms import known
from symreg.terms.cutoff import Cutoff
from symreg.terms.kinds import kinds
from symreg.typed import hints_of, ranges_in

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_WRITTEN = {
    "x": "`x`, a reduced distance r / r0",
    "const": "a fitted number, `-11.7`, or a name",
    "int": "an integer, `2`",
    "add": "`u + v`",
    "sub": "`u - v`",
    "mul": "`u*v`",
    "div": "`u/v`",
    "neg": "`-u`",
    "powi": "`u^n`, n an integer",
    "pow": "`u^v`",
    "x1": "`x1`, the distance of the first neighbour of a triplet",
    "x2": "`x2`, that of the second",
    "c": "`c`, the cosine of the angle between them",
    "product": "h(x1) h(x2) p(c), besides the nodes of h and p",
    "sum": "`sum(u)`, over the neighbours of an atom",
}
"""How people write the operators that are no functions; the others are written ``name(u)``."""


HEAD = ("key", "default", "range of numbers", "meaning")
"""Of a table of settings."""


def tables_of_settings() -> dict[str, type[Any]]:
    """The dataclass of each table of a run file, by the name of the table."""
    hints = get_type_hints(Settings)
    return {name: hint for name, hint in hints.items() if is_dataclass(hint)}


def described(settings: type[Any]) -> dict[str, str]:
    """What the attribute docstrings of a dataclass say, in Markdown, by the name of the field."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(settings))).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for field, text in zip(definition.body, definition.body[1:], strict=False):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            found[field.target.id] = _markdown(str(text.value.value))
    return found


def settings_markdown() -> str:
    """A section for each table of a run file: every key, its default, its meaning."""
    parts = []
    for name, settings in tables_of_settings().items():
        meanings = described(settings)
        rows = [
            (f"`{field.name}`", _default(field), _range(settings, field), meanings[field.name])
            for field in fields(settings)
        ]
        said = _markdown(inspect.getdoc(settings) or "").split("\n\n")[0]
        parts.append(f"## `[{name}]`\n\n{said}\n\n{_table(HEAD, rows)}")
    return "\n\n".join(parts)


def operators_markdown() -> str:
    """Every node of a tree and what it adds to the complexity."""
    rows = []
    variables = dict.fromkeys((name for kind in kinds() for name in kind.variables), 1)
    for name, cost in (variables | COSTS).items():
        rows.append((f"`{name}`", _WRITTEN.get(name, f"`{name}(u)`"), str(cost)))
    rows.append(("", "the linear weight of a term", str(WEIGHT_COST)))
    return _table(("node", "written", "cost"), rows)


def known_forms_markdown() -> str:
    """Every known form with the paper that it is from."""
    forms = (*known.FORMS, *known.THREE_BODY_FORMS, *known.MANY_BODY_FORMS)
    rows = [(form.name, form.source) for form in forms]
    return _table(("form", "from"), rows)


def cutoffs_markdown() -> str:
    """The cutoff functions, as the docstring of their class lists them."""
    text = inspect.getdoc(Cutoff) or ""
    return _markdown(text[text.index("With ") : text.index("A ``ValueError``")])


PIECES: Mapping[str, Callable[[], str]] = {
    "<!-- settings -->": settings_markdown,
    "<!-- table: operators -->": operators_markdown,
    "<!-- table: known forms -->": known_forms_markdown,
    "<!-- list: cutoff functions -->": cutoffs_markdown,
}

_COLON = "\ue000"
_OUTSIDE = re.compile(r"\[([^\]`]+)\]\((\.\./[^)#]+\.md)\)")


def _markdown(docstring: str) -> str:
    """A docstring in reStructuredText as Markdown: literals, and mathematics in a line."""
    text = re.sub(r"``(.+?)``", r"`\1`", inspect.cleandoc(docstring), flags=re.DOTALL)
    return re.sub(r":math:`(.+?)`", r"$\1$", text, flags=re.DOTALL)


def _range(settings: type[Any], field: Field[Any]) -> str:
    """The range that is checked, in words; empty for what is no number."""
    return " and ".join(map(str, ranges_in(hints_of(settings)[field.name])))


def _default(field: Field[Any]) -> str:
    value = field.default if field.default_factory is MISSING else field.default_factory()
    if value is MISSING:
        return "must be given"
    return "not given" if value is None else f"`{toml_value(value)}`"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(' '.join(cell.split()) for cell in row)} |" for row in lines)


def _fill(_app: Sphinx, _page: str, source: list[str]) -> None:
    for marker, text in PIECES.items():
        if marker in source[0]:
            source[0] = source[0].replace(marker, text())
    source[0] = source[0].replace("](../benchmarks/README.md", "](benchmarks.md")
    # Sphinx takes links to Markdown for links to pages; what is no page is a file to download.
    source[0] = _OUTSIDE.sub(r"{download}`\1 <\2>`", source[0])


def _hide_colons(
    _app: Sphinx, what: str, _name: str, _object: object, _options: object, lines: list[str]
) -> None:
    """Napoleon takes what stands before a colon in the first line of an attribute for its type."""
    if what in ("attribute", "property") and lines:
        lines[0] = lines[0].replace(":", _COLON)


def _show_colons(
    _app: Sphinx, _what: str, _name: str, _object: object, _options: object, lines: list[str]
) -> None:
    lines[:] = [line.replace(_COLON, ":") for line in lines]


def _short_defaults(
    _app: Sphinx, _what: str, _name: str, _object: object, _options: object, *written: str | None
) -> tuple[str | None, str | None]:
    """A default that is no Python, such as ``<factory>``, keeps Sphinx from shortening types."""
    signature, returns = written
    if signature is not None:
        signature = signature.replace("~typing.", "").replace("<factory>", "...")
    return signature, returns


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("source-read", _fill)
    app.connect("autodoc-process-docstring", _hide_colons, priority=100)
    app.connect("autodoc-process-docstring", _show_colons, priority=900)
    app.connect("autodoc-process-signature", _short_defaults)
    return {"parallel_read_safe": True}
