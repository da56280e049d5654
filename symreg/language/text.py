"""Formulas as text: a recursive-descent parser, so that none is ever executed, and a printer."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from symreg.language.operators import FUNCTIONS, LARGEST_EXPONENT, OPERATORS, PRODUCTS

Nested = tuple[Any, ...]  # a tree as nested tuples, see ``symreg.language.tree.Shape``
NameSum = Callable[[str, set[str]], Nested]
"""From the name of a function and the variables of what it sums to the head of a sum; raises a
``ValueError`` for a name that it does not know."""

TRIPLET = ("x1", "x2", "c")
"""Variables of three-body functions: both reduced distances, and the cosine of the angle."""
ONE: Nested = ("int", 1)

_TOKEN = re.compile(
    r"\s*(?:(?P<real>\d+\.\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+)"
    r"|(?P<int>\d+)|(?P<name>[A-Za-z_]\w*)|(?P<mark>\*\*|[-+*/^()]))",
    re.ASCII,  # names are such as Python, C++ and LAMMPS have
)
_SUMS = tuple(f"s{n}" for n in range(1, 100))  # variables of a function of sums
_DEPTH = 80  # 8 calls each: Python allows 1000
_LONGEST, _MOST_TOKENS = 20_000, 600  # half of the tokens may be levels of the tree


def read(
    text: str,
    values: Mapping[str, float],
    variables: Sequence[str],
    sums: NameSum | None,
    unlike: bool = False,
) -> tuple[Nested, list[float], list[str]]:
    """Nested form, constants and their names of a formula; see ``symreg.language.parse``."""
    parser = _Parser(text, values, variables, sums)
    root = parser.whole()
    if set(TRIPLET) <= set(variables):
        root = parser.product_of(root, unlike) or root
    return root, parser.constants, parser.names


def _variables(node: Nested) -> set[str]:
    """Names of distances and cosines that occur."""
    if len(node) == 1:
        return {node[0]}
    return {name for u in node[1:] if isinstance(u, tuple) for name in _variables(u)}


def _in_x(node: Nested, known: Sequence[tuple[float, str]] = ()) -> Nested:
    """A function of one distance as one of x, with ``known`` in place of numbers of constants."""
    if node[0] in ("x1", "x2"):
        return ("x",)
    if node[0] == "const" and known:
        return "const", *known[node[1]]
    return tuple(_in_x(u, known) if isinstance(u, tuple) else u for u in node)


def _too_long(text: str, limit: str) -> ValueError:
    return ValueError(f"formula cannot be read: it has more than {limit}: {text[:40].strip()}...")


SHOWN = 200
"""Characters of a long formula that a message shows, before and after a mistake."""


class _Token(NamedTuple):
    kind: str  # real, int, name, mark or end
    text: str
    at: int


class _Parser:
    """One formula being read; the grammar is in ``tree.parse``."""

    def __init__(
        self, text: str, values: Mapping[str, float], variables: Sequence[str], sums: NameSum | None
    ) -> None:
        self.text, self.values, self.variables, self.sums = text, values, variables, sums
        self.constants: list[float] = []
        self.names: list[str] = []
        self.index = self.depth = 0
        if len(text) > _LONGEST:
            raise _too_long(text, f"{_LONGEST} characters")
        self.tokens = list(self._tokenise())

    def whole(self) -> Nested:
        root = self._sum()
        if self._next.kind != "end":
            raise self._error("expected an operator or the end of the formula")
        if len(self.tokens) > _MOST_TOKENS:
            raise _too_long(self.text, f"{_MOST_TOKENS} numbers, names and marks")
        return root

    def product_of(self, root: Nested, unlike: bool) -> Nested | None:
        """A product h(x1) h(x2) p(c) with a ``product`` at its root; None for anything else.

        With ``unlike`` at the root where the radial factors differ, if neighbours are of two kinds.
        """
        if root[0] != "mul" or root[1][0] != "mul":
            return None
        factors = (*root[1][1:], root[2])
        if not all(_variables(u) <= {name} for u, name in zip(factors, TRIPLET, strict=True)):
            return None
        one, two, angular = factors
        known = list(zip(self.constants, self.names, strict=True))
        if _in_x(one, known) == _in_x(two, known):
            return "product", _in_x(one), angular
        return ("unlike", _in_x(one), _in_x(two), angular) if unlike else None

    def _tokenise(self) -> Iterator[_Token]:
        position, end = 0, len(self.text.rstrip())
        while position < end:
            match = _TOKEN.match(self.text, position)
            if match is None:
                blank = end - len(self.text[position:end].lstrip())
                raise self._error("unexpected character", blank)
            kind = str(match.lastgroup)
            token = match.group(kind)
            yield _Token(kind, "^" if token == "**" else token, match.start(kind))
            position = match.end()
        yield _Token("end", "", end)

    @property
    def _next(self) -> _Token:
        return self.tokens[self.index]

    def _error(self, what: str, position: int | None = None) -> ValueError:
        at = self._next.at if position is None else position
        start = max(0, at - SHOWN) if len(self.text) > 2 * SHOWN else 0
        shown = self.text[start : start + 2 * SHOWN]
        return ValueError(f"formula cannot be read: {what}\n  {shown}\n  {' ' * (at - start)}^")

    def _take(self, *marks: str) -> str:
        """The next token if it is one of ``marks``, else an empty text."""
        token = self._next.text
        self.index += token in marks
        return token if token in marks else ""

    def _deeper(self, read: Callable[[], Nested]) -> Nested:
        """``read`` one level further in, while Python's stack has room."""
        self.depth += 1
        if self.depth > _DEPTH:
            raise self._error(f"more than {_DEPTH} levels of parentheses, signs and powers")
        found = read()
        self.depth -= 1
        return found

    def _sum(self) -> Nested:
        found = self._product()
        while mark := self._take("+", "-"):
            found = ("add" if mark == "+" else "sub", found, self._product())
        return found

    def _product(self) -> Nested:
        found = self._signed()
        while mark := self._take("*", "/"):
            found = ("mul" if mark == "*" else "div", found, self._signed())
        return found

    def _signed(self) -> Nested:
        if not self._take("-"):
            return self._power()
        if self._next.kind in ("int", "real") and self.tokens[self.index + 1].text != "^":
            return self._atom(-1)  # the sign belongs to the number
        return "neg", self._deeper(self._signed)

    def _power(self) -> Nested:
        base = self._atom()
        if not self._take("^"):
            return base
        at = self._next.at
        exponent = self._deeper(self._signed)
        if exponent[0] != "int":
            return "pow", base, exponent
        if abs(exponent[1]) > LARGEST_EXPONENT:
            raise self._error(f"exponents end at {LARGEST_EXPONENT}", at)
        return "powi", exponent[1], base

    def _atom(self, sign: int = 1) -> Nested:
        kind, token, at = self._next
        self.index += kind != "end"
        if kind == "int":
            if len(token) > 15:
                raise self._error("integers have at most 15 digits", at)
            return "int", sign * int(token)
        if kind == "real":
            if math.isinf(float(token)):
                raise self._error("numbers end at 1.8e308", at)
            return self._constant(sign * float(token))
        if kind == "name":
            return self._name(token, at)
        if token == "(":
            found = self._deeper(self._sum)
            if not self._take(")"):
                raise self._error("expected ')'")
            return found
        raise self._error("expected a number, a name or '('", at)

    def _name(self, token: str, at: int) -> Nested:
        if token in FUNCTIONS:
            return token, self._argument(token)
        if token in self.variables:
            return (token if token in ("x", *TRIPLET, *_SUMS) else "x",)
        if self._next.text == "(":
            if self.sums is not None:
                return self._summed(token, at)
            raise self._error(f"{token} is no function; there are {', '.join(FUNCTIONS)}", at)
        if token in ("x", "r") and self.variables:
            raise self._error(f"the distance is called {self.variables[0]} here", at)
        if token in ("x", "r") and self.sums is not None:
            raise self._error("distances of neighbours stand inside sum(...)", at)
        if token in _SUMS and _SUMS[0] in self.variables:
            there = ", ".join(self.variables)
            raise self._error(f"there is no sum {token}; there is {there}", at)
        if token in self.names:
            return "const", self.names.index(token)
        if token.lower() in ("nan", "inf", "infinity"):
            raise self._error(f"{token} is no finite number, and no name of a constant", at)
        return self._constant(float(self.values.get(token, 1.0)), token)

    def _argument(self, token: str) -> Nested:
        if self._next.text != "(":
            raise self._error(f"expected '(' after {token}")
        return self._atom()

    def _summed(self, token: str, at: int) -> Nested:
        """A sum over neighbours: of a function of x, or of both distances and the cosine."""
        outside = self.variables, self.sums
        self.variables, self.sums = ("x", *TRIPLET), None
        summand = self._argument(token)
        self.variables, self.sums = outside
        assert self.sums is not None
        product = self.product_of(summand, unlike=len(set(token.split("_")[1:])) > 1)
        used = _variables(summand) & {"x", *TRIPLET}
        if product is not None and not used:  # such as 1*1*1: a product where it can be one
            try:
                return "sum", self.sums(token, set(TRIPLET)), product
            except ValueError:
                product = None
        try:
            return "sum", self.sums(token, used), product or summand
        except ValueError as error:
            raise self._error(str(error), at) from None

    def _constant(self, value: float, name: str = "") -> Nested:
        self.constants.append(value)
        self.names.append(name)
        return "const", len(self.constants) - 1


_PRECEDENCE = {"add": 1, "sub": 1, "mul": 2, "div": 2, "neg": 3, "powi": 4, "pow": 4}
_ATOM = 5


def number_text(value: float, digits: int | None = None) -> str:
    """Decimal text of a fitted constant; it always holds a point or an exponent.

    >>> number_text(3.0), number_text(-1.234567, 3)
    ('3.0', '-1.23')
    """
    text = repr(float(value)) if digits is None else f"{value:.{digits}g}"
    return text if any(mark in text for mark in ".en") else text + ".0"


@dataclass(frozen=True)
class Printer:
    """Writes nested forms, with as few parentheses as the parser needs to read them unchanged."""

    constants: Sequence[float]
    names: Sequence[str] = ()  # stand for the constants that have one
    digits: int | None = None  # significant digits of numbers; all of them unless given
    exact: bool = False
    """Whether the text must be read back to the same tree; else signs and factors 1 are tidied."""
    variable: str = "x"

    def text(self, root: Nested) -> str:
        """The text of a form."""
        if root[0] not in PRODUCTS:
            return self._node(root)[0]
        parts = [
            replace(self, variable=variable)._node(factor)
            for factor, variable in ((root[1], "x1"), (root[-2], "x2"), (root[-1], "c"))
            if self.exact or factor != ONE
        ]
        return "*".join(_factor(*part, n == 0) for n, part in enumerate(parts)) or "1"

    def _node(self, node: Nested) -> tuple[str, int]:
        op = node[0]
        if len(node) == 1:
            return self.variable if op == "x" else op, _ATOM
        if op in ("const", "int"):
            text = str(node[1]) if op == "int" else self._constant(node[1])
            return text, (3 if text.startswith("-") else _ATOM)
        if op == "neg":
            inner, precedence = self._node(node[1])
            bare = precedence >= _PRECEDENCE["powi"] and not (self.exact and inner[0].isdigit())
            return (f"-{inner}" if bare else f"-({inner})"), _PRECEDENCE["neg"]
        if op == "powi":
            return f"{self._base(node[2])}^{node[1]}", _PRECEDENCE["powi"]
        if op == "pow":
            return self._power(node), _PRECEDENCE["pow"]
        if op in _PRECEDENCE:
            return self._binary(op, *node[1:])
        if op in PRODUCTS:  # inside a sum over two neighbours
            return self.text(node), _ATOM
        name = "_".join(node[1][1:]) if op == "sum" else op
        return f"{name}({self._node(node[-1])[0]})", _ATOM

    def _constant(self, k: int) -> str:
        name = self.names[k] if self.names else ""
        return name or number_text(self.constants[k], self.digits)

    def _base(self, node: Nested) -> str:
        base, precedence = self._node(node)
        return base if precedence == _ATOM else f"({base})"

    def _power(self, node: Nested) -> str:
        base = self._base(node[1])
        exponent, precedence = self._node(node[2])
        simple = precedence == _ATOM or (precedence == 3 and exponent[1:].isidentifier())
        simple = simple or (exponent.removeprefix("-")[0].isdigit() and precedence != 4)
        simple = simple and not set("*/ ") & set(exponent)
        return f"{base}^{exponent if simple else f'({exponent})'}"

    def _binary(self, op: str, one: Nested, two: Nested) -> tuple[str, int]:
        own = _PRECEDENCE[op]
        left, left_precedence = self._node(one)
        right, right_precedence = self._node(two)
        if op == "add" and one[0] in ("const", "int") and not self.exact:
            op = "sub" if left.startswith("-") else "add"
            left, right = right, left.removeprefix("-")
            left_precedence, right_precedence = right_precedence, _ATOM
        if op == "add" and not self.exact and right.startswith("-") and right_precedence > own:
            op, right = "sub", right[1:]
        if left_precedence < own:
            left = f"({left})"
        if right_precedence <= own or right.startswith("-"):
            right = f"({right})"
        return f"{left}{OPERATORS[op].symbol}{right}", own


def _factor(text: str, precedence: int, is_first: bool) -> str:
    """A text as a factor of a product."""
    bare = precedence >= 2 if is_first else precedence > 2 and not text.startswith("-")
    return text if bare else f"({text})"
