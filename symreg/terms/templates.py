"""Templates: shapes that the terms of a key keep, with a hole that variation fills."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from symreg.language.canonical import build, canonical, cost, terms_of
from symreg.language.operators import WEIGHT_COST
from symreg.language.text import Nested
from symreg.language.tree import mapped, nodes, operands
from symreg.terms.expression import Expression
from symreg.terms.term import Key

HOLE: Nested = ("hole",)
"""Stands for anything, in the forms of a template."""
_STAND_IN = "_"
_MANY = ("add", "mul")


@dataclass(frozen=True)
class Template:
    """The shape of the terms of one key.

    Names and numbers with a point are constants to be fitted, integers stay; factors of whole terms
    are linear weights. Without a hole the terms are of this shape and there are no others.

    Examples
    --------
    >>> template = Template.read("Cu-Cu", "A*exp(-b*x) + ?")
    >>> template.is_open, template.patterns()
    (True, (('exp', ('mul', ('const', -1.0), ('x',))),))
    """

    key: Key
    text: str

    @staticmethod
    def read(name: str, text: str) -> Template:
        """A template from a run file; ``ValueError`` says in one line why it is none."""
        key = Key.read(name)
        found = Template(key, text)
        try:
            found._check()
        except ValueError as error:
            said = str(error).split("\n")[0].removeprefix("formula cannot be read: ")
            raise ValueError(f"templates: {name} = '{text}': {said}") from None
        return found

    def _check(self) -> None:
        """Refuse what cannot be a template."""
        if self.text.count("?") > 1:
            raise ValueError("it has several holes; leave one '?'")
        if re.search(r"[\w.]\?|\?[\w.(]", self.text):
            raise ValueError("'?' stands beside a name; write an operator between, as in A + ?")
        if re.search(r"(?<!\w)_+(?!\w)", self.text):
            raise ValueError("'_' is no name of a constant; write a letter first, as in b")
        for node in (one for part in self._parts({}) for one in nodes(part)):
            if node[0] == "pow" and HOLE in nodes(node[2]):
                raise ValueError("its hole is in an exponent, which is one number; name a constant")
            if node[0] == "sub" and HOLE in node[1:]:
                raise ValueError("its hole is subtracted; write + ?, which may have either sign")
        if self.key.is_function and any(part[0] == "sum" for part in self.patterns()):
            raise ValueError("a sum that stands alone is a pair term; give it to the key of pairs")

    def _parts(self, values: Mapping[str, float]) -> list[Nested]:
        """Addends in canonical form, without their weights."""
        tree = self.key.parse(self.text.replace("?", _STAND_IN), values, partial=True)

        def opened(node: Nested) -> Nested:
            if node[0] == "const" and tree.names[node[1]] == _STAND_IN:
                return HOLE
            if node[0] == "sum" and set(node[1][2:]) == {self.key.centre}:
                return ("sum", node[1][:2], opened(node[2]))
            return mapped(node, opened)

        return terms_of(canonical(_with_values(opened(tree.root), tree.constants)))

    def patterns(self, values: Mapping[str, float] | None = None) -> tuple[Nested, ...]:
        """Shapes of which there is one term each; ``values`` are those of named constants, or 1."""
        return tuple(part for part in self._parts(values or {}) if part != HOLE)

    @property
    def is_open(self) -> bool:
        """Whether there may be other terms beside these: a hole is an addend."""
        return HOLE in self._parts({})

    @property
    def names(self) -> tuple[str, ...]:
        """Names of its constants."""
        tree = self.key.parse(self.text.replace("?", _STAND_IN), partial=True)
        return tuple(dict.fromkeys(name for name in tree.names if name not in ("", _STAND_IN)))

    @property
    def complexity(self) -> int:
        """Least complexity of its terms, weights included."""
        return sum(cost(part) + WEIGHT_COST for part in self.patterns())

    def is_kept(self, forms: Sequence[Nested]) -> bool:
        """Whether forms, the terms of its key, have its shape."""
        left = [*forms]
        for pattern in self.patterns():
            one = next((form for form in left if matches(pattern, form)), None)
            if one is None:
                return False
            left.remove(one)
        return self.is_open or not left


def are_kept(templates: Sequence[Template], expression: Expression) -> bool:
    """Whether a formula has the shapes of templates."""
    return all(
        one.is_kept([term.tree.root for term, _ in expression.of(one.key)]) for one in templates
    )


def _with_values(node: Nested, constants: Sequence[float]) -> Nested:
    if node[0] == "const":
        return "const", constants[node[1]]
    return mapped(node, lambda u: _with_values(u, constants))


def matches(pattern: Nested, form: Nested) -> bool:
    """Whether a form has the shape of a pattern, whatever constants it has and the hole holds.

    >>> matches(("sqrt", HOLE), ("sqrt", ("x",))), matches(("sqrt", HOLE), ("exp", ("x",)))
    (True, False)
    """
    op = pattern[0]
    if pattern == HOLE:
        return True
    if op != form[0]:
        return False
    if op == "const":
        return True
    if op in _MANY:
        return _match_all(_flat(op, pattern), _flat(op, form))
    inner, others = operands(pattern), operands(form)
    heads = pattern[1 : len(pattern) - len(inner)], form[1 : len(form) - len(others)]
    return heads[0] == heads[1] and len(inner) == len(others) and all(map(matches, inner, others))


def _flat(op: str, node: Nested) -> list[Nested]:
    """Operands of a chain of one operator."""
    return [u for part in node[1:] for u in _flat(op, part)] if node[0] == op else [node]


def _match_all(patterns: Sequence[Nested], forms: Sequence[Nested]) -> bool:
    """Whether patterns match one form each, in any order; a bare hole takes one or more."""
    if not patterns:
        return not forms
    ordered = sorted(patterns, key=lambda one: one == HOLE)
    if ordered[0] == HOLE:
        return bool(forms)
    return any(
        matches(ordered[0], form) and _match_all(ordered[1:], [*forms[:k], *forms[k + 1 :]])
        for k, form in enumerate(forms)
    )


def filled(pattern: Nested, content: Nested) -> Nested:
    """A pattern with a form in its hole, in canonical form."""
    if pattern == HOLE:
        return content
    if len(pattern) == 1 or pattern[0] in ("const", "int"):
        return pattern
    return build(*mapped(pattern, lambda u: filled(u, content)))


def has_hole(pattern: Nested) -> bool:
    """Whether there is a hole in a pattern."""
    return HOLE in nodes(pattern)
