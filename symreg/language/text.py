"""Formulas as text: a recursive-descent parser, so that none is ever executed, and a printer."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from symreg.language.operators import FUNCTIONS, LARGEST_EXPONENT, OPERATORS

Nested = tuple[Any, ...]
"""A tree as nested tuples, see ``symreg.language.tree.Shape``."""
NameSum = Callable[[str, set[str]], Nested]
"""From the name of a function and the variables of what it sums to the head of a sum; raises a
``ValueError`` for a name that it does not know."""

TRIPLET = ("x1", "x2", "c")
"""Variables of three-body functions: both reduced distances, and the cosine of the angle."""
ONE: Nested = ("int", 1)

_TOKEN = re.compile(
    r"\s*(?:(?P<real>\d+\.\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+)"
    r"|(?P<int>\d+)|(?P<name>[A-Za-z_]\w*)|(?P<mark>\*\*|[-+*/^()]))"
)
_DEPTH = 80  # 8 calls each: Python allows 1000


def read(
    text: str,
    values: Mapping[str, float],
    variables: tuple[str, ...],
    sums: NameSum | None = None,
) -> tuple[Nested, list[float], list[str]]:
    """Nested form, constants and their names of a formula; arguments as of ``tree.parse``.

    Raises
    ------
    ValueError
        If the text is no formula; the message points at the place.
    """
    parser = _Parser(text, values, variables, sums)
    root = parser.whole()
    product = None
    if set(TRIPLET) <= set(variables):
        product = product_of(root, parser.constants, parser.names)
    return product or root, parser.constants, parser.names


def product_of(root: Nested, constants: Sequence[float], names: Sequence[str]) -> Nested | None:
    """A product h(x1) h(x2) p(c) with a ``product`` at its root; None for anything else."""
    if root[0] != "mul" or root[1][0] != "mul":
        return None
    one, two, angular = root[1][1], root[1][2], root[2]
    used = [_variables(part) for part in (one, two, angular)]
    if not (used[0] <= {"x1"} and used[1] <= {"x2"} and used[2] <= {"c"}):
        return None

    def plain(node: Nested) -> Nested:
        """A form with values in place of numbers of constants, alike for both distances."""
        if node[0] in ("x1", "x2"):
            return ("x",)
        if node[0] == "const":
            return "const", constants[node[1]], names[node[1]]
        return tuple(plain(u) if isinstance(u, tuple) else u for u in node)

    if plain(one) != plain(two):
        return None
    return "product", _renamed(one, "x1", "x"), angular


def _variables(node: Nested) -> set[str]:
    """Names of distances and cosines that occur."""
    if len(node) == 1:
        return {node[0]}
    return {name for u in node[1:] if isinstance(u, tuple) for name in _variables(u)}


def _renamed(node: Nested, old: str, new: str) -> Nested:
    if node == (old,):
        return (new,)
    return tuple(_renamed(u, old, new) if isinstance(u, tuple) else u for u in node)


class _Parser:
    """One formula being read; the grammar is in ``tree.parse``."""

    def __init__(
        self,
        text: str,
        values: Mapping[str, float],
        variables: tuple[str, ...],
        sums: NameSum | None,
    ) -> None:
        self.text = text
        self.values = values
        self.variables = variables
        self.sums = sums
        self.constants: list[float] = []
        self.names: list[str] = []
        self.tokens = list(self._tokenise())
        self.index = 0
        self.depth = 0

    def whole(self) -> Nested:
        """Read the whole text."""
        root = self._sum()
        if self._kind() != "end":
            raise self._error("expected an operator or the end of the formula")
        return root

    def _tokenise(self) -> list[tuple[str, str, int]]:
        tokens: list[tuple[str, str, int]] = []
        position = 0
        end = len(self.text.rstrip())
        while position < end:
            match = _TOKEN.match(self.text, position)
            if match is None:
                blank = end - len(self.text[position:end].lstrip())
                raise self._error("unexpected character", blank)
            kind = str(match.lastgroup)
            token = match.group(kind)
            tokens.append((kind, "^" if token == "**" else token, match.start(kind)))
            position = match.end()
        return [*tokens, ("end", "", end)]

    def _error(self, what: str, position: int | None = None) -> ValueError:
        at = self.tokens[self.index][2] if position is None else position
        return ValueError(f"formula cannot be read: {what}\n  {self.text}\n  {' ' * at}^")

    def _kind(self) -> str:
        return self.tokens[self.index][0]

    def _token(self) -> str:
        return self.tokens[self.index][1]

    def _take(self, *marks: str) -> str:
        """The next token if it is one of ``marks``, else an empty text."""
        if self._kind() == "mark" and self._token() in marks:
            self.index += 1
            return self.tokens[self.index - 1][1]
        return ""

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
        sign = 1
        if self._take("-"):
            if self._kind() not in ("int", "real") or self._follows("^"):
                return "neg", self._deeper(self._signed)
            sign = -1
        return self._power(sign)

    def _follows(self, mark: str) -> bool:
        return self.tokens[self.index + 1][1] == mark

    def _power(self, sign: int = 1) -> Nested:
        base = self._atom(sign)
        if not self._take("^"):
            return base
        at = self.index
        exponent = self._deeper(self._exponent)
        if exponent[0] == "int":
            if abs(exponent[1]) > LARGEST_EXPONENT:
                where = self.tokens[at][2]
                raise self._error(f"exponents end at {LARGEST_EXPONENT}", where)
            return "powi", exponent[1], base
        return "pow", base, exponent

    def _exponent(self) -> Nested:
        if self._take("-"):
            if self._kind() in ("int", "real") and not self._follows("^"):
                return self._atom(-1)
            return "neg", self._deeper(self._exponent)
        return self._power()

    def _atom(self, sign: int = 1) -> Nested:
        kind, token, at = self.tokens[self.index]
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
            return (token if token in TRIPLET or token in ("x", *_SUMS) else "x",)
        if self._kind() == "mark" and self._token() == "(":
            if self.sums is not None:
                return self._summed(token, at)
            raise self._error(f"{token} is no function; there are {', '.join(FUNCTIONS)}", at)
        if token in ("x", "r") and self.sums is not None and not self.variables:
            raise self._error("distances of neighbours stand inside sum(...)", at)
        if token in ("x", "r") and self.variables:
            raise self._error(f"the distance is called {self.variables[0]} here", at)
        if token in _SUMS and _SUMS[0] in self.variables:
            there = ", ".join(self.variables)
            raise self._error(f"there is no sum {token}; there is {there}", at)
        if token in self.names:
            return "const", self.names.index(token)
        if token.lower() in ("nan", "inf", "infinity"):
            raise self._error(f"{token} is no finite number, and no name of a constant", at)
        return self._constant(float(self.values.get(token, 1.0)), token)

    def _argument(self, token: str) -> Nested:
        if not self._take("("):
            raise self._error(f"expected '(' after {token}")
        self.index -= 1
        return self._atom()

    def _summed(self, token: str, at: int) -> Nested:
        """A sum over neighbours: of a function of x, or of both distances and the cosine."""
        assert self.sums is not None
        inside, (self.variables, self.sums) = (
            (self.variables, self.sums),
            (("x", *TRIPLET), None),
        )
        summand = self._argument(token)
        self.variables, self.sums = inside
        product = product_of(summand, self.constants, self.names)
        used = _variables(summand) & {"x", *TRIPLET}
        if product is not None and not used:  # such as 1*1*1: a product where it can be one
            try:
                return "sum", self.sums(token, set(TRIPLET)), product
            except ValueError:
                product = None
        try:
            return "sum", self.sums(token, used), summand if product is None else product
        except ValueError as error:
            raise self._error(str(error), at) from None

    def _constant(self, value: float, name: str = "") -> Nested:
        self.constants.append(value)
        self.names.append(name)
        return "const", len(self.constants) - 1


_SUMS = tuple(f"s{n}" for n in range(1, 100))
"""Variables of a function of sums."""

_PRECEDENCE = {"add": 1, "sub": 1, "mul": 2, "div": 2, "neg": 3, "powi": 4, "pow": 4}
_ATOM = 5


def number_text(value: float, digits: int | None = None) -> str:
    """Decimal text of a fitted constant; it always holds a point or an exponent.

    >>> number_text(3.0), number_text(-1.234567, 3)
    ('3.0', '-1.23')
    """
    text = repr(float(value)) if digits is None else f"{value:.{digits}g}"
    return text if any(mark in text for mark in ".en") else text + ".0"


def write(
    root: Nested,
    constants: Sequence[float],
    names: Sequence[str],
    digits: int | None,
    exact: bool,
) -> str:
    """Text of a nested form with as few parentheses as the parser needs to read it back unchanged.

    Parameters
    ----------
    root, constants, names
        The formula; a constant without a name is written as a number.
    digits
        Significant digits of numbers; all of them unless given.
    exact
        Whether the text must be read back to the same tree; else signs and factors 1 are tidied.
    """
    return _Printer(constants, names, digits, exact).text(root)


class _Printer:
    """Writes nested forms."""

    def __init__(
        self,
        constants: Sequence[float],
        names: Sequence[str],
        digits: int | None,
        exact: bool,
        variable: str = "x",
    ) -> None:
        self.constants, self.names, self.digits = constants, names, digits
        self.exact, self.variable = exact, variable

    def text(self, root: Nested) -> str:
        if root[0] != "product":
            return self._node(root)[0]
        parts = [
            _Printer(self.constants, self.names, self.digits, self.exact, variable)._node(factor)
            for factor, variable in ((root[1], "x1"), (root[1], "x2"), (root[2], "c"))
            if self.exact or factor != ONE
        ]
        return "*".join(_factor(*part, n == 0) for n, part in enumerate(parts)) or "1"

    def _node(self, node: Nested) -> tuple[str, int]:
        op = node[0]
        if len(node) == 1:
            return self.variable if op == "x" else op, _ATOM
        if op in ("const", "int"):
            text = self._leaf(node)
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
        if op == "product":  # inside a sum over two neighbours
            return self.text(node), _ATOM
        name = "_".join(node[1][1:]) if op == "sum" else op
        return f"{name}({self._node(node[-1])[0]})", _ATOM

    def _leaf(self, node: Nested) -> str:
        if node[0] == "int":
            return str(node[1])
        name = self.names[node[1]] if self.names else ""
        return name or number_text(self.constants[node[1]], self.digits)

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
